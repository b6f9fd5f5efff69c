//! What a graph's pointwise ops and views would move without fusion: the other side of [`crate::plan::Plan::moved`].

use super::Options;
use super::cost::Model;
use super::facts::{Class, Facts, Fold};
use crate::dim::DimError;
use crate::graph::Graph;
use crate::plan::Moved;

/// What is moved with one kernel for each pointwise op and each view that moves elements, and how many such nodes there are. Reshapes and
/// constants of one repeated element are free; nodes that no kernel can compute are not counted, as they are not in a plan either.
pub fn unfused(graph: &Graph, options: &Options) -> Result<Moved, DimError> {
    let model = Model::new(&options.target, &options.bindings, options.unbound);
    let mut moved = Moved::default();
    let Ok(facts) = Facts::new(graph, &model, |_| None) else { return Ok(moved) };
    for node in &facts.nodes {
        let result = facts.shape(node.first);
        match &node.class {
            Class::Source | Class::Hard(_) | Class::View(Fold::Reshape) => continue,
            // A slice reads as much as it writes.
            Class::View(Fold::Slice(_)) => moved.add(facts.dtype(node.first), &result.count()?)?,
            Class::Point(_) | Class::View(_) => {
                let mut operands = node.operands.clone();
                operands.sort_unstable();
                operands.dedup();
                for v in operands {
                    if facts.values[v as usize].uniform.is_none() {
                        moved.add(facts.dtype(v), &facts.shape(v).count()?)?;
                    }
                }
            }
        }
        moved.add(facts.dtype(node.first), &result.count()?)?;
        moved.launches += 1;
    }
    Ok(moved)
}
