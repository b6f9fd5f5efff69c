//! Runs whole plans: code loaded once, memory planned once for given sizes, all kernels launched as CUDA graphs.
//!
//! An [`Engine`] holds what does not depend on sizes: modules, constants, tables. A [`Session`] holds what does: the
//! arena in which intermediate tensors share memory, and the recorded launches. Running a session allocates nothing on the GPU. Several
//! sessions of one engine, each with its own sizes, stream and thread, run at once.
//!
//! A session whose sizes pass 32-bit indices, or whose caller's memory is not aligned to vectors, has another form of the kernel compiled on the
//! spot, once for the engine.
//!
//! A node that fusion does not take runs as a routine, in the same graph. Nodes that no generated kernel computes are executed by the CPU reference between the graphs, with copies to and fro; a plan
//! without such nodes is one CUDA graph and never waits for the host.

mod bounds;
mod error;
mod scratch;
mod session;
mod variants;

pub use error::EngineError;
pub use session::Session;

use super::{Buffer, Device, Function, Module};
use crate::emit::KernelSource;
use crate::graph::Graph;
use crate::plan::{BufferId, Kernel, Plan, Role, Stage};
use crate::target::Arch;
use std::collections::BTreeMap;
use std::sync::Arc;
use variants::Variants;

/// The machine code of one kernel of a plan. Only this crate makes one, from what it has emitted and compiled itself: that is what makes
/// launching it safe.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    pub(crate) source: &'a KernelSource,
    pub(crate) cubin: &'a [u8],
    pub(crate) arch: Arch,
    /// The table of a kernel that reads one.
    pub(crate) table: Option<&'a [u8]>,
    /// Multiprocessors that a kernel spreads over whose blocks walk the domain; all of the GPU's if none is said.
    pub(crate) multiprocessors: Option<u32>,
}

/// A plan loaded onto a GPU. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Loaded>);

struct Loaded {
    device: Device,
    plan: Plan,
    graph: Graph,
    /// In the order of the plan's kernels.
    kernels: Vec<Entry>,
    /// In the order of the plan's stages.
    stages: Vec<StageEntry>,
    /// Constant buffers, by their place in the plan.
    constants: BTreeMap<u32, Buffer>,
    variants: Variants,
}

struct Entry {
    kernel: Kernel,
    source: KernelSource,
    function: Function,
    table: Option<Buffer>,
}

struct StageEntry {
    stage: Stage,
    source: KernelSource,
    function: Function,
}

impl Engine {
    /// Loads the code of every kernel and every stage of the plan, in the plan's order, and the constants that they read. `cached` says whether other
    /// forms of kernels that sessions come to need go through the cache on disk.
    ///
    /// # Errors
    /// [`EngineError::Device`] if code can't be loaded or memory is short, [`EngineError::Mismatch`] if there is not one code a kernel
    /// and one a stage.
    pub fn load(
        device: &Device,
        plan: &Plan,
        graph: &Graph,
        code: &[Code],
        stages: &[Code],
        cached: bool,
    ) -> Result<Engine, EngineError> {
        let stream = device.stream()?;
        for (expected, code) in [(plan.kernels().count(), code), (plan.stages().count(), stages)] {
            if expected != code.len() {
                return Err(EngineError::Mismatch { expected, found: code.len() });
            }
        }
        // Kernels of one text share one module.
        let mut modules: BTreeMap<&str, Module> = BTreeMap::new();
        for code in code.iter().chain(stages) {
            if !modules.contains_key(code.source.entry.as_str()) {
                modules.insert(&code.source.entry, Module::load(device, code.cubin, code.arch)?);
            }
        }
        let function =
            |source: &KernelSource| modules[source.entry.as_str()].function(&source.entry, source.rule.dynamic_shared);
        let mut kernels = Vec::new();
        for (kernel, code) in plan.kernels().zip(code) {
            let mut source = code.source.clone();
            // As many blocks as this very GPU runs at a time.
            if let Some(multiprocessors) = source.rule.blocks.multiprocessors() {
                *multiprocessors = code.multiprocessors.unwrap_or(device.info().sms);
            }
            kernels.push(Entry {
                kernel: kernel.clone(),
                source,
                function: function(code.source)?,
                table: code.table.map(|bytes| table_buffer(device, bytes)).transpose()?,
            });
        }
        let mut of_stages = Vec::new();
        for (stage, code) in plan.stages().zip(stages) {
            let function = function(code.source)?;
            of_stages.push(StageEntry { stage: stage.clone(), source: code.source.clone(), function });
        }
        let mut constants = BTreeMap::new();
        let read = plan.kernels().flat_map(|kernel| kernel.reads());
        for id in read.chain(plan.stages().flat_map(|stage| &stage.reads).map(|read| read.buffer)) {
            let root = root(plan, id);
            let buffer = plan.buffer(root);
            if let (Role::Constant, Some(tensor)) = (buffer.role, graph.constant(buffer.value))
                && !constants.contains_key(&root.0)
            {
                let memory = device.alloc(tensor.bytes().len() as u64)?;
                memory.upload_tensor(&stream, tensor)?;
                constants.insert(root.0, memory);
            }
        }
        Ok(Engine(Arc::new(Loaded {
            device: device.clone(),
            plan: plan.clone(),
            graph: graph.clone(),
            kernels,
            stages: of_stages,
            constants,
            variants: Variants::new(cached),
        })))
    }

    /// The GPU.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }
}

/// The buffer whose memory a buffer is. A plan's aliases end: its storage has been checked before anything runs.
fn root(plan: &Plan, mut id: BufferId) -> BufferId {
    for _ in 0..plan.buffers.len() {
        match plan.buffer(id).role {
            Role::Alias(of) => id = of,
            _ => break,
        }
    }
    id
}

/// A kernel's table on the GPU.
fn table_buffer(device: &Device, bytes: &[u8]) -> Result<Buffer, EngineError> {
    let buffer = device.alloc(bytes.len() as u64)?;
    buffer.upload(&device.stream()?, bytes)?;
    Ok(buffer)
}
