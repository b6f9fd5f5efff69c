//! `pointweld bench`: measures models and formulas on this machine's GPU.

mod model;
mod predict;

use super::args::BenchArgs;
use super::output::{self, Failure, bold};
use super::{compile, source};
use crate::bench::{self, Timing};
use crate::dim::Bindings;
use crate::expr;
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
    for case in cases {
        let graph = expr::parse(&case.expr).map_err(Failure::input)?;
        let mut compiler = source::compiler(&args.fusion)?.arch(device.arch()).cached(false);
        for (symbol, size) in &case.dims {
            compiler = compiler.expect_size(symbol, *size);
        }
        let start = Instant::now();
        let planned = source::plan(&compiler, &graph, &args.fusion)?;
        let compiled = compile::compile(&compiler, planned)?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;
        let timing = bench::measure(&device, &compiled, &case.dims, args.seed).map_err(Failure::machine)?;
        let plan = &compiled.planned.plan;
        let form = plan.kernels().map(|k| format!("{:?}", k.schedule.form)).collect();
        let target = device.target();
        let predicted_us = plan.kernels().map(|k| schedule::predict(k, &target, &case.dims)).sum();
        let least_us = bench::least(plan, &case.dims, &target).map_err(Failure::input)?;
        let Case { name, count, group, goal_us, .. } = case;
        let row = Row { name, count, group, goal_us, form, predicted_us, least_us, compile_ms, timing };
        if !json {
            print(&row)?;
        }
        rows.push(row);
    }
    if json {
        output::json(&rows)?;
    }
    match rows.iter().find_map(|row| row.timing.failure.as_ref()) {
        Some(why) => Err(Failure::Wanting(why.clone())),
        None => Ok(()),
    }
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
    serde_json::from_str(&text).map_err(|e| Failure::Input(format!("{}: {e}", path.display())))
}

const HEAD: &str = "  gpu us     GB/s  host us  compile ms  error/bound  mismatches  case";

fn print(row: &Row) -> Result<(), Failure> {
    let Timing { gpu_us, gb_per_s, host_us, worst, mismatches, .. } = row.timing;
    let mut out = output::out();
    write!(out, "{gpu_us:>8.2} {gb_per_s:>8.0} {host_us:>8.2} {:>11.0} {worst:>12.3}", row.compile_ms)?;
    writeln!(out, " {mismatches:>11}  {} {}", row.name, row.form.join(" "))?;
    Ok(())
}
