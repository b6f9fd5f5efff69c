//! `pointweld quantize`, run as a user runs it.

use super::detector::detector;
use super::written::images;
use pointweld::onnx::ModelFile;
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
    let said = run(&["quantize", "model.onnx", "--data", "data", "-o", "whole.onnx"]);
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
    let more = ["--calibrator", "percentile=99.9", "--keep-float", "neck"];
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

#[test]
fn mistakes_are_told_and_write_nothing() {
    let folder = workplace(17);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--data", "empty"], 3, "empty"),
        (&[], 2, "--data PATH"),
        (&["--data", "data", "--keep-float", "nowhere"], 3, "named nowhere"),
        (&["--data", "data", "--shard", "4/3"], 2, "I from 1 to N"),
        (&["--data", "data", "--calibrator", "best"], 2, "expected minmax"),
    ];
    for (more, code, what) in cases {
        let args = [&["quantize", "model.onnx", "-o", "o.onnx"], more].concat();
        let out = pointweld(&args, folder.path());
        assert_eq!(out.status.code(), Some(code), "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(what), "{args:?}: {}", text(&out.stderr));
    }
    assert!(!folder.path().join("o.onnx").exists());
}
