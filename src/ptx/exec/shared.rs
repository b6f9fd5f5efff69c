//! Shared memory of a block: checked for bounds, alignment, initialisation and races.

use super::Context;
use super::region::place;
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::memory::BitSet;
use crate::ptx::program::{LANES, Region};
use crate::ptx::race::{Conflict, PIECE, Race, Touch, Who};
use std::collections::BTreeSet;

pub(crate) struct Shared {
    data: Vec<u8>,
    written: BitSet,
    regions: Vec<Region>,
    pub race: Option<Race>,
    /// Where mbarrier objects are that only mbarrier instructions may touch.
    objects: BTreeSet<usize>,
    block: [u32; 3],
    check_written: bool,
}

/// Bytes of an mbarrier object.
const OBJECT: usize = 8;

type Check<T> = Result<T, Box<FaultKind>>;

impl Shared {
    pub(crate) fn new(context: &Context<'_>) -> Shared {
        let end = context.shared.iter().map(|r| r.start + r.size).max().unwrap_or(0) as usize;
        let race = (context.options.races && end > 0)
            .then(|| Race::new(end, context.threads as usize, context.kernel.program.tensor));
        Shared {
            data: vec![0; end],
            written: BitSet::new(end, false),
            regions: context.shared.clone(),
            race,
            objects: BTreeSet::new(),
            block: context.block,
            check_written: context.options.uninitialised,
        }
    }

    /// Forgets everything: shared memory does not survive its block.
    pub(crate) fn reset(&mut self) {
        self.written.clear();
        self.objects.clear();
        if let Some(race) = &mut self.race {
            race.new_block();
        }
    }

    /// Checks an access and gives its offset in `data`.
    fn place(&self, addr: u64, size: usize, align: usize, write: bool) -> Check<usize> {
        place(&self.regions, SpaceName::Shared, addr, size, align, write)?;
        Ok(addr as usize)
    }

    fn label(&self, byte: usize) -> (String, i64) {
        let region = self.regions.iter().find(|r| (r.start as usize..(r.start + r.size) as usize).contains(&byte));
        region.map_or((String::new(), byte as i64), |r| (r.name.clone(), byte as i64 - i64::from(r.start)))
    }

    fn thread(&self, thread: u16) -> [u32; 3] {
        super::coordinates(u64::from(thread), self.block)
    }

    fn conflict(&self, conflict: Conflict, who: Who, write: bool) -> Box<FaultKind> {
        Box::new(match conflict {
            Conflict::Race { byte, other, other_write } => {
                let (label, offset) = self.label(byte);
                FaultKind::SharedRace {
                    label,
                    offset,
                    write,
                    thread: self.thread(who.thread),
                    other_write,
                    other: self.thread(other.thread),
                    other_line: other.line,
                }
            }
            Conflict::Pending { byte, thread, line } => {
                let (label, offset) = self.label(byte);
                FaultKind::PendingCopy { label, offset, write, owner: self.thread(thread), owner_line: line }
            }
            Conflict::Operand { byte, thread, line } => {
                let (label, offset) = self.label(byte);
                FaultKind::PendingOperand { label, offset, reader: self.thread(thread), reader_line: line }
            }
            Conflict::Unfenced { byte, other } => {
                let (label, offset) = self.label(byte);
                let writer = self.thread(other.thread);
                FaultKind::MissingProxyFence { label, offset, writer, writer_line: other.line }
            }
        })
    }

    fn check_read(&self, at: usize, len: usize) -> Check<()> {
        if !self.check_written {
            return Ok(());
        }
        match self.written.first_clear(at, len) {
            None => Ok(()),
            Some(first) => {
                let (label, offset) = self.label(at);
                Err(Box::new(FaultKind::Uninitialised {
                    space: SpaceName::Shared,
                    size: len,
                    address: at as u64,
                    label,
                    offset,
                    first: offset + (first - at) as i64,
                }))
            }
        }
    }

    /// An ordinary access must leave mbarrier objects alone.
    fn check_objects(&self, at: usize, len: usize) -> Check<()> {
        if self.objects.is_empty() {
            return Ok(());
        }
        match self.objects.range(at.saturating_sub(OBJECT - 1)..at + len).next() {
            None => Ok(()),
            Some(&object) => {
                let (label, offset) = self.label(object);
                Err(Box::new(FaultKind::Protocol(format!(
                    "an ordinary access touches the mbarrier at shared `{label}` byte {offset}, which only mbarrier instructions may"
                ))))
            }
        }
    }

    /// An mbarrier is initialised.
    pub(crate) fn claim(&mut self, at: usize, who: Who) -> Check<()> {
        self.touch_object(at, who, Touch::Write)?;
        self.objects.insert(at);
        Ok(())
    }

    /// An mbarrier is used, for the `last` time: its initialisation must be ordered before.
    pub(crate) fn use_object(&mut self, at: usize, who: Who, last: bool) -> Check<()> {
        if last {
            self.objects.remove(&at);
        }
        self.touch_object(at, who, if last { Touch::Write } else { Touch::Atomic })
    }

