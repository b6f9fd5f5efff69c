//! Writes a scheme into the model it was made for: QuantizeLinear and DequantizeLinear where the placement puts codes, weights as i8
//! with their DequantizeLinear. Everything else of the model stays as it is.
//!
//! The graph's nodes are found again in the file by the names of the values they make: a node of the graph that is part of an operator's
//! expansion has the operator's first output and a `#` in its result's name.

use super::correct::corrected;
use super::place::{Placement, Site, Weight};
use super::scheme::{Scheme, TensorScale};
use super::simulate::{dequantized, weight_codes};
use crate::graph::{Graph, NodeId, Value};
use crate::name::Shown;
use crate::onnx::proto::{AttributeProto, ModelProto};
use crate::onnx::{Edit, OnnxError, Use};
use crate::scalar::{Number, Scalar};
use crate::tensor::{Tensor, TensorError};
use std::collections::{BTreeMap, BTreeSet};

/// Why a scheme can't be written into a model.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the model is of operator set {found}, and codes per channel need {needed}: upgrade it first")]
    Opset { found: i64, needed: i64 },
    #[error("{} is no value of the model file, so codes can't be written there", Shown(.0))]
    Unwritable(String),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// The first operator set with one scale a channel.
pub const OPSET: i64 = 13;

/// Groups whose operands are no values of the model file, because they are made inside the expansion of an operator or
/// inside a function: they can't get codes there. Each with the reason.
///
/// # Errors
/// If the model has no graph.
pub fn unwritable(
    model: &mut ModelProto,
    graph: &Graph,
    placement: &Placement,
) -> Result<BTreeMap<String, String>, OnnxError> {
    let edit = Edit::new(model)?;
    let file = File::new(&edit);
    let mut found = BTreeMap::new();
    let mut check = |readers: &[(NodeId, u32)], value: Value| {
        for reader in readers {
            if file.uses(&edit, graph, value, std::slice::from_ref(reader)).is_none() {
                let group = placement.groups.iter().find(|g| g.nodes.contains(&reader.0));
                let name = graph.value_name(value);
                let reason = format!("{} is not a value of the model file", Shown(name));
                found.extend(group.map(|group| (group.name.clone(), reason)));
            }
        }
    };
    placement.sites.iter().for_each(|site| check(&site.readers, site.value));
    placement.weights.iter().for_each(|weight| check(&[(weight.anchor, weight.slot)], weight.value));
    Ok(found)
}

/// How a weight's codes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WeightForm {
    /// As i8 codes behind a DequantizeLinear: a quarter of the bytes.
    #[default]
    Codes,
    /// As the values that the codes stand for, in f32, behind a QuantizeLinear, which gives these codes again, and a DequantizeLinear: the
    /// form that every TensorRT with explicit quantization reads (codes alone since version 9).
    Pairs,
}

/// Writes the scheme into the model. Sites and weights without an entry in the scheme stay in float.
///
/// # Errors
/// If the model's operator set is too old, or a tensor of the placement is not in the file (see [`unwritable`]).
pub fn write(
    model: &mut ModelProto,
    graph: &Graph,
    placement: &Placement,
    scheme: &Scheme,
    form: WeightForm,
) -> Result<(), WriteError> {
    let mut edit = Edit::new(model)?;
    let found = edit.opset("").unwrap_or(0);
    if found < OPSET {
        return Err(WriteError::Opset { found, needed: OPSET });
    }
    let file = File::new(&edit);
    let mut written = BTreeSet::new();
    for weight in &placement.weights {
        let Some(scale) = scheme.tensors.get(graph.value_name(weight.value)) else { continue };
        // Anchors that share their weights share the codes.
        let same = placement.weights.iter().filter(|w| w.value == weight.value);
        let readers: Vec<_> = same.map(|w| (w.anchor, w.slot)).collect();
        if written.insert(weight.value) {
            write_weight(&mut edit, &file, graph, (weight, &readers), scale, form)?;
        }
        let group = placement.groups.iter().find(|group| group.anchor == Some(weight.anchor));
        let correction = group.and_then(|group| scheme.corrections.get(&group.name));
        if let Some(bias) = correction.and_then(|correction| corrected(graph, weight, correction)) {
            write_bias(&mut edit, &file, graph, weight, &bias)?;
        }
    }
    for site in &placement.sites {
        if let Some(scale) = scheme.tensors.get(graph.value_name(site.value)) {
            write_site(&mut edit, &file, graph, site, scale)?;
        }
    }
    Ok(())
}

