//! Executes pure instructions: read the operand rows, apply the function, keep the active lanes.

use super::block::State;
use super::warp::{Exec, FULL, Warp};
use crate::ptx::perturb;
use crate::ptx::program::*;

pub(crate) fn run(w: &mut Warp, block: &State<'_, '_>, op: &Pure, m: u32, inst: &Inst) -> Exec<()> {
    match *op {
        Pure::A(f, d, a) => {
            let operand = w.read32(block, a, m)?;
            let mut row = f(operand);
            approximate(&mut row, operand, block, inst);
            w.write32(d, m, &row);
            if inst.class == Class::Move
                && let Some(tensor) = &mut w.tensor
            {
                tensor.note_move(d, a);
            }
        }
        Pure::AWide(f, d, a) => {
            let mut row = f(w.read64(block, a, m)?);
            if let (Some(seed), true) = (block.perturb, inst.approx != Approx::Exact) {
                perturb::wide(&mut row, inst.approx, seed, inst.line);
            }
            w.write64(d, m, &row);
        }
        Pure::Widen(f, d, a) => {
            let row = f(w.read32(block, a, m)?);
            w.write64(d, m, &row);
        }
        Pure::Narrow(f, d, a) => {
            let row = f(w.read64(block, a, m)?);
            w.write32(d, m, &row);
        }
        Pure::B(f, d, [a, b]) => {
            let (x, y) = (w.read32(block, a, m)?, w.read32(block, b, m)?);
            let mut row = f(x, y);
            approximate(&mut row, x, block, inst);
            w.write32(d, m, &row);
        }
        Pure::BWide(f, d, [a, b]) => {
            let row = f(w.read64(block, a, m)?, w.read64(block, b, m)?);
            w.write64(d, m, &row);
        }
        Pure::Join(f, d, [a, b]) => {
            let row = f(w.read32(block, a, m)?, w.read32(block, b, m)?);
            w.write64(d, m, &row);
        }
        Pure::Shift(f, d, a, n) => {
            let row = f(w.read64(block, a, m)?, w.read32(block, n, m)?);
            w.write64(d, m, &row);
        }
        Pure::C(f, d, [a, b, c]) => {
            let row = f(w.read32(block, a, m)?, w.read32(block, b, m)?, w.read32(block, c, m)?);
            w.write32(d, m, &row);
        }
        Pure::CWide(f, d, [a, b, c]) => {
            let row = f(w.read64(block, a, m)?, w.read64(block, b, m)?, w.read64(block, c, m)?);
            w.write64(d, m, &row);
        }
        Pure::MadWide(f, d, [a, b], c) => {
            let row = f(w.read32(block, a, m)?, w.read32(block, b, m)?, w.read64(block, c, m)?);
            w.write64(d, m, &row);
        }
        Pure::Field(f, d, a, [p, n]) => {
            let row = f(w.read64(block, a, m)?, w.read32(block, p, m)?, w.read32(block, n, m)?);
            w.write64(d, m, &row);
        }
        Pure::D(f, d, [a, b, c, e]) => {
            let row = f(w.read32(block, a, m)?, w.read32(block, b, m)?, w.read32(block, c, m)?, w.read32(block, e, m)?);
            w.write32(d, m, &row);
        }
        Pure::Insert(f, d, [a, b], [p, n]) => {
            let row = f(w.read64(block, a, m)?, w.read64(block, b, m)?, w.read32(block, p, m)?, w.read32(block, n, m)?);
            w.write64(d, m, &row);
        }
        Pure::Cmp(f, out, [a, b]) => {
            let hit = f(w.read32(block, a, m)?, w.read32(block, b, m)?);
            predicates(w, block, out, hit, m)?;
        }
        Pure::CmpWide(f, out, [a, b]) => {
            let hit = f(w.read64(block, a, m)?, w.read64(block, b, m)?);
            predicates(w, block, out, hit, m)?;
        }
        Pure::Test(f, d, a) => {
            let hit = f(w.read32(block, a, m)?);
            w.write_pred(d, m, hit);
        }
        Pure::TestWide(f, d, a) => {
            let hit = f(w.read64(block, a, m)?);
            w.write_pred(d, m, hit);
        }
        Pure::Select(d, [a, b], p) => {
            let p = w.pred(block, p, m)?;
            // Only the side that is chosen has to be defined.
            let (x, y) = (w.read32(block, a, m & p)?, w.read32(block, b, m & !p)?);
            let row = std::array::from_fn(|i| if p >> i & 1 == 1 { x[i] } else { y[i] });
            w.write32(d, m, &row);
        }
        Pure::SelectWide(d, [a, b], p) => {
            let p = w.pred(block, p, m)?;
            let (x, y) = (w.read64(block, a, m & p)?, w.read64(block, b, m & !p)?);
            let row = std::array::from_fn(|i| if p >> i & 1 == 1 { x[i] } else { y[i] });
            w.write64(d, m, &row);
        }
        Pure::Logic(join, d, [(a, na), (b, nb)]) => {
            let flip = |v: u32, n: bool| if n { !v } else { v };
            let value = join.apply(flip(w.pred(block, a, m)?, na), flip(w.pred(block, b, m)?, nb));
            w.write_pred(d, m, value);
        }
        Pure::MovPred(d, a, negated) => {
            let value = w.pred(block, a, m)? ^ if negated { FULL } else { 0 };
            w.write_pred(d, m, value);
        }
        Pure::Carry(op, d, [a, b, c]) => {
            let carry = if op.reads { w.pred(block, CARRY, m)? } else { 0 };
            let (x, y, z) = (*w.read32(block, a, m)?, *w.read32(block, b, m)?, *w.read32(block, c, m)?);
            let mut out = 0;
            let row: R32 = std::array::from_fn(|i| {
                let (value, carried) =
                    carry_step(op.kind, u64::from(x[i]), u64::from(y[i]), u64::from(z[i]), carry >> i & 1, 32);
                out |= u32::from(carried) << i;
                value as u32
            });
            w.write32(d, m, &row);
            if op.writes {
                w.write_pred(CARRY, m, out);
            }
        }
        Pure::CarryWide(op, d, [a, b, c]) => {
            let carry = if op.reads { w.pred(block, CARRY, m)? } else { 0 };
            let (x, y, z) = (*w.read64(block, a, m)?, *w.read64(block, b, m)?, *w.read64(block, c, m)?);
            let mut out = 0;
            let row: R64 = std::array::from_fn(|i| {
                let (value, carried) = carry_step(op.kind, x[i], y[i], z[i], carry >> i & 1, 64);
                out |= u32::from(carried) << i;
                value
            });
            w.write64(d, m, &row);
            if op.writes {
                w.write_pred(CARRY, m, out);
            }
        }
    }
    Ok(())
}

