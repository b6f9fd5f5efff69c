//! What can go wrong between a kernel and its text or its launch.

use crate::dim::DimError;
use crate::dtype::DType;
use crate::op::Op;
use crate::plan::BroadcastError;

/// A kernel that can't be emitted or launched. `kernel` is its name in the plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmitError {
    #[error("kernel {kernel}: no generated kernel computes on {dtype}")]
    UnsupportedType { kernel: String, dtype: DType },
    #[error("kernel {kernel}: {op} has no CUDA expression for {dtype}")]
    NoExpression { kernel: String, op: Op, dtype: DType },
    #[error("kernel {kernel}: {what}; the plan is malformed")]
    Malformed { kernel: String, what: String },
    #[error("kernel {kernel}: its schedule does not fit it: {why}")]
    Schedule { kernel: String, why: String },
    #[error("kernel {kernel}: the template failed: {reason}")]
    Template { kernel: String, reason: String },
    #[error(
        "kernel {kernel}: {count} elements, or an offset of {count}, are beyond 32-bit indices; emit it with Schedule::widened"
    )]
    IndexTooNarrow { kernel: String, count: u64 },
    #[error("kernel {kernel}: {blocks} blocks are more than one launch can have (2147483647)")]
    TooManyBlocks { kernel: String, blocks: u64 },
    #[error("kernel {kernel}: {source}")]
    Broadcast { kernel: String, source: BroadcastError },
    #[error("kernel {kernel}: {source}")]
    Dim { kernel: String, source: DimError },
}
