//! What a graph's ops and views would move without fusion: the other side of [`crate::plan::Plan::moved`].

use super::Options;
use super::cost::Model;
use super::facts::{Class, Facts, Fold, NodeFacts};
use crate::dim::{Dim, DimError};
use crate::graph::{Graph, NodeId};
use crate::plan::{Moved, moved_for};

/// What is moved with one kernel for each pointwise op and each view that moves elements, and how many such nodes there are. Reshapes and
/// constants of one repeated element are free. Of other nodes those are counted, as kernels of their own, that `welded` says a plan holds in
/// its kernels: convolutions and matrix products.
pub fn unfused(graph: &Graph, options: &Options, welded: impl Fn(NodeId) -> bool) -> Result<Moved, DimError> {
    let model = Model::new(&options.target, &options.bindings, options.unbound);
    let mut moved = Moved::default();
    let Ok(facts) = Facts::new(graph, &model, options.weld, |_| None) else { return Ok(moved) };
    for node in &facts.nodes {
        let result = facts.shape(node.first);
        match &node.class {
            Class::Hard(_) if welded(node.id) => read_once(node, &facts, &mut moved)?,
            Class::Source | Class::Hard(_) | Class::View(Fold::Reshape) => continue,
            // A slice reads as many elements as it writes, from where they lie.
            Class::View(Fold::Slice(axes)) => {
                let inner = result.iter().rposition(|size| !size.is(1)).unwrap_or_default();
                let mut behind = facts.shape(node.operands[0]).iter().skip(inner + 1);
                let step = axes.get(inner).map_or(Dim::ONE, |axis| Dim::fixed(axis.step));
                let stride = behind.try_fold(step, |n, d| n.mul(d))?;
                let dtype = facts.dtype(node.first);
                moved.add_apart(dtype, &result.count()?, moved_for(u64::from(dtype.bits()).div_ceil(8), &stride))?;
            }
            Class::Point(_) | Class::View(_) | Class::Product(_) => read_once(node, &facts, &mut moved)?,
        }
        moved.add(facts.dtype(node.first), &result.count()?)?;
        moved.launches += 1;
    }
    Ok(moved)
}

/// Adds a node's operands, each once.
fn read_once(node: &NodeFacts, facts: &Facts, moved: &mut Moved) -> Result<(), DimError> {
    let mut operands = node.operands.clone();
    operands.sort_unstable();
    operands.dedup();
    for v in operands {
        if facts.values[v as usize].uniform.is_none() {
            moved.add(facts.dtype(v), &facts.shape(v).count()?)?;
        }
    }
    Ok(())
}
