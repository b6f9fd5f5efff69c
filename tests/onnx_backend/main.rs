//! The ONNX project's own node tests: each model is imported, executed by the CPU reference, and compared with the outputs that
//! come with it, by the tolerances of ONNX's runner (rtol 1e-3, atol 1e-7; integers and bools exact).
//!
//! `scripts/fetch_models.py backend` fetches them. What does not pass is listed in `left_out.txt` with its reason: a listed test that
//! begins to pass fails this one, and so does any other that does not pass.

use pointweld::dtype::DType;
use pointweld::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeValue, ValueInfoProto,
};
use pointweld::onnx::{Import, ModelFile};
use pointweld::op;
use pointweld::reference::{Options, run_graph};
use pointweld::scalar::Number;
use pointweld::tensor::Tensor;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A test is a folder with a model and one or more folders of inputs and outputs.
fn tests() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/onnx-backend/node");
    assert!(root.is_dir(), "{} is missing: run scripts/fetch_models.py backend", root.display());
    let entries = std::fs::read_dir(root).expect("a readable folder");
    let mut tests: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    tests.sort();
    tests
}

/// Reads a tensor as ONNX stores it: through the import of a model that holds nothing else.
fn read_tensor(path: &Path) -> Result<Tensor, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let proto = TensorProto::decode(bytes.as_slice()).map_err(|_| String::from("not a tensor"))?;
    let name = Some("value".to_string());
    let output = ValueInfoProto { name: name.clone(), ..Default::default() };
    let tensor = TensorProto { name, ..proto };
    let graph = GraphProto { initializer: vec![tensor], output: vec![output], ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { version: Some(21), ..Default::default() }];
    let model = ModelProto { graph: Some(Box::new(graph)), opset_import, ir_version: Some(10), ..Default::default() };
    let imported = Import::new().model(&ModelFile::from_model("tensor", model)).map_err(|e| e.to_string())?;
    let value = imported.graph.outputs()[0].1;
    imported.graph.constant(value).cloned().ok_or_else(|| "not a tensor".into())
}

/// ONNX's runner compares so: numpy.testing.assert_allclose for floats, equality for everything else.
fn compare(found: &Tensor, expected: &Tensor) -> Result<(), String> {
    if found.dtype() != expected.dtype() || found.sizes() != expected.sizes() {
        return Err(format!("{found:?} instead of {expected:?}"));
    }
    for (i, (a, b)) in found.numbers().zip(expected.numbers()).enumerate() {
        let agree = match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => {
                let (a, b) = (a.as_f64(), b.as_f64());
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-7 + 1e-3 * b.abs()
            }
        };
        if !agree {
            return Err(format!("element {i} is {a:?} instead of {b:?} ({found:?} instead of {expected:?})"));
        }
    }
    Ok(())
}

/// Files `input_0.pb`, `input_1.pb` … of a folder.
fn numbered(folder: &Path, what: &str) -> Vec<PathBuf> {
    let file = |i| folder.join(format!("{what}_{i}.pb"));
    (0..).map(file).take_while(|path| path.exists()).collect()
}

