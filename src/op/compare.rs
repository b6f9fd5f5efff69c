//! Comparisons and tests: results are bools, exact for every type.

use super::row::onnx;
use super::{Algebra, Cost, Cuda, Eval, Row, TypeRule, TypeSet, rows};

const COMPARISON: Row = Row {
    operands: &["a", "b"],
    types: TypeRule::Test(TypeSet::NUMBERS),
    range: Some((0.0, 1.0)),
    cost: Cost::new(0, 0, 1),
    ..Row::UNARY
};

/// Tests of one float.
const PREDICATE: Row = Row {
    types: TypeRule::Test(TypeSet::FLOATS.or(TypeSet::FLOAT8)),
    range: Some((0.0, 1.0)),
    cost: Cost::new(0, 0, 1),
    ..Row::UNARY
};

rows! {
    EQUAL = Row {
        name: "equal",
        formula: "a == b",
        onnx: &[onnx("Equal", 7)],
        elsewhere: &["TensorRT kEQUAL", "cuDNN CMP_EQ"],
        types: TypeRule::Test(TypeSet::NUMBERS.or(TypeSet::BOOL)),
        algebra: Algebra::COMMUTATIVE,
        eval: Eval::Test { float: Some(|a| a[0] == a[1]), int: Some(|a| a[0] == a[1]) },
        cuda: Cuda::any("({0} == {1})"),
        ..COMPARISON
    };
    NOT_EQUAL = Row {
        name: "not_equal",
        formula: "a != b",
        elsewhere: &["cuDNN CMP_NEQ"],
        types: TypeRule::Test(TypeSet::NUMBERS.or(TypeSet::BOOL)),
        algebra: Algebra::COMMUTATIVE,
        eval: Eval::Test { float: Some(|a| a[0] != a[1]), int: Some(|a| a[0] != a[1]) },
        cuda: Cuda::any("({0} != {1})"),
        ..COMPARISON
    };
    GREATER = Row {
        name: "greater",
        formula: "a > b",
        onnx: &[onnx("Greater", 7)],
        elsewhere: &["TensorRT kGREATER", "cuDNN CMP_GT"],
        eval: Eval::Test { float: Some(|a| a[0] > a[1]), int: Some(|a| a[0] > a[1]) },
        cuda: Cuda::any("({0} > {1})"),
        ..COMPARISON
    };
    GREATER_OR_EQUAL = Row {
        name: "greater_or_equal",
        formula: "a >= b",
        onnx: &[onnx("GreaterOrEqual", 12)],
        elsewhere: &["cuDNN CMP_GE"],
        eval: Eval::Test { float: Some(|a| a[0] >= a[1]), int: Some(|a| a[0] >= a[1]) },
        cuda: Cuda::any("({0} >= {1})"),
        ..COMPARISON
    };
    LESS = Row {
        name: "less",
        formula: "a < b",
        onnx: &[onnx("Less", 7)],
        elsewhere: &["TensorRT kLESS", "cuDNN CMP_LT"],
        eval: Eval::Test { float: Some(|a| a[0] < a[1]), int: Some(|a| a[0] < a[1]) },
        cuda: Cuda::any("({0} < {1})"),
        ..COMPARISON
    };
    LESS_OR_EQUAL = Row {
        name: "less_or_equal",
        formula: "a <= b",
        onnx: &[onnx("LessOrEqual", 12)],
        elsewhere: &["cuDNN CMP_LE"],
        eval: Eval::Test { float: Some(|a| a[0] <= a[1]), int: Some(|a| a[0] <= a[1]) },
        cuda: Cuda::any("({0} <= {1})"),
        ..COMPARISON
    };
    IS_NAN = Row {
        name: "is_nan",
        formula: "x != x",
        onnx: &[onnx("IsNaN", 9)],
        elsewhere: &["TensorRT kISNAN"],
        eval: Eval::Test { float: Some(|a| a[0].is_nan()), int: None },
        cuda: Cuda::float("({0} != {0})"),
        ..PREDICATE
    };
    IS_INF = Row {
        name: "is_inf",
        formula: "|x| = inf",
        onnx: &[onnx("IsInf", 10)],
        elsewhere: &["TensorRT kISINF"],
        eval: Eval::Test { float: Some(|a| a[0].is_infinite()), int: None },
        cuda: Cuda {
            f32: "(fabsf({0}) > 3.402823466e+38f)",
            fast: "",
            f64: "(fabs({0}) > 1.7976931348623157e+308)",
            int: "",
        },
        ..PREDICATE
    };
    /// ONNX's `detect_negative = 0`. With both attributes 0 the result is the constant false.
    IS_POS_INF = Row {
        name: "is_pos_inf",
        formula: "x = inf",
        onnx: &[onnx("IsInf", 10)],
        eval: Eval::Test { float: Some(|a| a[0] == f64::INFINITY), int: None },
        cuda: Cuda { f32: "({0} > 3.402823466e+38f)", fast: "", f64: "({0} > 1.7976931348623157e+308)", int: "" },
        ..PREDICATE
    };
    /// ONNX's `detect_positive = 0`.
    IS_NEG_INF = Row {
        name: "is_neg_inf",
        formula: "x = -inf",
        onnx: &[onnx("IsInf", 10)],
        eval: Eval::Test { float: Some(|a| a[0] == f64::NEG_INFINITY), int: None },
        cuda: Cuda { f32: "({0} < -3.402823466e+38f)", fast: "", f64: "({0} < -1.7976931348623157e+308)", int: "" },
        ..PREDICATE
    };
}
