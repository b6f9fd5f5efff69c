//! Predicts the time of a blocking: the larger of what tensor cores, shared memory and the L2 cache need, in whole waves of blocks.
//!
//! The constants are fitted to launches on the H200 (benches/NOTES.md). Other parts are assumed to have the same rates in a clock.

use crate::dim::Dim;
use crate::op::TypeRule;
use crate::plan::{Blocking, Engine, Extent, Kernel, Product};
use crate::target::Target;

/// What an engine's main loop costs around its multiplications. Times are in clocks of the SM.
struct Costs {
    /// Registers of a thread beside its accumulators.
    registers: u32,
    /// Bytes that one SM gets from the L2 cache in a clock while all do.
    l2: f64,
    /// The share of shared memory's time (128 bytes a clock) that multiplications do not hide.
    shared: f64,
    /// What no other warp of the block hides of a step: once, and for each 64 bytes of a row.
    step: (f64, f64),
    /// From the launch of a block to its first multiplication and from its last to its end.
    start: f64,
    /// What the epilogue takes of [`element`], and the share of that which blocks on one SM do not hide from each other.
    epilogue: (f64, f64),
}

/// Of `mma.sync` and `FFMA`: 2,200 launches of 110 problems, and the convolutions below.
const SYNCHRONOUS: Costs =
    Costs { registers: 60, l2: 40.0, shared: 0.24, step: (153.0, 86.0), start: 3200.0, epilogue: (0.96, 0.73) };
/// Of `wgmma`: 358 launches of 49 problems, and 216 convolutions of a network at batches of 1 and 32, of which the choice costs 4% more time
/// than the best of 40 candidates.
const WGMMA: Costs =
    Costs { registers: 65, l2: 49.0, shared: 0.0, step: (293.0, 12.6), start: 3110.0, epilogue: (0.76, 0.25) };
/// The share of a `wgmma` step's latency that is left where the next step's instructions are already given.
const AHEAD: f64 = 0.27;

/// Bytes of shared memory that the main loop takes.
pub fn shared(blocking: &Blocking, size: u32) -> u32 {
    blocking.stages * (blocking.m + blocking.n) * blocking.k * size
}

/// A size that is not known counts as a large one.
fn size(dim: &Dim, unknown: f64) -> f64 {
    dim.known().map_or(unknown, |n| n as f64)
}

/// Tiles of one matrix of the result, if its sizes are known.
pub fn tiles(extent: &Extent, blocking: &Blocking) -> Option<f64> {
    let (m, n) = (extent.m.known()? as f64, extent.n.known()? as f64);
    Some((m / f64::from(blocking.m)).ceil() * (n / f64::from(blocking.n)).ceil())
}

/// Multiply-adds that one SM does in a clock, with fragments that come from shared memory.
fn rate(product: &Product, blocking: &Blocking, target: &Target) -> f64 {
    match (blocking.engine, product.a.dtype.bits()) {
        (Engine::Simt, _) => 0.5 * f64::from(target.rates.fma),
        (Engine::Tensor, 16) => 859.0,
        (Engine::Tensor, _) => 1609.0,
        (_, 16) => 1650.0,
        (_, _) => 3930.0,
    }
}

/// Clocks of the epilogue for one element of a block: the slow unit's 16 operations a clock, and what moves through shared memory; a
/// requantized code costs its guard as well.
fn element(kernel: &Kernel) -> f64 {
    let mufu: f64 = kernel.body.iter().map(|stmt| f64::from(stmt.op.row().cost.mufu)).sum();
    let codes = kernel.body.iter().filter(|stmt| stmt.op.row().types == TypeRule::Quantize && !stmt.dtype.is_float());
    mufu / 16.0 + 0.064 + 0.38 * codes.count() as f64
}

/// Bytes that move for one element of the result: what is stored, and what is loaded for it alone.
pub fn moved(kernel: &Kernel) -> f64 {
    let width = |dtype: crate::dtype::DType| f64::from(dtype.bits()) / 8.0;
    let varies = |access: &crate::plan::Access| access.strides.iter().all(|stride| !stride.is(0));
    let loads: f64 = kernel.loads.iter().filter(|l| varies(&l.access)).map(|l| width(l.dtype)).sum();
    loads + kernel.stores.iter().map(|s| width(s.dtype)).sum::<f64>()
}

