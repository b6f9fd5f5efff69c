//! Rounding, written out: the four IEEE directions, and fused operations in f64 that keep what a later rounding needs.
//!
//! "Round to odd" keeps a sticky bit: if a sum is inexact, its last bit is forced to one. A value rounded to odd with at least two spare bits
//! rounds to the same narrower value as the exact one would, in every direction.

/// The rounding modifiers `.rn`, `.rz`, `.rm`, `.rp`, as const parameters.
pub(crate) mod mode {
    pub(crate) const RN: u8 = 0;
    pub(crate) const RZ: u8 = 1;
    pub(crate) const RM: u8 = 2;
    pub(crate) const RP: u8 = 3;
}
use mode::{RM, RP, RZ};

/// `a + b` in f64, rounded to odd.
#[inline(always)]
pub(crate) fn add_odd(a: f64, b: f64) -> f64 {
    let s = a + b;
    // Knuth's two-sum: the exact error of the rounded sum.
    let bb = s - a;
    let err = (a - (s - bb)) + (b - bb);
    to_odd(s, err)
}

/// `a * b + c` of f32 values, in f64, rounded to odd. The product of two f32 is exact in f64.
#[inline(always)]
pub(crate) fn fma_odd(a: f32, b: f32, c: f32) -> f64 {
    add_odd(f64::from(a) * f64::from(b), f64::from(c))
}

/// Makes `s` odd when the exact value was `s + err`.
#[inline(always)]
fn to_odd(s: f64, err: f64) -> f64 {
    let bits = s.to_bits();
    // `s` was rounded to nearest and is even: the exact value lies on the side of `err`, so step there when it was
    // inexact. A NaN or infinite `s` makes `err` NaN or infinite; it is left alone.
    let inexact = err != 0.0 && s.is_finite() && !err.is_nan();
    let even = bits & 1 == 0;
    let outward = (err > 0.0) == (s > 0.0);
    let moved = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact && even { moved } else { bits })
}

/// `a / b` in f64, rounded to odd, for f32 operands.
#[inline(always)]
pub(crate) fn div_odd(a: f32, b: f32) -> f64 {
    let (a, b) = (f64::from(a), f64::from(b));
    let q = a / b;
    let rest = f64::mul_add(-q, b, a);
    to_odd(q, if b < 0.0 { -rest } else { rest })
}

/// The square root in f64, rounded to odd, for an f32 operand.
#[inline(always)]
pub(crate) fn sqrt_odd(a: f32) -> f64 {
    let a = f64::from(a);
    let r = a.sqrt();
    to_odd(r, f64::mul_add(-r, r, a))
}

/// Rounds an f64 to f32 in a direction.
#[inline(always)]
pub(crate) fn narrow<const MODE: u8>(x: f64) -> f32 {
    let near = x as f32;
    let back = f64::from(near);
    if MODE == 0 || back == x || x.is_nan() {
        return near;
    }
    let too_far = match MODE {
        RZ => back.abs() > x.abs(),
        RM => back > x,
        _ => back < x,
    };
    if !too_far {
        return near;
    }
    match MODE {
        RZ => f32::from_bits(near.to_bits() - 1),
        RM => near.next_down(),
        _ => near.next_up(),
    }
}

/// Rounds an f64 to f32, to odd: a step on the way to a narrower type.
#[inline(always)]
pub(crate) fn narrow_odd(x: f64) -> f32 {
    let toward_zero = narrow::<RZ>(x);
    let exact = f64::from(toward_zero) == x || x.is_nan();
    if exact { toward_zero } else { f32::from_bits(toward_zero.to_bits() | 1) }
}

/// Rounds to an integral value in a direction: `.rni`, `.rzi`, `.rmi`, `.rpi`.
#[inline(always)]
pub(crate) fn integral<const MODE: u8>(x: f64) -> f64 {
    match MODE {
        RZ => x.trunc(),
        RM => x.floor(),
        RP => x.ceil(),
        _ => x.round_ties_even(),
    }
}

/// Flushes a subnormal f32 to a zero of its sign: `.ftz`.
#[inline(always)]
pub(crate) fn flush(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// The NaN that single-precision arithmetic returns on NVIDIA hardware.
pub(crate) const NAN32: u32 = 0x7fff_ffff;

/// The bits of an f32 result, NaN made canonical.
#[inline(always)]
pub(crate) fn canonical(x: f32) -> u32 {
    if x.is_nan() { NAN32 } else { x.to_bits() }
}

#[cfg(test)]
mod tests {
    use super::mode::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fused_multiply_add_is_correctly_rounded(a in any::<u32>(), b in any::<u32>(), c in any::<u32>()) {
            let [a, b, c] = [a, b, c].map(f32::from_bits);
            prop_assert_eq!(canonical(narrow::<RN>(fma_odd(a, b, c))), canonical(a.mul_add(b, c)));
        }

        /// Operands of close exponents, where cancellation and ties are common.
        #[test]
        fn fused_multiply_add_near_cancellation(a in 0u32..1 << 12, b in 0u32..1 << 12, c in 0u32..1 << 24, neg: bool, shift in -40i32..40) {
            let scale = 2f32.powi(shift);
            let (a, b) = (a as f32, b as f32 * scale);
            let c = if neg { -(c as f32) } else { c as f32 } * scale;
            prop_assert_eq!(canonical(narrow::<RN>(fma_odd(a, b, c))), canonical(a.mul_add(b, c)));
        }

        #[test]
        fn directed_rounding_brackets_the_value(x in any::<f64>()) {
            let (down, up, zero) = (narrow::<RM>(x), narrow::<RP>(x), narrow::<RZ>(x));
            prop_assert!(f64::from(down) <= x && x <= f64::from(up));
            prop_assert_eq!(zero, if x > 0.0 { down } else { up });
            prop_assert!(down == up || down.next_up() == up);
        }

        #[test]
        fn quotients_and_roots_are_correctly_rounded(a in any::<u32>(), b in any::<u32>()) {
            let [a, b] = [a, b].map(f32::from_bits);
            prop_assert_eq!(canonical(narrow::<RN>(div_odd(a, b))), canonical(a / b));
            prop_assert_eq!(canonical(narrow::<RN>(sqrt_odd(a))), canonical(a.sqrt()));
        }
    }

    #[test]
    fn sums_too_wide_for_f64_keep_a_sticky_bit() {
        let s = add_odd(1.0, 2f64.powi(-80));
        assert_eq!(s.to_bits() & 1, 1);
        assert_eq!(narrow::<RP>(s), 1.0f32.next_up());
        assert_eq!(narrow::<RM>(s), 1.0);
        let s = add_odd(1.0, -(2f64.powi(-80)));
        assert_eq!(narrow::<RZ>(s), 1.0f32.next_down());
    }
}
