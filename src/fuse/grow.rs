//! Grows kernels from the values that must lie in memory toward the values they are computed from.
//!
//! Nodes are visited from the outputs to the inputs, so that a value's users are settled when the value's turn comes. Each
//! value is then computed inside the kernels that want it, stored once and read back, or stored by one of those
//! kernels, whichever costs least; kernels that want the same value may become one. A kernel that stores a value must not wait for any
//! reader of it: [`Dependence`] is asked each time, and that is the only place where a cycle could arise.

use super::Options;
use super::cone::{Cone, cones, work_of};
use super::cost::{Model, Work};
use super::depend::Dependence;
use super::draft::{Computed, Draft, Sink, backward, forward};
use super::facts::{Class, Facts, Fold};
use super::home::Homes;
use super::index::{MapId, Space};
use super::pins::Pins;
use crate::plan::Reason;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// Kernels that share a value are tried as one with at most this many others, to stay near-linear.
const MOST_SIBLINGS: usize = 8;

/// See the module's page. Values and nodes go by the numbers of [`Facts`], kernels by their place in `drafts`.
pub(super) struct Growth<'a, 'g> {
    pub facts: &'a Facts<'g>,
    pub model: &'a Model,
    pub options: &'a Options,
    pub pins: &'a Pins,
    pub homes: Homes,
    cones: Vec<Option<Cone>>,
    pub depend: Dependence,
    pub drafts: Vec<Draft>,
    /// Who wants a value, and at which map.
    wanted: Vec<Vec<(usize, MapId)>>,
    /// Stores that views downstream ask of a value.
    pub pending: Vec<Vec<Sink>>,
    /// Where a value can be read.
    pub places: Vec<Vec<Sink>>,
    /// The units that read a value from memory.
    pub readers: Vec<Vec<u32>>,
    /// The unit of each node that stays a node.
    pub units: Vec<Option<u32>>,
    /// The value whose memory a reshaped value shares.
    pub alias: Vec<Option<u32>>,
    /// Why a kernel reads a value from memory instead of computing it.
    pub cuts: BTreeMap<(u32, usize), Reason>,
    /// The kernels that each node is computed in.
    pub hosts: Vec<Vec<usize>>,
}

/// A kernel that wants a value, with the maps it wants it at.
type Want = (usize, Vec<MapId>);

impl<'a, 'g> Growth<'a, 'g> {
    /// Runs the whole growth.
    pub fn run(facts: &'a Facts<'g>, model: &'a Model, options: &'a Options, pins: &'a Pins) -> Growth<'a, 'g> {
        let (nodes, values) = (facts.nodes.len(), facts.values.len());
        let mut growth = Growth {
            facts,
            model,
            options,
            pins,
            homes: Homes::new(facts, model, pins),
            cones: cones(facts),
            depend: Dependence::default(),
            drafts: Vec::new(),
            wanted: vec![Vec::new(); values],
            pending: vec![Vec::new(); values],
            places: vec![Vec::new(); values],
            readers: vec![Vec::new(); values],
            units: vec![None; nodes],
            alias: vec![None; values],
            cuts: BTreeMap::new(),
            hosts: vec![Vec::new(); nodes],
        };
        for n in (0..nodes as u32).rev() {
            match &facts.nodes[n as usize].class {
                Class::Source => growth.leaves(n),
                Class::Hard(_) => growth.hard(n),
                Class::Point(_) | Class::Product(_) | Class::View(Fold::Slice(_) | Fold::Expand | Fold::Repeat(_)) => {
                    growth.value(n);
                }
                Class::View(Fold::Reshape | Fold::Transpose(_) | Fold::Concat { .. }) => growth.permutation(n),
            }
        }
        growth
    }

    /// Where a kernel and one of its maps are now, after merges.
    pub fn resolve(&self, mut k: usize, mut map: MapId) -> (usize, MapId) {
        while let Some((into, maps)) = &self.drafts[k].merged {
            (k, map) = (*into, maps[map.0 as usize]);
        }
        (k, map)
    }

