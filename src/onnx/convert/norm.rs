//! Normalisation and softmax.

use super::pointwise::{need, param, scalar};
use super::*;
use crate::op::{self, Row};
use crate::structural::Reduction;

/// Before opset 13 a softmax runs over all axes from `axis` on, seen as one.
pub(super) fn softmax(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let ty = cx.ty(x);
    if cx.op_type() == "Hardmax" {
        return opaque("Hardmax has types only", vec![ty]);
    }
    let log = cx.op_type() == "LogSoftmax";
    let old = cx.version < 13;
    let axis = cx.attributes.int_or("axis", if old { 1 } else { -1 })?;
    if shape.rank() == 0 || old && axis == shape.rank() as i64 {
        return opaque("it runs over no axis", vec![ty]);
    }
    let axis = cx.axis(axis, shape.rank())?;
    let rest_is_one = shape[axis + 1..].iter().all(|d| d.is(1));
    if !old || rest_is_one {
        let y = cx.structural(Structural::Softmax { axis, log }, ty, &[x]);
        return cx.finish(0, y);
    }
    let (Some(outer), Some(inner)) = (product(&shape[..axis])?, product(&shape[axis..])?) else {
        return opaque("its sizes are formulas too long to write down", vec![ty]);
    };
    let flat = Shape(vec![outer, inner]);
    let x = cx.reshape(x, flat.clone());
    let y = cx.structural(Structural::Softmax { axis: 1, log }, typed(ty.dtype, flat), &[x]);
    let y = cx.reshape(y, shape);
    cx.finish(0, y)
}

/// At inference: (x − mean) / √(variance + epsilon) · scale + bias, one value a channel.
pub(super) fn batch(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let extra = (1..cx.node.output.len()).any(|port| cx.wants(port));
    if extra || cx.attributes.flag("training_mode", false)? || !cx.attributes.flag("spatial", true)? {
        return opaque("it is in training mode, or not per channel", vec![cx.ty(x)]);
    }
    if shape.rank() == 0 {
        return Err(Stop::Broken("it normalises a scalar".into()));
    }
    // One axis only: that is the channel's.
    let axis = if shape.rank() == 1 { 0 } else { 1 };
    let mut operands = vec![x];
    for slot in 1..5 {
        let given = cx.input(slot)?;
        let stretched = cx.along_axis(given, axis, shape.rank())?;
        let same = cx.dtype(stretched) == cx.dtype(x);
        // Since opset 15 the parameters may be of a wider type than x.
        operands.push(match cx.dtype(x) {
            Some(dtype) if !same => cx.pointwise(Op::to(&op::CAST, dtype), &[stretched])?,
            _ => stretched,
        });
    }
    let y = match op::find("batch_norm") {
        Some(row) => by_row(cx, row, operands, epsilon)?,
        None => written_out(cx, &operands, epsilon)?,
    };
    cx.finish(0, y)
}

fn by_row(cx: &mut Cx, row: &'static Row, mut operands: Vec<Value>, epsilon: f32) -> Result<Value, Stop> {
    operands.push(param(cx, epsilon));
    cx.pointwise(Op::new(row), &operands)
}

fn written_out(cx: &mut Cx, operands: &[Value], epsilon: f32) -> Result<Value, Stop> {
    let [x, scale, bias, mean, variance] = operands else { return opaque("it lacks operands", vec![]) };
    let epsilon = scalar(cx, *variance, epsilon.into())?;
    let centred = cx.pointwise(Op::new(&op::SUB), &[*x, *mean])?;
    let spread = cx.pointwise(Op::new(&op::ADD), &[*variance, epsilon])?;
    let deviation = cx.pointwise(need("sqrt")?, &[spread])?;
    let factor = cx.pointwise(Op::new(&op::DIV), &[*scale, deviation])?;
    let scaled = cx.pointwise(Op::new(&op::MUL), &[centred, factor])?;
    cx.pointwise(Op::new(&op::ADD), &[scaled, *bias])
}

