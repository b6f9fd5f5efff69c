//! A GPU as a machine for routines: each runs as it does in a model, as a plan of its own on the engine.

use super::super::gpu::{Guarded, POISONS};
use super::{Outcome, Trial};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Node, Type, Value};
use crate::plan::{self, BufferId, Plan, Role, Routine, Step};
use crate::runtime::engine::Code;
use crate::runtime::{Buffer, Device, DeviceError, Engine, EngineError};
use crate::shape::Shape;
use crate::target::Arch;
use std::collections::BTreeMap;

/// Runs every stage twice, with other bytes in the results: what the two runs left alone was not written. Memory around the results is
/// watched.
pub fn run(trial: &Trial, device: &Device, arch: Arch) -> Result<Outcome, String> {
    let written = trial.written()?;
    let made = Made::new(trial, &written);
    let aligns = written.keys().map(|id| Ok((*id, trial.demanded(*id)?))).collect::<Result<_, String>>()?;
    on_device(trial, &written, &aligns, &made, device, arch).map_err(|e| e.to_string())?
}

/// The routine as a plan: its operands are inputs, its results outputs, what lies between has the arena.
struct Made {
    plan: Plan,
    graph: Graph,
    /// The routine's buffer of each of the plan's outputs.
    outputs: Vec<BufferId>,
}

impl Made {
    fn new(trial: &Trial, written: &BTreeMap<BufferId, (DType, Vec<usize>)>) -> Made {
        let mut graph = Graph::new("trial");
        let mut buffers: Vec<plan::Buffer> = Vec::new();
        let mut ids: BTreeMap<BufferId, BufferId> = BTreeMap::new();
        let (mut inputs, mut named, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |dtype: DType, sizes: &[usize], role: Role, name: &str| {
            let ty = Type::new(dtype, Shape::from(sizes));
            let value: Value = graph.add(Node::new(Kind::Input, name, ty.clone()), &[]).value();
            buffers.push(plan::Buffer { name: name.into(), value, ty, role });
            BufferId(buffers.len() as u32 - 1)
        };
        for (i, (id, tensor)) in trial.routine.inputs.iter().zip(trial.operands).enumerate() {
            if !ids.contains_key(id) {
                let name = format!("operand {i}");
                let new = add(tensor.dtype(), tensor.sizes(), Role::Input, &name);
                ids.insert(*id, new);
                inputs.push((name, new));
            }
        }
        for (id, (dtype, sizes)) in written {
            let name = format!("result {}", id.0);
            let new = add(*dtype, sizes, Role::Computed, &name);
            ids.insert(*id, new);
            if trial.routine.outputs.contains(id) {
                named.push((name, new));
                outputs.push(*id);
            }
        }
        let renamed = |id: &mut BufferId| *id = ids.get(id).copied().unwrap_or(*id);
        let mut routine: Routine = trial.routine.clone();
        routine.inputs.retain(|id| ids.contains_key(id));
        routine.outputs.retain(|id| ids.contains_key(id));
        routine.inputs.iter_mut().chain(&mut routine.outputs).for_each(renamed);
        for stage in &mut routine.stages {
            stage.reads.iter_mut().chain(&mut stage.writes).for_each(|operand| renamed(&mut operand.buffer));
        }
        let steps = vec![Step::Routine(routine)];
        let plan = Plan { model: "trial".into(), buffers, inputs, outputs: named, steps, decisions: Vec::new() };
        Made { plan, graph, outputs }
    }
}

fn on_device(
    trial: &Trial,
    written: &BTreeMap<BufferId, (DType, Vec<usize>)>,
    aligns: &BTreeMap<BufferId, usize>,
    made: &Made,
    device: &Device,
    arch: Arch,
) -> Result<Result<Outcome, String>, EngineError> {
    let codes: Vec<Code> = trial
        .stages
        .iter()
        .map(|(_, source, cubin)| Code { source, cubin, arch, table: None, multiprocessors: None })
        .collect();
    let engine = Engine::load(device, &made.plan, &made.graph, &[], &codes, false)?;
    let stream = device.stream()?;
    let mut given: Vec<(&str, Buffer)> = Vec::new();
    let operands: BTreeMap<String, usize> = (0..trial.operands.len()).map(|i| (format!("operand {i}"), i)).collect();
    for (name, _) in &made.plan.inputs {
        let tensor = &trial.operands[operands[name]];
        // No better aligned than a stage asks: its own element.
        let memory = Guarded::new(device, tensor.dtype().bytes().unwrap_or(1), tensor.bytes().len())?;
        memory.region.upload(&stream, tensor.bytes())?;
        given.push((name, memory.region));
    }
    let mut results = Vec::new();
    for ((name, _), id) in made.plan.outputs.iter().zip(&made.outputs) {
        let (dtype, sizes) = &written[id];
        let width = dtype.bytes().unwrap_or(1);
        let memory = Guarded::new(device, aligns[id], sizes.iter().product::<usize>() * width)?;
        given.push((name, memory.region.clone()));
        results.push((*id, width, memory));
    }
    let session = engine.session_with(trial.sizes, &given)?;
    let mut runs = Vec::new();
    for poison in POISONS {
        for (_, _, memory) in &results {
            memory.fill(&stream, poison)?;
        }
        session.launch_on(&stream)?;
        let found: Vec<Vec<u8>> =
            results.iter().map(|(_, _, memory)| memory.contents(&stream)).collect::<Result<_, DeviceError>>()?;
        for (bytes, (id, _, memory)) in found.iter().zip(&results) {
            if let Some(at) = memory.first_disturbed(bytes, poison) {
                return Ok(Err(format!("it wrote {at} bytes from the begin of result {}", id.0)));
            }
        }
        runs.push(found);
    }
    let mut stored = BTreeMap::new();
    for (i, (id, width, memory)) in results.iter().enumerate() {
        match memory.stored([&runs[0][i], &runs[1][i]], *width) {
            Ok(found) => stored.insert(*id, found),
            Err(at) => return Ok(Err(format!("two runs stored different bytes in element {at} of result {}", id.0))),
        };
    }
    Ok(Ok(Outcome { stored, whole: true, instructions: None }))
}
