//! Which C++ type computes an element type, and how elements get between registers and memory.

use crate::dtype::DType;

/// The precision a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Floats in f32 (f64 for f64), by the rows' accurate or fast expressions.
    Native { fast: bool },
    /// Pairs of 16-bit floats in a word, by the rows' packed expressions.
    Packed,
    /// Every float in f64: the second opinion on a result that f32 leaves in doubt.
    Double,
}

/// What computes a value: the family of expressions of the op table that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    F32,
    F64,
    /// The C integer type of that element type, or bool.
    Int(DType),
}

impl Class {
    pub fn of(dtype: DType, precision: Precision) -> Class {
        match dtype {
            DType::F64 => Class::F64,
            // The word that holds the pair.
            t if t.is_float() && precision == Precision::Packed => Class::Int(DType::U32),
            t if t.is_float() && precision == Precision::Double => Class::F64,
            t if t.is_float() => Class::F32,
            t => Class::Int(t),
        }
    }

    /// The C++ type.
    pub fn c_type(self) -> &'static str {
        match self {
            Class::F32 => "float",
            Class::F64 => "double",
            Class::Int(t) => t.name(),
        }
    }
}

/// True for the element types that generated kernels load and store: whole bytes, and a conversion in `templates/device.cuh`.
pub fn supported(dtype: DType) -> bool {
    dtype.bits() >= 8 && dtype != DType::F8E8M0
}

/// True for integers whose loads have a conversion to float that avoids the slow unit.
pub fn has_float_view(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16)
}

/// The function that packs an array of values of `dtype` into words.
pub fn packer(dtype: DType) -> String {
    match dtype {
        DType::I8 | DType::U8 | DType::Bool => "pack_8".to_owned(),
        DType::I16 | DType::U16 => "pack_16".to_owned(),
        DType::I32 | DType::U32 => "pack_32".to_owned(),
        DType::I64 | DType::U64 => "pack_64".to_owned(),
        float => format!("pack_{float}"),
    }
}

/// Bytes of one element of a supported type.
pub fn bytes(dtype: DType) -> u64 {
    u64::from(dtype.bits() / 8)
}
