//! Functions, If, Loop.

use super::build::*;
use pointweld::dtype::DType::*;
use pointweld::onnx::proto::AttributeProto as A;
use pointweld::onnx::proto::*;

/// y = x·σ(x·alpha) + x as a function of the model, alpha being its attribute.
fn gated(op_types: [&str; 2]) -> FunctionProto {
    let import = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    FunctionProto {
        name: Some("Gated".into()),
        domain: Some("local".into()),
        input: vec!["x".into()],
        output: vec!["y".into()],
        attribute: vec!["slope".into()],
        node: vec![
            node("", "Elu", &["x"], &["e"], vec![A::of_reference("alpha", "slope", AttributeType::Float)]),
            node("", op_types[0], &["e"], &["s"], vec![]),
            node("", op_types[1], &["x", "s"], &["y"], vec![]),
        ],
        opset_import: vec![import("", 13), import("local", 1)],
        ..Default::default()
    }
}

fn with_functions(functions: Vec<FunctionProto>) -> Model {
    let mut m = model(17).input("x", F32, &["n"]);
    m.proto.opset_import.push(OperatorSetIdProto { domain: Some("local".into()), version: Some(1) });
    m.proto.functions = functions;
    m
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let m = with_functions(vec![gated(["Sigmoid", "Mul"])]);
    let m = m.node_of("local", "Gated", &["x"], &["a"], vec![A::of_float("slope", 0.5)]);
    let imported = m.node_of("local", "Gated", &["a"], &["y"], vec![A::of_float("slope", 2.0)]).output("y").import();
    let graph = &imported.graph;
    assert_eq!(kinds(graph), ["elu", "sigmoid", "mul", "elu", "sigmoid", "mul"]);
    let elus = graph.ids().filter(|id| graph.node(*id).op().is_some_and(|op| op.name() == "elu"));
    let alphas: Vec<f64> = elus.filter_map(|id| graph.constant(graph.operands(id)[1])).map(|t| t.to_f64()[0]).collect();
    assert_eq!(alphas, [0.5, 2.0]);
    assert_eq!(ty(&imported, "y"), "Float(n)");
}

#[test]
fn functions_that_call_themselves_or_multiply_are_refused() {
    let mut own = gated(["Sigmoid", "Mul"]);
    own.node.push(node("local", "Gated", &["s"], &["again"], vec![]));
    let m = with_functions(vec![own]).node_of("local", "Gated", &["x"], &["y"], vec![]).output("y");
    assert!(m.error().contains("more than 64 deep"));

    // Each calls the one before it ten times: 10^12 nodes, were they inlined.
    let level = |i: usize| {
        let name = |i: usize| format!("F{i}");
        let mut function = FunctionProto { name: Some(name(i)), ..gated(["Sigmoid", "Mul"]) };
        if i > 0 {
            let call = |k: usize| node("local", &name(i - 1), &["x"], &[&format!("v{k}")], vec![]);
            function.node.extend((0..10).map(call));
        }
        function
    };
    let m = with_functions((0..13).map(level).collect()).node_of("local", "F12", &["x"], &["y"], vec![]).output("y");
    let started = std::time::Instant::now();
    let error = m.error();
    assert!(error.contains("inlining"), "{error}");
    assert!(started.elapsed().as_secs() < 30);
}

fn body(nodes: Vec<NodeProto>, inputs: Vec<ValueInfoProto>, outputs: Vec<ValueInfoProto>) -> GraphProto {
    GraphProto { node: nodes, input: inputs, output: outputs, ..Default::default() }
}

/// The guard that PyTorch puts around a squeeze.
#[test]
fn an_if_with_a_known_condition_is_its_branch() {
    let squeeze =
        body(vec![node("", "Squeeze", &["x", "axes"], &["r"], vec![])], vec![], vec![value("r", F32, &["n"])]);
    let keep = body(vec![node("", "Identity", &["x"], &["r"], vec![])], vec![], vec![value("r", F32, &["n", "1"])]);
    let m = model(13).input("x", F32, &["n", "1"]).ints("axes", &[1]).ints("one", &[1]);
    let m =
        m.node("Shape", &["x"], &["s"], vec![]).node("Gather", &["s", "one"], &["size"], vec![A::of_int("axis", 0)]);
    let m = m.node("Equal", &["size", "one"], &["is"], vec![]);
    let branches = vec![A::of_graph("then_branch", squeeze), A::of_graph("else_branch", keep)];
    let imported = m.node("If", &["is"], &["y"], branches).output("y").import();
    assert_eq!((kinds(&imported.graph), ty(&imported, "y")), (vec!["reshape".to_string()], "Float(n)".into()));
}

/// What the branches take from outside are operands, and what both say of their result is known.
#[test]
fn an_if_with_an_unknown_condition_is_opaque() {
    let branch = |op: &str, size: &str| {
        body(vec![node("", op, &["hidden"], &["r"], vec![])], vec![], vec![value("r", F32, &["n", size])])
    };
    let m = model(13).input("x", F32, &["n", "4"]).input("c", Bool, &[]).node("Neg", &["x"], &["hidden"], vec![]);
    let branches =
        vec![A::of_graph("then_branch", branch("Relu", "4")), A::of_graph("else_branch", branch("Abs", "5"))];
    let imported = m.node("If", &["c"], &["y"], branches).output("y").import();
    assert_eq!(
        (kinds(&imported.graph), ty(&imported, "y")),
        (vec!["neg".into(), "If".into()], "Float(n,y.1)".to_string())
    );
    assert_eq!(imported.graph.operands(imported.graph.outputs()[0].1.node).len(), 2);
}

#[test]
fn a_loop_is_opaque_with_the_types_of_its_results() {
    let nodes = vec![
        node("", "Identity", &["go"], &["more"], vec![]),
        node("", "Add", &["state", "outer"], &["next"], vec![]),
        node("", "Neg", &["next"], &["seen"], vec![]),
    ];
    let inputs = vec![value("i", I64, &[]), value("go", Bool, &[]), value("state", F32, &["4"])];
    let outputs = vec![value("more", Bool, &[]), value("next", F32, &["4"]), value("seen", F32, &["4"])];
    let m = model(13).input("x", F32, &["4"]).input("outer", F32, &["4"]).input("n", I64, &[]);
    let m = m.node("Loop", &["n", "", "x"], &["last", "all"], vec![A::of_graph("body", body(nodes, inputs, outputs))]);
    let imported = m.output("last").output("all").import();
    assert_eq!((ty(&imported, "last"), ty(&imported, "all")), ("Float(4)".into(), "Float(all.0,4)".into()));
    assert_eq!(imported.graph.operands(imported.graph.outputs()[0].1.node).len(), 3);
}
