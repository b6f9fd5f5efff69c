//! A model's weights are never copied on the way in: a model of 1 GiB is imported in a few megabytes.
//!
//! The only test of its binary, since it reads the peak of the whole process.
#![cfg(target_os = "linux")]

use pointweld::dtype::DType;
use pointweld::onnx::proto::*;
use pointweld::onnx::{Import, Imported};
use prost::Message;
use std::io::Write;
use std::path::Path;

const WEIGHTS: u64 = 1 << 30;

/// The most memory that the process has held, in bytes, mapped files that were touched included.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux has it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

/// y = x + w, the weights w of 1 GiB being left out.
fn model() -> (ModelProto, TensorProto) {
    let weights = TensorProto {
        name: Some("w".into()),
        data_type: Some(DType::F32.onnx()),
        dims: vec![WEIGHTS as i64 / 4],
        ..Default::default()
    };
    let node = NodeProto {
        op_type: Some("Add".into()),
        input: vec!["w".into(), "w".into()],
        output: vec!["y".into()],
        ..Default::default()
    };
    let output = vec![ValueInfoProto { name: Some("y".into()), ..Default::default() }];
    let graph = GraphProto { node: vec![node], output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
    (ModelProto { ir_version: Some(8), opset_import, graph: Some(Box::new(graph)), ..Default::default() }, weights)
}

/// The key and length of a protobuf field.
fn header(field: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encoding::encode_varint(length, &mut bytes);
    bytes
}

/// Writes the model with its weights inside, as zeros that take no room on disk: the fields that hold them come last.
fn write_inside(path: &Path) {
    let (mut model, weights) = model();
    let graph = model.graph.take().expect("made above").encode_to_vec();
    let weights = weights.encode_to_vec();
    let raw = header(9, WEIGHTS);
    let tensor_length = (weights.len() + raw.len()) as u64 + WEIGHTS;
    let tensor = header(5, tensor_length);
    let graph_header = header(7, (graph.len() + tensor.len()) as u64 + tensor_length);
    let head = [model.encode_to_vec(), graph_header, graph, tensor, weights, raw].concat();
    let mut file = std::fs::File::create(path).expect("create");
    file.write_all(&head).expect("write");
    file.set_len(head.len() as u64 + WEIGHTS).expect("a sparse file");
}

fn write_outside(path: &Path) {
    let (mut model, mut weights) = model();
    weights.data_location = Some(DataLocation::External as i32);
    let entry = StringStringEntryProto { key: Some("location".into()), value: Some("weights".into()) };
    weights.external_data.push(entry);
    model.graph.as_mut().expect("made above").initializer.push(weights);
    std::fs::write(path, model.encode_to_vec()).expect("write");
    let file = std::fs::File::create(path.with_file_name("weights")).expect("create");
    file.set_len(WEIGHTS).expect("a sparse file");
}

fn import(path: &Path) -> Imported {
    Import::new().file(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn weights_are_not_copied() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    for write in [write_inside, write_outside] {
        write(&path);
        let before = peak();
        let imported = import(&path);
        let graph = &imported.graph;
        let weights = graph.ids().find_map(|id| graph.constant(id.value())).expect("the weights");
        assert_eq!(weights.bytes().len() as u64, WEIGHTS);
        let taken = peak() - before;
        assert!(taken < 64 << 20, "the import took {taken} bytes");
    }
}
