//! Routines: every family's kernels, executed from their PTX on awkward sizes and data, against the CPU reference and the stated bound; and
//! on the GPU, where one answers.

#[path = "common/gpu.rs"]
mod gpu;

use pointweld::anchor::{Anchor, Conv};
use pointweld::compile::{Output as Form, Request, Toolchain};
use pointweld::dim::Bindings;
use pointweld::dtype::DType::{self, *};
use pointweld::emit::{self, KernelSource};
use pointweld::fuse::{self, fuse};
use pointweld::graph::{Graph, Kind, Node, Output, Type, Value};
use pointweld::plan::Step;
use pointweld::prove::routine::{self, Machine};
use pointweld::prove::{Options, Proof};
use pointweld::reference;
use pointweld::runtime::Device;
use pointweld::scalar::{Number, Scalar};
use pointweld::shape;
use pointweld::structural::*;
use pointweld::target::Arch;
use pointweld::tensor::Tensor;
use std::sync::LazyLock;

static TOOLCHAIN: LazyLock<Toolchain> = LazyLock::new(|| Toolchain::load().expect("NVRTC is needed: make nvrtc"));

/// An operand of the node under test.
#[derive(Clone)]
enum Given {
    /// An input of that type and those sizes; the proof makes its data up.
    Input(DType, Vec<usize>),
    Constant(Tensor),
}

fn x(dtype: DType, sizes: &[usize]) -> Given {
    Given::Input(dtype, sizes.to_vec())
}

fn ints(values: &[i64]) -> Given {
    Given::Constant(Tensor::from_slice(&[values.len()], values).unwrap())
}

/// One node, its results' types taken from what the reference makes of zeros.
fn graph_of(kind: &Kind, outputs: usize, operands: &[Given], declared: &[Type]) -> Graph {
    let mut graph = Graph::new("one node");
    let mut values = Vec::new();
    for (i, operand) in operands.iter().enumerate() {
        let (kind, ty) = match operand {
            Given::Input(dtype, sizes) => (Kind::Input, Type::new(*dtype, sizes.as_slice().into())),
            Given::Constant(tensor) => (Kind::Constant(tensor.clone()), Type::new(tensor.dtype(), tensor.shape())),
        };
        values.push(graph.add(Node::new(kind, &format!("x{i}"), ty), &[]).value());
    }
    let ty = |port: usize| declared.get(port).cloned().unwrap_or_default();
    let mut node = Node::new(kind.clone(), "y0", ty(0));
    for port in 1..outputs {
        node.outputs.push(Output { name: format!("y{port}"), ty: ty(port) });
    }
    let id = graph.add(node, &values);
    for port in 0..outputs as u32 {
        graph.mark_output(&format!("y{port}"), Value { node: id, port });
    }
    graph
}

fn zeros(operand: &Given) -> Tensor {
    match operand {
        Given::Constant(tensor) => tensor.clone(),
        Given::Input(dtype, sizes) => {
            Tensor::from_numbers(*dtype, sizes, (0..sizes.iter().product()).map(|_: usize| Number::Int(0))).unwrap()
        }
    }
}

/// The GPU, if there is one.
static DEVICE: LazyLock<Option<Device>> = LazyLock::new(gpu::device);

