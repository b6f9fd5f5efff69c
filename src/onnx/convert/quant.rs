//! Quantization: Q and DQ with their zero points, axes and blocks, and the operators that are Q/DQ around something else.
//!
//! QLinearConv, QLinearMatMul and the contrib QLinear operators become DequantizeLinear, the float operator, QuantizeLinear. In
//! exact arithmetic that is their definition; a runtime that accumulates in integers may differ by one code where a float sum
//! rounds across a tie.

use super::pointwise::scalar;
use super::*;
use crate::op;
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;

/// A zero point, or where it is left out a zero of the codes' type.
pub(super) fn zero_or(cx: &mut Cx, zero: Option<Value>, codes: Value) -> Result<Value, Stop> {
    match zero {
        Some(zero) => Ok(zero),
        None => scalar(cx, codes, 0.0),
    }
}

/// How scale and zero point lie over a tensor.
pub(super) struct Layout {
    axis: i64,
    block: i64,
}

impl Layout {
    pub(super) const TENSOR: Layout = Layout { axis: 1, block: 0 };

    pub(super) const fn channel(axis: i64) -> Layout {
        Layout { axis, block: 0 }
    }

    fn of(cx: &Cx) -> Result<Layout, Stop> {
        Ok(Layout { axis: cx.attributes.int_or("axis", 1)?, block: cx.attributes.int_or("block_size", 0)? })
    }

    /// A scale or zero point as a tensor that broadcasts to `x`: one element, one a channel, or one a block.
    fn spread(&self, cx: &mut Cx, value: Value, x: Value) -> Result<Value, Stop> {
        let shape = cx.need_shape(value)?;
        if shape.rank() == 0 {
            return Ok(value);
        }
        if shape.iter().all(|d| d.is(1)) && self.block == 0 {
            return Ok(cx.reshape(value, Shape::SCALAR));
        }
        let to = cx.need_shape(x)?;
        let axis = cx.axis(self.axis, to.rank())?;
        if self.block == 0 {
            if shape.rank() == 1 && shape[0].sub(&to[axis])?.known().is_some_and(|difference| difference != 0) {
                return Err(Stop::Broken(format!("it has {} scales for axis {axis} of {to}", shape[0])));
            }
            return cx.along_axis(value, axis, to.rank());
        }
        self.blocks(cx, value, &to, axis)
    }

    /// One element for each `block` elements along `axis`.
    fn blocks(&self, cx: &mut Cx, value: Value, to: &Shape, axis: usize) -> Result<Value, Stop> {
        let shape = cx.need_shape(value)?;
        let Some(block) = u64::try_from(self.block).ok().filter(|b| (1..1 << 31).contains(b)) else {
            return Err(cx.attributes.error("block_size", self.block.to_string(), "at least 0").into());
        };
        if shape.rank() != to.rank() {
            return Err(Stop::Broken(format!("its scale {shape} in blocks differs in rank from {to}")));
        }
        let mut wide = shape.clone();
        wide.0[axis] = shape[axis].mul(&Dim::fixed(block as i64))?;
        let factors = (0..to.rank()).map(|a| if a == axis { block } else { 1 }).collect();
        let spread = cx.view(View::Repeat { factors }, &[value], wide.clone());
        match wide[axis].sub(&to[axis])?.known() {
            Some(0) => Ok(spread),
            // The last block may be cut short.
            Some(beyond) if beyond < 0 || beyond >= block as i64 => {
                Err(Stop::Broken(format!("its scale {shape} in blocks of {block} does not cover {to}")))
            }
            _ => super::slice::part(cx, spread, axis, &Dim::ZERO, &to[axis]),
        }
    }
}

/// Real values of codes.
pub(super) fn real(
    cx: &mut Cx,
    codes: Value,
    scale: Value,
    zero: Option<Value>,
    layout: &Layout,
    to: Option<DType>,
) -> Result<Value, Stop> {
    let ty = Type { dtype: to.or(cx.dtype(scale)), shape: cx.shape(codes) };
    let Some(to) = ty.dtype else { return opaque("the element type of its scale is not known", vec![ty]) };
    let zero = zero_or(cx, zero, codes)?;
    let scale = arithmetic(cx, scale, to)?;
    let scale = layout.spread(cx, scale, codes)?;
    let zero = layout.spread(cx, zero, codes)?;
    cx.pointwise(Op::to(&op::DEQUANTIZE, to), &[codes, scale, zero])
}

/// A scale in a type that arithmetic knows: powers of two (f8e8m0) become floats of type `to`, exactly.
fn arithmetic(cx: &mut Cx, scale: Value, to: DType) -> Result<Value, Stop> {
    match cx.dtype(scale) {
        Some(dtype) if dtype.is_float() && !dtype.is_arithmetic_float() => {
            cx.pointwise(Op::to(&op::CAST, to), &[scale])
        }
        _ => Ok(scale),
    }
}

/// Codes of real values, by a quantization to their type.
fn codes(
    cx: &mut Cx,
    x: Value,
    scale: Value,
    zero: Option<Value>,
    layout: &Layout,
    quantize: Op,
) -> Result<Value, Stop> {
    let to = quantize.target().unwrap_or(DType::U8);
    let zero = match zero {
        Some(zero) => zero,
        None if to.is_float() => cx.constant(Tensor::scalar(Scalar::new(to, Number::Float(0.0)))),
        None => cx.constant(Tensor::scalar(Scalar::new(to, Number::Int(0)))),
    };
    let scale = arithmetic(cx, scale, DType::F32)?;
    let scale = layout.spread(cx, scale, x)?;
    let zero = layout.spread(cx, zero, x)?;
    cx.pointwise(quantize, &[x, scale, zero])
}

