//! Which product's epilogue each op belongs to: its home.
//!
//! A kernel holds one product. An op joins the product of the value that it goes on from, and where two products meet, as in a residual sum, the one
//! that saves most, whose value the other stores. Homes are given from the inputs toward the outputs; growth then puts kernels together
//! from the other end, and lets no kernel compute ops of two homes. An epilogue ends where the elements are no longer those of the product, each once: at
//! a broadcast, a slice, a reduction.

use super::cost::Model;
use super::facts::{Class, Facts, Fold};
use super::pins::Pins;
use crate::plan::Reason;
use std::collections::BTreeMap;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Homes {
    /// The anchor of each node, by number.
    of: Vec<Option<u32>>,
    /// Why a value's op does not take over the value's home: by value and consumer.
    left: BTreeMap<(u32, u32), Reason>,
}

/// Sets of products, a bit each.
type Set = Vec<u64>;

impl Homes {
    pub fn new(facts: &Facts, model: &Model, pins: &Pins) -> Homes {
        let products: Vec<u32> = (0..facts.nodes.len() as u32)
            .filter(|n| matches!(facts.nodes[*n as usize].class, Class::Product(_)))
            .collect();
        let mut homes = Homes { of: vec![None; facts.nodes.len()], left: BTreeMap::new() };
        if products.is_empty() {
            return homes;
        }
        let number: BTreeMap<u32, usize> = products.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        let mut uses = vec![0usize; facts.values.len()];
        facts.nodes.iter().flat_map(|node| &node.operands).for_each(|v| uses[*v as usize] += 1);
        // The products that each node's value depends on.
        let mut behind: Vec<Set> = Vec::with_capacity(facts.nodes.len());
        for n in 0..facts.nodes.len() as u32 {
            let node = &facts.nodes[n as usize];
            let mut set = vec![0u64; products.len().div_ceil(64)];
            for v in &node.operands {
                let from = &behind[facts.values[*v as usize].node as usize];
                set.iter_mut().zip(from).for_each(|(a, b)| *a |= b);
            }
            if let Some(i) = number.get(&n) {
                set[i / 64] |= 1 << (i % 64);
            }
            behind.push(set);
            let has = |v: u32, home: u32| {
                let i = number[&home];
                behind[facts.values[v as usize].node as usize][i / 64] >> (i % 64) & 1 == 1
            };
            homes.of[n as usize] = match &node.class {
                Class::Product(_) => Some(n),
                Class::Point(_) => homes.choose(facts, model, pins, n, &uses, &has),
                Class::View(Fold::Transpose(_)) => homes.of_value(facts, node.operands[0]),
                Class::View(Fold::Reshape) => {
                    let (from, to) = (facts.shape(node.operands[0]), facts.shape(node.first));
                    homes.of_value(facts, node.operands[0]).filter(|_| from.last() == to.last())
                }
                _ => None,
            };
        }
        homes
    }

    fn of_value(&self, facts: &Facts, v: u32) -> Option<u32> {
        self.of[facts.values[v as usize].node as usize]
    }

    /// The home of a node.
    pub fn of(&self, n: u32) -> Option<u32> {
        self.of[n as usize]
    }

    /// Why the maker of `v` stays out of a kernel of another home that computes `consumers`.
    pub fn reason(&self, facts: &Facts, v: u32, mut consumers: impl Iterator<Item = u32>) -> Reason {
        let found = consumers.find_map(|n| self.left.get(&(v, n)));
        let home = self.of_value(facts, v).map_or("", |home| facts.label(home));
        found.cloned().unwrap_or_else(|| Reason::EpilogueEnds { product: home.into() })
    }

    /// The product that pointwise op `n` joins.
    fn choose(
        &mut self,
        facts: &Facts,
        model: &Model,
        pins: &Pins,
        n: u32,
        uses: &[usize],
        has: &dyn Fn(u32, u32) -> bool,
    ) -> Option<u32> {
        let node = &facts.nodes[n as usize];
        let maker = |v: u32| facts.values[v as usize].node;
        let mut candidates: Vec<(u32, u32, f64)> = Vec::new();
        for v in &node.operands {
            let Some(home) = self.of_value(facts, *v) else { continue };
            if facts.shape(*v) != facts.shape(node.first) {
                self.left.insert((*v, n), Reason::EpilogueEnds { product: facts.label(home).into() });
                continue;
            }
            // What else is read here may itself wait for the product: then the product can't wait for it.
            let waits = |u: &&u32| self.of_value(facts, **u) != Some(home) && has(**u, home);
            if let Some(other) = node.operands.iter().find(waits) {
                let through = facts.label(maker(*other)).into();
                self.left.insert((*v, n), Reason::Cycle { through });
                continue;
            }
            // It is read once less, and if nothing else reads it, not written.
            let passes = if uses[*v as usize] == 1 && !facts.values[*v as usize].required { 2.0 } else { 1.0 };
            let saved = passes * model.bytes_ns(facts.values[*v as usize].bytes);
            match candidates.iter_mut().find(|c| c.1 == home) {
                Some(known) => known.2 += saved,
                None => candidates.push((*v, home, saved)),
            }
        }
        let forced = |c: &(u32, u32, f64)| pins.forces_edge(maker(c.0), n);
        // The later product among equals: what it waits for is likelier to lie in memory by then.
        let best = candidates
            .iter()
            .copied()
            .max_by(|a, b| forced(a).cmp(&forced(b)).then(a.2.total_cmp(&b.2)).then(a.1.cmp(&b.1)))?;
        for (v, home, saved) in candidates.into_iter().filter(|c| c.1 != best.1) {
            let (product, other) = (facts.label(best.1).into(), facts.label(home).into());
            let reason = Reason::OtherProduct { product, other, saved_ns: best.2, other_ns: saved };
            self.left.insert((v, n), reason);
        }
        Some(best.1)
    }
}
