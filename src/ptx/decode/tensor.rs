//! Tensor-core instructions, the matrix loads that feed them, and mbarriers.

use super::mods::Mods;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Operand};
use crate::ptx::program::*;

impl<'a> Decoder<'_, 'a> {
    /// Decodes a tensor-core or mbarrier instruction; false if the opcode is of another family.
    pub(super) fn tensor(&mut self, instr: &Instr<'a>) -> Res<bool> {
        let mut mods = Mods::new(instr);
        match instr.opcode {
            "mma" => self.mma(instr, &mut mods)?,
            "ldmatrix" => self.matrix_access(instr, &mut mods, false)?,
            "stmatrix" => self.matrix_access(instr, &mut mods, true)?,
            "mbarrier" => self.mbarrier(instr, &mut mods)?,
            _ => return Ok(false),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    pub(super) fn vector(&mut self, instr: &Instr<'a>, i: usize, want: usize) -> Res<Vec<Slot>> {
        let parts = match self.operand(instr, i)?.clone() {
            Operand::Vector(parts) => parts,
            one => vec![one],
        };
        if parts.len() != want {
            return self
                .operand_error(instr, format!("operand {} needs {want} registers, found {}", i + 1, parts.len()));
        }
        parts.iter().map(|p| self.value32(instr, p)).collect()
    }

    fn matrix_access(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, store: bool) -> Res<()> {
        let fixed = ["sync", "aligned", "m8n8"].into_iter().all(|m| mods.take(m));
        let count = match mods.one_of(&["x1", "x2", "x4"]) {
            Some("x1") => 1,
            Some("x2") => 2,
            Some(_) => 4,
            None => return self.unknown(instr),
        };
        let transpose = mods.take("trans");
        let shared = mods.take("shared") || mods.take("shared::cta");
        if !fixed || !mods.take("b16") {
            return self.unknown(instr);
        }
        let (data, at) = if store { (1, 0) } else { (0, 1) };
        let addr = self.address(instr, at, shared.then_some(MemSpace::Shared))?;
        let regs = self.vector(instr, data, count)?;
        let access = Box::new(MatrixAccess { addr, regs, transpose });
        if store {
            self.emit(Op::StoreMatrix(access), Class::SharedStore);
        } else {
            self.emit(Op::LoadMatrix(access), Class::SharedLoad);
        }
        Ok(())
    }

    fn mma(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let fixed = ["sync", "aligned"].into_iter().all(|m| mods.take(m));
        let shape = mods.one_of(&["m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32", "m8n8k16"]);
        let layout = mods.take("row") && mods.take("col");
        let saturate = mods.take("satfinite");
        let (Some(shape), true, true) = (shape, fixed, layout) else { return self.unknown(instr) };
        let types: Vec<&str> = (0..4).map_while(|_| mods.next()).collect();
        let [d, a, b, c] = types[..] else { return self.unknown(instr) };
        let element = |name: &str| {
            Some(match name {
                "f16" => MmaElem::F16,
                "bf16" => MmaElem::Bf16,
                "tf32" => MmaElem::Tf32,
                "e4m3" => MmaElem::E4m3,
                "e5m2" => MmaElem::E5m2,
                "s8" => MmaElem::S8,
                "u8" => MmaElem::U8,
                _ => return None,
            })
        };
        let acc = match (d, c) {
            ("f32", "f32") => MmaAcc::F32,
            ("f16", "f16") => MmaAcc::F16,
            ("s32", "s32") => MmaAcc::S32,
            _ => return self.unknown(instr),
        };
        let (Some(a_elem), Some(b_elem)) = (element(a), element(b)) else { return self.unknown(instr) };
        let (m, n, k) = match shape {
            "m16n8k4" => (16, 8, 4),
            "m16n8k8" => (16, 8, 8),
            "m16n8k16" => (16, 8, 16),
            "m16n8k32" => (16, 8, 32),
            _ => (8, 8, 16),
        };
        let bits = a_elem.bits();
        let exists = match (a_elem, b_elem, acc) {
            (MmaElem::F16, MmaElem::F16, MmaAcc::F32 | MmaAcc::F16) | (MmaElem::Bf16, MmaElem::Bf16, MmaAcc::F32) => {
                m == 16 && (k == 8 || k == 16)
            }
            (MmaElem::Tf32, MmaElem::Tf32, MmaAcc::F32) => m == 16 && (k == 4 || k == 8),
            (MmaElem::E4m3 | MmaElem::E5m2, MmaElem::E4m3 | MmaElem::E5m2, MmaAcc::F32 | MmaAcc::F16) => {
                m == 16 && (k == 16 || k == 32)
            }
            (MmaElem::S8 | MmaElem::U8, MmaElem::S8 | MmaElem::U8, MmaAcc::S32) => {
                (m == 16 && (k == 16 || k == 32)) || m == 8
            }
            _ => false,
        };
        if !exists || saturate && acc != MmaAcc::S32 {
            return self.unknown(instr);
        }
        self.want_operands(instr, 4)?;
        let acc_regs = if acc == MmaAcc::F16 { m * n / 64 } else { m * n / 32 };
        let mma = Mma {
            m,
            n,
            k,
            a_elem,
            b_elem,
            acc,
            saturate,
            d: self.vector(instr, 0, acc_regs)?,
            a: self.vector(instr, 1, m * k * bits / 1024)?,
            b: self.vector(instr, 2, n * k * bits / 1024)?,
            c: self.vector(instr, 3, acc_regs)?,
        };
        self.emit(Op::Mma(Box::new(mma)), Class::Matrix);
        Ok(())
    }

    fn mbarrier(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(kind) = mods.one_of(&["init", "inval", "arrive", "arrive_drop", "expect_tx", "test_wait", "try_wait"])
        else {
            return self.unknown(instr);
        };
        let expects = kind == "arrive" && mods.take("expect_tx");
        let parity = mods.take("parity");
        mods.take("noComplete");
        mods.one_of(&["release", "acquire", "relaxed"]);
        mods.one_of(&["cta", "cluster"]);
        let shared = mods.take("shared") || mods.take("shared::cta");
        let space = shared.then_some(MemSpace::Shared);
        mods.take("b64");
        let op = match kind {
            "init" => MBarrier::Init { addr: self.address(instr, 0, space)?, count: self.src32(instr, 1)? },
            "inval" => MBarrier::Invalidate { addr: self.address(instr, 0, space)? },
            "expect_tx" => MBarrier::ExpectTx { addr: self.address(instr, 0, space)?, bytes: self.src32(instr, 1)? },
            "arrive" | "arrive_drop" => {
                let state = match self.operand(instr, 0)? {
                    Operand::Sink => None,
                    _ => Some(self.dst64(instr, 0)?),
                };
                let addr = self.address(instr, 1, space)?;
                let extra = if instr.operands.len() > 2 { Some(self.src32(instr, 2)?) } else { None };
                let (count, expect) = if expects { (None, extra) } else { (extra, None) };
                MBarrier::Arrive { addr, state, count, expect, drop: kind == "arrive_drop" }
            }
            _ => {
                let pred = self.dst_pred(instr, 0)?;
                let addr = self.address(instr, 1, space)?;
                let token = if parity {
                    WaitToken::Parity(self.src32(instr, 2)?)
                } else {
                    WaitToken::State(self.src64(instr, 2)?)
                };
                MBarrier::Test { addr, pred, token, suspends: kind == "try_wait" }
            }
        };
        self.emit(Op::MBarrier(Box::new(op)), Class::Barrier);
        Ok(())
    }
}
