//! Chooses how each kernel runs: the form of its loops, the width of its vectors, fast or accurate arithmetic, the width of its
//! indices. Fills [`Kernel::schedule`] and nothing else.

mod candidates;
mod channels;
mod codes16;
mod error;
mod lookup;
mod packed;
mod predict;
pub mod product;
mod relief;
mod tile;
mod vector;

pub use candidates::candidates;
pub use predict::predict;

use crate::dim::Bindings;
use crate::dtype::DType;
use crate::op::{self, TypeRule};
use crate::plan::{
    Access, Arg, Compute, Form, IndexWidth, Kernel, Pick, Plan, Rounding, Schedule, Step, Stmt, Table, Traffic,
};
use crate::scalar::Scalar;
use crate::target::Target;
use error::Analysis;

/// What a user may ask of the schedules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Sizes to expect of symbols.
    pub sizes: Bindings,
    /// Let INT8 codes differ by one from the exact ones where f32 leaves the rounding open.
    pub fast: bool,
}

/// Schedules every kernel of a plan for a target.
pub fn schedule(plan: &mut Plan, target: &Target, options: &Options) {
    for step in &mut plan.steps {
        if let Step::Kernel(kernel) = step {
            kernel.schedule = choose(kernel, target, options);
        }
    }
}

/// The schedule for one kernel.
pub fn choose(kernel: &Kernel, target: &Target, options: &Options) -> Schedule {
    with(kernel, pick(kernel, target, options), target, options)
}

/// What is a matter of time alone, by rule and model.
fn pick(kernel: &Kernel, target: &Target, options: &Options) -> Pick {
    let form = match &kernel.product {
        Some(_) => product::form(kernel, target, options).unwrap_or(Form::Strided),
        None => form(kernel, target),
    };
    if let Some((blocks, vector)) = codes16::choose(kernel, target, options) {
        let (form, table) = (Form::Flat { vector }, Some(Table::Codes16 { blocks }));
        return Pick { form, table, threads: codes16::THREADS, library: false };
    }
    if let Some(pick) = channels::choose(kernel, target, options) {
        return pick;
    }
    let table = table(kernel, &form);
    let threads = threads(kernel, &form, target);
    Pick { form, table, threads, library: false }
}

/// The schedule for one kernel with what was picked for it: one of its [`candidates`].
pub fn with(kernel: &Kernel, pick: Pick, target: &Target, options: &Options) -> Schedule {
    let Pick { form, table, threads, library } = pick;
    let (index, traffic) = (index(kernel), traffic(kernel, target));
    if table == Some(Table::Codes8) {
        // The host rounds, and no arithmetic is left to choose.
        return Schedule { form, table, threads, index, traffic, ..Schedule::default() };
    }
    // A table of 16-bit codes or of channels leaves the arithmetic to pointers that are not aligned.
    let compute = if packed::fits(kernel, &form, target) { Compute::Packed } else { compute(kernel) };
    let relief = relief::choose(kernel, &form, compute, target);
    let rounding = rounding(kernel, compute, options);
    let lookups = Vec::new();
    let schedule = Schedule { form, table, lookups, compute, index, threads, traffic, rounding, relief, library };
    // Products have no place for a table.
    if kernel.product.is_some() || kernel.loads.len() < 2 || schedule.form == Form::Strided || schedule.table.is_some()
    {
        return schedule;
    }
    let kernel = Kernel { schedule, ..kernel.clone() };
    let lookups = lookup::choose(&kernel, target, |load| is_reused(&kernel, &kernel.loads[load as usize].access));
    Schedule { lookups, ..kernel.schedule }
}

/// Threads of a block: 128 let the next block start soonest (measured on the H200: a copy of 64 MiB 34.3 µs, against 34.9 with 256 and 37
/// with 512 where each block copies a table first).
const THREADS: u32 = 128;
/// Threads of a block that fills a tile, or that has so little to move that launching the blocks would take longer than the memory.
const MORE_THREADS: u32 = 256;

