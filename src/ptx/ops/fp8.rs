//! The 8-bit floating-point formats e4m3 and e5m2, as `cvt` and `mma` use them.

use super::half::{F16, Format};
use super::row;
use crate::ptx::program::{F1, F2};

/// The value of an 8-bit float.
pub(crate) fn value(e4m3: bool, byte: u8) -> f32 {
    if !e4m3 {
        // e5m2 is the upper byte of f16.
        return F16::wide(u32::from(byte) << 8);
    }
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let magnitude = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

/// Rounds to nearest even; values past the range become the largest finite value, NaN stays NaN: `.satfinite`.
pub(crate) fn round(e4m3: bool, x: f32) -> u8 {
    let sign = if x.is_sign_negative() { 0x80 } else { 0 };
    let (mantissa_bits, bias, max) = if e4m3 { (3, 7, 0x7eu8) } else { (2, 15, 0x7bu8) };
    if x.is_nan() {
        return 0x7f;
    }
    let magnitude = x.abs();
    if magnitude >= value(e4m3, max) {
        return sign | max;
    }
    // The unit of the last place, which stops shrinking where subnormals begin.
    let exponent = ((magnitude.to_bits() >> 23) as i32 - 127).max(1 - bias);
    let ulp = 2f32.powi(exponent - mantissa_bits);
    let steps = (magnitude / ulp).round_ties_even() as u32;
    // Counted from the exponent's base, the steps carry into the exponent by themselves.
    let base = ((exponent + bias - 1) as u32) << mantissa_bits;
    let code = (base + steps).min(u32::from(max)) as u8;
    sign | code
}

fn clamp(x: f32, relu: bool) -> f32 {
    if relu && x <= 0.0 { 0.0 } else { x }
}

/// `cvt.rn.satfinite.e4m3x2.f32 d, a, b`: `a` goes to the upper byte.
pub(crate) fn from_f32(e4m3: bool, relu: bool) -> F2 {
    fn two(e4m3: bool, relu: bool, a: u32, b: u32) -> u32 {
        let one = |v: u32| u32::from(round(e4m3, clamp(f32::from_bits(v), relu)));
        one(a) << 8 | one(b)
    }
    match (e4m3, relu) {
        (true, false) => row!(2, |a: u32, b: u32| two(true, false, a, b)),
        (true, true) => row!(2, |a: u32, b: u32| two(true, true, a, b)),
        (false, false) => row!(2, |a: u32, b: u32| two(false, false, a, b)),
        (false, true) => row!(2, |a: u32, b: u32| two(false, true, a, b)),
    }
}

/// `cvt.rn.satfinite.e4m3x2.f16x2`.
pub(crate) fn from_f16x2(e4m3: bool, relu: bool) -> F1 {
    fn two(e4m3: bool, relu: bool, a: u32) -> u32 {
        let one = |v: u32| u32::from(round(e4m3, clamp(F16::wide(v & 0xffff), relu)));
        one(a >> 16) << 8 | one(a)
    }
    match (e4m3, relu) {
        (true, false) => row!(1, |a: u32| two(true, false, a)),
        (true, true) => row!(1, |a: u32| two(true, true, a)),
        (false, false) => row!(1, |a: u32| two(false, false, a)),
        (false, true) => row!(1, |a: u32| two(false, true, a)),
    }
}

/// `cvt.rn.f16x2.e4m3x2`.
pub(crate) fn to_f16x2(e4m3: bool, relu: bool) -> F1 {
    fn two(e4m3: bool, relu: bool, a: u32) -> u32 {
        let one = |v: u32| F16::round(clamp(value(e4m3, v as u8), relu));
        one(a >> 8) << 16 | one(a)
    }
    match (e4m3, relu) {
        (true, false) => row!(1, |a: u32| two(true, false, a)),
        (true, true) => row!(1, |a: u32| two(true, true, a)),
        (false, false) => row!(1, |a: u32| two(false, false, a)),
        (false, true) => row!(1, |a: u32| two(false, true, a)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_code_survives_a_round_trip() {
        for e4m3 in [true, false] {
            for byte in 0..=255u8 {
                let x = value(e4m3, byte);
                if x.is_finite() {
                    assert_eq!(round(e4m3, x), byte, "{byte:#x} = {x}");
                }
            }
        }
    }

    #[test]
    fn values_between_codes_round_to_the_nearest_even() {
        for e4m3 in [true, false] {
            let max = if e4m3 { 0x7e } else { 0x7b };
            for byte in 0..max {
                let (low, high) = (value(e4m3, byte), value(e4m3, byte + 1));
                let middle = (low + high) / 2.0;
                assert_eq!(round(e4m3, middle), byte + (byte & 1), "{low} {high}");
                assert_eq!(round(e4m3, middle.next_down()), byte);
                assert_eq!(round(e4m3, middle.next_up()), byte + 1);
            }
        }
    }

    #[test]
    fn the_range_saturates() {
        assert_eq!(round(true, 1e9), 0x7e);
        assert_eq!(round(true, f32::NEG_INFINITY), 0xfe);
        assert_eq!(round(false, f32::INFINITY), 0x7b);
        assert_eq!(value(true, 0x7e), 448.0);
        assert_eq!(value(false, 0x7b), 57344.0);
    }
}
