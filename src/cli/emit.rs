//! `pointweld emit`: a kernel from one line of text.

use super::args::EmitArgs;
use super::output::{self, Failure};
use super::{compile, source};
use crate::compiler::prepare;
use crate::expr;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

pub fn run(args: &EmitArgs, json: bool) -> Result<(), Failure> {
    let start = Instant::now();
    let mut graph = expr::parse(&args.expr).map_err(Failure::input)?;
    let sizes = args.fusion.dims.iter().cloned().collect();
    source::known_dims(&graph, &args.fusion)?;
    graph.bind(&sizes).map_err(Failure::input)?;
    let mut compiler = source::compiler(&args.fusion)?;
    for arch in &args.arch {
        compiler = compiler.arch(*arch);
    }
    let planned = source::plan(&compiler, &graph, &args.fusion)?;
    if planned.sources.is_empty() && planned.stages.is_empty() {
        return Err(Failure::Input("the formula computes nothing, so there is no kernel: no op is left of it".into()));
    }
    if args.arch.is_empty() && args.out.is_none() {
        let kernels: Vec<_> = planned.plan.kernels().collect();
        if json {
            return output::json(&serde_json::json!({ "plan": planned.plan, "sources": planned.sources }));
        }
        let mut out = output::out();
        for (kernel, source) in kernels.iter().zip(&planned.sources) {
            writeln!(out, "{}{}", source.header(&planned.plan, &[kernel]), source.text)?;
        }
        return Ok(());
    }
    let planning_ms = start.elapsed().as_secs_f64() * 1e3;
    let folder = args.out.as_deref().unwrap_or(Path::new("out"));
    prepare(folder).map_err(source::failure)?;
    let compiled = compile::compile(&compiler, planned)?;
    compiled.write(folder).map_err(source::failure)?;
    let mut summary = compile::Summary::new(&compiled, folder, planning_ms, start.elapsed().as_secs_f64() * 1e3);
    if args.estimate {
        summary.estimate(&compiled)?;
    }
    if json {
        output::json(&summary)?
    } else {
        summary.print(&mut output::out())?
    }
    compile::complete(&compiled, compiler.archs())
}
