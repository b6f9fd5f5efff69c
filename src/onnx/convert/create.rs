//! Operators that make tensors: constants, shapes, ranges, random numbers.

use super::*;
use crate::onnx::known::{Elem, Known, LARGEST, Sizes};
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;

pub(super) fn constant(cx: &mut Cx) -> Done {
    if let Some(tensor) = cx.attributes.tensor("value")? {
        let value = cx.scope.constant("", tensor)?;
        return cx.finish(0, value);
    }
    let floats = |values: &[f32]| values.iter().map(|&x| Number::Float(x.into())).collect::<Vec<_>>();
    let ints = |values: &[i64]| values.iter().map(|&i| Number::Int(i.into())).collect::<Vec<_>>();
    let (dtype, numbers, list) = if let Some(x) = cx.attributes.float("value_float")? {
        (DType::F32, floats(&[x]), false)
    } else if let Some(i) = cx.attributes.int("value_int")? {
        (DType::I64, ints(&[i]), false)
    } else if let Some(list) = cx.attributes.floats("value_floats")? {
        (DType::F32, floats(list), true)
    } else if let Some(list) = cx.attributes.ints("value_ints")? {
        (DType::I64, ints(list), true)
    } else if ["value_string", "value_strings", "sparse_value"].iter().any(|name| cx.attributes.has(name)) {
        return opaque("a constant of text, or sparse", vec![]);
    } else {
        return Err(Stop::Broken("it has no value".into()));
    };
    let sizes = if list { vec![numbers.len()] } else { vec![] };
    let tensor = Tensor::from_numbers(dtype, &sizes, numbers).map_err(|e| Stop::Broken(e.to_string()))?;
    let value = cx.constant(tensor);
    cx.finish(0, value)
}

/// One element, expanded: no memory is taken, whatever the size.
pub(super) fn constant_of_shape(cx: &mut Cx) -> Done {
    let sizes = cx.input(0)?;
    let element = match cx.attributes.tensor("value")? {
        None => cx.constant(Tensor::scalar(Scalar::f32(0.0))),
        Some(tensor) if crate::onnx::data::elements(tensor)? == 1 => cx.scope.constant("", tensor)?,
        Some(_) => return Err(cx.attributes.error("value", "several elements", "one").into()),
    };
    let dtype = cx.dtype(element);
    let Some(scalar) = cx.graph().constant(element).map(|t| t.at(0)) else {
        return opaque("its value is no number here", vec![]);
    };
    if let Some(dims) = cx.known(sizes).and_then(|k| k.to_dims()) {
        let shape = Shape(dims);
        let element = cx.reshape(element, Shape::SCALAR);
        let y = cx.view(View::Expand { to: shape.clone() }, &[element], shape);
        return cx.finish(0, y);
    }
    let shape = match cx.shape(sizes).and_then(|s| s.first()?.known()) {
        Some(rank @ 0..=64) => cx.fresh_shape(0, rank as usize),
        _ => return opaque("the rank of its result is not known", vec![of_dtype(dtype)]),
    };
    let y = cx.structural(Structural::ConstantOfShape { value: scalar }, typed(dtype, shape), &[sizes]);
    cx.finish(0, y)
}

/// start, start + delta … before limit.
pub(super) fn range(cx: &mut Cx) -> Done {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let dtype = cx.dtype(operands[0]);
    let known = cx.all_known(&operands);
    let elems = known.as_ref().and_then(|k| Some([k[0].elems.first()?, k[1].elems.first()?, k[2].elems.first()?]));
    let size = match elems {
        Some([start, limit, delta]) => length(start, limit, delta, dtype, &cx.scope.sizes)?,
        None => None,
    };
    let values = size.as_ref().and_then(Dim::known).zip(elems).and_then(|(n, [start, _, delta])| {
        let count = usize::try_from(n).ok().filter(|n| *n <= LARGEST)?;
        let (first, step) = (start.dim()?, delta.dim()?);
        let at = |i: usize| Some(Elem::int(first.add(&step.mul(&Dim::from(i)).ok()?).ok()?));
        Known::new(dtype?, vec![count], (0..count).map(at).collect::<Option<_>>()?)
    });
    let size = match size {
        Some(size) => size,
        None => cx.fresh(0, 0),
    };
    let ty = typed(dtype, Shape(vec![size]));
    let y = cx.known_or(values, |cx| cx.structural(Structural::Range, ty, &operands));
    cx.finish(0, y)
}

