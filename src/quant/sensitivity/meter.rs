//! Measures variants of a model on samples: which groups compute on codes, and what that costs at each point.

use super::SensitivityError;
use super::measure::{Noise, Point};
use super::variant::{Cache, Keys, Variant};
use crate::data::Samples;
use crate::graph::Graph;
use crate::patch::Patch;
use crate::quant::{Placement, Scheme, place, simulate};
use crate::reference;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Told after every run of a variant on a sample: how many are done, and how many there will be.
pub type Progress<'p> = dyn Fn(usize, usize) + Sync + 'p;

/// See the module's page.
pub struct Meter<'m> {
    /// The float model.
    pub graph: &'m Graph,
    /// Where codes go when every group that can has them.
    pub placement: &'m Placement,
    pub scheme: &'m Scheme,
    pub samples: &'m Samples,
    pub points: Vec<Point>,
    pub options: reference::Options,
    /// The graph with the weights of all quantized groups replaced by what their codes stand for.
    weights: Graph,
    keys: Mutex<Keys>,
    float: Variant,
}

impl<'m> Meter<'m> {
    /// # Errors
    /// If the scheme does not fit the model's tensors.
    pub fn new(
        graph: &'m Graph,
        placement: &'m Placement,
        scheme: &'m Scheme,
        samples: &'m Samples,
        points: Vec<Point>,
        options: reference::Options,
    ) -> Result<Meter<'m>, SensitivityError> {
        let weights = simulate(graph, &Placement { sites: Vec::new(), ..placement.clone() }, scheme)?;
        let mut keys = Keys::default();
        let float = keys.variant(graph.clone());
        let keys = Mutex::new(keys);
        Ok(Meter { graph, placement, scheme, samples, points, options, weights, keys, float })
    }

    /// Names of the groups that compute on codes in the full scheme, in the graph's order.
    pub fn quantized(&self) -> Vec<&str> {
        let names = self.placement.groups.iter().map(|group| group.name.as_str());
        names.filter(|name| !self.placement.float.contains_key(*name)).collect()
    }

    /// The placement with these groups in float beside those that are so anyway.
    pub fn placement_with(&self, float: &BTreeSet<&str>, reason: &str) -> Placement {
        let mut keep: BTreeMap<String, String> = self.placement.float.clone();
        keep.extend(float.iter().map(|name| (name.to_string(), reason.to_string())));
        place(self.graph, &keep)
    }

    /// The model with these groups in float and the others on codes.
    ///
    /// # Errors
    /// If the scheme does not fit the model's tensors.
    pub fn variant(&self, float: &BTreeSet<&str>) -> Result<Variant, SensitivityError> {
        let placement = self.placement_with(float, "");
        let mut graph = self.graph.clone();
        let mut patch = Patch::new(&mut graph, "simulate", &[]);
        // Weights, and the biases that were corrected for them, are taken from where they were made once.
        for weight in &placement.weights {
            let made = self.weights.operands(weight.anchor);
            for slot in [weight.slot, 2] {
                let Some(value) = made.get(slot as usize) else { continue };
                if let Some(tensor) = self.weights.constant(*value) {
                    let value = patch.constant(self.weights.value_name(*value), tensor.clone());
                    patch.set_operand(weight.anchor, slot, value);
                }
            }
            patch.set_kind(weight.anchor, self.weights.node(weight.anchor).kind.clone());
        }
        let graph = simulate(&graph, &Placement { weights: Vec::new(), ..placement }, self.scheme)?;
        Ok(self.keyed(graph))
    }

    /// A graph of one's own as a variant.
    pub fn keyed(&self, graph: Graph) -> Variant {
        // A poisoned lock means that another thread has panicked while it hashed: the keys that it has made are still right.
        self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner).variant(graph)
    }

    /// The float model.
    pub fn float(&self) -> &Variant {
        &self.float
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.points.iter().map(|point| point.name.as_str()).collect()
    }

    /// The noise of each variant at each point over all samples, against the float model. Every sample is read once; the `bases` are run
    /// from its beginning and what they computed is kept, and the variants, in parallel, begin where they differ from them. Bases come
    /// first in the result.
    ///
    /// # Errors
    /// If a sample can't be read, or the model not run on it.
    pub fn measure(
        &self,
        bases: &[&Variant],
        variants: &[Variant],
        progress: &Progress,
    ) -> Result<Vec<Vec<Noise>>, SensitivityError> {
        let names = self.names();
        let mut sums = vec![vec![Noise::default(); names.len()]; bases.len() + variants.len()];
        let runs = 1 + bases.len() + variants.len();
        let total = runs * self.samples.feeds();
        let done = Mutex::new(0);
        let tick = || {
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *done += 1;
            progress(*done, total);
        };
        for (i, feed) in self.samples.iter().enumerate() {
            let feed = feed?;
            let failed = |source| SensitivityError::Run { sample: self.samples.name(i), source };
            let mut cache = Cache::default();
            let exact = self.float.run_and_keep(&feed, &names, &mut cache, &self.options).map_err(failed)?;
            tick();
            let noise = |found: Vec<crate::tensor::Tensor>| -> Vec<Noise> {
                exact.iter().zip(&found).map(|(exact, found)| Noise::between(exact, found)).collect()
            };
            let mut rows = Vec::new();
            for base in bases {
                rows.push(noise(base.run_and_keep(&feed, &names, &mut cache, &self.options).map_err(failed)?));
                tick();
            }
            let others: Result<Vec<Vec<Noise>>, SensitivityError> = variants
                .par_iter()
                .map(|variant| {
                    let found = variant.run(&feed, &names, &cache, &self.options).map_err(failed)?;
                    tick();
                    Ok(noise(found))
                })
                .collect();
            rows.extend(others?);
            for (sums, row) in sums.iter_mut().zip(rows) {
                sums.iter_mut().zip(row).for_each(|(sum, noise)| sum.add(noise));
            }
        }
        Ok(sums)
    }
}
