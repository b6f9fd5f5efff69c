//! A plan at given sizes: memory placed, launches recorded.

use super::scratch::Shared;
use super::variants::{Change, needs_wide};
use super::{Engine, EngineError, Entry, StageEntry, bounds};
use crate::dim::Bindings;
use crate::dtype::DType;
use crate::emit::{ArgValue, EmitError, KernelSource, Launch, Scratch, TensorMap};
use crate::graph::NodeId;
use crate::plan::{BufferId, IndexWidth, Place, Placement, Plan, Step, Storage};
use crate::reference;
use crate::runtime::libraries;
use crate::runtime::{Arg, Buffer, Call, Function, Geometry, Graph, Stream};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// See the engine's page. A session is used by one thread at a time; make one for each.
pub struct Session {
    engine: Engine,
    sizes: Bindings,
    stream: Stream,
    /// Where each buffer of the plan lies; `None` for constants that only CPU nodes read.
    memory: Vec<Option<Buffer>>,
    types: Vec<Option<Known>>,
    parts: Vec<Part>,
}

/// A type at given sizes.
type Known = (DType, Vec<usize>);

/// What runs without the host, and what needs it.
enum Part {
    Kernels(Graph),
    Host { node: NodeId, label: String, inputs: Vec<BufferId>, outputs: Vec<BufferId> },
}

impl Engine {
    /// Prepares a run at these sizes of the plan's symbols, in memory of the engine's own.
    ///
    /// # Errors
    /// If a symbol is not bound, memory is short, or a kernel would leave its buffers.
    pub fn session(&self, sizes: &Bindings) -> Result<Session, EngineError> {
        self.session_with(sizes, &[])
    }

    /// As [`Engine::session`], with the caller's memory for some of the plan's inputs and outputs: no copies are made.
    ///
    /// # Errors
    /// As [`Engine::session`], and if a buffer has the wrong size or is not even aligned to its elements.
    pub fn session_with(&self, sizes: &Bindings, given: &[(&str, Buffer)]) -> Result<Session, EngineError> {
        let plan = &self.0.plan;
        let types = types(plan, sizes)?;
        let memory = place(self, sizes, given)?;
        let stream = self.0.device.stream()?;
        let mut shared = Shared::default();
        let mut parts = Vec::new();
        let mut calls: Vec<Call> = Vec::new();
        let (mut kernels, mut stages) = (0..self.0.kernels.len(), 0..self.0.stages.len());
        for step in &plan.steps {
            match step {
                Step::Kernel(_) => {
                    if let Some(number) = kernels.next() {
                        calls.push(call(self, number, sizes, &memory, &mut shared)?);
                    }
                }
                Step::Routine(routine) => {
                    for number in stages.by_ref().take(routine.stages.len()) {
                        calls.push(call_stage(self, number, sizes, &memory, &mut shared)?);
                    }
                }
                Step::Node { node, label, inputs, outputs, .. } => {
                    if !calls.is_empty() {
                        parts.push(Part::Kernels(Graph::record(&self.0.device, &calls)?));
                        calls.clear();
                    }
                    let (label, inputs, outputs) = (label.clone(), inputs.clone(), outputs.clone());
                    parts.push(Part::Host { node: *node, label, inputs, outputs });
                }
            }
        }
        if !calls.is_empty() {
            parts.push(Part::Kernels(Graph::record(&self.0.device, &calls)?));
        }
        Ok(Session { engine: self.clone(), sizes: sizes.clone(), stream, memory, types, parts })
    }
}

/// The type of every buffer at these sizes; `None` where the plan does not know it.
fn types(plan: &Plan, sizes: &Bindings) -> Result<Vec<Option<Known>>, EngineError> {
    let one = |buffer: &crate::plan::Buffer| match buffer.ty.full() {
        Some((dtype, shape)) => Ok(Some((dtype, shape.eval(sizes)?))),
        None => Ok(None),
    };
    plan.buffers.iter().map(one).collect()
}

