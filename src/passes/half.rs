//! A float model in half precision: `conv(x, w)` in f32 becomes `cast.f32(conv(cast.f16(x), w16))`, so that its products run on tensor cores
//! and its tensors take half the memory. Casts that meet cancel (`cast.f16(cast.f32(x))` is `x`), so that they are left at the edges.
//!
//! What keeps f32:
//! * the graph's inputs and outputs, and whatever no product depends on: the end of a model, such as the decoding of boxes, is cheap there and
//!   needs the precision;
//! * nodes that the user names, by name;
//! * ops whose results leave f16's range or precision easily ([`WIDE`]), and reductions, softmax and normalisations of their results;
//! * convolutions of one filter of few terms, as an expectation at a model's end is;
//! * ops with a finite constant that f16 has no finite value for.
//!
//! Constants are rounded here. Within a kernel everything is computed in f32 all the same and rounded where it is stored.

use super::{Pass, PassError, Work};
use crate::anchor::{self, Anchor};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::{self, Op};
use crate::structural::{Reduction, Structural};
use crate::tensor::{Element, Tensor};
use half::{bf16, f16};
use std::collections::BTreeSet;

pub(super) const PASS: Pass = Pass { name: "half", about: "compute float models in half precision", run };

/// Ops that keep f32: large results of small operands, or small differences that matter.
const WIDE: &[&str] = &["exp", "log", "pow", "reciprocal", "sinh", "cosh", "tan"];

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    let Some(to) = work.options.float else { return Ok(()) };
    let order = work.order()?;
    let needed = reaches_product(work.graph, &order);
    // Ops in f32 on purpose, and what accumulates their results.
    let mut kept: BTreeSet<NodeId> = BTreeSet::new();
    for id in order {
        if work.graph.node(id).outputs.len() != 1 || work.graph.ty(id.value()).dtype != Some(DType::F32) {
            continue;
        }
        let named = |name: &str| work.options.keep_f32.iter().any(|kept| kept == name);
        let node = work.graph.node(id);
        let asked = node.origin.iter().any(|o| named(&o.name)) || named(&node.outputs[0].name);
        let wide = node.op().is_some_and(|op| WIDE.contains(&op.name()));
        let sums = matches!(
            &node.kind,
            Kind::Structural(Structural::Reduce { .. } | Structural::Softmax { .. } | Structural::LayerNorm { .. })
        );
        if asked || wide || sums && work.graph.operands(id).iter().any(|v| comes_from(work.graph, *v, &kept)) {
            kept.insert(id);
            continue;
        }
        if !needed[id.index()] {
            continue;
        }
        if let Some(slots) = float_operands(work.graph, id) {
            convert(work, id, &slots, to);
        }
    }
    Ok(())
}

/// The nodes on whose results a product depends, products included, by [`NodeId::index`].
fn reaches_product(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut needed = vec![false; graph.bound()];
    for id in order.iter().rev() {
        let own = is_worth(graph, *id);
        needed[id.index()] = own || graph.users(*id).iter().any(|(_, user, _)| needed[user.index()]);
    }
    needed
}

/// Whether a node is a product that half precision makes cheaper.
fn is_worth(graph: &Graph, id: NodeId) -> bool {
    let thin = |slot: usize| {
        let weights = graph.operands(id).get(slot).and_then(|w| graph.ty(*w).shape.clone());
        weights.is_some_and(|shape| anchor::is_thin(&shape))
    };
    match &graph.node(id).kind {
        Kind::Anchor(Anchor::Conv(_) | Anchor::ConvLast { .. }) => !thin(1),
        kind => matches!(kind, Kind::Anchor(_)),
    }
}

/// Whether a value is made by one of `kept`, casts and views left aside.
fn comes_from(graph: &Graph, mut v: Value, kept: &BTreeSet<NodeId>) -> bool {
    loop {
        let node = graph.node(v.node);
        let through = matches!(node.kind, Kind::View(_)) || node.op().is_some_and(|op| op.is(&op::CAST));
        if kept.contains(&v.node) || !through {
            return kept.contains(&v.node);
        }
        v = graph.operands(v.node)[0];
    }
}

