//! Walks through a buffer along strides: what views, broadcasts and the accesses of kernels have in common.

use crate::dtype::DType;
use crate::tensor::{Tensor, TensorError};
use rayon::prelude::*;

/// For each index tuple of a box, in row-major order, the element `offset + Σ strides[i]·index[i]` of a buffer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strided {
    offset: i64,
    /// Axes of size 1 and axes that continue one another are merged; never empty.
    axes: Vec<(usize, i64)>,
    count: usize,
}

/// `n` elements from `base` on, `step` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub base: i64,
    pub step: i64,
    pub n: usize,
}

impl Strided {
    /// `sizes` and `strides` have one entry an axis, outermost first.
    pub fn new(offset: i64, sizes: &[usize], strides: &[i64]) -> Strided {
        let mut axes: Vec<(usize, i64)> = Vec::with_capacity(sizes.len().max(1));
        for (&size, &stride) in sizes.iter().zip(strides).filter(|(size, _)| **size != 1) {
            match axes.last_mut() {
                Some((n, s)) if *s == stride.wrapping_mul(size as i64) => (*n, *s) = (*n * size, stride),
                _ => axes.push((size, stride)),
            }
        }
        if axes.is_empty() {
            axes.push((1, 0));
        }
        Strided { offset, axes, count: sizes.iter().product() }
    }

    /// A tensor of sizes `from` seen under sizes `to`, which it broadcasts to.
    pub fn broadcast(from: &[usize], to: &[usize]) -> Strided {
        let missing = to.len() - from.len();
        let dense = strides(from);
        let stride = |axis: usize| match axis.checked_sub(missing) {
            Some(i) if from[i] != 1 => dense[i],
            _ => 0,
        };
        Strided::new(0, to, &(0..to.len()).map(stride).collect::<Vec<_>>())
    }

    /// Number of index tuples.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The smallest and the largest element that is touched; `None` for an empty box or where they overflow.
    pub fn extremes(&self) -> Option<(i64, i64)> {
        let (mut low, mut high) = (self.offset, self.offset);
        for &(size, stride) in &self.axes {
            let reach = i64::try_from(size.checked_sub(1)?).ok()?.checked_mul(stride)?;
            let end = if reach < 0 { &mut low } else { &mut high };
            *end = end.checked_add(reach)?;
        }
        Some((low, high))
    }

    /// True if the walk is over elements 0, 1, 2 … in order.
    pub fn is_dense(&self) -> bool {
        self.offset == 0 && matches!(self.axes[..], [(_, 1)] | [(1, _)])
    }

    /// The runs that make up index tuples `start` to `start + len` of the row-major order.
    pub fn runs(&self, start: usize, len: usize, mut each: impl FnMut(Run)) {
        let rank = self.axes.len();
        let (inner, step) = self.axes[rank - 1];
        // The index tuple of `start`, and the element its outer axes give.
        let mut index = vec![0usize; rank];
        let mut rest = start;
        for (i, &(size, _)) in self.axes.iter().enumerate().rev() {
            index[i] = rest % size.max(1);
            rest /= size.max(1);
        }
        let outer = |index: &[usize]| {
            self.axes[..rank - 1].iter().zip(index).fold(self.offset, |at, (&(_, s), &i)| at + s * i as i64)
        };
        let mut row = outer(&index);
        let mut left = len;
        while left > 0 {
            let at = index[rank - 1];
            let n = (inner - at).min(left);
            each(Run { base: row + step * at as i64, step, n });
            left -= n;
            index[rank - 1] = 0;
            // Carry into the outer axes.
            for axis in (0..rank - 1).rev() {
                let (size, stride) = self.axes[axis];
                index[axis] += 1;
                row += stride;
                if index[axis] < size {
                    break;
                }
                row -= stride * size as i64;
                index[axis] = 0;
            }
        }
    }

    /// The elements of `tensor` along the walk, as a tensor of `sizes`. The walk must lie within the tensor.
    pub fn copy(&self, tensor: &Tensor, sizes: &[usize]) -> Result<Tensor, TensorError> {
        if self.is_dense() && self.count == tensor.len() {
            return tensor.reshaped(sizes);
        }
        let bytes = tensor.bytes();
        let copied = match tensor.dtype().bytes() {
            Some(1) => self.copy_wide::<1>(bytes),
            Some(2) => self.copy_wide::<2>(bytes),
            Some(4) => self.copy_wide::<4>(bytes),
            Some(8) => self.copy_wide::<8>(bytes),
            _ => {
                let mut elements = Vec::with_capacity(self.count);
                self.runs(0, self.count, |run| {
                    elements.extend(run.elements().map(|i| tensor.at(i).number()));
                });
                return Tensor::from_numbers(tensor.dtype(), sizes, elements);
            }
        };
        Tensor::new(tensor.dtype(), sizes.to_vec(), copied.into())
    }

