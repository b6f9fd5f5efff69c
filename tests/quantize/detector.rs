//! A detector in small: two SiLU convolutions with a residual, a concatenation, a head whose boxes and scores share one output.

use pointweld::dtype::DType;
use pointweld::onnx::proto::*;

const CHANNELS: usize = 8;

fn floats(name: &str, sizes: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DType::F32.onnx()),
        dims: sizes.into(),
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()),
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DType::I64.onnx()),
        dims: vec![values.len() as i64],
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()),
        ..Default::default()
    }
}

/// Weights that are roughly normal and keep activations near 1.
fn weights(name: &str, sizes: &[i64], random: &mut fastrand::Rng) -> TensorProto {
    let count: i64 = sizes.iter().product();
    let fan: i64 = sizes[1..].iter().product();
    let one = |random: &mut fastrand::Rng| (0..4).map(|_| random.f32() - 0.5).sum::<f32>();
    let values = (0..count).map(|_| one(random) * 3.0 / (fan as f32).sqrt()).collect();
    floats(name, sizes, values)
}

fn node(op_type: &str, name: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: Some(name.into()),
        op_type: Some(op_type.into()),
        input: inputs.iter().map(|i| i.to_string()).collect(),
        output: outputs.iter().map(|o| o.to_string()).collect(),
        attribute: attributes,
        doc_string: Some("kept".into()),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[Result<i64, &str>]) -> ValueInfoProto {
    let dim = |dim: &Result<i64, &str>| Dimension {
        value: Some(match dim {
            Ok(n) => DimensionValue::DimValue(*n),
            Err(name) => DimensionValue::DimParam((*name).into()),
        }),
        denotation: None,
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(DType::F32.onnx()), shape: Some(shape) };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..Default::default() }
}

/// Input `images` (batch, 3, height, width); output `out` (batch, 6, cells): boxes in pixels, then scores.
pub fn detector(opset: i64) -> ModelProto {
    let random = &mut fastrand::Rng::with_seed(7);
    let c = CHANNELS as i64;
    let mut nodes = Vec::new();
    let mut constants = Vec::new();
    let mut conv =
        |nodes: &mut Vec<NodeProto>, name: &str, x: &str, out: &str, from: i64, to: i64, k: i64, silu: bool| {
            constants.push(weights(&format!("{name}.w"), &[to, from, k, k], random));
            constants.push(floats(&format!("{name}.b"), &[to], (0..to).map(|_| random.f32() - 0.5).collect()));
            let pads = AttributeProto::of_ints("pads", &[k / 2; 4]);
            let y = if silu { format!("{name}.y") } else { out.to_string() };
            nodes.push(node("Conv", name, &[x, &format!("{name}.w"), &format!("{name}.b")], &[&y], vec![pads]));
            if silu {
                let gate = format!("{name}.gate");
                nodes.push(node("Sigmoid", &format!("{name}.sigmoid"), &[&y], &[&gate], vec![]));
                nodes.push(node("Mul", &format!("{name}.mul"), &[&y, &gate], &[out], vec![]));
            }
        };
    conv(&mut nodes, "stem", "images", "s", 3, c, 3, true);
    conv(&mut nodes, "a", "s", "t", c, c, 3, true);
    conv(&mut nodes, "b", "t", "u", c, c, 3, true);
    nodes.push(node("Add", "add", &["s", "u"], &["sum"], vec![]));
    let axis = || vec![AttributeProto::of_int("axis", 1)];
    nodes.push(node("Concat", "join", &["s", "sum"], &["joined"], axis()));
    conv(&mut nodes, "neck", "joined", "n", 2 * c, c, 1, true);
    conv(&mut nodes, "boxes", "n", "box_logits", c, 4, 1, false);
    conv(&mut nodes, "classes", "n", "class_logits", c, 2, 1, false);
    nodes.push(node("Concat", "both", &["box_logits", "class_logits"], &["logits"], axis()));
    nodes.push(node("Reshape", "flat", &["logits", "flat_shape"], &["flat_logits"], vec![]));
    // Sizes became an input in operator set 13.
    let (mut parts, mut inputs) = (axis(), vec!["flat_logits"]);
    match opset < 13 {
        true => parts.push(AttributeProto::of_ints("split", &[4, 2])),
        false => inputs.push("parts"),
    }
    nodes.push(node("Split", "split", &inputs, &["box_part", "class_part"], parts));
    nodes.push(node("Mul", "pixels", &["box_part", "stride"], &["box_pixels"], vec![]));
    nodes.push(node("Sigmoid", "scores", &["class_part"], &["class_scores"], vec![]));
    nodes.push(node("Concat", "all", &["box_pixels", "class_scores"], &["out"], axis()));
    constants.push(floats("stride", &[1], vec![320.0]));
    constants.push(ints("flat_shape", &[0, 6, -1]));
    if opset >= 13 {
        constants.push(ints("parts", &[4, 2]));
    }
    let graph = GraphProto {
        name: Some("detector".into()),
        node: nodes,
        initializer: constants,
        input: vec![value("images", &[Err("batch"), Ok(3), Err("height"), Err("width")])],
        output: vec![value("out", &[Err("batch"), Ok(6), Err("cells")])],
        doc_string: Some("a detector in small".into()),
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(opset) }];
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("test".into()),
        opset_import,
        graph: Some(Box::new(graph)),
        ..Default::default()
    }
}
