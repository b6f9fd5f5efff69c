//! Products in kernels: which kernel holds one, and what follows from that.

use super::draft::{Draft, Sink};
use super::facts::Class;
use super::grow::Growth;
use super::index::MapId;
use super::weld::Main;
use crate::plan::Reason;

impl Growth<'_, '_> {
    /// Why a kernel can't compute a node because of products, if so: it belongs to another product's epilogue, or is a product whose
    /// result the kernel does not walk element by element.
    pub fn bar_by_home(&mut self, k: usize, n: u32, maps: &[MapId]) -> Option<Reason> {
        let node = &self.facts.nodes[n as usize];
        let own = match node.class {
            Class::Point(_) | Class::Product(_) => self.homes.of(n),
            _ => None,
        }?;
        let draft = &self.drafts[k];
        if draft.home != Some(own) {
            let users = self.facts.graph.users(node.id).into_iter().filter_map(|(_, user, _)| self.facts.node_of(user));
            let inside = users.filter(|user| draft.nodes.contains(user));
            return Some(self.homes.reason(self.facts, node.first, inside));
        }
        if !matches!(node.class, Class::Product(_)) {
            return None;
        }
        let walked = match maps {
            [map] => draft.space.columns(draft.space.map(*map), self.facts.shape(node.first)).is_some(),
            _ => false,
        };
        (!walked || draft.product.is_some()).then(|| Reason::EpilogueEnds { product: self.facts.label(n).into() })
    }

    /// A product is computed once: by the first kernel that can hold it.
    pub fn one_host(&self, n: u32, bars: &mut [Option<Reason>]) {
        if !matches!(self.facts.nodes[n as usize].class, Class::Product(_)) {
            return;
        }
        for bar in bars.iter_mut().filter(|bar| bar.is_none()).skip(1) {
            *bar = Some(Reason::EpilogueEnds { product: self.facts.label(n).into() });
        }
    }

    /// Makes kernel `k` hold the product of node `n`, whose factors it then reads.
    pub fn hold_product(&mut self, k: usize, n: u32, map: MapId, main: &Main) {
        let facts = self.facts;
        let shape = facts.shape(facts.nodes[n as usize].first);
        let multiplications = main.multiplications(|d| self.model.size(d));
        let draft = &mut self.drafts[k];
        draft.product = Some((n, map));
        draft.space.whole = draft.space.columns(draft.space.map(map), shape).flatten();
        draft.tensor = self.model.tensor_ns(multiplications, main.factors[0].dtype);
        for factor in &main.factors {
            draft.bytes += facts.values[factor.value as usize].bytes;
            draft.reads.insert(factor.value);
            self.readers[factor.value as usize].push(draft.unit);
            self.cuts.insert((factor.value, k), Reason::Factor { product: facts.label(n).into() });
            for view in &factor.through {
                self.hosts[*view as usize].push(k);
            }
        }
    }

    /// Whether a value must lie dense in memory because a product can't read it where it is stored anyway.
    pub fn must_be_dense(&self, v: u32) -> bool {
        let read_by = &self.facts.values[v as usize].factor_of;
        let sinks = &self.pending[v as usize];
        !read_by.iter().all(|(n, slot)| match &self.facts.nodes[*n as usize].class {
            Class::Product(main) => sinks.iter().any(|sink| main.reads(self.facts, *slot, sink)),
            _ => true,
        })
    }

    /// Where a factor is read from: the first of its value's places that the product can read.
    pub fn factor_place(&self, main: &Main, slot: usize) -> Option<&Sink> {
        self.places[main.factors[slot].value as usize].iter().find(|sink| main.reads(self.facts, slot, sink))
    }

    /// The product that a kernel holds, with the node that it stands for.
    pub fn product_of(&self, draft: &Draft) -> Option<(u32, &Main)> {
        let (n, _) = draft.product?;
        match &self.facts.nodes[n as usize].class {
            Class::Product(main) => Some((n, main)),
            _ => None,
        }
    }
}
