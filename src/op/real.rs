//! The meanings of the smooth ops in f64, in forms that lose nothing to cancellation, overflow or underflow.
//!
//! They come from `libm` rather than from the platform's C library, so that folded constants and reference results are the
//! same bytes everywhere. Where a formula has the form ∞·0 at an infinite operand, the result is its limit.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// What 1/√2 has beyond its f64.
const FRAC_1_SQRT_2_LOW: f64 = -4.833646656726457e-17;
/// 2√(2/π), as an f64 and what it has beyond.
const TWO_SQRT_2_PI: f64 = 1.5957691216057308;
const TWO_SQRT_2_PI_LOW: f64 = -9.96930880911092e-17;

/// 1/(1 + e⁻ˣ)
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// a·b as rounded, and what the rounding lost.
fn product(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    (p, if p.is_finite() { libm::fma(a, b, -p) } else { 0.0 })
}

/// x·σ(p + d), d being so small that the first two terms of its series do.
fn gated(x: f64, (p, d): (f64, f64)) -> f64 {
    let s = sigmoid(p) * (1.0 + d * sigmoid(-p));
    if s == 0.0 { 0.0f64.copysign(x) } else { x * s }
}

/// x·σ(αx)
pub(super) fn swish(x: f64, alpha: f64) -> f64 {
    gated(x, product(alpha, x))
}

/// ln(1 + eˣ)
pub(super) fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

/// ln(1 + e^(βx))
pub(super) fn scaled_softplus(x: f64, beta: f64) -> f64 {
    let (p, d) = product(beta, x);
    softplus(p) + d * sigmoid(p)
}

/// x·tanh(softplus(x)); tanh(ln(1 + t)) = (t² + 2t)/(t² + 2t + 2), written in e⁻ˣ for positive x.
pub(super) fn mish(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    match x {
        f64::NEG_INFINITY => -0.0,
        _ if x < 0.0 => x * (e * (e + 2.0) / (e * (e + 2.0) + 2.0)),
        _ => x * ((1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e)),
    }
}

/// x·Φ(x) = x/2·erfc(−x/√2), Φ the normal distribution; the argument's rounding would grow z²-fold in the tail.
pub(super) fn gelu(x: f64) -> f64 {
    if x.is_infinite() {
        return x.max(-0.0);
    }
    let (z, d) = product(-x, FRAC_1_SQRT_2);
    let d = d - x * FRAC_1_SQRT_2_LOW;
    0.5 * x * (libm::erfc(z) - FRAC_2_SQRT_PI * libm::exp(-z * z) * d)
}

/// x/2·(1 + tanh(√(2/π)·(x + 0.044715x³))) = x·σ(z), z = 2√(2/π)·x·(1 + 0.044715x²) with its rounding errors.
pub(super) fn gelu_tanh(x: f64) -> f64 {
    let (square, square_low) = product(x, x);
    let factor = libm::fma(0.044715, square, 1.0);
    let factor_low = libm::fma(0.044715, square, 1.0 - factor) + 0.044715 * square_low;
    let (y, y_low) = product(TWO_SQRT_2_PI, x);
    let (z, z_low) = product(y, factor);
    let low = z_low + y * factor_low + (y_low + TWO_SQRT_2_PI_LOW * x) * factor;
    gated(x, (z, if low.is_finite() { low } else { 0.0 }))
}

/// The inverse of cosh; NaN below 1, where libm's gives numbers.
pub(super) fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

/// x/(1 + |x|)
pub(super) fn softsign(x: f64) -> f64 {
    if x.is_infinite() { 1.0f64.copysign(x) } else { x / (1.0 + x.abs()) }
}

/// The larger; NaN if either is; +0 over −0.
pub(super) fn max(a: f64, b: f64) -> f64 {
    match () {
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a > b || (a == b && b.is_sign_negative()) => a,
        _ => b,
    }
}

/// The smaller; NaN if either is; −0 over +0.
pub(super) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// The remainder with the divisor's sign; 0 keeps that sign too.
pub(super) fn modulo(a: f64, b: f64) -> f64 {
    let r = libm::fmod(a, b);
    match r {
        0.0 => 0.0f64.copysign(b),
        _ if (r < 0.0) != (b < 0.0) => r + b,
        _ => r,
    }
}

/// ⌊a/b⌋, of the exact quotient where it is below 2⁵³.
pub(super) fn floor_div(a: f64, b: f64) -> f64 {
    let q = libm::floor(a / b);
    // The quotient may have been rounded up to an integer: then q·b lies beyond a.
    let beyond = libm::fma(-q, b, a);
    if beyond != 0.0 && q.is_finite() && (beyond < 0.0) != (b < 0.0) { q - 1.0 } else { q }
}
