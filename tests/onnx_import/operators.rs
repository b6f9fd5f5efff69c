//! What operators become, over the versions in which they changed.

use super::build::*;
use pointweld::anchor::Anchor;
use pointweld::dtype::DType::*;
use pointweld::graph::Kind;
use pointweld::onnx::proto::AttributeProto as A;
use pointweld::reference::{Options, run_graph};
use pointweld::structural::Structural;
use pointweld::tensor::Tensor;

#[test]
fn attributes_become_constant_operands() {
    let m = model(13)
        .input("x", F32, &["n"])
        .node("LeakyRelu", &["x"], &["y"], vec![A::of_float("alpha", 0.25)])
        .output("y");
    let imported = m.import();
    let graph = &imported.graph;
    let value = graph.outputs()[0].1;
    let alpha = graph.constant(graph.operands(value.node)[1]).expect("a constant");
    assert_eq!((kinds(graph), alpha.to_f64()), (vec!["leaky_relu".to_string()], vec![0.25]));
    assert_eq!(graph.node(value.node).origin[0].name, "LeakyRelu_y");
    assert_eq!(graph.value_name(value), "y");
}

/// Clip's bounds are attributes before opset 11 and inputs since, and either may be left out.
#[test]
fn clip_over_its_versions() {
    let of = |m: pointweld::onnx::Imported| kinds(&m.graph);
    let old =
        |attributes| model(10).input("x", F32, &["n"]).node("Clip", &["x"], &["y"], attributes).output("y").import();
    assert_eq!(of(old(vec![A::of_float("min", 0.0), A::of_float("max", 6.0)])), ["clip"]);
    assert_eq!(of(old(vec![A::of_float("min", 0.0)])), ["max"]);
    assert_eq!(of(old(vec![A::of_float("min", f32::MIN), A::of_float("max", f32::MAX)])), [""; 0]);
    let new = |inputs: &[&str]| {
        let m = model(13).input("x", F32, &["n"]).floats("lo", &[], &[0.0]).floats("hi", &[], &[6.0]);
        m.node("Clip", inputs, &["y"], vec![]).output("y").import()
    };
    assert_eq!(of(new(&["x", "lo", "hi"])), ["clip"]);
    assert_eq!(of(new(&["x", "", "hi"])), ["min"]);
    assert_eq!(of(new(&["x", "lo", ""])), ["max"]);
}

/// Integers of one width differ in how their top bit counts, and a cast wraps; the bits of floats are left to a routine.
#[test]
fn bits_of_integers_are_cast() {
    let of = |from, to: pointweld::dtype::DType| {
        let attributes = vec![A::of_int("to", to.onnx().into())];
        model(26).input("x", from, &["n"]).node("BitCast", &["x"], &["y"], attributes).output("y").import()
    };
    for (from, to) in [(I8, U8), (U8, I8), (I16, U16), (U32, I32), (I64, U64)] {
        assert_eq!(kinds(&of(from, to).graph), [format!("cast.{to}")]);
    }
    assert_eq!(kinds(&of(I32, I32).graph), [""; 0]);
    for (from, to) in [(F32, I32), (I32, F32), (F16, BF16), (F16, U16), (Bool, U8)] {
        let graph = of(from, to).graph;
        let node = graph.node(graph.outputs()[0].1.node);
        assert!(matches!(node.kind, Kind::Structural(Structural::BitCast { .. })), "{from} {to}");
    }
    let codes = Tensor::from_slice(&[4], &[-128i8, -1, 0, 127]).unwrap();
    let outputs = run_graph(&of(I8, U8).graph, &[("x", codes)], &Options::default()).unwrap();
    assert_eq!(outputs[0].1.to_f64(), [128.0, 255.0, 0.0, 127.0]);
}

#[test]
fn variadic_operators_are_chains() {
    let m = |op: &str, n: usize| {
        let names = ["a", "b", "c"];
        let m = names.iter().fold(model(13), |m, name| m.input(name, F32, &["n", "3"]));
        kinds(&m.node(op, &names[..n], &["y"], vec![]).output("y").import().graph)
    };
    assert_eq!(m("Sum", 3), ["add", "add"]);
    assert_eq!(m("Max", 2), ["max"]);
    assert_eq!(m("Min", 1), [""; 0]);
    assert_eq!(m("Mean", 3), ["add", "add", "div"]);
}

