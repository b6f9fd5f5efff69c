//! Executes structural ops, one file a family.
//!
//! Sums of floats (reductions, softmax, normalisations, averages, einsum) are in f64, in order, and rounded to the result's
//! type once; recurrences run in f64 throughout; integer sums are exact and wrap.

mod einsum;
mod gather;
mod lanes;
mod linear;
mod make;
mod norm;
mod pool;
mod quantized;
mod recurrent;
mod reduce;
mod resize;

use super::NodeError;
use super::column::{Column, whole};
use super::node::{Context, exactly};
use super::strided::CHUNK;
use crate::graph::Node;
use crate::structural::Structural;
use crate::tensor::Tensor;
use rayon::prelude::*;

pub(super) fn execute(
    op: &Structural,
    node: &Node,
    operands: &[Tensor],
    cx: &Context,
) -> Result<Vec<Tensor>, NodeError> {
    let one = || exactly(operands).map(|[x]: &[Tensor; 1]| x);
    let two = || exactly(operands).map(|[a, b]: &[Tensor; 2]| (a, b));
    let three = || exactly::<3>(operands);
    let optional = |least: usize, most: usize| match operands.len() {
        n if (least..=most).contains(&n) => Ok(operands),
        found => Err(NodeError::Arity { expected: format!("{least} to {most}"), found }),
    };
    let result = match op {
        Structural::MaxPool(p) => return pool::pool(pool::Of::Max, p, one()?, node.outputs.len() > 1, cx),
        Structural::AveragePool { pool: p, count_include_pad } => {
            let of = pool::Of::Average { count_include_pad: *count_include_pad };
            return pool::pool(of, p, one()?, false, cx);
        }
        Structural::LpPool { pool: p, p: power } => return pool::pool(pool::Of::Lp(*power), p, one()?, false, cx),
        Structural::MaxUnpool(p) => {
            let operands = optional(2, 3)?;
            pool::max_unpool(p, &operands[0], &operands[1], operands.get(2), cx)
        }
        Structural::GlobalPool { max } => pool::global(*max, one()?, cx),
        Structural::Reduce { op, axes, keep_dims } => reduce::reduce(*op, axes, *keep_dims, one()?, cx),
        Structural::ArgExtremum { max, axis, keep_dims, select_last } => {
            reduce::arg_extremum(*max, *axis, *keep_dims, *select_last, one()?)
        }
        Structural::TopK { axis, largest, .. } => {
            let (x, k) = two()?;
            return Ok(reduce::top_k(*axis, *largest, x, k, cx)?.into());
        }
        Structural::Cumulative { product, exclusive, reverse } => {
            let (x, axis) = two()?;
            reduce::cumulative(*product, *exclusive, *reverse, x, axis)
        }
        Structural::Softmax { axis, log } => norm::softmax(*axis, *log, one()?),
        Structural::Hardmax { axis } => norm::hardmax(*axis, one()?),
        Structural::LayerNorm { axis, epsilon, bias } => {
            let operands = optional(2 + usize::from(*bias), 2 + usize::from(*bias))?;
            let mut results = norm::layer_norm(*axis, *epsilon, true, &operands[0], &operands[1], operands.get(2))?;
            results.truncate(node.outputs.len().max(1));
            return Ok(results);
        }
        Structural::RmsNorm { axis, epsilon } => {
            let (x, scale) = two()?;
            let mut results = norm::layer_norm(*axis, *epsilon, false, x, scale, None)?;
            results.truncate(1);
            return Ok(results);
        }
        Structural::InstanceNorm { epsilon } => {
            let [x, scale, bias] = three()?;
            norm::group_norm(x.sizes().get(1).copied().unwrap_or(0), *epsilon, x, scale, bias)
        }
        Structural::GroupNorm { groups, epsilon } => {
            let [x, scale, bias] = three()?;
            norm::group_norm(*groups, *epsilon, x, scale, bias)
        }
        Structural::LpNorm { axis, p } => norm::lp_norm(*axis, *p, one()?),
        Structural::LocalResponseNorm { size, alpha, beta, bias } => {
            norm::local_response(*size, *alpha, *beta, *bias, one()?)
        }
        Structural::Resize(r) => {
            let operands = optional(1, 2)?;
            resize::resize(r, &operands[0], operands.get(1), cx.declared(node, 0)?, cx)
        }
        Structural::Pad { mode, pads } => make::pad(*mode, pads, optional(1, 2)?, cx),
        Structural::Gather { axis } => two().and_then(|(x, at)| gather::gather(*axis, x, at, cx)),
        Structural::GatherElements { axis } => two().and_then(|(x, at)| gather::gather_elements(*axis, x, at, cx)),
        Structural::GatherNd { batch_dims } => two().and_then(|(x, at)| gather::gather_nd(*batch_dims, x, at, cx)),
        Structural::ScatterNd { reduction } => gather::scatter_nd(*reduction, three()?),
        Structural::ScatterElements { axis, reduction } => gather::scatter_elements(*axis, *reduction, three()?),
        Structural::Compress { axis } => two().and_then(|(x, condition)| gather::compress(*axis, x, condition)),
        Structural::ReverseSequence { batch_axis, time_axis } => {
            two().and_then(|(x, lengths)| gather::reverse_sequence(*batch_axis, *time_axis, x, lengths))
        }
        Structural::Trilu { upper } => optional(1, 2).and_then(|o| make::trilu(*upper, &o[0], o.get(1))),
        Structural::ChannelsLast { channels } => {
            let x = one()?;
            let dtype = node.outputs.first().and_then(|output| output.ty.dtype).unwrap_or(x.dtype());
            make::channels_last(*channels, dtype, x, cx)
        }
        Structural::Tile => two().and_then(|(x, repeats)| make::tile(x, repeats, cx)),
        Structural::NonZero => make::non_zero(one()?),
        Structural::OneHot { axis } => make::one_hot(*axis, three()?, cx),
        Structural::Range => make::range(three()?, cx),
        Structural::EyeLike { k } => {
            let dtype = node.outputs.first().and_then(|output| output.ty.dtype);
            make::eye_like(*k, dtype.ok_or(NodeError::Unknown { what: "element type" })?, one()?)
        }
        Structural::Shape { start, end } => make::shape(*start, *end, one()?),
        Structural::Size => Ok(Tensor::from_slice(&[], &[one()?.len() as i64])?),
        Structural::ConstantOfShape { value } => make::filled(*value, one()?, cx),
        Structural::DynamicView { op } => make::dynamic_view(*op, operands, cx),
        Structural::Einsum { equation } => einsum::einsum(equation, operands, cx),
        Structural::Det => linear::determinant(one()?),
        Structural::Lstm(r) => return recurrent::lstm(r, node, operands, cx),
        Structural::Rnn(r) => return recurrent::rnn(r, node, operands, cx),
        Structural::Gru { recurrent: r, linear_before_reset } => {
            return recurrent::gru(r, *linear_before_reset, node, operands, cx);
        }
        Structural::BitCast { to } => make::bit_cast(*to, one()?),
        Structural::DynamicQuantize => return quantized::dynamic_quantize(one()?),
        Structural::ConvInteger(conv) => quantized::conv_integer(conv, operands, cx),
        Structural::MatMulInteger => quantized::matmul_integer(operands, cx),
    };
    result.map(|tensor| vec![tensor])
}

