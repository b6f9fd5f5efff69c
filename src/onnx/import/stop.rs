//! How the conversion of a node can end before it is done.

use crate::dim::DimError;
use crate::dtype::DType;
use crate::graph::Type;
use crate::onnx::error::OnnxError;
use crate::op::{Op, TypeError, TypeRule};
use crate::shape::{Shape, ShapeError};

/// Why a converter did not finish.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The node breaks its operator's rules.
    Error(OnnxError),
    /// As `Error`, the node still to be named.
    Broken(String),
    /// The node's meaning can't be expressed; its results' types may be known all the same.
    Opaque { why: String, types: Vec<Type> },
}

impl From<OnnxError> for Stop {
    fn from(error: OnnxError) -> Stop {
        Stop::Error(error)
    }
}
impl From<DimError> for Stop {
    fn from(error: DimError) -> Stop {
        Stop::Broken(error.to_string())
    }
}
impl From<ShapeError> for Stop {
    fn from(error: ShapeError) -> Stop {
        Stop::Broken(error.to_string())
    }
}
impl From<TypeError> for Stop {
    fn from(error: TypeError) -> Stop {
        Stop::Broken(error.to_string())
    }
}

/// An opaque outcome.
pub(crate) fn opaque<T>(why: impl Into<String>, types: Vec<Type>) -> Result<T, Stop> {
    Err(Stop::Opaque { why: why.into(), types })
}

/// Operands that ONNX allows and the op's row does not make the node opaque; operands that contradict one another are an error.
pub(super) fn mistyped(op: Op, dtypes: &[DType], error: TypeError, shape: Option<Shape>) -> Stop {
    let tensors = &dtypes[..op.row().operands.len().min(dtypes.len())];
    let dtype = match op.row().types {
        TypeRule::Same(_) if tensors.windows(2).all(|pair| pair[0] == pair[1]) => tensors.first().copied(),
        TypeRule::Test(_) if tensors.windows(2).all(|pair| pair[0] == pair[1]) => Some(DType::Bool),
        TypeRule::Same(_) | TypeRule::Test(_) | TypeRule::Select => return error.into(),
        _ => op.target(),
    };
    Stop::Opaque { why: error.to_string(), types: vec![Type { dtype, shape }] }
}
