//! What the user asked for by name: nodes to keep apart, nodes to fuse, values to look at.

use super::facts::{Class, Facts};
use super::{FuseError, Options};
use crate::plan::Reason;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The options' names, resolved to numbers of nodes and values.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Nodes that no kernel may hold together, both ways.
    apart: BTreeMap<u32, Vec<(u32, Reason)>>,
    /// Edges (producer → consumers) that must be fused.
    forced: BTreeMap<u32, BTreeSet<u32>>,
    /// The pairs to be fused, for the check at the end.
    pub pairs: Vec<Pair>,
    pub taps: Vec<u32>,
}

/// Two names to be fused and the nodes they mean.
#[derive(Debug)]
pub(super) struct Pair {
    pub names: (String, String),
    pub from: Vec<u32>,
    pub to: Vec<u32>,
    /// The nodes on the ways between them, both included.
    pub way: Vec<u32>,
}

impl Pins {
    pub fn new(facts: &Facts, options: &Options) -> Result<Pins, FuseError> {
        let mut pins = Pins::default();
        for (a, b) in &options.keep_apart {
            let (x, y) = (nodes(facts, a)?, nodes(facts, b)?);
            if let Some(both) = x.iter().find(|n| y.contains(n)) {
                let node = facts.label(*both).to_string();
                return Err(FuseError::SameNode { a: a.clone(), b: b.clone(), node });
            }
            for (x, y) in x.iter().flat_map(|x| y.iter().map(move |y| (*x, *y))) {
                pins.keep_apart(x, y, Reason::KeptApart);
            }
        }
        let failed = options.failed.iter().map(|failure| {
            (failure.producer, failure.consumer, Reason::CompileFailed { error: failure.error.clone() })
        });
        let apart = options.apart.iter().map(|apart| (apart.producer, apart.consumer, apart.reason.clone()));
        for (producer, consumer, reason) in failed.chain(apart) {
            if let (Some(x), Some(y)) = (facts.node_of(producer), facts.node_of(consumer))
                && x != y
            {
                pins.keep_apart(x, y, reason);
            }
        }
        for (a, b) in &options.fuse {
            pins.fuse(facts, a, b)?;
        }
        for name in &options.taps {
            let value = (0..facts.values.len() as u32).find(|v| facts.name(*v) == name);
            if facts.graph.outputs().iter().any(|(output, _)| output == name) {
                continue;
            }
            let names = || (0..facts.values.len() as u32).map(|v| facts.name(v));
            pins.taps.push(value.ok_or_else(|| unknown("value", name, names()))?);
        }
        Ok(pins)
    }

    fn keep_apart(&mut self, x: u32, y: u32, reason: Reason) {
        self.apart.entry(x).or_default().push((y, reason.clone()));
        self.apart.entry(y).or_default().push((x, reason));
    }

    /// Forces every edge on the ways from one node to the other, whichever comes first.
    fn fuse(&mut self, facts: &Facts, a: &str, b: &str) -> Result<(), FuseError> {
        let (x, y) = (nodes(facts, a)?, nodes(facts, b)?);
        if x.iter().any(|n| y.contains(n)) {
            // A rule has made one op of the two.
            return Ok(());
        }
        let names = (a.to_string(), b.to_string());
        let (from, to) = match (between(facts, &x, &y), between(facts, &y, &x)) {
            (Some(_), _) => (x, y),
            (None, Some(_)) => (y, x),
            (None, None) => return Err(FuseError::NotConnected { a: names.0, b: names.1 }),
        };
        let mut way = between(facts, &from, &to).unwrap_or_default();
        way.extend(&from);
        for &n in way.iter().filter(|n| !from.contains(n)) {
            for v in &facts.nodes[n as usize].operands {
                let producer = facts.values[*v as usize].node;
                if way.contains(&producer) {
                    self.forced.entry(producer).or_default().insert(n);
                }
            }
        }
        self.pairs.push(Pair { names, from, to, way });
        Ok(())
    }

    /// Why node `n` may not join a kernel that holds `nodes`.
    pub fn apart(&self, n: u32, nodes: &HashSet<u32>) -> Option<Reason> {
        let others = self.apart.get(&n)?;
        others.iter().find(|(other, _)| nodes.contains(other)).map(|(_, reason)| reason.clone())
    }

    /// Whether the edge between two nodes must be fused.
    pub fn forces_edge(&self, producer: u32, consumer: u32) -> bool {
        self.forced.get(&producer).is_some_and(|consumers| consumers.contains(&consumer))
    }

    /// Whether node `n` must be computed in a kernel that holds `nodes`.
    pub fn forces(&self, n: u32, nodes: &HashSet<u32>) -> bool {
        self.forced.get(&n).is_some_and(|consumers| consumers.iter().any(|c| nodes.contains(c)))
    }
}

/// The nodes on ways from `from` to `to` through nodes that kernels compute, `from` left out; `None` if there is no way.
fn between(facts: &Facts, from: &[u32], to: &[u32]) -> Option<Vec<u32>> {
    let soft = |n: u32| matches!(facts.nodes[n as usize].class, Class::Point(_) | Class::View(_) | Class::Product(_));
    let end = to.iter().copied().max()?;
    let operands = |n: u32| facts.nodes[n as usize].operands.iter().map(|v| facts.values[*v as usize].node);
    // Ways out of `from`, then back from `to` along them.
    let mut reached: BTreeSet<u32> = from.iter().copied().collect();
    for n in 0..=end {
        if soft(n) && operands(n).any(|m| reached.contains(&m)) {
            reached.insert(n);
        }
    }
    let mut back: BTreeSet<u32> = to.iter().copied().filter(|n| reached.contains(n)).collect();
    for n in (0..=end).rev() {
        if back.contains(&n) && !from.contains(&n) {
            back.extend(operands(n).filter(|m| reached.contains(m)));
        }
    }
    let way: Vec<u32> = back.iter().copied().filter(|n| !from.contains(n)).collect();
    (!way.is_empty() && back.iter().any(|n| from.contains(n))).then_some(way)
}

/// The nodes that a name means: by label, by the name of a model's node they stand for, or by the name of a result.
fn nodes(facts: &Facts, name: &str) -> Result<Vec<u32>, FuseError> {
    let is_named = |n: &u32| {
        let node = facts.graph.node(facts.nodes[*n as usize].id);
        let computes = !matches!(facts.nodes[*n as usize].class, Class::Source);
        computes && (node.origin.iter().any(|o| o.name == name) || node.outputs.iter().any(|o| o.name == name))
    };
    let found: Vec<u32> = (0..facts.nodes.len() as u32).filter(is_named).collect();
    if found.is_empty() {
        return Err(unknown("node", name, (0..facts.nodes.len() as u32).map(|n| facts.label(n))));
    }
    Ok(found)
}

fn unknown<'a>(what: &'static str, name: &str, names: impl Iterator<Item = &'a str>) -> FuseError {
    let mut near: Vec<(usize, &str)> = names.filter(|n| !n.is_empty()).map(|n| (distance(name, n), n)).collect();
    near.sort_unstable();
    near.dedup();
    let near = near.into_iter().take(3).filter(|(d, n)| *d <= n.chars().count().max(4) / 2).map(|(_, n)| n.into());
    FuseError::Unknown { what, name: name.into(), near: near.collect() }
}

/// Edit distance of two names' first characters; names beyond that are no typing mistake of each other.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 96;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(LONGEST).collect(), b.chars().take(LONGEST).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(corner + usize::from(x != y));
            corner = above;
        }
    }
    row[b.len()]
}
