//! f16 and bf16 instructions, alone and in pairs.
//!
//! Sums, products, quotients and roots are computed in f32, whose 24 bits are more than twice the narrow precision, so the second rounding does no
//! harm; fused products go through round-to-odd.

use super::round::{fma_odd, narrow_odd};
use super::{Unary, row};
use crate::ptx::program::{Approx, F1, F2, F3};

/// A 16-bit floating-point format.
pub(crate) trait Format: Copy {
    const SIGN: u32 = 0x8000;
    /// The NaN that hardware returns.
    const NAN: u32 = 0x7fff;
    const ONE: u32;
    fn wide(bits: u32) -> f32;
    /// Rounds to nearest even.
    fn round(x: f32) -> u32;
}

#[derive(Clone, Copy)]
pub(crate) struct F16;
#[derive(Clone, Copy)]
pub(crate) struct Bf16;

impl Format for F16 {
    const ONE: u32 = 0x3c00;

    #[inline(always)]
    fn wide(bits: u32) -> f32 {
        // Exponent and mantissa moved into place, then rescaled from bias 15 to 127; the product also normalises subnormals.
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
        let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
        f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn round(x: f32) -> u32 {
        let sign = x.to_bits() >> 16 & 0x8000;
        let magnitude = x.to_bits() & 0x7fff_ffff;
        // Below 2^-14 the result is subnormal: adding 0.5 lets the adder round at the right bit.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let normal = magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)).wrapping_sub(112 << 23) >> 13;
        let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
        // 65520 and above round to infinity.
        let capped = if magnitude >= 0x477f_f000 { 0x7c00 } else { finite };
        if magnitude > 0x7f80_0000 { Self::NAN } else { sign | capped }
    }
}

impl Format for Bf16 {
    const ONE: u32 = 0x3f80;

    #[inline(always)]
    fn wide(bits: u32) -> f32 {
        f32::from_bits(bits << 16)
    }

