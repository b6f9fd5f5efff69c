//! From what was seen to scales: one calibrator for all tensors, or for each tensor what loses least.

use super::calibrate::{Calibration, Calibrator, Codes, Symmetry, calibrate, sqnr_db};
use super::correct::corrections;
use super::observe::Observation;
use super::place::{Placement, Weight};
use super::scheme::{Role, Scheme, TensorScale};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Value};
use crate::name::Shown;
use crate::view::View;
use serde::{Deserialize, Serialize};

/// How scales are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub calibrator: Calibrator,
    /// The codes of activations.
    pub activations: Codes,
    /// Whether biases take back the mean error of rounded weights.
    pub correct_biases: bool,
}

impl Default for Choice {
    /// All that was seen and a fifth more. What a score hangs on is rare and large, and other data have larger values than those calibrated
    /// on: clipping them costs a detector more than codes that are a fifth coarser (`benches/NOTES.md`). u8 with zero points: the range of SiLU
    /// and ReLU is lopsided, and symmetric codes would waste half of theirs.
    fn default() -> Choice {
        let activations = Codes { dtype: DType::U8, symmetry: Symmetry::Asymmetric };
        Choice { calibrator: Calibrator::MARGIN, activations, correct_biases: true }
    }
}

/// A value that codes are wanted for and that was never seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} was not observed: the observation is of another model, or of other options", Shown(.0))]
pub struct Unseen(pub String);

/// Scales for every site and weight of a placement, and what is to be said about them.
///
/// # Errors
/// If the observation has no histogram for a site.
pub fn choose(
    graph: &Graph,
    placement: &Placement,
    seen: &Observation,
    choice: &Choice,
) -> Result<(Scheme, Vec<String>), Unseen> {
    let mut scheme = Scheme { float: placement.float.clone(), ..Scheme::default() };
    let mut warnings = Vec::new();
    for site in &placement.sites {
        let (name, range) = (graph.value_name(site.value), graph.value_name(site.range));
        let histogram = seen.tensors.get(range).ok_or_else(|| Unseen(range.to_string()))?;
        let Calibration { scale, zero_point, warnings: said, .. } =
            calibrate(histogram, calibrator_of(graph, site.range, choice), choice.activations);
        warnings.extend(said.into_iter().map(|what| format!("{}: {what}", Shown(name))));
        let tensor = TensorScale::activation(choice.activations.dtype, scale, zero_point, &site.reason);
        warnings.extend(ranges_apart(graph, site.value, seen, choice, (scale, zero_point)));
        scheme.tensors.insert(name.to_string(), tensor);
    }
    for weight in &placement.weights {
        let name = graph.value_name(weight.value).to_string();
        scheme.tensors.entry(name).or_insert_with(|| weight_scale(graph, weight));
    }
    if choice.correct_biases {
        corrections(graph, placement, &mut scheme, seen);
    }
    Ok((scheme, warnings))
}

/// The calibrator of a value's range.
fn calibrator_of(graph: &Graph, range: Value, choice: &Choice) -> Calibrator {
    let given = graph.inputs().iter().any(|input| input.value() == range);
    if given { choice.calibrator.of_input() } else { choice.calibrator }
}

/// An operand of a concatenation that loses so much by its scale, in dB, is worth a warning …
const APART_DB: f64 = 6.0;
/// … if what is left of it is below this.
const POOR_DB: f64 = 30.0;

/// Warns of operands of a concatenation that are much smaller than its range.
fn ranges_apart(
    graph: &Graph,
    value: Value,
    seen: &Observation,
    choice: &Choice,
    (scale, zero_point): (f32, i32),
) -> Vec<String> {
    let Kind::View(View::Concat { .. }) = graph.node(value.node).kind else { return Vec::new() };
    let mut warnings = Vec::new();
    for operand in graph.operands(value.node) {
        let name = graph.value_name(operand);
        let Some(histogram) = seen.tensors.get(name).filter(|h| h.count > 0 && h.min < h.max) else { continue };
        let own = calibrate(histogram, choice.calibrator, choice.activations);
        let shared = sqnr_db(histogram, scale, zero_point, choice.activations);
        if own.sqnr_db - shared > APART_DB && shared < POOR_DB {
            warnings.push(format!(
                "{}: its operand {} needs a scale {:.0} times smaller: {shared:.1} dB with the concatenation's scale, {:.1} dB \
                 with its own; rescale it, or keep what reads the concatenation in float",
                Shown(graph.value_name(value)),
                Shown(name),
                scale / own.scale,
                own.sqnr_db
            ));
        }
    }
    warnings
}

/// Symmetric i8, a scale for each output channel: the largest magnitude becomes code 127.
fn weight_scale(graph: &Graph, weight: &Weight) -> TensorScale {
    let mut largest = vec![0f64; weight.tensor.sizes()[weight.axis]];
    let inner: usize = weight.tensor.sizes()[weight.axis + 1..].iter().product();
    for (i, x) in weight.tensor.to_f64().into_iter().enumerate().filter(|(_, x)| x.is_finite()) {
        let channel = i / inner % largest.len();
        largest[channel] = largest[channel].max(x.abs());
    }
    let scale = |x: f64| if x == 0.0 { 1.0 } else { (x / 127.0).max(f64::from(f32::MIN_POSITIVE)) as f32 };
    let reason = format!("the weights of {}", graph.node(weight.anchor).label());
    TensorScale {
        role: Role::Weight,
        dtype: DType::I8,
        zero_points: vec![0; largest.len()],
        scales: largest.into_iter().map(scale).collect(),
        axis: Some(weight.axis),
        reason,
    }
}
