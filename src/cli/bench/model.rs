//! `pointweld bench MODEL`: a whole model by batch size, and its kernels one by one.

use super::super::args::{BenchArgs, FusionArgs, ModelArgs};
use super::super::output::{self, Failure, bold};
use super::super::{compile, source};
use crate::bench::{self, ModelTiming};
use crate::compiler::Compiled;
use crate::dim::Bindings;
use crate::files;
use crate::graph::Graph;
use crate::name::Shown;
use crate::runtime::Device;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

pub fn run(args: &BenchArgs, model: &Path, json: bool) -> Result<(), Failure> {
    let device = Device::open(0).map_err(Failure::machine)?;
    let given = source::import(&ModelArgs { model: model.into(), fusion: args.fusion.clone() })?;
    let symbol = batch_symbol(&given);
    let batches = batches(args, symbol.as_deref())?;
    let mut timings = Vec::new();
    for batch in &batches {
        let sizes = sizes(&given, args, symbol.as_deref(), *batch)?;
        let graph = sized(args, model, &sizes)?;
        // The plan is made for these sizes: which schedule is best depends on them.
        let mut compiler = source::compiler(&args.fusion)?.arch(device.arch()).dependent_launch(!args.serial);
        for (name, size) in &sizes {
            compiler = compiler.expect_size(name, *size);
        }
        let planned = source::plan(&compiler, &graph, &args.fusion)?;
        let compiled = compile::compile(&compiler, planned)?;
        let timing = bench::model(&device, &compiled, &sizes, args.seed).map_err(Failure::machine)?;
        if !json {
            print(*batch, &timing, &compiled)?;
        }
        timings.push(timing);
    }
    if let Some(path) = &args.plot {
        let picture = bench::svg(&given.name, &device.info().name, &batches, &timings);
        files::write(path, picture).map_err(|e| Failure::Machine(format!("{}: {e}", path.display())))?;
    }
    if json { output::json(&timings) } else { Ok(()) }
}

/// The model with all sizes in it, as `--dim` gives them to the other commands: the same kernels, for which one lock holds.
fn sized(args: &BenchArgs, model: &Path, sizes: &Bindings) -> Result<Graph, Failure> {
    let dims = sizes.iter().map(|(name, size)| (name.clone(), *size)).collect();
    source::import(&ModelArgs { model: model.into(), fusion: FusionArgs { dims, ..args.fusion.clone() } })
}

/// The symbol that stands for the first dimension of the first input.
fn batch_symbol(graph: &Graph) -> Option<String> {
    let first = graph.inputs().first()?;
    let dim = graph.ty(first.value()).shape.as_ref()?.first()?.clone();
    let mut symbols = BTreeSet::new();
    dim.symbols(&mut symbols);
    symbols.into_iter().next()
}

fn batches(args: &BenchArgs, symbol: Option<&str>) -> Result<Vec<u64>, Failure> {
    if args.batch.is_empty() {
        let given = args.fusion.dims.iter().find(|(name, _)| Some(name.as_str()) == symbol);
        return Ok(vec![given.map_or(1, |(_, n)| *n)]);
    }
    match symbol {
        Some(_) => Ok(args.batch.clone()),
        None => Err(Failure::Usage("--batch: the model's batch size is fixed".into())),
    }
}

/// The size of every symbol of the inputs: those of --dim, the batch, and nothing made up.
fn sizes(graph: &Graph, args: &BenchArgs, symbol: Option<&str>, batch: u64) -> Result<Bindings, Failure> {
    let mut sizes: Bindings = args.fusion.dims.iter().cloned().collect();
    sizes.extend(symbol.map(|name| (name.to_string(), batch)));
    let mut symbols = BTreeSet::new();
    for shape in graph.inputs().iter().filter_map(|id| graph.ty(id.value()).shape.as_ref()) {
        shape.iter().for_each(|d| d.symbols(&mut symbols));
    }
    match symbols.iter().find(|name| !sizes.contains_key(*name)) {
        Some(name) => Err(Failure::Usage(format!("the size {} is not known: give --dim {name}=N", Shown(name)))),
        None => Ok(sizes),
    }
}

fn print(batch: u64, timing: &ModelTiming, compiled: &Compiled) -> Result<(), Failure> {
    let mut out = output::out();
    let ModelTiming { latency_us, sustained_us, share, on_host, kernels, .. } = timing;
    writeln!(out, "{}", bold(format!("batch {batch}: {} kernels in one graph", kernels.len())))?;
    let rate = batch as f64 / sustained_us * 1e6;
    writeln!(
        out,
        "latency {latency_us:.1} us, sustained {sustained_us:.1} us ({rate:.0}/s), {:.0}% of the roofline",
        100.0 * share
    )?;
    if *on_host > 0 {
        writeln!(out, "{on_host} nodes run on the host and are not in these figures:")?;
        for step in &compiled.planned.plan.steps {
            if let crate::plan::Step::Node { label, kind, why, .. } = step {
                writeln!(out, "  {} ({kind}): {why}", Shown(label))?;
            }
        }
    }
    writeln!(out, "{}", bold("      us     MB   GFLOP  roofline  kernel"))?;
    for k in kernels {
        writeln!(
            out,
            "{:>8.2} {:>6.1} {:>7.2} {:>8.0}%  {}  {}",
            k.us,
            k.demand.bytes as f64 / 1e6,
            k.demand.operations / 1e9,
            100.0 * k.share,
            k.name,
            k.line
        )?;
    }
    Ok(())
}