    fn copy_wide<const W: usize>(&self, from: &[u8]) -> Vec<u8> {
        let from = from.as_chunks::<W>().0;
        let mut to = vec![[0u8; W]; self.count];
        to.par_chunks_mut(CHUNK * 4).enumerate().for_each(|(chunk, to)| {
            let mut at = 0;
            self.runs(chunk * CHUNK * 4, to.len(), |run| {
                let to = &mut to[at..at + run.n];
                match run.step {
                    1 => to.copy_from_slice(&from[run.base as usize..][..run.n]),
                    0 => to.fill(from[run.base as usize]),
                    _ => to.iter_mut().zip(run.elements()).for_each(|(to, i)| *to = from[i]),
                }
                at += run.n;
            });
        });
        to.into_flattened()
    }
}

impl Run {
    /// The elements' places.
    pub fn elements(self) -> impl Iterator<Item = usize> {
        (0..self.n as i64).map(move |i| (self.base + self.step * i) as usize)
    }
}

/// Elements that are computed at a time: their columns stay in the cache. A multiple of 8, so that packed types break at a byte.
pub(super) const CHUNK: usize = 2048;

/// Strides, in elements, of a dense row-major tensor.
pub(super) fn strides(sizes: &[usize]) -> Vec<i64> {
    let mut stride = 1i64;
    let mut strides: Vec<i64> = Vec::with_capacity(sizes.len());
    for &size in sizes.iter().rev() {
        strides.push(stride);
        stride = stride.wrapping_mul(size as i64);
    }
    strides.reverse();
    strides
}

/// Bytes of `count` elements in a chunk of memory of their own, packed types being given a byte each.
pub(super) fn loose_bytes(dtype: DType) -> usize {
    dtype.bytes().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(walk: &Strided, start: usize, len: usize) -> Vec<usize> {
        let mut found = Vec::new();
        walk.runs(start, len, |run| found.extend(run.elements()));
        found
    }

    #[test]
    fn continued_axes_are_merged() {
        assert!(Strided::new(0, &[2, 1, 3, 4], &[12, 99, 4, 1]).is_dense());
        assert_eq!(Strided::new(0, &[2, 3], &[0, 0]).axes, [(6, 0)]);
        assert_eq!(Strided::new(5, &[], &[]).extremes(), Some((5, 5)));
        assert_eq!(Strided::new(7, &[4, 2], &[-2, 1]).extremes(), Some((1, 8)));
        assert_eq!(Strided::new(0, &[0, 2], &[2, 1]).extremes(), None);
    }

    proptest! {
        #[test]
        fn runs_visit_what_the_strides_say(
            axes in prop::collection::vec((1usize..5, -7i64..8), 0..5),
            start in 0usize..200, len in 0usize..200,
        ) {
            let (sizes, strides): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
            let walk = Strided::new(10_000, &sizes, &strides);
            let count = walk.count();
            let (start, end) = (start.min(count), (start + len).min(count));
            let expected: Vec<usize> = (start..end).map(|mut linear| {
                let mut at = 10_000i64;
                for (size, stride) in sizes.iter().zip(&strides).rev() {
                    at += (linear % size) as i64 * stride;
                    linear /= size;
                }
                at as usize
            }).collect();
            prop_assert_eq!(elements(&walk, start, end - start), expected);
            let all = elements(&walk, 0, count);
            let (low, high) = walk.extremes().unwrap();
            prop_assert_eq!(all.iter().min(), Some(&(low as usize)));
            prop_assert_eq!(all.iter().max(), Some(&(high as usize)));
        }
    }

    #[test]
    fn packed_elements_are_copied_too() {
        use crate::scalar::Number::Int;
        let t = Tensor::from_numbers(DType::U4, &[2, 3], (1..7).map(Int)).unwrap();
        let transposed = Strided::new(0, &[3, 2], &[1, 3]).copy(&t, &[3, 2]).unwrap();
        assert_eq!(transposed.to_f64(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
