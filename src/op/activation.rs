//! Smooth activations.
//!
//! Where a formula would give ∞·0 = NaN for an infinite operand, the result here is the limit: silu(−∞) = −0.

use super::row::{microsoft, onnx, param};
use super::{Algebra, Bound, Cost, Cuda, Deviation, Eval, Row, real, rows};

/// What the approximate instructions flush to zero of a small factor below the smallest normal f32, times x.
const FLUSHED_FACTOR: f64 = 128.0 * f32::MIN_POSITIVE as f64;
/// A product whose small factor is a denormal f32, rounded to a multiple of 2⁻¹⁴⁹: |x| ≤ 110 times half of that.
const DENORMAL_FACTOR: f64 = 110.0 * 0.7e-45;

/// The bound of x times a factor that gets very small: in units of the last place, and what the factor's own smallness loses.
const fn smooth(f32: f64, fast: f64, f64: f64) -> Bound {
    Bound {
        f32: Deviation::ulp(f32).or_abs(DENORMAL_FACTOR),
        fast: Deviation::ulp(fast).or_abs(FLUSHED_FACTOR),
        codes: Deviation::ulp(fast).or_abs(FLUSHED_FACTOR),
        f64: Deviation::ulp(f64).or_abs(1e-320),
    }
}

/// The same where x is scaled by alpha first: for alpha ≥ ¼, |x| gets four times as far.
const fn scaled(f32: f64, fast: f64, f64: f64) -> Bound {
    let Bound { f32, fast, f64, .. } = smooth(f32, fast, f64);
    let fast = fast.or_abs(4.0 * FLUSHED_FACTOR);
    Bound { f32: f32.or_abs(4.0 * DENORMAL_FACTOR), fast, codes: fast, f64 }
}

