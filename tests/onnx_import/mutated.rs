//! Random damage to real bytes: whatever comes of it, it is a value or an error, never a panic.

use super::build::*;
use bytes::Bytes;
use pointweld::dtype::DType::*;
use pointweld::onnx::proto::AttributeProto as A;
use pointweld::onnx::{Import, ModelFile};
use proptest::prelude::*;
use prost::Message;

/// A model with many operators, so that damage hits many converters.
fn varied() -> Vec<u8> {
    let m = model(13).input("x", F32, &["n", "4", "8", "w"]).floats("w1", &[4, 4, 3, 3], &[0.1; 144]);
    let m = m.floats("s", &[], &[0.1]).tensor("z", I8, &[], vec![0]).ints("to", &[0, 4, -1]).ints("axes", &[1]);
    let m =
        m.node("Conv", &["x", "w1"], &["c"], vec![A::of_ints("pads", &[1, 1, 1, 1]), A::of_ints("strides", &[2, 1])]);
    let m = m.node("QuantizeLinear", &["c", "s", "z"], &["q"], vec![]);
    let m = m.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![A::of_int("axis", 1)]);
    let m = m.node("Shape", &["d"], &["shape"], vec![]).node(
        "Gather",
        &["shape", "axes"],
        &["size"],
        vec![A::of_int("axis", 0)],
    );
    let m = m.node("Reshape", &["d", "to"], &["r"], vec![]).node(
        "Transpose",
        &["r"],
        &["t"],
        vec![A::of_ints("perm", &[0, 2, 1])],
    );
    let m = m.node("MatMul", &["r", "t"], &["p"], vec![]).node("Softmax", &["p"], &["sm"], vec![A::of_int("axis", -1)]);
    let m = m.node("ReduceMean", &["sm"], &["mean"], vec![A::of_ints("axes", &[2]), A::of_int("keepdims", 1)]);
    let m = m.node("Sub", &["sm", "mean"], &["sub"], vec![]).node("Clip", &["sub", "s"], &["clip"], vec![]);
    let m = m.node("Split", &["clip"], &["a", "b"], vec![A::of_int("axis", 1)]).node(
        "Concat",
        &["a", "b"],
        &["y"],
        vec![A::of_int("axis", 0)],
    );
    let m = m.node("Expand", &["mean", "size"], &["e"], vec![]).output("y").output("e");
    m.proto.encode_to_vec()
}

fn import(bytes: Vec<u8>) {
    let imported =
        ModelFile::from_bytes("mutated.onnx", Bytes::from(bytes)).and_then(|file| Import::new().model(&file));
    if let Ok(imported) = imported {
        assert!(imported.graph.topological().is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = varied();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        import(bytes);
    }

    #[test]
    fn bytes_cut_out_never_panic(from in any::<prop::sample::Index>(), length in 1usize..40) {
        let mut bytes = varied();
        let from = from.index(bytes.len());
        bytes.drain(from..(from + length).min(bytes.len()));
        import(bytes);
    }

    /// Integers of attributes and constants replaced by the extremes that arithmetic trips over.
    #[test]
    fn extreme_integers_never_panic(which in any::<prop::sample::Index>(), value in prop_oneof![
        Just(i64::MAX), Just(i64::MIN), Just(-1), Just(0), Just(1 << 31), Just(i64::MAX / 2), -10i64..10
    ]) {
        let bytes = varied();
        let mut proto = pointweld::onnx::proto::ModelProto::decode(bytes.as_slice()).expect("what was encoded");
        let graph = proto.graph.as_mut().expect("a graph");
        let mut slots: Vec<&mut i64> = Vec::new();
        for node in &mut graph.node {
            for attribute in &mut node.attribute {
                slots.extend(attribute.i.as_mut());
                slots.extend(&mut attribute.ints);
            }
        }
        slots.extend(graph.initializer.iter_mut().flat_map(|t| &mut t.dims));
        let at = which.index(slots.len());
        *slots[at] = value;
        import(proto.encode_to_vec());
    }
}
