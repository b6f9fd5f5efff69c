//! Compiles test kernels, runs them on the interpreter or on the GPU, and moves typed data in and out of device memory.

use crate::gpu;
use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::ptx::{Arg, DevPtr, Fault, Kernel, Launch, Memory, Module, Options, Stats, run};
use pointweld::runtime::{self, Buffer, Call, Device, Geometry};
use pointweld::target::Arch;
use std::sync::LazyLock;

/// The architectures that every kernel is compiled for, unless it needs a newer one.
pub const ARCHS: [Arch; 4] = [Arch::SM_75, Arch::SM_80, Arch::SM_90, Arch::SM_100];
/// Those with `cp.async` and bf16.
pub const AMPERE: [Arch; 3] = [Arch::SM_80, Arch::SM_90, Arch::SM_100];

/// The GPU that the tests run on, if there is one.
pub static DEVICE: LazyLock<Option<Device>> = LazyLock::new(gpu::device);

/// Where a kernel runs.
#[derive(Debug, Clone, Copy)]
pub enum On {
    /// On the interpreter, from its PTX for an architecture.
    Interpreter(Arch),
    Gpu,
}

/// The interpreter for each of these architectures, and the GPU if there is one: what a test says of the machine holds on hardware too.
pub fn everywhere(archs: &[Arch]) -> Vec<On> {
    archs.iter().map(|arch| On::Interpreter(*arch)).chain(DEVICE.is_some().then_some(On::Gpu)).collect()
}

fn compile(source: &str, arch: Arch, output: Output, options: &[&str]) -> Vec<u8> {
    let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("these tests need NVRTC (`make nvrtc`): {error}"));
    let options: Vec<String> = options.iter().map(|o| o.to_string()).collect();
    let request = Request { source, kernel: "k", arch, output, options: &options };
    nvrtc.compile(&request).unwrap_or_else(|error| panic!("{error}")).bytes
}

/// The PTX of a CUDA text.
pub fn ptx(source: &str, arch: Arch, options: &[&str]) -> String {
    String::from_utf8(compile(source, arch, Output::Ptx, options)).unwrap()
}

/// A module of the kernel `k` of a CUDA text.
pub fn module(source: &str, arch: Arch) -> Module {
    parse(&ptx(source, arch, &[]))
}