/// Gives every buffer its memory: the caller's, a constant's, an allocation of its own, or a place in the arena.
fn place(engine: &Engine, sizes: &Bindings, given: &[(&str, Buffer)]) -> Result<Vec<Option<Buffer>>, EngineError> {
    let (plan, device) = (&engine.0.plan, &engine.0.device);
    let storage = Storage::new(plan, sizes)?;
    let mut own: BTreeMap<BufferId, Buffer> = BTreeMap::new();
    for (name, buffer) in given {
        let mut named = plan.inputs.iter().chain(&plan.outputs);
        let (_, id) = named.find(|(n, _)| n == name).ok_or_else(|| EngineError::UnknownName(name.to_string()))?;
        let placement = storage.places[id.0 as usize];
        let Place::Own { bytes: expected } = placement.place else {
            return Err(EngineError::UnknownName(name.to_string()));
        };
        let found = buffer.bytes();
        if expected != found {
            return Err(EngineError::BufferSize { what: "a buffer", value: name.to_string(), expected, found });
        }
        own.insert(placement.root, buffer.clone());
    }
    let arena = device.alloc(storage.arena)?;
    let mut memory = Vec::with_capacity(storage.places.len());
    for Placement { root, place } in &storage.places {
        memory.push(match place {
            Place::Nowhere => None,
            Place::Constant => engine.0.constants.get(&root.0).cloned(),
            Place::Arena { offset, bytes } => Some(arena.slice(*offset, *bytes)?),
            Place::Own { bytes } => Some(match own.get(root) {
                Some(buffer) => buffer.clone(),
                None => own.entry(*root).or_insert(device.alloc(*bytes)?).clone(),
            }),
        });
    }
    Ok(memory)
}

/// One kernel with its arguments, in the form that the sizes and the pointers allow.
fn call(
    engine: &Engine,
    number: usize,
    sizes: &Bindings,
    memory: &[Option<Buffer>],
    shared: &mut Shared,
) -> Result<Call, EngineError> {
    let loaded = &engine.0;
    let entry = &loaded.kernels[number];
    let wide = entry.source.launch(&entry.kernel, sizes).err().is_some_and(|error| needs_wide(&error, entry));
    let plain = Change { wide, unaligned: false };
    let first = if wide {
        call_of(engine, &*loaded.variants.get(loaded, number, plain)?, sizes, memory, shared)
    } else {
        call_of(engine, entry, sizes, memory, shared)
    };
    match first {
        Err(misaligned @ EngineError::Misaligned { .. }) => {
            match loaded.variants.get(loaded, number, Change { unaligned: true, ..plain }) {
                Ok(entry) => call_of(engine, &entry, sizes, memory, shared),
                // There is no such form of the kernel.
                Err(EngineError::Launch(_)) => Err(misaligned),
                Err(error) => Err(error),
            }
        }
        other => other,
    }
}

/// This form of a kernel with its arguments.
fn call_of(
    engine: &Engine,
    entry: &Entry,
    sizes: &Bindings,
    memory: &[Option<Buffer>],
    shared: &mut Shared,
) -> Result<Call, EngineError> {
    let kernel = &entry.kernel;
    bounds::check(&engine.0.plan, kernel, sizes)?;
    if let (true, Some(product), [store]) = (kernel.schedule.library, &kernel.product, &kernel.stores[..])
        && let Some(described) = libraries::of_kernel(kernel, sizes)
    {
        let mut operands = Vec::new();
        for (factor, (_, access)) in product.factors().iter().zip(product.contraction.accesses()?) {
            let offset = access.offset.eval_signed(sizes)? * factor.dtype.bytes().unwrap_or(1) as i64;
            operands.push((factor.buffer, offset));
        }
        let to = store.access.offset.eval_signed(sizes)? * store.dtype.bytes().unwrap_or(1) as i64;
        if let Some(call) = by_library(engine, &described, operands.into_iter(), (store.buffer, to), memory, shared)? {
            return Ok(call);
        }
    }
    let launch = Ready {
        name: &kernel.name,
        source: &entry.source,
        function: &entry.function,
        table: entry.table.as_ref(),
        factors: kernel.product.iter().flat_map(|product| product.factors()).map(|factor| factor.buffer).collect(),
        loads: kernel.loads.iter().map(|load| load.buffer).collect(),
        stores: kernel.stores.iter().map(|store| store.buffer).collect(),
        launch: entry.source.launch(kernel, sizes)?,
    };
    launch.call(engine, memory, shared)
}

