//! The rules of `passes::patterns`: each finds its formula however it is written, keeps to its claim, and leaves near misses alone.

use crate::random_graph::Random;
use crate::written_out::{Names, write};
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Value};
use pointweld::op::Op;
use pointweld::passes::patterns::{Claim, Expr, Rule, builtin};
use pointweld::passes::{self, Options, Report};
use pointweld::reference::{self, tap_graph};
use pointweld::scalar::{Number, Scalar};
use pointweld::shape;
use pointweld::tensor::Tensor;
use pointweld::verify::verify;

const FLOATS: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::F64];
const COUNT: usize = 600;

/// Values to try a rule on: all magnitudes, and what is special.
fn samples(dtype: DType, random: &mut Random) -> Tensor {
    let special =
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.0, 3.0, -3.0, 6.0, 1e-40, -1e-5, 88.9, -104.0];
    let numbers = (0..COUNT).map(|i| match i {
        _ if dtype == DType::Bool => random.number(dtype),
        i if i < special.len() => Number::Float(special[i]),
        i if i % 3 == 0 => random.number(dtype),
        _ => Number::Float((random.unit() - 0.5) * 20.0),
    });
    Tensor::from_numbers(dtype, &[COUNT], numbers.collect::<Vec<_>>()).unwrap()
}

fn has(e: &Expr, wanted: &Expr) -> bool {
    e == wanted || matches!(e, Expr::Apply(_, args) if args.iter().any(|arg| has(arg, wanted)))
}

/// How many variables a formula has, and how many named constants.
fn names(e: &Expr) -> (usize, usize) {
    let count = |make: fn(usize) -> Expr| (0..8).take_while(|i| has(e, &make(*i))).count();
    (count(Expr::Var), count(Expr::Const))
}

/// A variable that is the condition of a `where`, or the operand of a `not`.
fn is_condition(e: &Expr, var: usize) -> bool {
    let Expr::Apply(op, args) = e else { return false };
    (["where", "not"].contains(&op.name()) && args[0] == Expr::Var(var))
        || args.iter().any(|arg| is_condition(arg, var))
}

struct Case {
    graph: Graph,
    inputs: Vec<(String, Tensor)>,
}

/// The formula over inputs of `dtype`; `None` if the ops don't take that type.
fn case(e: &Expr, dtype: DType, consts: &[f64], random: &mut Random, free: bool) -> Option<Case> {
    let mut b = Builder::new("written out");
    let mut inputs = Vec::new();
    let vars: Vec<Value> = (0..names(e).0)
        .map(|i| {
            let ty = if is_condition(e, i) { DType::Bool } else { dtype };
            let name = format!("x{i}");
            inputs.push((name.clone(), samples(ty, random)));
            b.input(&name, ty, shape![COUNT])
        })
        .collect();
    let names = Names { vars: &vars, consts, dtype };
    let y = write(&mut b, e, &names, free.then_some(random));
    b.output("y", y);
    Some(Case { graph: b.finish().ok()?, inputs })
}

fn ops(graph: &Graph) -> Vec<Op> {
    let mut ops: Vec<Op> = graph.ids().filter_map(|id| graph.node(id).op()).collect();
    ops.sort();
    ops
}

fn ops_of(e: &Expr, into: &mut Vec<Op>) {
    if let Expr::Apply(op, args) = e {
        into.push(*op);
        args.iter().for_each(|arg| ops_of(arg, into));
    }
    into.sort();
}

fn run(graph: &mut Graph) -> Report {
    let report = passes::run(graph, &Options { verify: true, ..Options::default() }, |_, _, _| {}).unwrap();
    assert!(report.settled, "{:?}", &report.fired[report.fired.len() - 6..]);
    report
}

/// The output, and for each element whether every value on the way was finite.
fn evaluate(graph: &Graph, inputs: &[(String, Tensor)]) -> (Tensor, Vec<bool>) {
    let mut finite = vec![true; COUNT];
    let outputs = tap_graph(graph, inputs, &reference::Options::default(), &mut |_, tensor| {
        if tensor.len() == COUNT {
            tensor.numbers().zip(&mut finite).for_each(|(n, ok)| *ok &= n.as_f64().is_finite());
        }
        tensor
    });
    (outputs.unwrap().remove(0).1, finite)
}

/// Distance from |x| to the next value of its type, its unit roundoff, and its least positive number.
fn ulp(dtype: DType, x: f64) -> f64 {
    let bits = Scalar::new(dtype, Number::Float(x.abs())).bits();
    let next = Scalar::from_bits(dtype, bits + 1).as_f64();
    if next.is_finite() { next - x.abs() } else { x.abs() - Scalar::from_bits(dtype, bits - 1).as_f64() }
}

fn roundoff(dtype: DType) -> f64 {
    ulp(dtype, 1.0) / 2.0
}

fn least(dtype: DType) -> f64 {
    Scalar::from_bits(dtype, 1).as_f64()
}

