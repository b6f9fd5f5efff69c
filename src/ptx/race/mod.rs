//! Finds races on shared memory: two threads touch a byte, one of them writes, and no barrier orders them.
//!
//! Every byte remembers its last write and two readers. Order comes from barriers: one that the whole block passes starts a new epoch, and
//! whatever happened in an older epoch is ordered. Smaller synchronisations (`bar.warp.sync`, named barriers, mbarriers) join vector clocks.
//! Only two readers are kept, so a race of a write with a third reader under partial barriers can go unseen; under block-wide barriers the check is
//! exact. It never reports a race that is none.
//!
//! A `wgmma` reads through another proxy and at its own time: `operand` knows what it still reads, `fence` which writes it may see. For the time order a warp's
//! `wgmma` instructions count as a thread of their own, behind those of the block: every thread of the warp learns of it at the wait.

mod fence;
mod operand;

pub(crate) use operand::PIECE;

use fence::{Covered, Fences};
use operand::Operands;

/// One side of an access.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp {
    epoch: u32,
    clock: u32,
    pub line: u32,
    pub thread: u16,
    atomic: bool,
    /// Written through the async proxy, by a bulk copy.
    bulk: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    write: Stamp,
    reads: [Stamp; 2],
    /// The thread whose unfinished `cp.async` will write the byte, plus one, and its line.
    pending: u16,
    pending_line: u32,
}

/// What an access conflicts with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Conflict {
    Race {
        byte: usize,
        other: Stamp,
        other_write: bool,
    },
    Pending {
        byte: usize,
        thread: u16,
        line: u32,
    },
    /// A write of what a `wgmma` of the thread's warp may still read.
    Operand {
        byte: usize,
        thread: u16,
        line: u32,
    },
    /// A read through the async proxy of what the generic proxy wrote, without a fence between.
    Unfenced {
        byte: usize,
        other: Stamp,
    },
}

/// How an access touches memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Read,
    Write,
    /// A read-modify-write, or a relaxed access: such accesses do not race with each other.
    AtomicRead,
    Atomic,
}

/// Who accesses, for one instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub thread: u16,
    pub line: u32,
}

/// The shadow of one block's shared memory.
pub(crate) struct Race {
    cells: Vec<Cell>,
    epoch: u32,
    /// Each thread's own time, counted in synchronisations of this epoch.
    clocks: Vec<u32>,
    /// What each thread knows of the others' times; `None` knows nothing.
    known: Vec<Option<Box<[u32]>>>,
    /// The threads of the block; clocks from here on are those of the warps' `wgmma` instructions.
    threads: usize,
    /// Only for kernels with `wgmma`: others have no use for it.
    tensor: Option<Box<Tensor>>,
}

/// What the check of `wgmma` needs.
struct Tensor {
    fences: Fences,
    operands: Operands,
}

const WARP: usize = 32;

impl Race {
    pub(crate) fn new(bytes: usize, threads: usize, tensor: bool) -> Race {
        let warps = if tensor { threads.div_ceil(WARP) } else { 0 };
        let all = threads + warps;
        let tensor = Tensor { fences: Fences::new(all), operands: Operands::new(bytes, warps) };
        Race {
            cells: vec![Cell::default(); bytes],
            epoch: 1,
            clocks: vec![1; all],
            known: vec![None; all],
            threads,
            tensor: (warps > 0).then(|| Box::new(tensor)),
        }
    }

    /// A barrier of the whole block, or a new block: all that was is ordered before all that comes.
    pub(crate) fn new_epoch(&mut self) {
        if let Some(tensor) = &mut self.tensor {
            tensor.fences.end(self.epoch);
        }
        self.epoch += 1;
        self.clocks.fill(1);
        self.known.fill(None);
    }

    /// A new block on the same memory: copies that were never waited for are forgotten.
    pub(crate) fn new_block(&mut self) {
        self.new_epoch();
        self.cells.iter_mut().for_each(|c| c.pending = 0);
        if let Some(tensor) = &mut self.tensor {
            tensor.operands.clear();
        }
    }

    /// What `thread` knows, itself included.
    fn knowledge(&self, thread: usize) -> Box<[u32]> {
        let mut all = match &self.known[thread] {
            Some(known) => known.clone(),
            None => vec![0; self.clocks.len()].into_boxed_slice(),
        };
        all[thread] = self.clocks[thread];
        all
    }

