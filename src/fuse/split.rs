//! What to do about a kernel that fails to compile: cut it in two where that moves the fewest bytes, and fuse again.

use super::cost::Model;
use super::{Failed, Options};
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::plan::{Decision, Plan, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Options with which [`fuse`](super::fuse) no longer makes the kernel of that name, which failed with `error`: its nodes are cut in two
/// groups where that moves the fewest bytes, the more even cut among equals. A kernel of one pointwise op can't be cut; its
/// node is left to others. Every call cuts an edge or leaves a node that was not before, so repeating it ends.
pub fn split(graph: &Graph, options: &Options, plan: &Plan, kernel: &str, error: &str) -> Options {
    let mut options = options.clone();
    let inside = |d: &&Decision| matches!(&d.verdict, Verdict::Fused { kernel: k, .. } if k == kernel);
    let edges: Vec<(Value, NodeId)> = plan.decisions.iter().filter(inside).map(|d| (d.producer, d.consumer)).collect();
    match cheapest_cut(graph, &edges, &options) {
        Some(crossing) => {
            let failed =
                |(v, consumer): &(Value, NodeId)| Failed { producer: v.node, consumer: *consumer, error: error.into() };
            options.failed.extend(crossing.iter().map(failed));
        }
        None => {
            let stores = plan.kernels().filter(|k| k.name == kernel).flat_map(|k| &k.stores);
            let nodes: BTreeSet<NodeId> = stores.map(|s| plan.buffer(s.buffer).value.node).collect();
            let ends = edges.iter().flat_map(|(v, consumer)| [v.node, *consumer]);
            let all: BTreeSet<NodeId> = nodes.into_iter().chain(ends).collect();
            options.never.extend(all.into_iter().map(|id| (id, error.to_string())));
        }
    }
    options
}

/// The pairs that the cheapest cut of a kernel's pointwise ops keeps apart. A cut parts them, in topological order, into a first and
/// a second part; `None` if there are not two.
fn cheapest_cut(graph: &Graph, edges: &[(Value, NodeId)], options: &Options) -> Option<Vec<(Value, NodeId)>> {
    let model = Model::new(&options.target, &options.bindings, options.unbound);
    let members: BTreeSet<NodeId> = edges.iter().flat_map(|(v, consumer)| [v.node, *consumer]).collect();
    let computes = |id: &NodeId| matches!(graph.node(*id).kind, Kind::Pointwise(_) | Kind::Anchor(_));
    let order = graph.topological().ok()?;
    let ops: Vec<NodeId> = order.into_iter().filter(|id| members.contains(id) && computes(id)).collect();
    let place: BTreeMap<NodeId, usize> = ops.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut between: Vec<(Value, NodeId)> = Vec::new();
    for op in &ops {
        between.extend(producers(graph, *op, &members).into_iter().map(|v| (v, *op)));
    }
    let (place, between) = (&place, &between);
    let crossing = |at: usize| between.iter().filter(move |(v, to)| place[&v.node] < at && at <= place[to]);
    let bytes = |v: &Value| {
        graph.ty(*v).full().map_or(0.0, |(dtype, shape)| model.count(shape) * f64::from(dtype.bits()) / 8.0)
    };
    let mut best: Option<(f64, usize, usize)> = None;
    for at in 1..ops.len() {
        let values: BTreeSet<Value> = crossing(at).map(|(v, _)| *v).collect();
        let cost = (values.iter().map(bytes).sum::<f64>(), (2 * at).abs_diff(ops.len()), at);
        if best.is_none_or(|b| (cost.0, cost.1) < (b.0, b.1)) {
            best = Some(cost);
        }
    }
    let (.., at) = best?;
    let pairs: Vec<_> = crossing(at).copied().collect();
    if !pairs.is_empty() {
        return Some(pairs);
    }
    // Two parts that only share what they read: no op of one with any of the other.
    let (first, second) = ops.split_at(at);
    Some(first.iter().flat_map(|a| second.iter().map(|b| (a.value(), *b))).collect())
}

/// The pointwise ops inside a kernel that an op reads, looking through views.
fn producers(graph: &Graph, op: NodeId, members: &BTreeSet<NodeId>) -> Vec<Value> {
    let (mut found, mut todo) = (Vec::new(), graph.operands(op).to_vec());
    while let Some(v) = todo.pop() {
        match graph.node(v.node).kind {
            _ if !members.contains(&v.node) => {}
            Kind::View(_) => todo.extend(graph.operands(v.node)),
            _ => found.push(v),
        }
    }
    found
}
