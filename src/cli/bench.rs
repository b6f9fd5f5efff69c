//! `pointweld bench`: measures models and formulas on this machine's GPU.

mod model;
mod predict;

use super::args::BenchArgs;
use super::output::{self, Failure, bold};
use super::{compile, source};
use crate::bench::{self, Timing};
use crate::compiler::{Compiler, Planned};
use crate::dim::Bindings;
use crate::expr;
use crate::lock::{self, Choice, Entry, Lock};
use crate::plan::{Form, Kernel};
use crate::runtime::Device;
use crate::schedule;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::Instant;

/// A formula with the sizes to measure it at.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    expr: String,
    dims: Bindings,
    /// How often it is part of `group`, whose times are added up.
    #[serde(default = "once")]
    count: u32,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    goal_us: Option<f64>,
}

fn once() -> u32 {
    1
}

#[derive(Serialize)]
struct Row {
    name: String,
    count: u32,
    group: Option<String>,
    goal_us: Option<f64>,
    form: Vec<String>,
    /// What the analytic model and the roofline say.
    predicted_us: f64,
    least_us: f64,
    /// Planning and NVRTC, without the cache.
    compile_ms: f64,
    #[serde(flatten)]
    timing: Timing,
}

pub fn run(args: &BenchArgs, json: bool) -> Result<(), Failure> {
    if let Some(model) = args.model.as_ref().filter(|_| !args.predict) {
        return model::run(args, model, json);
    }
    if args.predict {
        return predict::run(&cases(args)?, args, json);
    }
    let device = Device::open(0).map_err(Failure::machine)?;
    let cases = cases(args)?;
    let mut rows = Vec::new();
    if !json {
        writeln!(output::out(), "{}\n{}", device.info(), bold(HEAD))?;
    }
    let mut list = output::List::default();
    let measured = cases.iter().try_for_each(|case| {
        measure(&device, case, args, &mut |row| {
            if json {
                list.push(&row)?;
            } else {
                print(&row)?;
            }
            rows.push(row);
            Ok(())
        })
    });
    if json {
        list.end()?;
    }
    measured?;
    match rows.iter().find_map(|row| row.timing.failure.as_ref()) {
        Some(why) => Err(Failure::Wanting(why.clone())),
        None => Ok(()),
    }
}

/// Measures a case in each of its forms.
fn measure(
    device: &Device,
    case: &Case,
    args: &BenchArgs,
    tell: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let graph = expr::parse(&case.expr).map_err(Failure::input)?;
    let mut compiler = source::compiler(&args.fusion)?.arch(device.arch()).cached(false);
    for (symbol, size) in &case.dims {
        compiler = compiler.expect_size(symbol, *size);
    }
    let chosen = source::plan(&compiler, &graph, &args.fusion)?;
    for (name, compiler) in forms(&compiler, &chosen, case, args) {
        let start = Instant::now();
        let planned = source::plan(&compiler, &graph, &args.fusion)?;
        let compiled = compile::compile(&compiler, planned)?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;
        let timing = match bench::measure(device, &compiled, &case.dims, args.seed) {
            Ok(timing) => timing,
            // The form that was chosen must run; of the others, the next one may.
            Err(error) if name != case.name => {
                output::warn(format!("{name}: {error}"));
                continue;
            }
            Err(error) => return Err(Failure::machine(error)),
        };
        let plan = &compiled.planned.plan;
        let form = plan.kernels().map(|k| format!("{:?}", k.schedule.form)).collect();
        let target = device.target();
        let predicted_us = plan.kernels().map(|k| schedule::predict(k, &target, &case.dims)).sum();
        let least_us = bench::least(plan, &case.dims, &target).map_err(Failure::input)?;
        let group = case.group.clone().filter(|_| name == case.name);
        let Case { count, goal_us, .. } = *case;
        tell(Row { name, count, group, goal_us, form, predicted_us, least_us, compile_ms, timing })?;
    }
    Ok(())
}

/// The names of a case's forms, each with a compiler that chooses it: what is chosen anyway, and where it is asked for every blocking of its only
/// kernel's product in which some warps only copy.
fn forms(compiler: &Compiler, planned: &Planned, case: &Case, args: &BenchArgs) -> Vec<(String, Compiler)> {
    let mut all = vec![(case.name.clone(), compiler.clone())];
    let kernels: Vec<&Kernel> = planned.plan.kernels().collect();
    if let (true, [kernel]) = (args.specialised, &kernels[..]) {
        let target = compiler.target();
        for pick in schedule::candidates(kernel, &target, compiler.schedule_options()) {
            let Form::Product { blocking: tile, .. } = &pick.form else { continue };
            if !tile.engine.is_specialised() {
                continue;
            }
            let (down, across) = tile.warps;
            let name = format!("{}, {:?} {}x{} by {down}x{across} warps", case.name, tile.engine, tile.m, tile.n);
            let mut lock = Lock::default();
            let entry = Entry::new(kernel, target.arch, &case.dims, Choice::Run(pick), 0.0, 0.0);
            lock.entries.insert(lock::key(kernel, target.arch, &case.dims), entry);
            all.push((name, compiler.clone().lock(lock)));
        }
    }
    all
}

fn cases(args: &BenchArgs) -> Result<Vec<Case>, Failure> {
    if let Some(expr) = &args.expr {
        let dims = args.fusion.dims.iter().cloned().collect();
        let (name, expr) = (expr.clone(), expr.clone());
        return Ok(vec![Case { name, expr, dims, count: 1, group: None, goal_us: None }]);
    }
    if let Some(model) = &args.model {
        let dims = args.fusion.dims.iter().cloned().collect();
        let name = model.display().to_string();
        return Ok(vec![Case { name, expr: String::new(), dims, count: 1, group: None, goal_us: None }]);
    }
    let Some(path) = &args.cases else {
        return Err(Failure::Usage("give a model, --expr, or --cases with a JSON list of {name, expr, dims}".into()));
    };
    let text = std::fs::read_to_string(path).map_err(|e| Failure::Input(format!("{}: {e}", path.display())))?;
    let all: Vec<Case> = serde_json::from_str(&text).map_err(|e| Failure::Input(format!("{}: {e}", path.display())))?;
    let only = args.only.as_deref().unwrap_or_default();
    Ok(all.into_iter().filter(|case| case.name.contains(only)).collect())
}

const HEAD: &str = "  gpu us     GB/s  host us  compile ms  error/bound  mismatches  case";

fn print(row: &Row) -> Result<(), Failure> {
    let Timing { gpu_us, gb_per_s, host_us, worst, mismatches, .. } = row.timing;
    let mut out = output::out();
    write!(out, "{gpu_us:>8.2} {gb_per_s:>8.0} {host_us:>8.2} {:>11.0} {worst:>12.3}", row.compile_ms)?;
    writeln!(out, " {mismatches:>11}  {} {}", row.name, row.form.join(" "))?;
    Ok(())
}
