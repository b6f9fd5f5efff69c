//! Tensor-core instructions: `ldmatrix`, `stmatrix` and `mma.sync`.
//!
//! Fragments are laid out as the PTX ISA's figures show them. With `group = lane / 4` and `part = lane % 4`, a register of A or B holds consecutive
//! elements along k, of row (A) or column (B) `group`; the accumulator's registers hold columns `2 * part` and the next.
//!
//! Products are summed exactly enough: in f64, rounded once to the accumulator's type. Hardware sums in an order and with a precision that NVIDIA
//! does not document, so floating-point results may differ by a few units in the last place of the largest term; integer results are exact.

use super::block::State;
use super::warp::{Exec, FULL, Flow, Stop, Wait, Warp};
use crate::ptx::fault::FaultKind;
use crate::ptx::ops::fp8;
use crate::ptx::ops::half::{Bf16, F16, Format};
use crate::ptx::ops::round::{canonical, narrow_odd};
use crate::ptx::program::*;

impl Warp {
    /// Runs a matrix instruction once the whole warp is there.
    pub(super) fn matrix(&mut self, block: &mut State<'_, '_>, op: &Op, exec: u32, line: u32) -> Exec<Flow> {
        if exec != self.live {
            return Ok(Flow::Block(Wait::Lanes));
        }
        if exec != FULL {
            let kind = FaultKind::Protocol("a tensor-core instruction needs all 32 lanes of a warp".into());
            return Err(Stop::at(exec.trailing_zeros() as usize, kind));
        }
        match op {
            Op::LoadMatrix(access) => self.load_matrix(block, access, line)?,
            Op::StoreMatrix(access) => self.store_matrix(block, access, line)?,
            Op::Mma(mma) => self.mma(block, mma)?,
            _ => {}
        }
        Ok(Flow::Next)
    }

    /// The shared addresses of the rows: lane `8 * i + r` points at row `r` of matrix `i`.
    fn row_address(&self, access: &MatrixAccess, addrs: &R64, lane: usize) -> Exec<u64> {
        match Self::route(access.addr.space, addrs[lane]) {
            (MemSpace::Shared, addr) => Ok(addr),
            (space, address) => {
                Err(Stop::at(lane, FaultKind::Unmapped { space: space.into(), write: false, size: 16, address }))
            }
        }
    }

    fn load_matrix(&mut self, block: &mut State<'_, '_>, access: &MatrixAccess, line: u32) -> Exec<()> {
        // Lanes that address no row may hold anything.
        let addressing = FULL >> (32 - 8 * access.regs.len());
        let addrs = self.addresses(block, &access.addr, addressing)?;
        for (i, &reg) in access.regs.iter().enumerate() {
            let mut elements = [[0u16; 8]; 8];
            for (r, row) in elements.iter_mut().enumerate() {
                let lane = 8 * i + r;
                let addr = self.row_address(access, &addrs, lane)?;
                let mut bytes = [0; 16];
                let read = block.shared.read(addr, 16, &mut bytes, self.who(lane, line), false);
                read.map_err(|kind| Stop { lane: Some(lane), kind })?;
                *row = std::array::from_fn(|c| u16::from_le_bytes([bytes[2 * c], bytes[2 * c + 1]]));
            }
            let at = |r: usize, c: usize| u32::from(if access.transpose { elements[c][r] } else { elements[r][c] });
            let out = std::array::from_fn(|lane| at(lane / 4, lane % 4 * 2) | at(lane / 4, lane % 4 * 2 + 1) << 16);
            self.write32(reg, FULL, &out);
        }
        Ok(())
    }

    fn store_matrix(&mut self, block: &mut State<'_, '_>, access: &MatrixAccess, line: u32) -> Exec<()> {
        let addressing = FULL >> (32 - 8 * access.regs.len());
        let addrs = self.addresses(block, &access.addr, addressing)?;
        for (i, &reg) in access.regs.iter().enumerate() {
            let values = *self.read32(block, reg, FULL)?;
            // The element (r, c) of the matrix that the fragments spell.
            let element = |r: usize, c: usize| (values[r * 4 + c / 2] >> (16 * (c % 2))) as u16;
            for r in 0..8 {
                let lane = 8 * i + r;
                let addr = self.row_address(access, &addrs, lane)?;
                let mut bytes = [0; 16];
                for c in 0..8 {
                    let value = if access.transpose { element(c, r) } else { element(r, c) };
                    bytes[2 * c..2 * c + 2].copy_from_slice(&value.to_le_bytes());
                }
                let written = block.shared.write(addr, 16, &bytes, self.who(lane, line), false);
                written.map_err(|kind| Stop { lane: Some(lane), kind })?;
            }
        }
        Ok(())
    }