/// Proves one node's routine on a machine; `edit` changes the PTX for the interpreter.
fn proof_on(
    machine: Machine,
    name: &str,
    kind: Kind,
    outputs: usize,
    operands: &[Given],
    edit: impl Fn(String) -> String,
) -> Proof {
    let untyped = graph_of(&kind, outputs, operands, &[]);
    let node = untyped.outputs()[0].1.node;
    let tensors: Vec<Tensor> = operands.iter().map(zeros).collect();
    let results = reference::run_node(untyped.node(node), &tensors, &reference::Options::default());
    let results = results.unwrap_or_else(|error| panic!("{name}: {error}"));
    let types: Vec<Type> = results.iter().map(|t| Type::new(t.dtype(), t.shape())).collect();
    let graph = graph_of(&kind, outputs, operands, &types);
    let plan = fuse(&graph, &fuse::Options::default()).unwrap();
    let Some(Step::Routine(found)) = plan.steps.iter().find(|step| !matches!(step, Step::Kernel(_))) else {
        panic!("{name} is no routine:\n{plan}");
    };
    let sources: Vec<KernelSource> = found
        .stages
        .iter()
        .map(|stage| emit::emit_stage(stage, &emit::Options::default()).unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect();
    let code = |source: &KernelSource| match machine {
        Machine::Interpreter => edit(ptx(name, source)).into_bytes(),
        Machine::Gpu(_, arch) => compile(name, source, arch, Form::Cubin),
    };
    let codes: Vec<Vec<u8>> = sources.iter().map(code).collect();
    let stages: Vec<routine::Compiled> =
        found.stages.iter().zip(&sources).zip(&codes).map(|((a, b), c)| (a, b, c.as_slice())).collect();
    let seed = name.bytes().map(u64::from).sum();
    routine::prove(&graph, found, &stages, machine, &Bindings::new(), &Options { samples: 0, seed })
}

fn proof(name: &str, kind: Kind, outputs: usize, operands: &[Given], edit: impl Fn(String) -> String) -> Proof {
    proof_on(Machine::Interpreter, name, kind, outputs, operands, edit)
}

/// Shape reads nothing of its operand: the symbols of the operand's sizes are the routine's nevertheless.
#[test]
fn the_sizes_of_an_operand_that_is_not_read_are_bound() {
    let mut graph = Graph::new("sizes");
    let input = Type::new(F32, shape!["batch", 3, "height"]);
    let x = graph.add(Node::new(Kind::Input, "x", input), &[]).value();
    let kind = Kind::Structural(Structural::Shape { start: 0, end: 3 });
    let y = graph.add(Node::new(kind, "y", Type::new(I64, shape![3])), &[x]).value();
    graph.mark_output("y", y);
    let plan = fuse(&graph, &fuse::Options::default()).unwrap();
    let found = plan.steps.iter().find_map(|step| match step {
        Step::Routine(routine) => Some(routine),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("Shape is no routine:\n{plan}"));
    let sources = found.stages.iter().map(|stage| emit::emit_stage(stage, &emit::Options::default()).unwrap());
    let sources: Vec<KernelSource> = sources.collect();
    let texts: Vec<String> = sources.iter().map(|source| ptx("sizes", source)).collect();
    let stages: Vec<routine::Compiled> =
        found.stages.iter().zip(&sources).zip(&texts).map(|((a, b), c)| (a, b, c.as_bytes())).collect();
    let options = Options { samples: 0, seed: 1 };
    let proof = routine::prove_at_some_size(&graph, found, &stages, Machine::Interpreter, &options);
    assert!(proof.holds() && proof.elements == 3, "{proof:#?}");
}

fn ptx(name: &str, source: &KernelSource) -> String {
    String::from_utf8(compile(name, source, Arch::SM_75, Form::Ptx)).unwrap()
}

fn compile(name: &str, source: &KernelSource, arch: Arch, output: Form) -> Vec<u8> {
    let request = Request { source: &source.text, kernel: &source.entry, arch, output, options: &[] };
    TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{name}: {e}\n{}", source.text)).bytes
}

fn check_kind(name: &str, kind: Kind, outputs: usize, operands: &[Given]) {
    let on_gpu = DEVICE.as_ref().map(|device| {
        let machine = Machine::Gpu(device, device.arch());
        proof_on(machine, name, kind.clone(), outputs, operands, |ptx| ptx)
    });
    let proof = proof(name, kind, outputs, operands, |ptx| ptx);
    assert!(proof.holds(), "{name}: {proof:#?}");
    if let Some(proof) = on_gpu {
        assert!(proof.holds(), "{name} on the GPU: {proof:#?}");
    }
}

fn check(name: &str, op: Structural, outputs: usize, operands: &[Given]) {
    check_kind(name, Kind::Structural(op), outputs, operands);
}

const FLOATS: [DType; 4] = [F32, F16, BF16, F64];
const NUMBERS: [DType; 8] = [F32, F16, BF16, F64, I64, I32, I8, U8];

#[test]
fn reductions_of_every_kind_and_type() {
    use Reduction::*;
    for op in [Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp] {
        for dtype in NUMBERS {
            if dtype == I64 && matches!(op, Mean | L2 | LogSum | LogSumExp) {
                continue;
            }
            let reduce = Structural::Reduce { op, axes: vec![1], keep_dims: true };
            check(&format!("{op:?} {dtype}"), reduce, 1, &[x(dtype, &[3, 37, 5])]);
        }
    }
}

#[test]
fn reductions_by_threads_warps_and_blocks() {
    let shapes: [(&[usize], &[usize]); 12] = [
        (&[5, 7], &[1]),
        (&[5, 7], &[0]),
        (&[4, 300], &[1]),
        (&[3, 2100], &[1]),
        (&[1, 20000], &[1]),
        (&[2, 3, 40, 40], &[2, 3]),
        (&[2, 3, 4, 5], &[0, 2]),
        (&[4, 3, 33], &[0, 2]),
        (&[6], &[]),
        (&[3, 0, 4], &[1]),
        (&[0, 9], &[1]),
        (&[1, 1, 1], &[0, 1, 2]),
    ];
    for (shape, axes) in shapes {
        for dtype in [F32, F16, I32] {
            for op in [Reduction::Sum, Reduction::Max, Reduction::LogSumExp] {
                let reduce = Structural::Reduce { op, axes: axes.to_vec(), keep_dims: false };
                check(&format!("{op:?} {dtype} of {shape:?} over {axes:?}"), reduce, 1, &[x(dtype, shape)]);
            }
        }
    }
    check("global mean", Structural::GlobalPool { max: false }, 1, &[x(F16, &[2, 5, 13, 11])]);
    check("global max", Structural::GlobalPool { max: true }, 1, &[x(F32, &[2, 5, 13, 11])]);
}

#[test]
fn extremes_by_index() {
    for dtype in NUMBERS {
        for (max, select_last) in [(true, false), (true, true), (false, false), (false, true)] {
            for (shape, axis) in [(vec![4, 70], 1), (vec![70, 3], 0), (vec![2, 1100], 1), (vec![5, 1], 1)] {
                let op = Structural::ArgExtremum { max, axis, keep_dims: false, select_last };
                check(&format!("arg {max} {select_last} {dtype} {shape:?}"), op, 1, &[x(dtype, &shape)]);
            }
        }
    }
}

#[test]
fn softmax_and_its_kin() {
    for dtype in FLOATS {
        for (shape, axis) in [(vec![3, 5, 7], 1), (vec![4, 300], 1), (vec![2, 1500], 1), (vec![6, 1], 1)] {
            for log in [false, true] {
                let op = Structural::Softmax { axis, log };
                check(&format!("softmax {log} {dtype} {shape:?}"), op, 1, &[x(dtype, &shape)]);
            }
            check(&format!("hardmax {dtype} {shape:?}"), Structural::Hardmax { axis }, 1, &[x(dtype, &shape)]);
            for p in [1, 2] {
                check(&format!("l{p} {dtype} {shape:?}"), Structural::LpNorm { axis, p }, 1, &[x(dtype, &shape)]);
            }
        }
    }
}

#[test]
fn normalisations() {
    for dtype in FLOATS {
        for shape in [vec![3, 4, 20], vec![2, 5, 300], vec![2, 1, 1030]] {
            let [_, c, n] = shape[..] else { unreachable!() };
            for outputs in [1, 2, 3] {
                let op = Structural::LayerNorm { axis: 2, epsilon: 1e-5, bias: true };
                let operands = [x(dtype, &shape), x(dtype, &[n]), x(dtype, &[n])];
                check(&format!("layer norm {dtype} {shape:?} {outputs}"), op, outputs, &operands);
            }
            let op = Structural::LayerNorm { axis: 1, epsilon: 1e-3, bias: false };
            check(&format!("layer norm of two {dtype} {shape:?}"), op, 1, &[x(dtype, &shape), x(dtype, &[c, n])]);
            let op = Structural::RmsNorm { axis: 2, epsilon: 1e-5 };
            check(&format!("rms norm {dtype} {shape:?}"), op, 1, &[x(dtype, &shape), x(dtype, &[n])]);
            let operands = [x(dtype, &shape), x(dtype, &[c]), x(dtype, &[c])];
            check(
                &format!("instance norm {dtype} {shape:?}"),
                Structural::InstanceNorm { epsilon: 1e-5 },
                1,
                &operands,
            );
        }
        let operands = [x(dtype, &[2, 6, 5, 3]), x(dtype, &[6]), x(dtype, &[6])];
        check(&format!("group norm {dtype}"), Structural::GroupNorm { groups: 3, epsilon: 1e-5 }, 1, &operands);
        let op = Structural::LocalResponseNorm { size: 3, alpha: 1e-2, beta: 0.75, bias: 1.0 };
        check(&format!("local response {dtype}"), op, 1, &[x(dtype, &[2, 7, 5])]);
    }
}

fn pool(kernel: &[usize], strides: &[usize], pads: &[(usize, usize)], dilation: usize, ceil_mode: bool) -> Pool {
    let (kernel, strides, pads) = (kernel.to_vec(), strides.to_vec(), pads.to_vec());
    Pool { dilations: vec![dilation; kernel.len()], kernel, strides, pads, ceil_mode, channels_last: false }
}

#[test]
fn pools_of_every_padding() {
    let pools = [
        (vec![2, 3, 9], pool(&[3], &[2], &[(1, 1)], 1, false)),
        (vec![2, 3, 9, 8], pool(&[3, 3], &[2, 2], &[(1, 1), (0, 1)], 1, false)),
        (vec![1, 2, 9, 8], pool(&[5, 5], &[1, 1], &[(2, 2), (2, 2)], 1, false)),
        (vec![1, 2, 10, 9], pool(&[2, 2], &[3, 3], &[(0, 0), (1, 0)], 2, true)),
        (vec![1, 2, 5, 6, 7], pool(&[2, 3, 2], &[2, 1, 2], &[(0, 0), (1, 1), (0, 1)], 1, true)),
    ];
    for (shape, pool) in pools {
        for dtype in [F32, F16, F64] {
            let name = format!("{dtype} {shape:?}");
            for outputs in [1, 2] {
                check(
                    &format!("max {name} {outputs}"),
                    Structural::MaxPool(pool.clone()),
                    outputs,
                    &[x(dtype, &shape)],
                );
            }
            for count_include_pad in [false, true] {
                let op = Structural::AveragePool { pool: pool.clone(), count_include_pad };
                check(&format!("average {name} {count_include_pad}"), op, 1, &[x(dtype, &shape)]);
            }
            let last = [&shape[..1], &shape[2..], &shape[1..2]].concat();
            let pool_last = Pool { channels_last: true, ..pool.clone() };
            check(&format!("last {name}"), Structural::MaxPool(pool_last.clone()), 2, &[x(dtype, &last)]);
            let op = Structural::AveragePool { pool: pool_last, count_include_pad: false };
            check(&format!("average last {name}"), op, 1, &[x(dtype, &last)]);
            for p in [1, 2, 3] {
                check(&format!("l{p} {name}"), Structural::LpPool { pool: pool.clone(), p }, 1, &[x(dtype, &shape)]);
            }
        }
        check(&format!("max i8 {shape:?}"), Structural::MaxPool(pool), 1, &[x(I8, &shape)]);
    }
}

fn conv(kernel: &[usize], strides: usize, pads: &[(usize, usize)], dilation: usize, groups: usize, bias: bool) -> Conv {
    let n = kernel.len();
    Conv {
        kernel: kernel.to_vec(),
        strides: vec![strides; n],
        dilations: vec![dilation; n],
        pads: pads.to_vec(),
        groups,
        bias,
    }
}

#[test]
fn convolutions_by_definition() {
    let convs = [
        (vec![2, 4, 9], vec![6, 4, 3], conv(&[3], 2, &[(1, 1)], 1, 1, true)),
        (vec![1, 3, 9, 8], vec![5, 3, 3, 3], conv(&[3, 3], 1, &[(1, 1), (1, 1)], 1, 1, true)),
        (vec![3, 4, 9, 8], vec![6, 2, 3, 2], conv(&[3, 2], 2, &[(0, 2), (1, 0)], 2, 2, false)),
        (vec![2, 5, 6, 7], vec![5, 1, 3, 3], conv(&[3, 3], 1, &[(1, 1), (1, 1)], 1, 5, true)),
        (vec![1, 2, 4, 5, 6], vec![3, 2, 2, 1, 3], conv(&[2, 1, 3], 1, &[(0, 0), (0, 0), (1, 1)], 1, 1, false)),
    ];
    for (shape, weights, conv) in convs {
        for dtype in FLOATS {
            let mut operands = vec![x(dtype, &shape), x(dtype, &weights)];
            operands.extend(conv.bias.then(|| x(dtype, &weights[..1])));
            check_kind(&format!("conv {dtype} {shape:?}"), Kind::Anchor(Anchor::Conv(conv.clone())), 1, &operands);
        }
        let last = |sizes: &[usize]| [&sizes[..1], &sizes[2..], &sizes[1..2]].concat();
        for (a, b, pad) in [(F32, F32, 0), (F16, F16, 0), (U8, I8, 0), (U8, I8, 117), (I8, U8, -5)] {
            let floats = a.is_float();
            let conv = Conv { bias: floats && conv.bias, ..conv.clone() };
            let mut operands = vec![x(a, &last(&shape)), x(b, &last(&weights))];
            operands.extend(conv.bias.then(|| x(a, &weights[..1])));
            let anchor = Anchor::ConvLast { conv, pad };
            check_kind(&format!("conv last {a} {b} {pad} {shape:?}"), Kind::Anchor(anchor), 1, &operands);
        }
        for (a, b, zeros) in [(U8, I8, vec![1]), (I8, I8, vec![weights[0]]), (U8, U8, vec![1])] {
            let operands = [x(a, &shape), x(b, &weights), x(a, &[]), x(b, &zeros)];
            let conv = Conv { bias: false, ..conv.clone() };
            check(&format!("conv {a} {b} {shape:?}"), Structural::ConvInteger(conv), 1, &operands);
        }
    }
}

#[test]
fn transposed_convolutions_by_definition() {
    let convs = [
        (vec![2, 4, 9], vec![4, 3, 3], conv(&[3], 2, &[(1, 1)], 1, 1, true), vec![1]),
        (vec![1, 4, 5, 4], vec![4, 3, 2, 2], conv(&[2, 2], 2, &[(0, 0), (0, 0)], 1, 1, true), vec![0, 0]),
        (vec![2, 4, 5, 4], vec![4, 3, 3, 2], conv(&[3, 2], 3, &[(1, 0), (0, 1)], 2, 2, false), vec![2, 0]),
    ];
    for (shape, weights, conv, output_padding) in convs {
        for dtype in [F32, F16] {
            let mut operands = vec![x(dtype, &shape), x(dtype, &weights)];
            operands.extend(conv.bias.then(|| x(dtype, &[weights[1] * conv.groups])));
            let anchor = Anchor::ConvTranspose { conv: conv.clone(), output_padding: output_padding.clone() };
            check_kind(&format!("transposed {dtype} {shape:?}"), Kind::Anchor(anchor), 1, &operands);
        }
    }
}

#[test]
fn products_of_every_shape() {
    /// Sizes of a and b, whether each is transposed, and sizes of c.
    type Case = (&'static [usize], &'static [usize], bool, bool, Option<&'static [usize]>);
    let products: [Case; 9] = [
        (&[5, 7], &[7, 3], false, false, None),
        (&[70, 33], &[33, 65], false, false, Some(&[65])),
        (&[33, 70], &[65, 33], true, true, Some(&[70, 1])),
        (&[1, 17], &[17, 130], false, false, Some(&[1, 130])),
        (&[2, 3, 5, 7], &[7, 4], false, false, None),
        (&[2, 1, 5, 7], &[3, 7, 4], false, false, None),
        (&[9], &[9, 4], false, false, None),
        (&[3, 4, 9], &[9], false, false, None),
        (&[4, 0], &[0, 5], false, false, Some(&[5])),
    ];
    for (a, b, transpose_a, transpose_b, c) in products {
        for dtype in FLOATS {
            let mut operands = vec![x(dtype, a), x(dtype, b)];
            operands.extend(c.map(|c| x(dtype, c)));
            let gemm = Anchor::Gemm { transpose_a, transpose_b, bias: c.is_some() };
            check_kind(&format!("gemm {dtype} {a:?} {b:?}"), Kind::Anchor(gemm), 1, &operands);
        }
    }
    for (a, b) in [(U8, I8), (I8, I8), (U8, U8)] {
        for (rows, columns) in [(vec![], vec![]), (vec![6], vec![9])] {
            let operands = [x(a, &[6, 41]), x(b, &[41, 9]), x(a, &rows), x(b, &columns)];
            check(&format!("integer product {a} {b} {rows:?}"), Structural::MatMulInteger, 1, &operands);
        }
        let gemm = Anchor::Gemm { transpose_a: false, transpose_b: true, bias: false };
        check_kind(&format!("product {a} {b}"), Kind::Anchor(gemm), 1, &[x(a, &[6, 41]), x(b, &[9, 41])]);
    }
}

#[test]
fn scans_and_selections() {
    for dtype in NUMBERS {
        for (product, exclusive, reverse) in
            [(false, false, false), (false, true, true), (true, false, true), (true, true, false)]
        {
            for (shape, axis) in [(vec![3, 70], 1), (vec![70, 3], -2), (vec![2, 1], 1), (vec![2, 0], 1)] {
                let op = Structural::Cumulative { product, exclusive, reverse };
                let name = format!("scan {product} {exclusive} {reverse} {dtype} {shape:?}");
                check(&name, op, 1, &[x(dtype, &shape), ints(&[axis])]);
            }
        }
        for largest in [true, false] {
            for (shape, axis, k) in
                [(vec![3, 70], 1, 5), (vec![70, 3], 0, 70), (vec![2, 600], 1, 3), (vec![2, 4], 1, 0)]
            {
                let op = Structural::TopK { axis, largest, sorted: true };
                check(&format!("top {k} {largest} {dtype} {shape:?}"), op, 2, &[x(dtype, &shape), ints(&[k])]);
            }
        }
    }
}

#[test]
fn elements_moved_by_index() {
    for dtype in [F32, F16, I64, U8, Bool, F8E4M3FN] {
        let x3 = || x(dtype, &[4, 5, 6]);
        let name = |what: &str| format!("{what} {dtype}");
        for axis in 0..3 {
            check(&name("gather"), Structural::Gather { axis }, 1, &[x3(), x(I64, &[2, 3])]);
            check(&name("gather one"), Structural::Gather { axis }, 1, &[x3(), x(I32, &[])]);
            check(&name("gather elements"), Structural::GatherElements { axis }, 1, &[x3(), x(I64, &[4, 5, 6])]);
        }
        check(&name("gather of nothing"), Structural::Gather { axis: 0 }, 1, &[x3(), x(I64, &[0])]);
        for (batch_dims, indices) in [(0, vec![3, 2]), (1, vec![4, 2, 1]), (1, vec![4, 2]), (0, vec![2, 2, 3])] {
            check(&name("gather nd"), Structural::GatherNd { batch_dims }, 1, &[x3(), x(I64, &indices)]);
        }
        check(&name("reverse"), Structural::ReverseSequence { batch_axis: 0, time_axis: 1 }, 1, &[x3(), x(I64, &[4])]);
        check(
            &name("reverse by time"),
            Structural::ReverseSequence { batch_axis: 1, time_axis: 0 },
            1,
            &[x3(), x(I64, &[5])],
        );
        for upper in [true, false] {
            check(&name("trilu"), Structural::Trilu { upper }, 1, &[x3()]);
            check(&name("trilu by k"), Structural::Trilu { upper }, 1, &[x3(), ints(&[-2])]);
        }
        for axis in [0, 1, 2] {
            let operands = [x(I64, &[3, 4]), ints(&[5]), x(dtype, &[2])];
            check(&name("one hot"), Structural::OneHot { axis }, 1, &operands);
        }
    }
    check("bits", Structural::BitCast { to: I32 }, 1, &[x(F32, &[3, 5])]);
    check("shape", Structural::Shape { start: 1, end: 3 }, 1, &[x(F32, &[3, 5, 7])]);
    check("size", Structural::Size, 1, &[x(F32, &[3, 5, 7])]);
    let value = Scalar::new(F16, Number::Float(-1.5));
    check("fill", Structural::ConstantOfShape { value }, 1, &[ints(&[3, 5])]);
}

#[test]
fn updates_put_by_index() {
    use ScatterReduction::*;
    for dtype in [F32, F16, I32, I8] {
        for reduction in [None, Add, Mul, Max, Min] {
            for axis in [0, 1] {
                let operands = [x(dtype, &[4, 5]), x(I64, &[3, 5]), x(dtype, &[3, 5])];
                let name = format!("scatter {dtype} {reduction:?} {axis}");
                check(&name, Structural::ScatterElements { axis, reduction }, 1, &operands);
            }
            let operands = [x(dtype, &[4, 5, 2]), x(I64, &[7, 2]), x(dtype, &[7, 2])];
            check(&format!("scatter nd {dtype} {reduction:?}"), Structural::ScatterNd { reduction }, 1, &operands);
        }
    }
}

#[test]
fn paddings_of_every_mode() {
    for dtype in [F32, F16, I64, Bool] {
        for mode in [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
            for pads in [vec![(0, 0), (2, 1), (0, 3)], vec![(0, 0), (-1, 2), (1, -2)], vec![(1, 0), (4, 4), (5, 5)]] {
                let op = Structural::Pad { mode, pads: pads.clone() };
                check(&format!("pad {mode:?} {dtype} {pads:?}"), op, 1, &[x(dtype, &[2, 3, 4])]);
            }
        }
        let op = Structural::Pad { mode: PadMode::Constant, pads: vec![(1, 1), (0, 2)] };
        check(&format!("pad with {dtype}"), op, 1, &[x(dtype, &[3, 4]), x(dtype, &[])]);
    }
}

#[test]
fn channels_put_last_and_padded() {
    for dtype in [F32, F16, BF16, F64, U8, I8, I64] {
        for (channels, sizes) in
            [(4, vec![2, 3, 5, 7]), (4, vec![3, 4, 9]), (6, vec![1, 2, 3, 3]), (16, vec![2, 13, 4])]
        {
            let op = Structural::ChannelsLast { channels };
            check(&format!("channels last {channels} {dtype} {sizes:?}"), op, 1, &[x(dtype, &sizes)]);
        }
    }
}

#[test]
fn resizes_of_every_mode() {
    use Coordinates::*;
    let modes = [
        ResizeMode::Nearest(NearestMode::RoundPreferFloor),
        ResizeMode::Nearest(NearestMode::RoundPreferCeil),
        ResizeMode::Nearest(NearestMode::Floor),
        ResizeMode::Nearest(NearestMode::Ceil),
        ResizeMode::Linear,
        ResizeMode::Cubic { a: -0.75 },
    ];
    for mode in modes {
        for coordinates in [HalfPixel, HalfPixelSymmetric, PytorchHalfPixel, AlignCorners, Asymmetric, TfCropAndResize]
        {
            for (scales, antialias, exclude_outside) in [
                (vec![1.0, 1.0, 1.7, 2.0], false, false),
                (vec![1.0, 1.0, 0.6, 0.5], false, true),
                (vec![1.0, 1.0, 0.4, 1.3], true, false),
            ] {
                let sampled = matches!(mode, ResizeMode::Nearest(_));
                let roi = (coordinates == TfCropAndResize).then(|| vec![0.0, 0.0, 0.2, -0.3, 1.0, 1.0, 0.9, 1.1]);
                let resize = Resize {
                    mode,
                    coordinates,
                    scales: Some(scales.clone()),
                    roi,
                    antialias: antialias && !sampled,
                    exclude_outside: exclude_outside && !sampled,
                    extrapolation: 7.5,
                };
                let name = format!("resize {mode:?} {coordinates:?} {scales:?}");
                check(&name, Structural::Resize(resize.clone()), 1, &[x(F32, &[1, 2, 9, 7])]);
                if coordinates == HalfPixel {
                    check(&name, Structural::Resize(resize), 1, &[x(F16, &[1, 2, 9, 7])]);
                }
            }
        }
    }
}

#[test]
fn dynamic_quantization_is_exact() {
    for shape in [vec![1], vec![3, 70], vec![2, 3, 40, 41]] {
        check(&format!("dynamic {shape:?}"), Structural::DynamicQuantize, 3, &[x(F32, &shape)]);
    }
}

#[test]
fn what_has_no_kernel_says_why() {
    let why = |kind: Kind, operands: &[Given], ty: Type| {
        let plan = fuse(&graph_of(&kind, 1, operands, &[ty]), &fuse::Options::default()).unwrap();
        match &plan.steps[..] {
            [Step::Node { why, .. }] => why.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let f32s = |sizes: &[usize]| Type::new(F32, sizes.into());
    let det = why(Kind::Structural(Structural::Det), &[x(F32, &[3, 3])], f32s(&[]));
    assert_eq!(det, "no generated kernel: Det has none");
    let nonzero = why(Kind::Structural(Structural::NonZero), &[x(F32, &[3])], Type::default());
    assert_eq!(nonzero, "it depends on the contents of x0");
    let topk = Structural::TopK { axis: 0, largest: true, sorted: true };
    let topk = why(Kind::Structural(topk), &[x(F32, &[3]), x(I64, &[1])], f32s(&[2]));
    assert_eq!(topk, "it depends on the contents of x1");
    let softmax = Kind::Structural(Structural::Softmax { axis: 0, log: false });
    assert_eq!(why(softmax.clone(), &[x(F32, &[3])], Type::default()), "the type or shape of y0 is not known");
    let codes = why(softmax, &[x(I8, &[3])], Type::new(I8, [3].as_slice().into()));
    assert_eq!(codes, "no generated kernel computes it on i8, as x0 is");
}

#[test]
fn faults_are_found_out() {
    let softmax = || Kind::Structural(Structural::Softmax { axis: 1, log: false });
    let operands = [x(F32, &[4, 300])];
    assert!(proof("sound", softmax(), 1, &operands, |ptx| ptx).holds());
    type Fault = fn(String) -> String;
    let faults: [(&str, Fault); 3] = [
        ("a lane less in each sum", |ptx| {
            ptx.replacen("setp.ge.u32", "setp.gt.u32", 2).replacen(", 31, -1;", ", 30, -1;", 4)
        }),
        ("a sum for a difference", |ptx| ptx.replacen("sub.f32", "add.f32", 1).replacen("sub.rn.f32", "add.rn.f32", 1)),
        ("a quarter of the lane", |ptx| ptx.replace("shfl.sync.bfly.b32", "shfl.sync.down.b32")),
    ];
    for (what, fault) in faults {
        let proof = proof(what, softmax(), 1, &operands, fault);
        assert!(!proof.holds(), "{what} went unseen: {proof:#?}");
    }
}
