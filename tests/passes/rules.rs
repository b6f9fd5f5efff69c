//! Each rule outside of `patterns`: where it fires, and where it must not.

use crate::random::{evaluate, identical};
use crate::random_graph::Random;
use pointweld::anchor::Anchor;
use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Kind, Node, Operand, Type, Value};
use pointweld::op::{self, Op};
use pointweld::passes::{self, Options, Report};
use pointweld::scalar::{Number, Scalar};
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::structural::{Pool, Structural};
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};

fn simplify(b: Builder) -> (Graph, Graph, Report) {
    let before = b.finish().unwrap();
    let mut after = before.clone();
    let report = passes::run(&mut after, &Options { verify: true, ..Options::default() }, |_, _, _| {}).unwrap();
    (before, after, report)
}

fn view(b: &mut Builder, x: &[Value], dtype: DType, view: View, to: Shape) -> Value {
    b.node(Node::new(Kind::View(view), "v", Type::new(dtype, to)), x).value()
}

fn kinds(graph: &Graph) -> Vec<String> {
    let order = graph.topological().unwrap();
    let computes = |kind: &Kind| !matches!(kind, Kind::Input | Kind::Constant(_));
    order.into_iter().map(|id| &graph.node(id).kind).filter(|k| computes(k)).map(Kind::to_string).collect()
}

const TYPES: [DType; 13] = [
    DType::F64,
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I64,
    DType::U64,
    DType::I32,
    DType::U32,
    DType::I16,
    DType::U16,
    DType::I8,
    DType::U8,
    DType::Bool,
];

/// Every claim of every row, on every type: where it is applied, it is true of every value tried.
#[test]
fn what_the_table_claims_is_applied_and_true() {
    let mut fired = std::collections::BTreeMap::<(&str, &str), usize>::new();
    for (number, row) in op::table().enumerate().filter(|(_, r)| !matches!(r.types, op::TypeRule::Convert)) {
        for (dtype, claim) in TYPES.into_iter().flat_map(|t| (0..4).map(move |c| (t, c))) {
            let mut b = Builder::new("claim");
            let x = b.input("x", dtype, shape![400]);
            let twice = |b: &mut Builder| {
                let inner = b.unary(row, x);
                b.unary(row, inner)
            };
            let constant = |b: &mut Builder, c: f64| -> Operand {
                let integer = Number::Int(c as i128);
                b.scalar(Scalar::new(dtype, if dtype.is_float() { Number::Float(c) } else { integer })).into()
            };
            let y = match (claim, row.operands.len()) {
                (0, 1) if row.algebra.idempotent || row.algebra.involution => twice(&mut b),
                (0, 2) if row.algebra.idempotent => b.apply(Op::new(row), &[x.into(), x.into()]),
                (1 | 2, 2) => match if claim == 1 { row.algebra.neutral } else { row.algebra.absorbing } {
                    Some(c) if dtype.is_float() || c.is_finite() => {
                        let c = constant(&mut b, c);
                        b.apply(Op::new(row), &[x.into(), c])
                    }
                    _ => continue,
                },
                (3, 2) if row.algebra.associative => {
                    let (c, d) = (constant(&mut b, 1.0), constant(&mut b, 3.0));
                    let inner = b.apply(Op::new(row), &[c, x.into()]);
                    b.apply(Op::new(row), &[inner.into(), d])
                }
                _ => continue,
            };
            b.output("y", y);
            let Ok(before) = b.finish() else { continue };
            let mut after = before.clone();
            let report = passes::run(&mut after, &Options::default(), |_, _, _| {}).unwrap();
            let mut random = Random::new(number as u64);
            let x = random.tensor(dtype, &[400]);
            let inputs = [("x".to_string(), x.clone())];
            let (old, new) = (evaluate(&before, &inputs), evaluate(&after, &inputs));
            let at = (0..400).find(|i| !identical(&single(&old[0].1, *i), &single(&new[0].1, *i)));
            if let Some(i) = at {
                panic!(
                    "{} of {} {dtype}: {} became {}, {:?}",
                    row.name,
                    x.at(i),
                    old[0].1.at(i),
                    new[0].1.at(i),
                    report.fired
                );
            }
            for f in report.fired.iter().filter(|f| f.pass == "algebra") {
                *fired.entry((row.name, f.rule)).or_default() += 1;
            }
        }
    }
    for (row, rule, types) in [
        ("add", "neutral", 12),
        ("mul", "neutral", 12),
        ("sub", "neutral", 12),
        ("div", "neutral", 12),
        ("pow", "neutral", 12),
        ("relu", "idempotent", 8),
        ("max", "idempotent", 12),
        ("and", "absorbing", 1),
        ("bitwise_or", "absorbing", 8),
        ("neg", "involution", 8),
        ("identity", "identity", 26),
        ("min", "reassociate", 12),
        ("bitwise_xor", "reassociate", 8),
    ] {
        assert_eq!(fired.get(&(row, rule)), Some(&types), "{row} {rule}: {fired:?}");
    }
}

