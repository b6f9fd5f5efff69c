//! Routines: generated kernels that are no group of pointwise ops, one node each. They let whole models run on the GPU.
//!
//! A routine has one or more [`Stage`]s, each a kernel of its own. A stage reads and writes whole dense tensors; its [`Work`] says
//! what it computes, with every size a [`Dim`], so that stages of the same kind share one text whatever their sizes are.

use super::{BufferId, IndexWidth};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{NodeId, Origin};
use crate::scalar::Scalar;
use crate::structural::{PadMode, Reduction, Resize, ScatterReduction};
use serde::{Deserialize, Serialize};

/// One node of the graph as generated kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routine {
    pub node: NodeId,
    /// What to call the node in a message, and what it is: `MaxPool`, `conv`.
    pub label: String,
    pub kind: String,
    /// The model's nodes that it computes.
    pub origin: Vec<Origin>,
    /// The node's operands and results, in slot order.
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
    /// In the order in which they run.
    pub stages: Vec<Stage>,
}

/// One kernel of a routine. It touches no element outside its tensors, whatever they hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// A C identifier, unique in the plan.
    pub name: String,
    pub work: Work,
    pub reads: Vec<Operand>,
    pub writes: Vec<Operand>,
    /// The type of the kernel's index arithmetic.
    pub index: IndexWidth,
}

/// A tensor that a stage reads or writes, dense and row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    pub buffer: BufferId,
    pub dtype: DType,
    pub shape: Vec<Dim>,
}

/// What a stage computes. Operands are named in the order of [`Stage::reads`], results in that of [`Stage::writes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// One number of each lane.
    Reduce {
        op: Reduction,
        lanes: Lanes,
    },
    /// The index along the lane of its largest or smallest element; the first of equals, or the last.
    Extremum {
        max: bool,
        select_last: bool,
        lanes: Lanes,
    },
    /// exp(x − max) / Σ exp(x − max), or its logarithm.
    Softmax {
        log: bool,
        lanes: Lanes,
    },
    /// 1 at the first largest element of each lane, else 0.
    Hardmax {
        lanes: Lanes,
    },
    /// x / (Σ |x|^p)^(1/p), for p of 1 or 2.
    LpNorm {
        p: i64,
        lanes: Lanes,
    },
    /// (x − mean) / √(variance + epsilon) · scale + bias. Reads x, scale and, if `bias`, bias; writes y and, if there are three results,
    /// the mean and the inverse deviation of each lane. Not `centred`: without the mean.
    Normalize {
        centred: bool,
        epsilon: f32,
        bias: bool,
        lanes: Lanes,
    },
    /// Scale and zero point of the range of x and 0 in u8 codes, as ONNX's DynamicQuantizeLinear has them.
    CodeRange {
        lanes: Lanes,
    },
    /// u8 codes of x for a scale and a zero point in memory.
    Encode,
    /// Running sums or products along each lane.
    Scan {
        product: bool,
        exclusive: bool,
        reverse: bool,
        lanes: Lanes,
    },
    /// The first `k` of each lane in order, and their indices; equal elements keep their order.
    TopK {
        largest: bool,
        k: u64,
        lanes: Lanes,
    },
    /// One number of each window over the spatial axes of (N, C, spatial…), or (N, spatial…, C) with `channels_last`.
    Pool {
        of: Pooling,
        window: Vec<WindowAxis>,
        channels_last: bool,
    },
    /// x / (bias + alpha/size · Σ x²)^beta, the sum over `size` channels around each.
    LocalResponse {
        size: u64,
        alpha: f32,
        beta: f32,
        bias: f32,
    },
    /// A convolution. Reads x, w and, if `bias`, b; or, of codes, x, w and, if there are four operands, zero point of x, zero points of w.
    Conv(Convolution),
    /// A matrix product. Reads a, b and, if `bias`, c; or, of codes, a, b and, if there are four operands, zero points of a
    /// (one, or one a row) and of b (one, or one a column).
    Product(Product),
    /// x with its ends cut or continued. Reads x and, if given, the value to pad with.
    Pad {
        mode: PadMode,
        before: Vec<i64>,
    },
    Resize(Resize),
    /// Reads x, indices, which count from the end if negative and are clamped to the axis.
    Gather {
        axis: usize,
    },
    GatherElements {
        axis: usize,
    },
    GatherNd {
        batch_dims: usize,
        depth: usize,
    },
    /// Reads x, lengths.
    ReverseSequence {
        batch_axis: usize,
        time_axis: usize,
    },
    /// Reads indices, values (off, on). `axis` is one of the result's.
    OneHot {
        axis: usize,
    },
    /// x on and above (below) diagonal `k` of each matrix, zero elsewhere.
    Trilu {
        upper: bool,
        k: i64,
    },
    /// (N, C, places) as (N, places, `channels`), with zeros behind the C.
    ChannelsLast {
        channels: u64,
    },
    /// Ones on diagonal `k`.
    Eye {
        k: i64,
    },
    Fill {
        value: Scalar,
    },
    /// These sizes.
    Sizes {
        values: Vec<Dim>,
    },
    /// The same bytes.
    Copy,
    /// Puts updates into y, which holds x already, in the order given. Reads indices, updates.
    ScatterElements {
        axis: usize,
        reduction: ScatterReduction,
    },
    ScatterNd {
        depth: usize,
        reduction: ScatterReduction,
    },
}