fn run(test: &Path) -> Result<(), String> {
    let file = ModelFile::read(test.join("model.onnx")).map_err(|e| e.to_string())?;
    let proto = file.model.graph.as_deref().ok_or("no graph")?;
    let kinds = proto.input.iter().chain(&proto.output).filter_map(|value| value.r#type.as_ref()?.value.as_ref());
    for kind in kinds {
        match kind {
            TypeValue::TensorType(t) if DType::from_onnx(t.elem_type.unwrap_or_default()).is_some() => {}
            TypeValue::TensorType(_) => return Err("strings or complex numbers".into()),
            _ => return Err("sequences, maps or optional values".into()),
        }
    }
    let sets = std::fs::read_dir(test).map_err(|e| e.to_string())?;
    let sets: Vec<PathBuf> = sets.filter_map(|set| Some(set.ok()?.path())).filter(|path| path.is_dir()).collect();
    if sets.is_empty() {
        return Err("no data".into());
    }
    sets.iter().try_for_each(|set| match run_set(&file, proto, set) {
        // Operands that say axes, sizes and scales are constants in every exported model; these tests give them as inputs.
        Err(error) if error.contains("its meaning is not known") => {
            let (frozen, changed) = with_constants(&file, proto, set)?;
            let proto = frozen.model.graph.as_deref().ok_or("no graph")?;
            if changed { run_set(&frozen, proto, set) } else { Err(error) }
        }
        result => result,
    })
}

/// The model with its inputs of at most one axis, the first excepted, made constants.
fn with_constants(file: &ModelFile, proto: &GraphProto, set: &Path) -> Result<(ModelFile, bool), String> {
    let mut model = file.model.clone();
    let graph = model.graph.as_mut().ok_or("no graph")?;
    let mut changed = false;
    for (input, path) in proto.input.iter().zip(numbered(set, "input")).skip(1) {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let tensor = TensorProto::decode(bytes.as_slice()).map_err(|e| e.to_string())?;
        if tensor.dims.len() <= 1 {
            graph.initializer.push(TensorProto { name: input.name.clone(), ..tensor });
            changed = true;
        }
    }
    Ok((ModelFile::from_model("with constants", model), changed))
}

fn run_set(file: &ModelFile, proto: &GraphProto, set: &Path) -> Result<(), String> {
    let imported = Import::new().model(file).map_err(|e| e.to_string())?;
    // Inputs that are constants, or that the model leaves unused, are given too.
    let known: BTreeSet<&str> =
        imported.graph.inputs().iter().map(|id| imported.graph.value_name(id.value())).collect();
    let names = proto.input.iter().map(|input| input.name.clone().unwrap_or_default());
    let inputs: Vec<(String, Tensor)> = names
        .zip(numbered(set, "input"))
        .filter(|(name, _)| known.contains(name.as_str()))
        .map(|(name, path)| Ok((name, read_tensor(&path)?)))
        .collect::<Result<_, String>>()?;
    let outputs = run_graph(&imported.graph, &inputs, &Options::default()).map_err(|e| e.to_string())?;
    let expected = numbered(set, "output");
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs instead of {}", outputs.len(), expected.len()));
    }
    outputs.iter().zip(&expected).try_for_each(|((name, found), path)| {
        compare(found, &read_tensor(path)?).map_err(|e| format!("output {name}: {e}"))
    })
}

/// True if the test is of one pointwise op: a row of the op table says that it implements it, or it is one of those that become
/// pointwise ops.
fn is_pointwise(test: &Path, rows: &BTreeSet<&str>) -> bool {
    let Ok(file) = ModelFile::read(test.join("model.onnx")) else { return false };
    let Some(proto) = file.model.graph.as_deref() else { return false };
    let composed =
        ["BatchNormalization", "BitCast", "Sum", "Mean", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"];
    let name = |node: &NodeProto| node.op_type.clone().unwrap_or_default();
    match proto.node.as_slice() {
        [node] => rows.contains(name(node).as_str()) || composed.contains(&name(node).as_str()),
        _ => false,
    }
}

/// The listed tests and why each is left out: a line `# reason`, then names.
fn left_out() -> BTreeMap<String, String> {
    let mut reason = String::new();
    let mut listed = BTreeMap::new();
    for line in include_str!("left_out.txt").lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(text) => reason = text.to_string(),
            None => assert!(listed.insert(line.to_string(), reason.clone()).is_none(), "{line} is listed twice"),
        }
    }
    listed
}

#[test]
fn node_tests_of_onnx_pass() {
    let listed = left_out();
    let rows: BTreeSet<&str> = op::table().flat_map(|row| row.onnx).map(|onnx| onnx.op_type).collect();
    let (mut all, mut passed, mut pointwise, mut pointwise_passed) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for test in tests() {
        let name = test.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let result = run(&test);
        let of_table = is_pointwise(&test, &rows);
        all += 1;
        passed += usize::from(result.is_ok());
        pointwise += usize::from(of_table);
        pointwise_passed += usize::from(of_table && result.is_ok());
        match (&result, listed.get(&name)) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(reason)) => wrong.push(format!("{name} passes and is listed as: {reason}")),
            (Err(error), None) => {
                let mark = if of_table { "POINTWISE " } else { "" };
                wrong.push(format!("{mark}{name}: {error}"));
            }
        }
    }
    println!(
        "{pointwise_passed} of {pointwise} tests of pointwise and quantization ops pass, {passed} of {all} in all"
    );
    assert!(wrong.is_empty(), "{} tests:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all >= 1765, "only {all} node tests are in place");
}
