//! Operators that read or write elements by index, and those of which only the types are known.

use super::*;
use crate::onnx::known::{Elem, Known, strides};
use crate::structural::ScatterReduction;

/// The indices' shape takes the place of one axis.
pub(super) fn gather(cx: &mut Cx) -> Done {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", 0)?;
    let axis = cx.axis(axis, shape.rank())?;
    let Some(places) = cx.shape(indices) else {
        return opaque("the shape of its indices is not known", vec![of_dtype(cx.dtype(x))]);
    };
    let to: Shape = shape[..axis].iter().chain(places.iter()).chain(&shape[axis + 1..]).cloned().collect();
    let known = match cx.all_known(&[x, indices]).as_deref() {
        Some([x, indices]) => to.known().and_then(|sizes| gathered(x, indices, axis, &sizes)),
        _ => None,
    };
    let ty = typed(cx.dtype(x), to);
    let y = cx.known_or(known, |cx| cx.structural(Structural::Gather { axis }, ty, &[x, indices]));
    cx.finish(0, y)
}

fn gathered(x: &Known, indices: &Known, axis: usize, sizes: &[usize]) -> Option<Known> {
    let (at, steps) = (strides(&indices.sizes), strides(&x.sizes));
    let size = x.sizes[axis] as i64;
    let depth = indices.sizes.len();
    x.rearranged(sizes, |index| {
        let (head, rest) = index.split_at(axis);
        let (place, tail) = rest.split_at(depth);
        let flat: usize = place.iter().zip(&at).map(|(i, s)| i * s).sum();
        let chosen = indices.elems.get(flat)?.dim()?.known()?;
        let chosen =
            usize::try_from(if chosen < 0 { chosen + size } else { chosen }).ok().filter(|c| *c < size as usize)?;
        let full = head.iter().chain([&chosen]).chain(tail);
        Some(full.zip(&steps).map(|(i, s)| i * s).sum())
    })
}

pub(super) fn gather_elements(cx: &mut Cx) -> Done {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", 0)?;
    let axis = cx.axis(axis, shape.rank())?;
    let ty = Type { dtype: cx.dtype(x), shape: cx.shape(indices) };
    let y = cx.structural(Structural::GatherElements { axis }, ty, &[x, indices]);
    cx.finish(0, y)
}

/// The last axis of the indices names a place in x after the batch axes.
pub(super) fn gather_nd(cx: &mut Cx) -> Done {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    let (Some(shape), Some(places)) = (cx.shape(x), cx.shape(indices)) else {
        return opaque("the shape of an operand is not known", vec![of_dtype(dtype)]);
    };
    let batch = cx.attributes.int_or("batch_dims", 0)?;
    let Some(depth) = places.last().map(|d| d.known()) else {
        return Err(Stop::Broken("its indices are a scalar".into()));
    };
    let Some(depth) = depth else { return opaque("how deep its indices reach is not known", vec![of_dtype(dtype)]) };
    let reach = batch.checked_add(depth).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= shape.rank());
    let (Some(reach), Ok(batch)) = (reach, usize::try_from(batch)) else {
        return Err(Stop::Broken(format!("its indices {places} name {depth} axes of {shape} after {batch}")));
    };
    let to = places[..places.rank() - 1].iter().chain(&shape[reach..]).cloned().collect();
    let y = cx.structural(Structural::GatherNd { batch_dims: batch }, typed(dtype, to), &[x, indices]);
    cx.finish(0, y)
}

fn reduction(cx: &Cx) -> Result<ScatterReduction, Stop> {
    Ok(match cx.attributes.string_or("reduction", "none")? {
        "none" => ScatterReduction::None,
        "add" => ScatterReduction::Add,
        "mul" => ScatterReduction::Mul,
        "max" => ScatterReduction::Max,
        "min" => ScatterReduction::Min,
        other => {
            return Err(cx.attributes.error("reduction", format!("{other:?}"), "none, add, mul, max or min").into());
        }
    })
}

