//! Executes a graph, node after node.

use super::node::{self, Context};
use super::{NodeError, Options, ReferenceError, bind};
use crate::graph::{Graph, Kind, Node, NodeId, Type, Value};
use crate::tensor::Tensor;

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

/// As [`run_graph`], with every value that an input or node makes passed through `tap`: what it returns is what the value's
/// users read. A tap that returns its tensor observes; one that returns another of the same type perturbs.
pub fn tap_graph<N: AsRef<str>>(
    graph: &Graph,
    inputs: &[(N, Tensor)],
    options: &Options,
    tap: &mut dyn FnMut(Value, Tensor) -> Tensor,
) -> Result<Vec<(String, Tensor)>, ReferenceError> {
    let order = graph.topological().map_err(|id| ReferenceError::Cycle { node: label(graph, id) })?;
    let mut bindings = options.bindings.clone();
    let declared: Vec<(&str, &Type)> =
        graph.inputs().iter().map(|id| (graph.value_name(id.value()), graph.ty(id.value()))).collect();
    let given = bind::inputs(&declared, inputs, &mut bindings)?;

    // Results by node and port, and how many uses each still has.
    let mut results: Vec<Vec<Option<(Tensor, usize)>>> = vec![Vec::new(); graph.bound()];
    let mut keep = |id: NodeId, tensors: Vec<Tensor>, results: &mut Vec<Vec<Option<(Tensor, usize)>>>| {
        let value = |port: usize| Value { node: id, port: port as u32 };
        let kept = tensors.into_iter().enumerate().map(|(port, tensor)| {
            let tensor = tap(value(port), tensor);
            Some(graph.use_count(value(port))).filter(|uses| *uses > 0).map(|uses| (tensor, uses))
        });
        results[id.index()] = kept.collect();
    };
    for (id, tensor) in graph.inputs().iter().zip(given) {
        keep(*id, vec![tensor], &mut results);
    }
    for id in order {
        let node = graph.node(id);
        let tensors = match &node.kind {
            Kind::Input => continue,
            Kind::Constant(tensor) => vec![tensor.clone()],
            kind => {
                let operands: Option<Vec<Tensor>> =
                    graph.operands(id).iter().map(|value| take(&mut results, *value)).collect();
                let failed = |source| ReferenceError::Node { node: label(graph, id), kind: kind.to_string(), source };
                let missing = || super::NodeError::Invalid("an operand names a result that its node has not".into());
                let operands = operands.ok_or_else(missing).map_err(failed)?;
                let cx = Context { bindings: &bindings, limit: options.tensor_limit };
                node::execute(node, &operands, &cx).map_err(failed)?
            }
        };
        for (output, tensor) in node.outputs.iter().zip(&tensors) {
            let checked = bind::bind(&output.ty, tensor, &mut bindings);
            checked.map_err(|m| m.of_result(node.label(), &output.name, &output.ty, tensor))?;
        }
        keep(id, tensors, &mut results);
    }
    let output = |(name, value): &(String, Value)| {
        let missing = || ReferenceError::OutputUnwritten { name: name.clone(), written: 0, count: 1 };
        Ok((name.clone(), take(&mut results, *value).ok_or_else(missing)?))
    };
    graph.outputs().iter().map(output).collect()
}

/// A use of a value: the last one takes the tensor away.
fn take(results: &mut [Vec<Option<(Tensor, usize)>>], value: Value) -> Option<Tensor> {
    let slot = results.get_mut(value.node.index())?.get_mut(value.port as usize)?;
    let (tensor, uses) = slot.as_mut()?;
    *uses -= 1;
    if *uses == 0 { slot.take().map(|(tensor, _)| tensor) } else { Some(tensor.clone()) }
}

fn label(graph: &Graph, id: NodeId) -> String {
    graph.node(id).label().to_string()
}
