//! The time of single kernels of a plan on a GPU.

use super::TuneError;
use crate::bench::{protocol, random_bytes, replay};
use crate::compile::{Cache, Output, Request, Toolchain};
use crate::compiler::Planned;
use crate::dim::Bindings;
use crate::emit::{self, KernelSource};
use crate::graph::{Type, Value};
use crate::plan::{self, BufferId, Kernel, Plan, Role, Step};
use crate::runtime::engine::Code;
use crate::runtime::{Buffer, Call, Device, Engine, EngineError, Session};
use crate::shape::Shape;
use std::collections::BTreeMap;

/// Replays of which the median is taken.
const REPLAYS: usize = 9;

/// A GPU with what compiles for it.
pub(super) struct Stopwatch<'a> {
    device: &'a Device,
    toolchain: Toolchain,
    seed: u64,
}

impl<'a> Stopwatch<'a> {
    pub fn new(device: &'a Device, seed: u64) -> Result<Stopwatch<'a>, TuneError> {
        let toolchain = Toolchain::load()?.with_cache(Cache::of_user());
        Ok(Stopwatch { device, toolchain, seed })
    }

    pub fn device(&self) -> &Device {
        self.device
    }

    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// µs of each of these kernels, which differ in their schedules alone; `None` for one that has no text or does not compile.
    pub fn times(
        &self,
        planned: &Planned,
        kernels: &[Kernel],
        options: &emit::Options,
        sizes: &Bindings,
    ) -> Result<Vec<Option<f64>>, TuneError> {
        let sources: Vec<Option<KernelSource>> = kernels.iter().map(|k| emit::emit(k, options).ok()).collect();
        let arch = self.device.arch();
        let mut texts: Vec<&KernelSource> = sources.iter().flatten().collect();
        texts.sort_by(|a, b| a.entry.cmp(&b.entry));
        texts.dedup_by(|a, b| a.entry == b.entry);
        let requests: Vec<Request> = texts
            .iter()
            .map(|s| Request { source: &s.text, kernel: &s.entry, arch, output: Output::Cubin, options: &[] })
            .collect();
        let compiled = self.toolchain.compile_all(&requests, 0, &|_, _, _| {});
        let cubins: BTreeMap<&str, Vec<u8>> = texts
            .iter()
            .zip(compiled)
            .filter_map(|(source, object)| Some((source.entry.as_str(), object.ok()?.bytes)))
            .collect();
        let Some(first) = kernels.first() else { return Ok(Vec::new()) };
        let alone = Alone::new(planned, first, self.device, sizes, self.seed)?;
        let mut times = Vec::with_capacity(kernels.len());
        for (kernel, source) in kernels.iter().zip(&sources) {
            let code = source.as_ref().and_then(|source| Some((source, cubins.get(source.entry.as_str())?)));
            let Some((source, cubin)) = code else {
                times.push(None);
                continue;
            };
            let table = emit::table_of(kernel);
            let code = Code { source, cubin, arch, table: table.as_deref(), multiprocessors: None };
            times.push(alone.time(planned, kernel, code, self.device, sizes)?);
        }
        Ok(times)
    }
}

/// A kernel as a plan of its own, with memory for its inputs and outputs that all its schedules are timed on.
struct Alone {
    plan: Plan,
    /// As many as the protocol goes round.
    sets: Vec<Vec<(String, Buffer)>>,
    runs: usize,
}

impl Alone {
    fn new(
        planned: &Planned,
        kernel: &Kernel,
        device: &Device,
        sizes: &Bindings,
        seed: u64,
    ) -> Result<Alone, EngineError> {
        let plan = plan_of(&planned.plan, kernel);
        let (bytes, _) = plan.moved()?.at(sizes)?;
        let (count, runs) = protocol(bytes);
        let mut random = fastrand::Rng::with_seed(seed);
        let stream = device.stream()?;
        let mut sets = Vec::with_capacity(count);
        for _ in 0..count {
            let mut set = Vec::new();
            for (name, id) in plan.inputs.iter().chain(&plan.outputs) {
                let unknown = || EngineError::UnknownType { value: name.clone() };
                let (dtype, shape) = plan.buffer(*id).ty.full().ok_or_else(unknown)?;
                let elements = shape.count()?.eval(sizes)?;
                let bytes = elements.saturating_mul(dtype.bytes().unwrap_or(1) as u64);
                let memory = device.alloc(bytes)?;
                if plan.buffer(*id).role == Role::Input {
                    memory.upload(&stream, &random_bytes(&mut random, dtype, bytes as usize))?;
                }
                set.push((name.clone(), memory));
            }
            sets.push(set);
        }
        Ok(Alone { plan, sets, runs })
    }

