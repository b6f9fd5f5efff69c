//! Activations made of straight pieces: a comparison, a product and a sum.

use super::row::{onnx, param};
use super::{Algebra, Bound, Cost, Cuda, Eval, Row, TypeRule, TypeSet, real, rows};

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
        eval: Eval::both(|a| real::max(a[0], 0.0), |a, _| a[0].max(0)),
        cuda: Cuda { f32: "pw_max({0}, 0.0f)", fast: "", f64: "pw_max({0}, 0.0)", int: "({0} > 0 ? {0} : 0)" },
        packed: "max_{t}x2({0}, 0u)",
        cost: Cost::new(0, 0, 1),
        ..Row::UNARY
    };
    LEAKY_RELU = Row {
        name: "leaky_relu",
        formula: "x if x >= 0 else alpha*x",
        onnx: &[onnx("LeakyRelu", 6)],
        elsewhere: &["TensorRT kLEAKY_RELU", "cuDNN RELU_FWD with a lower clip slope"],
        params: &[param("alpha", 0.01)],
        eval: Eval::float(|a| if a[0] >= 0.0 { a[0] } else { a[0] * a[1] }),
        cuda: Cuda::float("({0} >= 0 ? {0} : {0} * {1})"),
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
        ..Row::UNARY
    };
    /// Since opset 9 on integers too. `slope` broadcasts to `x` alone.
    PRELU = Row {
        name: "prelu",
        formula: "x if x >= 0 else slope*x",
        onnx: &[onnx("PRelu", 7)],
        elsewhere: &["TensorRT IParametricReLULayer"],
        operands: &["x", "slope"],
        types: TypeRule::Same(TypeSet::NUMBERS),
        eval: Eval::both(
            |a| if a[0] >= 0.0 { a[0] } else { a[0] * a[1] },
            |a, _| if a[0] >= 0 { a[0] } else { a[0] * a[1] },
        ),
        cuda: Cuda { int: "pw_prelu({0}, {1})", ..Cuda::float("({0} >= 0 ? {0} : {0} * {1})") },
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
        ..Row::UNARY
    };
    THRESHOLDED_RELU = Row {
        name: "thresholded_relu",
        formula: "x if x > alpha else 0",
        onnx: &[onnx("ThresholdedRelu", 10)],
        elsewhere: &["TensorRT kTHRESHOLDED_RELU"],
        params: &[param("alpha", 1.0)],
        // Asked this way round, NaN stays NaN.
        eval: Eval::float(|a| if a[0] <= a[1] { 0.0 } else { a[0] }),
        cuda: Cuda::float("({0} <= {1} ? 0 : {0})"),
        cost: Cost::new(0, 0, 2),
        ..Row::UNARY
    };
    /// ONNX's bounds were attributes before opset 11 and may be absent: import `max` or `min` then. Bounds that cross give
    /// `hi`, as opset 13 says.
    CLIP = Row {
        name: "clip",
        formula: "min(max(x, lo), hi)",
        onnx: &[onnx("Clip", 6)],
        elsewhere: &["TensorRT kCLIP", "cuDNN RELU_FWD with clips"],
        operands: &["x", "lo", "hi"],
        types: TypeRule::Same(TypeSet::NUMBERS),
        algebra: Algebra::INCREASING,
        eval: Eval::both(|a| real::min(real::max(a[0], a[1]), a[2]), |a, _| a[0].max(a[1]).min(a[2])),
        cuda: Cuda::any("pw_min(pw_max({0}, {1}), {2})"),
        packed: "min_{t}x2(max_{t}x2({0}, {1}), {2})",
        cost: Cost::new(0, 0, 2),
        ..Row::UNARY
    };
    HARD_SIGMOID = Row {
        name: "hard_sigmoid",
        formula: "max(0, min(1, alpha*x + beta))",
        onnx: &[onnx("HardSigmoid", 6)],
        elsewhere: &["TensorRT kHARD_SIGMOID"],
        params: &[param("alpha", 0.2), param("beta", 0.5)],
        range: Some((0.0, 1.0)),
        eval: Eval::float(|a| real::max(0.0, real::min(1.0, libm::fma(a[1], a[0], a[2])))),
        cuda: Cuda {
            f32: "pw_max(pw_min(fmaf({1}, {0}, {2}), 1.0f), 0.0f)",
            fast: "",
            f64: "pw_max(pw_min(fma({1}, {0}, {2}), 1.0), 0.0)",
            int: "",
        },
        cost: Cost::new(0, 1, 2),
        bound: Bound::ROUNDED,
        ..Row::UNARY
    };
    HARD_SWISH = Row {
        name: "hard_swish",
        formula: "x*max(0, min(1, x/6 + 1/2))",
        onnx: &[onnx("HardSwish", 14)],
        range: Some((-0.375, f64::INFINITY)),
        turn: Some(-1.5),
        // (x + 3)/6 has no cancellation beside x = −3, where x/6 + ½ has; below it the result is −0, at −∞ too.
        eval: Eval::float(|a| {
            let gate = real::max(0.0, real::min(1.0, (a[0] + 3.0) / 6.0));
            if gate == 0.0 { 0.0f64.copysign(a[0]) } else { a[0] * gate }
        }),
        cuda: Cuda { f32: "pw_hard_swish({0})", fast: "", f64: "pw_hard_swish({0})", int: "" },
        cost: Cost::new(0, 3, 1),
        bound: Bound::ulp(3.0),
        ..Row::UNARY
    };
    /// ONNX takes integers as well: import a cast to float, this, and a cast back.
    SHRINK = Row {
        name: "shrink",
        formula: "x + bias if x < -lambd, x - bias if x > lambd, else 0",
        onnx: &[onnx("Shrink", 9)],
        params: &[param("lambd", 0.5), param("bias", 0.0)],
        eval: Eval::float(|a| match a[0] {
            x if x < -a[1] => x + a[2],
            x if x > a[1] => x - a[2],
            _ => 0.0,
        }),
        cuda: Cuda::float("({0} < -{1} ? {0} + {2} : {0} > {1} ? {0} - {2} : 0)"),
        cost: Cost::new(0, 2, 4),
        bound: Bound::ROUNDED,
        ..Row::UNARY
    };
}
