//! Compares what a machine stored with the exact result and its bound.

use super::Proof;
use super::trial::{Outcome, Trial};
use crate::reference::bound::{self, Bounded, Judgement};
use crate::scalar::Number;

/// Judges what a machine stored, and counts it in `proof`: every element of every store, each of which must have been written, and nothing
/// else.
///
/// # Errors
/// The first element that is out of its bound, in words.
pub fn judge(trial: &Trial, outcome: &Outcome, proof: &mut Proof) -> Result<(), String> {
    let mut numbers = vec![Number::Int(0); trial.loads.len()];
    for index in trial.tuples() {
        for (number, region) in numbers.iter_mut().zip(&trial.loads) {
            *number = region.element(&region.contents, region.position(&index)).number();
        }
        let bounds = bound::bounds(trial.kernel, &numbers);
        for ((bounded, region), stored) in bounds.iter().zip(&trial.stores).zip(&outcome.stores) {
            let at = region.position(&index);
            if !stored.written[at] {
                return Err(format!("element {index:?} was not written"));
            }
            one(bounded, region.element(&stored.bytes, at).number(), &index, &numbers, proof)?;
        }
    }
    // A store's access is injective, so as many elements as tuples are written.
    for (i, stored) in outcome.stores.iter().enumerate() {
        let written = stored.written.iter().filter(|written| **written).count() as u64;
        if written > trial.count() {
            return Err(format!("store {i} wrote {written} elements, and the domain has {}", trial.count()));
        }
    }
    Ok(())
}

fn one(bounded: &Bounded, found: Number, index: &[u64], loads: &[Number], proof: &mut Proof) -> Result<(), String> {
    proof.elements += 1;
    let exact = bounded.interval.exact;
    let is_code = !bounded.dtype.is_arithmetic_float();
    proof.codes += u64::from(is_code);
    let unbounded = !is_code && bounded.interval.error().is_infinite();
    match bounded.judge(found) {
        Judgement::Exact => Ok(()),
        // Beyond the compute type's range everything is possible, and the bound says so.
        Judgement::Wrong if unbounded => Ok(()),
        Judgement::Within => {
            let error = (found.as_f64() - exact.as_f64()).abs() / bounded.interval.error();
            // An infinite bound and a finite error are a share of nothing.
            proof.worst = proof.worst.max(if error.is_finite() { error } else { 0.0 });
            Ok(())
        }
        Judgement::NearTie => {
            proof.mismatches += 1;
            proof.near_ties += 1;
            Ok(())
        }
        Judgement::Wrong => {
            proof.mismatches += u64::from(is_code);
            let bound = bounded.interval.error();
            Err(format!(
                "element {index:?} of operands {loads:?} is {found:?}, and the exact result is {exact:?} with a bound of {bound:e}"
            ))
        }
    }
}
