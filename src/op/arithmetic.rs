//! Arithmetic of two operands, and what is built of it. Integers wrap; an integer divided by zero is 0, which ONNX leaves
//! undefined.

use super::row::onnx;
use super::{Algebra, Bound, Cost, Cuda, Eval, Row, TypeRule, TypeSet, real, rows};
use crate::dtype::DType;
use crate::scalar::Number;

/// Floats only: a result rounded once.
const UNARY: Row = Row { bound: Bound::ROUNDED, ..Row::UNARY };

rows! {
    ADD = Row {
        name: "add",
        formula: "a + b",
        onnx: &[onnx("Add", 7)],
        elsewhere: &["TensorRT kSUM", "cuDNN ADD"],
        // x + 0 changes −0 to +0, so 0 is neutral only as −0, which IEEE 754 leaves alone.
        algebra: Algebra { neutral: Some(-0.0), ..Algebra::COMMUTATIVE },
        eval: Eval::both(|a| a[0] + a[1], |a, _| a[0] + a[1]),
        cuda: Cuda { int: "pw_add({0}, {1})", ..Cuda::float("({0} + {1})") },
        packed: "add_{t}x2({0}, {1})",
        cost: Cost::new(0, 1, 0),
        ..Row::BINARY
    };
    SUB = Row {
        name: "sub",
        formula: "a - b",
        onnx: &[onnx("Sub", 7)],
        elsewhere: &["TensorRT kSUB", "cuDNN SUB"],
        algebra: Algebra { neutral: Some(0.0), ..Algebra::NONE },
        eval: Eval::both(|a| a[0] - a[1], |a, _| a[0] - a[1]),
        cuda: Cuda { int: "pw_sub({0}, {1})", ..Cuda::float("({0} - {1})") },
        packed: "sub_{t}x2({0}, {1})",
        cost: Cost::new(0, 1, 0),
        ..Row::BINARY
    };
    MUL = Row {
        name: "mul",
        formula: "a * b",
        onnx: &[onnx("Mul", 7)],
        elsewhere: &["TensorRT kPROD", "cuDNN MUL"],
        algebra: Algebra { neutral: Some(1.0), ..Algebra::COMMUTATIVE },
        eval: Eval::both(|a| a[0] * a[1], |a, _| a[0].wrapping_mul(a[1])),
        cuda: Cuda { int: "pw_mul({0}, {1})", ..Cuda::float("({0} * {1})") },
        packed: "mul_{t}x2({0}, {1})",
        cost: Cost::new(0, 1, 0),
        ..Row::BINARY
    };
    DIV = Row {
        name: "div",
        formula: "a / b, toward zero for integers",
        onnx: &[onnx("Div", 7)],
        elsewhere: &["TensorRT kDIV", "cuDNN DIV"],
        algebra: Algebra { neutral: Some(1.0), ..Algebra::NONE },
        eval: Eval::both(|a| a[0] / a[1], |a, _| a[0].checked_div(a[1]).unwrap_or(0)),
        cuda: Cuda {
            f32: "({0} / {1})",
            fast: "pw_fast_div({0}, {1})",
            f64: "({0} / {1})",
            int: "pw_div({0}, {1})",
        },
        cost: Cost::new(1, 4, 3),
        bound: Bound::ulps(0.5, 3.0, 0.5),
        ..Row::BINARY
    };
    FLOOR_DIV = Row {
        name: "floor_div",
        formula: "floor(a / b)",
        elsewhere: &["TensorRT kFLOOR_DIV"],
        algebra: Algebra::NONE,
        eval: Eval::both(
            |a| real::floor_div(a[0], a[1]),
            |a, _| match a[1] {
                0 => 0,
                b => (a[0] - python_mod(a[0], b)) / b,
            },
        ),
        cuda: Cuda::any("pw_floor_div({0}, {1})"),
        cost: Cost::new(1, 9, 5),
        bound: Bound::ulp(1.0),
        ..Row::BINARY
    };
    /// ONNX's `fmod = 0`, which ONNX allows on integers only.
    MOD = Row {
        name: "mod",
        formula: "a - b*floor(a / b), which has the sign of b",
        onnx: &[onnx("Mod", 10)],
        eval: Eval::both(
            |a| real::modulo(a[0], a[1]),
            |a, _| python_mod(a[0], a[1]),
        ),
        cuda: Cuda::any("pw_mod({0}, {1})"),
        cost: Cost::new(1, 20, 10),
        ..Row::BINARY
    };
    /// ONNX's `fmod = 1`.
    FMOD = Row {
        name: "fmod",
        formula: "a - b*trunc(a / b), which has the sign of a",
        onnx: &[onnx("Mod", 10)],
        elsewhere: &["cuDNN MOD"],
        eval: Eval::both(
            |a| libm::fmod(a[0], a[1]),
            |a, _| a[0].checked_rem(a[1]).unwrap_or(0),
        ),
        cuda: Cuda { f32: "fmodf({0}, {1})", fast: "", f64: "fmod({0}, {1})", int: "pw_rem({0}, {1})" },
        cost: Cost::new(1, 20, 10),
        bound: Bound::EXACT,
        ..Row::BINARY
    };
    MAX = Row {
        name: "max",
        formula: "max(a, b), NaN if either is",
        onnx: &[onnx("Max", 8)],
        elsewhere: &["TensorRT kMAX", "cuDNN MAX"],
        algebra: Algebra {
            neutral: Some(f64::NEG_INFINITY),
            absorbing: Some(f64::INFINITY),
            ..Algebra::LATTICE
        },
        eval: Eval::both(|a| real::max(a[0], a[1]), |a, _| a[0].max(a[1])),
        cuda: Cuda::any("pw_max({0}, {1})"),
        packed: "max_{t}x2({0}, {1})",
        cost: Cost::new(0, 0, 1),
        bound: Bound::EXACT,
        ..Row::BINARY
    };
    MIN = Row {
        name: "min",
        formula: "min(a, b), NaN if either is",
        onnx: &[onnx("Min", 8)],
        elsewhere: &["TensorRT kMIN", "cuDNN MIN"],
        algebra: Algebra {
            neutral: Some(f64::INFINITY),
            absorbing: Some(f64::NEG_INFINITY),
            ..Algebra::LATTICE
        },
        eval: Eval::both(|a| real::min(a[0], a[1]), |a, _| a[0].min(a[1])),
        cuda: Cuda::any("pw_min({0}, {1})"),
        packed: "min_{t}x2({0}, {1})",
        cost: Cost::new(0, 0, 1),
        bound: Bound::EXACT,
        ..Row::BINARY
    };
    /// The exponent may be of another number type. An integer base gives an integer: exact and wrapped where the exponent is an
    /// integer, if only in value (negative: truncated, 0 for base 0); else through f64, correct to 2 ulp of it, and as `cast` converts.
    POW = Row {
        name: "pow",
        formula: "a^b",
        onnx: &[onnx("Pow", 7)],
        elsewhere: &["TensorRT kPOW", "cuDNN POW"],
        types: TypeRule::Power,
        algebra: Algebra { neutral: Some(1.0), ..Algebra::NONE },
        eval: Eval::Mixed(pow),
        cuda: Cuda::any("pw_pow({0}, {1})"),
        cost: Cost::new(2, 40, 15),
        bound: Bound::ulps(4.0, 4.0, 4.0),
        ..Row::BINARY
    };
    ADD_SQUARE = Row {
        name: "add_square",
        formula: "a + b*b",
        elsewhere: &["cuDNN ADD_SQUARE"],
        eval: Eval::both(
            |a| libm::fma(a[1], a[1], a[0]),
            |a, _| a[0].wrapping_add(a[1].wrapping_mul(a[1])),
        ),
        cuda: Cuda {
            f32: "fmaf({1}, {1}, {0})",
            fast: "",
            f64: "fma({1}, {1}, {0})",
            int: "pw_add({0}, pw_mul({1}, {1}))",
        },
        cost: Cost::new(0, 1, 0),
        ..Row::BINARY
    };
    NEG = Row {
        name: "neg",
        formula: "-x",
        onnx: &[onnx("Neg", 6)],
        elsewhere: &["TensorRT kNEG", "cuDNN NEG"],
        types: TypeRule::Same(TypeSet::SIGNED_NUMBERS),
        algebra: Algebra { involution: true, ..Algebra::NONE },
        eval: Eval::both(|a| -a[0], |a, _| -a[0]),
        cuda: Cuda { int: "pw_neg({0})", ..Cuda::float("(-{0})") },
        packed: "neg_x2({0})",
        cost: Cost::new(0, 1, 0),
        ..Row::UNARY
    };
    ABS = Row {
        name: "abs",
        formula: "|x|",
        onnx: &[onnx("Abs", 6)],
        elsewhere: &["TensorRT kABS", "cuDNN ABS"],
        types: TypeRule::Same(TypeSet::NUMBERS),
        algebra: Algebra { idempotent: true, ..Algebra::NONE },
        // The smallest signed integer has no opposite and stays itself.
        eval: Eval::both(|a| a[0].abs(), |a, _| a[0].abs()),
        cuda: Cuda { f32: "fabsf({0})", fast: "", f64: "fabs({0})", int: "pw_abs({0})" },
        packed: "abs_x2({0})",
        cost: Cost::new(0, 0, 1),
        ..Row::UNARY
    };
    SIGN = Row {
        name: "sign",
        formula: "1 if x > 0, -1 if x < 0, 0 if x = 0",
        onnx: &[onnx("Sign", 9)],
        elsewhere: &["TensorRT kSIGN"],
        types: TypeRule::Same(TypeSet::NUMBERS),
        range: Some((-1.0, 1.0)),
        algebra: Algebra { idempotent: true, ..Algebra::INCREASING },
        eval: Eval::both(
            |a| match a[0] {
                x if x > 0.0 => 1.0,
                x if x < 0.0 => -1.0,
                x if x.is_nan() => x,
                _ => 0.0,
            },
            |a, _| a[0].signum(),
        ),
        cuda: Cuda::any("pw_sign({0})"),
        cost: Cost::new(0, 0, 4),
        ..Row::UNARY
    };
    RECIPROCAL = Row {
        name: "reciprocal",
        formula: "1 / x",
        onnx: &[onnx("Reciprocal", 6)],
        elsewhere: &["TensorRT kRECIP", "cuDNN RECIPROCAL"],
        eval: Eval::float(|a| 1.0 / a[0]),
        cuda: Cuda { f32: "(1.0f / {0})", fast: "pw_fast_reciprocal({0})", f64: "(1.0 / {0})", int: "" },
        cost: Cost::new(1, 2, 3),
        bound: Bound::ulps(0.5, 2.0, 0.5),
        ..UNARY
    };
}

