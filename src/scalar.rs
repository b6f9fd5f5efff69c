//! One element of any type: as the bits a tensor stores, and as the number a calculation uses.

use crate::dtype::DType;
use crate::minifloat::{self, Overflow};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A number in the form calculations use: f64 for every float type, i128 for every integer and bool.
///
/// Each element type fits its variant without loss, so the reference never rounds before the op's own type says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Float(f64),
    Int(i128),
}

impl Number {
    /// The value as f64; integers beyond 2⁵³ are rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Float(x) => x,
            Number::Int(i) => i as f64,
        }
    }

    /// The value as an integer: floats are truncated toward zero, NaN is 0, and the ends saturate.
    pub fn as_i128(self) -> i128 {
        match self {
            Number::Float(x) => x as i128,
            Number::Int(i) => i,
        }
    }

    /// True where a C `bool` conversion would be: nonzero, NaN included.
    pub fn is_true(self) -> bool {
        match self {
            Number::Float(x) => x != 0.0,
            Number::Int(i) => i != 0,
        }
    }
}

/// One element: its type and its bits as stored (zero above the type's width). Equality is equality of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scalar {
    dtype: DType,
    bits: u64,
}

impl Scalar {
    /// The element of type `dtype` whose stored bits are the low bits of `bits`.
    pub fn from_bits(dtype: DType, bits: u64) -> Scalar {
        let keep = if dtype.bits() == 64 { u64::MAX } else { (1 << dtype.bits()) - 1 };
        Scalar { dtype, bits: bits & keep }
    }

    /// The element of type `dtype` nearest to `number`: floats round half to even and overflow to infinity, integers wrap
    /// modulo their width (a float given for an integer type is truncated first), bool is "nonzero".
    pub fn new(dtype: DType, number: Number) -> Scalar {
        let bits = match dtype {
            DType::Bool => u64::from(number.is_true()),
            t if t.is_float() => minifloat::encode(t, number.as_f64(), Overflow::Infinity),
            _ => number.as_i128() as u64,
        };
        Scalar::from_bits(dtype, bits)
    }

    pub fn f32(x: f32) -> Scalar {
        Scalar::new(DType::F32, Number::Float(x.into()))
    }

    /// The element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// The stored bits.
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// The value as a number; lossless for every type.
    pub fn number(self) -> Number {
        if self.dtype.is_float() {
            return Number::Float(minifloat::decode(self.dtype, self.bits));
        }
        let width = self.dtype.bits();
        let raw = i128::from(self.bits);
        let negative = self.dtype.is_signed_int() && raw >> (width - 1) & 1 == 1;
        Number::Int(if negative { raw - (1i128 << width) } else { raw })
    }

    /// The value as f64; lossless for all but 64-bit integers beyond 2⁵³.
    pub fn as_f64(self) -> f64 {
        self.number().as_f64()
    }
}

impl Number {
    /// The value this number takes when stored as `dtype` (see [`Scalar::new`]).
    pub fn rounded_to(self, dtype: DType) -> Number {
        match (dtype, self) {
            (DType::F64, Number::Float(_)) => self,
            (DType::F32, Number::Float(x)) => Number::Float(f64::from(x as f32)),
            _ => Scalar::new(dtype, self).number(),
        }
    }
}

impl fmt::Display for Scalar {
    /// The value alone, in the shortest form that reads back to the same bits: `0.05`, `-128`, `true`, `inf`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.dtype, self.number()) {
            (DType::Bool, n) => write!(f, "{}", n.is_true()),
            (DType::F32, Number::Float(x)) => write!(f, "{}", x as f32),
            (DType::F16, Number::Float(x)) => write!(f, "{}", half::f16::from_f64(x)),
            (DType::BF16, Number::Float(x)) => write!(f, "{}", half::bf16::from_f64(x)),
            (_, Number::Float(x)) => write!(f, "{x}"),
            (_, Number::Int(i)) => write!(f, "{i}"),
        }
    }
}

/// A scalar is written as `f32:0x3d4ccccd`, because JSON has neither NaN nor infinity and decimal text could lose bits.
impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{}:{:#x}", self.dtype, self.bits))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Scalar, D::Error> {
        let text = String::deserialize(d)?;
        let parsed = text
            .split_once(":0x")
            .and_then(|(dtype, hex)| Some(Scalar::from_bits(dtype.parse().ok()?, u64::from_str_radix(hex, 16).ok()?)));
        parsed.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a scalar such as \"f32:0x3d4ccccd\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_survive_the_way_through_a_number_and_json(bits in any::<u64>(), which in 0usize..DType::ALL.len()) {
            let s = Scalar::from_bits(DType::ALL[which], bits);
            prop_assume!(!s.as_f64().is_nan() && s.dtype() != DType::Bool);
            prop_assert_eq!(Scalar::new(s.dtype(), s.number()), s);
            let json = serde_json::to_string(&s).unwrap();
            prop_assert_eq!(serde_json::from_str::<Scalar>(&json).unwrap(), s);
        }
    }

    #[test]
    fn integers_wrap_and_bool_is_nonzero() {
        assert_eq!(Scalar::new(DType::U8, Number::Int(300)).number(), Number::Int(44));
        assert_eq!(Scalar::new(DType::I8, Number::Int(200)).number(), Number::Int(-56));
        assert_eq!(Scalar::new(DType::Bool, Number::Float(f64::NAN)).to_string(), "true");
        assert_eq!(Scalar::f32(0.05).to_string(), "0.05");
    }
}
