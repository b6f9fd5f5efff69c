//! Says of every edge whether it was fused, and if not why.

use super::facts::{Class, Facts, Fold};
use super::grow::Growth;
use crate::plan::{Decision, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// One decision for each edge between two nodes that compute, in topological order of the consumer and then by slot.
/// `names` gives the kernels' names by draft.
pub(super) fn decisions(growth: &Growth, names: &BTreeMap<usize, String>) -> Vec<Decision> {
    let facts = growth.facts;
    let hosts: Vec<BTreeSet<usize>> = growth
        .hosts
        .iter()
        .map(|hosts| hosts.iter().map(|k| growth.resolve(*k, super::index::Space::IDENTITY).0).collect())
        .collect();
    let cuts: BTreeMap<(u32, usize), &Reason> = growth
        .cuts
        .iter()
        .map(|((v, k), reason)| ((*v, growth.resolve(*k, super::index::Space::IDENTITY).0), reason))
        .collect();
    let mut decisions = Vec::new();
    for (n, node) in facts.nodes.iter().enumerate() {
        for v in &node.operands {
            let producer = facts.values[*v as usize].node;
            if matches!(facts.nodes[producer as usize].class, Class::Source) {
                continue;
            }
            decisions.push(Decision {
                producer: facts.values[*v as usize].value,
                consumer: node.id,
                from: facts.label(producer).into(),
                to: facts.label(n as u32).into(),
                value: facts.name(*v).into(),
                verdict: verdict(facts, *v, n as u32, &hosts, &cuts, names),
                costs: None,
            });
        }
    }
    decisions
}

fn verdict(
    facts: &Facts,
    v: u32,
    consumer: u32,
    hosts: &[BTreeSet<usize>],
    cuts: &BTreeMap<(u32, usize), &Reason>,
    names: &BTreeMap<usize, String>,
) -> Verdict {
    let producer = facts.values[v as usize].node;
    let class = |n: u32| &facts.nodes[n as usize].class;
    if let (Class::Hard(reason), _) | (_, Class::Hard(reason)) = (class(consumer), class(producer)) {
        return Verdict::Cut { reason: reason.clone() };
    }
    let (made, used) = (&hosts[producer as usize], &hosts[consumer as usize]);
    if let Some(k) = used.iter().find(|k| made.contains(k)) {
        let kernel = names.get(k).cloned().unwrap_or_default();
        return Verdict::Fused { kernel, recomputed: made.len() > 1 };
    }
    if let Class::View(Fold::Reshape) = class(consumer) {
        return Verdict::Alias;
    }
    let reason = used.iter().find_map(|k| cuts.get(&(v, *k))).map(|reason| (*reason).clone());
    let domains = || {
        let (from, to) = (facts.shape(v).to_string(), facts.shape(facts.nodes[consumer as usize].first).to_string());
        Reason::Domains { from, to }
    };
    Verdict::Cut { reason: reason.unwrap_or_else(domains) }
}
