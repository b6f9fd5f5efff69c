//! What fusion must know of a graph before it starts: the nodes that matter in order, what each is to fusion, and how large
//! each value is.

use super::cost::Model;
use super::weld::Main;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::op::Op;
use crate::plan::Reason;
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::view::{SliceAxis, View};
use smallvec::SmallVec;

/// A view as fusion sees it.
#[derive(Debug, Clone)]
pub(super) enum Fold {
    /// The same elements in the same order: costs nothing, whatever becomes of it.
    Reshape,
    Transpose(Vec<usize>),
    Slice(Vec<SliceAxis>),
    Expand,
    Repeat(Vec<u64>),
    /// With where along the axis each operand begins.
    Concat {
        axis: usize,
        starts: Vec<Dim>,
    },
}

/// What a node is to fusion.
#[derive(Debug, Clone)]
pub(super) enum Class {
    /// An input or a constant.
    Source,
    /// No generated kernel computes it, for the reason given.
    Hard(Reason),
    Point(Op),
    View(Fold),
    /// A matrix product or convolution that a kernel can hold.
    Product(Box<Main>),
}

#[derive(Debug)]
pub(super) struct NodeFacts {
    pub id: NodeId,
    pub class: Class,
    /// Its operands' numbers, in slot order.
    pub operands: SmallVec<[u32; 4]>,
    /// The number of its first result; the others follow.
    pub first: u32,
    pub results: u32,
}

#[derive(Debug)]
pub(super) struct ValueFacts {
    pub value: Value,
    /// The position of its node.
    pub node: u32,
    /// Number of elements, for costing; 0 if unknown.
    pub count: f64,
    pub bytes: f64,
    /// The common element of a constant that has one.
    pub uniform: Option<Scalar>,
    /// Read by a node that stays a node, or an output of the graph: must lie in memory, dense.
    pub required: bool,
    /// The products that read it, with the factor that it is: it must lie in memory, where they can read it.
    pub factor_of: Vec<(u32, usize)>,
}

/// Nodes and values by number. Nodes are numbered in topological order; those that no output needs are left out.
pub(super) struct Facts<'g> {
    pub graph: &'g Graph,
    pub nodes: Vec<NodeFacts>,
    pub values: Vec<ValueFacts>,
    /// Numbers by [`NodeId::index`]; `u32::MAX` for a node that was left out.
    number: Vec<u32>,
}

impl<'g> Facts<'g> {
    /// `weld` lets kernels hold products; `never` gives a reason for nodes that must stay nodes. `Err` holds a node that waits for
    /// itself.
    pub fn new(
        graph: &'g Graph,
        model: &Model,
        weld: bool,
        never: impl Fn(NodeId) -> Option<Reason>,
    ) -> Result<Self, NodeId> {
        let order = graph.topological()?;
        let mut live = vec![false; graph.bound()];
        graph.outputs().iter().for_each(|(_, v)| live[v.node.index()] = true);
        graph.inputs().iter().for_each(|id| live[id.index()] = true);
        for id in order.iter().rev() {
            if live[id.index()] {
                graph.operands(*id).iter().for_each(|v| live[v.node.index()] = true);
            }
        }
        let mut facts = Facts { graph, nodes: Vec::new(), values: Vec::new(), number: vec![u32::MAX; graph.bound()] };
        for id in order.into_iter().filter(|id| live[id.index()]) {
            facts.push(id, model, weld, never(id));
        }
        for n in 0..facts.nodes.len() {
            if let Class::Product(main) = &facts.nodes[n].class {
                for (slot, factor) in main.factors.iter().enumerate() {
                    facts.values[factor.value as usize].factor_of.push((n as u32, slot));
                }
            }
            if let Class::Hard(_) = facts.nodes[n].class {
                for slot in 0..facts.nodes[n].operands.len() {
                    let v = facts.nodes[n].operands[slot];
                    facts.values[v as usize].required = true;
                }
            }
        }
        for (_, value) in graph.outputs() {
            let v = facts.of(*value);
            facts.values[v as usize].required = true;
        }
        Ok(facts)
    }

