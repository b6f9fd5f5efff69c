//! Logic on bools, and selection.

use super::row::onnx;
use super::{Algebra, Cost, Cuda, Eval, Row, TypeRule, TypeSet, rows};
use crate::scalar::Number;

const LOGIC: Row =
    Row { operands: &["a", "b"], types: TypeRule::Same(TypeSet::BOOL), cost: Cost::new(0, 0, 1), ..Row::UNARY };

rows! {
    AND = Row {
        name: "and",
        formula: "a and b",
        onnx: &[onnx("And", 7)],
        elsewhere: &["TensorRT kAND", "cuDNN LOGICAL_AND"],
        algebra: Algebra { neutral: Some(1.0), absorbing: Some(0.0), ..Algebra::LATTICE },
        eval: Eval::int(|a, _| a[0] & a[1]),
        cuda: Cuda::int("({0} && {1})"),
        ..LOGIC
    };
    OR = Row {
        name: "or",
        formula: "a or b",
        onnx: &[onnx("Or", 7)],
        elsewhere: &["TensorRT kOR", "cuDNN LOGICAL_OR"],
        algebra: Algebra { neutral: Some(0.0), absorbing: Some(1.0), ..Algebra::LATTICE },
        eval: Eval::int(|a, _| a[0] | a[1]),
        cuda: Cuda::int("({0} || {1})"),
        ..LOGIC
    };
    XOR = Row {
        name: "xor",
        formula: "a or b but not both",
        onnx: &[onnx("Xor", 7)],
        elsewhere: &["TensorRT kXOR"],
        algebra: Algebra { neutral: Some(0.0), associative: true, ..Algebra::COMMUTATIVE },
        eval: Eval::int(|a, _| a[0] ^ a[1]),
        cuda: Cuda::int("({0} != {1})"),
        ..LOGIC
    };
    NOT = Row {
        name: "not",
        formula: "not x",
        onnx: &[onnx("Not", 1)],
        elsewhere: &["TensorRT kNOT", "cuDNN LOGICAL_NOT"],
        operands: &["x"],
        algebra: Algebra { involution: true, ..Algebra::DECREASING },
        eval: Eval::int(|a, _| 1 - a[0]),
        cuda: Cuda::int("(!{0})"),
        ..LOGIC
    };
    WHERE = Row {
        name: "where",
        formula: "a if condition else b",
        onnx: &[onnx("Where", 9)],
        elsewhere: &["TensorRT kSELECT", "cuDNN BINARY_SELECT"],
        operands: &["condition", "a", "b"],
        types: TypeRule::Select,
        eval: Eval::Mixed(|a, _| if a[0] == Number::Int(0) { a[2] } else { a[1] }),
        cuda: Cuda::any("({0} ? {1} : {2})"),
        cost: Cost::new(0, 0, 1),
        ..Row::UNARY
    };
    IDENTITY = Row {
        name: "identity",
        formula: "x",
        onnx: &[onnx("Identity", 1)],
        elsewhere: &["cuDNN IDENTITY"],
        types: TypeRule::Same(TypeSet::ALL),
        algebra: Algebra { idempotent: true, involution: true, ..Algebra::INCREASING },
        eval: Eval::Mixed(|a, _| a[0]),
        cuda: Cuda::any("{0}"),
        ..Row::UNARY
    };
}
