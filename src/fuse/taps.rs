//! Taps: values that the user wants to see, stored by the very kernel that computes them, fusion staying as it is.

use super::draft::Sink;
use super::grow::Growth;
use super::index::{MapId, Space};

impl Growth<'_, '_> {
    /// Makes a kernel that computes `v` at every index store it, unless it lies dense in memory already. A value that no
    /// kernel computes as a whole (it is smaller than the kernels' domain, or they compute parts of it) gets a
    /// kernel of its own, and the others stay as they are.
    pub fn tap(&mut self, v: u32) {
        let dense = self.alias[v as usize].is_some()
            || self.places[v as usize].iter().any(|sink| sink.target == v && sink.chain.is_empty());
        if dense {
            return;
        }
        let own = Sink { target: v, chain: Vec::new(), via: Vec::new() };
        let at = self.places[v as usize].len();
        self.places[v as usize].push(own);
        let n = self.facts.values[v as usize].node;
        let shape = self.facts.shape(v);
        let whole = |(k, draft): (usize, &super::draft::Draft)| {
            let mut maps = draft.computed.iter().filter(|c| c.node == n).map(|c| c.map);
            let map = maps.find(|map| draft.space.bijection(draft.space.map(*map), shape).is_some())?;
            Some((k, map))
        };
        let live = self.drafts.iter().enumerate().filter(|(_, d)| d.merged.is_none() && !d.stores.is_empty());
        let host: Option<(usize, MapId)> = live.filter_map(whole).next();
        match host {
            Some((k, map)) => self.drafts[k].stores.push((v, map, at)),
            None => self.alone(v, at),
        }
    }

    /// A kernel that computes `v` from what lies in memory and stores it at its place `at`.
    fn alone(&mut self, v: u32, at: usize) {
        let k = self.draft(v);
        let n = self.facts.values[v as usize].node;
        let hosts = self.hosts.clone();
        let mut todo = vec![(n, Space::IDENTITY)];
        while let Some((n, map)) = todo.pop() {
            let Some(args) = self.args(k, n, map) else { continue };
            self.compute(k, n, map, args.clone());
            let operands = self.facts.nodes[n as usize].operands.clone();
            for (operand, map) in operands.into_iter().zip(args) {
                let Some(map) = map else { continue };
                if self.places[operand as usize].is_empty() {
                    todo.push((self.facts.values[operand as usize].node, map));
                } else {
                    let place = self.place(k, operand, map);
                    self.drafts[k].loads.push((operand, map, place));
                    self.read_after(operand, k);
                }
            }
        }
        self.drafts[k].stores.push((v, Space::IDENTITY, at));
        // A tap is for looking: it changes no decision.
        self.hosts = hosts;
    }
}
