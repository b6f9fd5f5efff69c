//! Executes one case and compares what it stored.

use super::{Case, Options, Proof, data};
use crate::dtype::DType;
use crate::emit::ArgValue;
use crate::plan::{Access, Kernel};
use crate::ptx::{self, DevPtr, Memory};
use crate::reference::bound::{self, Bounded, Judgement};
use crate::scalar::{Number, Scalar};

/// A load's or store's memory: exactly the elements that its access reaches, so that one more is a fault.
struct Region {
    ptr: DevPtr,
    dtype: DType,
    /// The element of the buffer that the memory begins with.
    first: i64,
    count: usize,
}

pub(super) fn run(
    case: &Case,
    code: &ptx::Kernel,
    table: Option<&[u8]>,
    options: &Options,
    proof: &mut Proof,
) -> Result<(), String> {
    let kernel = &case.kernel;
    let launch = case.source.launch(kernel, &case.sizes).map_err(|e| e.to_string())?;
    if case.count() == 0 || launch.grid.contains(&0) {
        // Nothing to compute, and nothing is launched.
        return Ok(());
    }
    let mut memory = Memory::new();
    let mut random = fastrand::Rng::with_seed(options.seed ^ case.count());
    let aligns = alignments(&launch.args, kernel);
    let mut loads = Vec::new();
    for (i, load) in kernel.loads.iter().enumerate() {
        let region = region(&mut memory, case, &load.access, load.dtype, &format!("load {i}"), aligns.loads[i])?;
        let contents = data::fill(&mut random, load.dtype, region.count, i);
        memory.write(region.ptr, &contents);
        loads.push(region);
    }
    let mut stores = Vec::new();
    for (i, store) in kernel.stores.iter().enumerate() {
        stores.push(region(&mut memory, case, &store.access, store.dtype, &format!("store {i}"), aligns.stores[i])?);
    }
    let table = table.map(|bytes| memory.alloc_from(bytes, "table"));

    // The region begins at the access's first element, and a parameter points `offset` into the whole buffer.
    let pointer = |region: &Region, offset: i64| {
        let bytes = region.dtype.bytes().unwrap_or(1) as i64;
        ptx::Arg::Ptr(region.ptr.offset(offset - region.first * bytes))
    };
    let mut args = Vec::new();
    for arg in &launch.args {
        args.push(match *arg {
            ArgValue::Load { index, offset, .. } => pointer(&loads[index as usize], offset),
            ArgValue::Store { index, offset, .. } => pointer(&stores[index as usize], offset),
            ArgValue::Table { .. } => ptx::Arg::Ptr(table.ok_or("it reads a table and has none")?),
            ArgValue::U32(n) => n.into(),
            ArgValue::I32(n) => n.into(),
            ArgValue::U64(n) => n.into(),
            ArgValue::I64(n) => n.into(),
            ArgValue::F32(x) => x.into(),
            ArgValue::F64(x) => x.into(),
        });
    }
    let launch = ptx::Launch { grid: launch.grid, block: launch.block, dynamic_shared: launch.dynamic_shared, args };
    let checks = ptx::Options { block_conflicts: true, perturb: Some(options.seed), ..ptx::Options::default() };
    let stats = ptx::run(code, &launch, &mut memory, &checks).map_err(|fault| fault.to_string())?;
    proof.cases += 1;
    proof.instructions = stats.total() as f64 / stats.threads.max(1) as f64;
    compare(case, &memory, &loads, &stores, proof)
}

struct Alignments {
    loads: Vec<u32>,
    stores: Vec<u32>,
}

/// What the parameters ask of each pointer.
fn alignments(args: &[ArgValue], kernel: &Kernel) -> Alignments {
    let mut found = Alignments { loads: vec![1; kernel.loads.len()], stores: vec![1; kernel.stores.len()] };
    for arg in args {
        match *arg {
            ArgValue::Load { index, align, .. } => found.loads[index as usize] = align,
            ArgValue::Store { index, align, .. } => found.stores[index as usize] = align,
            _ => {}
        }
    }
    found
}