/// max(0, ⌈(limit − start) / delta⌉)
fn length(
    start: &Elem,
    limit: &Elem,
    delta: &Elem,
    dtype: Option<DType>,
    symbols: &Sizes,
) -> Result<Option<Dim>, Stop> {
    if let (Some(start), Some(limit), Some(delta)) = (start.dim(), limit.dim(), delta.dim()) {
        let (span, step) = (limit.sub(start)?, delta.known());
        return Ok(match step {
            Some(0) => return Err(Stop::Broken("its delta is 0".into())),
            Some(step) if step > 0 => Some(symbols.not_negative(span.ceil_div(&Dim::fixed(step))?)?),
            Some(step) => {
                let (span, step) = (Dim::ZERO.sub(&span)?, Dim::ZERO.sub(&Dim::fixed(step))?);
                Some(symbols.not_negative(span.ceil_div(&step)?)?)
            }
            None => None,
        });
    }
    let number = |e: &Elem| e.value(dtype?).map(Number::as_f64);
    let (Some(start), Some(limit), Some(delta)) = (number(start), number(limit), number(delta)) else {
        return Ok(None);
    };
    let count = ((limit - start) / delta).ceil().max(0.0);
    match count < 1e15 {
        true => Ok(Some(Dim::fixed(count as i64))),
        false => Err(Stop::Broken(format!("it would have {count} elements"))),
    }
}

/// The operand's shape from axis `start` to `end`.
pub(super) fn shape(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let Some(shape) = cx.shape(x) else {
        return opaque("", vec![of_dtype(Some(DType::I64))]);
    };
    let rank = shape.rank() as i64;
    let bound = |given: i64| if given < 0 { given.saturating_add(rank) } else { given }.clamp(0, rank) as usize;
    let start = bound(cx.attributes.int_or("start", 0)?);
    let end = bound(cx.attributes.int_or("end", rank)?).max(start);
    let known = Known::dims(shape[start..end].iter().cloned());
    let ty = typed(Some(DType::I64), Shape(vec![Dim::from(end - start)]));
    let y = cx.known_or(known, |cx| cx.structural(Structural::Shape { start, end }, ty, &[x]));
    cx.finish(0, y)
}

pub(super) fn size(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let count = match cx.shape(x) {
        Some(shape) => product(shape.iter())?,
        None => None,
    };
    let ty = typed(Some(DType::I64), Shape::SCALAR);
    let y = cx.known_or(count.map(Known::scalar), |cx| cx.structural(Structural::Size, ty, &[x]));
    cx.finish(0, y)
}

/// Ones on a diagonal, zeros elsewhere.
pub(super) fn eye_like(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let stated = cx.attributes.int("dtype")?.map(|n| i32::try_from(n).ok().and_then(DType::from_onnx));
    let ty = Type { dtype: stated.unwrap_or(cx.dtype(x)), shape: cx.shape(x) };
    let k = cx.attributes.int_or("k", 0)?;
    let y = cx.structural(Structural::EyeLike { k }, ty, &[x]);
    cx.finish(0, y)
}

/// Random numbers: types only.
pub(super) fn generated(cx: &mut Cx) -> Done {
    let stated = cx.attributes.int("dtype")?.map(|n| i32::try_from(n).ok().and_then(DType::from_onnx));
    let like = cx.optional(0).map(|x| cx.ty(x)).unwrap_or_default();
    let (shape, default) = match cx.op_type() {
        "RandomNormal" | "RandomUniform" => {
            let given = cx.attributes.ints("shape")?;
            let sizes = cx.attributes.required("shape", given)?;
            (Some(sizes.iter().map(|&n| Dim::fixed(n)).collect()), Some(DType::F32))
        }
        "Multinomial" => {
            let samples = Dim::fixed(cx.attributes.int_or("sample_size", 1)?);
            (like.shape.and_then(|s| Some(Shape(vec![s.first()?.clone(), samples]))), Some(DType::I32))
        }
        _ => (like.shape, like.dtype),
    };
    let dtype = stated.unwrap_or(default);
    opaque("", vec![Type { dtype, shape }])
}
