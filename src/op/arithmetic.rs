//! Arithmetic of two operands, and what is built of it.

use super::activation::ACTIVATION;
use super::{Algebra, Bound, Cost, Cuda, Eval, Onnx, Row, TypeRule, TypeSet, rows};

/// What most binary ops share.
const BINARY: Row =
    Row { operands: &["a", "b"], types: TypeRule::Same(TypeSet::NUMBERS), bound: Bound::ROUNDED, ..ACTIVATION };

const fn onnx(op_type: &'static str, since: u32) -> Onnx {
    Onnx { domain: "", op_type, since }
}

rows! {
    ADD = Row {
        name: "add",
        formula: "a + b",
        onnx: &[onnx("Add", 7)],
        elsewhere: &["TensorRT kSUM", "cuDNN ADD"],
        // x + 0 changes −0 to +0, so 0 is neutral only as −0, which IEEE 754 leaves alone.
        algebra: Algebra { neutral: Some(-0.0), ..Algebra::COMMUTATIVE },
        eval: Eval::Arith { float: Some(|a| a[0] + a[1]), int: Some(|a, _| a[0] + a[1]) },
        cuda: Cuda::any("({0} + {1})"),
        cost: Cost::new(0, 1, 0),
        ..BINARY
    };
    SUB = Row {
        name: "sub",
        formula: "a - b",
        onnx: &[onnx("Sub", 7)],
        elsewhere: &["TensorRT kSUB", "cuDNN SUB"],
        algebra: Algebra { neutral: Some(0.0), ..Algebra::INCREASING },
        eval: Eval::Arith { float: Some(|a| a[0] - a[1]), int: Some(|a, _| a[0] - a[1]) },
        cuda: Cuda::any("({0} - {1})"),
        cost: Cost::new(0, 1, 0),
        ..BINARY
    };
    MUL = Row {
        name: "mul",
        formula: "a * b",
        onnx: &[onnx("Mul", 7)],
        elsewhere: &["TensorRT kPROD", "cuDNN MUL"],
        algebra: Algebra { neutral: Some(1.0), ..Algebra::COMMUTATIVE },
        eval: Eval::Arith { float: Some(|a| a[0] * a[1]), int: Some(|a, _| a[0].wrapping_mul(a[1])) },
        cuda: Cuda::any("({0} * {1})"),
        cost: Cost::new(0, 1, 0),
        ..BINARY
    };
    DIV = Row {
        name: "div",
        formula: "a / b, toward zero for integers",
        onnx: &[onnx("Div", 7)],
        elsewhere: &["TensorRT kDIV", "cuDNN DIV"],
        algebra: Algebra { neutral: Some(1.0), ..Algebra::NONE },
        // An integer divided by zero is 0 here and in the kernels; ONNX leaves it undefined.
        eval: Eval::Arith {
            float: Some(|a| a[0] / a[1]),
            int: Some(|a, _| a[0].checked_div(a[1]).unwrap_or(0)),
        },
        cuda: Cuda { f32: "pw_div({0}, {1})", fast: "", f64: "({0} / {1})", int: "pw_div({0}, {1})" },
        cost: Cost::new(1, 6, 1),
        ..BINARY
    };
}
