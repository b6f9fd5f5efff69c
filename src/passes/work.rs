//! What every pass works with: the graph, the options, and the record of what was done.

use super::{Options, PassError, order};
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::Op;
use crate::patch::Patch;
use crate::scalar::Scalar;
use serde::Serialize;

/// One rewrite that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fired {
    pub pass: &'static str,
    pub rule: &'static str,
    /// The nodes replaced, by their labels.
    pub nodes: Vec<String>,
}

/// A rewrite that was considered and not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub pass: &'static str,
    pub why: &'static str,
    /// The nodes that it was about, by their labels.
    pub nodes: Vec<String>,
}

/// A pass at work on a graph.
pub struct Work<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) options: &'a Options,
    pub(super) pass: &'static str,
    pub(super) fired: &'a mut Vec<Fired>,
    pub(super) refused: &'a mut Vec<Refused>,
}

impl Work<'_> {
    /// Every node after its operands. Passes add nodes while they walk and remove none, so that each id stays good.
    pub(super) fn order(&self) -> Result<Vec<NodeId>, PassError> {
        order(self.graph)
    }

    /// Writes down that `rule` fires on `nodes`, and begins its patch.
    pub(super) fn patch(&mut self, rule: &'static str, nodes: &[NodeId]) -> Patch<'_> {
        self.note(rule, nodes);
        Patch::new(self.graph, rule, nodes)
    }

    /// Writes down that `rule` fires on `nodes`.
    pub(super) fn note(&mut self, rule: &'static str, nodes: &[NodeId]) {
        let nodes = nodes.iter().map(|id| self.graph.node(*id).label().to_string()).collect();
        self.fired.push(Fired { pass: self.pass, rule, nodes });
    }

    /// Writes down, once, why `nodes` stay as they are.
    pub(super) fn refuse(&mut self, why: &'static str, nodes: &[NodeId]) {
        let nodes = nodes.iter().map(|id| self.graph.node(*id).label().to_string()).collect();
        let refused = Refused { pass: self.pass, why, nodes };
        if !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }

    /// The op of a node that is pointwise and whose result something uses.
    pub(super) fn live_op(&self, id: NodeId) -> Option<Op> {
        let op = self.graph.node(id).op()?;
        (self.graph.use_count(id.value()) > 0).then_some(op)
    }

    /// Makes every user of node `id`'s result read `value` instead, if that is of exactly the same type.
    pub(super) fn replace_same_type(&mut self, rule: &'static str, id: NodeId, value: Value) -> bool {
        let same = self.graph.ty(id.value()).full().is_some() && self.graph.ty(id.value()) == self.graph.ty(value);
        if same {
            self.patch(rule, &[id]).replace(id.value(), value);
        }
        same
    }
}

/// The node that makes `value`, if it is pointwise with that op.
pub(super) fn made_by(graph: &Graph, value: Value, op: impl Fn(Op) -> bool) -> Option<NodeId> {
    graph.node(value.node).op().filter(|o| op(*o)).map(|_| value.node)
}

/// Constants of more elements are not searched for a common value.
const UNIFORM_LIMIT: usize = 4096;

/// The one value of a constant whose elements are all equal.
pub(super) fn uniform(graph: &Graph, value: Value) -> Option<Scalar> {
    graph.constant(value).filter(|t| t.len() <= UNIFORM_LIMIT)?.uniform()
}

/// True if two operands are the same value or constants of the same type and contents.
pub(super) fn same(graph: &Graph, a: Value, b: Value) -> bool {
    a == b || matches!((graph.constant(a), graph.constant(b)), (Some(x), Some(y)) if x.len() <= UNIFORM_LIMIT && x == y)
}

/// The type that a pointwise op gives for these operands, if all of it is known and legal.
pub(super) fn infer(op: Op, operands: &[Type]) -> Option<Type> {
    let dtypes: Option<Vec<_>> = operands.iter().map(|ty| ty.dtype).collect();
    let mut shapes = operands.iter().map(|ty| ty.shape.as_ref());
    let shape = shapes.try_fold(crate::shape::Shape::SCALAR, |all, shape| all.broadcast(shape?).ok())?;
    Some(Type::new(op.result_type(&dtypes?).ok()?, shape))
}

/// True if the node is a view.
pub(super) fn is_view(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id).kind, Kind::View(_))
}
