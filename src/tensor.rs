//! Host tensors: dense row-major little-endian bytes with a type and a shape.
//!
//! The bytes are shared, never copied when a tensor is cloned, sliced out of a file or reshaped; weights of a model read
//! through a memory map stay in that map.

use crate::dtype::DType;
use crate::scalar::{Number, Scalar};
use crate::shape::Shape;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    #[error("{dtype} {sizes:?} needs {needed} bytes and {found} were given")]
    Length { dtype: DType, sizes: Vec<usize>, needed: usize, found: usize },
    #[error("{dtype} {sizes:?} has more bytes than an address can count")]
    Overflow { dtype: DType, sizes: Vec<usize> },
    #[error("{from:?} has not the same number of elements as {to:?}")]
    Reshape { from: Vec<usize>, to: Vec<usize> },
}

/// A dense tensor on the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    sizes: Vec<usize>,
    bytes: Bytes,
}

/// A Rust type that is an element type.
pub trait Element: bytemuck::NoUninit + bytemuck::AnyBitPattern {
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),* $(,)?) => { $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })* };
}
elements! {
    f64 => F64, f32 => F32, half::f16 => F16, half::bf16 => BF16,
    i64 => I64, u64 => U64, i32 => I32, u32 => U32, i16 => I16, u16 => U16, i8 => I8, u8 => U8,
}

/// Values that are read as bytes.
struct Owned<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Product of the sizes, or `None` on overflow.
pub fn count(sizes: &[usize]) -> Option<usize> {
    // An empty tensor may have other sizes whose product overflows.
    if sizes.contains(&0) { Some(0) } else { sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) }
}

impl Tensor {
    /// A tensor over bytes as ONNX's `raw_data` has them.
    pub fn new(dtype: DType, sizes: Vec<usize>, bytes: Bytes) -> Result<Tensor, TensorError> {
        let needed = match count(&sizes).and_then(|n| dtype.bytes_for(n)) {
            Some(needed) if isize::try_from(needed).is_ok() => needed,
            _ => return Err(TensorError::Overflow { dtype, sizes }),
        };
        if bytes.len() != needed {
            return Err(TensorError::Length { dtype, sizes, needed, found: bytes.len() });
        }
        Ok(Tensor { dtype, sizes, bytes })
    }

    /// A tensor of Rust values.
    pub fn from_slice<T: Element>(sizes: &[usize], values: &[T]) -> Result<Tensor, TensorError> {
        let bytes = Bytes::copy_from_slice(bytemuck::cast_slice(values));
        Tensor::new(T::DTYPE, sizes.to_vec(), bytes)
    }

    /// A tensor that takes over the memory of Rust values.
    pub fn from_vec<T: Element + Send>(sizes: &[usize], values: Vec<T>) -> Result<Tensor, TensorError> {
        Tensor::new(T::DTYPE, sizes.to_vec(), Bytes::from_owner(Owned(values)))
    }

    /// A tensor of one element and rank 0.
    pub fn scalar(value: Scalar) -> Tensor {
        let bytes = value.dtype().bytes().unwrap_or(1);
        let bytes = Bytes::copy_from_slice(&value.bits().to_le_bytes()[..bytes]);
        Tensor { dtype: value.dtype(), sizes: Vec::new(), bytes }
    }

    /// A tensor of numbers in row-major order, each stored as [`Scalar::new`] stores it.
    pub fn from_numbers(
        dtype: DType,
        sizes: &[usize],
        numbers: impl IntoIterator<Item = Number>,
    ) -> Result<Tensor, TensorError> {
        let mut bytes = Vec::new();
        let width = dtype.bits() as usize;
        for (i, number) in numbers.into_iter().enumerate() {
            let bits = Scalar::new(dtype, number).bits();
            match dtype.bytes() {
                Some(n) => bytes.extend_from_slice(&bits.to_le_bytes()[..n]),
                None => {
                    let at = i * width;
                    if at.is_multiple_of(8) {
                        bytes.push(0);
                    }
                    bytes[at / 8] |= (bits as u8) << (at % 8);
                }
            }
        }
        Tensor::new(dtype, sizes.to_vec(), bytes.into())
    }

