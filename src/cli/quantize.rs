//! `pointweld quantize`: calibrates a float model on data and writes it with codes at its fusion boundaries.

use super::args::QuantizeArgs;
use super::output::{self, Failure};
use crate::npy;
use crate::onnx::ModelFile;
use crate::quant::{Choice, Observation, Quantizer};

pub fn run(args: &QuantizeArgs, json: bool) -> Result<(), Failure> {
    let _ = json;
    let file = ModelFile::read(&args.model).map_err(Failure::input)?;
    let quantizer =
        Quantizer::new(file, &args.dims.iter().cloned().collect(), &args.keep_float).map_err(Failure::input)?;
    let mut files: Vec<_> = std::fs::read_dir(&args.data)?.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    let name = quantizer.graph.value_name(quantizer.graph.inputs()[0].value()).to_string();
    let mut seen = Observation::default();
    let start = std::time::Instant::now();
    for path in &files {
        let tensor = npy::read(path).map_err(Failure::input)?;
        quantizer.see(&mut seen, &[(&name, tensor)]).map_err(Failure::input)?;
    }
    eprintln!("{} samples {:?}", seen.samples, start.elapsed());
    let choice = Choice { calibrator: args.calibrator, ..Choice::default() };
    let (scheme, warnings) = quantizer.choose(&seen, &choice).map_err(Failure::input)?;
    eprintln!("chosen {:?}", start.elapsed());
    warnings.iter().for_each(output::warn);
    quantizer.placement.float.iter().for_each(|(n, r)| eprintln!("{n}: {r}"));
    for site in &quantizer.placement.sites {
        eprintln!("{} {} {:?}", quantizer.graph.value_name(site.value), site.reason, site.readers.len());
    }
    let b = [("batch".to_string(), 1), ("height".to_string(), 320), ("width".to_string(), 320)].into();
    eprintln!("macs {:?}", quantizer.placement.macs(&quantizer.graph, &b));
    quantizer.write(&scheme, &args.out).map_err(Failure::input)?;
    Ok(())
}
