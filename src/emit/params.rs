//! The parameters of a generated kernel, and what they are at a launch.

use super::names;
use crate::dim::{Bindings, Dim, DimError};
use crate::dtype::DType;
use crate::plan::{IndexWidth, Kernel, Product};
use crate::scalar::{Number, Scalar};
use serde::Serialize;

/// One parameter of the C function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Param {
    /// Its identifier in the text.
    pub name: String,
    /// Its C type.
    pub c_type: String,
    pub value: ParamValue,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamValue {
    /// Address of the first element that load `index` of the kernel reads: the buffer's address plus its access's offset. It must
    /// be a multiple of `align` bytes.
    Load {
        index: u32,
        align: u32,
    },
    /// The same for a store.
    Store {
        index: u32,
        align: u32,
    },
    /// Address of the first element of factor `index` (0 or 1) of the kernel's product.
    Factor {
        index: u32,
        align: u32,
    },
    /// Factor `index` of the kernel's product as a tensor map: a matrix of lines of memory, copied in tiles of `tile` (elements of a line, lines).
    TensorMap {
        index: u32,
        tile: [u32; 2],
    },
    /// Address of a buffer that holds [`super::table_of`] the kernel.
    Table {
        align: u32,
    },
    /// Address of memory for the sums of blocks that share a tile: [`super::Scratch::partials`] bytes.
    Partials,
    /// Address of [`super::Scratch::counters`] bytes of zeros, which are zeros again afterwards.
    Counters,
    /// A count of elements, evaluated at launch.
    Size(Dim, IndexWidth),
    /// A stride in elements, which may be negative.
    Stride(Dim, IndexWidth),
    /// The multiplier and the shift that divide by a size below 2³¹ (see `divide` in `templates/device.cuh`).
    Multiplier(Dim),
    Shift(Dim),
    /// A constant of this kernel, which others of the same text may have another value for.
    Scalar(Scalar),
}

/// A parameter at a launch. The bytes of all but the addresses are little-endian and of the C type's width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArgValue {
    /// Address of load `index`'s buffer plus `offset` bytes.
    Load {
        index: u32,
        offset: i64,
        align: u32,
    },
    Store {
        index: u32,
        offset: i64,
        align: u32,
    },
    /// Address of the buffer of the product's factor `index` plus `offset` bytes.
    Factor {
        index: u32,
        offset: i64,
        align: u32,
    },
    /// The matrix that begins at the address of the buffer of the product's factor `index` plus `offset` bytes, a multiple of 16.
    TensorMap {
        index: u32,
        offset: i64,
        map: TensorMap,
    },
    Table {
        align: u32,
    },
    /// See [`ParamValue::Partials`] and [`ParamValue::Counters`].
    Partials,
    Counters,
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
}

/// What a tensor map of two dimensions says but the address, for the driver's `cuTensorMapEncodeTiled`. Elements are taken as unsigned integers, tiles are
/// swizzled over 128 bytes, which is the length of their rows, and zeros stand for what is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    /// Bytes of an element: 1 or 2.
    pub element: u32,
    /// Elements of a line, and lines; none is 0.
    pub extent: [u32; 2],
    /// Bytes from a line to the next, a multiple of 16.
    pub pitch: u64,
    /// Elements and lines of a tile.
    pub tile: [u32; 2],
}

impl TensorMap {
    /// What the address is a multiple of.
    pub const ALIGN: u32 = 16;
}

impl Param {
    pub fn size(name: String, dim: &Dim, width: IndexWidth) -> Param {
        Param { name, c_type: "const idx".into(), value: ParamValue::Size(dim.clone(), width) }
    }

    pub fn stride(name: String, dim: &Dim, width: IndexWidth) -> Param {
        Param { name, c_type: "const off".into(), value: ParamValue::Stride(dim.clone(), width) }
    }

    /// What division by `dim` needs: two numbers for 32-bit indices, the size itself for others.
    pub fn divisor(name: &str, dim: &Dim, width: IndexWidth) -> Vec<Param> {
        let mut params = vec![Param::size(name.to_owned(), dim, width)];
        if width == IndexWidth::Bits32 {
            let part = |suffix, value| Param { name: format!("{name}_{suffix}"), c_type: "const u32".into(), value };
            params.push(part("mul", ParamValue::Multiplier(dim.clone())));
            params.push(part("shift", ParamValue::Shift(dim.clone())));
        }
        params
    }

