//! Transposes that cancel: `transpose.p⁻¹(f(transpose.p(x), …))` becomes `f(x, …)`.
//!
//! Exporters from channels-last frameworks wrap what they convert in pairs of transposes; the pointwise ops between a pair
//! don't care for the order of axes. The rule fires only where every operand of the ops in between is such a transpose, a
//! constant (which is transposed once, here) or a scalar, and where no other op reads the results in between, so that two or
//! more transposes go and nothing is computed twice. Exact: only the order of elements in between changes.

use super::{Pass, PassError, Work};
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::patch::Patch;
use crate::shape::Shape;
use crate::view::View;

pub(super) const PASS: Pass = Pass { name: "transposes", about: "cancel transposes around pointwise ops", run };

/// Ops looked at below one transpose.
const LONGEST: usize = 64;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        let Kind::View(View::Transpose { axes }) = &work.graph.node(id).kind else { continue };
        let (axes, operand) = (axes.clone(), work.graph.operands(id)[0]);
        if work.graph.use_count(id.value()) == 0 || work.graph.node(operand.node).op().is_none() {
            continue;
        }
        let mut between = Vec::new();
        if !cancels(work.graph, operand, &axes, &mut between) {
            continue;
        }
        between.push(id);
        let mut patch = work.patch("cancelling_transposes", &between);
        if let Some(new) = rebuild(&mut patch, operand, &axes) {
            patch.replace(id.value(), new);
        }
    }
    Ok(())
}

/// True if `value`, transposed by `axes`, can be had without a transpose. `between` collects the pointwise nodes on the way.
fn cancels(graph: &Graph, value: Value, axes: &[usize], between: &mut Vec<NodeId>) -> bool {
    let Some(shape) = graph.ty(value).shape.as_ref() else { return false };
    if graph.constant(value).is_some() {
        return shape.rank() <= axes.len() && shape.known().is_some();
    }
    match &graph.node(value.node).kind {
        _ if shape.rank() == 0 => true,
        Kind::View(View::Transpose { axes: inner }) => is_inverse(inner, axes),
        Kind::Pointwise(_) if graph.use_count(value) == 1 && between.len() < LONGEST && shape.rank() == axes.len() => {
            between.push(value.node);
            let operands = graph.operands(value.node);
            // At least one transpose must go for the outer one, else constants alone would seem to cancel it.
            operands.iter().all(|v| cancels(graph, *v, axes, between))
                && operands
                    .iter()
                    .any(|v| graph.constant(*v).is_none() && graph.ty(*v).shape.as_ref().is_some_and(|s| s.rank() > 0))
        }
        _ => false,
    }
}

fn is_inverse(inner: &[usize], outer: &[usize]) -> bool {
    inner.len() == outer.len() && outer.iter().enumerate().all(|(i, a)| inner.get(*a) == Some(&i))
}

/// Adds `value` transposed by `axes`; [`cancels`] has said that it can be had.
fn rebuild(patch: &mut Patch<'_>, value: Value, axes: &[usize]) -> Option<Value> {
    let graph = patch.graph();
    let (name, ty) = (graph.value_name(value).to_string(), graph.ty(value).clone());
    let shape = ty.shape.clone()?;
    let moved = |shape: &Shape| axes.iter().map(|a| shape.get(*a).cloned()).collect::<Option<Shape>>();
    if shape.rank() == 0 {
        return Some(value);
    }
    if graph.constant(value).is_some() {
        if shape.iter().all(|d| d.is(1)) {
            return Some(value);
        }
        let mut full = Shape(vec![crate::dim::Dim::ONE; axes.len() - shape.rank()]);
        full.0.extend(shape.iter().cloned());
        let reshape = Kind::View(View::Reshape { to: full.clone() });
        let same = patch.add(reshape, &name, Type { shape: Some(full.clone()), ..ty.clone() }, &[value]);
        let transpose = Kind::View(View::Transpose { axes: axes.to_vec() });
        return Some(patch.add(transpose, &name, Type { shape: moved(&full), ..ty }, &[same]));
    }
    let operands = graph.operands(value.node);
    match graph.node(value.node).kind.clone() {
        Kind::View(_) => operands.first().copied(),
        kind => {
            let operands = operands.iter().map(|v| rebuild(patch, *v, axes)).collect::<Option<Vec<_>>>()?;
            Some(patch.add(kind, &name, Type { shape: moved(&shape), ..ty }, &operands))
        }
    }
}
