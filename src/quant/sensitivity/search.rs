//! Which groups to leave in float: as few as reach the target.
//!
//! Greedy with re-measurement. The noises of groups nearly add up, so the gain of leaving a group in float, measured with everything
//! else on codes, orders the candidates well; but what it gains next to those already taken must be measured again. It is, for the
//! best candidates only, a few at a time, until the best one measured beats what the others promised. At the end every
//! group taken is tried without: what the others have made superfluous goes back to codes.

use super::{Meter, Noise, Progress, Sensitivity, SensitivityError, average, cost};
use serde::Serialize;
use std::collections::BTreeSet;

/// When enough groups are in float.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// This many dB at each point; `None` where any will do.
    Targets(Vec<Option<f64>>),
    /// So many groups, chosen for the most dB on average over the points.
    Count(usize),
}

/// What to search for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub goal: Goal,
    /// The largest share of the model's multiply-adds that may be in float, those counted that are so by rule.
    pub float_macs: Option<f64>,
}

/// One group left in float, and what the model reaches with it and those before it.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    pub group: String,
    /// dB at each point.
    pub db: Vec<f64>,
    /// Share of the model's multiply-adds on codes.
    pub quantized_macs: f64,
}

/// The outcome of [`search`].
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Groups to leave in float, in the order in which they were taken.
    pub float: Vec<String>,
    pub steps: Vec<Step>,
    /// Groups that were taken and later found superfluous.
    pub dropped: Vec<String>,
    /// dB at each point with the groups of `float` in float.
    pub db: Vec<f64>,
    pub quantized_macs: f64,
    /// Whether the goal is reached.
    pub met: bool,
}

/// Candidates that are measured together: they share a run of the model from the start.
const AT_ONCE: usize = 4;
/// Measurements of candidates before the best one is taken, whatever the others promise.
const MOST_ROUNDS: usize = 3;
/// No point counts for more: an exact output is not worth infinitely much.
const MOST_DB: f64 = 120.0;

/// A group, and what it gains in float next to those that are so already.
struct Candidate<'s> {
    name: &'s str,
    macs: f64,
    gain: f64,
    measured: Option<Vec<f64>>,
}

/// Chooses groups to leave in float. `progress` is told of every measurement.
///
/// # Errors
/// If a sample can't be read, or the model not run on it.
pub fn search(
    meter: &Meter,
    base: &Sensitivity,
    wanted: &Search,
    progress: &Progress,
) -> Result<Found, SensitivityError> {
    let worth = |db: &[f64]| worth(&wanted.goal, db);
    let mut db: Vec<f64> = base.points.iter().map(|point| point.db).collect();
    let start = worth(&db);
    let mut left: Vec<Candidate> = base
        .groups
        .iter()
        .map(|row| Candidate { name: &row.name, macs: row.macs, gain: worth(&row.alone_float) - start, measured: None })
        .collect();
    let mut found = Found {
        float: Vec::new(),
        steps: Vec::new(),
        dropped: Vec::new(),
        db: db.clone(),
        quantized_macs: base.quantized_macs,
        met: false,
    };
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut shares: Vec<(&str, f64)> = Vec::new();
    while !reached(&wanted.goal, &db, taken.len()) {
        let budget = wanted.float_macs.map(|most| most - (1.0 - found.quantized_macs));
        left.retain(|candidate| budget.is_none_or(|b| candidate.macs <= b));
        if left.is_empty() {
            break;
        }
        let value = |c: &Candidate| if budget.is_some() { c.gain / cost(c.macs) } else { c.gain };
        left.iter_mut().for_each(|candidate| candidate.measured = None);
        let current = meter.variant(&taken)?;
        for _ in 0..MOST_ROUNDS {
            left.sort_by(|a, b| value(b).total_cmp(&value(a)));
            let fresh: Vec<usize> = (0..left.len()).filter(|i| left[*i].measured.is_none()).take(AT_ONCE).collect();
            let Some(first) = fresh.first().copied() else { break };
            // All that promised more has been measured: no other one can be better.
            if first > 0 {
                break;
            }
            let variants = fresh.iter().map(|i| {
                let with: BTreeSet<&str> = taken.iter().copied().chain([left[*i].name]).collect();
                meter.variant(&with)
            });
            let variants = variants.collect::<Result<Vec<_>, _>>()?;
            let noise = meter.measure(&[&current], &variants, progress)?;
            let now = worth(&decibels(&noise[0]));
            for (i, row) in fresh.into_iter().zip(&noise[1..]) {
                let db = decibels(row);
                left[i].gain = worth(&db) - now;
                left[i].measured = Some(db);
            }
        }
        left.sort_by(|a, b| b.measured.is_some().cmp(&a.measured.is_some()).then(value(b).total_cmp(&value(a))));
        let best = left.remove(0);
        let Some(measured) = best.measured else { break };
        db = measured;
        taken.insert(best.name);
        shares.push((best.name, best.macs));
        found.quantized_macs -= best.macs;
        let step = Step { group: best.name.into(), db: db.clone(), quantized_macs: found.quantized_macs };
        found.steps.push(step);
    }
    if let Goal::Targets(_) = wanted.goal {
        while let Some(without) = superfluous(meter, wanted, &shares, progress)? {
            db = without.db;
            shares.retain(|(other, _)| *other != without.name);
            found.quantized_macs += without.macs;
            found.dropped.push(without.name.to_string());
        }
    }
    found.met = reached(&wanted.goal, &db, shares.len());
    found.float = shares.iter().map(|(name, _)| name.to_string()).collect();
    found.db = db;
    Ok(found)
}

