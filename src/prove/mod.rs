//! Proves generated kernels: executes the very text that ships, and compares every element that it stores with the exact result and the
//! bound that [`reference::bound`](crate::reference::bound) states. It runs on a [`Machine`]: the [`Interpreter`] of the PTX that NVRTC
//! made of the text, on any CPU, or a [`Gpu`]; the cases, the data and the verdict are the same.
//!
//! The sizes are small and awkward (one element, odd tails, more than one block), the pointers as misaligned as the kernel's own
//! parameters allow, the data random with NaN, ±inf, −0, denormals and every 8-bit code. The interpreter reports what no comparison of
//! results would show: accesses outside a buffer, reads of what nothing wrote, races. Approximate instructions are moved within
//! their documented error, so that the proof holds for hardware that rounds them otherwise.

mod case;
mod cut;
mod data;
mod gpu;
mod interpreter;
mod judge;
pub mod routine;
mod trial;

pub use gpu::Gpu;
pub use interpreter::Interpreter;
pub use judge::judge;
pub use trial::{Machine, Outcome, Region, Stored, Trial};

use crate::emit::KernelSource;
use crate::plan::Kernel;
use serde::Serialize;

/// How much to try.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Elements of the largest case, about.
    pub samples: usize,
    /// The seed of the random data.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { samples: 4096, seed: 1 }
    }
}

/// What was found of one kernel.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Proof {
    /// Its name in the plan, and its ops, as [`Kernel::ops`] has them.
    pub kernel: String,
    pub ops: Vec<String>,
    /// Launches tried, and elements compared in all.
    pub cases: usize,
    pub elements: u64,
    /// The largest error of a float as a share of its bound: at most 1 unless the kernel is wrong.
    pub worst: f64,
    /// Integers and bools that were compared; those that are not the exact ones; of these, those within the stated error of a tie.
    pub codes: u64,
    pub mismatches: u64,
    pub near_ties: u64,
    /// Instructions a thread executed, averaged over the largest case, where the machine counts them.
    pub instructions: Option<f64>,
    /// What is wrong, if anything: a fault of the machine, or the first element out of bounds.
    pub failure: Option<String>,
}

impl Proof {
    /// Every float within its bound and every code exact.
    pub fn holds(&self) -> bool {
        self.failure.is_none() && self.mismatches == 0
    }
}

/// Proves one kernel on a machine that holds its code. `table` is what the kernel reads its results from, if it does.
pub fn prove(
    kernel: &Kernel,
    source: &KernelSource,
    table: Option<&[u8]>,
    machine: &dyn Machine,
    options: &Options,
) -> Proof {
    let mut proof = Proof { kernel: kernel.name.clone(), ops: kernel.ops(), ..Proof::default() };
    let outcome = case::cases(kernel, source, options).and_then(|cases| {
        for case in &cases {
            try_case(case, table, machine, options, &mut proof).map_err(|e| format!("at {case}: {e}"))?;
        }
        Ok(())
    });
    proof.failure = outcome.err();
    proof
}

fn try_case(
    case: &case::Case,
    table: Option<&[u8]>,
    machine: &dyn Machine,
    options: &Options,
    proof: &mut Proof,
) -> Result<(), String> {
    let mut trial = Trial::of_case(case, table)?;
    if trial.count() == 0 || trial.launch.grid.contains(&0) {
        // Nothing to compute, and nothing is launched.
        return Ok(());
    }
    let mut random = fastrand::Rng::with_seed(options.seed ^ trial.count());
    for region in &mut trial.factors {
        region.contents = data::factor(&mut random, region.dtype, region.count);
    }
    for (i, region) in trial.loads.iter_mut().enumerate() {
        let known = &case.kernel.loads[i].known;
        region.contents = match known.is_empty() {
            true => data::fill(&mut random, region.dtype, region.count, i),
            false => region.part_of(known),
        };
    }
    let outcome = machine.run(&trial)?;
    proof.cases += 1;
    proof.instructions = outcome.instructions;
    judge::judge(&trial, &outcome, proof)
}
