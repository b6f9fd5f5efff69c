//! The tiles that a product may be cut into.

use super::model;
use crate::dtype::DType;
use crate::plan::{Blocking, Engine, Extent, Kernel, Product};
use crate::target::Target;

/// Tiles by rows, columns, bytes of a row's terms, warps along both, slices and stages.
type Row = (u32, u32, u32, (u32, u32), u32, u32);

/// For tensor cores, largest first: those that were best for some problem on the H200 (benches/NOTES.md).
const TENSOR: [Row; 21] = [
    (128, 256, 64, (2, 4), 1, 4),
    (256, 128, 64, (4, 2), 1, 4),
    (128, 128, 64, (2, 2), 1, 4),
    (128, 128, 128, (2, 4), 1, 3),
    (256, 32, 64, (8, 1), 1, 3),
    (256, 32, 64, (4, 1), 1, 3),
    (256, 16, 64, (4, 1), 1, 3),
    (128, 16, 64, (4, 1), 1, 3),
    (128, 64, 64, (2, 2), 1, 4),
    (128, 64, 128, (2, 2), 1, 3),
    (128, 64, 64, (4, 1), 1, 4),
    (64, 64, 64, (2, 2), 1, 4),
    (64, 64, 128, (2, 2), 1, 4),
    (64, 64, 128, (2, 2), 2, 3),
    (128, 32, 64, (4, 1), 1, 4),
    (64, 32, 128, (2, 1), 1, 4),
    (64, 32, 128, (2, 1), 2, 4),
    (32, 64, 128, (1, 2), 2, 4),
    (32, 32, 128, (1, 1), 2, 4),
    (32, 32, 128, (1, 1), 4, 4),
    (16, 32, 128, (1, 1), 4, 6),
];

/// For `wgmma`: those that were best for some problem.
const WGMMA: [Row; 13] = [
    (128, 256, 128, (8, 2), 1, 4),
    (256, 128, 128, (16, 1), 1, 4),
    (128, 128, 128, (8, 1), 1, 3),
    (128, 64, 128, (8, 1), 1, 3),
    (128, 64, 64, (8, 1), 1, 3),
    (128, 32, 128, (8, 1), 1, 3),
    (64, 128, 256, (4, 2), 1, 3),
    (64, 64, 128, (4, 1), 1, 3),
    (64, 64, 128, (4, 1), 1, 4),
    (64, 64, 256, (4, 1), 1, 3),
    (64, 32, 128, (4, 1), 1, 6),
    (64, 32, 256, (4, 1), 2, 4),
    (64, 16, 256, (4, 1), 2, 4),
];

/// For `FFMA`.
const SIMT: [Row; 3] = [(128, 128, 32, (4, 2), 1, 3), (64, 64, 32, (2, 1), 1, 3), (32, 32, 64, (1, 1), 4, 3)];

/// The candidates for a product.
pub fn candidates(product: &Product, target: &Target) -> Vec<Blocking> {
    let size = product.a.dtype.bits() / 8;
    let engines: &[(Engine, &[Row])] = match product.a.dtype {
        DType::F32 => &[(Engine::Simt, &SIMT)],
        _ if target.features.wgmma => &[(Engine::Wgmma, &WGMMA), (Engine::Tensor, &TENSOR)],
        _ => &[(Engine::Tensor, &TENSOR)],
    };
    let tile = |engine, &(m, n, bytes, warps, slices, stages): &Row| Blocking {
        engine,
        m,
        n,
        k: bytes / size,
        warps,
        slices,
        split: 1,
        stages: if target.features.cp_async { stages } else { 2 },
        band: 8,
        copy: (16, 16),
    };
    let tiles = engines.iter().flat_map(|&(engine, rows)| rows.iter().map(move |row| tile(engine, row)));
    tiles.filter(|tile| model::shared(tile, size) <= target.limits.shared_per_block).collect()
}

/// The candidate that takes the least time by the model; `None` if the target has no room for any.
pub fn choose(kernel: &Kernel, product: &Product, extent: &Extent, target: &Target) -> Option<Blocking> {
    let time = |tile: &Blocking| model::time(kernel, product, extent, tile, target);
    let best = candidates(product, target).into_iter().min_by(|a, b| time(a).total_cmp(&time(b)))?;
    // A step that does not exist is copied as zeros, at the price of one that does.
    let steps = extent.k.known().map_or(u64::MAX, |k| k.unsigned_abs().div_ceil(best.k.into()));
    Some(Blocking { stages: best.stages.min(u32::try_from(steps.max(2)).unwrap_or(u32::MAX)), ..best })
}
