//! Structural ops: what is known by shape and by meaning, but is neither pointwise, nor a view, nor an anchor.
//!
//! They bound fusion. The CPU reference executes them, so that whole models run.

use serde::{Deserialize, Serialize};

/// A structural op with its ONNX attributes made explicit. Axes are counted from 0 and never negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Structural {
    /// Outputs y and, if the node has a second, the row-major index in x of each element of y.
    MaxPool(Pool),
    /// `count_include_pad`: whether padding counts in the divisor.
    AveragePool {
        pool: Pool,
        count_include_pad: bool,
    },
    /// (Σ |x|^p)^(1/p) over each window.
    LpPool {
        pool: Pool,
        p: i64,
    },
    /// Operands: x pooled by `pool`, the indices, and, if the model gives it, the result's shape.
    MaxUnpool(Pool),
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
    /// 1 at the first largest element along the axis, else 0.
    Hardmax {
        axis: usize,
    },
    /// Normalises over the axes from `axis` on. Operands x, scale and, if `bias`, bias. Outputs y and, if the node has them, the
    /// mean and the inverse of the standard deviation.
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
    /// Operand x and, where the output's type can't tell the sizes before run time, a second: scales (f32) or sizes (i64), one an
    /// axis.
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
    /// Operands x, axis; sums or, if `product`, products.
    Cumulative {
        product: bool,
        exclusive: bool,
        reverse: bool,
    },
    /// Operands x and, if the model gives it, the diagonal.
    Trilu {
        upper: bool,
    },
    /// x (N, C, spatial…) as (N, spatial…, `channels`), zeros behind its own channels, in the result's type: a float is rounded as a cast does.
    ChannelsLast {
        channels: usize,
    },
    /// Operands x, repeats.
    Tile,
    /// Output: the indices of nonzero elements.
    NonZero,
    /// Operands indices, depth, values (off, on). `axis` is one of the result's.
    OneHot {
        axis: usize,
    },
    /// Operands start, limit, delta.
    Range,
    /// Operand x, whose sizes the result has; its type is the output's. Ones on diagonal `k`.
    EyeLike {
        k: i64,
    },
    /// Operands x, condition; without an axis x is taken flat.
    Compress {
        axis: Option<usize>,
    },
    /// Operands x, lengths: the first `lengths[b]` elements along the time axis in reverse.
    ReverseSequence {
        batch_axis: usize,
        time_axis: usize,
    },
    /// Of each square matrix over the last two axes.
    Det,
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
    /// Operands x, w, r, then those that `Recurrent` says are given. Outputs y, y_h, y_c.
    Lstm(Recurrent),
    /// As `Lstm`, without c; tanh, no gates.
    Rnn(Recurrent),
    /// As `Rnn`.
    Gru {
        recurrent: Recurrent,
        linear_before_reset: bool,
    },
    /// The operand's bits as elements of another type of the same width.
    BitCast {
        to: crate::dtype::DType,
    },
    /// Outputs y (u8), scale (f32), zero point (u8): ONNX's DynamicQuantizeLinear.
    DynamicQuantize,
    /// i8/u8 convolution to i32. Operands x, w, x zero point, w zero point.
    ConvInteger(crate::anchor::Conv),
    /// i8/u8 product to i32. Operands a, b, a zero point, b zero point.
    MatMulInteger,
}

/// A window over spatial axes; x is (N, C, spatial…), or (N, spatial…, C) if `channels_last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads: Vec<(usize, usize)>,
    pub ceil_mode: bool,
    #[serde(default)]
    pub channels_last: bool,
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

/// ONNX's Resize, for what is not a whole nearest repetition. `scales` one an axis: output size over input size as ONNX gives it;
/// with `sizes` given instead, each is size over size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    pub mode: ResizeMode,
    pub coordinates: Coordinates,
    /// `None`: computed from the sizes.
    pub scales: Option<Vec<f32>>,
    /// For `TfCropAndResize`: starts, then ends, one an axis.
    pub roi: Option<Vec<f32>>,
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
    /// Operands x, shape; 0 keeps an axis, −1 takes what is left.
    Reshape,
    /// As `Reshape`, but 0 is a size: ONNX's `allowzero`.
    ReshapeLiteral,
    /// Operands x, shape.
    Expand,
    /// Operands x, starts, ends, axes, steps; all given.
    Slice,
}

/// What LSTM, GRU and RNN share. Activations are ONNX's defaults; the operands that may be left out follow x, w and r in the order of
/// these fields, those that are left out taking no slot. Outputs that the model leaves out of the middle have empty names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrent {
    pub hidden: usize,
    pub direction: Direction,
    /// x is (batch, time, …) and not (time, batch, …), and y likewise: ONNX's `layout = 1`.
    pub batch_first: bool,
    pub bias: bool,
    pub lengths: bool,
    pub initial_h: bool,
    /// LSTM only.
    pub initial_c: bool,
    /// LSTM only.
    pub peepholes: bool,
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
