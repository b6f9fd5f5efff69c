//! Bits of integers.

use super::row::onnx;
use super::{Algebra, Cost, Cuda, Eval, Row, TypeRule, TypeSet, rows};
use crate::dtype::DType;

const BITWISE: Row =
    Row { operands: &["a", "b"], types: TypeRule::Same(TypeSet::INTS), cost: Cost::new(0, 0, 1), ..Row::UNARY };
/// ONNX shifts unsigned integers only.
const SHIFT: Row = Row { types: TypeRule::Same(TypeSet::UNSIGNED), cost: Cost::new(0, 0, 3), ..BITWISE };

rows! {
    BITWISE_AND = Row {
        name: "bitwise_and",
        formula: "a & b",
        onnx: &[onnx("BitwiseAnd", 18)],
        algebra: Algebra { neutral: Some(-1.0), absorbing: Some(0.0), monotonic: 0, ..Algebra::LATTICE },
        eval: Eval::int(|a, _| a[0] & a[1]),
        cuda: Cuda::int("({0} & {1})"),
        ..BITWISE
    };
    BITWISE_OR = Row {
        name: "bitwise_or",
        formula: "a | b",
        onnx: &[onnx("BitwiseOr", 18)],
        algebra: Algebra { neutral: Some(0.0), absorbing: Some(-1.0), monotonic: 0, ..Algebra::LATTICE },
        eval: Eval::int(|a, _| a[0] | a[1]),
        cuda: Cuda::int("({0} | {1})"),
        ..BITWISE
    };
    BITWISE_XOR = Row {
        name: "bitwise_xor",
        formula: "a ^ b",
        onnx: &[onnx("BitwiseXor", 18)],
        algebra: Algebra { neutral: Some(0.0), associative: true, ..Algebra::COMMUTATIVE },
        eval: Eval::int(|a, _| a[0] ^ a[1]),
        cuda: Cuda::int("({0} ^ {1})"),
        ..BITWISE
    };
    BITWISE_NOT = Row {
        name: "bitwise_not",
        formula: "~x",
        onnx: &[onnx("BitwiseNot", 18)],
        operands: &["x"],
        algebra: Algebra { involution: true, ..Algebra::DECREASING },
        eval: Eval::int(|a, _| !a[0]),
        cuda: Cuda::int("(~{0})"),
        ..BITWISE
    };
    /// ONNX's `direction = "LEFT"`. A shift by the width or more gives 0; ONNX leaves it undefined.
    SHIFT_LEFT = Row {
        name: "shift_left",
        formula: "a * 2^b",
        onnx: &[onnx("BitShift", 11)],
        algebra: Algebra { neutral: Some(0.0), ..Algebra::NONE },
        eval: Eval::int(|a, t| if a[1] < width(t) { a[0] << a[1] } else { 0 }),
        cuda: Cuda::int("pw_shift_left({0}, {1})"),
        ..SHIFT
    };
    /// ONNX's `direction = "RIGHT"`.
    SHIFT_RIGHT = Row {
        name: "shift_right",
        formula: "floor(a / 2^b)",
        onnx: &[onnx("BitShift", 11)],
        algebra: Algebra { neutral: Some(0.0), ..Algebra::INCREASING },
        eval: Eval::int(|a, t| if a[1] < width(t) { a[0] >> a[1] } else { 0 }),
        cuda: Cuda::int("pw_shift_right({0}, {1})"),
        ..SHIFT
    };
}

fn width(t: DType) -> i128 {
    t.bits().into()
}