    pub fn float(name: String, value: f32) -> Param {
        Param { name, c_type: "const float".into(), value: ParamValue::Scalar(Scalar::f32(value)) }
    }

    pub fn double(name: String, value: f64) -> Param {
        let value = ParamValue::Scalar(Scalar::new(DType::F64, Number::Float(value)));
        Param { name, c_type: "const double".into(), value }
    }

    pub fn load(kernel: &Kernel, index: usize, align: u64) -> Param {
        Param {
            name: names::load(index),
            c_type: format!("const {}* __restrict__", kernel.loads[index].dtype),
            value: ParamValue::Load { index: index as u32, align: align as u32 },
        }
    }

    pub fn store(kernel: &Kernel, index: usize, align: u64) -> Param {
        Param {
            name: names::store(index),
            c_type: format!("{}* __restrict__", kernel.stores[index].dtype),
            value: ParamValue::Store { index: index as u32, align: align as u32 },
        }
    }

    pub fn factor(index: u32, dtype: DType, align: u32) -> Param {
        Param {
            name: names::factor(index).into(),
            c_type: format!("const {dtype}* __restrict__"),
            value: ParamValue::Factor { index, align: align.max(dtype.bits() / 8) },
        }
    }

    pub fn tensor_map(index: u32, tile: [u32; 2]) -> Param {
        Param {
            name: format!("{}_map", names::factor(index)),
            c_type: "const __grid_constant__ TensorMap".into(),
            value: ParamValue::TensorMap { index, tile },
        }
    }

    pub fn table() -> Param {
        Param {
            name: "table".into(),
            c_type: "const uint4* __restrict__".into(),
            value: ParamValue::Table { align: 16 },
        }
    }

    /// The memory that blocks which share a tile leave their sums in, and that they count themselves in.
    pub fn scratch() -> [Param; 2] {
        let words = |name: &str, value| Param { name: name.into(), c_type: "u32* __restrict__".into(), value };
        [words("partials", ParamValue::Partials), words("counters", ParamValue::Counters)]
    }

    /// The value at a launch of `kernel` with these sizes.
    pub(super) fn at(&self, kernel: &Kernel, bindings: &Bindings) -> Result<ArgValue, DimError> {
        let beyond = |dim: &Dim| DimError::Overflow(dim.to_string());
        let bytes = |offset: &Dim, dtype: DType| {
            let elements = offset.eval_signed(bindings)?;
            elements.checked_mul(dtype.bytes().unwrap_or(1) as i64).ok_or_else(|| beyond(offset))
        };
        Ok(match self.value {
            ParamValue::Load { index, align } => {
                let load = &kernel.loads[index as usize];
                ArgValue::Load { index, offset: bytes(&load.access.offset, load.dtype)?, align }
            }
            ParamValue::Store { index, align } => {
                let store = &kernel.stores[index as usize];
                ArgValue::Store { index, offset: bytes(&store.access.offset, store.dtype)?, align }
            }
            ParamValue::Factor { index, align } => {
                let product = kernel.product.as_deref();
                let offset = match product {
                    Some(product) => {
                        let [a, b] = product.contraction.accesses()?;
                        let (access, factor) = if index == 0 { (a.1, product.a) } else { (b.1, product.b) };
                        bytes(&access.offset, factor.dtype)?
                    }
                    None => 0,
                };
                ArgValue::Factor { index, offset, align }
            }
            ParamValue::TensorMap { index, tile } => {
                let missing = || DimError::Overflow(self.name.clone());
                let matrices = kernel.product.as_deref().and_then(Product::matrices).ok_or_else(missing)?;
                let matrix = matrices.get(index as usize).ok_or_else(missing)?;
                let element = matrix.dtype.bits() / 8;
                // A matrix of nothing is never copied from; the driver takes no size of 0.
                let extent = |dim: &Dim| {
                    let n = i32::try_from(dim.eval(bindings)?).map_err(|_| beyond(dim))?;
                    Ok(n.max(1) as u32)
                };
                let extent = [extent(&matrix.line)?, extent(&matrix.lines)?];
                let pitch = matrix.pitch.eval(bindings)?.saturating_mul(element.into());
                let map = TensorMap { element, extent, pitch, tile };
                ArgValue::TensorMap { index, offset: bytes(&matrix.offset, matrix.dtype)?, map }
            }
            _ => self.number(bindings)?,
        })
    }

