//! `cp.async.bulk`: one thread asks for many bytes, whose arrival an mbarrier counts.
//!
//! The source is read when the copy is issued. The bytes land when all threads have arrived at the mbarrier and one asks whether its phase is
//! over: as late as allowed, so that a missing wait shows, and the race check reports whoever touches them earlier.

use super::access::read_global;
use super::block::{Phase, State};
use super::warp::{Exec, Stop, Warp, lanes};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::program::*;
use crate::ptx::race::Who;

/// What addresses and sizes are multiples of.
const UNIT: usize = 16;

/// A copy on its way.
#[derive(Debug, Clone)]
pub(crate) struct Landing {
    /// The mbarrier that counts its bytes, by its place in shared memory.
    barrier: usize,
    at: usize,
    bytes: Vec<u8>,
    who: Who,
}

impl Warp {
    pub(super) fn bulk_copy(&mut self, block: &mut State<'_, '_>, copy: &BulkCopy, exec: u32, line: u32) -> Exec<()> {
        let (dst, src) = (self.addresses(block, &copy.dst, exec)?, self.addresses(block, &copy.src, exec)?);
        let (sizes, barriers) = (*self.read32(block, copy.bytes, exec)?, self.addresses(block, &copy.barrier, exec)?);
        for lane in lanes(exec) {
            let stop = |kind| Stop { lane: Some(lane), kind };
            let len = sizes[lane] as usize;
            if len == 0 || !len.is_multiple_of(UNIT) {
                let message = format!("a cp.async.bulk of {len} bytes, which is no multiple of {UNIT}");
                return Err(Stop::at(lane, FaultKind::Protocol(message)));
            }
            let barrier = self.object(block, copy.barrier.space, barriers[lane], lane)?;
            if !block.mbarriers.contains_key(&barrier) {
                let message = "a cp.async.bulk names an mbarrier that is not initialised";
                return Err(Stop::at(lane, FaultKind::Protocol(message.into())));
            }
            let (space, addr) = Self::route(copy.src.space, src[lane]);
            if space != MemSpace::Global {
                let space = SpaceName::from(space);
                let kind = FaultKind::Unmapped { space, write: false, size: len, address: addr };
                return Err(Stop::at(lane, kind));
            }
            let mut bytes = vec![0; len];
            read_global(block, addr, UNIT, &mut bytes).map_err(stop)?;
            let who = self.who(lane, line);
            let at = block.shared.begin_copy(dst[lane], len, UNIT, who).map_err(stop)?;
            block.stats.global_read += len as u64;
            block.bulk.push(Landing { barrier, at, bytes, who });
        }
        Ok(())
    }
}

/// Lands the copies that an mbarrier counts.
pub(super) fn land(block: &mut State<'_, '_>, at: usize, barrier: &mut Phase) {
    let (due, flying) = std::mem::take(&mut block.bulk).into_iter().partition(|landing| landing.barrier == at);
    block.bulk = flying;
    let due: Vec<Landing> = due;
    for landing in due {
        block.shared.land(landing.at, &landing.bytes, landing.who, true);
        barrier.bytes -= landing.bytes.len() as i64;
        // The phase's end tells those who wait for it of the bytes, whenever their issuer arrived.
        if let Some(race) = &mut block.shared.race {
            race.release(landing.who.thread, &mut barrier.gathering);
        }
    }
}
