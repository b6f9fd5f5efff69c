//! Scales and shifts by constants: a chain of them, as BatchNormalization leaves behind, becomes one multiplication and one addition.
//!
//! * `mul_mul`: (x·a)·b → x·(a·b). Within 2 ulp of the result.
//! * `mul_add_mul`: (x·a + b)·c → x·(a·c) + b·c. Within 2 roundings of the larger of |x·a·c| and |b·c|, which is where the
//!   written form's own error is: it rounds x·a and x·a + b.
//!
//! Both hold where neither form over- or underflows; the merged constants are checked, x is not known. Constants may be per
//! channel. A sum is never merged with a sum, nor moved inside a multiplication, (x + a)·b: where x and a cancel, the written form is
//! exact and the merged one is not, and in a kernel bound by memory the op saved is worth nothing.

use super::work::{Work, infer, made_by};
use super::{Pass, PassError};
use crate::graph::{Graph, Kind, Node, NodeId, Type, Value};
use crate::op::{self, Op};
use crate::reference::{self, run_node};
use crate::tensor::Tensor;

pub(super) const PASS: Pass = Pass { name: "affine", about: "merge chains of scales and shifts by constants", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        if work.live_op(id).is_some_and(|op| op.is(&op::MUL)) && is_float(work.graph, id) {
            let _ = mul_mul(work, id) || mul_add_mul(work, id);
        }
    }
    Ok(())
}

fn is_float(graph: &Graph, id: NodeId) -> bool {
    graph.ty(id.value()).dtype.is_some_and(|t| t.is_arithmetic_float())
}

/// As [`with_constant`], for a value that nothing else uses: else its op would stay, and nothing would be saved.
fn alone_with_constant(graph: &Graph, value: Value, row: &'static op::Row) -> Option<(Value, Value)> {
    if graph.use_count(value) == 1 { with_constant(graph, value, row) } else { None }
}

/// x and c, if the node is the op `row` of a value and a constant.
fn with_constant(graph: &Graph, value: Value, row: &'static op::Row) -> Option<(Value, Value)> {
    let id = made_by(graph, value, |op| op.is(row))?;
    let operands = graph.operands(id);
    match (graph.constant(operands[0]), graph.constant(operands[1])) {
        (None, Some(_)) => Some((operands[0], operands[1])),
        (Some(_), None) => Some((operands[1], operands[0])),
        _ => None,
    }
}

fn product(graph: &Graph, a: Value, b: Value) -> Option<Tensor> {
    let mul = Op::new(&op::MUL);
    let ty = infer(mul, &[graph.ty(a).clone(), graph.ty(b).clone()])?;
    let (x, y) = (graph.constant(a)?, graph.constant(b)?);
    let count = crate::tensor::count(&ty.shape?.known()?)?;
    // No larger than what it is made of: see constant folding.
    if count > x.len().max(y.len()) {
        return None;
    }
    let node = Node::new(Kind::Pointwise(mul), "", Type::default());
    let merged = run_node(&node, &[x.clone(), y.clone()], &reference::Options::default()).ok()?.pop()?;
    let usual = merged.numbers().all(|n| n.as_f64() == 0.0 || is_normal(&merged, n.as_f64()));
    let zeros = |t: &Tensor| t.numbers().any(|n| n.as_f64() == 0.0);
    (usual && (zeros(x) || zeros(y) || !zeros(&merged))).then_some(merged)
}

/// Neither infinite, nor NaN, nor so small that bits are lost.
fn is_normal(tensor: &Tensor, x: f64) -> bool {
    use crate::dtype::DType::*;
    let least = match tensor.dtype() {
        F16 => 2f64.powi(-14),
        F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    };
    x.is_finite() && x.abs() >= least
}

fn mul_mul(work: &mut Work<'_>, id: NodeId) -> bool {
    let graph = &*work.graph;
    let found = || {
        let (inner, b) = with_constant(graph, id.value(), &op::MUL)?;
        let (x, a) = alone_with_constant(graph, inner, &op::MUL)?;
        Some((inner, x, product(graph, a, b)?))
    };
    let Some((inner, x, scale)) = found() else { return false };
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("mul_mul", &[inner.node, id]);
    let scale = patch.constant(&format!("{name}_scale"), scale);
    let new = patch.add(Kind::Pointwise(Op::new(&op::MUL)), &name, ty, &[x, scale]);
    patch.replace(id.value(), new);
    true
}

fn mul_add_mul(work: &mut Work<'_>, id: NodeId) -> bool {
    let graph = &*work.graph;
    let found = || {
        let (sum, c) = with_constant(graph, id.value(), &op::MUL)?;
        let (scaled, b) = alone_with_constant(graph, sum, &op::ADD)?;
        let (x, a) = alone_with_constant(graph, scaled, &op::MUL)?;
        let (scale, shift) = (product(graph, a, c)?, product(graph, b, c)?);
        let scaled_ty = infer(Op::new(&op::MUL), &[graph.ty(x).clone(), Type::new(scale.dtype(), scale.shape())])?;
        let whole = infer(Op::new(&op::ADD), &[scaled_ty.clone(), Type::new(shift.dtype(), shift.shape())])?;
        (whole == *graph.ty(id.value())).then_some(([scaled.node, sum.node, id], x, scale, shift, scaled_ty))
    };
    let Some((nodes, x, scale, shift, scaled_ty)) = found() else { return false };
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("mul_add_mul", &nodes);
    let scale = patch.constant(&format!("{name}_scale"), scale);
    let shift = patch.constant(&format!("{name}_shift"), shift);
    let scaled = patch.add(Kind::Pointwise(Op::new(&op::MUL)), &format!("{name}_scaled"), scaled_ty, &[x, scale]);
    let new = patch.add(Kind::Pointwise(Op::new(&op::ADD)), &name, ty, &[scaled, shift]);
    patch.replace(id.value(), new);
    true
}