pub(super) fn dequantize(cx: &mut Cx) -> Done {
    cx.at_most(3)?;
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let to = stated_dtype(cx, "output_dtype")?;
    let layout = Layout::of(cx)?;
    let y = real(cx, x, scale, cx.optional(2), &layout, to)?;
    cx.finish(0, y)
}

pub(super) fn quantize(cx: &mut Cx) -> Done {
    cx.at_most(3)?;
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let zero = cx.optional(2);
    let stated = stated_dtype(cx, "output_dtype")?;
    let to = zero.map_or(Some(stated.unwrap_or(DType::U8)), |zero| cx.dtype(zero));
    let ty = Type { dtype: to, shape: cx.shape(x) };
    let Some(to) = to else { return opaque("the element type of its zero point is not known", vec![ty]) };
    if stated.is_some_and(|stated| stated != to) {
        return Err(cx.attributes.error("output_dtype", format!("{stated:?}"), "the zero point's type").into());
    }
    let layout = Layout::of(cx)?;
    let saturate = !to.is_float() || cx.attributes.flag("saturate", true)?;
    let row = if saturate { &op::QUANTIZE } else { &op::QUANTIZE_UNSATURATED };
    let y = codes(cx, x, scale, zero, &layout, Op::to(row, to))?;
    cx.finish(0, y)
}

/// TensorRT's own operators that ModelOpt writes before operator set 19: codes of 8-bit floats, without zero points.
pub(super) fn tensorrt(cx: &mut Cx) -> Done {
    let (x, scale) = match cx.op_type() {
        "TRT_FP8QuantizeLinear" | "TRT_FP8DequantizeLinear" => (cx.input(0)?, cx.input(1)?),
        other => return opaque(format!("{other} is not looked into"), vec![]),
    };
    cx.at_most(2)?;
    let y = match cx.op_type() {
        "TRT_FP8QuantizeLinear" => codes(cx, x, scale, None, &Layout::TENSOR, Op::to(&op::QUANTIZE, DType::F8E4M3FN))?,
        _ if cx.dtype(x) != Some(DType::F8E4M3FN) => return opaque("its codes are no f8e4m3fn", vec![]),
        _ => real(cx, x, scale, None, &Layout::TENSOR, None)?,
    };
    cx.finish(0, y)
}

/// An element type given as an attribute, 0 standing for none.
fn stated_dtype(cx: &Cx, name: &str) -> Result<Option<DType>, Stop> {
    match cx.attributes.int_or(name, 0)? {
        0 => Ok(None),
        number => match i32::try_from(number).ok().and_then(DType::from_onnx) {
            Some(dtype) => Ok(Some(dtype)),
            None => Err(cx.attributes.error(name, number.to_string(), "a numeric element type").into()),
        },
    }
}

/// u8 codes with the scale and zero point of the data at hand.
pub(super) fn dynamic_quantize(cx: &mut Cx) -> Done {
    cx.at_most(1)?;
    let x = cx.input(0)?;
    let scalar = |dtype: DType| typed(Some(dtype), Shape::SCALAR);
    let shape = cx.shape(x);
    let types = vec![Type { dtype: Some(DType::U8), shape }, scalar(DType::F32), scalar(DType::U8)];
    cx.structural_outputs(Structural::DynamicQuantize, types, &[x])
}

/// Scale and zero point at `slot` and the one after it, of the codes at `codes`.
pub(super) fn real_input(cx: &mut Cx, codes: usize, slot: usize, layout: &Layout) -> Result<Value, Stop> {
    let (x, scale) = (cx.input(codes)?, cx.input(slot)?);
    real(cx, x, scale, cx.optional(slot + 1), layout, None)
}

/// Quantizes the result with the scale and zero point at `slot` and the one after it.
pub(super) fn finish_codes(cx: &mut Cx, y: Value, slot: usize, like: usize) -> Done {
    let (scale, zero) = (cx.input(slot)?, cx.optional(slot + 1));
    let to = match zero {
        Some(zero) => cx.dtype(zero),
        None => cx.dtype(cx.input(like)?),
    };
    let Some(to) = to else { return opaque("the element type of its result is not known", vec![]) };
    let y = codes(cx, y, scale, zero, &Layout::TENSOR, Op::to(&op::QUANTIZE, to))?;
    cx.finish(0, y)
}

/// Inputs x, its scale and zero, w, its scale and zero, the result's scale and zero, and a bias in units of both scales.
pub(super) fn qlinear_conv(cx: &mut Cx) -> Done {
    cx.at_most(9)?;
    let x = real_input(cx, 0, 1, &Layout::TENSOR)?;
    let w = real_input(cx, 3, 4, &Layout::channel(0))?;
    let bias = match cx.optional(8) {
        None => None,
        Some(bias) => {
            let (x_scale, w_scale) = (cx.input(1)?, cx.input(4)?);
            let x_scale = cx.reshape(x_scale, Shape::SCALAR);
            let scale = cx.pointwise(Op::new(&op::MUL), &[x_scale, w_scale])?;
            Some(real(cx, bias, scale, None, &Layout::channel(0), None)?)
        }
    };
    let y = super::anchors::convolved(cx, x, w, bias)?;
    finish_codes(cx, y, 6, 0)
}

/// Inputs a, its scale and zero, b, its scale and zero, the result's scale and zero. Scales may be one a row of a or a column
/// of b.
pub(super) fn qlinear_matmul(cx: &mut Cx) -> Done {
    cx.at_most(8)?;
    let a = real_input(cx, 0, 1, &Layout::channel(-2))?;
    let b = real_input(cx, 3, 4, &Layout::channel(-1))?;
    let y = super::matrix::product_of(cx, a, b, false, false)?;
    finish_codes(cx, y, 6, 0)
}
