//! Ops of ONNX, TensorRT and cuDNN that need no row: the importer writes them as several rows, or as something that is not pointwise.

use super::Onnx;
use super::row::{microsoft, onnx};

/// An op that is several rows, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Composed {
    pub onnx: &'static [Onnx],
    /// What TensorRT and cuDNN call it, as in [`super::Row::elsewhere`].
    pub elsewhere: &'static [&'static str],
    /// What it becomes, in the names of rows.
    pub formula: &'static str,
}

const fn of_onnx(onnx: &'static [Onnx], formula: &'static str) -> Composed {
    Composed { onnx, elsewhere: &[], formula }
}

/// All of them.
pub static COMPOSED: &[Composed] = &[
    of_onnx(&[onnx("Sum", 8)], "add, from left to right"),
    of_onnx(&[onnx("Mean", 8)], "add, from left to right; div by the number of operands"),
    of_onnx(&[onnx("BatchNormalization", 7)], "mul by scale/sqrt(var + epsilon), add bias - mean times that"),
    of_onnx(&[onnx("Dropout", 7)], "identity, in inference; its mask is a constant"),
    of_onnx(&[microsoft("FastGelu")], "add the bias, gelu_tanh"),
    of_onnx(&[microsoft("BiasGelu")], "add the bias, gelu"),
    of_onnx(
        &[onnx("BitCast", 26)],
        "between integers: cast, which wraps. Of or to floats: a copy of the stored bits in a kernel of its own, no row, because \
         a value does not say which of its many bit patterns a NaN has",
    ),
    Composed { onnx: &[], elsewhere: &["TensorRT Scale"], formula: "mul by the scale, add the shift, pow" },
    Composed {
        onnx: &[],
        elsewhere: &["cuDNN GEN_INDEX"],
        formula: "a constant 0, 1, 2 … along the axis, broadcast: a row sees values, not where they stand",
    },
];
