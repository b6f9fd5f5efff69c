//! Bias correction: rounding a weight moves it a little, always the same way, and inputs that are mostly positive (a ReLU's or a
//! SiLU's) turn these little errors into a shift of the whole output channel. Its mean is known, because the mean input is, and the bias
//! can take it back at no cost. (Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", 2019,
//! section 4.2; with observed means. Padding is taken to be like the rest.)

use super::observe::{Observation, summed_axis};
use super::place::{Placement, Weight};
use super::scheme::{Scheme, TensorScale};
use super::simulate::dequantized;
use crate::anchor::Anchor;
use crate::graph::{Graph, Kind};
use crate::tensor::Tensor;

/// What to add to the biases, by group, for the weights that a scheme quantizes. Groups whose anchor can't take a bias, or whose input was
/// not observed, are left out.
pub fn corrections(graph: &Graph, placement: &Placement, scheme: &mut Scheme, seen: &Observation) {
    for weight in &placement.weights {
        let Some(scale) = scheme.tensors.get(graph.value_name(weight.value)) else { continue };
        let group = placement.groups.iter().find(|group| group.anchor == Some(weight.anchor));
        let Some((group, correction)) = group.zip(correction(graph, weight, scale, seen)) else { continue };
        scheme.corrections.insert(group.name.clone(), correction);
    }
}

/// Minus the mean error of each output channel.
fn correction(graph: &Graph, weight: &Weight, scale: &TensorScale, seen: &Observation) -> Option<Vec<f32>> {
    bias(graph, weight)?;
    summed_axis(graph, weight.anchor, 0)?;
    let input = graph.operands(weight.anchor)[0];
    let means = seen.means.get(graph.value_name(input))?.means();
    let (exact, rounded) = (weight.tensor.to_f64(), dequantized(weight, scale).ok()?.to_f64());
    let sizes = weight.tensor.sizes();
    let channels = *sizes.get(weight.axis)?;
    let mut shift = vec![0.0; channels];
    let Kind::Anchor(anchor) = &graph.node(weight.anchor).kind else { return None };
    for (i, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
        let (channel, from) = match anchor {
            Anchor::Conv(conv) => {
                let taps: usize = conv.kernel.iter().product();
                let (channel, c) = (i / (sizes[1] * taps), i / taps % sizes[1]);
                (channel, channel / (channels / conv.groups) * sizes[1] + c)
            }
            // (K, N), or (N, K) if transposed.
            _ if weight.axis == 1 => (i % channels, i / channels),
            _ => (i / sizes[1], i % sizes[1]),
        };
        shift[channel] -= (rounded - exact) * means.get(from)?;
    }
    shift.iter().all(|x| x.is_finite()).then(|| shift.iter().map(|x| *x as f32).collect())
}

/// The bias of a weight's anchor, one element an output channel; zeros for a convolution that has none. `None` where a correction has no
/// place: another anchor, or a bias that is computed.
pub(super) fn bias(graph: &Graph, weight: &Weight) -> Option<Tensor> {
    let Kind::Anchor(anchor) = &graph.node(weight.anchor).kind else { return None };
    let channels = *weight.tensor.sizes().get(weight.axis).filter(|_| weight.slot == 1)?;
    let given = match anchor {
        Anchor::Conv(conv) if !conv.bias => return Tensor::from_vec(&[channels], vec![0f32; channels]).ok(),
        Anchor::Conv(_) | Anchor::Gemm { bias: true, transpose_a: false, .. } => {
            *graph.operands(weight.anchor).get(2)?
        }
        _ => return None,
    };
    graph.constant(given).filter(|t| t.sizes() == [channels] && weight.tensor.sizes().len() >= 2).cloned()
}

/// The corrected bias.
pub(super) fn corrected(graph: &Graph, weight: &Weight, correction: &[f32]) -> Option<Tensor> {
    let bias = bias(graph, weight)?;
    let values: Vec<f32> = bias.slice::<f32>()?.iter().zip(correction).map(|(b, c)| b + c).collect();
    Tensor::from_vec(bias.sizes(), values).ok()
}
