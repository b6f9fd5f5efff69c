//! Sizes that models compute: followed through constants and symbols.

use super::build::*;
use pointweld::dtype::DType::*;
use pointweld::onnx::Import;
use pointweld::onnx::proto::AttributeProto as A;
use pointweld::tensor::Tensor;

/// What PyTorch exports for `x.view(x.shape[0], -1, 4)`.
#[test]
fn a_shape_subgraph_becomes_a_plain_reshape() {
    let m = model(13).input("x", F32, &["batch", "6", "h"]).ints("zero", &[0]).ints("minus", &[-1]).ints("four", &[4]);
    let m = m.node("Shape", &["x"], &["shape"], vec![]).node("Gather", &["shape", "zero"], &["first"], vec![]);
    let m = m.node("Concat", &["first", "minus", "four"], &["to"], vec![A::of_int("axis", 0)]);
    let imported = m.node("Reshape", &["x", "to"], &["y"], vec![]).output("y").import();
    assert_eq!(kinds(&imported.graph), ["reshape"]);
    assert_eq!(ty(&imported, "y"), "Float(batch,floor((3*h)/(2)),4)");
}

/// What the exporters of detection models write to bring a feature map to another's size.
#[test]
fn sizes_scaled_through_floats() {
    let m = model(13).input("x", F32, &["1", "8", "h", "w"]).ints("two", &[2]).ints("four", &[4]);
    let m = m.floats("factor", &[2], &[2.0, 2.0]);
    let m = m.node("Shape", &["x"], &["shape"], vec![]);
    let m = m.node("Slice", &["shape", "two", "four"], &["hw"], vec![]);
    let m = m.node("Slice", &["shape", "zero", "two"], &["nc"], vec![]).ints("zero", &[0]);
    let m = m.node("Cast", &["hw"], &["real"], vec![A::of_int("to", F32.onnx().into())]);
    let m = m.node("Mul", &["real", "factor"], &["scaled"], vec![]).node("Floor", &["scaled"], &["whole"], vec![]);
    let m = m.node("Cast", &["whole"], &["size"], vec![A::of_int("to", I64.onnx().into())]);
    let m = m.node("Concat", &["nc", "size"], &["sizes"], vec![A::of_int("axis", 0)]);
    let attributes =
        vec![A::of_string("coordinate_transformation_mode", "asymmetric"), A::of_string("nearest_mode", "floor")];
    let imported = m.node("Resize", &["x", "", "", "sizes"], &["y"], attributes).output("y").import();
    assert_eq!((kinds(&imported.graph).concat(), ty(&imported, "y")), ("repeat".into(), "Float(1,8,2*h,2*w)".into()));
}

/// `Where(shape == -1, 1, shape)`, which guards an Expand: a size is never −1.
#[test]
fn comparisons_of_sizes_are_decided() {
    let m = model(13).input("x", F32, &["n", "1"]).input("y", F32, &["n", "4"]).ints("minus", &[-1]).ints("one", &[1]);
    let m = m.node("Shape", &["y"], &["shape"], vec![]).node("Equal", &["shape", "minus"], &["is"], vec![]);
    let m = m.node("Where", &["is", "one", "shape"], &["to"], vec![]);
    let imported = m.node("Expand", &["x", "to"], &["z"], vec![]).output("z").import();
    assert_eq!((kinds(&imported.graph).concat(), ty(&imported, "z")), ("expand".into(), "Float(n,4)".into()));
}

#[test]
fn known_shapes_fold_to_constants() {
    let m = model(13).input("x", F32, &["2", "3"]).ints("k", &[10]).ints("axes", &[0]);
    let m = m.node("Shape", &["x"], &["s"], vec![]).node("Mul", &["s", "k"], &["scaled"], vec![]);
    let m = m.node("ReduceProd", &["scaled"], &["total"], vec![A::of_int("keepdims", 0)]);
    let m = m.node("Unsqueeze", &["total", "axes"], &["list"], vec![]);
    let m = m.node("Concat", &["scaled", "list"], &["y"], vec![A::of_int("axis", 0)]).output("y");
    let m = m.node("Size", &["x"], &["n"], vec![]).output("n");
    let imported = m.import();
    assert_eq!((constant(&imported, "y"), constant(&imported, "n")), (vec![20.0, 30.0, 600.0], vec![6.0]));
}

#[test]
fn constants_in_every_form() {
    let m = model(13).node("Constant", &[], &["a"], vec![A::of_floats("value_floats", &[0.5, 2.0])]);
    let m = m.node("Constant", &[], &["b"], vec![A::of_int("value_int", 7)]).node(
        "Constant",
        &[],
        &["c"],
        vec![A::of_ints("value_ints", &[1, 2])],
    );
    let m = m.node("Constant", &[], &["d"], vec![A::of_string("value_string", "text")]);
    let imported = ["a", "b", "c", "d"].iter().fold(m, |m, name| m.output(name)).import();
    assert_eq!(["a", "b", "c"].map(|o| ty(&imported, o)), ["Float(2)", "Int64()", "Int64(2)"]);
    assert_eq!((constant(&imported, "a"), constant(&imported, "c")), (vec![0.5, 2.0], vec![1.0, 2.0]));
    assert_eq!(kinds(&imported.graph), ["Constant"]);
}

#[test]
fn constants_of_any_size_take_no_memory() {
    let m = model(13).ints("huge", &[1 << 20, 1 << 20]).node("ConstantOfShape", &["huge"], &["y"], vec![]).output("y");
    let imported = m.import();
    assert_eq!(
        (kinds(&imported.graph).concat(), ty(&imported, "y")),
        ("expand".into(), "Float(1048576,1048576)".into())
    );
    let m = model(13).input("x", F32, &["n", "c"]).node("Shape", &["x"], &["s"], vec![]);
    let imported = m.node("ConstantOfShape", &["s"], &["y"], vec![]).output("y").import();
    assert_eq!(ty(&imported, "y"), "Float(n,c)");
}