/// The remainder with the divisor's sign.
fn python_mod(a: i128, b: i128) -> i128 {
    match a.checked_rem(b).unwrap_or(0) {
        r if r != 0 && (r < 0) != (b < 0) => r + b,
        r => r,
    }
}

fn pow(a: &[Number], to: DType) -> Number {
    let exponent = match a[1] {
        Number::Float(y) if y.abs() < 9e18 && y.trunc() == y => Number::Int(y as i128),
        y => y,
    };
    match (a[0], exponent) {
        (Number::Float(x), _) => Number::Float(libm::pow(x, a[1].as_f64())),
        (Number::Int(x), Number::Int(y)) => {
            let power = match (x, u128::try_from(y)) {
                (_, Ok(y)) => wrapping_pow(x, y),
                (1, _) => 1,
                (-1, _) => 1 - 2 * (y & 1),
                _ => 0,
            };
            Number::Int(power).rounded_to(to)
        }
        (x, Number::Float(y)) => super::convert::cast_float(libm::pow(x.as_f64(), y), to),
    }
}

/// x^y modulo 2¹²⁸, and so modulo the width of any type.
fn wrapping_pow(mut x: i128, mut y: u128) -> i128 {
    let mut power = 1i128;
    while y != 0 {
        if y & 1 == 1 {
            power = power.wrapping_mul(x);
        }
        x = x.wrapping_mul(x);
        y >>= 1;
    }
    power
}
