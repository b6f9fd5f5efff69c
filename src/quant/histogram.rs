//! A histogram of everything a tensor ever held, in bounded memory, whose merge does not depend on order.
//!
//! Bins are 2ᵏ wide and begin at multiples of 2ᵏ; k is the smallest for which the largest magnitude seen falls within [`HALF`] bins of
//! zero. A finer histogram coarsens to a wider one exactly, pair by pair, so counting in any order, on any number of machines,
//! gives the same bins.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bins on each side of zero.
const HALF: i64 = 4096;
/// Finest bins: 2^-60. What is smaller falls into the bins next to zero.
const FINEST: i32 = -60;

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Bins are 2^exponent wide.
    exponent: i32,
    /// Count of the finite values in [i·2ᵏ, (i+1)·2ᵏ) for each i that has any.
    bins: BTreeMap<i64, u64>,
    /// Finite values counted.
    pub count: u64,
    /// Smallest and largest finite value; meaningless while `count` is 0.
    pub min: f64,
    pub max: f64,
    pub nan: u64,
    pub infinite: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { exponent: FINEST, bins: BTreeMap::new(), count: 0, min: 0.0, max: 0.0, nan: 0, infinite: 0 }
    }
}

impl Histogram {
    /// Counts values. NaN and infinities are counted apart.
    pub fn extend(&mut self, values: impl IntoIterator<Item = f64> + Clone) {
        let finite = values.clone().into_iter().filter(|x| x.is_finite());
        let Some((min, max)) = finite.fold(None, |range: Option<(f64, f64)>, x| {
            Some(range.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
        }) else {
            return self.count_special(values);
        };
        self.widen(min, max);
        // Dense counters for the loop, sparse ones to keep.
        let mut dense = vec![0u64; 2 * HALF as usize];
        let scale = libm::scalbn(1.0, -self.exponent);
        for x in values.clone().into_iter().filter(|x| x.is_finite()) {
            let bin = (x * scale).floor() as i64;
            // A small negative product underflows to −0, and its bin is still the one below zero.
            let bin = if x < 0.0 { bin.min(-1) } else { bin };
            dense[(bin + HALF).clamp(0, 2 * HALF - 1) as usize] += 1;
        }
        for (i, n) in dense.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            *self.bins.entry(i as i64 - HALF).or_default() += n;
            self.count += n;
        }
        self.count_special(values);
    }

    fn count_special(&mut self, values: impl IntoIterator<Item = f64>) {
        for x in values.into_iter().filter(|x| !x.is_finite()) {
            *(if x.is_nan() { &mut self.nan } else { &mut self.infinite }) += 1;
        }
    }

    /// Takes [min, max] into the range, coarsening the bins until they reach.
    fn widen(&mut self, min: f64, max: f64) {
        (self.min, self.max) = if self.count == 0 { (min, max) } else { (self.min.min(min), self.max.max(max)) };
        let largest = self.min.abs().max(self.max.abs());
        // Below 2^(e+1) ≤ HALF·2ᵏ for k = e + 1 − log2 HALF.
        let needed = if largest == 0.0 { FINEST } else { libm::ilogb(largest) + 1 - HALF.ilog2() as i32 };
        self.coarsen(needed);
    }

    fn coarsen(&mut self, exponent: i32) {
        let shift = exponent - self.exponent;
        if shift <= 0 {
            return;
        }
        let mut bins = BTreeMap::new();
        for (i, n) in &self.bins {
            // An arithmetic shift is the floor of the division, for negative bins too.
            *bins.entry(i >> shift.min(63)).or_default() += n;
        }
        self.bins = bins;
        self.exponent = exponent;
    }

    /// Adds another histogram's counts: the result is that of counting both sets of values into one.
    pub fn merge(&mut self, other: &Histogram) {
        self.nan += other.nan;
        self.infinite += other.infinite;
        if other.count == 0 {
            return;
        }
        self.widen(other.min, other.max);
        let mut other = other.clone();
        other.coarsen(self.exponent);
        for (i, n) in other.bins {
            *self.bins.entry(i).or_default() += n;
        }
        self.count += other.count;
    }

    /// The width of a bin.
    pub fn width(&self) -> f64 {
        libm::scalbn(1.0, self.exponent)
    }

    /// (centre, count) of each bin that has any, ascending. Centres are kept within [min, max], so that a constant tensor has
    /// its own value for centre.
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, u64)> + '_ {
        let width = self.width();
        self.bins.iter().map(move |(i, n)| (((*i as f64 + 0.5) * width).clamp(self.min, self.max), *n))
    }

    /// The value below which the share `q` (0 to 1) of the finite values lies, to the width of a bin.
    pub fn quantile(&self, q: f64) -> f64 {
        let target = q * self.count as f64;
        let mut below = 0.0;
        for (i, n) in &self.bins {
            let n = *n as f64;
            if below + n >= target {
                let inside = if n > 0.0 { ((target - below) / n).clamp(0.0, 1.0) } else { 0.0 };
                return ((*i as f64 + inside) * self.width()).clamp(self.min, self.max);
            }
            below += n;
        }
        self.max
    }

    /// Counts by magnitude: entry i is the number of values with i·width ≤ |x| < (i+1)·width.
    pub fn magnitudes(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for (i, n) in &self.bins {
            let at = if *i < 0 { -i - 1 } else { *i } as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            counts[at] += n;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Histogram {
        let mut h = Histogram::default();
        h.extend(values.iter().copied());
        h
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let x = prop_oneof![
            -1.0f64..1.0,
            -1e4f64..1e4,
            (-320i32..300, -1.0f64..1.0).prop_map(|(e, m)| m * 10f64.powi(e)),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(0.0)
        ];
        proptest::collection::vec(x, 0..60)
    }

    proptest! {
        #[test]
        fn shards_merge_to_the_whole_in_any_order(a in values(), b in values(), c in values()) {
            let whole = of(&[a.clone(), b.clone(), c.clone()].concat());
            let mut ab = of(&a);
            ab.merge(&of(&b));
            ab.merge(&of(&c));
            let mut ca = of(&c);
            ca.merge(&of(&a));
            ca.merge(&of(&b));
            prop_assert_eq!(&ab, &ca);
            prop_assert_eq!(&ab, &whole);
            let json = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), whole);
        }

        #[test]
        fn every_finite_value_is_in_its_bin(a in values()) {
            let h = of(&a);
            prop_assert_eq!(h.count + h.nan + h.infinite, a.len() as u64);
            prop_assert_eq!(h.bins().map(|(_, n)| n).sum::<u64>(), h.count);
            prop_assert_eq!(h.magnitudes().iter().sum::<u64>(), h.count);
            prop_assert!(h.bins.keys().all(|i| (-HALF..HALF).contains(i)));
        }
    }

    #[test]
    fn quantiles_are_those_of_a_ramp() {
        let h = of(&(0..10_000).map(|i| f64::from(i) / 10_000.0).collect::<Vec<_>>());
        for q in [0.0, 0.01, 0.5, 0.999, 1.0] {
            assert!((h.quantile(q) - q).abs() < 1e-3, "{q}: {}", h.quantile(q));
        }
    }
}
