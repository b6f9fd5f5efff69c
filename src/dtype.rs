//! Element types: their widths, their ranges and their names in ONNX, in CUDA and in this crate.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The type of one tensor element. The names are those of Rust; `F8E4M3FN` and its kin are named as ONNX names them.
///
/// Types narrower than a byte (`I4`, `U4`, `I2`, `U2`, `F4E2M1`) are stored packed, low bits first, as ONNX stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    F64,
    F32,
    F16,
    BF16,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    F8E8M0,
    F4E2M1,
    I64,
    U64,
    I32,
    U32,
    I16,
    U16,
    I8,
    U8,
    I4,
    U4,
    I2,
    U2,
    Bool,
}

use DType::*;

impl DType {
    /// Every element type, widest float first.
    pub const ALL: [DType; 23] = [
        F64, F32, F16, BF16, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F4E2M1, I64, U64, I32, U32, I16, U16,
        I8, U8, I4, U4, I2, U2, Bool,
    ];

    /// Bits of one element as stored.
    pub const fn bits(self) -> u32 {
        match self {
            F64 | I64 | U64 => 64,
            F32 | I32 | U32 => 32,
            F16 | BF16 | I16 | U16 => 16,
            F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | I8 | U8 | Bool => 8,
            F4E2M1 | I4 | U4 => 4,
            I2 | U2 => 2,
        }
    }

    /// Bytes of one element, or `None` for a packed type narrower than a byte.
    pub const fn bytes(self) -> Option<usize> {
        match self.bits() {
            bits if bits >= 8 => Some(bits as usize / 8),
            _ => None,
        }
    }

    /// Bytes that `count` elements occupy, rounded up for packed types; `None` on overflow.
    pub fn bytes_for(self, count: usize) -> Option<usize> {
        count.checked_mul(self.bits() as usize).map(|bits| bits.div_ceil(8))
    }

    /// True for every floating-point type, the 8- and 4-bit ones included.
    pub const fn is_float(self) -> bool {
        matches!(self, F64 | F32 | F16 | BF16 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | F4E2M1)
    }

    /// True for the four float types that arithmetic is defined on: f64, f32, f16, bf16.
    pub const fn is_arithmetic_float(self) -> bool {
        matches!(self, F64 | F32 | F16 | BF16)
    }

    /// True for integers of any width; bool is not one.
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, Bool)
    }

    /// True for signed integers.
    pub const fn is_signed_int(self) -> bool {
        matches!(self, I64 | I32 | I16 | I8 | I4 | I2)
    }

    /// True for unsigned integers; bool is not one.
    pub const fn is_unsigned_int(self) -> bool {
        self.is_int() && !self.is_signed_int()
    }

    /// Smallest and largest value of an integer type (bool counts as 0 and 1), or `None` for a float.
    pub const fn int_range(self) -> Option<(i128, i128)> {
        if self.is_float() {
            return None;
        }
        if matches!(self, Bool) {
            return Some((0, 1));
        }
        let bits = self.bits();
        Some(if self.is_signed_int() {
            (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
        } else {
            (0, (1i128 << bits) - 1)
        })
    }

    /// The short name used in expressions, plans and messages.
    pub const fn name(self) -> &'static str {
        match self {
            F64 => "f64",
            F32 => "f32",
            F16 => "f16",
            BF16 => "bf16",
            F8E4M3FN => "f8e4m3fn",
            F8E4M3FNUZ => "f8e4m3fnuz",
            F8E5M2 => "f8e5m2",
            F8E5M2FNUZ => "f8e5m2fnuz",
            F8E8M0 => "f8e8m0",
            F4E2M1 => "f4e2m1",
            I64 => "i64",
            U64 => "u64",
            I32 => "i32",
            U32 => "u32",
            I16 => "i16",
            U16 => "u16",
            I8 => "i8",
            U8 => "u8",
            I4 => "i4",
            U4 => "u4",
            I2 => "i2",
            U2 => "u2",
            Bool => "bool",
        }
    }

    /// The name in TensorRT's manner, as in `345[Int8(1,128,40,40)]`.
    pub const fn long_name(self) -> &'static str {
        match self {
            F64 => "Double",
            F32 => "Float",
            F16 => "Half",
            BF16 => "BFloat16",
            F8E4M3FN => "Fp8E4M3FN",
            F8E4M3FNUZ => "Fp8E4M3FNUZ",
            F8E5M2 => "Fp8E5M2",
            F8E5M2FNUZ => "Fp8E5M2FNUZ",
            F8E8M0 => "Fp8E8M0",
            F4E2M1 => "Fp4E2M1",
            I64 => "Int64",
            U64 => "UInt64",
            I32 => "Int32",
            U32 => "UInt32",
            I16 => "Int16",
            U16 => "UInt16",
            I8 => "Int8",
            U8 => "UInt8",
            I4 => "Int4",
            U4 => "UInt4",
            I2 => "Int2",
            U2 => "UInt2",
            Bool => "Bool",
        }
    }

    /// The number of this type in ONNX's `TensorProto.DataType`.
    pub const fn onnx(self) -> i32 {
        match self {
            F32 => 1,
            U8 => 2,
            I8 => 3,
            U16 => 4,
            I16 => 5,
            I32 => 6,
            I64 => 7,
            Bool => 9,
            F16 => 10,
            F64 => 11,
            U32 => 12,
            U64 => 13,
            BF16 => 16,
            F8E4M3FN => 17,
            F8E4M3FNUZ => 18,
            F8E5M2 => 19,
            F8E5M2FNUZ => 20,
            U4 => 21,
            I4 => 22,
            F4E2M1 => 23,
            F8E8M0 => 24,
            U2 => 25,
            I2 => 26,
        }
    }

    /// The type that ONNX's `TensorProto.DataType` number means; `None` for strings, complex numbers and unknown ones.
    pub fn from_onnx(number: i32) -> Option<DType> {
        DType::ALL.into_iter().find(|t| t.onnx() == number)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `"{0}" is not an element type`: the names are those of [`DType::name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an element type; the types are f64 f32 f16 bf16 f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz f8e8m0 f4e2m1 i64 u64 i32 u32 i16 u16 i8 u8 i4 u4 i2 u2 bool"
)]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;
    fn from_str(s: &str) -> Result<DType, UnknownDType> {
        DType::ALL.into_iter().find(|t| t.name() == s).ok_or_else(|| UnknownDType(s.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_onnx_numbers_round_trip() {
        for t in DType::ALL {
            assert_eq!(t.name().parse(), Ok(t));
            assert_eq!(DType::from_onnx(t.onnx()), Some(t));
            let json = serde_json::to_string(&t).unwrap();
            assert_eq!(json, format!("\"{}\"", t.name()));
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(I8.int_range(), Some((-128, 127)));
        assert_eq!(U2.int_range(), Some((0, 3)));
        assert_eq!(U64.int_range(), Some((0, u64::MAX as i128)));
        assert_eq!(F16.int_range(), None);
        assert_eq!(I4.bytes_for(3), Some(2));
    }
}
