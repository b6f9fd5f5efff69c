//! Memory on a GPU.

use std::fmt;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};
use cudarc::driver::result;
use cudarc::driver::sys::{CUdeviceptr, CUresult};

use super::driver::{code, failed};
use super::{Device, DeviceError, Stream};
use crate::dtype::DType;
use crate::tensor::{Tensor, TensorError};

/// Bytes in a GPU's memory, all of an allocation or a part of one. Clones are the same bytes; the allocation is freed with the last
/// of them, unless it is the caller's.
#[derive(Clone)]
pub struct Buffer {
    allocation: Arc<Allocation>,
    start: u64,
    bytes: u64,
}

struct Allocation {
    device: Device,
    pointer: CUdeviceptr,
    owned: bool,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.owned && self.pointer != 0 && self.device.bind().is_ok() {
            // SAFETY: the pointer came from cuMemAlloc and is freed once. The driver waits for work that uses it.
            // A failure would leave nothing to do.
            let _ = unsafe { result::free_sync(self.pointer) };
        }
    }
}

impl Buffer {
    pub(super) fn alloc(device: &Device, bytes: u64) -> Result<Buffer, DeviceError> {
        device.bind()?;
        // The driver refuses allocations of nothing, and an empty tensor needs no address.
        let pointer = if bytes == 0 {
            0
        } else {
            // SAFETY: the memory is never read as a Rust value; copies back to the host are of types that any bytes make.
            unsafe { result::malloc_sync(usize::try_from(bytes).unwrap_or(usize::MAX)) }.map_err(|error| {
                match (error.0, device.memory()) {
                    (CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok((free, total))) => {
                        DeviceError::OutOfMemory { bytes, free, total }
                    }
                    _ => DeviceError::Failed { call: "allocating memory", code: code(error) },
                }
            })?
        };
        let allocation = Arc::new(Allocation { device: device.clone(), pointer, owned: true });
        Ok(Buffer { allocation, start: 0, bytes })
    }

    /// Memory that belongs to someone else, such as a tensor of PyTorch or candle: no copy is made, and it is not freed.
    ///
    /// # Safety
    /// `pointer` must be the address of `bytes` bytes that kernels on `device` may read and write, and stay so until the last clone of
    /// this buffer is gone and the work queued with it is done. Work that its owner has queued on it must be ordered before and after
    /// by events or by waiting.
    pub unsafe fn from_raw(device: &Device, pointer: u64, bytes: u64) -> Buffer {
        let allocation = Arc::new(Allocation { device: device.clone(), pointer, owned: false });
        Buffer { allocation, start: 0, bytes }
    }

    /// Its address on the GPU; 0 for an empty buffer.
    pub fn pointer(&self) -> u64 {
        self.allocation.pointer + self.start
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its GPU.
    pub fn device(&self) -> &Device {
        &self.allocation.device
    }

    /// The part of it from byte `start` on, `bytes` long.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if it reaches beyond the end.
    pub fn slice(&self, start: u64, bytes: u64) -> Result<Buffer, DeviceError> {
        self.check("a part of a buffer", start, bytes)?;
        Ok(Buffer { allocation: self.allocation.clone(), start: self.start + start, bytes })
    }

    /// Fills it with zeros, in the stream's order.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn zero(&self, stream: &Stream) -> Result<(), DeviceError> {
        self.on(stream)?;
        if self.bytes == 0 {
            return Ok(());
        }
        // SAFETY: the bytes are inside a live allocation of the stream's GPU.
        unsafe { result::memset_d8_async(self.pointer(), 0, self.length(), stream.raw()) }
            .map_err(failed("filling a buffer"))
    }

    /// Copies `values` to its start, and waits for the copy.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if there are too many.
    pub fn upload<T: NoUninit>(&self, stream: &Stream, values: &[T]) -> Result<(), DeviceError> {
        // SAFETY: the values are borrowed until the copy has been waited for.
        unsafe { self.upload_async(stream, values) }?;
        stream.synchronize()
    }

    /// Copies its start into `values`, and waits for the copy and for all work before it in the stream.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if there are too many.
    pub fn download<T: NoUninit + AnyBitPattern>(&self, stream: &Stream, values: &mut [T]) -> Result<(), DeviceError> {
        // SAFETY: the values are borrowed until the copy has been waited for.
        unsafe { self.download_async(stream, values) }?;
        stream.synchronize()
    }

