//! Compiles test kernels, and moves typed data in and out of device memory.

use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::ptx::{Arg, DevPtr, Fault, Kernel, Launch, Memory, Module, Options, Stats, run};
use pointweld::target::Arch;

/// The architectures that every kernel is compiled for, unless it needs a newer one.
pub const ARCHS: [Arch; 4] = [Arch::SM_75, Arch::SM_80, Arch::SM_90, Arch::SM_100];
/// Those with `cp.async` and bf16.
pub const AMPERE: [Arch; 3] = [Arch::SM_80, Arch::SM_90, Arch::SM_100];

/// The PTX of a CUDA text.
pub fn ptx(source: &str, arch: Arch, options: &[&str]) -> String {
    let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("these tests need NVRTC (`make nvrtc`): {error}"));
    let options: Vec<String> = options.iter().map(|o| o.to_string()).collect();
    let request = Request { source, kernel: "k", arch, output: Output::Ptx, options: &options };
    let compiled = nvrtc.compile(&request).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(compiled.bytes).unwrap()
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

/// Runs the kernel `k`, which must not fault.
pub fn launch(module: &Module, blocks: u32, threads: u32, args: Vec<Arg>, memory: &mut Memory) -> Stats {
    try_launch(module, blocks, threads, args, memory).unwrap_or_else(|fault| panic!("{fault}"))
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
