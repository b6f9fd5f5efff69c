//! How many adjacent elements a thread takes.

use crate::plan::{Kernel, layout};
use crate::target::Target;

/// Bytes of the widest vector access.
const VECTOR: u64 = 16;
/// Bytes that a thread may hold of one tensor: 16 bytes a thread copies fastest (measured on the H200), and up to twice that is
/// worth it if a narrower tensor then moves in 16-byte vectors.
const HELD: u64 = 32;

/// The number of elements, a power of two: the narrowest tensor moves 16 bytes unless the widest would then take more than
/// 32, and small tensors are cut so that every multiprocessor gets a block.
pub fn flat(kernel: &Kernel, target: &Target, threads: u32) -> u32 {
    let (narrowest, widest) = widths(kernel);
    let vector = (VECTOR / narrowest).min(HELD / widest).max(1);
    fill(kernel, target, threads, vector, VECTOR / 4 / narrowest)
}

/// The most elements of a flat kernel's vector.
pub fn most(kernel: &Kernel) -> u32 {
    let (narrowest, widest) = widths(kernel);
    ((VECTOR / narrowest).max(1)).min((HELD / widest).max(1)) as u32
}

/// Bytes of the narrowest and of the widest element that moves.
fn widths(kernel: &Kernel) -> (u64, u64) {
    let loads = kernel.loads.iter().filter(|l| !l.access.is_uniform(&kernel.domain)).map(|l| l.dtype);
    let widths = loads.chain(kernel.stores.iter().map(|s| s.dtype)).map(|t| u64::from(t.bits()).div_ceil(8));
    widths.fold((VECTOR, 1), |(low, high), width| (low.min(width), high.max(width)))
}

/// The vector along the innermost axis for a kernel whose rows need not be whole vectors: as wide as the alignment of all that lies along
/// that axis allows, and no wider than 16 bytes of elements of `turned` bytes.
pub fn along_rows(kernel: &Kernel, turned: u64) -> u64 {
    let (narrowest, widest) = widths(kernel);
    let mut vector = (VECTOR / narrowest).min(HELD / widest).min(VECTOR / turned).max(1);
    while vector > 1 && !aligned(kernel, vector) {
        vector /= 2;
    }
    vector
}

/// True if every access along the innermost axis may move vectors of so many elements at once.
fn aligned(kernel: &Kernel, vector: u64) -> bool {
    let loads = kernel.loads.iter().map(|l| (&l.access, l.dtype));
    let mut accesses = loads.chain(kernel.stores.iter().map(|s| (&s.access, s.dtype)));
    accesses.all(|(access, dtype)| {
        let size = u64::from(dtype.bits()).div_ceil(8);
        !access.inner().is(1) || access.alignment(size, vector, VECTOR) >= (vector * size).min(VECTOR)
    })
}

/// The vector along the innermost axis and the rows a thread for a kernel of rows, if vectors of at least 4 bytes fit the rows, or if
/// the stores leave no other way.
pub fn rows(kernel: &Kernel, target: &Target, threads: u32) -> Option<(u32, u32)> {
    let [outer @ .., inner] = &kernel.domain[..] else { return None };
    let last = outer.last()?;
    if inner.is(1) || !kernel.stores.iter().all(|store| store.access.inner().is(1)) {
        return None;
    }
    let (narrowest, widest) = widths(kernel);
    let most = (VECTOR / narrowest).min(HELD / widest).max(1);
    let fits = |vector: u64| layout::is_multiple(inner, vector) && aligned(kernel, vector);
    let mut vector = most;
    while vector > 1 && !fits(vector) {
        vector /= 2;
    }
    let dense = kernel.stores.iter().all(|store| store.access.is_dense(&kernel.domain));
    if dense && vector < most && vector * narrowest < 4 {
        return None;
    }
    let vector = fill(kernel, target, threads, vector, VECTOR / 4 / narrowest);
    // Vectors that stay the same from row to row are worth keeping for several.
    let stays = |l: &crate::plan::Load| {
        let last_stride = l.access.strides.get(outer.len() - 1);
        l.access.inner().is(1) && last_stride.is_some_and(|stride| stride.is(0)) && !last.is(1)
    };
    let per_row = u64::from(target.part.sms) * u64::from(threads) * u64::from(vector);
    let count = kernel.count().ok().and_then(|n| n.known()).map(i64::unsigned_abs);
    let enough = |rows: u64| {
        let whole = layout::is_multiple(last, rows) || layout::is_single(outer);
        whole && count.is_none_or(|count| count / (rows * per_row).max(1) >= 2)
    };
    let rows = if kernel.loads.iter().any(stays) && enough(2) { 2 } else { 1 };
    Some((vector, rows as u32))
}

/// The vector along the innermost axis for a kernel with a product: 16 bytes of the widest result, or what its memory's alignment allows.
pub fn columns(kernel: &Kernel, most: u32) -> u32 {
    let Some(inner) = kernel.domain.last() else { return 1 };
    let size = |t: crate::dtype::DType| u64::from(t.bits()).div_ceil(8);
    let widest = kernel.stores.iter().map(|s| size(s.dtype)).max().unwrap_or(1);
    let accesses = kernel.loads.iter().map(|l| (&l.access, l.dtype));
    let accesses = accesses.chain(kernel.stores.iter().map(|s| (&s.access, s.dtype)));
    let vectors: Vec<_> = accesses.filter(|(access, _)| access.inner().is(1)).collect();
    let aligned = |vector: u64| {
        vectors.iter().all(|(a, t)| a.alignment(size(*t), vector, VECTOR) >= (vector * size(*t)).min(VECTOR))
    };
    // Where every result goes to places apart, a vector saves nothing but the reads of the accumulators.
    let scattered = !kernel.stores.iter().any(|s| s.access.inner().is(1));
    let mut vector = if scattered { 4 } else { VECTOR / widest }.min(u64::from(most)).max(1);
    while vector > 1 && !(layout::is_multiple(inner, vector) && aligned(vector)) {
        vector /= 2;
    }
    vector as u32
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