/// A library's call, where there is one: from operands to a result, each a buffer and the bytes before its first element.
fn by_library(
    engine: &Engine,
    product: &libraries::Product,
    operands: impl Iterator<Item = (BufferId, i64)>,
    to: (BufferId, i64),
    memory: &[Option<Buffer>],
    shared: &mut Shared,
) -> Result<Option<Call>, EngineError> {
    // The bounds checks have shown each first element to be inside.
    let place = |(id, offset): (BufferId, i64)| -> Option<Buffer> {
        let memory = memory[id.0 as usize].as_ref()?;
        let start = u64::try_from(offset).ok()?;
        memory.slice(start, memory.bytes().checked_sub(start)?).ok()
    };
    let (Some(operands), Some(to)) = (operands.map(place).collect::<Option<Vec<Buffer>>>(), place(to)) else {
        return Ok(None);
    };
    if !libraries::found().iter().any(|(_, found)| *found) {
        return Ok(None);
    }
    let needs = Scratch { partials: libraries::WORKSPACE, counters: 0 };
    let [workspace, _] = shared.hold(&engine.0.device, needs)?;
    Ok(product.call(&engine.0.device, &operands, &to, &workspace))
}

/// One stage of a routine with its arguments, in the form that the sizes allow.
fn call_stage(
    engine: &Engine,
    number: usize,
    sizes: &Bindings,
    memory: &[Option<Buffer>],
    shared: &mut Shared,
) -> Result<Call, EngineError> {
    let loaded = &engine.0;
    let entry = &loaded.stages[number];
    match entry.source.launch_stage(&entry.stage, sizes) {
        Err(EmitError::IndexTooNarrow { .. }) if entry.stage.index == IndexWidth::Bits32 => {
            call_of_stage(engine, &*loaded.variants.wide_stage(loaded, number)?, sizes, memory, shared)
        }
        _ => call_of_stage(engine, entry, sizes, memory, shared),
    }
}

fn call_of_stage(
    engine: &Engine,
    entry: &StageEntry,
    sizes: &Bindings,
    memory: &[Option<Buffer>],
    shared: &mut Shared,
) -> Result<Call, EngineError> {
    let stage = &entry.stage;
    bounds::check_stage(&engine.0.plan, stage, sizes)?;
    let operands = stage.reads.iter().map(|read| (read.buffer, 0));
    if let [write] = &stage.writes[..]
        && let Some(product) = libraries::of_stage(stage, sizes)
        && let Some(call) = by_library(engine, &product, operands, (write.buffer, 0), memory, shared)?
    {
        return Ok(call);
    }
    let launch = Ready {
        name: &stage.name,
        source: &entry.source,
        function: &entry.function,
        table: None,
        factors: Vec::new(),
        loads: stage.reads.iter().map(|read| read.buffer).collect(),
        stores: stage.writes.iter().map(|write| write.buffer).collect(),
        launch: entry.source.launch_stage(stage, sizes)?,
    };
    launch.call(engine, memory, shared)
}

/// A launch whose accesses have been shown to lie inside the buffers.
struct Ready<'a> {
    name: &'a str,
    source: &'a KernelSource,
    function: &'a Function,
    table: Option<&'a Buffer>,
    factors: Vec<BufferId>,
    loads: Vec<BufferId>,
    stores: Vec<BufferId>,
    launch: Launch,
}

