//! Chooses the tile of a kernel with a product.

mod model;
mod tiles;

use super::vector;
use crate::plan::{Blocking, Contraction, Extent, Form, Kernel, Product, layout};
use crate::target::Target;

/// The form of a kernel with a product; `None` for one that no form computes.
pub fn form(kernel: &Kernel, target: &Target) -> Option<Form> {
    let product = kernel.product.as_deref()?;
    let extent = product.contraction.extent().ok()?;
    if product.contraction.is_depthwise() {
        return Some(Form::Depthwise { vector: vector::columns(kernel, 8) });
    }
    let tile = tiles::choose(kernel, product, &extent, target)?;
    let most = columns_of(product, &extent, tile.n / tile.warps.1);
    Some(Form::Product { blocking: tile, vector: vector::columns(kernel, most) })
}

/// The tiles that a kernel's product may be cut into, and the µs that each is predicted to take.
pub fn predictions(kernel: &Kernel, target: &Target) -> Vec<(Blocking, f64)> {
    let Some(product) = kernel.product.as_deref() else { return Vec::new() };
    let Ok(extent) = product.contraction.extent() else { return Vec::new() };
    let tiles = tiles::candidates(product, target).into_iter();
    tiles.map(|tile| (tile, model::time(kernel, product, &extent, &tile, target))).collect()
}

/// The most adjacent columns that a thread may take of a warp's tile.
fn columns_of(product: &Product, extent: &Extent, width: u32) -> u32 {
    let grouped = matches!(product.contraction, Contraction::Conv { .. }) && !extent.batch.is_empty();
    // A vector may end within a row, but not reach into the next group's.
    let most = if grouped { layout::power_of_two(&extent.n, 16) as u32 } else { 16 };
    most.min(width)
}
