//! Circular and hyperbolic functions and their inverses. CUDA's own are accurate over the whole range, and rare enough in
//! networks that none has an approximate form. The bounds are those that the CUDA programming guide states or a
//! little wider, for the approximate instructions within them moved to the ends of their own errors (tests/ops/numerics.rs).

use super::row::onnx;
use super::{Algebra, Bound, Cost, Cuda, Eval, Row, real, rows};
use std::f64::consts::{FRAC_PI_2, PI};

const ANY: f64 = f64::INFINITY;

rows! {
    SIN = Row {
        name: "sin",
        formula: "sin(x)",
        onnx: &[onnx("Sin", 7)],
        elsewhere: &["TensorRT kSIN", "cuDNN SIN"],
        range: Some((-1.0, 1.0)),
        eval: Eval::float(|a| libm::sin(a[0])),
        cuda: Cuda { f32: "sinf({0})", fast: "", f64: "sin({0})", int: "" },
        cost: Cost::new(2, 12, 8),
        bound: Bound::ulp(2.0),
        ..Row::UNARY
    };
    COS = Row {
        name: "cos",
        formula: "cos(x)",
        onnx: &[onnx("Cos", 7)],
        elsewhere: &["TensorRT kCOS", "cuDNN COS"],
        range: Some((-1.0, 1.0)),
        eval: Eval::float(|a| libm::cos(a[0])),
        cuda: Cuda { f32: "cosf({0})", fast: "", f64: "cos({0})", int: "" },
        cost: Cost::new(2, 12, 8),
        bound: Bound::ulp(2.0),
        ..Row::UNARY
    };
    TAN = Row {
        name: "tan",
        formula: "tan(x)",
        onnx: &[onnx("Tan", 7)],
        elsewhere: &["TensorRT kTAN", "cuDNN TAN"],
        eval: Eval::float(|a| libm::tan(a[0])),
        cuda: Cuda { f32: "tanf({0})", fast: "", f64: "tan({0})", int: "" },
        cost: Cost::new(3, 16, 8),
        bound: Bound::ulp(5.0),
        ..Row::UNARY
    };
    ASIN = Row {
        name: "asin",
        formula: "asin(x)",
        onnx: &[onnx("Asin", 7)],
        elsewhere: &["TensorRT kASIN"],
        range: Some((-FRAC_PI_2, FRAC_PI_2)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::asin(a[0])),
        cuda: Cuda { f32: "asinf({0})", fast: "", f64: "asin({0})", int: "" },
        cost: Cost::new(1, 14, 6),
        bound: Bound::ulp(2.5),
        ..Row::UNARY
    };
    ACOS = Row {
        name: "acos",
        formula: "acos(x)",
        onnx: &[onnx("Acos", 7)],
        elsewhere: &["TensorRT kACOS"],
        range: Some((0.0, PI)),
        algebra: Algebra::DECREASING,
        eval: Eval::float(|a| libm::acos(a[0])),
        cuda: Cuda { f32: "acosf({0})", fast: "", f64: "acos({0})", int: "" },
        cost: Cost::new(1, 14, 6),
        bound: Bound::ulp(2.5),
        ..Row::UNARY
    };
    ATAN = Row {
        name: "atan",
        formula: "atan(x)",
        onnx: &[onnx("Atan", 7)],
        elsewhere: &["TensorRT kATAN"],
        range: Some((-FRAC_PI_2, FRAC_PI_2)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::atan(a[0])),
        cuda: Cuda { f32: "atanf({0})", fast: "", f64: "atan({0})", int: "" },
        cost: Cost::new(1, 12, 5),
        bound: Bound::ulp(2.5),
        ..Row::UNARY
    };
    ATAN2 = Row {
        name: "atan2",
        formula: "the angle of the point (b, a)",
        elsewhere: &["cuDNN ATAN2"],
        operands: &["a", "b"],
        range: Some((-PI, PI)),
        eval: Eval::float(|a| libm::atan2(a[0], a[1])),
        cuda: Cuda { f32: "atan2f({0}, {1})", fast: "", f64: "atan2({0}, {1})", int: "" },
        cost: Cost::new(1, 20, 12),
        bound: Bound::ulp(3.0),
        ..Row::UNARY
    };
    SINH = Row {
        name: "sinh",
        formula: "sinh(x)",
        onnx: &[onnx("Sinh", 9)],
        elsewhere: &["TensorRT kSINH"],
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::sinh(a[0])),
        cuda: Cuda { f32: "sinhf({0})", fast: "", f64: "sinh({0})", int: "" },
        cost: Cost::new(2, 14, 6),
        bound: Bound::ulp(6.0),
        ..Row::UNARY
    };
    COSH = Row {
        name: "cosh",
        formula: "cosh(x)",
        onnx: &[onnx("Cosh", 9)],
        elsewhere: &["TensorRT kCOSH"],
        range: Some((1.0, ANY)),
        eval: Eval::float(|a| libm::cosh(a[0])),
        cuda: Cuda { f32: "coshf({0})", fast: "", f64: "cosh({0})", int: "" },
        cost: Cost::new(2, 8, 3),
        bound: Bound::ulp(4.0),
        ..Row::UNARY
    };
    ASINH = Row {
        name: "asinh",
        formula: "asinh(x)",
        onnx: &[onnx("Asinh", 9)],
        elsewhere: &["TensorRT kASINH"],
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::asinh(a[0])),
        cuda: Cuda { f32: "asinhf({0})", fast: "", f64: "asinh({0})", int: "" },
        cost: Cost::new(3, 16, 10),
        bound: Bound::ulp(3.0),
        ..Row::UNARY
    };
    ACOSH = Row {
        name: "acosh",
        formula: "acosh(x)",
        onnx: &[onnx("Acosh", 9)],
        elsewhere: &["TensorRT kACOSH"],
        range: Some((0.0, ANY)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| real::acosh(a[0])),
        cuda: Cuda { f32: "acoshf({0})", fast: "", f64: "acosh({0})", int: "" },
        cost: Cost::new(3, 16, 10),
        bound: Bound::ulp(4.0),
        ..Row::UNARY
    };
    ATANH = Row {
        name: "atanh",
        formula: "atanh(x)",
        onnx: &[onnx("Atanh", 9)],
        elsewhere: &["TensorRT kATANH"],
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::atanh(a[0])),
        cuda: Cuda { f32: "atanhf({0})", fast: "", f64: "atanh({0})", int: "" },
        cost: Cost::new(2, 14, 8),
        bound: Bound::ulp(5.0),
        ..Row::UNARY
    };
}