    /// Whether one kernel computes nodes of both sets.
    pub fn holds(&self, a: &[u32], b: &[u32]) -> bool {
        let mut live = self.drafts.iter().filter(|d| d.merged.is_none());
        live.any(|d| a.iter().any(|n| d.nodes.contains(n)) && b.iter().any(|n| d.nodes.contains(n)))
    }

    /// Makes kernel `k`, which nothing reads, wait for whatever writes `v`.
    pub fn read_after(&mut self, v: u32, k: usize) {
        let reader = self.drafts[k].unit;
        let node = self.facts.values[v as usize].node;
        let writers = self.drafts.iter().filter(|d| d.merged.is_none() && d.stores.iter().any(|s| s.0 == v));
        let writers: Vec<u32> = writers.map(|d| d.unit).chain(self.units[node as usize]).collect();
        writers.into_iter().for_each(|w| self.depend.link(w, reader));
    }

    fn wants(&self, v: u32) -> Vec<Want> {
        let mut wants = BTreeMap::<usize, Vec<MapId>>::new();
        for &(k, map) in &self.wanted[v as usize] {
            let (k, map) = self.resolve(k, map);
            let maps = wants.entry(k).or_default();
            if !maps.contains(&map) {
                maps.push(map);
            }
        }
        wants.into_iter().collect()
    }

    fn want(&mut self, v: u32, k: usize, map: MapId) {
        if !self.wanted[v as usize].contains(&(k, map)) {
            self.wanted[v as usize].push((k, map));
            let bytes = self.bytes_at(k, v, map);
            let draft = &mut self.drafts[k];
            draft.open += 1;
            draft.bytes += bytes;
            draft.reads.insert(v);
        }
    }

    /// Bytes that reading `v` at a map moves.
    fn bytes_at(&self, k: usize, v: u32, map: MapId) -> f64 {
        self.drafts[k].moved(self.facts, self.model, v, map)
    }

    /// A kernel that walks the elements of `v`.
    pub fn draft(&mut self, v: u32) -> usize {
        let space = Space::of(self.facts.shape(v));
        let count = self.facts.values[v as usize].count;
        let home = self.homes.of(self.facts.values[v as usize].node);
        self.drafts.push(Draft { unit: self.depend.add(), root: v, space, count, home, ..Draft::default() });
        self.drafts.len() - 1
    }

    /// A node that stays a node: it reads its operands from memory and makes leaves.
    fn hard(&mut self, n: u32) {
        let unit = self.depend.add();
        self.units[n as usize] = Some(unit);
        self.leaves(n);
        for v in &self.facts.nodes[n as usize].operands {
            self.readers[*v as usize].push(unit);
        }
    }

    /// Values that lie in memory without a kernel's doing. Kernels load them; what views ask of them is copied.
    fn leaves(&mut self, n: u32) {
        let node = &self.facts.nodes[n as usize];
        for v in node.first..node.first + node.results {
            let mut wants = self.wants(v);
            self.merge_siblings(v, &mut wants);
            for (k, maps) in &wants {
                self.readers[v as usize].push(self.drafts[*k].unit);
                self.drafts[*k].loads.extend(maps.iter().map(|map| (v, *map, 0)));
            }
            let mut sinks = self.collapse(v, true);
            self.places[v as usize] = sinks.clone();
            sinks.remove(0);
            self.copy(v, &wants, sinks);
            if let Some(unit) = self.units[n as usize] {
                self.link(unit, v);
            }
        }
    }

    /// Stores `v`, which lies in memory at its place 0, to other places: by a kernel that reads it anyway, or by its own.
    fn copy(&mut self, v: u32, wants: &[Want], sinks: Vec<Sink>) {
        if sinks.is_empty() {
            return;
        }
        let first = self.places[v as usize].len() - sinks.len();
        let readers = self.readers_of(&sinks);
        let host = wants.iter().find_map(|(k, maps)| {
            let map = maps.iter().copied().find(|map| self.can_store(*k, v, *map, &sinks))?;
            readers.iter().all(|r| !self.depend.reaches(*r, self.drafts[*k].unit)).then_some((*k, map))
        });
        let mut left: Vec<usize> = (0..sinks.len()).collect();
        let mut host = host;
        while !left.is_empty() {
            let (k, map) = host.take().unwrap_or_else(|| {
                let k = self.draft(v);
                self.readers[v as usize].push(self.drafts[k].unit);
                self.drafts[k].loads.push((v, Space::IDENTITY, 0));
                (k, Space::IDENTITY)
            });
            left = self.store(k, v, map, &sinks, left, first);
            readers.iter().for_each(|r| self.depend.link(self.drafts[k].unit, *r));
        }
    }

