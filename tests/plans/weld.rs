//! Kernels welded onto products: which ops become whose epilogue, where factors are read, and that plans compute what graphs say.

use crate::graphs::{Net, bodies, reason, verdict};
use crate::random_convnet;
use crate::random_graph::Random;
use pointweld::anchor::{Anchor, is_thin};
use pointweld::dtype::DType;
use pointweld::fuse::{Options, fuse};
use pointweld::graph::{Graph, Kind, NodeId, Value};
use pointweld::passes;
use pointweld::plan::{Contraction, Plan, Reason, Verdict};
use pointweld::reference::{self, Rounding, run_graph, run_plan};
use pointweld::shape;
use pointweld::tensor::Tensor;
use proptest::prelude::*;

fn prepared(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let options = passes::Options { verify: true, weld: true, ..passes::Options::default() };
    passes::run(&mut graph, &options, |_, _, _| {}).unwrap();
    graph
}

fn options() -> Options {
    Options { weld: true, ..Options::default() }
}

fn welded(graph: &Graph) -> Plan {
    fuse(&prepared(graph), &options()).unwrap()
}

/// A 1×1 convolution with SiLU.
fn conv_silu(net: &mut Net, name: &str, x: Value, channels: usize) -> Value {
    let y = net.conv(name, x, channels);
    let (dtype, shape) = net.b.ty(y).full().map(|(t, s)| (t, s.clone())).unwrap();
    let y = net.b.silu(y);
    net.typed(y, dtype, shape)
}

fn sum(net: &mut Net, a: Value, b: Value) -> Value {
    let (dtype, shape) = net.b.ty(a).full().map(|(t, s)| (t, s.clone())).unwrap();
    let y = net.b.add(a, b);
    net.typed(y, dtype, shape)
}

fn products(plan: &Plan) -> Vec<&str> {
    plan.kernels().filter_map(|k| Some(k.product.as_ref()?.name.as_str())).collect()
}

/// The label of the only sum of a plan's graph.
fn label(graph: &Graph, v: Value) -> String {
    graph.node(v.node).label().to_string()
}

#[test]
fn a_block_of_convolutions_is_a_kernel_each() {
    // YOLOv8's C2f: a result split in two, a bottleneck with a residual sum on one half, all of it concatenated.
    let mut net = Net::new("c2f");
    let x = net.input("x", DType::F16, shape!["batch", 32, 10, 10]);
    let y = conv_silu(&mut net, "cv1", x, 32);
    let (first, second) = (net.slice("first", y, 1, 0, 16), net.slice("second", y, 1, 16, 16));
    let m = conv_silu(&mut net, "m1", second, 16);
    let m = conv_silu(&mut net, "m2", m, 16);
    let m = sum(&mut net, second, m);
    let all = net.concat("all", &[first, second, m], 1);
    let z = conv_silu(&mut net, "cv2", all, 32);
    net.output("z", z);
    let plan = welded(&net.graph());
    assert_eq!(products(&plan), ["cv1", "m1", "m2", "cv2"]);
    // The input is moved to channels last by a kernel of its own; the output is stored with channels first.
    assert_eq!(bodies(&plan), [vec![], vec!["silu"], vec!["silu"], vec!["silu", "add"], vec!["silu"]], "{plan}");
    // The second half is read where it lies: in the buffer of the concatenation, 48 channels wide.
    let kernel = plan.kernels().find(|k| k.product.as_ref().is_some_and(|p| p.name == "m1")).unwrap();
    let Contraction::Conv { first, pitch, channels, .. } = &kernel.product.as_ref().unwrap().contraction else {
        panic!()
    };
    assert_eq!((first.known(), pitch.known(), channels.known()), (Some(16), Some(48), Some(16)));
    assert!(matches!(verdict(&plan, "second", "m1"), Verdict::Fused { .. }));
}

/// x → conv a, conv b → sum, which both could compute.
fn branches(net: &mut Net) -> Value {
    let x = net.input("x", DType::F32, shape![2, 8, 6, 6]);
    let y = net.input("y", DType::F32, shape![2, 24, 6, 6]);
    let a = conv_silu(net, "a", x, 16);
    let b = conv_silu(net, "b", y, 16);
    sum(net, a, b)
}

