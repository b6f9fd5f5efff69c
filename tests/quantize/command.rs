//! `pointweld quantize`, run as a user runs it.

use super::detector::detector;
use super::written::images;
use pointweld::dtype::DType;
use pointweld::onnx::ModelFile;
use pointweld::onnx::proto::GraphProto;
use std::path::Path;
use std::process::{Command, Output};

pub fn pointweld(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointweld"));
    command.args(args).current_dir(folder).output().expect("the command starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A folder with `model.onnx` and some images in `data`.
pub fn workplace(opset: i64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ModelFile::from_model("detector", detector(opset)).write(folder.path().join("model.onnx")).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    images(&folder.path().join("data"), 5);
    folder
}

#[test]
fn shards_merge_to_the_same_model_as_one_run() {
    let folder = workplace(17);
    let run = |args: &[&str]| {
        let out = pointweld(args, folder.path());
        assert_eq!(out.status.code(), Some(0), "{args:?}: {}", text(&out.stderr));
        text(&out.stdout)
    };
    let said = run(&["quantize", "model.onnx", "--data", "data", "-o", "whole.onnx", "--float-macs", "0"]);
    assert!(said.contains("6 of 8 groups in INT8, 100.00% of multiply-adds"), "{said}");
    assert!(said.contains("float: scores"), "{said}");
    for i in ["1/3", "2/3", "3/3"] {
        let part = format!("part{}.json", &i[..1]);
        run(&["quantize", "model.onnx", "--data", "data", "--shard", i, "-o", &part]);
    }
    let parts = ["part2.json", "part3.json", "part1.json"];
    run(&[
        "quantize",
        "model.onnx",
        "-o",
        "merged.onnx",
        "--calibration",
        "m.json",
        "--merge",
        parts[0],
        parts[1],
        parts[2],
    ]);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("whole.onnx"), read("merged.onnx"));
    // What to leave in float is measured on samples: with them, parts give what one run gives.
    let merge = ["--merge", parts[0], parts[1], parts[2]];
    let mixed = ["quantize", "model.onnx", "--data", "data", "--calibration", "mixed.json", "-o"];
    run(&[&mixed[..], &["mixed.onnx"]].concat());
    run(&[&mixed[..], &["mixed_too.onnx"], &merge].concat());
    assert_eq!(read("mixed.onnx"), read("mixed_too.onnx"));
    let calibration = |name: &str| -> serde_json::Value { serde_json::from_slice(&read(name)).unwrap() };
    let (whole, merged) = (calibration("calibration.json"), calibration("m.json"));
    assert_eq!(whole["scheme"], merged["scheme"]);
    assert_eq!(whole["observation"], merged["observation"]);
    assert_eq!(whole["observation"]["samples"], 5);

    let missing = pointweld(&["quantize", "model.onnx", "-o", "x.onnx", "--merge", "part1.json"], folder.path());
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("part 2, 3 of 3 is missing"), "{}", text(&missing.stderr));
    let twice = ["quantize", "model.onnx", "-o", "x.onnx", "--merge", "part1.json", "part1.json"];
    let twice = pointweld(&twice, folder.path());
    assert!(text(&twice.stderr).contains("part 1 of 3, which another file has too"), "{}", text(&twice.stderr));
    assert!(!folder.path().join("x.onnx").exists());
}

#[test]
fn an_older_model_is_brought_up_to_date() {
    let folder = workplace(11);
    let out = pointweld(&["quantize", "model.onnx", "--data", "data", "-o", "o.onnx"], folder.path());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("brought up to operator set 13"), "{}", text(&out.stderr));
    let written = ModelFile::read(folder.path().join("o.onnx")).unwrap().model;
    assert_eq!(written.opset_import[0].version(), 13);
}

#[test]
fn options_choose_codes_and_what_stays_float() {
    let folder = workplace(17);
    let args = ["--json", "quantize", "model.onnx", "--data", "data", "-o", "o.onnx", "--activations", "i8"];
    let more = ["--calibrator", "percentile=99.9", "--keep-float", "neck", "--float-macs", "0"];
    let out = pointweld(&[&args[..], &more[..]].concat(), folder.path());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(summary["float"].as_array().unwrap().len(), 3);
    assert!(summary["int8_macs"].as_f64().unwrap() < 1.0);
    let calibration = std::fs::read(folder.path().join("calibration.json")).unwrap();
    let calibration: serde_json::Value = serde_json::from_slice(&calibration).unwrap();
    let site = &calibration["scheme"]["tensors"]["t"];
    assert_eq!((&site["dtype"], &site["zero_points"][0]), (&"i8".into(), &0.into()));
}

/// TensorRT takes symmetric i8 codes alone, one scale for an activation, and weights behind a pair.
#[test]
fn a_model_for_tensorrt_keeps_its_rules() {
    let folder = workplace(17);
    let args =
        ["quantize", "model.onnx", "--data", "data", "-o", "o.onnx", "--target", "tensorrt", "--float-macs", "0"];
    let out = pointweld(&args, folder.path());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let graph = *ModelFile::read(folder.path().join("o.onnx")).unwrap().model.graph.unwrap();
    let constant = |name: &str| graph.initializer.iter().find(|t| t.name() == name);
    let pairs: Vec<_> = graph.node.iter().filter(|n| n.op_type() == "QuantizeLinear").collect();
    let back = graph.node.iter().filter(|n| n.op_type() == "DequantizeLinear").count();
    assert!(pairs.len() >= 10 && pairs.len() == back, "{} {back}", pairs.len());
    for pair in pairs {
        let (scale, zero) = (constant(&pair.input[1]).unwrap(), constant(&pair.input[2]).unwrap());
        assert_eq!(zero.data_type(), DType::I8.onnx(), "{}", pair.name());
        assert!(zero.raw_data().iter().all(|byte| *byte == 0), "{}", pair.name());
        let weight = constant(&pair.input[0]).is_some();
        assert_eq!(scale.dims.len(), usize::from(weight), "{}: one scale for an activation", pair.name());
    }
    let wrong = pointweld(&[&args[..], &["--activations", "u8"]].concat(), folder.path());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("without zero points"), "{}", text(&wrong.stderr));
}

