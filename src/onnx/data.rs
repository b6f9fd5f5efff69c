//! The elements of a `TensorProto` as plain little-endian bytes, wherever the model keeps them: `raw_data` and external files
//! are shared without a copy, the typed fields are converted.

use super::error::{OnnxError, quoted};
use super::external::ExternalFiles;
use super::proto::{DataLocation, DataType, TensorProto};
use crate::tensor::Tensor;
use bytes::Bytes;

/// Bits of one element. `None` for strings and unknown types.
pub fn bits(data_type: DataType) -> Option<u64> {
    use DataType::*;
    Some(match data_type {
        Undefined | String => return None,
        Uint2 | Int2 => 2,
        Uint4 | Int4 | Float4e2m1 => 4,
        Uint8 | Int8 | Bool | Float8e4m3fn | Float8e4m3fnuz | Float8e5m2 | Float8e5m2fnuz | Float8e8m0 => 8,
        Uint16 | Int16 | Float16 | Bfloat16 => 16,
        Float | Int32 | Uint32 => 32,
        Double | Int64 | Uint64 | Complex64 => 64,
        Complex128 => 128,
    })
}

/// The elements of `tensor`, row-major and little-endian; types under a byte packed, the first element in the low bits.
///
/// # Errors
/// [`OnnxError::Tensor`] where dims, type and data contradict one another, [`OnnxError::External`] for bad external data.
pub(crate) fn little_endian(tensor: &TensorProto, external: &ExternalFiles) -> Result<Bytes, OnnxError> {
    let fail = |found: String, expected: String| OnnxError::Tensor { tensor: quoted(tensor.name()), found, expected };
    let data_type = DataType::try_from(tensor.data_type())
        .map_err(|_| fail(format!("data type {}", tensor.data_type()), "one of ONNX's types, 1 to 26".into()))?;
    let Some(width) = bits(data_type) else {
        return Err(fail(format!("elements of type {data_type:?}"), "numbers".into()));
    };
    let count = elements(tensor)?;
    let size = count
        .checked_mul(width)
        .map(|bits| bits.div_ceil(8))
        .filter(|&size| size <= isize::MAX as u64)
        .ok_or_else(|| fail(format!("dims {:?}", tensor.dims), "a size that fits in memory".into()))?;
    let sized = |bytes: Bytes| {
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        let expected = format!("{size} for {count} elements of {data_type:?} (dims {:?})", tensor.dims);
        Err(fail(format!("{} bytes of data", bytes.len()), expected))
    };
    if tensor.data_location() == DataLocation::External {
        return sized(external.bytes(tensor)?);
    }
    if let Some(raw) = &tensor.raw_data {
        return sized(raw.clone());
    }
    let typed = typed(tensor, data_type, width);
    if typed.is_empty() && size > 0 {
        return Err(fail("no data".into(), format!("{count} elements of {data_type:?} (dims {:?})", tensor.dims)));
    }
    sized(typed.into())
}

/// A tensor as ONNX stores it, its memory shared.
pub fn proto(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(tensor.dtype().onnx()),
        dims: tensor.sizes().iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect(),
        raw_data: Some(tensor.bytes().clone()),
        ..Default::default()
    }
}

/// The number of elements that `dims` stands for.
pub(crate) fn elements(tensor: &TensorProto) -> Result<u64, OnnxError> {
    let fail = |found: String, expected: &str| OnnxError::Tensor {
        tensor: quoted(tensor.name()),
        found,
        expected: expected.into(),
    };
    if tensor.dims.len() > 64 {
        return Err(fail(format!("{} dims", tensor.dims.len()), "at most 64"));
    }
    let mut count = 1u64;
    for &dim in &tensor.dims {
        let dim = u64::try_from(dim).map_err(|_| fail(format!("dims {:?}", tensor.dims), "no negative size"))?;
        count = count
            .checked_mul(dim)
            .ok_or_else(|| fail(format!("dims {:?}", tensor.dims), "a number of elements below 2^64"))?;
    }
    Ok(count)
}

/// The typed field that ONNX assigns to `data_type`. Elements narrower than 32 bits lie in `int32_data`, one each; those under
/// a byte lie there packed, a byte each.
fn typed(tensor: &TensorProto, data_type: DataType, width: u64) -> Vec<u8> {
    use DataType::*;
    match data_type {
        Float | Complex64 => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Double | Complex128 => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Int64 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Uint64 => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Uint32 => tensor.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        Int32 => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        _ if width == 16 => tensor.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect(),
        _ => tensor.int32_data.iter().map(|v| *v as u8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: DataType, dims: &[i64]) -> TensorProto {
        TensorProto { data_type: Some(data_type as i32), dims: dims.into(), ..Default::default() }
    }

    fn read(tensor: &TensorProto) -> Result<Bytes, OnnxError> {
        little_endian(tensor, &ExternalFiles::none())
    }

    #[test]
    fn raw_data_is_shared_not_copied() {
        let raw = Bytes::from(vec![1u8; 16]);
        let t = TensorProto { raw_data: Some(raw.clone()), ..tensor(DataType::Float, &[2, 2]) };
        assert_eq!(read(&t).expect("bytes").as_ptr(), raw.as_ptr());
    }

    #[test]
    fn typed_fields_by_type() {
        let ints = TensorProto { int32_data: vec![1, -1], ..tensor(DataType::Int8, &[2]) };
        assert_eq!(read(&ints).expect("bytes").as_ref(), [1, 255]);
        let half = TensorProto { int32_data: vec![0x3c00], ..tensor(DataType::Float16, &[]) };
        assert_eq!(read(&half).expect("bytes").as_ref(), [0, 0x3c]);
        let unsigned = TensorProto { uint64_data: vec![u64::from(u32::MAX)], ..tensor(DataType::Uint32, &[1]) };
        assert_eq!(read(&unsigned).expect("bytes").as_ref(), [255; 4]);
        let nibbles = TensorProto { int32_data: vec![0x21, 0x03], ..tensor(DataType::Int4, &[3]) };
        assert_eq!(read(&nibbles).expect("bytes").as_ref(), [0x21, 3]);
    }

    #[test]
    fn contradictions_are_told() {
        let message = |t: &TensorProto| read(t).expect_err("contradiction").to_string();
        let short = TensorProto { raw_data: Some(Bytes::from_static(&[0; 4])), ..tensor(DataType::Float, &[2]) };
        assert!(message(&short).contains("found 4 bytes of data, expected 8"));
        assert!(message(&tensor(DataType::Float, &[2])).contains("no data"));
        assert!(message(&tensor(DataType::Float, &[-1])).contains("no negative size"));
        assert!(message(&tensor(DataType::Float, &[1 << 40, 1 << 40])).contains("below 2^64"));
        assert!(message(&tensor(DataType::Float, &[i64::MAX, 2])).contains("fits in memory"));
        assert!(message(&TensorProto { data_type: Some(99), ..Default::default() }).contains("data type 99"));
        assert!(message(&tensor(DataType::String, &[1])).contains("expected numbers"));
    }
}
