//! A kernel with its arguments, ready to be launched again and again.

use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue, CUlaunchConfig, CUtensorMap,
};
use smallvec::SmallVec;

use super::driver::failed;
use super::tensor_map;
use super::{Buffer, Device, DeviceError, Function, Stream};
use crate::emit;

/// One argument of a kernel. The variants' widths are the widths of the kernel's parameters.
#[derive(Debug, Clone)]
pub enum Arg {
    /// A pointer to the buffer's first byte. The buffer lives as long as the call.
    Buffer(Buffer),
    /// `int` or `unsigned`.
    U32(u32),
    /// `long long` or `unsigned long long`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// A tensor map of a matrix that begins at the buffer's first byte.
    TensorMap(Buffer, emit::TensorMap),
    /// A tensor map of nothing, which no copy may use.
    NoMap,
}

impl From<&Buffer> for Arg {
    fn from(buffer: &Buffer) -> Arg {
        Arg::Buffer(buffer.clone())
    }
}

/// The grid and the blocks of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks along x, y, z. With a 0 among them nothing is launched.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// Programmatic dependent launch: the kernel may start while the one before it in the stream still runs, and waits for it with
    /// `griddepcontrol.wait`. Only kernels that do so may have it, and only GPUs from sm_90 on heed it, within a [`Graph`](super::Graph).
    pub dependent: bool,
}

impl Geometry {
    /// `blocks` blocks of `threads` threads along x.
    pub fn flat(blocks: u32, threads: u32) -> Geometry {
        Geometry { grid: [blocks, 1, 1], block: [threads, 1, 1], shared: 0, dependent: false }
    }
}

/// A kernel with its geometry and its arguments, or what a library does instead of one.
///
/// Launching it allocates nothing on the host or the GPU and waits for nothing.
#[derive(Clone)]
pub struct Call(What);

/// What puts a library's kernels into a stream's queue.
pub(super) type Run = Arc<dyn Fn(&Stream) -> Result<(), DeviceError> + Send + Sync>;

#[derive(Clone)]
enum What {
    Kernel(Box<Kernel>),
    /// Kernels of a library, whose arguments are the library's business.
    Library {
        device: Device,
        name: &'static str,
        run: Run,
    },
}

#[derive(Clone)]
struct Kernel {
    function: Function,
    geometry: Geometry,
    arguments: SmallVec<[Bits; 12]>,
    /// What the pointers among them point into.
    _buffers: SmallVec<[Buffer; 6]>,
}

/// An argument's bits. The driver reads as many bytes as the kernel's parameter has; the host is little-endian.
#[derive(Debug, Clone)]
enum Bits {
    Word(u64),
    Map(Box<CUtensorMap>),
}

impl Call {
    /// Puts a kernel and its arguments together.
    ///
    /// # Errors
    /// [`DeviceError::BadLaunch`] if the geometry breaks a limit, [`DeviceError::OtherDevice`] if a buffer is on another GPU.
    ///
    /// # Safety
    /// `args` must be as many, as wide and in the same order as the kernel's parameters, and the kernel, launched with this geometry
    /// and these values, must read and write inside the buffers given only.
    pub unsafe fn new(function: &Function, geometry: Geometry, args: &[Arg]) -> Result<Call, DeviceError> {
        check(function, &geometry)?;
        let mut buffers = SmallVec::new();
        let mut arguments = SmallVec::new();
        let mut pointer = |buffer: &Buffer| {
            if !buffer.device().is(function.device()) {
                return Err(DeviceError::OtherDevice { what: "an argument's buffer" });
            }
            buffers.push(buffer.clone());
            Ok(buffer.pointer())
        };
        for arg in args {
            arguments.push(match arg {
                Arg::Buffer(buffer) => Bits::Word(pointer(buffer)?),
                Arg::U32(value) => Bits::Word(u64::from(*value)),
                Arg::U64(value) => Bits::Word(*value),
                Arg::F32(value) => Bits::Word(u64::from(value.to_bits())),
                Arg::NoMap => Bits::Map(Box::new(CUtensorMap { opaque: [0; 16] })),
                Arg::TensorMap(buffer, map) => {
                    function.device().bind()?;
                    Bits::Map(Box::new(tensor_map::encode(pointer(buffer)?, map)?))
                }
            });
        }
        let kernel = Kernel { function: function.clone(), geometry, arguments, _buffers: buffers };
        Ok(Call(What::Kernel(Box::new(kernel))))
    }

    /// What a library does on a GPU; it keeps the buffers that it uses.
    pub(super) fn of_library(device: &Device, name: &'static str, run: Run) -> Call {
        Call(What::Library { device: device.clone(), name, run })
    }

    /// Whether a library of NVIDIA's does it.
    pub fn is_of_library(&self) -> bool {
        matches!(self.0, What::Library { .. })
    }

    /// Its GPU.
    pub fn device(&self) -> &Device {
        match &self.0 {
            What::Kernel(kernel) => kernel.function.device(),
            What::Library { device, .. } => device,
        }
    }