/// Constants for the rule's names; some break its conditions, and zeros have a sign.
fn constants(rule: &Rule, random: &mut Random) -> Vec<f64> {
    let (_, consts) = names(&rule.pattern().unwrap());
    let from = [0.25, 0.5, 0.75, 1.75, 2.5, -0.5, 5.0, 0.0, -0.0];
    (0..consts).map(|_| random.pick(&from)).collect()
}

fn is_exact_in_f32(e: &Expr) -> bool {
    match e {
        Expr::Number(x) => f64::from(*x as f32) == *x,
        Expr::Apply(_, args) => args.iter().all(is_exact_in_f32),
        _ => true,
    }
}

/// Where the rule moved a value by more than it claims.
fn broken_claim(rule: &Rule, dtype: DType, consts: &[f64], case: &Case, after: &Graph) -> Option<String> {
    let (old, finite) = evaluate(&case.graph, &case.inputs);
    let (new, _) = evaluate(after, &case.inputs);
    let largest_const = consts.iter().fold(1.0, |c: f64, x| c.max(x.abs()));
    for (i, finite) in finite.into_iter().enumerate() {
        let (a, b) = (old.at(i), new.at(i));
        let (x, y) = (a.as_f64(), b.as_f64());
        let at: Vec<String> = case.inputs.iter().map(|(_, t)| t.at(i).to_string()).collect();
        let largest = case.inputs.iter().map(|(_, t)| t.at(i).as_f64().abs()).fold(0.0, f64::max);
        match rule.claim {
            Claim::Exact => {
                let excepted = !rule.except.is_empty() && ["-0", "-inf"].contains(&at[0].as_str());
                if !(excepted || a == b || x.is_nan() && y.is_nan()) {
                    return Some(format!("{} at {at:?} in {dtype}: {a} became {b}", rule.name));
                }
            }
            Claim::Within { ulp: ulps, input, constant } if finite => {
                let (epsilon, eta) = (roundoff(dtype), least(dtype));
                // In f64 the rows' own errors come on top: the reference computes no wider.
                let rows = if dtype == DType::F64 { 4.0 } else { 1.0 };
                let bound = rows * ulps * ulp(dtype, y)
                    + rows * largest_const * (epsilon * (input * largest + constant) + eta * (1.0 + largest));
                let off = (x - y).abs();
                if off > bound {
                    let what = format!("{a} became {b}, off by {off:e}, {bound:e} allowed");
                    return Some(format!("{} at {at:?} in {dtype}: {what}", rule.name));
                }
            }
            Claim::Within { .. } => {}
        }
    }
    None
}