fn write_weight(
    edit: &mut Edit,
    file: &File,
    graph: &Graph,
    (weight, readers): (&Weight, &[(NodeId, u32)]),
    scale: &TensorScale,
    form: WeightForm,
) -> Result<(), WriteError> {
    let name = graph.value_name(weight.value);
    let uses = file.uses(edit, graph, weight.value, readers).ok_or_else(|| WriteError::Unwritable(name.into()))?;
    let channels = [scale.scales.len()];
    let factor = edit.constant(&format!("{name}_scale"), &Tensor::from_slice(&channels, &scale.scales)?);
    let zeros = scale.zero_points.iter().map(|zero| Number::Int((*zero).into()));
    let zero = edit.constant(&format!("{name}_zero_point"), &Tensor::from_numbers(scale.dtype, &channels, zeros)?);
    let axis = || vec![AttributeProto::of_int("axis", scale.axis.unwrap_or(0) as i64)];
    let codes = match form {
        WeightForm::Codes => edit.constant(&format!("{name}_codes"), &weight_codes(weight, scale)?),
        WeightForm::Pairs => {
            let exact = edit.constant(&format!("{name}_rounded"), &dequantized(weight, scale)?);
            edit.node(&format!("{name}_quantized"), ("", "QuantizeLinear"), &[&exact, &factor, &zero], axis())
        }
    };
    let dequantize = ("", "DequantizeLinear");
    let values = edit.node(&format!("{name}_dequantized"), dequantize, &[&codes, &factor, &zero], axis());
    for (alias, uses) in uses {
        edit.redirect(&alias, &values, &uses)?;
        edit.remove_unused(&alias);
    }
    Ok(())
}

/// Gives an anchor's operator another bias.
fn write_bias(edit: &mut Edit, file: &File, graph: &Graph, weight: &Weight, bias: &Tensor) -> Result<(), WriteError> {
    let result = graph.value_name(weight.anchor.value());
    let operator = file.operator(result).ok_or_else(|| WriteError::Unwritable(result.into()))?;
    let before = edit.input(operator, 2).map(str::to_string);
    let value = edit.constant(&format!("{}_corrected", before.as_deref().unwrap_or(operator)), bias);
    edit.set_input(operator, 2, &value)?;
    before.iter().for_each(|name| edit.remove_unused(name));
    Ok(())
}

fn write_site(edit: &mut Edit, file: &File, graph: &Graph, site: &Site, scale: &TensorScale) -> Result<(), WriteError> {
    let name = graph.value_name(site.value);
    let uses = file.uses(edit, graph, site.value, &site.readers).ok_or_else(|| WriteError::Unwritable(name.into()))?;
    let factor = Scalar::f32(scale.scales.first().copied().unwrap_or(1.0));
    let zero = Number::Int(scale.zero_points.first().copied().unwrap_or(0).into());
    let factor = edit.constant(&format!("{name}_scale"), &Tensor::scalar(factor));
    let zero = edit.constant(&format!("{name}_zero_point"), &Tensor::scalar(Scalar::new(scale.dtype, zero)));
    let codes = edit.node(&format!("{name}_quantized"), ("", "QuantizeLinear"), &[name, &factor, &zero], vec![]);
    let values = edit.node(&format!("{name}_dequantized"), ("", "DequantizeLinear"), &[&codes, &factor, &zero], vec![]);
    for (alias, uses) in uses {
        edit.redirect(&alias, &values, &uses)?;
    }
    Ok(())
}

/// The model file's names, as they were before the first edit.
struct File {
    /// First output of the node that makes each value.
    makers: BTreeMap<String, String>,
    /// What Identity and Dropout call by another name.
    aliases: BTreeMap<String, Vec<String>>,
}

impl File {
    fn new(edit: &Edit) -> File {
        let mut file = File { makers: BTreeMap::new(), aliases: BTreeMap::new() };
        for node in edit.nodes() {
            let Some(first) = node.output.first() else { continue };
            file.makers.extend(node.output.iter().map(|output| (output.clone(), first.clone())));
            if let ("Identity" | "Dropout", [input, ..]) = (node.op_type(), &node.input[..]) {
                file.aliases.entry(input.clone()).or_default().push(first.clone());
            }
        }
        file
    }

    /// The uses of a value by the operators that the readers belong to, by the name they use for it; `None` if one of them is
    /// not found.
    fn uses(
        &self,
        edit: &Edit,
        graph: &Graph,
        value: Value,
        readers: &[(NodeId, u32)],
    ) -> Option<BTreeMap<String, Vec<Use>>> {
        let wanted: BTreeSet<&String> =
            readers.iter().map(|(id, _)| self.operator(graph.value_name(id.value()))).collect::<Option<_>>()?;
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut uses = BTreeMap::new();
        let mut names = vec![graph.value_name(value).to_string()];
        while let Some(name) = names.pop() {
            names.extend(self.aliases.get(&name).into_iter().flatten().cloned());
            let of_name: Vec<Use> = edit.uses(&name).into_iter().filter(|u| wanted.contains(&u.node)).collect();
            found.extend(of_name.iter().map(|u| u.node.clone()));
            if !of_name.is_empty() {
                uses.insert(name, of_name);
            }
        }
        (found.len() == wanted.len()).then_some(uses)
    }

    /// The first output of the operator that a result of the graph belongs to.
    fn operator(&self, result: &str) -> Option<&String> {
        let of = |name: &str| self.makers.get(name);
        of(result).or_else(|| of(result.rsplit_once('#')?.0))
    }
}
