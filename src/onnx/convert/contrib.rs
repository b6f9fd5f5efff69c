//! ONNX Runtime's own operators (`com.microsoft`): those that are element-wise or quantized; of the rest, the types where they
//! are plain.

use super::pointwise::{by_table, scaled_silu};
use super::quant::{Layout, finish_codes, real_input};
use super::*;
use crate::op::{self, Row};
use crate::structural::Reduction;

pub(super) fn convert(cx: &mut Cx) -> Done {
    match cx.op_type() {
        "QuantizeLinear" => quant::quantize(cx),
        "DequantizeLinear" => quant::dequantize(cx),
        "Gelu" => with_bias(cx, &op::GELU, false),
        "BiasGelu" => with_bias(cx, &op::GELU, true),
        // Despite its name FastGelu is Gelu by tanh.
        "FastGelu" => with_bias(cx, &op::GELU_TANH, cx.optional(1).is_some()),
        "BiasAdd" => bias_add(cx),
        "QuickGelu" => {
            let x = cx.input(0)?;
            let alpha = cx.attributes.float_or("alpha", 1.702)?;
            let y = scaled_silu(cx, x, alpha)?;
            cx.finish(0, y)
        }
        "QLinearAdd" => qlinear_binary(cx, Op::new(&op::ADD)),
        "QLinearMul" => qlinear_binary(cx, Op::new(&op::MUL)),
        "QGemm" => qlinear_gemm(cx),
        "QLinearSigmoid" => qlinear_unary(cx, |cx, x| cx.pointwise(Op::new(&op::SIGMOID), &[x])),
        "QLinearLeakyRelu" => qlinear_unary(cx, |cx, x| {
            let alpha = cx.attributes.float_or("alpha", 0.01)?;
            let alpha = super::pointwise::param(cx, alpha);
            cx.pointwise(Op::new(&op::LEAKY_RELU), &[x, alpha])
        }),
        "QLinearGlobalAveragePool" => qlinear_global_pool(cx),
        "QLinearReduceMean" => qlinear_reduce(cx),
        "QLinearSoftmax" => qlinear_softmax(cx),
        "QLinearConcat" => qlinear_concat(cx),
        "FusedMatMul" => fused_matmul(cx),
        "SkipLayerNormalization" => skip_layer_norm(cx),
        "MatMulInteger16" | "MatMulNBits" | "DynamicQuantizeLSTM" | "Attention" | "MultiHeadAttention" => cut(cx),
        // Some of ONNX's own operators began here and mean the same.
        "Trilu" => index::trilu(cx),
        _ => by_table(cx),
    }
}

fn cut(cx: &mut Cx) -> Done {
    opaque(format!("{} is not looked into", cx.op_type()), vec![])
}

fn with_bias(cx: &mut Cx, gelu: &'static Row, biased: bool) -> Done {
    let mut x = cx.input(0)?;
    if biased {
        let bias = cx.input(1)?;
        x = cx.pointwise(Op::new(&op::ADD), &[x, bias])?;
    }
    let y = cx.pointwise(Op::new(gelu), &[x])?;
    cx.finish(0, y)
}

/// x + bias + skip
fn bias_add(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let biased = cx.pointwise(Op::new(&op::ADD), &operands[..2])?;
    let y = cx.pointwise(Op::new(&op::ADD), &[biased, operands[2]])?;
    cx.finish(0, y)
}

/// Inputs a, its scale and zero, b, its scale and zero, the result's scale and zero.
fn qlinear_binary(cx: &mut Cx, op: Op) -> Done {
    cx.at_most(8)?;
    let a = real_input(cx, 0, 1, &Layout::TENSOR)?;
    let b = real_input(cx, 3, 4, &Layout::TENSOR)?;
    let y = cx.pointwise(op, &[a, b])?;
    finish_codes(cx, y, 6, 0)
}

/// Inputs a, its scale and zero, b, its scale and zero, a bias in units of alpha and both scales, the result's scale and zero; without
/// these the result is a float.
fn qlinear_gemm(cx: &mut Cx) -> Done {
    cx.at_most(9)?;
    let (transpose_a, transpose_b) = (cx.attributes.flag("transA", false)?, cx.attributes.flag("transB", false)?);
    let alpha = cx.attributes.float_or("alpha", 1.0)?;
    let a = real_input(cx, 0, 1, &Layout::TENSOR)?;
    let b = real_input(cx, 3, 4, &Layout::channel(if transpose_b { 0 } else { 1 }))?;
    let mut y = matrix::product_of(cx, a, b, transpose_a, transpose_b)?;
    if let Some(bias) = cx.optional(6) {
        let (a_scale, b_scale) = (cx.input(1)?, cx.input(4)?);
        let a_scale = cx.reshape(a_scale, Shape::SCALAR);
        let scale = cx.pointwise(Op::new(&op::MUL), &[a_scale, b_scale])?;
        let bias = quant::real(cx, bias, scale, None, &Layout::channel(-1), None)?;
        y = cx.pointwise(Op::new(&op::ADD), &[y, bias])?;
    }
    if alpha != 1.0 {
        let alpha = pointwise::scalar(cx, y, alpha.into())?;
        y = cx.pointwise(Op::new(&op::MUL), &[y, alpha])?;
    }
    match cx.optional(7) {
        None => cx.finish(0, y),
        Some(_) => finish_codes(cx, y, 7, 0),
    }
}

