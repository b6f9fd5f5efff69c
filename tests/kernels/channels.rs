//! Functions of an 8-bit code and its channel, looked up.

use crate::build::{self, Body, Strides, along, dense, kernel};
use crate::prove::{ROUNDED, Within, check};
use pointweld::compiler::Compiler;
use pointweld::dim::{Bindings, Dim};
use pointweld::dtype::DType::{self, *};
use pointweld::graph::{Builder, Kind, Node, Type, Value};
use pointweld::op::{self, Op};
use pointweld::plan::{Arg, BufferId, Kernel, Pick, Store, Table};
use pointweld::report;
use pointweld::scalar::{Number, Scalar};
use pointweld::schedule::{self, Options};
use pointweld::shape;
use pointweld::target::{Arch, Target};
use pointweld::tensor::Tensor;

/// `quantize(silu(dequantize(x, scale, zero) + bias), 0.04)`, scale, zero point and bias by channel, stored as `to`; a float as it is.
pub fn silu(domain: &[i64], axis: usize, from: DType, to: DType) -> Kernel {
    function(domain, axis, from, to, &[&op::SILU])
}

fn function(domain: &[i64], axis: usize, from: DType, to: DType, ops: &[&'static op::Row]) -> Kernel {
    let channel: Strides = match axis {
        0 => |d| along(d, 0),
        1 => |d| along(d, 1),
        _ => |d| along(d, 2),
    };
    let body = |b: &mut Body| {
        let x = b.op(Op::to(&op::DEQUANTIZE, F32), &[b.load(0), b.load(1), b.load(2)]);
        let mut x = b.op(Op::new(&op::ADD), &[x, b.load(3)]);
        for row in ops {
            x = b.op(Op::new(row), &[x]);
        }
        if to.is_float() { b.cast(x, to) } else { b.quantize(x, to, 0.04, if to == U8 { 117 } else { -3 }) }
    };
    let mut kernel = kernel(domain, &[(from, dense), (F32, channel), (from, channel), (F32, channel)], to, body);
    let count = domain[axis] as usize;
    kernel.loads[1].known = build::known(F32, count, |c| 0.02 + 0.003 * c as f64);
    kernel.loads[2].known = build::known(from, count, |c| if from == U8 { 100.0 } else { -20.0 } + (c % 40) as f64);
    kernel.loads[3].known = build::known(F32, count, |c| 0.37 * (c % 7) as f64 - 1.0);
    kernel
}

/// The kernel with the look-up, whether or not it is chosen; `None` if it is no candidate.
fn looked_up(mut kernel: Kernel) -> Option<Kernel> {
    let (target, options) = (Target::of(Arch::SM_90), Options::default());
    let by_channel = |pick: &Pick| matches!(pick.table, Some(Table::Channels8 { .. }));
    let pick = schedule::candidates(&kernel, &target, &options).into_iter().find(by_channel)?;
    kernel.schedule = schedule::with(&kernel, pick, &target, &options);
    Some(kernel)
}

fn is_chosen(kernel: &Kernel) -> bool {
    let schedule = schedule::choose(kernel, &Target::of(Arch::SM_90), &Options::default());
    matches!(schedule.table, Some(Table::Channels8 { .. }))
}

const SHAPES: [(&str, &[i64], usize); 8] = [
    ("rows that fill no block", &[3, 5, 36], 1),
    ("rows of several blocks", &[2, 3, 8196], 1),
    ("one image", &[7, 1600], 0),
    ("innermost, whole windows", &[1031, 64], 1),
    ("innermost, part of a window", &[517, 48], 1),
    ("innermost, narrow vectors", &[133, 20], 1),
    ("innermost, fewer than a window", &[67, 4], 1),
    ("innermost, three axes", &[5, 7, 96], 2),
];

#[test]
fn codes_and_floats_are_exact_in_every_layout() {
    for (name, domain, axis) in SHAPES {
        for (from, to) in [(I8, I8), (U8, I8), (I8, U8), (I8, F16), (U8, F32)] {
            let kernel = looked_up(silu(domain, axis, from, to)).unwrap_or_else(|| panic!("{name} can't be looked up"));
            // A table holds the exact value rounded once.
            check(&format!("{name}, {from} to {to}"), &kernel, Within { ulp: 0.5, absolute: 0.0 });
        }
    }
}

#[test]
fn two_results_lie_in_one_table() {
    for (domain, axis) in [(&[2i64, 6, 164][..], 1), (&[211, 40], 1)] {
        let mut made = silu(domain, axis, U8, I8);
        let access = made.stores[0].access.clone();
        let value = Arg::Stmt(made.body.len() as u32 - 2);
        made.stores.push(Store { buffer: BufferId(9), dtype: F16, access, value });
        let kernel = looked_up(made).expect("a look-up of 3 bytes a code");
        check(&format!("codes and halves of {domain:?}"), &kernel, Within { ulp: 0.5, absolute: 0.0 });
    }
}

/// A NaN, an infinite and a zero scale are what the reference says they are.
#[test]
fn constants_may_be_anything() {
    for (domain, axis) in [(&[1i64, 6, 64][..], 1), (&[65, 16], 1)] {
        let mut made = silu(domain, axis, I8, I8);
        for (element, x) in made.loads[1].known.iter_mut().zip([f64::NAN, f64::INFINITY, 0.0, -0.0, 1e-40, -2.0]) {
            *element = Scalar::new(F32, Number::Float(x));
        }
        check(&format!("odd scales {domain:?}"), &looked_up(made).expect("a look-up"), ROUNDED);
    }
}

/// What is long is looked up where the tensor is large, what is short or small is computed; what has rows that begin anywhere can't be
/// looked up, nor what has too many channels or operands that are not known.
#[test]
fn the_schedule_looks_up_what_takes_long() {
    let long = [&op::SILU, &op::TANH, &op::MISH, &op::GELU];
    for (domain, axis) in [(&[32i64, 128, 6400][..], 1), (&[32 * 6400, 128], 1)] {
        assert!(is_chosen(&function(domain, axis, I8, I8, &long)), "{domain:?}");
        assert!(is_chosen(&silu(domain, axis, I8, I8)), "{domain:?}");
    }
    assert!(!is_chosen(&function(&[32, 128, 6400], 1, I8, F32, &[&op::RELU])));
    assert!(!is_chosen(&function(&[64, 128], 1, I8, I8, &long)), "a table larger than the tensor");
    assert!(looked_up(silu(&[32, 128, 49], 1, I8, I8)).is_none());
    assert!(looked_up(silu(&[64, 4098 * 16], 1, I8, I8)).is_none());
    let mut unknown = silu(&[32, 128, 6400], 1, I8, I8);
    unknown.loads[3].known.clear();
    assert!(looked_up(unknown).is_none());
}

/// From a graph: the kernel has taken in its constants, and the explanation says so.
#[test]
fn a_graph_with_scales_a_channel_is_looked_up() {
    let mut b = Builder::new("channels");
    let shape = shape![8, 64, 80, 80];
    let x = b.input("x", I8, shape.clone());
    let by_channel = |i: usize| 0.01 + 0.001 * i as f32;
    let constant = |b: &mut Builder, name: &str, sizes: &[usize], values: Vec<f32>| {
        b.constant(name, Tensor::from_vec(sizes, values).unwrap())
    };
    let scale = constant(&mut b, "scale", &[1, 64, 1, 1], (0..64).map(by_channel).collect());
    let bias = constant(&mut b, "bias", &[64, 1, 1], (0..64).map(|i| by_channel(i) - 0.03).collect());
    let step = constant(&mut b, "step", &[], vec![0.05]);
    let zero = b.constant("zero", Tensor::from_vec(&[], vec![0i8]).unwrap());
    let point = |b: &mut Builder, name: &str, op: Op, dtype: DType, operands: &[Value]| {
        let node = Node::new(Kind::Pointwise(op), name, Type::new(dtype, shape.clone())).with_origin(name, name);
        b.node(node, operands).value()
    };
    let value = point(&mut b, "dq", Op::to(&op::DEQUANTIZE, F32), F32, &[x, scale, zero]);
    let sum = point(&mut b, "add", Op::new(&op::ADD), F32, &[value, bias]);
    let silu = point(&mut b, "silu", Op::new(&op::SILU), F32, &[sum]);
    let mish = point(&mut b, "mish", Op::new(&op::MISH), F32, &[silu]);
    let y = point(&mut b, "q", Op::to(&op::QUANTIZE, I8), I8, &[mish, step, zero]);
    b.output("y", y);
    let graph = b.finish().unwrap();
    let compiler = Compiler::new();
    let planned = compiler.plan(&graph).unwrap();
    let [kernel] = &planned.plan.kernels().collect::<Vec<_>>()[..] else { panic!("one kernel") };
    assert!(matches!(kernel.schedule.table, Some(Table::Channels8 { .. })), "{:?}", kernel.schedule);
    let told = report::explain(&graph, &planned.graph, &planned.plan, &planned.passes, &Bindings::new()).to_string();
    assert!(told.contains("256 codes looked up in each of 64 channels"), "{told}");
    // One image is enough for the interpreter.
    let mut small = (*kernel).clone();
    small.domain[0] = Dim::ONE;
    check("of a graph", &looked_up(small).expect("a look-up"), ROUNDED);
}
