//! `pointweld sensitivity`: what each group of a model costs on codes, and which to leave in float.

use super::args::{self, ActivationsArg, binding};
use super::data::DataArgs;
use super::output::{self, Failure, bold, dim};
use super::quantize;
use crate::data::Samples;
use crate::dim::Bindings;
use crate::files;
use crate::name::Shown;
use crate::onnx::ModelFile;
use crate::quant::sensitivity::{
    Found, Goal, Meter, Mix, Replacement, Search, Sensitivity, SensitivityError, TappedGroup, WhatIf, analyse, mix,
    points, refine, search, tap_groups, what_if,
};
use crate::quant::{Calibrator, Choice, Observation, Quantizer, Scheme, WeightForm, place};
use crate::reference;
use crate::report::pages;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct SensitivityArgs {
    /// The ONNX file, in float
    pub model: PathBuf,
    #[command(flatten)]
    pub data: DataArgs,
    /// The size of a named dimension, NAME=N; may be repeated
    #[arg(long = "dim", value_name = "NAME=N", value_parser = binding)]
    pub dims: Vec<(String, u64)>,
    /// How scales are chosen: margin[=20%], minmax, percentile[=99.99], entropy, mse, power[=6]
    #[arg(long, default_value = "margin", value_parser = args::calibrator)]
    pub calibrator: Calibrator,
    /// The codes of activations
    #[arg(long, value_enum, default_value_t = ActivationsArg::U8)]
    pub activations: ActivationsArg,
    /// First choose each activation's range by what it does to the model's outputs
    #[arg(long)]
    pub refine: bool,
    /// Leave a group, a node's group or all groups of a subgraph in float from the start, by name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub float: Vec<String>,
    /// Measure at this value too, by name; outputs are always measured, those that are concatenations part by part
    #[arg(long, value_name = "NAME")]
    pub at: Vec<String>,
    /// Leave as few groups in float as give this many dB, everywhere or at one value; may be repeated
    #[arg(long, value_name = "[NAME=]DB", value_parser = target, conflicts_with = "keep_float")]
    pub target_db: Vec<(Option<String>, f64)>,
    /// Leave N groups in float, those that gain most
    #[arg(long, value_name = "N")]
    pub keep_float: Option<usize>,
    /// The largest share of the model's multiply-adds that may stay in float, as 5% or 0.05
    #[arg(long, value_name = "SHARE", value_parser = args::share)]
    pub float_macs: Option<f64>,
    /// Measure inside this group too: the error at each of its ops; may be repeated, `*` for every group
    #[arg(long, value_name = "GROUP")]
    pub taps: Vec<String>,
    /// What if every op of one kind were another, such as silu=hardswish; may be repeated
    #[arg(long, value_name = "OP=OP", value_parser = pair)]
    pub replace: Vec<(String, String)>,
    /// Measure on N samples only, spread evenly over those to measure on
    #[arg(long, value_name = "N", value_parser = args::count)]
    pub measure_on: Option<usize>,
    /// Show this many groups, 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the quantized model with the groups that were chosen in float
    #[arg(short, long)]
    pub out: Option<PathBuf>,
}

/// Everything the command finds.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    sensitivity: Sensitivity,
    search: Option<Found>,
    taps: Vec<TappedGroup>,
    what_if: Vec<WhatIf>,
}