#[test]
fn every_rule_finds_its_formula_however_it_is_written_and_keeps_to_its_claim() {
    let mut failures = Vec::new();
    for (number, rule) in builtin().unwrap().iter().enumerate() {
        let mut fired = 0;
        for dtype in FLOATS.into_iter().chain([DType::I32, DType::I8, DType::U8, DType::Bool]) {
            for seed in 0..24 {
                let mut random = Random::new(seed * 1000 + number as u64);
                let consts = constants(rule, &mut random);
                let Some(case) = case(&rule.pattern().unwrap(), dtype, &consts, &mut random, seed > 0) else {
                    continue;
                };
                let mut after = case.graph.clone();
                let report = run(&mut after);
                verify(&after).unwrap();
                let (mut wanted, found) = (Vec::new(), ops(&after));
                ops_of(rule.replacement(), &mut wanted);
                let by_name = rule.pattern().is_ok_and(|e| names(&e).1 > 0) || !dtype.is_float();
                if found != wanted {
                    // Constants that break a condition, types that the op does not take, numbers that a double has too many bits for.
                    let in_f32 = is_exact_in_f32(rule.replacement()) && is_exact_in_f32(&rule.pattern().unwrap());
                    if !by_name && (dtype != DType::F64 || in_f32) {
                        failures.push(format!("{} in {dtype}, seed {seed}: {found:?}, {:?}", rule.name, report.fired));
                    }
                    continue;
                }
                fired += usize::from(report.fired.iter().any(|f| f.pass == "patterns"));
                failures.extend(broken_claim(rule, dtype, &consts, &case, &after));
            }
        }
        if fired < 4 {
            failures.push(format!("{} fired {fired} times only", rule.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Formulas that look like one of a rule's and mean something else. The second variable is another value, the constants are `$a`'s
/// and `$b`'s numbers.
#[test]
fn near_misses_are_left_alone() {
    let misses: &[(&str, &[f64])] = &[
        ("x * sigmoid(y)", &[]),
        ("x + sigmoid(x)", &[]),
        ("x * sigmoid(y * $a)", &[1.702]),
        ("x * tanh(x)", &[]),
        ("x * tanh(softplus(y))", &[]),
        ("x * clip(x + 3, 0, 6) / 5", &[]),
        ("x * clip(x + 2, 0, 6) / 6", &[]),
        ("x * clip(y + 3, 0, 6)", &[]),
        ("x * hard_sigmoid(x, 0.2, 0.5)", &[]),
        ("x * hard_sigmoid(y, 1/6, 0.5)", &[]),
        ("0.5 * x * (1 + erf(x / 1.4))", &[]),
        ("0.5 * x * (1 + erf(y / sqrt(2)))", &[]),
        ("0.4 * x * (1 + erf(x / sqrt(2)))", &[]),
        ("0.5 * x * (2 + erf(x / sqrt(2)))", &[]),
        ("0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.045 * x^3)))", &[]),
        ("0.5 * x * (1 + tanh(0.8 * (x + 0.044715 * x^3)))", &[]),
        ("log(2 + exp(x))", &[]),
        ("x / (1 + abs(y))", &[]),
        ("x / (2 + exp(-x))", &[]),
        ("max(x, x * $a)", &[1.5]),
        ("max(x, x * $a)", &[-0.5]),
        ("max(x, y * $a)", &[0.5]),
        ("where(greater(x, 0), x, x * $a)", &[-0.5]),
        ("where(greater(x, 1), x, x * $a)", &[0.5]),
        ("where(less(x, 0), x, x * $a)", &[0.5]),
        ("max(min(x, $a), $b)", &[1.0, 2.0]),
        ("max(x, 1)", &[]),
        ("x ^ 4", &[]),
        ("y / sqrt(x)", &[]),
        ("2 / x", &[]),
        ("1 + neg(x)", &[]),
        ("where(c, x, y)", &[]),
    ];
    for (text, consts) in misses {
        let formula = Expr::parse(text).unwrap();
        for dtype in [DType::F32, DType::F16] {
            let mut random = Random::new(7);
            let case = case(&formula, dtype, consts, &mut random, false).unwrap();
            let mut after = case.graph.clone();
            // `1 + neg(x)` is a rule's, and the only one of these that is: it shows that the test can fail.
            let fired = run(&mut after).fired.into_iter().filter(|f| f.pass == "patterns").count();
            assert_eq!(fired, usize::from(*text == "1 + neg(x)"), "{text} in {dtype}");
        }
    }
}

/// A constant that widens the result is no part of an op that would not.
#[test]
fn a_match_keeps_the_shape() {
    for (sizes, fires) in [(vec![], true), (vec![1], true), (vec![1, 1], false), (vec![3, 1], false), (vec![4], true)] {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![4]);
        let zeros = vec![0.0; sizes.iter().product()];
        let zero = b.constant("zero", Tensor::from_f64(DType::F32, &sizes, &zeros).unwrap());
        let y = b.apply(Op::parse("max").unwrap(), &[x.into(), zero.into()]);
        b.output("y", y);
        let mut g = b.finish().unwrap();
        assert_eq!(run(&mut g).count("relu_max"), usize::from(fires), "{sizes:?}");
    }
}

/// SiLU as TensorRT's users have it: a quantize/dequantize pair between Sigmoid and Mul.
fn inner_pair(other_scale: bool) -> Graph {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape!["n", 8]);
    let s = b.sigmoid(x);
    let q = b.quantize(s, 1.0 / 128.0, 0, DType::I8);
    let r = b.dequantize(q, if other_scale { 0.01 } else { 1.0 / 128.0 }, 0);
    let y = b.mul(x, r);
    b.output("y", y);
    b.finish().unwrap()
}

#[test]
fn an_inner_quantize_is_kept_unless_asked_for_and_then_told() {
    let mut g = inner_pair(false);
    assert!(run(&mut g).fired.iter().all(|f| f.pass != "patterns"));
    assert_eq!(ops(&g).len(), 4);
    let options = Options { drop_inner_qdq: true, ..Options::default() };
    let report = passes::run(&mut g, &options, |_, _, _| {}).unwrap();
    assert_eq!((report.count("drop_inner_qdq"), report.count("silu")), (1, 1));
    assert_eq!(ops(&g), [Op::parse("silu").unwrap()]);
    let dropped = report.fired.iter().find(|f| f.rule == "drop_inner_qdq").unwrap();
    assert_eq!(dropped.nodes.len(), 2);
    // Another scale on the way back is a calculation of its own.
    let mut g = inner_pair(true);
    assert_eq!(passes::run(&mut g, &options, |_, _, _| {}).unwrap().count("silu"), 0);
}

#[test]
fn rules_of_ones_own_come_after_the_built_in_ones() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![8]);
    let s = b.sigmoid(x);
    let y = b.mul(x, s);
    b.output("y", y);
    let mut g = b.finish().unwrap();
    let rule = Rule::parse(
        "what_if",
        "silu(x) => hard_swish(x)",
        "",
        Claim::Within { ulp: 0.0, input: 0.0, constant: 1e9 },
        "",
    );
    let options = Options { extra_rules: vec![rule.unwrap()], ..Options::default() };
    assert_eq!(passes::run(&mut g, &options, |_, _, _| {}).unwrap().count("what_if"), 1);
    assert_eq!(ops(&g), [Op::parse("hard_swish").unwrap()]);
}