    /// The threads of `group` wait for each other.
    pub(crate) fn join(&mut self, group: &[u16]) {
        let mut all = vec![0; self.clocks.len()].into_boxed_slice();
        for &t in group {
            merge(&mut all, &self.knowledge(usize::from(t)));
        }
        for &t in group {
            self.known[usize::from(t)] = Some(all.clone());
            self.clocks[usize::from(t)] += 1;
        }
        if let Some(tensor) = &mut self.tensor {
            tensor.fences.join(group);
        }
    }

    /// `thread` arrives at an object without waiting: the object learns what it knows.
    pub(crate) fn release(&mut self, thread: u16, object: &mut Clock) {
        if object.epoch != self.epoch {
            *object = Clock { epoch: self.epoch, times: vec![0; self.clocks.len()], covered: Covered::default() };
        }
        merge(&mut object.times, &self.knowledge(usize::from(thread)));
        if let Some(tensor) = &self.tensor {
            tensor.fences.tell(thread, &mut object.covered);
        }
        self.clocks[usize::from(thread)] += 1;
    }

    /// `thread` has waited for an object: it learns what the object knows.
    pub(crate) fn acquire(&mut self, thread: u16, object: &Clock) {
        if object.epoch != self.epoch {
            return;
        }
        let mut all = self.knowledge(usize::from(thread));
        merge(&mut all, &object.times);
        self.known[usize::from(thread)] = Some(all);
        if let Some(tensor) = &mut self.tensor {
            tensor.fences.learn(thread, &object.covered);
        }
    }

    /// `thread` executes `fence.proxy.async`.
    pub(crate) fn fence(&mut self, thread: u16) {
        let at = usize::from(thread);
        if let Some(tensor) = &mut self.tensor {
            tensor.fences.fence(thread, self.clocks[at], self.known[at].as_deref());
            // What the thread writes from now on is not covered.
            self.clocks[at] += 1;
        }
    }

    fn ordered(&self, stamp: &Stamp, thread: u16) -> bool {
        stamp.epoch != self.epoch
            || stamp.thread == thread
            || self.known[usize::from(thread)]
                .as_ref()
                .is_some_and(|known| known[usize::from(stamp.thread)] >= stamp.clock)
    }

    /// Notes an access to bytes from `start`. `same` tells whether a written byte already holds the value: writing the same value twice
    /// leaves nothing to chance.
    pub(crate) fn touch(
        &mut self,
        start: usize,
        len: usize,
        who: Who,
        touch: Touch,
        same: impl Fn(usize) -> bool,
    ) -> Result<(), Conflict> {
        let writes = matches!(touch, Touch::Write | Touch::Atomic);
        let atomic = matches!(touch, Touch::Atomic | Touch::AtomicRead);
        let now = Stamp {
            epoch: self.epoch,
            clock: self.clocks[usize::from(who.thread)],
            line: who.line,
            thread: who.thread,
            atomic,
            bulk: false,
        };
        if writes {
            self.check_operands(start, len, who)?;
        }
        for byte in start..start + len {
            let cell = self.cells[byte];
            if cell.pending != 0 {
                return Err(Conflict::Pending { byte, thread: cell.pending - 1, line: cell.pending_line });
            }
            let settled = |stamp: &Stamp| self.ordered(stamp, who.thread) || atomic && stamp.atomic;
            let harmless = writes && !atomic && same(byte - start);
            if !settled(&cell.write) && !harmless {
                return Err(Conflict::Race { byte, other: cell.write, other_write: true });
            }
            if writes {
                if let Some(read) = cell.reads.iter().find(|read| !settled(read)) {
                    return Err(Conflict::Race { byte, other: *read, other_write: false });
                }
                self.cells[byte].write = now;
            } else {
                self.note_read(byte, now);
            }
        }
        Ok(())
    }

    /// Keeps the first reader of the epoch and the latest of another thread, so that a writer always finds one that is not itself.
    fn note_read(&mut self, byte: usize, now: Stamp) {
        let cell = &mut self.cells[byte];
        let [first, _] = cell.reads;
        if first.epoch != now.epoch || first.thread == now.thread {
            cell.reads[0] = now;
        } else {
            cell.reads[1] = now;
        }
    }

    /// A `cp.async` is issued: until it lands nobody may touch the bytes.
    pub(crate) fn begin_copy(&mut self, start: usize, len: usize, who: Who) -> Result<(), Conflict> {
        self.touch(start, len, who, Touch::Write, |_| false)?;
        for cell in &mut self.cells[start..start + len] {
            cell.pending = who.thread + 1;
            cell.pending_line = who.line;
        }
        Ok(())
    }

