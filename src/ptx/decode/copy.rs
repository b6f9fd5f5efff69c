//! Asynchronous copies: `cp.async`, and those in bulk that an mbarrier counts.

use super::memory::HINTS;
use super::mods::Mods;
use super::scope::Binding;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::program::*;

impl<'a> Decoder<'_, 'a> {
    /// `cp.async.bulk` from global to shared memory, counted by an mbarrier.
    fn bulk_copy(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let tensor = mods.take("tensor");
        if mods.one_of(&["shared::cluster", "shared::cta"]).is_none()
            || !mods.take("global")
            || !mods.take("mbarrier::complete_tx::bytes")
        {
            return self.unknown(instr);
        }
        let hint = mods.take("L2::cache_hint");
        if tensor {
            return self.tensor_copy(instr, mods, hint);
        }
        self.want_operands(instr, 4 + usize::from(hint))?;
        let copy = BulkCopy {
            dst: self.address(instr, 0, Some(MemSpace::Shared))?,
            src: self.address(instr, 1, Some(MemSpace::Global))?,
            bytes: self.src32(instr, 2)?,
            barrier: self.address(instr, 3, Some(MemSpace::Shared))?,
        };
        self.emit(Op::BulkCopy(Box::new(copy)), Class::Async);
        Ok(())
    }

    /// `cp.async.bulk.tensor.2d [to], [map, {x, y}], [mbarrier]`.
    fn tensor_copy(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, hint: bool) -> Res<()> {
        if !mods.take("2d") {
            return self.unknown(instr);
        }
        mods.take("tile");
        self.want_operands(instr, 3 + usize::from(hint))?;
        let (map, at) = match self.operand(instr, 1)?.clone() {
            Operand::AddrList(parts) => match &parts[..] {
                [map @ Operand::Addr(..), Operand::Vector(at)] if at.len() == 2 => (
                    self.address_of(instr, 1, map, None)?,
                    [self.value32(instr, &at[0])?, self.value32(instr, &at[1])?],
                ),
                _ => return self.operand_error(instr, "expected `[map, {x, y}]`"),
            },
            _ => return self.operand_error(instr, "expected `[map, {x, y}]`"),
        };
        let copy = TensorCopy {
            dst: self.address(instr, 0, Some(MemSpace::Shared))?,
            map,
            at,
            barrier: self.address(instr, 2, Some(MemSpace::Shared))?,
        };
        self.emit(Op::TensorCopy(Box::new(copy)), Class::Async);
        Ok(())
    }

    pub(super) fn async_copy(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        if mods.take("bulk") {
            return self.bulk_copy(instr, mods);
        }
        if mods.take("commit_group") {
            self.emit(Op::AsyncCommit, Class::Async);
            return Ok(());
        }
        if mods.take("wait_all") {
            self.emit(Op::AsyncWaitAll, Class::Async);
            return Ok(());
        }
        if mods.take("wait_group") {
            return match self.operand(instr, 0)? {
                Operand::Int(n) if (0..=i128::from(u32::MAX)).contains(n) => {
                    self.emit(Op::AsyncWait(*n as u32), Class::Async);
                    Ok(())
                }
                _ => self.operand_error(instr, "the group count must be a constant"),
            };
        }
        if mods.take("mbarrier") {
            mods.take("arrive");
            let counted = !mods.take("noinc");
            let space = self.space(mods);
            mods.take("b64");
            let addr = self.address(instr, 0, space)?;
            self.emit(Op::MBarrier(Box::new(MBarrier::AsyncArrive { addr, counted })), Class::Async);
            return Ok(());
        }
        if mods.one_of(&["ca", "cg"]).is_none()
            || !(mods.take("shared") || mods.take("shared::cta"))
            || !mods.take("global")
        {
            return self.unknown(instr);
        }
        let hint = mods.take("L2::cache_hint");
        mods.drop_prefixed(&HINTS);
        let (dst, src) =
            (self.address(instr, 0, Some(MemSpace::Shared))?, self.address(instr, 1, Some(MemSpace::Global))?);
        let bytes = match self.operand(instr, 2)? {
            Operand::Int(n @ (4 | 8 | 16)) => *n as u8,
            _ => return self.operand_error(instr, "the copy size must be 4, 8 or 16"),
        };
        let extra = instr.operands.get(3).filter(|_| instr.operands.len() > 3 + usize::from(hint)).cloned();
        let (mut src_bytes, mut ignore) = (None, None);
        match extra {
            None => {}
            Some(Operand::Not(_)) => ignore = Some(self.pred_src(instr, 3)?),
            Some(Operand::Name(name, None))
                if matches!(self.scope.lookup(name), Some(Binding::Reg(Ty { kind: Kind::Pred, .. }, _))) =>
            {
                ignore = Some(self.pred_src(instr, 3)?);
            }
            Some(op) => src_bytes = Some(self.value32(instr, &op)?),
        }
        self.emit(Op::AsyncCopy(Box::new(AsyncCopy { dst, src, bytes, src_bytes, ignore })), Class::Async);
        Ok(())
    }
}
