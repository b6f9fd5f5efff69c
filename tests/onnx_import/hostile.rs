//! Models that are wrong, or mean harm: an error that names the node, or an opaque node; bounded memory and time; no panic.

use super::build::*;
use pointweld::dtype::DType::{self, *};
use pointweld::onnx::proto::AttributeProto as A;

#[test]
fn names_defined_twice_or_never() {
    let m = model(13).input("x", F32, &["n"]).node("Relu", &["x"], &["y"], vec![]).node("Neg", &["x"], &["y"], vec![]);
    assert_eq!(m.output("y").error(), "node \"Neg_y\" (Neg): its output \"y\" is already defined");
    let m = model(13).input("x", F32, &["n"]).node("Relu", &["x"], &["x"], vec![]).output("x");
    assert_eq!(m.error(), "node \"Relu_x\" (Relu): its output \"x\" is already defined");
    let m = model(13).input("x", F32, &["n"]).node("Add", &["x", "ghost"], &["y"], vec![]).output("y");
    let expected = "node \"Add_y\" (Add): its input \"ghost\" is computed by no node and is no input of the model";
    assert_eq!(m.error(), expected);
    assert_eq!(model(13).output("y").error(), "graph: the output \"y\" is computed by no node");
    let m = model(13).floats("w", &[1], &[0.0]).floats("w", &[1], &[0.0]).output("w");
    assert_eq!(m.error(), "graph: the name \"w\" is defined twice");
    let m = model(13).input("x", F32, &["n"]).input("x", F32, &["n"]).output("x");
    assert_eq!(m.error(), "graph: the name \"x\" is defined twice");
}

#[test]
fn cycles_are_told_and_disorder_is_sorted() {
    let m =
        model(13).input("x", F32, &["n"]).node("Add", &["x", "b"], &["a"], vec![]).node("Neg", &["a"], &["b"], vec![]);
    let error = m.output("b").error();
    assert_eq!(error, "node \"Add_a\" (Add): it waits for its own result: the graph has a cycle");
    let m = model(13).input("x", F32, &["n"]).node("Neg", &["a"], &["b"], vec![]).node("Relu", &["x"], &["a"], vec![]);
    assert_eq!(kinds(&m.output("b").import().graph), ["relu", "neg"]);
}

#[test]
fn wrong_numbers_of_inputs_and_wrong_types() {
    let m = |op: &str, inputs: &[&str]| {
        let m = model(13).input("x", F32, &["n"]).input("i", I32, &["n"]);
        m.node(op, inputs, &["y"], vec![]).output("y").error()
    };
    assert_eq!(m("Add", &["x"]), "node \"Add_y\" (Add): input 1 is required and missing");
    assert_eq!(m("Relu", &["x", "x"]), "node \"Relu_y\" (Relu): it has 2 inputs and takes at most 1");
    assert!(m("Add", &["x", "i"]).starts_with("node \"Add_y\" (Add): "));
    assert!(m("Conv", &["x", "x"]).contains("it convolves (n) with weights (n)"));
    assert_eq!(m("Sum", &[]), "node \"Sum_y\" (Sum): input 0 is required and missing");
    let m =
        model(13).input("x", F32, &["2"]).input("y", F32, &["3"]).node("Add", &["x", "y"], &["z"], vec![]).output("z");
    assert!(m.error().contains("(2) and (3) do not broadcast"));
}

#[test]
fn sizes_that_overflow() {
    let big = i64::MAX.to_string();
    let m = model(13).input("x", F32, &[&big, &big]).node("Relu", &["x"], &["y"], vec![]).output("y");
    assert!(m.error().contains("the input \"x\" has more elements than fit in memory"));
    let m = model(13).input("x", F32, &["n", &big]).ints("to", &[-1]).node("Reshape", &["x", "to"], &["y"], vec![]);
    let m = m.node("Concat", &["x", "x"], &["z"], vec![A::of_int("axis", 1)]).output("z");
    assert!(m.error().contains("node \"Concat_z\" (Concat)"));
    let m = model(13).ints("s", &[1 << 40, 1 << 40]).node("ConstantOfShape", &["s"], &["y"], vec![]).output("y");
    assert!(m.error().contains("too many elements"));
    let m = model(13).ints("s", &[-5]).node("ConstantOfShape", &["s"], &["y"], vec![]).output("y");
    assert!(m.error().contains("negative size"));
    let m = model(13).input("x", F32, &["1", "1", "8", "8"]).floats("w", &[1, 1, 1, 1], &[0.0]);
    let attributes = vec![A::of_ints("pads", &[i64::MAX, i64::MAX, i64::MAX, i64::MAX])];
    assert!(m.node("Conv", &["x", "w"], &["y"], attributes).output("y").error().contains("`pads`"));
    let m =
        model(13).input("x", F32, &["4"]).ints("r", &[i64::MAX]).node("Tile", &["x", "r"], &["y"], vec![]).output("y");
    assert!(m.error().contains("Tile"));
}