#[test]
fn modes_of_an_operator_are_rows_of_their_own() {
    let unary = |opset, op: &str, attributes| {
        kinds(&model(opset).input("x", F32, &["n"]).node(op, &["x"], &["y"], attributes).output("y").import().graph)
    };
    assert_eq!(unary(20, "Gelu", vec![]), ["gelu"]);
    assert_eq!(unary(20, "Gelu", vec![A::of_string("approximate", "tanh")]), ["gelu_tanh"]);
    assert_eq!(unary(24, "Swish", vec![]), ["silu"]);
    assert_eq!(unary(24, "Swish", vec![A::of_float("alpha", 2.0)]), ["swish"]);
    assert_eq!(unary(20, "IsInf", vec![A::of_int("detect_negative", 0)]), ["is_pos_inf"]);
    assert_eq!(unary(20, "IsInf", vec![A::of_int("detect_positive", 0)]), ["is_neg_inf"]);
    assert_eq!(unary(13, "Cast", vec![A::of_int("to", F16.onnx().into())]), ["cast.f16"]);
    let binary = |op: &str, dtype, attributes| {
        let m = model(18).input("a", dtype, &["n"]).input("b", dtype, &["n"]);
        kinds(&m.node(op, &["a", "b"], &["y"], attributes).output("y").import().graph)
    };
    assert_eq!(binary("Mod", I32, vec![]), ["mod"]);
    assert_eq!(binary("Mod", F32, vec![A::of_int("fmod", 1)]), ["fmod"]);
    assert_eq!(binary("BitShift", U8, vec![A::of_string("direction", "RIGHT")]), ["shift_right"]);
    let m = model(20).input("x", F32, &["n"]).node("Gelu", &["x"], &["y"], vec![A::of_string("approximate", "erf")]);
    let expected = "node \"Gelu_y\" (Gelu): attribute `approximate`: found \"erf\", expected \"none\" or \"tanh\"";
    assert_eq!(m.output("y").error(), expected);
}

/// ONNX lets Shrink take integers: it computes with numbers, and cuts off what is behind the point.
#[test]
fn shrink_of_integers() {
    let attributes = vec![A::of_float("lambd", 1.5), A::of_float("bias", 1.5)];
    let m = model(9).input("x", I8, &["5"]).node("Shrink", &["x"], &["y"], attributes).output("y").import();
    assert_eq!(kinds(&m.graph), ["cast.f64", "shrink", "cast.i8"]);
    let x = Tensor::from_f64(I8, &[5], &[-2.0, -1.0, 0.0, 1.0, 3.0]).unwrap();
    let y = run_graph(&m.graph, &[("x", x)], &Options::default()).unwrap();
    assert_eq!((y[0].1.dtype(), y[0].1.to_f64()), (I8, vec![0.0, 0.0, 0.0, 0.0, 1.0]));
}

/// Of the channel's parameters only a factor and a shift are left to apply to each element.
#[test]
fn batch_normalization_at_inference() {
    let m = ["scale", "bias", "mean", "variance"].iter().fold(model(15), |m, name| m.floats(name, &[2], &[1.0, 2.0]));
    let m = m.input("x", F32, &["n", "2", "h"]);
    let m = m.node("BatchNormalization", &["x", "scale", "bias", "mean", "variance"], &["y"], vec![]).output("y");
    let imported = m.import();
    let graph = &imported.graph;
    assert_eq!(ty(&imported, "y"), "Float(n,2,h)");
    let on_x =
        graph.ids().filter(|id| graph.node(*id).op().is_some() && graph.ty(id.value()).to_string() == "Float(n,2,h)");
    assert_eq!(on_x.count(), 2);
}

#[test]
fn dropout_and_identity_are_nothing_at_inference() {
    let m = model(13).input("x", F32, &["n"]).node("Dropout", &["x"], &["d", "mask"], vec![]);
    let m = m.node("Identity", &["d"], &["y"], vec![]).output("y").output("mask");
    let imported = m.import();
    assert_eq!(kinds(&imported.graph), ["expand"]);
    assert_eq!((ty(&imported, "y"), ty(&imported, "mask")), ("Float(n)".into(), "Bool(n)".into()));
}

