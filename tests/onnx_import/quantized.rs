//! Quantization: parameters of every layout, and the operators that are Q/DQ around something else.

use super::build::*;
use pointweld::dtype::DType::*;
use pointweld::onnx::proto::AttributeProto as A;

fn scale(name: &str, m: Model) -> Model {
    m.floats(name, &[], &[0.5])
}

#[test]
fn q_and_dq_with_and_without_zero_points() {
    let m = scale("s", model(13)).input("x", F32, &["n"]).tensor("z", I8, &[], vec![3]);
    let m =
        m.node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![]).node("QuantizeLinear", &["x", "s"], &["u"], vec![]);
    let m = m.node("DequantizeLinear", &["q", "s", "z"], &["y"], vec![]).node(
        "DequantizeLinear",
        &["u", "s"],
        &["v"],
        vec![],
    );
    let imported = m.output("q").output("u").output("y").output("v").import();
    assert_eq!(["q", "u", "y", "v"].map(|o| ty(&imported, o)), ["Int8(n)", "UInt8(n)", "Float(n)", "Float(n)"]);
    let mut kinds = kinds(&imported.graph);
    kinds.sort();
    assert_eq!(kinds, ["dequantize.f32", "dequantize.f32", "quantize.i8", "quantize.u8"]);
}

/// Parameters of one channel are reshaped to broadcast along their axis, those of a block repeated.
#[test]
fn parameters_per_channel_and_per_block() {
    let m = model(21).tensor("w", I8, &[4, 6], vec![1; 24]).floats("s", &[4], &[0.5; 4]);
    let m = m.node("DequantizeLinear", &["w", "s"], &["y"], vec![A::of_int("axis", 0)]).output("y");
    let imported = m.import();
    assert_eq!(kinds(&imported.graph), ["reshape", "dequantize.f32"]);
    let operands = imported.graph.operands(imported.graph.outputs()[0].1.node);
    assert_eq!(imported.graph.ty(operands[1]).to_string(), "Float(4,1)");

    let blocks = |columns: i64, block: i64| {
        let m = model(21).tensor("w", I8, &[4, 6], vec![1; 24]).floats(
            "s",
            &[4, columns],
            &vec![0.5; 4 * columns as usize],
        );
        let attributes = vec![A::of_int("axis", 1), A::of_int("block_size", block)];
        m.node("DequantizeLinear", &["w", "s"], &["y"], attributes).output("y")
    };
    assert_eq!(kinds(&blocks(3, 2).import().graph), ["repeat", "dequantize.f32"]);
    assert_eq!(kinds(&blocks(2, 4).import().graph), ["repeat", "slice", "dequantize.f32"]);
    assert!(blocks(2, 2).error().contains("in blocks of 2 does not cover (4,6)"));

    let m = model(13).tensor("w", I8, &[4, 6], vec![1; 24]).floats("s", &[5], &[0.5; 5]);
    let m = m.node("DequantizeLinear", &["w", "s"], &["y"], vec![A::of_int("axis", 0)]).output("y");
    assert!(m.error().contains("it has 5 scales for axis 0 of (4,6)"));
}

#[test]
fn eight_bit_floats_saturate_or_not() {
    let quantize = |saturate: i64| {
        let m = scale("s", model(19)).input("x", F32, &["n"]).tensor("z", F8E4M3FN, &[], vec![0]);
        let m = m.node("QuantizeLinear", &["x", "s", "z"], &["y"], vec![A::of_int("saturate", saturate)]).output("y");
        kinds(&m.import().graph).concat()
    };
    assert_eq!(quantize(1), "quantize.f8e4m3fn");
    assert_eq!(quantize(0), "quantize_unsaturated.f8e4m3fn");
}

#[test]
fn a_quantized_convolution_is_a_convolution_between_q_and_dq() {
    let m = ["xs", "ys"].iter().fold(model(13), |m, name| scale(name, m)).floats("ws", &[2], &[0.5, 0.25]);
    let m = m.input("x", U8, &["n", "3", "8", "8"]).tensor("w", I8, &[2, 3, 1, 1], vec![1; 6]);
    let m = m.tensor("xz", U8, &[], vec![128]).tensor("wz", I8, &[2], vec![0; 2]).tensor("yz", U8, &[], vec![0]);
    let m = m.tensor("b", I32, &[2], vec![0; 8]);
    let inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"];
    let imported = m.node("QLinearConv", &inputs, &["y"], vec![]).output("y").import();
    assert_eq!(ty(&imported, "y"), "UInt8(n,2,8,8)");
    let kinds = kinds(&imported.graph);
    assert_eq!(kinds.iter().filter(|k| k.as_str() == "dequantize.f32").count(), 3);
    assert_eq!(kinds[kinds.len() - 2..], ["conv", "quantize.u8"]);
}

#[test]
fn quantized_operators_of_onnx_runtime() {
    let m = ["as", "bs", "cs"].iter().fold(model(13), |m, name| scale(name, m)).tensor("z", I8, &[], vec![0]);
    let m = m.input("a", I8, &["n", "4"]).input("b", I8, &["4"]);
    let m = m.node_of("com.microsoft", "QLinearAdd", &["a", "as", "z", "b", "bs", "z", "cs", "z"], &["s"], vec![]);
    let m = m.node_of("com.microsoft", "QLinearSigmoid", &["s", "cs", "z", "as", "z"], &["y"], vec![]).output("y");
    let imported = m.import();
    assert_eq!(ty(&imported, "y"), "Int8(n,4)");
    let expected =
        ["dequantize.f32", "dequantize.f32", "add", "quantize.i8", "dequantize.f32", "sigmoid", "quantize.i8"];
    assert_eq!(kinds(&imported.graph), expected);
}

#[test]
fn integer_products_keep_their_sums_exact() {
    let m = model(13).input("x", F32, &["n", "4"]).tensor("w", I8, &[4, 2], vec![1; 8]);
    let m = m.node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], vec![]);
    let m = m.node("MatMulInteger", &["q", "w", "z"], &["y"], vec![]).output("y").output("s");
    let imported = m.import();
    assert_eq!((ty(&imported, "y"), ty(&imported, "s")), ("Int32(n,2)".into(), "Float()".into()));
    assert_eq!(kinds(&imported.graph), ["DynamicQuantize", "MatMulInteger"]);
}
