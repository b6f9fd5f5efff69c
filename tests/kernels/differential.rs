//! Every form of kernel, element type and awkward size, executed from its PTX and compared with the exact result.

use crate::build::{Body, Strides, add, along, dense, kernel, transposed, uniform};
use crate::prove::{Noise, ROUNDED, Setup, Within, check, check_at, prove};
use pointweld::dim::{Bindings, Dim};
use pointweld::dtype::DType::{self, *};
use pointweld::emit::{self, EmitError};
use pointweld::op::{self, Op};
use pointweld::plan::{Broadcast, BroadcastError, Form, IndexWidth, Kernel, Table};
use pointweld::scalar::Scalar;
use pointweld::schedule;
use pointweld::target::{Arch, Target};

const NUMBERS: [DType; 12] = [F64, F32, F16, BF16, I64, U64, I32, U32, I16, U16, I8, U8];
const SMALL_FLOATS: [DType; 4] = [F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ];

fn scheduled(mut kernel: Kernel) -> Kernel {
    kernel.schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &schedule::Options::default());
    kernel
}

#[test]
fn every_type_in_every_vector_with_tails() {
    for dtype in NUMBERS {
        let widest = 16 / dtype.bytes().unwrap() as u32;
        for vector in [1, 2, widest] {
            for count in [0, 1, i64::from(vector) - 1, i64::from(vector) + 1, 1031] {
                let mut kernel = scheduled(kernel(&[count], &[(dtype, dense), (dtype, dense)], dtype, add));
                kernel.schedule.form = Form::Flat { vector };
                check(&format!("add {dtype} by {vector} of {count}"), &kernel, ROUNDED);
            }
        }
    }
}

#[test]
fn misaligned_pointers_take_the_unaligned_schedule() {
    for dtype in [F64, F32, BF16, I8] {
        let mut kernel = scheduled(kernel(&[517], &[(dtype, dense), (dtype, uniform)], dtype, add));
        kernel.schedule = kernel.schedule.unaligned();
        check(&format!("misaligned {dtype}"), &kernel, ROUNDED);
    }
}

#[test]
fn casts_between_all_types() {
    let all = || NUMBERS.into_iter().chain(SMALL_FLOATS).chain([Bool]);
    for from in all() {
        for to in all() {
            let kernel = scheduled(kernel(&[2 * 1031], &[(from, dense)], to, |b| b.cast(b.load(0), to)));
            check(&format!("cast {from} to {to}"), &kernel, Within { ulp: 0.0, absolute: 0.0 });
        }
    }
}

#[test]
fn casts_within_a_body_round() {
    for (dtype, through) in
        [(F32, F16), (F32, BF16), (F64, F16), (F64, F32), (F32, F8E4M3FN), (F64, F8E5M2), (I64, BF16)]
    {
        let body = |b: &mut Body| {
            let narrow = b.cast(b.load(0), through);
            b.cast(narrow, F64)
        };
        let kernel = scheduled(kernel(&[4099], &[(dtype, dense)], F64, body));
        check(&format!("{dtype} through {through}"), &kernel, Within { ulp: 0.0, absolute: 0.0 });
    }
    for to in SMALL_FLOATS {
        let cast = Op::to(&op::CAST_UNSATURATED, to);
        let kernel = scheduled(kernel(&[4099], &[(F32, dense)], to, |b| b.op(cast, &[b.load(0)])));
        check(&format!("unsaturated {to}"), &kernel, Within { ulp: 0.0, absolute: 0.0 });
    }
}

