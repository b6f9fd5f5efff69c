//! `cp.async`: the source is read when the copy is issued, and the bytes land in shared memory when the thread waits for them.
//!
//! Hardware may land them any time in between. Landing them as late as allowed shows a missing wait as stale data, and the race check reports whoever touches the bytes earlier.

use super::access::read_global;
use super::block::State;
use super::warp::{Exec, FULL, Stop, Warp, lanes};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::program::*;

#[derive(Debug, Clone)]
struct Landing {
    lane: usize,
    at: usize,
    bytes: [u8; 16],
    len: usize,
    line: u32,
}

/// The copies of a warp's lanes that have not landed. Groups are counted per lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copies {
    /// Copies with the group that each belongs to; groups count up per lane.
    flying: Vec<(u64, Landing)>,
    /// Groups that each lane has committed.
    committed: [u64; LANES],
}

impl Copies {
    pub(super) fn commit(&mut self, exec: u32) {
        for lane in lanes(exec) {
            self.committed[lane] += 1;
        }
    }

    /// Takes the copies of a lane that belong to all but its newest `left` committed groups.
    fn take(&mut self, exec: u32, left: u64) -> Vec<Landing> {
        let due = |group: u64, lane: usize| exec >> lane & 1 == 1 && group + left < self.committed[lane];
        let (landed, flying) = std::mem::take(&mut self.flying).into_iter().partition(|(group, l)| due(*group, l.lane));
        self.flying = flying;
        let landed: Vec<(u64, Landing)> = landed;
        landed.into_iter().map(|(_, l)| l).collect()
    }

    /// Takes every copy of the lanes, committed or not.
    pub(super) fn has_flying(&self, lane: usize) -> bool {
        self.flying.iter().any(|(_, l)| l.lane == lane)
    }
}

impl Warp {
    pub(super) fn async_copy(&mut self, block: &mut State<'_, '_>, copy: &AsyncCopy, exec: u32, line: u32) -> Exec<()> {
        let (dst, src) = (self.addresses(block, &copy.dst, exec)?, self.addresses(block, &copy.src, exec)?);
        let len = usize::from(copy.bytes);
        let taken = match copy.src_bytes {
            Some(slot) => *self.read32(block, slot, exec)?,
            None => [len as u32; LANES],
        };
        let ignored = match copy.ignore {
            Some((slot, negated)) => self.pred(block, slot, exec)? ^ if negated { FULL } else { 0 },
            None => 0,
        };
        for lane in lanes(exec) {
            let stop = |kind| Stop { lane: Some(lane), kind };
            let take = if ignored >> lane & 1 == 1 { 0 } else { taken[lane] as usize };
            if take > len {
                let message = format!("a cp.async of {len} bytes has a source size of {take}");
                return Err(Stop::at(lane, FaultKind::Protocol(message)));
            }
            let (space, addr) = Self::route(copy.src.space, src[lane]);
            let mut bytes = [0; 16];
            if space != MemSpace::Global {
                return Err(stop(Box::new(FaultKind::Unmapped {
                    space: SpaceName::from(space),
                    write: false,
                    size: len,
                    address: addr,
                })));
            }
            // A source of no bytes is not read, but its address must still be aligned.
            if take > 0 {
                read_global(block, addr, 1, &mut bytes[..take]).map_err(stop)?;
            }
            if !addr.is_multiple_of(len as u64) {
                let label = "the source of a cp.async".into();
                let kind = FaultKind::Misaligned {
                    space: SpaceName::Global,
                    write: false,
                    size: len,
                    address: addr,
                    label,
                    offset: 0,
                };
                return Err(Stop::at(lane, kind));
            }
            let at = block.shared.begin_copy(dst[lane], len, len, self.who(lane, line)).map_err(stop)?;
            block.stats.global_read += take as u64;
            self.copies.flying.push((self.copies.committed[lane], Landing { lane, at, bytes, len, line }));
        }
        Ok(())
    }

    /// Lands what must have landed when at most `left` groups may be unfinished.
    pub(super) fn async_wait(&mut self, block: &mut State<'_, '_>, exec: u32, left: u32) {
        for landing in self.copies.take(exec, u64::from(left)) {
            let who = self.who(landing.lane, landing.line);
            block.shared.land(landing.at, &landing.bytes[..landing.len], who, false);
        }
    }
}
