//! mbarrier objects: arrival counts, phases and expected bytes, kept beside shared memory.

use super::block::{Phase, State};
use super::bulk;
use super::warp::{Exec, Flow, Stop, Warp, lanes};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::program::*;
use crate::ptx::race::Clock;

/// The most arrivals an mbarrier can expect.
const MAX_COUNT: u32 = (1 << 20) - 1;

impl Warp {
    /// The offset of an mbarrier object in shared memory.
    pub(super) fn object(&self, block: &State<'_, '_>, space: MemSpace, addr: u64, lane: usize) -> Exec<usize> {
        match Self::route(space, addr) {
            (MemSpace::Shared, at) => block.shared.object(at, 8).map_err(|kind| Stop { lane: Some(lane), kind }),
            (other, address) => Err(Stop::at(
                lane,
                FaultKind::Unmapped { space: SpaceName::from(other), write: true, size: 8, address },
            )),
        }
    }

    pub(super) fn mbarrier(&mut self, block: &mut State<'_, '_>, op: &MBarrier, exec: u32, line: u32) -> Exec<Flow> {
        let addr = match op {
            MBarrier::Init { addr, .. }
            | MBarrier::Invalidate { addr }
            | MBarrier::Arrive { addr, .. }
            | MBarrier::ExpectTx { addr, .. }
            | MBarrier::Test { addr, .. }
            | MBarrier::AsyncArrive { addr, .. } => addr,
        };
        let addrs = self.addresses(block, addr, exec)?;
        let mut waits = false;
        for lane in lanes(exec) {
            let at = self.object(block, addr.space, addrs[lane], lane)?;
            waits |= self.mbarrier_lane(block, op, lane, at, line)?;
        }
        // A thread that found its barrier unfinished lets others run before it asks again.
        Ok(if waits { Flow::Yield } else { Flow::Next })
    }

    fn mbarrier_lane(
        &mut self,
        block: &mut State<'_, '_>,
        op: &MBarrier,
        lane: usize,
        at: usize,
        line: u32,
    ) -> Exec<bool> {
        let (bit, who) = (1 << lane, self.who(lane, line));
        let protocol = |message: &str| Err(Stop::at(lane, FaultKind::Protocol(message.into())));
        if let MBarrier::Init { count, .. } = op {
            let count = self.read32(block, *count, bit)?[lane];
            if count == 0 || count > MAX_COUNT {
                return protocol("an mbarrier is initialised with a count outside 1 to 2^20 - 1");
            }
            if block.mbarriers.contains_key(&at) {
                return protocol("an mbarrier is initialised again without mbarrier.inval");
            }
            block.shared.claim(at, who).map_err(|kind| Stop { lane: Some(lane), kind })?;
            let phase = Phase {
                expected: count,
                pending: count,
                bytes: 0,
                phase: 0,
                gathering: Clock::default(),
                finished: Clock::default(),
            };
            block.mbarriers.insert(at, phase);
            return Ok(false);
        }
        let thread = self.thread(lane);
        let Some(mut barrier) = block.mbarriers.remove(&at) else {
            return protocol("an mbarrier is used before it is initialised");
        };
        let mut waits = false;
        let used = block.shared.use_object(at, who, matches!(op, MBarrier::Invalidate { .. }));
        used.map_err(|kind| Stop { lane: Some(lane), kind })?;
        match op {
            MBarrier::Init { .. } | MBarrier::Invalidate { .. } => return Ok(false),
            MBarrier::ExpectTx { bytes, .. } => barrier.bytes += i64::from(self.read32(block, *bytes, bit)?[lane]),
            MBarrier::Arrive { state, count, expect, drop, .. } => {
                let count = match count {
                    Some(slot) => self.read32(block, *slot, bit)?[lane],
                    None => 1,
                };
                if let Some(slot) = expect {
                    barrier.bytes += i64::from(self.read32(block, *slot, bit)?[lane]);
                }
                if let Some(slot) = state {
                    self.write64(*slot, bit, &[barrier.phase; LANES]);
                }
                if *drop {
                    barrier.expected = barrier.expected.saturating_sub(1);
                }
                arrive(block, &mut barrier, thread, count)
                    .map_err(|m| Stop::at(lane, FaultKind::Protocol(m.into())))?;
            }
            MBarrier::AsyncArrive { counted, .. } => {
                // The copies land with this thread's wait or, at the latest, here: nothing else stands between them and the arrival.
                if self.copies.has_flying(lane) {
                    self.copies.commit(bit);
                    self.async_wait(block, bit, 0);
                }
                if *counted {
                    barrier.pending += 1;
                }
                arrive(block, &mut barrier, thread, 1).map_err(|m| Stop::at(lane, FaultKind::Protocol(m.into())))?;
            }
            MBarrier::Test { pred, token, suspends, .. } => {
                // All threads have arrived and some wait: now bulk copies have to land, and not a step earlier.
                if barrier.pending == 0 {
                    bulk::land(block, at, &mut barrier);
                    barrier.finish();
                }
                let done = match token {
                    WaitToken::State(slot) => self.read64(block, *slot, bit)?[lane] < barrier.phase,
                    // A wait on a parity succeeds once the phase of that parity is over: when the current one has the other parity.
                    WaitToken::Parity(slot) => {
                        u64::from(self.read32(block, *slot, bit)?[lane] & 1) != barrier.phase & 1
                    }
                };
                if done && let Some(race) = &mut block.shared.race {
                    race.acquire(thread, &barrier.finished);
                }
                self.write_pred(*pred, bit, if done { bit } else { 0 });
                waits = !done && *suspends;
            }
        }
        block.mbarriers.insert(at, barrier);
        Ok(waits)
    }
}

/// Counts arrivals, and ends the phase with the last.
fn arrive(block: &mut State<'_, '_>, barrier: &mut Phase, thread: u16, count: u32) -> Result<(), &'static str> {
    if count == 0 || count > barrier.pending {
        return Err("more arrivals at an mbarrier than it expects in a phase");
    }
    if let Some(race) = &mut block.shared.race {
        race.release(thread, &mut barrier.gathering);
    }
    barrier.pending -= count;
    barrier.finish();
    Ok(())
}

impl Phase {
    /// Ends the phase if all have arrived and all expected bytes have landed.
    fn finish(&mut self) {
        if self.pending == 0 && self.bytes == 0 {
            self.phase += 1;
            self.pending = self.expected;
            self.finished = std::mem::take(&mut self.gathering);
        }
    }
}
