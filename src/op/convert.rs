//! Conversions between types: casts, and the quantization of values to codes and back.
//!
//! Their CUDA text depends on two types at once, so the emitter writes it; the rows below say everything else.

use super::row::onnx;
use super::{Bound, Cost, Eval, Row, TypeRule, rows};
use crate::dtype::DType;
use crate::minifloat::{self, Overflow};
use crate::qparams;
use crate::scalar::Number;

const CONVERSION: Row = Row { types: TypeRule::Convert, cost: Cost::new(0, 0, 1), ..Row::UNARY };

rows! {
    /// * Float to float: half to even; beyond the range ±∞, or the largest finite value for the 8- and 4-bit floats (ONNX's
    ///   `saturate = 1`). `f8e8m0` rounds away from zero (ONNX's `round_mode = "up"`).
    /// * Float to integer: toward zero, NaN is 0. ONNX leaves values out of range undefined; here they saturate to i32 for
    ///   types of up to 32 bits (u32, i64 and u64 to themselves) and then wrap to the type, as its tests for 2 and 4 bits
    ///   expect. Prelude: `pw_to_int`, `pw_to_uint`, `pw_to_llong`, `pw_to_ullong`.
    /// * Integer to integer wraps. Integer to float rounds half to even.
    /// * To bool: whether it differs from 0; NaN does.
    ///
    /// ONNX's CastLike is this with the other tensor's type.
    CAST = Row {
        name: "cast",
        formula: "x as another type",
        onnx: &[onnx("Cast", 6), onnx("CastLike", 15)],
        elsewhere: &["cuDNN IDENTITY"],
        eval: Eval::Mixed(|a, to| cast(a[0], to, Overflow::Saturate)),
        ..CONVERSION
    };
    /// ONNX's `saturate = 0`: an 8-bit float beyond its range becomes ±∞, or NaN where the format has no infinity.
    CAST_UNSATURATED = Row {
        name: "cast_unsaturated",
        formula: "x as an 8-bit float, NaN or infinity if out of range",
        onnx: &[onnx("Cast", 19), onnx("CastLike", 19)],
        eval: Eval::Mixed(|a, to| cast(a[0], to, Overflow::Infinity)),
        ..CONVERSION
    };
    /// Per tensor and per axis alike: `scale` and `zero_point` broadcast. Opset 21 adds blocks, which import as a repeated scale.
    QUANTIZE = Row {
        name: "quantize",
        formula: "saturate(round_half_even(x/scale) + zero_point)",
        onnx: &[onnx("QuantizeLinear", 10)],
        elsewhere: &["TensorRT IQuantizeLayer"],
        operands: &["x", "scale", "zero_point"],
        types: TypeRule::Quantize,
        eval: Eval::Mixed(|a, to| qparams::quantize(a[0].as_f64(), a[1].as_f64(), a[2], to)),
        cost: Cost::new(0, 1, 1),
        ..Row::UNARY
    };
    /// ONNX's `saturate = 0` since opset 19, which only the 8-bit floats heed.
    QUANTIZE_UNSATURATED = Row {
        name: "quantize_unsaturated",
        formula: "x/scale as an 8-bit float, NaN or infinity if out of range",
        onnx: &[onnx("QuantizeLinear", 19)],
        operands: &["x", "scale", "zero_point"],
        types: TypeRule::Quantize,
        eval: Eval::Mixed(|a, to| match to.is_float() {
            true => cast(Number::Float(a[0].as_f64() / a[1].as_f64()), to, Overflow::Infinity),
            false => qparams::quantize(a[0].as_f64(), a[1].as_f64(), a[2], to),
        }),
        cost: Cost::new(0, 1, 1),
        ..Row::UNARY
    };
    DEQUANTIZE = Row {
        name: "dequantize",
        formula: "(x - zero_point)*scale",
        onnx: &[onnx("DequantizeLinear", 10)],
        elsewhere: &["TensorRT IDequantizeLayer"],
        operands: &["x", "scale", "zero_point"],
        types: TypeRule::Dequantize,
        eval: Eval::Mixed(|a, _| Number::Float(qparams::dequantize(a[0], a[1].as_f64(), a[2]))),
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
        ..Row::UNARY
    };
}

fn cast(x: Number, to: DType, overflow: Overflow) -> Number {
    match x {
        Number::Float(x) => match to {
            DType::F8E8M0 => Number::Float(power_of_two(x, overflow)),
            DType::Bool => Number::Int((x != 0.0).into()),
            _ if !to.is_float() => cast_float(x, to),
            _ if to.is_arithmetic_float() => Number::Float(x).rounded_to(to),
            _ => Number::Float(minifloat::decode(to, minifloat::encode(to, x, overflow))),
        },
        Number::Int(_) if to.is_float() && !to.is_arithmetic_float() => cast(Number::Float(x.as_f64()), to, overflow),
        Number::Int(_) => x.rounded_to(to),
    }
}

/// A float as an integer of type `to`; see [`CAST`].
pub(super) fn cast_float(x: f64, to: DType) -> Number {
    let through = if matches!(to, DType::U32 | DType::I64 | DType::U64) { to } else { DType::I32 };
    let (low, high) = through.int_range().unwrap_or((0, 0));
    Number::Int((x as i128).clamp(low, high)).rounded_to(to)
}

/// The power of two at or above |x|, as `f8e8m0` holds it: 2⁻¹²⁷ … 2¹²⁷.
fn power_of_two(x: f64, overflow: Overflow) -> f64 {
    let (low, high) = (libm::scalbn(1.0, -127), libm::scalbn(1.0, 127));
    let x = x.abs();
    match overflow {
        _ if x.is_nan() => x,
        Overflow::Infinity if x > high || x < low => f64::NAN,
        _ if x >= high => high,
        _ if x <= low => low,
        _ => {
            let below = libm::scalbn(1.0, libm::ilogb(x));
            if below < x { 2.0 * below } else { below }
        }
    }
}