#[test]
fn quantization_of_exact_operands_is_exact() {
    for from in [F32, F16, BF16, F64, I32] {
        for (to, zero) in [(I8, 0), (I8, -7), (U8, 0), (U8, 131), (I16, 0), (U16, 500)] {
            for scale in [0.05, 0.5, 1e-3, 3e-39] {
                let name = format!("quantize {from} to {to} by {scale} at {zero}");
                let kernel =
                    scheduled(kernel(&[2053], &[(from, dense)], to, |b| b.quantize(b.load(0), to, scale, zero)));
                check(&name, &kernel, ROUNDED);
            }
        }
    }
    for to in SMALL_FLOATS {
        let kernel = scheduled(kernel(&[2053], &[(F32, dense)], to, |b| b.quantize(b.load(0), to, 0.05, 0)));
        check(&format!("quantize to {to}"), &kernel, Within { ulp: 0.0, absolute: 0.0 });
    }
}

#[test]
fn ties_of_a_quotient_go_to_even() {
    // Every half of a scale, its neighbours, and what lies around them.
    for scale in [0.05f32, 0.1, 0.3, 1.0 / 3.0, 0.25, 7.7] {
        let kernel = scheduled(kernel(&[8192], &[(F32, dense)], I8, |b| b.quantize(b.load(0), I8, scale, 0)));
        let mut element = |_: usize, _: DType, at: usize| {
            let half = (at / 8) as f32 - 512.0;
            let x = half * 0.5 * scale;
            Scalar::f32(f32::from_bits(x.to_bits().wrapping_add((at % 8) as u32).wrapping_sub(4)))
        };
        let bindings = Bindings::new();
        let setup = Setup { arch: Arch::SM_90, bindings, within: ROUNDED, perturb: None, element: &mut element };
        prove(&format!("ties of {scale}"), &kernel, setup);
    }
}

/// All pairs of two 8-bit codes.
fn pairs(name: &str, kernel: &Kernel, arch: Arch, perturb: Option<u64>) {
    let mut element = |load: usize, dtype: DType, at: usize| {
        Scalar::from_bits(dtype, if load == 0 { at as u64 & 255 } else { at as u64 >> 8 })
    };
    let setup = Setup { arch, bindings: Bindings::new(), within: ROUNDED, perturb, element: &mut element };
    prove(name, kernel, setup);
}

fn residual(activation: &'static op::Row, scales: [f32; 3], zeros: [i64; 3]) -> Kernel {
    scheduled(kernel(&[1 << 16], &[(I8, dense), (U8, dense)], I8, |b| {
        let x = b.dequantize(b.load(0), scales[0], zeros[0]);
        let y = b.dequantize(b.load(1), scales[1], zeros[1]);
        let sum = b.op(Op::new(&op::ADD), &[x, y]);
        let y = b.op(Op::new(activation), &[sum]);
        b.quantize(y, I8, scales[2], zeros[2])
    }))
}

#[test]
fn codes_of_all_pairs_are_exact() {
    for activation in [&op::RELU, &op::SILU, &op::SIGMOID, &op::GELU, &op::TANH] {
        for (scales, zeros) in [([0.05, 0.03, 0.045], [0, 128, 0]), ([0.05, 0.05, 0.1], [0, 0, -5])] {
            for perturb in [None, Some(7)] {
                let name = format!("residual {} {scales:?} {perturb:?}", activation.name);
                pairs(&name, &residual(activation, scales, zeros), Arch::SM_90, perturb);
            }
        }
    }
}

#[test]
fn codes_are_exact_on_older_architectures() {
    for arch in [Arch::SM_75, Arch::SM_80] {
        pairs(&format!("{arch}"), &residual(&op::SILU, [0.05, 0.03, 0.045], [3, 128, 1]), arch, None);
    }
}

#[test]
fn codes_within_a_body_are_exact() {
    let body = |b: &mut Body| {
        let x = b.dequantize(b.load(0), 0.05, 0);
        let y = b.dequantize(b.load(1), 0.03, 128);
        let product = b.op(Op::new(&op::MUL), &[x, y]);
        let q = b.quantize(product, I8, 0.21, 3);
        let back = b.dequantize(q, 0.21, 3);
        let sum = b.op(Op::new(&op::ADD), &[back, y]);
        b.quantize(sum, U8, 0.3, 100)
    };
    let kernel = scheduled(kernel(&[1 << 16], &[(I8, dense), (U8, dense)], U8, body));
    pairs("quantized twice", &kernel, Arch::SM_90, None);
}