pub fn run(args: &SensitivityArgs, json: bool) -> Result<(), Failure> {
    let replacements = args.replace.iter().map(|(from, to)| Replacement::new(from, to));
    let replacements = replacements.collect::<Result<Vec<_>, _>>().map_err(failure)?;
    let file = ModelFile::read(&args.model).map_err(Failure::input)?;
    quantize::writable(&args.model, [args.out.as_ref(), args.html.as_ref()])?;
    let sizes = args.dims.iter().cloned().collect();
    let mut quantizer = Quantizer::new(file, &sizes, &args.float).map_err(Failure::input)?;
    quantizer.warnings.iter().for_each(output::warn);
    let (calibration, measured) = args.data.open(&quantizer.graph)?;
    let measured = args.measure_on.map_or(measured.clone(), |count| measured.spread(count));
    let choice =
        Choice { calibrator: args.calibrator, activations: quantize::codes(args.activations), correct_biases: true };
    let seen = quantize::observe(&quantizer, &calibration)?;
    let (mut scheme, warnings) = quantizer.choose(&seen, &choice).map_err(Failure::input)?;
    warnings.iter().for_each(output::warn);
    if args.refine {
        let samples = calibration.spread(args.measure_on.unwrap_or(calibration.len()));
        scheme = refined(&quantizer, scheme, &seen, &choice, &samples)?;
    }

    let points = points(&quantizer.graph, &args.at).map_err(failure)?;
    let options = reference::Options { bindings: sizes, ..reference::Options::default() };
    let chosen: BTreeSet<String>;
    let outcome = {
        let meter = Meter::new(&quantizer.graph, &quantizer.placement, &scheme, &measured, points, options);
        let meter = meter.map_err(failure)?;
        let wanted = wanted(args, &meter)?;
        let mut sensitivity = watched("measuring groups", |tick| analyse(&meter, tick))?;
        // Exporters call every graph alike.
        sensitivity.model = output::file_name(&args.model);
        let found = match &wanted {
            Some(wanted) => Some(watched("choosing groups", |tick| search(&meter, &sensitivity, wanted, tick))?),
            None => None,
        };
        let taps = match tapped(&meter, &args.taps)? {
            names if names.is_empty() => Vec::new(),
            names => watched("tapping groups", |tick| tap_groups(&meter, &names, tick))?,
        };
        let replaced = replacements
            .into_iter()
            .map(|r| watched("replacing ops", |tick| what_if(&meter, r, &calibration, &choice, tick)));
        let what_if = replaced.collect::<Result<Vec<_>, _>>()?;
        chosen = found.iter().flat_map(|found| found.float.iter().cloned()).collect();
        let float: BTreeSet<&str> = chosen.iter().map(String::as_str).collect();
        let placement = meter.placement_with(&float, "the sensitivity search chose it");
        let outcome = Outcome { sensitivity, search: found, taps, what_if };
        drop(meter);
        quantizer.placement = placement;
        outcome
    };
    if let Some(path) = &args.html {
        let Outcome { sensitivity, search, taps, what_if } = &outcome;
        let page = pages::sensitivity(sensitivity, search.as_ref(), taps, what_if).map_err(Failure::machine)?;
        files::write(path, page)?;
    }
    if let Some(path) = &args.out {
        scheme.restrict(&quantizer.graph, &quantizer.placement);
        quantizer.write(&scheme, WeightForm::Codes, path).map_err(Failure::input)?;
    }
    match json {
        true => output::json(&outcome)?,
        false => print(&outcome, args.top)?,
    }
    match &outcome.search {
        Some(found) if !found.met => Err(Failure::Wanting("the target is not reached".into())),
        _ => Ok(()),
    }
}

/// The scheme with each activation's range chosen by measurement.
pub(super) fn refined(
    quantizer: &Quantizer,
    scheme: Scheme,
    seen: &Observation,
    choice: &Choice,
    samples: &Samples,
) -> Result<Scheme, Failure> {
    let points = points(&quantizer.graph, &[]).map_err(failure)?;
    let options = reference::Options { bindings: seen.sizes.clone(), ..reference::Options::default() };
    let meter =
        Meter::new(&quantizer.graph, &quantizer.placement, &scheme, samples, points, options).map_err(failure)?;
    watched("trying ranges", |tick| refine(&meter, seen, choice.activations, tick))
}

