//! Whole plans on a GPU against the reference. Where no device answers, the tests say so and pass.

#[path = "common/gpu.rs"]
mod gpu;

use gpu::device;
use pointweld::compiler::{Compiled, Compiler};
use pointweld::demo;
use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, NodeId};
use pointweld::reference::{self, run_graph};
use pointweld::runtime::{Buffer, Device, Engine, EngineError};
use pointweld::shape;
use pointweld::target::Arch;
use pointweld::tensor::Tensor;

/// A model compiled for an architecture. With `apart`, there is a kernel for each op of [`model`].
fn compiled(arch: Arch, model: &Graph, apart: bool) -> Compiled {
    let mut compiler = Compiler::new().arch(arch).cached(false).dependent_launch(true);
    if apart {
        compiler = compiler.keep_apart("add_2", "silu_3").keep_apart("silu_3", "quantize_6");
    }
    let compiled = compiler.compile(model).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(compiled.failures, [""; 0]);
    compiled
}

fn engine(device: &Device, model: &Graph, apart: bool) -> Engine {
    compiled(device.arch(), model, apart).load(device).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_model_is_one_kernel_or_one_for_each_op() {
    for arch in [Arch::SM_75, Arch::SM_90] {
        assert_eq!(compiled(arch, &model(), false).planned.plan.kernels().count(), 1);
        assert_eq!(compiled(arch, &model(), true).planned.plan.kernels().count(), 3);
    }
}

/// Checks each output of a model against the reference: integers within one code, floats within a few units in the last place.
fn agree(found: &Tensor, expected: &Tensor, name: &str) {
    assert_eq!((found.dtype(), found.sizes()), (expected.dtype(), expected.sizes()));
    for (i, (a, b)) in found.to_f64().into_iter().zip(expected.to_f64()).enumerate() {
        let bound = if found.dtype().is_float() { 1e-5 * (1.0 + b.abs()) } else { 1.0 };
        assert!((a - b).abs() <= bound || a == b || a.is_nan() && b.is_nan(), "{name}[{i}]: {a}, expected {b}");
    }
}

/// `silu(x + bias) * 0.5` in f32 and its INT8 codes, over a named batch.
fn model() -> Graph {
    let mut b = Builder::new("model");
    let x = b.input("x", DType::F32, shape!["batch", 12, 5]);
    let bias = b.constant(
        "bias",
        Tensor::from_f64(DType::F32, &[12, 1], &[0.5, -1.0, 2.0, 0.0, -3.0, 1.5, 0.1, 0.2, 0.3, 0.4, 9.0, -9.0])
            .unwrap(),
    );
    let sum = b.add(x, bias);
    let y = b.silu(sum);
    let codes = b.quantize(y, 0.05, 3, DType::I8);
    b.output("y", y);
    b.output("codes", codes);
    b.finish().unwrap()
}

fn input(batch: usize) -> Tensor {
    let values: Vec<f64> = (0..batch * 60).map(|i| (i as f64 * 0.37).sin() * 12.0).collect();
    Tensor::from_f64(DType::F32, &[batch, 12, 5], &values).unwrap()
}

#[test]
fn a_plan_runs_at_several_sizes_without_compiling_again() {
    let Some(device) = device() else { return };
    let model = model();
    for apart in [false, true] {
        let engine = engine(&device, &model, apart);
        for batch in [1usize, 7, 64, 0] {
            let session = engine.session(&Bindings::from([("batch".to_owned(), batch as u64)])).unwrap();
            assert_eq!(session.calls().count(), if apart { 3 } else { 1 });
            let inputs = [("x", input(batch))];
            let expected = run_graph(&model, &inputs, &reference::Options::default()).unwrap();
            for ((name, found), (_, expected)) in session.run(&inputs).unwrap().iter().zip(&expected) {
                agree(found, expected, name);
            }
            // A run leaves its inputs as they were: it can be repeated.
            for _ in 0..3 {
                session.launch().unwrap();
            }
            let y =
                session.buffer("y").unwrap().download_tensor(session.stream(), DType::F32, &[batch, 12, 5]).unwrap();
            agree(&y, &expected[0].1, "y");
        }
    }
}

#[test]
fn a_plan_runs_on_the_memory_of_its_caller() {
    let Some(device) = device() else { return };
    let engine = engine(&device, &model(), false);
    let batch = Bindings::from([("batch".to_owned(), 4)]);
    let (x, codes) = (device.alloc(4 * 60 * 4).unwrap(), device.alloc(4 * 60).unwrap());
    let session = engine.session_with(&batch, &[("x", x.clone()), ("codes", codes.clone())]).unwrap();
    assert_eq!(session.buffer("x").unwrap().pointer(), x.pointer());
    assert_eq!(session.buffer("codes").unwrap().pointer(), codes.pointer());
    let stream = device.stream().unwrap();
    x.upload_tensor(&stream, &input(4)).unwrap();
    session.launch_on(&stream).unwrap();
    let expected = run_graph(&model(), &[("x", input(4))], &reference::Options::default()).unwrap();
    agree(&codes.download_tensor(&stream, DType::I8, &[4, 12, 5]).unwrap(), &expected[1].1, "codes");

    // What does not fit is refused.
    let refused = |given: &[(&str, Buffer)]| engine.session_with(&batch, given).err().unwrap();
    assert!(matches!(refused(&[("x", codes.clone())]), EngineError::BufferSize { .. }));
    assert!(matches!(refused(&[("z", codes.clone())]), EngineError::UnknownName(_)));
    // An address that is not even one of an element; others are taken by another form of the kernel.
    let odd = device.alloc(961).unwrap().slice(1, 960).unwrap();
    assert!(matches!(refused(&[("x", odd)]), EngineError::Misaligned { .. }));
    let unbound = engine.session(&Bindings::new()).err().unwrap();
    assert!(matches!(unbound, EngineError::Dim(_) | EngineError::Storage(_)), "{unbound}");
    assert!(session.run(&[("x", input(5))]).is_err());
}

#[test]
fn memory_that_is_not_aligned_to_vectors_is_taken_as_it_is() {
    let Some(device) = device() else { return };
    for (name, graph) in [("vectors", model()), ("a table", table_model())] {
        let engine = engine(&device, &graph, false);
        let sizes = Bindings::from([("batch".to_owned(), 4)]);
        let expected = run_graph(&graph, &[("x", input_of(&graph, 4))], &reference::Options::default()).unwrap();
        let width = graph.ty(graph.inputs()[0].value()).dtype.unwrap().bytes().unwrap() as u64;
        for skew in [1, 2, 3] {
            let x = device.alloc(240 * width + 16).unwrap().slice(skew * width, 240 * width).unwrap();
            let codes = device.alloc(256).unwrap().slice(skew, 240).unwrap();
            let session = engine.session_with(&sizes, &[("x", x.clone()), ("codes", codes)]).unwrap();
            for ((_, found), (_, expected)) in session.run(&[("x", input_of(&graph, 4))]).unwrap().iter().zip(&expected)
            {
                agree(found, expected, &format!("{name}, {skew}"));
            }
            assert_eq!(session.buffer("x").unwrap().pointer(), x.pointer());
        }
    }
}

/// INT8 in and out, so that results are looked up.
fn table_model() -> Graph {
    let mut b = Builder::new("table");
    let x = b.input("x", DType::I8, shape!["batch", 12, 5]);
    let real = b.dequantize(x, 0.05, 0);
    let y = b.silu(real);
    let codes = b.quantize(y, 0.04, 0, DType::I8);
    b.output("codes", codes);
    b.finish().unwrap()
}

fn input_of(graph: &Graph, batch: usize) -> Tensor {
    let dtype = graph.ty(graph.inputs()[0].value()).dtype.unwrap();
    Tensor::from_f64(dtype, &[batch, 12, 5], &input(batch).to_f64()).unwrap()
}

/// More elements than 32-bit indices count: the engine has the kernel compiled with 64-bit ones.
#[test]
fn sizes_beyond_32_bits_are_run() {
    let Some(device) = device() else { return };
    let graph = table_model();
    let engine = engine(&device, &graph, false);
    let batch = (1u64 << 32) / 60 + 1;
    let session = engine.session(&Bindings::from([("batch".to_owned(), batch)])).unwrap();
    let (x, codes) = (session.buffer("x").unwrap(), session.buffer("codes").unwrap());
    x.zero(session.stream()).unwrap();
    // Batches beyond the first 2³² elements, and the first one.
    let sample = input_of(&graph, 1);
    let places = [0, batch / 2, batch - 1];
    for place in places {
        x.slice(place * 60, 60).unwrap().upload_tensor(session.stream(), &sample).unwrap();
    }
    session.launch().unwrap();
    let expected = run_graph(&graph, &[("x", sample)], &reference::Options::default()).unwrap();
    for place in places {
        let part = codes.slice(place * 60, 60).unwrap();
        agree(&part.download_tensor(session.stream(), DType::I8, &[1, 12, 5]).unwrap(), &expected[0].1, "codes");
    }
}

#[test]
fn threads_run_sessions_of_one_engine() {
    let Some(device) = device() else { return };
    let (engine, model) = (engine(&device, &model(), true), model());
    std::thread::scope(|scope| {
        for batch in 1..5usize {
            let (engine, model) = (&engine, &model);
            scope.spawn(move || {
                let session = engine.session(&Bindings::from([("batch".to_owned(), batch as u64)])).unwrap();
                let inputs = [("x", input(batch))];
                let expected = run_graph(model, &inputs, &reference::Options::default()).unwrap();
                for _ in 0..20 {
                    let found = session.run(&inputs).unwrap();
                    agree(&found[1].1, &expected[1].1, "codes");
                }
            });
        }
    });
}

#[test]
fn the_demo_runs_whole() {
    let Some(device) = device() else { return };
    let model = demo::c3_block().unwrap();
    let sizes = Bindings::from([("batch".to_owned(), 2)]);
    let session = engine(&device, &model, false).session(&sizes).unwrap();
    assert!(session.calls().count() > 0);
    let random = |id: &NodeId| {
        let (dtype, shape) = model.ty(id.value()).full().unwrap();
        let sizes = shape.eval(&sizes).unwrap();
        let values: Vec<f64> = (0..sizes.iter().product::<usize>()).map(|i| (i as f64 * 0.7).sin() * 3.0).collect();
        (model.value_name(id.value()).to_owned(), Tensor::from_f64(dtype, &sizes, &values).unwrap())
    };
    let inputs: Vec<(String, Tensor)> = model.inputs().iter().map(random).collect();
    let expected = run_graph(&model, &inputs, &reference::Options::default()).unwrap();
    for ((name, found), (_, expected)) in session.run(&inputs).unwrap().iter().zip(&expected) {
        // One INT8 code at the input of a convolution moves its results by more than rounding; few may move so.
        let far = found.to_f64().into_iter().zip(expected.to_f64());
        let far = far.filter(|(a, b)| (a - b).abs() > 1e-3 * (1.0 + b.abs())).count();
        assert!(far * 100 <= found.len(), "{name}: {far} of {} elements differ", found.len());
    }
}
