//! The calibration run: what every tensor that may hold codes ever held, sample after sample.
//!
//! Memory does not grow with the data: a tensor's values go into its histogram and are gone. Observations of parts of the data add up
//! to the observation of the whole, whoever made them and in whatever order.

use super::Histogram;
use super::place::Placement;
use crate::dim::Bindings;
use crate::graph::{Graph, Kind, Value};
use crate::reference::{self, ReferenceError};
use crate::tensor::Tensor;
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen, by the names of the values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Samples run; a batch of eight counts as eight.
    pub samples: u64,
    /// The sizes that the data gave the model's symbols, where all data agree.
    pub sizes: Bindings,
    pub tensors: BTreeMap<String, Histogram>,
}

impl Observation {
    /// Adds what another run has seen.
    pub fn merge(&mut self, other: &Observation) {
        match (self.samples, other.samples) {
            (_, 0) => {}
            (0, _) => self.sizes.clone_from(&other.sizes),
            _ => self.sizes.retain(|name, size| other.sizes.get(name) == Some(size)),
        }
        self.samples += other.samples;
        for (name, histogram) in &other.tensors {
            self.tensors.entry(name.clone()).or_default().merge(histogram);
        }
    }

    /// Runs the model on one batch, given by input name, and counts every value of `watched`.
    ///
    /// # Errors
    /// What [`reference::run_values`] gives: an input that is missing or of the wrong shape, an op that is not known.
    pub fn see<N: AsRef<str>>(
        &mut self,
        graph: &Graph,
        watched: &BTreeSet<Value>,
        batch: &[(N, Tensor)],
        options: &reference::Options,
    ) -> Result<(), ReferenceError> {
        let mut bindings = options.bindings.clone();
        let declared: Vec<_> =
            graph.inputs().iter().map(|id| (graph.value_name(id.value()), graph.ty(id.value()))).collect();
        reference::bind_inputs(&declared, batch, &mut bindings)?;
        match self.samples {
            0 => self.sizes = bindings,
            _ => self.sizes.retain(|name, size| bindings.get(name) == Some(size)),
        }
        let wanted: Vec<Value> = watched.iter().copied().collect();
        reference::run_values(graph, batch, &wanted, options, &mut |value, tensor| {
            if watched.contains(&value) {
                self.count(graph.value_name(value), &tensor);
            }
            tensor
        })?;
        self.samples += batch.iter().filter_map(|(_, t)| t.sizes().first()).map(|n| *n as u64).max().unwrap_or(1);
        Ok(())
    }

    fn count(&mut self, name: &str, tensor: &Tensor) {
        let histogram = match self.tensors.get_mut(name) {
            Some(histogram) => histogram,
            None => self.tensors.entry(name.to_string()).or_default(),
        };
        match tensor.slice::<f32>() {
            Some(values) => histogram.extend(values.iter().map(|x| f64::from(*x))),
            None => histogram.extend(tensor.to_f64()),
        }
    }
}

/// The values to watch for a placement: every site, and the operands of concatenations, whose ranges are compared.
pub fn watched(graph: &Graph, placement: &Placement) -> BTreeSet<Value> {
    let mut watched = BTreeSet::new();
    for site in &placement.sites {
        watched.insert(site.value);
        if let Kind::View(View::Concat { .. }) = graph.node(site.value.node).kind {
            let varies = |v: &&Value| graph.constant(**v).is_none();
            watched.extend(graph.operands(site.value.node).iter().filter(varies));
        }
    }
    watched
}