pub fn parse(text: &str) -> Module {
    Module::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub fn k(module: &Module) -> &Kernel {
    module.kernel("k").unwrap()
}

/// The kernel `k` of a CUDA text, compiled for where it is to run.
pub enum Code {
    Interpreted(Module),
    Loaded(runtime::Function),
}

pub fn code(source: &str, on: On) -> Code {
    match (on, DEVICE.as_ref()) {
        (On::Gpu, Some(device)) => {
            // Hopper's own instructions need its exact architecture.
            let arch = if source.contains("wgmma.") { Arch::SM_90A } else { device.arch() };
            let cubin = compile(source, arch, Output::Cubin, &[]);
            let module = runtime::Module::load(device, &cubin, arch).unwrap();
            Code::Loaded(module.function("k", MOST_SHARED).unwrap())
        }
        (On::Gpu, None) => panic!("there is no GPU"),
        (On::Interpreter(arch), _) => Code::Interpreted(module(source, arch)),
    }
}

/// Bytes of dynamic shared memory that a test kernel may ask for on the GPU.
const MOST_SHARED: u32 = 16 << 10;

/// What runs a kernel `k`.
pub trait Runs {
    /// Runs it; it must not fault. The GPU counts nothing.
    fn run(&self, launch: &Launch, memory: &mut Memory) -> Option<Stats>;
}

impl Runs for Module {
    fn run(&self, launch: &Launch, memory: &mut Memory) -> Option<Stats> {
        Some(run(k(self), launch, memory, &Options::default()).unwrap_or_else(|fault| panic!("{fault}")))
    }
}

impl Runs for Code {
    fn run(&self, launch: &Launch, memory: &mut Memory) -> Option<Stats> {
        match self {
            Code::Interpreted(module) => module.run(launch, memory),
            Code::Loaded(function) => {
                on_gpu(function, launch, memory);
                None
            }
        }
    }
}

/// Runs a kernel on a copy of the allocations that its arguments point to, and copies them back.
fn on_gpu(function: &runtime::Function, launch: &Launch, memory: &mut Memory) {
    let stream = function.device().stream().unwrap();
    let mut copies: Vec<(DevPtr, Buffer)> = Vec::new();
    let mut args = Vec::new();
    for arg in &launch.args {
        args.push(match arg {
            Arg::Ptr(ptr) => {
                let bytes = memory.read(*ptr).to_vec();
                // As far from a multiple of 256 as in the interpreter's memory.
                let skew = ptr.addr() % 256;
                let whole = function.device().alloc(skew + bytes.len() as u64).unwrap();
                let buffer = whole.slice(skew, bytes.len() as u64).unwrap();
                buffer.upload(&stream, &bytes).unwrap();
                copies.push((*ptr, buffer.clone()));
                runtime::Arg::Buffer(buffer)
            }
            Arg::Bytes(bytes) => {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                runtime::Arg::U64(u64::from_le_bytes(word))
            }
        });
    }
    let geometry = Geometry { grid: launch.grid, block: launch.block, shared: launch.dynamic_shared, dependent: false };
    // SAFETY: the arguments are those that the interpreter was given, which shows that the kernel stays inside their allocations.
    unsafe { Call::new(function, geometry, &args) }.unwrap().launch(&stream).unwrap();
    for (ptr, buffer) in copies {
        let mut bytes = vec![0u8; buffer.bytes() as usize];
        buffer.download(&stream, &mut bytes).unwrap();
        memory.write(ptr, &bytes);
    }
}

/// Runs the kernel `k`, which must not fault.
pub fn launch(code: &impl Runs, blocks: u32, threads: u32, args: Vec<Arg>, memory: &mut Memory) -> Option<Stats> {
    code.run(&Launch::linear(blocks, threads, args), memory)
}

pub fn try_launch(
    module: &Module,
    blocks: u32,
    threads: u32,
    args: Vec<Arg>,
    memory: &mut Memory,
) -> Result<Stats, Box<Fault>> {
    run(k(module), &Launch::linear(blocks, threads, args), memory, &Options::default())
}

/// Types that device memory holds.
pub trait Plain: Copy {
    const SIZE: usize;
    fn put(self, out: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! plain {
    ($($t:ty),*) => {
        $(impl Plain for $t {
            const SIZE: usize = size_of::<$t>();
            fn put(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> $t {
                <$t>::from_le_bytes(bytes.try_into().unwrap())
            }
        })*
    };
}
plain!(i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, half::f16, half::bf16);

pub fn bytes<T: Plain>(values: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|v| v.put(&mut out));
    out
}

pub fn upload<T: Plain>(memory: &mut Memory, values: &[T], label: &str) -> DevPtr {
    memory.alloc_from(&bytes(values), label)
}

/// The first `count` values at a pointer, all of which must have been written.
pub fn download<T: Plain>(memory: &Memory, ptr: DevPtr, count: usize) -> Vec<T> {
    assert_eq!(memory.first_unwritten(ptr, count * T::SIZE), None, "some of the output was never written");
    memory.read(ptr)[..count * T::SIZE].chunks_exact(T::SIZE).map(T::get).collect()
}

/// Reproducible numbers.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = (self.0 ^ self.0 >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x >> 32) as u32
    }

    pub fn i8(&mut self) -> i8 {
        self.bits() as i8
    }

    /// A value in -1 ..= 1.
    pub fn unit(&mut self) -> f32 {
        self.bits() as f32 / u32::MAX as f32 * 2.0 - 1.0
    }

    /// Values of many magnitudes, with the special ones among them.
    pub fn any_f32(&mut self, scale: f32) -> f32 {
        match self.bits() % 16 {
            0 => [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-41, -1e-41, f32::MAX]
                [self.bits() as usize % 8],
            _ => self.unit() * scale,
        }
    }
}

/// The distance of two floats in units of the last place; NaN is at no distance from NaN.
pub fn ulps(a: f32, b: f32) -> u32 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() { 0 } else { u32::MAX };
    }
    let order = |x: f32| {
        let bits = x.to_bits() as i32;
        i64::from(if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits })
    };
    (order(a) - order(b)).unsigned_abs().try_into().unwrap_or(u32::MAX)
}
