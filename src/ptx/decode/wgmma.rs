//! `wgmma`: the tensor cores of Hopper, which a group of four warps feeds from shared memory.

use super::mods::Mods;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::program::*;

impl<'a> Decoder<'_, 'a> {
    /// Decodes a `wgmma` instruction; false if the opcode is of another family.
    pub(super) fn wgmma(&mut self, instr: &Instr<'a>) -> Res<bool> {
        if instr.opcode != "wgmma" {
            return Ok(false);
        }
        let mut mods = Mods::new(instr);
        let kind = mods.one_of(&["mma_async", "fence", "commit_group", "wait_group"]);
        if !(mods.take("sync") && mods.take("aligned")) {
            return self.unknown(instr);
        }
        if !self.exact_target {
            return self.operand_error(instr, "wgmma needs `.target sm_90a`").map(|()| true);
        }
        match kind {
            Some("mma_async") => self.wgmma_multiply(instr, &mut mods)?,
            Some("fence") => self.emit(Op::WgmmaFence, Class::Barrier),
            Some("commit_group") => self.emit(Op::WgmmaCommit, Class::Async),
            Some(_) => match self.operand(instr, 0)? {
                Operand::Int(n @ 0..=7) => self.emit(Op::WgmmaWait(*n as u32), Class::Async),
                _ => return self.operand_error(instr, "the group count must be a constant from 0 to 7"),
            },
            None => return self.unknown(instr),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    fn wgmma_multiply(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some((n, k)) = mods.next().and_then(shape) else { return self.unknown(instr) };
        let Some(to) = mods.next() else { return self.unknown(instr) };
        let saturate = mods.take("satfinite");
        let (Some(a), Some(b)) = (mods.next(), mods.next()) else { return self.unknown(instr) };
        let (a_elem, b_elem, floats) = match (to, a, b) {
            ("f32", "f16", "f16") => (MmaElem::F16, MmaElem::F16, true),
            ("f32", "bf16", "bf16") => (MmaElem::Bf16, MmaElem::Bf16, true),
            ("s32", "s8" | "u8", "s8" | "u8") => {
                let element = |name| if name == "s8" { MmaElem::S8 } else { MmaElem::U8 };
                (element(a), element(b), false)
            }
            _ => return self.unknown(instr),
        };
        // Integers have no odd multiples of 8 but 8 and 24.
        let width = if floats { n % 8 == 0 } else { n % 16 == 0 || n == 8 || n == 24 };
        if !width || k * a_elem.bits() != 256 || saturate && floats {
            return self.unknown(instr);
        }
        let d = self.distinct(instr, 0, n / 2)?;
        let from_registers = matches!(self.operand(instr, 1)?, Operand::Vector(_));
        // The sign of both operands, and which are transposed: A only from shared memory.
        let flags = match (floats, from_registers) {
            (false, _) => 0,
            (true, true) => 3,
            (true, false) => 4,
        };
        self.want_operands(instr, 4 + flags)?;
        let a = match from_registers {
            true => WgmmaSource::Registers(self.vector(instr, 1, 4)?.into()),
            false => WgmmaSource::Shared(self.descriptor(instr, 1)?),
        };
        let mut wgmma = Wgmma {
            n,
            a_elem,
            b_elem,
            saturate,
            d,
            a,
            b: self.descriptor(instr, 2)?,
            accumulate: self.pred_src(instr, 3)?,
            negate_a: false,
            negate_b: false,
            transpose_a: false,
            transpose_b: false,
        };
        if floats {
            wgmma.negate_a = self.constant_of(instr, 4, [1, -1])?;
            wgmma.negate_b = self.constant_of(instr, 5, [1, -1])?;
            wgmma.transpose_a = !from_registers && self.constant_of(instr, 6, [0, 1])?;
            wgmma.transpose_b = self.constant_of(instr, 3 + flags, [0, 1])?;
        }
        self.emit(Op::Wgmma(Box::new(wgmma)), Class::Matrix);
        Ok(())
    }

    /// The accumulators: registers, each named once.
    fn distinct(&mut self, instr: &Instr<'a>, i: usize, want: usize) -> Res<std::sync::Arc<[Slot]>> {
        let names = match self.operand(instr, i)? {
            Operand::Vector(parts) => parts.clone(),
            _ => return self.operand_error(instr, "expected a vector of accumulators"),
        };
        for part in &names {
            let fits = match part {
                Operand::Name(name, None) => {
                    matches!(self.register(instr, name)?, (Ty { bits: 32, kind }, _) if kind != Kind::Pred)
                }
                _ => false,
            };
            if !fits {
                return self.operand_error(instr, "the accumulators must be 32-bit registers");
            }
        }
        let slots = self.vector(instr, i, want)?;
        let mut sorted = slots.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return self.operand_error(instr, "an accumulator is named twice");
        }
        Ok(slots.into())
    }

    fn descriptor(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        self.src64(instr, i)
    }

    /// Whether a constant is the second of two.
    fn constant_of(&mut self, instr: &Instr<'a>, i: usize, [no, yes]: [i128; 2]) -> Res<bool> {
        match self.operand(instr, i)? {
            Operand::Int(v) if *v == no => Ok(false),
            Operand::Int(v) if *v == yes => Ok(true),
            _ => self.operand_error(instr, format!("operand {} must be {no} or {yes}", i + 1)),
        }
    }
}

/// n and k of `m64n128k16`.
fn shape(name: &str) -> Option<(usize, usize)> {
    let (n, k) = name.strip_prefix("m64n")?.split_once('k')?;
    let (n, k) = (n.parse().ok()?, k.parse().ok()?);
    (8..=256).contains(&n).then_some((n, k))
}