    #[inline(always)]
    fn round(x: f32) -> u32 {
        let bits = x.to_bits();
        if x.is_nan() { Self::NAN } else { bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16 }
    }
}

#[inline(always)]
fn add<T: Format>(a: u32, b: u32) -> u32 {
    T::round(T::wide(a) + T::wide(b))
}
#[inline(always)]
fn sub<T: Format>(a: u32, b: u32) -> u32 {
    T::round(T::wide(a) - T::wide(b))
}
#[inline(always)]
fn mul<T: Format>(a: u32, b: u32) -> u32 {
    T::round(T::wide(a) * T::wide(b))
}
#[inline(always)]
fn fma<T: Format>(a: u32, b: u32, c: u32) -> u32 {
    T::round(narrow_odd(fma_odd(T::wide(a), T::wide(b), T::wide(c))))
}

#[inline(always)]
fn pick<T: Format, const MAX: bool, const NAN: bool>(a: u32, b: u32) -> u32 {
    let (a, b) = (a & 0xffff, b & 0xffff);
    let (x, y) = (T::wide(a), T::wide(b));
    let tie = if MAX { a & b } else { a | b };
    let ordered = if x == y {
        tie
    } else if (x < y) != MAX {
        a
    } else {
        b
    };
    match (x.is_nan(), y.is_nan()) {
        (false, false) => ordered,
        (true, false) if !NAN => b,
        (false, true) if !NAN => a,
        _ => T::NAN,
    }
}

/// `.sat`: clamps to [0, 1]; NaN becomes +0.
#[inline(always)]
fn sat<T: Format>(a: u32) -> u32 {
    let x = T::wide(a & 0xffff);
    if x >= 1.0 {
        T::ONE
    } else if x > 0.0 {
        a & 0xffff
    } else {
        0
    }
}

/// `.relu`: negative values become +0, NaN stays.
#[inline(always)]
fn relu<T: Format>(a: u32) -> u32 {
    if T::wide(a & 0xffff) < 0.0 || a & 0xffff == T::SIGN { 0 } else { a & 0xffff }
}

#[inline(always)]
fn low(a: u32) -> u32 {
    a & 0xffff
}

/// Lifts a scalar function to the packed type, and both to rows.
macro_rules! scalar_or_pair {
    ($packed:expr, 1, $f:expr) => {
        if $packed { row!(1, |a: u32| $f(low(a)) | $f(a >> 16) << 16) } else { row!(1, |a: u32| $f(low(a))) }
    };
    ($packed:expr, 2, $f:expr) => {
        if $packed {
            row!(2, |a: u32, b: u32| $f(low(a), low(b)) | $f(a >> 16, b >> 16) << 16)
        } else {
            row!(2, |a: u32, b: u32| $f(low(a), low(b)))
        }
    };
    ($packed:expr, 3, $f:expr) => {
        if $packed {
            row!(3, |a: u32, b: u32, c: u32| $f(low(a), low(b), low(c)) | $f(a >> 16, b >> 16, c >> 16) << 16)
        } else {
            row!(3, |a: u32, b: u32, c: u32| $f(low(a), low(b), low(c)))
        }
    };
}

/// `add`, `sub`, `mul`, `min`, `max` of a 16-bit format.
pub(crate) fn binary(op: &str, bf16: bool, packed: bool) -> Option<F2> {
    fn of<T: Format>(op: &str, packed: bool) -> Option<F2> {
        Some(match op {
            "add" => scalar_or_pair!(packed, 2, add::<T>),
            "sub" => scalar_or_pair!(packed, 2, sub::<T>),
            "mul" => scalar_or_pair!(packed, 2, mul::<T>),
            "min" => scalar_or_pair!(packed, 2, pick::<T, false, false>),
            "max" => scalar_or_pair!(packed, 2, pick::<T, true, false>),
            "min.NaN" => scalar_or_pair!(packed, 2, pick::<T, false, true>),
            "max.NaN" => scalar_or_pair!(packed, 2, pick::<T, true, true>),
            _ => return None,
        })
    }
    if bf16 { of::<Bf16>(op, packed) } else { of::<F16>(op, packed) }
}

/// `fma.rn` of a 16-bit format.
pub(crate) fn fused(bf16: bool, packed: bool) -> F3 {
    if bf16 { scalar_or_pair!(packed, 3, fma::<Bf16>) } else { scalar_or_pair!(packed, 3, fma::<F16>) }
}

/// `neg`, `abs`, and the clamps that follow an operation: `sat`, `relu`.
pub(crate) fn unary(op: &str, bf16: bool, packed: bool) -> Option<F1> {
    Some(match (op, bf16) {
        ("neg", false) => scalar_or_pair!(packed, 1, neg::<F16>),
        ("neg", true) => scalar_or_pair!(packed, 1, neg::<Bf16>),
        ("abs", _) if packed => row!(1, |a: u32| a & 0x7fff_7fff),
        ("abs", _) => row!(1, |a: u32| a & 0x7fff),
        ("sat", false) => scalar_or_pair!(packed, 1, sat::<F16>),
        ("sat", true) => scalar_or_pair!(packed, 1, sat::<Bf16>),
        ("relu", false) => scalar_or_pair!(packed, 1, relu::<F16>),
        ("relu", true) => scalar_or_pair!(packed, 1, relu::<Bf16>),
        _ => return None,
    })
}

/// NaN becomes the one NaN that arithmetic gives: so does sm_90, where the ISA leaves it open.
fn neg<T: Format>(a: u32) -> u32 {
    if T::wide(a & 0xffff).is_nan() { 0x7fff } else { (a & 0xffff) ^ 0x8000 }
}

fn ex2<T: Format>(a: u32) -> u32 {
    T::round(narrow_odd(f64::from(T::wide(a)).exp2()))
}

/// `ex2.approx.ftz.bf16` flushes subnormal inputs and results.
fn ex2_flushed(a: u32) -> u32 {
    let flush = |bits: u32| if bits & 0x7f80 == 0 { bits & 0x8000 } else { bits };
    flush(ex2::<Bf16>(flush(a)))
}

fn tanh<T: Format>(a: u32) -> u32 {
    T::round(narrow_odd(f64::from(T::wide(a)).tanh()))
}

/// `ex2.approx` and `tanh.approx`, with the error that the PTX ISA allows hardware.
pub(crate) fn approx(op: &str, bf16: bool, packed: bool) -> Option<(Unary, Approx)> {
    let (f, bound): (F1, Approx) = match (op, bf16) {
        ("ex2", false) => (scalar_or_pair!(packed, 1, ex2::<F16>), Approx::RelativeF16(2f32.powf(-9.9))),
        ("ex2", true) => (scalar_or_pair!(packed, 1, ex2_flushed), Approx::RelativeBf16(2f32.powi(-7))),
        ("tanh", false) => (scalar_or_pair!(packed, 1, tanh::<F16>), Approx::AbsoluteF16(2f32.powf(-10.987))),
        ("tanh", true) => (scalar_or_pair!(packed, 1, tanh::<Bf16>), Approx::AbsoluteBf16(2f32.powi(-8))),
        _ => return None,
    };
    Some((Unary::Narrow(f), bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_widens_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (F16::wide(u32::from(bits)), half::f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:#06x}");
        }
    }

    /// Every f16, the midpoint to its neighbour, and one f32 step to either side of both.
    #[test]
    fn f16_rounds_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            let (here, next) =
                (half::f16::from_bits(bits).to_f32(), half::f16::from_bits(bits.wrapping_add(1)).to_f32());
            for x in [here, here * 0.5 + next * 0.5] {
                for x in [x.next_down(), x, x.next_up()] {
                    let (ours, theirs) = (F16::round(x), half::f16::from_f32(x));
                    assert!(ours == u32::from(theirs.to_bits()) || x.is_nan() && ours == 0x7fff, "{x:e} -> {ours:#x}");
                }
            }
        }
    }

