//! Compares what a machine stored with the exact result and its bound.

use super::Proof;
use super::trial::{Outcome, Region, Trial};
use crate::dtype::DType;
use crate::plan::Product;
use crate::reference::bound::{self, Bounded, Judgement};
use crate::reference::product::{self, Factor, Sum};
use crate::scalar::Number;

/// Judges what a machine stored, and counts it in `proof`: every element of every store, each of which must have been written, and nothing
/// else.
///
/// # Errors
/// The first element that is out of its bound, in words.
pub fn judge(trial: &Trial, outcome: &Outcome, proof: &mut Proof) -> Result<(), String> {
    let product = trial.kernel.product.as_deref();
    let sums = product.map(|product| sums(trial, product)).transpose()?;
    let mut numbers = vec![Number::Int(0); trial.loads.len() + usize::from(product.is_some())];
    for (nth, index) in trial.tuples().enumerate() {
        for (number, region) in numbers.iter_mut().zip(&trial.loads) {
            *number = region.element(&region.contents, region.position(&index)).number();
        }
        let bounds = match &sums {
            Some((sums, accumulator, depth)) => {
                let sum = sums.get(nth).ok_or("its domain is larger than its product")?;
                let interval = sum.interval(*accumulator, *depth);
                if let Some(last) = numbers.last_mut() {
                    *last = interval.exact;
                }
                bound::bounds_of_product(trial.kernel, &numbers, interval)
            }
            None => bound::bounds(trial.kernel, &numbers),
        };
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

/// The exact accumulators, their type, and the number of terms of each.
fn sums(trial: &Trial, product: &Product) -> Result<(Vec<Sum>, DType, u64), String> {
    let elements = |region: &Region| -> Vec<f64> {
        (0..region.count).map(|i| region.element(&region.contents, i).as_f64()).collect()
    };
    let [a, b] = &trial.factors[..] else { return Err("a product has two factors".into()) };
    let (x, y) = (elements(a), elements(b));
    let (x, y) = (Factor { elements: &x, first: a.first }, Factor { elements: &y, first: b.first });
    let sums = product::sums(product, trial.sizes, x, y).map_err(|e| e.to_string())?;
    let depth = product.contraction.depth().and_then(|d| d.eval(trial.sizes)).map_err(|e| e.to_string())?;
    Ok((sums, product.accumulator, depth))
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