#[test]
fn ranges_have_their_length() {
    let range = |start: i64, delta: i64| {
        let m = model(13).input("x", F32, &["n"]).tensor("from", I64, &[], start.to_le_bytes().into());
        let m = m.tensor("by", I64, &[], delta.to_le_bytes().into()).ints("zero", &[0]);
        let m = m.node("Shape", &["x"], &["s"], vec![]).node("Squeeze", &["s", "zero"], &["n"], vec![]);
        m.node("Range", &["from", "n", "by"], &["y"], vec![]).output("y")
    };
    assert_eq!(ty(&range(0, 1).import(), "y"), "Int64(n)");
    assert_eq!(ty(&range(1, 2).import(), "y"), "Int64(floor((n)/(2)))");
    assert!(range(0, 0).error().contains("its delta is 0"));
}

/// Bounds are clamped as ONNX says, and the formula says no more than it must.
#[test]
fn slices_of_symbolic_axes() {
    let slice = |start: i64, end: i64, step: i64| {
        let m = model(13)
            .input("x", F32, &["n"])
            .ints("a", &[start])
            .ints("b", &[end])
            .ints("axis", &[0])
            .ints("s", &[step]);
        ty(&m.node("Slice", &["x", "a", "b", "axis", "s"], &["y"], vec![]).output("y").import(), "y")
    };
    assert_eq!(slice(0, i64::MAX, 1), "Float(n)");
    assert_eq!(slice(1, i64::MAX, 1), "Float(n - 1)");
    assert_eq!(slice(0, -1, 1), "Float(n - 1)");
    assert_eq!(slice(0, i64::MAX, 2), "Float(floor((n + 1)/(2)))");
    assert_eq!(slice(-1, i64::MIN, -1), "Float(n)");
    assert_eq!(slice(0, 5, 1), "Float(min(n, 5))");
    assert_eq!(slice(3, 1, 1), "Float(max(0, -min(n, 3) + 1))");
}

#[test]
fn sizes_given_by_the_user() {
    let m = || model(13).input("x", F32, &["batch", "?", "4"]).node("Relu", &["x"], &["y"], vec![]).output("y");
    assert_eq!(ty(&m().import(), "y"), "Float(batch,x.1,4)");
    let bound = m().try_import_with(&Import::new().bind("batch", 8).bind("x.1", 3)).expect("import");
    assert_eq!(ty(&bound, "y"), "Float(8,3,4)");
    let error = m().try_import_with(&Import::new().bind("bach", 8)).expect_err("no such name").to_string();
    assert_eq!(error, "graph: no dimension is called \"bach\"; the inputs have \"batch\", \"x.1\"");
}

#[test]
fn inputs_given_as_constants() {
    let m = || {
        model(13)
            .input("x", F32, &["6"])
            .input("to", I64, &["2"])
            .node("Reshape", &["x", "to"], &["y"], vec![])
            .output("y")
    };
    assert_eq!(ty(&m().import(), "y"), "Float(y.0,y.1)");
    let to = Tensor::from_slice(&[2], &[2i64, -1]).expect("a tensor");
    let given = m().try_import_with(&Import::new().constant("to", to.clone())).expect("import");
    assert_eq!(ty(&given, "y"), "Float(2,3)");
    let error = m().try_import_with(&Import::new().constant("x", to.clone())).expect_err("another type").to_string();
    assert_eq!(error, "tensor \"x\": found i64 [2] given for it, expected Float(6)");
    assert!(m().try_import_with(&Import::new().constant("z", to)).is_err());
}

/// Two names for what must be one size: legal inputs make them equal, or one of them 1.
#[test]
fn a_broadcast_of_two_symbols_is_the_larger() {
    let m =
        model(13).input("a", F32, &["n"]).input("b", F32, &["m"]).node("Add", &["a", "b"], &["y"], vec![]).output("y");
    assert_eq!(ty(&m.import(), "y"), "Float(max(m, n))");
}

#[test]
fn what_depends_on_data_has_sizes_of_its_own() {
    let m = model(13).input("x", F32, &["n", "4"]).node("NonZero", &["x"], &["places"], vec![]).output("places");
    assert_eq!(ty(&m.import(), "places"), "Int64(2,places.1)");
    let m = model(13).input("x", F32, &["n", "4"]).input("k", I64, &["1"]);
    let m = m.node("TopK", &["x", "k"], &["values", "indices"], vec![]).output("indices");
    assert_eq!(ty(&m.import(), "indices"), "Int64(n,values.1)");
}

/// Each step doubles the formula; it is given up long before it hurts.
#[test]
fn formulas_do_not_grow_without_end() {
    let mut m = model(13).input("x", F32, &["a", "b"]).ints("minus", &[-1]).ints("two", &[2]);
    m = m.node("Shape", &["x"], &["s0"], vec![]);
    for i in 0..60 {
        let (s, t, u) = (format!("s{i}"), format!("t{i}"), format!("s{}", i + 1));
        m = m.node("Mul", &[&s, &s], &[&t], vec![]).node("Add", &[&t, &s], &[&format!("a{i}")], vec![]);
        m = m.node("Div", &[&format!("a{i}"), "two"], &[&u], vec![]);
    }
    let started = std::time::Instant::now();
    m.node("ConstantOfShape", &["s60"], &["y"], vec![]).output("y").import();
    assert!(started.elapsed().as_secs() < 5);
}
