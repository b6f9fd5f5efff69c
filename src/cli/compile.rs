//! `pointweld compile`: a model into a folder of kernels.

use super::args::CompileArgs;
use super::output::{self, Failure, bold};
use super::source;
use crate::compile::sass::Disassembler;
use crate::compiler::{Compiled, Compiler, Estimate, Planned, prepare};
use crate::report;
use crate::target::Arch;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

pub fn run(args: &CompileArgs, json: bool) -> Result<(), Failure> {
    let start = Instant::now();
    let graph = source::import(&args.model)?;
    let mut compiler = source::compiler(&args.model.fusion)?.cached(!args.no_cache).jobs(args.jobs);
    for arch in &args.arch {
        compiler = compiler.arch(*arch);
    }
    let planned = source::plan(&compiler, &graph, &args.model.fusion)?;
    let sizes = args.model.fusion.dims.iter().cloned().collect();
    let explanation = report::explain(&graph, &planned.graph, &planned.plan, &planned.passes, &sizes);
    let planning_ms = start.elapsed().as_secs_f64() * 1e3;
    prepare(&args.out).map_err(source::failure)?;
    let compiled = compile(&compiler, planned)?;
    compiled.write(&args.out).map_err(source::failure)?;
    let mut summary = Summary::new(&compiled, &args.out, planning_ms, start.elapsed().as_secs_f64() * 1e3);
    if args.estimate {
        summary.estimate(&compiled)?;
    }
    if json {
        output::json(&serde_json::json!({ "compiled": summary, "explanation": explanation }))?;
    } else {
        let mut out = output::out();
        let (before, after) = (explanation.before, explanation.after);
        writeln!(
            out,
            "{} nodes, {} launches -> {}, {} bytes -> {}",
            explanation.nodes.model, before.launches, after.launches, before.bytes, after.bytes
        )?;
        summary.print(&mut out)?;
    }
    complete(&compiled, compiler.archs())
}

/// Compiles with a progress bar; warnings go to standard error.
pub fn compile(compiler: &Compiler, planned: Planned) -> Result<Compiled, Failure> {
    let bar = output::progress(0, "compiling");
    let compiled = compiler.compile_planned(planned, &|done, total, request| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{} {}", request.arch, request.kernel));
    });
    bar.finish_and_clear();
    let compiled = compiled.map_err(source::failure)?;
    for warning in compiled.warnings.iter().chain(&compiled.failures) {
        output::warn(warning);
    }
    Ok(compiled)
}

/// Exit code 1 where a kernel lacks an architecture.
pub fn complete(compiled: &Compiled, archs: &[Arch]) -> Result<(), Failure> {
    match compiled.is_complete(archs) {
        true => Ok(()),
        false => Err(Failure::Wanting("some kernels did not compile; the warnings above say which".into())),
    }
}

/// What was compiled.
#[derive(Serialize)]
pub struct Summary {
    folder: String,
    kernels: usize,
    programs: Vec<Row>,
    /// Compilations, of them from the cache, and the time NVRTC took for the others, summed over threads.
    builds: usize,
    cached: usize,
    nvrtc_ms: f64,
    planning_ms: f64,
    total_ms: f64,
}

#[derive(Serialize)]
struct Row {
    entry: String,
    used_by: usize,
    arch: Arch,
    registers: Option<u32>,
    shared_bytes: Option<u32>,
    spill_bytes: Option<u32>,
    micros: u64,
    from_cache: bool,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Estimate>,
}

impl Summary {
    pub fn new(compiled: &Compiled, folder: &Path, planning_ms: f64, total_ms: f64) -> Summary {
        let mut programs = Vec::new();
        for (i, program) in compiled.programs.iter().enumerate() {
            let users = compiled.program_of.iter().chain(&compiled.program_of_stage);
            let used_by = users.filter(|of| **of == i).count();
            programs.extend(program.builds.iter().map(|(arch, build)| Row {
                entry: program.source.entry.clone(),
                used_by,
                arch: *arch,
                registers: build.resources.as_ref().map(|r| r.registers),
                shared_bytes: build.resources.as_ref().map(|r| r.shared),
                spill_bytes: build.resources.as_ref().map(|r| r.spill_stores + r.spill_loads),
                micros: build.micros,
                from_cache: build.from_cache,
                estimate: None,
            }));
        }
        let fresh = programs.iter().filter(|row| !row.from_cache);
        Summary {
            folder: folder.display().to_string(),
            kernels: compiled.program_of.len(),
            builds: programs.len(),
            cached: programs.iter().filter(|row| row.from_cache).count(),
            nvrtc_ms: fresh.map(|row| row.micros).sum::<u64>() as f64 / 1e3,
            planning_ms,
            total_ms,
            programs,
        }
    }

    /// Adds what limits each kernel. nvdisasm takes half a second a build, however small: longer than NVRTC took to make it.
    pub fn estimate(&mut self, compiled: &Compiled) -> Result<(), Failure> {
        let disassembler = Disassembler::find().map_err(Failure::machine)?;
        let builds =
            compiled.programs.iter().enumerate().flat_map(|(i, p)| p.builds.keys().map(move |arch| (i, *arch)));
        let builds: Vec<(usize, Arch)> = builds.collect();
        let estimates: Result<Vec<_>, _> =
            builds.into_par_iter().map(|(program, arch)| compiled.estimate(&disassembler, program, arch)).collect();
        for (row, estimate) in self.programs.iter_mut().zip(estimates.map_err(Failure::machine)?) {
            row.estimate = estimate;
        }
        Ok(())
    }

    pub fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let estimated = self.programs.iter().any(|row| row.estimate.is_some());
        let more = if estimated { " instr/elem  limit" } else { "" };
        writeln!(out, "{}", bold(format_args!("registers shared spills    ms{more}  kernel")))?;
        for row in &self.programs {
            let number = |n: Option<u32>| n.map_or("?".to_string(), |n| n.to_string());
            let time = if row.from_cache { "cache".into() } else { format!("{:.1}", row.micros as f64 / 1e3) };
            let estimate = match &row.estimate {
                Some(estimate) => format!(" {:>10.1} {:>6}", estimate.per_element.issue, estimate.bound),
                None if estimated => format!(" {:>10} {:>6}", "", ""),
                None => String::new(),
            };
            writeln!(
                out,
                "{:>9} {:>6} {:>6} {time:>5}{estimate}  {} {} ({})",
                number(row.registers),
                number(row.shared_bytes),
                number(row.spill_bytes),
                row.arch,
                row.entry,
                match row.used_by {
                    1 => "used once".to_string(),
                    n => format!("used {n} times"),
                }
            )?;
        }
        writeln!(
            out,
            "{} groups share {} builds, {} of them from the cache; planning {:.0} ms, NVRTC {:.0} ms, all {:.0} ms",
            self.kernels, self.builds, self.cached, self.planning_ms, self.nvrtc_ms, self.total_ms
        )?;
        writeln!(out, "written to {}", self.folder)?;
        Ok(())
    }
}
