//! Topological order of a model's nodes. Files list them in order, as ONNX demands; some do not, and a cycle must be told.

use super::super::attributes::label;
use super::super::error::{OnnxError, quoted};
use super::super::functions::FlatNode;
use super::super::subgraph;
use super::Scope;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The nodes, each after those whose results it reads; the file's order where that is free.
///
/// # Errors
/// A value that nothing computes, a value computed twice, or a cycle, each naming a node.
pub(super) fn topological<'a>(nodes: Vec<FlatNode<'a>>, scope: &Scope) -> Result<Vec<FlatNode<'a>>, OnnxError> {
    let fail = |node: &FlatNode, what: String| OnnxError::Node { node: label(&node.node), what };
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for output in node.node.output.iter().filter(|o| !o.is_empty()) {
            if makers.insert(output, at).is_some() || scope.is_declared(output) {
                return Err(fail(node, format!("its output {} is already defined", quoted(output))));
            }
        }
    }
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    let mut in_order = true;
    for (at, node) in nodes.iter().enumerate() {
        let captured = subgraph::captures(&node.node);
        let inputs = node.node.input.iter().filter(|i| !i.is_empty()).map(String::as_str);
        for input in inputs.chain(captured.iter().copied()) {
            match makers.get(input) {
                Some(&maker) => {
                    users[maker].push(at);
                    waiting[at] += 1;
                    in_order &= maker < at;
                }
                None if scope.is_declared(input) => {}
                None => {
                    let what =
                        format!("its input {} is computed by no node and is no input of the model", quoted(input));
                    return Err(fail(node, what));
                }
            }
        }
    }
    if in_order {
        return Ok(nodes);
    }
    let mut ready: BinaryHeap<_> = (0..nodes.len()).filter(|&at| waiting[at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for &user in &users[at] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if let Some(stuck) = (0..nodes.len()).find(|&at| waiting[at] > 0) {
        return Err(fail(&nodes[stuck], "it waits for its own result: the graph has a cycle".into()));
    }
    let mut nodes: Vec<_> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| nodes[at].take()).collect())
}
