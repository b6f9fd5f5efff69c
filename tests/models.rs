//! Real models: what can be said of each file that `scripts/fetch_models.py` puts in place. `make test` runs that script first.

use pointweld::onnx::ModelFile;
use prost::Message;
use std::path::{Path, PathBuf};

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
