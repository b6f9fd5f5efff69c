//! ONNX in and out: the file format, reading and writing it without copying weights.

pub mod data;
mod error;
mod external;
pub mod proto;
mod read;
mod sniff;
mod walk;
mod wire;
mod write;

pub use error::{OnnxError, quoted};
pub use read::ModelFile;