fn single(t: &Tensor, i: usize) -> Tensor {
    Tensor::scalar(t.at(i))
}

#[test]
fn a_zero_that_changes_a_sign_or_widens_a_shape_is_not_neutral() {
    for (sizes, zero, fires) in [(vec![1], -0.0, true), (vec![1], 0.0, false), (vec![2, 4], -0.0, false)] {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![4]);
        let zeros = vec![zero; sizes.iter().product()];
        let zero = b.constant("zero", Tensor::from_f64(DType::F32, &sizes, &zeros).unwrap());
        let y = b.add(x, zero);
        b.output("y", y);
        assert_eq!(simplify(b).2.count("neutral"), usize::from(fires), "{sizes:?}");
    }
    // 0·x is NaN where x is not finite.
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![4]);
    let y = b.mul(x, 0.0);
    b.output("y", y);
    assert!(simplify(b).2.fired.is_empty());
}

#[test]
fn equal_nodes_become_one_whatever_the_order_of_operands() {
    let mut b = Builder::new("g");
    let (x, y) = (b.input("x", DType::F32, shape![4]), b.input("y", DType::F32, shape![4]));
    let (p, q) = (b.mul(x, y), b.mul(y, x));
    let (r, s) = (b.sub(x, y), b.sub(y, x));
    let (u, v) = (b.add(p, r), b.add(q, s));
    b.output("u", u);
    b.output("v", v);
    let (_, after, report) = simplify(b);
    assert_eq!(report.count("equal_node"), 1);
    assert_eq!(kinds(&after), ["mul", "sub", "sub", "add", "add"]);
    let survivor = after.ids().find(|id| after.node(*id).op().is_some_and(|o| o.is(&op::MUL))).unwrap();
    assert_eq!(after.node(survivor).origin.len(), 2, "the survivor stands for both");
}

#[test]
fn opaque_nodes_are_never_merged_and_live_inputs_and_outputs_stay() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![4]);
    b.input("unused", DType::F32, shape![4]);
    let random = || {
        Node::new(
            Kind::Opaque { domain: String::new(), op_type: "RandomNormalLike".into() },
            "r",
            Type::new(DType::F32, shape![4]),
        )
    };
    let (p, q) = (b.node(random(), &[x]).value(), b.node(random(), &[x]).value());
    let y = b.add(p, q);
    b.sigmoid(y);
    b.output("y", y);
    b.output("z", y);
    let (_, after, report) = simplify(b);
    assert_eq!(kinds(&after), ["RandomNormalLike", "RandomNormalLike", "add"]);
    assert_eq!((after.inputs().len(), after.outputs().len()), (2, 2));
    assert_eq!(report.count("unreachable"), 1);
}

#[test]
fn constants_fold_but_weights_stay_codes_and_scalars_stay_small() {
    let gemm = Anchor::Gemm { transpose_a: false, transpose_b: false, bias: false };
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![2, 64]);
    let weights = b.constant("w", Random::new(1).tensor(DType::F32, &[32, 64]));
    let q = b.quantize(weights, 0.05, 0, DType::I8);
    let real = b.dequantize(q, 0.05, 0);
    let t = view(&mut b, &[real], DType::F32, View::Transpose { axes: vec![1, 0] }, shape![64, 32]);
    let y = b.node(Node::new(Kind::Anchor(gemm), "y", Type::new(DType::F32, shape![2, 32])), &[x, t]).value();
    let one = b.scalar(Scalar::f32(1.0));
    let two = b.add(one, 1.0);
    let wide =
        view(&mut b, &[two], DType::F32, View::Expand { to: shape![100_000, 100_000] }, shape![100_000, 100_000]);
    let sum = b.sigmoid(wide);
    b.output("y", y);
    b.output("sum", sum);
    let (_, after, _) = simplify(b);
    assert_eq!(kinds(&after), ["dequantize.f32", "transpose", "gemm", "expand", "sigmoid"].map(String::from));
    let dequantize = after.ids().find(|id| after.node(*id).op().is_some_and(|o| o.is(&op::DEQUANTIZE))).unwrap();
    assert_eq!(after.constant(after.operands(dequantize)[0]).unwrap().dtype(), DType::I8);
    let expand = after.ids().find(|id| matches!(&after.node(*id).kind, Kind::View(View::Expand { .. }))).unwrap();
    assert_eq!(after.constant(after.operands(expand)[0]).unwrap().uniform(), Some(Scalar::f32(2.0)));
}

