//! How do I get one kernel from INT8 codes to INT8 codes, with two inputs of different scales, and are its codes exact?
//!
//! `cargo run --example int8_in_and_out`

use pointweld::{compiler::Compiler, dtype::DType, graph::Builder, reference, shape, tensor::Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut b = Builder::new("add_silu_int8");
    let (x, z) = (b.input("x", DType::I8, shape!["n"]), b.input("z", DType::U8, shape!["n"]));
    let (x, z) = (b.dequantize(x, 0.05, 0), b.dequantize(z, 0.03, 128));
    let sum = b.add(x, z);
    let silu = b.silu(sum);
    let y = b.quantize(silu, 0.04, -100, DType::I8);
    b.output("y", y);
    let graph = b.finish()?;

    let planned = Compiler::new().plan(&graph)?;
    println!("{} kernel(s)", planned.plan.kernels().count());

    // The CPU executes the graph by the same rule of rounding that the kernel keeps.
    let inputs = [
        ("x", Tensor::from_slice(&[4], &[-128i8, -1, 0, 127])?),
        ("z", Tensor::from_slice(&[4], &[0u8, 127, 128, 255])?),
    ];
    for (name, tensor) in reference::run_graph(&graph, &inputs, &reference::Options::default())? {
        println!("{name} = {tensor:?}");
    }
    Ok(())
}
