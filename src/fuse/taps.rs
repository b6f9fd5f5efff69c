//! Taps: values that the user wants to see, stored by the very kernel that computes them, fusion staying as it is.

use super::draft::Sink;
use super::facts::{Class, Fold};
use super::grow::Growth;
use super::index::{MapId, Space};

impl Growth<'_, '_> {
    /// Makes a kernel that computes all of `v` store it too, unless it lies dense in memory already. A value that no
    /// kernel computes as a whole (it is smaller than the kernels' domain, or they compute parts of it) gets a
    /// kernel of its own, and the others stay as they are.
    pub fn tap(&mut self, v: u32) {
        let dense = |sink: &Sink| sink.target == v && sink.chain.is_empty();
        if self.alias[v as usize].is_none() && !self.places[v as usize].iter().any(dense) {
            self.tap_into(v, Sink { target: v, chain: Vec::new(), via: Vec::new() });
        }
    }

    /// Stores `v` to one more place.
    fn tap_into(&mut self, v: u32, sink: Sink) {
        let at = self.places[v as usize].len();
        if let Some((k, map)) = self.whole(v, &sink) {
            self.places[v as usize].push(sink);
            return self.drafts[k].taps.push((v, map, at));
        }
        let n = self.facts.values[v as usize].node;
        if let Class::View(Fold::Concat { .. }) = self.facts.nodes[n as usize].class {
            let operands = self.facts.nodes[n as usize].operands.clone();
            for (slot, operand) in operands.into_iter().enumerate() {
                let mut sink = sink.clone();
                sink.chain.insert(0, (n, slot));
                self.tap_into(operand, sink);
            }
            if sink.chain.is_empty() {
                self.places[v as usize].push(sink);
            }
            return;
        }
        let k = self.draft(v);
        self.places[v as usize].push(sink);
        match self.facts.is_leaf(v) {
            true => self.read_tapped(k, v, Space::IDENTITY),
            false => self.compute_tapped(k, v),
        }
        self.drafts[k].taps.push((v, Space::IDENTITY, at));
    }

    /// The kernel that has all of `v`, computed or loaded, and can store it there; and at which map.
    fn whole(&mut self, v: u32, sink: &Sink) -> Option<(usize, MapId)> {
        let n = self.facts.values[v as usize].node;
        let leaf = self.facts.is_leaf(v);
        for k in 0..self.drafts.len() {
            let draft = &mut self.drafts[k];
            if draft.merged.is_some() || draft.stores.is_empty() || !(leaf || draft.nodes.contains(&n)) {
                continue;
            }
            let computed = draft.computed.iter().filter(|c| c.node == n && !leaf).map(|c| c.map);
            let loaded = draft.loads.iter().filter(|l| l.0 == v && leaf).map(|l| l.1);
            let maps: Vec<MapId> = computed.chain(loaded).collect();
            if let Some(map) = maps.into_iter().find(|map| self.can_write(k, v, *map, std::slice::from_ref(sink))) {
                return Some((k, map));
            }
        }
        None
    }

    /// Computes `v` in a kernel of its own from what lies in memory.
    fn compute_tapped(&mut self, k: usize, v: u32) {
        // A tap is for looking: it changes no decision.
        let hosts = self.hosts.clone();
        let mut todo = vec![(v, Space::IDENTITY)];
        while let Some((u, map)) = todo.pop() {
            let n = self.facts.values[u as usize].node;
            let product = matches!(self.facts.nodes[n as usize].class, Class::Product(_));
            let Some(args) = self.args(k, n, map).filter(|_| !product) else {
                // Its index is not affine here, or it is not computed twice: it must lie in memory first.
                self.tap(u);
                self.read_tapped(k, u, map);
                continue;
            };
            self.compute(k, n, map, args.clone());
            for (operand, map) in self.facts.nodes[n as usize].operands.iter().zip(args) {
                match map {
                    None => {}
                    Some(map) if self.places[*operand as usize].is_empty() => todo.push((*operand, map)),
                    Some(map) => self.read_tapped(k, *operand, map),
                }
            }
        }
        self.hosts = hosts;
    }

    fn read_tapped(&mut self, k: usize, v: u32, map: MapId) {
        let place = self.place(k, v, map);
        self.drafts[k].loads.push((v, map, place));
        self.read_after(v, k);
    }
}