#[test]
fn products_of_vectors_and_batches() {
    let product = |a: &[&str], b: &[&str]| {
        let m = model(13).input("a", F32, a).input("b", F32, b).node("MatMul", &["a", "b"], &["y"], vec![]).output("y");
        ty(&m.import(), "y")
    };
    assert_eq!(product(&["n", "3"], &["3", "4"]), "Float(n,4)");
    assert_eq!(product(&["b", "n", "3"], &["3", "4"]), "Float(b,n,4)");
    assert_eq!(product(&["3"], &["3", "4"]), "Float(4)");
    assert_eq!(product(&["2", "4", "3"], &["3"]), "Float(2,4)");
    assert_eq!(product(&["3"], &["3"]), "Float()");
    let m =
        model(13).input("a", F32, &["2", "3"]).input("b", F32, &["4", "5"]).node("MatMul", &["a", "b"], &["y"], vec![]);
    assert!(m.output("y").error().contains("it multiplies (2,3) and (4,5): 3 is not 4"));
}

/// alpha and beta are multiplications of their own; the product stays a plain anchor.
#[test]
fn gemm_with_factors() {
    let gemm = |attributes| {
        let m = ["a", "b", "c"].iter().fold(model(13), |m, name| m.input(name, F32, &["4", "4"]));
        kinds(&m.node("Gemm", &["a", "b", "c"], &["y"], attributes).output("y").import().graph)
    };
    assert_eq!(gemm(vec![A::of_int("transB", 1)]), ["gemm"]);
    assert_eq!(gemm(vec![A::of_float("alpha", 0.5)]), ["gemm", "mul", "add"]);
    assert_eq!(gemm(vec![A::of_float("beta", 0.5)]), ["mul", "gemm"]);
    assert_eq!(gemm(vec![A::of_float("beta", 0.0)]), ["gemm"]);
}

#[test]
fn padding_of_convolutions() {
    let conv = |attributes| {
        let m = model(13).input("x", F32, &["n", "4", "h", "9"]).floats("w", &[8, 2, 3, 3], &[0.0; 144]);
        let mut attributes: Vec<_> = attributes;
        attributes.push(A::of_int("group", 2));
        let imported = m.node("Conv", &["x", "w"], &["y"], attributes).output("y").import();
        let graph = &imported.graph;
        let pads = match &graph.node(graph.outputs()[0].1.node).kind {
            Kind::Anchor(Anchor::Conv(conv)) => conv.pads.clone(),
            _ => vec![],
        };
        (ty(&imported, "y"), pads)
    };
    assert_eq!(conv(vec![]), ("Float(n,8,h - 2,7)".into(), vec![(0, 0), (0, 0)]));
    assert_eq!(
        conv(vec![A::of_ints("pads", &[1, 1, 1, 1]), A::of_ints("strides", &[2, 2])]),
        ("Float(n,8,floor((h + 1)/(2)),5)".into(), vec![(1, 1), (1, 1)])
    );
    assert_eq!(conv(vec![A::of_string("auto_pad", "SAME_UPPER")]), ("Float(n,8,h,9)".into(), vec![(1, 1), (1, 1)]));
    // How much "SAME" pads an unknown size depends on whether it is odd.
    let same = vec![A::of_string("auto_pad", "SAME_UPPER"), A::of_ints("strides", &[2, 2])];
    assert_eq!(conv(same), ("Float(n,8,floor((h + 1)/(2)),5)".into(), vec![]));
}

#[test]
fn convolutions_that_do_not_fit_are_errors() {
    let conv = |x: &[&str], w: &[i64], attributes| {
        let count = w.iter().product::<i64>() as usize;
        let m = model(13).input("x", F32, x).floats("w", w, &vec![0.0; count]);
        m.node("Conv", &["x", "w"], &["y"], attributes).output("y").error()
    };
    assert!(
        conv(&["1", "3", "8", "8"], &[4, 2, 3, 3], vec![]).contains("has 3 channels and its weights (4,2,3,3) take 2")
    );
    assert!(conv(&["1", "2", "2", "8"], &[4, 2, 3, 3], vec![]).contains("a window of 3 does not fit the size 2"));
    assert!(
        conv(&["1", "2", "8", "8"], &[4, 2, 3, 3], vec![A::of_ints("strides", &[0, 1])]).contains("`strides`: found 0")
    );
    assert!(
        conv(&["1", "2", "8", "8"], &[4, 2, 3, 3], vec![A::of_ints("pads", &[1])])
            .contains("`pads`: found 1 values, expected 4")
    );
    let kernel = vec![A::of_ints("kernel_shape", &[5, 5])];
    assert!(conv(&["1", "2", "8", "8"], &[4, 2, 3, 3], kernel).contains("`kernel_shape`: found [5, 5]"));
    assert!(conv(&["1", "2", "8", "8"], &[4, 2, 0, 3], vec![]).contains("has an axis without places"));
    let far = vec![A::of_ints("strides", &[1 << 40, 1])];
    assert!(conv(&["1", "2", "8", "8"], &[4, 2, 3, 3], far).contains("expected sizes from 1 to 2147483648"));
    for (op, bias) in [("Conv", &["3"][..]), ("Conv", &["4", "1"]), ("ConvTranspose", &["5"])] {
        let m = model(13).input("x", F32, &["1", "4", "8", "8"]).input("b", F32, bias);
        let m = m.floats("w", &[4, 4, 3, 3], &[0.0; 144]).node(op, &["x", "w", "b"], &["y"], vec![]).output("y");
        assert!(m.error().contains("one element for each of 4 filters"), "{op} {bias:?}");
    }
}

