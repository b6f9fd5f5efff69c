//! When several blocks share out the terms of one tile: where there are fewer tiles than multiprocessors, and the sums are long.

use super::model;
use crate::dim::Dim;
use crate::plan::{Blocking, Extent, Kernel, Product};
use crate::target::Target;

/// Blocks a tile.
const SPLITS: [u32; 4] = [2, 4, 8, 16];
/// µs from the last block's sums to its epilogue: a fence, a counter, a barrier; and for each block's sums that it reads.
const JOIN: (f64, f64) = (1.0, 0.25);
/// Bytes in a nanosecond that the sums move through the L2 cache.
const L2: f64 = 5000.0;
/// The share of the time that a split has to save by the model, whose error it must outweigh.
const WORTH: f64 = 0.9;

/// Blocks of a product cut into such tiles, if all sizes are known.
fn blocks(extent: &Extent, tile: &Blocking) -> Option<u64> {
    let known = |d: &Dim| d.known().and_then(|n| u64::try_from(n).ok());
    let batch = extent.batch.iter().try_fold(1u64, |n, d| n.checked_mul(known(d)?))?;
    let (m, n) = (known(&extent.m)?.div_ceil(tile.m.into()), known(&extent.n)?.div_ceil(tile.n.into()));
    batch.checked_mul(m)?.checked_mul(n)
}

/// The tile as it is, and its splits that leave each block a few steps and fill the GPU no more than twice.
pub fn candidates(extent: &Extent, tile: &Blocking, target: &Target) -> Vec<Blocking> {
    let steps = extent.k.known().map_or(0, |k| k.unsigned_abs().div_ceil(tile.k.into()));
    let fits = |split: &u32| {
        let few = blocks(extent, tile).is_some_and(|n| n * u64::from(*split) <= 2 * u64::from(target.part.sms));
        few && steps >= 2 * u64::from(*split)
    };
    let splits = SPLITS.into_iter().filter(fits).map(|split| Blocking { split, ..*tile });
    [*tile].into_iter().chain(splits).collect()
}

/// µs that a blocking takes.
pub fn time(kernel: &Kernel, product: &Product, extent: &Extent, blocking: &Blocking, target: &Target) -> f64 {
    let whole = Blocking { split: 1, ..*blocking };
    if blocking.split == 1 {
        return model::time(kernel, product, extent, &whole, target);
    }
    let split = f64::from(blocking.split);
    let share =
        extent.k.known().map_or(extent.k.clone(), |k| Dim::from((k as u64).div_ceil(blocking.split.into()) as usize));
    // As many products with shorter sums, side by side.
    let mut apart = Extent { k: share, ..extent.clone() };
    apart.batch.push(Dim::from(blocking.split as usize));
    let sums = blocks(extent, blocking).unwrap_or(1) as f64 * f64::from(blocking.m * blocking.n) * 4.0 * split;
    model::time(kernel, product, &apart, &whole, target) + JOIN.0 + JOIN.1 * split + 2.0 * sums / L2 / 1e3
}

/// The best tile with the best split, if one saves enough; else the tile given, which is the best of those that are whole.
pub fn choose(kernel: &Kernel, product: &Product, extent: &Extent, target: &Target, whole: Blocking) -> Blocking {
    let time = |tile: &Blocking| time(kernel, product, extent, tile, target);
    let tiles = super::tiles::candidates(product, target).into_iter();
    let split = tiles.flat_map(|tile| candidates(extent, &tile, target)).filter(|tile| tile.split > 1);
    let best = split.min_by(|a, b| time(a).total_cmp(&time(b)));
    best.filter(|best| time(best) < WORTH * time(&whole)).unwrap_or(whole)
}
