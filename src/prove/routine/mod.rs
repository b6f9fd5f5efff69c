//! Proves routines: executes every stage, and compares each result with the node's exact one and the family's bound.
//!
//! A node's own sizes may take the interpreter hours; then only the first blocks of each stage run, and what they wrote is compared. The
//! text is the same for all sizes. A GPU runs them all.

mod bound;
mod data;
mod gpu;
mod interpreter;

use super::trial::Stored;
use super::{Options, Proof};
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::emit::{ArgValue, KernelSource};
use crate::graph::Graph;
use crate::plan::{BufferId, Routine, Stage};
use crate::reference;
use crate::runtime::Device;
use crate::target::Arch;
use crate::tensor::Tensor;
use bound::Expected;
use std::collections::{BTreeMap, BTreeSet};

/// One stage with its text, and what NVRTC made of that: PTX for the interpreter, a cubin for a GPU.
pub type Compiled<'a> = (&'a Stage, &'a KernelSource, &'a [u8]);

/// What executes routines.
#[derive(Clone, Copy)]
pub enum Machine<'a> {
    /// The PTX interpreter.
    Interpreter,
    /// A GPU, on which the code, made for this architecture, runs.
    Gpu(&'a Device, Arch),
}

/// A routine at given sizes, with its operands.
struct Trial<'a> {
    routine: &'a Routine,
    stages: &'a [Compiled<'a>],
    sizes: &'a Bindings,
    operands: &'a [Tensor],
    /// The seed of what moves approximate instructions.
    seed: u64,
}

/// What a machine left in the buffers that the stages write.
struct Outcome {
    stored: BTreeMap<BufferId, Stored>,
    /// Every block of every stage ran.
    whole: bool,
    /// Instructions of a thread of the last stage, where the machine counts them.
    instructions: Option<f64>,
}

/// Proves a routine of a plan of `graph` at the given sizes of its symbols. `stages` are the routine's, in order.
pub fn prove(
    graph: &Graph,
    routine: &Routine,
    stages: &[Compiled],
    machine: Machine,
    sizes: &Bindings,
    options: &Options,
) -> Proof {
    let ops = vec![routine.kind.clone()];
    let kernel = stages.iter().map(|(stage, ..)| stage.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut proof = Proof { kernel, ops, ..Proof::default() };
    proof.failure = run(graph, routine, stages, machine, sizes, options, &mut proof).err();
    proof
}

/// As [`prove`], at the first sizes of the routine's symbols at which its node can be executed. Which sizes those are is the model's
/// affair: a network that halves an image five times takes multiples of 32.
pub fn prove_at_some_size(
    graph: &Graph,
    routine: &Routine,
    stages: &[Compiled],
    machine: Machine,
    options: &Options,
) -> Proof {
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
    prove(graph, routine, stages, machine, &sizes_of(size), options)
}

fn run(
    graph: &Graph,
    routine: &Routine,
    stages: &[Compiled],
    machine: Machine,
    sizes: &Bindings,
    options: &Options,
    proof: &mut Proof,
) -> Result<(), String> {
    let operands = data::operands(graph, routine, sizes, options.seed)?;
    let trial = Trial { routine, stages, sizes, operands: &operands, seed: options.seed };
    let outcome = match machine {
        Machine::Interpreter => interpreter::run(&trial)?,
        Machine::Gpu(device, arch) => gpu::run(&trial, device, arch)?,
    };
    proof.cases += 1;
    proof.instructions = outcome.instructions;
    compare(graph, &trial, &outcome, proof)
}

impl Trial<'_> {
    /// What the stages demand of a result's address, in bytes: that of its elements, or of vectors of them.
    fn demanded(&self, id: BufferId) -> Result<usize, String> {
        let mut most = 1;
        for (stage, source, _) in self.stages {
            let launch = source.launch_stage(stage, self.sizes).map_err(|e| e.to_string())?;
            for arg in &launch.args {
                match *arg {
                    ArgValue::Store { index, align, .. } if stage.writes[index as usize].buffer == id => {
                        most = most.max(align as usize);
                    }
                    _ => {}
                }
            }
        }
        Ok(most)
    }

    /// The buffers that the stages write, once each, with their type and size.
    fn written(&self) -> Result<BTreeMap<BufferId, (DType, Vec<usize>)>, String> {
        let mut found = BTreeMap::new();
        for operand in self.stages.iter().flat_map(|(stage, ..)| &stage.writes) {
            let size = |d: &Dim| d.eval(self.sizes).map_err(|e| e.to_string()).map(|n| n as usize);
            let shape = operand.shape.iter().map(size).collect::<Result<Vec<usize>, _>>()?;
            found.entry(operand.buffer).or_insert((operand.dtype, shape));
        }
        Ok(found)
    }
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

fn compare(graph: &Graph, trial: &Trial, outcome: &Outcome, proof: &mut Proof) -> Result<(), String> {
    let works: Vec<&Stage> = trial.stages.iter().map(|(stage, ..)| *stage).collect();
    let expected = bound::expected(graph.node(trial.routine.node), &works, trial.operands, trial.sizes)?;
    for (port, (id, expected)) in trial.routine.outputs.iter().zip(&expected).enumerate() {
        let Some(stored) = outcome.stored.get(id) else { continue };
        let width = expected.dtype.bytes().unwrap_or(1);
        for (i, bytes) in stored.bytes.chunks_exact(width).take(expected.len()).enumerate() {
            if !stored.written[i] {
                if outcome.whole {
                    return Err(format!("element {i} of result {port} was not written"));
                }
                continue;
            }
            let mut le = [0; 8];
            le[..width].copy_from_slice(bytes);
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
