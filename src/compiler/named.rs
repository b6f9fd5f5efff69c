//! A tap must be there to be found. A pass may swallow a node whole, as the rule of SiLU does with the sigmoid; if a tap names the
//! result of such a node, the passes run with it as an output of the graph, which no rule takes away.

use crate::graph::{Graph, Value};
use std::collections::BTreeSet;

/// The values of a model that taps name and of which the passes leave no trace.
pub(super) struct Swallowed(Vec<(String, Value)>);

impl Swallowed {
    pub fn find(model: &Graph, simplified: &Graph, taps: &[String]) -> Swallowed {
        let left: BTreeSet<&str> = names(simplified).map(|(name, _)| name).collect();
        let is_left = |name: &str| left.contains(name) || simplified.outputs().iter().any(|(output, _)| output == name);
        let missing: BTreeSet<&str> = taps.iter().map(String::as_str).filter(|name| !is_left(name)).collect();
        let value = |name: &str| names(model).find(|(n, _)| *n == name).map(|(_, value)| (name.to_owned(), value));
        Swallowed(missing.into_iter().filter_map(value).collect())
    }

    /// Keeps them from being swallowed.
    pub fn mark(&self, graph: &mut Graph) {
        self.0.iter().for_each(|(name, value)| graph.mark_output(name, *value));
    }

    /// Makes them no outputs any more, once the passes have run on a graph that had `outputs` others: fusion, which knows taps itself,
    /// then decides as without them. What nothing else reads, or now has another name, stays an output.
    pub fn release(&self, graph: &mut Graph, outputs: usize) {
        let mut marked = graph.outputs_mut().split_off(outputs);
        marked.retain(|(name, value)| graph.value_name(*value) != name || graph.use_count(*value) == 0);
        graph.outputs_mut().extend(marked);
    }
}

/// Every value by name.
fn names(graph: &Graph) -> impl Iterator<Item = (&str, Value)> {
    graph.ids().flat_map(move |node| {
        let outputs = graph.node(node).outputs.iter().enumerate();
        outputs.map(move |(port, output)| (output.name.as_str(), Value { node, port: port as u32 }))
    })
}
