//! Activations: the ops a network applies between its layers.

use super::{Algebra, Bound, Cost, Cuda, Deviation, Eval, Onnx, Param, Row, TypeRule, TypeSet, rows};

/// What most activations share: one float operand, no algebra.
pub(super) const ACTIVATION: Row = Row {
    name: "",
    formula: "",
    onnx: &[],
    elsewhere: &[],
    operands: &["x"],
    params: &[],
    types: TypeRule::Same(TypeSet::FLOATS),
    range: None,
    algebra: Algebra::NONE,
    eval: Eval::Arith { float: None, int: None },
    cuda: Cuda::NONE,
    cost: Cost::new(0, 0, 0),
    bound: Bound::EXACT,
};

const fn onnx(op_type: &'static str, since: u32) -> Onnx {
    Onnx { domain: "", op_type, since }
}

const fn float(f: fn(&[f64]) -> f64) -> Eval {
    Eval::Arith { float: Some(f), int: None }
}

rows! {
    RELU = Row {
        name: "relu",
        formula: "max(x, 0)",
        onnx: &[onnx("Relu", 6)],
        elsewhere: &["TensorRT kRELU", "cuDNN RELU_FWD"],
        types: TypeRule::Same(TypeSet::SIGNED_NUMBERS),
        range: Some((0.0, f64::INFINITY)),
        algebra: Algebra { idempotent: true, ..Algebra::INCREASING },
        // NaN stays NaN, as in ONNX's definition; −0 becomes +0.
        eval: Eval::Arith {
            float: Some(|a| if a[0] > 0.0 || a[0].is_nan() { a[0] } else { 0.0 }),
            int: Some(|a, _| a[0].max(0)),
        },
        cuda: Cuda { f32: "pw_max({0}, 0.0f)", fast: "", f64: "pw_max({0}, 0.0)", int: "({0} > 0 ? {0} : 0)" },
        cost: Cost::new(0, 0, 1),
        ..ACTIVATION
    };
    SIGMOID = Row {
        name: "sigmoid",
        formula: "1/(1 + exp(-x))",
        onnx: &[onnx("Sigmoid", 6)],
        elsewhere: &["TensorRT kSIGMOID", "cuDNN SIGMOID_FWD"],
        range: Some((0.0, 1.0)),
        algebra: Algebra::INCREASING,
        eval: float(|a| 1.0 / (1.0 + (-a[0]).exp())),
        cuda: Cuda { f32: "pw_sigmoid({0})", fast: "pw_fast_sigmoid({0})", f64: "(1.0 / (1.0 + exp(-{0})))", int: "" },
        cost: Cost::new(2, 2, 0),
        bound: Bound { f32: Deviation::ulp(4.0), fast: Deviation::ulp(32.0), f64: Deviation::ulp(3.0) },
        ..ACTIVATION
    };
    SILU = Row {
        name: "silu",
        formula: "x/(1 + exp(-x))",
        onnx: &[onnx("Swish", 24)],
        elsewhere: &["cuDNN SWISH_FWD"],
        range: Some((-0.278_464_542_761_074, f64::INFINITY)),
        // x·σ(x), not x/(1 + exp(−x)): the latter is −inf/inf = NaN at −inf, the former −inf·0 = NaN too; the limit is −0.
        eval: float(|a| if a[0] == f64::NEG_INFINITY { -0.0 } else { a[0] / (1.0 + (-a[0]).exp()) }),
        cuda: Cuda { f32: "pw_silu({0})", fast: "pw_fast_silu({0})", f64: "pw_silu({0})", int: "" },
        cost: Cost::new(2, 2, 1),
        bound: Bound { f32: Deviation::ulp(4.0), fast: Deviation::ulp(32.0), f64: Deviation::ulp(3.0) },
        ..ACTIVATION
    };
    LEAKY_RELU = Row {
        name: "leaky_relu",
        formula: "x if x >= 0 else alpha*x",
        onnx: &[onnx("LeakyRelu", 6)],
        elsewhere: &["TensorRT kLEAKY_RELU"],
        params: &[Param { name: "alpha", default: Some(0.01) }],
        eval: float(|a| if a[0] >= 0.0 { a[0] } else { a[0] * a[1] }),
        cuda: Cuda::float("({0} >= 0 ? {0} : {0} * {1})"),
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
        ..ACTIVATION
    };
}
