//! Where codes go: at fusion boundaries, decided from the graph alone, the same for every calibration.
//!
//! 1. **Anchors read codes.** Each activation that a quantized anchor reads gets codes of one scale; a constant operand gets symmetric
//!    i8 codes of one scale an output channel. A bias stays float: it is added to the accumulator by the group.
//! 2. **Only what is stored has codes.** Inside a group (see [`groups`]) nothing does. The result of a quantized group gets codes
//!    where a quantized group reads it, residual additions included; float groups and the graph's outputs read it as it is.
//! 3. **Views move codes.** The codes lie where the anchor reads, below views, max pools and concatenations, and the passes move
//!    them up to whoever stores: through views, nearest resizes and max pools at no loss. A value seen through a
//!    shape-keeping view of a value that has codes itself shares its scale, so that it is stored once.
//! 4. **A concatenation** has the scale of its whole range. An operand that is read elsewhere too keeps its own scale there and is stored
//!    with the concatenation's scale into its part: it is rounded once in each place, never twice.
//! 5. **The head stays float.** What no anchor follows is decoding: boxes in pixels beside scores below 1, which no scale can
//!    hold together. So does an anchor that reads a softmax and that no anchor follows: it takes an expectation.

use super::group::{Group, groups, variable};
use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::op;
use crate::reference;
use crate::structural::Structural;
use crate::tensor::Tensor;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// Why a group that multiplies codes, or what a DequantizeLinear made of codes, is left as it is.
const ALREADY: &str = "the model quantizes it already";

/// Where codes go in a graph.
#[derive(Debug, Clone)]
pub struct Placement {
    pub groups: Vec<Group>,
    /// Activations that hold codes, in topological order.
    pub sites: Vec<Site>,
    /// Constant operands of quantized anchors, in topological order of these.
    pub weights: Vec<Weight>,
    /// Groups that stay in float, by name, each with the reason.
    pub float: BTreeMap<String, String>,
}

/// An activation that holds codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub value: Value,
    /// The nodes and operand slots that read the codes; whatever else reads the value reads it in float.
    pub readers: Vec<(NodeId, u32)>,
    /// The value whose range decides the scale: `value` itself, or the site whose scale it shares.
    pub range: Value,
    pub reason: String,
}

/// A constant operand of an anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    pub value: Value,
    pub tensor: Tensor,
    pub anchor: NodeId,
    pub slot: u32,
    /// The output channels' axis.
    pub axis: usize,
}

/// Decides where codes go. `keep` names groups to leave in float beside those that the rules leave, each with the reason.
pub fn place(graph: &Graph, keep: &BTreeMap<String, String>) -> Placement {
    let groups = groups(graph);
    let mut placer = Placer::new(graph, &groups);
    let mut float = BTreeMap::new();
    for group in &groups {
        let reason = keep.get(&group.name).cloned().or_else(|| placer.float(group));
        float.extend(reason.map(|reason| (group.name.clone(), reason)));
    }
    let quantized: Vec<&Group> = groups.iter().filter(|g| !float.contains_key(&g.name)).collect();
    quantized.iter().for_each(|group| placer.operands(group));
    quantized.iter().for_each(|group| placer.residuals(group));
    let (sites, weights) = placer.finish();
    Placement { groups, sites, weights, float }
}

impl Placement {
    /// Convolutions and products that the model itself quantizes, and all of them.
    pub fn already(&self, graph: &Graph) -> (usize, usize) {
        let products = self.groups.iter().filter(|group| group.anchor.is_some());
        let own = products.clone().filter(|g| self.float.get(&g.name).is_some_and(|reason| reason == ALREADY)).count();
        let of_integers = |id: &NodeId| {
            let kind = &graph.node(*id).kind;
            matches!(kind, Kind::Structural(Structural::ConvInteger(_) | Structural::MatMulInteger))
        };
        let integer = graph.ids().filter(of_integers).count();
        (own + integer, products.count() + integer)
    }

    /// Multiply-adds of quantized anchors and of all anchors, at the given sizes; anchors of unknown size count for nothing.
    pub fn macs(&self, graph: &Graph, sizes: &crate::dim::Bindings) -> (u64, u64) {
        let of = |group: &&Group| group.anchor.and_then(|id| super::macs(graph, id, sizes)).unwrap_or(0);
        let quantized = self.groups.iter().filter(|g| !self.float.contains_key(&g.name));
        (quantized.map(|g| of(&g)).sum(), self.groups.iter().map(|g| of(&g)).sum())
    }
}

