//! How do I add an op of my own without touching the crate?
//!
//! `cargo run --example own_op`

use pointweld::op::{Algebra, Bound, Cost, Cuda, Eval, Row, TypeRule, TypeSet};
use pointweld::{compiler::Compiler, dtype::DType, graph::Builder, reference, shape, tensor::Tensor};

/// Squared ReLU, of the Primer transformer: max(x, 0)².
static SQUARED_RELU: Row = Row {
    name: "squared_relu",
    formula: "max(x, 0)^2",
    onnx: &[],
    elsewhere: &[],
    operands: &["x"],
    params: &[],
    types: TypeRule::Same(TypeSet::FLOATS),
    range: Some((0.0, f64::INFINITY)),
    algebra: Algebra::INCREASING,
    eval: Eval::Arith { float: Some(|a| if a[0] > 0.0 || a[0].is_nan() { a[0] * a[0] } else { 0.0 }), int: None },
    cuda: Cuda::float("({0} <= 0 ? 0 : {0} * {0})"),
    finite: "",
    relief: "",
    packed: "",
    turn: None,
    cost: Cost::new(0, 1, 1),
    bound: Bound::ROUNDED,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut b = Builder::new("primer");
    let x = b.input("x", DType::F32, shape!["n"]);
    let y = b.unary(&SQUARED_RELU, x);
    b.output("y", y);
    let graph = b.finish()?;

    let planned = Compiler::new().plan(&graph)?;
    println!("{}", planned.sources[0].text);
    let inputs = [("x", Tensor::from_slice(&[3], &[-1.0f32, 0.5, 3.0])?)];
    println!("{:?}", reference::run_graph(&graph, &inputs, &reference::Options::default())?);
    Ok(())
}
