//! The interval that an op's results lie in, given those of its operands.

use super::{ABS, ADD, CLIP, Eval, MAX, MIN, MUL, NEG, Op, SUB};
use crate::dtype::DType;

/// A closed interval of the extended reals, infinities included. It says nothing of NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub const ALL: Interval = Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub fn new(low: f64, high: f64) -> Interval {
        // A bound that is NaN bounds nothing.
        let or = |x: f64, all: f64| if x.is_nan() { all } else { x };
        Interval { low: or(low, f64::NEG_INFINITY), high: or(high, f64::INFINITY) }
    }

    pub fn point(x: f64) -> Interval {
        Interval::new(x, x)
    }

    /// Every value of a type.
    pub fn of(dtype: DType) -> Interval {
        dtype.int_range().map_or(Interval::ALL, |(low, high)| Interval::new(low as f64, high as f64))
    }

    pub fn union(self, other: Interval) -> Interval {
        Interval { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// True if the larger of a value and `bound` is the value, bit for bit: of −0 and +0 it is +0.
    pub fn is_above(self, bound: f64) -> bool {
        self.low > bound || (self.low == bound && bound != 0.0)
    }

    /// The same of the smaller.
    pub fn is_below(self, bound: f64) -> bool {
        self.high < bound || (self.high == bound && bound != 0.0)
    }

    /// True if no value of it is infinite, nor becomes so by an error of rounding.
    pub fn is_bounded(self) -> bool {
        self.low.abs().max(self.high.abs()) < 0.5 * f64::from(f32::MAX)
    }
}

/// The results of a float op, NaN aside; their own rounding is not in it.
pub fn interval(op: Op, operands: &[Interval]) -> Interval {
    let row = op.row();
    match *operands {
        [a, b] if op.is(&ADD) => Interval::new(a.low + b.low, a.high + b.high),
        [a, b] if op.is(&SUB) => Interval::new(a.low - b.high, a.high - b.low),
        [a, b] if op.is(&MUL) => {
            let corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
            // Zero times infinity is NaN, but zero times what is near it is zero.
            let corners = corners.map(|x| if x.is_nan() { 0.0 } else { x });
            let fold = |pick: fn(f64, f64) -> f64| corners.into_iter().reduce(pick).unwrap_or(f64::NAN);
            Interval::new(fold(f64::min), fold(f64::max))
        }
        [a] if op.is(&NEG) => Interval::new(-a.high, -a.low),
        [a] if op.is(&ABS) => {
            let least = if a.low <= 0.0 && a.high >= 0.0 { 0.0 } else { a.low.abs().min(a.high.abs()) };
            Interval::new(least, a.low.abs().max(a.high.abs()))
        }
        [a, b] if op.is(&MAX) => Interval::new(a.low.max(b.low), a.high.max(b.high)),
        [a, b] if op.is(&MIN) => Interval::new(a.low.min(b.low), a.high.min(b.high)),
        [x, low, high] if op.is(&CLIP) => {
            Interval::new(x.low.max(low.low).min(high.low), x.high.max(low.high).min(high.high))
        }
        // The row's own interval is for finite operands; what a continuous op gives for infinite ones lies in it, or is NaN.
        _ if matches!(row.eval, Eval::Arith { float: Some(_), .. }) => {
            let (low, high) = row.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            let of_operand = match operands {
                // Never decreasing: at its ends; a step outwards for what the function itself rounds.
                &[a] if row.algebra.monotonic > 0 && row.params.is_empty() => {
                    let at = |x: f64| match row.eval {
                        Eval::Arith { float: Some(f), .. } => f(&[x]),
                        _ => f64::NAN,
                    };
                    Interval::new(at(a.low), at(a.high))
                }
                _ => Interval::ALL,
            };
            Interval::new(low.max(of_operand.low), high.min(of_operand.high))
        }
        _ => Interval::ALL,
    }
}
