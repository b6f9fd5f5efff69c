//! Convolutions of one input become one: `conv(x, w1)` and `conv(x, w2)` become slices of `conv(x, concat(w1, w2))`, and so do the ops that
//! follow them alike, their constants joined channel by channel, so that the whole is one kernel that reads x once.
//!
//! Only where every result is read by convolutions, which read a slice of the channels where it lies. A result that goes into a
//! concatenation, or to an op that needs it dense, is better stored there by a convolution of its own than copied out of a wider one.
//! Exact: no sum changes.

use super::{Pass, PassError, Work};
use crate::anchor::{Anchor, Conv};
use crate::dim::Dim;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::Op;
use crate::scalar::Number;
use crate::tensor::Tensor;
use crate::view::{SliceAxis, View};
use std::collections::BTreeMap;

pub(super) const PASS: Pass = Pass { name: "siblings", about: "merge convolutions of one input", run };

/// Channels of each part are a multiple of this, so that a slice is as aligned as a whole tensor.
const ALIGNED: i64 = 16;

/// A convolution and the ops that follow it one after the other.
struct Chain {
    conv: NodeId,
    weights: Tensor,
    channels: i64,
    links: Vec<Link>,
}

/// An op that reads the result before it in `slot`, and constants elsewhere.
struct Link {
    id: NodeId,
    op: Op,
    slot: usize,
    constants: Vec<Tensor>,
}

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    if !work.options.weld {
        return Ok(());
    }
    let mut families: BTreeMap<(Value, Conv, i32), Vec<NodeId>> = BTreeMap::new();
    for id in work.order()? {
        if let Kind::Anchor(Anchor::ConvLast { conv, pad }) = &work.graph.node(id).kind
            && (conv.groups, conv.bias) == (1, false)
            && work.graph.use_count(id.value()) == 1
        {
            let x = work.graph.operands(id)[0];
            families.entry((x, conv.clone(), *pad)).or_default().push(id);
        }
    }
    for ((_, conv, pad), family) in families.into_iter().filter(|(_, family)| family.len() > 1) {
        let mut chains: Vec<Chain> = family.iter().filter_map(|id| chain(work.graph, *id)).collect();
        if chains.len() < 2 {
            work.refuse("their weights are not constant, or their filters no multiples of 16", &family);
            continue;
        }
        match cut_alike(work.graph, &mut chains) {
            Ok(()) => merge(work, &conv, pad, &chains),
            Err(why) => work.refuse(why, &family),
        }
    }
    Ok(())
}

/// The convolution with all ops that follow it alone, with constants.
fn chain(graph: &Graph, conv: NodeId) -> Option<Chain> {
    let weights = graph.constant(graph.operands(conv)[1])?.clone();
    let shape = graph.ty(conv.value()).full()?.1;
    let channels = shape.last()?.known().filter(|n| n % ALIGNED == 0)?;
    let (mut links, mut at) = (Vec::new(), conv);
    while let [(_, user, slot)] = graph.users(at)[..]
        && let Some(op) = graph.node(user).op()
        && graph.use_count(at.value()) == 1
        && graph.ty(user.value()).shape.as_ref() == Some(shape)
    {
        let others = graph.operands(user).into_iter().enumerate().filter(|(i, _)| *i != slot as usize);
        let channelwise = |t: &Tensor| {
            let sizes = t.sizes();
            t.uniform().is_some()
                || sizes.last().is_some_and(|n| *n as i64 == channels)
                    && sizes[..sizes.len() - 1].iter().all(|n| *n == 1)
        };
        let constants = others.map(|(_, v)| graph.constant(v).filter(|t| channelwise(t)).cloned());
        let Some(constants) = constants.collect::<Option<Vec<Tensor>>>() else { break };
        links.push(Link { id: user, op, slot: slot as usize, constants });
        at = user;
    }
    Some(Chain { conv, weights, channels, links })
}

/// Cuts the chains where they begin to differ; an error if what they then end in can't be read as a slice.
fn cut_alike(graph: &Graph, chains: &mut [Chain]) -> Result<(), &'static str> {
    let types = |c: &Chain| (c.weights.dtype(), c.weights.sizes()[1..].to_vec());
    if chains.iter().any(|c| types(c) != types(&chains[0])) {
        return Err("their weights are of different types");
    }
    let key = |l: &Link| (l.op, l.slot, l.constants.iter().map(Tensor::dtype).collect::<Vec<_>>());
    let shortest = chains.iter().map(|c| c.links.len()).min().unwrap_or(0);
    let alike = (0..shortest).take_while(|i| chains.iter().all(|c| key(&c.links[*i]) == key(&chains[0].links[*i])));
    let alike = alike.count();
    chains.iter_mut().for_each(|c| c.links.truncate(alike));
    let slices = chains.iter().all(|c| {
        let end = end(c);
        let users = graph.users(end.node);
        let convolves = |(_, user, slot): &(u32, NodeId, u32)| {
            *slot == 0 && matches!(graph.node(*user).kind, Kind::Anchor(Anchor::ConvLast { .. }))
        };
        graph.use_count(end) == users.len() && users.iter().all(convolves)
    });
    if slices {
        Ok(())
    } else {
        Err("a result of theirs is read by more than convolutions, and would be copied out of a wider one")
    }
}

