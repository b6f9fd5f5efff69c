//! Quantized arithmetic: sums of products of codes, exact, and the quantization that looks at its input first.

use super::super::NodeError;
use super::super::anchor::{conv, matmul};
use super::super::column::{Column, whole};
use super::super::node::{Context, exactly};
use crate::anchor::Conv;
use crate::dtype::DType;
use crate::qparams;
use crate::scalar::Number;
use crate::tensor::Tensor;

/// ONNX's DynamicQuantizeLinear: u8 codes of a range that includes zero; y, scale, zero point. Arithmetic in f32, the quotients
/// too, as its function body has it.
pub(super) fn dynamic_quantize(x: &Tensor) -> Result<Vec<Tensor>, NodeError> {
    let values = x.slice::<f32>().ok_or_else(|| NodeError::Operand {
        operand: "x",
        expected: DType::F32.to_string(),
        found: x.dtype().to_string(),
    })?;
    let low = values.iter().fold(0f32, |low, x| low.min(*x));
    let high = values.iter().fold(0f32, |high, x| high.max(*x));
    let scale = if high == low { 1.0 } else { (high - low) / 255.0 };
    let zero = ((0.0 - low) / scale).clamp(0.0, 255.0).round_ties_even() as u8;
    let zero_point = Number::Int(zero.into());
    let code = |x: &f32| qparams::quantize(f64::from(*x / scale), 1.0, zero_point, DType::U8).as_i128() as u8;
    Ok(vec![
        Tensor::from_vec(x.sizes(), values.iter().map(code).collect::<Vec<u8>>())?,
        Tensor::from_slice(&[], &[scale])?,
        Tensor::from_slice(&[], &[zero])?,
    ])
}

/// Codes less their zero point, in f64, where sums of products of 8-bit codes are exact. `zero` has one element, or one for each
/// index of `axis`.
fn centred(operand: &'static str, codes: &Tensor, zero: &Tensor, axis: usize) -> Result<Tensor, NodeError> {
    let sizes = codes.sizes();
    let n = sizes.get(axis).copied().unwrap_or(1);
    let zeros = whole(zero).into_floats();
    if zeros.len() != 1 && zeros.len() != n {
        let (expected, found) = (format!("of 1 or {n} elements"), format!("{:?}", zero.sizes()));
        return Err(NodeError::Operand { operand, expected, found });
    }
    let inner: usize = sizes.iter().skip(axis + 1).product();
    let mut values = whole(codes).into_floats();
    for (i, value) in values.iter_mut().enumerate() {
        *value -= if zeros.len() == 1 { zeros[0] } else { zeros[i / inner % n] };
    }
    Ok(Tensor::from_vec(sizes, values)?)
}

fn to_i32((sizes, values): (Vec<usize>, Vec<f64>)) -> Result<Tensor, NodeError> {
    Column::Int(values.into_iter().map(|x| x as i128).collect()).into_tensor(DType::I32, &sizes)
}

/// Operands x, w, x zero point, w zero point (one, or one an output channel).
pub(super) fn conv_integer(op: &Conv, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let [x, w, x_zero, w_zero] = exactly(operands)?;
    let operands = [centred("x zero point", x, x_zero, usize::MAX - 1)?, centred("w zero point", w, w_zero, 0)?];
    to_i32(conv::<f64>(op, &operands, cx)?)
}

/// Operands a, b, a zero point (one, or one a row), b zero point (one, or one a column).
pub(super) fn matmul_integer(operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let [a, b, a_zero, b_zero] = exactly(operands)?;
    let row = a.sizes().len().saturating_sub(2);
    let column = b.sizes().len().saturating_sub(1);
    let operands = [centred("a zero point", a, a_zero, row)?, centred("b zero point", b, b_zero, column)?];
    to_i32(matmul::reals::<f64>(&operands, false, false, false, cx)?)
}
