//! From a compiled model to a GPU.

use super::Compiled;
use crate::dim::Bindings;
use crate::reference;
use crate::runtime::engine::Code;
use crate::runtime::{Device, Engine, EngineError};
use crate::tensor::Tensor;

impl Compiled {
    /// Loads every kernel onto a GPU that the model was compiled for.
    ///
    /// # Errors
    /// As [`Engine::load`]; [`EngineError::Mismatch`] if a kernel has no machine code that runs there.
    pub fn load(&self, device: &Device) -> Result<Engine, EngineError> {
        let planned = &self.planned;
        let tables = planned.tables();
        let fitting = |program: &usize| {
            let builds = &self.programs[*program].builds;
            builds.iter().rev().find(|(arch, _)| arch.runs_on(device.arch()))
        };
        let (mut code, mut stages) = (Vec::new(), Vec::new());
        for ((source, program), table) in planned.sources.iter().zip(&self.program_of).zip(&tables) {
            if let Some((arch, build)) = fitting(program) {
                code.push(Code {
                    source,
                    cubin: &build.cubin,
                    arch: *arch,
                    table: table.as_deref(),
                    multiprocessors: None,
                });
            }
        }
        for (source, program) in planned.stages.iter().zip(&self.program_of_stage) {
            if let Some((arch, build)) = fitting(program) {
                stages.push(Code { source, cubin: &build.cubin, arch: *arch, table: None, multiprocessors: None });
            }
        }
        Engine::load(device, &planned.plan, &planned.graph, &code, &stages, self.cached)
    }

    /// Runs the model once: loads it, binds its symbols by the inputs' shapes, and copies to and fro. To run often, keep the
    /// engine and a session.
    ///
    /// # Errors
    /// As [`Compiled::load`], [`Engine::session`] and [`crate::runtime::Session::run`].
    pub fn run_on<N: AsRef<str>>(
        &self,
        device: &Device,
        inputs: &[(N, Tensor)],
    ) -> Result<Vec<(String, Tensor)>, EngineError> {
        let plan = &self.planned.plan;
        let declared: Vec<_> = plan.inputs.iter().map(|(name, id)| (name.as_str(), &plan.buffer(*id).ty)).collect();
        let mut sizes = Bindings::new();
        reference::bind_inputs(&declared, inputs, &mut sizes)?;
        self.load(device)?.session(&sizes)?.run(inputs)
    }
}