    /// Lets the kernel store `v` at those of `sinks` that its space allows; returns the others.
    fn store(&mut self, k: usize, v: u32, map: MapId, sinks: &[Sink], which: Vec<usize>, first: usize) -> Vec<usize> {
        let mut left = Vec::new();
        for at in which {
            let draft = &mut self.drafts[k];
            let full = draft.stores.len() >= self.options.max_stores.max(1);
            if full || forward(self.facts, &mut draft.space, v, map, &sinks[at]).is_none() {
                left.push(at);
                continue;
            }
            draft.stores.push((v, map, first + at));
            draft.bytes += self.facts.values[v as usize].bytes;
            sinks[at].via.iter().for_each(|n| self.hosts[*n as usize].push(k));
        }
        left
    }

    fn can_store(&mut self, k: usize, v: u32, map: MapId, sinks: &[Sink]) -> bool {
        self.drafts[k].stores.len() + sinks.len() <= self.options.max_stores && self.can_write(k, v, map, sinks)
    }

    /// Whether a kernel has each element of `v` exactly once at a map, and can store it where `sinks` say.
    pub fn can_write(&mut self, k: usize, v: u32, map: MapId, sinks: &[Sink]) -> bool {
        let draft = &mut self.drafts[k];
        draft.space.bijection(draft.space.map(map), self.facts.shape(v)).is_some()
            && sinks.iter().all(|sink| forward(self.facts, &mut draft.space, v, map, sink).is_some())
    }

    fn readers_of(&self, sinks: &[Sink]) -> Vec<u32> {
        sinks.iter().flat_map(|sink| self.readers[sink.target as usize].iter().copied()).collect()
    }

    fn link(&mut self, unit: u32, v: u32) {
        for reader in std::mem::take(&mut self.readers[v as usize]) {
            self.depend.link(unit, reader);
            self.readers[v as usize].push(reader);
        }
    }

    /// The stores asked of `v`, its own first if it must lie dense in memory. Those that differ by reshapes become one, the
    /// others' values becoming aliases.
    fn collapse(&mut self, v: u32, dense: bool) -> Vec<Sink> {
        let asked = std::mem::take(&mut self.pending[v as usize]);
        let own = (dense || self.facts.values[v as usize].required).then(|| Sink {
            target: v,
            chain: Vec::new(),
            via: Vec::new(),
        });
        let mut sinks: Vec<Sink> = Vec::new();
        for sink in own.into_iter().chain(asked) {
            match sinks.iter_mut().find(|s| s.chain.is_empty() && sink.chain.is_empty()) {
                Some(first) if first.target != sink.target => {
                    first.via.extend(&sink.via);
                    let target = first.target;
                    self.alias[sink.target as usize] = Some(target);
                    let readers = self.readers[sink.target as usize].clone();
                    self.readers[target as usize].extend(readers);
                }
                Some(_) => {}
                None => sinks.push(sink),
            }
        }
        // The dense place first: it is the one to read from.
        sinks.sort_by_key(|s| !s.chain.is_empty());
        sinks
    }

