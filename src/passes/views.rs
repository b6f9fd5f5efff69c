//! Views: two in a row become one, and those that move nothing go.
//!
//! * `x → identity view` → `x` (reshape or expand to its own shape, whole slice, transpose in place, repeat by 1, concat of one)
//! * `reshape(reshape(x))` → `reshape(x)`; likewise expand, transpose, repeat and slice, with their parameters composed
//! * `transpose(x)` that only moves axes of size 1 → `reshape(x)`
//! * `concat(concat(a, b), c)` → `concat(a, b, c)` along one axis, the inner one having no other user
//! * `concat(x[0:a], x[a:b], c)` → `concat(x[0:b], c)` along one axis
//! * `f(expand(x), y)` → `f(x, y)` where f broadcasts x as far by itself
//!
//! All are exact: no element is computed.

use super::work::{infer, is_view};
use super::{Pass, PassError, Work};
use crate::graph::{Graph, Kind, NodeId, Operands, Type, Value};
use crate::shape::Shape;
use crate::view::{SliceAxis, View};

pub(super) const PASS: Pass = Pass { name: "views", about: "compose views and drop those that move nothing", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        match &work.graph.node(id).kind {
            Kind::View(view) if work.graph.use_count(id.value()) > 0 => {
                let view = view.clone();
                let operands = work.graph.operands(id);
                let _ = identity(work, id, &view, &operands)
                    || unit_transpose(work, id, &view, operands[0])
                    || compose(work, id, &view, operands[0])
                    || flatten_concat(work, id, &view, &operands)
                    || adjacent_slices(work, id, &view, &operands);
            }
            Kind::Pointwise(_) => bypass_expands(work, id),
            _ => {}
        }
    }
    Ok(())
}

fn identity(work: &mut Work<'_>, id: NodeId, view: &View, operands: &[Value]) -> bool {
    let moves_nothing = match view {
        View::Reshape { .. } | View::Expand { .. } => true,
        View::Transpose { axes } => axes.iter().copied().eq(0..axes.len()),
        View::Slice { axes } => axes.iter().all(|a| a.start.is(0) && a.step == 1),
        View::Repeat { factors } => factors.iter().all(|f| *f == 1),
        View::Concat { .. } => operands.len() == 1,
    };
    // Together with the equality of the types, which `replace_same_type` asks for.
    moves_nothing && work.replace_same_type("identity_view", id, operands[0])
}

/// The one view that two in a row are; `shape` is that of what the inner one reads.
fn composed(inner: &View, outer: &View) -> Option<View> {
    Some(match (inner, outer) {
        (View::Reshape { .. }, View::Reshape { to }) => View::Reshape { to: to.clone() },
        (View::Expand { .. }, View::Expand { to }) => View::Expand { to: to.clone() },
        (View::Transpose { axes: inner }, View::Transpose { axes }) => {
            View::Transpose { axes: axes.iter().map(|a| inner.get(*a).copied()).collect::<Option<_>>()? }
        }
        (View::Repeat { factors: inner }, View::Repeat { factors }) => {
            let product = inner.iter().zip(factors).map(|(a, b)| a.checked_mul(*b));
            View::Repeat { factors: product.collect::<Option<_>>()? }
        }
        (View::Slice { axes: inner }, View::Slice { axes }) => {
            View::Slice { axes: inner.iter().zip(axes).map(|(a, b)| slice_of_slice(a, b)).collect::<Option<_>>()? }
        }
        _ => return None,
    })
}

fn slice_of_slice(inner: &SliceAxis, outer: &SliceAxis) -> Option<SliceAxis> {
    let offset = outer.start.mul(&inner.step.into()).ok()?;
    Some(SliceAxis {
        start: inner.start.add(&offset).ok()?,
        step: inner.step.checked_mul(outer.step)?,
        size: outer.size.clone(),
    })
}

fn compose(work: &mut Work<'_>, id: NodeId, outer: &View, x: Value) -> bool {
    let Kind::View(inner) = &work.graph.node(x.node).kind else { return false };
    let Some(view) = composed(inner, outer) else { return false };
    let source = work.graph.operands(x.node)[0];
    let mut patch = work.patch("composed_views", &[x.node, id]);
    patch.set_kind(id, Kind::View(view));
    patch.set_operand(id, 0, source);
    patch.adopt(id);
    true
}

fn unit_transpose(work: &mut Work<'_>, id: NodeId, view: &View, x: Value) -> bool {
    let View::Transpose { axes } = view else { return false };
    let (Some(from), Some(to)) = (&work.graph.ty(x).shape, &work.graph.ty(id.value()).shape) else { return false };
    let moved = axes.iter().filter(|a| from.get(**a).is_some_and(|d| !d.is(1)));
    if axes.iter().copied().eq(0..axes.len()) || !moved.is_sorted_by(|a, b| a < b) {
        return false;
    }
    let kind = Kind::View(View::Reshape { to: to.clone() });
    work.patch("transpose_of_units", &[id]).set_kind(id, kind);
    true
}