/// Inputs x, its scale and zero, the result's scale and zero.
fn qlinear_unary(cx: &mut Cx, apply: impl FnOnce(&mut Cx, Value) -> Result<Value, Stop>) -> Done {
    cx.at_most(5)?;
    let x = real_input(cx, 0, 1, &Layout::TENSOR)?;
    let y = apply(cx, x)?;
    finish_codes(cx, y, 3, 0)
}

fn qlinear_global_pool(cx: &mut Cx) -> Done {
    if cx.attributes.flag("channels_last", false)? {
        return opaque("its channels come last", vec![]);
    }
    qlinear_unary(cx, |cx, x| {
        let shape = cx.need_shape(x)?;
        let dims = shape.iter().enumerate().map(|(axis, d)| if axis < 2 { d.clone() } else { Dim::ONE });
        let ty = typed(cx.dtype(x), dims.collect());
        Ok(cx.structural(Structural::GlobalPool { max: false }, ty, &[x]))
    })
}

fn qlinear_reduce(cx: &mut Cx) -> Done {
    let keep_dims = cx.attributes.flag("keepdims", true)?;
    qlinear_unary(cx, |cx, x| {
        let shape = cx.need_shape(x)?;
        let mut axes = match cx.attributes.ints("axes")? {
            Some(axes) => cx.axes(axes, shape.rank())?,
            None => (0..shape.rank()).collect(),
        };
        axes.sort_unstable();
        let dims = shape.iter().enumerate().filter(|(a, _)| keep_dims || !axes.contains(a));
        let dims = dims.map(|(a, d)| if axes.contains(&a) { Dim::ONE } else { d.clone() });
        let ty = typed(cx.dtype(x), dims.collect());
        Ok(cx.structural(Structural::Reduce { op: Reduction::Mean, axes, keep_dims }, ty, &[x]))
    })
}

fn qlinear_softmax(cx: &mut Cx) -> Done {
    let opset = cx.attributes.int_or("opset", 13)?;
    let axis = cx.attributes.int_or("axis", if opset < 13 { 1 } else { -1 })?;
    qlinear_unary(cx, |cx, x| {
        let shape = cx.need_shape(x)?;
        let axis = cx.axis(axis, shape.rank())?;
        if opset < 13 && !shape[axis + 1..].iter().all(|d| d.is(1)) {
            return opaque("its softmax runs over several axes", vec![]);
        }
        let ty = cx.ty(x);
        Ok(cx.structural(Structural::Softmax { axis, log: false }, ty, &[x]))
    })
}

/// Inputs the result's scale and zero, then each part with its scale and zero.
fn qlinear_concat(cx: &mut Cx) -> Done {
    let parts = cx.arity().saturating_sub(2) / 3;
    if parts == 0 {
        return Err(Stop::Broken("it joins nothing".into()));
    }
    let axis = cx.attributes.int("axis")?;
    let axis = cx.attributes.required("axis", axis)?;
    let reals = (0..parts).map(|i| real_input(cx, 2 + 3 * i, 3 + 3 * i, &Layout::TENSOR));
    let reals = reals.collect::<Result<Vec<_>, _>>()?;
    let y = super::views::concatenated(cx, &reals, axis)?;
    finish_codes(cx, y, 0, 2)
}

/// alpha·op(A)·op(B)
fn fused_matmul(cx: &mut Cx) -> Done {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    if cx.attributes.flag("transBatchA", false)? || cx.attributes.flag("transBatchB", false)? {
        return opaque("it exchanges batch axes", vec![of_dtype(cx.dtype(a))]);
    }
    let (left, right) = (cx.attributes.flag("transA", false)?, cx.attributes.flag("transB", false)?);
    let alpha = cx.attributes.float_or("alpha", 1.0)?;
    let mut y = super::matrix::product_of(cx, a, b, left, right)?;
    if alpha != 1.0 {
        let alpha = super::pointwise::scalar(cx, y, alpha.into())?;
        y = cx.pointwise(Op::new(&op::MUL), &[y, alpha])?;
    }
    cx.finish(0, y)
}

/// LayerNorm over the last axis of x + skip (+ bias). The fourth result is the sum itself.
fn skip_layer_norm(cx: &mut Cx) -> Done {
    let (x, skip, scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let shape = cx.need_shape(x)?;
    if cx.wants(1) || cx.wants(2) || shape.rank() == 0 {
        return opaque("its mean and deviation are asked for", vec![cx.ty(x)]);
    }
    let mut sum = cx.pointwise(Op::new(&op::ADD), &[x, skip])?;
    if let Some(bias) = cx.optional(4) {
        sum = cx.pointwise(Op::new(&op::ADD), &[sum, bias])?;
    }
    let beta = cx.optional(3);
    let epsilon = cx.attributes.float_or("epsilon", 1e-12)?;
    let operands: Vec<Value> = [Some(sum), Some(scale), beta].into_iter().flatten().collect();
    let op = Structural::LayerNorm { axis: shape.rank() - 1, epsilon, bias: beta.is_some() };
    let ty = cx.ty(sum);
    let y = cx.structural(op, ty, &operands);
    cx.finish(0, y)?;
    cx.finish(3, sum)
}