#[test]
fn tables_hold_every_code() {
    for from in [I8, U8, F8E4M3FN, F8E5M2FNUZ] {
        for to in [I8, U8, F16, F32] {
            let body = |b: &mut Body| {
                let x = if from.is_float() { b.cast(b.load(0), F32) } else { b.dequantize(b.load(0), 0.05, 0) };
                let y = b.op(Op::new(&op::MISH), &[x]);
                let y = b.op(Op::new(&op::SOFTPLUS), &[y]);
                if to.is_float() { b.cast(y, to) } else { b.quantize(y, to, 0.045, 2) }
            };
            for count in [256, 5000 + 13] {
                let kernel = scheduled(kernel(&[count], &[(from, dense)], to, body));
                assert!(kernel.schedule.table.is_some());
                let mut element = |_: usize, dtype: DType, at: usize| Scalar::from_bits(dtype, at as u64);
                let setup = Setup {
                    arch: Arch::SM_90,
                    bindings: Bindings::new(),
                    within: Within { ulp: 0.5, absolute: 0.0 },
                    perturb: None,
                    element: &mut element,
                };
                prove(&format!("table {from} to {to} of {count}"), &kernel, setup);
            }
        }
    }
}

/// Chains that a table of 16-bit codes holds, on every code there is.
#[test]
fn tables_hold_every_16_bit_code() {
    for (from, to) in [(F16, F16), (BF16, BF16), (F16, I8), (I16, F16), (U16, BF16)] {
        let body = |b: &mut Body| {
            let mut x = if from.is_float() { b.load(0) } else { b.dequantize(b.load(0), 0.01, 0) };
            for _ in 0..3 {
                x = b.op(Op::new(&op::MISH), &[x]);
                x = b.op(Op::new(&op::SOFTPLUS), &[x]);
            }
            match to {
                F16 if from == F16 => x,
                BF16 if from == BF16 => x,
                I8 => b.quantize(x, to, 0.045, 2),
                _ => b.cast(x, to),
            }
        };
        // The table is chosen for a large tensor, and tried on all codes and an odd few more.
        let large = scheduled(kernel(&[(1 << 26) + 5], &[(from, dense)], to, body));
        assert!(matches!(large.schedule.table, Some(Table::Codes16 { blocks: 132 })), "{from} {to}");
        let mut small = kernel(&[(1 << 16) + 5], &[(from, dense)], to, body);
        assert!(scheduled(small.clone()).schedule.table.is_none());
        small.schedule = large.schedule.clone();
        for arch in [Arch::SM_80, Arch::SM_90] {
            let mut element = |_: usize, dtype: DType, at: usize| Scalar::from_bits(dtype, at as u64 & 0xffff);
            let setup = Setup {
                arch,
                bindings: Bindings::new(),
                within: Within { ulp: 0.5, absolute: 0.0 },
                perturb: None,
                element: &mut element,
            };
            prove(&format!("table {from} to {to}"), &small, setup);
        }
        // A block that walks more than once, and pointers that are not aligned.
        small.schedule.table = Some(Table::Codes16 { blocks: 2 });
        check(&format!("two blocks {from} to {to}"), &small, Within { ulp: 0.5, absolute: 0.0 });
    }
}

#[test]
fn a_table_of_16_bit_codes_needs_the_memory_for_it() {
    let body = |b: &mut Body| (0..20).fold(b.load(0), |x, _| b.op(Op::new(&op::TANH), &[x]));
    let kernel = kernel(&[1 << 26], &[(F16, dense)], F16, body);
    let table = |arch: Arch| schedule::choose(&kernel, &Target::of(arch), &schedule::Options::default()).table;
    for arch in [Arch::SM_75, Arch::SM_86, Arch::SM_89, Arch::SM_120] {
        assert_eq!(table(arch), None, "{arch}");
    }
    assert_eq!(table(Arch::SM_100), Some(Table::Codes16 { blocks: 148 }));
    assert_eq!(table(Arch::SM_80), Some(Table::Codes16 { blocks: 108 }));
}