impl Ready<'_> {
    fn call(&self, engine: &Engine, memory: &[Option<Buffer>], shared: &mut Shared) -> Result<Call, EngineError> {
        let (plan, launch) = (&engine.0.plan, &self.launch);
        let [partials, counters] = shared.hold(&engine.0.device, launch.scratch)?;
        let pointer = |id: BufferId, offset: i64, align: u32| -> Result<Arg, EngineError> {
            let buffer = plan.buffer(id);
            let missing = || EngineError::UnknownType { value: buffer.name.clone() };
            let memory = memory[id.0 as usize].as_ref().ok_or_else(missing)?;
            if memory.bytes() == 0 || launch.grid.contains(&0) {
                return Ok(Arg::U64(0));
            }
            // The bounds check has shown the first element to be inside.
            let start = u64::try_from(offset).unwrap_or(0);
            let part = memory.slice(start, memory.bytes().saturating_sub(start))?;
            if !part.pointer().is_multiple_of(align.max(1).into()) {
                let (kernel, value) = (self.name.to_owned(), buffer.name.clone());
                return Err(EngineError::Misaligned { kernel, value, align, address: part.pointer() });
            }
            Ok(Arg::Buffer(part))
        };
        let mut args = Vec::with_capacity(launch.args.len());
        for arg in &launch.args {
            args.push(match *arg {
                ArgValue::Load { index, offset, align } => pointer(self.loads[index as usize], offset, align)?,
                ArgValue::Store { index, offset, align } => pointer(self.stores[index as usize], offset, align)?,
                ArgValue::Factor { index, offset, align } => match self.factors.get(index as usize) {
                    Some(factor) => pointer(*factor, offset, align)?,
                    None => return Err(EngineError::Mismatch { expected: 2, found: self.factors.len() }),
                },
                ArgValue::TensorMap { index, offset, map } => match self.factors.get(index as usize) {
                    Some(factor) => match pointer(*factor, offset, TensorMap::ALIGN)? {
                        Arg::Buffer(buffer) => Arg::TensorMap(buffer, map),
                        // Nothing is launched, or there is nothing to copy.
                        _ => Arg::NoMap,
                    },
                    None => return Err(EngineError::Mismatch { expected: 2, found: self.factors.len() }),
                },
                ArgValue::Table { .. } => match self.table {
                    Some(table) => Arg::Buffer(table.clone()),
                    None => return Err(EngineError::Mismatch { expected: 1, found: 0 }),
                },
                ArgValue::Partials => Arg::Buffer(partials.clone()),
                ArgValue::Counters => Arg::Buffer(counters.clone()),
                ArgValue::U32(n) => Arg::U32(n),
                ArgValue::I32(n) => Arg::U32(n as u32),
                ArgValue::U64(n) => Arg::U64(n),
                ArgValue::I64(n) => Arg::U64(n as u64),
                ArgValue::F32(x) => Arg::F32(x),
                ArgValue::F64(x) => Arg::U64(x.to_bits()),
            });
        }
        let geometry = Geometry {
            grid: launch.grid,
            block: launch.block,
            shared: launch.dynamic_shared,
            dependent: self.source.rule.dependent,
        };
        // SAFETY: the arguments are those of the kernel's own source, in its order and of its types; the bounds check has shown
        // that every element its accesses reach lies inside the buffers.
        Ok(unsafe { Call::new(self.function, geometry, &args) }?)
    }
}

impl Session {
    /// The stream that it runs in.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The memory of an input or output.
    pub fn buffer(&self, name: &str) -> Option<&Buffer> {
        let plan = &self.engine.0.plan;
        let (_, id) = plan.inputs.iter().chain(&plan.outputs).find(|(n, _)| n == name)?;
        self.memory[id.0 as usize].as_ref()
    }

