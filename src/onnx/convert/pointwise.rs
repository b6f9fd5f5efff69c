//! Element-wise operators. Most are found in the op table by their ONNX name; here are those whose inputs or attributes
//! changed over the operator sets, that take any number of inputs, or that are several ops in one.

use super::*;
use crate::onnx::attributes::domain;
use crate::op::{self, Row};
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Rows by ONNX domain and name, with the operator-set version since which each has that meaning.
type RowsByName = HashMap<(&'static str, &'static str), (&'static Row, u32)>;

fn rows() -> &'static RowsByName {
    static ROWS: OnceLock<RowsByName> = OnceLock::new();
    ROWS.get_or_init(|| {
        let mut rows = RowsByName::new();
        for row in op::table() {
            for name in row.onnx {
                // A later row of the same name does not displace the first, which has the operator's default attributes.
                rows.entry((name.domain, name.op_type)).or_insert((row, name.since));
            }
        }
        rows
    })
}

/// The row that means what the node says in its version, if there is one.
fn row_for(cx: &Cx) -> Option<&'static Row> {
    let (row, since) = rows().get(&(domain(cx.node), cx.op_type()))?;
    (cx.version >= i64::from(*since)).then_some(row)
}

/// A constant of one element of `like`'s type.
pub(super) fn scalar(cx: &mut Cx, like: Value, x: f64) -> Result<Value, Stop> {
    match cx.dtype(like) {
        Some(dtype) => Ok(cx.constant(Tensor::scalar(Scalar::new(dtype, Number::Float(x))))),
        None => opaque("the element type of its input is not known", vec![Type { dtype: None, shape: cx.shape(like) }]),
    }
}

/// An f32 constant, as the params of the op table are.
pub(super) fn param(cx: &mut Cx, x: f32) -> Value {
    cx.constant(Tensor::scalar(Scalar::f32(x)))
}

/// The node as a row of the op table: inputs in order, then attributes as constants.
pub(super) fn by_table(cx: &mut Cx) -> Done {
    let Some(row) = row_for(cx) else {
        return opaque(format!("the operator {} is not known", super::super::attributes::op_name(cx.node)), vec![]);
    };
    cx.at_most(row.operands.len())?;
    let mut operands = (0..row.operands.len()).map(|slot| cx.input(slot)).collect::<Result<Vec<_>, _>>()?;
    for p in row.params {
        let given = cx.attributes.float(p.name)?.or(p.default);
        let value = cx.attributes.required(p.name, given)?;
        operands.push(param(cx, value));
    }
    let y = cx.pointwise(Op::new(row), &operands)?;
    cx.finish(0, y)
}

pub(super) fn identity(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    cx.finish(0, x)
}

/// At inference a Dropout gives its input, and a mask that is true everywhere.
pub(super) fn dropout(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let training = cx.optional(2).map(|flag| cx.ints(flag));
    if !matches!(training.as_ref().map(|t| t.as_deref()), None | Some(Some([0]))) {
        let shape = cx.shape(x);
        let mask = Type { dtype: Some(DType::Bool), shape };
        return opaque("it drops at random: training_mode is not false", vec![cx.ty(x), mask]);
    }
    if cx.wants(1) {
        let shape = cx.need_shape(x)?;
        let dtype = if cx.version < 10 { cx.dtype(x).unwrap_or(DType::Bool) } else { DType::Bool };
        let yes = cx.constant(Tensor::scalar(Scalar::new(dtype, Number::Int(1))));
        let mask = cx.view(View::Expand { to: shape.clone() }, &[yes], shape);
        cx.finish(1, mask)?;
    }
    cx.finish(0, x)
}

