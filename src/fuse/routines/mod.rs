//! Nodes that fusion does not take, as routines: what each reads, writes and computes, or why it stays on the host.
//!
//! One file a family. A family needs the types of all operands and results; what ONNX passes as an operand and a kernel needs to know
//! beforehand (an axis, a count) must be a constant.

mod index;
mod lanes;
mod matrix;
mod window;

use super::cost::Model;
use super::facts::is_supported;
use crate::anchor::Anchor;
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Operands, Value};
use crate::plan::OnHost;
use crate::plan::routine::{Pooling, Work};
use crate::shape::Shape;
use crate::structural::{DynamicView, Structural};

/// A stage whose tensors are still values of the graph.
#[derive(Debug)]
pub(super) struct Draft {
    pub work: Work,
    pub reads: Vec<Value>,
    pub writes: Vec<Value>,
}

/// The stages that compute a node which is neither pointwise nor a view.
pub(super) fn stages(graph: &Graph, model: &Model, id: NodeId) -> Result<Vec<Draft>, OnHost> {
    let cx = Cx { graph, model, id, operands: graph.operands(id) };
    match &graph.node(id).kind {
        Kind::Anchor(Anchor::Gemm { transpose_a, transpose_b, bias }) => {
            matrix::gemm(&cx, *transpose_a, *transpose_b, *bias)
        }
        Kind::Anchor(Anchor::Conv(conv)) => window::conv(&cx, conv, PLAIN),
        Kind::Anchor(Anchor::ConvLast { conv, pad }) => {
            window::conv(&cx, conv, window::Form { channels_last: true, pad: *pad, ..PLAIN })
        }
        Kind::Anchor(Anchor::ConvTranspose { conv, .. }) => {
            window::conv(&cx, conv, window::Form { transposed: true, ..PLAIN })
        }
        Kind::Structural(op) => structural(&cx, op),
        Kind::Opaque { .. } => Err(OnHost::Unknown),
        kind => Err(no_routine(&format!("it is {kind}"))),
    }
}

/// A convolution as ONNX has it.
const PLAIN: window::Form = window::Form { transposed: false, channels_last: false, pad: 0 };

