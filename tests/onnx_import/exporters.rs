//! Quantized models as the usual exporters write them: a convolution with SiLU, a residual sum and a second convolution, in the manner of
//! each. Whatever the manner, the products multiply codes, weights are stored as codes, and the plan computes what the graph says.

use super::build::*;
use pointweld::compiler::Compiler;
use pointweld::dtype::DType::{self, *};
use pointweld::graph::Graph;
use pointweld::onnx::proto::{AttributeProto as A, TensorProto};
use pointweld::plan::{Kernel, Plan};
use pointweld::reference::{self, Rounding, run_graph, run_plan};
use pointweld::tensor::Tensor;

const CHANNELS: usize = 16;

/// What an exporter's Q/DQ look like.
struct Style {
    activations: DType,
    zero: u8,
    /// Weights as floats with a Q/DQ of their own, as fake quantization leaves them, instead of as codes with a DQ.
    float_weights: bool,
    /// Scales and zero points are Constant nodes, not initializers.
    constant_nodes: bool,
    /// The bias is i32 codes with a DQ of the product of both scales.
    integer_bias: bool,
    /// Codes are clipped to seven bits between Q and DQ, as for x86 without VNNI.
    seven_bits: bool,
    domain: &'static str,
}

const PLAIN: Style = Style {
    activations: U8,
    zero: 128,
    float_weights: false,
    constant_nodes: false,
    integer_bias: false,
    seven_bits: false,
    domain: "",
};

fn weight_codes(seed: usize) -> Vec<i8> {
    (0..CHANNELS * CHANNELS * 9).map(|i| ((i * 31 + seed * 17) % 23) as i8 - 11).collect()
}

fn scales() -> Vec<f32> {
    (0..CHANNELS).map(|c| 0.002 + 0.0001 * c as f32).collect()
}

impl Style {
    fn parameter(&self, m: Model, name: &str, dtype: DType, sizes: &[i64], bytes: Vec<u8>) -> Model {
        if !self.constant_nodes {
            return m.tensor(name, dtype, sizes, bytes);
        }
        let tensor = TensorProto {
            data_type: Some(dtype.onnx()),
            dims: sizes.into(),
            raw_data: Some(bytes.into()),
            ..Default::default()
        };
        m.node("Constant", &[], &[name], vec![A::of_tensor("value", tensor)])
    }

    /// A Q/DQ pair on `x`; gives the name of the values.
    fn pair(&self, m: Model, x: &str, scale: f32) -> (Model, String) {
        let (s, z, q, y) = (format!("{x}_scale"), format!("{x}_zp"), format!("{x}_q"), format!("{x}_dq"));
        let m = self.parameter(m, &s, F32, &[], scale.to_le_bytes().into());
        let m = self.parameter(m, &z, self.activations, &[], vec![self.zero]);
        let mut m = m.node_of(self.domain, "QuantizeLinear", &[x, &s, &z], &[&q], vec![]);
        let mut codes = q;
        if self.seven_bits {
            let clipped = format!("{x}_clipped");
            m = m.tensor(&format!("{x}_low"), U8, &[], vec![0]).tensor(&format!("{x}_high"), U8, &[], vec![127]);
            m = m.node("Clip", &[&codes, &format!("{x}_low"), &format!("{x}_high")], &[&clipped], vec![]);
            codes = clipped;
        }
        (m.node_of(self.domain, "DequantizeLinear", &[&codes, &s, &z], &[&y], vec![]), y)
    }