#[test]
fn attributes_out_of_range() {
    let m = |op: &str, attributes| {
        model(13).input("x", F32, &["2", "3"]).node(op, &["x"], &["y"], attributes).output("y").error()
    };
    assert!(m("Softmax", vec![A::of_int("axis", 7)]).contains("axis 7 of a tensor of rank 2"));
    assert!(m("Softmax", vec![A::of_int("axis", i64::MIN)]).contains("axis -9223372036854775808"));
    assert!(m("Transpose", vec![A::of_ints("perm", &[0, 0])]).contains("name one twice"));
    assert!(m("Transpose", vec![A::of_ints("perm", &[0])]).contains("is not one of 2 axes"));
    assert!(m("LeakyRelu", vec![A::of_int("alpha", 1)]).contains("attribute `alpha`: found Int, expected Float"));
    assert!(m("Cast", vec![]).contains("attribute `to`: found none"));
    assert!(m("ReduceSum", vec![A::of_int("keepdims", 1), A::of_int("keepdims", 0)]).contains("given twice"));
}

/// Names go into messages escaped and cut; they can't forge a line.
#[test]
fn names_made_to_harm() {
    let nasty = "a\"b\n*/ #include \u{1b}[31m";
    let m = model(13).input("x", F32, &["n"]).node(nasty, &["x"], &[nasty], vec![]).output(nasty);
    let imported = m.import();
    let shown = imported.warnings[0].to_string();
    assert!(!shown.contains('\n') && !shown.contains('\u{1b}'), "{shown}");
    let huge = "x".repeat(1 << 20);
    let m = model(13).input(&huge, F32, &[&huge]).node("Add", &[&huge, "none"], &["y"], vec![]).output("y");
    assert!(m.error().len() < 1000);
    let m = model(13).input(&huge, F32, &[&huge]).node("Relu", &[&huge], &["y"], vec![]).output("y");
    assert_eq!(kinds(&m.import().graph), ["relu"]);
}

/// Another shape than the declared one is computed and said; another type is refused.
#[test]
fn outputs_that_contradict_their_declaration() {
    let relu = |dtype: DType, dims: &[&str]| {
        let mut m = model(13).input("x", F32, &["n", "4"]).node("Relu", &["x"], &["y"], vec![]);
        m.graph().output.push(value("y", dtype, dims));
        m
    };
    for fits in [&["n", "4"][..], &["?", "4"], &["7", "4"], &["m", "k"]] {
        assert!(relu(F32, fits).import().warnings.is_empty(), "{fits:?}");
    }
    for (dims, shown) in [(&["n", "5"][..], "[\"n\", 5]"), (&["4"], "[4]"), (&["?", "4", "1"], "[?, 4, 1]")] {
        let imported = relu(F32, dims).import();
        let said = imported.warnings[0].to_string();
        assert!(
            said.contains("Relu_y") && said.contains(shown) && said.contains("the computed shape counts"),
            "{said}"
        );
        assert_eq!(kinds(&imported.graph), ["relu"]);
    }
    let error = relu(F16, &["n", "4"]).error();
    assert!(error.contains("Relu_y") && error.contains("computes f32") && error.contains("to be f16"), "{error}");
}

#[test]
fn constants_that_contradict_themselves() {
    let m = model(13).tensor("w", F32, &[4], vec![0; 15]).node("Relu", &["w"], &["y"], vec![]).output("y");
    assert!(m.error().starts_with("tensor \"w\": found 15 bytes of data, expected 16"));
    let m = model(13).tensor("w", F32, &[-1], vec![0; 4]).node("Relu", &["w"], &["y"], vec![]).output("y");
    assert!(m.error().starts_with("tensor \"w\": found dims [-1]"));
    let m = model(13).tensor("w", F32, &[1 << 62, 4], vec![]).node("Relu", &["w"], &["y"], vec![]).output("y");
    assert!(m.error().starts_with("tensor \"w\""));
}

/// Many nodes on one value, and long chains: time grows with their number and no faster.
#[test]
fn wide_and_deep_graphs_take_linear_time() {
    let mut m = model(13).input("x", F32, &["n"]);
    let mut last = "x".to_string();
    for i in 0..20_000 {
        let name = format!("v{i}");
        m = m.node("Add", &[&last, "x"], &[&name], vec![]);
        last = name;
    }
    let started = std::time::Instant::now();
    let imported = m.output(&last).try_import().expect("import");
    assert_eq!(imported.graph.len(), 20_001);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
