//! Codes of both signs side by side, codes and floats from one kernel, and what `--fast` gives up.

use crate::build::{Body, dense, kernel};
use crate::machines;
use crate::prove::{ROUNDED, Setup, Within, prove};
use pointweld::dim::Bindings;
use pointweld::dtype::DType::{self, *};
use pointweld::emit;
use pointweld::op::{self, Op};
use pointweld::plan::{Arg, BufferId, Kernel, Store};
use pointweld::prove::Trial;
use pointweld::reference::{Rounding, body};
use pointweld::scalar::{Number, Scalar};
use pointweld::schedule;
use pointweld::target::{Arch, Target};

fn scheduled(mut kernel: Kernel, fast: bool) -> Kernel {
    let options = schedule::Options { fast, ..schedule::Options::default() };
    kernel.schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &options);
    kernel
}

/// All pairs of two 8-bit codes.
fn pair(load: usize, dtype: DType, at: usize) -> Scalar {
    Scalar::from_bits(dtype, if load == 0 { at as u64 & 255 } else { at as u64 >> 8 })
}

fn prove_pairs(name: &str, kernel: &Kernel, within: Within) {
    let setup = Setup {
        arch: Arch::SM_90,
        bindings: Bindings::new(),
        within,
        perturb: Some(7),
        element: &mut |l, t, at| pair(l, t, at),
    };
    prove(name, kernel, setup);
}

fn zero(dtype: DType) -> i64 {
    if dtype == U8 { 117 } else { -3 }
}

fn silu_of_sum(b: &mut Body, first: DType, second: DType) -> Arg {
    let x = b.dequantize(b.load(0), 0.05, zero(first));
    let y = b.dequantize(b.load(1), 0.031, zero(second));
    let sum = b.op(Op::new(&op::ADD), &[x, y]);
    b.op(Op::new(&op::SILU), &[sum])
}

/// A second store of statement `value` behind the first.
fn also(mut kernel: Kernel, dtype: DType, value: u32) -> Kernel {
    let access = kernel.stores[0].access.clone();
    let buffer = BufferId(kernel.loads.len() as u32 + kernel.stores.len() as u32);
    kernel.stores.push(Store { buffer, dtype, access, value: Arg::Stmt(value) });
    kernel
}

#[test]
fn codes_of_both_signs_mix() {
    for first in [I8, U8] {
        for second in [I8, U8] {
            for to in [I8, U8] {
                let body = |b: &mut Body| {
                    let y = silu_of_sum(b, first, second);
                    b.quantize(y, to, 0.04, zero(to))
                };
                let kernel = scheduled(kernel(&[1 << 16], &[(first, dense), (second, dense)], to, body), false);
                prove_pairs(&format!("{first} and {second} to {to}"), &kernel, ROUNDED);
            }
        }
    }
}

/// One kernel stores i8 codes, u8 codes of another scale, and the f16 value itself: codes exact, the float within a unit
/// in its last place.
#[test]
fn one_kernel_stores_codes_and_halves() {
    let body = |b: &mut Body| {
        let y = silu_of_sum(b, I8, U8);
        b.cast(y, F16);
        b.quantize(y, U8, 0.07, 9);
        b.quantize(y, I8, 0.04, 0)
    };
    let made = kernel(&[1 << 16], &[(I8, dense), (U8, dense)], I8, body);
    let count = made.body.len() as u32;
    let made = also(also(made, U8, count - 2), F16, count - 3);
    prove_pairs("codes and halves", &scheduled(made, false), Within { ulp: 1.0, absolute: 1e-6 });
}

/// How many codes differ from the exact ones, and by how many at most, over all pairs of codes.
fn mismatches(kernel: &Kernel) -> (usize, i128) {
    let source = emit::emit(kernel, &emit::Options::default()).unwrap();
    let sizes = Bindings::new();
    let mut trial = Trial::new(kernel, &source, &sizes, None).unwrap();
    for (i, region) in trial.loads.iter_mut().enumerate() {
        let element = |at| pair(i, region.dtype, at).bits().to_le_bytes();
        let width = region.width();
        region.contents = (0..region.count).flat_map(|at| element(at).into_iter().take(width)).collect();
    }
    let (mut differing, mut furthest) = (0, 0);
    machines::on_each(&source, Arch::SM_90, None, |machine, it| {
        let outcome = it.run(&trial).unwrap_or_else(|error| panic!("{machine}: {error}"));
        let mut found = 0;
        for index in trial.tuples() {
            let at =
                |region: &pointweld::prove::Region| region.element(&region.contents, region.position(&index)).number();
            let numbers: Vec<Number> = trial.loads.iter().map(at).collect();
            let exact = body::eval(kernel, &numbers, Rounding::Exact)[0].as_i128();
            let stored = &trial.stores[0];
            let code = stored.element(&outcome.stores[0].bytes, stored.position(&index)).number().as_i128();
            found += usize::from(code != exact);
            furthest = furthest.max((code - exact).abs());
        }
        differing = differing.max(found);
    });
    (differing, furthest)
}

