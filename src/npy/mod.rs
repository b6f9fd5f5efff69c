//! NumPy's files: one tensor in a `.npy`, several by name in a `.npz`.
//!
//! Types that NumPy has not are written as one that holds every value of theirs: bf16 and the 8- and 4-bit floats as f32, the 4- and 2-bit
//! integers as i8 or u8; [`convert`] brings them back. Files are written beside their place and renamed, so that a reader
//! never sees half of one.

mod header;
mod rows;

pub use rows::{Array, open};

use crate::dtype::DType;
use crate::files::{self, Filling};
use crate::name::Shown;
use crate::scalar::{Number, Scalar};
use crate::tensor::{self, Tensor};
use header::Header;
use npyz::WriterBuilder;
use npyz::zip::{self, ZipArchive, ZipWriter};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// What is wrong with a NumPy file: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {source}", .path.display(), within(.entry))]
pub struct NpyError {
    pub path: PathBuf,
    /// The tensor within an archive.
    pub entry: Option<String>,
    pub source: Problem,
}

fn within(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| format!(", tensor {}", Shown(name)))
}

/// Why a NumPy file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a .npy file: it does not begin with \\x93NUMPY")]
    Magic,
    #[error("the header is damaged at byte {at}: {why}")]
    Header { at: usize, why: String },
    #[error("its element type {descr:?} is none of f2 f4 f8, i1 i2 i4 i8, u1 u2 u4 u8 and b1")]
    Type { descr: String },
    #[error("{dtype} {sizes:?} is more than the {limit} bytes that are read at most")]
    TooLarge { dtype: DType, sizes: Vec<usize>, limit: usize },
    #[error("{dtype} {sizes:?} needs {needed} bytes of data, and there are {found}")]
    Length { dtype: DType, sizes: Vec<usize>, needed: usize, found: String },
    #[error("not a .npz archive: {0}")]
    Archive(#[from] zip::result::ZipError),
    #[error("it holds {0} tensors; a .npy or a .npz of one is wanted")]
    Several(usize),
}

/// The most bytes of one tensor: an archive may hold far more than its own size.
const LIMIT: usize = 64 << 30;

/// Reads the tensor of a `.npy` file, or the only one of a `.npz`.
pub fn read(path: &Path) -> Result<Tensor, NpyError> {
    if is_archive(path) {
        let mut tensors = read_archive(path)?;
        return match (tensors.pop(), tensors.len()) {
            (Some((_, tensor)), 0) => Ok(tensor),
            (last, others) => {
                let found = others + usize::from(last.is_some());
                Err(NpyError { path: path.into(), entry: None, source: Problem::Several(found) })
            }
        };
    }
    let open = || read_from(&mut BufReader::new(File::open(path)?));
    open().map_err(|source: Problem| NpyError { path: path.into(), entry: None, source })
}

/// Reads every tensor of a `.npz` file, in the order of the archive.
pub fn read_archive(path: &Path) -> Result<Vec<(String, Tensor)>, NpyError> {
    let failed = |entry: Option<String>, source| NpyError { path: path.into(), entry, source };
    let open = || -> Result<_, Problem> { Ok(ZipArchive::new(BufReader::new(File::open(path)?))?) };
    let mut archive = open().map_err(|e| failed(None, e))?;
    let mut tensors = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).map_err(|e| failed(None, e.into()))?;
        let Some(name) = file.name().strip_suffix(".npy").map(str::to_string) else { continue };
        let tensor = read_from(&mut file).map_err(|e| failed(Some(name.clone()), e))?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

/// True if the path says that the file is a `.npz` archive.
pub fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