pub(super) fn scatter_elements(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let shape = cx.need_shape(operands[0])?;
    let axis = cx.attributes.int_or("axis", 0)?;
    let axis = cx.axis(axis, shape.rank())?;
    let ty = cx.ty(operands[0]);
    let reduction = reduction(cx)?;
    let y = cx.structural(Structural::ScatterElements { axis, reduction }, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn scatter_nd(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let ty = cx.ty(operands[0]);
    let reduction = reduction(cx)?;
    let known = match cx.all_known(&operands).as_deref() {
        Some([x, indices, updates]) if reduction == ScatterReduction::None => scattered(x, indices, updates),
        _ => None,
    };
    let y = cx.known_or(known, |cx| cx.structural(Structural::ScatterNd { reduction }, ty, &operands));
    cx.finish(0, y)
}

/// Elements of a list replaced at the given places.
fn scattered(x: &Known, indices: &Known, updates: &Known) -> Option<Known> {
    let ([size], [.., 1]) = (x.sizes.as_slice(), indices.sizes.as_slice()) else { return None };
    let mut elems: Vec<Elem> = x.elems.to_vec();
    for (place, update) in indices.ints()?.into_iter().zip(updates.elems.iter()) {
        let place = usize::try_from(if place < 0 { place + *size as i64 } else { place }).ok()?;
        *elems.get_mut(place)? = update.clone();
    }
    Known::new(x.dtype, x.sizes.clone(), elems)
}

/// The result has the first input's type.
pub(super) fn same_type(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    opaque(format!("{} has types only", cx.op_type()), vec![cx.ty(x)])
}

/// Indices of shape (rank, count), the count being known at run time.
pub(super) fn non_zero(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let Some(shape) = cx.shape(x) else {
        return opaque("the shape of its input is not known", vec![of_dtype(Some(DType::I64))]);
    };
    let count = match cx.known(x).map(|k| nonzero_places(&k)) {
        Some(Some(places)) => {
            let known = Known::new(DType::I64, vec![shape.rank(), places.len()], transposed(&places, shape.rank()));
            let ty = typed(Some(DType::I64), Shape(vec![Dim::from(shape.rank()), Dim::from(places.len())]));
            let y = cx.known_or(known, |cx| cx.structural(Structural::NonZero, ty, &[x]));
            return cx.finish(0, y);
        }
        _ => cx.fresh(0, 1),
    };
    let ty = typed(Some(DType::I64), Shape(vec![Dim::from(shape.rank()), count]));
    let y = cx.structural(Structural::NonZero, ty, &[x]);
    cx.finish(0, y)
}

fn nonzero_places(x: &Known) -> Option<Vec<Vec<usize>>> {
    let mut places = Vec::new();
    for (index, elem) in crate::onnx::known::indices(&x.sizes)?.zip(x.elems.iter()) {
        if elem.value(x.dtype)?.is_true() {
            places.push(index);
        }
    }
    Some(places)
}

fn transposed(places: &[Vec<usize>], rank: usize) -> Vec<Elem> {
    (0..rank).flat_map(|axis| places.iter().map(move |p| Elem::int(Dim::from(p[axis])))).collect()
}

/// A new axis of the given depth.
pub(super) fn one_hot(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let dtype = cx.dtype(operands[2]);
    let Some(shape) = cx.shape(operands[0]) else {
        return opaque("the shape of its indices is not known", vec![of_dtype(dtype)]);
    };
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank() + 1)?;
    let depth = cx.known(operands[1]).and_then(|k| k.elems.first()?.dim().cloned());
    let depth = match depth {
        Some(depth) => depth,
        None => cx.fresh(0, axis),
    };
    let mut to = shape;
    to.0.insert(axis, depth);
    let y = cx.structural(Structural::OneHot { axis }, typed(dtype, to), &operands);
    cx.finish(0, y)
}

/// Operands x and, if given, the diagonal.
pub(super) fn trilu(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let ty = cx.ty(x);
    let upper = cx.attributes.flag("upper", true)?;
    let operands: Vec<Value> = [Some(x), cx.optional(1)].into_iter().flatten().collect();
    let y = cx.structural(Structural::Trilu { upper }, ty, &operands);
    cx.finish(0, y)
}

/// The elements or slices whose condition is true, as many as there are.
pub(super) fn compress(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?];
    let shape = cx.need_shape(operands[0])?;
    let (axis, to) = match cx.attributes.int("axis")? {
        Some(axis) => {
            let axis = cx.axis(axis, shape.rank())?;
            let mut to = shape;
            to.0[axis] = cx.fresh(0, axis);
            (Some(axis), to)
        }
        None => (None, cx.fresh_shape(0, 1)),
    };
    let ty = typed(cx.dtype(operands[0]), to);
    let y = cx.structural(Structural::Compress { axis }, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn reverse_sequence(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?];
    let ty = cx.ty(operands[0]);
    let rank = cx.need_shape(operands[0])?.rank();
    let (batch, time) = (cx.attributes.int_or("batch_axis", 1)?, cx.attributes.int_or("time_axis", 0)?);
    let op = Structural::ReverseSequence { batch_axis: cx.axis(batch, rank)?, time_axis: cx.axis(time, rank)? };
    let y = cx.structural(op, ty, &operands);
    cx.finish(0, y)
}

pub(super) fn det(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    if shape.rank() < 2 {
        return Err(Stop::Broken(format!("{shape} holds no matrices")));
    }
    let ty = typed(cx.dtype(x), Shape(shape[..shape.rank() - 2].to_vec()));
    let y = cx.structural(Structural::Det, ty, &[x]);
    cx.finish(0, y)
}

/// Operators that stay opaque, with the types of their results.
pub(super) fn types_only(cx: &mut Cx) -> Done {
    let op = cx.op_type();
    let x = cx.input(0)?;
    let (dtype, shape) = (cx.dtype(x), cx.shape(x));
    let other = |cx: &Cx, slot: usize| cx.optional(slot).and_then(|v| cx.shape(v));
    let i64s = Some(DType::I64);
    let types = match op {
        "RotaryEmbedding" => vec![cx.ty(x)],
        "Unique" => {
            let count = cx.fresh(0, 0);
            let list = typed(i64s, Shape(vec![count.clone()]));
            let first = match (cx.attributes.int("axis")?, shape) {
                (Some(axis), Some(mut shape)) => {
                    let axis = cx.axis(axis, shape.rank())?;
                    shape.0[axis] = count;
                    typed(dtype, shape)
                }
                (None, _) => typed(dtype, Shape(vec![count])),
                _ => of_dtype(dtype),
            };
            let inverse = typed(i64s, cx.fresh_shape(2, 1));
            vec![first, list.clone(), inverse, list]
        }
        "NonMaxSuppression" => {
            let count = cx.fresh(0, 0);
            vec![typed(i64s, Shape(vec![count, Dim::fixed(3)]))]
        }
        "RoiAlign" | "MaxRoiPool" => {
            let sizes = match cx.attributes.ints("pooled_shape")? {
                Some([h, w]) => [*h, *w],
                _ => [cx.attributes.int_or("output_height", 1)?, cx.attributes.int_or("output_width", 1)?],
            };
            let rois = other(cx, 1).and_then(|s| s.first().cloned());
            let to = rois.zip(shape.and_then(|s| s.get(1).cloned()));
            let to = to.map(|(n, c)| Shape(vec![n, c, Dim::fixed(sizes[0]), Dim::fixed(sizes[1])]));
            vec![Type { dtype, shape: to }]
        }
        "GridSample" => {
            let grid = other(cx, 1);
            let to = shape.zip(grid).filter(|(x, g)| x.rank() > 2 && x.rank() == g.rank());
            let to = to.map(|(x, g)| x[..2].iter().chain(&g[1..g.rank() - 1]).cloned().collect());
            vec![Type { dtype, shape: to }]
        }
        _ => vec![of_dtype(dtype)],
    };
    opaque(format!("{op} has types only"), types)
}
