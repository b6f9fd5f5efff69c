//! Why a plan does not run on a GPU.

use crate::dim::DimError;
use crate::emit::EmitError;
use crate::name::Shown;
use crate::plan::StorageError;
use crate::reference::{NodeError, ReferenceError};
use crate::runtime::DeviceError;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Launch(#[from] EmitError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Dim(#[from] DimError),
    #[error(transparent)]
    Inputs(#[from] ReferenceError),
    #[error("the plan has {expected} kernels and code was given for {found}")]
    Mismatch { expected: usize, found: usize },
    #[error("the type of {} is not known, so it has no place in the GPU's memory", Shown(.value))]
    UnknownType { value: String },
    #[error("kernel {kernel} would reach elements {first} to {last} of {}, which has {count}", Shown(.value))]
    OutOfBounds { kernel: String, value: String, first: i128, last: i128, count: u64 },
    #[error(
        "kernel {kernel} needs the address of {} to be a multiple of {align}, in any of its forms, and it is {address:#x}; pass an aligned \
         pointer, or a copy",
        Shown(.value)
    )]
    Misaligned { kernel: String, value: String, align: u32, address: u64 },
    #[error("kernel {kernel} needs another form for these sizes or pointers, which does not compile: {why}")]
    Variant { kernel: String, why: String },
    #[error("{} of {found} bytes was given for {}, which has {expected}", .what, Shown(.value))]
    BufferSize { what: &'static str, value: String, expected: u64, found: u64 },
    #[error("{} is no input or output of the plan", Shown(.0))]
    UnknownName(String),
    #[error("{} runs on the CPU and failed there: {source}", Shown(.node))]
    Node { node: String, source: NodeError },
    #[error("the plan has {0} nodes that run on the CPU, so it can't be launched as one CUDA graph; use Session::run")]
    NeedsHost(usize),
}
