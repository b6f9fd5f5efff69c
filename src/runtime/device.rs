//! The GPUs of this machine.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::CudaContext;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute};
use serde::Serialize;

use super::driver::{code, failed, ready};
use super::{Buffer, DeviceError, Stream};
use crate::target::{Arch, Part, Target};

/// What the driver says of a GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// Its number, counted from 0.
    pub ordinal: usize,
    /// The product's name.
    pub name: String,
    /// Its compute capability.
    pub capability: (u32, u32),
    /// The architecture to compile for; `None` for a GPU that is too old.
    pub arch: Option<Arch>,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// The SMs' highest clock, in MHz.
    pub clock_mhz: u32,
    /// DRAM bandwidth from its clock and width, in GB/s; 0 where the driver does not tell.
    pub dram_gbs: f64,
    /// Bytes of L2 cache.
    pub l2_bytes: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The CUDA version that the driver supports, as in (13, 0).
    pub driver: (u32, u32),
}

impl fmt::Display for DeviceInfo {
    /// `NVIDIA H200 (sm_90, 132 SMs, 140 GiB, CUDA 13.0)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        let (cuda, point) = self.driver;
        write!(f, "{} (sm_{major}{minor}, {} SMs, {gib:.0} GiB, CUDA {cuda}.{point})", self.name, self.sms)
    }
}

/// An open GPU. Clones are the same GPU.
#[derive(Debug, Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    info: Arc<DeviceInfo>,
    arch: Arch,
}

impl Device {
    /// The GPUs of this machine, in the driver's order. Nothing is allocated on them.
    ///
    /// # Errors
    /// [`DeviceError::DriverMissing`], [`DeviceError::DriverTooOld`] or [`DeviceError::NoDevice`] where there is none.
    pub fn list() -> Result<Vec<DeviceInfo>, DeviceError> {
        (0..count()?).map(info).collect()
    }

    /// Opens the GPU of number `ordinal`, counted from 0 as `CUDA_VISIBLE_DEVICES` leaves them. It shares its memory and its modules
    /// with whatever else in the process uses CUDA, PyTorch for one.
    ///
    /// # Errors
    /// As [`Device::list`], and [`DeviceError::NoSuchDevice`], [`DeviceError::UnsupportedDevice`].
    pub fn open(ordinal: usize) -> Result<Device, DeviceError> {
        let count = count()?;
        if ordinal >= count {
            return Err(DeviceError::NoSuchDevice { ordinal, count });
        }
        let info = info(ordinal)?;
        let (major, minor) = info.capability;
        let Some(arch) = info.arch else {
            return Err(DeviceError::UnsupportedDevice { name: info.name, major, minor });
        };
        let context = CudaContext::new(ordinal).map_err(failed("opening the GPU"))?;
        Ok(Device { context, info: Arc::new(info), arch })
    }

    /// What the driver says of it.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// The architecture to compile for.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The architecture's facts with this very GPU's number of SMs, clock, bandwidth and cache.
    pub fn target(&self) -> Target {
        let target = Target::of(self.arch);
        let info = &self.info;
        let dram_gbs = if info.dram_gbs > 0.0 { info.dram_gbs } else { target.part.dram_gbs };
        let part = Part {
            name: info.name.clone(),
            sms: info.sms,
            clock_mhz: info.clock_mhz,
            dram_gbs,
            l2_bytes: info.l2_bytes,
            ..target.part
        };
        Target { part, ..target }
    }

    /// Its free bytes and all its bytes.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn memory(&self) -> Result<(u64, u64), DeviceError> {
        let (free, total) = self.context.mem_get_info().map_err(failed("asking for the free memory"))?;
        Ok((free as u64, total as u64))
    }

    /// A new stream: work in one stream runs in order, work in two streams may run at the same time.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn stream(&self) -> Result<Stream, DeviceError> {
        Stream::new(self)
    }

    /// A buffer of `bytes` bytes, aligned to 256, with no defined contents.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`].
    pub fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        Buffer::alloc(self, bytes)
    }

    /// Waits for all work on the GPU.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] with the error of any work that failed.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.context.synchronize().map_err(failed("waiting for the GPU"))
    }

    /// Makes it the calling thread's GPU, which most functions of the driver work on.
    pub(super) fn bind(&self) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(failed("choosing the GPU"))
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// True if `other` is the same GPU.
    pub(super) fn is(&self, other: &Device) -> bool {
        self.info.ordinal == other.info.ordinal
    }
}

fn count() -> Result<usize, DeviceError> {
    ready()?;
    let count = result::device::get_count().map_err(|error| DeviceError::NoDevice { code: code(error) })?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(DeviceError::NoDevice { code: "it counts none".to_owned() }),
    }
}

fn info(ordinal: usize) -> Result<DeviceInfo, DeviceError> {
    let failed = failed("asking for the GPU's properties");
    let device = result::device::get(i32::try_from(ordinal).unwrap_or(i32::MAX)).map_err(&failed)?;
    let attribute = |attribute: CUdevice_attribute| {
        // SAFETY: the device came from the driver.
        unsafe { result::device::get_attribute(device, attribute) }.map(i32::unsigned_abs).map_err(&failed)
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let memory_khz = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
    let memory_bits = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?;
    let mut driver = 0;
    // SAFETY: the pointer is to a live integer.
    unsafe { sys::cuDriverGetVersion(&mut driver) }.result().map_err(&failed)?;
    // SAFETY: the device came from the driver.
    let memory_bytes = unsafe { result::device::total_mem(device) }.map_err(&failed)? as u64;
    Ok(DeviceInfo {
        ordinal,
        name: result::device::get_name(device).map_err(&failed)?,
        capability: (major, minor),
        arch: Arch::of_device(major, minor),
        sms: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        clock_mhz: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)? / 1000,
        // Two transfers a clock.
        dram_gbs: 2.0 * f64::from(memory_khz) * f64::from(memory_bits) / 8.0 / 1e6,
        l2_bytes: u64::from(attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?),
        memory_bytes,
        driver: (driver.unsigned_abs() / 1000, driver.unsigned_abs() % 1000 / 10),
    })
}