/// A tensor of `sizes` whose element `i` is element `from(i)` of x.
fn pick(x: &Tensor, sizes: &[usize], from: impl Fn(usize) -> usize + Sync) -> Result<Tensor, NodeError> {
    fn wide<const W: usize>(bytes: &[u8], count: usize, from: impl Fn(usize) -> usize + Sync) -> Vec<u8> {
        let bytes = bytes.as_chunks::<W>().0;
        let mut to = vec![[0u8; W]; count];
        to.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, to)| {
            to.iter_mut().enumerate().for_each(|(i, to)| *to = bytes[from(chunk * CHUNK + i)]);
        });
        to.into_flattened()
    }
    let count = sizes.iter().product();
    let bytes = match x.dtype().bytes() {
        Some(1) => wide::<1>(x.bytes(), count, from),
        Some(2) => wide::<2>(x.bytes(), count, from),
        Some(4) => wide::<4>(x.bytes(), count, from),
        Some(8) => wide::<8>(x.bytes(), count, from),
        _ => return Ok(Tensor::from_numbers(x.dtype(), sizes, (0..count).map(|i| x.at(from(i)).number()))?),
    };
    Ok(Tensor::new(x.dtype(), sizes.to_vec(), bytes.into())?)
}

/// An operand that lists sizes.
fn sizes_of(operand: &'static str, tensor: &Tensor) -> Result<Vec<usize>, NodeError> {
    let found = || NodeError::Operand { operand, expected: "sizes".into(), found: format!("{tensor:?}") };
    match whole(tensor) {
        Column::Int(sizes) => sizes.into_iter().map(|n| usize::try_from(n).map_err(|_| found())).collect(),
        Column::Float(_) => Err(found()),
    }
}
