//! Variants of a model and their runs: what two of them have in common is computed once.
//!
//! Every node of a graph gets a key, a hash of what it does and of its operands' keys. Two nodes with one key compute the same of the same
//! sample, in whatever variant they stand. So a variant that keeps one group in float runs only what lies downstream of it;
//! all else is found in the cache that a run of the whole model left.

use super::measure::find;
use crate::data::Feed;
use crate::graph::{Graph, Kind};
use crate::reference::{self, ReferenceError};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// What a node computes.
type Key = [u8; 32];

/// The results of nodes for one sample.
#[derive(Default)]
pub(super) struct Cache(HashMap<Key, Vec<Tensor>>);

/// Hands out keys. Constants are told apart by where their bytes lie, and kept, so that no others come to lie there.
#[derive(Default)]
pub(super) struct Keys {
    constants: HashMap<(usize, usize), (Key, Tensor)>,
}

/// A graph with the keys of its nodes, by [`crate::graph::NodeId::index`].
pub struct Variant {
    graph: Graph,
    keys: Vec<Option<Key>>,
}

impl Keys {
    pub fn variant(&mut self, graph: Graph) -> Variant {
        let mut keys: Vec<Option<Key>> = vec![None; graph.bound()];
        for id in graph.topological().unwrap_or_default() {
            let node = graph.node(id);
            let mut hasher = blake3::Hasher::new();
            match &node.kind {
                Kind::Constant(tensor) => {
                    hasher.update(&self.constant(tensor));
                }
                // The same input has the same name in every variant.
                Kind::Input => {
                    hasher.update(b"input").update(graph.value_name(id.value()).as_bytes());
                }
                kind => {
                    let types: Vec<_> = node.outputs.iter().map(|output| &output.ty).collect();
                    hasher.update(format!("{kind:?} {types:?}").as_bytes());
                }
            }
            for value in graph.operands(id) {
                hasher.update(&keys[value.node.index()].unwrap_or_default()).update(&value.port.to_le_bytes());
            }
            keys[id.index()] = Some(hasher.finalize().into());
        }
        Variant { graph, keys }
    }

    fn constant(&mut self, tensor: &Tensor) -> Key {
        let about = format!("{} {:?} ", tensor.dtype(), tensor.sizes());
        let place = (tensor.bytes().as_ptr() as usize, tensor.bytes().len());
        let key = |tensor: &Tensor| blake3::hash(tensor.bytes()).into();
        let (bytes, _) = self.constants.entry(place).or_insert_with(|| (key(tensor), tensor.clone()));
        let mut hasher = blake3::Hasher::new();
        hasher.update(about.as_bytes()).update(bytes);
        hasher.finalize().into()
    }
}

impl Variant {
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The values of these names for a sample, computed from what the cache has.
    pub(super) fn run(
        &self,
        feed: &Feed,
        names: &[&str],
        cache: &Cache,
        options: &reference::Options,
    ) -> Result<Vec<Tensor>, ReferenceError> {
        self.resume(feed, names, cache, options, &mut |_, _| {})
    }

    /// The same, and every result goes into the cache.
    pub(super) fn run_and_keep(
        &self,
        feed: &Feed,
        names: &[&str],
        cache: &mut Cache,
        options: &reference::Options,
    ) -> Result<Vec<Tensor>, ReferenceError> {
        let mut fresh: HashMap<Key, Vec<Tensor>> = HashMap::new();
        let found = self.resume(feed, names, cache, options, &mut |key, tensor| {
            fresh.entry(key).or_default().push(tensor.clone());
        })?;
        cache.0.extend(fresh);
        Ok(found)
    }

    fn resume(
        &self,
        feed: &Feed,
        names: &[&str],
        cache: &Cache,
        options: &reference::Options,
        seen: &mut dyn FnMut(Key, &Tensor),
    ) -> Result<Vec<Tensor>, ReferenceError> {
        let missing = |name: &str| ReferenceError::OutputUnwritten { name: name.into(), written: 0, count: 1 };
        let values = names.iter().map(|name| find(&self.graph, name).ok_or_else(|| missing(name)));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let key = |id: crate::graph::NodeId| self.keys.get(id.index()).copied().flatten();
        let known = |id| cache.0.get(&key(id)?).map(Vec::as_slice);
        // A node's results come in the order of their ports, one after the other.
        let inputs = self.graph.inputs();
        reference::resume_values(&self.graph, feed, &known, &values, options, &mut |value, tensor| {
            if let Some(key) = key(value.node).filter(|_| !inputs.contains(&value.node)) {
                seen(key, &tensor);
            }
            tensor
        })
    }
}