fn structural(cx: &Cx, op: &Structural) -> Result<Vec<Draft>, OnHost> {
    match op {
        Structural::Reduce { op, axes, .. } => lanes::reduce(cx, *op, axes),
        Structural::GlobalPool { max } => lanes::global_pool(cx, *max),
        Structural::ArgExtremum { max, axis, select_last, .. } => lanes::extremum(cx, *max, *axis, *select_last),
        Structural::Softmax { axis, log } => {
            lanes::in_place(cx, *axis, |lanes| Work::Softmax { log: *log, lanes }, cx.float(0)?)
        }
        Structural::Hardmax { axis } => lanes::in_place(cx, *axis, |lanes| Work::Hardmax { lanes }, cx.arithmetic(0)?),
        Structural::LpNorm { axis, p } => {
            lanes::in_place(cx, *axis, |lanes| Work::LpNorm { p: *p, lanes }, cx.float(0)?)
        }
        Structural::LayerNorm { axis, epsilon, bias } => lanes::layer_norm(cx, *axis, *epsilon, true, *bias),
        Structural::RmsNorm { axis, epsilon } => lanes::layer_norm(cx, *axis, *epsilon, false, false),
        Structural::InstanceNorm { epsilon } => lanes::group_norm(cx, None, *epsilon),
        Structural::GroupNorm { groups, epsilon } => lanes::group_norm(cx, Some(*groups), *epsilon),
        Structural::DynamicQuantize => lanes::dynamic_quantize(cx),
        Structural::Cumulative { product, exclusive, reverse } => {
            let (product, exclusive, reverse) = (*product, *exclusive, *reverse);
            let axis = cx.axis_operand(1)?;
            let work = |lanes| Work::Scan { product, exclusive, reverse, lanes };
            lanes::in_place(cx, axis, work, cx.arithmetic(0)?)
        }
        Structural::TopK { axis, largest, .. } => lanes::top_k(cx, *axis, *largest),
        Structural::MaxPool(pool) => window::pool(cx, Pooling::Max, pool),
        Structural::AveragePool { pool, count_include_pad } => {
            window::pool(cx, Pooling::Average { count_include_pad: *count_include_pad }, pool)
        }
        Structural::LpPool { pool, p } => window::pool(cx, Pooling::Lp { p: *p }, pool),
        Structural::LocalResponseNorm { size, alpha, beta, bias } => {
            let work = Work::LocalResponse { size: *size as u64, alpha: *alpha, beta: *beta, bias: *bias };
            cx.float(0)?;
            cx.one(work, &[0])
        }
        Structural::ConvInteger(conv) => window::conv(cx, conv, PLAIN),
        Structural::MatMulInteger => matrix::integer(cx),
        Structural::Resize(resize) => index::resize(cx, resize),
        Structural::Pad { mode, pads } => index::pad(cx, *mode, pads),
        Structural::Gather { axis } => cx.one(Work::Gather { axis: *axis }, &[0, 1]),
        Structural::GatherElements { axis } => cx.one(Work::GatherElements { axis: *axis }, &[0, 1]),
        Structural::GatherNd { batch_dims } => index::gather_nd(cx, *batch_dims),
        Structural::ScatterElements { axis, reduction } => {
            index::scatter(cx, Work::ScatterElements { axis: *axis, reduction: *reduction })
        }
        Structural::ScatterNd { reduction } => {
            let depth = index::depth(cx)?;
            index::scatter(cx, Work::ScatterNd { depth, reduction: *reduction })
        }
        Structural::ReverseSequence { batch_axis, time_axis } => {
            cx.one(Work::ReverseSequence { batch_axis: *batch_axis, time_axis: *time_axis }, &[0, 1])
        }
        Structural::OneHot { axis } => cx.one(Work::OneHot { axis: *axis }, &[0, 2]),
        Structural::Trilu { upper } => {
            let k = if cx.operands.len() > 1 { cx.number(1)? } else { 0 };
            cx.one(Work::Trilu { upper: *upper, k }, &[0])
        }
        Structural::ChannelsLast { channels } => index::channels_last(cx, *channels),
        Structural::EyeLike { k } => cx.one(Work::Eye { k: *k }, &[]),
        Structural::ConstantOfShape { value } => cx.one(Work::Fill { value: *value }, &[]),
        Structural::Shape { start, end } => {
            let shape = cx.shape(cx.operand(0)?)?;
            let end = (*end).min(shape.rank());
            cx.one(Work::Sizes { values: shape.0[(*start).min(end)..end].to_vec() }, &[])
        }
        Structural::Size => {
            let count = cx.shape(cx.operand(0)?)?.count()?;
            cx.one(Work::Sizes { values: vec![count] }, &[])
        }
        Structural::BitCast { .. } => cx.one(Work::Copy, &[0]),
        Structural::NonZero | Structural::Compress { .. } | Structural::Range => Err(cx.data_dependent(0)),
        Structural::Tile => Err(cx.data_dependent(1)),
        Structural::DynamicView { op } => Err(cx.data_dependent(match op {
            DynamicView::Reshape | DynamicView::ReshapeLiteral | DynamicView::Expand | DynamicView::Slice => 1,
        })),
        op => Err(no_routine(&format!("{} has none", op.name()))),
    }
}

fn no_routine(why: &str) -> OnHost {
    OnHost::NoRoutine { why: why.into() }
}

impl From<DimError> for OnHost {
    fn from(error: DimError) -> OnHost {
        no_routine(&error.to_string())
    }
}

/// The node at hand.
struct Cx<'a> {
    graph: &'a Graph,
    model: &'a Model,
    id: NodeId,
    operands: Operands,
}

impl<'a> Cx<'a> {
    fn operand(&self, slot: usize) -> Result<Value, OnHost> {
        self.operands.get(slot).copied().ok_or_else(|| no_routine("it lacks an operand"))
    }

