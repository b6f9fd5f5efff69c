//! The PTX interpreter as a machine for routines.

use super::super::trial::Stored;
use super::{Compiled, Outcome, Trial, bound};
use crate::dim::{Bindings, Dim};
use crate::emit::ArgValue;
use crate::plan::routine::Work;
use crate::plan::{BufferId, Stage};
use crate::ptx::{self, DevPtr, Memory, Module};
use std::collections::BTreeMap;

/// Instructions, about, that one stage may take.
const BUDGET: u64 = 200_000_000;

/// Runs every stage, or the first blocks of it.
pub fn run(trial: &Trial) -> Result<Outcome, String> {
    let mut memory = Memory::new();
    let mut buffers: BTreeMap<BufferId, DevPtr> = BTreeMap::new();
    for (i, (id, tensor)) in trial.routine.inputs.iter().zip(trial.operands).enumerate() {
        buffers.entry(*id).or_insert_with(|| {
            // No better aligned than a stage asks: its own element.
            let width = tensor.dtype().bytes().unwrap_or(1);
            let ptr = memory.alloc_at_offset(tensor.bytes().len(), &format!("operand {i}"), width);
            memory.write(ptr, tensor.bytes());
            ptr
        });
    }
    let written = trial.written()?;
    for (id, (dtype, shape)) in &written {
        let width = dtype.bytes().unwrap_or(1);
        let bytes = shape.iter().product::<usize>() * width;
        let align = trial.demanded(*id)?;
        buffers.entry(*id).or_insert_with(|| memory.alloc_at_offset(bytes, &format!("result {}", id.0), align));
    }
    let (mut whole, mut instructions) = (true, None);
    for compiled in trial.stages {
        whole &= launch(trial, compiled, &buffers, &mut memory, &mut instructions)?;
    }
    let mut stored = BTreeMap::new();
    for (id, (dtype, shape)) in written {
        let (ptr, width) = (buffers[&id], dtype.bytes().unwrap_or(1));
        let count = shape.iter().product::<usize>();
        let written = |i: usize| memory.first_unwritten(ptr.offset((i * width) as i64), width).is_none();
        let written = (0..count).map(written).collect();
        stored.insert(id, Stored { bytes: memory.read(ptr)[..count * width].to_vec(), written });
    }
    Ok(Outcome { stored, whole, instructions })
}

fn elements(shape: &[Dim], sizes: &Bindings) -> Result<u64, String> {
    shape.iter().try_fold(1u64, |n, d| Ok(n.saturating_mul(d.eval(sizes).map_err(|e| e.to_string())?)))
}

/// Runs a stage; false if only its first blocks.
fn launch(
    trial: &Trial,
    (stage, source, ptx): &Compiled,
    buffers: &BTreeMap<BufferId, DevPtr>,
    memory: &mut Memory,
    instructions: &mut Option<f64>,
) -> Result<bool, String> {
    let sizes = trial.sizes;
    let module = Module::parse(&String::from_utf8_lossy(ptx)).map_err(|e| e.to_string())?;
    let code = module.kernel(&source.entry).map_err(|e| e.to_string())?;
    let launch = source.launch_stage(stage, sizes).map_err(|e| e.to_string())?;
    if launch.grid.contains(&0) {
        return Ok(true);
    }
    let args = launch.args.iter().map(|arg| match *arg {
        ArgValue::Load { index, .. } => ptx::Arg::Ptr(buffers[&stage.reads[index as usize].buffer]),
        ArgValue::Store { index, .. } => ptx::Arg::Ptr(buffers[&stage.writes[index as usize].buffer]),
        // A stage has no table and no product; a null pointer that is read would be a fault.
        ArgValue::Table { .. }
        | ArgValue::Factor { .. }
        | ArgValue::TensorMap { .. }
        | ArgValue::Partials
        | ArgValue::Counters => 0u64.into(),
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
    let checks = ptx::Options { block_conflicts: true, perturb: Some(trial.seed), ..ptx::Options::default() };
    let stats = ptx::run(code, &run, memory, &checks).map_err(|fault| format!("{}: {fault}", stage.name))?;
    *instructions = Some(stats.total() as f64 / stats.threads.max(1) as f64);
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
