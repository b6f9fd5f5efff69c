//! What a plan's kernels move through memory.

use super::{Access, Contraction, Kernel, Plan, Product};
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use serde::{Deserialize, Serialize};

/// Kernels and the bytes they read and write: each element that a kernel touches counts once for it, however often it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub launches: usize,
    /// A formula in the model's symbols.
    pub bytes: Dim,
}

impl Default for Moved {
    fn default() -> Moved {
        Moved { launches: 0, bytes: Dim::ZERO }
    }
}

impl Moved {
    /// Adds what `count` elements of a type take.
    pub fn add(&mut self, dtype: DType, count: &Dim) -> Result<(), DimError> {
        let bits = count.mul(&Dim::fixed(dtype.bits().into()))?;
        self.bytes = self.bytes.add(&bits.ceil_div(&Dim::fixed(8))?)?;
        Ok(())
    }
}

impl Kernel {
    /// What one launch moves.
    pub fn moved(&self) -> Result<Moved, DimError> {
        let mut moved = Moved { launches: 1, ..Moved::default() };
        let touched = |access: &Access| {
            let varying = self.domain.iter().zip(&access.strides).filter(|(_, stride)| !stride.is(0));
            varying.map(|(extent, _)| extent).try_fold(Dim::ONE, |n, d| n.mul(d))
        };
        if let Some(product) = &self.product {
            product.moved(&mut moved)?;
        }
        for load in &self.loads {
            moved.add(load.dtype, &touched(&load.access)?)?;
        }
        for store in &self.stores {
            moved.add(store.dtype, &touched(&store.access)?)?;
        }
        Ok(moved)
    }
}

impl Product {
    /// Adds the bytes of both factors.
    fn moved(&self, moved: &mut Moved) -> Result<(), DimError> {
        let (a, b) = match &self.contraction {
            Contraction::Matrix { batch, m, n, k, a, b } => {
                let touched = |access: &Access, inner: [&Dim; 2]| {
                    let extents = batch.iter().chain(inner).zip(&access.strides);
                    extents.filter(|(_, stride)| !stride.is(0)).try_fold(Dim::ONE, |n, (d, _)| n.mul(d))
                };
                (touched(a, [m, k])?, touched(b, [k, n])?)
            }
            Contraction::Conv { images, input, channels, filters, .. } => {
                let pixels = input.iter().try_fold(images.clone(), |n, d| n.mul(d))?;
                (pixels.mul(channels)?, filters.mul(&self.contraction.depth()?)?)
            }
        };
        moved.add(self.a.dtype, &a)?;
        moved.add(self.b.dtype, &b)
    }
}

impl Plan {
    /// What all kernels move; nodes that stay nodes are not counted.
    pub fn moved(&self) -> Result<Moved, DimError> {
        let mut all = Moved::default();
        for kernel in self.kernels() {
            let one = kernel.moved()?;
            all = Moved { launches: all.launches + one.launches, bytes: all.bytes.add(&one.bytes)? };
        }
        Ok(all)
    }
}
