//! How an access walks the domain, seen as the emitter and the schedule need it.

use super::{Access, Form, Kernel};
use crate::dim::{Dim, DimError};
use crate::shape::Shape;
use std::cmp::Reverse;

/// The strides of a dense row-major tensor over a domain.
pub fn row_major(domain: &[Dim]) -> Result<Vec<Dim>, DimError> {
    Shape(domain.to_vec()).strides()
}

/// True if every value of `dim` is a multiple of `n`, whatever its symbols are.
pub fn is_multiple(dim: &Dim, n: u64) -> bool {
    n == 1 || dim.is(0) || i64::try_from(n).is_ok_and(|n| dim.div_exact(&Dim::fixed(n)).is_some())
}

/// The largest power of two, up to `limit`, that divides every value of `dim`.
pub fn power_of_two(dim: &Dim, limit: u64) -> u64 {
    let mut n = limit.max(1);
    while n > 1 && !is_multiple(dim, n) {
        n /= 2;
    }
    n
}

/// True if all of the axes but the last have an extent of 1.
pub fn is_single(axes: &[Dim]) -> bool {
    axes.iter().rev().skip(1).all(|size| size.is(1))
}

impl Access {
    /// True if it reads one element for the whole domain.
    pub fn is_uniform(&self, domain: &[Dim]) -> bool {
        self.strides.iter().zip(domain).all(|(stride, size)| stride.is(0) || size.is(1))
    }

    /// True if it walks memory in the domain's row-major order, one element after the other.
    pub fn is_dense(&self, domain: &[Dim]) -> bool {
        row_major(domain).is_ok_and(|dense| {
            self.strides.iter().zip(&dense).zip(domain).all(|((stride, dense), size)| stride == dense || size.is(1))
        })
    }

    /// The stride along the innermost axis; 0 for a domain without axes.
    pub fn inner(&self) -> Dim {
        self.strides.last().cloned().unwrap_or(Dim::ZERO)
    }

    /// The largest power of two, up to `limit` bytes, that divides the address of every element whose innermost index is a
    /// multiple of `vector`; the buffer's own address is taken to be a multiple of `limit`.
    pub fn alignment(&self, size: u64, vector: u64, limit: u64) -> u64 {
        self.alignment_along(self.strides.len().saturating_sub(1), size, vector, limit)
    }

    /// The same for every element whose index along axis `along` is a multiple of `vector`.
    pub fn alignment_along(&self, along: usize, size: u64, vector: u64, limit: u64) -> u64 {
        let bytes = |dim: &Dim, times: u64| match dim.is(0) {
            true => limit,
            false => power_of_two(dim, limit.div_ceil(size)) * size * times,
        };
        let steps = self.strides.iter().enumerate().map(|(axis, s)| bytes(s, if axis == along { vector } else { 1 }));
        steps.chain([bytes(&self.offset, 1), limit]).min().map_or(size, |n| n.max(size))
    }

    /// True if its unit stride is along axis `axis` and the innermost axis is walked in other steps: what a tile in shared memory
    /// turns.
    pub fn is_turned(&self, axis: usize, domain: &[Dim]) -> bool {
        let unit = self.strides.get(axis).is_some_and(|stride| stride.is(1)) && axis + 1 < self.strides.len();
        let inner = self.inner();
        unit && !inner.is(0) && !inner.is(1) && [axis, domain.len() - 1].iter().all(|axis| !domain[*axis].is(1))
    }
}

/// True if a form takes 16-bit elements of one type two by two: vectors of an even length, and nothing fetched or put element by element.
pub fn in_pairs(kernel: &Kernel, form: &Form) -> bool {
    let vector = match form {
        Form::Flat { vector } | Form::Rows { vector, .. } | Form::Transposed { vector, .. } => *vector,
        Form::Strided | Form::Product { .. } | Form::Patch { .. } | Form::Depthwise { .. } => return false,
    };
    let domain = &kernel.domain;
    let met = |access: &Access| match form {
        Form::Flat { .. } => access.is_dense(domain),
        _ => access.inner().is(1),
    };
    // One element for the whole vector is both of a pair.
    let stays =
        |access: &Access| access.is_uniform(domain) || (!matches!(form, Form::Flat { .. }) && access.inner().is(0));
    let Some(dtype) = kernel.stores.first().map(|store| store.dtype) else { return false };
    dtype.bits() == 16
        && vector % 2 == 0
        && kernel.product.is_none()
        && !domain.last().is_none_or(|inner| inner.is(1))
        && kernel.loads.iter().all(|load| load.dtype == dtype && (met(&load.access) || stays(&load.access)))
        && kernel.stores.iter().all(|store| store.dtype == dtype && met(&store.access))
}

