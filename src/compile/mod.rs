//! CUDA text in, machine code out.
//!
//! [`Nvrtc`] is the CUDA run-time compiler, found and loaded when it is first needed. [`Cache`] keeps what it made on disk.
//! [`Toolchain`] is both together, over all cores: what the rest of pointweld uses. [`sass`] reads machine code back.
//! None of this needs a GPU or a driver.

mod cache;
mod diagnostics;
mod entry;
mod error;
mod find;
mod library;
mod memory;
mod nvrtc;
mod resources;
pub mod sass;
mod toolchain;
pub mod usual;

pub use cache::{Cache, CacheStats, CacheWarning};
pub use error::CompileError;
pub use memory::keep_freed_memory;
pub use nvrtc::{Nvrtc, Version};
pub use resources::Resources;
pub use toolchain::{Progress, Toolchain};

use serde::{Deserialize, Serialize};

use crate::target::Arch;

/// What NVRTC is asked to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Machine code for one architecture: an ELF image that a driver loads as it is. The PTX that it was made of comes with it.
    Cubin,
    /// PTX text, which a driver compiles when it loads it, and which runs on the CPU without one.
    Ptx,
}

/// One program to compile.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// CUDA C++ text. It may include nothing but what NVRTC has built in.
    pub source: &'a str,
    /// The name of the kernel: an `extern "C" __global__` function of `source`. It names the program in messages.
    pub kernel: &'a str,
    /// The architecture to compile for (see [`Request::target`]).
    pub arch: Arch,
    /// Machine code or PTX.
    pub output: Output,
    /// NVRTC options besides the architecture, each with its value (`--maxrregcount=64`).
    pub options: &'a [String],
}

impl Request<'_> {
    /// The architecture that NVRTC is told, and that the cache's key holds: `sm_90a` for a text with `wgmma` where `sm_90` is asked for,
    /// since under the plain name there is no such instruction. The machine code runs on every GPU of compute capability 9.0, and there is no
    /// other 9.x that code for `sm_90` could have run on as well.
    pub fn target(&self) -> Arch {
        if self.arch == Arch::SM_90 && self.source.contains("wgmma.") { Arch::SM_90A } else { self.arch }
    }
}

/// What NVRTC made of a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// An ELF image for [`Output::Cubin`], text without a terminating zero for [`Output::Ptx`].
    pub bytes: Vec<u8>,
    /// The PTX that machine code was assembled from, the same text that [`Output::Ptx`] gives for the architecture; empty where `bytes` is
    /// the PTX.
    pub ptx: Vec<u8>,
    /// What the kernel takes of an SM; `None` for PTX, which is not allocated to registers yet.
    pub resources: Option<Resources>,
    /// The compiler's warnings; empty when it had none.
    pub log: String,
    /// The NVRTC that made it.
    pub nvrtc: Version,
    /// True if it was read from the disk cache.
    pub from_cache: bool,
    /// The time it took here, in µs: of NVRTC, or of reading the cache.
    pub micros: u64,
    /// What the cache could not do, such as reading a damaged entry. The result is right all the same.
    pub warnings: Vec<CacheWarning>,
}
