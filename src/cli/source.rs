//! Reads models and plans them as the command line's options say.

use super::args::{FloatArg, FusionArgs, ModelArgs};
use super::output::{self, Failure};
use crate::compiler::{Compiler, Error, Locked, Planned};
use crate::dtype::DType;
use crate::graph::{Graph, Kind};
use crate::lock::Lock;
use crate::name::Shown;
use crate::onnx::Import;
use crate::passes;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// Imports the model; warnings go to standard error.
pub fn import(args: &ModelArgs) -> Result<Graph, Failure> {
    let bindings = args.fusion.dims.iter().cloned().collect();
    let imported = Import::new().bind_all(&bindings).file(&args.model).map_err(Failure::input)?;
    for warning in &imported.warnings {
        output::warn(warning);
    }
    Ok(imported.graph)
}

/// Fails where `--dim` names a dimension that no input of a formula has.
pub fn known_dims(graph: &Graph, args: &FusionArgs) -> Result<(), Failure> {
    let mut symbols = BTreeSet::new();
    for id in graph.inputs() {
        graph.ty(id.value()).shape.iter().flat_map(|shape| shape.iter()).for_each(|dim| dim.symbols(&mut symbols));
    }
    match args.dims.iter().find(|(name, _)| !symbols.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let has: Vec<String> = symbols.iter().map(|symbol| Shown(symbol).to_string()).collect();
            let has = if has.is_empty() { "none".into() } else { has.join(", ") };
            Err(Failure::Input(format!("no dimension is called {}; the inputs have {has}", Shown(name))))
        }
    }
}

/// A compiler with these options, and no architecture yet.
pub fn compiler(args: &FusionArgs) -> Result<Compiler, Failure> {
    let mut compiler = Compiler::new().fast(args.fast).stop_after(args.stop_after.as_deref());
    for (a, b) in &args.keep_apart {
        compiler = compiler.keep_apart(a, b);
    }
    for (a, b) in &args.fuse {
        compiler = compiler.fuse(a, b);
    }
    for tap in &args.taps {
        compiler = compiler.tap(tap);
    }
    let float = args.float.map(|float| match float {
        FloatArg::F16 => DType::F16,
        FloatArg::Bf16 => DType::BF16,
    });
    compiler = compiler.weld(!args.no_weld).float(float);
    for name in &args.keep_f32 {
        compiler = compiler.keep_f32(name);
    }
    for (symbol, size) in &args.dims {
        compiler = compiler.expect_size(symbol, *size);
    }
    if let Some(path) = &args.lock {
        compiler = compiler.lock(Lock::read(path).map_err(Failure::input)?);
    }
    Ok(compiler)
}

/// Plans a graph, printing it after the passes that `--dump-after` names.
pub fn plan(compiler: &Compiler, graph: &Graph, args: &FusionArgs) -> Result<Planned, Failure> {
    let named = args.dump_after.iter().chain(&args.stop_after);
    if let Some(unknown) = named.into_iter().find(|name| !passes::names().contains(&name.as_str())) {
        let names = passes::names().join(" ");
        return Err(Failure::Usage(format!("there is no pass {}; the passes are {names}", Shown(unknown))));
    }
    let mut dumped = Ok(());
    let planned = compiler.plan_observed(graph, |pass, round, graph| {
        if args.dump_after.iter().any(|name| name == pass.name) && dumped.is_ok() {
            dumped = dump(pass.name, round, graph);
        }
    });
    dumped?;
    let planned = planned.map_err(failure)?;
    if let Some(path) = &args.lock {
        told(path, &planned.locked);
    }
    Ok(planned)
}

/// Says on standard error what a lock was good for.
fn told(path: &Path, locked: &Locked) {
    let Locked { used, missing, stale, .. } = locked;
    for what in stale {
        output::warn(format!("{}: {what}", path.display()));
    }
    if !missing.is_empty() {
        output::warn(format!(
            "{} has no entry for {}; `pointweld tune` writes them",
            path.display(),
            missing.join(", ")
        ));
    }
    if !(stale.is_empty() && missing.is_empty()) {
        output::warn(format!("{}: {} kernels run as it says", path.display(), used.len()));
    }
}

/// What kind of failure an error of the compiler is to a user.
pub fn failure(error: Error) -> Failure {
    match error {
        Error::Compile(e) => Failure::machine(e),
        Error::Write { .. } => Failure::machine(error),
        e => Failure::input(e),
    }
}

/// A graph as text, a line a node, on standard error so that `--json` stays JSON.
fn dump(pass: &str, round: usize, graph: &Graph) -> Result<(), Failure> {
    let mut out = anstream::stderr().lock();
    writeln!(out, "after {pass}, round {round}")?;
    let order = graph.topological().unwrap_or_default();
    for id in order.into_iter().filter(|id| !matches!(graph.node(*id).kind, Kind::Constant(_))) {
        let node = graph.node(id);
        let operands: Vec<String> = graph
            .operands(id)
            .iter()
            .map(|v| match graph.constant(*v).and_then(|t| t.uniform()) {
                Some(scalar) => scalar.to_string(),
                None => Shown(graph.value_name(*v)).to_string(),
            })
            .collect();
        let results: Vec<String> = node.outputs.iter().map(|o| format!("{}: {}", Shown(&o.name), o.ty)).collect();
        writeln!(out, "  {} = {}({})", results.join(", "), node.kind, operands.join(", "))?;
    }
    Ok(())
}
