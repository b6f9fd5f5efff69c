//! Tensors that lie the other way in memory, turned in tiles of shared memory: every element size, edge and neighbour.

use crate::build::{Strides, add, along, dense, kernel, transposed, uniform};
use crate::prove::{Noise, ROUNDED, Setup, Within, check, check_at, prove, prove_source};
use pointweld::dim::{Bindings, Dim};
use pointweld::dtype::DType::{self, *};
use pointweld::emit::{self, KernelSource};
use pointweld::op::{self, Op};
use pointweld::plan::{Arg, Form, Kernel, Rounding, Store};
use pointweld::schedule;
use pointweld::target::{Arch, Target};

const EXACT: Within = Within { ulp: 0.0, absolute: 0.0 };

fn scheduled(mut kernel: Kernel) -> Kernel {
    kernel.schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &schedule::Options::default());
    assert!(matches!(kernel.schedule.form, Form::Transposed { .. }), "{:?}", kernel.schedule.form);
    kernel
}

/// `y = x + zᵀ` over a domain.
fn sum(domain: &[i64], dtype: DType) -> Kernel {
    kernel(domain, &[(dtype, dense), (dtype, transposed)], dtype, add)
}

/// The first axis of three has the unit stride.
fn outermost(domain: &[Dim]) -> Vec<Dim> {
    let size = |i: usize| domain[i].known().unwrap();
    vec![Dim::ONE, Dim::fixed(size(0) * size(2)), Dim::fixed(size(0))]
}

#[test]
fn every_element_size_and_tile_with_tails() {
    for (dtype, widest) in [(I8, 16), (F16, 8), (F32, 4), (F64, 2)] {
        for [rows, columns] in [[16, 64], [64, 16], [64, 64], [32, 128]] {
            for vector in [1, widest] {
                if rows * columns < 256 * vector || u64::from(rows * columns) * dtype.bytes().unwrap() as u64 > 40 << 10
                {
                    continue;
                }
                for domain in [[2, 128, 128], [1, 70, 67], [2, 17, 33]] {
                    let mut kernel = sum(&domain, dtype);
                    kernel.schedule = scheduled(sum(&[1, 64, 64], dtype)).schedule;
                    kernel.schedule.form = Form::Transposed { axis: 1, rows, columns, vector };
                    let aligned = domain.iter().all(|n| n % 2 == 0);
                    if vector == 1 || aligned {
                        check(&format!("{dtype} {domain:?} {rows}x{columns} by {vector}"), &kernel, ROUNDED);
                    }
                }
            }
        }
    }
}

#[test]
fn scheduled_tiles_of_awkward_sizes() {
    for dtype in [I8, F16, F32, F64] {
        for domain in [vec![64, 64], vec![200, 136], vec![3, 100, 49], vec![2, 16, 131], vec![5, 33, 40], vec![130, 16]]
        {
            check(&format!("{dtype} {domain:?}"), &scheduled(sum(&domain, dtype)), ROUNDED);
            let mut wide = scheduled(sum(&domain, dtype));
            wide.schedule = wide.schedule.widened();
            check(&format!("{dtype} {domain:?} wide"), &wide, ROUNDED);
        }
    }
}

#[test]
fn any_axis_turns_into_the_innermost() {
    for dtype in [U8, BF16, F32] {
        let kernel = scheduled(kernel(&[40, 6, 72], &[(dtype, dense), (dtype, outermost)], dtype, add));
        assert!(matches!(kernel.schedule.form, Form::Transposed { axis: 0, .. }));
        check(&format!("outermost {dtype}"), &kernel, ROUNDED);
    }
}

