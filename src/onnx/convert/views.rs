//! Operators that rearrange elements.

use super::*;
use crate::onnx::known::Elem;
use crate::structural::DynamicView;

/// Reshape: 0 keeps the input's size at that place (unless `allowzero`), one −1 takes what is left.
pub(super) fn reshape(cx: &mut Cx) -> Done {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    let Some(known) = cx.known(target) else {
        let rank = cx.shape(target).and_then(|s| s.first()?.known()).filter(|rank| (0..=64).contains(rank));
        let Some(rank) = rank else {
            return opaque("its shape is computed at run time, and so is its rank", vec![of_dtype(dtype)]);
        };
        let shape = cx.fresh_shape(0, rank as usize);
        return dynamic(cx, x, target, shape);
    };
    if known.elems.len() > 64 {
        return Err(Stop::Broken(format!("it gives a tensor {} axes; at most 64 are taken", known.elems.len())));
    }
    let from = cx.shape(x);
    let zero_is_zero = cx.attributes.flag("allowzero", false)?;
    let (mut dims, mut open) = (Vec::new(), Vec::new());
    for (axis, elem) in known.elems.iter().enumerate() {
        let dim = match elem.dim() {
            Some(d) if d.is(-1) => None,
            Some(d) if d.is(0) && !zero_is_zero => match &from {
                Some(from) if axis < from.rank() => Some(from[axis].clone()),
                Some(from) => return Err(Stop::Broken(format!("it keeps axis {axis} of {from}, which has none"))),
                None => Some(cx.fresh(0, axis)),
            },
            Some(d) if d.known().is_some_and(|n| n < 0) => {
                return Err(Stop::Broken(format!("its shape has the size {d} at axis {axis}")));
            }
            dim => dim.cloned(),
        };
        if dim.is_none() {
            open.push((axis, matches!(elem, Elem::Unknown)));
        }
        dims.push(dim);
    }
    if open.iter().filter(|(_, unknown)| !unknown).count() > 1 {
        return Err(Stop::Broken("its shape has −1 more than once".into()));
    }
    let is_static = open.len() <= 1;
    if let ([(axis, _)], Some(from)) = (open.as_slice(), &from) {
        dims[*axis] = remaining(from, &dims)?;
    }
    let complete = dims.iter().all(Option::is_some);
    let shape: Shape =
        dims.into_iter().enumerate().map(|(axis, dim)| dim.unwrap_or_else(|| cx.fresh(0, axis))).collect();
    if !(is_static && complete) {
        return dynamic(cx, x, target, shape);
    }
    if let Some(from) = &from
        && let (Some(Some(n)), Some(Some(m))) = (count(from)?, count(&shape)?)
        && n != m
    {
        return Err(Stop::Broken(format!("{from} has {n} elements and can't become {shape}, which has {m}")));
    }
    let y = cx.reshape(x, shape);
    cx.finish(0, y)
}

/// The number of elements, if known; the outer `None` for a formula too long to write down.
fn count(shape: &Shape) -> Result<Option<Option<i64>>, Stop> {
    Ok(product(shape.iter())?.map(|n| n.known()))
}

/// The size that makes up the number of `from`'s elements; `None` if that is not to be said.
fn remaining(from: &Shape, dims: &[Option<Dim>]) -> Result<Option<Dim>, Stop> {
    // Sizes on both sides cancel first, which keeps formulas short and zero sizes out of a division.
    let mut left: Vec<&Dim> = from.iter().collect();
    let mut given = Vec::new();
    for dim in dims.iter().flatten() {
        match left.iter().position(|d| *d == dim) {
            Some(at) => drop(left.remove(at)),
            None => given.push(dim),
        }
    }
    let (Some(total), Some(given)) = (product(left)?, product(given)?) else { return Ok(None) };
    match (total.known(), given.known()) {
        (_, Some(0)) => Err(Stop::Broken(format!("−1 beside a size of 0 is not defined, for {from}"))),
        (Some(n), Some(m)) if n % m != 0 => {
            Err(Stop::Broken(format!("{from} does not divide into sizes whose product is a multiple of {m}")))
        }
        _ => Ok(Some(total.floor_div(&given)?)),
    }
}

fn dynamic(cx: &mut Cx, x: Value, target: Value, shape: Shape) -> Done {
    let ty = typed(cx.dtype(x), shape);
    let literal = cx.attributes.int_or("allowzero", 0)? != 0;
    let op = if literal { DynamicView::ReshapeLiteral } else { DynamicView::Reshape };
    let y = cx.structural(Structural::DynamicView { op }, ty, &[x, target]);
    cx.finish(0, y)
}

/// All axes before `axis` become one, and all from it on another.
pub(super) fn flatten(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axis = cx.attributes.int_or("axis", 1)?;
    let axis = if axis == shape.rank() as i64 { shape.rank() } else { cx.axis(axis, shape.rank())? };
    let parts = [product(&shape[..axis])?, product(&shape[axis..])?];
    let to = parts.into_iter().enumerate().map(|(at, dim)| dim.unwrap_or_else(|| cx.fresh(0, at))).collect();
    let y = cx.reshape(x, to);
    cx.finish(0, y)
}

