//! The CPU reference on graphs and plans written by hand.

use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Kind, Node, Type, Value};
use pointweld::op::{self, Op};
use pointweld::plan::{Access, Arg, Buffer, BufferId, Kernel, Load, Plan, Role, Schedule, Step, Stmt, Store};
use pointweld::reference::{Options, ReferenceError, Rounding, run_graph, run_plan, tap_graph};
use pointweld::scalar::Scalar;
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};

fn f32s(sizes: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(sizes, values).unwrap()
}

fn run(graph: &Graph, inputs: &[(&str, Tensor)]) -> Result<Tensor, ReferenceError> {
    run_graph(graph, inputs, &Options::default()).map(|mut outputs| outputs.remove(0).1)
}

fn view(view: View, from: Shape, to: Shape, x: Tensor) -> Result<Tensor, ReferenceError> {
    let mut b = Builder::new("view");
    let input = b.input("x", x.dtype(), from);
    let y = b.node(Node::new(Kind::View(view), "y", Type::new(x.dtype(), to)), &[input]);
    b.output("y", y.value());
    run(&b.finish().unwrap(), &[("x", x)])
}

#[test]
fn operands_broadcast_both_ways_and_results_are_rounded() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F16, shape!["n", 1]);
    let y = b.input("y", DType::F16, shape![3]);
    let z = b.add(x, y);
    b.output("z", z);
    let f16 = |sizes: &[usize], v: &[f64]| Tensor::from_f64(DType::F16, sizes, v).unwrap();
    let z = run(&b.finish().unwrap(), &[("x", f16(&[2, 1], &[2048.0, 1.0])), ("y", f16(&[3], &[1.0, 2.0, 3.0]))]);
    let z = z.unwrap();
    assert_eq!(z.sizes(), [2, 3]);
    // f16 has steps of 2 beyond 2048; ties go to even.
    assert_eq!(z.to_f64(), [2048.0, 2050.0, 2052.0, 2.0, 3.0, 4.0]);
}

#[test]
fn int8_in_and_out() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::I8, shape![5]);
    let real = b.dequantize(x, 0.05, 0);
    let y = b.silu(real);
    let codes = b.quantize(y, 0.04, 3, DType::I8);
    b.output("y", codes);
    let x = Tensor::from_slice(&[5], &[-128i8, -10, 0, 40, 127]).unwrap();
    let y = run(&b.finish().unwrap(), &[("x", x)]).unwrap();
    let silu = |q: f64| q * 0.05 / (1.0 + (-q * 0.05f64).exp()) / 0.04;
    let expected = [-128.0, -10.0, 0.0, 40.0, 127.0].map(|q| (silu(q).round_ties_even() + 3.0).min(127.0));
    assert_eq!(y.to_f64(), expected);
}

