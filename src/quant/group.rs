//! Groups as quantization sees them: an anchor with the pointwise ops that are welded onto it, or pointwise ops alone.
//!
//! A group makes one value. It grows from its anchor forward: all that reads the value so far must be pointwise and come together
//! again in one op of the same shape, so the sigmoid and the product of a SiLU are taken at once and a residual addition
//! is taken by the later of its two convolutions. It stops where the value is read from elsewhere too, at views, and at
//! the graph's outputs. What is stored, and so what may hold codes, are the results of groups; nothing inside one.

use crate::anchor::Anchor;
use crate::dim::Bindings;
use crate::graph::{Graph, Kind, NodeId, Value};
use std::collections::BTreeSet;

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The label of its anchor, or of the op that makes its result.
    pub name: String,
    /// Its nodes in topological order, the anchor first.
    pub nodes: Vec<NodeId>,
    pub anchor: Option<NodeId>,
    /// What it makes.
    pub output: Value,
}

/// Nodes that are looked at for the op in which a value's readers come together again.
const REACH: usize = 64;

/// Every group of a graph, in the order of their first nodes. Only nodes that compute floats, depend on an input of the graph and
/// lead to an output belong to one. A graph with a cycle has none.
pub fn groups(graph: &Graph) -> Vec<Group> {
    let Ok(order) = graph.topological() else { return Vec::new() };
    let mut finder = Finder::new(graph, order);
    let nodes = finder.order.clone();
    // A later anchor has the first claim: the other operand of an addition is there when it computes.
    let is_anchor = |id: &&NodeId| matches!(graph.node(**id).kind, Kind::Anchor(_));
    nodes.iter().rev().filter(is_anchor).for_each(|id| finder.begin(*id, Some(*id)));
    nodes.iter().filter(|id| graph.node(**id).op().is_some()).for_each(|id| finder.begin(*id, None));
    finder.finish()
}

/// Multiplications and additions of an anchor, each pair counted once; `None` if a size is not known or `id` is no anchor.
pub fn macs(graph: &Graph, id: NodeId, sizes: &Bindings) -> Option<u64> {
    let Kind::Anchor(anchor) = &graph.node(id).kind else { return None };
    let operands = graph.operands(id);
    let count = |value: Value| {
        let sizes = graph.ty(value).shape.as_ref()?.eval(sizes).ok()?;
        sizes.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64))
    };
    let last = |value: Value, axis: usize| {
        let shape = graph.ty(value).shape.as_ref()?;
        shape.iter().rev().nth(axis)?.eval(sizes).ok()
    };
    match anchor {
        // Each output takes one weight of each tap and channel of its group: the weights of one output channel.
        Anchor::Conv(_) | Anchor::ConvLast { .. } => {
            count(id.value())?.checked_mul(count(operands[1])?)?.checked_div(first(graph, operands[1], sizes)?)
        }
        // Each input meets every weight of its channel.
        Anchor::ConvTranspose { .. } => {
            count(operands[0])?.checked_mul(count(operands[1])?)?.checked_div(first(graph, operands[1], sizes)?)
        }
        Anchor::Gemm { transpose_a, .. } => {
            count(id.value())?.checked_mul(last(operands[0], usize::from(*transpose_a))?)
        }
    }
}

fn first(graph: &Graph, value: Value, sizes: &Bindings) -> Option<u64> {
    graph.ty(value).shape.as_ref()?.iter().next()?.eval(sizes).ok()
}

/// The nodes whose results depend on an input of the graph, by [`NodeId::index`].
pub(super) fn variable(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut variable = vec![false; graph.bound()];
    for id in order {
        let constant = matches!(graph.node(*id).kind, Kind::Constant(_));
        let operands = graph.operands(*id);
        let varies = operands.iter().any(|v| variable[v.node.index()]);
        variable[id.index()] = varies || (operands.is_empty() && !constant);
    }
    variable
}

struct Finder<'g> {
    graph: &'g Graph,
    /// What may belong to a group, in topological order.
    order: Vec<NodeId>,
    /// Places in `order`, by node; `None` for what belongs to no group.
    place: Vec<Option<usize>>,
    claimed: Vec<bool>,
    groups: Vec<Group>,
}

