//! Type rules: which element types an op takes and which it gives.

use super::Op;
use crate::dtype::DType::{self, *};
use std::fmt;

/// A set of element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSet(u32);

impl TypeSet {
    pub const fn of(types: &[DType]) -> TypeSet {
        let (mut bits, mut i) = (0, 0);
        while i < types.len() {
            bits |= 1 << types[i] as u32;
            i += 1;
        }
        TypeSet(bits)
    }

    pub const fn or(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }

    pub const fn contains(self, t: DType) -> bool {
        self.0 >> t as u32 & 1 == 1
    }

    /// f64 f32 f16 bf16
    pub const FLOATS: TypeSet = TypeSet::of(&[F64, F32, F16, BF16]);
    /// i64 i32 i16 i8
    pub const SIGNED: TypeSet = TypeSet::of(&[I64, I32, I16, I8]);
    /// u64 u32 u16 u8
    pub const UNSIGNED: TypeSet = TypeSet::of(&[U64, U32, U16, U8]);
    pub const INTS: TypeSet = TypeSet::SIGNED.or(TypeSet::UNSIGNED);
    pub const NUMBERS: TypeSet = TypeSet::FLOATS.or(TypeSet::INTS);
    pub const BOOL: TypeSet = TypeSet::of(&[Bool]);
    pub const SIGNED_NUMBERS: TypeSet = TypeSet::FLOATS.or(TypeSet::SIGNED);
    pub const ALL: TypeSet = TypeSet::of(&DType::ALL);
    /// The 8-bit floats, but for the one that holds only powers of two.
    pub const FLOAT8: TypeSet = TypeSet::of(&[F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]);
    /// What dequantize reads and quantize writes; i32 is an accumulator, which only dequantize reads.
    pub const CODES: TypeSet =
        TypeSet::of(&[I8, U8, I16, U16, I4, U4, I2, U2, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F4E2M1]);
}

impl fmt::Display for TypeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = DType::ALL.into_iter().filter(|t| self.contains(*t)).map(DType::name).collect();
        f.write_str(&names.join(" "))
    }
}

/// How the result's type follows from the operands'. Params are constants of type f32 and take no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeRule {
    /// All operands and the result are of one type of the set.
    Same(TypeSet),
    /// All operands are of one type of the set; the result is bool.
    Test(TypeSet),
    /// A bool and two operands of one type, any; the result is of that type.
    Select,
    /// A number and an exponent of any number type; the result is of the first's type.
    Power,
    /// Any type to the op's target.
    Convert,
    /// A float or i32, a float scale and a zero point of the op's target: to a code type.
    Quantize,
    /// A code or i32, a float scale and a zero point of the code's type: to a float type.
    Dequantize,
}

impl fmt::Display for TypeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeRule::Same(set) => write!(f, "{set}"),
            TypeRule::Test(set) => write!(f, "{set}, to bool"),
            TypeRule::Select => f.write_str("bool and any type, to that type"),
            TypeRule::Power => write!(f, "{}, an exponent of any of them", TypeSet::NUMBERS),
            TypeRule::Convert => f.write_str("any, to any"),
            TypeRule::Quantize => write!(f, "{} i32, to {}", TypeSet::FLOATS, TypeSet::CODES),
            TypeRule::Dequantize => write!(f, "{} i32, to {}", TypeSet::CODES, TypeSet::FLOATS),
        }
    }
}

/// Operands whose types an op does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    #[error("{op} takes {expected} operands, found {found}")]
    Arity { op: Op, expected: usize, found: usize },
    #[error("{op} takes {expected} for {operand}, found {found}")]
    Operand { op: Op, operand: &'static str, expected: String, found: DType },
    #[error("{op} can't convert to {}; it converts to {expected}", .found.map_or("nothing", DType::name))]
    Target { op: Op, expected: TypeSet, found: Option<DType> },
}

pub(super) fn result_type(op: Op, operands: &[DType]) -> Result<DType, TypeError> {
    if operands.len() != op.arity() {
        return Err(TypeError::Arity { op, expected: op.arity(), found: operands.len() });
    }
    let tensors = &operands[..op.row().operands.len()];
    let within = |slot: usize, set: TypeSet| match set.contains(operands[slot]) {
        true => Ok(operands[slot]),
        false => Err(wrong(op, slot, set.to_string(), operands[slot])),
    };
    let equal = |slots: std::ops::Range<usize>| {
        let first = tensors[slots.start];
        let odd = slots.into_iter().find(|&slot| tensors[slot] != first);
        odd.map_or(Ok(first), |slot| Err(wrong(op, slot, first.to_string(), tensors[slot])))
    };
    let target = |set: TypeSet| match op.target() {
        Some(t) if set.contains(t) => Ok(t),
        found => Err(TypeError::Target { op, expected: set, found }),
    };
    match op.row().types {
        TypeRule::Same(set) => {
            within(0, set)?;
            equal(0..tensors.len())
        }
        TypeRule::Test(set) => {
            within(0, set)?;
            equal(0..tensors.len())?;
            Ok(Bool)
        }
        TypeRule::Select => {
            within(0, TypeSet::BOOL)?;
            equal(1..tensors.len())
        }
        TypeRule::Power => {
            within(1, TypeSet::NUMBERS)?;
            within(0, TypeSet::NUMBERS)
        }
        TypeRule::Convert => target(TypeSet::ALL),
        TypeRule::Quantize => {
            within(0, TypeSet::FLOATS.or(TypeSet::of(&[I32])))?;
            within(1, TypeSet::FLOATS)?;
            let to = target(TypeSet::CODES)?;
            within(2, TypeSet::of(&[to]))?;
            Ok(to)
        }
        TypeRule::Dequantize => {
            let from = within(0, TypeSet::CODES.or(TypeSet::of(&[I32])))?;
            within(1, TypeSet::FLOATS)?;
            within(2, TypeSet::of(&[from]))?;
            target(TypeSet::FLOATS)
        }
    }
}

fn wrong(op: Op, slot: usize, expected: String, found: DType) -> TypeError {
    TypeError::Operand { op, operand: op.operand_name(slot), expected, found }
}
