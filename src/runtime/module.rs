//! Machine code on a GPU.

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUmodule};

use super::driver::{code, failed};
use super::{Device, DeviceError};
use crate::target::Arch;

/// A cubin that has been loaded. Clones are the same module, unloaded with the last of them.
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    module: CUmodule,
    device: Device,
}

// SAFETY: the driver's functions on modules may be called from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above; a loaded module does not change.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: the module is live and unloaded once; no function of it is left, for each holds it.
            // A failure would leave nothing to do.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

impl Module {
    /// Loads a cubin that was compiled for `arch`.
    ///
    /// # Errors
    /// [`DeviceError::WrongArch`] if it does not run on this GPU, [`DeviceError::BadModule`] if it is no cubin.
    pub fn load(device: &Device, cubin: &[u8], arch: Arch) -> Result<Module, DeviceError> {
        if !arch.runs_on(device.arch()) {
            return Err(DeviceError::WrongArch { code: arch, device: device.arch(), name: device.info().name.clone() });
        }
        // The driver takes the image's length from its header, so what is cut off must not reach it.
        if let Err(reason) = elf_is_whole(cubin) {
            return Err(DeviceError::BadModule { code: reason.to_owned() });
        }
        device.bind()?;
        // SAFETY: the image is a whole ELF file.
        let module = unsafe { result::module::load_data(cubin.as_ptr().cast()) }
            .map_err(|error| DeviceError::BadModule { code: code(error) })?;
        Ok(Module(Arc::new(Loaded { module, device: device.clone() })))
    }

    /// The kernel `name`, to be launched with up to `shared` bytes of dynamic shared memory.
    ///
    /// # Errors
    /// [`DeviceError::NoFunction`] if the module has no such kernel, [`DeviceError::BadLaunch`] if a block can't have so much.
    pub fn function(&self, name: &str, shared: u32) -> Result<Function, DeviceError> {
        let missing = || DeviceError::NoFunction { name: name.to_owned() };
        let text = CString::new(name).map_err(|_| missing())?;
        self.0.device.bind()?;
        // SAFETY: the module is live.
        let function = unsafe { result::module::get_function(self.0.module, text) }.map_err(|_| missing())?;
        let attribute = |attribute| {
            // SAFETY: the function is of a live module.
            unsafe { result::function::get_function_attribute(function, attribute) }
                .map(i32::unsigned_abs)
                .map_err(failed("asking for a kernel's limits"))
        };
        let max_threads = attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?;
        let static_shared = attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        // More than 48 KiB a block has to be asked for.
        if shared.saturating_add(static_shared) > 48 << 10 {
            let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
            let allow = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of a live module.
            unsafe { result::function::set_function_attribute(function, allow, bytes) }.map_err(
                |error: DriverError| DeviceError::BadLaunch {
                    kernel: name.to_owned(),
                    reason: format!("{shared} bytes of dynamic shared memory: {}", code(error)),
                },
            )?;
        }
        Ok(Function(Arc::new(Kernel { name: name.to_owned(), function, max_threads, shared, module: self.clone() })))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({:p})", self.0.module)
    }
}

/// A kernel of a module. Clones are the same kernel.
#[derive(Clone)]
pub struct Function(Arc<Kernel>);

struct Kernel {
    name: String,
    function: CUfunction,
    max_threads: u32,
    shared: u32,
    module: Module,
}

// SAFETY: as for modules.
unsafe impl Send for Kernel {}
// SAFETY: as for modules; what can be set of a function is set before it is shared.
unsafe impl Sync for Kernel {}

impl Function {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The most threads a block of it may have.
    pub fn max_threads(&self) -> u32 {
        self.0.max_threads
    }

    /// The most bytes of dynamic shared memory it may be launched with.
    pub fn max_shared(&self) -> u32 {
        self.0.shared
    }

    /// Its GPU.
    pub fn device(&self) -> &Device {
        &self.0.module.0.device
    }

    pub(super) fn raw(&self) -> CUfunction {
        self.0.function
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.0.name)
    }
}

/// Checks that a 64-bit ELF file holds all that its header says: its section and its program headers and each section's bytes.
fn elf_is_whole(image: &[u8]) -> Result<(), &'static str> {
    fn field<const N: usize>(image: &[u8], at: u64) -> Result<u64, &'static str> {
        let at = usize::try_from(at).map_err(|_| "it is truncated")?;
        let bytes: &[u8; N] = image.get(at..).and_then(|rest| rest.first_chunk()).ok_or("it is truncated")?;
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(wide))
    }
    let inside = |start: u64, bytes: u64| match start.checked_add(bytes) {
        Some(end) if end <= image.len() as u64 => Ok(()),
        _ => Err("it is truncated"),
    };
    if !image.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is no cubin (a 64-bit ELF file)");
    }
    // e_phoff, e_shoff, e_phentsize, e_phnum, e_shentsize, e_shnum of the ELF-64 header.
    let (programs, sections) = (field::<8>(image, 32)?, field::<8>(image, 40)?);
    inside(programs, field::<2>(image, 54)? * field::<2>(image, 56)?)?;
    let (size, count) = (field::<2>(image, 58)?, field::<2>(image, 60)?);
    inside(sections, size * count)?;
    for section in 0..count {
        let header = sections + section * size;
        // sh_type 8 is SHT_NOBITS, which has no bytes in the file.
        if field::<4>(image, header + 4)? != 8 {
            inside(field::<8>(image, header + 24)?, field::<8>(image, header + 32)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An ELF file of a header, one section of 16 bytes and its section header.
    fn elf() -> Vec<u8> {
        let mut image = vec![0u8; 64 + 16 + 64];
        image[..6].copy_from_slice(b"\x7fELF\x02\x01");
        image[40] = 80;
        image[58] = 64;
        image[60] = 1;
        image[80 + 4] = 1;
        image[80 + 24] = 64;
        image[80 + 32] = 16;
        image
    }

    #[test]
    fn a_whole_image_is_told_from_a_part() {
        let image = elf();
        assert_eq!(elf_is_whole(&image), Ok(()));
        for length in 0..image.len() {
            assert!(elf_is_whole(&image[..length]).is_err(), "{length}");
        }
        let mut beyond = image.clone();
        beyond[80 + 32] = 255;
        assert!(elf_is_whole(&beyond).is_err());
        assert!(elf_is_whole(b".version 8.0").is_err());
    }

    #[test]
    fn what_nvrtc_makes_is_whole() {
        use crate::compile::{Nvrtc, Output, Request};
        let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("{error}"));
        let source = "__device__ float held[1000]; extern \"C\" __global__ void f(float* x) { __shared__ float s[99]; s[threadIdx.x] = *x; \
                      __syncthreads(); held[threadIdx.x] = s[3]; *x = held[7]; }";
        for arch in [Arch::SM_75, Arch::SM_90, Arch::SM_120] {
            let request = Request { source, kernel: "f", arch, output: Output::Cubin, options: &[] };
            let cubin = nvrtc.compile(&request).unwrap().bytes;
            assert_eq!(elf_is_whole(&cubin), Ok(()), "{arch}");
            for length in (0..cubin.len()).step_by(97) {
                assert!(elf_is_whole(&cubin[..length]).is_err(), "{arch}: {length} of {}", cubin.len());
            }
        }
    }

    proptest! {
        #[test]
        fn no_image_makes_it_panic(changes in prop::collection::vec((0usize..144, any::<u8>()), 0..40)) {
            let mut image = elf();
            for (at, byte) in changes {
                image[at] = byte;
            }
            let _ = elf_is_whole(&image);
        }
    }
}
