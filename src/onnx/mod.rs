//! ONNX in and out: the file format, reading and writing it without copying weights, and the import into a graph.

mod attributes;
mod convert;
pub mod data;
mod error;
mod external;
mod functions;
mod import;
mod known;
pub mod proto;
mod read;
mod sniff;
mod subgraph;
mod walk;
mod wire;
mod write;

pub use error::{OnnxError, quoted};
pub use import::{Import, Imported, Warning};
pub use read::ModelFile;
