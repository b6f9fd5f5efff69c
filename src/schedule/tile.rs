//! When tensors that lie the other way pass through shared memory, and in tiles of which sides.

use super::vector;
use crate::dim::Dim;
use crate::plan::{Access, Form, Kernel, Tile, layout};
use crate::target::Target;

/// Bytes that a thread may hold of one tensor for all rows it takes.
const HELD: u64 = 64;
/// Rows a thread.
const MOST_ROWS: u64 = 4;
/// Sides beyond which a tile gains nothing: whole lines of 128 bytes of the narrowest elements.
const LONGEST: u64 = 128;

/// Elements of the smallest tile, and of one that is not cut for the sake of more blocks.
const LEAST: u64 = (Tile::LEAST_SIDE * Tile::LEAST_SIDE) as u64;
const SMALL: u64 = 32 * 32;

/// Tiles, if some tensor has its unit stride along another axis than the innermost and there is enough of both axes.
pub fn form(kernel: &Kernel, target: &Target, threads: u32) -> Option<Form> {
    let axis = layout::tile_axis(kernel)?;
    let inner = kernel.domain.len() - 1;
    let turned: Vec<u64> =
        accesses(kernel).filter(|(access, _)| access.is_turned(axis, &kernel.domain)).map(|(_, size)| size).collect();
    let widest =
        accesses(kernel).filter(|(access, _)| !access.is_uniform(&kernel.domain)).map(|(_, size)| size).max()?;
    // A tile is read in vectors of up to 16 bytes: of wider ones every other would meet in the same banks.
    let vector = vector::along_rows(kernel, turned.iter().copied().max()?);
    let shape = |area: u64| {
        let side = |axis: usize| {
            let size = kernel.domain[axis].known().map_or(u64::MAX, i64::unsigned_abs);
            size.clamp(Tile::LEAST_SIDE.into(), LONGEST).next_power_of_two()
        };
        let broad = side(inner).min(1 << (area.ilog2() / 2));
        let tall = side(axis).min(area / broad);
        // What one axis has not, the other may take.
        [tall, side(inner).min(area / tall)]
    };
    let fits = |[tall, broad]: [u64; 2]| {
        let shared: u64 = turned.iter().map(|&size| Tile { size, rows: tall, columns: broad }.bytes()).sum();
        shared <= Tile::MOST_SHARED
    };
    let blocks = |[tall, broad]: [u64; 2]| {
        let count = |dim: &Dim, side: u64| dim.known().map(|n| n.unsigned_abs().div_ceil(side));
        let outer = (0..inner).filter(|other| *other != axis).map(|other| count(&kernel.domain[other], 1));
        let mut all = outer.chain([count(&kernel.domain[axis], tall), count(&kernel.domain[inner], broad)]);
        all.try_fold(1u64, |blocks, count| Some(blocks.saturating_mul(count?)))
    };
    let threads = u64::from(threads);
    let mut area = (threads * HELD / widest).min(threads * vector * MOST_ROWS);
    // Small tensors are cut so that every multiprocessor gets a block.
    let few = |area: u64| blocks(shape(area)).is_some_and(|blocks| blocks < target.part.sms.into());
    while area > LEAST && (!fits(shape(area)) || (area > SMALL && few(area))) {
        area /= 2;
    }
    let [tall, broad] = shape(area);
    let vector = vector.min(broad).min(tall * broad / threads);
    let narrow = |n: u64| u32::try_from(n).ok();
    let [axis, rows, columns, vector] = [narrow(axis as u64)?, narrow(tall)?, narrow(broad)?, narrow(vector)?];
    fits([tall, broad]).then_some(Form::Transposed { axis, rows, columns, vector })
}

/// Every access with the bytes of its elements.
fn accesses(kernel: &Kernel) -> impl Iterator<Item = (&Access, u64)> {
    let loads = kernel.loads.iter().map(|l| (&l.access, l.dtype));
    let all = loads.chain(kernel.stores.iter().map(|s| (&s.access, s.dtype)));
    all.map(|(access, dtype)| (access, u64::from(dtype.bits()).div_ceil(8)))
}
