//! Anchors: the matrix products and convolutions that a fusion group can be welded onto.

use serde::{Deserialize, Serialize};

/// A compute-heavy op with descriptors of its own; never a row of the pointwise table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Anchor {
    /// Operands a, b and, if `bias`, c (broadcast to the product): op(a)·op(b) (+ c), batched over outer axes by NumPy's rule.
    /// ONNX's Gemm with alpha = beta = 1 and MatMul; other factors become pointwise multiplications.
    Gemm { transpose_a: bool, transpose_b: bool, bias: bool },
    /// Operands x, w and, if `bias`, b of one element a channel.
    Conv(Conv),
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
            Anchor::ConvTranspose { .. } => "conv_transpose",
        }
    }
}
