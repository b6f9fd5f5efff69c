//! The main loop of a welded kernel: a matrix product or a convolution whose accumulators the kernel's body reads.

use super::{Access, Arg, BufferId, Kernel, Stmt, layout};
use crate::anchor::Conv;
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::op;
use crate::scalar::Scalar;
use serde::{Deserialize, Serialize};

/// A matrix product or convolution whose accumulators a kernel's body reads as [`Arg::Product`](super::Arg); they never reach memory.
///
/// The kernel's domain, in row-major order, is the product's result in row-major order: its innermost axis is the columns (`n`, or the
/// filters), its outer axes are the batch and the rows, adjacent ones merged where every access allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The name of the model's node.
    pub name: String,
    pub a: Operand,
    pub b: Operand,
    /// `F32`, or `I32` for 8-bit codes.
    pub accumulator: DType,
    pub contraction: Contraction,
}

/// A factor in memory: f16, bf16, f32, i8 or u8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operand {
    pub buffer: BufferId,
    pub dtype: DType,
}

/// What is summed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contraction {
    /// `acc[batch…, i, j] = Σ_k a[batch…, i, k]·b[batch…, k, j]`: `a` is an access over (batch…, i, k), `b` over (batch…, k, j), whose strides
    /// carry transposition and the broadcast of batch axes.
    Matrix { batch: Vec<Dim>, m: Dim, n: Dim, k: Dim, a: Access, b: Access },
    /// Channels last: `a` is the input (image, spatial…, channel), `b` the weights (filter, kernel…, channel/groups), dense, the
    /// accumulators (image, output spatial…, filter). Depthwise where `groups` is the number of channels.
    Conv {
        images: Dim,
        /// The spatial axes of the input and of the result.
        input: Vec<Dim>,
        output: Vec<Dim>,
        channels: Dim,
        /// The input may be a part of the channels of a wider tensor: its first element, and the elements from one place to the next. 0 and
        /// `channels` where the buffer holds nothing else. Images and spatial axes are dense in places.
        first: Dim,
        pitch: Dim,
        filters: Dim,
        conv: Conv,
        /// The element that stands outside of the input: the zero point of codes, 0 for floats.
        pad: Scalar,
    },
}

/// Numbers that the guard of a kernel's codes checks as they pass: where one is not below its limit, the element is computed again in f64.
pub const LARGEST_SUM: f64 = 4_194_304.0;
pub const LARGEST_FACTOR: f64 = 1_267_650_600_228_229_401_496_703_205_376.0;

impl Product {
    /// Whether i32 holds a sum of codes less any zero point up to multiples of 2³² beyond [`LARGEST_SUM`]: what wraps is then told by its size.
    fn wraps_far(&self) -> bool {
        let size = |dtype: DType| dtype.int_range().map(|(low, high)| high.max(-low));
        let depth = self.contraction.depth().ok().and_then(|k| k.known());
        let most = match (size(self.a.dtype), size(self.b.dtype), depth) {
            (Some(a), Some(b), Some(k)) => a.saturating_mul(b).saturating_mul(k.into()),
            _ => return false,
        };
        most < (1 << 31) - 2 * LARGEST_SUM as i128
    }

    /// The type of the result in the graph: the accumulator's for codes, the factors' for floats. As with a statement, a float is
    /// rounded to it where it is stored or cast and not before.
    pub fn dtype(&self) -> DType {
        if self.accumulator.is_float() { self.a.dtype } else { self.accumulator }
    }
}

impl Contraction {
    /// Rows of the result: the product of its outer axes.
    pub fn rows(&self) -> Result<Dim, DimError> {
        let (outer, inner): (&[Dim], &Dim) = match self {
            Contraction::Matrix { batch, m, .. } => (batch, m),
            Contraction::Conv { images, output, .. } => (output, images),
        };
        outer.iter().try_fold(inner.clone(), |n, d| n.mul(d))
    }

    /// Columns of the result.
    pub fn columns(&self) -> &Dim {
        match self {
            Contraction::Matrix { n, .. } => n,
            Contraction::Conv { filters, .. } => filters,
        }
    }

    /// Terms of each sum.
    pub fn depth(&self) -> Result<Dim, DimError> {
        match self {
            Contraction::Matrix { k, .. } => Ok(k.clone()),
            Contraction::Conv { channels, conv, .. } => {
                let taps = conv.kernel.iter().try_fold(Dim::ONE, |n, d| n.mul(&Dim::from(*d)))?;
                channels.floor_div(&Dim::from(conv.groups))?.mul(&taps)
            }
        }
    }