#[test]
fn several_tensors_of_several_types_beside_broadcasts() {
    let loads: [(DType, Strides); 6] = [
        (F32, transposed),
        (I8, transposed),
        (F16, dense),
        (F16, |d| along(d, 2)),
        (F16, |d| along(d, 1)),
        (F32, uniform),
    ];
    for domain in [[2, 64, 96], [3, 50, 35]] {
        let kernel = scheduled(kernel(&domain, &loads, F16, |b| {
            let codes = b.dequantize(b.load(1), 0.05, 3);
            let mut total = b.op(Op::new(&op::ADD), &[b.load(0), codes]);
            for i in 2..5 {
                let wide = b.cast(b.load(i), F32);
                total = b.op(Op::new(&op::MAX), &[total, wide]);
            }
            let total = b.op(Op::new(&op::MIN), &[total, b.load(5)]);
            b.cast(total, F16)
        }));
        check(&format!("mixed {domain:?}"), &kernel, Within { ulp: 0.51, absolute: 1e-6 });
    }
}

#[test]
fn stores_are_turned_as_well() {
    for dtype in [I8, F16, F32, F64] {
        for domain in [[2, 64, 64], [1, 70, 67], [2, 17, 130]] {
            let two = |first: Strides, second: Strides| {
                let mut kernel = kernel(&domain, &[(dtype, dense)], dtype, |b| b.op(Op::new(&op::RELU), &[b.load(0)]));
                let again =
                    Store { buffer: pointweld::plan::BufferId(2), value: Arg::Load(0), ..kernel.stores[0].clone() };
                kernel.stores.push(again);
                let dims = kernel.domain.clone();
                kernel.stores[0].access.strides = first(&dims);
                kernel.stores[1].access.strides = second(&dims);
                scheduled(kernel)
            };
            check(&format!("store {dtype} {domain:?}"), &two(transposed, dense), EXACT);
            check(&format!("copy {dtype} {domain:?}"), &two(dense, transposed), EXACT);
            check(&format!("both {dtype} {domain:?}"), &two(transposed, transposed), EXACT);
        }
    }
}

#[test]
fn slices_and_steps_keep_to_their_elements() {
    for dtype in [F32, U8] {
        let mut kernel = sum(&[2, 40, 48], dtype);
        kernel.loads[1].access.offset = Dim::fixed(3);
        kernel.loads[1].access.strides = [5000, 1, 53].map(Dim::fixed).to_vec();
        kernel.loads[0].access.offset = Dim::fixed(39 * 48);
        kernel.loads[0].access.strides[1] = Dim::fixed(-48);
        check(&format!("sliced {dtype}"), &scheduled(kernel.clone()), ROUNDED);
        kernel.loads[1].access.offset = Dim::fixed(47 * 53);
        kernel.loads[1].access.strides[2] = Dim::fixed(-53);
        check(&format!("backward {dtype}"), &scheduled(kernel), ROUNDED);
    }
}

#[test]
fn sizes_bound_at_launch() {
    let mut kernel = sum(&[2, 64, 64], F16);
    let [n, h, w] = [Dim::fixed(2), Dim::symbol("h"), Dim::symbol("w")];
    kernel.domain = vec![n, h.clone(), w.clone()];
    let area = h.mul(&w).unwrap();
    kernel.loads[0].access.strides = vec![area.clone(), w, Dim::ONE];
    kernel.stores[0].access.strides = kernel.loads[0].access.strides.clone();
    kernel.loads[1].access.strides = vec![area, Dim::ONE, h];
    let kernel = scheduled(kernel);
    for (h, w) in [(1, 1), (1, 90), (90, 1), (64, 64), (65, 31), (0, 5)] {
        let bindings = Bindings::from([("h".to_owned(), h), ("w".to_owned(), w)]);
        check_at(&format!("symbolic {h} {w}"), &kernel, ROUNDED, bindings);
    }
}

#[test]
fn misaligned_pointers_take_the_unaligned_schedule() {
    let mut kernel = scheduled(sum(&[2, 40, 48], F16));
    kernel.schedule = kernel.schedule.unaligned();
    check_at("misaligned", &kernel, ROUNDED, Bindings::new());
}

#[test]
fn codes_from_tables() {
    for domain in [[2, 128, 64], [1, 70, 67]] {
        let kernel = scheduled(kernel(&domain, &[(I8, transposed)], I8, |b| {
            let x = b.dequantize(b.load(0), 0.05, 0);
            let y = b.op(Op::new(&op::SILU), &[x]);
            b.quantize(y, I8, 0.045, 2)
        }));
        assert!(kernel.schedule.table.is_some());
        check(&format!("table {domain:?}"), &kernel, EXACT);
    }
}

