//! Ops that make tensors of little or nothing: shapes, ranges, one-hot codes, triangles, tiles, paddings.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::strided::{Strided, strides};
use super::{pick, sizes_of};
use crate::dtype::DType;
use crate::scalar::{Number, Scalar};
use crate::structural::{DynamicView, PadMode};
use crate::tensor::Tensor;

pub(super) fn shape(start: usize, end: usize, x: &Tensor) -> Result<Tensor, NodeError> {
    let sizes = x.sizes();
    let end = end.min(sizes.len());
    let part: Vec<i64> = sizes[start.min(end)..end].iter().map(|&n| n as i64).collect();
    Ok(Tensor::from_vec(&[part.len()], part)?)
}

pub(super) fn filled(value: Scalar, shape: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    let sizes = sizes_of("shape", shape)?;
    let count = cx.count(value.dtype(), &sizes)?;
    Column::splat(value.number(), count).into_tensor(value.dtype(), &sizes)
}

/// The same bits as elements of another type.
pub(super) fn bit_cast(to: DType, x: &Tensor) -> Result<Tensor, NodeError> {
    if to.bits() != x.dtype().bits() {
        let (expected, found) = (format!("{} bits wide, as {to} is", to.bits()), x.dtype().to_string());
        return Err(NodeError::Operand { operand: "x", expected, found });
    }
    Ok(Tensor::new(to, x.sizes().to_vec(), x.bytes().clone())?)
}

pub(super) fn range([start, limit, delta]: &[Tensor; 3], cx: &Context) -> Result<Tensor, NodeError> {
    let dtype = start.dtype();
    let number = |operand, t: &Tensor| {
        let found = || NodeError::Operand { operand, expected: format!("one {dtype}"), found: format!("{t:?}") };
        t.uniform().filter(|s| s.dtype() == dtype).map(Scalar::number).ok_or_else(found)
    };
    let zero = || NodeError::Operand { operand: "delta", expected: "not zero".into(), found: "0".into() };
    match (number("start", start)?, number("limit", limit)?, number("delta", delta)?) {
        (Number::Int(_), _, Number::Int(0)) => Err(zero()),
        (Number::Int(start), Number::Int(limit), Number::Int(delta)) => {
            // ⌈(limit − start) / delta⌉
            let n = -((limit - start).div_euclid(-delta.abs()) * delta.signum());
            let n = if (limit - start).signum() == delta.signum() { n.abs() } else { 0 };
            let n = cx.count(dtype, &[usize::try_from(n).unwrap_or(usize::MAX)])?;
            Column::Int((0..n as i128).map(|i| start + i * delta).collect()).into_tensor(dtype, &[n])
        }
        (start, limit, delta) => {
            let (start, limit, delta) = (start.as_f64(), limit.as_f64(), delta.as_f64());
            if delta == 0.0 || delta.is_nan() {
                return Err(zero());
            }
            let n = cx.count(dtype, &[((limit - start) / delta).ceil().max(0.0) as usize])?;
            Column::Float((0..n).map(|i| start + i as f64 * delta).collect()).into_tensor(dtype, &[n])
        }
    }
}

/// Operands indices, depth, values.
pub(super) fn one_hot(axis: usize, [at, depth, values]: &[Tensor; 3], cx: &Context) -> Result<Tensor, NodeError> {
    let found = || NodeError::Operand { operand: "depth", expected: "one size".into(), found: format!("{depth:?}") };
    let n = depth.uniform().and_then(|d| usize::try_from(d.number().as_i128()).ok()).ok_or_else(found)?;
    if values.len() != 2 || axis > at.sizes().len() {
        let found = format!("{values:?}, axis {axis}");
        return Err(NodeError::Operand { operand: "values", expected: "two (off, on)".into(), found });
    }
    let mut sizes = at.sizes().to_vec();
    sizes.insert(axis, n);
    cx.count(values.dtype(), &sizes)?;
    let inner: usize = at.sizes()[axis..].iter().product();
    let hot = whole(at).into_ints();
    pick(values, &sizes, |i| {
        let (outer, k, inside) = (i / (n * inner), i / inner % n, i % inner);
        let hot = hot[outer * inner + inside];
        let hot = if hot < 0 { hot + n as i128 } else { hot };
        usize::from(hot == k as i128)
    })
}

/// The indices of the elements that are not zero: one row an axis.
pub(super) fn non_zero(x: &Tensor) -> Result<Tensor, NodeError> {
    let found: Vec<usize> = (0..x.len()).filter(|i| x.at(*i).number().is_true()).collect();
    let rows = x.sizes().iter().zip(strides(x.sizes()));
    let indices: Vec<i64> =
        rows.flat_map(|(&size, stride)| found.iter().map(move |&i| (i / stride as usize % size) as i64)).collect();
    Ok(Tensor::from_vec(&[x.sizes().len(), found.len()], indices)?)
}

