//! Single and double precision instructions.
//!
//! Approximate instructions (`ex2.approx` and the rest) return the correctly rounded result, up to the host's f64 library:
//! hardware differs from it within the bound that the PTX ISA states, which [`Approx`] carries for the perturbation option.

use super::round::mode::*;
use super::round::{NAN32, add_odd, canonical, div_odd, flush, fma_odd, narrow, sqrt_odd};
use super::{Binary, Ternary, Unary, row};
use crate::ptx::program::{Approx, F1, F1Wide, F2, F2Wide, F3, F3Wide};

#[inline(always)]
fn take<const FTZ: bool>(bits: u32) -> f32 {
    f32::from_bits(if FTZ { flush(bits) } else { bits })
}

#[inline(always)]
fn give<const FTZ: bool>(x: f32) -> u32 {
    let bits = canonical(x);
    if FTZ { flush(bits) } else { bits }
}

/// Picks the instance for a flag and a rounding direction.
macro_rules! rounded {
    ($ftz:expr, $mode:expr, $n:tt, $f:ident) => {
        match ($ftz, $mode) {
            (false, RN) => row!($n, $f::<false, RN>),
            (false, RZ) => row!($n, $f::<false, RZ>),
            (false, RM) => row!($n, $f::<false, RM>),
            (false, _) => row!($n, $f::<false, RP>),
            (true, RN) => row!($n, $f::<true, RN>),
            (true, RZ) => row!($n, $f::<true, RZ>),
            (true, RM) => row!($n, $f::<true, RM>),
            (true, _) => row!($n, $f::<true, RP>),
        }
    };
}

/// Picks the instance for a flag.
macro_rules! flushed {
    ($ftz:expr, $n:tt, $f:ident) => {
        if $ftz { row!($n, $f::<true>) } else { row!($n, $f::<false>) }
    };
}

#[inline(always)]
fn add<const FTZ: bool, const MODE: u8>(a: u32, b: u32) -> u32 {
    let (a, b) = (take::<FTZ>(a), take::<FTZ>(b));
    give::<FTZ>(if MODE == RN { a + b } else { directed_sum::<MODE>(a, b) })
}

#[inline(always)]
fn sub<const FTZ: bool, const MODE: u8>(a: u32, b: u32) -> u32 {
    let (a, b) = (take::<FTZ>(a), take::<FTZ>(b));
    give::<FTZ>(if MODE == RN { a - b } else { directed_sum::<MODE>(a, -b) })
}

/// An exact zero sum is -0 when rounding down, unless both terms are +0.
#[inline(always)]
fn directed_sum<const MODE: u8>(a: f32, b: f32) -> f32 {
    zero_sign::<MODE>(narrow::<MODE>(add_odd(f64::from(a), f64::from(b))), a, b)
}

#[inline(always)]
fn zero_sign<const MODE: u8>(sum: f32, a: f32, b: f32) -> f32 {
    if MODE == RM && sum == 0.0 && (a.is_sign_negative() || b.is_sign_negative()) { -0.0 } else { sum }
}

#[inline(always)]
fn mul<const FTZ: bool, const MODE: u8>(a: u32, b: u32) -> u32 {
    let (a, b) = (take::<FTZ>(a), take::<FTZ>(b));
    give::<FTZ>(if MODE == RN { a * b } else { narrow::<MODE>(f64::from(a) * f64::from(b)) })
}

#[inline(always)]
fn fma<const FTZ: bool, const MODE: u8>(a: u32, b: u32, c: u32) -> u32 {
    let (a, b, c) = (take::<FTZ>(a), take::<FTZ>(b), take::<FTZ>(c));
    let sum = narrow::<MODE>(fma_odd(a, b, c));
    give::<FTZ>(if MODE == RM { zero_sign::<MODE>(sum, a * b, c) } else { sum })
}

#[inline(always)]
fn div<const FTZ: bool, const MODE: u8>(a: u32, b: u32) -> u32 {
    let (a, b) = (take::<FTZ>(a), take::<FTZ>(b));
    give::<FTZ>(if MODE == RN { a / b } else { narrow::<MODE>(div_odd(a, b)) })
}

