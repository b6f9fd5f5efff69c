//! Tensor maps: how a matrix in memory is told to Hopper's copy engine. The driver encodes them, on the host alone.

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave, CUtensorMapL2promotion,
    CUtensorMapSwizzle,
};

use super::DeviceError;
use super::driver::{failed, ready_for};
use crate::emit::TensorMap;

/// The map of the matrix at an address.
///
/// # Errors
/// [`DeviceError::DriverTooOld`] from a driver before CUDA 12, which has no such maps. [`DeviceError::Failed`] if the driver does not take it: an address or a pitch that is no multiple of 16 bytes, an empty matrix, a tile of more than
/// 256 elements or lines.
pub(super) fn encode(pointer: u64, map: &TensorMap) -> Result<CUtensorMap, DeviceError> {
    ready_for("cuTensorMapEncodeTiled")?;
    // Only moved, never computed with: floats of two bytes pass as integers.
    let element = match map.element {
        1 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
        _ => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT16,
    };
    let mut encoded = CUtensorMap { opaque: [0; 16] };
    let extent = map.extent.map(u64::from);
    // SAFETY: the driver writes the 128 bytes of `encoded`, which has their alignment, and reads two sizes, one pitch, two sides and two steps. It
    // does not follow the address.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            &raw mut encoded,
            element,
            2,
            pointer as *mut c_void,
            extent.as_ptr(),
            &raw const map.pitch,
            map.tile.as_ptr(),
            [1, 1].as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()
    .map_err(failed("describing a matrix to the copy engine"))?;
    Ok(encoded)
}
