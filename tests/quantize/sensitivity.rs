//! `pointweld sensitivity` and the pages, run as a user runs them.

use super::command::{pointweld, text, workplace};
use super::written::image;
use pointweld::onnx::Import;
use pointweld::quant::sensitivity::Noise;
use pointweld::reference::{Options, run_values};
use pointweld::tensor::Tensor;
use std::path::Path;

/// The values of these names for an image, as the CPU reference computes them.
fn values(model: &Path, names: &[&str], seed: u64) -> Vec<Tensor> {
    let graph = Import::new().file(model).unwrap().graph;
    let wanted = names.iter().map(|name| {
        let node = graph.ids().find(|id| graph.value_name(id.value()) == *name);
        node.unwrap_or_else(|| panic!("{} has no {name}", model.display())).value()
    });
    let wanted: Vec<_> = wanted.collect();
    run_values(&graph, &[("images", image(seed))], &wanted, &Options::default(), &mut |_, tensor| tensor).unwrap()
}

#[test]
fn the_mixed_model_that_is_written_reaches_what_the_search_says() {
    let folder = workplace(17);
    let at = |name: &str| folder.path().join(name);
    let targets = ["--calibrator", "power", "--target-db", "box_pixels=50", "--target-db", "class_scores=52"];
    let args = ["--json", "sensitivity", "model.onnx", "--data", "data", "-o", "mixed.onnx", "--html", "page.html"];
    let run = || {
        pointweld(
            &[&args[..], &targets[..], &["--taps", "neck", "--replace", "silu=hardswish"]].concat(),
            folder.path(),
        )
    };
    let out = run();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let names: Vec<&str> = found["points"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["box_pixels", "class_scores", "class_part"]);
    assert_eq!(found["groups"].as_array().unwrap().len(), 6);
    assert_eq!(found["taps"][0]["ops"].as_array().unwrap().len(), 3);
    assert_eq!(found["what_if"][0]["to"], "hard_swish");
    let search = &found["search"];
    let float = search["float"].as_array().unwrap();
    assert!(search["met"] == true && !float.is_empty() && float.len() < 6, "{search}");
    for (i, name) in names.iter().enumerate() {
        let mut noise = Noise::default();
        for seed in 0..5 {
            let exact = values(&at("model.onnx"), &[name], seed);
            noise.add(Noise::between(&exact[0], &values(&at("mixed.onnx"), &[name], seed)[0]));
        }
        // JSON has no infinity: null says that the output does not differ at all.
        let said = search["db"][i].as_f64().unwrap_or(f64::INFINITY);
        let agrees = noise.db() == said || (noise.db() - said).abs() < 0.01;
        assert!(agrees, "{name}: {} dB, and {said} were said", noise.db());
    }
    let page = std::fs::read_to_string(at("page.html")).unwrap();
    assert!(page.contains("Groups left in float") && page.contains("silu replaced by hard_swish"));
    // The same again, byte for byte.
    let first = std::fs::read(at("mixed.onnx")).unwrap();
    assert_eq!(run().stdout, out.stdout);
    assert_eq!(
        (std::fs::read(at("mixed.onnx")).unwrap(), std::fs::read_to_string(at("page.html")).unwrap()),
        (first, page)
    );
}

#[test]
fn the_table_names_every_group_and_a_target_out_of_reach_is_told() {
    let folder = workplace(17);
    let out = pointweld(&["sensitivity", "model.onnx", "--data", "data", "--top", "0"], folder.path());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for part in
        ["5 samples; 6 groups on codes", "class_scores", "conv sigmoid mul", "neck", "in float: scores", "model.onnx"]
    {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    let far = ["sensitivity", "model.onnx", "--data", "data", "--target-db", "90", "--float-macs", "0.01"];
    let out = pointweld(&far, folder.path());
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("the target is not reached"), "{}", text(&out.stderr));
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--target-db", "nothing=3"], 2, "nothing is not measured; box_pixels, class_scores, class_part are"),
        (&["--target-db", "much"], 2, "not a number of dB"),
        (&["--at", "nothing"], 3, "no value nothing; its outputs are out"),
        (&["--taps", "nothing"], 2, "no group is named nothing"),
        (&["--replace", "silu=swoosh"], 3, "no op swoosh"),
        (&["-o", "x.onnx"], 2, "--target-db or --keep-float"),
    ];
    for (more, code, what) in cases {
        let out = pointweld(&[&["sensitivity", "model.onnx", "--data", "data"], more].concat(), folder.path());
        assert_eq!(out.status.code(), Some(code), "{more:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(what), "{more:?}: {}", text(&out.stderr));
    }
    assert!(!folder.path().join("x.onnx").exists());
}

#[test]
fn quantize_reports_every_tensor_as_a_page_or_as_data() {
    let folder = workplace(17);
    let run = |report: &str| {
        let args =
            ["quantize", "model.onnx", "--data", "data", "-o", "o.onnx", "--float-macs", "0", "--report", report];
        let out = pointweld(&args, folder.path());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        std::fs::read_to_string(folder.path().join(report)).unwrap()
    };
    let page = run("report.html");
    assert!(
        page.starts_with("<!doctype html>") && page.contains("class=\"hist\"") && page.contains("neck.w"),
        "{page}"
    );
    let data: serde_json::Value = serde_json::from_str(&run("report.json")).unwrap();
    let activations = data["activations"].as_array().unwrap();
    let weights = data["weights"].as_array().unwrap();
    assert_eq!((activations.len() > 4, weights.len()), (true, 6), "{data}");
    assert!(activations.iter().all(|a| a["calibrators"].as_array().unwrap().len() == 7 && a["histogram"].is_object()));
}