/// A nearest Resize by whole factors is a view; by others, or with other roundings, it is not.
#[test]
fn resize_by_whole_factors_is_a_repeat() {
    let resize = |scale: f32, coordinates: &str, nearest: &str| {
        let m = model(13).input("x", F32, &["n", "3", "h", "w"]).floats("s", &[4], &[1.0, 1.0, scale, scale]);
        let attributes = vec![
            A::of_string("mode", "nearest"),
            A::of_string("coordinate_transformation_mode", coordinates),
            A::of_string("nearest_mode", nearest),
        ];
        let imported = m.node("Resize", &["x", "", "s"], &["y"], attributes).output("y").import();
        (kinds(&imported.graph).concat(), ty(&imported, "y"))
    };
    let twice = || "Float(n,3,2*h,2*w)".to_string();
    assert_eq!(resize(2.0, "asymmetric", "floor"), ("repeat".into(), twice()));
    assert_eq!(resize(2.0, "half_pixel", "round_prefer_floor"), ("repeat".into(), twice()));
    assert_eq!(resize(2.0, "asymmetric", "ceil"), ("Resize".into(), twice()));
    assert_eq!(resize(3.0, "asymmetric", "round_prefer_floor").0, "Resize");
    assert_eq!(
        resize(1.5, "asymmetric", "floor"),
        ("Resize".into(), "Float(n,3,floor((3*h)/(2)),floor((3*w)/(2)))".into())
    );
    assert_eq!(resize(1.0, "half_pixel", "floor").0, "");
    let old = model(9).input("x", F32, &["n", "3", "h", "w"]).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]);
    let old = old.node("Upsample", &["x", "s"], &["y"], vec![]).output("y").import();
    assert_eq!((kinds(&old.graph).concat(), ty(&old, "y")), ("repeat".into(), twice()));
}

/// Before opset 13 a softmax runs over all axes from its own on.
#[test]
fn softmax_over_its_versions() {
    let softmax = |opset, axis| {
        let m = model(opset).input("x", F32, &["n", "4", "5"]).node(
            "Softmax",
            &["x"],
            &["y"],
            vec![A::of_int("axis", axis)],
        );
        let imported = m.output("y").import();
        assert_eq!(ty(&imported, "y"), "Float(n,4,5)");
        kinds(&imported.graph)
    };
    assert_eq!(softmax(13, 1), ["Softmax"]);
    assert_eq!(softmax(11, 2), ["Softmax"]);
    assert_eq!(softmax(11, 1), ["reshape", "Softmax", "reshape"]);
}

#[test]
fn blocks_of_depth_are_views() {
    let m = model(13).input("x", F32, &["n", "8", "h", "w"]);
    let imported = m.node("DepthToSpace", &["x"], &["y"], vec![A::of_int("blocksize", 2)]).output("y").import();
    assert_eq!(kinds(&imported.graph), ["reshape", "transpose", "reshape"]);
    assert_eq!(ty(&imported, "y"), "Float(n,2,2*h,2*w)");
    let m = model(13).input("x", F32, &["n", "6", "h", "w"]);
    let error = m.node("DepthToSpace", &["x"], &["y"], vec![A::of_int("blocksize", 2)]).output("y").error();
    assert!(error.contains("6 is not a multiple of 4"), "{error}");
}

