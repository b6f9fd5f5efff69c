//! What each op means, against formulas and facts that are written here once more: a textbook formula where it is well
//! conditioned, and single values where the standards or common sense fix them.

use crate::instances::same;
use pointweld::dtype::DType::{self, *};
use pointweld::op::{self, Op, Row};
use pointweld::scalar::Number::{self, Float, Int};
use std::f64::consts::{FRAC_PI_2, PI, SQRT_2};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn eval(row: &'static Row, operands: &[Number], result: DType) -> Number {
    Op::new(row).eval(operands, result)
}

fn floats(x: &[f64]) -> Vec<Number> {
    x.iter().map(|x| Float(*x)).collect()
}

/// erf by its Maclaurin series: fine for |x| ≤ 3.
fn erf_series(x: f64) -> f64 {
    let terms = (0..120).scan(x, |term, n| {
        let value = *term / f64::from(2 * n + 1);
        *term *= -x * x / f64::from(n + 1);
        Some(value)
    });
    terms.sum::<f64>() * 2.0 / PI.sqrt()
}

#[test]
fn smooth_ops_follow_their_textbook_formulas() {
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    type Case = (&'static Row, &'static [f64], fn(f64) -> f64);
    let cases: Vec<Case> = vec![
        (&op::TANH, &[], |x| (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
        (&op::SOFTPLUS, &[], |x| (1.0 + x.exp()).ln()),
        (&op::MISH, &[], |x| x * (1.0 + x.exp()).ln().tanh()),
        (&op::ELU, &[1.5], |x| if x < 0.0 { 1.5 * (x.exp() - 1.0) } else { x }),
        (&op::CELU, &[2.0], |x| x.max(0.0) + (2.0 * ((x / 2.0).exp() - 1.0)).min(0.0)),
        (&op::SELU, &[1.5, 1.25], |x| 1.25 * if x > 0.0 { x } else { 1.5 * x.exp() - 1.5 }),
        (&op::GELU, &[], |x| 0.5 * x * (1.0 + erf_series(x / SQRT_2))),
        (&op::GELU_TANH, &[], |x| 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())),
        (&op::ERF, &[], erf_series),
        (&op::SOFTSIGN, &[], |x| x / (1.0 + x.abs())),
        (&op::SCALED_TANH, &[1.7159, 0.66667], |x| 1.7159 * (0.66667 * x).tanh()),
        (&op::SCALED_SOFTPLUS, &[0.5, 2.0], |x| 0.5 * (1.0 + (2.0 * x).exp()).ln()),
        (&op::HARD_SIGMOID, &[0.25, 0.5], |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        (&op::HARD_SWISH, &[], |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        (&op::ASINH, &[], |x| (x + (x * x + 1.0).sqrt()).ln()),
        (&op::SINH, &[], |x| (x.exp() - (-x).exp()) / 2.0),
        (&op::COSH, &[], |x| (x.exp() + (-x).exp()) / 2.0),
        (&op::TAN, &[], |x| x.sin() / x.cos()),
        (&op::RSQRT, &[], |x| x.powf(-0.5)),
    ];
    for i in -60..=60 {
        let x = f64::from(i) * 0.05 + 0.013;
        for (row, params, formula) in &cases {
            let got = eval(row, &floats(&[&[x], *params].concat()), F64).as_f64();
            let expected = formula(x);
            let close = (got - expected).abs() <= 1e-11 * expected.abs().max(1e-3);
            assert!(close || (got.is_nan() && expected.is_nan()), "{}({x}) = {got}, not {expected}", row.name);
        }
        for (row, expected) in [(&op::SIGMOID, sigma(x)), (&op::SILU, x * sigma(x))] {
            assert!((eval(row, &floats(&[x]), F64).as_f64() - expected).abs() < 1e-14, "{}", row.name);
        }
        let swish = eval(&op::SWISH, &floats(&[x, 1.702]), F64).as_f64();
        assert!((swish - x * sigma(1.702 * x)).abs() < 1e-14, "swish({x})");
    }
}

#[test]
fn tails_keep_their_digits() {
    // Values from 50-digit arithmetic, rounded to f64.
    let known: [(&'static Row, f64, f64); 6] = [
        (&op::GELU, -10.0, -7.619_853_024_160_526e-23),
        (&op::SOFTPLUS, -50.0, 1.928_749_847_963_917_8e-22),
        (&op::SIGMOID, -100.0, 3.720_075_976_020_836e-44),
        (&op::SILU, -100.0, -3.720_075_976_020_836e-42),
        (&op::MISH, -40.0, -1.699_341_702_116_635_6e-16),
        (&op::TANH, 1e-10, 1e-10),
    ];
    for (row, x, expected) in known {
        let got = eval(row, &floats(&[x]), F64).as_f64();
        assert!((got / expected - 1.0).abs() < 1e-14, "{}({x}) = {got:e}, not {expected:e}", row.name);
    }
}

#[test]
fn floats_at_their_edges() {
    let facts: &[(&'static Row, &[f64], f64)] = &[
        (&op::RELU, &[-0.0], 0.0),
        (&op::RELU, &[NAN], NAN),
        (&op::SILU, &[-INF], -0.0),
        (&op::SILU, &[INF], INF),
        (&op::SWISH, &[-INF, 2.0], -0.0),
        (&op::SWISH, &[INF, -1.0], 0.0),
        (&op::GELU, &[-INF], -0.0),
        (&op::GELU, &[INF], INF),
        (&op::GELU_TANH, &[-INF], -0.0),
        (&op::GELU_TANH, &[INF], INF),
        (&op::MISH, &[-INF], -0.0),
        (&op::HARD_SWISH, &[-INF], -0.0),
        (&op::HARD_SWISH, &[INF], INF),
        (&op::SOFTSIGN, &[-INF], -1.0),
        (&op::LEAKY_RELU, &[-0.0, 0.1], -0.0),
        (&op::ELU, &[-INF, 1.0], -1.0),
        (&op::SOFTPLUS, &[NAN], NAN),
        (&op::MAX, &[NAN, 1.0], NAN),
        (&op::MAX, &[1.0, NAN], NAN),
        (&op::MAX, &[-0.0, 0.0], 0.0),
        (&op::MIN, &[0.0, -0.0], -0.0),
        (&op::CLIP, &[NAN, 0.0, 1.0], NAN),
        (&op::CLIP, &[5.0, 3.0, 1.0], 1.0),
        (&op::SIGN, &[-0.0], 0.0),
        (&op::SIGN, &[NAN], NAN),
        (&op::SIGN, &[-INF], -1.0),
        (&op::ROUND, &[2.5], 2.0),
        (&op::ROUND, &[-0.5], -0.0),
        (&op::MOD, &[-7.0, 3.0], 2.0),
        (&op::MOD, &[7.0, -3.0], -2.0),
        (&op::FMOD, &[-7.0, 3.0], -1.0),
        (&op::FMOD, &[7.0, -3.0], 1.0),
        (&op::FLOOR_DIV, &[-7.0, 2.0], -4.0),
        (&op::POW, &[1.0, NAN], 1.0),
        (&op::POW, &[NAN, 0.0], 1.0),
        (&op::POW, &[-2.0, 0.5], NAN),
        (&op::SQRT, &[-1.0], NAN),
        (&op::ACOSH, &[0.5], NAN),
        (&op::ACOSH, &[-65504.0], NAN),
        (&op::ATAN2, &[0.0, -1.0], PI),
        (&op::ATAN2, &[1.0, 0.0], FRAC_PI_2),
        (&op::SHRINK, &[NAN, 0.5, 0.0], 0.0),
        (&op::SHRINK, &[-2.0, 0.5, 0.25], -1.75),
        (&op::THRESHOLDED_RELU, &[1.0, 1.0], 0.0),
        (&op::PRELU, &[-2.0, 0.25], -0.5),
        (&op::RECIPROCAL, &[-0.0], -INF),
    ];
    for (row, x, expected) in facts {
        let got = eval(row, &floats(x), F64);
        assert!(same(got, Float(*expected)), "{}({x:?}) = {got:?}, not {expected}", row.name);
    }
}

#[test]
fn integers_wrap_and_divide_as_stated() {
    let facts: &[(&'static Row, &[i128], DType, i128)] = &[
        (&op::ADD, &[127, 1], I8, -128),
        (&op::SUB, &[0, 1], U8, 255),
        (&op::MUL, &[i128::from(u64::MAX), i128::from(u64::MAX)], U64, 1),
        (&op::DIV, &[-7, 2], I32, -3),
        (&op::DIV, &[7, 0], I32, 0),
        (&op::DIV, &[-128, -1], I8, -128),
        (&op::FLOOR_DIV, &[-7, 2], I32, -4),
        (&op::FLOOR_DIV, &[i128::from(i64::MIN), 3], I64, -3_074_457_345_618_258_603),
        (&op::MOD, &[-7, 3], I8, 2),
        (&op::MOD, &[7, -3], I8, -2),
        (&op::MOD, &[7, 0], I8, 0),
        (&op::FMOD, &[-7, 3], I8, -1),
        (&op::ABS, &[-128], I8, -128),
        (&op::NEG, &[-128], I8, -128),
        (&op::RELU, &[-5], I32, 0),
        (&op::CLIP, &[300, 0, 100], I32, 100),
        (&op::POW, &[3, 41], I32, i128::from(3i32.wrapping_pow(41))),
        (&op::POW, &[-1, -3], I32, -1),
        (&op::POW, &[2, -1], I32, 0),
        (&op::POW, &[0, 0], I32, 1),
        (&op::SHIFT_LEFT, &[1, 8], U8, 0),
        (&op::SHIFT_LEFT, &[3, 7], U8, 128),
        (&op::SHIFT_RIGHT, &[128, 7], U8, 1),
        (&op::SHIFT_RIGHT, &[255, 200], U8, 0),
        (&op::BITWISE_NOT, &[0], U16, 65535),
        (&op::BITWISE_AND, &[-1, 6], I8, 6),
        (&op::XOR, &[1, 1], Bool, 0),
        (&op::NOT, &[0], Bool, 1),
        (&op::PRELU, &[-3, 2], I32, -6),
    ];
    for (row, x, t, expected) in facts {
        let operands: Vec<_> = x.iter().map(|i| Int(*i)).collect();
        assert_eq!(eval(row, &operands, *t), Int(*expected), "{}{x:?} in {t}", row.name);
    }
    assert_eq!(eval(&op::POW, &[Int(2), Float(0.5)], I32), Int(1));
    assert_eq!(eval(&op::POW, &[Int(2), Float(10.0)], I32), Int(1024));
    assert_eq!(eval(&op::POW, &[Float(-2.0), Int(3)], F32), Float(-8.0));
}

#[test]
fn casts_follow_onnx_tables() {
    let cast = |x: Number, to: DType| Op::to(&op::CAST, to).eval(&[x], to);
    let loose = |x: Number, to: DType| Op::to(&op::CAST_UNSATURATED, to).eval(&[x], to);
    // The node tests of ONNX: 2- and 4-bit integers wrap.
    assert_eq!([-9.0, -8.0, 7.0, 8.0, 15.0].map(|x| cast(Float(x), I4).as_i128()), [7, -8, 7, -8, -1]);
    assert_eq!([-3.0, -1.0, 3.0].map(|x| cast(Float(x), U2).as_i128()), [1, 3, 3]);
    assert_eq!(cast(Int(200), I8), Int(-56));
    assert_eq!(
        [1e30, -1e30, NAN, -1.9].map(|x| cast(Float(x), I32).as_i128()),
        [i128::from(i32::MAX), i128::from(i32::MIN), 0, -1]
    );
    assert_eq!(cast(Float(-1.0), U64), Int(0));
    assert_eq!(cast(Float(NAN), Bool), Int(1));
    assert_eq!(cast(Float(70000.0), F16), Float(INF));
    for (t, largest) in [(F8E4M3FN, 448.0), (F8E4M3FNUZ, 240.0), (F8E5M2, 57344.0), (F8E5M2FNUZ, 57344.0)] {
        assert_eq!([INF, -INF, 1e6].map(|x| cast(Float(x), t)), [largest, -largest, largest].map(Float), "{t}");
        assert!(cast(Float(NAN), t).as_f64().is_nan());
        let beyond = loose(Float(1e6), t).as_f64();
        assert!(if t == F8E5M2 { beyond == INF } else { beyond.is_nan() }, "{t}");
    }
    assert_eq!(
        [1.1, 0.124, 0.25, 0.0].map(|x| cast(Float(x), F8E8M0).as_f64()),
        [2.0, 0.125, 0.25, libm::exp2(-127.0)]
    );
    assert!(loose(Float(0.0), F8E8M0).as_f64().is_nan());
    assert_eq!(cast(Float(NAN), F4E2M1).as_f64(), 0.0);
    let quantize = Op::to(&op::QUANTIZE_UNSATURATED, F8E4M3FN);
    assert!(quantize.eval(&[Float(1e6), Float(0.5), Float(0.0)], F8E4M3FN).as_f64().is_nan());
}