#[test]
fn a_dequantize_that_only_pointwise_ops_read_folds() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![4]);
    let codes = b.constant("c", Tensor::from_slice(&[4], &[-1i8, 2, 3, -128]).unwrap());
    let real = b.dequantize(codes, 0.5, 0);
    let y = b.mul(x, real);
    b.output("y", y);
    assert_eq!(kinds(&simplify(b).1), ["mul"]);
}

/// All codes, many scales and zero points: what the dequantize makes of a code, the quantize makes the code again.
#[test]
fn a_dequantize_and_its_quantize_are_the_identity_on_codes() {
    let mut random = Random::new(3);
    for code in [DType::I8, DType::U8, DType::I16, DType::U16, DType::I4, DType::U4] {
        for round in 0..40 {
            let (low, high) = code.int_range().unwrap();
            let all: Vec<Number> = (low..=high).map(Number::Int).collect();
            let codes = Tensor::from_numbers(code, &[all.len()], all).unwrap();
            let zero = match round {
                0 => low,
                1 => high,
                _ => low + random.below((high - low) as usize) as i128,
            };
            // From the smallest normal number to the largest scale whose products are finite.
            let exponent = match round {
                0 => -126.0,
                1 => 110.0,
                _ => random.unit() * 236.0 - 126.0,
            };
            let scale = ((1.0 + random.unit() * 0.9) * exponent.exp2()) as f32;
            let mut b = Builder::new("g");
            let q = b.input("q", code, shape![codes.len()]);
            let real = b.dequantize(q, scale, zero as i32);
            let again = b.quantize(real, scale, zero as i32, code);
            b.output("y", again);
            let (before, after, report) = simplify(b);
            assert_eq!((report.count("dq_q"), kinds(&after).len()), (1, 0));
            let inputs = [("q".to_string(), codes.clone())];
            assert!(identical(&evaluate(&before, &inputs)[0].1, &codes), "{code} scale {scale:e} zero point {zero}");
        }
    }
}

#[test]
fn other_parameters_coarse_values_and_the_other_order_are_kept() {
    // (scale of the dequantize, of the quantize, zero points, target of the codes, whether it goes)
    for (a, b_scale, za, zb, to, goes) in [
        (0.1, 0.1, 0, 0, DType::I8, true),
        (0.1, 0.2, 0, 0, DType::I8, false),
        (0.1, 0.1, 0, 1, DType::I8, false),
        (0.1, 0.1, 0, 0, DType::U8, false),
        (1e-40, 1e-40, 0, 0, DType::I8, false),
        (1e38, 1e38, 0, 0, DType::I8, false),
        (0.0, 0.0, 0, 0, DType::I8, false),
        (-0.1, -0.1, 0, 0, DType::I8, false),
    ] {
        let mut b = Builder::new("g");
        let q = b.input("q", DType::I8, shape![4]);
        let real = b.dequantize(q, a, za);
        let again = b.quantize(real, b_scale, zb, to);
        b.output("y", again);
        assert_eq!(simplify(b).2.count("dq_q"), usize::from(goes), "{a} {b_scale} {za} {zb} {to}");
    }
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![4]);
    let q = b.quantize(x, 0.1, 0, DType::I8);
    let y = b.dequantize(q, 0.1, 0);
    b.output("y", y);
    assert!(simplify(b).2.fired.iter().all(|f| f.pass != "qdq"));
    // bf16 has too few bits to carry a code.
    let mut b = Builder::new("g");
    let q = b.input("q", DType::I8, shape![4]);
    let (scale, zero) = (b.scalar(Scalar::f32(0.1)), b.scalar(Scalar::new(DType::I8, Number::Int(0))));
    let real = b.apply(Op::to(&op::DEQUANTIZE, DType::BF16), &[q.into(), scale.into(), zero.into()]);
    let again = b.apply(Op::to(&op::QUANTIZE, DType::I8), &[real.into(), scale.into(), zero.into()]);
    b.output("y", again);
    assert_eq!(simplify(b).2.count("dq_q"), 0);
}

