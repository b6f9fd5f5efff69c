//! The decision: which tensors hold codes, with which parameters, and which groups stay in float.
//!
//! Tensors and groups go by their names in the model, so that a scheme outlives the graph it was made for: it is what
//! `calibration.json` holds, what a simulated run executes and what is written into the model.

use super::place::Placement;
use crate::dtype::DType;
use crate::graph::Graph;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Activations and weights that hold codes, by the name of the value.
    pub tensors: BTreeMap<String, TensorScale>,
    /// Groups that compute in float on float operands, by the group's name, each with the reason.
    pub float: BTreeMap<String, String>,
    /// What is added to the bias of each output channel of a quantized group's anchor, by the group's name: minus the mean error that the
    /// rounding of its weights makes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub corrections: BTreeMap<String, Vec<f32>>,
}

/// What a quantized tensor is to the groups that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It depends on the model's input.
    Activation,
    /// A constant operand of an anchor.
    Weight,
}

/// The parameters of one tensor's codes: `code = saturate(round(x / scale) + zero point)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorScale {
    pub role: Role,
    /// i8 or u8.
    pub dtype: DType,
    /// One for the whole tensor, or one for each index along `axis`.
    pub scales: Vec<f32>,
    /// As many as there are scales.
    pub zero_points: Vec<i32>,
    /// The axis that scales are along; `None` for one scale for the whole tensor.
    pub axis: Option<usize>,
    /// Why this tensor has codes, and who shares its scale.
    pub reason: String,
}

impl TensorScale {
    /// One scale for a whole activation.
    pub fn activation(dtype: DType, scale: f32, zero_point: i32, reason: &str) -> TensorScale {
        let (scales, zero_points) = (vec![scale], vec![zero_point]);
        TensorScale { role: Role::Activation, dtype, scales, zero_points, axis: None, reason: reason.into() }
    }
}

impl Scheme {
    /// True if the group of that name computes on codes.
    pub fn quantizes(&self, group: &str) -> bool {
        !self.float.contains_key(group)
    }

    /// Forgets the scales and corrections of what a placement leaves in float.
    pub fn restrict(&mut self, graph: &Graph, placement: &Placement) {
        let sites = placement.sites.iter().map(|site| site.value);
        let values = sites.chain(placement.weights.iter().map(|weight| weight.value));
        let names: BTreeSet<&str> = values.map(|value| graph.value_name(value)).collect();
        self.tensors.retain(|name, _| names.contains(name.as_str()));
        self.corrections.retain(|group, _| !placement.float.contains_key(group));
        self.float.clone_from(&placement.float);
    }
}
