//! Which few groups to leave in float so that a model keeps its accuracy: a budget of multiply-adds, spent where it gains most.
//!
//! Each group's noise is measured once, the group alone on codes and all else in float. Such noises nearly add up, so the noise of a mixed
//! model is about the sum of what its groups on codes make. Groups are taken one by one, by the decibels that each gains for its
//! multiply-adds, while the budget lasts and the gain is worth a group. Then the model is measured with the first one, two, … of them
//! in float, and the smallest set that is close to the best is kept: what is promised here has been measured, not added up.

use super::{Meter, Noise, Progress, SensitivityError, average, cost};
use crate::dim::Bindings;
use crate::quant::{Group, macs};
use serde::Serialize;
use std::collections::BTreeSet;

/// The outcome of [`mix`].
#[derive(Debug, Clone, Serialize)]
pub struct Mix {
    /// Samples measured on.
    pub samples: usize,
    pub points: Vec<MixedPoint>,
    /// The groups to leave in float, the noisiest first.
    pub float: Vec<Spared>,
    /// The groups that make most of the noise, whether or not they are left in float, the noisiest first.
    pub noisiest: Vec<Spared>,
}

/// What a model reaches at a point, in dB; null where nothing is lost.
#[derive(Debug, Clone, Serialize)]
pub struct MixedPoint {
    pub name: String,
    pub about: String,
    /// With every group on codes.
    pub all_on_codes: f64,
    /// With the groups of [`Mix::float`] in float.
    pub mixed: f64,
}

/// A group and what it costs.
#[derive(Debug, Clone, Serialize)]
pub struct Spared {
    pub group: String,
    /// Its share of the model's multiply-adds.
    pub macs: f64,
    /// Its share of the noise that all groups make when each is alone on codes, averaged over the points.
    pub noise: f64,
}

/// A point that reaches this is not worth more: the error has a thousandth of the signal's amplitude.
const GOOD_DB: f64 = 60.0;
/// A group is left in float for no less than this, on average over the points: little, for the budget is the user's, and rare large values
/// that the samples lack make a noisy group noisier elsewhere.
const WORTH_DB: f64 = 0.1;
/// Sets that are measured to be this close are alike, and the smaller is kept.
const ALIKE_DB: f64 = 0.02;
/// Groups that are taken at most.
const MOST_GROUPS: usize = 16;
/// Groups that the outcome lists.
const LISTED: usize = 12;

/// A group, and what it makes when it alone is on codes.
struct Alone<'m> {
    name: &'m str,
    macs: f64,
    noise: Vec<Noise>,
    share: f64,
}

/// Chooses the groups to leave in float, of `most` (a share) of the model's multiply-adds together with those that are in float anyway,
/// at the sizes that the samples have.
///
/// # Errors
/// If a sample can't be read, or the model not run on it.
pub fn mix(meter: &Meter, most: f64, sizes: &Bindings, progress: &Progress) -> Result<Mix, SensitivityError> {
    let (quantized, total) = meter.placement.macs(meter.graph, sizes);
    let budget = most - (1.0 - quantized as f64 / total.max(1) as f64);
    let candidates = candidates(meter, sizes, total, progress)?;
    let mut taken = spend(&candidates, budget);
    taken.sort_by(|a, b| b.share.total_cmp(&a.share));
    // The model with none of them in float, the first, the first two …
    let sets = (0..=taken.len()).map(|n| taken[..n].iter().map(|c| c.name).collect::<BTreeSet<_>>());
    let variants = sets.map(|set| meter.variant(&set)).collect::<Result<Vec<_>, _>>()?;
    let measured: Vec<Vec<f64>> = meter
        .measure(&[], &variants, progress)?
        .iter()
        .map(|row| row.iter().map(|noise| noise.db()).collect())
        .collect();
    let best = measured.iter().map(|db| average(db, GOOD_DB)).fold(f64::NEG_INFINITY, f64::max);
    let enough = measured.iter().position(|db| average(db, GOOD_DB) >= best - ALIKE_DB).unwrap_or(0);
    let points = meter.points.iter().enumerate().map(|(p, point)| MixedPoint {
        name: point.name.clone(),
        about: point.about.clone(),
        all_on_codes: measured[0][p],
        mixed: measured[enough][p],
    });
    let spared = |c: &&Alone| Spared { group: c.name.to_string(), macs: c.macs, noise: c.share };
    let mut noisiest: Vec<&Alone> = candidates.iter().filter(|c| c.share > 0.0).collect();
    noisiest.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(Mix {
        samples: meter.samples.len(),
        points: points.collect(),
        float: taken[..enough].iter().map(spared).collect(),
        noisiest: noisiest.iter().take(LISTED).map(spared).collect(),
    })
}

