//! A GPU as a machine: the kernel runs as it does in a model, as a plan of its own on the engine, so that what launches kernels is proved
//! with them.

use super::trial::{Machine, Outcome, Region, Stored, Trial};
use crate::dim::Dim;
use crate::graph::{Graph, Kind, Node, Type, Value};
use crate::plan::{self, BufferId, Contraction, Plan, Role, Step};
use crate::runtime::engine::Code;
use crate::runtime::{Buffer, Device, DeviceError, Engine, EngineError, Stream};
use crate::shape::Shape;
use crate::target::Arch;

/// A kernel's machine code on a GPU. It runs every trial twice, with other bytes in what it is to store: what the two runs left alone was
/// not written. Memory before and after each store's region is watched; a read outside of a region is not seen (compute-sanitizer sees it).
pub struct Gpu<'a> {
    device: &'a Device,
    cubin: &'a [u8],
    arch: Arch,
}

/// Bytes around a store's region that must stay as they are.
const GUARD: usize = 512;

/// What fills regions before a run.
pub(super) const POISONS: [u8; 2] = [0xa5, 0x5a];

impl<'a> Gpu<'a> {
    /// Takes the machine code that NVRTC made of a kernel's text for `arch`, which must run on the device.
    pub fn new(device: &'a Device, cubin: &'a [u8], arch: Arch) -> Gpu<'a> {
        Gpu { device, cubin, arch }
    }

    fn run_on(&self, trial: &Trial) -> Result<Result<Vec<Stored>, String>, EngineError> {
        let (plan, graph) = plan_of(trial);
        let multiprocessors = trial.source.rule.blocks.clone().multiprocessors().copied();
        let (source, table) = (trial.source, trial.table);
        let code = Code { source, cubin: self.cubin, arch: self.arch, table, multiprocessors };
        let engine = Engine::load(self.device, &plan, &graph, &[code], &[], false)?;
        let stream = self.device.stream()?;
        let mut given = Vec::new();
        for (region, (name, _)) in trial.factors.iter().chain(&trial.loads).zip(&plan.inputs) {
            let memory = Guarded::new(self.device, region.skew, region.count * region.width())?;
            memory.region.upload(&stream, &region.contents)?;
            given.push((name.as_str(), memory.region));
        }
        let mut stores = Vec::new();
        for (region, (name, _)) in trial.stores.iter().zip(&plan.outputs) {
            let memory = Guarded::new(self.device, region.skew, region.count * region.width())?;
            given.push((name.as_str(), memory.region.clone()));
            stores.push(memory);
        }
        let session = engine.session_with(trial.sizes, &given)?;
        let mut runs = Vec::new();
        for poison in POISONS {
            for memory in &stores {
                memory.fill(&stream, poison)?;
            }
            session.launch_on(&stream)?;
            let found: Vec<Vec<u8>> =
                stores.iter().map(|memory| memory.contents(&stream)).collect::<Result<_, DeviceError>>()?;
            for (i, (bytes, memory)) in found.iter().zip(&stores).enumerate() {
                if let Some(at) = memory.first_disturbed(bytes, poison) {
                    return Ok(Err(format!("store {i} wrote {at} bytes from the begin of its region")));
                }
            }
            runs.push(found);
        }
        let stored = trial.stores.iter().zip(&stores).enumerate().map(|(i, (region, memory))| {
            memory
                .stored([&runs[0][i], &runs[1][i]], region.width())
                .map_err(|at| format!("two runs stored different bytes in element {at} of store {i}"))
        });
        Ok(stored.collect())
    }
}

impl Machine for Gpu<'_> {
    fn run(&self, trial: &Trial) -> Result<Outcome, String> {
        let stores = self.run_on(trial).map_err(|e| e.to_string())??;
        Ok(Outcome { stores, instructions: None })
    }
}

/// A region on the GPU with what lies around it.
pub(super) struct Guarded {
    whole: Buffer,
    pub region: Buffer,
    /// Where the region begins in the whole.
    start: usize,
}