#[test]
fn splits_are_slices() {
    let m = model(13).input("x", F32, &["n", "6"]).ints("parts", &[1, 5]);
    let imported =
        m.node("Split", &["x", "parts"], &["a", "b"], vec![A::of_int("axis", 1)]).output("a").output("b").import();
    assert_eq!((ty(&imported, "a"), ty(&imported, "b")), ("Float(n,1)".into(), "Float(n,5)".into()));
    assert_eq!(kinds(&imported.graph), ["slice", "slice"]);
    let m =
        model(18).input("x", F32, &["7"]).node("Split", &["x"], &["a", "b", "c"], vec![A::of_int("num_outputs", 3)]);
    let imported = m.output("a").output("c").import();
    assert_eq!((ty(&imported, "a"), ty(&imported, "c")), ("Float(3)".into(), "Float(1)".into()));
    let m =
        model(13).input("x", F32, &["6"]).ints("parts", &[1, 4]).node("Split", &["x", "parts"], &["a", "b"], vec![]);
    assert!(m.output("a").error().contains("its sizes sum to 5, and axis 0 has 6"));
}

#[test]
fn an_lstm_says_which_operands_it_has() {
    let m = model(14).input("x", F32, &["t", "b", "3"]).floats("w", &[1, 8, 3], &[0.0; 24]);
    let m = m.floats("r", &[1, 8, 2], &[0.0; 16]).input("h", F32, &["1", "b", "2"]);
    let m = m.node("LSTM", &["x", "w", "r", "", "", "h"], &["y", "", "c"], vec![A::of_int("hidden_size", 2)]);
    let imported = m.output("y").output("c").import();
    assert_eq!((ty(&imported, "y"), ty(&imported, "c")), ("Float(t,1,b,2)".into(), "Float(1,b,2)".into()));
    let graph = &imported.graph;
    let Kind::Structural(Structural::Lstm(lstm)) = &graph.node(graph.outputs()[0].1.node).kind else {
        panic!("no LSTM")
    };
    assert_eq!((lstm.bias, lstm.initial_h, lstm.initial_c), (false, true, false));
    assert_eq!(graph.operands(graph.outputs()[0].1.node).len(), 4);
}

/// What is not known bounds fusion and stops nothing else.
#[test]
fn unknown_operators_stay_opaque() {
    let m = model(13).input("x", F32, &["n"]).node("Relu", &["x"], &["r"], vec![]);
    let mut m =
        m.node_of("my.domain", "Mystery", &["r"], &["m"], vec![]).node("Neg", &["m"], &["y"], vec![]).output("y");
    m.graph().value_info.push(value("m", F32, &["n", "7"]));
    let imported = m.import();
    assert_eq!(kinds(&imported.graph), ["relu", "my.domain.Mystery", "neg"]);
    assert_eq!(ty(&imported, "y"), "Float(n,7)");
    let expected = "node \"Mystery_m\" (my.domain::Mystery): the operator set \"my.domain\" is not known";
    assert_eq!(imported.warnings[0].to_string(), expected);
}

#[test]
fn operators_of_onnx_runtime() {
    let unary = |op: &str, attributes| {
        let m = model(17).input("x", F32, &["n", "8"]).node_of("com.microsoft", op, &["x"], &["y"], attributes);
        kinds(&m.output("y").import().graph)
    };
    assert_eq!(unary("Gelu", vec![]), ["gelu"]);
    assert_eq!(unary("FastGelu", vec![]), ["gelu_tanh"]);
    assert_eq!(unary("QuickGelu", vec![]), ["swish"]);
    let m = model(17).input("x", F32, &["n", "8"]).input("b", F32, &["8"]);
    let m = m.node_of("com.microsoft", "BiasGelu", &["x", "b"], &["y"], vec![]).output("y");
    assert_eq!(kinds(&m.import().graph), ["add", "gelu"]);
}

#[test]
fn an_old_operator_set_keeps_what_has_not_changed() {
    let m = model(6).input("x", F32, &["n"]).node("Relu", &["x"], &["r"], vec![]);
    let imported = m.node("Add", &["r", "r"], &["y"], vec![A::of_int("broadcast", 1)]).output("y").import();
    assert_eq!(kinds(&imported.graph), ["relu", "Add"]);
    assert!(imported.warnings[0].what.contains("operator set 6 is older than 7"));
}
