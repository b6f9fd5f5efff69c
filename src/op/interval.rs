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
    match operands {
        &[a, b] if op.is(&ADD) => Interval::new(a.low + b.low, a.high + b.high),
        &[a, b] if op.is(&SUB) => Interval::new(a.low - b.high, a.high - b.low),
        &[a, b] if op.is(&MUL) => {
            let corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
            // Zero times infinity is NaN, but zero times what is near it is zero.
            let corners = corners.map(|x| if x.is_nan() { 0.0 } else { x });
            let fold = |pick: fn(f64, f64) -> f64| corners.into_iter().reduce(pick).unwrap_or(f64::NAN);
            Interval::new(fold(f64::min), fold(f64::max))
        }
        &[a] if op.is(&NEG) => Interval::new(-a.high, -a.low),
        &[a] if op.is(&ABS) => {
            let least = if a.low <= 0.0 && a.high >= 0.0 { 0.0 } else { a.low.abs().min(a.high.abs()) };
            Interval::new(least, a.low.abs().max(a.high.abs()))
        }
        &[a, b] if op.is(&MAX) => Interval::new(a.low.max(b.low), a.high.max(b.high)),
        &[a, b] if op.is(&MIN) => Interval::new(a.low.min(b.low), a.high.min(b.high)),
        &[x, low, high] if op.is(&CLIP) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{self, TypeRule};
    use crate::scalar::Number;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        let edges = prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, 6.0, f64::INFINITY, f64::NEG_INFINITY, 1e38, -1e38]);
        prop_oneof![edges, -50.0..50.0f64, any::<f32>().prop_filter("NaN", |x| !x.is_nan()).prop_map(f64::from)]
    }

    proptest! {
        /// Whatever lies within the operands' intervals gives a result within the result's, or NaN.
        #[test]
        fn results_lie_within(which in any::<prop::sample::Index>(), ends in prop::collection::vec((value(), value(), value()), 3)) {
            let rows: Vec<&op::Row> = op::table()
                .filter(|row| row.params.is_empty() && row.operands.len() <= 3 && matches!(row.types, TypeRule::Same(_)))
                .filter(|row| matches!(row.eval, Eval::Arith { float: Some(_), .. }))
                .collect();
            let op = Op::new(rows[which.index(rows.len())]);
            let arity = op.row().operands.len();
            let sorted = |(a, b, c): (f64, f64, f64)| {
                let mut all = [a, b, c];
                all.sort_by(f64::total_cmp);
                all
            };
            let triples: Vec<[f64; 3]> = ends.into_iter().take(arity).map(sorted).collect();
            let operands: Vec<Interval> = triples.iter().map(|[low, _, high]| Interval::new(*low, *high)).collect();
            let values: Vec<Number> = triples.iter().map(|[_, x, _]| Number::Float(*x)).collect();
            let got = op.eval_exact(&values, DType::F64).as_f64();
            let within = interval(op, &operands);
            prop_assert!(got.is_nan() || (within.low <= got && got <= within.high), "{op} of {values:?}: {got} not in {within:?}");
        }
    }
}