/// The axis that tiles of a kernel turn into the innermost: the one that the most bytes lie along of tensors whose unit stride is not
/// along the innermost. An axis of fewer elements than a tile's shortest side is none: most of a tile would be empty.
pub fn tile_axis(kernel: &Kernel) -> Option<usize> {
    let long = |axis: usize| kernel.domain[axis].known().is_none_or(|n| n >= Tile::LEAST_SIDE.into());
    let inner = kernel.domain.len().checked_sub(1).filter(|inner| long(*inner))?;
    let bits = |axis: usize| {
        let loads = kernel.loads.iter().map(|load| (&load.access, load.dtype));
        let all = loads.chain(kernel.stores.iter().map(|store| (&store.access, store.dtype)));
        all.filter(|(access, _)| access.is_turned(axis, &kernel.domain)).map(|(_, dtype)| dtype.bits()).sum::<u32>()
    };
    let axis = (0..inner).filter(|axis| long(*axis)).max_by_key(|axis| (bits(*axis), Reverse(*axis)))?;
    (bits(axis) > 0).then_some(axis)
}

/// A part of a tensor in shared memory: `rows` × `columns` elements of `size` bytes, a power of two each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    pub size: u64,
    pub rows: u64,
    pub columns: u64,
}

impl Tile {
    /// The shortest side: what is read of the narrowest elements at once, 16 bytes.
    pub const LEAST_SIDE: u32 = 16;
    /// Bytes that all tiles of a kernel may take: what a block may declare, less the largest table of 256 codes.
    pub const MOST_SHARED: u64 = (48 - 4) << 10;

    /// The bytes it takes with the padding that keeps it free of bank conflicts (see `Tile` in `templates/device.cuh`).
    pub fn bytes(&self) -> u64 {
        let bands = self.rows * self.size / 16;
        self.rows * self.columns * self.size + bands * (128 / bands.clamp(1, 8))
    }
}

impl Kernel {
    /// Bytes of one element of each load and store, or the first that has no whole number of them.
    pub fn widths(&self) -> Result<Vec<u64>, crate::dtype::DType> {
        let types = self.loads.iter().map(|load| load.dtype).chain(self.stores.iter().map(|store| store.dtype));
        types.map(|t| t.bytes().map(|n| n as u64).ok_or(t)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(offset: i64, strides: &[i64]) -> Access {
        Access { offset: Dim::fixed(offset), strides: strides.iter().map(|&s| Dim::fixed(s)).collect() }
    }

    #[test]
    fn classes_ignore_axes_of_one() {
        let domain = [1, 4, 6].map(Dim::fixed);
        assert!(access(0, &[99, 6, 1]).is_dense(&domain));
        assert!(!access(0, &[24, 1, 4]).is_dense(&domain));
        assert!(access(7, &[5, 0, 0]).is_uniform(&domain));
        assert!(!access(0, &[0, 0, 1]).is_uniform(&domain));
    }

    #[test]
    fn alignment_is_what_divides_every_address() {
        assert_eq!(access(0, &[1600, 1]).alignment(2, 8, 16), 16);
        assert_eq!(access(4, &[1600, 1]).alignment(2, 8, 16), 8);
        assert_eq!(access(0, &[49, 1]).alignment(2, 8, 16), 2);
        assert_eq!(access(0, &[0, 1]).alignment(4, 2, 16), 8);
        let symbolic = Access { offset: Dim::ZERO, strides: vec![Dim::symbol("d"), Dim::ONE] };
        assert_eq!(symbolic.alignment(1, 16, 16), 1);
        let known = Access { strides: vec![Dim::symbol("d").mul(&Dim::fixed(8)).unwrap(), Dim::ONE], ..symbolic };
        assert_eq!(known.alignment(1, 16, 16), 8);
    }
}