fn read_from(reader: &mut impl Read) -> Result<Tensor, Problem> {
    let Header { dtype, big_endian, fortran, sizes } = Header::read(reader)?;
    let too_large = || Problem::TooLarge { dtype, sizes: sizes.clone(), limit: LIMIT };
    let needed =
        tensor::count(&sizes).and_then(|n| dtype.bytes_for(n)).filter(|n| *n <= LIMIT).ok_or_else(too_large)?;
    let mut bytes = Vec::new();
    reader.take(needed as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() != needed {
        let found = if bytes.len() > needed { "more".into() } else { bytes.len().to_string() };
        return Err(Problem::Length { dtype, sizes, needed, found });
    }
    normalise(&mut bytes, dtype, big_endian);
    if fortran {
        bytes = row_major(&bytes, &sizes, dtype.bytes().unwrap_or(1));
    }
    // The length is checked above, so this can't fail.
    let length = |_| Problem::Magic;
    Tensor::new(dtype, sizes, bytes.into()).map_err(length)
}

/// Elements as a tensor has them: little-endian, a bool 0 or 1 (NumPy takes any nonzero byte for true).
fn normalise(bytes: &mut [u8], dtype: DType, big_endian: bool) {
    if big_endian {
        bytes.chunks_exact_mut(dtype.bytes().unwrap_or(1)).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool {
        bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
}

/// The elements of a column-major array in row-major order.
fn row_major(bytes: &[u8], sizes: &[usize], width: usize) -> Vec<u8> {
    let mut to = Vec::with_capacity(bytes.len());
    let mut index = vec![0usize; sizes.len()];
    for _ in 0..bytes.len() / width {
        let at = sizes.iter().zip(&index).rev().fold(0, |at, (size, i)| at * size + i);
        to.extend_from_slice(&bytes[at * width..][..width]);
        for (i, size) in index.iter_mut().zip(sizes).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    to
}

/// The type as which NumPy's files hold a type.
pub fn file_type(dtype: DType) -> DType {
    match dtype {
        DType::I4 | DType::I2 => DType::I8,
        DType::U4 | DType::U2 => DType::U8,
        t if t.is_float() && !matches!(t, DType::F64 | DType::F32 | DType::F16) => DType::F32,
        t => t,
    }
}

/// The tensor with elements of another type, if each has exactly its value there (NaN stays NaN).
pub fn convert(tensor: &Tensor, to: DType) -> Option<Tensor> {
    if tensor.dtype() == to {
        return Some(tensor.clone());
    }
    let exact = |number: Number| {
        let converted = Scalar::new(to, number).number();
        let same = match (number, converted) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (Number::Float(a), Number::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Number::Int(a), Number::Float(b)) | (Number::Float(b), Number::Int(a)) => {
                b.fract() == 0.0 && b.abs() < 1e30 && b as i128 == a
            }
        };
        same.then_some(converted)
    };
    let numbers: Option<Vec<Number>> = tensor.numbers().map(exact).collect();
    Tensor::from_numbers(to, tensor.sizes(), numbers?).ok()
}

/// Writes a tensor as a `.npy` file.
pub fn write(path: &Path, tensor: &Tensor) -> Result<(), NpyError> {
    beside(path, |file| write_to(file, tensor))
}

/// Writes tensors by name as a `.npz` file, uncompressed, with a fixed time stamp: the same tensors give the same bytes.
pub fn write_archive(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), NpyError> {
    beside(path, |file| {
        let mut archive = ZipWriter::new(file);
        let options = zip::write::FileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(true);
        for (name, tensor) in tensors {
            archive.start_file(format!("{name}.npy"), options)?;
            write_to(&mut archive, tensor)?;
        }
        archive.finish()?;
        Ok(())
    })
}

fn beside(path: &Path, write: impl FnOnce(&mut Filling) -> Result<(), Problem>) -> Result<(), NpyError> {
    files::write_with(path, write).map_err(|source| NpyError { path: path.into(), entry: None, source })
}

fn write_to(to: &mut impl Write, tensor: &Tensor) -> Result<(), Problem> {
    let dtype = file_type(tensor.dtype());
    let descr = header::descr(dtype);
    let unknown = |_| Problem::Type { descr: descr.clone() };
    let sizes: Vec<u64> = tensor.sizes().iter().map(|&n| n as u64).collect();
    npyz::WriteOptions::new_header_only()
        .shape(&sizes)
        .dtype(npyz::DType::new_scalar(descr.parse().map_err(unknown)?))
        .writer(&mut *to)
        .write_header_only()?;
    match convert(tensor, dtype) {
        Some(converted) => Ok(to.write_all(converted.bytes())?),
        None => Err(Problem::Type { descr }),
    }
}

#[cfg(test)]
mod tests;
