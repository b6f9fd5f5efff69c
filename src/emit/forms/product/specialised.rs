//! Warps that only copy and warps that only multiply: one thread has the copy engine (TMA) fill the stages with tiles of both factors, for this
//! tile of the result and the next ones of its block, while the others multiply and run the body.
//!
//! Each stage has two barriers in shared memory (`mbarrier`). *Full* is passed when the bytes of its step have arrived, *empty* when every warp that
//! multiplies it is done. Nobody else is waited for: a warp that runs the body keeps no other from multiplying. Two crews that take the tiles in turn
//! also tell each other when, because a parity says that a slot is full but not with whose step.
//!
//! The copy engine writes the swizzle that `wgmma` reads, over 128 bytes. A factor whose lines hold terms is one tile of `k` terms; one whose lines
//! run across them is a tile for each 128 bytes of a line, as the descriptors have it.

use super::factor::Run;
use crate::emit::params::Param;
use crate::plan::{Blocking, IndexWidth, Matrix, Product};
use tera::Context;

/// Bytes of a row of a tile in shared memory: what the swizzle spans.
const ROW: u32 = 128;
/// Elements or lines that a tile may have either way.
const LONGEST: u32 = 256;
/// Registers of a thread that copies.
const FEW: u32 = 24;
/// Registers of a multiprocessor.
const REGISTERS: u32 = 65_536;
/// Bytes of a barrier.
const BARRIER: u32 = 8;

/// Both factors as the copy engine sees them.
pub struct Specialised {
    factors: [(Matrix, u32); 2],
    tile: Blocking,
}

impl Specialised {
    /// `None` if a factor is not one aligned matrix, or if the tile is none for the copy engine or for this loop.
    pub fn of(product: &Product, tile: &Blocking, width: IndexWidth) -> Option<Specialised> {
        let [a, b] = product.matrices()?;
        let size = product.a.dtype.bits() / 8;
        let plain = (tile.slices, tile.split) == (1, 1) && width == IndexWidth::Bits32;
        let fits = |matrix: &Matrix, extent: u32| match matrix.deep {
            true => extent <= LONGEST,
            false => (extent * size).is_multiple_of(ROW) && tile.k <= LONGEST,
        };
        let whole = tile.k * size == ROW && fits(&a, tile.m) && fits(&b, tile.n);
        (plain && whole).then_some(Specialised { factors: [(a, tile.m), (b, tile.n)], tile: *tile })
    }

    /// The direction of a factor's memory.
    pub fn run(&self, factor: usize) -> Run {
        if self.factors[factor].0.deep { Run::Deep } else { Run::Across }
    }

    /// The factors' parameters.
    pub fn params(&self) -> [Param; 2] {
        let k = self.tile.k;
        let tile = |(matrix, extent): &(Matrix, u32)| match matrix.deep {
            true => [k, *extent],
            false => [ROW / (matrix.dtype.bits() / 8), k],
        };
        [0, 1].map(|i| Param::tensor_map(i, tile(&self.factors[i as usize])))
    }

    /// What the skeleton needs.
    pub fn insert(&self, context: &mut Context, tile: &Blocking) {
        let mut copies = Vec::new();
        let mut place = 0;
        for ((matrix, extent), (name, first)) in self.factors.iter().zip([("a", "m0"), ("b", "n0")]) {
            let size = matrix.dtype.bits() / 8;
            let (count, across) = if matrix.deep { (1, 0) } else { (extent * size / ROW, ROW / size) };
            for i in 0..count {
                let begin =
                    format!("(u32){first}{}", if i > 0 { format!(" + {}u", i * across) } else { String::new() });
                let at = if matrix.deep { format!("k, {begin}") } else { format!("{begin}, k") };
                copies.push(format!("copy_tile(to + {place}u, &{name}_map, {at}, full + slot * 8u);"));
                place += extent * tile.k * size / count;
            }
        }
        context.insert("copies", &copies);
        let groups = tile.crews() * tile.warps.0 * tile.warps.1 / 4;
        for (name, value) in [
            ("crews", tile.crews()),
            ("staging", staging(tile)),
            ("few_registers", FEW),
            ("many_registers", many(groups)),
        ] {
            context.insert(name, &value);
        }
    }
}

/// Bytes before the stages: the swizzle's pattern repeats every 1024 bytes.
fn staging(tile: &Blocking) -> u32 {
    tile.staging().next_multiple_of(1024)
}

/// Bytes of shared memory, of which the stages take `stages`.
pub fn shared(tile: &Blocking, stages: u32) -> u32 {
    staging(tile) + stages + BARRIER * (2 * tile.stages + tile.crews())
}

/// Registers of a thread of `groups` groups of four warps that multiply: their share of what the block has at first, less what one more group keeps.
/// Both counts are multiples of 8.
fn many(groups: u32) -> u32 {
    let first = (REGISTERS / (128 * (groups + 1))).min(255) / 8 * 8;
    ((first * (groups + 1) - FEW) / groups).min(255) / 8 * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_never_takes_more_registers_than_it_began_with() {
        for groups in 1..=7 {
            let first = (REGISTERS / (128 * (groups + 1))).min(255) / 8 * 8;
            assert!(many(groups) * groups + FEW <= first * (groups + 1), "{groups}");
            assert!(many(groups) <= 248 && many(groups) > first.min(247) - 8, "{groups}");
        }
        // As is usual for two groups.
        assert_eq!(many(2), 240);
    }
}
