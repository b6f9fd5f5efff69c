//! What can go wrong between CUDA text and machine code.

use std::path::PathBuf;

use thiserror::Error;

use super::Version;
use crate::target::Arch;

/// Why a kernel was not compiled. Every message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// No NVRTC on this machine.
    #[error(
        "NVRTC, the CUDA run-time compiler, was not found; run `make nvrtc` in pointweld's folder (it needs no GPU), \
         or set POINTWELD_NVRTC to the file libnvrtc.so.13 or its folder. Looked in: {}",
        .searched.join(", ")
    )]
    NvrtcMissing {
        /// Where it was looked for, in this order.
        searched: Vec<String>,
    },

    /// A library was found, and it cannot be used.
    #[error(
        "NVRTC at {} cannot be used: {reason}; run `make nvrtc`, or set POINTWELD_NVRTC to another one", .path.display()
    )]
    NvrtcUnusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// This NVRTC does not know the architecture.
    #[error("NVRTC {nvrtc} does not compile for {arch}; it knows {}", list(.supported))]
    UnsupportedArch {
        /// The architecture that was asked for.
        arch: Arch,
        /// The NVRTC that was loaded.
        nvrtc: Version,
        /// The compute capabilities it knows, as in `sm_NN`.
        supported: Vec<u32>,
    },

    /// A text with a zero byte, which no C interface can carry.
    #[error("the {what} of kernel `{kernel}` has a zero byte at byte {at}")]
    ZeroByte {
        /// The kernel.
        kernel: String,
        /// "source", "name" or "option".
        what: &'static str,
        /// The byte's index.
        at: usize,
    },

    /// NVRTC refused the program.
    #[error("NVRTC {nvrtc} rejected kernel `{kernel}` for {arch}:\n{report}")]
    Rejected {
        /// The kernel.
        kernel: String,
        /// The architecture it was compiled for.
        arch: Arch,
        /// The NVRTC that refused it.
        nvrtc: Version,
        /// The errors, each with the numbered lines of the source it is about.
        report: String,
        /// NVRTC's log as it came.
        log: String,
    },

    /// NVRTC failed for a reason that is not in the program.
    #[error("{call} failed on kernel `{kernel}`: {code}")]
    Failed {
        /// The kernel.
        kernel: String,
        /// The function of NVRTC.
        call: &'static str,
        /// Its result.
        code: String,
    },
}

fn list(supported: &[u32]) -> String {
    let names: Vec<String> = supported.iter().map(|n| format!("sm_{n}")).collect();
    names.join(", ")
}
