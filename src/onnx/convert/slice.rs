//! Slice and Split.

use super::*;
use crate::onnx::known::{Known, Sizes};
use crate::structural::DynamicView;
use crate::view::SliceAxis;

/// What a slice takes of one axis, as given.
struct Given {
    axis: usize,
    start: Option<Dim>,
    end: Option<Dim>,
    step: i64,
}

/// Bounds and steps are attributes before opset 10 and inputs since; bounds are clamped to the axis.
pub(super) fn slice(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let dtype = cx.dtype(x);
    let Some(given) = given(cx, &shape)? else {
        // Axes or steps that are not known: the rank is all that can be said.
        let fresh = cx.fresh_shape(0, shape.rank());
        return opaque("its axes or steps are computed at run time", vec![typed(dtype, fresh)]);
    };
    let whole = |size: &Dim| SliceAxis { start: Dim::ZERO, step: 1, size: size.clone() };
    let mut axes: Vec<SliceAxis> = shape.iter().map(whole).collect();
    let mut to = shape.clone();
    let mut complete = true;
    for g in &given {
        match taken(&shape[g.axis], g, &cx.scope.sizes)? {
            Some(part) => {
                to.0[g.axis] = part.size.clone();
                axes[g.axis] = part;
            }
            None => {
                complete = false;
                to.0[g.axis] = cx.fresh(0, g.axis);
            }
        }
    }
    if !complete {
        return dynamic(cx, x, &given, typed(dtype, to));
    }
    let y = if axes.iter().zip(shape.iter()).all(|(a, size)| *a == whole(size)) {
        x
    } else {
        cx.view(View::Slice { axes }, &[x], to)
    };
    cx.finish(0, y)
}

/// The slice's parameters; `None` if axes or steps are not known.
fn given(cx: &mut Cx, shape: &Shape) -> Result<Option<Vec<Given>>, Stop> {
    let count_of = |known: &Option<Known>, cx: &Cx, slot: usize| match known {
        Some(known) => Some(known.elems.len()),
        None => usize::try_from(cx.shape(cx.optional(slot)?)?.first()?.known()?).ok().filter(|n| *n <= 64),
    };
    let (starts, ends, axes, steps, count);
    if cx.version < 10 {
        let list = |cx: &Cx, name: &str| Ok::<_, Stop>(cx.attributes.ints(name)?.map(<[i64]>::to_vec));
        let known = |list: Option<Vec<i64>>| Known::dims(list?.into_iter().map(Dim::fixed));
        (starts, ends) = (known(list(cx, "starts")?), known(list(cx, "ends")?));
        (axes, steps) = (list(cx, "axes")?, None);
        count = starts.as_ref().map(|k| k.elems.len());
    } else {
        let (first, last) = (cx.input(1)?, cx.input(2)?);
        (starts, ends) = (cx.known(first), cx.known(last));
        let list = |cx: &mut Cx, slot: usize| cx.optional(slot).map(|v| cx.ints(v));
        let (given_axes, given_steps) = (list(cx, 3), list(cx, 4));
        if matches!(given_axes, Some(None)) || matches!(given_steps, Some(None)) {
            return Ok(None);
        }
        (axes, steps) = (given_axes.flatten(), given_steps.flatten());
        count = count_of(&starts, cx, 1);
    }
    let Some(count) = count else { return Ok(None) };
    if count > shape.rank() {
        return Err(Stop::Broken(format!("it has {count} starts for the shape {shape}")));
    }
    let lengths = [ends.as_ref().map(|k| k.elems.len()), axes.as_ref().map(Vec::len), steps.as_ref().map(Vec::len)];
    if let Some(other) = lengths.into_iter().flatten().find(|&n| n != count) {
        return Err(Stop::Broken(format!("it has {count} starts and {other} ends, axes or steps")));
    }
    let axes = axes.unwrap_or_else(|| (0..count as i64).collect());
    let axes = cx.axes(&axes, shape.rank())?;
    let at = |known: &Option<Known>, i: usize| known.as_ref()?.elems.get(i)?.dim().cloned();
    let part = |(i, axis): (usize, usize)| Given {
        axis,
        start: at(&starts, i),
        end: at(&ends, i),
        step: steps.as_ref().map_or(1, |s| s[i]),
    };
    Ok(Some(axes.into_iter().enumerate().map(part).collect()))
}

/// A bound that no axis of a symbolic size reaches.
const ALL: i64 = 1_000_000_000;

