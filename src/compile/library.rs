//! NVRTC's library: found, opened and checked.
//!
//! cudarc loads a library by its name when one of its functions is first called, and panics if the library or the function is missing.
//! So the library is opened by its path here, after which the loader finds it by its name, and every function is looked for.

use std::path::{Path, PathBuf};

use cudarc::nvrtc::sys;
use libloading::Library;

use super::CompileError;
use super::find::{library_at, nvrtc_places};

/// The functions that are called; an NVRTC older than CUDA 11.3 lacks some.
const FUNCTIONS: [&str; 12] = [
    "nvrtcCompileProgram",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetCUBIN",
    "nvrtcGetCUBINSize",
    "nvrtcGetNumSupportedArchs",
    "nvrtcGetPTX",
    "nvrtcGetPTXSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
    "nvrtcGetSupportedArchs",
    "nvrtcVersion",
];

/// Makes cudarc's bindings to NVRTC usable. Returns the library's file, or `None` if the system's loader chose it.
pub(super) fn load() -> Result<Option<PathBuf>, CompileError> {
    let mut searched = Vec::new();
    let mut opened = None;
    let mut explicit = false;
    for place in nvrtc_places() {
        explicit |= place.explicit;
        let unusable = |path: &Path, reason| CompileError::NvrtcUnusable { path: path.to_owned(), reason };
        let Some(file) = library_at(&place.path) else {
            if place.explicit {
                return Err(unusable(&place.path, "there is no libnvrtc.so there".to_owned()));
            }
            searched.push(place.path.display().to_string());
            continue;
        };
        match open(&file) {
            Ok(library) => {
                opened = Some((file, library));
                break;
            }
            Err(reason) if place.explicit => return Err(unusable(&file, reason)),
            Err(reason) => searched.push(format!("{} ({reason})", file.display())),
        }
    }
    searched.push("the system's loader".to_owned());

    // SAFETY: this only opens and closes libraries named libnvrtc, whose initialisers have no conditions.
    if !unsafe { sys::is_culib_present() } {
        return Err(match opened {
            None => CompileError::NvrtcMissing { searched },
            Some((path, _)) => CompileError::NvrtcUnusable {
                path,
                reason: "the loader does not find it by its name, which is none of an NVRTC up to CUDA 13".to_owned(),
            },
        });
    }
    // SAFETY: the line above says that a library can be opened, so this does not panic.
    let loaded = unsafe { sys::culib() };
    complete(loaded).map_err(|reason| CompileError::NvrtcUnusable { path: PathBuf::from("libnvrtc.so"), reason })?;
    match opened {
        Some((path, library)) if address(&library, "nvrtcVersion") == address(loaded, "nvrtcVersion") => {
            // It stays loaded for the life of the process: cudarc keeps functions of it.
            std::mem::forget(library);
            Ok(Some(path))
        }
        // cudarc asks the loader for `libnvrtc.so` before `libnvrtc.so.13`, so a toolkit in LD_LIBRARY_PATH comes first. It serves
        // as well, unless the user named another one.
        Some((path, _)) if explicit => Err(CompileError::NvrtcUnusable {
            path,
            reason: "the loader finds another libnvrtc.so before it; take that one's folder out of LD_LIBRARY_PATH"
                .to_owned(),
        }),
        _ => Ok(None),
    }
}

/// Opens a file that should be NVRTC, and says what is wrong if it is not.
fn open(file: &Path) -> Result<Library, String> {
    // SAFETY: the initialisers of NVRTC have no conditions. A file that is something else is one the user put in NVRTC's place.
    let library = unsafe { Library::new(file) }.map_err(|error| error.to_string())?;
    complete(&library)?;
    Ok(library)
}

/// Looks for every function.
fn complete(library: &Library) -> Result<(), String> {
    match FUNCTIONS.into_iter().find(|name| address(library, name).is_none()) {
        None => Ok(()),
        Some(name) => Err(format!("it has no function {name}")),
    }
}

/// A function's address, to be compared and never called.
fn address(library: &Library, name: &str) -> Option<*mut std::ffi::c_void> {
    // SAFETY: the address is neither called nor read.
    let symbol = unsafe { library.get::<*const ()>(name.as_bytes()) }.ok()?;
    // SAFETY: as above.
    unsafe { symbol.try_as_raw_ptr() }
}