impl Guarded {
    /// `bytes` bytes, `skew` past a multiple of 256.
    pub fn new(device: &Device, skew: usize, bytes: usize) -> Result<Guarded, DeviceError> {
        let start = GUARD + skew;
        let whole = device.alloc((start + bytes + GUARD) as u64)?;
        let region = whole.slice(start as u64, bytes as u64)?;
        Ok(Guarded { whole, region, start })
    }

    /// What two runs left in the region, after [`POISONS`]; the element in which they differ, if they do.
    pub fn stored(&self, runs: [&[u8]; 2], width: usize) -> Result<Stored, usize> {
        let range = self.start..self.start + self.region.bytes() as usize;
        let (one, other) = (&runs[0][range.clone()], &runs[1][range]);
        let untouched = |chunk: &[u8], poison: u8| chunk.iter().all(|byte| *byte == poison);
        let mut written = Vec::with_capacity(one.len() / width.max(1));
        for (at, (one, other)) in one.chunks(width).zip(other.chunks(width)).enumerate() {
            let alone = untouched(one, POISONS[0]) && untouched(other, POISONS[1]);
            if !alone && one != other {
                return Err(at);
            }
            written.push(!alone);
        }
        Ok(Stored { bytes: one.to_vec(), written })
    }

    pub fn fill(&self, stream: &Stream, poison: u8) -> Result<(), DeviceError> {
        self.whole.upload(stream, &vec![poison; self.whole.bytes() as usize])
    }

    pub fn contents(&self, stream: &Stream) -> Result<Vec<u8>, DeviceError> {
        let mut bytes = vec![0u8; self.whole.bytes() as usize];
        self.whole.download(stream, &mut bytes)?;
        Ok(bytes)
    }

    /// The first byte outside of the region that was written, counted from the region's begin.
    pub fn first_disturbed(&self, bytes: &[u8], poison: u8) -> Option<i64> {
        let inside = self.start..self.start + self.region.bytes() as usize;
        let disturbed = |(at, byte): (usize, &u8)| (!inside.contains(&at) && *byte != poison).then_some(at as i64);
        bytes.iter().enumerate().find_map(disturbed).map(|at| at - self.start as i64)
    }
}

/// A plan of the trial's kernel alone, whose inputs and outputs are the regions.
fn plan_of(trial: &Trial) -> (Plan, Graph) {
    let mut graph = Graph::new("trial");
    let mut kernel = trial.kernel.clone();
    let mut buffers: Vec<plan::Buffer> = Vec::new();
    let mut named = [Vec::new(), Vec::new()];
    let mut add = |region: &Region, role: Role, name: String| {
        let ty = Type::new(region.dtype, Shape::from(&[region.count][..]));
        let value: Value = graph.add(Node::new(Kind::Input, &name, ty.clone()), &[]).value();
        buffers.push(plan::Buffer { name: name.clone(), value, ty, role });
        let id = BufferId(buffers.len() as u32 - 1);
        named[usize::from(role == Role::Computed)].push((name, id));
        (id, Dim::fixed(region.start() - region.first))
    };
    if let Some(product) = kernel.product.as_deref_mut() {
        for (i, region) in trial.factors.iter().enumerate() {
            let (id, offset) = add(region, Role::Input, format!("factor {i}"));
            let factor = if i == 0 { &mut product.a } else { &mut product.b };
            factor.buffer = id;
            match (&mut product.contraction, i) {
                (Contraction::Matrix { a, .. }, 0) => a.offset = offset,
                (Contraction::Matrix { b, .. }, _) => b.offset = offset,
                (Contraction::Conv { first, .. }, 0) => *first = offset,
                (Contraction::Conv { .. }, _) => {}
            }
        }
    }
    for (i, (load, region)) in kernel.loads.iter_mut().zip(&trial.loads).enumerate() {
        (load.buffer, load.access.offset) = add(region, Role::Input, format!("load {i}"));
    }
    for (i, (store, region)) in kernel.stores.iter_mut().zip(&trial.stores).enumerate() {
        (store.buffer, store.access.offset) = add(region, Role::Computed, format!("store {i}"));
    }
    let [inputs, outputs] = named;
    let steps = vec![Step::Kernel(kernel)];
    (Plan { model: "trial".into(), buffers, inputs, outputs, steps, decisions: Vec::new() }, graph)
}
