//! Each tensor's range, chosen by what it does to the model's outputs.
//!
//! A calibrator sees one tensor and can't know which of its values matter: clipping the few large values of an early layer may gain decibels
//! where boxes are measured and ruin the scores. So every calibrator's choice is tried: the tensor alone on codes, everything
//! else in float, and the choice that makes the least noise at the model's outputs is kept.

use super::{Meter, Noise, Progress, SensitivityError, Variant};
use crate::graph::Value;
use crate::quant::calibrate::{Calibrator, Codes, calibrate};
use crate::quant::{Observation, Placement, Scheme, Site, TensorScale, simulate};
use std::collections::{BTreeMap, BTreeSet};

/// What is tried for each tensor.
const CANDIDATES: [Calibrator; 5] = [
    Calibrator::MinMax,
    Calibrator::Percentile(99.999),
    Calibrator::Percentile(99.99),
    Calibrator::Entropy,
    Calibrator::Mse,
];
/// Tensors that are tried together: they share a run of the float model for each sample.
const AT_ONCE: usize = 16;

/// The meter's scheme with every activation's scale chosen by measurement on the meter's samples. Noise counts relative to what all groups
/// together make at a point, so that no point is forgotten for another.
///
/// # Errors
/// If a sample can't be read, or the model not run on it.
pub fn refine(
    meter: &Meter,
    seen: &Observation,
    codes: Codes,
    progress: &Progress,
) -> Result<Scheme, SensitivityError> {
    let full = meter.measure(&[&meter.variant(&BTreeSet::new())?], &[], progress)?;
    let weights: Vec<f64> =
        full[0].iter().map(|noise| if noise.error > 0.0 { 1.0 / noise.error } else { 0.0 }).collect();
    let cost = |row: &[Noise]| row.iter().zip(&weights).map(|(noise, weight)| noise.error * weight).sum::<f64>();
    let mut scheme = meter.scheme.clone();
    // Values that share a scale are tried and decided together.
    let mut shared: BTreeMap<Value, Vec<&Site>> = BTreeMap::new();
    meter.placement.sites.iter().for_each(|site| shared.entry(site.range).or_default().push(site));
    let shared: Vec<Vec<&Site>> = shared.into_values().collect();
    for together in shared.chunks(AT_ONCE) {
        let mut tried: Vec<(usize, f32, i32)> = Vec::new();
        let mut variants = Vec::new();
        for (i, sites) in together.iter().enumerate() {
            for (scale, zero) in candidates(meter, sites, seen, codes) {
                tried.push((i, scale, zero));
                variants.push(alone(meter, sites, scale, zero)?);
            }
        }
        let noise = meter.measure(&[], &variants, progress)?;
        for (i, sites) in together.iter().enumerate() {
            let own = tried.iter().zip(&noise).filter(|((of, ..), _)| *of == i);
            let Some(((_, scale, zero), _)) = own.min_by(|a, b| cost(a.1).total_cmp(&cost(b.1))) else { continue };
            for site in sites {
                if let Some(tensor) = scheme.tensors.get_mut(meter.graph.value_name(site.value)) {
                    (tensor.scales, tensor.zero_points) = (vec![*scale], vec![*zero]);
                }
            }
        }
    }
    Ok(scheme)
}

/// The distinct scales and zero points that calibrators choose for sites of one range; the scheme's own first.
fn candidates(meter: &Meter, sites: &[&Site], seen: &Observation, codes: Codes) -> Vec<(f32, i32)> {
    let mut found: Vec<(f32, i32)> = Vec::new();
    for site in sites {
        let own = meter.scheme.tensors.get(meter.graph.value_name(site.value));
        let own = own.and_then(|t| Some((*t.scales.first()?, *t.zero_points.first()?)));
        let chosen = seen.tensors.get(meter.graph.value_name(site.range)).into_iter().flat_map(|histogram| {
            CANDIDATES.map(|calibrator| calibrate(histogram, calibrator, codes)).map(|c| (c.scale, c.zero_point))
        });
        for candidate in own.into_iter().chain(chosen) {
            if !found.contains(&candidate) {
                found.push(candidate);
            }
        }
    }
    found
}

/// The float model with codes at these sites only.
fn alone(meter: &Meter, sites: &[&Site], scale: f32, zero: i32) -> Result<Variant, SensitivityError> {
    let mut scheme = Scheme::default();
    for site in sites {
        let name = meter.graph.value_name(site.value);
        if let Some(tensor) = meter.scheme.tensors.get(name) {
            let tensor = TensorScale { scales: vec![scale], zero_points: vec![zero], ..tensor.clone() };
            scheme.tensors.insert(name.to_string(), tensor);
        }
    }
    let sites = sites.iter().map(|site| (*site).clone()).collect();
    let placement = Placement { sites, weights: Vec::new(), ..meter.placement.clone() };
    Ok(meter.keyed(simulate(meter.graph, &placement, &scheme)?))
}
