//! What it takes to compute a value again: its cone, the ops between it and values that lie in memory anyway.

use super::cost::Work;
use super::facts::{Class, Facts};
use smallvec::SmallVec;

/// Ops beyond this are no cheap producer, and are never computed twice in two kernels.
pub(super) const MOST_NODES: usize = 16;
/// Reads beyond this make recomputation pointless.
const MOST_LEAVES: usize = 6;

/// The ops that compute a value from `leaves`, all that is left to read.
#[derive(Debug, Clone, Default)]
pub(super) struct Cone {
    pub leaves: SmallVec<[u32; MOST_LEAVES]>,
    pub nodes: SmallVec<[u32; MOST_NODES]>,
    pub work: Work,
}

/// The cone of every value, by number; `None` for one that is too large, and for values that no kernel makes.
pub(super) fn cones(facts: &Facts) -> Vec<Option<Cone>> {
    let mut cones: Vec<Option<Cone>> = vec![None; facts.values.len()];
    for (n, node) in facts.nodes.iter().enumerate() {
        if let Class::Point(_) | Class::View(_) = node.class {
            cones[node.first as usize] = cone(facts, n as u32, &cones);
        }
    }
    cones
}

fn cone(facts: &Facts, n: u32, cones: &[Option<Cone>]) -> Option<Cone> {
    let mut all = Cone::default();
    all.nodes.push(n);
    for &v in &facts.nodes[n as usize].operands {
        let value = &facts.values[v as usize];
        if value.uniform.is_some() {
            continue;
        }
        if value.required
            || !value.factor_of.is_empty()
            || facts.is_leaf(v)
            || matches!(facts.maker(v), Class::View(super::facts::Fold::Concat { .. }))
        {
            insert(&mut all.leaves, v);
        } else {
            let inner = cones[v as usize].as_ref()?;
            inner.leaves.iter().for_each(|l| insert(&mut all.leaves, *l));
            inner.nodes.iter().for_each(|n| insert(&mut all.nodes, *n));
        }
        if all.leaves.len() > MOST_LEAVES || all.nodes.len() > MOST_NODES {
            return None;
        }
    }
    all.work = all.nodes.iter().fold(Work::default(), |work, n| work.plus(work_of(facts, *n)));
    Some(all)
}

fn insert<A: smallvec::Array<Item = u32>>(into: &mut SmallVec<A>, x: u32) {
    if !into.contains(&x) {
        into.push(x);
    }
}

/// The instructions of one node.
pub(super) fn work_of(facts: &Facts, n: u32) -> Work {
    match facts.nodes[n as usize].class {
        Class::Point(op) => Work::of(op.row().cost),
        _ => Work::default(),
    }
}