#[test]
fn mistakes_are_told_and_write_nothing() {
    let folder = workplace(17);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    // What can't be written is told before any data is read.
    let cases: [(&[&str], i32, &str); 11] = [
        (&["--data", "nowhere", "--report", "none/r.html"], 4, "cannot write none/r.html: there is no folder none"),
        (&["--data", "nowhere", "--calibration", "data"], 4, "cannot write data: "),
        (&["--data", "nowhere", "--report", "model.onnx"], 2, "model.onnx: is the model that is read"),
        (&["--data", "data", "--measure-on", "0"], 2, "a number from 1 on"),
        (&["--data", "data", "--float-macs", "2"], 2, "5% or 0.05"),
        (&["--merge", "data/0.npy", "--refine"], 3, "data"),
        (&["--data", "empty"], 3, "empty"),
        (&[], 2, "--data PATH"),
        (&["--data", "data", "--keep-float", "nowhere"], 3, "named nowhere"),
        (&["--data", "data", "--shard", "4/3"], 2, "I from 1 to N"),
        (&["--data", "data", "--calibrator", "best"], 2, "expected margin"),
    ];
    for (more, code, what) in cases {
        let args = [&["quantize", "model.onnx", "-o", "o.onnx"], more].concat();
        let out = pointweld(&args, folder.path());
        assert_eq!(out.status.code(), Some(code), "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(what), "{args:?}: {}", text(&out.stderr));
    }
    assert!(!folder.path().join("o.onnx").exists());
}

/// What is quantized already is refused before any data is read, and a model that is so in part is told how much of it.
#[test]
fn a_model_that_is_quantized_already_says_so() {
    let folder = workplace(17);
    let all = ["--data", "data", "--float-macs", "0"];
    let out = pointweld(&[&["quantize", "model.onnx", "-o", "once.onnx"], &all[..]].concat(), folder.path());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let again = ["quantize", "once.onnx", "-o", "twice.onnx", "--data", "nowhere"];
    let out = pointweld(&again, folder.path());
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("the model is quantized already"), "{}", text(&out.stderr));
    // A part was left in float: it is quantized, the rest keeps its codes.
    let keep = ["--keep-float", "stem"];
    let out = pointweld(&[&["quantize", "model.onnx", "-o", "part.onnx"], &all[..], &keep].concat(), folder.path());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let out = pointweld(&[&["quantize", "part.onnx", "-o", "whole.onnx"], &all[..]].concat(), folder.path());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stderr);
    assert!(said.contains("is quantized already") && said.contains("only the other"), "{said}");
}

/// One group of a model is made to cost most of the accuracy: its input has one channel a thousand times as large as the others. The tool
/// finds it and leaves it in float.
#[test]
fn the_group_that_costs_most_is_left_in_float() {
    let folder = workplace(17);
    let mut model = detector(17);
    let graph = model.graph.as_mut().unwrap();
    let values = |name: &str, graph: &GraphProto| -> Vec<f32> {
        let tensor = graph.initializer.iter().find(|t| t.name() == name).unwrap();
        tensor.raw_data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    // The classes read channel 0 of `n` with a weight of a thousandth, and the neck makes it a thousand times as large.
    let scaled = |values: Vec<f32>, channel: usize, count: usize, by: f32| -> Vec<u8> {
        let scaled = values.iter().enumerate().map(|(i, x)| if i / count == channel { x * by } else { *x });
        scaled.flat_map(f32::to_le_bytes).collect()
    };
    let neck = scaled(values("neck.w", graph), 0, 16, 1000.0);
    let bias = scaled(values("neck.b", graph), 0, 1, 1000.0);
    for (name, bytes) in [("neck.w", neck), ("neck.b", bias)] {
        let tensor = graph.initializer.iter_mut().find(|t| t.name() == name).unwrap();
        tensor.raw_data = Some(bytes.into());
    }
    for name in ["boxes.w", "classes.w"] {
        let divided: Vec<f32> = values(name, graph);
        let divided = divided.iter().enumerate().map(|(i, x)| if i % 8 == 0 { x / 1000.0 } else { *x });
        let bytes: Vec<u8> = divided.flat_map(f32::to_le_bytes).collect();
        let tensor = graph.initializer.iter_mut().find(|t| t.name() == name).unwrap();
        tensor.raw_data = Some(bytes.into());
    }
    ModelFile::from_model("detector", model).write(folder.path().join("outlier.onnx")).unwrap();
    let run = |more: &[&str]| -> serde_json::Value {
        let args = [&["--json", "quantize", "outlier.onnx", "--data", "data", "-o", "o.onnx"], more].concat();
        let out = pointweld(&args, folder.path());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let mix = &run(&[])["mix"];
    let left: Vec<&str> = mix["float"].as_array().unwrap().iter().map(|g| g["group"].as_str().unwrap()).collect();
    assert!(left.contains(&"boxes") && left.contains(&"classes"), "{mix}");
    for point in mix["points"].as_array().unwrap() {
        let db = |what: &str| point[what].as_f64().unwrap();
        assert!(db("mixed") > db("all_on_codes") + 5.0, "{mix}");
    }
    assert_eq!(run(&["--float-macs", "0"])["mix"], serde_json::Value::Null);
}
