//! Quantization parameters and THE rule by which values become codes and codes values. Every other room calls this one.
//!
//! * quantize: `q = saturate(round_half_even(x / scale) + zero_point)`, the division exact (carried out in f64, whose 53
//!   bits tell every quotient of two f32 from a tie). NaN becomes the code of zero before saturation, that is `zero_point`.
//! * dequantize: `x = (q − zero_point) · scale`.
//!
//! Source: ONNX, QuantizeLinear and DequantizeLinear. Float codes (fp8) round `x / scale` to the format and saturate.

use crate::dtype::DType;
use crate::minifloat::{self, Overflow};
use crate::scalar::Number;

/// `x` in f64, already rounded as its own type says; the code as a number of type `to`.
pub fn quantize(x: f64, scale: f64, zero_point: Number, to: DType) -> Number {
    let scaled = x / scale;
    let Some((low, high)) = to.int_range() else {
        return Number::Float(minifloat::decode(to, minifloat::encode(to, scaled, Overflow::Saturate)));
    };
    // Saturating first keeps the sum exact; 2³³ is beyond every code type's range from every zero point.
    let limit = 8_589_934_592.0;
    let rounded = if scaled.is_nan() { 0.0 } else { scaled.clamp(-limit, limit).round_ties_even() };
    Number::Int((rounded as i128 + zero_point.as_i128()).clamp(low, high))
}

/// The value of a code, exact in f64 for every code type of up to 32 bits and f32 scale.
pub fn dequantize(code: Number, scale: f64, zero_point: Number) -> f64 {
    match code {
        Number::Int(q) => (q - zero_point.as_i128()) as f64 * scale,
        Number::Float(q) => (q - zero_point.as_f64()) * scale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_even_and_ends_saturate() {
        let q = |x: f64| quantize(x, 1.0, Number::Int(0), DType::I8).as_i128();
        assert_eq!([q(0.5), q(1.5), q(2.5), q(-0.5), q(-1.5)], [0, 2, 2, 0, -2]);
        assert_eq!([q(1e30), q(f64::NEG_INFINITY), q(f64::NAN)], [127, -128, 0]);
        assert_eq!(quantize(f64::NAN, 1.0, Number::Int(130), DType::U8), Number::Int(130));
        assert_eq!(quantize(f64::INFINITY, 1.0, Number::Int(-5), DType::I8), Number::Int(127));
    }

    #[test]
    fn a_quotient_that_f32_would_round_to_a_tie_is_told_from_one() {
        // x / s = 0.5·(1 + 2⁻²³)/(1 + 2⁻²³ − …): nearest f32 quotient is 0.5, the true one is above it.
        let (x, s) = (0.5f32 + f32::EPSILON / 2.0, 1.0f32);
        assert_eq!(quantize(x.into(), s.into(), Number::Int(0), DType::I8), Number::Int(1));
    }

    proptest! {
        #[test]
        fn every_code_survives(q in -128i128..=127, zp in -128i128..=127, scale in 1e-6f32..1e3) {
            let x = dequantize(Number::Int(q), scale.into(), Number::Int(zp));
            prop_assert_eq!(quantize(x, scale.into(), Number::Int(zp), DType::I8), Number::Int(q));
        }
    }
}