    /// [`Tensor::from_numbers`] from f64 values.
    pub fn from_f64(dtype: DType, sizes: &[usize], values: &[f64]) -> Result<Tensor, TensorError> {
        Tensor::from_numbers(dtype, sizes, values.iter().map(|&x| Number::Float(x)))
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    pub fn shape(&self) -> Shape {
        Shape::from(self.sizes.as_slice())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        // The constructor has checked that the product fits.
        self.sizes.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.sizes.contains(&0)
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The element at a row-major index.
    ///
    /// # Panics
    /// If `index` is not below [`Tensor::len`], as a slice does.
    pub fn at(&self, index: usize) -> Scalar {
        let width = self.dtype.bits() as usize;
        let bits = match self.dtype.bytes() {
            Some(n) => {
                let mut le = [0; 8];
                le[..n].copy_from_slice(&self.bytes[index * n..][..n]);
                u64::from_le_bytes(le)
            }
            None => u64::from(self.bytes[index * width / 8] >> (index * width % 8)),
        };
        Scalar::from_bits(self.dtype, bits)
    }

    /// The only element, or the common value of all of them.
    pub fn uniform(&self) -> Option<Scalar> {
        let first = (!self.is_empty()).then(|| self.at(0))?;
        (1..self.len()).all(|i| self.at(i) == first).then_some(first)
    }

    /// The elements in row-major order.
    pub fn numbers(&self) -> impl Iterator<Item = Number> + '_ {
        (0..self.len()).map(|i| self.at(i).number())
    }

    /// The elements as f64, row-major; 64-bit integers beyond 2⁵³ are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        // One look at the type for all elements: weights have millions.
        match self.dtype {
            DType::F64 => self.decode(f64::from_le_bytes),
            DType::F32 => self.decode(|b| f32::from_le_bytes(b).into()),
            DType::F16 => self.decode(|b| half::f16::from_le_bytes(b).to_f64()),
            DType::BF16 => self.decode(|b| half::bf16::from_le_bytes(b).to_f64()),
            DType::I32 => self.decode(|b| i32::from_le_bytes(b).into()),
            DType::I8 => self.decode(|b| i8::from_le_bytes(b).into()),
            DType::U8 => self.decode(|[b]| b.into()),
            _ => self.numbers().map(Number::as_f64).collect(),
        }
    }

    fn decode<const W: usize>(&self, decode: impl Fn([u8; W]) -> f64) -> Vec<f64> {
        self.bytes.as_chunks::<W>().0.iter().map(|b| decode(*b)).collect()
    }

    /// The elements as values of Rust, if `T` is their type.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        (T::DTYPE == self.dtype).then(|| bytemuck::pod_collect_to_vec(&self.bytes))
    }

    /// The elements as a slice of Rust values, if `T` is their type; copied only where the bytes are not aligned for it.
    pub fn slice<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        (T::DTYPE == self.dtype).then(|| match bytemuck::try_cast_slice(&self.bytes) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&self.bytes)),
        })
    }

    /// The same elements under other sizes.
    pub fn reshaped(&self, sizes: &[usize]) -> Result<Tensor, TensorError> {
        if count(sizes) != Some(self.len()) {
            return Err(TensorError::Reshape { from: self.sizes.clone(), to: sizes.to_vec() });
        }
        Ok(Tensor { sizes: sizes.to_vec(), ..self.clone() })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.sizes)?;
        let shown: Vec<String> = (0..self.len().min(8)).map(|i| self.at(i).to_string()).collect();
        write!(f, " [{}{}]", shown.join(" "), if self.len() > 8 { " …" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_elements_are_stored_low_bits_first() {
        let t = Tensor::from_numbers(DType::I4, &[3], [-8, 7, -1].map(Number::Int)).unwrap();
        assert_eq!(t.bytes().as_ref(), [0x78, 0x0f]);
        assert_eq!(t.to_f64(), [-8.0, 7.0, -1.0]);
    }

    #[test]
    fn all_at_once_is_each_in_turn() {
        for dtype in DType::ALL {
            let codes = (0u32..40)
                .map(|i| Scalar::from_bits(dtype, (u64::from(i) << 58) | u64::from(i.wrapping_mul(0x9e37_79b1))));
            let t = Tensor::from_numbers(dtype, &[40], codes.map(Scalar::number)).unwrap();
            for (i, x) in t.to_f64().into_iter().enumerate() {
                let one = t.at(i).as_f64();
                assert!(x.to_bits() == one.to_bits() || x.is_nan() && one.is_nan(), "{dtype} {i}: {x} {one}");
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let huge = vec![usize::MAX, 2];
        assert!(matches!(Tensor::new(DType::F32, huge, Bytes::new()), Err(TensorError::Overflow { .. })));
        assert!(matches!(
            Tensor::new(DType::F32, vec![2], Bytes::from_static(b"abc")),
            Err(TensorError::Length { .. })
        ));
        assert_eq!(Tensor::new(DType::F32, vec![usize::MAX, 0, 9], Bytes::new()).unwrap().len(), 0);
    }

    #[test]
    fn values_survive() {
        let t = Tensor::from_slice(&[2, 2], &[1.5f32, -0.0, f32::INFINITY, 3.0]).unwrap();
        assert_eq!(t.to_vec::<f32>().unwrap(), [1.5, -0.0, f32::INFINITY, 3.0]);
        assert_eq!(t.reshaped(&[4]).unwrap().at(3).to_string(), "3");
        let moved = Tensor::from_vec(&[2, 2], vec![1.5f32, -0.0, f32::INFINITY, 3.0]).unwrap();
        assert_eq!(moved, t);
        assert_eq!(moved.slice::<f32>().unwrap()[3], 3.0);
        assert!(moved.slice::<i32>().is_none());
        assert_eq!(Tensor::scalar(Scalar::f32(2.0)).uniform(), Some(Scalar::f32(2.0)));
    }
}