impl<'g> Finder<'g> {
    fn new(graph: &'g Graph, mut order: Vec<NodeId>) -> Finder<'g> {
        let variable = variable(graph, &order);
        let mut live = vec![false; graph.bound()];
        graph.outputs().iter().for_each(|(_, v)| live[v.node.index()] = true);
        for id in order.iter().rev().filter(|id| graph.node(**id).kind != Kind::Input) {
            if live[id.index()] {
                graph.operands(*id).iter().for_each(|v| live[v.node.index()] = true);
            }
        }
        order.retain(|id| {
            let node = graph.node(*id);
            let computes = matches!(node.kind, Kind::Anchor(_) | Kind::Pointwise(_)) && node.outputs.len() == 1;
            let float = node.outputs.first().and_then(|o| o.ty.dtype).is_some_and(|t| t.is_arithmetic_float());
            computes && float && variable[id.index()] && live[id.index()]
        });
        let mut place = vec![None; graph.bound()];
        order.iter().enumerate().for_each(|(at, id)| place[id.index()] = Some(at));
        Finder { graph, order, place, claimed: vec![false; graph.bound()], groups: Vec::new() }
    }

    fn begin(&mut self, id: NodeId, anchor: Option<NodeId>) {
        if self.claimed[id.index()] {
            return;
        }
        let mut group = Group { name: String::new(), nodes: vec![id], anchor, output: id.value() };
        self.claimed[id.index()] = true;
        while let Some(more) = self.next(&group) {
            more.iter().for_each(|id| self.claimed[id.index()] = true);
            group.nodes.extend(more);
            group.output = group.nodes[group.nodes.len() - 1].value();
        }
        group.name = self.graph.node(anchor.unwrap_or(group.output.node)).label().to_string();
        self.groups.push(group);
    }

    /// The nodes up to and with the first op in which all that reads the group's value comes together.
    fn next(&self, group: &Group) -> Option<Vec<NodeId>> {
        let graph = self.graph;
        let is_output = |value: Value| graph.outputs().iter().any(|(_, v)| *v == value);
        let users = |id: NodeId| graph.users(id).into_iter().map(|(_, user, _)| user);
        if is_output(group.output) {
            return None;
        }
        // Pointwise descendants, in topological order, as long as they are few.
        let mut waiting: BTreeSet<usize> = BTreeSet::new();
        let mut inside: Vec<NodeId> = Vec::new();
        for user in users(group.output.node) {
            waiting.insert(self.free(user)?);
        }
        while let Some(at) = waiting.pop_first() {
            let id = self.order[at];
            if waiting.is_empty() {
                // Everything that was read on the way flows into this op.
                inside.push(id);
                return (graph.ty(id.value()).shape == graph.ty(group.output).shape).then_some(inside);
            }
            if is_output(id.value()) || inside.len() >= REACH {
                return None;
            }
            inside.push(id);
            for user in users(id) {
                waiting.insert(self.free(user)?);
            }
        }
        None
    }

    /// The place of a pointwise node that no group has claimed.
    fn free(&self, id: NodeId) -> Option<usize> {
        let at = self.place[id.index()]?;
        (!self.claimed[id.index()] && self.graph.node(id).op().is_some()).then_some(at)
    }

    /// In the order of first nodes, names made unique.
    fn finish(mut self) -> Vec<Group> {
        self.groups.sort_by_key(|group| self.place[group.nodes[0].index()]);
        let mut taken = BTreeSet::new();
        for group in &mut self.groups {
            let base = group.name.clone();
            let mut number = 1;
            while !taken.insert(group.name.clone()) {
                group.name = format!("{base}_{number}");
                number += 1;
            }
        }
        self.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anchor::Conv;
    use crate::dtype::DType;
    use crate::graph::{Builder, Node, Type};
    use crate::shape;
    use crate::tensor::Tensor;
    use crate::view::View;

    /// A 1×1 convolution of 4 channels.
    fn conv(b: &mut Builder, name: &str, x: Value) -> Value {
        let w = b.constant(&format!("{name}.w"), Tensor::from_slice(&[4, 4, 1, 1], &[0.5f32; 16]).unwrap());
        let conv = Conv {
            kernel: vec![1, 1],
            strides: vec![1, 1],
            dilations: vec![1, 1],
            pads: vec![(0, 0); 2],
            groups: 1,
            bias: false,
        };
        let ty = b.ty(x).clone();
        b.node(Node::new(Kind::Anchor(Anchor::Conv(conv)), &format!("{name}.y"), ty).with_origin(name, "Conv"), &[x, w])
            .value()
    }

    fn silu(b: &mut Builder, x: Value) -> Value {
        let s = b.sigmoid(x);
        b.mul(x, s)
    }

    #[test]
    fn an_activation_and_a_residual_belong_to_their_convolution() {
        let mut b = Builder::new("bottleneck");
        let x = b.input("x", DType::F32, shape!["n", 4, 8, 8]);
        let c1 = conv(&mut b, "c1", x);
        let t = silu(&mut b, c1);
        let c2 = conv(&mut b, "c2", t);
        let u = silu(&mut b, c2);
        let sum = b.add(t, u);
        b.output("y", sum);
        let g = b.finish().unwrap();
        let found = groups(&g);
        let summary: Vec<_> = found.iter().map(|g| (g.name.as_str(), g.nodes.len(), g.output)).collect();
        assert_eq!(summary, [("c1", 3, t), ("c2", 4, sum)]);
        assert_eq!(macs(&g, found[0].anchor.unwrap(), &[("n".to_string(), 2)].into()), Some(2 * 4 * 64 * 4));
    }

    #[test]
    fn views_outputs_and_larger_results_end_a_group() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![1, 4, 1, 1]);
        let big = b.input("big", DType::F32, shape![1, 4, 8, 8]);
        let c1 = conv(&mut b, "c1", x);
        let gate = b.sigmoid(c1);
        let scaled = b.mul(big, gate);
        let to = shape![4, 64];
        let flat = Node::new(Kind::View(View::Reshape { to: to.clone() }), "flat", Type::new(DType::F32, to));
        let flat = b.node(flat, &[scaled]).value();
        let y = b.relu(flat);
        let z = b.exp(y);
        b.output("y", y);
        b.output("z", z);
        let found = groups(&b.finish().unwrap());
        let outputs: Vec<_> = found.iter().map(|g| (g.anchor.is_some(), g.output)).collect();
        assert_eq!(outputs, [(true, gate), (false, scaled), (false, y), (false, z)]);
    }

    #[test]
    fn the_later_of_two_convolutions_takes_the_sum() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![1, 4, 8, 8]);
        let (c1, c2) = (conv(&mut b, "c1", x), conv(&mut b, "c2", x));
        let sum = b.add(c1, c2);
        let y = b.relu(sum);
        b.output("y", y);
        let found = groups(&b.finish().unwrap());
        assert_eq!(found.iter().map(|g| g.nodes.len()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(found[1].output, y);
    }
}