/// Every group on codes with what it makes alone.
fn candidates<'m>(
    meter: &Meter<'m>,
    sizes: &Bindings,
    total: u64,
    progress: &Progress,
) -> Result<Vec<Alone<'m>>, SensitivityError> {
    let names: BTreeSet<&str> = meter.quantized().into_iter().collect();
    let groups: Vec<&Group> = meter.placement.groups.iter().filter(|g| names.contains(g.name.as_str())).collect();
    let alone = |group: &&Group| {
        let others: BTreeSet<&str> = names.iter().copied().filter(|name| *name != group.name).collect();
        meter.variant(&others)
    };
    let variants = groups.iter().map(alone).collect::<Result<Vec<_>, _>>()?;
    let noise = meter.measure(&[], &variants, progress)?;
    let sums: Vec<f64> = (0..meter.points.len()).map(|p| noise.iter().map(|row| row[p].error).sum()).collect();
    let rows = groups.into_iter().zip(noise).map(|(group, noise)| {
        let share = |(noise, sum): (&Noise, &f64)| if *sum > 0.0 && sum.is_finite() { noise.error / sum } else { 0.0 };
        let share = noise.iter().zip(&sums).map(share).sum::<f64>() / sums.len().max(1) as f64;
        let macs = group.anchor.and_then(|id| macs(meter.graph, id, sizes)).unwrap_or(0) as f64 / total.max(1) as f64;
        Alone { name: group.name.as_str(), macs, noise, share }
    });
    Ok(rows.collect())
}

/// Takes groups by what they gain for what they cost, as long as the budget lasts.
fn spend<'c, 'm>(candidates: &'c [Alone<'m>], mut budget: f64) -> Vec<&'c Alone<'m>> {
    let mut left: Vec<&Alone> = candidates.iter().collect();
    let mut taken = Vec::new();
    while taken.len() < MOST_GROUPS {
        let without = |other: Option<&Alone>| {
            let points = left.first().map_or(0, |c| c.noise.len());
            let db = (0..points).map(|p| {
                let kept = left.iter().filter(|c| other.is_none_or(|o| !std::ptr::eq(**c, o)));
                let error = kept.map(|c| c.noise[p].error).sum();
                Noise { signal: left.first().map_or(0.0, |c| c.noise[p].signal), error }.db()
            });
            average(&db.collect::<Vec<_>>(), GOOD_DB)
        };
        let now = without(None);
        let gains = left.iter().enumerate().filter(|(_, c)| c.macs <= budget);
        let gains = gains.map(|(i, c)| (i, without(Some(c)) - now)).filter(|(_, gain)| *gain >= WORTH_DB);
        let value = |(i, gain): &(usize, f64)| gain / cost(left[*i].macs);
        let Some((best, _)) = gains.max_by(|a, b| value(a).total_cmp(&value(b))) else { break };
        let candidate = left.remove(best);
        budget -= candidate.macs;
        taken.push(candidate);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    fn candidate(name: &str, macs: f64, errors: [f64; 2]) -> Alone<'_> {
        let noise = errors.iter().map(|error| Noise { signal: 1.0, error: *error }).collect();
        Alone { name, macs, noise, share: 0.0 }
    }

    fn names(taken: Vec<&Alone>) -> Vec<String> {
        taken.iter().map(|c| c.name.to_string()).collect()
    }

    #[test]
    fn a_budget_goes_where_it_gains_most_for_its_multiply_adds() {
        let candidates = [
            candidate("loud", 0.02, [0.02, 0.02]),
            candidate("large", 0.9, [0.02, 0.02]),
            candidate("small", 0.001, [0.001, 0.005]),
            candidate("quiet", 0.001, [1e-8, 1e-8]),
        ];
        // What is loud goes first though it costs more than what is small; what is large does not fit; what is quiet gains nothing.
        assert_eq!(names(spend(&candidates, 0.05)), ["loud", "small"]);
        assert_eq!(names(spend(&candidates, 0.0215)), ["loud", "small"]);
        assert_eq!(names(spend(&candidates, 0.01)), ["small"]);
        assert_eq!(names(spend(&candidates, 1.0)), ["loud", "small", "large"]);
        assert!(spend(&candidates, -0.1).is_empty());
    }

    #[test]
    fn what_is_good_already_costs_nothing() {
        assert!(spend(&[candidate("fine", 0.001, [1e-7, 0.9e-6])], 0.05).is_empty());
        let lost = [candidate("fine", 0.001, [f64::INFINITY, 0.0])];
        assert_eq!(names(spend(&lost, 0.05)), ["fine"]);
    }
}