    fn conv(&self, m: Model, x: &str, x_scale: f32, name: &str, seed: usize) -> Model {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (w, s, z, y) = (format!("{name}_w"), format!("{name}_ws"), format!("{name}_wz"), format!("{name}_wdq"));
        let sizes = [CHANNELS as i64, CHANNELS as i64, 3, 3];
        let axis = || vec![A::of_int("axis", 0)];
        let m = self.parameter(m, &s, F32, &[CHANNELS as i64], floats(&scales()));
        let mut m = self.parameter(m, &z, I8, &[CHANNELS as i64], vec![0; CHANNELS]);
        let codes = weight_codes(seed);
        if self.float_weights {
            let per = codes.len() / CHANNELS;
            let values: Vec<f32> = codes.iter().enumerate().map(|(i, c)| f32::from(*c) * scales()[i / per]).collect();
            let q = format!("{name}_wq");
            m = m.floats(&w, &sizes, &values);
            m = m.node_of(self.domain, "QuantizeLinear", &[&w, &s, &z], &[&q], axis());
            m = m.node_of(self.domain, "DequantizeLinear", &[&q, &s, &z], &[&y], axis());
        } else {
            m = m.tensor(&w, I8, &sizes, codes.iter().map(|c| *c as u8).collect());
            m = m.node_of(self.domain, "DequantizeLinear", &[&w, &s, &z], &[&y], axis());
        }
        let b = format!("{name}_b");
        let bias: Vec<i32> = (0..CHANNELS as i32).map(|c| 300 * c - 2000).collect();
        let bias_scales: Vec<f32> = scales().iter().map(|s| s * x_scale).collect();
        if self.integer_bias {
            let (codes, s, z) = (format!("{b}_quantized"), format!("{b}_scale"), format!("{b}_zp"));
            m = m.tensor(&codes, I32, &[CHANNELS as i64], bias.iter().flat_map(|b| b.to_le_bytes()).collect());
            m = m.floats(&s, &[CHANNELS as i64], &bias_scales);
            m = m.tensor(&z, I32, &[CHANNELS as i64], vec![0; 4 * CHANNELS]);
            m = m.node("DequantizeLinear", &[&codes, &s, &z], &[&b], axis());
        } else {
            let values: Vec<f32> = bias.iter().zip(&bias_scales).map(|(b, s)| *b as f32 * s).collect();
            m = m.floats(&b, &[CHANNELS as i64], &values);
        }
        m.node("Conv", &[x, &y, &b], &[name], vec![A::of_ints("pads", &[1; 4])])
    }

    fn model(&self) -> Model {
        let m = model(13).input("x", F32, &["1", "16", "8", "8"]);
        let (m, x) = self.pair(m, "x", 0.03);
        let m = self.conv(m, &x, 0.03, "a", 1);
        let m = m.node("Sigmoid", &["a"], &["gate"], vec![]).node("Mul", &["a", "gate"], &["silu"], vec![]);
        let (m, silu) = self.pair(m, "silu", 0.02);
        let m = self.conv(m, &silu, 0.02, "b", 2);
        let m = m.node("Add", &["b", &x], &["sum"], vec![]);
        let (m, sum) = self.pair(m, "sum", 0.05);
        m.node("Relu", &[&sum], &["y"], vec![]).output("y")
    }
}

fn products(plan: &Plan) -> Vec<&Kernel> {
    plan.kernels().filter(|kernel| kernel.product.is_some()).collect()
}

/// Both products multiply codes, no weight is left in float, and the plan gives what the graph gives but for codes at ties.
fn check(name: &str, graph: &Graph) {
    let compiler = Compiler::new().weld(true);
    let planned = compiler.plan(graph).unwrap_or_else(|error| panic!("{name}: {error}"));
    let plan = &planned.plan;
    let found = products(plan);
    assert_eq!(found.len(), 2, "{name}: {plan}");
    for kernel in found {
        let types: Vec<DType> = kernel.product.as_ref().unwrap().factors().iter().map(|factor| factor.dtype).collect();
        assert!(types.iter().all(|dtype| dtype.bits() == 8), "{name}: {types:?}\n{plan}");
    }
    let values: Vec<f64> = (0..CHANNELS * 64).map(|i| ((i * 37 % 101) as f64 - 50.0) * 0.06).collect();
    let inputs = [("x".to_string(), Tensor::from_f64(F32, &[1, CHANNELS, 8, 8], &values).unwrap())];
    let cpu = reference::Options::default();
    let expected = run_graph(graph, &inputs, &cpu).unwrap();
    let prepared = compiler.simplify(graph).unwrap();
    let found = run_plan(plan, &prepared, &inputs, Rounding::Exact, &cpu).unwrap();
    let (a, b) = (expected[0].1.to_f64(), found[0].1.to_f64());
    let off = a.iter().zip(&b).filter(|(x, y)| (*x - *y).abs() > 1e-6).count();
    assert!(a.iter().any(|x| *x > 0.2) && off * 100 <= a.len(), "{name}: {off} of {}", a.len());
    assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= 0.0501), "{name}");
}