#[test]
fn codes_move_through_views_without_becoming_values() {
    let mut b = Builder::new("g");
    let p = b.input("p", DType::U8, shape!["n", 2, 3]);
    let q = b.input("q", DType::U8, shape!["n", 3, 2]);
    let (x, y) = (b.dequantize(p, 0.1, 7), b.dequantize(q, 0.1, 7));
    let t = view(&mut b, &[x], DType::F32, View::Transpose { axes: vec![0, 2, 1] }, shape!["n", 3, 2]);
    let c = view(&mut b, &[t, y], DType::F32, View::Concat { axis: 2 }, shape!["n", 3, 4]);
    let z = b.quantize(c, 0.1, 7, DType::U8);
    b.output("z", z);
    let (before, after, report) = simplify(b);
    assert_eq!((report.count("dq_view_q"), kinds(&after)), (1, vec!["transpose".into(), "concat".into()]));
    let mut random = Random::new(9);
    let inputs = [
        ("p".to_string(), random.tensor(DType::U8, &[2, 2, 3])),
        ("q".to_string(), random.tensor(DType::U8, &[2, 3, 2])),
    ];
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
    // Another scale on one side: the concat rescales, and must see values.
    let mut b = Builder::new("g");
    let (p, q) = (b.input("p", DType::U8, shape![3]), b.input("q", DType::U8, shape![3]));
    let (x, y) = (b.dequantize(p, 0.1, 7), b.dequantize(q, 0.2, 7));
    let c = view(&mut b, &[x, y], DType::F32, View::Concat { axis: 0 }, shape![6]);
    let z = b.quantize(c, 0.1, 7, DType::U8);
    b.output("z", z);
    assert_eq!(simplify(b).2.count("dq_view_q"), 0);
}

#[test]
fn the_maximum_of_codes_is_the_code_of_the_maximum() {
    let f = DType::F32;
    let mut b = Builder::new("g");
    let q = b.input("q", DType::I8, shape![1, 2, 6, 6]);
    let x = b.dequantize(q, 0.1, -3);
    let pool = Pool {
        kernel: vec![3, 3],
        strides: vec![2, 2],
        dilations: vec![1, 1],
        pads: vec![(1, 1); 2],
        ceil_mode: false,
        channels_last: false,
    };
    let pooled = Node::new(Kind::Structural(Structural::MaxPool(pool)), "p", Type::new(f, shape![1, 2, 3, 3]));
    let p = b.node(pooled, &[x]).value();
    let y = b.quantize(p, 0.1, -3, DType::I8);
    b.output("y", y);
    let (before, after, report) = simplify(b);
    assert_eq!((report.count("dq_view_q"), kinds(&after)), (1, vec!["MaxPool".into()]));
    let inputs = [("q".to_string(), Random::new(4).tensor(DType::I8, &[1, 2, 6, 6]))];
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
}

