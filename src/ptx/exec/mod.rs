//! Runs a launch: checks it, splits the grid over the cores, and puts the results together in block order.

mod access;
mod async_copy;
mod atomic;
mod block;
mod bulk;
mod collective;
mod matrix;
mod mbarrier;
mod pure;
mod region;
mod registers;
mod shared;
mod warp;
mod wgmma;

use super::fault::{Fault, FaultKind};
use super::memory::{Memory, Pages, View, conflict};
use super::program::{Class, Region};
use super::{DevPtr, Kernel};
use block::Block;
use rayon::prelude::*;

/// A kernel argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// A device pointer.
    Ptr(DevPtr),
    /// Any other value, as little-endian bytes of exactly the parameter's size; structs are passed so.
    Bytes(Vec<u8>),
}

impl From<DevPtr> for Arg {
    fn from(ptr: DevPtr) -> Arg {
        Arg::Ptr(ptr)
    }
}

macro_rules! arg_from {
    ($($t:ty),*) => {
        $(impl From<$t> for Arg {
            fn from(value: $t) -> Arg {
                Arg::Bytes(value.to_le_bytes().to_vec())
            }
        })*
    };
}
arg_from!(i8, u8, i16, u16, i32, u32, i64, u64, f32, f64);

/// How a kernel is launched.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Blocks per dimension.
    pub grid: [u32; 3],
    /// Threads per dimension of a block; at most 1024 together.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// One argument per parameter, in order.
    pub args: Vec<Arg>,
}

impl Launch {
    /// A one-dimensional launch without dynamic shared memory.
    pub fn linear(blocks: u32, threads: u32, args: Vec<Arg>) -> Launch {
        Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0, args }
    }
}

/// What to check, and how to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Report races on shared memory and accesses to bytes that an unfinished `cp.async` will write.
    pub races: bool,
    /// Report global bytes that two blocks both write. Off by default: some kernels do so on purpose, with equal values.
    pub block_conflicts: bool,
    /// Report reads of memory and registers that nothing wrote.
    pub uninitialised: bool,
    /// Instructions a warp may execute before the launch counts as endless.
    pub max_steps: u64,
    /// Moves the results of approximate instructions within the error that the PTX ISA documents, by this seed. Without a seed they
    /// are correctly rounded.
    pub perturb: Option<u64>,
    /// Shuffles the order in which warps run, to bring out what depends on it. Without a seed, lower warps run first.
    pub schedule: Option<u64>,
    /// Bytes of shared memory a block may have: 227 KiB on sm_90, 163 on sm_80, 64 on sm_75.
    pub max_shared: u32,
    /// Spread blocks over the cores. The result is the same either way.
    pub parallel: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            races: true,
            block_conflicts: false,
            uninitialised: true,
            max_steps: 50_000_000,
            perturb: None,
            schedule: None,
            max_shared: 227 * 1024,
            parallel: true,
        }
    }
}

/// What a launch executed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Instructions issued to warps.
    pub warp_instructions: u64,
    /// Threads that ran.
    pub threads: u64,
    /// Bytes that threads loaded from global memory.
    pub global_read: u64,
    /// Bytes that threads stored to global memory.
    pub global_written: u64,
    classes: [u64; Class::COUNT],
}

impl Stats {
    /// Thread instructions of a class: each active lane of a warp instruction counts as one.
    pub fn of(&self, class: Class) -> u64 {
        self.classes[class as usize]
    }

    /// Thread instructions of all classes.
    pub fn total(&self) -> u64 {
        Class::ALL.iter().map(|c| self.of(*c)).sum()
    }

    /// Instructions of a class per thread of the launch.
    pub fn per_thread(&self, class: Class) -> f64 {
        self.of(class) as f64 / self.threads.max(1) as f64
    }

    fn add(&mut self, other: &Stats) {
        self.warp_instructions += other.warp_instructions;
        self.threads += other.threads;
        self.global_read += other.global_read;
        self.global_written += other.global_written;
        for (a, b) in self.classes.iter_mut().zip(&other.classes) {
            *a += b;
        }
    }
}

/// A launch with everything that does not change from block to block.
pub(crate) struct Context<'k> {
    pub kernel: &'k Kernel,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub threads: u32,
    pub dynamic_shared: u32,
    pub params: Vec<u8>,
    pub variables: Vec<u64>,
    pub shared: Vec<Region>,
    pub options: Options,
}

