//! Other forms of a kernel, made when a session first needs one: with 64-bit indices where the sizes pass 32 bits, and with accesses of single
//! elements where a caller's pointer is not aligned to vectors.

use super::{EngineError, Entry, Loaded, StageEntry, table_buffer};
use crate::compile::{Cache, CompileError, Output, Request, Toolchain};
use crate::emit::{self, EmitError, KernelSource};
use crate::plan::{IndexWidth, Schedule};
use crate::runtime::{Function, Module};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How a kernel's schedule is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub wide: bool,
    pub unaligned: bool,
}

/// The variants of an engine's kernels that were needed so far.
pub(super) struct Variants {
    /// Whether what is compiled goes through the cache on disk.
    cached: bool,
    toolchain: OnceLock<Result<Toolchain, CompileError>>,
    /// By the kernel's place in the plan.
    made: Mutex<BTreeMap<(usize, Change), Arc<Entry>>>,
    /// Stages with 64-bit indices, by their place in the plan.
    wide_stages: Mutex<BTreeMap<usize, Arc<StageEntry>>>,
}

impl Change {
    fn of(self, schedule: &Schedule) -> Schedule {
        let wide = if self.wide { schedule.widened() } else { schedule.clone() };
        if self.unaligned { wide.unaligned() } else { wide }
    }
}

impl Variants {
    pub fn new(cached: bool) -> Variants {
        Variants { cached, toolchain: OnceLock::new(), made: Mutex::default(), wide_stages: Mutex::default() }
    }

    /// Kernel `number` with its schedule changed.
    ///
    /// # Errors
    /// If the kernel has no such form, NVRTC is missing, or the code can't be loaded.
    pub fn get(&self, engine: &Loaded, number: usize, change: Change) -> Result<Arc<Entry>, EngineError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = made.get(&(number, change)) {
            return Ok(entry.clone());
        }
        let entry = Arc::new(self.make(engine, &engine.kernels[number], change)?);
        made.insert((number, change), entry.clone());
        Ok(entry)
    }

    fn make(&self, engine: &Loaded, from: &Entry, change: Change) -> Result<Entry, EngineError> {
        let mut kernel = from.kernel.clone();
        kernel.schedule = change.of(&kernel.schedule);
        let options = emit::Options { dependent_launch: from.source.rule.dependent };
        let source = emit::emit(&kernel, &options)?;
        let function = self.function(engine, &kernel.name, &source)?;
        let table = emit::table_of(&kernel);
        let table = table.map(|bytes| table_buffer(&engine.device, &bytes)).transpose()?;
        Ok(Entry { kernel, source, function, table })
    }

    /// Stage `number` with 64-bit indices.
    ///
    /// # Errors
    /// If NVRTC is missing, or the code can't be loaded.
    pub fn wide_stage(&self, engine: &Loaded, number: usize) -> Result<Arc<StageEntry>, EngineError> {
        let mut made = self.wide_stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = made.get(&number) {
            return Ok(entry.clone());
        }
        let from = &engine.stages[number];
        let stage = from.stage.widened();
        let options = emit::Options { dependent_launch: from.source.rule.dependent };
        let source = emit::emit_stage(&stage, &options)?;
        let function = self.function(engine, &stage.name, &source)?;
        let entry = Arc::new(StageEntry { stage, source, function });
        made.insert(number, entry.clone());
        Ok(entry)
    }

    /// Compiles a text for the engine's GPU and loads it; `kernel` is its name in messages.
    fn function(&self, engine: &Loaded, kernel: &str, source: &KernelSource) -> Result<Function, EngineError> {
        let arch = engine.device.arch();
        let request =
            Request { source: &source.text, kernel: &source.entry, arch, output: Output::Cubin, options: &[] };
        let toolchain = self.toolchain.get_or_init(|| {
            let cache = if self.cached { Cache::of_user() } else { None };
            Ok(Toolchain::load()?.with_cache(cache))
        });
        let failed = |why: &CompileError| EngineError::Variant { kernel: kernel.into(), why: why.to_string() };
        let cubin = toolchain.as_ref().map_err(failed)?.compile(&request).map_err(|e| failed(&e))?.bytes;
        Ok(Module::load(&engine.device, &cubin, arch)?.function(&source.entry, source.rule.dynamic_shared)?)
    }
}

/// Whether 64-bit indices mend this error.
pub(super) fn needs_wide(error: &EmitError, entry: &Entry) -> bool {
    matches!(error, EmitError::IndexTooNarrow { .. }) && entry.kernel.schedule.index == IndexWidth::Bits32
}