#[test]
fn broadcasts_of_every_kind() {
    let first: Strides = |d| along(d, 0);
    let second: Strides = |d| along(d, 1);
    for dtype in [F32, F16, I8] {
        for domain in
            [vec![3, 5, 64], vec![3, 5, 49], vec![8, 16, 128], vec![2, 4, 30], vec![1, 7, 1], vec![130, 4, 16]]
        {
            for (what, strides) in [("n", first), ("c", second), ("hw", (|d| along(d, 2)) as Strides), ("1", uniform)] {
                for wide in [false, true] {
                    let mut kernel = scheduled(kernel(&domain, &[(dtype, dense), (dtype, strides)], dtype, add));
                    if wide {
                        kernel.schedule = kernel.schedule.widened();
                        assert_eq!(kernel.schedule.index, IndexWidth::Bits64);
                    }
                    check(&format!("broadcast {what} {dtype} {domain:?} {wide}"), &kernel, ROUNDED);
                }
            }
        }
    }
}

#[test]
fn rows_keep_what_stays() {
    let strides: [(&str, Strides); 3] = [
        ("columns", |d| along(d, 2)),
        ("middle", |d| vec![Dim::fixed(d[2].known().unwrap()), Dim::ZERO, Dim::ONE]),
        ("rows", |d| along(d, 1)),
    ];
    for (what, strides) in strides {
        for (vector, rows) in [(1, 1), (4, 2), (8, 4), (2, 4)] {
            for inner in [64, 61] {
                let mut kernel = scheduled(kernel(&[3, 8, inner], &[(F16, dense), (F16, strides)], F16, add));
                kernel.schedule.form = Form::Rows { vector, rows };
                check(&format!("{rows} rows by {vector} of {inner}, {what}"), &kernel, ROUNDED);
            }
        }
    }
}

#[test]
fn rows_of_a_number_not_known() {
    let rows = Dim::symbol("n");
    for (dtype, inner) in [(F16, 64), (F16, 61), (I8, 64)] {
        let mut kernel = kernel(&[1, inner], &[(dtype, dense), (dtype, |d| along(d, 1))], dtype, add);
        kernel.domain[0] = rows.clone();
        for access in [&mut kernel.loads[0].access, &mut kernel.stores[0].access] {
            access.strides = pointweld::plan::layout::row_major(&kernel.domain).unwrap();
        }
        let mut kernel = scheduled(kernel);
        if inner == 64 {
            assert!(matches!(kernel.schedule.form, Form::Rows { rows: 2, .. }), "{:?}", kernel.schedule.form);
        }
        kernel.schedule.form = Form::Rows { vector: if inner == 64 { 8 } else { 1 }, rows: 4 };
        for n in [0, 1, 3, 4, 5, 18] {
            let bindings = Bindings::from([("n".to_owned(), n)]);
            check_at(&format!("{n} rows of {inner} {dtype}"), &kernel, ROUNDED, bindings);
        }
    }
}

