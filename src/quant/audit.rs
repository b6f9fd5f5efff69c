//! What calibration saw and decided, tensor by tensor, and what a person may want to do about it.
//!
//! Every figure comes from the histograms of the calibration run, so the audit needs neither the data nor another run of the model. It
//! says what a tensor's own codes lose; what that does to the model's outputs is [`sensitivity`](super::sensitivity)'s to measure.

use super::calibrate::{Calibration, Calibrator, Codes, Symmetry, calibrate, sqnr_db};
use super::observe::Observation;
use super::place::{Placement, Site, Weight};
use super::scheme::{Scheme, TensorScale};
use super::simulate::weight_codes;
use super::{Histogram, macs};
use crate::dim::Bindings;
use crate::graph::{Graph, Kind, Value};
use crate::name::Shown;
use crate::qparams;
use crate::scalar::Number;
use crate::view::View;
use serde::Serialize;
use std::collections::BTreeMap;

/// See the module's page.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    pub model: String,
    /// Samples calibrated on.
    pub samples: u64,
    /// Share of the model's multiply-adds on codes.
    pub quantized_macs: f64,
    pub warnings: Vec<Advice>,
    pub activations: Vec<ActivationAudit>,
    pub weights: Vec<WeightAudit>,
    /// Groups in float, each with the reason.
    pub float: BTreeMap<String, String>,
}

/// Something to act on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The tensor or the group that it is about.
    pub about: String,
    pub what: String,
    /// dB that it costs the tensor, where that is known.
    pub cost_db: Option<f64>,
}

/// A tensor that holds codes.
#[derive(Debug, Clone, Serialize)]
pub struct ActivationAudit {
    pub name: String,
    pub reason: String,
    pub dtype: crate::dtype::DType,
    pub scale: f32,
    pub zero_point: i32,
    /// The values of the first and of the last code.
    pub low: f64,
    pub high: f64,
    pub histogram: Histogram,
    /// Share of the values beyond the codes' range.
    pub clipped: f64,
    /// Signal over the error of the codes, in dB.
    pub db: f64,
    /// What each calibrator would choose.
    pub calibrators: Vec<(String, Calibration)>,
}

/// A weight that holds codes, one scale a channel.
#[derive(Debug, Clone, Serialize)]
pub struct WeightAudit {
    pub name: String,
    pub group: String,
    pub channels: usize,
    pub smallest_scale: f32,
    pub largest_scale: f32,
    /// Channels of nothing but zeros.
    pub zero_channels: usize,
    /// Signal over the error of the codes, in dB.
    pub db: f64,
}

/// Below this a tensor's codes alone are a likely cause of wrong results.
const POOR_DB: f64 = 20.0;
/// The gain from which another calibrator is worth naming.
const WORTH_DB: f64 = 1.0;
/// Operands of a concatenation whose ranges differ by so much are named.
const APART: f64 = 4.0;
const CLIPPED: f64 = 0.01;

const CALIBRATORS: [(&str, Calibrator); 7] = [
    ("margin 20%", Calibrator::MARGIN),
    ("min-max", Calibrator::MinMax),
    ("percentile 99.999", Calibrator::Percentile(99.999)),
    ("percentile 99.99", Calibrator::Percentile(99.99)),
    ("entropy", Calibrator::Entropy),
    ("mse", Calibrator::Mse),
    ("power 6", Calibrator::Power(6)),
];