    /// A view that permutes elements or places them in a part of a buffer. Kernels that want its result look through it; what must be
    /// stored is stored by whoever makes its operands.
    fn permutation(&mut self, n: u32) {
        let v = self.facts.nodes[n as usize].first;
        let mut dense = false;
        let mut wants = self.wants(v);
        if self.lies_apart(n, &wants).is_some() {
            self.merge_siblings(v, &mut wants);
        }
        let pass = self.pass_by_cost(n, &wants);
        for (k, maps) in wants {
            for map in maps {
                let forced = self.pins.forces(n, &self.drafts[k].nodes);
                let bar = self.pins.apart(n, &self.drafts[k].nodes).or_else(|| pass.clone().filter(|_| !forced));
                let operand = match bar {
                    Some(_) => None,
                    None => backward(self.facts, &mut self.drafts[k].space, n, 0, map),
                };
                match operand {
                    Some(operand) => self.compute(k, n, map, smallvec::smallvec![Some(operand)]),
                    None => {
                        dense = true;
                        let view = self.facts.label(n).into();
                        self.cuts.insert((v, k), bar.unwrap_or(Reason::IndexNotAffine { view }));
                        self.readers[v as usize].push(self.drafts[k].unit);
                        self.drafts[k].loads.push((v, map, 0));
                    }
                }
            }
        }
        let blocked = self.pending[v as usize].iter().any(|sink| !self.reaches_operands(n, sink));
        let sinks = self.collapse(v, dense || blocked || self.must_be_dense(v));
        let (up, copied): (Vec<Sink>, Vec<Sink>) = sinks.into_iter().partition(|s| self.reaches_operands(n, s));
        self.places[v as usize] = up.iter().chain(&copied).cloned().collect();
        self.copy(v, &[], copied);
        for (slot, operand) in self.facts.nodes[n as usize].operands.iter().enumerate() {
            for sink in &up {
                let mut sink = sink.clone();
                sink.via.push(n);
                if !self.is_reshape(n) || !sink.chain.is_empty() {
                    sink.chain.insert(0, (n, slot));
                }
                self.pending[*operand as usize].push(sink);
            }
        }
    }

    fn is_reshape(&self, n: u32) -> bool {
        matches!(self.facts.nodes[n as usize].class, Class::View(Fold::Reshape))
    }

    /// Whether a store of the view's result can be done by whoever makes its operands.
    fn reaches_operands(&self, n: u32, sink: &Sink) -> bool {
        if sink.chain.is_empty() {
            return true;
        }
        self.facts.nodes[n as usize].operands.iter().enumerate().all(|(slot, operand)| {
            let mut chain = vec![(n, slot)];
            chain.extend(&sink.chain);
            let sink = Sink { target: sink.target, chain, via: Vec::new() };
            let mut space = Space::of(self.facts.shape(*operand));
            forward(self.facts, &mut space, *operand, Space::IDENTITY, &sink).is_some()
        })
    }

    /// Computes a node's result at a map inside a kernel, which then wants the operands.
    pub fn compute(&mut self, k: usize, n: u32, map: MapId, args: SmallVec<[Option<MapId>; 3]>) {
        let node = &self.facts.nodes[n as usize];
        let draft = &mut self.drafts[k];
        if draft.nodes.insert(n) {
            self.hosts[n as usize].push(k);
        }
        draft.work = draft.work.plus(work_of(self.facts, n));
        draft.statements += usize::from(matches!(node.class, Class::Point(_)));
        draft.computed.push(Computed { node: n, map, args: args.clone() });
        if let Class::Product(main) = &node.class {
            self.hold_product(k, n, map, main);
        }
        if self.wanted[node.first as usize].iter().any(|(of, _)| self.resolve(*of, MapId(0)).0 == k) {
            let bytes = self.bytes_at(k, node.first, map);
            let draft = &mut self.drafts[k];
            draft.open = draft.open.saturating_sub(1);
            draft.bytes -= bytes;
        }
        for (operand, map) in node.operands.iter().zip(args) {
            if let Some(map) = map {
                self.want(*operand, k, map);
            }
        }
    }

    /// The maps of a node's operands for its result at `map`; uniform constants need none. `None` if one is not affine.
    pub fn args(&mut self, k: usize, n: u32, map: MapId) -> Option<SmallVec<[Option<MapId>; 3]>> {
        let node = &self.facts.nodes[n as usize];
        let operands = &node.operands;
        if let Class::Product(_) = node.class {
            // Its factors are no elements at an index of the kernel.
            return Some(smallvec::smallvec![None; operands.len()]);
        }
        let arg = |(slot, operand): (usize, &u32)| match self.facts.values[*operand as usize].uniform {
            Some(_) => Some(None),
            None => backward(self.facts, &mut self.drafts[k].space, n, slot, map).map(Some),
        };
        operands.iter().enumerate().map(arg).collect()
    }

