//! What can go wrong in any stage.

use crate::compile::CompileError;
use crate::emit::EmitError;
use crate::fuse::FuseError;
use crate::passes::PassError;
use std::path::PathBuf;

/// An error of one of the stages. Each stage's own error names the node, the file or the kernel it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error(transparent)]
    Fuse(#[from] FuseError),
    #[error(transparent)]
    Emit(#[from] EmitError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("{} can't be written: {source}", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the plan can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}
