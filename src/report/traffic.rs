//! Bytes and launches, before fusion and after.

use crate::dim::{Bindings, Dim};
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::plan::{Access, Kernel, Plan};
use serde::Serialize;
use std::collections::BTreeSet;

/// What the pointwise part of a model costs to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Kernels launched.
    pub launches: u64,
    /// Bytes read and written, each element counted once a kernel.
    pub bytes: u64,
}

impl Traffic {
    pub fn add(&mut self, other: Traffic) {
        self.launches += other.launches;
        self.bytes += other.bytes;
    }
}

/// The sizes for which symbols are counted: those given, and 1 for every other.
pub fn sizes_for<'a>(given: &Bindings, dims: impl IntoIterator<Item = &'a Dim>) -> Bindings {
    let mut names = BTreeSet::new();
    dims.into_iter().for_each(|d| d.symbols(&mut names));
    names.into_iter().map(|name| (name.clone(), given.get(&name).copied().unwrap_or(1))).collect()
}

/// Every dimension that a graph's types mention.
pub fn dims(graph: &Graph) -> impl Iterator<Item = &Dim> {
    graph
        .ids()
        .flat_map(|id| &graph.node(id).outputs)
        .filter_map(|o| o.ty.shape.as_ref())
        .flat_map(|shape| shape.iter())
}

/// A pointwise node or a view as a kernel of its own: what a framework without fusion launches. Reshapes move nothing.
pub fn of_node(graph: &Graph, id: NodeId, sizes: &Bindings) -> Traffic {
    use crate::view::View;
    match &graph.node(id).kind {
        Kind::Pointwise(_) => {}
        Kind::View(view) if !matches!(view, View::Reshape { .. }) => {}
        _ => return Traffic::default(),
    }
    let operands: BTreeSet<Value> = graph.operands(id).into_iter().collect();
    let written: u64 = bytes(graph, id.value(), sizes);
    // A view reads no more than it writes: a slice of a large tensor does not read the rest.
    let is_view = matches!(graph.node(id).kind, Kind::View(_));
    let read = operands.into_iter().map(|v| bytes(graph, v, sizes)).map(|n| if is_view { n.min(written) } else { n });
    Traffic { launches: 1, bytes: read.sum::<u64>() + written }
}

/// Bytes of a tensor; 0 where its type is not known, and for single constants, which travel with the launch.
fn bytes(graph: &Graph, value: Value, sizes: &Bindings) -> u64 {
    if graph.constant(value).is_some_and(|t| t.len() == 1) {
        return 0;
    }
    let Some((dtype, shape)) = graph.ty(value).full() else { return 0 };
    let count = shape.iter().map(|d| d.eval(sizes).unwrap_or(0)).fold(1u64, u64::saturating_mul);
    count.saturating_mul(dtype.bits().into()).div_ceil(8)
}

/// A kernel of a plan.
pub fn of_kernel(plan: &Plan, kernel: &Kernel, sizes: &Bindings) -> Traffic {
    let touched = |access: &Access, bits: u32| {
        // Axes of stride 0 read the same element again.
        let axes = access.strides.iter().zip(&kernel.domain).filter(|(stride, _)| !stride.is(0));
        let count = axes.map(|(_, d)| d.eval(sizes).unwrap_or(0)).fold(1u64, u64::saturating_mul);
        count.saturating_mul(bits.into()).div_ceil(8)
    };
    let mut total = Traffic { launches: 1, bytes: 0 };
    let mut seen = Vec::new();
    for load in &kernel.loads {
        // Loads of one buffer through one access are one read.
        if !seen.contains(&(load.buffer, &load.access)) {
            seen.push((load.buffer, &load.access));
            let of = plan.buffer(load.buffer);
            let whole = of.ty.shape.as_ref().and_then(|s| s.count().ok()).and_then(|n| n.eval(sizes).ok());
            let whole = whole.map_or(u64::MAX, |n| n.saturating_mul(load.dtype.bits().into()).div_ceil(8));
            total.bytes += touched(&load.access, load.dtype.bits()).min(whole);
        }
    }
    total.bytes += kernel.stores.iter().map(|s| touched(&s.access, s.dtype.bits())).sum::<u64>();
    total
}

/// All kernels of a plan.
pub fn of_plan(plan: &Plan, sizes: &Bindings) -> Traffic {
    let mut total = Traffic::default();
    plan.kernels().for_each(|kernel| total.add(of_kernel(plan, kernel, sizes)));
    total
}
