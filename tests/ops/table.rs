//! What the rows claim: names, ranges and algebra.

use crate::instances::{ALL, Random, edges, operands, same};
use pointweld::dtype::DType;
use pointweld::op::{self, COMPOSED, Onnx, Op, Row};
use pointweld::scalar::Number;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// TensorRT 11's pointwise layers: activations, elementwise, unary.
const TENSORRT: &str = "
    kRELU kSIGMOID kTANH kLEAKY_RELU kELU kSELU kSOFTSIGN kSOFTPLUS kCLIP kHARD_SIGMOID kSCALED_TANH
    kTHRESHOLDED_RELU kGELU_ERF kGELU_TANH kSUM kPROD kMAX kMIN kSUB kDIV kPOW kFLOOR_DIV kAND kOR kXOR kEQUAL
    kGREATER kLESS kEXP kLOG kSQRT kRECIP kABS kNEG kSIN kCOS kTAN kSINH kCOSH kASIN kACOS kATAN kASINH kACOSH
    kATANH kCEIL kFLOOR kERF kNOT kSIGN kROUND kISINF kISNAN";

/// cuDNN's forward pointwise modes.
const CUDNN: &str = "
    ADD ADD_SQUARE DIV MAX MIN MOD MUL POW SUB ABS CEIL COS EXP FLOOR LOG NEG RSQRT SIN SQRT TAN ERF IDENTITY
    RECIPROCAL ATAN2 RELU_FWD TANH_FWD SIGMOID_FWD ELU_FWD GELU_FWD SOFTPLUS_FWD SWISH_FWD GELU_APPROX_TANH_FWD
    CMP_EQ CMP_NEQ CMP_GT CMP_GE CMP_LT CMP_LE LOGICAL_AND LOGICAL_OR LOGICAL_NOT GEN_INDEX BINARY_SELECT";

/// ONNX's ops that work element by element, at opset 26.
const ONNX: &str = "
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitCast BitShift BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout Elu Equal Erf Exp
    Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log
    Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign
    Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor";

#[test]
fn names_are_unique_identifiers_and_texts_are_there() {
    let mut names = BTreeSet::new();
    for row in op::table() {
        let simple = row.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(simple && !row.name.is_empty() && names.insert(row.name), "{:?}", row.name);
        assert!(!row.formula.is_empty(), "{}", row.name);
        assert!(row.operands.len() + row.params.len() <= op::MAX_ARITY, "{}", row.name);
        assert_eq!(op::find(row.name).map(|r| r.name), Some(row.name));
        assert!(ALL.iter().any(|i| i.op.is(row)), "{} takes no types", row.name);
    }
}

#[test]
fn every_op_of_onnx_tensorrt_and_cudnn_is_claimed() {
    let named = |whose: &str, name: &str| {
        let claims =
            |text: &str| text.split_once(' ').is_some_and(|(w, n)| w == whose && n.split(' ').next() == Some(name));
        op::table().any(|r| r.elsewhere.iter().any(|e| claims(e)))
            || COMPOSED.iter().any(|c| c.elsewhere.iter().any(|e| claims(e)))
    };
    assert_eq!([TENSORRT, CUDNN].map(|list| list.split_whitespace().count()), [53, 43]);
    for name in TENSORRT.split_whitespace() {
        assert!(named("TensorRT", name), "TensorRT {name}");
    }
    for name in CUDNN.split_whitespace() {
        assert!(named("cuDNN", name), "cuDNN {name}");
    }
    for name in ONNX.split_whitespace() {
        let claims = |onnx: &[Onnx]| onnx.iter().any(|o| o.domain.is_empty() && o.op_type == name);
        let claimed = op::table().any(|r| claims(r.onnx)) || COMPOSED.iter().any(|c| claims(c.onnx));
        assert!(claimed, "ONNX {name}");
    }
}

#[test]
fn every_instance_has_a_meaning_for_every_value_and_stays_in_its_range() {
    let mut random = Random(1);
    for instance in ALL.iter() {
        for _ in 0..60 {
            let x = operands(instance, &mut random);
            let exact = instance.op.eval_exact(&x, instance.result);
            let stored = instance.op.eval(&x, instance.result);
            assert!(
                same(stored, stored.rounded_to(instance.result)),
                "{instance:?} {x:?}: {stored:?} is no value of its type"
            );
            let finite = x.iter().all(|v| v.as_f64().is_finite());
            if let (Some((low, high)), true) = (instance.op.row().range, finite) {
                let y = exact.as_f64();
                assert!(y.is_nan() || (low..=high).contains(&y), "{instance:?} {x:?}: {y}");
            }
        }
    }
}

