//! What the user asks for by name.

use crate::graphs::{Net, bodies, plan, reason};
use pointweld::compiler::Compiler;
use pointweld::dtype::DType::F32;
use pointweld::fuse::{FuseError, Options, fuse};
use pointweld::graph::Graph;
use pointweld::op;
use pointweld::plan::Reason;
use pointweld::reference::{Options as RunOptions, Rounding, run_graph, run_plan};
use pointweld::shape;
use pointweld::tensor::Tensor;

fn pair(a: &str, b: &str) -> Vec<(String, String)> {
    vec![(a.into(), b.into())]
}

/// x → relu_1 → sigmoid_2 → tanh_3 → y
fn chain() -> Graph {
    let mut n = Net::new("chain");
    let x = n.input("x", F32, shape!["n", 16]);
    let a = n.b.relu(x);
    let b = n.b.sigmoid(a);
    let c = n.b.unary(&op::TANH, b);
    n.output("y", c);
    n.graph()
}

#[test]
fn nodes_are_kept_apart() {
    let options = Options { keep_apart: pair("relu_1", "sigmoid_2"), ..Options::default() };
    let p = fuse(&chain(), &options).unwrap();
    assert_eq!(bodies(&p), [vec!["relu"], vec!["sigmoid", "tanh"]]);
    assert_eq!(*reason(&p, "relu_1", "sigmoid_2"), Reason::KeptApart);
    // Not only neighbours: the ends of a chain, too.
    let options = Options { keep_apart: pair("tanh_3", "relu_1"), ..Options::default() };
    assert_eq!(bodies(&fuse(&chain(), &options).unwrap()), [vec!["relu"], vec!["sigmoid", "tanh"]]);
}

#[test]
fn fusing_is_forced_against_the_cost() {
    let mut n = Net::new("g");
    let (x, y) = (n.input("x", F32, shape![4096, 4096]), n.input("y", F32, shape![4096]));
    let mut v = y;
    for _ in 0..16 {
        v = n.b.unary(&op::TAN, v);
    }
    let z = n.b.mul(x, v);
    n.output("z", z);
    let g = n.graph();
    assert_eq!(plan(&g).kernels().count(), 2);
    let options = Options { fuse: pair("tan_2", "mul_18"), ..Options::default() };
    assert_eq!(fuse(&g, &options).unwrap().kernels().count(), 1);
}

#[test]
fn what_cannot_be_fused_says_why() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![1, 8, 4, 4]);
    let a = n.b.relu(x);
    let a = n.typed(a, F32, shape![1, 8, 4, 4]);
    let c = n.conv("conv", a, 8);
    let y = n.b.relu(c);
    n.output("y", y);
    let options = Options { fuse: pair("relu_1", "relu_4"), ..Options::default() };
    let error = fuse(&n.graph(), &options).unwrap_err();
    assert!(matches!(error, FuseError::NotConnected { .. }), "{error}");
}

#[test]
fn apart_and_fused_at_once_is_an_error() {
    let both = pair("relu_1", "sigmoid_2");
    let options = Options { keep_apart: both.clone(), fuse: both, ..Options::default() };
    let error = fuse(&chain(), &options).unwrap_err();
    assert!(matches!(&error, FuseError::Unfusable { reason: Reason::KeptApart, .. }), "{error}");
}

#[test]
fn an_unknown_name_gets_near_ones() {
    let options = Options { keep_apart: pair("relu1", "sigmoid_2"), ..Options::default() };
    let error = fuse(&chain(), &options).unwrap_err();
    assert_eq!(error.to_string(), "no node is named relu1; did you mean relu_1?");
    let options = Options { taps: vec!["sigmiod_2".into()], ..Options::default() };
    let error = fuse(&chain(), &options).unwrap_err();
    assert_eq!(error.to_string(), "no value is named sigmiod_2; did you mean sigmoid_2?");
}

