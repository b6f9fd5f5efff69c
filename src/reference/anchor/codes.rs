//! Products of 8-bit codes, exact sums as i32; and the accumulators of a welded kernel's product.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::{Context, exactly};
use super::{channels_first, channels_last, conv, matmul};
use crate::anchor::{Anchor, Conv};
use crate::dtype::DType;
use crate::plan::Contraction;
use crate::tensor::Tensor;

pub(super) fn execute(anchor: &Anchor, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    if let Some(other) = operands.iter().map(Tensor::dtype).find(|t| !matches!(t, DType::I8 | DType::U8)) {
        return Err(NodeError::Operand { operand: "of it", expected: "i8 or u8".into(), found: other.to_string() });
    }
    match anchor {
        // In f64, where sums of fewer than 2³⁷ products of codes are exact.
        Anchor::Gemm { transpose_a, transpose_b, bias: false } => {
            let [a, b] = exactly(operands)?;
            let operands = [widened(a, 0.0)?, widened(b, 0.0)?];
            to_i32(matmul::reals::<f64>(&operands, *transpose_a, *transpose_b, false, cx)?)
        }
        Anchor::ConvLast { conv: c, pad } if !c.bias => {
            // Σ x·w over a window padded with p is Σ (x − p)·w over one padded with 0, and p·Σ w.
            let [x, w] = exactly(operands)?;
            let pad = f64::from(*pad);
            let first = channels_first(&[widened(x, pad)?, widened(w, 0.0)?])?;
            let filters = first[1].sizes().first().copied().unwrap_or(0).max(1);
            let weights = first[1].to_f64();
            let sums: Vec<f64> = weights
                .chunks((weights.len() / filters).max(1))
                .map(|filter| pad * filter.iter().sum::<f64>())
                .collect();
            let (sizes, mut values) = conv::<f64>(c, &first, cx)?;
            let outputs = sizes[2..].iter().product::<usize>().max(1);
            for (i, plane) in values.chunks_mut(outputs).enumerate() {
                let sum = sums.get(i % filters).copied().unwrap_or(0.0);
                plane.iter_mut().for_each(|y| *y += sum);
            }
            channels_last(&to_i32((sizes, values))?)
        }
        _ => {
            let (expected, found) = ("a float".into(), operands[0].dtype().to_string());
            Err(NodeError::Operand { operand: "x", expected, found })
        }
    }
}

/// The accumulators of a contraction, in the order of its result: for codes exact, modulo 2³²; for floats summed in f64 if `exact`, else in f32.
/// The factors have been gathered along the axes that [`Contraction::accesses`] says.
pub(in super::super) fn accumulators(
    contraction: &Contraction,
    a: &Tensor,
    b: &Tensor,
    exact: bool,
    cx: &Context,
) -> Result<Column, NodeError> {
    let codes = !a.dtype().is_float();
    let values = match contraction {
        Contraction::Matrix { .. } if codes || exact => {
            matmul::reals::<f64>(&[widened(a, 0.0)?, widened(b, 0.0)?], false, false, false, cx)?.1
        }
        Contraction::Matrix { .. } => {
            let sums = matmul::reals::<f32>(&[a.clone(), b.clone()], false, false, false, cx)?.1;
            sums.into_iter().map(f64::from).collect()
        }
        Contraction::Conv { conv: c, pad, .. } if codes || exact => padded(c, pad.as_f64(), a, b, cx)?.1,
        Contraction::Conv { conv: c, .. } => {
            let (sizes, sums) = conv::<f32>(c, &channels_first(&[a.clone(), b.clone()])?, cx)?;
            channels_last(&Tensor::from_vec(&sizes, sums)?)?.to_f64()
        }
    };
    match codes {
        true => Ok(Column::Int(values.into_iter().map(|x| i128::from(x as i64 as i32)).collect())),
        false => Ok(Column::Float(values)),
    }
}

/// A channels-last convolution in f64 of a window that is padded with any number: sizes and elements, channels last.
fn padded(c: &Conv, pad: f64, x: &Tensor, w: &Tensor, cx: &Context) -> Result<(Vec<usize>, Vec<f64>), NodeError> {
    // Σ x·w over a window padded with p is Σ (x − p)·w over one padded with 0, and p·Σ w.
    let first = channels_first(&[widened(x, pad)?, widened(w, 0.0)?])?;
    let filters = first[1].sizes().first().copied().unwrap_or(0).max(1);
    let weights = first[1].to_f64();
    let sums: Vec<f64> =
        weights.chunks((weights.len() / filters).max(1)).map(|filter| pad * filter.iter().sum::<f64>()).collect();
    let (sizes, mut values) = conv::<f64>(&Conv { bias: false, ..c.clone() }, &first, cx)?;
    let outputs = sizes[2..].iter().product::<usize>().max(1);
    if pad != 0.0 {
        for (i, plane) in values.chunks_mut(outputs).enumerate() {
            let sum = sums.get(i % filters).copied().unwrap_or(0.0);
            plane.iter_mut().for_each(|y| *y += sum);
        }
    }
    let last = channels_last(&Tensor::from_vec(&sizes, values)?)?;
    Ok((last.sizes().to_vec(), last.to_f64()))
}

/// Codes less a number, in f64.
fn widened(codes: &Tensor, less: f64) -> Result<Tensor, NodeError> {
    let values = whole(codes).into_floats().into_iter().map(|x| x - less).collect();
    Ok(Tensor::from_vec(codes.sizes(), values)?)
}

fn to_i32((sizes, values): (Vec<usize>, Vec<f64>)) -> Result<Tensor, NodeError> {
    Column::Int(values.into_iter().map(|x| x as i128).collect()).into_tensor(DType::I32, &sizes)
}
