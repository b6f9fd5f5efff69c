//! The façade: all stages in order.
//!
//! ```no_run
//! use pointweld::{compiler::Compiler, onnx::Import, target::Arch};
//! let imported = Import::new().bind("batch", 8).file("model.onnx")?;
//! let compiled = Compiler::new().arch(Arch::SM_90).compile(&imported.graph)?;
//! for kernel in compiled.planned.plan.kernels() {
//!     println!("{}", kernel.name);
//! }
//! compiled.write("out".as_ref())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifacts;
mod device;
mod error;
mod estimate;
mod locked;
mod named;
mod programs;
mod weld;

pub use artifacts::prepare;
pub use error::Error;
pub use estimate::{Estimate, PerElement};
pub use locked::Locked;
pub use programs::{Build, Compiled, Program};
pub use weld::without_product;

use crate::compile::{Cache, Request, Toolchain};
use crate::dtype::DType;
use crate::emit::{self, KernelSource};
use crate::fuse;
use crate::graph::Graph;
use crate::lock::Lock;
use crate::passes;
use crate::plan::Plan;
use crate::schedule;
use crate::target::{Arch, Target};
use named::Swallowed;

/// What to compile for and how; see the module's page.
#[derive(Clone)]
pub struct Compiler {
    archs: Vec<Arch>,
    passes: passes::Options,
    fusion: fuse::Options,
    schedule: schedule::Options,
    emit: emit::Options,
    lock: Lock,
    weld_by_prediction: bool,
    cached: bool,
    jobs: usize,
}

/// A model's plan with the text of its kernels: everything that needs no NVRTC.
#[derive(Debug)]
pub struct Planned {
    /// The graph after the passes; the plan's values and nodes are its.
    pub graph: Graph,
    pub plan: Plan,
    /// What the passes did.
    pub passes: passes::Report,
    /// The text and the launch rule of each kernel of the plan, in order.
    pub sources: Vec<KernelSource>,
    /// The same of each stage of the plan's routines.
    pub stages: Vec<KernelSource>,
    /// What the compiler's lock was good for.
    pub locked: Locked,
}

impl Default for Compiler {
    fn default() -> Compiler {
        Compiler::new()
    }
}

impl Compiler {
    /// For sm_90 unless [`Compiler::arch`] says otherwise, exact, welded, with the user's cache, on all cores.
    pub fn new() -> Compiler {
        Compiler {
            archs: Vec::new(),
            passes: passes::Options { weld: true, ..passes::Options::default() },
            fusion: fuse::Options { weld: true, ..fuse::Options::default() },
            schedule: schedule::Options::default(),
            emit: emit::Options { dependent_launch: true },
            lock: Lock::default(),
            weld_by_prediction: true,
            cached: true,
            jobs: 0,
        }
    }

    /// Also compile for this architecture. The first one given is the one that schedules are chosen for.
    pub fn arch(mut self, arch: Arch) -> Compiler {
        if !self.archs.contains(&arch) {
            self.archs.push(arch);
        }
        self
    }

    /// Never fuse these two nodes, given by name, into one kernel, nor recognise one op in the two.
    pub fn keep_apart(mut self, a: &str, b: &str) -> Compiler {
        self.fusion.keep_apart.push((a.into(), b.into()));
        self.passes.keep_apart.push((a.into(), b.into()));
        self
    }

    /// Fuse these two nodes, given by name, whatever the cost says.
    pub fn fuse(mut self, a: &str, b: &str) -> Compiler {
        self.fusion.fuse.push((a.into(), b.into()));
        self
    }

    /// Also store this intermediate value, given by name, from the very same kernel.
    pub fn tap(mut self, value: &str) -> Compiler {
        self.fusion.taps.push(value.into());
        self
    }

    /// The size that costs assume for a symbol. The plan stays symbolic in it; to fix a size, bind it at import.
    pub fn expect_size(mut self, symbol: &str, size: u64) -> Compiler {
        self.fusion.bindings.insert(symbol.into(), size);
        self.schedule.sizes.insert(symbol.into(), size);
        self
    }

