//! How do I fuse SiLU, written as sigmoid and product, into one kernel?
//!
//! `cargo run --example fuse_silu`

use pointweld::{compiler::Compiler, dtype::DType, graph::Builder, shape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut b = Builder::new("silu");
    let x = b.input("x", DType::F16, shape!["batch", 128, 40, 40]);
    let gate = b.sigmoid(x);
    let y = b.mul(x, gate);
    b.output("y", y);

    let planned = Compiler::new().plan(&b.finish()?)?;
    println!("{}", planned.plan);
    for (kernel, source) in planned.plan.kernels().zip(&planned.sources) {
        println!("{}{}", source.header(&planned.plan, &[kernel]), source.text);
    }
    Ok(())
}