/// `--fast` rounds what f32 arithmetic gives. Scales that have nothing to do with each other put next to no exact quotient so close to a tie
/// that it matters; scales in small ratios, such as 0.05 + 0.05 to 0.1, put many right on ties, and of those every other one goes
/// the wrong way. No code is off by more than one.
#[test]
fn fast_codes_are_seldom_off_and_never_by_more_than_one() {
    let usual = [[0.05, 0.03, 0.045], [0.0371, 0.0219, 0.0533], [0.021, 0.017, 0.0123]];
    for (scales, most) in [(&usual[..], 0.0001), (&[[0.05, 0.05, 0.1]], 0.05)] {
        let (mut differing, mut all) = (0, 0);
        for (scales, activation) in
            scales.iter().flat_map(|s| [&op::SILU, &op::GELU, &op::RELU, &op::TANH].map(|row| (s, row)))
        {
            let body = |b: &mut Body| {
                let x = b.dequantize(b.load(0), scales[0], 0);
                let y = b.dequantize(b.load(1), scales[1], 128);
                let sum = b.op(Op::new(&op::ADD), &[x, y]);
                let y = b.op(Op::new(activation), &[sum]);
                b.quantize(y, I8, scales[2], 0)
            };
            let kernel = scheduled(kernel(&[1 << 16], &[(I8, dense), (U8, dense)], I8, body), true);
            assert!(kernel.schedule.rounding.iter().all(|(_, r)| *r == pointweld::plan::Rounding::Near));
            let (found, furthest) = mismatches(&kernel);
            println!("{} {scales:?}: {found} of 65536 codes differ, by at most {furthest}", activation.name);
            assert!(furthest <= 1, "{} {scales:?}: off by {furthest}", activation.name);
            (differing, all) = (differing + found, all + (1 << 16));
        }
        assert!(f64::from(differing as u32) <= most * f64::from(all), "{scales:?}: {differing} of {all}");
    }
}

/// An expensive chain on one 8-bit operand of several is looked up, a cheap one is computed; codes stay exact, and what is stored in
/// float is within its bound, with tails, in rows and in tiles.
#[test]
fn expensive_chains_within_a_kernel_are_looked_up() {
    let body = |b: &mut Body, heavy: bool| {
        let x = b.dequantize(b.load(0), 0.05, 3);
        let row = |b: &mut Body, x, row: &'static op::Row| b.op(Op::new(row), &[x]);
        let mut x = row(b, x, &op::SILU);
        if heavy {
            x = row(b, x, &op::MISH);
        }
        let y = b.dequantize(b.load(1), 0.031, 128);
        let sum = b.op(Op::new(&op::ADD), &[x, y]);
        b.quantize(sum, I8, 0.04, 0)
    };
    let light = scheduled(kernel(&[1 << 16], &[(I8, dense), (U8, dense)], I8, |b| body(b, false)), false);
    assert!(light.schedule.lookups.is_empty());
    let heavy = scheduled(kernel(&[1 << 16], &[(I8, dense), (U8, dense)], I8, |b| body(b, true)), false);
    assert_eq!(heavy.schedule.lookups.len(), 1);
    let text = emit::emit(&heavy, &emit::Options::default()).unwrap().text;
    // The chain is computed in the second opinion in f64 alone.
    assert!(text.contains("const float v2_mish = lookup0[") && !text.contains("const float v1_silu"), "{text}");
    prove_pairs("a chain looked up", &heavy, ROUNDED);

    let column: crate::build::Strides = |d| crate::build::along(d, 1);
    for (name, second, domain) in
        [("rows", column, [37i64, 1031]), ("tails", dense, [3, 1031]), ("tiles", crate::build::transposed, [67, 130])]
    {
        for (first, to) in [(I8, U8), (U8, F16), (I8, F32)] {
            let body = |b: &mut Body| {
                let x = b.dequantize(b.load(0), 0.05, 3);
                let x = b.op(Op::new(&op::MISH), &[x]);
                let x = b.op(Op::new(&op::GELU), &[x]);
                let y = b.cast(b.load(1), F32);
                let sum = b.op(Op::new(&op::ADD), &[x, y]);
                if to.is_float() { b.cast(sum, to) } else { b.quantize(sum, to, 0.04, 100) }
            };
            let made = scheduled(kernel(&domain, &[(first, dense), (F16, second)], to, body), false);
            assert_eq!(made.schedule.lookups.len(), 1, "{name}");
            crate::prove::check(
                &format!("looked up, {name}, {first} to {to}"),
                &made,
                Within { ulp: 1.5, absolute: 1e-6 },
            );
        }
    }
}
