//! Why edges were cut, and what costs decide.

use crate::graphs::{Net, bodies, plan, reason, verdict};
use pointweld::dim::{Bindings, Dim};
use pointweld::dtype::DType::{F16, F32, I4, I8};
use pointweld::fuse::{Options, fuse, unfused};
use pointweld::graph::{Kind, Node, Type};
use pointweld::op::{self, Op};
use pointweld::plan::{Reason, Verdict};
use pointweld::reference::{self, Rounding, run_graph, run_plan};
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::tensor::Tensor;

#[test]
fn a_convolution_is_not_pointwise() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![1, 8, 4, 4]);
    let c = n.conv("conv", x, 8);
    let y = n.b.relu(c);
    n.output("y", y);
    let p = plan(&n.graph());
    assert_eq!(*reason(&p, "conv", "relu_3"), Reason::NotPointwise { node: "conv".into(), kind: "conv".into() });
}

#[test]
fn a_cycle_names_what_it_goes_through() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![1, 8, 64, 64]);
    let a = n.b.sigmoid(x);
    let a = n.typed(a, F32, shape![1, 8, 64, 64]);
    let c = n.conv("conv", a, 8);
    let y = n.b.add(a, c);
    n.output("y", y);
    let p = plan(&n.graph());
    assert_eq!(*reason(&p, "sigmoid_1", "add_4"), Reason::Cycle { through: "conv".into() });
}

#[test]
fn types_narrower_than_a_byte_stay_nodes() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![64]);
    let q = n.b.quantize(x, 0.1, 0, I4);
    let y = n.b.dequantize(q, 0.1, 0);
    let z = n.b.relu(y);
    n.output("z", z);
    let g = n.graph();
    let p = plan(&g);
    assert_eq!(bodies(&p), [vec!["relu"]]);
    let between = p.decisions.iter().find(|d| d.producer.node == q.node).unwrap();
    let unsupported = |v: &Verdict| matches!(v, Verdict::Cut { reason: Reason::UnsupportedType { dtype: I4, .. } });
    assert!(unsupported(&between.verdict), "{p}");
}

#[test]
fn what_is_not_known_bounds_fusion_and_stops_nothing() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![64]);
    let a = n.b.relu(x);
    let opaque = Kind::Opaque { domain: "com.example".into(), op_type: "Magic".into() };
    let magic = n.b.node(Node::new(opaque, "magic", Type::default()), &[a]).value();
    let node = Node::new(Kind::Pointwise(Op::new(&op::RELU)), "after", Type::default()).with_origin("after", "Relu");
    let after = n.b.node(node, &[magic]).value();
    n.output("y", after);
    n.output("a", a);
    let p = plan(&n.graph());
    assert_eq!(bodies(&p), [vec!["relu"]]);
    assert!(matches!(reason(&p, "magic", "after"), Reason::NotPointwise { .. } | Reason::UnknownType { .. }));
}

#[test]
fn a_symbol_against_a_size_is_decided_by_the_launch() {
    for (x, y, result) in [
        (shape!["n", 8], shape![4, 8], shape![4, 8]),
        (shape![8, "n"], shape![8, 4], shape![8, 4]),
        (
            shape!["n", 8],
            shape!["m", 8],
            Shape(vec![Dim::symbol("n").larger(&Dim::symbol("m")).unwrap(), Dim::fixed(8)]),
        ),
    ] {
        let mut n = Net::new("g");
        let (a, b) = (n.input("x", F32, x.clone()), n.input("y", F32, y.clone()));
        let a = n.b.relu(a);
        let add =
            Node::new(Kind::Pointwise(Op::new(&op::ADD)), "sum", Type::new(F32, result)).with_origin("sum", "Add");
        let z = n.b.node(add, &[a, b]).value();
        n.output("z", z);
        let graph = n.graph();
        let p = plan(&graph);
        assert_eq!(bodies(&p), [vec!["relu", "add"]], "{p}");
        assert!(p.kernels().all(|kernel| kernel.broadcasts.iter().any(|b| b.node == "sum")), "{p}");
        let run = |size: u64| {
            let sizes = Bindings::from([("n".to_owned(), size), ("m".to_owned(), 4)]);
            let tensor = |shape: &Shape, from: f64| {
                let sizes = shape.eval(&sizes).unwrap();
                let values: Vec<f64> = (0..sizes.iter().product()).map(|i: usize| from - i as f64).collect();
                Tensor::from_f64(F32, &sizes, &values).unwrap()
            };
            let inputs = [("x", tensor(&x, 7.0)), ("y", tensor(&y, 100.0))];
            let options = reference::Options::default();
            let whole = run_graph(&graph, &inputs, &options);
            (whole, run_plan(&p, &graph, &inputs, Rounding::EachStatement, &options))
        };
        for size in [1, 4] {
            let (graph, plan) = run(size);
            assert_eq!(graph.unwrap(), plan.unwrap());
        }
        let (graph, plan) = run(3);
        assert!(graph.is_err());
        let error = plan.unwrap_err().to_string();
        assert!(error.contains("sum") && error.contains("= 3") && error.contains("4"), "{error}");
    }
}