fn approximate(row: &mut R32, operand: &R32, block: &State<'_, '_>, inst: &Inst) {
    if let (Some(seed), true) = (block.perturb, inst.approx != Approx::Exact) {
        perturb::row(row, operand, inst.approx, seed, inst.line);
    }
}

fn predicates(w: &mut Warp, block: &State<'_, '_>, out: PredOut, hit: u32, m: u32) -> Exec<()> {
    let (mut p, mut q) = (hit, !hit);
    if let Some((join, slot, negated)) = out.join {
        let c = w.pred(block, slot, m)? ^ if negated { FULL } else { 0 };
        (p, q) = (join.apply(hit, c), join.apply(!hit, c));
    }
    if let Some(slot) = out.p {
        w.write_pred(slot, m, p);
    }
    if let Some(slot) = out.q {
        w.write_pred(slot, m, q);
    }
    Ok(())
}

/// One lane of a carry chain: the value and the carry out. A borrow counts as a carry of `subc`.
fn carry_step(kind: CarryKind, a: u64, b: u64, c: u64, carry: u32, bits: u32) -> (u64, bool) {
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    let carry = u128::from(carry);
    let (wide_a, wide_b) = (u128::from(a), u128::from(b));
    let sum = match kind {
        CarryKind::Add => wide_a + wide_b + carry,
        CarryKind::Sub => {
            let borrow = wide_b + carry;
            return ((a.wrapping_sub(borrow as u64)) & mask, wide_a < borrow);
        }
        CarryKind::MadLo => (u128::from(a.wrapping_mul(b) & mask)) + u128::from(c) + carry,
        CarryKind::MadHiUnsigned => ((wide_a * wide_b) >> bits & u128::from(mask)) + u128::from(c) + carry,
        CarryKind::MadHiSigned => {
            let extend = |v: u64| i128::from((v << (64 - bits)) as i64 >> (64 - bits));
            ((extend(a) * extend(b)) >> bits) as u128 & u128::from(mask)
        }
    };
    let sum = if kind == CarryKind::MadHiSigned { sum + u128::from(c) + carry } else { sum };
    (sum as u64 & mask, sum >> bits != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_word_sums_and_differences_agree_with_u128(a: u64, b: u64) {
            let (alo, blo, ahi, bhi) = (a & 0xffff_ffff, b & 0xffff_ffff, a >> 32, b >> 32);
            let (lo, c) = carry_step(CarryKind::Add, alo, blo, 0, 0, 32);
            let (hi, c) = carry_step(CarryKind::Add, ahi, bhi, 0, u32::from(c), 32);
            prop_assert_eq!(u128::from(c) << 64 | u128::from(hi) << 32 | u128::from(lo), u128::from(a) + u128::from(b));
            let (lo, c) = carry_step(CarryKind::Sub, alo, blo, 0, 0, 32);
            let (hi, c) = carry_step(CarryKind::Sub, ahi, bhi, 0, u32::from(c), 32);
            prop_assert_eq!((hi << 32 | lo, c), a.overflowing_sub(b));
        }

        #[test]
        fn a_product_built_from_words_agrees_with_u128(a: u64, b: u32, c: u64) {
            // (a * b + c) mod 2^64 from 32-bit pieces, as compilers expand it.
            let (lo, carry) = carry_step(CarryKind::MadLo, a & 0xffff_ffff, u64::from(b), c & 0xffff_ffff, 0, 32);
            let (hi, _) = carry_step(CarryKind::MadHiUnsigned, a & 0xffff_ffff, u64::from(b), c >> 32, u32::from(carry), 32);
            let hi = hi.wrapping_add((a >> 32).wrapping_mul(u64::from(b))) & 0xffff_ffff;
            prop_assert_eq!(hi << 32 | lo, a.wrapping_mul(u64::from(b)).wrapping_add(c));
        }
    }
}