pub(super) fn layer(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank())?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let ty = cx.ty(x);
    if cx.wants(1) || cx.wants(2) {
        let reduced: Shape = shape.iter().enumerate().map(|(a, d)| if a < axis { d.clone() } else { Dim::ONE }).collect();
        let stash = typed(Some(DType::F32), reduced);
        return opaque("its mean and deviation are asked for", vec![ty, stash.clone(), stash]);
    }
    let scale = cx.input(1)?;
    let bias = cx.optional(2);
    let operands: Vec<Value> = [Some(x), Some(scale), bias].into_iter().flatten().collect();
    let y = cx.structural(Structural::LayerNorm { axis, epsilon, bias: bias.is_some() }, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn rms(cx: &mut Cx) -> Done {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank())?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let ty = cx.ty(x);
    let y = cx.structural(Structural::RmsNorm { axis, epsilon }, ty, &[x, scale]);
    cx.finish(0, y)
}

pub(super) fn instance(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    cx.need_shape(operands[0])?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let ty = cx.ty(operands[0]);
    let y = cx.structural(Structural::InstanceNorm { epsilon }, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn group(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let shape = cx.need_shape(operands[0])?;
    let groups = cx.attributes.int("num_groups")?;
    let groups = cx.attributes.required("num_groups", groups)?;
    let ty = cx.ty(operands[0]);
    if cx.version < 21 {
        return opaque("its scale is one a group, as before opset 21", vec![ty]);
    }
    let fits = shape.rank() > 1 && groups > 0 && shape[1].known().is_none_or(|c| c % groups == 0);
    if !fits {
        return Err(cx.attributes.error("num_groups", groups.to_string(), "a divisor of the channels").into());
    }
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let y = cx.structural(Structural::GroupNorm { groups: groups as usize, epsilon }, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn lp(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank())?;
    let p = cx.attributes.int_or("p", 2)?;
    let ty = cx.ty(x);
    let y = cx.structural(Structural::LpNorm { axis, p }, ty, &[x]);
    cx.finish(0, y)
}

pub(super) fn local_response(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    cx.need_shape(x)?;
    let size = cx.attributes.int("size")?;
    let size = cx.attributes.required("size", size)?;
    let size = usize::try_from(size).map_err(|_| cx.attributes.error("size", size.to_string(), "a positive size"))?;
    let op = Structural::LocalResponseNorm {
        size,
        alpha: cx.attributes.float_or("alpha", 1e-4)?,
        beta: cx.attributes.float_or("beta", 0.75)?,
        bias: cx.attributes.float_or("bias", 1.0)?,
    };
    let ty = cx.ty(x);
    let y = cx.structural(op, ty, &[x]);
    cx.finish(0, y)
}

/// (x − E x) / (√(E x² − (E x)²) + 1e-9), which is how ONNX defines it.
pub(super) fn mean_variance(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axes = cx.attributes.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = cx.axes(axes, shape.rank())?;
    let reduced = shape.iter().enumerate().map(|(a, d)| if axes.contains(&a) { Dim::ONE } else { d.clone() }).collect();
    let ty = typed(cx.dtype(x), reduced);
    let mean_of = |cx: &mut Cx, v: Value| {
        let op = Structural::Reduce { op: Reduction::Mean, axes: axes.clone(), keep_dims: true };
        cx.structural(op, ty.clone(), &[v])
    };
    let mean = mean_of(cx, x);
    let square = cx.pointwise(Op::new(&op::MUL), &[x, x])?;
    let mean_square = mean_of(cx, square);
    let square_mean = cx.pointwise(Op::new(&op::MUL), &[mean, mean])?;
    let variance = cx.pointwise(Op::new(&op::SUB), &[mean_square, square_mean])?;
    let deviation = cx.pointwise(need("sqrt")?, &[variance])?;
    let tiny = scalar(cx, x, 1e-9)?;
    let divisor = cx.pointwise(Op::new(&op::ADD), &[deviation, tiny])?;
    let centred = cx.pointwise(Op::new(&op::SUB), &[x, mean])?;
    let y = cx.pointwise(Op::new(&op::DIV), &[centred, divisor])?;
    cx.finish(0, y)
}
