//! `pointweld tune`: measures what kernels may run as, and writes a lock file.

use super::args::TuneArgs;
use super::output::{self, Failure, bold};
use super::source;
use crate::files;
use crate::name::Shown;
use crate::runtime::Device;
use crate::target::Arch;
use crate::tune::{self, Clock, Options, Row, TuneError, Tuned};
use std::collections::BTreeSet;
use std::io::Write;

pub fn run(args: &TuneArgs, json: bool) -> Result<(), Failure> {
    let graph = source::import(&args.model)?;
    let fusion = &args.model.fusion;
    let mut symbols = BTreeSet::new();
    for shape in graph.inputs().iter().filter_map(|id| graph.ty(id.value()).shape.as_ref()) {
        shape.iter().for_each(|d| d.symbols(&mut symbols));
    }
    if let Some(name) = symbols.iter().find(|name| !fusion.dims.iter().any(|(given, _)| given == *name)) {
        return Err(Failure::Usage(format!("the size {} is not known: give --dim {}=N", Shown(name), Shown(name))));
    }
    let device = match args.by_model {
        true => None,
        false => Some(Device::open(0).map_err(|why| {
            Failure::Machine(format!(
                "tuning measures on a GPU, and there is none here: {why}. Run it where there is one, or give --model to write what the \
                 analytic model chooses"
            ))
        })?),
    };
    let (clock, arch) = match &device {
        Some(device) => (Clock::Device(device), device.arch()),
        None => (Clock::Model, args.arch.unwrap_or(Arch::SM_90)),
    };
    let write = |e: std::io::Error| Failure::Machine(format!("{}: {e}", args.out.display()));
    files::check(&args.out).map_err(write)?;
    let compiler = source::compiler(fusion)?.arch(arch);
    let sizes = fusion.dims.iter().cloned().collect();
    let options = Options { candidates: args.candidates, seed: args.seed, ..Options::default() };
    if !json {
        writeln!(output::out(), "{}", bold("default us      us  tried  kernel"))?;
    }
    let mut printed = Ok(());
    let tuned = tune::tune(clock, &compiler, &graph, &sizes, &options, &mut |row| {
        if !json && printed.is_ok() {
            printed = print(row);
        }
    });
    printed?;
    let Tuned { lock, rows } = tuned.map_err(|error| match error {
        TuneError::Compiler(error) => source::failure(error),
        other => Failure::machine(other),
    })?;
    files::write(&args.out, lock.to_json()?).map_err(write)?;
    if json {
        return output::json(&rows);
    }
    let sum = |us: fn(&Row) -> f64| rows.iter().map(us).sum::<f64>();
    let (default, best) = (sum(|row| row.default_us), sum(|row| row.us));
    writeln!(
        output::out(),
        "{} kernels, {default:.1} -> {best:.1} us, each counted once; written to {}",
        rows.len(),
        args.out.display()
    )?;
    Ok(())
}

fn print(row: &Row) -> Result<(), Failure> {
    let mut out = output::out();
    writeln!(out, "{:>10.2} {:>7.2} {:>6}  {}: {}", row.default_us, row.us, row.tried, row.kernel, row.what)?;
    writeln!(out, "{:>26}  {}", "", row.choice)?;
    for why in &row.refused {
        writeln!(out, "{:>26}  refused: {why}", "")?;
    }
    Ok(())
}
