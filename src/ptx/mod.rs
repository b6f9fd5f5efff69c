//! An interpreter for PTX: runs the kernels that NVRTC compiles, on the CPU, and watches what they do.
//!
//! ```
//! use pointweld::ptx::{Launch, Memory, Module, Options, run};
//!
//! let module = Module::parse(r#"
//!     .version 8.0
//!     .target sm_80
//!     .address_size 64
//!     .visible .entry twice(.param .u64 data) {
//!         .reg .b32 %r<3>;
//!         .reg .b64 %rd<4>;
//!         ld.param.u64 %rd1, [data];
//!         mov.u32 %r1, %tid.x;
//!         mul.wide.u32 %rd2, %r1, 4;
//!         add.u64 %rd3, %rd1, %rd2;
//!         ld.global.u32 %r2, [%rd3];
//!         add.u32 %r2, %r2, %r2;
//!         st.global.u32 [%rd3], %r2;
//!         ret;
//!     }
//! "#)?;
//! let mut memory = Memory::new();
//! let data = memory.alloc_from(&[1, 0, 0, 0, 2, 0, 0, 0], "data");
//! let kernel = module.kernel("twice")?;
//! run(kernel, &Launch::linear(1, 2, vec![data.into()]), &mut memory, &Options::default())?;
//! assert_eq!(memory.read(data), [2, 0, 0, 0, 4, 0, 0, 0]);
//!
//! // A thread too many is caught, and named.
//! let fault = run(kernel, &Launch::linear(1, 3, vec![data.into()]), &mut memory, &Options::default()).unwrap_err();
//! assert_eq!(fault.thread, Some([2, 0, 0]));
//! assert!(fault.to_string().contains("at offset 8 of global `data`, which has 8 bytes"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The machine
//! - **Grid.** Blocks run one after another, or spread over the cores. A spread launch gives every run of consecutive blocks a copy-on-write view of memory and applies
//!   the views in block order, so the result never depends on the number of cores. Kernels with global atomics, or with relaxed or volatile global accesses, keep their
//!   blocks in order on one view.
//! - **Block.** Warps take turns; each runs until it waits or has used up its share. [`Options::schedule`] shuffles the turns.
//! - **Warp.** 32 lanes in lockstep. Where lanes diverge, the warp falls into fragments, and the one that is lowest in the program runs first, so
//!   fragments meet again at the end of a branch or loop. Collectives wait for exactly the lanes that they name.
//! - **Memory.** Every allocation, shared variable and local variable is apart from the others and knows its length, and which of its bytes were written. Pointers
//!   of the generic space work, into all of them. Kernel parameters may be structs. Module variables keep their values between launches on one [`Memory`].
//! - **Asynchronous copies** land at the wait that must have them, not a step earlier; so do the sums of `wgmma`.
//!
//! # What is caught
//! Accesses out of bounds or misaligned; reads of memory or registers that nothing wrote; races on shared memory, inside a warp too; touching the bytes of
//! an unfinished `cp.async`; registers and operands of a `wgmma` that nothing has waited for, operands that no proxy fence has made visible to it, and warpgroups whose
//! warps disagree; collectives with wrong lanes; deadlocks; endless loops; and, on request, two blocks that write the same byte. See [`FaultKind`]. An opcode,
//! modifier or directive that is not implemented is a [`PtxError`] when the text is parsed.
//!
//! # What it does not tell
//! - **Time.** It counts instructions and bytes ([`Stats`]), not cycles. It runs PTX, which `ptxas` still compiles.
//! - **The last bits of approximate instructions.** `ex2.approx`, `rcp.approx`, `rsqrt`, `lg2`, `sin`, `cos`, `tanh.approx` and `div.approx` give the correctly rounded
//!   result here (to within the host's f64 library). Hardware is off by up to the error that the PTX ISA states. [`Options::perturb`] moves results by up
//!   to that error, so that a test can show that a kernel keeps its bound all the same.
//! - **The order of sums in tensor cores.** `mma` sums exactly enough and rounds once; hardware truncates in ways that are not documented. Integer `mma` is exact.
//! - **Races between blocks through memory**, except two writes of a byte. Fences are taken to work.
//! - **Forward progress between blocks.** A block that spins until a later block sets a flag runs into the step limit.
//! - **Races with a third reader** under barriers of a part of the block can go unseen; under block-wide barriers none does.
//! - **A read of a register without `wgmma.fence` before the product that overwrites it**: only writes are watched.
//!
//! Not implemented: textures, surfaces, `wmma.*` (use `mma.sync`), `wgmma` but for f16, bf16 and integers, base offsets in its descriptors, tensor copies other than of two-dimensional tiles, outgoing bulk copies, clusters, 128-bit registers, `.v2`/`.v4` atomics, indirect calls, recursion.