#[inline(always)]
fn rcp<const FTZ: bool, const MODE: u8>(a: u32) -> u32 {
    div::<FTZ, MODE>(1f32.to_bits(), a)
}

#[inline(always)]
fn sqrt<const FTZ: bool, const MODE: u8>(a: u32) -> u32 {
    let a = take::<FTZ>(a);
    give::<FTZ>(if MODE == RN { a.sqrt() } else { narrow::<MODE>(sqrt_odd(a)) })
}

/// `add`, `sub`, `mul`, `div` of f32 in a rounding direction.
pub(crate) fn binary32(op: &str, ftz: bool, mode: u8) -> Option<F2> {
    Some(match op {
        "add" => rounded!(ftz, mode, 2, add),
        "sub" => rounded!(ftz, mode, 2, sub),
        "mul" => rounded!(ftz, mode, 2, mul),
        "div" => rounded!(ftz, mode, 2, div),
        _ => return None,
    })
}

pub(crate) fn fma32(ftz: bool, mode: u8) -> F3 {
    rounded!(ftz, mode, 3, fma)
}

/// `rcp` and `sqrt` of f32 in a rounding direction.
pub(crate) fn unary32(op: &str, ftz: bool, mode: u8) -> Option<F1> {
    Some(match op {
        "rcp" => rounded!(ftz, mode, 1, rcp),
        "sqrt" => rounded!(ftz, mode, 1, sqrt),
        _ => return None,
    })
}

/// `div.approx`: for |b| in (2^126, 2^128) the result is 0 (NaN for an infinite a), as PTX states.
#[inline(always)]
fn div_approx<const FTZ: bool>(a: u32, b: u32) -> u32 {
    let (x, y) = (take::<FTZ>(a), take::<FTZ>(b));
    if y.abs() > 2f32.powi(126) && y.is_finite() {
        return if x.is_infinite() { NAN32 } else { give::<FTZ>(0.0f32.copysign(x) * 1f32.copysign(y)) };
    }
    give::<FTZ>(x / y)
}

#[inline(always)]
fn min<const FTZ: bool>(a: u32, b: u32) -> u32 {
    pick::<FTZ, false, false>(a, b)
}
#[inline(always)]
fn max<const FTZ: bool>(a: u32, b: u32) -> u32 {
    pick::<FTZ, true, false>(a, b)
}
#[inline(always)]
fn min_nan<const FTZ: bool>(a: u32, b: u32) -> u32 {
    pick::<FTZ, false, true>(a, b)
}
#[inline(always)]
fn max_nan<const FTZ: bool>(a: u32, b: u32) -> u32 {
    pick::<FTZ, true, true>(a, b)
}

/// Minimum or maximum, with -0 below +0. A NaN loses against a number, or wins with `.NaN`.
#[inline(always)]
fn pick<const FTZ: bool, const MAX: bool, const NAN: bool>(a: u32, b: u32) -> u32 {
    let (x, y) = (take::<FTZ>(a), take::<FTZ>(b));
    let (xb, yb) = (x.to_bits(), y.to_bits());
    // Equal values differ at most in the sign of zero.
    let tie = if MAX { xb & yb } else { xb | yb };
    let ordered = if x == y {
        tie
    } else if (x < y) != MAX {
        xb
    } else {
        yb
    };
    match (x.is_nan(), y.is_nan()) {
        (false, false) => ordered,
        (true, false) if !NAN => yb,
        (false, true) if !NAN => xb,
        _ => NAN32,
    }
}

/// `min` and `max` of f32.
pub(crate) fn min_max32(op: &str, ftz: bool, nan: bool) -> Option<F2> {
    Some(match (op, nan) {
        ("min", false) => flushed!(ftz, 2, min),
        ("max", false) => flushed!(ftz, 2, max),
        ("min", true) => flushed!(ftz, 2, min_nan),
        ("max", true) => flushed!(ftz, 2, max_nan),
        _ => return None,
    })
}

pub(crate) fn div_approx32(ftz: bool) -> F2 {
    flushed!(ftz, 2, div_approx)
}