struct Placer<'g> {
    graph: &'g Graph,
    /// Each node's place in topological order.
    place: Vec<usize>,
    variable: Vec<bool>,
    /// True where an anchor can be reached from a node, itself not counted.
    before_anchor: Vec<bool>,
    /// The group of each node.
    member: Vec<Option<usize>>,
    outputs: BTreeMap<Value, usize>,
    readers: BTreeMap<Value, BTreeSet<(NodeId, u32)>>,
    reasons: BTreeMap<Value, String>,
    weights: Vec<Weight>,
}

impl<'g> Placer<'g> {
    fn new(graph: &'g Graph, groups: &[Group]) -> Placer<'g> {
        // A graph with a cycle has no groups, and nothing is asked of the rest.
        let order = graph.topological().unwrap_or_default();
        let mut place = vec![0; graph.bound()];
        order.iter().enumerate().for_each(|(at, id)| place[id.index()] = at);
        let mut before_anchor = vec![false; graph.bound()];
        for id in order.iter().rev() {
            if before_anchor[id.index()] || matches!(graph.node(*id).kind, Kind::Anchor(_)) {
                graph.operands(*id).iter().for_each(|v| before_anchor[v.node.index()] = true);
            }
        }
        let mut member = vec![None; graph.bound()];
        for (at, group) in groups.iter().enumerate() {
            group.nodes.iter().for_each(|id| member[id.index()] = Some(at));
        }
        Placer {
            graph,
            place,
            variable: variable(graph, &order),
            before_anchor,
            member,
            outputs: groups.iter().enumerate().map(|(at, g)| (g.output, at)).collect(),
            readers: BTreeMap::new(),
            reasons: BTreeMap::new(),
            weights: Vec::new(),
        }
    }

    /// Why a group must stay in float, if it must.
    fn float(&self, group: &Group) -> Option<String> {
        let graph = self.graph;
        let follows = group.nodes.iter().any(|id| self.before_anchor[id.index()]);
        let Some(anchor) = group.anchor else {
            return (!follows)
                .then(|| "no convolution or product follows: it decodes, and its ranges are apart".into());
        };
        let operands = graph.operands(anchor);
        if operands[..2].iter().any(|v| graph.ty(*v).dtype.is_some_and(|dtype| dtype.is_int())) {
            return Some(ALREADY.into());
        }
        if operands[..2].iter().any(|v| graph.ty(*v).dtype != Some(DType::F32)) {
            return Some("only f32 is quantized".into());
        }
        if operands[..2].iter().any(|v| graph.node(v.node).op().is_some_and(|op| op.is(&op::DEQUANTIZE))) {
            return Some(ALREADY.into());
        }
        if !follows && operands[..2].iter().any(|v| self.reads_softmax(*v)) {
            return Some("it takes an expectation over a softmax, and no convolution or product follows".into());
        }
        let constants = operands[..2].iter().enumerate().filter(|(_, v)| !self.variable[v.node.index()]);
        for (slot, value) in constants {
            if weight(graph, anchor, slot as u32, *value).is_none() {
                return Some(format!("its operand {} can't be computed beforehand", graph.value_name(*value)));
            }
        }
        None
    }

    /// True if the value is a softmax's result, through views that keep each element.
    fn reads_softmax(&self, value: Value) -> bool {
        match &self.graph.node(value.node).kind {
            Kind::Structural(Structural::Softmax { .. }) => true,
            Kind::View(view) if !matches!(view, View::Concat { .. }) => {
                self.reads_softmax(self.graph.operands(value.node)[0])
            }
            _ => false,
        }
    }

    /// What a quantized group's anchor reads.
    fn operands(&mut self, group: &Group) {
        let Some(anchor) = group.anchor else { return };
        let operands = self.graph.operands(anchor);
        for (slot, value) in (0u32..).zip(&operands[..2]) {
            if self.variable[value.node.index()] {
                self.read(*value, anchor, slot, &format!("{} reads it", group.name));
            } else {
                self.weights.extend(weight(self.graph, anchor, slot, *value));
            }
        }
    }

    /// What else a quantized group reads that is stored in full size: codes where a group has made it, which then are all that
    /// is stored of it.
    fn residuals(&mut self, group: &Group) {
        let graph = self.graph;
        for id in &group.nodes {
            if Some(*id) == group.anchor {
                continue;
            }
            for (slot, value) in (0u32..).zip(graph.operands(*id)) {
                let outside = self.member[value.node.index()] != self.member[id.index()];
                let large = graph.ty(value).shape == graph.ty(group.output).shape;
                let float = graph.ty(value).dtype == Some(DType::F32);
                let has_codes = self.readers.contains_key(&value);
                let is_made = self.outputs.contains_key(&value) || has_codes;
                if outside && large && float && is_made && self.variable[value.node.index()] {
                    self.read(value, *id, slot, &format!("{} adds it", group.name));
                }
            }
        }
    }

    fn read(&mut self, value: Value, reader: NodeId, slot: u32, reason: &str) {
        self.readers.entry(value).or_default().insert((reader, slot));
        self.reasons.entry(value).or_insert_with(|| reason.to_string());
    }

    fn finish(mut self) -> (Vec<Site>, Vec<Weight>) {
        let graph = self.graph;
        // Averages read codes where there are any: their errors cancel out.
        for (value, readers) in &mut self.readers {
            for (port, user, slot) in graph.users(value.node) {
                let averages = matches!(
                    graph.node(user).kind,
                    Kind::Structural(Structural::AveragePool { .. } | Structural::GlobalPool { .. })
                );
                if averages && port == value.port {
                    readers.insert((user, slot));
                }
            }
        }
        let mut sites: Vec<Site> = Vec::new();
        for (value, readers) in &self.readers {
            let range = self.shared(*value);
            let mut reason = self.reasons.get(value).cloned().unwrap_or_default();
            if range != *value {
                reason += &format!("; it shares the scale of {}", graph.value_name(range));
            }
            sites.push(Site { value: *value, readers: readers.iter().copied().collect(), range, reason });
        }
        sites.sort_by_key(|site| (self.place[site.value.node.index()], site.value.port));
        self.weights.sort_by_key(|w| (self.place[w.anchor.index()], w.slot));
        (sites, self.weights)
    }

    /// The first site up through what keeps every element and its place's order, else the value itself.
    fn shared(&self, value: Value) -> Value {
        let (mut at, mut found) = (value, value);
        loop {
            let keeps = match &self.graph.node(at.node).kind {
                Kind::View(view) => !matches!(view, View::Concat { .. } | View::Slice { .. }),
                Kind::Structural(Structural::MaxPool(_)) => at.port == 0,
                _ => false,
            };
            if !keeps {
                return found;
            }
            at = self.graph.operands(at.node)[0];
            if self.readers.contains_key(&at) {
                found = at;
            }
        }
    }
}

/// A constant operand and its axis of output channels.
fn weight(graph: &Graph, anchor: NodeId, slot: u32, value: Value) -> Option<Weight> {
    let Kind::Anchor(kind) = &graph.node(anchor).kind else { return None };
    let tensor = constant(graph, value, 0)?;
    let rank = tensor.sizes().len();
    let axis = match (kind, slot) {
        (Anchor::Conv(_), 1) => 0,
        (Anchor::ConvTranspose { .. }, 1) => 1,
        (Anchor::Gemm { transpose_a, .. }, 0) => rank.checked_sub(if *transpose_a { 1 } else { 2 })?,
        (Anchor::Gemm { transpose_b, .. }, 1) => rank.checked_sub(if *transpose_b { 2 } else { 1 })?,
        _ => return None,
    };
    (axis < rank && !tensor.is_empty()).then_some(Weight { value, tensor, anchor, slot, axis })
}

/// Nodes between a weight and the constants that it is computed from.
const DEEPEST: usize = 8;

/// The value of what depends on no input.
fn constant(graph: &Graph, value: Value, depth: usize) -> Option<Tensor> {
    if let Some(tensor) = graph.constant(value) {
        return Some(tensor.clone());
    }
    if depth > DEEPEST {
        return None;
    }
    let operands =
        graph.operands(value.node).iter().map(|v| constant(graph, *v, depth + 1)).collect::<Option<Vec<_>>>()?;
    let results = reference::run_node(graph.node(value.node), &operands, &reference::Options::default()).ok()?;
    results.into_iter().nth(value.port as usize)
}
