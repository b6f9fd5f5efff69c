//! Convolutions with channels last, as the welded kernels compute them: `conv(x, w)` becomes `first(conv_last(last(x), last(w)))`, where
//! `last` moves axis 1 to the end, `first` moves it back, and constant weights are moved here, once.
//!
//! The transposes then sink: `f(first(x), …)` becomes `first(f'(x, …))` for pointwise ops, whose constants are moved with them, for
//! views along an axis, and for pools, reductions, softmax, resize and padding, which say their axes. `last(first(x))` is `x`, so that between two
//! convolutions nothing is left, and at an op that needs its own order of axes, as at an output of the graph, one `first`. A convolution of three
//! channels, an image's, gets a fourth of zeros, so that a pixel is copied at once. Exact but for the
//! order in which a convolution and an average sum, which neither form promises.

mod padded;

use super::{Pass, PassError, Work};
use crate::anchor::Anchor;
use crate::dim::Dim;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op;
use crate::patch::Patch;
use crate::reference::{self, run_node};
use crate::shape::Shape;
use crate::structural::{Reduction, Resize, Structural};
use crate::tensor::Tensor;
use crate::view::View;
use std::collections::BTreeMap;

pub(super) const PASS: Pass = Pass { name: "channels_last", about: "put the channels of convolutions last", run };

/// What each value is with its channels last, once it was asked for.
type Turned = BTreeMap<Value, Value>;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    let convolves =
        |id: NodeId| matches!(work.graph.node(id).kind, Kind::Anchor(Anchor::Conv(_) | Anchor::ConvLast { .. }));
    if !work.options.weld || !work.graph.ids().any(convolves) {
        return Ok(());
    }
    let mut turned = Turned::new();
    for id in work.order()? {
        if work.graph.users(id).is_empty() && !work.graph.outputs().iter().any(|(_, v)| v.node == id) {
            continue;
        }
        let kind = work.graph.node(id).kind.clone();
        match kind {
            Kind::Anchor(Anchor::Conv(conv)) if (1..=2).contains(&conv.kernel.len()) => {
                let operands = work.graph.operands(id);
                let known = [operands[0], operands[1], id.value()].map(|v| work.graph.ty(v).full().is_some());
                if known == [true; 3] {
                    let mut patch = work.patch("conv_channels_last", &[id]);
                    let mut moved = operands.clone();
                    let padded = padded::operands(&mut patch, &conv, [operands[0], operands[1]]);
                    let [x, w] = padded.unwrap_or([operands[0], operands[1]]);
                    // A padded input has its channels last already.
                    moved[0] = if padded.is_some() { x } else { last(&mut patch, x, &mut turned) };
                    moved[1] = last(&mut patch, w, &mut turned);
                    replace(&mut patch, id, Kind::Anchor(Anchor::ConvLast { conv, pad: 0 }), &moved);
                }
            }
            Kind::Structural(Structural::ChannelsLast { .. }) => padded::absorb_cast(work, id),
            Kind::Structural(Structural::Shape { start, end }) => shape_of_source(work, id, start..end),
            Kind::Pointwise(_) => sink_pointwise(work, id, kind, &mut turned),
            Kind::View(_) | Kind::Structural(_) => sink_by_axes(work, id, &kind, &mut turned),
            _ => {}
        }
    }
    Ok(())
}