    fn touch_object(&mut self, at: usize, who: Who, touch: Touch) -> Check<()> {
        match &mut self.race {
            Some(race) => race.touch(at, OBJECT, who, touch, |_| false).map_err(|c| self.conflict(c, who, true)),
            None => Ok(()),
        }
    }

    /// Reads at a shared address, as a thread.
    pub(crate) fn read(&mut self, addr: u64, align: usize, out: &mut [u8], who: Who, strong: bool) -> Check<()> {
        let at = self.place(addr, out.len(), align, false)?;
        self.check_objects(at, out.len())?;
        let touch = if strong { Touch::AtomicRead } else { Touch::Read };
        if let Some(race) = &mut self.race
            && let Err(c) = race.touch(at, out.len(), who, touch, |_| false)
        {
            return Err(self.conflict(c, who, false));
        }
        self.check_read(at, out.len())?;
        out.copy_from_slice(&self.data[at..at + out.len()]);
        Ok(())
    }

    /// Writes at a shared address, as a thread.
    pub(crate) fn write(&mut self, addr: u64, align: usize, bytes: &[u8], who: Who, strong: bool) -> Check<()> {
        let at = self.place(addr, bytes.len(), align, true)?;
        self.check_objects(at, bytes.len())?;
        let (data, written) = (&self.data, &self.written);
        let touch = if strong { Touch::Atomic } else { Touch::Write };
        if let Some(race) = &mut self.race
            && let Err(c) = race.touch(at, bytes.len(), who, touch, |i| written.get(at + i) && data[at + i] == bytes[i])
        {
            return Err(self.conflict(c, who, true));
        }
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
        self.written.set_range(at, bytes.len());
        Ok(())
    }

    /// Reads and replaces, atomically.
    pub(crate) fn update(&mut self, addr: u64, size: usize, who: Who, f: impl FnOnce(u64) -> u64) -> Check<u64> {
        let at = self.place(addr, size, size, true)?;
        self.check_objects(at, size)?;
        if let Some(race) = &mut self.race
            && let Err(c) = race.touch(at, size, who, Touch::Atomic, |_| false)
        {
            return Err(self.conflict(c, who, true));
        }
        self.check_read(at, size)?;
        let mut old = [0; 8];
        old[..size].copy_from_slice(&self.data[at..at + size]);
        let old = u64::from_le_bytes(old);
        self.data[at..at + size].copy_from_slice(&f(old).to_le_bytes()[..size]);
        Ok(old)
    }

    /// Begins an asynchronous copy to a shared address; the bytes land with [`land`](Shared::land).
    pub(crate) fn begin_copy(&mut self, addr: u64, size: usize, align: usize, who: Who) -> Check<usize> {
        let at = self.place(addr, size, align, true)?;
        self.check_objects(at, size)?;
        if let Some(race) = &mut self.race
            && let Err(c) = race.begin_copy(at, size, who)
        {
            return Err(self.conflict(c, who, true));
        }
        Ok(at)
    }

    /// An asynchronous copy lands. `bulk` copies write through the async proxy.
    pub(crate) fn land(&mut self, at: usize, bytes: &[u8], who: Who, bulk: bool) {
        if let Some(race) = &mut self.race {
            race.end_copy(at, bytes.len(), who, bulk);
        }
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
        self.written.set_range(at, bytes.len());
    }

    /// Checks that pieces of shared memory exist and were written.
    pub(crate) fn check_pieces(&self, pieces: &[u32], who: Who) -> Check<()> {
        // A piece that is still being copied counts as unwritten: the copy is the better thing to say.
        for &piece in pieces {
            let at = self.place(u64::from(piece) * PIECE as u64, PIECE, PIECE, false)?;
            if let Err(unwritten) = self.check_read(at, PIECE) {
                self.check_async_read(&[piece], who.thread / LANES as u16, who)?;
                return Err(unwritten);
            }
        }
        Ok(())
    }

    /// Checks that a warp's `wgmma` may read pieces of shared memory. True if every other warp's may as well.
    pub(crate) fn check_async_read(&self, pieces: &[u32], warp: u16, who: Who) -> Check<bool> {
        match &self.race {
            Some(race) => race.check_async_read(pieces, warp).map_err(|c| self.conflict(c, who, false)),
            None => Ok(true),
        }
    }

    /// The bytes at the addresses of pieces, which were checked.
    pub(crate) fn gather(&self, addresses: &[u32]) -> Vec<u8> {
        addresses.iter().flat_map(|&at| &self.data[at as usize..at as usize + PIECE]).copied().collect()
    }

    /// The start of an object of `size` bytes that the interpreter keeps itself, such as an mbarrier.
    pub(crate) fn object(&self, addr: u64, size: usize) -> Check<usize> {
        self.place(addr, size, size, true)
    }
}
