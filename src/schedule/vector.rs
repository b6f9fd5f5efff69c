//! How many adjacent elements a thread takes.

use crate::plan::Kernel;
use crate::target::Target;

/// Bytes of the widest vector access.
const VECTOR: u64 = 16;
/// Bytes that a thread may hold of one tensor: 16 bytes a thread copies fastest (measured on the H200), and up to twice that is
/// worth it if a narrower tensor then moves in 16-byte vectors.
const HELD: u64 = 32;

/// The number of elements, a power of two: the narrowest tensor moves 16 bytes unless the widest would then take more than
/// 32, and small tensors are cut so that every multiprocessor gets a block.
pub fn flat(kernel: &Kernel, target: &Target, threads: u32) -> u32 {
    let moved = |access: &crate::plan::Access| !access.is_uniform(&kernel.domain);
    let loads = kernel.loads.iter().filter(|l| moved(&l.access)).map(|l| u64::from(l.dtype.bits()) / 8);
    let widths: Vec<u64> = loads.chain(kernel.stores.iter().map(|s| u64::from(s.dtype.bits()) / 8)).collect();
    let narrowest = widths.iter().copied().min().unwrap_or(1).max(1);
    let widest = widths.iter().copied().max().unwrap_or(1).max(1);
    let vector = (VECTOR / narrowest).min(HELD / widest).max(1);
    fill(kernel, target, threads, vector, VECTOR / 4 / narrowest)
}

/// Halves `vector`, down to `least`, while there are fewer blocks than multiprocessors.
fn fill(kernel: &Kernel, target: &Target, threads: u32, vector: u64, least: u64) -> u32 {
    let count = kernel.count().ok().and_then(|n| n.known()).and_then(|n| u64::try_from(n).ok());
    let mut vector = vector;
    if let Some(count) = count {
        let blocks = |vector: u64| count.div_ceil(vector * u64::from(threads));
        while vector > least.max(1) && blocks(vector) < u64::from(target.part.sms) {
            vector /= 2;
        }
    }
    vector as u32
}
