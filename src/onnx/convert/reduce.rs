//! Reductions, extrema by index, running sums.

use super::views::axes_given;
use super::*;
use crate::onnx::known::{Elem, Known};
use crate::structural::Reduction;

pub(super) fn reduce(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let Some(shape) = cx.shape(x) else {
        return opaque("the shape of its input is not known", vec![of_dtype(dtype)]);
    };
    let op = match cx.op_type() {
        "ReduceSum" => Reduction::Sum,
        "ReduceMean" => Reduction::Mean,
        "ReduceMax" => Reduction::Max,
        "ReduceMin" => Reduction::Min,
        "ReduceProd" => Reduction::Prod,
        "ReduceL1" => Reduction::L1,
        "ReduceL2" => Reduction::L2,
        "ReduceSumSquare" => Reduction::SumSquare,
        "ReduceLogSum" => Reduction::LogSum,
        _ => Reduction::LogSumExp,
    };
    let keep_dims = cx.attributes.flag("keepdims", true)?;
    let given = match axes_given(cx, 1) {
        Err(Stop::Opaque { why, .. }) => {
            let shape = keep_dims.then(|| cx.fresh_shape(0, shape.rank()));
            return opaque(why, vec![Type { dtype, shape }]);
        }
        other => other?,
    };
    let mut axes = match given {
        Some(axes) if !axes.is_empty() => cx.axes(&axes, shape.rank())?,
        _ if cx.attributes.flag("noop_with_empty_axes", false)? => return no_axes(cx, x, op),
        _ => (0..shape.rank()).collect(),
    };
    axes.sort_unstable();
    let ty = typed(dtype, reduced(&shape, &axes, keep_dims));
    let known = cx.known(x).and_then(|k| folded(&k, op, &axes, &ty));
    let y = cx.known_or(known, |cx| cx.structural(Structural::Reduce { op, axes, keep_dims }, ty, &[x]));
    cx.finish(0, y)
}

/// A reduction over no axis still applies its function to each element.
fn no_axes(cx: &mut Cx, x: Value, op: Reduction) -> Done {
    let y = match op {
        Reduction::Sum | Reduction::Mean | Reduction::Max | Reduction::Min | Reduction::Prod => x,
        _ => {
            let ty = cx.ty(x);
            cx.structural(Structural::Reduce { op, axes: vec![], keep_dims: true }, ty, &[x])
        }
    };
    cx.finish(0, y)
}

fn reduced(shape: &Shape, axes: &[usize], keep_dims: bool) -> Shape {
    let keep = |(axis, dim): (usize, &Dim)| match (axes.contains(&axis), keep_dims) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(Dim::ONE),
        (true, false) => None,
    };
    shape.iter().enumerate().filter_map(keep).collect()
}

/// A whole list of sizes reduced to one.
fn folded(x: &Known, op: Reduction, axes: &[usize], ty: &Type) -> Option<Known> {
    if x.dtype.is_float() || axes.len() != x.sizes.len() || x.elems.is_empty() {
        return None;
    }
    let combine = match op {
        Reduction::Sum => Dim::add,
        Reduction::Prod => Dim::mul,
        Reduction::Max => Dim::larger,
        Reduction::Min => Dim::smaller,
        _ => return None,
    };
    let dims = x.to_dims()?;
    let mut total = dims[0].clone();
    for dim in &dims[1..] {
        total = combine(&total, dim).ok().filter(|d| d.is_within(crate::onnx::known::LONGEST_FORMULA))?;
    }
    Known::new(x.dtype, ty.shape.as_ref()?.known()?, vec![Elem::int(total)])
}

pub(super) fn arg(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let keep_dims = cx.attributes.flag("keepdims", true)?;
    let Some(shape) = cx.shape(x) else {
        return opaque("the shape of its input is not known", vec![of_dtype(Some(DType::I64))]);
    };
    let axis = cx.attributes.int_or("axis", 0)?;
    let axis = cx.axis(axis, shape.rank())?;
    let select_last = cx.attributes.flag("select_last_index", false)?;
    let op = Structural::ArgExtremum { max: cx.op_type() == "ArgMax", axis, keep_dims, select_last };
    let y = cx.structural(op, typed(Some(DType::I64), reduced(&shape, &[axis], keep_dims)), &[x]);
    cx.finish(0, y)
}

/// k is an attribute before opset 10 and an input since.
pub(super) fn top_k(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let Some(shape) = cx.shape(x) else {
        return opaque("the shape of its input is not known", vec![of_dtype(dtype), of_dtype(Some(DType::I64))]);
    };
    let axis = cx.attributes.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.rank())?;
    let (k, size) = match cx.version < 10 {
        true => {
            let given = cx.attributes.int("k")?;
            let k = cx.attributes.required("k", given)?;
            let tensor = crate::tensor::Tensor::from_slice(&[1], &[k]).map_err(|e| Stop::Broken(e.to_string()))?;
            (cx.constant(tensor), Some(Dim::fixed(k)))
        }
        false => {
            let k = cx.input(1)?;
            let size = cx.known(k).and_then(|k| k.elems.first()?.dim().cloned());
            (k, size)
        }
    };
    if let (Some(k), Some(n)) = (size.as_ref().and_then(Dim::known), shape[axis].known())
        && !(0..=n).contains(&k)
    {
        return Err(Stop::Broken(format!("it takes the first {k} of {n}")));
    }
    let mut to = shape;
    to.0[axis] = match size {
        Some(size) => size,
        None => cx.fresh(0, axis),
    };
    let op = Structural::TopK {
        axis,
        largest: cx.attributes.flag("largest", true)?,
        sorted: cx.attributes.flag("sorted", true)?,
    };
    let types = vec![typed(dtype, to.clone()), typed(Some(DType::I64), to)];
    cx.structural_outputs(op, types, &[x, k])
}

pub(super) fn cumulative(cx: &mut Cx) -> Done {
    let (x, axis) = (cx.input(0)?, cx.input(1)?);
    let ty = cx.ty(x);
    let product = cx.op_type() == "CumProd";
    let exclusive = cx.attributes.flag("exclusive", false)?;
    let reverse = cx.attributes.flag("reverse", false)?;
    let y = cx.structural(Structural::Cumulative { product, exclusive, reverse }, ty, &[x, axis]);
    cx.finish(0, y)
}