    /// A copy lands at its issuer's wait: the bytes count as written by it now. `bulk` copies write through the async proxy.
    pub(crate) fn end_copy(&mut self, start: usize, len: usize, who: Who, bulk: bool) {
        let now = Stamp {
            epoch: self.epoch,
            clock: self.clocks[usize::from(who.thread)],
            line: who.line,
            thread: who.thread,
            atomic: false,
            bulk,
        };
        for cell in &mut self.cells[start..start + len] {
            cell.pending = 0;
            cell.write = now;
        }
    }

    /// A write must not meet what a `wgmma` reads, or has read with no barrier since.
    fn check_operands(&self, start: usize, len: usize, who: Who) -> Result<(), Conflict> {
        let Some(tensor) = &self.tensor else { return Ok(()) };
        if let Some((byte, warp, line)) = tensor.operands.reader(start, len) {
            return Err(Conflict::Operand { byte, thread: warp * WARP as u16, line });
        }
        let known = self.known[usize::from(who.thread)].as_deref();
        for (byte, warp, clock, line) in tensor.operands.completed(start, len, self.epoch) {
            if known.is_none_or(|known| known[self.threads + usize::from(warp)] < clock) {
                let (epoch, thread) = (self.epoch, warp * WARP as u16);
                let other = Stamp { epoch, clock, line, thread, ..Stamp::default() };
                return Err(Conflict::Race { byte, other, other_write: false });
            }
        }
        Ok(())
    }

    /// A `wgmma` of a warp is about to read pieces of shared memory: every write must be ordered before all of its threads, with a fence between.
    /// True if the same holds for every other warp.
    pub(crate) fn check_async_read(&self, pieces: &[u32], warp: u16) -> Result<bool, Conflict> {
        let Some(tensor) = &self.tensor else { return Ok(true) };
        let first = warp * WARP as u16;
        let threads = first..self.threads.min(usize::from(first) + WARP) as u16;
        let mut common: Option<Box<[u32]>> = None;
        let mut settled = true;
        for &piece in pieces {
            let start = piece as usize * PIECE;
            let mut last: Option<(u32, u32, u16, bool)> = None;
            for byte in start..(start + PIECE).min(self.cells.len()) {
                let cell = &self.cells[byte];
                if cell.pending != 0 {
                    return Err(Conflict::Pending { byte, thread: cell.pending - 1, line: cell.pending_line });
                }
                let write = cell.write;
                // The bytes of a piece were mostly written at once.
                let key = (write.epoch, write.clock, write.thread, write.bulk);
                if last.replace(key) == Some(key) || write.epoch == 0 {
                    continue;
                }
                if write.epoch == self.epoch {
                    settled = false;
                    let common = common.get_or_insert_with(|| self.common(threads.clone()));
                    if common[usize::from(write.thread)] < write.clock {
                        return Err(Conflict::Race { byte, other: write, other_write: true });
                    }
                }
                if write.bulk || tensor.fences.covered(write.epoch, write.thread, write.clock) {
                    continue;
                }
                settled = false;
                let now = write.epoch == self.epoch;
                if !threads.clone().all(|t| tensor.fences.knows(t, now, write.thread, write.clock)) {
                    return Err(Conflict::Unfenced { byte, other: write });
                }
            }
        }
        Ok(settled)
    }

    /// What all threads of a warp know.
    fn common(&self, mut threads: std::ops::Range<u16>) -> Box<[u32]> {
        let mut all = threads.next().map_or_else(Box::default, |t| self.knowledge(usize::from(t)));
        for t in threads {
            let other = self.knowledge(usize::from(t));
            all.iter_mut().zip(&other).for_each(|(a, b)| *a = (*a).min(*b));
        }
        all
    }

    /// A warp's `wgmma` begins to read.
    pub(crate) fn begin_async_read(&mut self, pieces: &[u32], warp: u16, line: u32) {
        if let Some(tensor) = &mut self.tensor {
            tensor.operands.begin(warp, line, pieces);
        }
    }

    /// A warp has waited for its `wgmma`: all its threads know that the reads are over.
    pub(crate) fn end_async_read(&mut self, pieces: &[u32], warp: u16, line: u32) {
        let Some(tensor) = &mut self.tensor else { return };
        let agent = self.threads + usize::from(warp);
        tensor.operands.end(warp, line, pieces, self.epoch, self.clocks[agent]);
    }

