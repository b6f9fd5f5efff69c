//! `pointweld quantize`: calibrates a float model on data and writes it with codes at its fusion boundaries.

use super::args::{ActivationsArg, QuantizeArgs, TargetArg};
use super::output::{self, Failure, bold, dim};
use super::sensitivity;
use crate::data::Samples;
use crate::dim::Bindings;
use crate::dtype::DType;
use crate::files;
use crate::name::Shown;
use crate::onnx::ModelFile;
use crate::quant::sensitivity::Mix;
use crate::quant::{self, Audit, Choice, Codes, Observation, Quantizer, Record, Role, Scheme, Symmetry, WeightForm};
use crate::report::pages;
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn run(args: &QuantizeArgs, json: bool) -> Result<(), Failure> {
    let (activations, form) = match (args.target, args.activations) {
        (TargetArg::Any, given) => (given.unwrap_or(ActivationsArg::U8), WeightForm::Codes),
        (TargetArg::Tensorrt, None | Some(ActivationsArg::I8)) => (ActivationsArg::I8, WeightForm::Pairs),
        (TargetArg::Tensorrt, Some(_)) => {
            return Err(Failure::Usage("--target tensorrt: its activations are i8, without zero points".into()));
        }
    };
    let calibration = args.calibration.clone().unwrap_or_else(|| args.out.with_file_name("calibration.json"));
    let file = ModelFile::read(&args.model).map_err(Failure::input)?;
    writable(
        &args.model,
        [Some(&args.out), args.report.as_ref(), Some(&calibration).filter(|_| args.shard.is_none())],
    )?;
    let sizes: Bindings = args.dims.iter().cloned().collect();
    let mut quantizer = Quantizer::new(file, &sizes, &args.keep_float).map_err(Failure::input)?;
    quantizer.warnings.iter().for_each(output::warn);
    let (own, products) = quantizer.placement.already(&quantizer.graph);
    if own > 0 {
        output::warn(format!(
            "the model is quantized already: {own} of its {products} convolutions and products keep the codes that they have, only the \
             other {} get codes",
            products - own
        ));
    }
    if quantizer.upgraded {
        output::warn("the model is brought up to operator set 13, which codes per channel need");
    }
    if let Some((shard, count)) = args.shard {
        let (samples, _) = args.data.open(&quantizer.graph)?;
        let seen = observe(&quantizer, &samples.shard(shard, count))?;
        let record = Record::new(quantizer.fingerprint(), (shard, count), seen);
        record.write(&args.out).map_err(Failure::machine)?;
        return summary_of_shard(&record, &args.out, json);
    }
    let samples = match args.merge.is_empty() || !args.data.data.is_empty() {
        true => Some(args.data.open(&quantizer.graph)?.0),
        false => None,
    };
    let mut record = match &samples {
        Some(samples) if args.merge.is_empty() => {
            Record::new(quantizer.fingerprint(), (0, 1), observe(&quantizer, samples)?)
        }
        _ => quant::merge(quantizer.fingerprint(), &args.merge).map_err(Failure::input)?,
    };
    let choice = Choice {
        calibrator: args.calibrator,
        activations: codes(activations),
        correct_biases: !args.no_bias_correction,
    };
    let (mut scheme, warnings) = quantizer.choose(&record.observation, &choice).map_err(Failure::input)?;
    let mut mix = None;
    match samples.map(|samples| samples.spread(args.measure_on)) {
        Some(samples) => {
            if args.float_macs > 0.0 {
                let sizes = &record.observation.sizes;
                mix = Some(sensitivity::mixed(&mut quantizer, &mut scheme, args.float_macs, sizes, &samples)?);
            }
            if args.refine {
                scheme = sensitivity::refined(&quantizer, scheme, &record.observation, &choice, &samples)?;
            }
        }
        None if args.refine => {
            return Err(Failure::Usage("--refine measures on samples: give --data with --merge".into()));
        }
        None if args.float_macs > 0.0 => output::warn(
            "without samples no group could be left in float for accuracy: give --data with --merge, or --float-macs 0",
        ),
        None => {}
    }
    if !json {
        warnings.iter().for_each(output::warn);
    }
    if let Some(path) = &args.report {
        let audit = quant::audit(&quantizer.graph, &quantizer.placement, &record.observation, &scheme);
        report(&Audit { model: output::file_name(&args.model), ..audit }, path)?;
    }
    let summary = Summary::new(&quantizer, &scheme, &record.observation, mix, warnings);
    quantizer.write(&scheme, form, &args.out).map_err(Failure::input)?;
    (record.choice, record.scheme) = (Some(choice), Some(scheme));
    record.write(&calibration).map_err(Failure::machine)?;
    summary.print(&args.out, &calibration, json)
}