/// A function that the hardware approximates, through f64.
macro_rules! via_f64 {
    ($name:ident, |$x:ident| $e:expr) => {
        #[inline(always)]
        fn $name<const FTZ: bool>(a: u32) -> u32 {
            let $x = f64::from(take::<FTZ>(a));
            give::<FTZ>(($e) as f32)
        }
    };
}
via_f64!(rsqrt, |x| 1.0 / x.sqrt());
via_f64!(ex2, |x| x.exp2());
via_f64!(lg2, |x| x.log2());
via_f64!(sin, |x| x.sin());
via_f64!(cos, |x| x.cos());
via_f64!(tanh, |x| x.tanh());

/// Approximate functions of f32, with the error that the PTX ISA allows hardware.
pub(crate) fn approx32(op: &str, ftz: bool) -> Option<(F1, Approx)> {
    Some(match op {
        "rcp" => (if ftz { row!(1, rcp::<true, RN>) } else { row!(1, rcp::<false, RN>) }, Approx::Ulp(1)),
        "sqrt" => {
            (if ftz { row!(1, sqrt::<true, RN>) } else { row!(1, sqrt::<false, RN>) }, Approx::Relative(2f32.powi(-23)))
        }
        "rsqrt" => (flushed!(ftz, 1, rsqrt), Approx::Relative(2f32.powf(-22.9))),
        "ex2" => (flushed!(ftz, 1, ex2), Approx::Exp2),
        "lg2" => (flushed!(ftz, 1, lg2), Approx::Log2),
        "sin" => (flushed!(ftz, 1, sin), Approx::Wave(2f32.powf(-20.5))),
        // Between π and 2π, 2^-20.43 was measured where 2^-20.5 is stated.
        "cos" => (flushed!(ftz, 1, cos), Approx::Wave(2f32.powf(-20.4))),
        "tanh" => (flushed!(ftz, 1, tanh), Approx::Relative(2f32.powi(-11))),
        _ => return None,
    })
}

/// Sign and class operations of f32.
pub(crate) fn sign32(op: &str, ftz: bool) -> Option<F1> {
    Some(match (op, ftz) {
        ("neg", false) => row!(1, |a: u32| a ^ 0x8000_0000),
        ("neg", true) => row!(1, |a: u32| flush(a) ^ 0x8000_0000),
        ("abs", false) => row!(1, |a: u32| a & 0x7fff_ffff),
        ("abs", true) => row!(1, |a: u32| flush(a) & 0x7fff_ffff),
        _ => return None,
    })
}

/// `copysign d, a, b`: b with the sign of a.
pub(crate) fn copysign(bits: u32) -> Option<Binary> {
    Some(match bits {
        32 => Binary::Narrow(row!(2, |a: u32, b: u32| a & 0x8000_0000 | b & 0x7fff_ffff)),
        64 => Binary::Wide(row!(2, |a: u64, b: u64| a & 1 << 63 | b & !(1 << 63))),
        _ => return None,
    })
}

/// `.sat`: clamps to [0, 1]; NaN becomes +0.
pub(crate) fn saturate32() -> F1 {
    row!(1, |a: u32| {
        let x = f32::from_bits(a);
        if x >= 1.0 {
            1f32.to_bits()
        } else if x > 0.0 {
            a
        } else {
            0
        }
    })
}

fn f2(f: fn(f64, f64) -> f64, a: u64, b: u64) -> u64 {
    f(f64::from_bits(a), f64::from_bits(b)).to_bits()
}

/// Double precision, rounded to nearest.
pub(crate) fn binary64(op: &str) -> Option<F2Wide> {
    Some(match op {
        "add" => row!(2, |a: u64, b: u64| f2(|x, y| x + y, a, b)),
        "sub" => row!(2, |a: u64, b: u64| f2(|x, y| x - y, a, b)),
        "mul" => row!(2, |a: u64, b: u64| f2(|x, y| x * y, a, b)),
        "div" => row!(2, |a: u64, b: u64| f2(|x, y| x / y, a, b)),
        "min" => row!(2, |a: u64, b: u64| min_max64(a, b, false)),
        "max" => row!(2, |a: u64, b: u64| min_max64(a, b, true)),
        _ => return None,
    })
}