    /// Let INT8 codes differ from the exact ones by one where f32 arithmetic leaves the rounding open.
    pub fn fast(mut self, fast: bool) -> Compiler {
        self.schedule.fast = fast;
        self
    }

    /// Whether to weld groups onto the convolutions and matrix products that they follow, where that takes less time: the default.
    pub fn weld(mut self, weld: bool) -> Compiler {
        self.passes.weld = weld;
        self.fusion.weld = weld;
        self
    }

    /// Compute the f32 convolutions and matrix products of a model, and what leads to them, in `float`: f16 or bf16.
    pub fn float(mut self, float: Option<DType>) -> Compiler {
        self.passes.float = float;
        self
    }

    /// Keep this node, given by name, in f32 all the same.
    pub fn keep_f32(mut self, node: &str) -> Compiler {
        self.passes.keep_f32.insert(node.into());
        self
    }

    /// Use the choices of a lock where it has any for a kernel.
    pub fn lock(mut self, lock: Lock) -> Compiler {
        self.lock = lock;
        self
    }

    /// Whether predicted times may take a welded kernel apart; else only a lock may.
    pub fn weld_by_prediction(mut self, on: bool) -> Compiler {
        self.weld_by_prediction = on;
        self
    }

    /// Run no pass after this one.
    pub fn stop_after(mut self, pass: Option<&str>) -> Compiler {
        self.passes.stop_after = pass.map(Into::into);
        self
    }

    /// Emit kernels that wait for the kernel before them themselves, for launches with programmatic stream serialization: on by default.
    /// Launched in any other way, and before sm_90, they run as if they did not.
    pub fn dependent_launch(mut self, on: bool) -> Compiler {
        self.emit.dependent_launch = on;
        self
    }

    /// Whether to use the cache on disk.
    pub fn cached(mut self, cached: bool) -> Compiler {
        self.cached = cached;
        self
    }

    /// Threads to compile on; 0 means one a core.
    pub fn jobs(mut self, jobs: usize) -> Compiler {
        self.jobs = jobs;
        self
    }

    /// What schedules are chosen by.
    pub fn schedule_options(&self) -> &schedule::Options {
        &self.schedule
    }

    /// What texts are written by.
    pub fn emit_options(&self) -> &emit::Options {
        &self.emit
    }

    /// The architectures, sm_90 if none was given.
    pub fn archs(&self) -> &[Arch] {
        if self.archs.is_empty() { &[Arch::SM_90] } else { &self.archs }
    }

    /// Simplifies, fuses, schedules and emits; the graph given stays as it is.
    ///
    /// # Errors
    /// If the graph has a cycle, a name given to an option matches nothing, or a fusion asked for is not possible.
    pub fn plan(&self, graph: &Graph) -> Result<Planned, Error> {
        self.plan_observed(graph, |_, _, _| {})
    }

    /// As [`Compiler::plan`]; `observer` sees the graph after each pass, with the round counted from 1.
    ///
    /// # Errors
    /// As [`Compiler::plan`].
    pub fn plan_observed(
        &self,
        graph: &Graph,
        observer: impl FnMut(&passes::Pass, usize, &Graph),
    ) -> Result<Planned, Error> {
        rayon::spawn(emit::prepare);
        let fusion = self.fusion_options();
        let mut simplified = graph.clone();
        if fusion.taps.is_empty() {
            let report = passes::run(&mut simplified, &self.passes, observer)?;
            return self.lower(simplified, report, &fusion);
        }
        passes::run(&mut simplified, &self.passes, |_, _, _| {})?;
        let swallowed = Swallowed::find(graph, &simplified, &fusion.taps);
        simplified = graph.clone();
        swallowed.mark(&mut simplified);
        let report = passes::run(&mut simplified, &self.passes, observer)?;
        swallowed.release(&mut simplified, graph.outputs().len());
        self.lower(simplified, report, &fusion)
    }

