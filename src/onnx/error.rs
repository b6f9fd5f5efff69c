//! What can go wrong with an ONNX file, told in the file's own terms: which file, which byte, which node, what was found there,
//! what was expected.

use crate::name::Shown;
use std::path::PathBuf;

/// An error of reading, importing or writing an ONNX model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "map", "write" …
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is something else; the message says what it looks like and where the model might be.
    #[error("{} is not an ONNX model: {what}", path.display())]
    NotOnnx { path: PathBuf, what: String },
    /// The bytes do not follow the protobuf wire format or the ONNX schema.
    #[error("{}: damaged ONNX file at byte {offset}, in {place}: {what}", path.display())]
    Malformed {
        path: PathBuf,
        /// Byte offset in the file.
        offset: u64,
        /// Path in the message tree, as `graph.node[3].attribute[0]`.
        place: String,
        what: String,
    },
    /// A bound that keeps memory and time finite was passed.
    #[error("{}: {what}: {found} is over the limit of {limit}", path.display())]
    Limit { path: PathBuf, what: String, found: u64, limit: u64 },
    /// Weights kept in another file could not be taken from there.
    #[error("tensor {tensor}: external data: {what}")]
    External { tensor: String, what: String },
    /// A tensor's fields contradict one another.
    #[error("tensor {tensor}: found {found}, expected {expected}")]
    Tensor { tensor: String, found: String, expected: String },
    /// A node's attribute is missing, of another type, or out of range.
    #[error("node {node}: attribute `{attribute}`: found {found}, expected {expected}")]
    Attribute { node: String, attribute: String, found: String, expected: String },
    /// A node breaks its operator's rules.
    #[error("node {node}: {what}")]
    Node { node: String, what: String },
    /// The graph as a whole is not well formed.
    #[error("graph: {what}")]
    Graph { what: String },
}

/// A name from a file in quotes, made fit for a message: see [`Shown`].
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", Shown(name))
}
