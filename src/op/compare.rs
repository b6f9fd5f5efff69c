//! Comparisons, logic and selection.

use super::activation::ACTIVATION;
use super::{Bound, Cost, Cuda, Eval, Onnx, Row, TypeRule, TypeSet, rows};
use crate::scalar::Number;

rows! {
    EQUAL = Row {
        name: "equal",
        formula: "a == b",
        onnx: &[Onnx { domain: "", op_type: "Equal", since: 7 }],
        elsewhere: &["TensorRT kEQUAL", "cuDNN CMP_EQ"],
        operands: &["a", "b"],
        types: TypeRule::Test(TypeSet::NUMBERS.or(TypeSet::BOOL)),
        eval: Eval::Test { float: Some(|a| a[0] == a[1]), int: Some(|a| a[0] == a[1]) },
        cuda: Cuda::any("({0} == {1})"),
        cost: Cost::new(0, 0, 1),
        ..ACTIVATION
    };
    WHERE = Row {
        name: "where",
        formula: "a if condition else b",
        onnx: &[Onnx { domain: "", op_type: "Where", since: 9 }],
        elsewhere: &["TensorRT kSELECT", "cuDNN BINARY_SELECT"],
        operands: &["condition", "a", "b"],
        types: TypeRule::Select,
        eval: Eval::Mixed(|a, _| if a[0] == Number::Int(0) { a[2] } else { a[1] }),
        cuda: Cuda::any("({0} ? {1} : {2})"),
        cost: Cost::new(0, 0, 1),
        bound: Bound::EXACT,
        ..ACTIVATION
    };
}