    /// Why a kernel can't compute a node, if so.
    fn bar(&mut self, k: usize, n: u32, maps: &[MapId]) -> Option<Reason> {
        if let Some(reason) = self.pins.apart(n, &self.drafts[k].nodes).or_else(|| self.bar_by_home(k, n, maps)) {
            return Some(reason);
        }
        if maps.iter().any(|map| self.args(k, n, *map).is_none()) {
            return Some(Reason::IndexNotAffine { view: self.facts.label(n).into() });
        }
        let node = &self.facts.nodes[n as usize];
        let mut new = BTreeSet::new();
        for map in maps {
            let args = self.args(k, n, *map).unwrap_or_default();
            new.extend(node.operands.iter().zip(args).filter_map(|(o, map)| Some((*o, map?))));
        }
        new.retain(|(o, map)| !self.wanted[*o as usize].iter().any(|(of, m)| self.resolve(*of, *m) == (k, *map)));
        let draft = &self.drafts[k];
        let too_large = |what: &str, limit| Some(Reason::TooLarge { what: what.into(), limit });
        // The node's own place among the open reads is free once it is computed.
        if new.len() > maps.len() && draft.open + new.len() > self.options.max_loads + maps.len() {
            return too_large("loads", self.options.max_loads);
        }
        if draft.statements + maps.len() > self.options.max_statements && matches!(node.class, Class::Point(_)) {
            return too_large("statements", self.options.max_statements);
        }
        None
    }

    /// A pointwise node, or a view that selects or repeats elements.
    fn value(&mut self, n: u32) {
        let v = self.facts.nodes[n as usize].first;
        let mut wants = self.wants(v);
        self.merge_siblings(v, &mut wants);
        let mut bars: Vec<Option<Reason>> = wants.iter().map(|(k, maps)| self.bar(*k, n, maps)).collect();
        self.one_host(n, &mut bars);
        let forced: Vec<bool> = wants.iter().map(|(k, _)| self.pins.forces(n, &self.drafts[*k].nodes)).collect();
        let barred: Vec<bool> = bars.iter().map(Option::is_some).collect();
        let mut load = barred.clone();
        let mut sinks = self.collapse(v, self.must_be_dense(v));
        let costs: Vec<(f64, f64)> = wants.iter().map(|want| self.costs(n, want)).collect();
        let mut reasons: Vec<Option<Reason>> = bars;
        if !sinks.is_empty() || load.contains(&true) {
            for i in 0..wants.len() {
                let (again, read) = costs[i];
                // A view of what lies in memory reads as much as its result, and waits for nobody.
                let free = self.cones[v as usize].as_ref().is_some_and(|c| c.work == Work::default());
                if !load[i] && !forced[i] && (again > read || again == read && !free) {
                    load[i] = true;
                    let why = "the value is stored anyway, and reading it back costs no more than computing it again";
                    reasons[i] = Some(Reason::Cost { fused_ns: again, cut_ns: read, why: why.into() });
                }
            }
        } else if let Some(reason) = self.apart_by_cost(n, &wants, &costs, &forced) {
            for i in 0..wants.len() {
                load[i] = !forced[i];
                reasons[i] = Some(reason.clone());
            }
        }
        let stored = !sinks.is_empty() || load.contains(&true);
        if stored {
            self.keep(n, &wants, &barred, &mut load, &mut reasons, &mut sinks);
        }
        for (i, (k, maps)) in wants.into_iter().enumerate() {
            for map in maps {
                if load[i] {
                    let place = self.place(k, v, map);
                    self.drafts[k].loads.push((v, map, place));
                    continue;
                }
                if let Some(args) = self.args(k, n, map) {
                    self.compute(k, n, map, args);
                }
            }
            if let (true, Some(reason)) = (load[i], reasons[i].take()) {
                self.cuts.insert((v, k), reason);
            }
        }
    }

