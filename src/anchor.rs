//! Anchors: the matrix products and convolutions that a fusion group can be welded onto.

use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// A compute-heavy op with descriptors of its own; never a row of the pointwise table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Anchor {
    /// Operands a, b and, if `bias`, c (broadcast to the product): op(a)·op(b) (+ c), batched over outer axes by NumPy's rule.
    /// ONNX's Gemm with alpha = beta = 1 and MatMul; other factors become pointwise multiplications. Operands of 8-bit codes give their
    /// exact sums of products as i32.
    Gemm { transpose_a: bool, transpose_b: bool, bias: bool },
    /// Operands x, w and, if `bias`, b of one element a channel.
    Conv(Conv),
    /// As `Conv`, channels last: x is (N, spatial…, C), w is (M, kernel…, C/groups), the result (N, spatial…, M). Operands of 8-bit codes
    /// give their exact sums of products as i32. `pad` is the element that stands outside of the input: 0, or the zero point of codes.
    ConvLast { conv: Conv, pad: i32 },
    /// As `Conv`, transposed; `output_padding` one entry a spatial axis.
    ConvTranspose { conv: Conv, output_padding: Vec<usize> },
}

/// A convolution over N, C and one or more spatial axes: x is (N, C, spatial…), w is (M, C/groups, kernel…), transposed
/// (C, M/groups, kernel…). Sizes are one entry a spatial axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conv {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Zeros before and after each spatial axis.
    pub pads: Vec<(usize, usize)>,
    pub groups: usize,
    pub bias: bool,
}

impl Anchor {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Anchor::Gemm { .. } => "gemm",
            Anchor::Conv(_) => "conv",
            Anchor::ConvLast { .. } => "conv_last",
            Anchor::ConvTranspose { .. } => "conv_transpose",
        }
    }
}

/// True if a convolution's weights (filter, …) are one filter of few terms, such as the expectation over a distribution of 16 bins: tiles of a
/// matrix product would be empty but for one column, and half precision would save nothing.
pub fn is_thin(weights: &Shape) -> bool {
    const FEW: i64 = 64;
    let terms = weights.iter().skip(1).try_fold(1i64, |n, d| n.checked_mul(d.known()?));
    weights.first().is_some_and(|filters| filters.is(1)) && terms.is_some_and(|n| n <= FEW)
}