/// Max, Min, Sum and Mean of any number of inputs, as a chain of binary ops in the order of the inputs.
pub(super) fn variadic(cx: &mut Cx) -> Done {
    let inputs = cx.all_inputs()?;
    let op = match cx.op_type() {
        "Max" => &op::MAX,
        "Min" => &op::MIN,
        _ => &op::ADD,
    };
    let op = Op::new(op);
    let mut y = inputs[0];
    for &x in &inputs[1..] {
        y = cx.pointwise(op, &[y, x])?;
    }
    if cx.op_type() == "Mean" && inputs.len() > 1 {
        let count = scalar(cx, y, inputs.len() as f64)?;
        y = cx.pointwise(Op::new(&op::DIV), &[y, count])?;
    }
    cx.finish(0, y)
}

/// Clip's bounds are attributes before opset 11 and inputs since; either may be left out.
pub(super) fn clip(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let (min, max) = if cx.version < 11 {
        let bound = |cx: &mut Cx, name: &str| -> Result<Option<Value>, Stop> {
            // Exporters write the default, the largest float, for "no bound".
            let given = cx.attributes.float(name)?.filter(|x| x.abs() < f32::MAX);
            given.map(|b| scalar(cx, x, b.into())).transpose()
        };
        cx.at_most(1)?;
        (bound(cx, "min")?, bound(cx, "max")?)
    } else {
        cx.at_most(3)?;
        (cx.optional(1), cx.optional(2))
    };
    let y = match (min, max) {
        (Some(min), Some(max)) => cx.pointwise(Op::new(&op::CLIP), &[x, min, max])?,
        (Some(min), None) => cx.pointwise(Op::new(&op::MAX), &[x, min])?,
        (None, Some(max)) => cx.pointwise(Op::new(&op::MIN), &[x, max])?,
        (None, None) => x,
    };
    cx.finish(0, y)
}

/// Of integers too: in f64, which holds those of up to 32 bits, and cut off again.
pub(super) fn shrink(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let small_int = |dtype: &DType| dtype.int_range().is_some() && dtype.bits() <= 32 && *dtype != DType::Bool;
    let Some(dtype) = cx.dtype(x).filter(small_int) else {
        return by_table(cx);
    };
    cx.at_most(1)?;
    let (lambd, bias) = (cx.attributes.float_or("lambd", 0.5)?, cx.attributes.float_or("bias", 0.0)?);
    let wide = cx.pointwise(Op::to(&op::CAST, DType::F64), &[x])?;
    let params = [param(cx, lambd), param(cx, bias)];
    let shrunk = cx.pointwise(Op::new(&op::SHRINK), &[wide, params[0], params[1]])?;
    let y = cx.pointwise(Op::to(&op::CAST, dtype), &[shrunk])?;
    cx.finish(0, y)
}

pub(super) fn cast(cx: &mut Cx) -> Done {
    let to = cx.attributes.int("to")?;
    let to = cx.attributes.required("to", to)?;
    let x = cx.input(0)?;
    let dtype = i32::try_from(to).ok().and_then(DType::from_onnx);
    cast_to(cx, x, dtype)
}

pub(super) fn cast_like(cx: &mut Cx) -> Done {
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(like);
    cast_to(cx, x, dtype)
}

fn cast_to(cx: &mut Cx, x: Value, to: Option<DType>) -> Done {
    let shape = cx.shape(x);
    let Some(dtype) = to else {
        return opaque("it casts to a type that is no number here", vec![Type { dtype: None, shape }]);
    };
    let narrow_float = dtype.is_float() && !dtype.is_arithmetic_float();
    let saturate = !narrow_float || cx.attributes.flag("saturate", true)?;
    if dtype == DType::F8E8M0 && cx.attributes.string_or("round_mode", "up")? != "up" {
        return opaque("it casts to f8e8m0 and does not round up", vec![Type { dtype: Some(dtype), shape }]);
    }
    let y = cx.pointwise(Op::to(if saturate { &op::CAST } else { &op::CAST_UNSATURATED }, dtype), &[x])?;
    cx.finish(0, y)
}