/// The axes of Squeeze, Unsqueeze and the like: an attribute before opset 13 (18 for Reduce), an input since.
pub(super) fn axes_given(cx: &mut Cx, input: usize) -> Result<Option<Vec<i64>>, Stop> {
    if let Some(axes) = cx.attributes.ints("axes")? {
        return Ok(Some(axes.to_vec()));
    }
    let Some(value) = cx.optional(input) else { return Ok(None) };
    match cx.ints(value) {
        Some(axes) => Ok(Some(axes)),
        None => opaque("its axes are computed at run time", vec![]),
    }
}

pub(super) fn squeeze(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let drop = match axes_given(cx, 1)? {
        Some(axes) => cx.axes(&axes, shape.rank())?,
        None if shape.iter().all(|d| d.known().is_some()) => (0..shape.rank()).filter(|&a| shape[a].is(1)).collect(),
        None => return opaque("which axes it drops depends on sizes that are not known", vec![of_dtype(cx.dtype(x))]),
    };
    if let Some(axis) = drop.iter().find(|&&a| shape[a].known().is_some_and(|n| n != 1)) {
        return Err(Stop::Broken(format!("it drops axis {axis} of {shape}, whose size is not 1")));
    }
    let to = (0..shape.rank()).filter(|a| !drop.contains(a)).map(|a| shape[a].clone()).collect();
    let y = cx.reshape(x, to);
    cx.finish(0, y)
}

pub(super) fn unsqueeze(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axes = axes_given(cx, 1)?.ok_or_else(|| Stop::Broken("it is given no axes".into()))?;
    if axes.len() > 64 {
        return Err(Stop::Broken(format!("it adds {} axes; at most 64 are taken", axes.len())));
    }
    let rank = shape.rank() + axes.len();
    let added = cx.axes(&axes, rank)?;
    let mut rest = shape.iter().cloned();
    let to = (0..rank).map(|a| if added.contains(&a) { Dim::ONE } else { rest.next().unwrap_or(Dim::ONE) }).collect();
    let y = cx.reshape(x, to);
    cx.finish(0, y)
}

pub(super) fn transpose(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let axes = match cx.attributes.ints("perm")? {
        Some(perm) if perm.len() == shape.rank() => cx.axes(perm, shape.rank())?,
        Some(perm) => return Err(Stop::Broken(format!("its perm {perm:?} is not one of {} axes", shape.rank()))),
        None => (0..shape.rank()).rev().collect(),
    };
    let y = transposed(cx, x, axes)?;
    cx.finish(0, y)
}

/// Axis `i` of the result is axis `axes[i]` of `x`.
pub(super) fn transposed(cx: &mut Cx, x: Value, axes: Vec<usize>) -> Result<Value, Stop> {
    let shape = cx.need_shape(x)?;
    if axes.iter().enumerate().all(|(at, axis)| at == *axis) {
        return Ok(x);
    }
    let to = axes.iter().map(|&axis| shape[axis].clone()).collect();
    Ok(cx.view(View::Transpose { axes }, &[x], to))
}

/// NumPy's broadcast, in both directions: sizes of 1 in the target keep the input's.
pub(super) fn expand(cx: &mut Cx) -> Done {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.need_shape(x)?;
    let dims = cx.known(target).and_then(|k| k.to_dims());
    let result = dims.map(|dims| crate::onnx::import::broadcast(&[shape.clone(), Shape(dims)]));
    if let Some(to) = result.transpose()? {
        let y = if to == shape { x } else { cx.view(View::Expand { to: to.clone() }, &[x], to) };
        return cx.finish(0, y);
    }
    let ty = match cx.shape(target).and_then(|s| s.first()?.known()) {
        Some(rank @ 0..=64) => typed(cx.dtype(x), cx.fresh_shape(0, shape.rank().max(rank as usize))),
        _ => of_dtype(cx.dtype(x)),
    };
    let y = cx.structural(Structural::DynamicView { op: DynamicView::Expand }, ty, &[x, target]);
    cx.finish(0, y)
}

pub(super) fn concat(cx: &mut Cx) -> Done {
    let inputs = cx.all_inputs()?;
    let axis = cx.attributes.int("axis")?;
    let axis = cx.attributes.required("axis", axis)?;
    let y = concatenated(cx, &inputs, axis)?;
    cx.finish(0, y)
}