/// Audits a scheme. Multiply-adds are counted for the sizes that the data had. Tensors that were not observed are left out.
pub fn audit(graph: &Graph, placement: &Placement, seen: &Observation, scheme: &Scheme) -> Audit {
    let (quantized, total) = placement.macs(graph, &seen.sizes);
    let mut warnings = Vec::new();
    let activations: Vec<ActivationAudit> = placement
        .sites
        .iter()
        .filter_map(|site| {
            let name = graph.value_name(site.value);
            let scale = scheme.tensors.get(name)?;
            let histogram = seen.tensors.get(name).or_else(|| seen.tensors.get(graph.value_name(site.range)))?;
            let found = activation(name, site, scale, histogram);
            advise(&found, &mut warnings);
            concatenation(graph, site, scale, seen, &mut warnings);
            Some(found)
        })
        .collect();
    let weights = placement.weights.iter().filter_map(|w| weight(graph, placement, w, scheme)).collect();
    large_and_float(graph, placement, total, &seen.sizes, &mut warnings);
    warnings.sort_by(|a, b| b.cost_db.unwrap_or(0.0).total_cmp(&a.cost_db.unwrap_or(0.0)));
    if seen.samples == 1 {
        let what = "calibrated on one sample: the ranges fit it and little else; give more data".to_string();
        warnings.insert(0, Advice { about: graph.name.clone(), what, cost_db: None });
    }
    Audit {
        model: graph.name.clone(),
        samples: seen.samples,
        quantized_macs: quantized as f64 / total.max(1) as f64,
        warnings,
        activations,
        weights,
        float: placement.float.clone(),
    }
}

fn codes_of(scale: &TensorScale) -> (Codes, f32, i32) {
    let zero = scale.zero_points.first().copied().unwrap_or(0);
    let symmetry = if zero == 0 && scale.dtype.is_signed_int() { Symmetry::Symmetric } else { Symmetry::Asymmetric };
    (Codes { dtype: scale.dtype, symmetry }, scale.scales.first().copied().unwrap_or(1.0), zero)
}

fn activation(name: &str, site: &Site, scale: &TensorScale, histogram: &Histogram) -> ActivationAudit {
    let (codes, factor, zero) = codes_of(scale);
    let (first, last) = scale.dtype.int_range().unwrap_or((-128, 127));
    let value = |code: i128| qparams::dequantize(Number::Int(code), factor.into(), Number::Int(zero.into()));
    let (low, high) = (value(first), value(last));
    // What rounds to an end is not clipped.
    let half = f64::from(factor) / 2.0;
    let beyond: u64 = histogram.bins().filter(|(x, _)| *x < low - half || *x > high + half).map(|(_, n)| n).sum();
    ActivationAudit {
        name: name.to_string(),
        reason: site.reason.clone(),
        dtype: scale.dtype,
        scale: factor,
        zero_point: zero,
        low,
        high,
        histogram: histogram.clone(),
        clipped: beyond as f64 / histogram.count.max(1) as f64,
        db: sqnr_db(histogram, factor, zero, codes),
        calibrators: CALIBRATORS.iter().map(|(name, c)| (name.to_string(), calibrate(histogram, *c, codes))).collect(),
    }
}

fn advise(found: &ActivationAudit, warnings: &mut Vec<Advice>) {
    let mut say = |what: String, cost_db| warnings.push(Advice { about: found.name.clone(), what, cost_db });
    let h = &found.histogram;
    if h.nan + h.infinite > 0 {
        say(
            format!(
                "{} NaN and {} infinities were left out of its range; find where they come from",
                h.nan, h.infinite
            ),
            None,
        );
    }
    if h.count > 0 && h.min == h.max {
        say(format!("every value is {}: what computes it can be left out, or the data does not reach it", h.min), None);
        return;
    }
    let best = found.calibrators.iter().filter(|(_, c)| c.sqnr_db.is_finite());
    let best = best.max_by(|a, b| a.1.sqnr_db.total_cmp(&b.1.sqnr_db));
    if let Some((name, best)) = best.filter(|(_, best)| best.sqnr_db - found.db >= WORTH_DB) {
        let cost = best.sqnr_db - found.db;
        say(format!("the {name} calibrator gives it {:.1} dB instead of {:.1}", best.sqnr_db, found.db), Some(cost));
    }
    if found.clipped > CLIPPED {
        say(
            format!(
                "{:.1}% of its values lie beyond its codes; widen its range or keep its readers in float",
                100.0 * found.clipped
            ),
            None,
        );
    }
    if found.db < POOR_DB {
        let reach = h.min.abs().max(h.max.abs());
        let usual = h.quantile(0.999).abs().max(h.quantile(0.001).abs());
        let why = match reach / usual.max(f64::MIN_POSITIVE) {
            ratio if ratio > 8.0 => format!("its largest value is {ratio:.0} times what 99.8% of its values reach"),
            _ => "most of its values are small beside its largest".to_string(),
        };
        say(format!("its codes give {:.1} dB: {why}; keep its readers in float", found.db), None);
    }
}

