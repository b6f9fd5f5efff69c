//! Whether a group stays welded onto its product: by what a lock says, or else by the predicted times of both ways.
//!
//! Fusion welds what can be welded. Only when a kernel is whole, its epilogue known and its schedule chosen, can it be said what it takes; then
//! the edge out of the product gets both times, or is cut for them.

use super::Compiler;
use crate::fuse::{self, Apart};
use crate::graph::{Graph, Kind, NodeId};
use crate::lock::{self, Choice};
use crate::plan::{Access, Arg, BufferId, Costs, Kernel, Load, Plan, Reason, Stmt, Store, Verdict, layout};
use crate::schedule;
use rayon::prelude::*;

/// The share of the welded time that keeping apart may take: what the model says of epilogues is off by as much (benches/NOTES.md).
const WORTH: f64 = 0.75;

/// The edges to cut, if any; else each welded edge is told its costs.
pub(super) fn decide(graph: &Graph, plan: &mut Plan, compiler: &Compiler, fusion: &fuse::Options) -> Vec<Apart> {
    let mut cuts = Vec::new();
    let mut costs: Vec<(String, NodeId, Costs)> = Vec::new();
    let (target, options) = (compiler.target(), compiler.schedule_options());
    let time = |kernel: &Kernel| {
        let schedule = schedule::choose(kernel, &target, options);
        schedule::predict(&Kernel { schedule, ..kernel.clone() }, &target, &options.sizes)
    };
    // Each kernel that may be taken apart, with its edges and both times.
    let both = |kernel: &&Kernel| {
        let edges: Vec<(NodeId, NodeId)> = edges(graph, plan, kernel);
        let (Some(&(product, _)), Some((alone, rest))) = (edges.first(), without_product(kernel)) else { return None };
        let welded = schedule::predict(kernel, &target, &options.sizes);
        Some((product, edges, Costs { fused_ns: 1e3 * welded, cut_ns: 1e3 * (time(&alone) + time(&rest)) }))
    };
    let kernels: Vec<&Kernel> = plan.kernels().collect();
    let timed: Vec<_> = kernels.par_iter().map(both).collect();
    for (kernel, timed) in kernels.into_iter().zip(timed) {
        let Some((product, edges, both)) = timed else { continue };
        let entry = compiler.lock.entries.get(&lock::key(kernel, target.arch, &options.sizes));
        let (apart, both) = match entry.map(|entry| &entry.choice) {
            Some(Choice::Apart) => {
                let times = entry.map_or(both, |e| Costs { fused_ns: 1e3 * e.default_us, cut_ns: 1e3 * e.us });
                (true, times)
            }
            Some(Choice::Run(_)) => (false, both),
            None => (compiler.weld_by_prediction && both.cut_ns < WORTH * both.fused_ns, both),
        };
        if apart && !is_forced(kernel, fusion) {
            let why = match entry {
                Some(_) => "by the lock, the product and its epilogue take less time in kernels of their own",
                None => "the product and its epilogue take less time in kernels of their own",
            };
            cuts.extend(edges.iter().map(|&(producer, consumer)| Apart {
                producer,
                consumer,
                reason: Reason::Cost { fused_ns: both.fused_ns, cut_ns: both.cut_ns, why: why.into() },
            }));
        } else {
            costs.push((kernel.name.clone(), product, both));
        }
    }
    if cuts.is_empty() {
        for decision in &mut plan.decisions {
            let Verdict::Fused { kernel, .. } = &decision.verdict else { continue };
            let found = costs.iter().find(|(name, node, _)| name == kernel && *node == decision.producer.node);
            decision.costs = found.map(|(.., costs)| *costs);
        }
    }
    cuts
}

/// The edges out of a kernel's product that the kernel holds.
fn edges(graph: &Graph, plan: &Plan, kernel: &Kernel) -> Vec<(NodeId, NodeId)> {
    let inside = |verdict: &Verdict| matches!(verdict, Verdict::Fused { kernel: name, .. } if *name == kernel.name);
    let of_product = |id: NodeId| matches!(graph.node(id).kind, Kind::Anchor(_));
    let held = plan.decisions.iter().filter(|d| inside(&d.verdict) && of_product(d.producer.node));
    held.map(|d| (d.producer.node, d.consumer)).collect()
}

/// Whether the user asked for the kernel to be one.
fn is_forced(kernel: &Kernel, fusion: &fuse::Options) -> bool {
    let product = kernel.product.iter().map(|product| product.name.as_str());
    let names =
        kernel.origin.iter().map(|origin| origin.name.as_str()).chain(kernel.body.iter().map(|s| s.name.as_str()));
    let names: Vec<&str> = names.chain(product).collect();
    fusion.fuse.iter().any(|(a, b)| names.contains(&a.as_str()) && names.contains(&b.as_str()))
}

/// What [`without_product`] calls the buffer between its two kernels: no buffer of any plan.
const BETWEEN: BufferId = BufferId(u32::MAX);

/// A welded kernel as two: its product alone, stored in the kernel's own order, and the rest, which reads that. `None` for a kernel that
/// holds no product or nothing else. Neither has a schedule.
pub fn without_product(kernel: &Kernel) -> Option<(Kernel, Kernel)> {
    let product = kernel.product.as_deref()?;
    if kernel.body.is_empty() {
        return None;
    }
    let dtype = product.dtype();
    let dense = Access { offset: crate::dim::Dim::ZERO, strides: layout::row_major(&kernel.domain).ok()? };
    let between = BETWEEN;
    let stores = vec![Store { buffer: between, dtype, access: dense.clone(), value: Arg::Product }];
    let alone = Kernel { loads: Vec::new(), body: Vec::new(), stores, broadcasts: Vec::new(), ..kernel.clone() };
    let read = |arg: Arg| if arg == Arg::Product { Arg::Load(kernel.loads.len() as u32) } else { arg };
    let mut rest = Kernel { product: None, ..kernel.clone() };
    rest.loads.push(Load { buffer: between, dtype, access: dense, known: Vec::new() });
    for Stmt { args, .. } in &mut rest.body {
        args.iter_mut().for_each(|arg| *arg = read(*arg));
    }
    rest.stores.iter_mut().for_each(|store| store.value = read(store.value));
    Some((alone, rest))
}
