//! A model that was written computes what the simulated run computes, and shards add up to the whole.

use super::detector::detector;
use pointweld::data::{Options, Samples};
use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::npy;
use pointweld::onnx::{Import, ModelFile};
use pointweld::quant::{Calibrator, Choice, Codes, Histogram, Observation, Quantizer, Symmetry, WeightForm, simulate};
use pointweld::reference::{self, run_graph};
use pointweld::tensor::Tensor;
use proptest::prelude::*;
use std::path::Path;

pub fn image(seed: u64) -> Tensor {
    let mut random = fastrand::Rng::with_seed(seed);
    let values: Vec<f32> = (0..3 * 16 * 16).map(|_| random.f32()).collect();
    Tensor::from_vec(&[1, 3, 16, 16], values).unwrap()
}

pub fn images(folder: &Path, count: u64) {
    for i in 0..count {
        npy::write(&folder.join(format!("{i:02}.npy")), &image(i)).unwrap();
    }
}

fn quantizer() -> Quantizer {
    Quantizer::new(ModelFile::from_model("detector", detector(17)), &Bindings::new(), &[]).unwrap()
}

fn db(exact: &Tensor, found: &Tensor) -> f64 {
    let (exact, found) = (exact.to_f64(), found.to_f64());
    let power: f64 = exact.iter().map(|x| x * x).sum();
    let error: f64 = exact.iter().zip(&found).map(|(x, y)| (x - y).powi(2)).sum();
    10.0 * (power / error).log10()
}

#[test]
fn a_written_model_computes_what_the_simulation_does() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), 6);
    let activations = [
        Codes { dtype: DType::U8, symmetry: Symmetry::Asymmetric },
        Codes { dtype: DType::I8, symmetry: Symmetry::Symmetric },
        Codes { dtype: DType::I8, symmetry: Symmetry::Asymmetric },
    ];
    let mut reached = Vec::new();
    for codes in activations {
        let quantizer = quantizer();
        let graph = quantizer.graph.clone();
        let samples = Samples::open(&[folder.path().into()], &graph, &Options::default()).unwrap();
        let seen = quantizer.observe(&samples, || {}).unwrap();
        assert_eq!((seen.samples, seen.sizes["height"]), (6, 16));
        let choice = Choice { calibrator: Calibrator::MinMax, activations: codes, correct_biases: true };
        let (scheme, warnings) = quantizer.choose(&seen, &choice).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let simulated = simulate(&graph, &quantizer.placement, &scheme).unwrap();
        let path = folder.path().join("int8.onnx");
        // The codes themselves, and values that a pair makes these codes of, are the same model.
        let form = if codes.symmetry == Symmetry::Symmetric { WeightForm::Pairs } else { WeightForm::Codes };
        quantizer.write(&scheme, form, &path).unwrap();

        let written = Import::new().file(&path).unwrap();
        assert!(written.warnings.is_empty(), "{:?}", written.warnings);
        let input = [("images", image(100))];
        let run = |graph| run_graph(graph, &input, &reference::Options::default()).unwrap().remove(0).1;
        let (float, simulated, written) = (run(&graph), run(&simulated), run(&written.graph));
        assert_eq!(simulated, written, "{codes:?}");
        reached.push(db(&float, &written));
        std::fs::remove_file(&path).unwrap();
    }
    assert!(reached.iter().all(|db| (25.0..70.0).contains(db)), "{reached:?}");
}

#[test]
fn everything_else_of_the_model_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), 1);
    let quantizer = quantizer();
    let samples = Samples::open(&[folder.path().into()], &quantizer.graph, &Options::default()).unwrap();
    let seen = quantizer.observe(&samples, || {}).unwrap();
    let (scheme, _) = quantizer.choose(&seen, &Choice::default()).unwrap();
    let path = folder.path().join("int8.onnx");
    quantizer.write(&scheme, WeightForm::Codes, &path).unwrap();
    let (before, after) = (detector(17), ModelFile::read(&path).unwrap().model);
    assert_eq!((before.producer_name.as_ref(), before.ir_version), (after.producer_name.as_ref(), after.ir_version));
    let (before, after) = (before.graph.unwrap(), after.graph.unwrap());
    assert_eq!((&before.doc_string, &before.input, &before.output), (&after.doc_string, &after.input, &after.output));
    // The nodes are all there, in order, with what they had; only their operands have changed.
    let kept: Vec<_> = after.node.iter().filter(|n| n.doc_string() == "kept").map(|n| (n.name(), &n.output)).collect();
    let nodes: Vec<_> = before.node.iter().map(|n| (n.name(), &n.output)).collect();
    assert_eq!(kept, nodes);
    let count = |op: &str| after.node.iter().filter(|n| n.op_type() == op).count();
    assert_eq!((count("QuantizeLinear"), count("DequantizeLinear")), (5, 11));
    // Float weights are gone, biases stay.
    let names: Vec<&str> = after.initializer.iter().map(|t| t.name()).collect();
    assert!(!names.contains(&"a.w") && names.contains(&"a.w_codes") && names.contains(&"a.b_corrected"), "{names:?}");
}

proptest! {
    #[test]
    fn observations_of_parts_add_up(parts in prop::collection::vec(prop::collection::vec(-1e3f64..1e3, 0..40), 1..5)) {
        let seen = |values: &[f64]| {
            let mut histogram = Histogram::default();
            histogram.extend(values.iter().copied());
            Observation { samples: values.len() as u64, tensors: [("t".to_string(), histogram)].into(), ..Observation::default() }
        };
        let whole = seen(&parts.concat());
        let mut forward = Observation::default();
        parts.iter().for_each(|part| forward.merge(&seen(part)));
        let mut backward = Observation::default();
        parts.iter().rev().for_each(|part| backward.merge(&seen(part)));
        prop_assert_eq!(&forward, &whole);
        prop_assert_eq!(&backward, &whole);
    }
}