#[test]
fn onnx_runtime_writes_initializers_and_integer_biases() {
    check("QDQ", &Style { integer_bias: true, ..PLAIN }.model().import().graph);
    // Its own operator set, which it takes for codes that operator set 13 does not have.
    check("QDQ, contrib", &Style { integer_bias: true, domain: "com.microsoft", ..PLAIN }.model().import().graph);
    check("symmetric", &Style { activations: I8, zero: 0, ..PLAIN }.model().import().graph);
}

#[test]
fn pytorch_writes_constant_nodes_and_codes_of_seven_bits() {
    check("eager", &Style { constant_nodes: true, ..PLAIN }.model().import().graph);
    let seven = Style { constant_nodes: true, zero: 64, seven_bits: true, ..PLAIN };
    check("fbgemm, reduced range", &seven.model().import().graph);
}

#[test]
fn modelopt_and_tensorrts_toolkit_leave_weights_in_float_behind_a_pair() {
    let fake = Style { activations: I8, zero: 0, float_weights: true, constant_nodes: true, ..PLAIN };
    check("fake quantization", &fake.model().import().graph);
    check("ModelOpt, initializers", &Style { constant_nodes: false, ..fake }.model().import().graph);
}

#[test]
fn tensorrts_eight_bit_floats_become_quantizations() {
    let m = model(13).input("x", F32, &["n", "16"]).floats("s", &[], &[0.5]);
    let mut m = m.node_of("trt", "TRT_FP8QuantizeLinear", &["x", "s"], &["q"], vec![]);
    m = m.node_of("trt", "TRT_FP8DequantizeLinear", &["q", "s"], &["y"], vec![]).output("y");
    let imported = m.import();
    assert_eq!(kinds(&imported.graph), ["quantize.f8e4m3fn", "dequantize.f32"]);
    assert_eq!(ty(&imported, "y"), "Float(n,16)");
}

/// 2·(A·B) + C by hand: codes times scales.
#[test]
fn a_quantized_gemm_is_a_product_between_q_and_dq() {
    let m = model(13).input("a", U8, &["2", "3"]).floats("as", &[], &[0.5]).tensor("az", U8, &[], vec![1]);
    let m = m.tensor("b", I8, &[2, 3], vec![1, 2, 3, 255, 0, 1]).floats("bs", &[2], &[0.25, 1.0]);
    let m = m.tensor("bz", I8, &[2], vec![0, 0]).tensor(
        "c",
        I32,
        &[2],
        [4i32, -6].iter().flat_map(|c| c.to_le_bytes()).collect(),
    );
    let m = m.floats("ys", &[], &[0.25]).tensor("yz", I8, &[], vec![0]);
    let attributes = vec![A::of_float("alpha", 2.0), A::of_int("transB", 1)];
    let inputs = ["a", "as", "az", "b", "bs", "bz", "c", "ys", "yz"];
    let graph = m.node_of("com.microsoft", "QGemm", &inputs, &["y"], attributes).output("y").import().graph;
    let a = Tensor::from_slice(&[2, 3], &[3u8, 1, 2, 1, 1, 5]).unwrap();
    let y = run_graph(&graph, &[("a".to_string(), a)], &reference::Options::default()).unwrap();
    // Rows (1, 0, 0.5) and (0, 0, 2) by columns (0.25, 0.5, 0.75) and (-1, 0, 1), twice with the bias 0.5 and -3.
    let expected = [(0.625 + 0.5) * 2.0, (-0.5 - 3.0) * 2.0, (1.5 + 0.5) * 2.0, (2.0 - 3.0) * 2.0];
    assert_eq!(y[0].1.to_f64(), expected.map(|y: f64| (y / 0.25).round_ties_even().clamp(-128.0, 127.0)));
}
