//! Pointwise ops below a concatenation move above it: `f(concat(a, b), …)` becomes `concat(f(a, …), f(b, …))`.
//!
//! Whoever makes `a` then also computes `f` and stores straight into its part of the result, so that the concatenation itself
//! never exists: a quantize below the concat of a C3 block makes its branches store codes. Other operands must broadcast along the
//! axis, or are cut into the same parts. Exact: each element is computed from the same operands by the same ops.

use super::{Pass, PassError, Work};
use crate::dim::Dim;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::Op;
use crate::patch::Patch;
use crate::shape::Shape;
use crate::view::{SliceAxis, View};

pub(super) const PASS: Pass =
    Pass { name: "concats", about: "move pointwise ops above the concatenations that they read", run };

/// A concatenation of more parts stays as it is: each part would be a kernel of its own.
const MOST_PARTS: usize = 16;

/// How one operand of the op looks to each part.
enum Part {
    /// The same for all: it broadcasts along the axis.
    Whole(Value),
    /// A concatenation of the same parts.
    Parts(Vec<Value>),
    /// To be sliced.
    Sliced(Value),
}

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        let Some(op) = work.live_op(id) else { continue };
        let Some((concat, axis)) = concatenated(work.graph, id) else { continue };
        let Some(parts) = parts(work.graph, id, concat, axis) else { continue };
        rewrite(work, id, op, concat, axis, parts);
    }
    Ok(())
}

/// The first operand that is a concatenation of the result's own shape, and its axis.
fn concatenated(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let shape = graph.ty(id.value()).shape.as_ref()?;
    graph.operands(id).iter().find_map(|v| match &graph.node(v.node).kind {
        Kind::View(View::Concat { axis }) if graph.ty(*v).shape.as_ref() == Some(shape) => Some((v.node, *axis)),
        _ => None,
    })
}

/// The sizes of a concatenation's operands along its axis.
fn sizes(graph: &Graph, concat: NodeId, axis: usize) -> Option<Vec<Dim>> {
    let size = |v: &Value| graph.ty(*v).shape.as_ref()?.get(axis).cloned();
    graph.operands(concat).iter().map(size).collect()
}

fn parts(graph: &Graph, id: NodeId, concat: NodeId, axis: usize) -> Option<Vec<Part>> {
    let result = graph.ty(id.value()).shape.as_ref()?;
    let wanted = sizes(graph, concat, axis).filter(|s| s.len() <= MOST_PARTS)?;
    let part = |v: &Value| {
        let shape = graph.ty(*v).shape.as_ref()?;
        // The operand's axis that lies along the concatenation's, if it has one.
        let own = (axis + shape.rank()).checked_sub(result.rank());
        if own.is_none_or(|own| shape[own].is(1)) {
            return Some(Part::Whole(*v));
        }
        match &graph.node(v.node).kind {
            Kind::View(View::Concat { axis: a })
                if Some(*a) == own && sizes(graph, v.node, *a).as_ref() == Some(&wanted) =>
            {
                Some(Part::Parts(graph.operands(v.node).to_vec()))
            }
            _ => Some(Part::Sliced(*v)),
        }
    };
    graph.operands(id).iter().map(part).collect()
}

fn rewrite(work: &mut Work<'_>, id: NodeId, op: Op, concat: NodeId, axis: usize, parts: Vec<Part>) {
    let Some(sizes) = sizes(work.graph, concat, axis) else { return };
    let Some((dtype, shape)) = work.graph.ty(id.value()).full().map(|(t, s)| (t, s.clone())) else { return };
    let name = work.graph.value_name(id.value()).to_string();
    let mut starts = vec![Dim::ZERO];
    for size in &sizes {
        match starts[starts.len() - 1].add(size) {
            Ok(next) => starts.push(next),
            Err(_) => return,
        }
    }
    let mut patch = work.patch("op_of_concat", &[id]);
    let mut results = Vec::new();
    for (at, size) in sizes.into_iter().enumerate() {
        let along = Along { result: &shape, axis, start: starts[at].clone(), size };
        let operands: Vec<Value> = parts
            .iter()
            .map(|part| match part {
                Part::Whole(v) => *v,
                Part::Parts(all) => all[at],
                Part::Sliced(v) => along.slice(&mut patch, *v),
            })
            .collect();
        let ty = Type::new(dtype, along.part_of(&shape, axis));
        results.push(patch.add(Kind::Pointwise(op), &format!("{name}.{at}"), ty, &operands));
    }
    // The new concatenation stands for the old one, the parts for the op.
    let mut patch = Patch::new(work.graph, "op_of_concat", &[concat]);
    let new = patch.add(Kind::View(View::Concat { axis }), &name, Type::new(dtype, shape), &results);
    patch.replace(id.value(), new);
}

/// One part of a concatenation.
struct Along<'a> {
    result: &'a Shape,
    axis: usize,
    start: Dim,
    size: Dim,
}

impl Along<'_> {
    /// A shape with the part's size along an axis.
    fn part_of(&self, shape: &Shape, axis: usize) -> Shape {
        let mut part = shape.clone();
        part.0[axis] = self.size.clone();
        part
    }

    /// The part of an operand that reaches along the whole axis.
    fn slice(&self, patch: &mut Patch<'_>, v: Value) -> Value {
        let Some((dtype, shape)) = patch.graph().ty(v).full().map(|(t, s)| (t, s.clone())) else { return v };
        let own = self.axis + shape.rank() - self.result.rank();
        let whole = |size: &Dim| SliceAxis { start: Dim::ZERO, step: 1, size: size.clone() };
        let mut axes: Vec<SliceAxis> = shape.iter().map(whole).collect();
        axes[own] = SliceAxis { start: self.start.clone(), step: 1, size: self.size.clone() };
        let name = format!("{}.{}", patch.graph().value_name(v), self.start);
        patch.add(Kind::View(View::Slice { axes }), &name, Type::new(dtype, self.part_of(&shape, own)), &[v])
    }
}
