//! Puts a kernel's axes in the order of its first store, or of its product's result, and merges those that every access walks as one.

use super::cost::Model;
use crate::dim::Dim;
use crate::plan::{Access, Kernel};

/// After this a flat kernel has one axis of stride 1 everywhere, a channel's bias over NCHW has (N, C, H·W), and so on.
///
/// `product` is the access of the result of the kernel's product, were it stored: the last axis is then its columns, even if there is one.
pub(super) fn coalesce(kernel: &mut Kernel, model: &Model, product: Option<Access>) {
    let size = |dim: &Dim| model.size(dim);
    let mut axes: Vec<usize> = (0..kernel.domain.len()).filter(|a| !kernel.domain[*a].is(1)).collect();
    // Outermost first. A store's strides are distinct but for extents of 1, so other accesses hardly ever decide.
    let stride = |axis: usize| match &product {
        Some(result) => vec![size(&result.strides[axis])],
        None => kernel.stores.iter().map(|s| size(&s.access.strides[axis])).collect::<Vec<f64>>(),
    };
    axes.sort_by(|a, b| stride(*b).partial_cmp(&stride(*a)).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b)));
    select(kernel, &axes);
    let mut axis = kernel.domain.len();
    if let Some(result) = product {
        let columns = axes.last().is_some_and(|last| result.strides[*last].is(1) && !has_one_column(kernel));
        if columns {
            axis -= 1;
        } else {
            kernel.domain.push(Dim::ONE);
            accesses(kernel).for_each(|a| a.strides.push(Dim::ZERO));
        }
    }
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

/// Whether the product's result has one column, which has no axis.
fn has_one_column(kernel: &Kernel) -> bool {
    kernel.product.as_ref().is_some_and(|product| product.contraction.columns().is(1))
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