    fn push(&mut self, id: NodeId, model: &Model, weld: bool, never: Option<Reason>) {
        let node = self.graph.node(id);
        let operands = self.graph.operands(id);
        let n = self.nodes.len() as u32;
        self.number[id.index()] = n;
        let class = match never {
            // Inputs and constants compute nothing, so there is nothing to forbid.
            Some(reason) if !matches!(node.kind, Kind::Input | Kind::Constant(_)) => Class::Hard(reason),
            _ => match &node.kind {
                Kind::Anchor(anchor) if weld => match Main::new(self, self.graph, id, anchor, &operands) {
                    Ok(main) => Class::Product(Box::new(main)),
                    Err(reason) => Class::Hard(reason),
                },
                _ => classify(self.graph, id, &operands),
            },
        };
        let first = self.values.len() as u32;
        for (port, output) in node.outputs.iter().enumerate() {
            let value = Value { node: id, port: port as u32 };
            let count = output.ty.shape.as_ref().map_or(0.0, |shape| model.count(shape));
            let bytes = output.ty.dtype.map_or(0.0, |t| count * f64::from(t.bits()) / 8.0);
            let uniform = self.graph.constant(value).and_then(|tensor| tensor.uniform());
            self.values.push(ValueFacts {
                value,
                node: n,
                count,
                bytes,
                uniform,
                required: false,
                factor_of: Vec::new(),
            });
        }
        let operands = operands.iter().map(|v| self.of(*v)).collect();
        self.nodes.push(NodeFacts { id, class, operands, first, results: node.outputs.len() as u32 });
    }

    /// The number of a value.
    pub fn of(&self, value: Value) -> u32 {
        self.nodes[self.number[value.node.index()] as usize].first + value.port
    }

    /// The number of a node, if any output needs it.
    pub fn node_of(&self, id: NodeId) -> Option<u32> {
        self.number.get(id.index()).copied().filter(|n| *n != u32::MAX)
    }

    /// The class of the node that makes a value.
    pub fn maker(&self, v: u32) -> &Class {
        &self.nodes[self.values[v as usize].node as usize].class
    }

    /// True for a value that no kernel makes: an input, a constant, a result of a node that stays a node.
    pub fn is_leaf(&self, v: u32) -> bool {
        matches!(self.maker(v), Class::Source | Class::Hard(_))
    }

    /// The shape of a value that a kernel touches.
    pub fn shape(&self, v: u32) -> &'g Shape {
        const SCALAR: &Shape = &Shape::SCALAR;
        self.graph.ty(self.values[v as usize].value).shape.as_ref().unwrap_or(SCALAR)
    }

    /// The element type of a value that a kernel touches.
    pub fn dtype(&self, v: u32) -> DType {
        self.graph.ty(self.values[v as usize].value).dtype.unwrap_or(DType::F32)
    }

    /// The axes of a node's operands of which nothing says whether they broadcast: their sizes and the result's.
    pub fn open_broadcasts(&self, n: u32) -> Vec<(Dim, Dim)> {
        let node = &self.nodes[n as usize];
        if !matches!(node.class, Class::Point(_) | Class::View(Fold::Expand)) {
            return Vec::new();
        }
        let to = self.shape(node.first);
        let axes = node.operands.iter().flat_map(|v| {
            let from = self.shape(*v);
            from.iter().zip(to.iter().skip(to.rank().saturating_sub(from.rank())))
        });
        axes.filter(|(from, to)| from != to && !from.is(1)).map(|(from, to)| (from.clone(), to.clone())).collect()
    }

    pub fn name(&self, v: u32) -> &'g str {
        self.graph.value_name(self.values[v as usize].value)
    }

    pub fn label(&self, n: u32) -> &'g str {
        self.graph.node(self.nodes[n as usize].id).label()
    }
}

/// True for the types that generated kernels load and store.
pub(super) fn is_supported(dtype: DType) -> bool {
    use DType::*;
    dtype.bits() >= 8 && dtype != F8E8M0
}

fn classify(graph: &Graph, id: NodeId, operands: &[Value]) -> Class {
    let node = graph.node(id);
    match &node.kind {
        Kind::Input | Kind::Constant(_) => Class::Source,
        Kind::Pointwise(op) => match known(graph, id, operands).or_else(|| pointwise(graph, id, *op, operands)) {
            Some(reason) => Class::Hard(reason),
            None => Class::Point(*op),
        },
        Kind::View(view) => match known(graph, id, operands).map_or_else(|| fold(graph, id, view, operands), Err) {
            Ok(fold) => Class::View(fold),
            Err(reason) => Class::Hard(reason),
        },
        kind => Class::Hard(Reason::NotPointwise { node: node.label().into(), kind: kind.to_string() }),
    }
}