fn min_max64(a: u64, b: u64, max: bool) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    match (x.is_nan(), y.is_nan()) {
        (true, true) => 0x7fff_ffff_ffff_ffff,
        (true, false) => b,
        (false, true) => a,
        _ if x == y => {
            if max {
                a & b
            } else {
                a | b
            }
        }
        _ => {
            if (x < y) != max {
                a
            } else {
                b
            }
        }
    }
}

pub(crate) fn fma64() -> F3Wide {
    row!(3, |a: u64, b: u64, c: u64| f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits())
}

pub(crate) fn unary64(op: &str) -> Option<F1Wide> {
    Some(match op {
        "neg" => row!(1, |a: u64| a ^ 1 << 63),
        "abs" => row!(1, |a: u64| a & !(1 << 63)),
        "rcp" => row!(1, |a: u64| (1.0 / f64::from_bits(a)).to_bits()),
        "sqrt" => row!(1, |a: u64| f64::from_bits(a).sqrt().to_bits()),
        // The gross approximations of f64 keep 20 bits of mantissa; the lower word is zero.
        "rcp.approx" => row!(1, |a: u64| gross(1.0 / f64::from_bits(gross_input(a)))),
        "rsqrt.approx" => row!(1, |a: u64| gross(1.0 / f64::from_bits(gross_input(a)).sqrt())),
        "rsqrt.full" => row!(1, |a: u64| (1.0 / f64::from_bits(a).sqrt()).to_bits()),
        _ => return None,
    })
}

fn gross_input(a: u64) -> u64 {
    let high = a & !0xffff_ffff;
    if high >> 52 & 0x7ff == 0 { high & 1 << 63 } else { high }
}

fn gross(x: f64) -> u64 {
    if x.is_nan() {
        return 0x7fff_ffff << 32;
    }
    gross_input(x.to_bits())
}

/// Two f32 in a 64-bit register: `add.f32x2`, `mul.f32x2`, `fma.rn.f32x2`.
pub(crate) fn packed32(op: &str, ftz: bool, mode: u8) -> Option<Binary> {
    fn pair(a: u64, b: u64, f: impl Fn(u32, u32) -> u32) -> u64 {
        u64::from(f(a as u32, b as u32)) | u64::from(f((a >> 32) as u32, (b >> 32) as u32)) << 32
    }
    Some(Binary::Wide(match (op, ftz, mode) {
        ("add", false, RN) => row!(2, |a: u64, b: u64| pair(a, b, add::<false, RN>)),
        ("add", true, RN) => row!(2, |a: u64, b: u64| pair(a, b, add::<true, RN>)),
        ("sub", false, RN) => row!(2, |a: u64, b: u64| pair(a, b, sub::<false, RN>)),
        ("sub", true, RN) => row!(2, |a: u64, b: u64| pair(a, b, sub::<true, RN>)),
        ("mul", false, RN) => row!(2, |a: u64, b: u64| pair(a, b, mul::<false, RN>)),
        ("mul", true, RN) => row!(2, |a: u64, b: u64| pair(a, b, mul::<true, RN>)),
        _ => return None,
    }))
}

pub(crate) fn packed_fma32(ftz: bool) -> Ternary {
    fn three<const FTZ: bool>(a: u64, b: u64, c: u64) -> u64 {
        let one = |s: u32| u64::from(fma::<FTZ, RN>((a >> s) as u32, (b >> s) as u32, (c >> s) as u32)) << s;
        one(0) | one(32)
    }
    Ternary::Wide(if ftz { row!(3, three::<true>) } else { row!(3, three::<false>) })
}

/// Sign operations of f64, or f32, in the bank of the type.
pub(crate) fn sign(op: &str, bits: u32, ftz: bool) -> Option<Unary> {
    match bits {
        32 => sign32(op, ftz).map(Unary::Narrow),
        64 => unary64(op).map(Unary::Wide),
        _ => None,
    }
}
