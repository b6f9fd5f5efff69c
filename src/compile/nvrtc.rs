//! NVRTC's functions, made safe.
//!
//! cudarc's safe interface returns PTX only; machine code needs `nvrtcGetCUBIN`, hence `sys`. `library.rs` has looked for every
//! function that is called here, so cudarc does not panic for want of one.

use std::ffi::{CString, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};
use serde::{Deserialize, Serialize};

use super::diagnostics::{quote_errors, warnings_of};
use super::resources::resources_of;
use super::{CompileError, Compiled, Output, Request, library};

/// The version of an NVRTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The CUDA version's first number.
    pub major: u32,
    /// The CUDA version's second number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The loaded CUDA run-time compiler. Its calls may run on several threads at once.
#[derive(Debug, Clone)]
pub struct Nvrtc {
    version: Version,
    supported: Vec<u32>,
    path: Option<PathBuf>,
}

/// A process holds one NVRTC, because cudarc does.
static LOADED: Mutex<Option<Nvrtc>> = Mutex::new(None);

impl Nvrtc {
    /// Finds and loads NVRTC: `POINTWELD_NVRTC` (a file or a folder), `.cache/nvrtc` in the working folder or above the
    /// executable, the executable's folder, `CUDA_HOME`, `CUDA_PATH`, then the system's loader. Later calls return the same one.
    ///
    /// # Errors
    /// [`CompileError::NvrtcMissing`] if there is none, [`CompileError::NvrtcUnusable`] if the one named is no NVRTC.
    pub fn load() -> Result<Nvrtc, CompileError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nvrtc) = &*loaded {
            return Ok(nvrtc.clone());
        }
        let nvrtc = Nvrtc::open()?;
        *loaded = Some(nvrtc.clone());
        Ok(nvrtc)
    }

    fn open() -> Result<Nvrtc, CompileError> {
        let path = library::load()?;
        let (version, supported) = interrogate(path.as_deref())?;
        Ok(Nvrtc { version, supported, path })
    }

    /// The version of CUDA it belongs to.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The compute capabilities it compiles for, as in `sm_NN`.
    pub fn supported_archs(&self) -> &[u32] {
        &self.supported
    }

    /// Its file; `None` if the system's loader found it.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Compiles one program, past the cache.
    ///
    /// # Errors
    /// [`CompileError::Rejected`] with the offending lines if the program is wrong.
    pub fn compile(&self, request: &Request) -> Result<Compiled, CompileError> {
        if !self.supported.contains(&request.arch.number()) {
            return Err(CompileError::UnsupportedArch {
                arch: request.arch,
                nvrtc: self.version,
                supported: self.supported.clone(),
            });
        }
        let start = Instant::now();
        let program = Program::create(request)?;
        let result = program.compile(request, self.version)?;
        let log = program.log()?;
        if result != nvrtcResult::NVRTC_SUCCESS {
            return Err(CompileError::Rejected {
                kernel: request.kernel.to_owned(),
                arch: request.arch,
                nvrtc: self.version,
                report: match quote_errors(request.source, &log) {
                    report if report.is_empty() => format!("{result:?}"),
                    report => report,
                },
                log,
            });
        }
        let (bytes, ptx, resources) = match request.output {
            Output::Cubin => (program.cubin()?, program.ptx()?, resources_of(&log, request.kernel)),
            Output::Ptx => (program.ptx()?, Vec::new(), None),
        };
        Ok(Compiled {
            bytes,
            ptx,
            resources,
            log: warnings_of(&log),
            nvrtc: self.version,
            from_cache: false,
            micros: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            warnings: Vec::new(),
        })
    }
}

/// The options NVRTC gets for a request.
///
/// They are spelled out here because cudarc's `CompileOptions` misspells `--use_fast_math`.
pub(super) fn options(request: &Request, nvrtc: Version) -> Vec<String> {
    let mut options = match request.output {
        // ptxas tells the registers only when asked to talk.
        Output::Cubin => vec![format!("--gpu-architecture={}", request.target()), "--ptxas-options=-v".to_owned()],
        Output::Ptx => vec![format!("--gpu-architecture={}", request.target().virtual_name())],
    };
    // Leaves out textures and the runtime API's types, which no kernel here uses: 8 ms of the 40 that a small kernel takes.
    if nvrtc.major >= 13 {
        options.push("--minimal".to_owned());
    }
    options.extend_from_slice(request.options);
    options
}

