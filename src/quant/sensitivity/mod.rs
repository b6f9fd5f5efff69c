//! What each group of a quantized model costs, measured: the signal-to-quantization-noise ratio at every output of the model when the
//! group alone computes on codes, and when it alone stays in float.
//!
//! A group on codes reads codes and weights of codes; the codes that it makes count for whoever reads them. That is the same unit in
//! which [`place`](super::place()) leaves groups in float and [`write`](super::write()) writes them, so what is measured here is what a
//! runtime then computes.

mod error;
mod measure;
mod meter;
mod mix;
mod refine;
mod search;
mod taps;
mod variant;
mod what_if;

pub use error::SensitivityError;
pub use measure::{Noise, Point, points};
pub use meter::{Meter, Progress};
pub use mix::{Mix, MixedPoint, Spared, mix};
pub use refine::refine;
pub use search::{Found, Goal, Search, Step, search};
pub use taps::{Tap, TappedGroup, tap_groups};
pub use variant::Variant;
pub use what_if::{Replacement, WhatIf, what_if};

use crate::dim::Bindings;
use crate::graph::Graph;
use crate::quant::{Group, macs};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a group's gain in dB is divided by where multiply-adds are limited: its share of them, and something for the conversion of codes
/// on both sides of it, which even the smallest group in float costs.
fn cost(macs: f64) -> f64 {
    macs + 0.002
}

/// The average over the points, none counted for more than `most` dB.
fn average(db: &[f64], most: f64) -> f64 {
    db.iter().map(|x| x.clamp(-most, most)).sum::<f64>() / db.len().max(1) as f64
}

/// The outcome of [`analyse`].
#[derive(Debug, Clone, Serialize)]
pub struct Sensitivity {
    pub model: String,
    /// Samples measured on.
    pub samples: usize,
    pub points: Vec<PointRow>,
    /// Groups on codes, the one that makes most of the noise first.
    pub groups: Vec<GroupRow>,
    /// Groups in float, each with the reason.
    pub float: BTreeMap<String, String>,
    /// Share of the model's multiply-adds that are on codes.
    pub quantized_macs: f64,
}

/// A point, and what the quantized model reaches there.
#[derive(Debug, Clone, Serialize)]
pub struct PointRow {
    pub name: String,
    pub about: String,
    /// With every group on codes; null where nothing is lost.
    pub db: f64,
}

/// What one group costs.
#[derive(Debug, Clone, Serialize)]
pub struct GroupRow {
    pub name: String,
    /// What it computes: `conv sigmoid mul`.
    pub ops: String,
    /// Names of the model's nodes in it.
    pub nodes: Vec<String>,
    /// Share of the model's multiply-adds.
    pub macs: f64,
    /// dB at each point when this group alone is on codes.
    pub alone_quantized: Vec<f64>,
    /// dB at each point when this group alone is in float.
    pub alone_float: Vec<f64>,
    /// Its share of the noise that all groups make when each is alone on codes, averaged over the points.
    pub noise: f64,
}

/// Measures every group of the meter's model.
///
/// # Errors
/// If a sample can't be read, or the model not run on it.
pub fn analyse(meter: &Meter, progress: &Progress) -> Result<Sensitivity, SensitivityError> {
    let groups: Vec<&Group> = {
        let quantized: BTreeSet<&str> = meter.quantized().into_iter().collect();
        meter.placement.groups.iter().filter(|group| quantized.contains(group.name.as_str())).collect()
    };
    let names: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let all = meter.variant(&BTreeSet::new())?;
    let mut variants = Vec::new();
    for group in &groups {
        let others: BTreeSet<&str> = names.iter().copied().filter(|name| *name != group.name).collect();
        variants.push(meter.variant(&others)?);
        variants.push(meter.variant(&BTreeSet::from([group.name.as_str()]))?);
    }
    let noise = meter.measure(&[&all], &variants, progress)?;
    let (full, rest) = (&noise[0], &noise[1..]);
    let sizes = sizes(meter);
    let (quantized, total) = meter.placement.macs(meter.graph, &sizes);
    let db = |row: &[Noise]| row.iter().map(|noise| noise.db()).collect::<Vec<_>>();
    // What all groups make at a point when each is alone.
    let sums: Vec<f64> =
        (0..meter.points.len()).map(|p| rest.iter().step_by(2).map(|row| row[p].error).sum()).collect();
    let mut rows: Vec<GroupRow> = groups
        .iter()
        .zip(rest.chunks_exact(2))
        .map(|(group, pair)| {
            let share = |p: usize| if sums[p] > 0.0 && sums[p].is_finite() { pair[0][p].error / sums[p] } else { 0.0 };
            let macs = group.anchor.and_then(|id| macs(meter.graph, id, &sizes)).unwrap_or(0);
            GroupRow {
                name: group.name.clone(),
                ops: ops(meter.graph, group),
                nodes: group.nodes.iter().map(|id| meter.graph.node(*id).label().to_string()).collect(),
                macs: macs as f64 / total.max(1) as f64,
                alone_quantized: db(&pair[0]),
                alone_float: db(&pair[1]),
                noise: (0..sums.len()).map(share).sum::<f64>() / sums.len().max(1) as f64,
            }
        })
        .collect();
    rows.sort_by(|a, b| b.noise.total_cmp(&a.noise));
    let points = meter.points.iter().zip(full).map(|(point, noise)| PointRow {
        name: point.name.clone(),
        about: point.about.clone(),
        db: noise.db(),
    });
    Ok(Sensitivity {
        model: meter.graph.name.clone(),
        samples: meter.samples.len(),
        points: points.collect(),
        groups: rows,
        float: meter.placement.float.clone(),
        quantized_macs: quantized as f64 / total.max(1) as f64,
    })
}

/// The sizes of the model's symbols that multiply-adds are counted for: those that the samples have.
fn sizes(meter: &Meter) -> Bindings {
    let mut sizes = meter.options.bindings.clone();
    if let Some(Ok(feed)) = meter.samples.iter().next() {
        let inputs: Vec<_> = meter
            .graph
            .inputs()
            .iter()
            .map(|id| (meter.graph.value_name(id.value()), meter.graph.ty(id.value())))
            .collect();
        // What does not fit is said when the sample is run.
        let _ = crate::reference::bind_inputs(&inputs, &feed, &mut sizes);
    }
    sizes
}

fn ops(graph: &Graph, group: &Group) -> String {
    let names: Vec<String> = group.nodes.iter().map(|id| graph.node(*id).kind.to_string()).collect();
    names.join(" ")
}
