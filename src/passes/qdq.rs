//! Codes that become values and codes again: `quantize(dequantize(q, s, z), s, z)` becomes `q`.
//!
//! Exact for integer codes of up to 16 bits with f32 values in between: the value (q − z)·s is off by at most 2⁻²⁴ of itself
//! when it is divided by s again, less than half a step for every |q − z| < 2¹⁷. That needs a scale that neither overflows nor
//! loses bits to underflow, which is why the scales must be constants and are looked at. A test goes through the codes.
//!
//! `dq_view_q` does the same through views, which move codes as they move values, and through max pooling, which picks the same
//! element by codes as by values, the scale being positive (padding is the lowest of either): `quantize(view(dequantize(q)))`
//! becomes `view(q)`, for one scale for the whole tensor. A quantize/dequantize pair in the other order rounds, and stays.
//!
//! `pool_q` moves a quantize above the max pool of floats that it reads: `quantize(pool(x))` becomes `pool(quantize(x))`, so that whoever makes
//! `x` stores codes and the pool moves a quarter of the bytes. Exact, because quantization keeps the order of values; a window that holds
//! NaN, which has the code of 0, is the exception. Only where nothing else needs `x` in float: others may quantize it too, with parameters of their
//! own, unless a pool makes it, which would be done for each of them.

use super::work::{made_by, same, uniform};
use super::{Pass, PassError, Work};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Operands, Type, Value};
use crate::op;
use crate::patch::Patch;
use crate::structural::Structural;
use crate::tensor::Tensor;

pub(super) const PASS: Pass = Pass { name: "qdq", about: "drop a dequantize that the same quantize follows", run };

/// Views and pools looked through between a dequantize and a quantize.
const DEEPEST: usize = 8;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        if work.live_op(id).is_none_or(|op| !op.is(&op::QUANTIZE)) {
            continue;
        }
        let quantize = work.graph.operands(id);
        let x = quantize[0];
        if let Some((dq, codes)) = codes_of(work.graph, x, id, &quantize) {
            // The dequantize may have other users; what goes for certain is the quantize.
            let nodes = [dq, id];
            if work.graph.ty(codes) == work.graph.ty(id.value()) && work.graph.ty(codes).full().is_some() {
                work.patch("dq_q", &nodes).replace(id.value(), codes);
            }
            continue;
        }
        let mut views = Vec::new();
        let per_tensor = quantize[1..].iter().all(|v| uniform(work.graph, *v).is_some());
        if per_tensor && is_moved_codes(work.graph, x, id, &quantize, &mut views) && !views.is_empty() {
            views.push(id);
            let mut patch = work.patch("dq_view_q", &views);
            if let Some(new) = move_codes(&mut patch, x, id, &quantize) {
                patch.replace(id.value(), new);
            }
            continue;
        }
        if let Some(pool) = pool_above(work.graph, x, &quantize) {
            let (from, about) = (work.graph.operands(pool)[0], work.graph.node(pool).kind.clone());
            let name = work.graph.value_name(x).to_string();
            let codes_name = format!("{}#codes", work.graph.value_name(from));
            let (kind, ty) = (work.graph.node(id).kind.clone(), work.graph.ty(id.value()).clone());
            let codes = Type { dtype: ty.dtype, shape: work.graph.ty(from).shape.clone() };
            let mut patch = work.patch("pool_q", &[pool, id]);
            let codes = patch.add(kind, &codes_name, codes, &[from, quantize[1], quantize[2]]);
            let pooled = patch.add(about, &name, ty, &[codes]);
            patch.replace(id.value(), pooled);
        }
    }
    Ok(())
}

/// The codes whose dequantize made `x`, if node `id` would make the same codes of it.
fn codes_of(graph: &Graph, x: Value, id: NodeId, quantize: &[Value]) -> Option<(NodeId, Value)> {
    let dq = made_by(graph, x, |op| op.is(&op::DEQUANTIZE))?;
    let operands = graph.operands(dq);
    let (code, value) = (graph.ty(operands[0]).dtype?, graph.ty(x).dtype?);
    let scale = graph.constant(operands[1])?;
    let same_parameters = (1..3).all(|slot| same(graph, operands[slot], quantize[slot]));
    let exact = code.is_int() && code.bits() <= 16 && matches!(value, DType::F32 | DType::F64) && keeps_codes(scale);
    (exact && same_parameters && graph.ty(id.value()).dtype == Some(code)).then_some((dq, operands[0]))
}