#[test]
fn views_move_elements() {
    let x = || f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let got = |v, to| view(v, shape![2, 3], to, x()).unwrap().to_f64();
    assert_eq!(got(View::Transpose { axes: vec![1, 0] }, shape![3, 2]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(got(View::Reshape { to: shape![6] }, shape![6]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(
        got(View::Repeat { factors: vec![1, 2] }, shape![2, 6]),
        [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]
    );
    let axis = |start: i64, step, size: i64| SliceAxis { start: Dim::fixed(start), step, size: Dim::fixed(size) };
    let backward = View::Slice { axes: vec![axis(1, -1, 2), axis(0, 2, 2)] };
    assert_eq!(got(backward, shape![2, 2]), [3.0, 5.0, 0.0, 2.0]);
    let expanded = view(View::Expand { to: shape![2, 2] }, shape![2, 1], shape![2, 2], f32s(&[2, 1], &[1.0, 2.0]));
    assert_eq!(expanded.unwrap().to_f64(), [1.0, 1.0, 2.0, 2.0]);
    let beyond = view(View::Slice { axes: vec![axis(0, 1, 3), axis(0, 1, 3)] }, shape![2, 3], shape![3, 3], x());
    let message = beyond.unwrap_err().to_string();
    assert_eq!(message, "y (slice): 3 elements from 0 by 1 are beyond an axis of 2");
}

#[test]
fn operands_are_joined() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::I4, shape![2, "n"]);
    let y = b.input("y", DType::I4, shape![2, 1]);
    let ty = Type::new(DType::I4, Shape(vec![2.into(), Dim::symbol("n").add(&Dim::ONE).unwrap()]));
    let z = b.node(Node::new(Kind::View(View::Concat { axis: 1 }), "z", ty), &[x, y]);
    b.output("z", z.value());
    let i4 = |sizes: &[usize], v: &[f64]| Tensor::from_f64(DType::I4, sizes, v).unwrap();
    let z = run(&b.finish().unwrap(), &[("x", i4(&[2, 2], &[1.0, 2.0, 3.0, 4.0])), ("y", i4(&[2, 1], &[-5.0, -6.0]))]);
    assert_eq!(z.unwrap().to_f64(), [1.0, 2.0, -5.0, 3.0, 4.0, -6.0]);
}

fn square() -> Graph {
    let mut b = Builder::new("square");
    let x = b.input("x", DType::F32, shape!["n", "n"]);
    let y = b.mul(x, x);
    b.output("y", y);
    b.finish().unwrap()
}

#[test]
fn wrong_inputs_are_named() {
    let failed = |inputs: &[(&str, Tensor)]| run(&square(), inputs).unwrap_err().to_string();
    let x = || f32s(&[1, 2], &[1.0, 2.0]);
    assert_eq!(failed(&[]), "the input x is not given; it is Float(n,n)");
    assert_eq!(failed(&[("x", x())]), "x makes the size \"n\" 2, which is 1 already");
    assert_eq!(failed(&[("z", x())]), "z is not an input of the graph; its inputs are x");
    let flat = f32s(&[2], &[1.0, 2.0]);
    assert_eq!(failed(&[("x", flat)]), "the input x is Float(n,n), and Float(2) was given");
    let ints = Tensor::from_slice(&[1, 1], &[1i32]).unwrap();
    assert_eq!(failed(&[("x", ints)]), "the input x is Float(n,n), and Int32(1,1) was given");
}

#[test]
fn taps_see_every_value_and_may_change_it() {
    let graph = square();
    let mut seen = Vec::new();
    let mut tap = |value: Value, tensor: Tensor| {
        seen.push(graph.value_name(value).to_string());
        if value.node == graph.inputs()[0] { f32s(&[1, 1], &[3.0]) } else { tensor }
    };
    let y = tap_graph(&graph, &[("x", f32s(&[1, 1], &[2.0]))], &Options::default(), &mut tap).unwrap();
    assert_eq!(y[0].1.to_f64(), [9.0]);
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_huge_result_is_refused() {
    let error =
        view(View::Expand { to: shape![1i64 << 40, 1] }, shape![1, 1], shape![1i64 << 40, 1], f32s(&[1, 1], &[1.0]));
    assert!(error.unwrap_err().to_string().contains("more than the 4294967296 bytes"));
}

/// y[i, j] = relu(x[j, n − 1 − i])·2 over a 2×3 domain, in the right half of a buffer whose left half a second kernel fills.
fn plan(graph: &Graph) -> Plan {
    let value = graph.inputs()[0].value();
    let buffer =
        |name: &str, shape: Shape, role| Buffer { name: name.into(), value, ty: Type::new(DType::F32, shape), role };
    let access = |offset: i64, strides: [i64; 2]| Access {
        offset: Dim::fixed(offset),
        strides: strides.map(Dim::fixed).to_vec(),
    };
    let relu = Stmt { op: Op::new(&op::RELU), args: vec![Arg::Load(0)], dtype: DType::F32, name: "r".into() };
    let two = Arg::Const(Scalar::f32(2.0));
    let twice = Stmt { op: Op::new(&op::MUL), args: vec![Arg::Stmt(0), two], dtype: DType::F32, name: "m".into() };
    let kernel = |name: &str, load: Access, store: Access| Kernel {
        name: name.into(),
        origin: vec![],
        domain: vec![Dim::fixed(2), Dim::fixed(3)],
        loads: vec![Load { buffer: BufferId(0), dtype: DType::F32, access: load, known: Vec::new() }],
        body: vec![relu.clone(), twice.clone()],
        product: None,
        stores: vec![Store { buffer: BufferId(1), dtype: DType::F32, access: store, value: Arg::Stmt(1) }],
        broadcasts: Vec::new(),
        schedule: Schedule::default(),
    };
    Plan {
        model: "test".into(),
        buffers: vec![
            buffer("x", shape![3, 2], Role::Input),
            buffer("y", shape![2, 6], Role::Computed),
            buffer("flat", shape![12], Role::Alias(BufferId(1))),
        ],
        inputs: vec![("x".into(), BufferId(0))],
        outputs: vec![("flat".into(), BufferId(2))],
        steps: vec![
            Step::Kernel(kernel("right", access(1, [-1, 2]), access(3, [6, 1]))),
            Step::Kernel(kernel("left", access(0, [0, 1]), access(0, [6, 1]))),
        ],
        decisions: vec![],
    }
}

fn run_hand_made(change: impl FnOnce(&mut Plan)) -> Result<Tensor, String> {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![3, 2]);
    b.output("y", x);
    let graph = b.finish().unwrap();
    let mut plan = plan(&graph);
    change(&mut plan);
    let x = f32s(&[3, 2], &[0.0, 1.0, 2.0, -3.0, 4.0, 5.0]);
    let outputs = run_plan(&plan, &graph, &[("x", x)], Rounding::EachStatement, &Options::default());
    outputs.map(|mut o| o.remove(0).1).map_err(|e| e.to_string())
}

fn kernel(plan: &mut Plan, step: usize) -> &mut Kernel {
    match &mut plan.steps[step] {
        Step::Kernel(kernel) => kernel,
        Step::Routine(_) | Step::Node { .. } => panic!("no kernel"),
    }
}

#[test]
fn kernels_walk_their_accesses() {
    let y = run_hand_made(|_| {}).unwrap();
    assert_eq!(y.sizes(), [12]);
    assert_eq!(y.to_f64(), [0.0, 2.0, 4.0, 2.0, 0.0, 10.0, 0.0, 2.0, 4.0, 0.0, 4.0, 8.0]);
}

#[test]
fn a_plan_that_breaks_its_promises_is_caught() {
    let failed = |change: fn(&mut Plan)| run_hand_made(change).unwrap_err();
    let message = failed(|p| kernel(p, 0).loads[0].access.offset = Dim::fixed(2));
    assert_eq!(message, "kernel right: it accesses elements 1 to 6 of x, which has 6");
    let message = failed(|p| kernel(p, 0).stores[0].access.offset = Dim::fixed(4));
    assert_eq!(message, "kernel right: it accesses elements 4 to 12 of y, which has 12");
    let message = failed(|p| kernel(p, 1).stores[0].access.offset = Dim::fixed(1));
    assert_eq!(message, "kernel left: element 3 of y is written twice");
    let message = failed(|p| kernel(p, 0).stores[0].access.strides[0] = Dim::fixed(0));
    assert_eq!(message, "kernel right: element 3 of y is written twice");
    let message = failed(|p| kernel(p, 0).stores[0].buffer = BufferId(0));
    assert!(message.contains("x"), "{message}");
    let message = failed(|p| drop(p.steps.pop()));
    assert_eq!(message, "the output flat is never computed whole: 6 of 12 elements are");
    let message = failed(|p| kernel(p, 1).loads[0].buffer = BufferId(1));
    assert_eq!(message, "kernel left: it reads element 0 of y, which nothing has written");
    let message = failed(|p| kernel(p, 0).body[0].args[0] = Arg::Stmt(1));
    assert!(message.starts_with("kernel right: statement 0 uses"), "{message}");
    let message = failed(|p| p.buffers[1].role = Role::Alias(BufferId(2)));
    assert!(message.contains("buffer"), "{message}");
}

#[test]
fn the_exact_mode_rounds_only_where_it_stores() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::F32, shape![3, 2]);
    b.output("y", x);
    let graph = b.finish().unwrap();
    let mut plan = plan(&graph);
    let tiny = Scalar::f32(1e-9);
    for step in 0..2 {
        let k = kernel(&mut plan, step);
        let stmt = |op, args| Stmt { op, args, dtype: DType::F32, name: String::new() };
        // (x + 1e-9) − x is 1e-9 exactly in f64 (near enough) and 0 where each sum is rounded to f32.
        k.body = vec![
            stmt(Op::new(&op::ADD), vec![Arg::Load(0), Arg::Const(tiny)]),
            stmt(Op::new(&op::SUB), vec![Arg::Stmt(0), Arg::Load(0)]),
        ];
    }
    let x = || f32s(&[3, 2], &[1.0, 1.0, 2.0, -3.0, 4.0, 5.0]);
    let run = |mode| run_plan(&plan, &graph, &[("x", x())], mode, &Options::default()).unwrap().remove(0).1.to_f64();
    assert!(run(Rounding::EachStatement).iter().all(|y| *y == 0.0));
    assert!(run(Rounding::Exact).iter().all(|y| (*y - 1e-9).abs() < 1e-14));
}

#[test]
fn products_of_wide_integers_wrap() {
    let mut b = Builder::new("g");
    let x = b.input("x", DType::U64, shape![2]);
    let y = b.mul(x, x);
    b.output("y", y);
    let y = run(&b.finish().unwrap(), &[("x", Tensor::from_slice(&[2], &[u64::MAX, 1 << 33]).unwrap())]).unwrap();
    assert_eq!(y.to_vec::<u64>().unwrap(), [1, 0]);
}