/// YOLO's spatial pyramid: what is pooled once, twice and three times is concatenated with what it was made of. One quantize below the
/// concatenation becomes one above everything, and the pools move codes.
#[test]
fn a_quantize_below_max_pools_moves_above_them() {
    let f = DType::F32;
    let pool = Pool {
        kernel: vec![5, 5],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads: vec![(2, 2); 2],
        ceil_mode: false,
        channels_last: false,
    };
    let build = |float: bool| {
        let mut b = Builder::new("g");
        let x = b.input("x", f, shape![1, 2, 6, 6]);
        let x = b.silu(x);
        let mut parts = vec![x];
        for i in 0..3 {
            let kind = Kind::Structural(Structural::MaxPool(pool.clone()));
            let from = parts[i];
            parts.push(b.node(Node::new(kind, &format!("p{i}"), Type::new(f, shape![1, 2, 6, 6])), &[from]).value());
        }
        let kind = Kind::View(View::Concat { axis: 1 });
        let all = b.node(Node::new(kind, "all", Type::new(f, shape![1, 8, 6, 6])), &parts).value();
        let y = b.quantize(all, 0.03, 9, DType::U8);
        b.output("y", y);
        if float {
            b.output("x_too", x);
        }
        simplify(b)
    };
    let (before, after, report) = build(false);
    assert_eq!(report.count("pool_q"), 3, "{report:?}");
    let found = kinds(&after);
    assert_eq!(found.iter().filter(|kind| kind.starts_with("quantize")).count(), 1, "{found:?}");
    assert_eq!(found.iter().filter(|kind| *kind == "MaxPool").count(), 3, "{found:?}");
    let values: Vec<f64> = (0..72).map(|i| f64::from(i * 37 % 72) * 0.2 - 6.0).collect();
    let inputs = [("x".to_string(), Tensor::from_f64(f, &[1, 2, 6, 6], &values).unwrap())];
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
    // What is read in float as well stays so for the first pool; the others read codes.
    let (before, after, report) = build(true);
    assert_eq!(report.count("pool_q"), 2);
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
}

/// What quantizes the pool's source with parameters of its own reads a value of a pointwise op, which then stores both.
#[test]
fn a_quantize_moves_above_a_pool_whose_source_has_other_codes_too() {
    let f = DType::F32;
    let (kernel, strides) = (vec![2, 2], vec![2, 2]);
    let pool =
        Pool { kernel, strides, dilations: vec![1, 1], pads: vec![(0, 0); 2], ceil_mode: false, channels_last: false };
    let mut b = Builder::new("g");
    let x = b.input("x", f, shape![1, 2, 6, 6]);
    let x = b.silu(x);
    let kind = Kind::Structural(Structural::MaxPool(pool));
    let p = b.node(Node::new(kind, "p", Type::new(f, shape![1, 2, 3, 3])), &[x]).value();
    let (whole, pooled) = (b.quantize(x, 0.05, 3, DType::U8), b.quantize(p, 0.03, 9, DType::U8));
    b.output("whole", whole);
    b.output("pooled", pooled);
    let (before, after, report) = simplify(b);
    assert_eq!(report.count("pool_q"), 1, "{report:?}");
    let values: Vec<f64> = (0..72).map(|i| f64::from(i * 37 % 72) * 0.2 - 6.0).collect();
    let inputs = [("x".to_string(), Tensor::from_f64(f, &[1, 2, 6, 6], &values).unwrap())];
    let (exact, found) = (evaluate(&before, &inputs), evaluate(&after, &inputs));
    assert!(exact.iter().zip(&found).all(|(e, f)| identical(&e.1, &f.1)));
}

#[test]
fn views_compose_and_vanish() {
    let f = DType::F32;
    let mut b = Builder::new("g");
    let x = b.input("x", f, shape!["n", 2, 6]);
    let r = view(&mut b, &[x], f, View::Reshape { to: shape!["n", 12] }, shape!["n", 12]);
    let back = view(&mut b, &[r], f, View::Reshape { to: shape!["n", 2, 6] }, shape!["n", 2, 6]);
    let t = view(&mut b, &[back], f, View::Transpose { axes: vec![2, 0, 1] }, shape![6, "n", 2]);
    let u = view(&mut b, &[t], f, View::Transpose { axes: vec![1, 2, 0] }, shape!["n", 2, 6]);
    let axis = |start: i64, step, size: Dim| SliceAxis { start: Dim::fixed(start), step, size };
    let n = || axis(0, 1, Dim::symbol("n"));
    let s = View::Slice { axes: vec![n(), axis(1, -1, Dim::fixed(2)), axis(5, -1, Dim::fixed(6))] };
    let s = view(&mut b, &[u], f, s, shape!["n", 2, 6]);
    let s2 = View::Slice { axes: vec![n(), axis(0, 1, Dim::fixed(1)), axis(1, 2, Dim::fixed(3))] };
    let y = view(&mut b, &[s], f, s2, shape!["n", 1, 3]);
    b.output("y", y);
    let (before, after, _) = simplify(b);
    assert_eq!(kinds(&after), ["slice"]);
    let inputs = [("x".to_string(), Random::new(5).tensor(f, &[3, 2, 6]))];
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
}

