//! Tiles for blocks that walk them, with warps that only copy: [`Engine::Cooperative`] and [`Engine::PingPong`].
//!
//! The model's constants come from other loops, so they are candidates to be measured; the choice without a measurement only where all measurements
//! of that kind agree: a matrix product with many large tiles and long sums.

use super::model;
use crate::plan::{Blocking, Engine, Extent, IndexWidth, Kernel, Product};
use crate::schedule::index;
use crate::target::Target;

/// Engine, rows, columns, warps of a crew along both.
type Row = (Engine, u32, u32, (u32, u32));

/// By what shared memory and registers allow: 128 accumulators a thread at most. Twice the warps with 64 each would leave a thread 96 registers to compile
/// for, which an epilogue of codes spills.
const ROWS: [Row; 6] = [
    (Engine::Cooperative, 256, 128, (8, 1)),
    (Engine::Cooperative, 128, 256, (8, 1)),
    (Engine::Cooperative, 128, 128, (8, 1)),
    (Engine::PingPong, 128, 128, (4, 1)),
    (Engine::PingPong, 64, 256, (4, 1)),
    (Engine::PingPong, 64, 128, (4, 1)),
];

/// Bytes of a row of terms: what the copy engine's swizzle spans.
const ROW: u32 = 128;
/// Stages beyond which nothing is gained.
const MOST_STAGES: u32 = 8;
/// Bytes of a stage's barriers and of the crews'.
const BARRIERS: (u32, u32) = (16, 16);
/// What the stages' address is a multiple of.
const ALIGN: u32 = 1024;

/// The candidates for a kernel's product; none where no tensor map describes its factors, or the target has no such engine.
pub fn candidates(kernel: &Kernel, product: &Product, target: &Target) -> Vec<Blocking> {
    let size = product.a.dtype.bits() / 8;
    if !target.features.wgmma || product.matrices().is_none() || index(kernel) != IndexWidth::Bits32 {
        return Vec::new();
    }
    let tile = |&(engine, m, n, warps): &Row| {
        let (k, copy) = (ROW / size, (16, 16));
        let tile = Blocking { engine, m, n, k, warps, slices: 1, split: 1, stages: 0, band: 8, copy };
        let room = target.limits.shared_per_block.saturating_sub(tile.staging().next_multiple_of(ALIGN) + BARRIERS.1);
        let stages = (room / ((m + n) * ROW + BARRIERS.0)).min(MOST_STAGES);
        (stages >= 2).then_some(Blocking { stages, ..tile })
    };
    ROWS.iter().filter_map(tile).collect()
}

/// Tiles for each multiprocessor, and terms of a sum, from which on a crew's epilogue under the other's multiplications is worth their barriers:
/// then 2% to 8% less time than the best other blocking in six of seven products on the H200, and the same in the seventh.
const MANY: (f64, f64) = (7.0, 512.0);

/// The blocking for a product whose best other blocking is `whole`, if it is such a one.
pub fn choose(
    kernel: &Kernel,
    product: &Product,
    extent: &Extent,
    target: &Target,
    whole: &Blocking,
) -> Option<Blocking> {
    let large = whole.engine.is_wgmma() && whole.m * whole.n >= 128 * 128;
    let of = |engine: Engine, tile: &Blocking| tile.engine == engine && (tile.m, tile.n) == (128, 128);
    let tile = candidates(kernel, product, target).into_iter().find(|tile| of(Engine::PingPong, tile));
    let tile = tile.filter(|_| large && extent.batch.is_empty())?;
    let tiles = model::tiles(extent, &tile)? / f64::from(target.part.sms);
    let terms = extent.k.known()? as f64;
    (tiles >= MANY.0 && terms >= MANY.1).then_some(tile)
}
