//! Loads and stores of all state spaces.

use super::block::State;
use super::region::place;
use super::warp::{Exec, FULL, Stop, Warp, lanes};
use crate::ptx::decode::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::memory::{AccessError, Conflict};
use crate::ptx::program::*;

/// The most bytes one warp instruction moves: 32 lanes of 64 bytes.
const BUFFER: usize = LANES * 64;

impl Warp {
    /// The addresses of an operand, lane by lane.
    pub(super) fn addresses(&self, block: &State<'_, '_>, addr: &Address, exec: u32) -> Exec<R64> {
        Ok(match addr.base {
            Loc::Sink => [addr.offset as u64; LANES],
            // 32-bit addresses wrap at 32 bits.
            Loc::B32(slot) => self.read32(block, slot, exec)?.map(|a| u64::from(a.wrapping_add(addr.offset as u32))),
            Loc::B64(slot) => self.read64(block, slot, exec)?.map(|a| a.wrapping_add_signed(addr.offset)),
        })
    }

    /// The state space of an address and the address within it.
    pub(super) fn route(space: MemSpace, addr: u64) -> (MemSpace, u64) {
        if space != MemSpace::Generic {
            return (space, addr);
        }
        match addr & 0xf << 60 {
            SHARED_WINDOW => (MemSpace::Shared, addr - SHARED_WINDOW),
            LOCAL_WINDOW => (MemSpace::Local, addr - LOCAL_WINDOW),
            PARAM_WINDOW => (MemSpace::Param, addr - PARAM_WINDOW),
            _ => (MemSpace::Global, addr),
        }
    }

    /// `isspacep`: the lanes whose generic address lies in a space.
    pub(super) fn in_space(&self, space: MemSpace, addrs: &R64) -> u32 {
        addrs
            .iter()
            .enumerate()
            .fold(0, |mask, (i, &a)| mask | u32::from(Self::route(MemSpace::Generic, a).0 == space) << i)
    }

    pub(super) fn load(&mut self, block: &mut State<'_, '_>, access: &Access, exec: u32, line: u32) -> Exec<()> {
        let addrs = self.addresses(block, &access.addr, exec)?;
        let size = usize::from(access.width) * access.regs.len();
        let mut buffer = [0u8; BUFFER];
        if access.addr.space != MemSpace::Global || !read_row(block, &addrs, size, exec, &mut buffer) {
            for lane in lanes(exec) {
                let (space, addr) = Self::route(access.addr.space, addrs[lane]);
                let out = &mut buffer[lane * size..(lane + 1) * size];
                let done = match space {
                    MemSpace::Shared => block.shared.read(addr, size, out, self.who(lane, line), access.strong),
                    MemSpace::Local => self.read_local(block, lane, addr, out),
                    MemSpace::Param => read_param(block, addr, out),
                    _ => read_global(block, addr, size, out),
                };
                done.map_err(|kind| Stop { lane: Some(lane), kind })?;
            }
        }
        for (i, &reg) in access.regs.iter().enumerate() {
            self.scatter(reg, exec, &buffer, size, i * usize::from(access.width), access);
        }
        if matches!(access.addr.space, MemSpace::Global | MemSpace::Generic) {
            block.stats.global_read += u64::from(exec.count_ones()) * size as u64;
        }
        Ok(())
    }

    /// Moves one element of every lane from the buffer to a register.
    fn scatter(&mut self, reg: Loc, exec: u32, buffer: &[u8], stride: usize, at: usize, access: &Access) {
        macro_rules! row {
            ($n:literal, $u:ty, $s:ty, $out:ty) => {
                std::array::from_fn(|lane| {
                    let mut bytes = [0; $n];
                    bytes.copy_from_slice(&buffer[lane * stride + at..lane * stride + at + $n]);
                    let v = <$u>::from_le_bytes(bytes);
                    if access.signed { v as $s as $out } else { v as $out }
                })
            };
        }
        match (reg, access.width) {
            (Loc::B32(slot), 4) => self.write32(slot, exec, &row!(4, u32, i32, u32)),
            (Loc::B32(slot), 2) => self.write32(slot, exec, &row!(2, u16, i16, u32)),
            (Loc::B32(slot), 1) => self.write32(slot, exec, &row!(1, u8, i8, u32)),
            (Loc::B64(slot), 8) => self.write64(slot, exec, &row!(8, u64, i64, u64)),
            (Loc::B64(slot), 4) => self.write64(slot, exec, &row!(4, u32, i32, u64)),
            (Loc::B64(slot), 2) => self.write64(slot, exec, &row!(2, u16, i16, u64)),
            (Loc::B64(slot), 1) => self.write64(slot, exec, &row!(1, u8, i8, u64)),
            // The decoder pairs 8-byte elements with 64-bit registers only.
            _ => {}
        }
    }