#[test]
fn a_residual_sum_joins_one_product_and_says_why() {
    let mut net = Net::new("g");
    let s = branches(&mut net);
    net.output("s", s);
    let graph = net.graph();
    let plan = welded(&graph);
    assert_eq!(products(&plan).len(), 2);
    let cut = plan.decisions.iter().filter(|d| d.to == label(&graph, s));
    let cut: Vec<_> =
        cut.filter(|d| matches!(d.verdict, Verdict::Cut { reason: Reason::OtherProduct { .. } })).collect();
    assert_eq!(cut.len(), 1, "{plan}");
    assert!(cut[0].to_string().contains("one kernel holds one product"), "{}", cut[0]);
}

#[test]
fn a_residual_sum_goes_where_more_is_saved() {
    // The first branch is read by another convolution as well, so it is written in any case.
    for wanted in ["a", "b"] {
        let mut net = Net::new("g");
        let x = net.input("x", DType::F32, shape![2, 8, 6, 6]);
        let y = net.input("y", DType::F32, shape![2, 24, 6, 6]);
        let a = conv_silu(&mut net, "a", x, 16);
        let b = conv_silu(&mut net, "b", y, 16);
        let s = sum(&mut net, a, b);
        let other = if wanted == "a" { b } else { a };
        let z = net.conv("z", other, 4);
        net.output("s", s);
        net.output("z", z);
        let graph = net.graph();
        let plan = welded(&graph);
        let host = plan.kernels().find(|k| k.body.iter().any(|s| s.op.name() == "add")).unwrap();
        assert_eq!(host.product.as_ref().unwrap().name, wanted, "{plan}");
    }
}

#[test]
fn a_sum_does_not_join_the_product_that_its_other_operand_waits_for() {
    let mut net = Net::new("g");
    let x = net.input("x", DType::F32, shape![2, 16, 6, 6]);
    let a = conv_silu(&mut net, "a", x, 16);
    let b = conv_silu(&mut net, "b", a, 16);
    let s = sum(&mut net, a, b);
    net.output("s", s);
    let graph = net.graph();
    let plan = welded(&graph);
    let host = plan.kernels().find(|k| k.body.iter().any(|s| s.op.name() == "add")).unwrap();
    assert_eq!(host.product.as_ref().unwrap().name, "b");
    let edge = plan.decisions.iter().find(|d| d.to == label(&graph, s) && d.from != label(&graph, b)).unwrap();
    assert!(matches!(edge.verdict, Verdict::Cut { reason: Reason::Cycle { .. } }), "{edge}");
}

#[test]
fn the_user_decides() {
    let mut net = Net::new("g");
    let s = branches(&mut net);
    net.output("s", s);
    let graph = net.graph();
    let after = prepared(&graph);
    let silu = |of: &str| {
        let is_anchor = |id: &NodeId| matches!(after.node(*id).kind, Kind::Anchor(_));
        let conv = after.ids().filter(is_anchor).find(|id| after.node(*id).label() == of).unwrap();
        label(&after, after.users(conv)[0].1.value())
    };
    let sum = label(&graph, s);
    for of in ["a", "b"] {
        let plan = fuse(&after, &Options { fuse: vec![(silu(of), sum.clone())], ..options() }).unwrap();
        let host = plan.kernels().find(|k| k.body.iter().any(|s| s.op.name() == "add")).unwrap();
        assert_eq!(host.product.as_ref().unwrap().name, of);
    }
    let plan = fuse(&after, &Options { keep_apart: vec![("a".into(), silu("a"))], ..options() }).unwrap();
    assert_eq!(reason(&plan, "a", &silu("a")), &Reason::KeptApart);
}

#[test]
fn what_ends_an_epilogue_is_said() {
    let mut net = Net::new("g");
    let x = net.input("x", DType::F32, shape![2, 8, 1, 6]);
    let y = net.input("y", DType::F32, shape![2, 16, 6, 6]);
    let a = conv_silu(&mut net, "a", x, 16);
    let s = net.b.mul(a, y);
    net.output("s", s);
    let graph = net.graph();
    let plan = welded(&graph);
    let edge = plan.decisions.iter().find(|d| d.to == label(&graph, s)).unwrap();
    let expected = Reason::EpilogueEnds { product: "a".into() };
    assert_eq!(edge.verdict, Verdict::Cut { reason: expected }, "{plan}");
}

