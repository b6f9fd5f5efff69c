//! Puts a kernel's axes in the order of its first store and merges those that every access walks as one.

use super::cost::Model;
use crate::dim::Dim;
use crate::plan::{Access, Kernel};

/// After this a flat kernel has one axis of stride 1 everywhere, a channel's bias over NCHW has (N, C, H·W), and so on.
pub(super) fn coalesce(kernel: &mut Kernel, model: &Model) {
    let size = |dim: &Dim| model.size(dim);
    let mut axes: Vec<usize> = (0..kernel.domain.len()).filter(|a| !kernel.domain[*a].is(1)).collect();
    // Outermost first. A store's strides are distinct but for extents of 1, so other accesses hardly ever decide.
    let stride = |axis: usize| kernel.stores.iter().map(|s| size(&s.access.strides[axis])).collect::<Vec<f64>>();
    axes.sort_by(|a, b| stride(*b).partial_cmp(&stride(*a)).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b)));
    select(kernel, &axes);
    let mut axis = kernel.domain.len();
    while axis > 1 {
        axis -= 1;
        if mergeable(kernel, axis)
            && let Ok(extent) = kernel.domain[axis - 1].mul(&kernel.domain[axis])
        {
            kernel.domain[axis] = extent;
            kernel.domain.remove(axis - 1);
            accesses(kernel).for_each(|a| drop(a.strides.remove(axis - 1)));
        }
    }
}

/// Whether axes `inner - 1` and `inner` are one to every access.
fn mergeable(kernel: &mut Kernel, inner: usize) -> bool {
    let extent = kernel.domain[inner].clone();
    accesses(kernel).all(|a| a.strides[inner].mul(&extent).is_ok_and(|whole| whole == a.strides[inner - 1]))
}

fn select(kernel: &mut Kernel, axes: &[usize]) {
    kernel.domain = axes.iter().map(|a| kernel.domain[*a].clone()).collect();
    for access in accesses(kernel) {
        access.strides = axes.iter().map(|a| access.strides[*a].clone()).collect();
    }
}

fn accesses(kernel: &mut Kernel) -> impl Iterator<Item = &mut Access> {
    let loads = kernel.loads.iter_mut().map(|l| &mut l.access);
    loads.chain(kernel.stores.iter_mut().map(|s| &mut s.access))
}
