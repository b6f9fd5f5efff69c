//! Executes anchors: matrix products and convolutions.
//!
//! Products are summed in f32 (in f64 for f64): f16 and bf16 operands are widened to f32, and the result is rounded to their type
//! once. Integer products are exact and wrap.

mod codes;
mod conv;
pub(super) mod gemm;
pub(super) mod matmul;
pub(super) mod window;

pub(super) use codes::accumulators;
pub(super) use conv::{conv, conv_transpose};

use super::NodeError;
use super::column::{self, Column};
use super::node::Context;
use super::view;
use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::tensor::{Element, Tensor};
use gemm::Real;
use std::borrow::Cow;

pub(super) fn execute(anchor: &Anchor, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    match operands.first().map(Tensor::dtype) {
        Some(DType::F64) => execute_in::<f64>(anchor, operands, cx),
        Some(t) if t.is_float() => execute_in::<f32>(anchor, operands, cx),
        Some(DType::I8 | DType::U8) => codes::execute(anchor, operands, cx),
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
        Anchor::ConvLast { conv: c, .. } => {
            let (sizes, values) = conv::<T>(c, &channels_first(operands)?, cx)?;
            let y = channels_last(&Tensor::from_vec(&sizes, values)?)?;
            return if dtype == T::DTYPE { Ok(y) } else { column::whole(&y).into_tensor(dtype, y.sizes()) };
        }
        Anchor::ConvTranspose { conv, output_padding } => conv_transpose::<T>(conv, output_padding, operands, cx)?,
    };
    if dtype == T::DTYPE {
        return Ok(Tensor::from_vec(&sizes, values)?);
    }
    let column = Column::Float(values.into_iter().map(Real::to_f64).collect());
    column.into_tensor(dtype, &sizes)
}

/// A tensor (a, spatial…, b) as (a, b, spatial…).
pub(super) fn to_channels_first(x: &Tensor) -> Result<Tensor, NodeError> {
    let last = x.sizes().len().saturating_sub(1);
    let axes: Vec<usize> = [0, last].into_iter().chain(1..last).take(x.sizes().len()).collect();
    view::transpose(x, &axes)
}

/// A tensor (a, b, spatial…) as (a, spatial…, b).
pub(super) fn channels_last(x: &Tensor) -> Result<Tensor, NodeError> {
    let rank = x.sizes().len();
    let axes: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).take(rank).collect();
    view::transpose(x, &axes)
}

/// The input and the weights of a channels-last convolution as those of a channels-first one; the bias as it is.
fn channels_first(operands: &[Tensor]) -> Result<Vec<Tensor>, NodeError> {
    let moved = |(slot, x): (usize, &Tensor)| if slot < 2 { to_channels_first(x) } else { Ok(x.clone()) };
    operands.iter().enumerate().map(moved).collect()
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
