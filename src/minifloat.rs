//! Binary floating-point formats from 4 to 32 bits, described by a handful of numbers and converted by one pair of functions.
//!
//! `half` covers f16 and bf16; the 8- and 4-bit formats of ONNX differ in bias, in what the top codes mean and in whether
//! −0 exists, so they are rows of a table rather than code. Conversion from f64 rounds once, half to even.

use crate::dtype::DType;

/// What the codes with the largest exponent mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Top {
    /// IEEE 754: infinities and NaNs.
    Ieee,
    /// No infinities; the code with all exponent and mantissa bits set is NaN (both signs).
    OneNan,
    /// No infinities; the code of negative zero is the only NaN ("UZ": unsigned zero).
    NegativeZeroNan,
    /// Every code is a finite number.
    Finite,
}

/// One format: 1 sign bit, `exponent` bits, `mantissa` bits.
struct Format {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    top: Top,
}

fn format(dtype: DType) -> Option<Format> {
    let (exponent, mantissa, bias, top) = match dtype {
        DType::F32 => (8, 23, 127, Top::Ieee),
        DType::F16 => (5, 10, 15, Top::Ieee),
        DType::BF16 => (8, 7, 127, Top::Ieee),
        DType::F8E4M3FN => (4, 3, 7, Top::OneNan),
        DType::F8E4M3FNUZ => (4, 3, 8, Top::NegativeZeroNan),
        DType::F8E5M2 => (5, 2, 15, Top::Ieee),
        DType::F8E5M2FNUZ => (5, 2, 16, Top::NegativeZeroNan),
        DType::F4E2M1 => (2, 1, 1, Top::Finite),
        _ => return None,
    };
    Some(Format { exponent, mantissa, bias, top })
}

/// What becomes of a value beyond the format's largest finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Infinity where the format has one, else NaN (ONNX: `saturate = 0`).
    Infinity,
    /// The largest finite number of that sign (ONNX: `saturate = 1`).
    Saturate,
}

impl Format {
    /// The code of the largest finite magnitude.
    fn largest(&self) -> u64 {
        let all = (1u64 << (self.exponent + self.mantissa)) - 1;
        match self.top {
            Top::Ieee => all - (1 << self.mantissa),
            Top::OneNan => all - 1,
            Top::NegativeZeroNan | Top::Finite => all,
        }
    }

    fn sign_bit(&self) -> u64 {
        1 << (self.exponent + self.mantissa)
    }

    fn nan(&self) -> u64 {
        match self.top {
            Top::Ieee => (((1 << self.exponent) - 1) << self.mantissa) | (1 << (self.mantissa - 1)),
            Top::OneNan => self.sign_bit() - 1,
            Top::NegativeZeroNan => self.sign_bit(),
            // ONNX's tests want zero of the one format that has no NaN to give.
            Top::Finite => self.sign_bit(),
        }
    }

    fn encode(&self, x: f64, overflow: Overflow) -> u64 {
        let sign = if x.is_sign_negative() { self.sign_bit() } else { 0 };
        if x.is_nan() {
            return self.nan();
        }
        let beyond = match (overflow, self.top) {
            (_, Top::Finite) | (Overflow::Saturate, _) => sign | self.largest(),
            (Overflow::Infinity, Top::Ieee) => sign | (((1 << self.exponent) - 1) << self.mantissa),
            (Overflow::Infinity, Top::OneNan) => sign | self.nan(),
            (Overflow::Infinity, Top::NegativeZeroNan) => self.nan(),
        };
        if x.is_infinite() {
            return beyond;
        }
        // The spacing of the format at |x|; below the smallest normal it no longer shrinks.
        let exponent = if x == 0.0 { i32::MIN / 2 } else { libm::ilogb(x) };
        let exponent = exponent.max(1 - self.bias);
        let steps = (libm::scalbn(x.abs(), self.mantissa as i32 - exponent)).round_ties_even() as u64;
        // `steps` counts mantissa steps from zero at this exponent; a carry into the next binade is the right code by itself.
        let code = steps + (((exponent + self.bias - 1) as u64) << self.mantissa);
        if code > self.largest() {
            return beyond;
        }
        if code == 0 && self.top == Top::NegativeZeroNan { 0 } else { sign | code }
    }

    fn decode(&self, bits: u64) -> f64 {
        let magnitude = bits & (self.sign_bit() - 1);
        let negative = bits & self.sign_bit() != 0;
        if self.top == Top::NegativeZeroNan && bits == self.sign_bit() {
            return f64::NAN;
        }
        if magnitude > self.largest() {
            let infinite = self.top == Top::Ieee && magnitude == self.largest() + 1;
            let value = if infinite { f64::INFINITY } else { f64::NAN };
            return if negative { -value } else { value };
        }
        let exponent = (magnitude >> self.mantissa) as i32;
        let mantissa = (magnitude & ((1 << self.mantissa) - 1)) as f64;
        let (significand, exponent) = if exponent == 0 {
            (mantissa, 1 - self.bias)
        } else {
            (mantissa + (1u64 << self.mantissa) as f64, exponent - self.bias)
        };
        let value = libm::scalbn(significand, exponent - self.mantissa as i32);
        if negative { -value } else { value }
    }
}