    fn rows(&self, block: &State<'_, '_>, slots: &[Slot]) -> Exec<Vec<R32>> {
        slots.iter().map(|&s| self.read32(block, s, FULL).copied()).collect()
    }

    fn mma(&mut self, block: &State<'_, '_>, mma: &Mma) -> Exec<()> {
        let (a, b, c) = (self.rows(block, &mma.a)?, self.rows(block, &mma.b)?, self.rows(block, &mma.c)?);
        let d = if mma.acc == MmaAcc::S32 { integer(mma, &a, &b, &c) } else { floating(mma, &a, &b, &c) };
        for (&slot, row) in mma.d.iter().zip(&d) {
            self.write32(slot, FULL, row);
        }
        Ok(())
    }
}

/// Where an element of an operand is: the register, the lane and the first bit. `row` counts along m or n.
///
/// Registers alternate between the two halves of m first, then step through k; B has one half only.
fn place(row: usize, k: usize, bits: usize, halves: usize) -> (usize, usize, usize) {
    let per_reg = 32 / bits;
    let step = k / (4 * per_reg);
    (step * halves + row / 8, row % 8 * 4 + k / per_reg % 4, k % per_reg * bits)
}

/// Where an accumulator element is in 32-bit registers: the register and the lane.
fn place_acc(m: usize, n: usize) -> (usize, usize) {
    (m / 8 * 2 + n % 2, m % 8 * 4 + n / 2)
}

/// An operand as a matrix, `rows` by k.
fn gather<T>(regs: &[R32], rows: usize, mma: &Mma, elem: MmaElem, value: impl Fn(u32) -> T) -> Vec<T> {
    let halves = rows / 8;
    let mut out = Vec::with_capacity(rows * mma.k);
    for row in 0..rows {
        for k in 0..mma.k {
            let (reg, lane, shift) = place(row, k, elem.bits(), halves);
            out.push(value(regs[reg][lane] >> shift));
        }
    }
    out
}

fn integer(mma: &Mma, a: &[R32], b: &[R32], c: &[R32]) -> Vec<R32> {
    let extend =
        |elem: MmaElem| move |v: u32| if elem == MmaElem::S8 { i32::from(v as i8) } else { i32::from(v as u8) };
    let am = gather(a, mma.m, mma, mma.a_elem, extend(mma.a_elem));
    let bm = gather(b, mma.n, mma, mma.b_elem, extend(mma.b_elem));
    let mut d = c.to_vec();
    for (m, arow) in am.chunks_exact(mma.k).enumerate() {
        for (n, bcol) in bm.chunks_exact(mma.k).enumerate() {
            // At most 32 products of 255 * 255: no overflow.
            let dot: i32 = arow.iter().zip(bcol).map(|(x, y)| x * y).sum();
            let (reg, lane) = place_acc(m, n);
            let acc = &mut d[reg][lane];
            *acc =
                if mma.saturate { (*acc as i32).saturating_add(dot) } else { (*acc as i32).wrapping_add(dot) } as u32;
        }
    }
    d
}

fn decode(elem: MmaElem, v: u32) -> f32 {
    match elem {
        MmaElem::F16 => F16::wide(v & 0xffff),
        MmaElem::Bf16 => Bf16::wide(v & 0xffff),
        // Tensor cores read the upper 19 bits.
        MmaElem::Tf32 => f32::from_bits(v & !0x1fff),
        MmaElem::E4m3 => fp8::value(true, v as u8),
        _ => fp8::value(false, v as u8),
    }
}

fn floating(mma: &Mma, a: &[R32], b: &[R32], c: &[R32]) -> Vec<R32> {
    let am = gather(a, mma.m, mma, mma.a_elem, |v| decode(mma.a_elem, v));
    let bm = gather(b, mma.n, mma, mma.b_elem, |v| decode(mma.b_elem, v));
    let mut d = c.to_vec();
    for (m, arow) in am.chunks_exact(mma.k).enumerate() {
        for (n, bcol) in bm.chunks_exact(mma.k).enumerate() {
            let dot: f64 = arow.iter().zip(bcol).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            if mma.acc == MmaAcc::F32 {
                let (reg, lane) = place_acc(m, n);
                let acc = &mut d[reg][lane];
                *acc = canonical((f64::from(f32::from_bits(*acc)) + dot) as f32);
            } else {
                // Half accumulators pack two columns in a register.
                let (reg, lane, shift) = (m / 8, m % 8 * 4 + n / 2, n % 2 * 16);
                let acc = &mut d[reg][lane];
                let sum = f64::from(F16::wide(*acc >> shift & 0xffff)) + dot;
                *acc = *acc & !(0xffff << shift) | F16::round(narrow_odd(sum)) << shift;
            }
        }
    }
    d
}