/// ONNX's clamping: for a step forward both bounds into 0..=size, backward into −1..=size−1.
fn taken(size: &Dim, given: &Given, symbols: &Sizes) -> Result<Option<SliceAxis>, Stop> {
    let (Some(start), Some(end)) = (&given.start, &given.end) else { return Ok(None) };
    let step = given.step;
    if step == 0 || step == i64::MIN {
        return Err(Stop::Broken(format!("it steps by {step} along axis {}", given.axis)));
    }
    let (low, high) = if step > 0 { (Dim::ZERO, size.clone()) } else { (Dim::fixed(-1), size.sub(&Dim::ONE)?) };
    let clamp = |bound: &Dim| -> Result<Option<Dim>, Stop> {
        let from_end = match (bound.known(), symbols.least(bound)) {
            // Exporters write the ends of the integer range, or a billion, for "all of it".
            (Some(n), _) if n >= ALL => return Ok(Some(high.clone())),
            (Some(n), _) if n <= -ALL => return Ok(Some(low.clone())),
            (Some(n), _) => n < 0,
            (None, Some(0..)) => false,
            // A formula that is evidently negative, such as −h.
            (None, _) if symbols.is_at_least(&Dim::ZERO.sub(bound)?, 1) => true,
            (None, _) => return Ok(None),
        };
        let bound = if from_end { bound.add(size)? } else { bound.clone() };
        // Not below, then not above; what is sure is not written into the formula.
        let bound = if symbols.is_at_least(&bound.sub(&low)?, 0) { bound } else { bound.larger(&low)? };
        let sure = symbols.is_at_least(&high.sub(&bound)?, 0);
        Ok(Some(if sure { bound } else { bound.smaller(&high)? }))
    };
    let (Some(start), Some(end)) = (clamp(start)?, clamp(end)?) else { return Ok(None) };
    let span = if step > 0 { end.sub(&start)? } else { start.sub(&end)? };
    let length = span.ceil_div(&Dim::fixed(step.abs()))?;
    Ok(Some(SliceAxis { start, step, size: symbols.not_negative(length)? }))
}

/// A slice whose bounds are known at run time only: all five operands are given.
fn dynamic(cx: &mut Cx, x: Value, given: &[Given], ty: Type) -> Done {
    let list = |cx: &mut Cx, values: Vec<i64>| {
        let sizes = [values.len()];
        crate::tensor::Tensor::from_slice(&sizes, &values)
            .map(|t| cx.constant(t))
            .map_err(|e| Stop::Broken(e.to_string()))
    };
    let axes = list(cx, given.iter().map(|g| g.axis as i64).collect())?;
    let steps = list(cx, given.iter().map(|g| g.step).collect())?;
    let operands = [x, cx.input(1)?, cx.input(2)?, axes, steps];
    let y = cx.structural(Structural::DynamicView { op: DynamicView::Slice }, ty, &operands);
    cx.finish(0, y)
}

/// One slice an output.
pub(super) fn split(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", 0)?;
    let axis = cx.axis(axis, shape.rank())?;
    let outputs = cx.node.output.len();
    let sizes = match cx.attributes.ints("split")? {
        Some(sizes) => Some(sizes.iter().map(|&n| Dim::fixed(n)).collect()),
        None => match cx.optional(1) {
            Some(sizes) => cx.known(sizes).and_then(|k| k.to_dims()),
            None => Some(equal_parts(&shape[axis], outputs)?),
        },
    };
    let Some(sizes) = sizes else {
        let mut types = Vec::new();
        for port in 0..outputs {
            let mut to = shape.clone();
            to.0[axis] = cx.fresh(port, axis);
            types.push(typed(cx.dtype(x), to));
        }
        return opaque("its sizes are computed at run time", types);
    };
    if sizes.len() != outputs {
        return Err(Stop::Broken(format!("it has {} sizes and {outputs} outputs", sizes.len())));
    }
    let total = sizes.iter().try_fold(Dim::ZERO, |sum, size| sum.add(size))?;
    if total.sub(&shape[axis])?.known().is_some_and(|difference| difference != 0) {
        return Err(Stop::Broken(format!("its sizes sum to {total}, and axis {axis} has {}", shape[axis])));
    }
    let mut start = Dim::ZERO;
    for (port, size) in sizes.into_iter().enumerate() {
        if cx.wants(port) {
            let part = part(cx, x, axis, &start, &size)?;
            cx.finish(port, part)?;
        }
        start = start.add(&size)?;
    }
    Ok(())
}

/// Elements `start` to `start + size` along an axis.
pub(super) fn part(cx: &mut Cx, x: Value, axis: usize, start: &Dim, size: &Dim) -> Result<Value, Stop> {
    let mut to = cx.need_shape(x)?;
    let whole = to.iter().map(|d| SliceAxis { start: Dim::ZERO, step: 1, size: d.clone() });
    let mut axes: Vec<SliceAxis> = whole.collect();
    axes[axis] = SliceAxis { start: start.clone(), step: 1, size: size.clone() };
    to.0[axis] = size.clone();
    Ok(cx.view(View::Slice { axes }, &[x], to))
}

/// As equal as whole numbers allow: every part ⌈size / parts⌉, the last one what is left.
fn equal_parts(size: &Dim, parts: usize) -> Result<Vec<Dim>, Stop> {
    if parts == 0 {
        return Err(Stop::Broken("it has no outputs".into()));
    }
    let part = size.ceil_div(&Dim::from(parts))?;
    let last = size.sub(&part.mul(&Dim::from(parts - 1))?)?;
    if last.known().is_some_and(|n| n < 0) {
        return Err(Stop::Broken(format!("{size} elements do not make {parts} parts")));
    }
    Ok((1..parts).map(|_| part.clone()).chain([last]).collect())
}
