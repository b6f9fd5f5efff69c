//! The machines that a generated kernel is tried on: the interpreter of its PTX and, where one answers, the GPU.

use crate::gpu;
use pointweld::compile::{Output, Request, Toolchain};
use pointweld::emit::KernelSource;
use pointweld::prove::{Gpu, Interpreter, Machine};
use pointweld::runtime::Device;
use pointweld::target::Arch;
use std::sync::LazyLock;

pub static TOOLCHAIN: LazyLock<Toolchain> = LazyLock::new(|| {
    Toolchain::load().unwrap_or_else(|error| panic!("these tests need NVRTC (`make nvrtc`): {error}"))
});

/// The GPU, if there is one.
pub static DEVICE: LazyLock<Option<Device>> = LazyLock::new(gpu::device);

fn compile(source: &KernelSource, arch: Arch, output: Output) -> Vec<u8> {
    let request = Request { source: &source.text, kernel: &source.entry, arch, output, options: &[] };
    TOOLCHAIN.compile(&request).unwrap_or_else(|error| panic!("{error}\n{}", source.text)).bytes
}

/// The interpreter of a kernel's PTX. `perturb` is that of `ptx::Options`.
pub fn interpreter(source: &KernelSource, arch: Arch, perturb: Option<u64>) -> Interpreter {
    let ptx = String::from_utf8(compile(source, arch, Output::Ptx)).expect("PTX is text");
    Interpreter::new(&ptx, &source.entry, perturb).unwrap_or_else(|error| panic!("{error}\n{ptx}"))
}

/// Compiles a kernel's text and hands each machine that is here to `check`, with its name. `arch` is the interpreter's; the GPU has its
/// own. `perturb` is that of `ptx::Options`.
pub fn on_each(source: &KernelSource, arch: Arch, perturb: Option<u64>, mut check: impl FnMut(&str, &dyn Machine)) {
    check("the interpreter", &interpreter(source, arch, perturb));
    if let Some(device) = DEVICE.as_ref() {
        let cubin = compile(source, device.arch(), Output::Cubin);
        check("the GPU", &Gpu::new(device, &cubin, device.arch()));
    }
}
