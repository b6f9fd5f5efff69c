//! The calibration run: what every tensor that may hold codes ever held, sample after sample.
//!
//! Memory does not grow with the data: a tensor's values go into its histogram and are gone. Observations of parts of the data add up
//! to the observation of the whole, whoever made them and in whatever order.

use super::Histogram;
use super::place::Placement;
use crate::anchor::Anchor;
use crate::dim::Bindings;
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::reference::{self, ReferenceError};
use crate::tensor::Tensor;
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen, by the names of the values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Samples run; a batch of eight counts as eight.
    pub samples: u64,
    /// The sizes that the data gave the model's symbols, where all data agree.
    pub sizes: Bindings,
    pub tensors: BTreeMap<String, Histogram>,
    /// Of what anchors read.
    #[serde(default)]
    pub means: BTreeMap<String, ChannelSums>,
}

/// Sums by channel, in whole multiples of 2⁻³⁰ for each sample, so that they add up to the same whatever the order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelSums {
    sums: Vec<i128>,
    /// Values of one channel.
    count: u64,
}

const UNIT: f64 = 1.0 / (1u64 << 30) as f64;

impl ChannelSums {
    /// The mean of each channel.
    pub fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| *sum as f64 * UNIT / self.count.max(1) as f64).collect()
    }

    fn merge(&mut self, other: &ChannelSums) {
        if self.sums.is_empty() {
            self.sums = vec![0; other.sums.len()];
        }
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
        self.count += other.count;
    }

    /// Adds a tensor's values; those that are not finite count as 0.
    fn count(&mut self, tensor: &Tensor, axis: usize) {
        let sizes = tensor.sizes();
        let (Some(channels), Some(values)) = (sizes.get(axis).copied(), tensor.slice::<f32>()) else { return };
        let inner: usize = sizes[axis + 1..].iter().product();
        if self.sums.len() != channels {
            *self = ChannelSums { sums: vec![0; channels], count: 0 };
        }
        if values.is_empty() {
            return;
        }
        for (at, run) in values.chunks(inner).enumerate() {
            let sum: f64 = run.iter().map(|x| f64::from(*x)).filter(|x| x.is_finite()).sum();
            self.sums[at % channels] += (sum / UNIT).round_ties_even() as i128;
        }
        self.count += (values.len() / channels) as u64;
    }
}

/// Whether and how a value is watched: by its histogram, and by its means along an axis.
pub type Watched = BTreeMap<Value, Option<usize>>;

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
        for (name, sums) in &other.means {
            self.means.entry(name.clone()).or_default().merge(sums);
        }
    }

    /// Runs the model on one batch, given by input name, and counts every value of `watched`.
    ///
    /// # Errors
    /// What [`reference::run_values`] gives: an input that is missing or of the wrong shape, an op that is not known.
    pub fn see<N: AsRef<str>>(
        &mut self,
        graph: &Graph,
        watched: &Watched,
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
        let wanted: Vec<Value> = watched.keys().copied().collect();
        reference::run_values(graph, batch, &wanted, options, &mut |value, tensor| {
            if let Some(axis) = watched.get(&value) {
                let name = graph.value_name(value);
                self.count(name, &tensor);
                if let Some(axis) = axis {
                    self.means.entry(name.to_string()).or_default().count(&tensor, *axis);
                }
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

/// The values to watch for a placement: every site, with its mean along the axis that an anchor sums over, and the operands of
/// concatenations, whose ranges are compared.
pub fn watched(graph: &Graph, placement: &Placement) -> Watched {
    let mut watched = Watched::new();
    for site in &placement.sites {
        if let Kind::View(View::Concat { .. }) = graph.node(site.value.node).kind {
            let varies = |v: &&Value| graph.constant(**v).is_none();
            let operands = graph.operands(site.value.node);
            for operand in operands.iter().filter(varies) {
                watched.entry(*operand).or_default();
            }
        }
        let axis = site.readers.iter().find_map(|(reader, slot)| summed_axis(graph, *reader, *slot));
        watched.insert(site.value, axis);
    }
    watched
}

/// The axis of an anchor's first operand that its products are summed over.
pub(super) fn summed_axis(graph: &Graph, anchor: NodeId, slot: u32) -> Option<usize> {
    let Kind::Anchor(kind) = &graph.node(anchor).kind else { return None };
    let rank = graph.ty(*graph.operands(anchor).get(slot as usize)?).shape.as_ref()?.rank();
    match kind {
        Anchor::Conv(_) if slot == 0 => Some(1),
        Anchor::Gemm { transpose_a: false, .. } if slot == 0 => rank.checked_sub(1),
        _ => None,
    }
}