/// Leaves the groups in float that pay most for the share of multiply-adds that may stay there.
pub(super) fn mixed(
    quantizer: &mut Quantizer,
    scheme: &mut Scheme,
    float_macs: f64,
    sizes: &Bindings,
    samples: &Samples,
) -> Result<Mix, Failure> {
    let points = points(&quantizer.graph, &[]).map_err(failure)?;
    let options = reference::Options { bindings: sizes.clone(), ..reference::Options::default() };
    let meter =
        Meter::new(&quantizer.graph, &quantizer.placement, scheme, samples, points, options).map_err(failure)?;
    let found = watched("measuring groups", |tick| mix(&meter, float_macs, sizes, tick))?;
    let mut keep = quantizer.placement.float.clone();
    keep.extend(found.float.iter().map(|spared| {
        let (noise, macs) = (100.0 * spared.noise, 100.0 * spared.macs);
        (
            spared.group.clone(),
            format!("on codes it made {noise:.1}% of the noise with {macs:.2}% of the multiply-adds"),
        )
    }));
    drop(meter);
    quantizer.placement = place(&quantizer.graph, &keep);
    scheme.restrict(&quantizer.graph, &quantizer.placement);
    Ok(found)
}

/// Runs a measurement under a progress bar; once the first sample has shown how long it takes, the rest is told.
fn watched<T>(
    what: &str,
    work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> Result<T, SensitivityError>,
) -> Result<T, Failure> {
    let bar = output::progress(0, what);
    let start = Instant::now();
    let told = std::sync::atomic::AtomicBool::new(std::io::stderr().is_terminal());
    let result = work(&|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        let (spent, share) = (start.elapsed().as_secs_f64(), done as f64 / total.max(1) as f64);
        let left = spent / share - spent;
        bar.set_message(format!("about {left:.0} s left"));
        if spent > 5.0 && left > 10.0 && !told.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let _ = writeln!(anstream::stderr(), "{what}: {total} runs, about {left:.0} s");
        }
    });
    bar.finish_and_clear();
    result.map_err(failure)
}

fn failure(error: SensitivityError) -> Failure {
    Failure::input(error)
}

/// What the options ask to search for.
fn wanted(args: &SensitivityArgs, meter: &Meter) -> Result<Option<Search>, Failure> {
    let float_macs = args.float_macs;
    if let Some(count) = args.keep_float {
        return Ok(Some(Search { goal: Goal::Count(count), float_macs }));
    }
    if args.target_db.is_empty() {
        return match args.out.is_some() || float_macs.is_some() {
            true => Err(Failure::Usage("--out and --float-macs need --target-db or --keep-float".into())),
            false => Ok(None),
        };
    }
    let mut targets = vec![None; meter.points.len()];
    for (name, db) in &args.target_db {
        let mut hit = false;
        for (point, target) in meter.points.iter().zip(&mut targets) {
            if name.as_ref().is_none_or(|name| *name == point.name) {
                (*target, hit) = (Some(*db), true);
            }
        }
        if let Some(name) = name.as_ref().filter(|_| !hit) {
            let names: Vec<String> = meter.points.iter().map(|point| Shown(&point.name).to_string()).collect();
            return Err(Failure::Usage(format!(
                "--target-db: {} is not measured; {} are (--at adds others)",
                Shown(name),
                names.join(", ")
            )));
        }
    }
    Ok(Some(Search { goal: Goal::Targets(targets), float_macs }))
}

/// The groups to tap.
fn tapped(meter: &Meter, wanted: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for pattern in wanted {
        let found = match pattern.as_str() {
            "*" => meter.quantized().into_iter().map(String::from).collect(),
            _ => crate::quant::matching(meter.graph, pattern),
        };
        if found.is_empty() {
            return Err(Failure::Usage(format!("--taps: no group is named {}", Shown(pattern))));
        }
        names.extend(found);
    }
    Ok(names)
}