/// True if no scale under- or overflows when multiplied with a difference of codes and rounded to f32.
fn keeps_codes(scale: &Tensor) -> bool {
    let (low, high) = (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX) / 131_072.0);
    scale.len() <= 65_536 && scale.numbers().all(|s| (low..=high).contains(&s.as_f64()))
}

/// True if `x` is dequantized codes moved by views and pools, all with the quantize's parameters.
fn is_moved_codes(graph: &Graph, x: Value, id: NodeId, quantize: &[Value], views: &mut Vec<NodeId>) -> bool {
    if codes_of(graph, x, id, quantize).is_some() {
        return true;
    }
    if !moves_codes(graph, x) {
        return false;
    }
    // A view that others read too would be done twice, once on values and once on codes.
    if graph.use_count(x) > 1 || views.len() >= DEEPEST {
        return false;
    }
    views.push(x.node);
    graph.operands(x.node).iter().all(|v| is_moved_codes(graph, *v, id, quantize, views))
}

/// True for what gives some of its operands' elements, chosen by place or by order.
fn moves_codes(graph: &Graph, x: Value) -> bool {
    let node = graph.node(x.node);
    let pools = matches!(node.kind, Kind::Structural(Structural::MaxPool(_) | Structural::GlobalPool { max: true }));
    matches!(node.kind, Kind::View(_)) || pools && node.outputs.len() == 1
}

/// The max pool that made `x`, if a quantize of `x` with these operands can move above it.
fn pool_above(graph: &Graph, x: Value, quantize: &[Value]) -> Option<NodeId> {
    let is_pool = |id: NodeId| {
        let node = graph.node(id);
        matches!(node.kind, Kind::Structural(Structural::MaxPool(_))) && node.outputs.len() == 1
    };
    let from = *graph.operands(x.node).first().filter(|_| is_pool(x.node) && graph.use_count(x) == 1)?;
    let made = matches!(graph.node(from.node).kind, Kind::Pointwise(_) | Kind::Anchor(_)) || is_pool(from.node);
    let positive = uniform(graph, quantize[1]).is_some_and(|scale| scale.as_f64() > 0.0);
    let per_tensor = positive && uniform(graph, quantize[2]).is_some();
    let output = graph.outputs().iter().any(|(_, value)| *value == from);
    let wants_codes = |id: NodeId| {
        let operands = graph.operands(id);
        let same_codes = || (1..3).all(|slot| same(graph, operands[slot], quantize[slot]));
        let quantizes = graph.node(id).op().is_some_and(|op| op.is(&op::QUANTIZE));
        is_pool(id) || quantizes && (!is_pool(from.node) || same_codes())
    };
    let float = graph.ty(from).dtype.is_some_and(|dtype| dtype.is_arithmetic_float());
    let users = graph.users(from.node);
    let all = users.iter().filter(|(port, ..)| *port == from.port).all(|(_, user, _)| wants_codes(*user));
    (made && per_tensor && float && !output && all).then_some(x.node)
}

fn move_codes(patch: &mut Patch<'_>, x: Value, id: NodeId, quantize: &[Value]) -> Option<Value> {
    let graph = patch.graph();
    if let Some((_, codes)) = codes_of(graph, x, id, quantize) {
        return Some(codes);
    }
    let node = graph.node(x.node);
    let (kind, name) = (node.kind.clone(), node.outputs[0].name.clone());
    let ty = Type { dtype: graph.ty(id.value()).dtype, shape: graph.ty(x).shape.clone() };
    let operands = graph.operands(x.node);
    let operands: Operands = operands.iter().map(|v| move_codes(patch, *v, id, quantize)).collect::<Option<_>>()?;
    Some(patch.add(kind, &name, ty, &operands))
}
