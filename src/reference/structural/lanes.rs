//! One axis at a time: a tensor seen as (outer, n, inner), a lane being the `n` elements along the axis.

use super::super::NodeError;
use rayon::prelude::*;

#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
}

impl Lanes {
    pub fn new(sizes: &[usize], axis: usize) -> Result<Lanes, NodeError> {
        let n = *sizes.get(axis).ok_or_else(|| beyond(axis, sizes.len()))?;
        let product = |part: &[usize]| part.iter().product();
        Ok(Lanes { outer: product(&sizes[..axis]), n, inner: product(&sizes[axis + 1..]) })
    }

    /// The axes from `axis` on taken as one.
    pub fn tail(sizes: &[usize], axis: usize) -> Result<Lanes, NodeError> {
        if axis > sizes.len() {
            return Err(beyond(axis, sizes.len()));
        }
        Ok(Lanes { outer: sizes[..axis].iter().product(), n: sizes[axis..].iter().product(), inner: 1 })
    }

    pub fn count(self) -> usize {
        self.outer * self.inner
    }

    /// Where each lane begins, in row-major order of what is left of the sizes without the axis.
    pub fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.outer).flat_map(move |o| (0..self.inner).map(move |i| o * self.n * self.inner + i))
    }

    /// Replaces each lane by what `f` makes of it.
    pub fn map<T: Copy + Send + Sync + Default>(self, values: &mut [T], f: impl Fn(&mut [T]) + Sync) {
        if self.n == 0 || self.inner == 0 {
            return;
        }
        values.par_chunks_mut(self.n * self.inner).for_each(|block| {
            if self.inner == 1 {
                return f(block);
            }
            let mut lane = vec![T::default(); self.n];
            for i in 0..self.inner {
                lane.iter_mut().zip(block[i..].iter().step_by(self.inner)).for_each(|(to, x)| *to = *x);
                f(&mut lane);
                block[i..].iter_mut().step_by(self.inner).zip(&lane).for_each(|(to, x)| *to = *x);
            }
        });
    }
}

pub(super) fn beyond(axis: usize, rank: usize) -> NodeError {
    NodeError::Invalid(format!("axis {axis} of a tensor of {rank} axes"))
}

/// An axis as ONNX gives it in an operand: counted from the end if negative.
pub(super) fn axis(index: i128, rank: usize) -> Result<usize, NodeError> {
    let wrapped = if index < 0 { index + rank as i128 } else { index };
    let axis = usize::try_from(wrapped).ok().filter(|a| *a < rank);
    axis.ok_or_else(|| NodeError::Invalid(format!("axis {index} of a tensor of {rank} axes")))
}
