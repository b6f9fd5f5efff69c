//! The arithmetic of `wgmma`: one warp's 16 rows against all columns.

use crate::ptx::ops::half::{Bf16, F16, Format};
use crate::ptx::ops::round::canonical;
use crate::ptx::program::{MmaElem, R32, Wgmma};

/// Numbers that tensor cores multiply.
#[derive(Debug)]
pub(super) enum Values {
    Float(Vec<f64>),
    Integer(Vec<i32>),
}

/// The lane and the first register of a group of two columns, of a row of the warp's 16: the accumulators lie as those of `mma.m16n8`.
fn place(row: usize, pair: usize) -> (usize, usize) {
    (pair / 4 * 4 + row / 8 * 2, row % 8 * 4 + pair % 4)
}

/// Adds a product to the accumulators. `a` is `[16][k]`, `b` is `[k][n]`.
pub(super) fn multiply(wgmma: &Wgmma, a: &Values, row: usize, b: &Values, d: &mut [R32]) {
    match (a, b) {
        (Values::Float(a), Values::Float(b)) => {
            let k = b.len() / wgmma.n;
            let mut sums = vec![0f64; wgmma.n];
            for m in 0..16 {
                sums.fill(0.0);
                for (&x, column) in a[(row + m) * k..].iter().zip(b.chunks_exact(wgmma.n)) {
                    sums.iter_mut().zip(column).for_each(|(sum, &y)| *sum += x * y);
                }
                // Rounded once: the products are exact, and so, nearly, are their sums.
                for (pair, two) in sums.chunks_exact(2).enumerate() {
                    let (reg, lane) = place(m, pair);
                    for (i, sum) in two.iter().enumerate() {
                        let acc = &mut d[reg + i][lane];
                        *acc = canonical((f64::from(f32::from_bits(*acc)) + sum) as f32);
                    }
                }
            }
        }
        (Values::Integer(a), Values::Integer(b)) => {
            let k = b.len() / wgmma.n;
            let mut sums = vec![0i32; wgmma.n];
            for m in 0..16 {
                sums.fill(0);
                for (&x, column) in a[(row + m) * k..].iter().zip(b.chunks_exact(wgmma.n)) {
                    sums.iter_mut().zip(column).for_each(|(sum, &y)| *sum += x * y);
                }
                for (pair, two) in sums.chunks_exact(2).enumerate() {
                    let (reg, lane) = place(m, pair);
                    for (i, &sum) in two.iter().enumerate() {
                        let acc = &mut d[reg + i][lane];
                        let old = *acc as i32;
                        *acc = if wgmma.saturate { old.saturating_add(sum) } else { old.wrapping_add(sum) } as u32;
                    }
                }
            }
        }
        // Both operands are decoded by the types of one instruction.
        _ => {}
    }
}

/// A's 16 rows of a warp from its four registers, laid out as those of `mma.m16n8k16` and `mma.m16n8k32`.
pub(super) fn from_registers(wgmma: &Wgmma, regs: &[R32]) -> Values {
    let bits = wgmma.a_elem.bits();
    let (per_reg, k) = (32 / bits, 256 / bits);
    let element = |i: usize| {
        let (row, k) = (i / k, i % k);
        let reg = k / (4 * per_reg) * 2 + row / 8;
        let lane = row % 8 * 4 + k / per_reg % 4;
        regs[reg][lane] >> (k % per_reg * bits)
    };
    let sign = if wgmma.negate_a { -1.0 } else { 1.0 };
    let float = |v: u32| sign * f64::from(if wgmma.a_elem == MmaElem::F16 { F16::wide(v) } else { Bf16::wide(v) });
    match wgmma.a_elem {
        MmaElem::S8 => Values::Integer((0..16 * k).map(|i| i32::from(element(i) as i8)).collect()),
        MmaElem::U8 => Values::Integer((0..16 * k).map(|i| i32::from(element(i) as u8)).collect()),
        _ => Values::Float((0..16 * k).map(|i| float(element(i) & 0xffff)).collect()),
    }
}