/// The operands that a node computes on, if it can compute in half precision; `None` if it can't or need not.
fn float_operands(graph: &Graph, id: NodeId) -> Option<Vec<usize>> {
    let operands = graph.operands(id);
    let slots: Vec<usize> = match &graph.node(id).kind {
        Kind::Pointwise(op) => {
            let converts = op.target().is_some();
            // Parameters are f32 whatever the operands are.
            let slots = 0..op.row().operands.len().min(operands.len());
            let f32s = slots.filter(|slot| graph.ty(operands[*slot]).dtype == Some(DType::F32)).collect();
            if converts { return None } else { f32s }
        }
        Kind::View(_) | Kind::Anchor(_) => (0..operands.len()).collect(),
        Kind::Structural(op) => match op {
            Structural::MaxPool(_)
            | Structural::AveragePool { .. }
            | Structural::GlobalPool { .. }
            | Structural::Softmax { .. }
            | Structural::LayerNorm { .. }
            | Structural::Reduce { op: Reduction::Max | Reduction::Min | Reduction::Mean, .. }
            | Structural::ChannelsLast { .. }
            | Structural::Pad { .. } => (0..operands.len()).collect(),
            Structural::Resize(_) | Structural::Gather { .. } => vec![0],
            _ => return None,
        },
        _ => return None,
    };
    let all_f32 = !slots.is_empty() && slots.iter().all(|slot| graph.ty(operands[*slot]).dtype == Some(DType::F32));
    // A view of a constant is folded, and what is cast is the fold.
    (all_f32 && !operands.iter().all(|v| graph.constant(*v).is_some())).then_some(slots)
}

/// A constant of f32 in f16 or bf16, if none of its finite values becomes infinite. Not by the op's meaning, which f64 has, because weights are
/// what planning takes longest over; the rounding is the same.
fn cast_constant(tensor: &Tensor, to: DType) -> Option<Tensor> {
    let values = tensor.slice::<f32>()?;
    match to {
        DType::F16 => rounded(tensor.sizes(), &values, f16::from_f32, f16::is_finite),
        DType::BF16 => rounded(tensor.sizes(), &values, bf16::from_f32, bf16::is_finite),
        _ => None,
    }
}

fn rounded<T: Element + Send + Copy>(
    sizes: &[usize],
    values: &[f32],
    round: fn(f32) -> T,
    is_finite: fn(T) -> bool,
) -> Option<Tensor> {
    let halves: Vec<T> = values.iter().map(|x| round(*x)).collect();
    let fits = values.iter().zip(&halves).all(|(x, half)| is_finite(*half) || !x.is_finite());
    fits.then(|| Tensor::from_vec(sizes, halves).ok())?
}

fn convert(work: &mut Work<'_>, id: NodeId, slots: &[usize], to: DType) {
    let graph = &*work.graph;
    let mut operands = graph.operands(id);
    let mut constants = Vec::new();
    for slot in slots {
        if let Some(tensor) = graph.constant(operands[*slot]) {
            match cast_constant(tensor, to) {
                Some(cast) => constants.push((*slot, cast)),
                None => return,
            }
        }
    }
    let (kind, name, ty) =
        (graph.node(id).kind.clone(), graph.value_name(id.value()).to_string(), graph.ty(id.value()));
    let (wide, half) = (ty.clone(), Type { dtype: Some(to), ..ty.clone() });
    if let Kind::Pointwise(op) = kind {
        let mut types: Vec<DType> = operands.iter().filter_map(|v| graph.ty(*v).dtype).collect();
        slots.iter().for_each(|slot| types[*slot] = to);
        if op.result_type(&types) != Ok(to) {
            return;
        }
    }
    let mut patch = work.patch("half_precision", &[id]);
    for (slot, cast) in constants {
        let name = patch.graph().value_name(operands[slot]).to_string();
        operands[slot] = patch.constant(&name, cast);
    }
    for slot in slots {
        let v = operands[*slot];
        let ty = patch.graph().ty(v).clone();
        if ty.dtype == Some(DType::F32) {
            let name = format!("{}_{to}", patch.graph().value_name(v));
            let ty = Type { dtype: Some(to), ..ty };
            operands[*slot] = patch.add(Kind::Pointwise(Op::to(&op::CAST, to)), &name, ty, &[v]);
        }
    }
    let y = patch.add(kind, &name, half, &operands);
    let back = patch.add(Kind::Pointwise(Op::to(&op::CAST, DType::F32)), &name, wide, &[y]);
    patch.replace(id.value(), back);
}