/// Why no kernel can touch a node's values.
fn known(graph: &Graph, id: NodeId, operands: &[Value]) -> Option<Reason> {
    let name = |v: Value| graph.value_name(v).to_string();
    operands.iter().copied().chain([id.value()]).find_map(|v| match graph.ty(v).full() {
        None => Some(Reason::UnknownType { value: name(v) }),
        Some((dtype, _)) if !is_supported(dtype) => Some(Reason::UnsupportedType { value: name(v), dtype }),
        Some(_) => None,
    })
}

fn pointwise(graph: &Graph, id: NodeId, op: Op, operands: &[Value]) -> Option<Reason> {
    let shape = |v: &Value| graph.ty(*v).shape.as_ref();
    // The 8-bit floats have no arithmetic: kernels only convert them.
    let arithmetic = op.target().is_none();
    let odd = operands.iter().copied().chain([id.value()]).find_map(|v| {
        let dtype = graph.ty(v).dtype.filter(|t| t.is_float() && !t.is_arithmetic_float() && arithmetic)?;
        Some(Reason::UnsupportedType { value: graph.value_name(v).into(), dtype })
    });
    let result = shape(&id.value())?;
    let undecided = operands.iter().filter_map(shape).find_map(|from| undecided(from, result));
    odd.or(undecided)
}

/// Why a kernel can't broadcast `from` to `to`: two known sizes that differ, or more axes than the result has. A size that is not known
/// is 1 or the result's at every launch (see [`crate::plan::Broadcast`]).
fn undecided(from: &Shape, to: &Shape) -> Option<Reason> {
    let reason = || Reason::Undecided { from: from.to_string(), to: to.to_string() };
    let Some(skip) = to.rank().checked_sub(from.rank()) else { return Some(reason()) };
    let known = |x: &Dim, y: &Dim| x.known().is_some() && y.known().is_some();
    let odd = from.iter().zip(to.iter().skip(skip)).any(|(x, y)| x != y && !x.is(1) && known(x, y));
    odd.then(reason)
}

fn fold(graph: &Graph, id: NodeId, view: &View, operands: &[Value]) -> Result<Fold, Reason> {
    let shape = |v: Value| graph.ty(v).shape.clone().unwrap_or_default();
    let (to, from) = (shape(id.value()), operands.first().map(|v| shape(*v)).unwrap_or_default());
    let not_affine = || Reason::IndexNotAffine { view: graph.node(id).label().into() };
    if !is_well_formed(view, &from, &to, operands.len()) {
        return Err(not_affine());
    }
    if operands.len() == 1 && from == to && !matches!(view, View::Transpose { .. } | View::Slice { .. }) {
        return Ok(Fold::Reshape);
    }
    Ok(match view {
        View::Reshape { .. } => Fold::Reshape,
        View::Transpose { axes } => {
            let moved: Vec<usize> = axes.iter().copied().filter(|a| !from[*a].is(1)).collect();
            if moved.is_sorted() { Fold::Reshape } else { Fold::Transpose(axes.clone()) }
        }
        View::Slice { axes } => {
            let whole = |(axis, size): (&SliceAxis, &Dim)| axis.size == *size && axis.step == 1;
            if axes.iter().zip(from.iter()).all(whole) { Fold::Reshape } else { Fold::Slice(axes.clone()) }
        }
        View::Expand { .. } => match undecided(&from, &to) {
            Some(reason) => return Err(reason),
            None => Fold::Expand,
        },
        View::Repeat { factors } => Fold::Repeat(factors.clone()),
        View::Concat { axis } => {
            let (mut starts, mut at) = (Vec::new(), Dim::ZERO);
            for v in operands {
                starts.push(at.clone());
                let size = shape(*v).get(*axis).cloned().ok_or_else(not_affine)?;
                at = at.add(&size).map_err(|_| not_affine())?;
            }
            Fold::Concat { axis: *axis, starts }
        }
    })
}

/// Whether a view's parameters fit its shapes, so that nothing below needs to check an index.
fn is_well_formed(view: &View, from: &Shape, to: &Shape, operands: usize) -> bool {
    let same_rank = from.rank() == to.rank();
    match view {
        View::Reshape { .. } | View::Expand { .. } => operands == 1,
        View::Transpose { axes } => {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            operands == 1 && same_rank && sorted.into_iter().eq(0..from.rank())
        }
        View::Slice { axes } => operands == 1 && same_rank && axes.len() == from.rank(),
        View::Repeat { factors } => operands == 1 && same_rank && factors.len() == from.rank(),
        View::Concat { axis } => operands > 0 && same_rank && *axis < from.rank(),
    }
}