    /// The value at a launch, tensors being taken from their first element.
    pub(super) fn number(&self, bindings: &Bindings) -> Result<ArgValue, DimError> {
        let beyond = |dim: &Dim| DimError::Overflow(dim.to_string());
        Ok(match &self.value {
            &ParamValue::Load { index, align } => ArgValue::Load { index, offset: 0, align },
            &ParamValue::Store { index, align } => ArgValue::Store { index, offset: 0, align },
            &ParamValue::Factor { index, align } => ArgValue::Factor { index, offset: 0, align },
            // A stage of a routine has no product.
            ParamValue::TensorMap { .. } => return Err(DimError::Overflow(self.name.clone())),
            &ParamValue::Table { align } => ArgValue::Table { align },
            ParamValue::Partials => ArgValue::Partials,
            ParamValue::Counters => ArgValue::Counters,
            ParamValue::Size(dim, IndexWidth::Bits64) => ArgValue::U64(dim.eval(bindings)?),
            ParamValue::Size(dim, IndexWidth::Bits32) => {
                ArgValue::U32(u32::try_from(dim.eval(bindings)?).map_err(|_| beyond(dim))?)
            }
            ParamValue::Stride(dim, IndexWidth::Bits64) => ArgValue::I64(dim.eval_signed(bindings)?),
            ParamValue::Stride(dim, IndexWidth::Bits32) => {
                ArgValue::I32(i32::try_from(dim.eval_signed(bindings)?).map_err(|_| beyond(dim))?)
            }
            ParamValue::Multiplier(dim) => ArgValue::U32(multiplier_and_shift(dim.eval(bindings)?).0),
            ParamValue::Shift(dim) => ArgValue::U32(multiplier_and_shift(dim.eval(bindings)?).1),
            ParamValue::Scalar(scalar) => match (scalar.dtype(), scalar.number()) {
                (DType::F64, number) => ArgValue::F64(number.as_f64()),
                (dtype, number) if dtype.is_float() => ArgValue::F32(number.as_f64() as f32),
                (_, number) => ArgValue::I32(number.as_i128() as i32),
            },
        })
    }
}

/// m and s with ⌊n / d⌋ = ⌊n·m / 2^(31 + s)⌋ for every n < 2³¹: s = ⌈log₂ d⌉ and m = ⌈2^(31 + s) / d⌉, which fits 32 bits.
/// Sizes of 0 are never divided by and count as 1.
pub(super) fn multiplier_and_shift(d: u64) -> (u32, u32) {
    let d = d.clamp(1, 1 << 31);
    let shift = 64 - (d - 1).leading_zeros();
    let multiplier = (1u128 << (31 + shift)).div_ceil(u128::from(d));
    (multiplier as u32, shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn divide(n: u32, (multiplier, shift): (u32, u32)) -> u32 {
        ((u64::from(2 * n) * u64::from(multiplier)) >> 32) as u32 >> shift
    }

    proptest! {
        #[test]
        fn division_is_exact(n in 0u32..1 << 31, d in 1u32..1 << 31, small in 1u32..1000, near in 0u32..3) {
            for d in [d, small, 1 << (small % 31), (1u32 << (small % 31)).saturating_sub(1).max(1)] {
                let by = multiplier_and_shift(d.into());
                prop_assert_eq!(divide(n, by), n / d);
                // The hardest numerators are those beside a multiple.
                let edge = (n / d * d + near).saturating_sub(1).min((1 << 31) - 1);
                prop_assert_eq!(divide(edge, by), edge / d);
            }
        }
    }

    #[test]
    fn division_by_the_ends() {
        for d in [1, 2, 3, 1 << 30, (1 << 31) - 1] {
            for n in [0, 1, d - 1, d, (1 << 31) - 1] {
                assert_eq!(divide(n, multiplier_and_shift(d.into())), n / d, "{n} / {d}");
            }
        }
    }
}