mod ast;
mod decode;
mod error;
mod exec;
mod fault;
mod lexer;
mod memory;
mod ops;
mod parser;
mod perturb;
mod program;
mod race;
mod tensor_map;

pub use error::PtxError;
pub use exec::{Arg, Launch, Options, Stats, run};
pub use fault::{Fault, FaultKind, SpaceName};
pub use memory::{DevPtr, Memory};
pub use program::Class;
pub use tensor_map::TensorMap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all kernels of a module share.
#[derive(Debug)]
pub(crate) struct Shared {
    id: u64,
    lines: Vec<String>,
    variables: Arc<[program::Variable]>,
}

impl Shared {
    /// A line of the text, from 1.
    fn line(&self, line: u32) -> String {
        self.lines.get(line.wrapping_sub(1) as usize).cloned().unwrap_or_default()
    }
}

/// A parsed and decoded PTX module.
pub struct Module {
    shared: Arc<Shared>,
    kernels: BTreeMap<String, Kernel>,
}

/// A kernel of a [`Module`], ready to [`run`].
pub struct Kernel {
    name: String,
    module: Arc<Shared>,
    program: program::Program,
    required_block: Option<[u32; 3]>,
    max_threads: Option<u32>,
}

impl Module {
    /// Parses a PTX text and decodes all its kernels. Whatever the interpreter does not implement is an error here, with its line.
    pub fn parse(ptx: &str) -> Result<Module, PtxError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ast = parser::parse(ptx)?;
        let shared = Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            lines: ptx.lines().map(|l| l.trim().to_string()).collect(),
            variables: decode::variables(&ast, ptx)?.into(),
        });
        let mut kernels = BTreeMap::new();
        for f in ast.functions.iter().filter(|f| f.entry && f.body.is_some()) {
            let kernel = Kernel {
                name: f.name.to_string(),
                module: shared.clone(),
                program: decode::kernel(&ast, ptx, f)?,
                required_block: f.required_block,
                max_threads: f.max_threads,
            };
            kernels.insert(kernel.name.clone(), kernel);
        }
        Ok(Module { shared, kernels })
    }

    /// The names of the kernels, sorted.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.kernels.keys().map(String::as_str)
    }

    /// A kernel by name.
    pub fn kernel(&self, name: &str) -> Result<&Kernel, PtxError> {
        self.kernels.get(name).ok_or_else(|| PtxError::NoSuchKernel {
            name: name.to_string(),
            known: self.kernels.keys().cloned().collect(),
        })
    }

    /// The device memory of a module variable (`__device__`, `__constant__`), by its name in the PTX.
    pub fn variable(&self, name: &str, memory: &mut Memory) -> Option<DevPtr> {
        let index = self.shared.variables.iter().position(|v| v.name == name)?;
        memory.load_variables(self.shared.id, &self.shared.variables);
        memory.variable(self.shared.id, index)
    }
}

impl Kernel {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes of its parameters in bytes.
    pub fn parameter_sizes(&self) -> impl Iterator<Item = usize> {
        self.program.params.iter().map(|p| p.size as usize)
    }

    /// Bytes of shared memory it declares itself.
    pub fn static_shared(&self) -> u32 {
        self.program.static_shared
    }
}
