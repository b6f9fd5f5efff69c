//! What can go wrong on a GPU. Every message says what to do.

use thiserror::Error;

use crate::target::Arch;

/// Why something did not run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// There is no CUDA driver here.
    #[error(
        "no CUDA driver was found (libcuda.so.1); install NVIDIA's driver, or in a container start it with GPU access \
         (docker run --gpus all). Without one, kernels still compile and run on the CPU"
    )]
    DriverMissing,

    /// The driver lacks a function that this crate calls.
    #[error("the CUDA driver has no function {function}; install a driver of CUDA 12.8 or later (570)")]
    DriverTooOld {
        /// The missing function.
        function: &'static str,
    },

    /// There is a driver and no GPU.
    #[error(
        "the CUDA driver finds no GPU ({code}); check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a container, that GPUs are passed to it"
    )]
    NoDevice {
        /// What the driver said.
        code: String,
    },

    /// There is no GPU of that number.
    #[error("there is no GPU {ordinal}; this machine has {count}, counted from 0")]
    NoSuchDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// How many GPUs there are.
        count: usize,
    },

    /// The GPU is older than any that kernels are compiled for.
    #[error("{name} has compute capability {major}.{minor}; pointweld compiles for 7.5 (Turing) and later")]
    UnsupportedDevice {
        /// The GPU.
        name: String,
        /// Its compute capability's first number.
        major: u32,
        /// Its compute capability's second number.
        minor: u32,
    },

    /// Machine code for another architecture.
    #[error("machine code for {code} does not run on {name}, which is {device}; compile for {device}")]
    WrongArch {
        /// The architecture it was compiled for.
        code: Arch,
        /// The GPU's architecture.
        device: Arch,
        /// The GPU.
        name: String,
    },

    /// The image cannot be loaded.
    #[error("the machine code could not be loaded: {code}")]
    BadModule {
        /// What the driver said.
        code: String,
    },

    /// The module has no such kernel.
    #[error("the module has no kernel `{name}`")]
    NoFunction {
        /// The kernel that was asked for.
        name: String,
    },

    /// The GPU's memory is full.
    #[error(
        "{bytes} bytes do not fit into the GPU's memory: {free} of {total} bytes are free; use a smaller batch or free other buffers"
    )]
    OutOfMemory {
        /// The bytes that were asked for.
        bytes: u64,
        /// The free bytes.
        free: u64,
        /// The GPU's bytes.
        total: u64,
    },

    /// A copy or view beyond a buffer's end, or of another size.
    #[error("{what}: bytes {start}..{end} of a buffer of {bytes} bytes")]
    OutOfBounds {
        /// What was tried.
        what: &'static str,
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
        /// The buffer's bytes.
        bytes: u64,
    },

    /// A launch that the GPU cannot do.
    #[error("kernel `{kernel}` cannot be launched: {reason}")]
    BadLaunch {
        /// The kernel.
        kernel: String,
        /// Which limit it breaks.
        reason: String,
    },

    /// Objects of two GPUs in one call.
    #[error("{what} belongs to another GPU")]
    OtherDevice {
        /// Which object.
        what: &'static str,
    },

    /// Any other failure of a driver's function.
    #[error("{call} failed: {code}")]
    Failed {
        /// What was done.
        call: &'static str,
        /// What the driver said.
        code: String,
    },
}