/// The same bits as another type of the same width. Between integers that is what a cast does, which wraps. Bits of or for a float are no row,
/// because a row's meaning is one of numbers: which of its many patterns a NaN has, a value does not say, and kernels and the CPU make different
/// ones. A routine of its own copies them as they are stored.
pub(super) fn bit_cast(cx: &mut Cx) -> Done {
    let to = cx.attributes.int("to")?;
    let to = cx.attributes.required("to", to)?;
    let x = cx.input(0)?;
    let dtype = i32::try_from(to).ok().and_then(DType::from_onnx);
    if dtype.is_some() && dtype == cx.dtype(x) {
        return cx.finish(0, x);
    }
    let ty = Type { dtype, shape: cx.shape(x) };
    let Some(to) = dtype else { return opaque("it casts to a type that is no number here", vec![ty]) };
    let whole = |t: DType| t.is_int() && t.bytes().is_some();
    if cx.dtype(x).is_some_and(|from| whole(from) && whole(to) && from.bits() == to.bits()) {
        let y = cx.pointwise(Op::to(&op::CAST, to), &[x])?;
        return cx.finish(0, y);
    }
    let y = cx.structural(Structural::BitCast { to }, ty, &[x]);
    cx.finish(0, y)
}

pub(super) fn gelu(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let op = match cx.attributes.string_or("approximate", "none")? {
        "none" => &op::GELU,
        "tanh" => &op::GELU_TANH,
        other => return Err(cx.attributes.error("approximate", format!("{other:?}"), "\"none\" or \"tanh\"").into()),
    };
    let y = cx.pointwise(Op::new(op), &[x])?;
    cx.finish(0, y)
}

/// x·σ(alpha·x)
pub(super) fn swish(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let alpha = cx.attributes.float_or("alpha", 1.0)?;
    let y = scaled_silu(cx, x, alpha)?;
    cx.finish(0, y)
}

/// x·σ(alpha·x), for which the table has a row where alpha is 1.
pub(super) fn scaled_silu(cx: &mut Cx, x: Value, alpha: f32) -> Result<Value, Stop> {
    if alpha == 1.0 {
        return cx.pointwise(Op::new(&op::SILU), &[x]);
    }
    let alpha = param(cx, alpha);
    cx.pointwise(Op::new(&op::SWISH), &[x, alpha])
}

/// IsInf can be asked for one sign only.
pub(super) fn is_inf(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let (above, below) = (cx.attributes.flag("detect_positive", true)?, cx.attributes.flag("detect_negative", true)?);
    let op = match (above, below) {
        (true, true) => &op::IS_INF,
        (true, false) => &op::IS_POS_INF,
        (false, true) => &op::IS_NEG_INF,
        // Nothing is asked for: false everywhere.
        (false, false) => {
            let shape = cx.need_shape(x)?;
            let no = cx.constant(Tensor::scalar(Scalar::new(DType::Bool, Number::Int(0))));
            let y = cx.view(View::Expand { to: shape.clone() }, &[no], shape);
            return cx.finish(0, y);
        }
    };
    let y = cx.pointwise(Op::new(op), &[x])?;
    cx.finish(0, y)
}

/// With `fmod` the result has the dividend's sign, as in C; without, the divisor's, as in Python.
pub(super) fn modulo(cx: &mut Cx) -> Done {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let op = if cx.attributes.flag("fmod", false)? { &op::FMOD } else { &op::MOD };
    let y = cx.pointwise(Op::new(op), &[a, b])?;
    cx.finish(0, y)
}

pub(super) fn bit_shift(cx: &mut Cx) -> Done {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let direction = cx.attributes.string("direction")?;
    let op = match cx.attributes.required("direction", direction)? {
        "LEFT" => &op::SHIFT_LEFT,
        "RIGHT" => &op::SHIFT_RIGHT,
        other => return Err(cx.attributes.error("direction", format!("{other:?}"), "\"LEFT\" or \"RIGHT\"").into()),
    };
    let y = cx.pointwise(Op::new(op), &[a, b])?;
    cx.finish(0, y)
}
