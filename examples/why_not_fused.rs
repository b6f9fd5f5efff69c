//! Why did two nodes of my ONNX model not fuse?
//!
//! `cargo run --example why_not_fused -- model.onnx [producer consumer]`

use pointweld::{compiler::Compiler, onnx::Import, plan::Verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(model) = args.first() else {
        return Err("give an ONNX file, and two node names to ask about one edge".into());
    };
    let imported = Import::new().file(model)?;
    let planned = Compiler::new().plan(&imported.graph)?;
    for decision in &planned.plan.decisions {
        let asked = args.len() < 3 || (decision.from == args[1] && decision.to == args[2]);
        if asked && matches!(decision.verdict, Verdict::Cut { .. }) {
            println!("{decision}");
        }
    }
    Ok(())
}
