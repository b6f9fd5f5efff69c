//! The registers of a warp: reading checks that the active lanes were written, writing keeps the others.

use super::block::State;
use super::warp::{Exec, FULL, Stop, Warp};
use crate::ptx::fault::FaultKind;
use crate::ptx::program::*;

impl Warp {
    fn undefined(&self, mask: u32, set: u32, name: &str) -> Stop {
        Stop::at(
            (mask & !set).trailing_zeros() as usize,
            FaultKind::UninitialisedRegister { register: name.to_string() },
        )
    }

    /// The fault of touching a register that a `wgmma` in flight uses.
    pub(super) fn in_flight(&self, slot: Slot, register: &str, write: bool) -> Option<Stop> {
        let owner_line = self.tensor.as_ref()?.owner(slot)?;
        Some(Stop::at(0, FaultKind::PendingRegister { register: register.to_string(), write, owner_line }))
    }

    /// A row of the 32-bit bank, whose active lanes must have been written.
    #[inline]
    pub(crate) fn read32(&self, block: &State<'_, '_>, slot: Slot, mask: u32) -> Exec<&R32> {
        let set = self.set32[slot as usize];
        if self.check && mask & !set != 0 {
            let register = &block.program.names32[slot as usize];
            return Err(self.in_flight(slot, register, false).unwrap_or_else(|| self.undefined(mask, set, register)));
        }
        Ok(&self.r32[slot as usize])
    }

    #[inline]
    pub(crate) fn read64(&self, block: &State<'_, '_>, slot: Slot, mask: u32) -> Exec<&R64> {
        let set = self.set64[slot as usize];
        if self.check && mask & !set != 0 {
            return Err(self.undefined(mask, set, &block.program.names64[slot as usize]));
        }
        Ok(&self.r64[slot as usize])
    }

    #[inline]
    pub(crate) fn pred(&self, block: &State<'_, '_>, slot: Slot, mask: u32) -> Exec<u32> {
        let set = self.set_pred[slot as usize];
        if self.check && mask & !set != 0 {
            return Err(self.undefined(mask, set, &block.program.names_pred[slot as usize]));
        }
        Ok(self.preds[slot as usize])
    }

    #[inline]
    pub(crate) fn write32(&mut self, slot: Slot, mask: u32, row: &R32) {
        let d = &mut self.r32[slot as usize];
        if mask == FULL {
            *d = *row;
        } else {
            for i in 0..LANES {
                let keep = (mask >> i & 1).wrapping_sub(1);
                d[i] = d[i] & keep | row[i] & !keep;
            }
        }
        self.set32[slot as usize] |= mask;
        if let Some(tensor) = &mut self.tensor {
            tensor.note_write(slot);
        }
    }

    #[inline]
    pub(crate) fn write64(&mut self, slot: Slot, mask: u32, row: &R64) {
        let d = &mut self.r64[slot as usize];
        if mask == FULL {
            *d = *row;
        } else {
            for i in 0..LANES {
                let keep = u64::from(mask >> i & 1).wrapping_sub(1);
                d[i] = d[i] & keep | row[i] & !keep;
            }
        }
        self.set64[slot as usize] |= mask;
    }

    #[inline]
    pub(crate) fn write_pred(&mut self, slot: Slot, mask: u32, value: u32) {
        let p = &mut self.preds[slot as usize];
        *p = *p & !mask | value & mask;
        self.set_pred[slot as usize] |= mask;
    }

    /// A row of either bank, widened.
    pub(crate) fn read_loc(&self, block: &State<'_, '_>, loc: Loc, mask: u32) -> Exec<R64> {
        Ok(match loc {
            Loc::B32(slot) => self.read32(block, slot, mask)?.map(u64::from),
            Loc::B64(slot) => *self.read64(block, slot, mask)?,
            Loc::Sink => [0; LANES],
        })
    }

    pub(crate) fn write_loc(&mut self, loc: Loc, mask: u32, row: &R64) {
        match loc {
            Loc::B32(slot) => self.write32(slot, mask, &row.map(|v| v as u32)),
            Loc::B64(slot) => self.write64(slot, mask, row),
            Loc::Sink => {}
        }
    }
}
