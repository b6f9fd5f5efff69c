//! The only way to edit a graph once it is built.
//!
//! A patch carries the name of the rule that made it and the origins of what it replaces, so that every kernel can say which of
//! the model's nodes it stands for.

use crate::graph::{Graph, Kind, Node, NodeId, Origin, Type, Value};
use crate::view::View;
use smallvec::SmallVec;

/// An edit in preparation: new nodes, then values replaced by them.
pub struct Patch<'g> {
    graph: &'g mut Graph,
    rule: &'static str,
    origin: SmallVec<[Origin; 1]>,
}

impl<'g> Patch<'g> {
    /// Begins an edit by `rule` that stands for the nodes `replaced`: nodes it adds inherit their origins.
    pub fn new(graph: &'g mut Graph, rule: &'static str, replaced: &[NodeId]) -> Patch<'g> {
        let mut origin = SmallVec::new();
        for o in replaced.iter().filter_map(|id| graph.get(*id)).flat_map(|n| &n.origin) {
            if !origin.contains(o) {
                origin.push(o.clone());
            }
        }
        Patch { graph, rule, origin }
    }

    /// The rule's name.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The graph as it stands.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// Adds a node with one result that inherits the origins.
    pub fn add(&mut self, kind: Kind, name: &str, ty: Type, operands: &[Value]) -> Value {
        let mut node = Node::new(kind, name, ty);
        node.origin = self.origin.clone();
        self.graph.add(node, operands).value()
    }

    /// Adds a view with one result; it inherits no origin, because it computes nothing.
    pub fn view(&mut self, view: View, name: &str, ty: Type, operands: &[Value]) -> Value {
        self.graph.add(Node::new(Kind::View(view), name, ty), operands).value()
    }

    /// Adds a constant; it inherits no origin, because it computes nothing.
    pub fn constant(&mut self, name: &str, tensor: crate::tensor::Tensor) -> Value {
        let ty = Type::new(tensor.dtype(), tensor.shape());
        self.graph.add(Node::new(Kind::Constant(tensor), name, ty), &[]).value()
    }

    /// Makes every user of `old`, graph outputs included, read `new` instead; what nothing uses any more is left for
    /// [`Patch::sweep`]. `new`'s own node keeps its operands.
    pub fn replace(&mut self, old: Value, new: Value) {
        if old == new {
            return;
        }
        for (port, user, slot) in self.graph.users(old.node) {
            if port == old.port && user != new.node {
                self.graph.set_operand(user, slot, new);
            }
        }
        for (_, output) in self.graph.outputs_mut() {
            if *output == old {
                *output = new;
            }
        }
    }

    /// Makes one operand read another value.
    pub fn set_operand(&mut self, user: NodeId, slot: u32, value: Value) {
        self.graph.set_operand(user, slot, value);
    }

    /// Changes what is known of a value's type.
    pub fn set_type(&mut self, value: Value, ty: Type) {
        self.graph.node_mut(value.node).outputs[value.port as usize].ty = ty;
    }

    /// Changes what a node does, its operands and results staying.
    pub fn set_kind(&mut self, id: NodeId, kind: Kind) {
        self.graph.node_mut(id).kind = kind;
    }

    /// Says that `id` now stands for the replaced nodes as well.
    pub fn adopt(&mut self, id: NodeId) {
        let node = self.graph.node_mut(id);
        for o in &self.origin {
            if !node.origin.contains(o) {
                node.origin.push(o.clone());
            }
        }
    }

    /// The nodes from which no output can be reached, inputs excepted, in order of insertion.
    pub fn unreachable(&self) -> Vec<NodeId> {
        let graph = &*self.graph;
        let mut live = vec![false; graph.bound()];
        let mut queue: Vec<NodeId> = graph.outputs().iter().map(|(_, v)| v.node).collect();
        while let Some(id) = queue.pop() {
            if !std::mem::replace(&mut live[id.index()], true) {
                queue.extend(graph.operands(id).iter().map(|v| v.node));
            }
        }
        graph.inputs().iter().for_each(|id| live[id.index()] = true);
        graph.ids().filter(|id| !live[id.index()]).collect()
    }

    /// Removes the nodes from which no output can be reached. Inputs stay. Returns how many went.
    pub fn sweep(self) -> usize {
        let dead = self.unreachable();
        for id in &dead {
            self.graph.remove(*id);
        }
        dead.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::graph::Builder;
    use crate::op::{self, Op};
    use crate::shape;

    #[test]
    fn a_fused_node_keeps_the_origins_of_both() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![4]);
        let s = b.sigmoid(x);
        let y = b.mul(x, s);
        b.output("y", y);
        let mut g = b.finish().unwrap();
        let ty = g.ty(y).clone();
        let mut p = Patch::new(&mut g, "silu", &[s.node, y.node]);
        let new = p.add(Kind::Pointwise(Op::new(&op::SILU)), "y", ty, &[x]);
        p.replace(y, new);
        assert_eq!(p.sweep(), 2);
        assert_eq!(g.outputs()[0].1, new);
        let names: Vec<_> = g.node(new.node).origin.iter().map(|o| o.op_type.as_str()).collect();
        assert_eq!(names, ["Sigmoid", "Mul"]);
        assert_eq!(g.len(), 2);
    }
}
