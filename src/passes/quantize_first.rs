//! Quantize before what only moves: `quantize(slice(x))` becomes `slice(quantize(x))`, and likewise for repeats. (What picks by order, a max pool, is
//! `pool_q`'s; see `qdq`.)
//!
//! A slice between a convolution's epilogue and a quantize keeps the two apart: the convolution would store floats for a kernel that does
//! nothing but quantize them. Behind the slice's source the quantize joins the epilogue, and what moves is codes, a quarter of the size. Exact: a
//! quantize with one scale and zero point goes element by element.
//!
//! Done only for welded kernels, where `x` is computed by a pointwise op, or by a max pool that the quantize moves above in its turn, and where
//! every user of what moves quantizes it: else the floats would have to be stored all the same.

use super::work::{made_by, uniform};
use super::{Pass, PassError, Work};
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op;
use crate::structural::Structural;
use crate::view::View;

pub(super) const PASS: Pass = Pass { name: "quantize_first", about: "quantize before what only moves", run };

/// Nodes looked through between a quantize and a pointwise op.
const DEEPEST: usize = 8;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    if !work.options.weld {
        return Ok(());
    }
    for id in work.order()? {
        if work.live_op(id).is_none_or(|op| !op.is(&op::QUANTIZE)) {
            continue;
        }
        let Some((x, path)) = path(work.graph, id) else { continue };
        let nodes: Vec<NodeId> = path.iter().copied().chain([id]).collect();
        let quantize = work.graph.operands(id);
        let (kind, code) = (work.graph.node(id).kind.clone(), work.graph.ty(id.value()).dtype);
        let mut patch = work.patch("quantize_before_moving", &nodes);
        let of = |v: Value, graph: &Graph| {
            (format!("{}_codes", graph.value_name(v)), Type { dtype: code, shape: graph.ty(v).shape.clone() })
        };
        let (name, ty) = of(x, patch.graph());
        let mut moved = patch.add(kind, &name, ty, &[x, quantize[1], quantize[2]]);
        for id in path.iter().rev() {
            let kind = patch.graph().node(*id).kind.clone();
            let (name, ty) = of(id.value(), patch.graph());
            moved = patch.add(kind, &name, ty, &[moved]);
        }
        patch.replace(id.value(), moved);
    }
    Ok(())
}

/// What stands between a quantize and the pointwise op whose result it moves: that result, and the nodes from the quantize on.
fn path(graph: &Graph, quantize: NodeId) -> Option<(Value, Vec<NodeId>)> {
    let operands = graph.operands(quantize);
    let integer = graph.ty(quantize.value()).dtype.is_some_and(|t| t.is_int());
    let scale = uniform(graph, operands[1])?;
    uniform(graph, operands[2])?;
    if !integer || scale.as_f64().is_nan() || scale.as_f64() <= 0.0 {
        return None;
    }
    let (mut x, mut path) = (operands[0], Vec::new());
    while path.len() < DEEPEST {
        if !moves(graph, x) {
            break;
        }
        if !is_quantized(graph, x, DEEPEST) {
            return None;
        }
        path.push(x.node);
        x = graph.operands(x.node)[0];
    }
    let made = graph.node(x.node);
    let pooled = matches!(made.kind, Kind::Structural(Structural::MaxPool(_)));
    let computed = pooled || made.op().is_some_and(|op| !op.is(&op::DEQUANTIZE) && !op.is(&op::QUANTIZE));
    (computed && !path.is_empty() && graph.ty(x).full().is_some()).then_some((x, path))
}

/// Whether a value is made by something that moves its one operand's elements.
fn moves(graph: &Graph, v: Value) -> bool {
    matches!(graph.node(v.node).kind, Kind::View(View::Slice { .. } | View::Repeat { .. }))
}

/// Whether all that reads `v` quantizes it, or moves it for others that do.
fn is_quantized(graph: &Graph, v: Value, depth: usize) -> bool {
    let is_output = graph.outputs().iter().any(|(_, output)| *output == v);
    !is_output
        && depth > 0
        && graph.users(v.node).iter().all(|(_, user, _)| {
            let result = user.value();
            if made_by(graph, result, |op| op.is(&op::QUANTIZE)).is_some() {
                let own = graph.operands(*user);
                return own[0] == v && own[1..].iter().all(|v| uniform(graph, *v).is_some());
            }
            moves(graph, result) && is_quantized(graph, result, depth - 1)
        })
}