#[test]
fn an_expand_that_broadcasting_does_anyway_goes() {
    for (to, goes) in [(shape!["n", 4], true), (shape![3, 1, 4], false)] {
        let mut b = Builder::new("g");
        let (x, y) = (b.input("x", DType::F32, shape![4]), b.input("y", DType::F32, shape!["n", 4]));
        let e = view(&mut b, &[x], DType::F32, View::Expand { to: to.clone() }, to);
        let z = b.add(e, y);
        b.output("z", z);
        assert_eq!(simplify(b).2.count("expand_by_broadcast"), usize::from(goes));
    }
}

/// Channels-last code around channels-first ops.
#[test]
fn transposes_around_pointwise_ops_cancel() {
    let f = DType::F32;
    let build = |tap: bool| {
        let mut b = Builder::new("g");
        let (x, w) = (b.input("x", f, shape!["n", 3, 4]), b.input("w", f, shape!["n", 3, 4]));
        let last = |b: &mut Builder, x| view(b, &[x], f, View::Transpose { axes: vec![0, 2, 1] }, shape!["n", 4, 3]);
        let (p, q) = (last(&mut b, x), last(&mut b, w));
        let scale = b.constant("scale", Tensor::from_slice(&[3], &[1.5f32, -2.0, 3.25]).unwrap());
        let m = b.mul(p, scale);
        let s = b.add(m, q);
        let y = b.sigmoid(s);
        let out = view(&mut b, &[y], f, View::Transpose { axes: vec![0, 2, 1] }, shape!["n", 3, 4]);
        b.output("out", out);
        if tap {
            b.output("tap", s);
        }
        b
    };
    let (before, after, report) = simplify(build(false));
    assert_eq!(
        (report.count("cancelling_transposes"), kinds(&after)),
        (1, vec!["mul".into(), "add".into(), "sigmoid".into()])
    );
    let mut random = Random::new(2);
    let inputs = ["x", "w"].map(|name| (name.to_string(), random.tensor(f, &[2, 3, 4])));
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
    // If someone else reads what is in between, it would be computed twice.
    assert_eq!(simplify(build(true)).2.count("cancelling_transposes"), 0);
}

#[test]
fn scales_and_shifts_merge_within_their_bound() {
    let channels = |values: [f32; 3]| Tensor::from_slice(&[3, 1], &values).unwrap();
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape!["n", 3, 4]);
    let a = b.constant("a", channels([1.1, -0.7, 3.3]));
    let shift = b.constant("b", channels([0.3, 100.1, -5.0]));
    let c = b.constant("c", channels([0.9, 1.7, -0.01]));
    let y = b.mul(x, a);
    let y = b.add(y, shift);
    let y = b.mul(y, c);
    b.output("y", y);
    let (before, after, report) = simplify(b);
    assert_eq!((report.count("mul_add_mul"), kinds(&after)), (1, vec!["mul".into(), "add".into()]));
    let values: Vec<f64> = (0..240).map(|i| (f64::from(i) - 120.0) * 0.37).collect();
    let inputs = [("x".to_string(), Tensor::from_f64(DType::F32, &[20, 3, 4], &values).unwrap())];
    let (old, new) = (evaluate(&before, &inputs), evaluate(&after, &inputs));
    for (i, x) in values.into_iter().enumerate() {
        let channel = i / 4 % 3;
        let (a, b, c) = ([1.1, 0.7, 3.3][channel], [0.3, 100.1, 5.0][channel], [0.9, 1.7, 0.01][channel]);
        let larger = f64::max(x.abs() * a * c, b * c);
        let off = (old[0].1.at(i).as_f64() - new[0].1.at(i).as_f64()).abs();
        assert!(off <= 2.0 * larger * f64::from(f32::EPSILON), "{off:e} at {i}");
    }
    // A product that underflows is not merged.
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![4]);
    let y = b.mul(x, 1e-30);
    let y = b.mul(y, 1e-30);
    b.output("y", y);
    assert_eq!(simplify(b).2.count("mul_mul"), 0);
}

