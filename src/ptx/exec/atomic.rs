//! Atomic read-modify-writes, lane after lane.

use super::access::{read_global, write_atomic};
use super::block::State;
use super::warp::{Exec, Stop, Warp, lanes};
use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::ops::half::{Bf16, F16, Format};
use crate::ptx::ops::round::canonical;
use crate::ptx::program::*;

impl Warp {
    pub(super) fn atomic(&mut self, block: &mut State<'_, '_>, atomic: &Atomic, exec: u32, line: u32) -> Exec<()> {
        let addrs = self.addresses(block, &atomic.addr, exec)?;
        let a = self.read_loc(block, atomic.a, exec)?;
        let b = match atomic.b {
            Some(loc) => self.read_loc(block, loc, exec)?,
            None => [0; LANES],
        };
        let width = usize::from(atomic.width);
        let mut old = [0; LANES];
        for lane in lanes(exec) {
            let (space, addr) = Self::route(atomic.addr.space, addrs[lane]);
            let change = |old: u64| apply(atomic.op, atomic.width, old, a[lane], b[lane]);
            let result = match space {
                MemSpace::Shared => block.shared.update(addr, width, self.who(lane, line), change),
                MemSpace::Global => update_global(block, addr, width, change),
                other => Err(Box::new(FaultKind::Unmapped {
                    space: SpaceName::from(other),
                    write: true,
                    size: width,
                    address: addr,
                })),
            };
            old[lane] = result.map_err(|kind| Stop { lane: Some(lane), kind })?;
        }
        if let Some(dst) = atomic.dst {
            self.write_loc(dst, exec, &old);
        }
        Ok(())
    }
}

fn update_global(
    block: &mut State<'_, '_>,
    addr: u64,
    width: usize,
    change: impl FnOnce(u64) -> u64,
) -> Result<u64, Box<FaultKind>> {
    let mut bytes = [0; 8];
    read_global(block, addr, width, &mut bytes[..width])?;
    let old = u64::from_le_bytes(bytes);
    write_atomic(block, addr, &change(old).to_le_bytes()[..width])?;
    Ok(old)
}

/// The new value; `a` and `b` are the instruction's operands.
pub(super) fn apply(op: AtomOp, width: u8, old: u64, a: u64, b: u64) -> u64 {
    let signed = |v: u64| if width == 4 { i64::from(v as i32) } else { v as i64 };
    let bits = 8 * u32::from(width);
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    let (old, a, b) = (old & mask, a & mask, b & mask);
    let f32_sum = |x: u64, y: u64| u64::from(canonical(f32::from_bits(x as u32) + f32::from_bits(y as u32)));
    let value = match op {
        AtomOp::Add => old.wrapping_add(a),
        AtomOp::MinS => {
            if signed(a) < signed(old) {
                a
            } else {
                old
            }
        }
        AtomOp::MaxS => {
            if signed(a) > signed(old) {
                a
            } else {
                old
            }
        }
        AtomOp::MinU => old.min(a),
        AtomOp::MaxU => old.max(a),
        AtomOp::And => old & a,
        AtomOp::Or => old | a,
        AtomOp::Xor => old ^ a,
        AtomOp::Exch => a,
        AtomOp::Cas => {
            if old == a {
                b
            } else {
                old
            }
        }
        AtomOp::Inc => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        AtomOp::Dec => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
        AtomOp::AddF32 => f32_sum(old, a),
        AtomOp::AddF64 => (f64::from_bits(old) + f64::from_bits(a)).to_bits(),
        AtomOp::AddF16 => half_sum::<F16>(old, a),
        AtomOp::AddBf16 => half_sum::<Bf16>(old, a),
        AtomOp::AddF16x2 => half_sum::<F16>(old, a) | half_sum::<F16>(old >> 16, a >> 16) << 16,
        AtomOp::AddBf16x2 => half_sum::<Bf16>(old, a) | half_sum::<Bf16>(old >> 16, a >> 16) << 16,
    };
    value & mask
}

fn half_sum<T: Format>(a: u64, b: u64) -> u64 {
    u64::from(T::round(T::wide(a as u32 & 0xffff) + T::wide(b as u32 & 0xffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_on_a_sample() {
        let m5 = (-5i32) as u32 as u64;
        for (op, width, old, a, b, want) in [
            (AtomOp::Add, 4, 0xffff_ffff, 2, 0, 1),
            (AtomOp::MinS, 4, 3, m5, 0, m5),
            (AtomOp::MinU, 4, 3, m5, 0, 3),
            (AtomOp::MaxS, 8, 3, u64::MAX, 0, 3),
            (AtomOp::MaxU, 8, 3, u64::MAX, 0, u64::MAX),
            (AtomOp::Cas, 4, 7, 7, 9, 9),
            (AtomOp::Cas, 4, 8, 7, 9, 8),
            (AtomOp::Inc, 4, 5, 5, 0, 0),
            (AtomOp::Inc, 4, 4, 5, 0, 5),
            (AtomOp::Dec, 4, 0, 5, 0, 5),
            (AtomOp::AddF32, 4, 0x3f80_0000, 0x4000_0000, 0, 0x4040_0000),
            (AtomOp::AddF16x2, 4, 0x3c00_4000, 0x3c00_3c00, 0, 0x4000_4200),
            (AtomOp::Exch, 2, 0xffff, 0x1_2345, 0, 0x2345),
        ] {
            assert_eq!(apply(op, width, old, a, b), want, "{op:?}");
        }
    }
}