    /// Which of a value's places a kernel reads at a map; [`Growth::keep`] has seen to it that there is one.
    pub fn place(&mut self, k: usize, v: u32, map: MapId) -> usize {
        let places = &self.places[v as usize];
        let space = &mut self.drafts[k].space;
        places.iter().position(|sink| forward(self.facts, space, v, map, sink).is_some()).unwrap_or(0)
    }

    /// Times of (computing again, reading) in a kernel that wants the value of `n`.
    fn costs(&self, n: u32, (k, maps): &Want) -> (f64, f64) {
        let v = self.facts.nodes[n as usize].first;
        let (draft, value) = (&self.drafts[*k], &self.facts.values[v as usize]);
        let read: f64 = maps.iter().map(|map| self.bytes_at(*k, v, *map)).sum();
        let own = Cone { work: work_of(self.facts, n), ..Cone::default() };
        let cone = self.cones[v as usize].as_ref();
        let (mut bytes, mut work) = (0.0, Work::default());
        for map in maps {
            let touched = draft.touched(self.facts, self.model, v, *map);
            let share = touched / value.count.max(1.0);
            // No more than one element of each leaf for one of the value: a slice of it may need less than all.
            let part = |l: &u32| {
                let leaf = &self.facts.values[*l as usize];
                (share * leaf.count).min(touched) * leaf.bytes / leaf.count.max(1.0)
            };
            let leaves = cone.map_or(&[][..], |c| &c.leaves).iter().filter(|l| !draft.reads.contains(l));
            bytes += leaves.map(part).sum::<f64>();
            bytes += if cone.is_none() { share * value.bytes } else { 0.0 };
            work = work.plus(cone.unwrap_or(&own).work);
        }
        let neither = draft.time(self.model, -read, Work::default());
        let time = |bytes, work| draft.time(self.model, bytes - read, work) - neither;
        (time(bytes, work), time(read, Work::default()))
    }

    /// Whether a value that nothing requires in memory had better be stored once than computed in each kernel that wants
    /// it, and why.
    fn apart_by_cost(&mut self, n: u32, wants: &[Want], costs: &[(f64, f64)], forced: &[bool]) -> Option<Reason> {
        let v = self.facts.nodes[n as usize].first;
        let value = &self.facts.values[v as usize];
        if forced.iter().all(|f| *f) {
            return None;
        }
        if matches!(self.facts.nodes[n as usize].class, Class::View(_)) {
            return self.pass_by_cost(n, wants);
        }
        let once = |(k, maps): &Want| maps.len() == 1 && self.drafts[*k].count <= value.count;
        if let [want] = wants
            && once(want)
        {
            return None;
        }
        let cone = self.cones[v as usize].as_ref();
        let again: f64 = costs.iter().map(|c| c.0).sum();
        let reads: f64 = costs.iter().map(|c| c.1).sum();
        let leaves: f64 =
            cone.map_or(value.bytes, |c| c.leaves.iter().map(|l| self.facts.values[*l as usize].bytes).sum());
        let work = cone.map_or(work_of(self.facts, n), |c| c.work);
        let body = self.model.bytes_ns(leaves + value.bytes).max(self.model.work_ns(work, value.count));
        // Whether one of the kernels can store it is not known yet: the cheaper of that and a kernel of its own.
        let own = self.model.launch_ns + body + reads;
        let hosted = wants.iter().zip(costs).filter(|((k, maps), _)| {
            let space = &self.drafts[*k].space;
            maps.iter().any(|m| space.bijection(space.map(*m), self.facts.shape(v)).is_some())
        });
        let write = self.model.bytes_ns(value.bytes);
        let hosted = hosted.map(|(_, (again, read))| write + again + reads - read).fold(f64::INFINITY, f64::min);
        let apart = own.min(hosted);
        if cone.is_none() && wants.len() > 1 {
            return Some(Reason::TooLarge {
                what: "ops that are computed again".into(),
                limit: super::cone::MOST_NODES,
            });
        }
        let why = match wants {
            [_] => "computing it for every element of the larger kernel costs more than storing it once",
            _ => "storing it once costs less than computing it in each kernel that reads it",
        };
        (apart < again).then(|| Reason::Cost { fused_ns: again, cut_ns: apart, why: why.into() })
    }