/// Keeps what lies on and above (below) a diagonal of each matrix, and makes the rest zero.
pub(super) fn trilu(upper: bool, x: &Tensor, k: Option<&Tensor>) -> Result<Tensor, NodeError> {
    let &[.., rows, columns] = x.sizes() else {
        let found = format!("{:?}", x.sizes());
        return Err(NodeError::Operand { operand: "x", expected: "at least 2 axes".into(), found });
    };
    let found = || NodeError::Operand { operand: "k", expected: "one number".into(), found: format!("{k:?}") };
    let k = match k {
        Some(k) => k.uniform().ok_or_else(found)?.number().as_i128(),
        None => 0,
    };
    let mut column = whole(x);
    let zero = column.zero();
    for i in 0..x.len() {
        let above = (i % columns) as i128 - (i / columns % rows) as i128;
        if (upper && above < k) || (!upper && above > k) {
            column.set(i, zero);
        }
    }
    column.into_tensor(x.dtype(), x.sizes())
}

pub(super) fn tile(x: &Tensor, repeats: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    let repeats = sizes_of("repeats", repeats)?;
    if repeats.len() != x.sizes().len() {
        let expected = format!("{} numbers", x.sizes().len());
        return Err(NodeError::Operand { operand: "repeats", expected, found: format!("{repeats:?}") });
    }
    let sizes: Vec<usize> = x.sizes().iter().zip(&repeats).map(|(n, r)| n.saturating_mul(*r)).collect();
    cx.count(x.dtype(), &sizes)?;
    let split: Vec<usize> = x.sizes().iter().zip(&repeats).flat_map(|(n, r)| [*r, *n]).collect();
    let steps: Vec<i64> = strides(x.sizes()).into_iter().flat_map(|stride| [0, stride]).collect();
    Ok(Strided::new(0, &split, &steps).copy(x, &sizes)?)
}

pub(super) fn eye_like(k: i64, dtype: DType, x: &Tensor) -> Result<Tensor, NodeError> {
    let &[rows, columns] = x.sizes() else {
        let found = format!("{:?}", x.sizes());
        return Err(NodeError::Operand { operand: "x", expected: "of 2 axes".into(), found });
    };
    let one = |i: usize| Number::Int(i128::from((i % columns) as i64 - (i / columns) as i64 == k));
    Ok(Tensor::from_numbers(dtype, x.sizes(), (0..rows * columns).map(one))?)
}

pub(super) fn channels_last(channels: usize, dtype: DType, x: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    let (&[images, own, ref spatial @ ..], true) = (x.sizes(), x.sizes().get(1).is_some_and(|own| *own <= channels))
    else {
        let found = format!("{:?}", x.sizes());
        return Err(NodeError::Operand { operand: "x", expected: format!("of at most {channels} channels"), found });
    };
    let sizes = [&[images], spatial, &[channels]].concat();
    let count = cx.count(dtype, &sizes)?;
    let places = spatial.iter().product::<usize>();
    let column = whole(x);
    let number = |at: usize| match (at % channels, at / channels) {
        (channel, _) if channel >= own => column.zero(),
        (channel, place) => column.get((place / places * own + channel) * places + place % places),
    };
    Ok(Tensor::from_numbers(dtype, &sizes, (0..count).map(number))?)
}

/// Constant padding takes the value as the second operand, zero without one.
pub(super) fn pad(mode: PadMode, pads: &[(i64, i64)], operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let [x, rest @ ..] = operands else { return Err(NodeError::Arity { expected: "1 or 2".into(), found: 0 }) };
    if pads.len() != x.sizes().len() {
        return Err(NodeError::Invalid(format!("{} pads for {} axes", pads.len(), x.sizes().len())));
    }
    let size = |(n, (before, after)): (&usize, &(i64, i64))| {
        let size = i64::try_from(*n).ok()?.checked_add(*before)?.checked_add(*after)?;
        usize::try_from(size).ok()
    };
    let sizes: Option<Vec<usize>> = x.sizes().iter().zip(pads).map(size).collect();
    let sizes =
        sizes.ok_or_else(|| NodeError::Invalid(format!("the pads {pads:?} take more than {:?} has", x.sizes())))?;
    let count = cx.count(x.dtype(), &sizes)?;
    // The operand's index along each axis of the result; `None` in constant padding.
    let mut places: Vec<Vec<Option<usize>>> = Vec::new();
    for ((&to, &from), (before, _)) in sizes.iter().zip(x.sizes()).zip(pads) {
        let place = |i: usize| pad_index(mode, i as i64 - before, from as i64);
        places.push((0..to).map(place).collect());
        if mode != PadMode::Constant && from == 0 && to > 0 {
            return Err(NodeError::Invalid("an empty axis has no element to pad with".into()));
        }
    }
    let value = match rest.first() {
        Some(v) if v.len() == 1 && v.dtype() == x.dtype() => v.at(0).number(),
        Some(v) => {
            let expected = format!("one {}", x.dtype());
            return Err(NodeError::Operand { operand: "value", expected, found: format!("{v:?}") });
        }
        None => whole(x).zero(),
    };
    let mut padded = Column::splat(value, count);
    let (column, dense, own) = (whole(x), strides(x.sizes()), strides(&sizes));
    for i in 0..count {
        let axis = |a: usize| Some(places[a][i / own[a] as usize % sizes[a]]? * dense[a] as usize);
        if let Some(from) = (0..sizes.len()).try_fold(0, |at, a| Some(at + axis(a)?)) {
            padded.set(i, column.get(from));
        }
    }
    padded.into_tensor(x.dtype(), &sizes)
}