/// µs that blocks which walk the tiles take, each alone on its multiprocessor. A prediction by the constants of [`Engine::Wgmma`], of which none has been
/// fitted to such blocks: what is filled once a block and what runs under the next tile follows from the loop's structure.
fn walked(kernel: &Kernel, product: &Product, (m, n, k): (f64, f64, f64), blocking: &Blocking, target: &Target) -> f64 {
    let bytes = f64::from(product.a.dtype.bits()) / 8.0;
    let (bm, bn, bk) = (f64::from(blocking.m), f64::from(blocking.n), f64::from(blocking.k));
    let work = bm * bn * bk / rate(product, blocking, target);
    let step = work.max((bm + bn) * bk * bytes / WGMMA.l2);
    let multiply = (k / bk).ceil() * step;
    let epilogue = bm * bn * element(kernel) * WGMMA.epilogue.0;
    let tiles = ((m / bm).ceil() * (n / bn).ceil() / f64::from(target.part.sms)).ceil();
    let clocks = match blocking.engine {
        // One crew multiplies while the other is in its epilogue; where that is longer, the multiplications wait.
        Engine::PingPong => tiles * multiply.max((multiply + epilogue) / 2.0) + epilogue,
        _ => tiles * (multiply + epilogue),
    };
    (WGMMA.start + clocks) / f64::from(target.part.clock_mhz)
}

/// µs that a blocking takes.
pub fn time(kernel: &Kernel, product: &Product, extent: &Extent, blocking: &Blocking, target: &Target) -> f64 {
    let bytes = f64::from(product.a.dtype.bits()) / 8.0;
    let batch: f64 = extent.batch.iter().map(|d| size(d, 1.0)).product();
    let (m, n, k) = (size(&extent.m, 4096.0), size(&extent.n, 1024.0), size(&extent.k, 1024.0));
    let (bm, bn, bk) = (f64::from(blocking.m), f64::from(blocking.n), f64::from(blocking.k));
    let blocks = (m / bm).ceil() * (n / bn).ceil() * batch;
    let steps = (k / bk).ceil();
    let sms = f64::from(target.part.sms);

    let threads = blocking.threads();
    let costs = if blocking.engine.is_wgmma() { WGMMA } else { SYNCHRONOUS };
    let registers = (blocking.m * blocking.n * blocking.slices / threads + costs.registers).min(255);
    let resident = target.blocks_per_sm(threads, registers, shared(blocking, product.a.dtype.bits() / 8));
    let resident = f64::from(resident.max(1));

    let work = bm * bn * bk / rate(product, blocking, target);
    let copied = (bm + bn) * bk * bytes;
    let (down, across) = (f64::from(blocking.warps.0), f64::from(blocking.warps.1));
    let read = (bm * across + bn * down) * bk * bytes;
    let through_shared = (read + copied) / 128.0;
    let ahead = if blocking.is_ahead() { AHEAD } else { 1.0 };
    let alone = ahead * costs.step.0 + costs.step.1 * bk * bytes / 64.0 / f64::from(blocking.slices) + work;
    let epilogue = bm * bn * element(kernel);
    // Blocks that share an SM share its tensor cores and its memories.
    let clocks = |together: f64| {
        let step = ((work + costs.shared * through_shared) * together).max(copied / costs.l2 * together).max(alone);
        let (epilogues, not_hidden) = costs.epilogue;
        costs.start + steps * step + epilogues * epilogue * (not_hidden * together + 1.0 - not_hidden)
    };
    let waves = (blocks / (sms * resident)).floor();
    let rest = blocks - waves * sms * resident;
    let last = if rest > 0.0 { clocks((rest / sms).ceil()) } else { 0.0 };
    let busy = match blocking.engine.is_specialised() {
        true => walked(kernel, product, (m, n, k), blocking, target),
        false => (waves * clocks(resident) + last) / f64::from(target.part.clock_mhz),
    };
    let memory = (m * k + k * n) * batch * bytes + m * n * batch * moved(kernel);
    busy.max(memory / target.part.copy_gbs() / 1e3) + target.part.launch_us
}