#[test]
fn a_cheap_producer_is_computed_again_rather_than_stored_wide() {
    // The f32 value of a code has four times its bytes: two kernels that cannot be one both read the code.
    let mut n = Net::new("g");
    let x = n.input("x", I8, shape![32, 64, 80, 80]);
    let real = n.b.dequantize(x, 0.05, 0);
    let real = n.typed(real, F32, shape![32, 64, 80, 80]);
    let a = n.b.silu(real);
    let a = n.typed(a, F32, shape![32, 64, 80, 80]);
    let c = n.conv("conv", a, 64);
    let y = n.b.add(real, c);
    n.output("y", y);
    let p = plan(&n.graph());
    assert_eq!(bodies(&p), [vec!["dequantize", "silu"], vec!["dequantize", "add"]]);
    assert!(matches!(verdict(&p, "dequantize_3", "add_7"), Verdict::Fused { recomputed: true, .. }), "{p}");
}

#[test]
fn a_dear_producer_is_stored_rather_than_computed_again() {
    let mut n = Net::new("g");
    let x = n.input("x", F16, shape![32, 64, 80, 80]);
    let (mut v, shape) = (x, shape![32, 64, 80, 80]);
    for _ in 0..8 {
        v = n.b.unary(&op::TAN, v);
    }
    let a = n.b.relu(v);
    let a = n.typed(a, F16, shape);
    let c = n.conv("conv", a, 64);
    let y = n.b.add(v, c);
    n.output("y", y);
    let p = plan(&n.graph());
    let tans: Vec<usize> = bodies(&p).iter().map(|b| b.iter().filter(|op| **op == "tan").count()).collect();
    assert_eq!(tans, [8, 0], "{p}");
    let cut = p.decisions.iter().find(|d| d.producer == v && d.consumer == y.node).unwrap();
    assert!(matches!(&cut.verdict, Verdict::Cut { .. }), "{p}");
}

#[test]
fn dear_work_on_a_small_tensor_is_not_done_for_every_element_of_a_large_one() {
    let build = |work: usize| {
        let mut n = Net::new("g");
        let (x, y) = (n.input("x", F16, shape![4096, 4096]), n.input("y", F16, shape![4096]));
        let mut v = y;
        for _ in 0..work {
            v = n.b.unary(&op::TAN, v);
        }
        let z = n.b.mul(x, v);
        n.output("z", z);
        plan(&n.graph())
    };
    assert_eq!(bodies(&build(1)), [vec!["tan", "mul"]]);
    let dear = build(10);
    assert_eq!(bodies(&dear), [vec!["tan"; 10], vec!["mul"]], "{dear}");
    assert!(matches!(reason(&dear, "tan_11", "mul_12"), Reason::Cost { fused_ns, cut_ns, .. } if fused_ns > cut_ns));
}

#[test]
fn reshapes_at_the_border_share_memory() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape!["batch", 8, 4, 4]);
    let c = n.conv("conv", x, 8);
    let r = n.reshape("flat", c, shape!["batch", 128]);
    let r2 = n.reshape("again", r, shape!["batch", 2, 64]);
    n.output("y", r2);
    let p = plan(&n.graph());
    assert_eq!(p.kernels().count(), 0);
    assert_eq!(*verdict(&p, "flat", "again"), Verdict::Alias);
}

#[test]
fn uniform_constants_are_numbers_and_others_are_loaded() {
    let mut n = Net::new("g");
    let x = n.input("x", F32, shape![2, 3]);
    let ones = n.b.constant("ones", Tensor::from_f64(F32, &[2, 3], &[1.0; 6]).unwrap());
    let ramp = n.b.constant("ramp", Tensor::from_f64(F32, &[3], &[1.0, 2.0, 3.0]).unwrap());
    let y = n.b.add(x, ones);
    let y = n.b.mul(y, ramp);
    n.output("y", y);
    let p = plan(&n.graph());
    assert_eq!(p.kernels().next().unwrap().loads.len(), 2);
    assert!(p.buffers.iter().all(|b| b.name != "ones"));
}