    fn time(
        &self,
        planned: &Planned,
        kernel: &Kernel,
        code: Code,
        device: &Device,
        sizes: &Bindings,
    ) -> Result<Option<f64>, EngineError> {
        let mut plan = self.plan.clone();
        if let [Step::Kernel(only)] = &mut plan.steps[..] {
            only.schedule = kernel.schedule.clone();
        }
        let engine = Engine::load(device, &plan, &planned.graph, &[code], &[], true)?;
        let session = |set: &Vec<(String, Buffer)>| {
            let given: Vec<(&str, Buffer)> = set.iter().map(|(name, memory)| (name.as_str(), memory.clone())).collect();
            engine.session_with(sizes, &given)
        };
        let sessions: Vec<Session> = match self.sets.iter().map(session).collect() {
            Ok(sessions) => sessions,
            // Too many blocks, or too much shared memory for this very GPU: no candidate.
            Err(EngineError::Launch(_) | EngineError::Device(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Without the library there is nothing to compare.
        if kernel.schedule.library && !sessions.iter().all(|s| s.calls().all(Call::is_of_library)) {
            return Ok(None);
        }
        Ok(Some(replay(device, &sessions, self.runs, REPLAYS)?))
    }
}

/// A plan of the kernel alone: what it reads are inputs, but for constants, and what it writes are outputs.
fn plan_of(plan: &Plan, kernel: &Kernel) -> Plan {
    let mut kernel = kernel.clone();
    let written: Vec<BufferId> = kernel.stores.iter().map(|store| root(plan, store.buffer)).collect();
    let mut buffers: Vec<plan::Buffer> = Vec::new();
    let mut known: BTreeMap<BufferId, BufferId> = BTreeMap::new();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let domain = Shape(kernel.domain.clone());
    let mut place = |id: BufferId, dtype| {
        let id = root(plan, id);
        *known.entry(id).or_insert_with(|| {
            let new = BufferId(buffers.len() as u32);
            // What lies between a product and the rest of its kernel is no buffer of the plan.
            let mut buffer = plan.buffers.get(id.0 as usize).cloned().unwrap_or_else(|| plan::Buffer {
                name: String::new(),
                value: Value { node: plan.buffers[0].value.node, port: u32::MAX },
                ty: Type::new(dtype, domain.clone()),
                role: Role::Computed,
            });
            buffer.name = format!("buffer {}", new.0);
            if written.contains(&id) {
                buffer.role = Role::Computed;
                outputs.push((buffer.name.clone(), new));
            } else if buffer.role != Role::Constant {
                buffer.role = Role::Input;
                inputs.push((buffer.name.clone(), new));
            }
            buffers.push(buffer);
            new
        })
    };
    if let Some(product) = kernel.product.as_deref_mut() {
        product.a.buffer = place(product.a.buffer, product.a.dtype);
        product.b.buffer = place(product.b.buffer, product.b.dtype);
    }
    kernel.loads.iter_mut().for_each(|load| load.buffer = place(load.buffer, load.dtype));
    kernel.stores.iter_mut().for_each(|store| store.buffer = place(store.buffer, store.dtype));
    let steps = vec![Step::Kernel(kernel)];
    Plan { model: plan.model.clone(), buffers, inputs, outputs, steps, decisions: Vec::new() }
}

/// The buffer whose memory a buffer is.
fn root(plan: &Plan, mut id: BufferId) -> BufferId {
    for _ in 0..plan.buffers.len() {
        match plan.buffers.get(id.0 as usize).map(|buffer| buffer.role) {
            Some(Role::Alias(of)) => id = of,
            _ => break,
        }
    }
    id
}
