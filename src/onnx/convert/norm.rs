//! Normalisation and softmax.

use super::pointwise::scalar;
use super::*;
use crate::op;
use crate::structural::Reduction;

/// Before opset 13 a softmax runs over all axes from `axis` on, seen as one.
pub(super) fn softmax(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let ty = cx.ty(x);
    let op_type = cx.op_type();
    let over = |axis: usize| match op_type {
        "Hardmax" => Structural::Hardmax { axis },
        _ => Structural::Softmax { axis, log: op_type == "LogSoftmax" },
    };
    let old = cx.version < 13;
    let axis = cx.attributes.int_or("axis", if old { 1 } else { -1 })?;
    if shape.rank() == 0 || old && axis == shape.rank() as i64 {
        return opaque("it runs over no axis", vec![ty]);
    }
    let axis = cx.axis(axis, shape.rank())?;
    let rest_is_one = shape[axis + 1..].iter().all(|d| d.is(1));
    if !old || rest_is_one {
        let y = cx.structural(over(axis), ty, &[x]);
        return cx.finish(0, y);
    }
    let (Some(outer), Some(inner)) = (product(&shape[..axis])?, product(&shape[axis..])?) else {
        return opaque("its sizes are formulas too long to write down", vec![ty]);
    };
    let flat = Shape(vec![outer, inner]);
    let x = cx.reshape(x, flat.clone());
    let y = cx.structural(over(1), typed(ty.dtype, flat), &[x]);
    let y = cx.reshape(y, shape);
    cx.finish(0, y)
}

/// x·k + (bias − mean·k) with k = scale / √(variance + epsilon), one value a channel: at inference two ops an element, and the
/// rest constant. In training mode mean and variance are the batch's own, and the running ones that are given move towards them.
pub(super) fn batch(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let training = cx.attributes.flag("training_mode", false)?;
    let extra = (1..cx.node.output.len()).any(|port| cx.wants(port));
    // Before opset 14 further outputs, of other meanings, said that it trains.
    let old_training = cx.version < 14 && (extra || training);
    if old_training || (extra && !training) || !cx.attributes.flag("spatial", true)? {
        return opaque("it is in the training mode of before opset 14, or not per channel", vec![cx.ty(x)]);
    }
    if shape.rank() == 0 {
        return Err(Stop::Broken("it normalises a scalar".into()));
    }
    // One axis only: that is the channel's.
    let axis = if shape.rank() == 1 { 0 } else { 1 };
    let mut given = [x; 4];
    for slot in 1..5 {
        let parameter = cx.input(slot)?;
        given[slot - 1] = cx.along_axis(parameter, axis, shape.rank())?;
    }
    let [scale, bias, mean, variance] = given;
    if !training {
        let y = normalised(cx, x, [scale, bias, mean, variance], epsilon)?;
        return cx.finish(0, y);
    }
    let axes: Vec<usize> = (0..shape.rank()).filter(|a| *a != axis).collect();
    let kept: Shape = shape.iter().enumerate().map(|(a, d)| if a == axis { d.clone() } else { Dim::ONE }).collect();
    let mean_of = |cx: &mut Cx, v: Value| {
        let ty = typed(cx.dtype(v), kept.clone());
        cx.structural(Structural::Reduce { op: Reduction::Mean, axes: axes.clone(), keep_dims: true }, ty, &[v])
    };
    let batch_mean = mean_of(cx, x);
    let centred = cx.pointwise(Op::new(&op::SUB), &[x, batch_mean])?;
    let square = cx.pointwise(Op::new(&op::MUL), &[centred, centred])?;
    let batch_variance = mean_of(cx, square);
    let y = normalised(cx, x, [scale, bias, batch_mean, batch_variance], epsilon)?;
    cx.finish(0, y)?;
    let momentum = cx.attributes.float_or("momentum", 0.9)?;
    for (port, running, batch) in [(1, mean, batch_mean), (2, variance, batch_variance)] {
        if !cx.wants(port) {
            continue;
        }
        let batch = as_type_of(cx, batch, running)?;
        let (keep, take) = (scalar(cx, running, momentum.into())?, scalar(cx, running, 1.0 - f64::from(momentum))?);
        let kept = cx.pointwise(Op::new(&op::MUL), &[running, keep])?;
        let taken = cx.pointwise(Op::new(&op::MUL), &[batch, take])?;
        let moved = cx.pointwise(Op::new(&op::ADD), &[kept, taken])?;
        let moved = cx.reshape(moved, Shape(vec![shape[axis].clone()]));
        cx.finish(port, moved)?;
    }
    Ok(())
}

/// `value` cast to the element type of `like`, where it has another.
fn as_type_of(cx: &mut Cx, value: Value, like: Value) -> Result<Value, Stop> {
    match cx.dtype(like) {
        Some(dtype) if cx.dtype(value) != Some(dtype) => cx.pointwise(Op::to(&op::CAST, dtype), &[value]),
        _ => Ok(value),
    }
}

/// The parameters broadcast to x. Since opset 15 they may be of a wider type than it.
fn normalised(cx: &mut Cx, x: Value, parameters: [Value; 4], epsilon: f32) -> Result<Value, Stop> {
    let mut same = parameters;
    for value in &mut same {
        *value = as_type_of(cx, *value, x)?;
    }
    let [scale, bias, mean, variance] = same;
    let epsilon = scalar(cx, variance, epsilon.into())?;
    let spread = cx.pointwise(Op::new(&op::ADD), &[variance, epsilon])?;
    let deviation = cx.pointwise(Op::new(&op::SQRT), &[spread])?;
    let factor = cx.pointwise(Op::new(&op::DIV), &[scale, deviation])?;
    let moved = cx.pointwise(Op::new(&op::MUL), &[mean, factor])?;
    let shift = cx.pointwise(Op::new(&op::SUB), &[bias, moved])?;
    let scaled = cx.pointwise(Op::new(&op::MUL), &[x, factor])?;
    cx.pointwise(Op::new(&op::ADD), &[scaled, shift])
}

pub(super) fn layer(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank())?;
    let epsilon = cx.attributes.float_or("epsilon", 1e-5)?;
    let ty = cx.ty(x);
    let reduced: Shape = shape.iter().enumerate().map(|(a, d)| if a < axis { d.clone() } else { Dim::ONE }).collect();
    let stash = typed(Some(DType::F32), reduced);
    let mut types = vec![ty, stash.clone(), stash];
    types.truncate(cx.outputs().clamp(1, 3));
    let scale = cx.input(1)?;
    let bias = cx.optional(2);
    let operands: Vec<Value> = [Some(x), Some(scale), bias].into_iter().flatten().collect();
    cx.structural_outputs(Structural::LayerNorm { axis, epsilon, bias: bias.is_some() }, types, &operands)
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
    let deviation = cx.pointwise(Op::new(&op::SQRT), &[variance])?;
    let tiny = scalar(cx, x, 1e-9)?;
    let divisor = cx.pointwise(Op::new(&op::ADD), &[deviation, tiny])?;
    let centred = cx.pointwise(Op::new(&op::SUB), &[x, mean])?;
    let y = cx.pointwise(Op::new(&op::DIV), &[centred, divisor])?;
    cx.finish(0, y)
}