/// Bounds that cannot bind go, and no value changes, NaN and infinities included; a zero that makes −0 a +0 stays.
#[test]
fn bounds_that_no_value_reaches_go() {
    type Make = fn(&mut Builder, Value) -> Value;
    fn clip(b: &mut Builder, x: Value, low: f32, high: f32) -> Value {
        b.apply(Op::new(&op::CLIP), &[x.into(), low.into(), high.into()])
    }
    let cases: [(&str, usize, &[&str], Make); 8] = [
        ("lower_bound", 1, &["abs", "sub", "min"], |b, x| {
            let abs = b.unary(&op::ABS, x);
            let less = b.sub(abs, 0.3);
            clip(b, less, -4.0, 4.0)
        }),
        ("upper_bound", 1, &["sigmoid", "max"], |b, x| {
            let y = b.sigmoid(x);
            clip(b, y, 0.1, 1.0)
        }),
        ("no_bound", 1, &["sigmoid"], |b, x| {
            let y = b.sigmoid(x);
            clip(b, y, -1.0, 1.5)
        }),
        ("no_bound", 1, &["exp", "add"], |b, x| {
            let y = b.unary(&op::EXP, x);
            let y = b.add(y, 1.0);
            b.unary(&op::RELU, y)
        }),
        // The operand may be −0, of which the maximum with 0 is +0.
        ("no_bound", 0, &["neg", "mul", "relu"], |b, x| {
            let y = b.unary(&op::NEG, x);
            let y = b.mul(y, y);
            b.unary(&op::RELU, y)
        }),
        ("lower_bound", 0, &["clip"], |b, x| clip(b, x, -4.0, 4.0)),
        ("lower_bound", 0, &["abs", "clip"], |b, x| {
            let abs = b.unary(&op::ABS, x);
            clip(b, abs, 0.0, 6.0)
        }),
        // Bounds that cross give the upper one.
        ("upper_bound", 0, &["sigmoid", "clip"], |b, x| {
            let y = b.sigmoid(x);
            clip(b, y, 3.0, 2.0)
        }),
    ];
    for (rule, count, left, make) in cases {
        for dtype in [DType::F32, DType::F16] {
            let mut b = Builder::new("g");
            let x = b.input("x", dtype, shape!["n"]);
            let y = make(&mut b, x);
            b.output("y", y);
            let (before, after, report) = simplify(b);
            assert_eq!(
                (report.count(rule), kinds(&after)),
                (count, left.iter().map(ToString::to_string).collect()),
                "{rule}"
            );
            let edges = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-7, -1e-7, 65504.0, -65504.0];
            let values: Vec<f64> = (0..400).map(|i| f64::from(i - 200) * 0.05).chain(edges).collect();
            let inputs = [("x".to_string(), Tensor::from_f64(dtype, &[values.len()], &values).unwrap())];
            assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1), "{rule} {left:?}");
        }
    }
}

#[test]
fn ops_move_above_the_concatenation_they_read() {
    let f = DType::F32;
    let mut b = Builder::new("g");
    let (x, w) = (b.input("x", f, shape!["n", 3, 4]), b.input("w", f, shape!["n", 2, 4]));
    let both = view(&mut b, &[x, w], f, View::Concat { axis: 1 }, shape!["n", 5, 4]);
    let scale = b.constant("scale", Tensor::from_slice(&[5, 1], &[1.5f32, -2.0, 3.25, 0.5, 7.0]).unwrap());
    let row = b.constant("row", Tensor::from_slice(&[4], &[1.0f32, 2.0, 3.0, 4.0]).unwrap());
    let y = b.mul(both, scale);
    let y = b.add(y, row);
    let codes = b.quantize(y, 0.1, 3, DType::I8);
    b.output("codes", codes);
    let (before, after, report) = simplify(b);
    assert_eq!(report.count("op_of_concat"), 3);
    let kinds = kinds(&after);
    let quantizes = kinds.iter().filter(|k| *k == "quantize.i8").count();
    assert_eq!((quantizes, kinds.last().map(String::as_str), kinds.len()), (2, Some("concat"), 7), "{kinds:?}");
    let mut random = Random::new(3);
    let inputs = [("x".to_string(), random.tensor(f, &[2, 3, 4])), ("w".to_string(), random.tensor(f, &[2, 2, 4]))];
    assert!(identical(&evaluate(&before, &inputs)[0].1, &evaluate(&after, &inputs)[0].1));
    assert_eq!(after.outputs()[0].0, "codes");
}
