//! A float graph with the Q/DQ of a scheme in it: what the CPU reference then computes is the quantized model's answer.

use super::correct::corrected;
use super::place::{Placement, Weight};
use super::scheme::{Scheme, TensorScale};
use crate::anchor::{Anchor, Conv};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Type, Value};
use crate::op::{self, Op};
use crate::patch::Patch;
use crate::qparams;
use crate::scalar::{Number, Scalar};
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorError};

/// The graph with the scheme's codes where [`place`](super::place) puts them; the graph given stays as it is. Weights are replaced by the
/// values that their codes stand for. Sites and weights without an entry in the scheme stay in float.
///
/// # Errors
/// If the scheme's parameters do not fit a tensor.
pub fn simulate(graph: &Graph, placement: &Placement, scheme: &Scheme) -> Result<Graph, TensorError> {
    let mut graph = graph.clone();
    for weight in &placement.weights {
        let name = graph.value_name(weight.value).to_string();
        let Some(scale) = scheme.tensors.get(&name) else { continue };
        let tensor = dequantized(weight, scale)?;
        let group = placement.groups.iter().find(|group| group.anchor == Some(weight.anchor));
        let correction = group.and_then(|group| scheme.corrections.get(&group.name));
        let bias = correction.and_then(|correction| corrected(&graph, weight, correction));
        let mut patch = Patch::new(&mut graph, "simulate", &[]);
        let value = patch.constant(&format!("{name}#dequantized"), tensor);
        patch.set_operand(weight.anchor, weight.slot, value);
        if let Some(bias) = bias {
            let value = patch.constant(&format!("{name}#bias"), bias);
            patch.set_operand(weight.anchor, 2, value);
            if let Kind::Anchor(Anchor::Conv(conv)) = patch.graph().node(weight.anchor).kind.clone() {
                patch.set_kind(weight.anchor, Kind::Anchor(Anchor::Conv(Conv { bias: true, ..conv })));
            }
        }
    }
    for site in &placement.sites {
        let name = graph.value_name(site.value).to_string();
        let Some(scale) = scheme.tensors.get(&name) else { continue };
        let back = pair(&mut graph, site.value, scale);
        let mut patch = Patch::new(&mut graph, "simulate", &[]);
        for (reader, slot) in &site.readers {
            patch.set_operand(*reader, *slot, back);
        }
    }
    Patch::new(&mut graph, "simulate", &[]).sweep();
    Ok(graph)
}

/// Adds a quantize and the dequantize of its codes; gives the latter's result.
fn pair(graph: &mut Graph, value: Value, scale: &TensorScale) -> Value {
    let name = graph.value_name(value).to_string();
    let ty = graph.ty(value).clone();
    let mut patch = Patch::new(graph, "simulate", &[value.node]);
    let factor = scale.scales.first().copied().unwrap_or(1.0);
    let zero = Number::Int(scale.zero_points.first().copied().unwrap_or(0).into());
    let factor = patch.constant(&format!("{name}#scale"), Tensor::scalar(Scalar::f32(factor)));
    let zero = patch.constant(&format!("{name}#zero"), Tensor::scalar(Scalar::new(scale.dtype, zero)));
    let codes = Type { dtype: Some(scale.dtype), shape: ty.shape.clone() };
    let quantize = Kind::Pointwise(Op::to(&op::QUANTIZE, scale.dtype));
    let codes = patch.add(quantize, &format!("{name}#codes"), codes, &[value, factor, zero]);
    let dequantize = Kind::Pointwise(Op::to(&op::DEQUANTIZE, DType::F32));
    patch.add(dequantize, &format!("{name}#values"), ty, &[codes, factor, zero])
}

/// The codes of a weight, in its own shape.
///
/// # Errors
/// If there are not as many scales as the axis has channels.
pub fn weight_codes(weight: &Weight, scale: &TensorScale) -> Result<Tensor, TensorError> {
    let sizes = weight.tensor.sizes();
    let channel = channels(weight, scale)?;
    let numbers = weight.tensor.numbers().enumerate().map(|(i, x)| {
        let c = channel(i);
        // −128 is not used, so that a weight and its negative both exist.
        let code = qparams::quantize(x.as_f64(), scale.scales[c].into(), Number::Int(0), scale.dtype).as_i128();
        Number::Int(code.max(-127))
    });
    Tensor::from_numbers(scale.dtype, sizes, numbers)
}

/// What a weight's codes stand for, in f32.
pub(super) fn dequantized(weight: &Weight, scale: &TensorScale) -> Result<Tensor, TensorError> {
    let channel = channels(weight, scale)?;
    let codes = weight_codes(weight, scale)?;
    let values: Vec<f32> = codes
        .numbers()
        .enumerate()
        .map(|(i, code)| qparams::dequantize(code, scale.scales[channel(i)].into(), Number::Int(0)) as f32)
        .collect();
    Tensor::from_vec(weight.tensor.sizes(), values)
}

/// Which scale an element has.
fn channels(weight: &Weight, scale: &TensorScale) -> Result<impl Fn(usize) -> usize, TensorError> {
    let sizes = weight.tensor.sizes();
    let wanted = scale.axis.and_then(|axis| sizes.get(axis)).copied().unwrap_or(1);
    if scale.scales.len() != wanted || scale.zero_points.len() != wanted {
        return Err(TensorError::Reshape {
            from: vec![scale.scales.len()],
            to: Shape::from(sizes).known().unwrap_or_default(),
        });
    }
    let inner: usize = scale.axis.map_or(usize::MAX, |axis| sizes[axis + 1..].iter().product());
    Ok(move |i: usize| i / inner.max(1) % wanted)
}
