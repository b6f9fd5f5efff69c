//! A group whose kernel NVRTC refuses is split and tried again, and the rest of the model compiles. They need NVRTC, which `make
//! nvrtc` fetches, and no GPU.

use pointweld::compiler::{Compiled, Compiler, Planned};
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph};
use pointweld::op::{Algebra, Bound, Cost, Cuda, Eval, Row, TypeRule, TypeSet};
use pointweld::plan::{Reason, Verdict};
use pointweld::reference::{self, Options, Rounding};
use pointweld::shape;
use pointweld::target::Arch;
use pointweld::tensor::Tensor;

/// Doubles its operand; its CUDA text is wrong.
const fn row(name: &'static str, text: &'static str) -> Row {
    Row {
        name,
        formula: "x + x",
        onnx: &[],
        elsewhere: &[],
        operands: &["x"],
        params: &[],
        types: TypeRule::Same(TypeSet::FLOATS),
        range: None,
        algebra: Algebra::NONE,
        eval: Eval::Arith { float: Some(|a| a[0] + a[0]), int: None },
        cuda: Cuda::float(text),
        finite: "",
        relief: "",
        packed: "",
        turn: None,
        cost: Cost::new(0, 1, 1),
        bound: Bound::ROUNDED,
    }
}

/// NVRTC knows no such function.
static NEVER: Row = row("never", "no_such_function({0})");

/// Either compiles; a program with both declares one name with two types.
static FLOATS: Row = row("floats", "([&] { extern __shared__ float clash[]; return {0} + {0}; }())");
static INTEGERS: Row = row("integers", "([&] { extern __shared__ int clash[]; return {0} + {0}; }())");

/// x → relu → first → second → exp → y, and x → tanh → z.
fn graph([first, second]: [&'static Row; 2]) -> Graph {
    let mut b = Builder::new("split");
    let x = b.input("x", DType::F32, shape!["n"]);
    let y = b.relu(x);
    let y = b.unary(first, y);
    let y = b.unary(second, y);
    let y = b.exp(y);
    b.output("y", y);
    let z = b.tanh(x);
    b.output("z", z);
    b.finish().unwrap()
}

fn compile(ops: [&'static Row; 2]) -> Compiled {
    Compiler::new().arch(Arch::SM_90).cached(false).compile(&graph(ops)).unwrap()
}

/// True if the plan gives what the graph does.
fn agrees(planned: &Planned, graph: &Graph) -> bool {
    let x = [("x", Tensor::from_slice(&[5], &[-1.0f32, 0.0, 0.5, 1.0, 2.0]).unwrap())];
    let of_plan =
        reference::run_plan(&planned.plan, &planned.graph, &x, Rounding::EachStatement, &Options::default()).unwrap();
    let of_graph = reference::run_graph(graph, &x, &Options::default()).unwrap();
    of_plan.iter().zip(&of_graph).all(|((a, x), (b, y))| {
        a == b && x.to_f64().iter().zip(y.to_f64()).all(|(x, y)| (x - y).abs() <= 1e-6 * y.abs())
    })
}

#[test]
fn an_op_that_never_compiles_leaves_the_rest_of_the_model() {
    let compiled = compile([&NEVER, &NEVER]);
    let plan = &compiled.planned.plan;
    assert!(compiled.programs.iter().all(|program| program.builds.contains_key(&Arch::SM_90)));
    assert!(plan.kernels().all(|kernel| kernel.body.iter().all(|s| s.op.name() != NEVER.name)));
    let done: Vec<&str> = plan.kernels().flat_map(|k| k.body.iter().map(|s| s.op.name())).collect();
    for op in ["relu", "exp", "tanh"] {
        assert!(done.contains(&op), "{op} is compiled: {done:?}");
    }
    let cut = |verdict: &Verdict| matches!(verdict, Verdict::Cut { reason: Reason::CompileFailed { .. }, .. });
    assert!(plan.decisions.iter().any(|decision| cut(&decision.verdict)), "the decision says why");
    assert!(compiled.failures.iter().any(|said| said.contains("its group was split")), "{:?}", compiled.failures);
    assert!(compiled.failures.iter().any(|said| said.contains("no_such_function")), "{:?}", compiled.failures);
    assert!(agrees(&compiled.planned, &graph([&NEVER, &NEVER])));
}

#[test]
fn ops_that_compile_apart_are_kept_apart() {
    let ops = [&FLOATS, &INTEGERS];
    let compiled = compile(ops);
    let plan = &compiled.planned.plan;
    assert!(compiled.programs.iter().all(|program| program.builds.contains_key(&Arch::SM_90)));
    let holds = |kernel: &pointweld::plan::Kernel, op: &Row| kernel.body.iter().any(|s| s.op.name() == op.name);
    for op in ops {
        let of = plan.kernels().filter(|kernel| holds(kernel, op)).count();
        assert_eq!(of, 1, "{} is in one kernel: {:?}", op.name, compiled.failures);
    }
    assert!(!plan.kernels().any(|kernel| holds(kernel, &FLOATS) && holds(kernel, &INTEGERS)));
    assert!(compiled.failures.iter().any(|said| said.contains("clash")), "{:?}", compiled.failures);
    assert!(agrees(&compiled.planned, &graph(ops)));
}