    fn result(&self, port: u32) -> Value {
        Value { node: self.id, port }
    }

    fn results(&self) -> usize {
        self.graph.node(self.id).outputs.len()
    }

    /// The type of a value that kernels can touch.
    fn ty(&self, value: Value) -> Result<(DType, &'a Shape), OnHost> {
        let name = || self.graph.value_name(value).to_string();
        match self.graph.ty(value).full() {
            None => Err(OnHost::UnknownType { value: name() }),
            Some((dtype, _)) if !is_supported(dtype) => Err(OnHost::UnsupportedType { value: name(), dtype }),
            Some(full) => Ok(full),
        }
    }

    fn shape(&self, value: Value) -> Result<&'a Shape, OnHost> {
        Ok(self.ty(value)?.1)
    }

    /// An operand of a type that kernels calculate with.
    fn arithmetic(&self, slot: usize) -> Result<Value, OnHost> {
        let value = self.operand(slot)?;
        match self.ty(value)?.0 {
            dtype if dtype.is_arithmetic_float() || dtype.is_int() => Ok(value),
            dtype => Err(self.unsupported(value, dtype)),
        }
    }

    fn float(&self, slot: usize) -> Result<Value, OnHost> {
        let value = self.operand(slot)?;
        match self.ty(value)?.0 {
            dtype if dtype.is_arithmetic_float() => Ok(value),
            dtype => Err(self.unsupported(value, dtype)),
        }
    }

    fn unsupported(&self, value: Value, dtype: DType) -> OnHost {
        OnHost::UnsupportedType { value: self.graph.value_name(value).into(), dtype }
    }

    fn data_dependent(&self, slot: usize) -> OnHost {
        let name = self.operands.get(slot).map(|v| self.graph.value_name(*v).to_string());
        OnHost::DataDependent { operand: name.unwrap_or_default() }
    }

    /// The one number that a constant operand holds.
    fn number(&self, slot: usize) -> Result<i64, OnHost> {
        let scalar = self.graph.constant(self.operand(slot)?).and_then(|t| t.uniform());
        let number = scalar.and_then(|s| i64::try_from(s.number().as_i128()).ok());
        number.ok_or_else(|| self.data_dependent(slot))
    }

    /// An axis of operand 0, given as an operand: counted from the end if negative.
    fn axis_operand(&self, slot: usize) -> Result<usize, OnHost> {
        let axis = self.number(slot)?;
        let rank = self.shape(self.operand(0)?)?.rank();
        let wrapped = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(wrapped).ok().filter(|a| *a < rank).ok_or_else(|| no_routine("its axis is none of x's"))
    }

    /// One stage that reads these operands and writes all results.
    fn one(&self, work: Work, slots: &[usize]) -> Result<Vec<Draft>, OnHost> {
        let reads = slots.iter().map(|slot| self.operand(*slot)).collect::<Result<Vec<_>, _>>()?;
        self.draft(work, reads).map(|draft| vec![draft])
    }

    fn draft(&self, work: Work, reads: Vec<Value>) -> Result<Draft, OnHost> {
        let writes: Vec<Value> = (0..self.results() as u32).map(|port| self.result(port)).collect();
        for value in reads.iter().chain(&writes) {
            self.ty(*value)?;
        }
        Ok(Draft { work, reads, writes })
    }
}

/// The strides of an operand that broadcasts to `to` by NumPy's rule: 0 along the axes that it repeats.
fn broadcast_strides(from: &Shape, to: &[Dim]) -> Result<Vec<Dim>, OnHost> {
    let undecided = || no_routine(&format!("whether {from} broadcasts depends on its sizes"));
    let missing = to.len().checked_sub(from.rank()).ok_or_else(undecided)?;
    let mut strides = vec![Dim::ZERO; missing];
    for ((size, stride), to) in from.iter().zip(from.strides()?).zip(&to[missing..]) {
        strides.push(match size {
            size if size.is(1) => Dim::ZERO,
            size if size == to => stride,
            _ => return Err(undecided()),
        });
    }
    Ok(strides)
}
