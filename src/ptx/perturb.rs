//! Moves the results of approximate instructions within their documented error, to show that a kernel's bound also holds on hardware.
//!
//! What is moved is the correctly rounded result, and it is rounded again: a result may lie one unit in the last place beyond the error.

use super::ops::half::{Bf16, F16, Format};
use super::program::{Approx, R32, R64};
use std::f32::consts::PI;

/// Perturbs a row of results of these operands. The same seed, instruction and exact result always give the same perturbed result, as a
/// circuit would.
pub(crate) fn row(row: &mut R32, operands: &R32, bound: Approx, seed: u64, line: u32) {
    for (bits, operand) in row.iter_mut().zip(operands) {
        *bits = value(*bits, at(bound, f32::from_bits(*operand)), hash(seed, line, *bits));
    }
}

/// Perturbs a row of doubles.
pub(crate) fn wide(row: &mut R64, bound: Approx, seed: u64, line: u32) {
    // The unit is the last bit that the instruction gives.
    let unit = match bound {
        Approx::Gross => 1 << 32,
        Approx::Ulp64 => 1,
        _ => return,
    };
    for bits in row {
        let x = f64::from_bits(*bits);
        if !x.is_normal() || x.abs() == 1.0 {
            continue;
        }
        let h = hash(seed, line, (*bits >> 32) as u32 ^ *bits as u32);
        let moved = match h % 3 {
            0 => *bits,
            1 => *bits + unit,
            _ => *bits - unit,
        };
        if f64::from_bits(moved).is_normal() {
            *bits = moved;
        }
    }
}

/// The bound at an operand, where it depends on that.
fn at(bound: Approx, x: f32) -> Approx {
    match bound {
        Approx::Log2 if x > 0.5 && x < 2.0 => Approx::Absolute(2f32.powi(-22)),
        Approx::Log2 => Approx::Ulp(2),
        Approx::Wave(near) if x.abs() <= 2.0 * PI => Approx::Absolute(near),
        Approx::Wave(_) if x.abs() <= 100.0 * PI => Approx::Absolute(2f32.powf(-14.7)),
        // Nothing is stated: any number that a sine can be.
        Approx::Wave(_) => Approx::Absolute(1.0),
        other => other,
    }
}

/// A number in -1 ..= 1 from a hash: the two ends are as likely as all between together, because errors hide there.
fn fraction(h: u64) -> f64 {
    match h & 3 {
        0 => -1.0,
        1 => 1.0,
        _ => (h >> 11) as f64 / (1u64 << 52) as f64 - 1.0,
    }
}

fn hash(seed: u64, line: u32, bits: u32) -> u64 {
    let mut z = seed ^ u64::from(line) << 32 ^ u64::from(bits);
    // SplitMix64's finaliser, twice: neighbouring inputs must not give neighbouring errors.
    for _ in 0..2 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

fn value(bits: u32, bound: Approx, h: u64) -> u32 {
    let t = fraction(h);
    match bound {
        Approx::Exact => bits,
        Approx::RelativeF16(r) => halves::<F16>(bits, h, |x, t| x * (1.0 + t * f64::from(r))),
        Approx::RelativeBf16(r) => halves::<Bf16>(bits, h, |x, t| x * (1.0 + t * f64::from(r))),
        Approx::AbsoluteF16(a) => halves::<F16>(bits, h, |x, t| x + t * f64::from(a)),
        Approx::AbsoluteBf16(a) => halves::<Bf16>(bits, h, |x, t| x + t * f64::from(a)),
        _ => {
            let x = f32::from_bits(bits);
            // Zeros, infinities, NaN and an exact one are special cases that the ISA fixes.
            if !x.is_normal() || x.abs() == 1.0 {
                return bits;
            }
            if bound == Approx::Exp2 && bits & 0x007f_ffff == 0 {
                return bits;
            }
            let ulp = |x: f32| f64::from(f32::from_bits(x.abs().to_bits() & 0x7f80_0000)) * 2f64.powi(-23);
            let moved = match bound {
                Approx::Ulp(n) => f64::from(x) + t * f64::from(n) * ulp(x),
                Approx::Exp2 => f64::from(x) + t * 2.0 * ulp(x),
                Approx::Relative(r) => f64::from(x) * (1.0 + t * f64::from(r)),
                Approx::Absolute(a) => f64::from(x) + t * f64::from(a),
                _ => f64::from(x),
            };
            let moved = moved as f32;
            if moved.is_normal() { moved.to_bits() } else { bits }
        }
    }
}

fn halves<T: Format>(bits: u32, h: u64, f: impl Fn(f64, f64) -> f64) -> u32 {
    let one = |v: u32, t: f64| {
        let x = T::wide(v & 0xffff);
        let moved = T::round(f(f64::from(x), t) as f32);
        if x == 0.0 || !x.is_finite() || x.abs() == 1.0 || !T::wide(moved).is_finite() { v & 0xffff } else { moved }
    };
    one(bits, fraction(h)) | one(bits >> 16, fraction(h.rotate_left(32))) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stay_within_the_bound_and_reach_it() {
        let mut worst = [0i64; 2];
        for i in 0..4096u32 {
            let exact = 1.0 + (i as f32 + 1.0) / 5000.0;
            let moved = value(exact.to_bits(), Approx::Ulp(2), hash(7, 3, exact.to_bits()));
            let ulps = i64::from(moved) - i64::from(exact.to_bits());
            assert!(ulps.abs() <= 2, "{ulps}");
            worst = [worst[0].min(ulps), worst[1].max(ulps)];
        }
        assert_eq!(worst, [-2, 2]);
    }

    #[test]
    fn bounds_depend_on_the_operand_where_the_isa_says_so() {
        assert_eq!(at(Approx::Log2, 1.5), Approx::Absolute(2f32.powi(-22)));
        assert_eq!(at(Approx::Log2, 3.0), Approx::Ulp(2));
        assert_eq!(at(Approx::Wave(0.25), -6.0), Approx::Absolute(0.25));
        assert_eq!(at(Approx::Wave(0.25), 7.0), Approx::Absolute(2f32.powf(-14.7)));
    }

    #[test]
    fn doubles_move_by_the_last_bit_that_there_is() {
        let exact: R64 = std::array::from_fn(|i| (1.0 + i as f64 / 77.0).to_bits() & !0xffff_ffff);
        let (mut gross, mut fine) = (exact, exact);
        wide(&mut gross, Approx::Gross, 5, 1);
        wide(&mut fine, Approx::Ulp64, 5, 1);
        let moved = |row: &R64, unit: i64| {
            let steps: Vec<i64> = row.iter().zip(&exact).map(|(a, b)| *a as i64 - *b as i64).collect();
            assert!(steps.iter().all(|step| [-unit, 0, unit].contains(step)), "{steps:?}");
            assert!(steps.contains(&unit) && steps.contains(&-unit));
        };
        moved(&gross, 1 << 32);
        moved(&fine, 1);
        assert_eq!(gross[0], 1f64.to_bits());
    }

    #[test]
    fn special_values_stay() {
        for x in [0.0, -0.0, f32::INFINITY, f32::NAN, 1.0] {
            assert_eq!(value(x.to_bits(), Approx::Relative(0.1), 1), x.to_bits());
        }
        assert_eq!(value(0.125f32.to_bits(), Approx::Exp2, 1), 0.125f32.to_bits());
        assert_ne!(value(0.126f32.to_bits(), Approx::Exp2, 1), 0.126f32.to_bits());
    }
}
