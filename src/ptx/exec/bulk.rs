//! `cp.async.bulk`: one thread asks for many bytes, whose arrival an mbarrier counts.
//!
//! The source is read when the copy is issued. The bytes land when all threads have arrived at the mbarrier and one asks whether its phase is
//! over: as late as allowed, so that a missing wait shows, and the race check reports whoever touches them earlier.

use super::access::{read_global, read_param};
use super::block::{Phase, State};
use super::warp::{Exec, Stop, Warp, lanes};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::program::*;
use crate::ptx::race::Who;
use crate::ptx::tensor_map::{self, TensorMap};

/// What addresses and sizes are multiples of.
const UNIT: usize = 16;
/// What the shared address of a tile is a multiple of.
const TILE_ALIGN: usize = 128;

/// A copy on its way.
#[derive(Debug, Clone)]
pub(crate) struct Landing {
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
            let barrier = self.counter(block, &copy.barrier, barriers[lane], lane)?;
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
            block.bulk.entry(barrier).or_default().push(Landing { at, bytes, who });
        }
        Ok(())
    }

    /// The mbarrier that counts a copy's bytes.
    fn counter(&self, block: &State<'_, '_>, addr: &Address, at: u64, lane: usize) -> Exec<usize> {
        let barrier = self.object(block, addr.space, at, lane)?;
        if !block.mbarriers.contains_key(&barrier) {
            let message = "a bulk copy names an mbarrier that is not initialised";
            return Err(Stop::at(lane, FaultKind::Protocol(message.into())));
        }
        Ok(barrier)
    }

    /// A tile of a matrix: its rows one behind the other, in the map's swizzle, with zeros for what lies outside.
    pub(super) fn tensor_copy(
        &mut self,
        block: &mut State<'_, '_>,
        copy: &TensorCopy,
        exec: u32,
        line: u32,
    ) -> Exec<()> {
        let (dst, maps) = (self.addresses(block, &copy.dst, exec)?, self.addresses(block, &copy.map, exec)?);
        let barriers = self.addresses(block, &copy.barrier, exec)?;
        let (x, y) = (*self.read32(block, copy.at[0], exec)?, *self.read32(block, copy.at[1], exec)?);
        for lane in lanes(exec) {
            let stop = |kind| Stop { lane: Some(lane), kind };
            let mut encoded = [0; tensor_map::BYTES];
            match Self::route(copy.map.space, maps[lane]) {
                (MemSpace::Param, addr) => read_param(block, addr, &mut encoded).map_err(stop)?,
                (_, addr) => read_global(block, addr, 64, &mut encoded).map_err(stop)?,
            }
            let map = TensorMap::decode(&encoded).map_err(|m| Stop::at(lane, FaultKind::Protocol(m)))?;
            let barrier = self.counter(block, &copy.barrier, barriers[lane], lane)?;
            let who = self.who(lane, line);
            let len = (map.tile[0] * map.element * map.tile[1]) as usize;
            let at = block.shared.begin_copy(dst[lane], len, TILE_ALIGN, who).map_err(stop)?;
            let bytes = tile(block, &map, x[lane] as i32, y[lane] as i32, at).map_err(stop)?;
            block.stats.global_read += bytes.len() as u64;
            block.bulk.entry(barrier).or_default().push(Landing { at, bytes, who });
        }
        Ok(())
    }
}

/// The bytes of a tile as they lie from a shared address on.
fn tile(block: &State<'_, '_>, map: &TensorMap, x: i32, y: i32, to: usize) -> Result<Vec<u8>, Box<FaultKind>> {
    let element = map.element as usize;
    let [wide, high] = map.tile.map(|n| n as usize);
    let row = wide * element;
    let inside = |at: i64, extent: u32| (0..i64::from(extent)).contains(&at);
    let mut out = vec![0; row * high];
    let mut bytes = vec![0; row];
    for r in 0..high {
        let line = i64::from(y) + r as i64;
        bytes.fill(0);
        // The columns of the row that exist.
        let (first, end) = (i64::from(x).max(0), (i64::from(x) + wide as i64).min(i64::from(map.extent[0])));
        if inside(line, map.extent[1]) && first < end {
            let from = map
                .base
                .addr()
                .wrapping_add((line as u64).wrapping_mul(map.stride))
                .wrapping_add(first as u64 * element as u64);
            let at = (first - i64::from(x)) as usize * element;
            read_global(block, from, 1, &mut bytes[at..at + (end - first) as usize * element])?;
        }
        for (c, piece) in bytes.chunks_exact(UNIT).enumerate() {
            let address = to + r * row + c * UNIT;
            let exchange = if map.swizzle == 0 { 0 } else { (address >> 7 & (map.swizzle as usize / UNIT - 1)) * UNIT };
            let place = (address ^ exchange) - to;
            out[place..place + UNIT].copy_from_slice(piece);
        }
    }
    Ok(out)
}

/// Lands the copies that an mbarrier counts.
pub(super) fn land(block: &mut State<'_, '_>, at: usize, barrier: &mut Phase) {
    for landing in block.bulk.remove(&at).unwrap_or_default() {
        block.shared.land(landing.at, &landing.bytes, landing.who, true);
        barrier.bytes -= landing.bytes.len() as i64;
        // The phase's end tells those who wait for it of the bytes, whenever their issuer arrived.
        if let Some(race) = &mut block.shared.race {
            race.release(landing.who.thread, &mut barrier.gathering);
        }
    }
}
