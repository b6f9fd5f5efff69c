//! A kernel in the making: what it computes, loads and stores, each value with its index map.

use super::cost::{Model, Work};
use super::facts::{Class, Facts, Fold};
use super::index::{IndexMap, MapId, Space};
use crate::plan::{Tile, moved_for};
use smallvec::SmallVec;
use std::collections::HashSet;

/// Where a value is stored: in the buffer of `target`, through views that only permute elements or place them in a part.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    /// The value whose buffer it is.
    pub target: u32,
    /// The views on the way, from the stored value to the buffer, each with the operand slot it is entered by. A reshape at the
    /// end is left out: it does not move elements.
    pub chain: Vec<(u32, usize)>,
    /// Every view that the sink stands for, reshapes included.
    pub via: Vec<u32>,
}

/// One value computed at one map. `args` are those of its operands that are not uniform constants, slot by slot.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    pub node: u32,
    pub map: MapId,
    pub args: SmallVec<[Option<MapId>; 3]>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Its place among the units of [`super::depend::Dependence`].
    pub unit: u32,
    /// The value whose elements it walks in order, at map 0.
    pub root: u32,
    pub space: Space,
    pub computed: Vec<Computed>,
    /// Values read from memory, each through one of its sinks.
    pub loads: Vec<(u32, MapId, usize)>,
    /// Values written, each through one of its sinks.
    pub stores: Vec<(u32, MapId, usize)>,
    /// Values written because the user wants to see them: stores that decide nothing.
    pub taps: Vec<(u32, MapId, usize)>,
    /// The anchor whose product it holds, and the map of the result.
    pub product: Option<(u32, MapId)>,
    /// The product whose epilogue it is, held or not.
    pub home: Option<u32>,
    pub nodes: HashSet<u32>,
    /// Values asked for, to be loaded or computed.
    pub reads: HashSet<u32>,
    pub statements: usize,
    /// Values asked for at a map and not yet computed: an upper bound of the loads.
    pub open: usize,
    /// For costing: elements of the domain, bytes known to move, instructions an element.
    pub count: f64,
    pub bytes: f64,
    pub work: Work,
    /// Nanoseconds of its product on the tensor cores.
    pub tensor: f64,
    /// Where it went, with the new place of each of its maps, once it was merged into another.
    pub merged: Option<(usize, Vec<MapId>)>,
}

impl Draft {
    /// Elements of `v` that the kernel touches at a map.
    pub fn touched(&self, facts: &Facts, model: &Model, v: u32, map: MapId) -> f64 {
        let iterators: HashSet<u32> = self.space.map(map).iter().flat_map(|e| e.terms.iter().map(|t| t.0)).collect();
        let all: f64 = iterators.into_iter().map(|i| model.size(&self.space.extents[i as usize])).product();
        all.min(facts.values[v as usize].count)
    }

    /// Bytes that reading `v` at a map moves: the sectors of its elements in the order in which the kernel walks them, unless tiles of
    /// shared memory turn it (see [`crate::plan::moved_for`]).
    pub fn moved(&self, facts: &Facts, model: &Model, v: u32, map: MapId) -> f64 {
        let touched = self.touched(facts, model, v, map);
        let bits = facts.dtype(v).bits();
        let apart = (map != Space::IDENTITY).then(|| self.apart(facts, model, v, map)).flatten();
        apart.map_or(touched * f64::from(bits) / 8.0, |bytes| touched * bytes as f64)
    }

    /// Bytes that each element of `v` moves at a map, if its neighbours in the walk lie apart from it.
    fn apart(&self, facts: &Facts, model: &Model, v: u32, map: MapId) -> Option<u64> {
        let access = |map, v: u32| self.space.access(self.space.map(map), facts.shape(v)).ok();
        let (own, access) = (access(Space::IDENTITY, self.root)?, access(map, v)?);
        let inner = own.strides.iter().position(|stride| stride.is(1))?;
        let long = |i: usize| model.size(&self.space.extents[i]) >= Tile::LEAST_SIDE.into();
        let turned = (0..own.strides.len()).any(|i| i != inner && access.strides[i].is(1) && long(i) && long(inner));
        let size = u64::from(facts.dtype(v).bits()).div_ceil(8);
        Some(moved_for(size, &access.strides[inner])).filter(|bytes| *bytes > size && !turned)
    }

    /// The kernel's time with so many more bytes, and so much more work on each element, without the launch.
    pub fn time(&self, model: &Model, bytes: f64, work: Work) -> f64 {
        model.bytes_ns(self.bytes + bytes).max(model.work_ns(self.work.plus(work), self.count)).max(self.tensor)
    }
}

/// The index map of operand `slot` of node `n`, whose result has map `map`; `None` where it is not affine.
pub(super) fn backward(facts: &Facts, space: &mut Space, n: u32, slot: usize, map: MapId) -> Option<MapId> {
    let node = &facts.nodes[n as usize];
    let (from, to) = (facts.shape(node.operands[slot]), facts.shape(node.first));
    let result = space.map(map).clone();
    let operand = match &node.class {
        Class::Point(_) if from == to => return Some(map),
        Class::Point(_) | Class::View(Fold::Expand) => space.broadcast(&result, from, to)?,
        Class::View(Fold::Reshape) => space.reshape(&result, to, from)?,
        Class::View(Fold::Transpose(axes)) => {
            let mut operand = result.clone();
            for (expr, axis) in result.into_iter().zip(axes) {
                operand[*axis] = expr;
            }
            operand
        }
        Class::View(Fold::Slice(axes)) => {
            let along = result.iter().zip(axes).map(|(expr, axis)| expr.along(&axis.start, axis.step).ok());
            along.collect::<Option<IndexMap>>()?
        }
        Class::View(Fold::Repeat(factors)) => space.repeat(&result, factors)?,
        Class::View(Fold::Concat { .. }) | Class::Source | Class::Hard(_) | Class::Product(_) => return None,
    };
    Some(space.intern(operand))
}

/// The index in a sink's buffer of the element at `map`, and the value whose shape that index is in.
pub(super) fn forward(facts: &Facts, space: &mut Space, v: u32, map: MapId, sink: &Sink) -> Option<(IndexMap, u32)> {
    let (mut index, mut at) = (space.map(map).clone(), v);
    // Reshaping may split iterators; interning keeps the index among the maps that are rewritten then.
    for &(n, slot) in &sink.chain {
        let node = &facts.nodes[n as usize];
        index = match &node.class {
            Class::View(Fold::Reshape) => space.reshape(&index, facts.shape(at), facts.shape(node.first))?,
            Class::View(Fold::Transpose(axes)) => axes.iter().map(|a| index[*a].clone()).collect(),
            Class::View(Fold::Concat { axis, starts }) => {
                index[*axis].offset = index[*axis].offset.add(&starts[slot]).ok()?;
                index
            }
            _ => return None,
        };
        at = node.first;
    }
    Some((index, at))
}
