//! A residual block: is the sum fused although its producer has two consumers?
//!
//! `cargo run --example residual_block`

use pointweld::{compiler::Compiler, dtype::DType, graph::Builder, shape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut b = Builder::new("residual");
    let shape = shape!["batch", 64, 56, 56];
    let (x, branch) = (b.input("x", DType::F16, shape.clone()), b.input("branch", DType::F16, shape));
    let skip = b.relu(x);
    let sum = b.add(skip, branch);
    let y = b.relu(sum);
    b.output("skip", skip);
    b.output("y", y);

    let planned = Compiler::new().expect_size("batch", 32).plan(&b.finish()?)?;
    for decision in &planned.plan.decisions {
        println!("{decision}");
    }
    for kernel in planned.plan.kernels() {
        println!("{} reads {} tensors and writes {}", kernel.name, kernel.loads.len(), kernel.stores.len());
    }
    Ok(())
}
