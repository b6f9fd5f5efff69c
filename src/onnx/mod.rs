//! ONNX in and out: the file format, reading and writing it without copying weights, the import into a graph, and edits of a
//! model that keep the rest of it.

mod attributes;
mod convert;
pub mod data;
mod edit;
mod error;
mod external;
mod functions;
mod import;
mod known;
pub mod proto;
mod read;
mod sniff;
mod subgraph;
mod upgrade;
mod walk;
mod wire;
mod write;

pub use edit::{Edit, Use};
pub use error::OnnxError;
pub use import::{Import, Imported, Warning};
pub use read::ModelFile;
pub use upgrade::upgrade;
