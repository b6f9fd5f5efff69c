//! Conversions between types: casts, and the quantization of values to codes and back.
//!
//! Their CUDA text depends on two types at once, so the emitter writes it; the rows below say everything else.

use super::activation::ACTIVATION;
use super::{Bound, Cost, Eval, Onnx, Row, TypeRule, rows};
use crate::dtype::DType;
use crate::minifloat::{self, Overflow};
use crate::qparams;
use crate::scalar::Number;

rows! {
    CAST = Row {
        name: "cast",
        formula: "x as another type: floats half to even, float to integer toward zero, integers modulo their width, 8-bit floats saturate",
        onnx: &[Onnx { domain: "", op_type: "Cast", since: 6 }],
        elsewhere: &["cuDNN IDENTITY"],
        types: TypeRule::Convert,
        eval: Eval::Mixed(cast),
        cost: Cost::new(0, 0, 1),
        bound: Bound::EXACT,
        ..ACTIVATION
    };
    QUANTIZE = Row {
        name: "quantize",
        formula: "saturate(round_half_even(x/scale) + zero_point)",
        onnx: &[Onnx { domain: "", op_type: "QuantizeLinear", since: 10 }],
        elsewhere: &["TensorRT IQuantizeLayer"],
        operands: &["x", "scale", "zero_point"],
        types: TypeRule::Quantize,
        eval: Eval::Mixed(|a, to| qparams::quantize(a[0].as_f64(), a[1].as_f64(), a[2], to)),
        cost: Cost::new(0, 1, 1),
        bound: Bound::EXACT,
        ..ACTIVATION
    };
    DEQUANTIZE = Row {
        name: "dequantize",
        formula: "(x - zero_point)*scale",
        onnx: &[Onnx { domain: "", op_type: "DequantizeLinear", since: 10 }],
        elsewhere: &["TensorRT IDequantizeLayer"],
        operands: &["x", "scale", "zero_point"],
        types: TypeRule::Dequantize,
        eval: Eval::Mixed(|a, _| Number::Float(qparams::dequantize(a[0], a[1].as_f64(), a[2]))),
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
        ..ACTIVATION
    };
}

/// ONNX's Cast: NaN becomes 0 in an integer, and what is out of an integer's range saturates before it wraps, so that every
/// machine gives the same; bool is "nonzero"; the 8-bit floats saturate.
fn cast(a: &[Number], to: DType) -> Number {
    match a[0] {
        Number::Float(x) if to.is_float() && !to.is_arithmetic_float() => {
            Number::Float(minifloat::decode(to, minifloat::encode(to, x, Overflow::Saturate)))
        }
        x => x.rounded_to(to),
    }
}