    /// Bytes that kernels move that read the operand of a view through it, and that they would move of its result, if its elements lie
    /// apart where they take them.
    fn lies_apart(&mut self, n: u32, wants: &[Want]) -> Option<(f64, f64)> {
        let node = &self.facts.nodes[n as usize];
        let &[operand] = &node.operands[..] else { return None };
        let (mut through, mut adjacent, mut read) = (0.0, 0.0, 0.0);
        for (k, maps) in wants {
            for map in maps {
                let at = backward(self.facts, &mut self.drafts[*k].space, n, 0, *map)?;
                let touched = self.drafts[*k].touched(self.facts, self.model, operand, at);
                through += self.bytes_at(*k, operand, at);
                adjacent += touched * f64::from(self.facts.dtype(operand).bits()) / 8.0;
                read += self.bytes_at(*k, node.first, *map);
            }
        }
        (through > adjacent).then_some((through, read))
    }

    /// Whether a view had better be a pass of its own, which puts its elements in order once, and why.
    fn pass_by_cost(&mut self, n: u32, wants: &[Want]) -> Option<Reason> {
        let (through, read) = self.lies_apart(n, wants)?;
        let node = &self.facts.nodes[n as usize];
        let mut pass = Draft { root: node.first, space: Space::of(self.facts.shape(node.first)), ..Draft::default() };
        let at = backward(self.facts, &mut pass.space, n, 0, Space::IDENTITY)?;
        let bytes = pass.moved(self.facts, self.model, node.operands[0], at);
        let bytes = bytes + self.facts.values[node.first as usize].bytes;
        let fused_ns = self.model.bytes_ns(through);
        let cut_ns = self.model.launch_ns + self.model.bytes_ns(bytes + read);
        let why = "its elements lie apart, and putting them in order once moves fewer sectors";
        (cut_ns < fused_ns).then(|| Reason::Cost { fused_ns, cut_ns, why: why.into() })
    }

    /// Stores the value of `n`: by one of the kernels that want it, or else by a kernel of its own.
    fn keep(
        &mut self,
        n: u32,
        wants: &[Want],
        barred: &[bool],
        load: &mut [bool],
        reasons: &mut [Option<Reason>],
        sinks: &mut Vec<Sink>,
    ) {
        let v = self.facts.nodes[n as usize].first;
        let readable = wants.iter().zip(&*load).filter(|(_, load)| **load).all(|((k, maps), _)| {
            let space = &mut self.drafts[*k].space;
            maps.iter().all(|map| sinks.iter().any(|s| forward(self.facts, space, v, *map, s).is_some()))
        });
        if !readable || sinks.is_empty() {
            sinks.insert(0, Sink { target: v, chain: Vec::new(), via: Vec::new() });
        }
        self.places[v as usize] = sinks.clone();
        let mut fixed = self.readers_of(sinks);
        fixed.extend(&self.readers[v as usize]);
        let mut host = None;
        for (i, (k, maps)) in wants.iter().enumerate() {
            let map = maps.iter().copied().find(|m| self.can_store(*k, v, *m, sinks));
            let Some(map) = map.filter(|_| !barred[i]) else { continue };
            let unit = self.drafts[*k].unit;
            let others = wants.iter().zip(&*load).enumerate().filter(|(j, (_, load))| *j != i && **load);
            let others = others.map(|(_, ((k, _), _))| self.drafts[*k].unit);
            let readers: Vec<u32> = fixed.iter().copied().chain(others).collect();
            match readers.iter().find(|r| self.depend.reaches(**r, unit)) {
                None => {
                    (load[i], reasons[i]) = (false, None);
                    host = Some((*k, map));
                    break;
                }
                Some(through) if load[i] => reasons[i] = Some(Reason::Cycle { through: self.unit_label(*through) }),
                Some(_) => {}
            }
        }
        let loaders = wants.iter().zip(&*load).filter(|(_, load)| **load).map(|((k, _), _)| self.drafts[*k].unit);
        let readers: Vec<u32> = fixed.into_iter().chain(loaders).collect();
        self.readers[v as usize] = readers;
        let mut left: Vec<usize> = (0..sinks.len()).collect();
        while !left.is_empty() {
            let (k, map) = host.take().unwrap_or_else(|| {
                let k = self.draft(v);
                if let Some(args) = self.args(k, n, Space::IDENTITY) {
                    self.compute(k, n, Space::IDENTITY, args);
                }
                (k, Space::IDENTITY)
            });
            left = self.store(k, v, map, sinks, left, 0);
            self.link(self.drafts[k].unit, v);
        }
    }