    #[test]
    fn bf16_rounds_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            assert_eq!(Bf16::wide(u32::from(bits)).to_bits(), u32::from(bits) << 16);
            for low in [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(u32::from(bits) << 16 | low);
                let (ours, theirs) = (Bf16::round(x), half::bf16::from_f32(x));
                assert!(ours == u32::from(theirs.to_bits()) || x.is_nan() && ours == 0x7fff, "{x:e} -> {ours:#x}");
            }
        }
    }

    /// A product and a sum whose exact value lies just past a tie that f32 alone would round away.
    #[test]
    fn fused_products_round_once() {
        let [a, b, c] = [0x3c01u32, 0x3c01, 0x0001]; // (1 + 2^-10)^2 + 2^-24
        let exact = (1.0 + 2f64.powi(-10)).powi(2) + 2f64.powi(-24);
        assert_eq!(F16::wide(fma::<F16>(a, b, c)), 1.0 + 2.0 * 2f32.powi(-10));
        assert!((exact - f64::from(F16::wide(fma::<F16>(a, b, c)))).abs() < 2f64.powi(-11));
        // 2048 + 1 is a tie between 2048 and 2050; the smallest addend breaks it upward.
        let x = fma::<F16>(0x6800, 0x3c00, 0x3c00);
        assert_eq!(F16::wide(x), 2048.0);
        let tie = fma_odd(F16::wide(0x6800) + 1.0, 1.0, F16::wide(1));
        assert_eq!(F16::wide(F16::round(narrow_odd(tie))), 2050.0);
    }

    #[test]
    fn minimum_knows_zeros_and_nans() {
        let (zero, minus_zero, nan, one) = (0u32, 0x8000, 0x7e00, 0x3c00);
        assert_eq!(pick::<F16, false, false>(zero, minus_zero), minus_zero);
        assert_eq!(pick::<F16, true, false>(minus_zero, zero), zero);
        assert_eq!(pick::<F16, true, false>(nan, one), one);
        assert_eq!(pick::<F16, true, true>(nan, one), F16::NAN);
        assert_eq!(relu::<F16>(minus_zero), 0);
        assert_eq!(relu::<F16>(nan), nan);
    }
}
