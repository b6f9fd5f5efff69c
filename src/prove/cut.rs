//! A kernel at smaller sizes than its own, where its text is the same.

use super::case::Case;
use crate::dim::{Bindings, Dim};
use crate::emit::{self, KernelSource};
use crate::plan::{Contraction, Kernel, Product};

/// The kernel with its outermost axis cut to a length, or as it is; `None` if its text would not be the same.
pub(super) fn cut(
    kernel: &Kernel,
    source: &KernelSource,
    sizes: &Bindings,
    extents: &[u64],
    length: u64,
) -> Option<Case> {
    let (outer, symbolic) = (*extents.first()?, kernel.domain[0].known().is_none());
    let length = if symbolic { outer } else { length };
    let mut cut = kernel.clone();
    if length > outer {
        return None;
    }
    if length != outer {
        cut.domain[0] = Dim::from(length as usize);
        if !cut.product.as_deref_mut().is_none_or(|product| shorten(product, &cut.domain)) {
            return None;
        }
    }
    let cut_source = match length == outer {
        true => source.clone(),
        false => emit::emit(&cut, &emit::Options { dependent_launch: source.rule.dependent }).ok()?,
    };
    // Whether the text stays the same is what the emitter says.
    if cut_source.text != source.text {
        return None;
    }
    let mut extents = extents.to_vec();
    extents[0] = length;
    Some(Case { kernel: cut, source: cut_source, sizes: sizes.clone(), extents })
}

/// Shortens a product to the rows of a domain whose outermost axis has been shortened; false if no such product has these rows.
fn shorten(product: &mut Product, domain: &[Dim]) -> bool {
    let known = |dims: &[Dim]| dims.iter().try_fold(1i64, |n, d| n.checked_mul(d.known()?));
    let Some(rows) = domain.split_last().and_then(|(_, outer)| known(outer)) else { return false };
    // All axes but one that is shortened keep their extent, or shrink to 1 from the outside in.
    let mut axes = product_axes(product);
    for first in 0..axes.len() {
        let inner: Vec<Dim> = axes[first + 1..].iter().map(|d| (**d).clone()).collect();
        let Some(inner) = known(&inner) else { return false };
        if inner > 0 && rows % inner == 0 && axes[first].known().is_some_and(|n| rows / inner <= n) {
            axes[..first].iter_mut().for_each(|d| **d = Dim::ONE);
            *axes[first] = Dim::fixed(rows / inner);
            return true;
        }
    }
    false
}

/// Lengths to which [`smaller`] cuts axes: an axis of one index leaves no trace in a kernel's text, so the least is two.
const LENGTHS: [i64; 7] = [2, 3, 5, 9, 17, 37, 129];

/// A kernel whose outermost axis alone cannot be cut short, as where the product's batches and rows are one axis of the domain: its axes are
/// cut from the outside in until no more than `most` elements are left. As it is where no such cut leaves the text the same.
pub(super) fn smaller(kernel: &Kernel, source: &KernelSource, sizes: Bindings, extents: Vec<u64>, most: u64) -> Case {
    let same = |axes: usize, length: i64| {
        let cut = shortened(kernel, axes, length)?;
        let extents = cut.domain.iter().map(|d| d.eval(&sizes)).collect::<Result<Vec<u64>, _>>().ok()?;
        let options = emit::Options { dependent_launch: source.rule.dependent };
        let cut_source = emit::emit(&cut, &options).ok().filter(|cut| cut.text == source.text)?;
        Some(Case { kernel: cut, source: cut_source, sizes: sizes.clone(), extents })
    };
    let mut best: Option<Case> = None;
    for axes in 1..=kernel.domain.len() + 1 {
        if best.as_ref().is_some_and(|case| case.count() <= most) {
            break;
        }
        // The longest that is not too large, or else the shortest.
        let fitting = LENGTHS.iter().rev().filter_map(|length| same(axes, *length)).find(|case| case.count() <= most);
        best = fitting.or_else(|| LENGTHS.iter().find_map(|length| same(axes, *length))).or(best);
    }
    best.unwrap_or_else(|| Case { kernel: kernel.clone(), source: source.clone(), sizes, extents })
}

/// The kernel with the `axes` outermost axes cut to a length where they are longer, those of its product if it has one; `None` where an axis is
/// symbolic, or where the domain's axes are not the product's, some taken together.
fn shortened(kernel: &Kernel, axes: usize, length: i64) -> Option<Kernel> {
    let shorten = |dims: Vec<&mut Dim>| {
        for dim in dims.into_iter().take(axes) {
            *dim = Dim::fixed(dim.known()?.min(length));
        }
        Some(())
    };
    let mut cut = kernel.clone();
    let Some(product) = &mut cut.product else {
        shorten(cut.domain.iter_mut().collect())?;
        return Some(cut);
    };
    let columns = cut.domain.len().checked_sub(1)?;
    let mut ends = Vec::new();
    let known = |dims: &[&mut Dim]| dims.iter().map(|d| d.known()).collect::<Option<Vec<i64>>>();
    let mut rows = product_axes(product);
    let (whole, domain) = (known(&rows)?, known(&cut.domain[..columns].iter_mut().collect::<Vec<_>>())?);
    // Which of the product's axes an axis of the domain takes together.
    let mut at = 0;
    for extent in domain {
        let mut taken = 1i64;
        while at < whole.len() && (taken < extent || whole[at] == 1) {
            taken = taken.checked_mul(whole[at])?;
            at += 1;
        }
        if taken != extent {
            return None;
        }
        ends.push(at);
    }
    if at != whole.len() {
        return None;
    }
    shorten(rows.iter_mut().map(|d| &mut **d).collect())?;
    let mut first = 0;
    let cut_rows = known(&rows)?;
    // A convolution that leaves an image's size as it is may be computed as a matrix, whatever the image: the input follows the result.
    if let Contraction::Conv { input, output, .. } = &mut product.contraction {
        let same =
            input.iter_mut().zip(output).zip(&whole[1..]).filter(|((input, _), whole)| input.known() == Some(**whole));
        same.for_each(|((input, output), _)| *input = output.clone());
    }
    for (dim, end) in cut.domain.iter_mut().zip(ends) {
        *dim = Dim::fixed(cut_rows[first..end].iter().product());
        first = end;
    }
    Some(cut)
}

/// The axes of a product's rows, outermost first.
fn product_axes(product: &mut Product) -> Vec<&mut Dim> {
    match &mut product.contraction {
        Contraction::Matrix { batch, m, .. } => batch.iter_mut().chain([m]).collect(),
        Contraction::Conv { images, output, .. } => [images].into_iter().chain(output).collect(),
    }
}