    /// The threads of a warp learn of all reads that have ended.
    pub(crate) fn learn_async_reads(&mut self, warp: u16) {
        let (agent, first) = (self.threads + usize::from(warp), usize::from(warp) * WARP);
        if self.tensor.is_none() {
            return;
        }
        let clock = self.clocks[agent];
        for thread in first..self.threads.min(first + WARP) {
            let mut known = self.known[thread].take().unwrap_or_else(|| vec![0; self.clocks.len()].into_boxed_slice());
            known[agent] = clock;
            self.known[thread] = Some(known);
        }
        self.clocks[agent] += 1;
    }
}

/// What a synchronisation object knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    epoch: u32,
    times: Vec<u32>,
    covered: Covered,
}

fn merge(into: &mut [u32], from: &[u32]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a = (*a).max(*b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(thread: u16) -> Who {
        Who { thread, line: 1 }
    }

    #[test]
    fn a_barrier_orders_a_write_before_a_read() {
        let mut race = Race::new(16, 64, false);
        race.touch(0, 4, who(0), Touch::Write, |_| false).unwrap();
        assert!(matches!(
            race.touch(0, 4, who(40), Touch::Read, |_| false),
            Err(Conflict::Race { other_write: true, .. })
        ));
        race.new_epoch();
        race.touch(0, 4, who(40), Touch::Read, |_| false).unwrap();
        assert!(matches!(
            race.touch(3, 1, who(0), Touch::Write, |_| false),
            Err(Conflict::Race { other_write: false, .. })
        ));
    }

    #[test]
    fn a_writer_that_also_read_still_meets_the_other_reader() {
        let mut race = Race::new(4, 64, false);
        for reader in [3, 9, 3, 3] {
            race.touch(0, 1, who(reader), Touch::Read, |_| false).unwrap();
        }
        assert!(race.touch(0, 1, who(3), Touch::Write, |_| false).is_err());
    }

    #[test]
    fn partial_joins_order_their_members_only() {
        let mut race = Race::new(4, 64, false);
        race.touch(0, 1, who(1), Touch::Write, |_| false).unwrap();
        race.join(&[1, 2]);
        race.touch(0, 1, who(2), Touch::Read, |_| false).unwrap();
        assert!(race.touch(0, 1, who(3), Touch::Read, |_| false).is_err());
        // What happens after the join is not ordered by it.
        race.touch(1, 1, who(1), Touch::Write, |_| false).unwrap();
        assert!(race.touch(1, 1, who(2), Touch::Read, |_| false).is_err());
    }

    #[test]
    fn a_release_reaches_whoever_acquires() {
        let mut race = Race::new(4, 64, false);
        let mut object = Clock::default();
        race.touch(0, 1, who(5), Touch::Write, |_| false).unwrap();
        race.release(5, &mut object);
        race.acquire(33, &object);
        race.touch(0, 1, who(33), Touch::Write, |_| false).unwrap();
        assert!(race.touch(0, 1, who(34), Touch::Read, |_| false).is_err());
    }

    #[test]
    fn atomics_do_not_race_with_each_other_and_equal_writes_are_harmless() {
        let mut race = Race::new(4, 64, false);
        race.touch(0, 1, who(1), Touch::Atomic, |_| false).unwrap();
        race.touch(0, 1, who(2), Touch::Atomic, |_| false).unwrap();
        assert!(race.touch(0, 1, who(3), Touch::Read, |_| false).is_err());
        race.touch(1, 1, who(1), Touch::Write, |_| false).unwrap();
        race.touch(1, 1, who(2), Touch::Write, |_| true).unwrap();
    }

    #[test]
    fn an_unfinished_copy_bars_everyone() {
        let mut race = Race::new(16, 64, false);
        race.begin_copy(0, 16, who(7)).unwrap();
        for thread in [7, 8] {
            assert!(matches!(
                race.touch(15, 1, who(thread), Touch::Read, |_| false),
                Err(Conflict::Pending { thread: 7, .. })
            ));
        }
        race.end_copy(0, 16, who(7), false);
        race.touch(0, 1, who(7), Touch::Read, |_| false).unwrap();
        assert!(race.touch(0, 1, who(8), Touch::Read, |_| false).is_err());
    }
}
