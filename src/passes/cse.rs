//! Common subexpressions: `f(a, b), f(a, b)` becomes one node. Constants are compared by content.
//!
//! Two nodes are equal if they do the same, with the same attributes, to the same operands, and their results have the same
//! types. Operands of a commutative op are compared in either order. Opaque ops are never merged: they might be random.

use super::{Pass, PassError, Work};
use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Operands, Type, Value};
use crate::op::Op;
use crate::view::View;
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

pub(super) const PASS: Pass = Pass { name: "cse", about: "make equal nodes one node", run };

/// Longer constants are equal only if they are the same memory: no exporter writes a weight twice.
const LONGEST_COMPARED: usize = 64 << 10;

/// Bytes of a constant that its hash looks at; equality looks at all of them.
const HASHED: usize = 64;

#[derive(PartialEq, Eq, Hash)]
enum Meaning {
    Constant(DType, Vec<usize>, Contents),
    Shared(DType, Vec<usize>, usize),
    Pointwise(Op),
    View(View),
    Anchor(Anchor),
    /// By its debug text, which holds every attribute.
    Structural(String),
}

#[derive(PartialEq, Eq)]
struct Contents(Bytes);

impl Hash for Contents {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The end too: many constants begin with zeros.
        let bytes = &self.0;
        bytes[..bytes.len().min(HASHED)].hash(state);
        bytes[bytes.len().saturating_sub(HASHED)..].hash(state);
    }
}

type Key = (Meaning, Operands, Vec<Type>);

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    // Only looked up, never walked, so its order shows nowhere.
    let mut first: HashMap<Key, NodeId> = HashMap::new();
    for id in work.order()? {
        let Some(key) = key(work.graph, id) else { continue };
        let Some(&kept) = first.get(&key) else {
            first.insert(key, id);
            continue;
        };
        let ports = work.graph.node(id).outputs.len() as u32;
        let rule =
            if matches!(key.0, Meaning::Constant(..) | Meaning::Shared(..)) { "equal_constant" } else { "equal_node" };
        let mut patch = work.patch(rule, &[id]);
        for port in 0..ports {
            patch.replace(Value { node: id, port }, Value { node: kept, port });
        }
        patch.adopt(kept);
    }
    Ok(())
}

fn key(graph: &Graph, id: NodeId) -> Option<Key> {
    let node = graph.node(id);
    let mut operands = graph.operands(id);
    let meaning = match &node.kind {
        Kind::Input | Kind::Opaque { .. } => return None,
        Kind::Constant(t) if t.bytes().len() <= LONGEST_COMPARED => {
            Meaning::Constant(t.dtype(), t.sizes().to_vec(), Contents(t.bytes().clone()))
        }
        Kind::Constant(t) => Meaning::Shared(t.dtype(), t.sizes().to_vec(), t.bytes().as_ptr() as usize),
        Kind::Pointwise(op) => {
            if op.row().algebra.commutative && operands.len() == 2 {
                operands.sort_unstable();
            }
            Meaning::Pointwise(*op)
        }
        Kind::View(view) => Meaning::View(view.clone()),
        Kind::Anchor(anchor) => Meaning::Anchor(anchor.clone()),
        Kind::Structural(op) => Meaning::Structural(format!("{op:?}")),
    };
    Some((meaning, operands, node.outputs.iter().map(|o| o.ty.clone()).collect()))
}
