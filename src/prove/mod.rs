//! Proves generated kernels on the CPU: executes the PTX that NVRTC made of the very text that ships, and compares every element that it
//! stores with the exact result and the bound that [`reference::bound`](crate::reference::bound) states.
//!
//! The sizes are small and awkward (one element, odd tails, more than one block), the pointers as misaligned as the kernel's own
//! parameters allow, the data random with NaN, ±inf, −0, denormals and every 8-bit code. The interpreter reports what no comparison of
//! results would show: accesses outside a buffer, reads of what nothing wrote, races. Approximate instructions are moved within
//! their documented error, so that the proof holds for hardware that rounds them otherwise.

mod case;
mod data;
mod run;

pub use case::Case;

use crate::emit::KernelSource;
use crate::plan::Kernel;
use crate::ptx::Module;
use serde::Serialize;

/// How much to try.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Elements of the largest case, about.
    pub samples: usize,
    /// The seed of the random data and of the perturbation of approximate instructions.
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
    /// Its name in the plan, and its ops.
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
    /// Instructions a thread executed, averaged over the largest case.
    pub instructions: f64,
    /// What is wrong, if anything: a fault of the interpreter, or the first element out of bounds.
    pub failure: Option<String>,
}

impl Proof {
    /// Every float within its bound and every code exact.
    pub fn holds(&self) -> bool {
        self.failure.is_none() && self.mismatches == 0
    }
}

/// Proves one kernel, whose text NVRTC compiled to `ptx`. `table` is what the kernel reads its results from, if it does.
pub fn prove(kernel: &Kernel, source: &KernelSource, ptx: &str, table: Option<&[u8]>, options: &Options) -> Proof {
    let ops = kernel.body.iter().map(|stmt| stmt.op.to_string()).collect();
    let mut proof = Proof { kernel: kernel.name.clone(), ops, ..Proof::default() };
    let outcome = Module::parse(ptx).map_err(|e| e.to_string()).and_then(|module| {
        let code = module.kernel(&source.entry).map_err(|e| e.to_string())?;
        let cases = case::cases(kernel, source, options)?;
        for case in &cases {
            run::run(case, code, table, options, &mut proof).map_err(|e| format!("at {case}: {e}"))?;
        }
        Ok(())
    });
    proof.failure = outcome.err();
    proof
}