fn flatten_concat(work: &mut Work<'_>, id: NodeId, view: &View, operands: &[Value]) -> bool {
    let View::Concat { axis } = view else { return false };
    let graph = &*work.graph;
    let inner = |v: &Value| {
        let nested = matches!(&graph.node(v.node).kind, Kind::View(View::Concat { axis: other }) if other == axis);
        nested && graph.use_count(*v) == 1
    };
    if !operands.iter().any(inner) {
        return false;
    }
    let flat: Operands = operands
        .iter()
        .flat_map(|v| if inner(v) { graph.operands(v.node) } else { Operands::from_slice(&[*v]) })
        .collect();
    let mut nodes: Vec<NodeId> = operands.iter().filter(|v| inner(v)).map(|v| v.node).collect();
    nodes.push(id);
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("nested_concat", &nodes);
    let new = patch.add(Kind::View(View::Concat { axis: *axis }), &name, ty, &flat);
    patch.replace(id.value(), new);
    true
}

fn adjacent_slices(work: &mut Work<'_>, id: NodeId, view: &View, operands: &[Value]) -> bool {
    let View::Concat { axis } = view else { return false };
    let pairs = operands.windows(2).enumerate();
    let Some((at, axes)) = pairs.into_iter().find_map(|(at, pair)| Some((at, joined(work.graph, pair, *axis)?))) else {
        return false;
    };
    let (a, b) = (operands[at], operands[at + 1]);
    let source = work.graph.operands(a.node)[0];
    let (name, ty) = (work.graph.value_name(a).to_string(), work.graph.ty(a).clone());
    let (whole, to) = (work.graph.value_name(id.value()).to_string(), work.graph.ty(id.value()).clone());
    let mut patch = work.patch("adjacent_slices", &[a.node, b.node, id]);
    let ty = Type { shape: Some(axes.iter().map(|a| a.size.clone()).collect()), ..ty };
    let slice = patch.add(Kind::View(View::Slice { axes }), &name, ty, &[source]);
    let mut operands = operands.to_vec();
    operands.splice(at..at + 2, [slice]);
    let new = patch.add(Kind::View(View::Concat { axis: *axis }), &whole, to, &operands);
    patch.replace(id.value(), new);
    true
}

/// The slice that two slices of one tensor are, if the second begins along `axis` where the first ends.
fn joined(graph: &Graph, pair: &[Value], axis: usize) -> Option<Vec<SliceAxis>> {
    let slice = |v: Value| match &graph.node(v.node).kind {
        Kind::View(View::Slice { axes }) => Some((graph.operands(v.node)[0], axes)),
        _ => None,
    };
    let ((x, a), (y, b)) = (slice(pair[0])?, slice(pair[1])?);
    let same = |i: usize| i == axis || a[i] == b[i];
    let end = a.get(axis)?.start.add(&a[axis].size).ok()?;
    let follows = x == y && a.len() == b.len() && (0..a.len()).all(same) && (a[axis].step, b[axis].step) == (1, 1);
    (follows && end == b[axis].start).then_some(())?;
    let mut axes = a.clone();
    axes[axis].size = a[axis].size.add(&b[axis].size).ok()?;
    Some(axes)
}

fn bypass_expands(work: &mut Work<'_>, id: NodeId) {
    let Some(op) = work.live_op(id) else { return };
    for (slot, operand) in work.graph.operands(id).into_iter().enumerate() {
        let graph = &*work.graph;
        if !is_view(graph, operand.node) || !matches!(graph.node(operand.node).kind, Kind::View(View::Expand { .. })) {
            continue;
        }
        let source = graph.operands(operand.node)[0];
        let mut types: Vec<Type> = graph.operands(id).iter().map(|v| graph.ty(*v).clone()).collect();
        types[slot] = graph.ty(source).clone();
        let decided = |g: &Graph| {
            g.ty(source).shape.as_ref().zip(g.ty(id.value()).shape.as_ref()).is_some_and(|(a, b)| broadcasts(a, b))
        };
        if decided(graph) && infer(op, &types).as_ref() == Some(graph.ty(id.value())) {
            let mut patch = work.patch("expand_by_broadcast", &[operand.node, id]);
            patch.set_operand(id, slot as u32, source);
            patch.adopt(id);
        }
    }
}

/// True if `small` broadcasts to `to` whatever the symbols are.
fn broadcasts(small: &Shape, to: &Shape) -> bool {
    let Some(missing) = to.rank().checked_sub(small.rank()) else { return false };
    small.iter().zip(&to[missing..]).all(|(a, b)| a == b || a.is(1))
}