/// The version and the architectures of the loaded library.
fn interrogate(path: Option<&Path>) -> Result<(Version, Vec<u32>), CompileError> {
    let check = |call: &str, result: nvrtcResult| match result {
        nvrtcResult::NVRTC_SUCCESS => Ok(()),
        other => Err(CompileError::NvrtcUnusable {
            path: path.unwrap_or(Path::new("libnvrtc.so")).to_owned(),
            reason: format!("{call} returned {other:?}"),
        }),
    };
    let (mut major, mut minor, mut count): (c_int, c_int, c_int) = (0, 0, 0);
    // SAFETY: the pointers are to live integers.
    check("nvrtcVersion", unsafe { sys::nvrtcVersion(&mut major, &mut minor) })?;
    // SAFETY: as above.
    check("nvrtcGetNumSupportedArchs", unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) })?;
    let mut archs: Vec<c_int> = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the buffer holds as many integers as NVRTC said that it writes.
    check("nvrtcGetSupportedArchs", unsafe { sys::nvrtcGetSupportedArchs(archs.as_mut_ptr()) })?;
    let version = Version { major: major.unsigned_abs(), minor: minor.unsigned_abs() };
    Ok((version, archs.iter().map(|n| n.unsigned_abs()).collect()))
}

/// An NVRTC program, destroyed when it is dropped.
struct Program {
    handle: nvrtcProgram,
    kernel: String,
    /// NVRTC may keep pointers into the texts it was given.
    _texts: [CString; 2],
}

impl Program {
    fn create(request: &Request) -> Result<Program, CompileError> {
        let source = c_string(request, "source", request.source)?;
        let name = c_string(request, "name", &format!("{}.cu", request.kernel))?;
        let mut handle: nvrtcProgram = ptr::null_mut();
        // SAFETY: both texts end in a zero byte and live as long as the program; no headers are passed.
        let result = unsafe {
            sys::nvrtcCreateProgram(&mut handle, source.as_ptr(), name.as_ptr(), 0, ptr::null(), ptr::null())
        };
        let program = Program { handle, kernel: request.kernel.to_owned(), _texts: [source, name] };
        program.check("nvrtcCreateProgram", result)?;
        Ok(program)
    }

    /// Compiles; a program that is wrong is no error here, its result says so.
    fn compile(&self, request: &Request, nvrtc: Version) -> Result<nvrtcResult, CompileError> {
        let options = options(request, nvrtc)
            .iter()
            .map(|option| c_string(request, "option", option))
            .collect::<Result<Vec<CString>, CompileError>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
        // SAFETY: the handle is live, and `pointers` holds `count` texts that end in a zero byte.
        let result = unsafe { sys::nvrtcCompileProgram(self.handle, count, pointers.as_ptr()) };
        match result {
            nvrtcResult::NVRTC_SUCCESS
            | nvrtcResult::NVRTC_ERROR_COMPILATION
            | nvrtcResult::NVRTC_ERROR_INVALID_OPTION => Ok(result),
            other => {
                self.check("nvrtcCompileProgram", other)?;
                Ok(other)
            }
        }
    }

    fn log(&self) -> Result<String, CompileError> {
        let bytes = self.read(
            ["nvrtcGetProgramLogSize", "nvrtcGetProgramLog"],
            sys::nvrtcGetProgramLogSize,
            sys::nvrtcGetProgramLog,
        )?;
        Ok(String::from_utf8_lossy(until_zero(&bytes)).into_owned())
    }

    fn cubin(&self) -> Result<Vec<u8>, CompileError> {
        self.read(["nvrtcGetCUBINSize", "nvrtcGetCUBIN"], sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN)
    }

    fn ptx(&self) -> Result<Vec<u8>, CompileError> {
        let bytes = self.read(["nvrtcGetPTXSize", "nvrtcGetPTX"], sys::nvrtcGetPTXSize, sys::nvrtcGetPTX)?;
        Ok(until_zero(&bytes).to_vec())
    }

    /// Asks for a size, then for that many bytes.
    fn read(
        &self,
        names: [&'static str; 2],
        size_of: unsafe fn(nvrtcProgram, *mut usize) -> nvrtcResult,
        get: unsafe fn(nvrtcProgram, *mut c_char) -> nvrtcResult,
    ) -> Result<Vec<u8>, CompileError> {
        let mut size = 0;
        // SAFETY: the handle is live and the pointer is to a live integer.
        self.check(names[0], unsafe { size_of(self.handle, &mut size) })?;
        let mut bytes = vec![0u8; size];
        // SAFETY: the buffer holds as many bytes as NVRTC said that it writes.
        self.check(names[1], unsafe { get(self.handle, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }

    fn check(&self, call: &'static str, result: nvrtcResult) -> Result<(), CompileError> {
        match result {
            nvrtcResult::NVRTC_SUCCESS => Ok(()),
            other => Err(CompileError::Failed { kernel: self.kernel.clone(), call, code: format!("{other:?}") }),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle came from nvrtcCreateProgram and is destroyed once. A failure would leave nothing to do.
            unsafe { sys::nvrtcDestroyProgram(&mut self.handle) };
        }
    }
}

fn c_string(request: &Request, what: &'static str, text: &str) -> Result<CString, CompileError> {
    CString::new(text).map_err(|error| CompileError::ZeroByte {
        kernel: request.kernel.to_owned(),
        what,
        at: error.nul_position(),
    })
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
