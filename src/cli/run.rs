//! `pointweld run`: executes a model on data.

use super::args::{DeviceArg, RunArgs};
use super::output::{self, Failure};
use super::source;
use crate::dim::Bindings;
use crate::dtype::DType;
use crate::graph::{Graph, Value};
use crate::name::Shown;
use crate::npy;
use crate::reference;
use crate::scalar::Number;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn run(args: &RunArgs, json: bool) -> Result<(), Failure> {
    let graph = source::import(&args.model)?;
    let inputs = inputs(&graph, args)?;
    let outputs = match args.device {
        DeviceArg::Cpu => {
            let graph = match args.model.fusion.float {
                None => graph,
                Some(_) => source::compiler(&args.model.fusion)?.simplify(&graph).map_err(source::failure)?,
            };
            on_this_machine(&graph, &inputs)?
        }
        DeviceArg::Cuda => on_device(&graph, args, &inputs)?,
    };
    write(&outputs, &args.out, json)
}

fn on_this_machine(graph: &Graph, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Failure> {
    let bar = output::progress(graph.ids().count(), "run");
    let mut tap = |value: Value, tensor: Tensor| {
        if value.port == 0 {
            bar.set_message(Shown(graph.value_name(value)).to_string());
            bar.inc(1);
        }
        tensor
    };
    let outputs = reference::tap_graph(graph, inputs, &reference::Options::default(), &mut tap);
    bar.finish_and_clear();
    outputs.map_err(Failure::input)
}

fn on_device(graph: &Graph, args: &RunArgs, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Failure> {
    let device = crate::runtime::Device::open(0).map_err(Failure::machine)?;
    let compiler = source::compiler(&args.model.fusion)?.arch(device.arch()).dependent_launch(true);
    let planned = source::plan(&compiler, graph, &args.model.fusion)?;
    let compiled = super::compile::compile(&compiler, planned)?;
    compiled.run_on(&device, inputs).map_err(Failure::machine)
}

/// Every input of the graph, from files and, with `--random`, from a generator.
fn inputs(graph: &Graph, args: &RunArgs) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut given: BTreeMap<String, Tensor> = BTreeMap::new();
    let names: Vec<&str> = graph.inputs().iter().map(|id| graph.value_name(id.value())).collect();
    // A name of the model may hold a `=` itself.
    let of_model = |spec: &str, name: &str| spec.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    for spec in &args.inputs {
        let known = names.iter().filter(|name| of_model(spec, name)).map(|name| name.len()).max();
        let (name, path) = match known.or_else(|| spec.find('=')) {
            Some(end) => (Some(&spec[..end]), Path::new(&spec[end + 1..])),
            None => (None, Path::new(spec)),
        };
        match name {
            _ if npy::is_archive(path) => given.extend(npy::read_archive(path).map_err(Failure::input)?),
            Some(name) => drop(given.insert(name.to_string(), npy::read(path).map_err(Failure::input)?)),
            None => {
                return Err(Failure::Usage(format!("--input {}: expected NAME=FILE.npy or an .npz file", Shown(spec))));
            }
        }
    }
    if let Some(unknown) = given.keys().find(|name| !names.contains(&name.as_str())) {
        let names: Vec<String> = names.iter().map(|n| Shown(n).to_string()).collect();
        return Err(Failure::Input(format!("the model has no input {}; it has {}", Shown(unknown), names.join(", "))));
    }
    let sizes: Bindings = args.model.fusion.dims.iter().cloned().collect();
    let mut random = args.random.map(fastrand::Rng::with_seed);
    let mut inputs = Vec::new();
    for id in graph.inputs() {
        let name = graph.value_name(id.value()).to_string();
        let tensor = match (given.remove(&name), &mut random) {
            (Some(tensor), _) => tensor,
            (None, Some(random)) => {
                let ty = graph.ty(id.value());
                let (dtype, shape) = ty.full().ok_or_else(|| {
                    Failure::Input(format!(
                        "the type of input {} is not known: {ty}; give it with --input",
                        Shown(&name)
                    ))
                })?;
                let sizes = shape.eval(&sizes).map_err(Failure::input)?;
                random_tensor(random, dtype, &sizes)?
            }
            (None, None) => {
                let name = Shown(&name);
                return Err(Failure::Input(format!(
                    "no data for input {name}: give --input {name}=FILE.npy, or --random SEED"
                )));
            }
        };
        inputs.push((name, tensor));
    }
    Ok(inputs)
}

/// Floats in [−1, 1), integers over their type's range or ±100, whichever is narrower.
fn random_tensor(random: &mut fastrand::Rng, dtype: DType, sizes: &[usize]) -> Result<Tensor, Failure> {
    const MOST: usize = 1 << 30;
    let count = crate::tensor::count(sizes).filter(|n| *n <= MOST);
    let count = count.ok_or_else(|| Failure::Input(format!("an input of {sizes:?} is too large to make up")))?;
    let numbers = (0..count).map(|_| match dtype.int_range() {
        None => Number::Float(2.0 * random.f64() - 1.0),
        Some((low, high)) => Number::Int(random.i64(low.max(-100) as i64..=high.min(100) as i64).into()),
    });
    Tensor::from_numbers(dtype, sizes, numbers.collect::<Vec<_>>()).map_err(Failure::input)
}

fn write(outputs: &[(String, Tensor)], folder: &Path, json: bool) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::Machine(format!("the folder {} can't be made: {e}", folder.display())))?;
    let mut written: Vec<(&str, PathBuf, &Tensor)> = Vec::new();
    for (i, (name, tensor)) in outputs.iter().enumerate() {
        let safe: String = name
            .chars()
            .take(60)
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        // Two names may become one; numbers keep their files apart.
        let plain = (!safe.is_empty()).then(|| format!("{safe}.npy"));
        let numbered = (i..).map(|n| format!("{safe}_{n}.npy"));
        let free = |file: &String| !written.iter().any(|(_, path, _)| path.ends_with(file));
        let Some(file) = plain.into_iter().chain(numbered).find(free) else { continue };
        let path = folder.join(file);
        npy::write(&path, tensor).map_err(Failure::machine)?;
        written.push((name, path, tensor));
    }
    if json {
        let rows = written.iter().map(|(name, path, tensor)| {
            serde_json::json!({ "name": name, "file": path, "dtype": tensor.dtype(), "shape": tensor.sizes() })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut out = output::out();
    for (name, path, tensor) in written {
        writeln!(out, "{}: {tensor:?} -> {}", Shown(name), path.display())?;
    }
    Ok(())
}