pub(super) fn concatenated(cx: &mut Cx, inputs: &[Value], axis: i64) -> Result<Value, Stop> {
    let shapes = inputs.iter().map(|v| cx.need_shape(*v)).collect::<Result<Vec<_>, _>>()?;
    let first = &shapes[0];
    let axis = cx.axis(axis, first.rank())?;
    let (mut to, mut total) = (first.clone(), Dim::ZERO);
    for (shape, value) in shapes.iter().zip(inputs) {
        if shape.rank() != first.rank() {
            return Err(Stop::Broken(format!("it joins {first} and {shape}, which differ in rank")));
        }
        if cx.dtype(*value) != cx.dtype(inputs[0]) && cx.dtype(*value).is_some() && cx.dtype(inputs[0]).is_some() {
            return Err(Stop::Broken("it joins tensors of different element types".into()));
        }
        for at in (0..first.rank()).filter(|&at| at != axis) {
            match (to[at].known(), shape[at].known()) {
                (Some(a), Some(b)) if a != b => {
                    return Err(Stop::Broken(format!("it joins {first} and {shape} along axis {axis}")));
                }
                (None, Some(_)) => to.0[at] = shape[at].clone(),
                _ => {}
            }
        }
        total = total.add(&shape[axis])?;
    }
    if inputs.len() == 1 {
        return Ok(inputs[0]);
    }
    to.0[axis] = total;
    Ok(cx.view(View::Concat { axis }, inputs, to))
}

/// Repetition of the whole tensor: a new axis before each repeated one, expanded, then merged with it.
pub(super) fn tile(cx: &mut Cx) -> Done {
    let (x, repeats) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.need_shape(x)?;
    let Some(repeats_known) = cx.known(repeats).and_then(|k| k.to_dims()) else {
        let ty = typed(cx.dtype(x), cx.fresh_shape(0, shape.rank()));
        let y = cx.structural(Structural::Tile, ty, &[x, repeats]);
        return cx.finish(0, y);
    };
    if repeats_known.len() != shape.rank() {
        return Err(Stop::Broken(format!("it has {} repeats for the shape {shape}", repeats_known.len())));
    }
    let (mut apart, mut wide, mut merged) = (Vec::new(), Vec::new(), Vec::new());
    for (size, times) in shape.iter().zip(&repeats_known) {
        if !times.is(1) && !size.is(1) {
            apart.push(Dim::ONE);
            wide.push(times.clone());
        }
        apart.push(size.clone());
        wide.push(if size.is(1) { times.clone() } else { size.clone() });
        merged.push(size.mul(times)?);
    }
    let split = cx.reshape(x, Shape(apart.clone()));
    let wide_shape = Shape(wide);
    let y = match wide_shape.0 == apart {
        true => split,
        false => cx.view(View::Expand { to: wide_shape.clone() }, &[split], wide_shape),
    };
    let y = cx.reshape(y, Shape(merged));
    cx.finish(0, y)
}

/// The blocks of a four-axis tensor: N, C, H, W, and the block's size.
fn blocks(cx: &mut Cx, x: Value) -> Result<([Dim; 4], Dim), Stop> {
    let shape = cx.need_shape(x)?;
    let size = cx.attributes.int("blocksize")?;
    let size = cx.attributes.required("blocksize", size)?;
    if size < 1 {
        return Err(cx.attributes.error("blocksize", size.to_string(), "at least 1").into());
    }
    match <[Dim; 4]>::try_from(shape.0) {
        Ok(sizes) => Ok((sizes, Dim::fixed(size))),
        Err(sizes) => Err(Stop::Broken(format!("its input {} has not four axes", Shape(sizes)))),
    }
}

fn exact(dim: &Dim, by: &Dim) -> Result<Dim, Stop> {
    match (dim.known(), by.known()) {
        (Some(n), Some(m)) if m == 0 || n % m != 0 => Err(Stop::Broken(format!("{n} is not a multiple of {m}"))),
        _ => Ok(dim.floor_div(by)?),
    }
}

pub(super) fn depth_to_space(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let ([n, c, h, w], b) = blocks(cx, x)?;
    let deep = exact(&c, &b.mul(&b)?)?;
    let (apart, axes) = match cx.attributes.string_or("mode", "DCR")? {
        "DCR" => (vec![n.clone(), b.clone(), b.clone(), deep.clone(), h.clone(), w.clone()], vec![0, 3, 4, 1, 5, 2]),
        "CRD" => (vec![n.clone(), deep.clone(), b.clone(), b.clone(), h.clone(), w.clone()], vec![0, 1, 4, 2, 5, 3]),
        other => return Err(cx.attributes.error("mode", format!("{other:?}"), "\"DCR\" or \"CRD\"").into()),
    };
    let y = cx.reshape(x, Shape(apart));
    let y = transposed(cx, y, axes)?;
    let y = cx.reshape(y, Shape(vec![n, deep, h.mul(&b)?, w.mul(&b)?]));
    cx.finish(0, y)
}

pub(super) fn space_to_depth(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let ([n, c, h, w], b) = blocks(cx, x)?;
    let (rows, columns) = (exact(&h, &b)?, exact(&w, &b)?);
    let apart = vec![n.clone(), c.clone(), rows.clone(), b.clone(), columns.clone(), b.clone()];
    let y = cx.reshape(x, Shape(apart));
    let y = transposed(cx, y, vec![0, 3, 5, 1, 2, 4])?;
    let y = cx.reshape(y, Shape(vec![n, c.mul(&b)?.mul(&b)?, rows, columns]));
    cx.finish(0, y)
}
