//! When a chain on a 16-bit operand is better looked up than computed.
//!
//! A table of 65,536 entries fills a block's shared memory, so one block a multiprocessor walks the whole tensor. On the H200 that takes
//! 71.7 µs for 64 Mi elements of f16, against 66.3 for a copy, some of it for the table's copies. Arithmetic costs nothing until one of its
//! pipes takes longer than the memory.

use super::Options;
use crate::dtype::DType;
use crate::op::Cost;
use crate::plan::{Form, Kernel, Pick, Table};
use crate::target::Target;

/// Threads of a block: one block fills a multiprocessor.
pub const THREADS: u32 = 1024;
/// Elements of a vector.
const VECTOR: u32 = 8;
/// The time of the look-up, against that of a copy.
const WALK: f64 = 1.03;
/// µs for the copies of the table, which come out of the L2 cache, and for the start and the end of blocks that stay.
const START_US: f64 = 3.5;
/// Elements of a tensor whose size is not known: a table pays from about a million on, and few activations are larger.
const UNKNOWN: f64 = 1e6;
/// Instructions of an element besides its ops': unpacking, packing, its share of the loads and stores.
const OVERHEAD: f64 = 3.0;

/// The blocks and the elements of a vector, if the kernel is better looked up.
pub fn choose(kernel: &Kernel, target: &Target, options: &Options) -> Option<(u32, u32)> {
    if !fits(kernel, target) {
        return None;
    }
    let entry: u32 = kernel.stores.iter().map(|store| store.dtype.bits() / 8).sum();
    let count = kernel.count().ok().and_then(|n| n.eval(&options.sizes).ok()).map_or(UNKNOWN, |n| n as f64);
    let part = &target.part;
    let memory = count * f64::from(2 + entry) / part.copy_gbs() / 1e3;
    let clocks = clocks(kernel, target) * count / f64::from(part.sms);
    let computed = (clocks / f64::from(part.clock_mhz)).max(memory);
    (WALK * memory + START_US < computed).then_some((part.sms, VECTOR))
}

/// Whether the kernel can be looked up.
fn fits(kernel: &Kernel, target: &Target) -> bool {
    let [load] = &kernel.loads[..] else { return false };
    let accesses = kernel.stores.iter().map(|store| &store.access).chain([&load.access]);
    let dense = accesses.into_iter().all(|access| access.is_dense(&kernel.domain));
    let entry: u32 = kernel.stores.iter().map(|store| store.dtype.bits() / 8).sum();
    let room = entry << 16 <= target.limits.shared_per_block && THREADS <= target.limits.threads_per_block;
    load.dtype.bits() == 16 && !kernel.body.is_empty() && kernel.product.is_none() && dense && room
}

/// The look-up, where the kernel can be looked up at all.
pub fn pick(kernel: &Kernel, target: &Target) -> Option<Pick> {
    let table = Some(Table::Codes16 { blocks: target.part.sms });
    fits(kernel, target).then_some(Pick {
        form: Form::Flat { vector: VECTOR },
        table,
        threads: THREADS,
        library: false,
    })
}

/// Clocks of one multiprocessor that the arithmetic of an element takes: those of its busiest pipe.
pub fn clocks(kernel: &Kernel, target: &Target) -> f64 {
    pipes(kernel, target).into_iter().fold(0.0, f64::max)
}

/// Bytes that an element moves, what is broadcast not counted.
pub fn bytes(kernel: &Kernel) -> f64 {
    let loads = kernel.loads.iter().filter(|load| !super::is_reused(kernel, &load.access)).map(|load| load.dtype);
    let bits: u32 = loads.chain(kernel.stores.iter().map(|store| store.dtype)).map(DType::bits).sum();
    f64::from(bits) / 8.0
}

/// Clocks of one multiprocessor that the arithmetic of an element takes, by pipe: the slow unit, FMA, ALU, all instructions.
pub fn pipes(kernel: &Kernel, target: &Target) -> [f64; 4] {
    let costs: Vec<Cost> = kernel.body.iter().map(|stmt| stmt.op.row().cost).collect();
    let sum = |pipe: fn(&Cost) -> u16| costs.iter().map(|cost| f64::from(pipe(cost))).sum::<f64>();
    let (mufu, fma, alu) = (sum(|c| c.mufu), sum(|c| c.fma), sum(|c| c.alu));
    let rates = &target.rates;
    let rate = |n: u32| f64::from(n);
    // In f64 a pipe has half the lanes at best, and elementary functions take dozens of instructions.
    let wide = if kernel.body.iter().any(|stmt| stmt.dtype == DType::F64) { 16.0 } else { 1.0 };
    let pipes = [
        mufu / rate(rates.xu),
        fma / rate(rates.fma),
        alu / rate(rates.alu),
        (mufu + fma + alu + OVERHEAD) / rate(rates.issue),
    ];
    pipes.map(|clocks| clocks * wide)
}