fn threads(kernel: &Kernel, form: &Form, target: &Target) -> u32 {
    let elements = match form {
        Form::Transposed { .. } => return MORE_THREADS,
        Form::Product { blocking, .. } => return blocking.threads(),
        Form::Patch { patch, .. } => return 32 * patch.warps,
        Form::Flat { vector } | Form::Depthwise { vector } => *vector,
        Form::Rows { vector, rows } => vector * rows,
        Form::Strided => 1,
    };
    let once = |access: &Access| !is_reused(kernel, access);
    let loads = kernel.loads.iter().filter(|load| once(&load.access)).map(|load| load.dtype);
    let bits: u32 = loads.chain(kernel.stores.iter().map(|store| store.dtype)).map(DType::bits).sum();
    let block = f64::from(THREADS * elements * bits / 8);
    let count = kernel.count().ok().and_then(|n| n.known()).map_or(f64::INFINITY, |n| n as f64);
    let blocks = count / f64::from(THREADS * elements);
    let few = blocks < f64::from(4 * target.part.sms);
    // A block that waits for no memory is over before the next one is launched.
    let waits = kernel.loads.iter().any(|load| once(&load.access));
    // Bytes that the memory moves while one more block is launched, and a quarter more.
    let enough = waits && block >= 1.25 * target.part.block_ns * target.part.copy_gbs();
    if few || enough { THREADS } else { MORE_THREADS }
}

/// True if an element is read for several tuples of the domain.
fn is_reused(kernel: &Kernel, access: &Access) -> bool {
    access.strides.iter().zip(&kernel.domain).any(|(stride, size)| stride.is(0) && !size.is(1))
}

fn form(kernel: &Kernel, target: &Target) -> Form {
    let flat = Form::Flat { vector: vector::flat(kernel, target, THREADS) };
    let plain = |access: &Access| access.is_dense(&kernel.domain) || access.is_uniform(&kernel.domain);
    let dense_stores = kernel.stores.iter().all(|store| store.access.is_dense(&kernel.domain));
    if dense_stores && kernel.loads.iter().all(|load| plain(&load.access)) {
        return flat;
    }
    if let Some(form) = tile::form(kernel, target, MORE_THREADS) {
        return form;
    }
    match vector::rows(kernel, target, THREADS) {
        Some((vector, rows)) => Form::Rows { vector, rows },
        None if dense_stores => flat,
        None => Form::Strided,
    }
}

/// A table where the only operand has 8 bits, unless the arithmetic is as cheap as the look-up: a table of codes needs no guard
/// and costs the same for every length of body.
fn table(kernel: &Kernel, form: &Form) -> Option<Table> {
    let [load] = &kernel.loads[..] else { return None };
    if kernel.product.is_some() {
        return None;
    }
    let reused = is_reused(kernel, &load.access);
    let entries: u32 = kernel.stores.iter().map(|store| store.dtype.bits() / 8).sum();
    let fits = !matches!(form, Form::Strided) && entries <= MOST_ENTRY_BYTES;
    if load.dtype.bits() != 8 || load.dtype == DType::Bool || kernel.body.is_empty() || reused || !fits {
        return None;
    }
    let slow: u32 = kernel.body.iter().map(|stmt| u32::from(stmt.op.row().cost.mufu)).sum();
    let codes = kernel.body.iter().any(|stmt| stmt.op.row().types == TypeRule::Quantize);
    let wide = kernel.body.iter().any(|stmt| stmt.dtype == DType::F64);
    (codes || wide || slow > 1 || kernel.body.len() > 6).then_some(Table::Codes8)
}

/// Bytes of the entries of one code: 128 threads stage 256 in one step of 16 bytes each.
const MOST_ENTRY_BYTES: u32 = THREADS * 16 / 256;

/// Fast arithmetic where every float that leaves the kernel is rounded to 16 bits or fewer, and nothing in it turns a small error
/// into a large one: a comparison, a conversion to an integer, a rounding.
fn compute(kernel: &Kernel) -> Compute {
    let narrow = |t: DType| !t.is_float() || t.bits() <= 16;
    let steady = |row: &op::Row| !matches!(row.types, TypeRule::Test(_)) && row.name != "cast";
    let stored = kernel.stores.iter().all(|store| narrow(store.dtype));
    let computed = kernel.body.iter().all(|stmt| steady(stmt.op.row()) || stmt.dtype.is_float());
    if stored && computed { Compute::Fast } else { Compute::Accurate }
}

