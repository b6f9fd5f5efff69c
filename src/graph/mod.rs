//! The graph: nodes with ordered operand slots and typed results, on petgraph, which stays hidden inside.
//!
//! A [`Node`] makes one or more results; a [`Value`] is one result of one node. An edge says which result feeds which operand
//! slot, so `x*x` is one node with two edges. Graphs are changed through [`crate::patch`] alone; iteration and
//! topological order depend on nothing but the order of insertion.

mod bind;
mod builder;
mod order;

pub use builder::{BuildError, Builder, Operand};

use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::name::Shown;
use crate::op::Op;
use crate::shape::Shape;
use crate::structural::Structural;
use crate::tensor::Tensor;
use crate::view::View;
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;

/// A node's identity: stable while other nodes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(u32);

/// One result of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Value {
    pub node: NodeId,
    /// Which of the node's results.
    pub port: u32,
}

/// What is known of a value's type. An opaque op's results may be known in part or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Type {
    pub dtype: Option<DType>,
    pub shape: Option<Shape>,
}

/// Where a node came from: the model's node, by its name and op type. A node made by a rewrite keeps those of all it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    pub name: String,
    pub op_type: String,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An input of the graph.
    Input,
    Constant(Tensor),
    Pointwise(Op),
    View(View),
    Anchor(Anchor),
    Structural(Structural),
    /// An op that is not known: it bounds fusion, and nothing more is said of it.
    Opaque {
        domain: String,
        op_type: String,
    },
}

/// A result of a node: its name in the model, and its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    pub name: String,
    pub ty: Type,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub origin: SmallVec<[Origin; 1]>,
    pub outputs: SmallVec<[Output; 1]>,
}

/// Which result of the source feeds which operand slot of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    port: u32,
    slot: u32,
}

/// See the module's page.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub name: String,
    nodes: StableDiGraph<Node, Edge>,
    inputs: Vec<NodeId>,
    outputs: Vec<(String, Value)>,
}

/// The operands of a node, in slot order.
pub type Operands = SmallVec<[Value; 4]>;

impl Graph {
    pub fn new(name: &str) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// Adds a node with operands for slots 0, 1 …
    ///
    /// # Panics
    /// If an operand's node is not in the graph. Types are not checked here: see [`crate::verify`].
    pub fn add(&mut self, node: Node, operands: &[Value]) -> NodeId {
        let is_input = node.kind == Kind::Input;
        let id = self.nodes.add_node(node);
        for (slot, value) in operands.iter().enumerate() {
            let from = NodeIndex::new(value.node.0 as usize);
            assert!(self.nodes.contains_node(from), "operand {slot} refers to a node that is not in the graph");
            self.nodes.add_edge(from, id, Edge { port: value.port, slot: slot as u32 });
        }
        let id = NodeId(id.index() as u32);
        if is_input {
            self.inputs.push(id);
        }
        id
    }

    /// Names a value as an output of the graph. Outputs keep the order in which they are named.
    pub fn mark_output(&mut self, name: &str, value: Value) {
        self.outputs.push((name.into(), value));
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.node_weight(NodeIndex::new(id.0 as usize))
    }

    /// The node.
    ///
    /// # Panics
    /// If it has been removed.
    pub fn node(&self, id: NodeId) -> &Node {
        self.get(id).expect("a node id outlives its node only by a mistake of the caller")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.node_weight_mut(NodeIndex::new(id.0 as usize)).expect("the node exists")
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        self.nodes.remove_node(NodeIndex::new(id.0 as usize));
        self.inputs.retain(|input| *input != id);
    }