/// Memory for what an access reaches, no better aligned than the kernel asks.
fn region(
    memory: &mut Memory,
    case: &Case,
    access: &Access,
    dtype: DType,
    label: &str,
    align: u32,
) -> Result<Region, String> {
    let (mut first, mut last) = (0i64, 0i64);
    let start = access.offset.eval_signed(&case.sizes).map_err(|e| e.to_string())?;
    for (stride, extent) in access.strides.iter().zip(&case.extents) {
        let stride = stride.eval_signed(&case.sizes).map_err(|e| e.to_string())?;
        let span = stride * (*extent as i64 - 1);
        *(if span < 0 { &mut first } else { &mut last }) += span;
    }
    let count = (last - first + 1) as usize;
    let bytes = dtype.bytes().ok_or_else(|| format!("{dtype} is no type of a kernel"))?;
    // The parameter's pointer is the access's own start: that address gets the alignment, and no more.
    let before = (-first) as usize * bytes;
    let align = align.max(bytes as u32) as usize;
    let skew = (align % 256 + 256 - before % 256) % 256;
    let ptr = memory.alloc_at_offset(count * bytes, label, skew);
    Ok(Region { ptr, dtype, first: start + first, count })
}

fn compare(case: &Case, memory: &Memory, loads: &[Region], stores: &[Region], proof: &mut Proof) -> Result<(), String> {
    let kernel = &case.kernel;
    let accesses = |access: &Access| -> Result<(i64, Vec<i64>), String> {
        let eval = |d: &crate::dim::Dim| d.eval_signed(&case.sizes).map_err(|e| e.to_string());
        Ok((eval(&access.offset)?, access.strides.iter().map(eval).collect::<Result<_, _>>()?))
    };
    let load_maps: Vec<_> = kernel.loads.iter().map(|l| accesses(&l.access)).collect::<Result<_, _>>()?;
    let store_maps: Vec<_> = kernel.stores.iter().map(|s| accesses(&s.access)).collect::<Result<_, _>>()?;
    let mut index = vec![0u64; case.extents.len()];
    let mut numbers = vec![Number::Int(0); loads.len()];
    for _ in 0..case.count() {
        let at = |(offset, strides): &(i64, Vec<i64>)| {
            offset + strides.iter().zip(&index).map(|(s, i)| s * *i as i64).sum::<i64>()
        };
        for ((number, region), map) in numbers.iter_mut().zip(loads).zip(&load_maps) {
            *number = element(memory, region, at(map))?.number();
        }
        for ((bounded, region), map) in bound::bounds(kernel, &numbers).iter().zip(stores).zip(&store_maps) {
            judge(bounded, element(memory, region, at(map))?.number(), &index, &numbers, proof)?;
        }
        advance(&mut index, &case.extents);
    }
    Ok(())
}

/// The element of a buffer, which must have been written.
fn element(memory: &Memory, region: &Region, at: i64) -> Result<Scalar, String> {
    let bytes = region.dtype.bytes().unwrap_or(1);
    let start = (at - region.first) as usize * bytes;
    let ptr = region.ptr.offset(start as i64);
    if memory.first_unwritten(ptr, bytes).is_some() {
        return Err(format!("element {at} was not written"));
    }
    let mut le = [0; 8];
    le[..bytes].copy_from_slice(&memory.read(ptr)[..bytes]);
    Ok(Scalar::from_bits(region.dtype, u64::from_le_bytes(le)))
}

fn judge(bounded: &Bounded, found: Number, index: &[u64], loads: &[Number], proof: &mut Proof) -> Result<(), String> {
    proof.elements += 1;
    let exact = bounded.interval.exact;
    let is_code = !bounded.dtype.is_arithmetic_float();
    proof.codes += u64::from(is_code);
    let unbounded = !is_code && bounded.interval.error().is_infinite();
    match bounded.judge(found) {
        Judgement::Exact => Ok(()),
        // Beyond the compute type's range everything is possible, and the bound says so.
        Judgement::Wrong if unbounded => Ok(()),
        Judgement::Within => {
            let error = (found.as_f64() - exact.as_f64()).abs() / bounded.interval.error();
            // An infinite bound and a finite error are a share of nothing.
            proof.worst = proof.worst.max(if error.is_finite() { error } else { 0.0 });
            Ok(())
        }
        Judgement::NearTie => {
            proof.mismatches += 1;
            proof.near_ties += 1;
            Ok(())
        }
        Judgement::Wrong => {
            proof.mismatches += u64::from(is_code);
            let bound = bounded.interval.error();
            Err(format!(
                "element {index:?} of operands {loads:?} is {found:?}, and the exact result is {exact:?} with a bound of {bound:e}"
            ))
        }
    }
}

fn advance(index: &mut [u64], extents: &[u64]) {
    for (i, extent) in index.iter_mut().zip(extents).rev() {
        *i += 1;
        if *i < *extent {
            return;
        }
        *i = 0;
    }
}
