//! Three channels padded to four: `conv(x, w)` becomes `conv_last(channels_last.4(x), w′)`, with zeros in w′ for the fourth.
//!
//! A pixel of three channels of 16 or 8 bits lies at an address that is a multiple of nothing, so that a kernel would fetch it element by
//! element. What stands in the fourth channel is finite, and its weights are zero.

use super::{is_one_for_all, permuted, shape_of};
use crate::anchor::Conv;
use crate::dim::Dim;
use crate::graph::{Graph, Kind, Node, NodeId, Type, Value};
use crate::op;
use crate::passes::Work;
use crate::passes::work::{made_by, uniform};
use crate::patch::Patch;
use crate::reference::{self, run_node};
use crate::shape::Shape;
use crate::structural::{PadMode, Structural};
use crate::tensor::Tensor;

const NARROW: i64 = 3;
const PADDED: usize = 4;

/// The input, padded and with its channels last, and the weights, padded and as they were, if that is worth it and possible.
pub(super) fn operands(patch: &mut Patch<'_>, conv: &Conv, [x, w]: [Value; 2]) -> Option<[Value; 2]> {
    let graph = patch.graph();
    let shape = shape_of(graph, x).filter(|shape| shape.rank() >= 3)?.clone();
    let taps: usize = conv.kernel.iter().product();
    let input = super::source(graph, x).is_none() && graph.constant(x).is_none();
    if !shape[1].is(NARROW) || conv.groups != 1 || taps == 1 || !input {
        return None;
    }
    let w = weights(patch, w)?;
    // Codes are padded as codes, so that a product of them finds the dequantize.
    let dequantize = made_by(patch.graph(), x, |op| op.is(&op::DEQUANTIZE));
    let dequantize = dequantize.map(|id| (id, patch.graph().operands(id)));
    let Some((id, parameters)) = dequantize.filter(|(_, list)| {
        is_one_for_all(patch.graph(), &list[1..]) && shape_of(patch.graph(), list[0]) == Some(&shape)
    }) else {
        return Some([padded(patch, x, &shape), w]);
    };
    let codes = padded(patch, parameters[0], &shape);
    let kind = patch.graph().node(id).kind.clone();
    let ty = Type { shape: shape_of(patch.graph(), codes).cloned(), ..patch.graph().ty(x).clone() };
    let name = patch.graph().value_name(x).to_string();
    Some([patch.add(kind, &name, ty, &[codes, parameters[1], parameters[2]]), w])
}

fn padded(patch: &mut Patch<'_>, x: Value, shape: &Shape) -> Value {
    let mut to = permuted(&shape.0, &super::order(shape.rank()));
    to.pop();
    to.push(Dim::from(PADDED));
    let (name, ty) = (patch.graph().value_name(x).to_string(), patch.graph().ty(x).clone());
    let kind = Kind::Structural(Structural::ChannelsLast { channels: PADDED });
    patch.add(kind, &name, Type { shape: Some(Shape(to)), ..ty }, &[x])
}

/// Constant weights, or dequantized constant ones, with zeros for the channel that is new.
fn weights(patch: &mut Patch<'_>, w: Value) -> Option<Value> {
    let graph = patch.graph();
    let name = graph.value_name(w).to_string();
    if let Some(tensor) = graph.constant(w) {
        let tensor = with_channel(tensor, None)?;
        return Some(patch.constant(&name, tensor));
    }
    let id = made_by(graph, w, |op| op.is(&op::DEQUANTIZE))?;
    let operands = graph.operands(id);
    // Parameters by filter do not mind the new channel.
    let by_filter = |v: Value| graph.constant(v).is_some_and(|t| t.sizes().iter().skip(1).all(|n| *n == 1));
    let fits =
        |v: Value| uniform(graph, v).is_some() || shape_of(graph, v).is_some_and(|s| s.rank() >= 3) && by_filter(v);
    if !operands[1..].iter().all(|v| fits(*v)) {
        return None;
    }
    let zero = Tensor::scalar(uniform(graph, operands[2])?);
    let codes = with_channel(graph.constant(operands[0])?, Some(zero))?;
    let (kind, ty) = (graph.node(id).kind.clone(), Type { shape: Some(codes.shape()), ..graph.ty(w).clone() });
    let codes = patch.constant(&name, codes);
    Some(patch.add(kind, &name, ty, &[codes, operands[1], operands[2]]))
}

/// Weights (filter, channel, …) with one channel more.
fn with_channel(tensor: &Tensor, value: Option<Tensor>) -> Option<Tensor> {
    let mut pads = vec![(0, 0); tensor.sizes().len()];
    pads.get_mut(1)?.1 = PADDED as i64 - NARROW;
    let node = Node::new(Kind::Structural(Structural::Pad { mode: PadMode::Constant, pads }), "", Type::default());
    let operands: Vec<Tensor> = [tensor.clone()].into_iter().chain(value).collect();
    run_node(&node, &operands, &reference::Options::default()).ok()?.pop()
}

/// `channels_last(cast(x))` becomes `channels_last(x)` in the cast's type: it rounds as the cast does.
pub(super) fn absorb_cast(work: &mut Work<'_>, id: NodeId) {
    let graph = &*work.graph;
    let Some((cast, x)) = cast_of(graph, id) else { return };
    let (kind, name, ty) =
        (graph.node(id).kind.clone(), graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("cast_into_channels_last", &[cast, id]);
    let new = patch.add(kind, &name, ty, &[x]);
    patch.replace(id.value(), new);
}

/// The cast whose result the node moves, if it goes from one float type to another and nothing else reads it; and its operand.
fn cast_of(graph: &Graph, id: NodeId) -> Option<(NodeId, Value)> {
    let v = graph.operands(id)[0];
    let cast = made_by(graph, v, |op| op.is(&op::CAST)).filter(|_| graph.use_count(v) == 1)?;
    let x = graph.operands(cast)[0];
    let floats = [x, v].iter().all(|v| graph.ty(*v).dtype.is_some_and(|t| t.is_arithmetic_float()));
    let same = graph.ty(v).dtype == graph.ty(id.value()).dtype;
    (floats && same && graph.ty(x).full().is_some()).then_some((cast, x))
}