/// Runs a kernel to its end.
///
/// On a fault, memory holds what the blocks before the faulting one wrote, and what that block wrote up to the fault.
pub fn run(kernel: &Kernel, launch: &Launch, memory: &mut Memory, options: &Options) -> Result<Stats, Box<Fault>> {
    let context = prepare(kernel, launch, memory, options)?;
    let blocks = u64::from(launch.grid[0]) * u64::from(launch.grid[1]) * u64::from(launch.grid[2]);
    // Blocks that exchange values through memory must see each other's writes.
    let parallel = options.parallel && !kernel.program.ordered_blocks && blocks > 1;
    let chunks = if parallel { blocks.min(4 * rayon::current_num_threads() as u64) } else { 1 };
    let bounds = |i: u64| i * blocks / chunks;
    let run_chunk = |i: u64| run_blocks(&context, memory, bounds(i)..bounds(i + 1));
    let results: Vec<Outcome> = if chunks > 1 {
        (0..chunks).into_par_iter().map(run_chunk).collect()
    } else {
        (0..chunks).map(run_chunk).collect()
    };

    let mut stats = Stats::default();
    let mut views = Vec::new();
    let mut fault = None;
    for outcome in results {
        stats.add(&outcome.stats);
        views.push(outcome.pages);
        if let Some(f) = outcome.fault {
            fault = Some(f);
            break;
        }
    }
    let clash = if options.block_conflicts { conflict(&views) } else { None };
    views.into_iter().for_each(|pages| memory.apply(pages));
    if let Some(fault) = fault {
        return Err(fault);
    }
    if let Some(c) = clash {
        let kind = FaultKind::GlobalRace {
            label: memory.allocs[c.alloc].label.clone(),
            offset: c.offset as i64,
            first: coordinates(u64::from(c.first), launch.grid),
            second: coordinates(u64::from(c.second), launch.grid),
        };
        return Err(launch_fault(kernel, kind));
    }
    Ok(stats)
}

struct Outcome {
    stats: Stats,
    pages: Pages,
    fault: Option<Box<Fault>>,
}

fn run_blocks(context: &Context<'_>, memory: &Memory, range: std::ops::Range<u64>) -> Outcome {
    let mut block = Block::new(context, View::new(memory, context.options.block_conflicts));
    let mut fault = None;
    for linear in range {
        if let Err(f) = block.run(linear as u32, coordinates(linear, context.grid)) {
            fault = Some(f);
            break;
        }
    }
    let (stats, view) = block.finish();
    Outcome { stats, pages: view.into_pages(), fault }
}

/// The coordinates of a linear index, x fastest.
pub(crate) fn coordinates(linear: u64, extent: [u32; 3]) -> [u32; 3] {
    let [x, y] = [u64::from(extent[0]), u64::from(extent[1])];
    [(linear % x) as u32, (linear / x % y) as u32, (linear / (x * y)) as u32]
}

fn launch_fault(kernel: &Kernel, kind: FaultKind) -> Box<Fault> {
    Box::new(Fault { kernel: kernel.name.clone(), block: [0; 3], thread: None, line: 0, text: String::new(), kind })
}

fn prepare<'k>(
    kernel: &'k Kernel,
    launch: &Launch,
    memory: &mut Memory,
    options: &Options,
) -> Result<Context<'k>, Box<Fault>> {
    let refuse = |message: String| Err(launch_fault(kernel, FaultKind::Launch(message)));
    let threads: u64 = launch.block.iter().map(|&n| u64::from(n)).product();
    if threads == 0 || threads > 1024 {
        return refuse(format!("a block of {:?} has {threads} threads; it must have 1 to 1024", launch.block));
    }
    let blocks: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
    if blocks == 0 || blocks > u64::from(u32::MAX) || launch.grid[1] > 65535 || launch.grid[2] > 65535 {
        return refuse(format!("a grid of {:?} is empty or too large", launch.grid));
    }
    if let Some(required) = kernel.required_block
        && required != launch.block
    {
        return refuse(format!("the kernel was compiled for blocks of {required:?}, not {:?}", launch.block));
    }
    if let Some(max) = kernel.max_threads
        && threads > u64::from(max)
    {
        return refuse(format!("the kernel was compiled for at most {max} threads a block, not {threads}"));
    }
    let program = &kernel.program;
    let shared_bytes = u64::from(program.static_shared) + u64::from(launch.dynamic_shared);
    if shared_bytes > u64::from(options.max_shared) {
        return refuse(format!(
            "a block needs {shared_bytes} bytes of shared memory, more than the {} there are",
            options.max_shared
        ));
    }
    if launch.args.len() != program.params.len() {
        return refuse(format!(
            "the kernel has {} parameters, the launch {} arguments",
            program.params.len(),
            launch.args.len()
        ));
    }
    let mut params = vec![0; program.param_bytes as usize];
    for (i, (param, arg)) in program.params.iter().zip(&launch.args).enumerate() {
        let bytes = match arg {
            Arg::Ptr(ptr) => ptr.addr().to_le_bytes().to_vec(),
            Arg::Bytes(bytes) => bytes.clone(),
        };
        if bytes.len() != param.size as usize {
            return refuse(format!("argument {i} has {} bytes, the parameter {}", bytes.len(), param.size));
        }
        params[param.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    let mut shared = program.shared.clone();
    if launch.dynamic_shared > 0 {
        shared.push(Region {
            name: "dynamic shared memory".into(),
            start: program.dynamic_start,
            size: launch.dynamic_shared,
        });
    }
    Ok(Context {
        kernel,
        grid: launch.grid,
        block: launch.block,
        threads: threads as u32,
        dynamic_shared: launch.dynamic_shared,
        params,
        variables: memory.load_variables(kernel.module.id, &kernel.module.variables),
        shared,
        options: options.clone(),
    })
}
