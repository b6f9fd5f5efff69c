//! What a plan's kernels move through memory.

use super::{Access, Kernel, Plan};
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
        for load in &self.loads {
            moved.add(load.dtype, &touched(&load.access)?)?;
        }
        for store in &self.stores {
            moved.add(store.dtype, &touched(&store.access)?)?;
        }
        Ok(moved)
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