/// Says before the work that a file could not be written, or would replace the model that is read.
pub(super) fn writable<'a>(model: &Path, files: impl IntoIterator<Item = Option<&'a PathBuf>>) -> Result<(), Failure> {
    for path in files.into_iter().flatten() {
        files::check(path).map_err(|e| Failure::Machine(format!("cannot write {}: {e}", path.display())))?;
        if path.canonicalize().is_ok_and(|there| model.canonicalize().is_ok_and(|model| model == there)) {
            return Err(Failure::Usage(format!("{}: is the model that is read; give another file", path.display())));
        }
    }
    Ok(())
}

pub(super) fn codes(arg: ActivationsArg) -> Codes {
    match arg {
        ActivationsArg::U8 => Codes { dtype: DType::U8, symmetry: Symmetry::Asymmetric },
        ActivationsArg::I8 => Codes { dtype: DType::I8, symmetry: Symmetry::Symmetric },
        ActivationsArg::I8Asymmetric => Codes { dtype: DType::I8, symmetry: Symmetry::Asymmetric },
    }
}

/// The calibration run, under a progress bar.
pub(super) fn observe(quantizer: &Quantizer, samples: &Samples) -> Result<Observation, Failure> {
    let bar = output::progress(samples.feeds(), "calibrating");
    let seen = quantizer.observe(samples, || bar.inc(1)).map_err(Failure::input)?;
    bar.finish_and_clear();
    Ok(seen)
}

/// Writes the report: JSON where the file's name says so, else a page.
fn report(audit: &Audit, path: &Path) -> Result<(), Failure> {
    let text = match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
        true => serde_json::to_string_pretty(audit)?,
        false => pages::quantization(audit).map_err(Failure::machine)?,
    };
    Ok(files::write(path, text)?)
}

fn summary_of_shard(record: &Record, path: &Path, json: bool) -> Result<(), Failure> {
    let (samples, tensors) = (record.observation.samples, record.observation.tensors.len());
    if json {
        return output::json(&serde_json::json!({ "samples": samples, "tensors": tensors, "file": path }));
    }
    writeln!(output::out(), "{tensors} tensors observed on {}: {}", self::samples(samples), path.display())?;
    Ok(())
}

/// What was done, for the user.
#[derive(serde::Serialize)]
struct Summary {
    samples: u64,
    groups: usize,
    /// Groups left in float, each with the reason.
    float: Vec<(String, String)>,
    activations: usize,
    weights: usize,
    /// The share of the anchors' multiply-adds that read codes; null where sizes are not known.
    int8_macs: Option<f64>,
    /// What was left in float for accuracy, and what it gains; null where that was not asked for.
    mix: Option<Mix>,
    warnings: Vec<String>,
}

impl Summary {
    fn new(
        quantizer: &Quantizer,
        scheme: &Scheme,
        seen: &Observation,
        mix: Option<Mix>,
        warnings: Vec<String>,
    ) -> Summary {
        let count = |role: Role| scheme.tensors.values().filter(|t| t.role == role).count();
        let (quantized, all) = quantizer.placement.macs(&quantizer.graph, &seen.sizes);
        Summary {
            samples: seen.samples,
            groups: quantizer.placement.groups.len(),
            float: scheme.float.clone().into_iter().collect(),
            activations: count(Role::Activation),
            weights: count(Role::Weight),
            int8_macs: (all > 0).then(|| quantized as f64 / all as f64),
            mix,
            warnings,
        }
    }

    fn print(&self, model: &Path, calibration: &Path, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let mut out = output::out();
        let int8 = self.groups - self.float.len();
        let share = self.int8_macs.map_or(String::new(), |share| format!(", {:.2}% of multiply-adds", 100.0 * share));
        writeln!(out, "{} of {} groups in INT8{share}", bold(int8), self.groups)?;
        writeln!(
            out,
            "{} activations and {} weights have codes, calibrated on {}",
            self.activations,
            self.weights,
            samples(self.samples)
        )?;
        for (name, reason) in &self.float {
            writeln!(out, "{} {} {}", dim("float:"), Shown(name), dim(reason))?;
        }
        if let Some(mix) = &self.mix {
            print_mix(&mut out, mix)?;
        }
        writeln!(out, "{} and {}", model.display(), calibration.display())?;
        Ok(())
    }
}

fn samples(count: u64) -> String {
    if count == 1 { "1 sample".into() } else { format!("{count} samples") }
}

fn print_mix(out: &mut impl Write, mix: &Mix) -> Result<(), Failure> {
    let what = match mix.float.len() {
        0 => "no group is worth leaving in float".to_string(),
        1 => "1 group is left in float for accuracy".to_string(),
        n => format!("{n} groups are left in float for accuracy"),
    };
    writeln!(out, "{what} (measured on {}):", samples(mix.samples as u64))?;
    for point in &mix.points {
        let (all, mixed) = (sensitivity::decibels(point.all_on_codes), sensitivity::decibels(point.mixed));
        let gain = if mix.float.is_empty() { String::new() } else { format!(", {all} dB with all in INT8") };
        let about = dim(format!("({})", Shown(&point.about)));
        writeln!(out, "  {} dB at {} {about}{gain}", bold(mixed), Shown(&point.name))?;
    }
    Ok(())
}
