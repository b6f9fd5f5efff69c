//! The CUDA driver's library: found, checked, initialised once.
//!
//! cudarc panics if the library or a function is missing, so [`ready`] looks for all of them before anything is called.

use std::sync::OnceLock;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUresult};

use super::DeviceError;

/// The functions that this room, or cudarc on its behalf, calls for any kernel.
const FUNCTIONS: [&str; 42] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernelEx",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// Loads and initialises the driver; later calls return the first one's result.
pub(super) fn ready() -> Result<(), DeviceError> {
    static READY: OnceLock<Result<(), DeviceError>> = OnceLock::new();
    READY.get_or_init(open).clone()
}

fn open() -> Result<(), DeviceError> {
    // SAFETY: this only opens and closes libraries named libcuda, whose initialisers have no conditions.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::DriverMissing);
    }
    // SAFETY: the line above says that the library can be opened, so this does not panic.
    let library = unsafe { sys::culib() };
    FUNCTIONS.into_iter().try_for_each(|function| require(library, function))?;
    result::init().map_err(|error| match error.0 {
        CUresult::CUDA_ERROR_STUB_LIBRARY => DeviceError::DriverMissing,
        _ => DeviceError::NoDevice { code: code(error) },
    })
}

/// Looks for a function that only some kernels need.
///
/// # Errors
/// [`DeviceError::DriverTooOld`] names it if the driver has none; those of [`ready`].
pub(super) fn ready_for(function: &'static str) -> Result<(), DeviceError> {
    ready()?;
    // SAFETY: `ready` says that the library can be opened, so this does not panic.
    require(unsafe { sys::culib() }, function)
}

fn require(library: &libloading::Library, function: &'static str) -> Result<(), DeviceError> {
    // SAFETY: the address is never called or read.
    match unsafe { library.get::<*const ()>(function.as_bytes()) } {
        Ok(_) => Ok(()),
        Err(_) => Err(DeviceError::DriverTooOld { function }),
    }
}

/// Names the call that a driver's error came from.
pub(super) fn failed(call: &'static str) -> impl Fn(DriverError) -> DeviceError {
    move |error| DeviceError::Failed { call, code: code(error) }
}

/// An error's name and the driver's words for it: `CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)`.
pub(super) fn code(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| text.map(|text| text.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(words)) => format!("{name} ({words})"),
        _ => format!("error {}", error.0 as u32),
    }
}