/// The code of `x` in a float format, rounded half to even. f64 gives its own bits; `F8E8M0` (a bare power of two) rounds
/// to the nearest power, ties upward, as ONNX's `round_mode = "up"` does not but its default `nearest` does.
///
/// # Panics
/// Never for float types; an integer type gives 0.
pub fn encode(dtype: DType, x: f64, overflow: Overflow) -> u64 {
    match dtype {
        DType::F64 => x.to_bits(),
        DType::F32 if overflow == Overflow::Infinity => u64::from((x as f32).to_bits()),
        DType::F16 if overflow == Overflow::Infinity => u64::from(
            match narrow(x) {
                Some(x) => half::f16::from_f32(x),
                None => half::f16::from_f64(odd(x)),
            }
            .to_bits(),
        ),
        DType::BF16 if overflow == Overflow::Infinity => u64::from(
            match narrow(x) {
                Some(x) => half::bf16::from_f32(x),
                None => half::bf16::from_f64(odd(x)),
            }
            .to_bits(),
        ),
        DType::F8E8M0 => encode_e8m0(x, overflow),
        _ => format(dtype).map_or(0, |f| f.encode(x, overflow)),
    }
}

/// x cut to 20 bits of mantissa, the last of them odd if that cut anything off: rounding it to 18 bits or fewer then gives what rounding x
/// gives. `half` looks no further than those 20 bits, and would take what lies just beyond a tie for the tie.
fn odd(x: f64) -> f64 {
    const LOW: u64 = u32::MAX as u64;
    let bits = x.to_bits();
    f64::from_bits((bits & !LOW) | (u64::from(bits & LOW != 0) << 32))
}

/// x as f32 if it is one, as the weights of models are: the processor rounds those, many times faster.
fn narrow(x: f64) -> Option<f32> {
    (f64::from(x as f32) == x).then_some(x as f32)
}

/// The value of a code of a float format; integer types give NaN.
pub fn decode(dtype: DType, bits: u64) -> f64 {
    match dtype {
        DType::F64 => f64::from_bits(bits),
        DType::F32 => f64::from(f32::from_bits(bits as u32)),
        DType::F16 => half::f16::from_bits(bits as u16).to_f64(),
        DType::BF16 => half::bf16::from_bits(bits as u16).to_f64(),
        DType::F8E8M0 if bits & 0xff == 0xff => f64::NAN,
        DType::F8E8M0 => libm::scalbn(1.0, (bits & 0xff) as i32 - 127),
        _ => format(dtype).map_or(f64::NAN, |f| f.decode(bits)),
    }
}

/// OCP E8M0: an exponent with bias 127 and nothing else; 0xff is NaN; no zero and no sign.
fn encode_e8m0(x: f64, overflow: Overflow) -> u64 {
    if x.is_nan() {
        return 0xff;
    }
    let x = x.abs();
    if x == 0.0 {
        return 0;
    }
    let mut exponent = if x.is_infinite() { i32::MAX / 2 } else { libm::ilogb(x) };
    if x.is_finite() && libm::scalbn(x, -exponent) >= 1.5 {
        exponent += 1;
    }
    match exponent + 127 {
        e if e < 0 => 0,
        e if e > 254 => {
            if overflow == Overflow::Saturate {
                254
            } else {
                255
            }
        }
        e => e as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: [DType; 5] = [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F4E2M1];

    #[test]
    fn every_code_of_a_small_format_survives_a_round_trip() {
        for t in SMALL.into_iter().chain([DType::F16, DType::BF16]) {
            for code in 0..1u64 << t.bits() {
                let x = decode(t, code);
                if !x.is_nan() {
                    assert_eq!(encode(t, x, Overflow::Infinity), code, "{t} {code:#x} {x}");
                }
            }
        }
    }

    #[test]
    fn the_table_agrees_with_half() {
        for t in [DType::F16, DType::BF16] {
            let f = format(t).unwrap();
            for code in 0..1u64 << 16 {
                let (ours, theirs) = (f.decode(code), decode(t, code));
                assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{t} {code:#x}");
            }
        }
    }

    #[test]
    fn what_lies_just_beyond_a_tie_is_no_tie() {
        for (t, x, rounded) in [
            (DType::BF16, -115.250_033_422_816, -115.5),
            (DType::BF16, 115.25, 115.0),
            (DType::F16, 1.0 + 2f64.powi(-11) + 2f64.powi(-40), 1.0 + 2f64.powi(-10)),
            (DType::F16, 1.0 + 2f64.powi(-11), 1.0),
        ] {
            assert_eq!(decode(t, encode(t, x, Overflow::Infinity)), rounded, "{t} {x}");
        }
    }

    #[test]
    fn largest_values_are_those_of_the_ocp_and_fnuz_tables() {
        for (t, max) in SMALL.into_iter().zip([448.0, 240.0, 57344.0, 57344.0, 6.0]) {
            assert_eq!(decode(t, encode(t, 1e30, Overflow::Saturate)), max, "{t}");
            assert_eq!(decode(t, encode(t, -1e30, Overflow::Saturate)), -max, "{t}");
        }
    }

    proptest! {
        #[test]
        fn rounding_picks_the_nearest_code(x in -500.0f64..500.0, which in 0usize..5) {
            let t = SMALL[which];
            let got = decode(t, encode(t, x, Overflow::Saturate));
            let best = (0..1u64 << t.bits()).map(|c| decode(t, c)).filter(|v| v.is_finite())
                .map(|v| (v - x).abs()).fold(f64::INFINITY, f64::min);
            prop_assert!((got - x).abs() == best, "{t} {x} gave {got}");
        }

        #[test]
        fn f16_and_bf16_agree_with_half(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            for t in [DType::F16, DType::BF16, DType::F32] {
                let f = format(t).unwrap();
                let (ours, theirs) = (f.encode(x, Overflow::Infinity), encode(t, x, Overflow::Infinity));
                prop_assert!(x.is_nan() || ours == theirs, "{t} {x:e}: {ours:#x} {theirs:#x}");
            }
        }
    }
}
