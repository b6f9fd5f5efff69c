//! A factor of a product as lines of memory, which is how Hopper's copy engine (TMA) is told of it.
//!
//! `cuTensorMapEncodeTiled` takes a base and a pitch at multiples of 16 bytes, and lines that do not overlap. Copies of tiles put zeros for
//! what lies outside; those of the terms beyond the last are zeros in both factors, so they add nothing, whatever the codes' zero points.

use super::{Access, Contraction, Product, layout};
use crate::dim::Dim;
use crate::dtype::DType;

/// A factor of a product in memory: `lines` lines of `line` elements, `pitch` elements apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    pub offset: Dim,
    pub line: Dim,
    pub lines: Dim,
    pub pitch: Dim,
    /// A line holds the terms of one row or column of the result, not one term of all.
    pub deep: bool,
    pub dtype: DType,
}

/// What addresses and pitches are multiples of, in bytes.
const UNIT: u32 = 16;

impl Product {
    /// Both factors, if each is one matrix that a tensor map can describe and `wgmma` can multiply.
    pub fn matrices(&self) -> Option<[Matrix; 2]> {
        let Contraction::Matrix { batch, m, n, k, a, b } = self.contraction.as_matrix().ok()?? else { return None };
        if batch.iter().any(|size| !size.is(1)) {
            return None;
        }
        let stride = |access: &Access, axis: usize| access.strides.get(batch.len() + axis).cloned();
        let a = matrix(self.a.dtype, &a.offset, (&m, stride(&a, 0)?), (&k, stride(&a, 1)?))?;
        let b = matrix(self.b.dtype, &b.offset, (&n, stride(&b, 1)?), (&k, stride(&b, 0)?))?;
        Some([a, b])
    }
}

/// A factor by its rows (of `a`; columns of `b`) and its terms, each a number and a stride.
fn matrix(dtype: DType, offset: &Dim, rows: (&Dim, Dim), terms: (&Dim, Dim)) -> Option<Matrix> {
    let size = dtype.bits() / 8;
    let (deep, line, (lines, pitch)) = if terms.1.is(1) {
        (true, terms.0, rows)
    } else if rows.1.is(1) && size == 2 {
        (false, rows.0, terms)
    } else {
        return None;
    };
    let aligned =
        matches!(size, 1 | 2) && [offset, &pitch].iter().all(|dim| layout::is_multiple(dim, (UNIT / size).into()));
    let apart = match (pitch.known(), line.known()) {
        (Some(pitch), Some(line)) => pitch > 0 && pitch >= line,
        _ => pitch == *line,
    };
    let (offset, line, lines) = (offset.clone(), line.clone(), lines.clone());
    (aligned && apart).then_some(Matrix { offset, line, lines, pitch, deep, dtype })
}
