//! Shared memory that `wgmma` reads: from its issue until a wait has seen it complete, and afterwards until a barrier says so to others.
//!
//! A descriptor addresses whole pieces of 16 bytes, so that is the unit here. The reader is the warp: `wgmma.wait_group` tells all its threads at once.

/// Bytes that a descriptor addresses at once.
pub(crate) const PIECE: usize = 16;

/// A warp's reads that are complete.
#[derive(Debug, Clone, Default)]
struct Reads {
    epoch: u32,
    line: u32,
    /// The warp's clock at the last read of each piece in this epoch; 0 for none.
    clocks: Vec<u32>,
}

/// The operands of a block's `wgmma` instructions.
#[derive(Debug, Default)]
pub(crate) struct Operands {
    /// How many instructions still read each piece.
    flying: Vec<u16>,
    /// The warp and line of the latest instruction that reads each piece.
    readers: Vec<(u16, u32)>,
    done: Vec<Reads>,
}

impl Operands {
    pub(super) fn new(bytes: usize, warps: usize) -> Operands {
        let pieces = bytes.div_ceil(PIECE);
        Operands { flying: vec![0; pieces], readers: vec![(0, 0); pieces], done: vec![Reads::default(); warps] }
    }

    pub(super) fn clear(&mut self) {
        self.flying.fill(0);
    }

    pub(super) fn begin(&mut self, warp: u16, line: u32, pieces: &[u32]) {
        for &piece in pieces {
            self.flying[piece as usize] += 1;
            self.readers[piece as usize] = (warp, line);
        }
    }

    pub(super) fn end(&mut self, warp: u16, line: u32, pieces: &[u32], epoch: u32, clock: u32) {
        let count = self.flying.len();
        let done = &mut self.done[usize::from(warp)];
        if done.epoch != epoch || done.clocks.is_empty() {
            done.epoch = epoch;
            done.clocks.clear();
            done.clocks.resize(count, 0);
        }
        done.line = line;
        for &piece in pieces {
            let flying = &mut self.flying[piece as usize];
            *flying = flying.saturating_sub(1);
            done.clocks[piece as usize] = clock;
        }
    }

    /// The warp and line of an instruction that still reads one of the bytes, with the byte.
    pub(super) fn reader(&self, start: usize, len: usize) -> Option<(usize, u16, u32)> {
        let pieces = start / PIECE..(start + len).div_ceil(PIECE);
        let piece = pieces.into_iter().find(|&p| self.flying.get(p).is_some_and(|&n| n > 0))?;
        let (warp, line) = self.readers[piece];
        Some((start.max(piece * PIECE), warp, line))
    }

    /// Completed reads of one of the bytes in this epoch: the byte, the warp, its clock and the line.
    pub(super) fn completed(
        &self,
        start: usize,
        len: usize,
        epoch: u32,
    ) -> impl Iterator<Item = (usize, u16, u32, u32)> {
        let pieces = start / PIECE..(start + len).div_ceil(PIECE);
        let current = self.done.iter().enumerate().filter(move |(_, reads)| reads.epoch == epoch);
        current.flat_map(move |(warp, reads)| {
            pieces.clone().filter_map(move |piece| {
                let clock = reads.clocks.get(piece).copied().filter(|&clock| clock > 0)?;
                Some((start.max(piece * PIECE), warp as u16, clock, reads.line))
            })
        })
    }
}