/// The constant an algebraic claim speaks of, as a value of the type; `None` where the claim does not apply to it.
fn constant(e: Option<f64>, t: DType) -> Option<Number> {
    match e? {
        e if t.is_float() => Some(Number::Float(e)),
        e if e.is_finite() => Some(Number::Int(e as i128).rounded_to(t)),
        _ => None,
    }
}

/// How two values of one type compare; `None` if either is NaN.
fn order(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        _ => a.as_f64().partial_cmp(&b.as_f64()),
    }
}

#[test]
fn claims_of_algebra_hold_bit_for_bit() {
    let mut random = Random(2);
    let mut claims = BTreeSet::new();
    for instance in ALL.iter() {
        let (a, t, row) = (instance.op.row().algebra, instance.result, instance.op.row());
        let f = |x: &[Number]| instance.op.eval(x, t);
        let tensors = row.operands.len();
        let edges = edges(instance.operands[0]);
        for round in 0..160 {
            let mut x = operands(instance, &mut random);
            if let Some(edge) = edges.get(round) {
                x[0] = *edge;
            }
            if x.iter().any(|v| v.as_f64().is_nan()) {
                continue;
            }
            let mut hold = |claim: &'static str, left: Number, right: Number| {
                claims.insert(claim);
                let nan = left.as_f64().is_nan() || right.as_f64().is_nan();
                assert!(same(left, right) || nan, "{instance:?} is not {claim} at {x:?}: {left:?} {right:?}");
            };
            if a.commutative {
                hold("commutative", f(&x), f(&[x[1], x[0]]));
            }
            if a.associative {
                let c = random.value(instance.operands[0]);
                hold("associative", f(&[f(&x), c]), f(&[x[0], f(&[x[1], c])]));
            }
            if a.idempotent && tensors == 1 {
                hold("idempotent", f(&[f(&x)]), f(&x));
            }
            if a.idempotent && tensors == 2 {
                hold("idempotent", f(&[x[0], x[0]]), x[0]);
            }
            if a.involution {
                hold("an involution", f(&[f(&x)]), x[0]);
            }
            if let (Some(e), 2) = (constant(a.neutral, instance.operands[1.min(tensors - 1)]), tensors) {
                hold("neutral on the right", f(&[x[0], e]), x[0]);
                if a.commutative {
                    hold("neutral on the left", f(&[e, x[0]]), x[0]);
                }
            }
            if let (Some(z), true) = (constant(a.absorbing, t), x[0].as_f64().is_finite()) {
                hold("absorbing", f(&[x[0], z]), z);
            }
            if a.monotonic != 0 {
                claims.insert("monotonic");
                let mut other = x.clone();
                other[0] = random.value(instance.operands[0]);
                let along = order(x[0], other[0]);
                let results = order(f(&x), f(&other));
                let expected = if a.monotonic > 0 { along } else { along.map(Ordering::reverse) };
                let kept = results == expected || results == Some(Ordering::Equal) || results.is_none();
                assert!(kept || expected.is_none(), "{instance:?} is not monotonic: {x:?} {other:?}");
            }
        }
    }
    assert_eq!(claims.len(), 8, "{claims:?}");
}

/// A claim that is false must fail the test above; here the false one is that subtraction commutes.
#[test]
fn a_false_claim_would_be_found() {
    let f = |a: f64, b: f64| Op::new(&op::SUB).eval(&[Number::Float(a), Number::Float(b)], DType::F32);
    assert!(!same(f(1.0, 2.0), f(2.0, 1.0)));
}

#[test]
fn bounds_and_rules_read_as_text() {
    let text = |row: &Row| (row.types.to_string(), row.bound.f32.to_string());
    assert_eq!(text(&op::NEG), ("f64 f32 f16 bf16 i64 i32 i16 i8".into(), "exact".into()));
    assert_eq!(text(&op::ADD).1, "0.5 ulp");
}