    /// The extents that each factor is read over, and how: (batch…, m, k) and (batch…, k, n), or the axes of the input and of the weights.
    pub fn accesses(&self) -> Result<[(Vec<Dim>, Access); 2], DimError> {
        match self {
            Contraction::Matrix { batch, m, n, k, a, b } => {
                let over = |inner: [&Dim; 2]| batch.iter().chain(inner).cloned().collect();
                Ok([(over([m, k]), a.clone()), (over([k, n]), b.clone())])
            }
            Contraction::Conv { images, input, channels, first, pitch, filters, conv, .. } => {
                let mut x = vec![images.clone()];
                x.extend(input.iter().cloned());
                let mut places = layout::row_major(&x)?;
                for stride in &mut places {
                    *stride = stride.mul(pitch)?;
                }
                places.push(Dim::ONE);
                x.push(channels.clone());
                let mut w = vec![filters.clone()];
                w.extend(conv.kernel.iter().map(|n| Dim::from(*n)));
                w.push(channels.floor_div(&Dim::from(conv.groups))?);
                let strides = layout::row_major(&w)?;
                let dense = Access { offset: Dim::ZERO, strides };
                Ok([(x, Access { offset: first.clone(), strides: places }), (w, dense)])
            }
        }
    }
}

/// A contraction as tiles see it: `batch` products of m×k by k×n elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Batch axes, or the groups of a convolution that has several.
    pub batch: Vec<Dim>,
    pub m: Dim,
    pub n: Dim,
    pub k: Dim,
}

impl Contraction {
    /// How many sums there are and how long they are.
    pub fn extent(&self) -> Result<Extent, DimError> {
        let k = self.depth()?;
        Ok(match self {
            Contraction::Matrix { batch, m, n, .. } => {
                let batch = batch.iter().filter(|d| !d.is(1)).cloned().collect();
                Extent { batch, m: m.clone(), n: n.clone(), k }
            }
            Contraction::Conv { filters, conv, .. } => {
                let groups = Dim::from(conv.groups);
                let n = filters.floor_div(&groups)?;
                Extent { batch: if groups.is(1) { Vec::new() } else { vec![groups] }, m: self.rows()?, n, k }
            }
        })
    }

    /// The same sums as a matrix product, if each pixel of the result is a sum over one pixel's channels.
    pub fn as_matrix(&self) -> Result<Option<Contraction>, DimError> {
        let Contraction::Conv { images, output, channels, first, pitch, filters, conv, .. } = self else {
            return Ok(Some(self.clone()));
        };
        let all = |list: &[usize], n: usize| list.iter().all(|x| *x == n);
        if conv.groups != 1 || !all(&conv.kernel, 1) || !all(&conv.strides, 1) || conv.pads.iter().any(|p| *p != (0, 0))
        {
            return Ok(None);
        }
        let m = output.iter().try_fold(images.clone(), |n, d| n.mul(d))?;
        let a = Access { offset: first.clone(), strides: vec![pitch.clone(), Dim::ONE] };
        let b = Access { offset: Dim::ZERO, strides: vec![Dim::ONE, channels.clone()] };
        Ok(Some(Contraction::Matrix { batch: Vec::new(), m, n: filters.clone(), k: channels.clone(), a, b }))
    }

    /// True if every channel is convolved on its own.
    pub fn is_depthwise(&self) -> bool {
        match self {
            Contraction::Matrix { .. } => false,
            Contraction::Conv { channels, filters, conv, .. } => {
                conv.groups > 1 && channels == filters && channels.is(conv.groups as i64)
            }
        }
    }
}

impl Product {
    /// Factor 0 is `a`, 1 is `b`.
    pub fn factors(&self) -> [Operand; 2] {
        [self.a, self.b]
    }
}

impl Kernel {
    /// True if statement `i` dequantizes the kernel's own sum of codes, and a guard can check that the sum, less the zero point, is smaller than
    /// [`LARGEST_SUM`]: a float then holds it.
    pub fn scales_sum(&self, i: usize) -> bool {
        let Some(stmt) = self.body.get(i) else { return false };
        let types = [stmt.dtype, stmt.args.get(1).map_or(DType::F64, |scale| self.arg_dtype(*scale))];
        let own = stmt.op.is(&op::DEQUANTIZE) && stmt.args.first() == Some(&Arg::Product);
        own && types == [DType::F32; 2] && self.product.as_ref().is_some_and(|product| product.wraps_far())
    }

    /// The argument of addition `stmt` that is such a scaled sum: both are done by one multiply-add.
    pub fn scaled_term(&self, stmt: &Stmt) -> Option<usize> {
        let scaled = |arg: &Arg| matches!(arg, Arg::Stmt(j) if self.scales_sum(*j as usize));
        if stmt.op.is(&op::ADD) && stmt.dtype == DType::F32 { stmt.args.iter().position(scaled) } else { None }
    }

    /// True if load `i` of a kernel with a product gives one f32 a column, or one for all, which a guard can check to be smaller
    /// than [`LARGEST_FACTOR`] once for all rows.
    pub fn is_steady(&self, i: usize) -> bool {
        let (load, outer) = (&self.loads[i], self.domain.len().saturating_sub(1));
        let mut rows = load.access.strides.iter().zip(&self.domain).take(outer);
        self.product.is_some() && load.dtype == DType::F32 && rows.all(|(stride, size)| stride.is(0) || size.is(1))
    }

    /// The buffers that it reads: the factors of its product, then its loads.
    pub fn reads(&self) -> impl Iterator<Item = BufferId> {
        let factors = self.product.iter().flat_map(|product| product.factors()).map(|factor| factor.buffer);
        factors.chain(self.loads.iter().map(|load| load.buffer))
    }
}