/// Moves each axis of `of` where it stands with channels last: batch, spatial axes, channels.
fn order(rank: usize) -> Vec<usize> {
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

/// The other way: `first`'s order.
fn inverse(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

fn permuted<T: Clone>(list: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|axis| list[*axis].clone()).collect()
}

/// Where an axis stands with channels last.
fn moved_axis(axis: usize, rank: usize) -> usize {
    match axis {
        0 => 0,
        1 => rank - 1,
        _ => axis - 1,
    }
}

fn moved_axes(axes: &[usize], rank: usize) -> Vec<usize> {
    let mut moved: Vec<usize> = axes.iter().map(|axis| moved_axis(*axis, rank)).collect();
    moved.sort_unstable();
    moved
}

fn shape_of(graph: &Graph, v: Value) -> Option<&Shape> {
    graph.ty(v).shape.as_ref()
}

/// True where there is one channel or one place: such a value is moved by a reshape.
fn is_flat(shape: &Shape) -> bool {
    shape.get(1).is_none_or(|d| d.is(1)) || shape.iter().skip(2).all(|d| d.is(1))
}

/// y, if `v` is `first(y)`.
fn source(graph: &Graph, v: Value) -> Option<Value> {
    let shape = shape_of(graph, v).filter(|s| s.rank() >= 3)?;
    let from = |v: Value| graph.operands(v.node).first().copied();
    match &graph.node(v.node).kind {
        Kind::View(View::Transpose { axes }) if *axes == inverse(shape.rank()) => from(v),
        Kind::View(View::Reshape { .. }) if is_flat(shape) => {
            from(v).filter(|y| shape_of(graph, *y).is_some_and(|s| s.0 == permuted(&shape.0, &order(shape.rank()))))
        }
        _ => None,
    }
}

/// A value of at least three axes with its channels last.
fn last(patch: &mut Patch<'_>, v: Value, turned: &mut Turned) -> Value {
    let graph = patch.graph();
    if let Some(known) = source(graph, v).or_else(|| turned.get(&v).copied()) {
        return known;
    }
    let (name, ty) = (graph.value_name(v).to_string(), graph.ty(v).clone());
    let Some(shape) = ty.shape.clone() else { return v };
    let axes = order(shape.rank());
    let to = Shape(permuted(&shape.0, &axes));
    let ty = Type { shape: Some(to.clone()), ..ty };
    let operands = graph.operands(v.node);
    let constants = !operands.is_empty() && operands.iter().all(|o| graph.constant(*o).is_some());
    let moved = match graph.node(v.node).kind.clone() {
        Kind::Constant(tensor) => match transposed(&tensor, &axes) {
            Some(tensor) => patch.constant(&name, tensor),
            None => patch.view(View::Transpose { axes }, &name, ty, &[v]),
        },
        // Quantized weights: the codes are moved, and stay codes.
        Kind::Pointwise(op) if constants => {
            let operands: Vec<Value> =
                operands.iter().map(|o| broadcast_last(patch, *o, shape.rank(), turned)).collect();
            patch.add(Kind::Pointwise(op), &name, ty, &operands)
        }
        // Codes are smaller than their values, and a product of them looks for the dequantize.
        Kind::Pointwise(op) if op.is(&op::DEQUANTIZE) && is_one_for_all(graph, &operands[1..]) => {
            let codes = last(patch, operands[0], turned);
            patch.add(Kind::Pointwise(op), &name, ty, &[codes, operands[1], operands[2]])
        }
        _ if is_flat(&shape) => patch.view(View::Reshape { to }, &name, ty, &[v]),
        _ => patch.view(View::Transpose { axes }, &name, ty, &[v]),
    };
    turned.insert(v, moved);
    moved
}

fn is_one_for_all(graph: &Graph, operands: &[Value]) -> bool {
    operands.iter().all(|v| shape_of(graph, *v).is_some_and(|shape| shape.iter().all(|d| d.is(1))))
}

fn transposed(tensor: &Tensor, axes: &[usize]) -> Option<Tensor> {
    let node = crate::graph::Node::new(Kind::View(View::Transpose { axes: axes.to_vec() }), "", Type::default());
    run_node(&node, std::slice::from_ref(tensor), &reference::Options::default()).ok()?.pop()
}

/// As [`last`], for an operand that broadcasts to a result of `rank` axes.
fn broadcast_last(patch: &mut Patch<'_>, v: Value, rank: usize, turned: &mut Turned) -> Value {
    let graph = patch.graph();
    let Some(shape) = shape_of(graph, v).cloned() else { return v };
    if shape.iter().all(|d| d.is(1)) {
        return v;
    }
    if shape.rank() == rank {
        return last(patch, v, turned);
    }
    let mut full = Shape(vec![Dim::ONE; rank - shape.rank()]);
    full.0.extend(shape.iter().cloned());
    let (name, ty) = (graph.value_name(v).to_string(), graph.ty(v).clone());
    let reshaped = full.known().and_then(|sizes| graph.constant(v)?.reshaped(&sizes).ok());
    let same = match reshaped {
        Some(tensor) => patch.constant(&name, tensor),
        None => {
            let ty = Type { shape: Some(full.clone()), ..ty };
            patch.view(View::Reshape { to: full }, &name, ty, &[v])
        }
    };
    last(patch, same, turned)
}

/// Puts a node with channels last and a `first` in the place of node `id`.
fn replace(patch: &mut Patch<'_>, id: NodeId, kind: Kind, operands: &[Value]) {
    let graph = patch.graph();
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let Some(shape) = ty.shape.clone() else { return };
    let rank = shape.rank();
    let moved = Type { shape: Some(Shape(permuted(&shape.0, &order(rank)))), ..ty.clone() };
    let y = patch.add(kind, &name, moved, operands);
    let view = if is_flat(&shape) { View::Reshape { to: shape } } else { View::Transpose { axes: inverse(rank) } };
    let first = patch.view(view, &name, ty, &[y]);
    patch.replace(id.value(), first);
}

/// Whether sinking so many transposes is worth making so many new ones: of those that move data and those that are reshapes. Over three
/// axes both orders are moved by the same transpose, and a tie would be undone in the next round.
fn is_worth(sunk: [usize; 2], new: [usize; 2], rank: usize) -> bool {
    sunk > [0, 0] && (new < sunk || new == sunk && rank > 3)
}

fn sink_pointwise(work: &mut Work<'_>, id: NodeId, kind: Kind, turned: &mut Turned) {
    let graph = &*work.graph;
    let Some(rank) = graph.ty(id.value()).full().map(|(_, s)| s.rank()).filter(|r| *r >= 3) else { return };
    let operands = graph.operands(id);
    // Over three axes the other order's reshapes look like this order's: all are counted, those that move data before those that don't.
    let undone = rank == 3;
    let (mut sunk, mut new) = ([0, 0], [0, 0]);
    for v in &operands {
        let Some(shape) = shape_of(graph, *v) else { return };
        let flat = undone && is_flat(shape);
        match () {
            () if source(graph, *v).is_some() => sunk[usize::from(flat)] += 1,
            () if graph.constant(*v).is_some() || shape.iter().all(|d| d.is(1)) => {}
            () if !undone && (is_flat(shape) || turned.contains_key(v)) => {}
            () => new[usize::from(flat)] += 1,
        }
    }
    if !is_worth(sunk, new, rank) {
        return;
    }
    let mut patch = work.patch("sunk_transpose", &[id]);
    let operands: Vec<Value> = operands.iter().map(|v| broadcast_last(&mut patch, *v, rank, turned)).collect();
    replace(&mut patch, id, kind, &operands);
}

fn sink_by_axes(work: &mut Work<'_>, id: NodeId, kind: &Kind, turned: &mut Turned) {
    let graph = &*work.graph;
    let operands = graph.operands(id);
    let Some(from) = operands.first().and_then(|v| shape_of(graph, *v)).cloned() else { return };
    let Some(to) = shape_of(graph, id.value()).cloned() else { return };
    let sunk = operands.iter().filter(|v| source(graph, **v).is_some()).count();
    // Beside a concatenation's, only the first operand has the axes.
    let moved = if matches!(kind, Kind::View(View::Concat { .. })) { operands.len() } else { 1 };
    if !is_worth([sunk, 0], [moved - sunk, 0], from.rank()) || graph.node(id).outputs.len() != 1 || from.rank() < 3 {
        return;
    }
    let Some(new) = with_moved_axes(kind, &from, &to) else { return };
    let mut patch = work.patch("sunk_transpose", &[id]);
    let operands: Vec<Value> = operands
        .iter()
        .enumerate()
        .map(|(slot, v)| if slot < moved { last(&mut patch, *v, turned) } else { *v })
        .collect();
    if dropped_axes(kind) {
        let (name, ty) = (patch.graph().value_name(id.value()).to_string(), patch.graph().ty(id.value()).clone());
        let y = patch.add(new, &name, ty, &operands);
        patch.replace(id.value(), y);
    } else {
        replace(&mut patch, id, new, &operands);
    }
}

/// `shape(first(y))` becomes a gather of `shape(y)`: nothing is moved only to be measured.
fn shape_of_source(work: &mut Work<'_>, id: NodeId, part: std::ops::Range<usize>) {
    let graph = &*work.graph;
    let operand = graph.operands(id)[0];
    let Some((y, rank)) = source(graph, operand).zip(shape_of(graph, operand).map(Shape::rank)) else { return };
    let Some(axes) = inverse(rank).get(part).map(|axes| axes.iter().map(|a| *a as i64).collect::<Vec<i64>>()) else {
        return;
    };
    let Ok(axes) = Tensor::from_vec(&[axes.len()], axes) else { return };
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("shape_of_source", &[id]);
    let whole = Type { shape: Some(Shape(vec![Dim::from(rank)])), ..ty.clone() };
    let kind = Kind::Structural(Structural::Shape { start: 0, end: rank });
    let sizes = patch.add(kind, &format!("{name}_sizes"), whole, &[y]);
    let axes = patch.constant(&format!("{name}_axes"), axes);
    let new = patch.add(Kind::Structural(Structural::Gather { axis: 0 }), &name, ty, &[sizes, axes]);
    patch.replace(id.value(), new);
}

/// True for a reduction whose result has fewer axes: it is made in the order that it has.
fn dropped_axes(kind: &Kind) -> bool {
    matches!(kind, Kind::Structural(Structural::Reduce { keep_dims: false, .. }))
}

/// What computes the same over an operand with channels last; `from` and `to` are the shapes as they were.
fn with_moved_axes(kind: &Kind, from: &Shape, to: &Shape) -> Option<Kind> {
    let rank = from.rank();
    let axes = order(rank);
    Some(match kind {
        Kind::View(view) => Kind::View(match view {
            View::Concat { axis } => View::Concat { axis: moved_axis(*axis, rank) },
            View::Slice { axes: list } => View::Slice { axes: permuted(list, &axes) },
            View::Repeat { factors } => View::Repeat { factors: permuted(factors, &axes) },
            View::Expand { .. } if to.rank() == rank => View::Expand { to: Shape(permuted(&to.0, &axes)) },
            // Spatial axes merged or cut, the batch and the channels as they were.
            View::Reshape { .. } if to.rank() >= 3 && from[..2] == to[..2] && !is_flat(to) => {
                View::Reshape { to: Shape(permuted(&to.0, &order(to.rank()))) }
            }
            _ => return None,
        }),
        Kind::Structural(op) => Kind::Structural(structural(op, rank, &axes)?),
        _ => return None,
    })
}

fn structural(op: &Structural, rank: usize, axes: &[usize]) -> Option<Structural> {
    let mut op = op.clone();
    match &mut op {
        Structural::MaxPool(pool) | Structural::AveragePool { pool, .. } | Structural::LpPool { pool, .. } => {
            if std::mem::replace(&mut pool.channels_last, true) {
                return None;
            }
        }
        Structural::GlobalPool { max } => {
            let op = if *max { Reduction::Max } else { Reduction::Mean };
            return Some(Structural::Reduce { op, axes: (1..rank - 1).collect(), keep_dims: true });
        }
        Structural::Reduce { axes: over, keep_dims, .. } => {
            let kept: Vec<usize> = (0..rank).filter(|axis| !over.contains(axis)).collect();
            let in_order = kept.iter().map(|axis| moved_axis(*axis, rank)).is_sorted();
            *over = moved_axes(over, rank);
            return (*keep_dims || in_order).then_some(op);
        }
        Structural::Softmax { axis, .. } | Structural::Hardmax { axis } => *axis = moved_axis(*axis, rank),
        Structural::ArgExtremum { axis, keep_dims: true, .. } => *axis = moved_axis(*axis, rank),
        Structural::Pad { pads, .. } => *pads = permuted(pads, axes),
        Structural::Resize(Resize { scales, roi, .. }) => {
            *scales = scales.as_ref().map(|scales| permuted(scales, axes));
            *roi = roi.as_ref().map(|roi| {
                let (starts, ends) = roi.split_at(roi.len() / 2);
                [permuted(starts, axes), permuted(ends, axes)].concat()
            });
        }
        _ => return None,
    }
    Some(op)
}