    pub(super) fn store(&mut self, block: &mut State<'_, '_>, access: &Access, exec: u32, line: u32) -> Exec<()> {
        let addrs = self.addresses(block, &access.addr, exec)?;
        let width = usize::from(access.width);
        let size = width * access.regs.len();
        let mut buffer = [0u8; BUFFER];
        for (i, &reg) in access.regs.iter().enumerate() {
            match reg {
                Loc::B32(slot) => {
                    let row = self.read32(block, slot, exec)?;
                    for (lane, value) in row.iter().enumerate() {
                        buffer[lane * size + i * width..][..width].copy_from_slice(&value.to_le_bytes()[..width]);
                    }
                }
                _ => {
                    let row = self.read_loc(block, reg, exec)?;
                    for (lane, value) in row.iter().enumerate() {
                        buffer[lane * size + i * width..][..width].copy_from_slice(&value.to_le_bytes()[..width]);
                    }
                }
            }
        }
        if matches!(access.addr.space, MemSpace::Global | MemSpace::Generic) {
            block.stats.global_written += u64::from(exec.count_ones()) * size as u64;
        }
        if access.addr.space == MemSpace::Global && write_row(block, &addrs, size, exec, &buffer)? {
            return Ok(());
        }
        for lane in lanes(exec) {
            let (space, addr) = Self::route(access.addr.space, addrs[lane]);
            let bytes = &buffer[lane * size..(lane + 1) * size];
            let done = match space {
                MemSpace::Shared => block.shared.write(addr, size, bytes, self.who(lane, line), access.strong),
                MemSpace::Local => self.write_local(block, lane, addr, bytes),
                MemSpace::Param => {
                    Err(Box::new(FaultKind::ReadOnly { size, label: "kernel parameters".into(), offset: addr as i64 }))
                }
                _ => write_global(block, addr, size, bytes),
            };
            done.map_err(|kind| Stop { lane: Some(lane), kind })?;
        }
        Ok(())
    }

    /// Finds a local access's place in the frame of a lane.
    fn place_local(
        &self,
        block: &State<'_, '_>,
        lane: usize,
        addr: u64,
        size: usize,
        write: bool,
    ) -> Result<usize, Box<FaultKind>> {
        place(&block.program.local, SpaceName::Local, addr, size, size, write)?;
        Ok(lane * block.program.local_bytes as usize + addr as usize)
    }

    fn read_local(&self, block: &State<'_, '_>, lane: usize, addr: u64, out: &mut [u8]) -> Result<(), Box<FaultKind>> {
        let at = self.place_local(block, lane, addr, out.len(), false)?;
        if block.context.options.uninitialised
            && let Some(first) = self.local_written[at..at + out.len()].iter().position(|w| !w)
        {
            let region = block.program.local.iter().filter(|r| addr >= u64::from(r.start)).max_by_key(|r| r.start);
            let (label, start) = region.map_or((String::new(), 0), |r| (r.name.clone(), i64::from(r.start)));
            let offset = addr as i64 - start;
            return Err(Box::new(FaultKind::Uninitialised {
                space: SpaceName::Local,
                size: out.len(),
                address: addr,
                label,
                offset,
                first: offset + first as i64,
            }));
        }
        out.copy_from_slice(&self.local[at..at + out.len()]);
        Ok(())
    }

    fn write_local(
        &mut self,
        block: &State<'_, '_>,
        lane: usize,
        addr: u64,
        bytes: &[u8],
    ) -> Result<(), Box<FaultKind>> {
        let at = self.place_local(block, lane, addr, bytes.len(), true)?;
        self.local[at..at + bytes.len()].copy_from_slice(bytes);
        self.local_written[at..at + bytes.len()].fill(true);
        Ok(())
    }
}

/// True if the lanes of a full warp touch one contiguous range in order.
fn contiguous(addrs: &R64, size: usize, exec: u32) -> bool {
    exec == FULL && addrs.iter().enumerate().all(|(i, &a)| a == addrs[0].wrapping_add((i * size) as u64))
}

/// Reads a contiguous row at once. False if it is none, or if some lane is at fault: then each lane is looked at.
fn read_row(block: &State<'_, '_>, addrs: &R64, size: usize, exec: u32, buffer: &mut [u8; BUFFER]) -> bool {
    if !contiguous(addrs, size, exec) {
        return false;
    }
    let Ok((alloc, offset)) = block.view.locate(addrs[0], size * LANES, size) else { return false };
    if block.context.options.uninitialised && block.view.first_unwritten(alloc, offset, size * LANES).is_some() {
        return false;
    }
    block.view.read(alloc, offset, &mut buffer[..size * LANES]);
    true
}

