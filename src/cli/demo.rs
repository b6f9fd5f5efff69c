//! `pointweld demo`: the built-in model, compiled, executed and shown.

use super::args::{DemoArgs, FusionArgs};
use super::output::{self, Failure, bold};
use super::{compile, source};
use crate::compiler::Compiler;
use crate::dtype::DType;
use crate::runtime::Device;
use crate::scalar::Number;
use crate::tensor::Tensor;
use crate::{demo, reference, report};
use std::io::Write;
use std::time::Instant;

/// Images that the block is run on.
const BATCH: u64 = 2;

pub fn run(args: &DemoArgs, json: bool) -> Result<(), Failure> {
    let start = Instant::now();
    let graph = demo::c3_block().map_err(Failure::input)?;
    let device = Device::open(0);
    let mut compiler = Compiler::new().expect_size("batch", BATCH);
    if let Ok(device) = &device {
        compiler = compiler.arch(device.arch());
    }
    let planned = source::plan(&compiler, &graph, &FusionArgs::default())?;
    let sizes = [("batch".to_string(), BATCH)].into();
    let explanation = report::explain(&graph, &planned.graph, &planned.plan, &planned.passes, &sizes);
    let planning_ms = start.elapsed().as_secs_f64() * 1e3;
    let compiled = compile::compile(&compiler, planned)?;
    compiled.write(&args.out).map_err(source::failure)?;
    let summary = compile::Summary::new(&compiled, &args.out, planning_ms, start.elapsed().as_secs_f64() * 1e3);

    let mut random = fastrand::Rng::with_seed(7);
    let shape = [BATCH as usize, 64, 40, 40];
    let values: Vec<Number> =
        (0..shape.iter().product()).map(|_| Number::Float(3.0 * (2.0 * random.f64() - 1.0))).collect();
    let x = Tensor::from_numbers(DType::F32, &shape, values).map_err(Failure::input)?;
    let inputs = [("x".to_string(), x)];
    let (place, outputs) = match &device {
        Ok(device) => (device.info().to_string(), compiled.run_on(device, &inputs).map_err(Failure::machine)?),
        Err(why) => {
            let outputs = reference::run_graph(&compiled.planned.graph, &inputs, &reference::Options::default());
            (format!("the CPU ({why})"), outputs.map_err(Failure::input)?)
        }
    };
    if json {
        let shown: Vec<String> = outputs.iter().map(|(name, t)| format!("{name}: {t:?}")).collect();
        output::json(&serde_json::json!({
            "compiled": summary, "explanation": explanation, "ran_on": place, "outputs": shown
        }))?;
    } else {
        let mut out = output::out();
        writeln!(out, "{}\n{explanation}", bold("The plan of a YOLOv5 C3 block with INT8 Q/DQ"))?;
        if let Some((kernel, source)) =
            compiled.planned.plan.kernels().zip(&compiled.planned.sources).max_by_key(|(k, _)| k.body.len())
        {
            writeln!(
                out,
                "{}\n{}{}",
                bold("Its largest kernel"),
                source.header(&compiled.planned.plan, &[kernel]),
                source.text
            )?;
        }
        writeln!(out, "{} {place}", bold("Executed on"))?;
        for (name, tensor) in &outputs {
            writeln!(out, "  {name}: {tensor:?}")?;
        }
        writeln!(out)?;
        summary.print(&mut out)?;
    }
    compile::complete(&compiled, compiler.archs())
}
