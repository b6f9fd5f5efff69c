//! Chooses how each kernel runs: the form of its loops, the width of its vectors, fast or accurate arithmetic, the width of its
//! indices. Fills [`Kernel::schedule`] and nothing else.

mod error;
mod tile;
mod vector;

use crate::dtype::DType;
use crate::op::{self, TypeRule};
use crate::plan::{
    Access, Arg, Compute, Form, IndexWidth, Kernel, Plan, Rounding, Schedule, Step, Stmt, Table, Traffic,
};
use crate::scalar::Scalar;
use crate::target::Target;
use error::Analysis;

/// What a user may ask of the schedules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
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
    let threads = 256;
    let compute = compute(kernel);
    let form = form(kernel, target, threads);
    let table = table(kernel, &form);
    if table.is_some() {
        // The host rounds, and no arithmetic is left to choose.
        return Schedule {
            form,
            table,
            threads,
            index: index(kernel),
            traffic: traffic(kernel, target),
            ..Schedule::default()
        };
    }
    Schedule {
        form,
        table,
        compute,
        index: index(kernel),
        threads,
        traffic: traffic(kernel, target),
        rounding: rounding(kernel, compute, options),
    }
}

fn form(kernel: &Kernel, target: &Target, threads: u32) -> Form {
    let flat = Form::Flat { vector: vector::flat(kernel, target, threads) };
    let plain = |access: &Access| access.is_dense(&kernel.domain) || access.is_uniform(&kernel.domain);
    let dense_stores = kernel.stores.iter().all(|store| store.access.is_dense(&kernel.domain));
    if dense_stores && kernel.loads.iter().all(|load| plain(&load.access)) {
        return flat;
    }
    if let Some(form) = tile::form(kernel, target, threads) {
        return form;
    }
    match vector::rows(kernel, target, threads) {
        Some((vector, rows)) => Form::Rows { vector, rows },
        None if dense_stores => flat,
        None => Form::Strided,
    }
}

/// A table where the only operand has 8 bits, unless the arithmetic is as cheap as the look-up: a table of codes needs no guard
/// and costs the same for every length of body.
fn table(kernel: &Kernel, form: &Form) -> Option<Table> {
    let [load] = &kernel.loads[..] else { return None };
    let reused = load.access.strides.iter().zip(&kernel.domain).any(|(stride, size)| stride.is(0) && !size.is(1));
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

/// Bytes of the entries of one code that 256 threads stage in one step of 16 bytes each.
const MOST_ENTRY_BYTES: u32 = 16;

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
    let mut reaches = accesses.map(|access| {
        // A part of an offset that is not known counts nothing.
        let known = access.strides.iter().zip(&kernel.domain).filter_map(|(a, b)| a.known().zip(b.known()));
        known.fold(0u64, |sum, (a, b)| sum.saturating_add(a.unsigned_abs().saturating_mul(b.unsigned_abs())))
    });
    let count = kernel.count().map_or(u64::MAX, |n| n.known().unwrap_or(0).unsigned_abs());
    let wide = count >= limit || reaches.any(|reach| reach >= limit);
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