fn pad_index(mode: PadMode, i: i64, n: i64) -> Option<usize> {
    let inside = match mode {
        PadMode::Constant => (0..n).contains(&i).then_some(i)?,
        PadMode::Edge => i.clamp(0, (n - 1).max(0)),
        PadMode::Wrap => i.rem_euclid(n.max(1)),
        PadMode::Reflect => {
            // Back and forth without repeating the ends: a period of 2(n − 1).
            let period = (2 * (n - 1)).max(1);
            let at = i.rem_euclid(period);
            at.min(period - at).min((n - 1).max(0))
        }
    };
    usize::try_from(inside).ok()
}

/// Views whose parameters come as operands.
pub(super) fn dynamic_view(op: DynamicView, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    use super::super::node::exactly;
    match op {
        DynamicView::Reshape | DynamicView::ReshapeLiteral => {
            let [x, shape] = exactly(operands)?;
            Ok(x.reshaped(&reshape_sizes(x, shape, op == DynamicView::ReshapeLiteral)?)?)
        }
        DynamicView::Expand => {
            let [x, shape] = exactly(operands)?;
            let to = super::super::pointwise::broadcast_sizes(
                [x.sizes(), sizes_of("shape", shape)?.as_slice()].into_iter(),
            )?;
            super::super::view::expand(x, &to, cx)
        }
        DynamicView::Slice => {
            let [x, starts, ends, axes, steps] = exactly(operands)?;
            slice(x, starts, ends, axes, steps)
        }
    }
}

/// ONNX's Reshape: 0 keeps an axis unless `literal`, −1 takes what is left.
fn reshape_sizes(x: &Tensor, shape: &Tensor, literal: bool) -> Result<Vec<usize>, NodeError> {
    let wanted = whole(shape).into_ints();
    let found = || NodeError::Operand {
        operand: "shape",
        expected: format!("a shape of {} elements", x.len()),
        found: format!("{wanted:?}"),
    };
    let mut sizes = Vec::with_capacity(wanted.len());
    for (i, n) in wanted.iter().enumerate() {
        sizes.push(match n {
            -1 => None,
            0 if !literal => Some(*x.sizes().get(i).ok_or_else(found)?),
            n => Some(usize::try_from(*n).map_err(|_| found())?),
        });
    }
    let known = crate::tensor::count(&sizes.iter().flatten().copied().collect::<Vec<_>>()).ok_or_else(found)?;
    let rest = x.len().checked_div(known).unwrap_or(0);
    if sizes.iter().filter(|n| n.is_none()).count() > 1 {
        return Err(found());
    }
    Ok(sizes.into_iter().map(|n| n.unwrap_or(rest)).collect())
}

/// ONNX's Slice: starts and ends are clamped to the axis.
fn slice(x: &Tensor, starts: &Tensor, ends: &Tensor, axes: &Tensor, steps: &Tensor) -> Result<Tensor, NodeError> {
    let ints = |t: &Tensor| whole(t).into_ints();
    let (starts, ends, axes, steps) = (ints(starts), ints(ends), ints(axes), ints(steps));
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(NodeError::Invalid(format!("a slice from {starts:?} to {ends:?} of axes {axes:?} by {steps:?}")));
    }
    let mut sizes = x.sizes().to_vec();
    let mut steps_by_axis = strides(x.sizes());
    let dense = steps_by_axis.clone();
    let mut offset = 0i64;
    for (i, axis) in axes.iter().enumerate() {
        let axis = super::lanes::axis(*axis, sizes.len())?;
        let n = x.sizes()[axis] as i128;
        let step = steps[i].clamp(-(n + 1), n + 1);
        let wrap = |v: i128| if v < 0 { v + n } else { v };
        let (start, end) = match step > 0 {
            true => (wrap(starts[i]).clamp(0, n), wrap(ends[i]).clamp(0, n)),
            false => (wrap(starts[i]).clamp(-1, n - 1), wrap(ends[i]).clamp(-1, n - 1)),
        };
        let count = ((end - start + step - step.signum()) / step).max(0);
        sizes[axis] = count as usize;
        offset += if count > 0 { start as i64 * dense[axis] } else { 0 };
        steps_by_axis[axis] = step as i64 * dense[axis];
    }
    Ok(Strided::new(offset, &sizes, &steps_by_axis).copy(x, &sizes)?)
}