fn print(outcome: &Outcome, top: usize) -> Result<(), Failure> {
    let mut out = output::out();
    let found = &outcome.sensitivity;
    let (samples, on_codes, in_float) = (found.samples, found.groups.len(), found.float.len());
    writeln!(
        out,
        "{}: {samples} samples; {on_codes} groups on codes, {:.1}% of the multiply-adds; {in_float} in float",
        bold(Shown(&found.model)),
        100.0 * found.quantized_macs
    )?;
    for (i, point) in (1..).zip(&found.points) {
        writeln!(out, "  {i}: {} dB at {} ({})", bold(decibels(point.db)), Shown(&point.name), Shown(&point.about))?;
    }
    let columns = |rows: &[f64]| rows.iter().map(|db| format!("{:>6}", decibels(*db))).collect::<Vec<_>>().join(" ");
    let numbers = (1..=found.points.len()).map(|i| format!("{i:>6}")).collect::<Vec<_>>().join(" ");
    let width = 7 * found.points.len() - 1;
    let (alone, float) = ("alone on codes, dB", "alone in float, dB");
    writeln!(out, "\nnoise   MACs  {alone:^width$}   {float:^width$}")?;
    writeln!(out, "              {numbers:>18}   {numbers:>18}  {}", dim("group"))?;
    let shown = if top == 0 { found.groups.len() } else { top };
    for row in found.groups.iter().take(shown) {
        writeln!(
            out,
            "{:>4.1}% {:>5.1}%  {:>18}   {:>18}  {} {}",
            100.0 * row.noise,
            100.0 * row.macs,
            columns(&row.alone_quantized),
            columns(&row.alone_float),
            Shown(&row.name),
            dim(Shown(&row.ops))
        )?;
    }
    if shown < found.groups.len() {
        writeln!(out, "{}", dim(format!("… and {} more (--top 0 shows all)", found.groups.len() - shown)))?;
    }
    for (name, reason) in &found.float {
        writeln!(out, "in float: {} {}", Shown(name), dim(Shown(reason)))?;
    }
    if let Some(search) = &outcome.search {
        print_search(&mut out, search)?;
    }
    for group in &outcome.taps {
        writeln!(out, "\ninside {}: f32 against f64, alone on codes, all on codes", bold(Shown(&group.name)))?;
        for tap in &group.ops {
            let row = columns(&[tap.float, tap.alone, tap.all]);
            writeln!(out, "  {row} dB  {} {}", tap.op, dim(Shown(&tap.value)))?;
        }
    }
    for found in &outcome.what_if {
        writeln!(out, "\nwhat if every {} were a {}, without training again:", found.from, found.to)?;
        writeln!(out, "  {} dB  in float", columns(&found.float))?;
        writeln!(out, "  {} dB  on codes, as it is", columns(&found.quantized))?;
        writeln!(out, "  {} dB  on codes, replaced", columns(&found.quantized_replaced))?;
        for (value, db) in found.each.iter().take(shown) {
            writeln!(out, "  {} dB  in float, {} alone", columns(db), Shown(value))?;
        }
    }
    Ok(())
}

fn print_search(out: &mut impl Write, search: &Found) -> Result<(), Failure> {
    let row = |db: &[f64]| db.iter().map(|db| format!("{:>6}", decibels(*db))).collect::<Vec<_>>().join(" ");
    writeln!(out, "\nleft in float, one after the other:")?;
    for step in &search.steps {
        let dropped = if search.dropped.contains(&step.group) { "  (superfluous in the end)" } else { "" };
        let macs = 100.0 * step.quantized_macs;
        writeln!(out, "  {} dB, {macs:.1}% of MACs on codes  {}{dropped}", row(&step.db), Shown(&step.group))?;
    }
    let (n, macs) = (search.float.len(), 100.0 * search.quantized_macs);
    writeln!(out, "{}", bold(format!("{n} groups in float: {} dB, {macs:.1}% of MACs on codes", row(&search.db))))?;
    Ok(())
}

pub(super) fn decibels(db: f64) -> String {
    match db {
        f64::INFINITY => "exact".into(),
        f64::NEG_INFINITY => "lost".into(),
        db => format!("{db:.1}"),
    }
}

fn target(text: &str) -> Result<(Option<String>, f64), String> {
    let (name, db) = match text.rsplit_once('=') {
        Some((name, db)) => (Some(name.to_string()), db),
        None => (None, text),
    };
    let db: Option<f64> = db.parse().ok().filter(|x: &f64| x.is_finite());
    Ok((name, db.ok_or_else(|| format!("{text:?} is not a number of dB, nor NAME=DB"))?))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("expected two ops, such as silu=hardswish")?;
    Ok((from.trim().into(), to.trim().into()))
}
