//! How does another engine take the compiled kernels: machine code, entry, grid and arguments?
//!
//! `cargo run --example embed_cubins` (needs NVRTC, `make nvrtc`; no GPU)

use pointweld::{compiler::Compiler, expr, target::Arch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let graph = expr::parse("y = silu(x:f16[n,64,40,40] + b:f16[64,1,1])")?;
    let compiled = Compiler::new().arch(Arch::SM_80).arch(Arch::SM_90).compile(&graph)?;
    let sizes = [("n".to_string(), 8)].into();
    for (i, kernel) in compiled.planned.plan.kernels().enumerate() {
        let (source, program) = (&compiled.planned.sources[i], &compiled.programs[compiled.program_of[i]]);
        for (arch, build) in &program.builds {
            println!("{arch}: {} bytes of machine code, {:?}", build.cubin.len(), build.resources);
        }
        // What cuLaunchKernel takes, for a batch of 8; the addresses are the engine's own.
        let launch = source.launch(kernel, &sizes)?;
        println!("{} grid {:?} block {:?}", source.entry, launch.grid, launch.block);
        for (param, value) in source.params.iter().zip(&launch.args) {
            println!("  {} {} = {value:?}", param.c_type, param.name);
        }
    }
    Ok(())
}