/// A convolution; see [`Anchor`](crate::anchor::Anchor) for the tensors' axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convolution {
    pub window: Vec<WindowAxis>,
    pub groups: u64,
    pub bias: bool,
    pub transposed: bool,
    pub channels_last: bool,
    /// The code that stands outside of x.
    pub pad: i32,
}

/// What becomes of a window's elements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The largest and, if there are two results, its row-major index in x.
    Max,
    /// `count_include_pad`: whether padding counts in the divisor.
    Average {
        count_include_pad: bool,
    },
    Lp {
        p: i64,
    },
}

/// A tensor seen as lanes: for each index tuple of `kept` the elements over all of `along`. Adjacent axes are merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lanes {
    pub kept: Vec<Dim>,
    pub along: Vec<Dim>,
    /// Strides of each operand, then of each result, over `kept` and then `along`.
    pub strides: Vec<Vec<Dim>>,
    pub team: Team,
}

/// Who works on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Team {
    /// One thread; neighbouring threads take neighbouring lanes.
    Thread,
    /// The 32 threads of a warp.
    Warp,
    /// A block of so many threads.
    Block(u32),
}

/// One spatial axis of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowAxis {
    pub input: Dim,
    pub output: Dim,
    pub kernel: u64,
    pub stride: u64,
    pub dilation: u64,
    pub before: u64,
    pub after: u64,
}

/// y(batch, i, j) = Σ a(batch, i, l)·b(batch, l, j) (+ c(batch, i, j)). Strides are over the batch axes, then over the two of the matrix;
/// 0 along an axis that broadcasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    pub batch: Vec<Dim>,
    pub rows: Dim,
    pub columns: Dim,
    pub inner: Dim,
    /// Of a over (batch, row, inner), of b over (batch, inner, column), of c over (batch, row, column).
    pub a: Vec<Dim>,
    pub b: Vec<Dim>,
    pub c: Option<Vec<Dim>>,
}

impl Work {
    /// Its name in a kernel's: `softmax`, `conv`.
    pub fn name(&self) -> &'static str {
        match self {
            Work::Reduce { op, .. } => match op {
                Reduction::Sum => "sum",
                Reduction::Mean => "mean",
                Reduction::Max => "max",
                Reduction::Min => "min",
                Reduction::Prod => "prod",
                Reduction::L1 => "l1",
                Reduction::L2 => "l2",
                Reduction::SumSquare => "sum_square",
                Reduction::LogSum => "log_sum",
                Reduction::LogSumExp => "log_sum_exp",
            },
            Work::Extremum { max: true, .. } => "argmax",
            Work::Extremum { max: false, .. } => "argmin",
            Work::Softmax { log: false, .. } => "softmax",
            Work::Softmax { log: true, .. } => "log_softmax",
            Work::Hardmax { .. } => "hardmax",
            Work::LpNorm { .. } => "lp_norm",
            Work::Normalize { .. } => "normalize",
            Work::CodeRange { .. } => "code_range",
            Work::Encode => "encode",
            Work::Scan { product: false, .. } => "cumsum",
            Work::Scan { product: true, .. } => "cumprod",
            Work::TopK { .. } => "topk",
            Work::Pool { of: Pooling::Max, .. } => "max_pool",
            Work::Pool { of: Pooling::Average { .. }, .. } => "average_pool",
            Work::Pool { of: Pooling::Lp { .. }, .. } => "lp_pool",
            Work::LocalResponse { .. } => "local_response",
            Work::Conv(Convolution { transposed: false, .. }) => "conv",
            Work::Conv(Convolution { transposed: true, .. }) => "conv_transpose",
            Work::Product(_) => "product",
            Work::Pad { .. } => "pad",
            Work::Resize(_) => "resize",
            Work::Gather { .. } => "gather",
            Work::GatherElements { .. } => "gather_elements",
            Work::GatherNd { .. } => "gather_nd",
            Work::ReverseSequence { .. } => "reverse",
            Work::OneHot { .. } => "one_hot",
            Work::Trilu { .. } => "trilu",
            Work::ChannelsLast { .. } => "channels_last",
            Work::Eye { .. } => "eye",
            Work::Fill { .. } => "fill",
            Work::Sizes { .. } => "sizes",
            Work::Copy => "copy",
            Work::ScatterElements { .. } => "scatter_elements",
            Work::ScatterNd { .. } => "scatter_nd",
        }
    }
}

impl Stage {
    /// The same with 64-bit indices, for sizes that [`IndexWidth::Bits32`] can't count.
    pub fn widened(&self) -> Stage {
        Stage { index: IndexWidth::Bits64, ..self.clone() }
    }
}
