//! Exponentials, logarithms, roots and the error function.

use super::row::onnx;
use super::{Algebra, Bound, Cost, Cuda, Eval, Row, rows};

rows! {
    EXP = Row {
        name: "exp",
        formula: "exp(x)",
        onnx: &[onnx("Exp", 6)],
        elsewhere: &["TensorRT kEXP", "cuDNN EXP"],
        range: Some((0.0, f64::INFINITY)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::exp(a[0])),
        cuda: Cuda { f32: "expf({0})", fast: "pw_fast_exp({0})", f64: "exp({0})", int: "" },
        cost: Cost::new(1, 1, 0),
        bound: Bound::ulps(4.0, 96.0, 2.0).flushed(),
        ..Row::UNARY
    };
    LOG = Row {
        name: "log",
        formula: "log(x)",
        onnx: &[onnx("Log", 6)],
        elsewhere: &["TensorRT kLOG", "cuDNN LOG"],
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::log(a[0])),
        cuda: Cuda { f32: "logf({0})", fast: "pw_fast_log({0})", f64: "log({0})", int: "" },
        cost: Cost::new(1, 8, 5),
        bound: Bound::ulps(1.5, 40.0, 2.0).codes(4.5, 3e-7),
        ..Row::UNARY
    };
    SQRT = Row {
        name: "sqrt",
        formula: "sqrt(x)",
        onnx: &[onnx("Sqrt", 6)],
        elsewhere: &["TensorRT kSQRT", "cuDNN SQRT"],
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| a[0].sqrt()),
        cuda: Cuda { f32: "sqrtf({0})", fast: "pw_fast_sqrt({0})", f64: "sqrt({0})", int: "" },
        cost: Cost::new(1, 2, 3),
        bound: Bound::ulps(0.5, 3.0, 0.5),
        ..Row::UNARY
    };
    RSQRT = Row {
        name: "rsqrt",
        formula: "1/sqrt(x)",
        elsewhere: &["cuDNN RSQRT"],
        algebra: Algebra::NONE,
        eval: Eval::float(|a| 1.0 / a[0].sqrt()),
        cuda: Cuda { f32: "rsqrtf({0})", fast: "pw_fast_rsqrt({0})", f64: "rsqrt({0})", int: "" },
        cost: Cost::new(1, 2, 3),
        bound: Bound::ulps(3.0, 3.0, 2.0),
        ..Row::UNARY
    };
    ERF = Row {
        name: "erf",
        formula: "erf(x)",
        onnx: &[onnx("Erf", 9)],
        elsewhere: &["TensorRT kERF", "cuDNN ERF"],
        range: Some((-1.0, 1.0)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::erf(a[0])),
        cuda: Cuda { f32: "erff({0})", fast: "", f64: "erf({0})", int: "" },
        cost: Cost::new(1, 12, 8),
        bound: Bound::ulp(2.5),
        ..Row::UNARY
    };
}