rows! {
    SIGMOID = Row {
        name: "sigmoid",
        formula: "1/(1 + exp(-x))",
        onnx: &[onnx("Sigmoid", 6)],
        elsewhere: &["TensorRT kSIGMOID", "cuDNN SIGMOID_FWD"],
        range: Some((0.0, 1.0)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| real::sigmoid(a[0])),
        cuda: Cuda { f32: "pw_sigmoid({0})", fast: "pw_fast_sigmoid({0})", f64: "pw_sigmoid({0})", int: "" },
        cost: Cost::new(2, 2, 0),
        bound: Bound::ulps(6.0, 96.0, 4.0).flushed().codes(2.5, 1e-7),
        ..Row::UNARY
    };
    SILU = Row {
        name: "silu",
        formula: "x/(1 + exp(-x))",
        onnx: &[onnx("Swish", 24)],
        elsewhere: &["cuDNN SWISH_FWD"],
        range: Some((-0.278_464_542_761_074, f64::INFINITY)),
        turn: Some(-1.278_464_542_761_074),
        eval: Eval::float(|a| real::swish(a[0], 1.0)),
        cuda: Cuda { f32: "pw_silu({0})", fast: "pw_fast_silu({0})", f64: "pw_silu({0})", int: "" },
        finite: "pw_finite_silu({0})",
        relief: "pw_relief_silu({0})",
        cost: Cost::new(2, 3, 1),
        bound: smooth(7.0, 96.0, 4.0).codes(3.0, 1e-7),
        ..Row::UNARY
    };
    /// QuickGelu is this with 1.702 for its default alpha. The bounds are for |alpha| ≥ ¼.
    SWISH = Row {
        name: "swish",
        formula: "x/(1 + exp(-alpha*x))",
        onnx: &[onnx("Swish", 24), microsoft("QuickGelu")],
        elsewhere: &["cuDNN SWISH_FWD with a beta"],
        params: &[param("alpha", 1.0)],
        eval: Eval::float(|a| real::swish(a[0], a[1])),
        cuda: Cuda { f32: "pw_swish({0}, {1})", fast: "pw_fast_swish({0}, {1})", f64: "pw_swish({0}, {1})", int: "" },
        cost: Cost::new(2, 3, 2),
        bound: scaled(7.0, 128.0, 5.0).codes(2.5, 6e-7),
        ..Row::UNARY
    };
    TANH = Row {
        name: "tanh",
        formula: "tanh(x)",
        onnx: &[onnx("Tanh", 6)],
        elsewhere: &["TensorRT kTANH", "cuDNN TANH_FWD"],
        range: Some((-1.0, 1.0)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| libm::tanh(a[0])),
        cuda: Cuda { f32: "tanhf({0})", fast: "pw_fast_tanh({0})", f64: "tanh({0})", int: "" },
        cost: Cost::new(2, 7, 2),
        bound: Bound::ulps(4.0, 32.0, 4.0).codes(1.0, 4e-7),
        ..Row::UNARY
    };
    SCALED_TANH = Row {
        name: "scaled_tanh",
        formula: "alpha*tanh(beta*x)",
        elsewhere: &["TensorRT kSCALED_TANH"],
        params: &[param("alpha", 1.0), param("beta", 1.0)],
        eval: Eval::float(|a| a[1] * libm::tanh(a[2] * a[0])),
        cuda: Cuda {
            f32: "({1} * tanhf({2} * {0}))",
            fast: "({1} * pw_fast_tanh({2} * {0}))",
            f64: "({1} * tanh({2} * {0}))",
            int: "",
        },
        cost: Cost::new(2, 9, 2),
        bound: Bound::ulps(6.0, 36.0, 6.0),
        ..Row::UNARY
    };
    SOFTPLUS = Row {
        name: "softplus",
        formula: "log(1 + exp(x))",
        onnx: &[onnx("Softplus", 1)],
        elsewhere: &["TensorRT kSOFTPLUS", "cuDNN SOFTPLUS_FWD"],
        range: Some((0.0, f64::INFINITY)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| real::softplus(a[0])),
        cuda: Cuda { f32: "pw_softplus({0})", fast: "pw_fast_softplus({0})", f64: "pw_softplus({0})", int: "" },
        cost: Cost::new(1, 9, 1),
        bound: Bound::ulps(6.0, 96.0, 4.0).flushed().codes(1.0, 1e-6),
        ..Row::UNARY
    };
    /// TensorRT gives both factors; cuDNN's is `alpha = 1/beta`. The bounds are for |beta| ≥ ¼.
    SCALED_SOFTPLUS = Row {
        name: "scaled_softplus",
        formula: "alpha*log(1 + exp(beta*x))",
        elsewhere: &["TensorRT kSOFTPLUS with alpha and beta", "cuDNN SOFTPLUS_FWD with a beta"],
        params: &[param("alpha", 1.0), param("beta", 1.0)],
        eval: Eval::float(|a| a[1] * real::scaled_softplus(a[0], a[2])),
        cuda: Cuda {
            f32: "({1} * pw_scaled_softplus({0}, {2}))",
            fast: "({1} * pw_fast_softplus({2} * {0}))",
            f64: "({1} * pw_scaled_softplus({0}, {2}))",
            int: "",
        },
        cost: Cost::new(1, 11, 1),
        bound: scaled(7.0, 192.0, 6.0),
        ..Row::UNARY
    };
    SOFTSIGN = Row {
        name: "softsign",
        formula: "x/(1 + |x|)",
        onnx: &[onnx("Softsign", 1)],
        elsewhere: &["TensorRT kSOFTSIGN"],
        range: Some((-1.0, 1.0)),
        algebra: Algebra::INCREASING,
        eval: Eval::float(|a| real::softsign(a[0])),
        cuda: Cuda { f32: "pw_softsign({0})", fast: "pw_fast_softsign({0})", f64: "pw_softsign({0})", int: "" },
        cost: Cost::new(1, 2, 3),
        bound: Bound::ulps(2.0, 5.0, 2.0),
        ..Row::UNARY
    };
    ELU = Row {
        name: "elu",
        formula: "x if x >= 0 else alpha*(exp(x) - 1)",
        onnx: &[onnx("Elu", 6)],
        elsewhere: &["TensorRT kELU", "cuDNN ELU_FWD"],
        params: &[param("alpha", 1.0)],
        eval: Eval::float(|a| if a[0] >= 0.0 { a[0] } else { a[1] * libm::expm1(a[0]) }),
        cuda: Cuda {
            f32: "({0} >= 0 ? {0} : {1} * expm1f({0}))",
            fast: "({0} >= 0 ? {0} : {1} * pw_fast_expm1({0}))",
            f64: "({0} >= 0 ? {0} : {1} * expm1({0}))",
            int: "",
        },
        cost: Cost::new(1, 7, 4),
        bound: Bound::ulps(2.5, 24.0, 3.0),
        ..Row::UNARY
    };
    SELU = Row {
        name: "selu",
        formula: "gamma*x if x >= 0 else gamma*alpha*(exp(x) - 1)",
        onnx: &[onnx("Selu", 6)],
        elsewhere: &["TensorRT kSELU"],
        params: &[param("alpha", 1.673_263_2), param("gamma", 1.050_701)],
        eval: Eval::float(|a| a[2] * if a[0] >= 0.0 { a[0] } else { a[1] * libm::expm1(a[0]) }),
        cuda: Cuda {
            f32: "({2} * ({0} >= 0 ? {0} : {1} * expm1f({0})))",
            fast: "({2} * ({0} >= 0 ? {0} : {1} * pw_fast_expm1({0})))",
            f64: "({2} * ({0} >= 0 ? {0} : {1} * expm1({0})))",
            int: "",
        },
        cost: Cost::new(1, 8, 4),
        bound: Bound::ulps(3.5, 24.0, 4.0),
        ..Row::UNARY
    };
    /// The bound is for alpha > 0, as every network has it.
    CELU = Row {
        name: "celu",
        formula: "max(0, x) + min(0, alpha*(exp(x/alpha) - 1))",
        onnx: &[onnx("Celu", 12)],
        params: &[param("alpha", 1.0)],
        eval: Eval::float(|a| if a[0] >= 0.0 { a[0] } else { a[1] * libm::expm1(a[0] / a[1]) }),
        cuda: Cuda {
            f32: "({0} >= 0 ? {0} : {1} * expm1f({0} / {1}))",
            fast: "({0} >= 0 ? {0} : {1} * pw_fast_expm1({0} * pw_fast_rcp({1})))",
            f64: "({0} >= 0 ? {0} : {1} * expm1({0} / {1}))",
            int: "",
        },
        cost: Cost::new(1, 8, 4),
        bound: Bound::ulps(3.5, 24.0, 4.0),
        ..Row::UNARY
    };
    /// ONNX's `approximate = "none"`.
    GELU = Row {
        name: "gelu",
        formula: "x/2*(1 + erf(x/sqrt(2)))",
        onnx: &[onnx("Gelu", 20), microsoft("Gelu")],
        elsewhere: &["TensorRT kGELU_ERF", "cuDNN GELU_FWD"],
        range: Some((-0.169_971_203_2, f64::INFINITY)),
        turn: Some(-0.751_791_524_693_565),
        eval: Eval::float(|a| real::gelu(a[0])),
        cuda: Cuda { f32: "pw_gelu({0})", fast: "pw_fast_gelu({0})", f64: "pw_gelu({0})", int: "" },
        cost: Cost::new(2, 12, 3),
        bound: smooth(8.0, 192.0, 8.0).codes(1.0, 6e-7),
        ..Row::UNARY
    };
    /// ONNX's `approximate = "tanh"`.
    GELU_TANH = Row {
        name: "gelu_tanh",
        formula: "x/2*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x^3)))",
        onnx: &[onnx("Gelu", 20)],
        elsewhere: &["TensorRT kGELU_TANH", "cuDNN GELU_APPROX_TANH_FWD"],
        range: Some((-0.170_040_79, f64::INFINITY)),
        turn: Some(-0.752_461_416_28),
        eval: Eval::float(|a| real::gelu_tanh(a[0])),
        cuda: Cuda { f32: "pw_gelu_tanh({0})", fast: "pw_fast_gelu_tanh({0})", f64: "pw_gelu_tanh({0})", int: "" },
        finite: "pw_finite_gelu_tanh({0})",
        cost: Cost::new(2, 6, 1),
        bound: smooth(8.0, 192.0, 8.0).codes(1.5, 5e-7),
        ..Row::UNARY
    };
    MISH = Row {
        name: "mish",
        formula: "x*tanh(log(1 + exp(x)))",
        onnx: &[onnx("Mish", 18)],
        range: Some((-0.308_843_413_1, f64::INFINITY)),
        turn: Some(-1.192_431_214_515),
        eval: Eval::float(|a| real::mish(a[0])),
        cuda: Cuda { f32: "pw_mish({0})", fast: "pw_fast_mish({0})", f64: "pw_mish({0})", int: "" },
        cost: Cost::new(2, 6, 2),
        bound: smooth(8.0, 96.0, 6.0).codes(3.5, 3e-7),
        ..Row::UNARY
    };
}
