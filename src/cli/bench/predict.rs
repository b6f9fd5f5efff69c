//! `pointweld bench --predict`: what the analytic model says of formulas and models, beside the roofline.

use super::super::args::{BenchArgs, ModelArgs};
use super::super::output::{self, Failure, bold};
use super::super::source;
use super::{Case, forms};
use crate::bench;
use crate::compiler::Planned;
use crate::dim::Bindings;
use crate::expr;
use crate::schedule;
use crate::target::{Arch, Target};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

#[derive(Serialize)]
struct Row {
    name: String,
    count: u32,
    group: Option<String>,
    goal_us: Option<f64>,
    kernels: usize,
    least_us: f64,
    predicted_us: f64,
    form: Vec<String>,
}

pub fn run(cases: &[Case], args: &BenchArgs, json: bool) -> Result<(), Failure> {
    let arch = args.arch.unwrap_or(Arch::SM_90);
    let target = Target::of(arch);
    let mut rows = Vec::new();
    for case in cases {
        let graph = match &args.model {
            Some(model) => source::import(&ModelArgs { model: model.clone(), fusion: args.fusion.clone() })?,
            None => expr::parse(&case.expr).map_err(Failure::input)?,
        };
        let mut compiler = source::compiler(&args.fusion)?.arch(arch);
        for (symbol, size) in &case.dims {
            compiler = compiler.expect_size(symbol, *size);
        }
        let planned = source::plan(&compiler, &graph, &args.fusion)?;
        for (name, compiler) in forms(&compiler, &planned, case, args) {
            let planned = source::plan(&compiler, &graph, &args.fusion)?;
            let group = case.group.clone().filter(|_| name == case.name);
            rows.push(Row { name, group, ..row(case, &planned, &case.dims, &target)? });
        }
    }
    if json {
        return output::json(&rows);
    }
    let mut out = output::out();
    writeln!(out, "{} ({arch}), predicted", target.part.name)?;
    writeln!(out, "{}", bold("roofline us  predicted us  goal us  kernels  case"))?;
    let goal = |goal: Option<f64>| goal.map_or("-".into(), |us| format!("{us:.0}"));
    let mut groups: BTreeMap<&str, (f64, f64, u32)> = BTreeMap::new();
    for row in &rows {
        let Row { name, count, group, goal_us, kernels, least_us, predicted_us, form } = row;
        let times = if *count > 1 { format!("{count} x ") } else { String::new() };
        let form = form.join(" ");
        writeln!(
            out,
            "{least_us:>11.2} {predicted_us:>13.2} {:>8} {kernels:>8}  {times}{name}  {form}",
            goal(*goal_us)
        )?;
        if let Some(group) = group {
            let sum = groups.entry(group).or_default();
            *sum = (sum.0 + f64::from(*count) * least_us, sum.1 + f64::from(*count) * predicted_us, sum.2 + count);
        }
    }
    for (group, (least, predicted, count)) in groups {
        writeln!(out, "{least:>11.2} {predicted:>13.2} {:>8} {:>8}  {group}, {count} together", "-", "")?;
    }
    Ok(())
}

fn row(case: &Case, planned: &Planned, sizes: &Bindings, target: &Target) -> Result<Row, Failure> {
    let plan = &planned.plan;
    let Case { name, count, group, goal_us, .. } = case;
    Ok(Row {
        name: name.clone(),
        count: *count,
        group: group.clone(),
        goal_us: *goal_us,
        kernels: plan.kernels().count() + plan.stages().count(),
        least_us: bench::least(plan, sizes, target).map_err(Failure::input)?,
        predicted_us: plan.kernels().map(|kernel| schedule::predict(kernel, target, sizes)).sum(),
        form: plan.kernels().map(|kernel| format!("{:?}", kernel.schedule.form)).collect(),
    })
}
