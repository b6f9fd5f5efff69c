//! Why a node of the plan runs on the host and not on the GPU.

use super::Reason;
use crate::dtype::DType;
use crate::name::Shown;
use serde::{Deserialize, Serialize};
use std::fmt;

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHost {
    /// It is pointwise or a view, and fusion could not take it.
    Unfused(Reason),
    /// No routine computes that op in that form.
    NoRoutine { why: String },
    /// What the op is is not known.
    Unknown,
    /// The type or shape of a value that it reads or writes is not known.
    UnknownType { value: String },
    /// No routine computes the op on this element type.
    UnsupportedType { value: String, dtype: DType },
    /// The sizes of its results, or how it finds them, depend on the contents of `operand`.
    DataDependent { operand: String },
    /// Its kernel failed to compile.
    CompileFailed { error: String },
}

impl fmt::Display for OnHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnHost::Unfused(reason) => write!(f, "{reason}"),
            OnHost::NoRoutine { why } => write!(f, "no generated kernel: {why}"),
            OnHost::Unknown => f.write_str("the op is not known"),
            OnHost::UnknownType { value } => write!(f, "the type or shape of {} is not known", Shown(value)),
            OnHost::UnsupportedType { value, dtype } => {
                write!(f, "no generated kernel computes it on {dtype}, as {} is", Shown(value))
            }
            OnHost::DataDependent { operand } => write!(f, "it depends on the contents of {}", Shown(operand)),
            OnHost::CompileFailed { error } => write!(f, "its kernel failed to compile: {}", Shown(error)),
        }
    }
}
