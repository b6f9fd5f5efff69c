//! Operands of `wgmma` in shared memory: what a matrix descriptor addresses (PTX ISA, "Shared Memory Matrix Layout" and "Matrix Descriptor Format").
//!
//! Memory is addressed in pieces of 16 bytes, `T` elements. An operand of `rows` by 32 bytes of k is
//! - k-major: piece `c` (0 or 1) along k of row `8i + r` at `r * W + i * SBO + c`, and with no swizzle at `r + i * SBO + c * LBO`;
//! - mn-major: piece `W * i + q` along the rows, of `k = 8j + s`, at `q + i * LBO + s * W + j * SBO`, and with no swizzle, where W is 1, at `i * SBO + s + j * LBO`;
//!
//! with W = 2, 4 or 8 pieces for swizzles of 32, 64 and 128 bytes. The swizzle then exchanges bits 4–6 of the address with bits 7–9 by XOR.

use super::product::Values;
use crate::ptx::ops::half::{Bf16, F16, Format};
use crate::ptx::program::MmaElem;
use crate::ptx::race::PIECE;

/// A decoded matrix descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    start: u32,
    leading: u32,
    stride: u32,
    /// Pieces that a line of the swizzle pattern has: 1, 2, 4 or 8.
    width: u32,
}

impl Descriptor {
    /// Takes a descriptor apart.
    pub(super) fn new(bits: u64) -> Result<Descriptor, String> {
        let field = |at: u32| (bits >> at & 0x3fff) as u32 * PIECE as u32;
        let width = [1, 8, 4, 2][(bits >> 62) as usize];
        let known = 0x3fff | 0x3fff << 16 | 0x3fff << 32 | 3 << 62;
        if bits & !known != 0 {
            return Err(format!(
                "the matrix descriptor {bits:#018x} sets bits that must be zero, or a base offset, which the interpreter does not model"
            ));
        }
        Ok(Descriptor { start: field(0), leading: field(16), stride: field(32), width })
    }

    /// The address of a piece before the swizzle is put to bits 7–9.
    fn swizzled(self, address: u32) -> u32 {
        address ^ (address >> 7 & (self.width - 1)) << 4
    }

    /// The shared addresses of an operand's pieces: for each of `rows` its two pieces along k, or, `transposed`, for each k its pieces along the rows.
    pub(super) fn pieces(self, rows: usize, k: usize, transposed: bool) -> Vec<u32> {
        let (unit, width) = (PIECE as u32, self.width);
        let at = |address: u32| self.swizzled(self.start.wrapping_add(address));
        if !transposed {
            let step = if width == 1 { self.leading } else { unit };
            let row = move |r: u32| r % 8 * width * unit + r / 8 * self.stride;
            return (0..rows as u32).flat_map(|r| [at(row(r)), at(row(r) + step)]).collect();
        }
        let across = rows as u32 * 2 / unit;
        let (by_pattern, by_eight) = if width == 1 { (self.stride, self.leading) } else { (self.leading, self.stride) };
        let line = move |s: u32| s % 8 * width * unit + s / 8 * by_eight;
        let piece = move |q: u32| q % width * unit + q / width * by_pattern;
        (0..k as u32).flat_map(|s| (0..across).map(move |q| at(line(s) + piece(q)))).collect()
    }
}

/// The values of an operand whose pieces were read, as `[k][row]` if `by_k`, else `[row][k]`.
pub(super) fn values(bytes: &[u8], rows: usize, elem: MmaElem, transposed: bool, negate: bool, by_k: bool) -> Values {
    let size = elem.bits() / 8;
    let k = 2 * PIECE / size;
    // In the order of the bytes: (outer, inner) is (row, k), or (k, row) where the operand is transposed.
    let (outer, inner) = if transposed { (k, rows) } else { (rows, k) };
    let swap = transposed != by_k;
    let index = |i: usize| if swap { i % inner * outer + i / inner } else { i };
    match elem {
        MmaElem::S8 | MmaElem::U8 => {
            let mut out = vec![0; rows * k];
            for (i, &byte) in bytes.iter().enumerate() {
                out[index(i)] = if elem == MmaElem::S8 { i32::from(byte as i8) } else { i32::from(byte) };
            }
            Values::Integer(out)
        }
        _ => {
            let sign = if negate { -1.0 } else { 1.0 };
            let mut out = vec![0.0; rows * k];
            for (i, pair) in bytes.chunks_exact(2).enumerate() {
                let bits = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                let value = if elem == MmaElem::F16 { F16::wide(bits) } else { Bf16::wide(bits) };
                out[index(i)] = sign * f64::from(value);
            }
            Values::Float(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(start: u64, leading: u64, stride: u64, mode: u64) -> Descriptor {
        Descriptor::new(start >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | mode << 62).unwrap()
    }

    /// The example of the PTX ISA for k-major, no swizzle, normalised to pieces: LBO 256 bytes, SBO 128.
    #[test]
    fn k_major_without_swizzle() {
        let pieces = descriptor(2048, 256, 128, 0).pieces(16, 16, false);
        assert_eq!(pieces[..4], [2048, 2048 + 256, 2048 + 16, 2048 + 272]);
        assert_eq!(pieces[16], 2048 + 128);
    }

    #[test]
    fn k_major_rows_of_128_bytes() {
        let pieces = descriptor(1024 + 32, 16, 1024, 1).pieces(16, 16, false);
        // Row r is at 128 r, its pieces 2 and 3 exchanged with r.
        for r in 0..16 {
            let want = |c: u32| 1024 + r / 8 * 1024 + r % 8 * 128 + (c ^ (r % 8)) * 16;
            assert_eq!(pieces[2 * r as usize..][..2], [want(2), want(3)]);
        }
    }

    /// The example for mn-major bf16 with a swizzle of 64 bytes: LBO 512 bytes, SBO 1024.
    #[test]
    fn mn_major_with_a_swizzle_of_64_bytes() {
        let pieces = descriptor(4096, 512, 1024, 2).pieces(64, 16, true);
        // 8 pieces a line; k = 3 is 192 bytes on and in the second line of 128 bytes.
        assert_eq!(pieces.len(), 128);
        assert_eq!(pieces[3 * 8], (4096 + 192) ^ 16);
        assert_eq!(pieces[3 * 8 + 5], (4096 + 192 + 512 + 16) ^ 16);
        assert_eq!(pieces[8 * 8], 4096 + 1024);
    }

    #[test]
    fn a_base_offset_is_refused() {
        assert!(Descriptor::new(1 << 49).is_err());
    }

    #[test]
    fn both_orders_of_values_agree() {
        let bytes: Vec<u8> = (0..8 * 32).map(|i| i as u8).collect();
        let Values::Integer(rows) = values(&bytes, 8, MmaElem::U8, false, false, false) else { panic!() };
        let Values::Integer(columns) = values(&bytes, 8, MmaElem::U8, false, false, true) else { panic!() };
        assert_eq!(rows[3 * 32 + 5], 3 * 32 + 5);
        assert_eq!(columns[5 * 8 + 3], 3 * 32 + 5);
    }
}