#[test]
fn a_product_without_a_template_is_a_routine_and_says_why() {
    let mut net = Net::new("g");
    let x = net.input("x", DType::F64, shape![2, 8, 6, 6]);
    let a = net.conv("a", x, 16);
    let y = net.b.relu(a);
    net.output("y", y);
    let graph = net.graph();
    let plan = welded(&graph);
    let routine = plan.routines().next().unwrap_or_else(|| panic!("{plan}"));
    assert_eq!((routine.label.as_str(), routine.stages.len()), ("a", 1));
    assert!(matches!(reason(&plan, "a", &label(&graph, y)), Reason::NoTemplate { .. }));
}

fn assert_close(expected: &[(String, Tensor)], found: &[(String, Tensor)], plan: &Plan) -> Result<(), TestCaseError> {
    for ((name, a), (other, b)) in expected.iter().zip(found) {
        prop_assert_eq!((name, a.sizes(), a.dtype()), (other, b.sizes(), b.dtype()));
        let (a, b) = (a.to_f64(), b.to_f64());
        let scale = a.iter().fold(1e-3f64, |scale, x| scale.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            let close = (x - y).abs() <= 1e-5 * scale || x == y || (x.is_nan() && y.is_nan());
            prop_assert!(close, "{name}: {x} {y}\n{plan}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_welded_plan_computes_what_its_graph_says(seed in any::<u64>(), ops in 1usize..20) {
        let g = random_convnet::generate(seed, ops);
        let after = prepared(&g.graph);
        let plan = fuse(&after, &options()).unwrap();
        prop_assert_eq!(&plan, &fuse(&after, &options()).unwrap());
        let cpu = reference::Options::default();
        let expected = run_graph(&g.graph, &g.inputs, &cpu).unwrap();
        for mode in [Rounding::EachStatement, Rounding::Exact] {
            let found = run_plan(&plan, &after, &g.inputs, mode, &cpu);
            let found = found.unwrap_or_else(|e| panic!("{e}\n{plan}"));
            assert_close(&expected, &found, &plan)?;
        }
        let thin = |id: &NodeId| after.ty(after.operands(*id)[1]).shape.as_ref().is_some_and(is_thin);
        let welds = |id: &NodeId| match after.node(*id).kind {
            Kind::Anchor(Anchor::ConvLast { .. }) => !thin(id),
            Kind::Anchor(_) => true,
            _ => false,
        };
        let anchors = after.ids().filter(welds).count();
        prop_assert_eq!(products(&plan).len(), anchors, "{}", plan);
        for kernel in plan.kernels() {
            if let Some(product) = &kernel.product {
                prop_assert_eq!(kernel.domain.last().unwrap(), product.contraction.columns(), "{}", kernel);
                let rows = kernel.domain.iter().rev().skip(1).fold(pointweld::dim::Dim::ONE, |n, d| n.mul(d).unwrap());
                prop_assert_eq!(rows, product.contraction.rows().unwrap(), "{}", kernel);
            }
        }
    }
}

#[test]
fn the_demo_is_a_kernel_a_convolution() {
    let graph = pointweld::demo::c3_block().unwrap();
    let plan = welded(&graph);
    assert_eq!(products(&plan).len(), 5, "{plan}");
    // Beside them the input moved to channels last.
    assert_eq!(plan.kernels().count(), 6, "{plan}");
    let random = &mut Random::new(1);
    let values: Vec<f64> = (0..64 * 40 * 40).map(|_| random.unit() * 8.0 - 4.0).collect();
    let x = Tensor::from_f64(DType::F32, &[1, 64, 40, 40], &values).unwrap();
    let inputs = [(plan.inputs[0].0.clone(), x)];
    let cpu = reference::Options::default();
    let expected = run_graph(&graph, &inputs, &cpu).unwrap();
    let found = run_plan(&plan, &prepared(&graph), &inputs, Rounding::Exact, &cpu).unwrap();
    let (a, b) = (expected[0].1.to_f64(), found[0].1.to_f64());
    // The written form rounds each sum; a code may lie at a tie.
    let off = a.iter().zip(&b).filter(|(x, y)| x != y).count();
    assert!(off * 1000 < a.len() && a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= 1.0), "{off} of {}", a.len());
}
