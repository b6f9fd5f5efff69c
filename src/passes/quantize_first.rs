//! Quantize before what only moves or picks: `quantize(slice(x))` becomes `slice(quantize(x))`, and likewise for repeats and max pooling.
//!
//! A slice between a convolution's epilogue and a quantize keeps the two apart: the convolution would store floats for a kernel that does
//! nothing but quantize them. Behind the slice's source the quantize joins the epilogue, and what moves is codes, a quarter of the size. Exact: a
//! quantize with one scale and zero point goes element by element, and as it never decreases, the largest code is the largest element's (NaN
//! aside, which a maximum of floats keeps and a maximum of codes does not).
//!
//! Done only for welded kernels, where `x` is computed by a pointwise op, and where every user of what moves quantizes it: else the floats would
//! have to be stored all the same. Behind a pool all must do so with the same parameters, or it would be done several times.

use super::work::{made_by, same, uniform};
use super::{Pass, PassError, Work};
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op;
use crate::structural::Structural;
use crate::view::View;

pub(super) const PASS: Pass = Pass { name: "quantize_first", about: "quantize before what only moves or picks", run };

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
        let Some(pools) = moves(graph, x) else { break };
        let parameters = if pools { Some([operands[1], operands[2]]) } else { None };
        if !is_quantized(graph, x, parameters, DEEPEST) {
            return None;
        }
        path.push(x.node);
        x = graph.operands(x.node)[0];
    }
    let computed = graph.node(x.node).op().is_some_and(|op| !op.is(&op::DEQUANTIZE) && !op.is(&op::QUANTIZE));
    (computed && !path.is_empty() && graph.ty(x).full().is_some()).then_some((x, path))
}

/// Whether a value is made by something that moves (`false`) or picks the largest of (`true`) its one operand's elements.
fn moves(graph: &Graph, v: Value) -> Option<bool> {
    let node = graph.node(v.node);
    match &node.kind {
        Kind::View(View::Slice { .. } | View::Repeat { .. }) => Some(false),
        Kind::Structural(Structural::MaxPool(_)) if node.outputs.len() == 1 => Some(true),
        _ => None,
    }
}

/// Whether all that reads `v` quantizes it, with these parameters if they are given, or moves it for others that do.
fn is_quantized(graph: &Graph, v: Value, parameters: Option<[Value; 2]>, depth: usize) -> bool {
    let is_output = graph.outputs().iter().any(|(_, output)| *output == v);
    !is_output
        && depth > 0
        && graph.users(v.node).iter().all(|(_, user, _)| {
            let result = user.value();
            if made_by(graph, result, |op| op.is(&op::QUANTIZE)).is_some() {
                let own = graph.operands(*user);
                let alike = |list: [Value; 2]| same(graph, list[0], own[1]) && same(graph, list[1], own[2]);
                let uniform = own[1..].iter().all(|v| uniform(graph, *v).is_some());
                return own[0] == v && uniform && parameters.is_none_or(alike);
            }
            moves(graph, result).is_some() && is_quantized(graph, result, parameters, depth - 1)
        })
}