/// A group that the goal is reached without.
struct Superfluous<'s> {
    name: &'s str,
    macs: f64,
    /// dB at each point without it.
    db: Vec<f64>,
}

/// The largest group that the goal is reached without, if there is one.
fn superfluous<'s>(
    meter: &Meter,
    wanted: &Search,
    taken: &[(&'s str, f64)],
    progress: &Progress,
) -> Result<Option<Superfluous<'s>>, SensitivityError> {
    // The last one taken is what reached the goal.
    let Some((_, earlier)) = taken.split_last().filter(|(_, earlier)| !earlier.is_empty()) else { return Ok(None) };
    let without = |name: &str| taken.iter().map(|(n, _)| *n).filter(|n| *n != name).collect::<BTreeSet<&str>>();
    let variants = earlier.iter().map(|(name, _)| meter.variant(&without(name))).collect::<Result<Vec<_>, _>>()?;
    let current = meter.variant(&taken.iter().map(|(name, _)| *name).collect())?;
    let noise = meter.measure(&[&current], &variants, progress)?;
    let tried =
        earlier.iter().zip(&noise[1..]).map(|((name, macs), row)| Superfluous { name, macs: *macs, db: decibels(row) });
    let good = tried.filter(|without| reached(&wanted.goal, &without.db, taken.len() - 1));
    Ok(good.max_by(|a, b| a.macs.total_cmp(&b.macs)))
}

fn decibels(row: &[Noise]) -> Vec<f64> {
    row.iter().map(|noise| noise.db()).collect()
}

fn reached(goal: &Goal, db: &[f64], count: usize) -> bool {
    match goal {
        Goal::Targets(targets) => targets.iter().zip(db).all(|(target, db)| target.is_none_or(|t| *db >= t)),
        Goal::Count(n) => count >= *n,
    }
}

/// What is to be made as large as possible: minus the dB that are missing, or the average dB.
fn worth(goal: &Goal, db: &[f64]) -> f64 {
    let bounded = |x: &f64| x.clamp(-MOST_DB, MOST_DB);
    match goal {
        Goal::Targets(targets) => {
            let missing = |(target, db): (&Option<f64>, &f64)| target.map_or(0.0, |t| (t - bounded(db)).max(0.0));
            -targets.iter().zip(db).map(missing).sum::<f64>()
        }
        Goal::Count(_) => average(db, MOST_DB),
    }
}
