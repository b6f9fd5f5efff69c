//! Tensor maps: what `cp.async.bulk.tensor` is told of a matrix in global memory.

use super::exec::Arg;
use super::memory::DevPtr;

/// A matrix in global memory and the tile of it that one copy moves, as `cuTensorMapEncodeTiled` takes them. A kernel gets it as a parameter of 128 bytes.
///
/// The driver's encoding is not documented, so the interpreter has its own: kernels only pass the address on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMap {
    /// The first element, at a multiple of 16 bytes.
    pub base: DevPtr,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub element: u32,
    /// Elements of a row, and rows. What a tile has outside reads as zeros.
    pub extent: [u32; 2],
    /// Bytes from a row to the next, a multiple of 16.
    pub stride: u64,
    /// Elements and rows of a tile, 256 at most.
    pub tile: [u32; 2],
    /// Bytes over which pieces of 16 are exchanged in shared memory: 32, 64 or 128, as long as a row of the tile; 0 for none.
    pub swizzle: u32,
}

/// How the interpreter knows its own.
const MAGIC: u64 = 0x706f_696e_7477_656c;
/// Bytes of an encoded map.
pub(crate) const BYTES: usize = 128;

impl TensorMap {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        let [columns, rows] = self.extent;
        let [wide, high] = self.tile;
        out.extend(MAGIC.to_le_bytes());
        out.extend(self.base.addr().to_le_bytes());
        out.extend(self.stride.to_le_bytes());
        for word in [self.element, columns, rows, wide, high, self.swizzle] {
            out.extend(word.to_le_bytes());
        }
        out.resize(BYTES, 0);
        out
    }

    /// Reads an encoded map and checks what the driver would have checked.
    pub(crate) fn decode(bytes: &[u8]) -> Result<TensorMap, String> {
        let long = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
        let word = |i: usize| bytes[24 + 4 * i..28 + 4 * i].iter().rev().fold(0, |v, &b| v << 8 | u32::from(b));
        if bytes.len() != BYTES || long(0) != MAGIC {
            return Err("there is no tensor map at the address; pass one as a kernel argument".into());
        }
        let map = TensorMap {
            base: DevPtr::from_addr(long(8)),
            element: word(0),
            extent: [word(1), word(2)],
            stride: long(16),
            tile: [word(3), word(4)],
            swizzle: word(5),
        };
        map.check()?;
        Ok(map)
    }

    fn check(&self) -> Result<(), String> {
        let row = u64::from(self.tile[0]) * u64::from(self.element);
        let wrong = if !matches!(self.element, 1 | 2 | 4 | 8) {
            "elements have 1, 2, 4 or 8 bytes"
        } else if !self.base.addr().is_multiple_of(16) || !self.stride.is_multiple_of(16) {
            "the base and the stride must be multiples of 16 bytes"
        } else if self.tile.iter().any(|n| !(1..=256).contains(n)) || !row.is_multiple_of(16) {
            "a tile has 1 to 256 elements each way, and rows of a multiple of 16 bytes"
        } else if !matches!(self.swizzle, 0 | 32 | 64 | 128) || self.swizzle != 0 && row != u64::from(self.swizzle) {
            "a swizzle spans 32, 64 or 128 bytes, and rows of the tile have as many"
        } else {
            return Ok(());
        };
        Err(format!("the tensor map is none: {wrong}"))
    }
}

impl From<TensorMap> for Arg {
    fn from(map: TensorMap) -> Arg {
        Arg::Bytes(map.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_its_encoding() {
        let map = TensorMap {
            base: DevPtr::from_addr(1 << 40),
            element: 2,
            extent: [1000, 77],
            stride: 2048,
            tile: [64, 128],
            swizzle: 128,
        };
        assert_eq!(TensorMap::decode(&map.encode()), Ok(map.clone()));
        for wrong in [
            TensorMap { stride: 8, ..map.clone() },
            TensorMap { tile: [32, 128], ..map.clone() },
            TensorMap { tile: [64, 257], ..map.clone() },
            TensorMap { element: 3, ..map.clone() },
        ] {
            assert!(TensorMap::decode(&wrong.encode()).is_err(), "{wrong:?}");
        }
        assert!(TensorMap::decode(&[0; BYTES]).is_err());
    }
}