    /// Runs the passes alone; the graph given stays as it is.
    ///
    /// # Errors
    /// As [`Compiler::plan`].
    pub fn simplify(&self, graph: &Graph) -> Result<Graph, Error> {
        let mut graph = graph.clone();
        passes::run(&mut graph, &self.passes, |_, _, _| {})?;
        Ok(graph)
    }

    /// From a simplified graph to texts.
    fn lower(&self, graph: Graph, passes: passes::Report, fusion: &fuse::Options) -> Result<Planned, Error> {
        let mut fusion = fusion.clone();
        loop {
            let mut plan = fuse::fuse(&graph, &fusion)?;
            let mut locked = Locked::schedule(&mut plan, self);
            let apart = weld::decide(&graph, &mut plan, self, &fusion);
            if !apart.is_empty() {
                // Each time an edge is cut that was not before, so this ends.
                fusion.apart.extend(apart);
                continue;
            }
            locked.seal(&plan, &fusion, self);
            let (mut sources, mut failed) = (Vec::new(), Vec::new());
            let texts = locked.emit(&mut plan, self);
            for (kernel, text) in plan.kernels().zip(texts) {
                match text {
                    Ok(source) => sources.push(source),
                    // No template for this product with this epilogue: its group is split, and at the end left to others. Each split
                    // cuts an edge or leaves a node that was not before, so this ends.
                    Err(error) if kernel.product.is_some() => {
                        failed.push((kernel.name.clone(), error.to_string()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let mut left = None;
            for (kernel, error) in failed {
                left = Some(fuse::split(&graph, left.as_ref().unwrap_or(&fusion), &plan, &kernel, &error));
            }
            match left {
                None => {
                    let stages = plan.stages().map(|stage| emit::emit_stage(stage, &self.emit));
                    let stages = stages.collect::<Result<_, _>>()?;
                    return Ok(Planned { graph, plan, passes, sources, stages, locked });
                }
                Some(options) => fusion = options,
            }
        }
    }

    fn fusion_options(&self) -> fuse::Options {
        fuse::Options { target: self.target(), ..self.fusion.clone() }
    }

    /// The target that costs and schedules are chosen for.
    pub fn target(&self) -> Target {
        let mut target = Target::of(self.archs()[0]);
        // One text for all of them: no more shared memory than each has.
        let shared = self.archs().iter().map(|arch| Target::of(*arch).limits.shared_per_block);
        target.limits.shared_per_block = shared.min().unwrap_or(target.limits.shared_per_block);
        target
    }

    /// Compiles a graph: plans it, and has NVRTC compile every distinct kernel to machine code for each architecture and to PTX
    /// for the oldest.
    ///
    /// # Errors
    /// As [`Compiler::plan`], and if NVRTC is missing. A kernel that NVRTC refuses is no error: its group is split, and what can't be
    /// split further is named in [`Compiled::failures`].
    pub fn compile(&self, graph: &Graph) -> Result<Compiled, Error> {
        self.compile_planned(self.plan(graph)?, &|_, _, _| {})
    }

    /// As [`Compiler::compile`], from a plan of this compiler's; `progress` is told of every compilation that is done.
    ///
    /// # Errors
    /// If NVRTC is missing, or the plan of a split group can't be made.
    pub fn compile_planned(
        &self,
        planned: Planned,
        progress: &(dyn Fn(usize, usize, &Request) + Sync),
    ) -> Result<Compiled, Error> {
        let mut toolchain = Toolchain::load()?;
        if !self.cached {
            toolchain = toolchain.with_cache(None);
        } else if let Some(cache) = Cache::of_user() {
            toolchain = toolchain.with_cache(Some(cache));
        }
        programs::compile(self, &toolchain, planned, progress)
    }
}

impl Planned {
    /// The table of each kernel of the plan, in order, where its form reads one.
    pub fn tables(&self) -> Vec<Option<Vec<u8>>> {
        self.plan.kernels().map(emit::table_of).collect()
    }
}