    /// Puts the whole plan into the stream's queue: one launch of one CUDA graph, which waits for nothing.
    ///
    /// # Errors
    /// [`EngineError::NeedsHost`] if some nodes run on the CPU.
    pub fn launch(&self) -> Result<(), EngineError> {
        self.launch_on(&self.stream)
    }

    /// As [`Session::launch`], into another stream's queue.
    ///
    /// # Errors
    /// As [`Session::launch`].
    pub fn launch_on(&self, stream: &Stream) -> Result<(), EngineError> {
        let host = self.parts.iter().filter(|part| matches!(part, Part::Host { .. })).count();
        if host > 0 {
            return Err(EngineError::NeedsHost(host));
        }
        for part in &self.parts {
            if let Part::Kernels(graph) = part {
                graph.launch(stream)?;
            }
        }
        Ok(())
    }

    /// The kernels' calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.parts.iter().flat_map(|part| match part {
            Part::Kernels(graph) => graph.calls(),
            Part::Host { .. } => &[],
        })
    }

    /// Copies the inputs in, runs, and copies the outputs back.
    ///
    /// # Errors
    /// If an input is missing or of another type, or a step fails.
    pub fn run<N: AsRef<str>>(&self, inputs: &[(N, Tensor)]) -> Result<Vec<(String, Tensor)>, EngineError> {
        let plan = &self.engine.0.plan;
        let declared: Vec<_> = plan.inputs.iter().map(|(name, id)| (name.as_str(), &plan.buffer(*id).ty)).collect();
        let given = reference::bind_inputs(&declared, inputs, &mut self.sizes.clone())?;
        for ((_, id), tensor) in plan.inputs.iter().zip(&given) {
            // An input that nothing reads has no memory.
            if let Some(memory) = &self.memory[id.0 as usize] {
                memory.upload_tensor(&self.stream, tensor)?;
            }
        }
        for part in &self.parts {
            match part {
                Part::Kernels(graph) => graph.launch(&self.stream)?,
                Part::Host { node, label, inputs, outputs } => self.on_host(*node, label, inputs, outputs)?,
            }
        }
        plan.outputs.iter().map(|(name, id)| Ok((name.clone(), self.download(*id)?))).collect()
    }

    fn on_host(&self, node: NodeId, label: &str, inputs: &[BufferId], outputs: &[BufferId]) -> Result<(), EngineError> {
        let operands: Vec<Tensor> = inputs.iter().map(|id| self.download(*id)).collect::<Result<_, _>>()?;
        let options = reference::Options { bindings: self.sizes.clone(), ..reference::Options::default() };
        let results = reference::run_node(self.engine.0.graph.node(node), &operands, &options)
            .map_err(|source| EngineError::Node { node: label.into(), source })?;
        for (id, tensor) in outputs.iter().zip(&results) {
            let Some(memory) = &self.memory[id.0 as usize] else { continue };
            let (expected, found) = (memory.bytes(), tensor.bytes().len() as u64);
            if expected != found {
                let value = self.engine.0.plan.buffer(*id).name.clone();
                return Err(EngineError::BufferSize { what: "a result", value, expected, found });
            }
            memory.upload_tensor(&self.stream, tensor)?;
        }
        Ok(())
    }

    /// A buffer's contents; a constant's come from the graph.
    fn download(&self, id: BufferId) -> Result<Tensor, EngineError> {
        let buffer = self.engine.0.plan.buffer(id);
        if let Some(tensor) = self.engine.0.graph.constant(buffer.value) {
            return Ok(tensor.clone());
        }
        let unknown = || EngineError::UnknownType { value: buffer.name.clone() };
        let (dtype, sizes) = self.types[id.0 as usize].as_ref().ok_or_else(unknown)?;
        let memory = self.memory[id.0 as usize].as_ref().ok_or_else(unknown)?;
        Ok(memory.download_tensor(&self.stream, *dtype, sizes)?)
    }
}