fn write_row(block: &mut State<'_, '_>, addrs: &R64, size: usize, exec: u32, buffer: &[u8; BUFFER]) -> Exec<bool> {
    if !contiguous(addrs, size, exec) {
        return Ok(false);
    }
    let Ok((alloc, offset)) = block.view.locate(addrs[0], size * LANES, size) else { return Ok(false) };
    if block.view.alloc(alloc).read_only {
        return Ok(false);
    }
    let linear = block.linear;
    let done = block.view.write(alloc, offset, &buffer[..size * LANES], Some(linear));
    done.map_err(|c| Stop { lane: Some((c.offset - offset) / size), kind: clash(block, c) })?;
    Ok(true)
}

pub(super) fn read_global(
    block: &State<'_, '_>,
    addr: u64,
    align: usize,
    out: &mut [u8],
) -> Result<(), Box<FaultKind>> {
    let size = out.len();
    let (alloc, offset) =
        block.view.locate(addr, size, align).map_err(|e| refused(block, e, addr, size, align, false))?;
    if block.context.options.uninitialised
        && let Some(first) = block.view.first_unwritten(alloc, offset, size)
    {
        return Err(Box::new(FaultKind::Uninitialised {
            space: SpaceName::Global,
            size,
            address: addr,
            label: block.view.alloc(alloc).label.clone(),
            offset: offset as i64,
            first: first as i64,
        }));
    }
    block.view.read(alloc, offset, out);
    Ok(())
}

fn write_global(block: &mut State<'_, '_>, addr: u64, align: usize, bytes: &[u8]) -> Result<(), Box<FaultKind>> {
    let writer = Some(block.linear);
    write_as(block, addr, align, bytes, writer)
}

/// An atomic's write: several blocks may do it to the same byte.
pub(super) fn write_atomic(block: &mut State<'_, '_>, addr: u64, bytes: &[u8]) -> Result<(), Box<FaultKind>> {
    write_as(block, addr, bytes.len(), bytes, None)
}

fn write_as(
    block: &mut State<'_, '_>,
    addr: u64,
    align: usize,
    bytes: &[u8],
    writer: Option<u32>,
) -> Result<(), Box<FaultKind>> {
    let size = bytes.len();
    let (alloc, offset) =
        block.view.locate(addr, size, align).map_err(|e| refused(block, e, addr, size, align, true))?;
    let target = block.view.alloc(alloc);
    if target.read_only {
        return Err(Box::new(FaultKind::ReadOnly { size, label: target.label.clone(), offset: offset as i64 }));
    }
    block.view.write(alloc, offset, bytes, writer).map_err(|c| clash(block, c))
}

fn clash(block: &State<'_, '_>, c: Conflict) -> Box<FaultKind> {
    let place = |linear: u32| super::coordinates(u64::from(linear), block.context.grid);
    Box::new(FaultKind::GlobalRace {
        label: block.view.alloc(c.alloc).label.clone(),
        offset: c.offset as i64,
        first: place(c.first),
        second: place(c.second),
    })
}

fn refused(
    block: &State<'_, '_>,
    error: AccessError,
    address: u64,
    size: usize,
    align: usize,
    write: bool,
) -> Box<FaultKind> {
    let space = SpaceName::Global;
    Box::new(match error {
        AccessError::Unmapped => FaultKind::Unmapped { space, write, size, address },
        AccessError::OutOfBounds { alloc, offset } => {
            let alloc = block.view.alloc(alloc);
            FaultKind::OutOfBounds {
                space,
                write,
                size,
                address,
                label: alloc.label.clone(),
                offset,
                len: alloc.data.len(),
            }
        }
        AccessError::Misaligned { alloc, offset } => FaultKind::Misaligned {
            space,
            write,
            size: align,
            address,
            label: block.view.alloc(alloc).label.clone(),
            offset,
        },
    })
}

pub(super) fn read_param(block: &State<'_, '_>, addr: u64, out: &mut [u8]) -> Result<(), Box<FaultKind>> {
    let params = &block.context.params;
    let range = addr as usize..(addr as usize).saturating_add(out.len());
    let Some(bytes) = params.get(range) else {
        return Err(Box::new(FaultKind::OutOfBounds {
            space: SpaceName::Param,
            write: false,
            size: out.len(),
            address: addr,
            label: "kernel parameters".into(),
            offset: addr as i64,
            len: params.len(),
        }));
    };
    out.copy_from_slice(bytes);
    Ok(())
}