/// How each quantization to an integer rounds: exactly what is at hand where that is exact, guarded by its error where not.
fn rounding(kernel: &Kernel, compute: Compute, options: &Options) -> Vec<(u32, Rounding)> {
    let quantizes = |stmt: &Stmt| stmt.op.row().types == TypeRule::Quantize && !stmt.dtype.is_float();
    if !kernel.body.iter().any(quantizes) {
        return Vec::new();
    }
    let mut all = Vec::new();
    for (i, stmt) in kernel.body.iter().enumerate().filter(|(_, stmt)| quantizes(stmt)) {
        let unit = match stmt.args.get(1) {
            Some(Arg::Const(scale)) => 16.0 * scale.as_f64().abs(),
            _ => 1.0,
        };
        let analysis = Analysis::new(kernel, compute, unit);
        let values = analysis.values();
        let x = analysis.value_of(&values, stmt.args[0]);
        if x.is_exact() {
            continue;
        }
        let finite = !error::can_overflow(kernel, &values);
        all.push((i as u32, if options.fast { Rounding::Near } else { guarded(x, finite) }));
    }
    all
}

/// Bounds rounded up.
fn guarded(x: error::Value, finite: bool) -> Rounding {
    let up = |error: f64| Scalar::f32((error * (1.0 + 1e-6)).min(f64::from(f32::MAX)) as f32);
    Rounding::Guarded {
        absolute: up(x.absolute),
        relative: up(x.relative),
        spread: up(x.spread),
        of: if x.spread > 0.0 { x.of } else { Vec::new() },
        finite,
    }
}

/// 64 bits where a count or an offset is known to pass 2³¹; a symbolic size is taken to be smaller, which a launch checks.
fn index(kernel: &Kernel) -> IndexWidth {
    let limit = (1u64 << 31) - (1 << 20);
    let accesses = kernel.loads.iter().map(|l| &l.access).chain(kernel.stores.iter().map(|s| &s.access));
    let factors = kernel.product.iter().flat_map(|p| p.contraction.accesses()).flatten();
    let mut factors = factors.map(|(over, access)| {
        let known = access.strides.iter().zip(&over).filter_map(|(a, b)| a.known().zip(b.known()));
        known.fold(0u64, |sum, (a, b)| sum.saturating_add(a.unsigned_abs().saturating_mul(b.unsigned_abs())))
    });
    let mut reaches = accesses.map(|access| {
        // A part of an offset that is not known counts nothing.
        let known = access.strides.iter().zip(&kernel.domain).filter_map(|(a, b)| a.known().zip(b.known()));
        known.fold(0u64, |sum, (a, b)| sum.saturating_add(a.unsigned_abs().saturating_mul(b.unsigned_abs())))
    });
    let count = kernel.count().map_or(u64::MAX, |n| n.known().unwrap_or(0).unsigned_abs());
    let wide = count >= limit || reaches.any(|reach| reach >= limit) || factors.any(|reach| reach >= limit);
    if wide { IndexWidth::Bits64 } else { IndexWidth::Bits32 }
}

/// Streamed if the tensors are known to be larger than half the L2 cache together.
fn traffic(kernel: &Kernel, target: &Target) -> Traffic {
    let Some(count) = kernel.count().ok().and_then(|n| n.known()) else { return Traffic::Cached };
    let moved = |access: &Access, dtype: DType| match access.strides.iter().any(|s| s.is(0)) {
        true => 0,
        false => (count as u64).saturating_mul(u64::from(dtype.bits()) / 8),
    };
    let bytes: u64 = kernel.loads.iter().map(|l| moved(&l.access, l.dtype)).sum::<u64>()
        + kernel.stores.iter().map(|s| moved(&s.access, s.dtype)).sum::<u64>();
    if bytes > target.part.l2_bytes / 2 { Traffic::Streamed } else { Traffic::Cached }
}