    /// What to call a unit in a reason.
    fn unit_label(&self, unit: u32) -> String {
        let unit = self.depend.find(unit);
        let node = self.units.iter().position(|u| *u == Some(unit)).map(|n| n as u32);
        let kernel = || {
            let draft = self.drafts.iter().find(|d| d.merged.is_none() && self.depend.find(d.unit) == unit)?;
            draft.computed.first().map(|c| c.node)
        };
        node.or_else(kernel).map_or_else(String::new, |n| self.facts.label(n).into())
    }

    /// Makes one kernel of those that want all of `v`, where that closes no cycle and keeps to the limits: `v` is then read or computed once.
    fn merge_siblings(&mut self, v: u32, wants: &mut Vec<Want>) {
        if wants.len() < 2 || self.facts.values[v as usize].uniform.is_some() {
            return;
        }
        let mut kept: Vec<Want> = Vec::new();
        for (k, maps) in std::mem::take(wants) {
            let into = kept.iter().take(MOST_SIBLINGS).position(|(a, m)| self.merge(v, (*a, m), (k, &maps)));
            if into.is_none() {
                kept.push((k, maps));
            }
        }
        *wants = kept;
    }

    fn merge(&mut self, v: u32, (a, maps_a): (usize, &[MapId]), (b, maps_b): (usize, &[MapId])) -> bool {
        let ([map_a], [map_b]) = (maps_a, maps_b) else { return false };
        let (x, y) = (&self.drafts[a], &self.drafts[b]);
        let fits = x.open + y.open <= self.options.max_loads + 1
            && x.stores.len() + y.stores.len() <= self.options.max_stores
            && x.statements + y.statements <= self.options.max_statements
            && x.home == y.home
            && !y.nodes.iter().any(|n| self.pins.apart(*n, &x.nodes).is_some());
        if !fits {
            return false;
        }
        let shape = self.facts.shape(v);
        let mine = x.space.bijection(x.space.map(*map_a), shape);
        let theirs = y.space.bijection(y.space.map(*map_b), shape);
        let (Some(mine), Some(theirs)) = (mine, theirs) else { return false };
        let (unit_a, unit_b) = (x.unit, y.unit);
        if self.depend.reaches(unit_a, unit_b) || self.depend.reaches(unit_b, unit_a) {
            return false;
        }
        let other = self.drafts[b].space.clone();
        let Some(maps) = self.drafts[a].space.absorb(other, mine, theirs) else { return false };
        self.depend.merge(unit_a, unit_b);
        let gone = std::mem::take(&mut self.drafts[b]);
        let to = |map: MapId| maps[map.0 as usize];
        let shared = self.bytes_at(a, v, *map_a);
        let draft = &mut self.drafts[a];
        draft.computed.extend(gone.computed.into_iter().map(|c| Computed {
            map: to(c.map),
            args: c.args.into_iter().map(|arg| arg.map(to)).collect(),
            ..c
        }));
        draft.loads.extend(gone.loads.into_iter().map(|(v, map, at)| (v, to(map), at)));
        draft.stores.extend(gone.stores.into_iter().map(|(v, map, at)| (v, to(map), at)));
        draft.nodes.extend(gone.nodes);
        draft.reads.extend(gone.reads);
        draft.statements += gone.statements;
        draft.open += gone.open.saturating_sub(1);
        draft.bytes += gone.bytes - shared;
        draft.work = draft.work.plus(gone.work);
        draft.tensor += gone.tensor;
        draft.product = draft.product.or(gone.product.map(|(n, map)| (n, to(map))));
        self.drafts[b].unit = unit_b;
        self.drafts[b].merged = Some((a, maps));
        true
    }
}
