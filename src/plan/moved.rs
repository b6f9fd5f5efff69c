//! What kernels move through memory: the one rule by which bytes are counted, for reports and for what fusion weighs.
//!
//! A kernel reads each element that an access touches once, however often it uses it, and no more of a buffer than there is; it writes
//! each element that it stores. Memory moves whole sectors: where the elements that a kernel takes one after the other lie apart, each
//! brings its neighbours along, and what a sector holds besides has left the caches by the time it is wanted. A tile of shared memory
//! ([`Form::Transposed`](super::Form)) takes them in the order in which they lie.

use super::{Access, Kernel, Plan, Product, Stage, layout};
use crate::dim::{Bindings, Dim, DimError};
use crate::dtype::DType;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Bytes that memory moves at least.
pub const SECTOR: u64 = 32;

/// Kernels and what they move, as formulas in the model's symbols.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub launches: usize,
    /// Bytes of the elements that are read and written.
    pub bytes: Dim,
    /// Bytes of the sectors that are moved for them: more where a kernel takes elements that lie apart.
    pub sectors: Dim,
}

impl Default for Moved {
    fn default() -> Moved {
        Moved { launches: 0, bytes: Dim::ZERO, sectors: Dim::ZERO }
    }
}

impl Moved {
    /// Adds what `count` elements of a type take, side by side.
    pub fn add(&mut self, dtype: DType, count: &Dim) -> Result<(), DimError> {
        let bits = u64::from(dtype.bits());
        self.add_apart(dtype, count, bits.div_ceil(8))
    }

    /// The same where each element moves `each` bytes (see [`moved_for`]).
    pub fn add_apart(&mut self, dtype: DType, count: &Dim, each: u64) -> Result<(), DimError> {
        let bits = count.mul(&Dim::fixed(dtype.bits().into()))?;
        let bytes = bits.ceil_div(&Dim::fixed(8))?;
        let moved = match each > u64::from(dtype.bits()).div_ceil(8) {
            true => count.mul(&Dim::fixed(each as i64))?,
            false => bytes.clone(),
        };
        (self.bytes, self.sectors) = (self.bytes.add(&bytes)?, self.sectors.add(&moved)?);
        Ok(())
    }

    fn plus(&self, other: &Moved) -> Result<Moved, DimError> {
        let (bytes, sectors) = (self.bytes.add(&other.bytes)?, self.sectors.add(&other.sectors)?);
        Ok(Moved { launches: self.launches + other.launches, bytes, sectors })
    }

    /// Bytes and sectors at given sizes.
    pub fn at(&self, sizes: &Bindings) -> Result<(u64, u64), DimError> {
        Ok((self.bytes.eval(sizes)?, self.sectors.eval(sizes)?))
    }
}

/// Bytes that memory moves for one element of `size` bytes where the next one taken lies `stride` elements further; symbolic strides count
/// as long ones.
pub fn moved_for(size: u64, stride: &Dim) -> u64 {
    match stride.known().map(i64::unsigned_abs) {
        Some(0 | 1) => size,
        stride => stride.map_or(SECTOR, |n| n.saturating_mul(size)).min(SECTOR).max(size),
    }
}

impl Stage {
    /// What one launch moves: every tensor once.
    pub fn moved(&self) -> Result<Moved, DimError> {
        let mut moved = Moved { launches: 1, ..Moved::default() };
        for operand in self.reads.iter().chain(&self.writes) {
            moved.add(operand.dtype, &operand.shape.iter().try_fold(Dim::ONE, |n, d| n.mul(d))?)?;
        }
        Ok(moved)
    }
}

impl Kernel {
    /// What one launch moves.
    pub fn moved(&self, plan: &Plan) -> Result<Moved, DimError> {
        let mut moved = Moved { launches: 1, ..Moved::default() };
        if let Some(product) = &self.product {
            product.moved(&mut moved)?;
        }
        let turned = layout::tile_axis(self);
        let mut seen: Vec<(_, &Access)> = Vec::new();
        for load in &self.loads {
            // Loads of one buffer by one access are one read.
            if !seen.contains(&(load.buffer, &load.access)) {
                seen.push((load.buffer, &load.access));
                let whole = plan.buffer(load.buffer).ty.shape.as_ref().map(Shape::count).transpose()?;
                self.add_access(&mut moved, &load.access, load.dtype, whole.as_ref(), turned)?;
            }
        }
        for store in &self.stores {
            self.add_access(&mut moved, &store.access, store.dtype, None, turned)?;
        }
        Ok(moved)
    }

    /// Adds the elements that an access touches, of a buffer of `whole`.
    fn add_access(
        &self,
        moved: &mut Moved,
        access: &Access,
        dtype: DType,
        whole: Option<&Dim>,
        turned: Option<usize>,
    ) -> Result<(), DimError> {
        let varying = self.domain.iter().zip(&access.strides).filter(|(_, stride)| !stride.is(0));
        let touched = varying.map(|(extent, _)| extent).try_fold(Dim::ONE, |n, d| n.mul(d))?;
        // Windows that overlap touch elements more than once.
        let most = whole.filter(|whole| matches!((whole.known(), touched.known()), (Some(w), Some(t)) if w < t));
        let size = u64::from(dtype.bits()).div_ceil(8);
        let repaired = turned.is_some_and(|axis| access.is_turned(axis, &self.domain));
        let inner = self.domain.iter().rposition(|size| !size.is(1));
        let each = inner.filter(|_| !repaired).map_or(size, |inner| moved_for(size, &access.strides[inner]));
        moved.add_apart(dtype, most.unwrap_or(&touched), each)
    }
}

impl Product {
    /// Adds the bytes of both factors.
    fn moved(&self, moved: &mut Moved) -> Result<(), DimError> {
        for (factor, (over, access)) in self.factors().iter().zip(self.contraction.accesses()?) {
            let varying = over.iter().zip(&access.strides).filter(|(_, stride)| !stride.is(0));
            moved.add(factor.dtype, &varying.map(|(d, _)| d).try_fold(Dim::ONE, |n, d| n.mul(d))?)?;
        }
        Ok(())
    }
}

impl Plan {
    /// What all kernels move; nodes that stay nodes are not counted.
    pub fn moved(&self) -> Result<Moved, DimError> {
        self.kernels().try_fold(Moved::default(), |all, kernel| all.plus(&kernel.moved(self)?))
    }
}
