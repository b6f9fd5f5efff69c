//! Executes anchors: matrix products and convolutions.
//!
//! Products are summed in f32 (in f64 for f64): f16 and bf16 operands are widened to f32, and the result is rounded to their type
//! once. Integer products are exact and wrap.

mod conv;
pub(super) mod gemm;
pub(super) mod matmul;
pub(super) mod window;

pub(super) use conv::{conv, conv_transpose};

use super::NodeError;
use super::column::Column;
use super::node::Context;
use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::tensor::{Element, Tensor};
use gemm::Real;
use std::borrow::Cow;

pub(super) fn execute(anchor: &Anchor, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    match operands.first().map(Tensor::dtype) {
        Some(DType::F64) => execute_in::<f64>(anchor, operands, cx),
        Some(t) if t.is_float() => execute_in::<f32>(anchor, operands, cx),
        _ => match anchor {
            Anchor::Gemm { transpose_a, transpose_b, bias } => {
                matmul::integers(operands, *transpose_a, *transpose_b, *bias, cx)
            }
            _ => Err(NodeError::Operand {
                operand: "x",
                expected: "a float".into(),
                found: operands.first().map_or(String::from("nothing"), |t| t.dtype().to_string()),
            }),
        },
    }
}

fn execute_in<T: Real + Element>(anchor: &Anchor, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let dtype = operands[0].dtype();
    if let Some(other) = operands.iter().find(|t| t.dtype() != dtype) {
        let found = other.dtype().to_string();
        return Err(NodeError::Operand { operand: "of it", expected: dtype.to_string(), found });
    }
    let (sizes, values) = match anchor {
        Anchor::Gemm { transpose_a, transpose_b, bias } => {
            matmul::reals::<T>(operands, *transpose_a, *transpose_b, *bias, cx)?
        }
        Anchor::Conv(c) => conv::<T>(c, operands, cx)?,
        Anchor::ConvTranspose { conv, output_padding } => conv_transpose::<T>(conv, output_padding, operands, cx)?,
    };
    if dtype == T::DTYPE {
        return Ok(Tensor::from_vec(&sizes, values)?);
    }
    let column = Column::Float(values.into_iter().map(Real::to_f64).collect());
    column.into_tensor(dtype, &sizes)
}

/// The elements of a float tensor as `T`, exactly or (f64 as f32) rounded.
pub(super) fn reals<T: Real + Element>(tensor: &Tensor) -> Cow<'_, [T]> {
    tensor.slice::<T>().unwrap_or_else(|| Cow::Owned(tensor.to_f64().into_iter().map(T::from_f64).collect()))
}

/// The optional last operand, a vector of `n` elements.
fn bias<'a, T: Real + Element>(
    given: bool,
    operands: &'a [Tensor],
    slot: usize,
    n: usize,
) -> Result<Option<Cow<'a, [T]>>, NodeError> {
    let expected = if given { slot + 1 } else { slot };
    if operands.len() != expected {
        return Err(NodeError::Arity { expected: expected.to_string(), found: operands.len() });
    }
    match operands.get(slot) {
        Some(b) if b.len() == n => Ok(Some(reals(b))),
        Some(b) => {
            let found = format!("{:?}", b.sizes());
            Err(NodeError::Operand { operand: "b", expected: format!("of {n} elements"), found })
        }
        None => Ok(None),
    }
}
