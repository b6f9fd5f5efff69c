//! Where samples come from: image files and arrays, found in a stable order.

use super::DataError;
use super::input::Input;
use crate::npy::{self, Array};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of the files that are read as images.
const IMAGES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
const ARRAYS: [&str; 2] = ["npy", "npz"];
/// Folders in folders that are entered at most: links may lead in circles.
const DEEPEST: usize = 16;

/// A file of samples.
#[derive(Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    /// The path below the folder that was named: the same wherever the data lie.
    pub name: String,
    pub kind: SourceKind,
    /// How many samples it holds.
    pub samples: usize,
}

#[derive(Debug)]
pub(super) enum SourceKind {
    Image,
    /// One array an input, in the inputs' order.
    Arrays(Vec<Array>),
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn is_array(path: &Path) -> bool {
    ARRAYS.contains(&ending(path).as_str())
}

/// The data files at the given places, folders searched through, sorted by path, each once, with their names.
pub(super) fn find(places: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, DataError> {
    let mut found = BTreeMap::new();
    for place in places {
        let failed = |source| DataError::Io { path: place.clone(), source };
        if !fs::metadata(place).map_err(failed)?.is_dir() {
            if !is_array(place) && !IMAGES.contains(&ending(place).as_str()) {
                return Err(DataError::Unknown { path: place.clone() });
            }
            let name = place.file_name().unwrap_or(place.as_os_str()).to_string_lossy().into_owned();
            found.insert(place.clone(), name);
            continue;
        }
        let (before, mut others) = (found.len(), 0);
        let mut folders = vec![(place.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let failed = |source| DataError::Io { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                match fs::metadata(&path) {
                    Ok(about) if about.is_dir() && depth < DEEPEST => folders.push((path, depth + 1)),
                    Ok(about) if about.is_file() && (is_array(&path) || IMAGES.contains(&ending(&path).as_str())) => {
                        let name = path.strip_prefix(place).unwrap_or(&path).to_string_lossy().into_owned();
                        found.insert(path, name);
                    }
                    _ => others += 1,
                }
            }
        }
        if found.len() == before {
            return Err(DataError::Empty { path: place.clone(), others });
        }
    }
    Ok(found.into_iter().collect())
}

/// Opens a file. `rows` says that the inputs share their first axis, so that a file may hold many samples.
pub(super) fn open(path: PathBuf, name: String, inputs: &[Input], rows: bool) -> Result<Source, DataError> {
    if !is_array(&path) {
        return Ok(Source { path, name, kind: SourceKind::Image, samples: 1 });
    }
    let arrays = by_input(&path, npy::open(&path)?, inputs)?;
    let counts = arrays.iter().zip(inputs).map(|(array, input)| samples(&path, array, input, rows));
    let counts = counts.collect::<Result<Vec<usize>, DataError>>()?;
    match counts.iter().all(|n| *n == counts[0]) {
        true => Ok(Source { path, name, samples: counts[0], kind: SourceKind::Arrays(arrays) }),
        false => Err(DataError::Uneven { path, found: counts }),
    }
}

/// The array of each input: by name, or the only one for the only input.
fn by_input(path: &Path, mut arrays: Vec<Array>, inputs: &[Input]) -> Result<Vec<Array>, DataError> {
    if inputs.len() == 1 && arrays.len() == 1 {
        return Ok(arrays);
    }
    let found: Vec<String> = arrays.iter().filter_map(|a| a.entry.clone()).collect();
    let named = inputs.iter().map(|input| {
        let at = arrays.iter().position(|a| a.entry.as_deref() == Some(&input.name));
        let missing = || DataError::Missing { path: path.into(), input: input.name.clone(), found: found.clone() };
        at.map(|at| arrays.swap_remove(at)).ok_or_else(missing)
    });
    named.collect()
}

/// How many samples an array holds: its rows, or 1 where it is a row itself or a whole feed.
fn samples(path: &Path, array: &Array, input: &Input, rows: bool) -> Result<usize, DataError> {
    let wrong = || {
        let (input, expected) = (input.name.clone(), input.shown());
        DataError::Shape { path: path.into(), input, found: array.sizes.clone(), expected }
    };
    let fits = |want: &[Option<usize>]| {
        want.len() == array.sizes.len() && want.iter().zip(&array.sizes).all(|(w, n)| w.is_none_or(|w| w == *n))
    };
    if !rows {
        return if fits(&input.sizes) { Ok(1) } else { Err(wrong()) };
    }
    let row = input.sizes.get(1..).unwrap_or_default();
    let open_first: Vec<Option<usize>> = std::iter::once(None).chain(row.iter().copied()).collect();
    match array.sizes.first() {
        Some(n) if fits(&open_first) && *n > 0 => Ok(*n),
        _ if fits(row) => Ok(1),
        _ => Err(wrong()),
    }
}