#[test]
fn limits_cut_with_their_reason() {
    let mut n = Net::new("g");
    let mut sum = n.input("x0", F32, shape![1024]);
    for i in 1..40 {
        let x = n.input(&format!("x{i}"), F32, shape![1024]);
        sum = n.b.add(sum, x);
    }
    n.output("y", sum);
    let g = n.graph();
    let p = fuse(&g, &Options { max_loads: 16, ..Options::default() }).unwrap();
    assert!(p.kernels().all(|k| k.loads.len() <= 16));
    assert_eq!(p.kernels().count(), 3);
    let cut = |d: &&pointweld::plan::Decision| {
        matches!(&d.verdict, Verdict::Cut { reason: Reason::TooLarge { limit: 16, .. } })
    };
    assert_eq!(p.decisions.iter().filter(cut).count(), 2);
}

#[test]
fn bytes_before_and_after_are_formulas() {
    let mut n = Net::new("g");
    let x = n.input("x", I8, shape!["batch", 100]);
    let real = n.b.dequantize(x, 0.05, 0);
    let y = n.b.silu(real);
    let q = n.b.quantize(y, 0.05, 0, I8);
    n.output("q", q);
    let g = n.graph();
    let before = unfused(&g, &Options::default(), |_| false).unwrap();
    let after = plan(&g).moved().unwrap();
    assert_eq!((before.launches, before.bytes.to_string()), (3, "1800*batch".into()));
    assert_eq!((after.launches, after.bytes.to_string()), (1, "200*batch".into()));
}

#[test]
fn elements_that_lie_apart_move_their_sectors() {
    let moved = |n: Net| {
        let moved = plan(&n.graph()).moved().unwrap();
        (moved.launches, moved.bytes.known().unwrap(), moved.sectors.known().unwrap())
    };
    // Channels last to channels first: 6 bytes for each element of 2 that is read.
    let mut n = Net::new("few");
    let x = n.input("x", F16, shape![1024, 3]);
    let t = n.transpose("t", x, &[1, 0]);
    let y = n.b.relu(t);
    n.output("y", y);
    assert_eq!(moved(n), (1, 2 * 2 * 3072, 6 * 3072 + 2 * 3072));
    // A tile of shared memory reads as much of both axes as it needs.
    let mut n = Net::new("many");
    let x = n.input("x", F16, shape![1024, 64]);
    let t = n.transpose("t", x, &[1, 0]);
    let y = n.b.relu(t);
    n.output("y", y);
    assert_eq!(moved(n), (1, 2 * 2 * 65536, 2 * 2 * 65536));
}

#[test]
fn a_view_that_scatters_reads_is_a_pass_if_enough_kernels_read_it() {
    let gather = |rows: usize, kernels: usize| {
        let mut n = Net::new("g");
        let x = n.input("x", F16, shape![rows, 8]);
        let t = n.transpose("t", x, &[1, 0]);
        let names: Vec<String> = (0..kernels).map(|i| format!("r{i}")).collect();
        for name in &names {
            let node = Node::new(Kind::Pointwise(Op::new(&op::RELU)), name, Type::new(F16, shape![8, rows]));
            let y = n.b.node(node.with_origin(name, "Relu"), &[t]).value();
            n.output(name, y);
        }
        let pairs = names.iter().enumerate();
        let keep_apart = pairs.flat_map(|(i, a)| names[..i].iter().map(|b| (a.clone(), b.clone()))).collect();
        fuse(&n.graph(), &Options { keep_apart, ..Options::default() }).unwrap()
    };
    // 16 bytes for each element of 2: two gathers of 16 cost more than one of 16, a write and two reads.
    let apart = gather(1 << 22, 2);
    assert_eq!(apart.kernels().count(), 3);
    match reason(&apart, "t", "r0") {
        Reason::Cost { fused_ns, cut_ns, why } => assert!(fused_ns > cut_ns && why.contains("lie apart"), "{why}"),
        other => panic!("{other}"),
    }
    assert!(
        apart.moved().unwrap().sectors.known() < gather(1 << 10, 2).moved().unwrap().sectors.known().map(|n| n << 12)
    );
    // One gather, or a launch that costs more than the gathers, is left as it is.
    assert_eq!(gather(1 << 22, 1).kernels().count(), 1);
    assert_eq!(gather(1 << 10, 2).kernels().count(), 2);
}
