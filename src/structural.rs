//! Structural ops: what is known by shape and by meaning, but is neither pointwise, nor a view, nor an anchor.
//!
//! They bound fusion. The CPU reference executes them, so that whole models run.

use serde::{Deserialize, Serialize};

/// A structural op with its ONNX attributes made explicit. Axes are counted from 0 and never negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Structural {
    MaxPool(Pool),
    /// `count_include_pad`: whether padding counts in the divisor.
    AveragePool {
        pool: Pool,
        count_include_pad: bool,
    },
    /// Over all spatial axes; `max` or average.
    GlobalPool {
        max: bool,
    },
    Reduce {
        op: Reduction,
        axes: Vec<usize>,
        keep_dims: bool,
    },
    Softmax {
        axis: usize,
        log: bool,
    },
    /// Normalises over the axes from `axis` on. Operands x, scale and, if `bias`, bias.
    LayerNorm {
        axis: usize,
        epsilon: f32,
        bias: bool,
    },
    /// LayerNorm without the mean. Operands x, scale.
    RmsNorm {
        axis: usize,
        epsilon: f32,
    },
    /// Per sample and channel over the spatial axes. Operands x, scale, bias.
    InstanceNorm {
        epsilon: f32,
    },
    /// Per sample and group of channels. Operands x, scale, bias.
    GroupNorm {
        groups: usize,
        epsilon: f32,
    },
    LpNorm {
        axis: usize,
        p: i64,
    },
    LocalResponseNorm {
        size: usize,
        alpha: f32,
        beta: f32,
        bias: f32,
    },
    /// Operand x; sizes from the output's type.
    Resize(Resize),
    /// Constant padding takes the value as the second operand. `pads` may be negative (crop).
    Pad {
        mode: PadMode,
        pads: Vec<(i64, i64)>,
    },
    Gather {
        axis: usize,
    },
    GatherElements {
        axis: usize,
    },
    GatherNd {
        batch_dims: usize,
    },
    ScatterNd {
        reduction: ScatterReduction,
    },
    ScatterElements {
        axis: usize,
        reduction: ScatterReduction,
    },
    ArgExtremum {
        max: bool,
        axis: usize,
        keep_dims: bool,
        select_last: bool,
    },
    /// Operands x, k; outputs values, indices.
    TopK {
        axis: usize,
        largest: bool,
        sorted: bool,
    },
    CumSum {
        exclusive: bool,
        reverse: bool,
    },
    Trilu {
        upper: bool,
    },
    Tile,
    /// Output: the indices of nonzero elements.
    NonZero,
    OneHot {
        axis: usize,
    },
    Range,
    /// Output: the operand's shape, from `start` to `end`.
    Shape {
        start: usize,
        end: usize,
    },
    Size,
    /// A tensor of the shape given by the operand, every element being the value.
    ConstantOfShape {
        value: crate::scalar::Scalar,
    },
    /// The second and third operands are axis lengths and repeats unknown until run time.
    DynamicView {
        op: DynamicView,
    },
    Einsum {
        equation: String,
    },
    Lstm(Recurrent),
    Gru {
        recurrent: Recurrent,
        linear_before_reset: bool,
    },
    /// Outputs y (u8), scale (f32), zero point (u8): ONNX's DynamicQuantizeLinear.
    DynamicQuantize,
    /// i8/u8 convolution to i32. Operands x, w, x zero point, w zero point.
    ConvInteger(crate::anchor::Conv),
    /// i8/u8 product to i32. Operands a, b, a zero point, b zero point.
    MatMulInteger,
}

/// A window over spatial axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads: Vec<(usize, usize)>,
    pub ceil_mode: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// ONNX's Resize, for what is not a whole nearest repetition. `scales` one an axis: output size over input size as ONNX gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    pub mode: ResizeMode,
    pub coordinates: Coordinates,
    /// `None`: computed from the sizes.
    pub scales: Option<Vec<f32>>,
    pub antialias: bool,
    pub exclude_outside: bool,
    pub extrapolation: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum ResizeMode {
    Nearest(NearestMode),
    Linear,
    Cubic { a: f32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NearestMode {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfCropAndResize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PadMode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScatterReduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

/// A view whose parameters are known only at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DynamicView {
    /// Operands x, shape.
    Reshape,
    /// Operands x, shape.
    Expand,
    /// Operands x, starts, ends, axes, steps; all given.
    Slice,
}

/// What LSTM and GRU share: hidden size and direction. Operands and activations are ONNX's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrent {
    pub hidden: usize,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Forward,
    Reverse,
    Bidirectional,
}

impl Structural {
    /// Its name in messages: the variant's own.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.split([' ', '(', '{']).next().unwrap_or_default().to_string()
    }
}