fn end(chain: &Chain) -> Value {
    chain.links.last().map_or(chain.conv, |link| link.id).value()
}

fn merge(work: &mut Work<'_>, conv: &Conv, pad: i32, chains: &[Chain]) {
    let graph = &*work.graph;
    let x = graph.operands(chains[0].conv)[0];
    let nodes: Vec<NodeId> =
        chains.iter().flat_map(|c| [c.conv].into_iter().chain(c.links.iter().map(|l| l.id))).collect();
    let channels: i64 = chains.iter().map(|c| c.channels).sum();
    let wider = |ty: &Type| {
        let mut ty = ty.clone();
        if let Some(last) = ty.shape.as_mut().and_then(|shape| shape.0.last_mut()) {
            *last = Dim::fixed(channels);
        }
        ty
    };
    let parts: Vec<&Tensor> = chains.iter().map(|c| &c.weights).collect();
    let Some(weights) = stacked(&parts) else { return };
    let mut joined = Vec::new();
    for at in 0..chains[0].links.len() {
        let slots = 0..chains[0].links[at].constants.len();
        let joint = |slot: usize| {
            let of = chains.iter().map(|c| (&c.links[at].constants[slot], c.channels as usize));
            joint(of.collect())
        };
        let Some(constants) = slots.map(joint).collect::<Option<Vec<Tensor>>>() else { return };
        joined.push(constants);
    }
    let name = |id: NodeId| graph.value_name(id.value()).to_string();
    let names: Vec<(String, Type)> = [chains[0].conv]
        .into_iter()
        .chain(chains[0].links.iter().map(|l| l.id))
        .map(|id| (format!("{}_and_siblings", name(id)), wider(graph.ty(id.value()))))
        .collect();
    let ends: Vec<(Value, String, Type)> =
        chains.iter().map(|c| (end(c), graph.value_name(end(c)).to_string(), graph.ty(end(c)).clone())).collect();
    let mut patch = work.patch("sibling_convolutions", &nodes);
    let w = patch.constant(&format!("{}_weights", names[0].0), weights);
    let kind = Kind::Anchor(Anchor::ConvLast { conv: conv.clone(), pad });
    let mut y = patch.add(kind, &names[0].0, names[0].1.clone(), &[x, w]);
    for ((link, constants), (name, ty)) in chains[0].links.iter().zip(joined).zip(&names[1..]) {
        let mut operands: Vec<Value> =
            constants.into_iter().map(|t| patch.constant(&format!("{name}_constant"), t)).collect();
        operands.insert(link.slot, y);
        y = patch.add(Kind::Pointwise(link.op), name, ty.clone(), &operands);
    }
    let mut start = 0;
    for (chain, (old, name, ty)) in chains.iter().zip(ends) {
        let Some(shape) = &ty.shape else { return };
        let whole = |size: &Dim| SliceAxis { start: Dim::ZERO, step: 1, size: size.clone() };
        let mut axes: Vec<SliceAxis> = shape.iter().map(whole).collect();
        if let Some(last) = axes.last_mut() {
            last.start = Dim::fixed(start);
        }
        let part = patch.add(Kind::View(View::Slice { axes }), &name, ty.clone(), &[y]);
        patch.replace(old, part);
        start += chain.channels;
    }
}

/// Tensors one after another along the first axis.
fn stacked(parts: &[&Tensor]) -> Option<Tensor> {
    let mut sizes = parts[0].sizes().to_vec();
    sizes[0] = parts.iter().map(|t| t.sizes()[0]).sum();
    let bytes: Vec<u8> = parts.iter().flat_map(|t| t.bytes().iter().copied()).collect();
    Tensor::new(parts[0].dtype(), sizes, bytes.into()).ok()
}

/// One constant for all: uniform if all are, with one element, else with one element a channel.
fn joint(parts: Vec<(&Tensor, usize)>) -> Option<Tensor> {
    let first = parts[0].0.uniform();
    if first.is_some() && parts.iter().all(|(t, _)| t.uniform() == first) {
        return first.map(Tensor::scalar);
    }
    let of = |(tensor, channels): &(&Tensor, usize)| -> Vec<Number> {
        match tensor.uniform() {
            Some(one) => vec![one.number(); *channels],
            None => tensor.numbers().collect(),
        }
    };
    let all: Vec<Number> = parts.iter().flat_map(of).collect();
    Tensor::from_numbers(parts[0].0.dtype(), &[all.len()], all).ok()
}
