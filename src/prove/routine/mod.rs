//! Proves routines: executes the PTX of every stage, and compares each result with the node's exact one and the family's bound.
//!
//! A node's own sizes may take hours to execute; then only the first blocks of each stage run, and what they wrote is compared. The
//! text is the same for all sizes.

mod bound;
mod data;

use super::{Options, Proof};
use crate::dim::{Bindings, Dim};
use crate::emit::{ArgValue, KernelSource};
use crate::graph::Graph;
use crate::plan::routine::Work;
use crate::plan::{BufferId, Routine, Stage};
use crate::ptx::{self, DevPtr, Memory, Module};
use crate::reference;
use crate::tensor::Tensor;
use bound::Expected;
use std::collections::{BTreeMap, BTreeSet};

/// One stage with its text, and what NVRTC made of that.
pub type Compiled<'a> = (&'a Stage, &'a KernelSource, &'a str);

/// Instructions, about, that one stage may take.
const BUDGET: u64 = 200_000_000;

/// Proves a routine of a plan of `graph` at the given sizes of its symbols. `stages` are the routine's, in order.
pub fn prove(graph: &Graph, routine: &Routine, stages: &[Compiled], sizes: &Bindings, options: &Options) -> Proof {
    let ops = vec![routine.kind.clone()];
    let kernel = stages.iter().map(|(stage, ..)| stage.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut proof = Proof { kernel, ops, ..Proof::default() };
    proof.failure = run(graph, routine, stages, sizes, options, &mut proof).err();
    proof
}

/// As [`prove`], at the first sizes of the routine's symbols at which its node can be executed. Which sizes those are is the model's
/// affair: a network that halves an image five times takes multiples of 32.
pub fn prove_at_some_size(graph: &Graph, routine: &Routine, stages: &[Compiled], options: &Options) -> Proof {
    const SIZES: [u64; 7] = [3, 37, 8, 32, 64, 320, 1];
    let mut symbols = BTreeSet::new();
    let operands = stages.iter().flat_map(|(stage, ..)| stage.reads.iter().chain(&stage.writes));
    operands.flat_map(|operand| &operand.shape).for_each(|d| d.symbols(&mut symbols));
    // An operand whose sizes alone matter is read by no stage.
    let whole = graph.operands(routine.node);
    let whole = whole.iter().filter_map(|value| graph.ty(*value).shape.as_ref());
    whole.flat_map(|shape| &shape.0).for_each(|d| d.symbols(&mut symbols));
    let sizes_of = |size: u64| -> Bindings { symbols.iter().map(|name| (name.clone(), size)).collect() };
    let fits = |size: &u64| {
        let sizes = sizes_of(*size);
        let operands = data::operands(graph, routine, &sizes, options.seed);
        let launches = stages.iter().all(|(stage, source, _)| source.launch_stage(stage, &sizes).is_ok());
        launches && operands.is_ok_and(|operands| executes(graph, routine, &operands, &sizes))
    };
    let size = SIZES.into_iter().find(fits).unwrap_or(SIZES[0]);
    prove(graph, routine, stages, &sizes_of(size), options)
}

fn run(
    graph: &Graph,
    routine: &Routine,
    stages: &[Compiled],
    sizes: &Bindings,
    options: &Options,
    proof: &mut Proof,
) -> Result<(), String> {
    let operands = data::operands(graph, routine, sizes, options.seed)?;
    let mut memory = Memory::new();
    let mut buffers: BTreeMap<BufferId, DevPtr> = BTreeMap::new();
    for (i, (id, tensor)) in routine.inputs.iter().zip(&operands).enumerate() {
        buffers.entry(*id).or_insert_with(|| {
            // No better aligned than a stage asks: its own element.
            let width = tensor.dtype().bytes().unwrap_or(1);
            let ptr = memory.alloc_at_offset(tensor.bytes().len(), &format!("operand {i}"), width);
            memory.write(ptr, tensor.bytes());
            ptr
        });
    }
    let mut whole = true;
    for (stage, source, ptx) in stages {
        for operand in stage.writes.iter().filter(|o| !buffers.contains_key(&o.buffer)).collect::<Vec<_>>() {
            let count = elements(&operand.shape, sizes)?;
            let width = operand.dtype.bytes().unwrap_or(1);
            let label = format!("result {}", operand.buffer.0);
            buffers.insert(operand.buffer, memory.alloc_at_offset(count as usize * width, &label, width));
        }
        whole &= launch(stage, source, ptx, sizes, &buffers, &mut memory, options, proof)?;
    }
    proof.cases += 1;
    compare(graph, routine, stages, sizes, &operands, &buffers, &memory, whole, proof)
}

/// Whether the node's results at these sizes are as large as the graph says.
fn executes(graph: &Graph, routine: &Routine, operands: &[Tensor], sizes: &Bindings) -> bool {
    let node = graph.node(routine.node);
    let options = reference::Options { bindings: sizes.clone(), ..reference::Options::default() };
    let Ok(results) = reference::run_node(node, operands, &options) else { return false };
    let fits = |(output, result): (&crate::graph::Output, &Tensor)| {
        let shape = output.ty.shape.as_ref().and_then(|shape| shape.eval(sizes).ok());
        shape.is_some_and(|shape| shape == result.sizes())
    };
    node.outputs.iter().zip(&results).all(fits)
}

fn elements(shape: &[Dim], sizes: &Bindings) -> Result<u64, String> {
    shape.iter().try_fold(1u64, |n, d| Ok(n.saturating_mul(d.eval(sizes).map_err(|e| e.to_string())?)))
}

/// Runs a stage; false if only its first blocks.
#[allow(clippy::too_many_arguments)]
fn launch(
    stage: &Stage,
    source: &KernelSource,
    ptx: &str,
    sizes: &Bindings,
    buffers: &BTreeMap<BufferId, DevPtr>,
    memory: &mut Memory,
    options: &Options,
    proof: &mut Proof,
) -> Result<bool, String> {
    let module = Module::parse(ptx).map_err(|e| e.to_string())?;
    let code = module.kernel(&source.entry).map_err(|e| e.to_string())?;
    let launch = source.launch_stage(stage, sizes).map_err(|e| e.to_string())?;
    if launch.grid.contains(&0) {
        return Ok(true);
    }
    let args = launch.args.iter().map(|arg| match *arg {
        ArgValue::Load { index, .. } => ptx::Arg::Ptr(buffers[&stage.reads[index as usize].buffer]),
        ArgValue::Store { index, .. } => ptx::Arg::Ptr(buffers[&stage.writes[index as usize].buffer]),
        // A stage has no table and no product; a null pointer that is read would be a fault.
        ArgValue::Table { .. } | ArgValue::Factor { .. } | ArgValue::Partials | ArgValue::Counters => 0u64.into(),
        ArgValue::U32(n) => n.into(),
        ArgValue::I32(n) => n.into(),
        ArgValue::U64(n) => n.into(),
        ArgValue::I64(n) => n.into(),
        ArgValue::F32(x) => x.into(),
        ArgValue::F64(x) => x.into(),
    });
    let args = args.collect();
    let each = u64::from(launch.block[0]).saturating_mul(per_thread(stage, sizes)?);
    let most = u32::try_from((BUDGET / each.max(1)).max(1)).unwrap_or(u32::MAX);
    let grid = [launch.grid[0].min(most), 1, 1];
    let run = ptx::Launch { grid, block: launch.block, dynamic_shared: launch.dynamic_shared, args };
    let checks = ptx::Options { block_conflicts: true, perturb: Some(options.seed), ..ptx::Options::default() };
    let stats = ptx::run(code, &run, memory, &checks).map_err(|fault| format!("{}: {fault}", stage.name))?;
    proof.instructions = Some(stats.total() as f64 / stats.threads.max(1) as f64);
    Ok(grid == launch.grid)
}

/// Instructions, roughly, of one thread.
fn per_thread(stage: &Stage, sizes: &Bindings) -> Result<u64, String> {
    let steps = match &stage.work {
        Work::Conv(conv) => {
            let taps: u64 = conv.window.iter().map(|axis| axis.kernel).product();
            let x = &stage.reads[0].shape;
            let channels = if conv.channels_last { &x[x.len() - 1] } else { &x[1] };
            taps * channels.eval(sizes).map_err(|e| e.to_string())? / conv.groups.max(1)
        }
        Work::Pool { window, .. } => window.iter().map(|axis| axis.kernel).product(),
        Work::Product(product) => 16 * product.inner.eval(sizes).map_err(|e| e.to_string())?,
        Work::TopK { k, lanes, .. } => k * elements(&lanes.along, sizes)? / 256,
        Work::Scan { lanes, .. } => elements(&lanes.along, sizes)? / 32,
        Work::Reduce { lanes, .. } | Work::Softmax { lanes, .. } | Work::Normalize { lanes, .. } => {
            elements(&lanes.along, sizes)? / u64::from(bound::members(lanes))
        }
        _ => 1,
    };
    Ok(100 + 20 * steps)
}

#[allow(clippy::too_many_arguments)]
fn compare(
    graph: &Graph,
    routine: &Routine,
    stages: &[Compiled],
    sizes: &Bindings,
    operands: &[Tensor],
    buffers: &BTreeMap<BufferId, DevPtr>,
    memory: &Memory,
    whole: bool,
    proof: &mut Proof,
) -> Result<(), String> {
    let works: Vec<&Stage> = stages.iter().map(|(stage, ..)| *stage).collect();
    let expected = bound::expected(graph.node(routine.node), &works, operands, sizes)?;
    for (port, (id, expected)) in routine.outputs.iter().zip(&expected).enumerate() {
        let Some(ptr) = buffers.get(id) else { continue };
        for i in 0..expected.len() {
            let width = expected.dtype.bytes().unwrap_or(1);
            let at = ptr.offset((i * width) as i64);
            if memory.first_unwritten(at, width).is_some() {
                if whole {
                    return Err(format!("element {i} of result {port} was not written"));
                }
                continue;
            }
            let mut le = [0; 8];
            le[..width].copy_from_slice(&memory.read(at)[..width]);
            proof.elements += 1;
            judge(expected, i, u64::from_le_bytes(le), proof).map_err(|e| format!("result {port}[{i}] {e}"))?;
        }
    }
    Ok(())
}

fn judge(expected: &Expected, i: usize, bits: u64, proof: &mut Proof) -> Result<(), String> {
    let is_code = !expected.dtype.is_float();
    proof.codes += u64::from(is_code);
    match expected.judge(i, bits) {
        Ok(share) => {
            proof.worst = proof.worst.max(share);
            Ok(())
        }
        Err(why) => {
            proof.mismatches += u64::from(is_code);
            Err(why)
        }
    }
}