/// Operands that lie in one concatenation have one scale: what that costs the smaller ones.
fn concatenation(graph: &Graph, site: &Site, scale: &TensorScale, seen: &Observation, warnings: &mut Vec<Advice>) {
    if !matches!(graph.node(site.value.node).kind, Kind::View(View::Concat { .. })) {
        return;
    }
    let (codes, factor, zero) = codes_of(scale);
    let own = |value: &Value| {
        let name = graph.value_name(*value);
        let histogram = seen.tensors.get(name).filter(|h| h.count > 0 && h.min != h.max)?;
        Some((name, histogram, calibrate(histogram, Calibrator::Mse, codes)))
    };
    let operands: Vec<_> = graph.operands(site.value.node).iter().filter_map(own).collect();
    let widest = operands.iter().map(|(_, _, own)| own.scale).fold(0.0, f32::max);
    for (name, histogram, own) in &operands {
        let ratio = f64::from(widest / own.scale);
        let cost = own.sqnr_db - sqnr_db(histogram, factor, zero, codes);
        if ratio >= APART && cost >= WORTH_DB {
            let what = format!(
                "shares one scale with the rest of the concatenation {}, {ratio:.0} times the scale that suits it: costs it {cost:.1} dB; \
                 rescale it before, or keep what reads the concatenation in float",
                Shown(graph.value_name(site.value))
            );
            warnings.push(Advice { about: name.to_string(), what, cost_db: Some(cost) });
        }
    }
}

fn weight(graph: &Graph, placement: &Placement, weight: &Weight, scheme: &Scheme) -> Option<WeightAudit> {
    let name = graph.value_name(weight.value);
    let scale = scheme.tensors.get(name)?;
    let codes = weight_codes(weight, scale).ok()?;
    let sizes = weight.tensor.sizes();
    let inner: usize = scale.axis.map_or(usize::MAX, |axis| sizes[axis + 1..].iter().product());
    let (mut power, mut error) = (0.0, 0.0);
    let mut largest = vec![0f64; scale.scales.len()];
    for (i, (x, code)) in weight.tensor.to_f64().into_iter().zip(codes.numbers()).enumerate() {
        let channel = i / inner.max(1) % scale.scales.len().max(1);
        let zero = Number::Int(scale.zero_points[channel].into());
        let back = qparams::dequantize(code, scale.scales[channel].into(), zero);
        (power, error) = (power + x * x, error + (x - back) * (x - back));
        largest[channel] = largest[channel].max(x.abs());
    }
    let group = placement.groups.iter().find(|g| g.nodes.contains(&weight.anchor));
    Some(WeightAudit {
        name: name.to_string(),
        group: group.map_or_else(String::new, |g| g.name.clone()),
        channels: scale.scales.len(),
        smallest_scale: scale.scales.iter().copied().fold(f32::INFINITY, f32::min),
        largest_scale: scale.scales.iter().copied().fold(0.0, f32::max),
        zero_channels: largest.iter().filter(|x| **x == 0.0).count(),
        db: if error == 0.0 { f64::INFINITY } else { 10.0 * f64::log10(power / error) },
    })
}

/// Groups in float that do much of the work.
fn large_and_float(graph: &Graph, placement: &Placement, total: u64, sizes: &Bindings, warnings: &mut Vec<Advice>) {
    for group in &placement.groups {
        let Some(reason) = placement.float.get(&group.name) else { continue };
        let share = group.anchor.and_then(|id| macs(graph, id, sizes)).unwrap_or(0) as f64 / total.max(1) as f64;
        if share >= 0.05 {
            let what = format!("{:.0}% of the multiply-adds stay in float here: {reason}", 100.0 * share);
            warnings.push(Advice { about: group.name.clone(), what, cost_db: None });
        }
    }
}
