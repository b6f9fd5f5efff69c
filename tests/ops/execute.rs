//! Executes kernels of the op table's texts: on the interpreter from their PTX and, where one answers, on the GPU.

use crate::gpu;
use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::ptx::{self, Launch, Memory, run};
use pointweld::runtime::{self, Arg, Buffer, Call, Device, Geometry, Stream};
use pointweld::target::Arch;

/// One module of kernels `(operands …, result, count)`.
pub struct Texts {
    interpreted: ptx::Module,
    on_gpu: Option<(runtime::Module, Stream)>,
}

const THREADS: u32 = 256;

impl Texts {
    /// Compiles for `arch` and, with `gpu`, for the GPU that is here.
    pub fn compile(source: &str, arch: Arch, gpu: bool) -> Texts {
        let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("{error}"));
        let compile = |arch, output| {
            let request = Request { source, kernel: "ops", arch, output, options: &[] };
            nvrtc.compile(&request).unwrap_or_else(|error| panic!("{error}")).bytes
        };
        let ptx = String::from_utf8(compile(arch, Output::Ptx)).unwrap();
        let load = |device: Device| {
            let cubin = compile(device.arch(), Output::Cubin);
            let module = runtime::Module::load(&device, &cubin, device.arch()).unwrap();
            (module, device.stream().unwrap())
        };
        Texts {
            interpreted: ptx::Module::parse(&ptx).unwrap_or_else(|error| panic!("{error}")),
            on_gpu: gpu.then(gpu::device).flatten().map(load),
        }
    }

    /// What a kernel stores in `bytes` bytes for `count` elements of these operands, with approximate instructions moved as `perturb` says.
    pub fn interpret(
        &self,
        kernel: &str,
        operands: &[Vec<u8>],
        count: usize,
        bytes: usize,
        perturb: Option<u64>,
    ) -> Vec<u8> {
        let mut memory = Memory::new();
        let mut args: Vec<ptx::Arg> = operands.iter().map(|x| memory.alloc_from(x, "x").into()).collect();
        let y = memory.alloc(bytes, "y");
        args.extend([y.into(), (count as u32).into()]);
        // libdevice returns structs whose padding nothing writes.
        let options = ptx::Options { perturb, uninitialised: false, ..ptx::Options::default() };
        let launch = Launch::linear((count as u32).div_ceil(THREADS), THREADS, args);
        run(self.interpreted.kernel(kernel).unwrap(), &launch, &mut memory, &options)
            .unwrap_or_else(|fault| panic!("{kernel}: {fault}"));
        memory.read(y).to_vec()
    }

    /// The same on the GPU; `None` where there is none.
    pub fn on_gpu(&self, kernel: &str, operands: &[Vec<u8>], count: usize, bytes: usize) -> Option<Vec<u8>> {
        let (module, stream) = self.on_gpu.as_ref()?;
        let function = module.function(kernel, 0).unwrap();
        let buffer = |contents: &[u8]| {
            let buffer = stream.device().alloc(contents.len() as u64).unwrap();
            buffer.upload(stream, contents).unwrap();
            buffer
        };
        let buffers: Vec<Buffer> = operands.iter().map(|x| buffer(x)).collect();
        // What is not written stays a number that no result is.
        let y = buffer(&vec![0xa5; bytes]);
        let mut args: Vec<Arg> = buffers.iter().chain([&y]).map(Arg::from).collect();
        args.push(Arg::U32(count as u32));
        let geometry = Geometry::flat((count as u32).div_ceil(THREADS), THREADS);
        // SAFETY: the arguments are the kernel's parameters, and every buffer has `count` elements.
        unsafe { Call::new(&function, geometry, &args) }.unwrap().launch(stream).unwrap();
        let mut found = vec![0; bytes];
        y.download(stream, &mut found).unwrap();
        Some(found)
    }
}