    /// Puts the kernel into the stream's queue. It starts when what is queued there has ended: dependent launches are for graphs, because
    /// the driver's call for them takes the host longer than the kernel gains.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says, which may be about work queued earlier.
    pub fn launch(&self, stream: &Stream) -> Result<(), DeviceError> {
        self.queue(stream, false)
    }

    /// Puts the kernel into a stream that records a graph, dependent if its geometry says so.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), DeviceError> {
        self.queue(stream, true)
    }

    fn queue(&self, stream: &Stream, recorded: bool) -> Result<(), DeviceError> {
        if !self.device().is(stream.device()) {
            return Err(DeviceError::OtherDevice { what: "the stream" });
        }
        self.device().bind()?;
        match &self.0 {
            What::Kernel(kernel) => kernel.launch(stream, recorded),
            What::Library { run, .. } => run(stream),
        }
    }
}

impl Kernel {
    fn launch(&self, stream: &Stream, recorded: bool) -> Result<(), DeviceError> {
        let Geometry { grid, block, shared, dependent } = self.geometry;
        if grid.contains(&0) {
            return Ok(());
        }
        let place = |bits: &Bits| match bits {
            Bits::Word(word) => ptr::from_ref(word).cast_mut().cast(),
            Bits::Map(map) => ptr::from_ref(&**map).cast_mut().cast(),
        };
        let mut parameters: SmallVec<[*mut c_void; 12]> = self.arguments.iter().map(place).collect();
        if !(recorded && dependent && self.function.device().arch().number() >= 90) {
            // SAFETY: the function, the stream and the pointers are live; `Call::new` was promised that the arguments are the
            // kernel's. The driver copies the parameters before it returns, and does not write through them.
            return unsafe {
                sys::cuLaunchKernel(
                    self.function.raw(),
                    grid[0],
                    grid[1],
                    grid[2],
                    block[0],
                    block[1],
                    block[2],
                    shared,
                    stream.raw(),
                    parameters.as_mut_ptr(),
                    ptr::null_mut(),
                )
            }
            .result()
            .map_err(failed("launching a kernel"));
        }
        let mut attribute = CUlaunchAttribute {
            id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: block[0],
            blockDimY: block[1],
            blockDimZ: block[2],
            sharedMemBytes: shared,
            hStream: stream.raw(),
            attrs: &mut attribute,
            numAttrs: 1,
        };
        // SAFETY: as above.
        unsafe { sys::cuLaunchKernelEx(&config, self.function.raw(), parameters.as_mut_ptr(), ptr::null_mut()) }
            .result()
            .map_err(failed("launching a kernel"))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Kernel(kernel) => {
                let Kernel { function, geometry, arguments, .. } = &**kernel;
                write!(f, "{function:?}{:?}x{:?}{arguments:x?}", geometry.grid, geometry.block)
            }
            What::Library { name, .. } => f.write_str(name),
        }
    }
}

/// Checks a geometry against the limits that every GPU has, and the kernel's own.
fn check(function: &Function, geometry: &Geometry) -> Result<(), DeviceError> {
    let reason = fault(geometry, function.max_threads(), function.max_shared());
    match reason {
        None => Ok(()),
        Some(reason) => Err(DeviceError::BadLaunch { kernel: function.name().to_owned(), reason }),
    }
}

fn fault(geometry: &Geometry, max_threads: u32, max_shared: u32) -> Option<String> {
    let Geometry { grid, block, shared, .. } = geometry;
    let threads = block.iter().map(|n| u64::from(*n)).product::<u64>();
    if threads == 0 || threads > u64::from(max_threads) || block[2] > 64 {
        return Some(format!("blocks of {block:?} threads, where it takes 1 to {max_threads}, at most 64 along z"));
    }
    if grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
        return Some(format!("{grid:?} blocks, where a grid has at most 2147483647, 65535 and 65535"));
    }
    if *shared > max_shared {
        return Some(format!("{shared} bytes of dynamic shared memory, where {max_shared} were asked for"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometries_beyond_the_limits_are_named() {
        let good = Geometry { grid: [i32::MAX as u32, 65535, 1], block: [32, 16, 1], shared: 99, dependent: false };
        assert_eq!(fault(&good, 512, 99), None);
        let bad = [
            (Geometry { block: [32, 17, 1], ..good }, "threads"),
            (Geometry { block: [1, 1, 65], ..good }, "threads"),
            (Geometry { block: [0, 1, 1], ..good }, "threads"),
            (Geometry { block: [u32::MAX, u32::MAX, 1], ..good }, "threads"),
            (Geometry { grid: [1 << 31, 1, 1], ..good }, "blocks"),
            (Geometry { grid: [1, 65536, 1], ..good }, "blocks"),
            (Geometry { shared: 100, ..good }, "shared"),
        ];
        for (geometry, word) in bad {
            let reason = fault(&geometry, 512, 99).unwrap();
            assert!(reason.contains(word), "{reason}");
        }
        // An empty grid is no fault: an empty tensor has one.
        assert_eq!(fault(&Geometry::flat(0, 256), 1024, 0), None);
    }
}