#[test]
fn codes_settled_in_f64() {
    for domain in [[1, 128, 128], [2, 50, 67]] {
        let mut kernel = kernel(&domain, &[(I8, dense), (U8, transposed)], I8, |b| {
            let x = b.dequantize(b.load(0), 0.05, 0);
            let y = b.dequantize(b.load(1), 0.03, 128);
            let sum = b.op(Op::new(&op::ADD), &[x, y]);
            let y = b.op(Op::new(&op::SILU), &[sum]);
            b.quantize(y, I8, 0.045, 0)
        });
        let again = Store { buffer: pointweld::plan::BufferId(3), ..kernel.stores[0].clone() };
        kernel.stores.push(again);
        kernel.stores[1].access.strides = transposed(&kernel.domain.clone());
        let kernel = scheduled(kernel);
        assert!(kernel.schedule.rounding.iter().any(|(_, r)| matches!(r, Rounding::Guarded { .. })));
        for perturb in [None, Some(7)] {
            let mut noise = Noise(9);
            let mut element = |_: usize, dtype: DType, _: usize| noise.element(dtype);
            let (arch, bindings) = (Arch::SM_90, Bindings::new());
            let setup = Setup { arch, bindings, within: EXACT, perturb, element: &mut element };
            prove(&format!("guarded {domain:?} {perturb:?}"), &kernel, setup);
        }
    }
}

#[test]
fn too_short_axes_are_left_to_the_cache() {
    let target = Target::of(Arch::SM_90);
    for domain in [[1, 3, 4096], [1, 4096, 3]] {
        let schedule = schedule::choose(&sum(&domain, F16), &target, &schedule::Options::default());
        assert!(!matches!(schedule.form, Form::Transposed { .. }), "{schedule:?}");
    }
}

/// A kernel whose text has been spoilt.
fn plant(domain: &[i64], right: &str, wrong: &str) {
    let mut kernel = sum(domain, F16);
    let again = Store { buffer: pointweld::plan::BufferId(3), ..kernel.stores[0].clone() };
    kernel.stores.push(again);
    kernel.stores[1].access.strides = transposed(&kernel.domain.clone());
    let kernel = scheduled(kernel);
    let source = emit::emit(&kernel, &emit::Options::default()).unwrap();
    let (head, body) = source.text.split_at(source.text.find("extern \"C\"").unwrap());
    assert!(body.contains(right), "`{right}` is not in {body}");
    let source = KernelSource { text: format!("{head}{}", body.replacen(right, wrong, 1)), ..source };
    let mut noise = Noise(1);
    let mut element = |_: usize, dtype: DType, _: usize| noise.element(dtype);
    let (arch, bindings) = (Arch::SM_90, Bindings::new());
    let setup = Setup { arch, bindings, within: ROUNDED, perturb: None, element: &mut element };
    prove_source("planted", &kernel, &source, setup);
}

#[test]
#[should_panic(expected = "x1_tile")]
fn a_missing_barrier_before_the_tile_is_read() {
    plant(&[128, 128], "__syncthreads();", "");
}

#[test]
#[should_panic(expected = "y1_tile")]
fn a_missing_barrier_before_the_tile_is_written_out() {
    plant(&[128, 128], "__syncthreads();\n  tile_out", "tile_out");
}

#[test]
#[should_panic(expected = "global `x1`")]
fn a_tile_that_forgets_its_lower_edge() {
    plant(&[100, 128], "x1_s1, high,", "x1_s1, 32u,");
}

#[test]
#[should_panic(expected = "global `x0`")]
fn a_row_beyond_the_edge() {
    plant(&[100, 128], "< high)", "< high + 32u)");
}

#[test]
#[should_panic(expected = "was not written")]
fn a_tile_that_ends_too_soon() {
    plant(&[128, 100], "y1_s1, 32u, wide", "y1_s1, 32u, wide - 1u");
}
