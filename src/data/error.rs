//! What can be wrong with data.

use crate::name::Shown;
use crate::npy::NpyError;
use std::io;
use std::path::PathBuf;

/// Why data was not read: which file, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{}: no data in it; images (.png .jpg .jpeg .webp .bmp), .npy and .npz files are read, and it holds {}",
        .path.display(), counted(*.others)
    )]
    Empty { path: PathBuf, others: usize },
    #[error("{}: is neither a folder nor an image (.png .jpg .jpeg .webp .bmp), .npy or .npz file", .path.display())]
    Unknown { path: PathBuf },
    #[error("{}: the image can't be decoded: {source}", .path.display())]
    Image { path: PathBuf, source: image::ImageError },
    #[error(transparent)]
    Array(#[from] NpyError),
    #[error("{}: is {found:?}, and the model's input {} is {expected}", .path.display(), Shown(.input))]
    Shape { path: PathBuf, input: String, found: Vec<usize>, expected: String },
    #[error(
        "{}: element {at} is {value}, which {dtype}, the type of the model's input {}, does not hold",
        .path.display(), Shown(.input)
    )]
    Value { path: PathBuf, input: String, at: usize, value: f64, dtype: crate::dtype::DType },
    #[error(
        "{}: {nan} NaN and {infinite} infinities for the input {}: they would spoil every range; repair or remove the file",
        .path.display(), Shown(.input)
    )]
    NotFinite { path: PathBuf, input: String, nan: usize, infinite: usize },
    #[error("{}: holds no array {}; it has {}", .path.display(), Shown(.input), shown(.found))]
    Missing { path: PathBuf, input: String, found: Vec<String> },
    #[error("{}: its arrays hold {found:?} samples each; they must agree, or give --whole-files", .path.display())]
    Uneven { path: PathBuf, found: Vec<usize> },
    #[error("{}: with it there are {found} samples, more than calibration takes: give a part of the data", .path.display())]
    TooMany { path: PathBuf, found: usize },
    /// Decoders fill what is missing with grey.
    #[error("{}: the image is cut off: its file ends before the JPEG does; get it again, or remove the file", .path.display())]
    CutOff { path: PathBuf },
    #[error("{} and {} have different sizes, {a_sizes:?} and {b_sizes:?}, and can't be one batch: use --batch 1 or --size", .a.display(), .b.display())]
    Batch { a: PathBuf, b: PathBuf, a_sizes: Vec<usize>, b_sizes: Vec<usize> },
    /// The model's inputs and the options do not fit each other.
    #[error("{0}")]
    Options(String),
}

fn counted(count: usize) -> String {
    match count {
        0 => "nothing".into(),
        1 => "1 other file".into(),
        n => format!("{n} other files"),
    }
}

fn shown(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| Shown(name).to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