    /// Copies `values` to its start, in the stream's order.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if there are too many.
    ///
    /// # Safety
    /// `values` must stay where they are and as they are until the stream has come past the copy.
    pub unsafe fn upload_async<T: NoUninit>(&self, stream: &Stream, values: &[T]) -> Result<(), DeviceError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.on(stream)?;
        self.check("a copy to a buffer", 0, bytes.len() as u64)?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the bytes fit into a live allocation of the stream's GPU; the caller keeps the values.
        unsafe { result::memcpy_htod_async(self.pointer(), bytes, stream.raw()) }.map_err(failed("copying to the GPU"))
    }

    /// Copies its start into `values`, in the stream's order.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if there are too many.
    ///
    /// # Safety
    /// `values` must stay where they are and not be read or written until the stream has come past the copy.
    pub unsafe fn download_async<T: NoUninit + AnyBitPattern>(
        &self,
        stream: &Stream,
        values: &mut [T],
    ) -> Result<(), DeviceError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        self.on(stream)?;
        self.check("a copy from a buffer", 0, bytes.len() as u64)?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the bytes are inside a live allocation of the stream's GPU; the caller keeps the values.
        unsafe { result::memcpy_dtoh_async(bytes, self.pointer(), stream.raw()) }
            .map_err(failed("copying from the GPU"))
    }

    /// Copies all of `source` to its start, in the stream's order. The two must not overlap.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if it is too long or overlaps.
    pub fn copy_from(&self, stream: &Stream, source: &Buffer) -> Result<(), DeviceError> {
        self.on(stream)?;
        source.on(stream)?;
        self.check("a copy to a buffer", 0, source.bytes)?;
        if source.bytes == 0 {
            return Ok(());
        }
        let (to, from) = (self.pointer(), source.pointer());
        if to < from + source.bytes && from < to + source.bytes {
            return Err(DeviceError::OutOfBounds {
                what: "a copy onto itself",
                start: from.abs_diff(to),
                end: from.abs_diff(to) + source.bytes,
                bytes: self.bytes,
            });
        }
        let length = source.length();
        // SAFETY: both ranges are inside live allocations of the stream's GPU and do not overlap.
        unsafe { result::memcpy_dtod_async(to, from, length, stream.raw()) }.map_err(failed("copying on the GPU"))
    }

    /// Copies a tensor to its start, and waits for the copy.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if the tensor is too large.
    pub fn upload_tensor(&self, stream: &Stream, tensor: &Tensor) -> Result<(), DeviceError> {
        self.upload(stream, tensor.bytes())
    }

    /// Copies its start into a new tensor, and waits for the copy and for all work before it in the stream.
    ///
    /// # Errors
    /// [`DeviceError::OutOfBounds`] if the tensor would have more bytes than the buffer.
    pub fn download_tensor(&self, stream: &Stream, dtype: DType, sizes: &[usize]) -> Result<Tensor, DeviceError> {
        let elements = crate::tensor::count(sizes).and_then(|elements| dtype.bytes_for(elements));
        let length = elements.filter(|bytes| *bytes as u64 <= self.bytes).ok_or(DeviceError::OutOfBounds {
            what: "a tensor in a buffer",
            start: 0,
            end: elements.map_or(u64::MAX, |bytes| bytes as u64),
            bytes: self.bytes,
        })?;
        let mut bytes = vec![0u8; length];
        self.download(stream, &mut bytes)?;
        Tensor::new(dtype, sizes.to_vec(), bytes.into()).map_err(|error: TensorError| DeviceError::Failed {
            call: "making a tensor of a buffer",
            code: error.to_string(),
        })
    }

    fn length(&self) -> usize {
        // An allocation of more bytes than an address can count would have failed.
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    fn check(&self, what: &'static str, start: u64, bytes: u64) -> Result<(), DeviceError> {
        match start.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            end => Err(DeviceError::OutOfBounds { what, start, end: end.unwrap_or(u64::MAX), bytes: self.bytes }),
        }
    }

    fn on(&self, stream: &Stream) -> Result<(), DeviceError> {
        if !self.device().is(stream.device()) {
            return Err(DeviceError::OtherDevice { what: "the buffer" });
        }
        self.device().bind()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:#x}, {} bytes)", self.pointer(), self.bytes)
    }
}
