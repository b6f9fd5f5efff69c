//! Executes a graph, node after node.

use super::node::{self, Context};
use super::{NodeError, Options, ReferenceError, bind};
use crate::dim::Bindings;
use crate::graph::{Graph, Kind, Node, NodeId, Type, Value};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Executes a graph: its outputs by name, in its order.
///
/// Each result is rounded to its type. Named sizes are bound by the inputs' shapes, and a tensor is freed after its last use.
/// Every result is checked against the type that the graph declares for it.
pub fn run_graph<N: AsRef<str>>(
    graph: &Graph,
    inputs: &[(N, Tensor)],
    options: &Options,
) -> Result<Vec<(String, Tensor)>, ReferenceError> {
    tap_graph(graph, inputs, options, &mut |_, tensor| tensor)
}

/// Executes one node: its results for these operands, in slot order.
pub fn run_node(node: &Node, operands: &[Tensor], options: &Options) -> Result<Vec<Tensor>, NodeError> {
    node::execute(node, operands, &Context { bindings: &options.bindings, limit: options.tensor_limit })
}

/// As [`run_graph`], with every value that is computed passed through `tap`: what it returns is what the value's users read. A
/// tap that returns its tensor observes; one that returns another of the same type perturbs.
pub fn tap_graph<N: AsRef<str>>(
    graph: &Graph,
    inputs: &[(N, Tensor)],
    options: &Options,
    tap: &mut dyn FnMut(Value, Tensor) -> Tensor,
) -> Result<Vec<(String, Tensor)>, ReferenceError> {
    let values: Vec<Value> = graph.outputs().iter().map(|(_, value)| *value).collect();
    let tensors = run_values(graph, inputs, &values, options, tap)?;
    Ok(graph.outputs().iter().map(|(name, _)| name.clone()).zip(tensors).collect())
}

/// Computes the given values of a graph, and executes no node that they do not need: a node whose meaning is not known stops only
/// what depends on it. See [`tap_graph`] for `tap`.
pub fn run_values<N: AsRef<str>>(
    graph: &Graph,
    inputs: &[(N, Tensor)],
    values: &[Value],
    options: &Options,
    tap: &mut dyn FnMut(Value, Tensor) -> Tensor,
) -> Result<Vec<Tensor>, ReferenceError> {
    resume_values(graph, inputs, &|_| None, values, options, tap)
}

/// The results of a node that are known already, in slot order.
pub type Known<'k> = dyn Fn(NodeId) -> Option<&'k [Tensor]> + 'k;

/// As [`run_values`], but the nodes whose results are `known` are not executed, nor what only they need: a run of a graph that
/// differs from another one in a few places begins at these.
pub fn resume_values<N: AsRef<str>>(
    graph: &Graph,
    inputs: &[(N, Tensor)],
    known: &Known,
    values: &[Value],
    options: &Options,
    tap: &mut dyn FnMut(Value, Tensor) -> Tensor,
) -> Result<Vec<Tensor>, ReferenceError> {
    let order = graph.topological().map_err(|id| ReferenceError::Cycle { node: label(graph, id) })?;
    let mut bindings = options.bindings.clone();
    let declared: Vec<(&str, &Type)> =
        graph.inputs().iter().map(|id| (graph.value_name(id.value()), graph.ty(id.value()))).collect();
    let given = bind::inputs(&declared, inputs, &mut bindings)?;
    let mut results = Results::new(graph, &order, values, known);
    for (id, tensor) in graph.inputs().iter().zip(given) {
        results.keep(*id, vec![tensor], tap);
    }
    for id in order {
        let node = graph.node(id);
        if matches!(node.kind, Kind::Input) || !results.needed[id.index()] {
            continue;
        }
        if let Some(tensors) = known(id) {
            check(node, tensors, &mut bindings)?;
            results.keep(id, tensors.to_vec(), &mut |_, tensor| tensor);
            continue;
        }
        let failed = |source| ReferenceError::Node { node: label(graph, id), kind: node.kind.to_string(), source };
        let missing = || failed(NodeError::Invalid("an operand names a result that its node has not".into()));
        let operands: Option<Vec<Tensor>> = graph.operands(id).iter().map(|value| results.take(*value)).collect();
        let cx = Context { bindings: &bindings, limit: options.tensor_limit };
        let tensors = node::execute(node, &operands.ok_or_else(missing)?, &cx).map_err(failed)?;
        check(node, &tensors, &mut bindings)?;
        results.keep(id, tensors, tap);
    }
    let output = |value: &Value| {
        let missing = || ReferenceError::OutputUnwritten { name: label(graph, value.node), written: 0, count: 1 };
        results.take(*value).ok_or_else(missing)
    };
    values.iter().map(output).collect()
}

/// Checks results against the types that the graph declares for them.
fn check(node: &Node, tensors: &[Tensor], bindings: &mut Bindings) -> Result<(), ReferenceError> {
    for (output, tensor) in node.outputs.iter().zip(tensors) {
        let checked = bind::bind(&output.ty, tensor, bindings);
        checked.map_err(|m| m.of_result(node.label(), &output.name, &output.ty, tensor))?;
    }
    Ok(())
}

/// What has been computed and is still to be used, by node and port.
struct Results {
    needed: Vec<bool>,
    uses: Vec<BTreeMap<u32, usize>>,
    tensors: Vec<BTreeMap<u32, Tensor>>,
}

impl Results {
    /// Counts the uses of each value by the nodes that `wanted` needs executed.
    fn new(graph: &Graph, order: &[NodeId], wanted: &[Value], known: &Known) -> Results {
        let bound = graph.bound();
        let mut results = Results {
            needed: vec![false; bound],
            uses: vec![BTreeMap::new(); bound],
            tensors: vec![BTreeMap::new(); bound],
        };
        wanted.iter().for_each(|value| results.count(*value));
        for id in order.iter().rev().filter(|id| !matches!(graph.node(**id).kind, Kind::Input)) {
            if results.needed[id.index()] && known(*id).is_none() {
                graph.operands(*id).iter().for_each(|value| results.count(*value));
            }
        }
        results
    }

    fn count(&mut self, value: Value) {
        if let Some(uses) = self.uses.get_mut(value.node.index()) {
            *uses.entry(value.port).or_default() += 1;
            self.needed[value.node.index()] = true;
        }
    }

    fn keep(&mut self, id: NodeId, tensors: Vec<Tensor>, tap: &mut dyn FnMut(Value, Tensor) -> Tensor) {
        for (port, tensor) in (0..).zip(tensors) {
            let tensor = tap(Value { node: id, port }, tensor);
            if self.uses[id.index()].contains_key(&port) {
                self.tensors[id.index()].insert(port, tensor);
            }
        }
    }

    /// A use of a value: the last one takes the tensor away.
    fn take(&mut self, value: Value) -> Option<Tensor> {
        let uses = self.uses.get_mut(value.node.index())?.get_mut(&value.port)?;
        *uses = uses.saturating_sub(1);
        let tensors = &mut self.tensors[value.node.index()];
        if *uses == 0 { tensors.remove(&value.port) } else { tensors.get(&value.port).cloned() }
    }
}

fn label(graph: &Graph, id: NodeId) -> String {
    graph.node(id).label().to_string()
}
