//! Packed 16-bit arithmetic: that it gives the very bits that f32 arithmetic gives, rounded where it is stored.

use crate::build::{Body, along, dense, kernel, uniform};
use crate::machines;
use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::emit;
use pointweld::minifloat;
use pointweld::op::{self, Op};
use pointweld::plan::{Arg, Compute, Kernel};
use pointweld::prove::Trial;
use pointweld::scalar::{Number, Scalar};
use pointweld::schedule;
use pointweld::target::{Arch, Target};

/// The second operands: both zeros, powers, thirds, ends, denormals, infinities and NaN.
const OTHERS: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.333,
    -3.1,
    1025.0,
    -65504.0,
    3.4e38,
    6e-8,
    7e-6,
    -6.2e-5,
    1e-38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// The bits that each machine stores where the first operand takes all its codes and the second those of [`OTHERS`].
fn stored(name: &str, kernel: &Kernel, dtype: DType, arch: Arch) -> Vec<(String, Vec<u16>)> {
    let source = emit::emit(kernel, &emit::Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let sizes = Bindings::new();
    let mut trial = Trial::new(kernel, &source, &sizes, None).unwrap();
    for (i, region) in trial.loads.iter_mut().enumerate() {
        let bits = |at: usize| match i {
            0 => at as u16,
            _ => Scalar::new(dtype, Number::Float(OTHERS[at % OTHERS.len()])).bits() as u16,
        };
        region.contents = (0..region.count).flat_map(|at| bits(at).to_le_bytes()).collect();
    }
    let mut all = Vec::new();
    machines::on_each(&source, arch, None, |machine, it| {
        let outcome = it.run(&trial).unwrap_or_else(|error| panic!("{name} on {machine}: {error}\n{}", source.text));
        let bytes = &outcome.stores[0].bytes;
        all.push((machine.to_string(), bytes.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()));
    });
    all
}

/// Executes a kernel packed and in f32, and compares the bits; NaNs are one value.
fn same(name: &str, mut kernel: Kernel, dtype: DType, arch: Arch) {
    kernel.schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &schedule::Options::default());
    assert_eq!(kernel.schedule.compute, Compute::Packed, "{name}");
    let packed = stored(name, &kernel, dtype, arch);
    kernel.schedule.compute = Compute::Accurate;
    let plain = stored(name, &kernel, dtype, arch);
    for ((machine, packed), (_, plain)) in packed.into_iter().zip(plain) {
        for (at, (a, b)) in packed.into_iter().zip(plain).enumerate() {
            let [x, y] = [a, b].map(|bits| minifloat::decode(dtype, bits.into()));
            // A product of two bf16 that is denormal in f32 is rounded there as well, the packed one once.
            let denormal = dtype == DType::BF16 && y.abs() <= f64::from(f32::MIN_POSITIVE);
            assert!(
                a == b || (x.is_nan() && y.is_nan()) || denormal,
                "{name} {dtype} on {machine} at {at}: {x:e} packed, {y:e} in f32"
            );
        }
    }
}

type Bodies = [(&'static str, fn(&mut Body, DType) -> Arg); 8];

/// At most one op of each rounds; those that do not stand before it and behind it.
const BINARY: Bodies = [
    ("add", |b, _| b.op(Op::new(&op::ADD), &[b.load(0), b.load(1)])),
    ("sub", |b, _| b.op(Op::new(&op::SUB), &[b.load(0), b.load(1)])),
    ("mul", |b, _| b.op(Op::new(&op::MUL), &[b.load(0), b.load(1)])),
    ("max", |b, _| b.op(Op::new(&op::MAX), &[b.load(0), b.load(1)])),
    ("min", |b, _| b.op(Op::new(&op::MIN), &[b.load(0), b.load(1)])),
    ("add relu", |b, _| {
        let sum = b.op(Op::new(&op::ADD), &[b.load(0), b.load(1)]);
        b.op(Op::new(&op::RELU), &[sum])
    }),
    ("abs neg mul clip", |b, t| {
        let abs = b.op(Op::new(&op::ABS), &[b.load(0)]);
        let neg = b.op(Op::new(&op::NEG), &[b.load(1)]);
        let product = b.op(Op::new(&op::MUL), &[abs, neg]);
        b.op(Op::new(&op::CLIP), &[product, b.scalar(t, -2.5), b.scalar(t, 6.0)])
    }),
    ("sub of a constant, abs, max", |b, t| {
        let difference = b.op(Op::new(&op::SUB), &[b.load(0), b.scalar(t, 0.3)]);
        let abs = b.op(Op::new(&op::ABS), &[difference]);
        b.op(Op::new(&op::MAX), &[abs, b.load(1)])
    }),
];

#[test]
fn packed_results_are_those_of_f32_bit_for_bit() {
    for dtype in [DType::F16, DType::BF16] {
        for (name, body) in BINARY {
            // The first operand's codes along the rows, the second's down the rows.
            let loads: [_; 2] = [(dtype, (|d| along(d, 1)) as crate::build::Strides), (dtype, |d| along(d, 0))];
            let kernel = kernel(&[OTHERS.len() as i64, 1 << 16], &loads, dtype, |b| body(b, dtype));
            same(name, kernel, dtype, Arch::SM_90);
        }
    }
}

/// Where an architecture has no such instruction, the text computes each half in f32; tails and uniform operands.
#[test]
fn packed_texts_run_on_every_architecture() {
    for arch in [Arch::SM_75, Arch::SM_80, Arch::SM_90] {
        for dtype in [DType::F16, DType::BF16] {
            for (name, body) in BINARY {
                let kernel = kernel(&[4099], &[(dtype, dense), (dtype, uniform)], dtype, |b| body(b, dtype));
                same(name, kernel, dtype, arch);
            }
        }
    }
}

/// Two roundings on one way, or an op that has no packed form, leave a kernel in f32.
#[test]
fn what_rounds_twice_is_not_packed() {
    let twice = |b: &mut Body| {
        let product = b.op(Op::new(&op::MUL), &[b.load(0), b.load(1)]);
        b.op(Op::new(&op::ADD), &[product, b.load(1)])
    };
    let unpacked = |b: &mut Body| {
        let sum = b.op(Op::new(&op::ADD), &[b.load(0), b.load(1)]);
        b.op(Op::new(&op::SQRT), &[sum])
    };
    let bodies: [fn(&mut Body) -> Arg; 2] = [twice, unpacked];
    for body in bodies {
        let kernel = kernel(&[1 << 16], &[(DType::F16, dense), (DType::F16, dense)], DType::F16, body);
        let schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &schedule::Options::default());
        assert_ne!(schedule.compute, Compute::Packed);
    }
}