    /// The operands in slot order.
    pub fn operands(&self, id: NodeId) -> Operands {
        let edges = self.nodes.edges_directed(NodeIndex::new(id.0 as usize), Direction::Incoming);
        let mut slots: SmallVec<[(u32, Value); 4]> = edges
            .map(|e| (e.weight().slot, Value { node: NodeId(e.source().index() as u32), port: e.weight().port }))
            .collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, value)| value).collect()
    }

    /// Who uses a node's results: (port, user, slot), sorted by user and slot. Graph outputs are not among them.
    pub fn users(&self, id: NodeId) -> Vec<(u32, NodeId, u32)> {
        let edges = self.nodes.edges_directed(NodeIndex::new(id.0 as usize), Direction::Outgoing);
        let mut users: Vec<_> =
            edges.map(|e| (e.weight().port, NodeId(e.target().index() as u32), e.weight().slot)).collect();
        users.sort_unstable_by_key(|&(port, user, slot)| (user, slot, port));
        users
    }

    /// How often a value is used, by operand slots and by the graph's outputs.
    pub fn use_count(&self, value: Value) -> usize {
        let edges = self.nodes.edges_directed(NodeIndex::new(value.node.0 as usize), Direction::Outgoing);
        edges.filter(|e| e.weight().port == value.port).count()
            + self.outputs.iter().filter(|(_, v)| *v == value).count()
    }

    /// Makes operand `slot` of `user` read `value`.
    pub(crate) fn set_operand(&mut self, user: NodeId, slot: u32, value: Value) {
        let user = NodeIndex::new(user.0 as usize);
        let edge =
            self.nodes.edges_directed(user, Direction::Incoming).find(|e| e.weight().slot == slot).map(|e| e.id());
        if let Some(edge) = edge {
            self.nodes.remove_edge(edge);
        }
        self.nodes.add_edge(NodeIndex::new(value.node.0 as usize), user, Edge { port: value.port, slot });
    }

    pub(crate) fn outputs_mut(&mut self) -> &mut Vec<(String, Value)> {
        &mut self.outputs
    }

    /// Every node, in order of insertion.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.node_indices().map(|i| NodeId(i.index() as u32))
    }

    /// Number of nodes, inputs and constants included.
    pub fn len(&self) -> usize {
        self.nodes.node_count()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.node_count() == 0
    }

    /// The graph's inputs, in order.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The graph's outputs, in order.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &Type {
        &self.node(value.node).outputs[value.port as usize].ty
    }

    /// The name of a value in the model.
    pub fn value_name(&self, value: Value) -> &str {
        &self.node(value.node).outputs[value.port as usize].name
    }

    /// The tensor of a constant.
    pub fn constant(&self, value: Value) -> Option<&Tensor> {
        match &self.get(value.node)?.kind {
            Kind::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }
}

impl NodeId {
    /// A number for tables indexed by node; below [`Graph::bound`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The first result.
    pub fn value(self) -> Value {
        Value { node: self, port: 0 }
    }
}

impl Node {
    /// A node with one result.
    pub fn new(kind: Kind, name: &str, ty: Type) -> Node {
        Node { kind, origin: SmallVec::new(), outputs: smallvec::smallvec![Output { name: name.into(), ty }] }
    }

    /// The same, said to come from a model's node.
    pub fn with_origin(mut self, name: &str, op_type: &str) -> Node {
        self.origin.push(Origin { name: name.into(), op_type: op_type.into() });
        self
    }

    /// The op, if the node is pointwise.
    pub fn op(&self) -> Option<Op> {
        match self.kind {
            Kind::Pointwise(op) => Some(op),
            _ => None,
        }
    }

    /// What to call the node in a message: its origin's name, else its result's.
    pub fn label(&self) -> &str {
        let origin = self.origin.iter().map(|o| o.name.as_str()).find(|name| !name.is_empty());
        origin.or(self.outputs.first().map(|o| o.name.as_str())).unwrap_or("")
    }
}

impl Type {
    pub fn new(dtype: DType, shape: Shape) -> Type {
        Type { dtype: Some(dtype), shape: Some(shape) }
    }

    /// Both, if both are known.
    pub fn full(&self) -> Option<(DType, &Shape)> {
        Some((self.dtype?, self.shape.as_ref()?))
    }
}

impl fmt::Display for Type {
    /// In TensorRT's manner: `Int8(1,128,40,40)`; what is unknown is `?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.map_or("?", DType::long_name))?;
        match &self.shape {
            Some(shape) => write!(f, "{shape}"),
            None => f.write_str("(?)"),
        }
    }
}

impl fmt::Display for Kind {
    /// The name of what it does: `silu`, `reshape`, `conv`, `MaxPool`, `com.microsoft.Attention`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Input => f.write_str("input"),
            Kind::Constant(_) => f.write_str("constant"),
            Kind::Pointwise(op) => write!(f, "{op}"),
            Kind::View(view) => f.write_str(view.name()),
            Kind::Anchor(anchor) => f.write_str(anchor.name()),
            Kind::Structural(op) => f.write_str(&op.name()),
            Kind::Opaque { domain, op_type } if domain.is_empty() => write!(f, "{}", Shown(op_type)),
            Kind::Opaque { domain, op_type } => write!(f, "{}.{}", Shown(domain), Shown(op_type)),
        }
    }
}
