//! Reading some rows of an array without the rest of it: a data set may be larger than memory.

use super::header::Header;
use super::{NpyError, Problem, is_archive, read_from};
use crate::dtype::DType;
use crate::tensor::{self, Tensor};
use npyz::zip::{CompressionMethod, ZipArchive};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An array in a `.npy` or `.npz` file, of which only the header has been read.
#[derive(Debug)]
pub struct Array {
    path: PathBuf,
    /// Its name in an archive.
    pub entry: Option<String>,
    pub dtype: DType,
    pub sizes: Vec<usize>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Row after row from this byte of the file.
    Rows { at: u64, big_endian: bool },
    /// Compressed, or column after column: read whole when first asked for, and kept.
    Whole { index: Option<usize>, tensor: OnceLock<Tensor> },
}

/// Counts the bytes that were read through it.
struct Counting<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(to)?;
        self.count += n as u64;
        Ok(n)
    }
}

/// The arrays of a file: one of a `.npy`, all of a `.npz`, in the archive's order.
pub fn open(path: &Path) -> Result<Vec<Array>, NpyError> {
    let failed = |entry: Option<String>, source| NpyError { path: path.into(), entry, source };
    let file = || -> Result<_, Problem> { Ok(BufReader::new(File::open(path)?)) };
    let array = |entry: Option<String>, header: Header, at: Option<u64>, index| {
        let place = match at.filter(|_| !header.fortran || header.sizes.len() < 2) {
            Some(at) => Place::Rows { at, big_endian: header.big_endian },
            None => Place::Whole { index, tensor: OnceLock::new() },
        };
        Array { path: path.into(), entry, dtype: header.dtype, sizes: header.sizes, place }
    };
    if !is_archive(path) {
        let mut reader = Counting { reader: file().map_err(|e| failed(None, e))?, count: 0 };
        let header = Header::read(&mut reader).map_err(|e| failed(None, e))?;
        let about = reader.reader.get_ref().metadata().map_err(|e| failed(None, e.into()))?;
        if about.is_file() {
            filled(&header, about.len().saturating_sub(reader.count)).map_err(|e| failed(None, e))?;
        }
        return Ok(vec![array(None, header, Some(reader.count), None)]);
    }
    let opened = || -> Result<_, Problem> { Ok(ZipArchive::new(file()?)?) };
    let mut archive = opened().map_err(|e| failed(None, e))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let inner = archive.by_index(i).map_err(|e| failed(None, e.into()))?;
        let Some(name) = inner.name().strip_suffix(".npy").map(str::to_string) else { continue };
        let length = inner.size();
        let stored = (inner.compression() == CompressionMethod::Stored).then(|| inner.data_start());
        let mut reader = Counting { reader: inner, count: 0 };
        let header = Header::read(&mut reader).map_err(|e| failed(Some(name.clone()), e))?;
        filled(&header, length.saturating_sub(reader.count)).map_err(|e| failed(Some(name.clone()), e))?;
        arrays.push(array(Some(name), header, stored.map(|at| at + reader.count), Some(i)));
    }
    Ok(arrays)
}

/// Refuses a header whose array is not what follows it: told before hours of calibration, and before room is made for rows without end.
fn filled(header: &Header, found: u64) -> Result<(), Problem> {
    let (dtype, sizes) = (header.dtype, header.sizes.clone());
    let Some(needed) = tensor::count(&sizes).and_then(|n| dtype.bytes_for(n)) else {
        return Err(Problem::TooLarge { dtype, sizes, limit: super::LIMIT });
    };
    match found.cmp(&(needed as u64)) {
        Ordering::Less => Err(Problem::Length { dtype, sizes, needed, found: found.to_string() }),
        Ordering::Greater => Err(Problem::Length { dtype, sizes, needed, found: "more".into() }),
        Ordering::Equal => Ok(()),
    }
}

impl Array {
    fn failed(&self, source: impl Into<Problem>) -> NpyError {
        NpyError { path: self.path.clone(), entry: self.entry.clone(), source: source.into() }
    }

    /// Rows `first` … `first + count` along the first axis, as a tensor with that first axis.
    ///
    /// # Panics
    /// If there are not so many rows.
    pub fn rows(&self, first: usize, count: usize) -> Result<Tensor, NpyError> {
        let mut sizes = self.sizes.clone();
        assert!(sizes.first().is_some_and(|n| first + count <= *n), "rows {first}+{count} of {sizes:?}");
        sizes[0] = count;
        self.part(first, sizes)
    }

    /// The whole array.
    pub fn whole(&self) -> Result<Tensor, NpyError> {
        self.part(0, self.sizes.clone())
    }

    /// A tensor of these sizes, which begins `first` rows into the array.
    fn part(&self, first: usize, sizes: Vec<usize>) -> Result<Tensor, NpyError> {
        let too_large = || Problem::TooLarge { dtype: self.dtype, sizes: self.sizes.clone(), limit: super::LIMIT };
        let bytes_of = |sizes: &[usize]| tensor::count(sizes).and_then(|n| self.dtype.bytes_for(n));
        let within = |n: &usize| *n <= super::LIMIT;
        let needed = bytes_of(&sizes).filter(within).ok_or_else(|| self.failed(too_large()))?;
        let row = bytes_of(self.sizes.get(1..).unwrap_or_default()).ok_or_else(|| self.failed(too_large()))?;
        let skipped = first.checked_mul(row).ok_or_else(|| self.failed(too_large()))?;
        let bytes = match &self.place {
            Place::Rows { at, big_endian } => {
                let mut file = File::open(&self.path).map_err(|e| self.failed(e))?;
                file.seek(SeekFrom::Start(at + skipped as u64)).map_err(|e| self.failed(e))?;
                let mut bytes = Vec::new();
                file.take(needed as u64).read_to_end(&mut bytes).map_err(|e| self.failed(e))?;
                if bytes.len() != needed {
                    let found = bytes.len().to_string();
                    return Err(self.failed(Problem::Length { dtype: self.dtype, sizes, needed, found }));
                }
                super::normalise(&mut bytes, self.dtype, *big_endian);
                bytes.into()
            }
            Place::Whole { index, tensor } => {
                let all = match tensor.get() {
                    Some(all) => all,
                    None => {
                        let all = self.read_whole(*index).map_err(|e| self.failed(e))?;
                        tensor.get_or_init(|| all)
                    }
                };
                all.bytes().slice(skipped..skipped + needed)
            }
        };
        Tensor::new(self.dtype, sizes, bytes).map_err(|_| self.failed(too_large()))
    }

    fn read_whole(&self, index: Option<usize>) -> Result<Tensor, Problem> {
        let mut file = BufReader::new(File::open(&self.path)?);
        let tensor = match index {
            None => read_from(&mut file)?,
            Some(i) => read_from(&mut ZipArchive::new(file)?.by_index(i)?)?,
        };
        // The file may have changed since its header was read.
        match tensor.sizes() == self.sizes && tensor.dtype() == self.dtype {
            true => Ok(tensor),
            false => Err(Problem::Header { at: 0, why: "the file changed while it was read".into() }),
        }
    }
}
