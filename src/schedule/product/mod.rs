//! Chooses the tile of a kernel with a product.

mod model;
mod patch;
mod specialised;
mod split;
mod tiles;

use super::{Options, vector};
use crate::dim::{Bindings, Dim};
use crate::plan::{Blocking, Contraction, Extent, Form, Kernel, Product, layout};
use crate::target::Target;

/// Of the patches that fit, as many are worth measuring.
const PATCHES: usize = 8;

/// The form of a kernel with a product; `None` for one that no form computes.
pub fn form(kernel: &Kernel, target: &Target, options: &Options) -> Option<Form> {
    let product = kernel.product.as_deref()?;
    if product.contraction.is_depthwise() {
        return Some(Form::Depthwise { vector: vector::columns(kernel, 8) });
    }
    let extent = extent(product, &options.sizes)?;
    let whole = tiles::choose(kernel, product, &extent, target)?;
    let blocking = split::choose(kernel, product, &extent, target, whole);
    let gathered = split::time(kernel, product, &extent, &blocking, target);
    if let Some(form) = patch::choose(kernel, product, target, &options.sizes, gathered) {
        return Some(form);
    }
    let walking = specialised::choose(kernel, product, &extent, target, &blocking);
    Some(with(kernel, product, &extent, walking.unwrap_or(blocking)))
}

/// Every form of a kernel with a product, and the µs that each is predicted to take, the fastest first.
pub fn forms(kernel: &Kernel, target: &Target, options: &Options) -> Vec<(Form, f64)> {
    let Some(product) = kernel.product.as_deref() else { return Vec::new() };
    let Some(extent) = extent(product, &options.sizes) else { return Vec::new() };
    let whole = tiles::candidates(product, target).into_iter();
    let tiles = whole.flat_map(|tile| split::candidates(&extent, &tile, target));
    let tiles = tiles.chain(specialised::candidates(kernel, product, target));
    let timed = tiles.map(|tile| {
        let us = split::time(kernel, product, &extent, &tile, target);
        (with(kernel, product, &extent, tile), us)
    });
    let patches = patch::candidates(kernel, product, target, &options.sizes).into_iter();
    let patches = patches.take(PATCHES).map(|(patch, us)| (patch::with(kernel, patch), us));
    let mut timed: Vec<(Form, f64)> = timed.chain(patches).collect();
    timed.sort_by(|a, b| a.1.total_cmp(&b.1));
    timed
}

/// The µs that a kernel's product is predicted to take in its form, if that is one of tiles.
pub fn time(kernel: &Kernel, target: &Target, sizes: &Bindings) -> Option<f64> {
    let product = kernel.product.as_deref()?;
    match &kernel.schedule.form {
        Form::Product { blocking, .. } => {
            Some(split::time(kernel, product, &extent(product, sizes)?, blocking, target))
        }
        Form::Patch { patch, .. } => patch::time(kernel, product, patch, target, sizes),
        _ => None,
    }
}

fn with(kernel: &Kernel, product: &Product, extent: &Extent, blocking: Blocking) -> Form {
    let most = columns_of(product, extent, blocking.n / blocking.warps.1);
    Form::Product { blocking, vector: vector::columns(kernel, most) }
}

/// The extent, with the sizes that are to be expected of its symbols.
fn extent(product: &Product, sizes: &Bindings) -> Option<Extent> {
    let Extent { batch, m, n, k } = product.contraction.extent().ok()?;
    let expected = |d: &Dim| d.bind(sizes).unwrap_or_else(|_| d.clone());
    let batch = batch.iter().map(expected).collect();
    Some(Extent { batch, m: expected(&m), n: expected(&n), k: expected(&k) })
}

/// The most adjacent columns that a thread may take of a warp's tile.
fn columns_of(product: &Product, extent: &Extent, width: u32) -> u32 {
    let grouped = matches!(product.contraction, Contraction::Conv { .. }) && !extent.batch.is_empty();
    // A vector may end within a row, but not reach into the next group's.
    let most = if grouped { layout::power_of_two(&extent.n, 16) as u32 } else { 16 };
    most.min(width)
}