#[test]
fn a_tap_is_a_store_of_the_very_same_kernel() {
    let plain = plan(&chain());
    let options = Options { taps: vec!["sigmoid_2".into()], ..Options::default() };
    let tapped = fuse(&chain(), &options).unwrap();
    assert_eq!(tapped.decisions, plain.decisions);
    let (a, b) = (plain.kernels().next().unwrap(), tapped.kernels().next().unwrap());
    assert_eq!((&a.name, &a.body, &a.loads, &a.domain), (&b.name, &b.body, &b.loads, &b.domain));
    assert_eq!((a.stores.len(), b.stores.len()), (1, 2));
    assert_eq!(tapped.outputs.last().unwrap().0, "sigmoid_2");
}

/// x → sigmoid_1 → mul_2 (x times it) → relu_3 → y: the passes make a SiLU of the first two.
fn silu() -> Graph {
    let mut n = Net::new("silu");
    let x = n.input("x", F32, shape!["n", 16]);
    let s = n.b.sigmoid(x);
    let y = n.b.mul(x, s);
    let y = n.b.relu(y);
    n.output("y", y);
    n.graph()
}

#[test]
fn a_tap_on_what_a_rule_would_swallow_is_stored_by_the_same_kernel() {
    let planned = Compiler::new().tap("sigmoid_1").plan(&silu()).unwrap();
    assert_eq!(bodies(&planned.plan), [vec!["sigmoid", "silu", "relu"]]);
    let kernel = planned.plan.kernels().next().unwrap();
    assert_eq!(kernel.stores.len(), 2);
    let names: Vec<&str> = planned.plan.outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["y", "sigmoid_1"]);
    let input = [("x", Tensor::from_slice(&[1, 16], &[0.5f32; 16]).unwrap())];
    let outputs =
        run_plan(&planned.plan, &planned.graph, &input, Rounding::EachStatement, &RunOptions::default()).unwrap();
    let of = |graph: &Graph| run_graph(graph, &input, &RunOptions::default()).unwrap();
    assert_eq!(outputs[0].1, of(&silu())[0].1);
    assert_eq!(outputs[1].1.to_f64()[0], f64::from(1.0f32 / (1.0 + (-0.5f32).exp())));
}

#[test]
fn halves_of_what_a_rule_recognises_are_kept_apart() {
    let planned = Compiler::new().keep_apart("sigmoid_1", "mul_2").plan(&silu()).unwrap();
    assert_eq!(bodies(&planned.plan), [vec!["sigmoid"], vec!["mul", "relu"]]);
    assert_eq!(reason(&planned.plan, "sigmoid_1", "mul_2"), &Reason::KeptApart);
    let input = [("x", Tensor::from_slice(&[1, 16], &[0.5f32; 16]).unwrap())];
    let outputs =
        run_plan(&planned.plan, &planned.graph, &input, Rounding::EachStatement, &RunOptions::default()).unwrap();
    let halves = 0.5 * f64::from(1.0f32 / (1.0 + (-0.5f32).exp()));
    assert!((outputs[0].1.to_f64()[0] - halves).abs() < 1e-7);
    // Other pins leave the rule alone, and to ask for what it does anyway is no error.
    for compiler in [Compiler::new().keep_apart("sigmoid_1", "relu_3"), Compiler::new().fuse("sigmoid_1", "mul_2")] {
        let planned = compiler.plan(&silu()).unwrap();
        assert!(bodies(&planned.plan).concat().contains(&"silu"), "{:?}", bodies(&planned.plan));
    }
}

#[test]
fn a_tap_that_nothing_else_reads_is_an_output() {
    let mut n = Net::new("dead");
    let x = n.input("x", F32, shape!["n", 16]);
    let unread = n.b.sigmoid(x);
    let unread = n.b.relu(unread);
    let y = n.b.tanh(x);
    n.output("y", y);
    let graph = n.graph();
    let name = graph.value_name(unread).to_owned();
    let planned = Compiler::new().tap(&name).plan(&graph).unwrap();
    assert_eq!(planned.plan.outputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["y", name.as_str()]);
    assert!(Compiler::new().tap("y").plan(&graph).is_ok(), "an output may be asked for again");
}