#[test]
fn a_launch_decides_whether_an_axis_broadcasts() {
    let mut kernel = kernel(&[4, 24], &[(F16, dense), (F16, dense)], F16, add);
    let n = Dim::symbol("n");
    let step = n.sub(&Dim::ONE).unwrap().larger(&Dim::ZERO).unwrap().smaller(&Dim::ONE).unwrap();
    kernel.loads[1].access.strides[0] = step.mul(&Dim::fixed(24)).unwrap();
    kernel.broadcasts.push(Broadcast { node: "sum".into(), from: n, to: Dim::fixed(4) });
    let kernel = scheduled(kernel);
    let bound = |n: u64| Bindings::from([("n".to_owned(), n)]);
    for n in [1, 4] {
        check_at(&format!("broadcast of {n}"), &kernel, ROUNDED, bound(n));
    }
    let source = emit::emit(&kernel, &emit::Options::default()).unwrap();
    let error = source.launch(&kernel, &bound(3)).unwrap_err();
    let wanted =
        |e: &BroadcastError| matches!(e, BroadcastError::Sizes { node, found: 3, wanted: 4, .. } if node == "sum");
    assert!(matches!(&error, EmitError::Broadcast { source, .. } if wanted(source)), "{error}");
}

#[test]
fn strides_and_offsets_of_every_kind() {
    for dtype in [F32, F16, U8] {
        let mut kernel = kernel(&[6, 20, 48], &[(dtype, dense), (dtype, transposed)], dtype, add);
        check(&format!("transposed {dtype}"), &scheduled(kernel.clone()), ROUNDED);
        // Into a part of a larger tensor, from a part of another, backward along one axis.
        kernel.stores[0].access.offset = Dim::fixed(5);
        kernel.stores[0].access.strides[0] = Dim::fixed(1500);
        kernel.loads[0].access.offset = Dim::fixed(20 * 48 - 48);
        kernel.loads[0].access.strides[1] = Dim::fixed(-48);
        check(&format!("sliced {dtype}"), &scheduled(kernel.clone()), ROUNDED);
        kernel.stores[0].access.strides = [1, 6, 120].map(Dim::fixed).to_vec();
        check(&format!("stored transposed {dtype}"), &scheduled(kernel), ROUNDED);
    }
}

#[test]
fn symbolic_sizes_are_bound_at_launch() {
    let mut kernel = kernel(&[1, 24, 1], &[(F16, dense), (F16, |d| along(d, 1))], F16, add);
    let sizes = [Dim::symbol("n"), Dim::fixed(24), Dim::symbol("hw")];
    kernel.domain = sizes.to_vec();
    let strides = pointweld::plan::layout::row_major(&sizes).unwrap();
    kernel.loads[0].access.strides = strides.clone();
    kernel.stores[0].access.strides = strides;
    let kernel = scheduled(kernel);
    for (n, hw) in [(1, 1), (2, 49), (3, 64), (0, 5)] {
        let bindings = Bindings::from([("n".to_owned(), n), ("hw".to_owned(), hw)]);
        check_at(&format!("symbolic {n} {hw}"), &kernel, ROUNDED, bindings);
    }
}

#[test]
fn an_accumulator_becomes_codes_exactly() {
    let column: Strides = |d| along(d, 1);
    let body = |b: &mut Body| {
        let zero = b.scalar(I32, 0.0);
        let x = b.op(Op::to(&op::DEQUANTIZE, F32), &[b.load(0), b.load(1), zero]);
        let biased = b.op(Op::new(&op::ADD), &[x, b.load(2)]);
        let y = b.op(Op::new(&op::SILU), &[biased]);
        b.quantize(y, I8, 0.045, 0)
    };
    let kernel = scheduled(kernel(&[64, 256], &[(I32, dense), (F32, column), (F32, column)], I8, body));
    let mut noise = Noise(5);
    let mut element = |load: usize, dtype: DType, _: usize| {
        let x = noise.next();
        match load {
            0 => Scalar::from_bits(dtype, (x % 40001).wrapping_sub(20000)),
            1 => Scalar::f32((x % 1000) as f32 * 1e-6),
            _ => Scalar::f32((x % 2000) as f32 * 1e-3 - 1.0),
        }
    };
    let setup = Setup {
        arch: Arch::SM_90,
        bindings: Bindings::new(),
        within: ROUNDED,
        perturb: Some(3),
        element: &mut element,
    };
    prove("accumulator", &kernel, setup);
}
