//! What picks elements by index, and what puts them by index.

use super::{Cx, Draft, no_routine};
use crate::plan::OnHost;
use crate::plan::routine::Work;
use crate::structural::{Coordinates, PadMode, Resize, ResizeMode};

pub(super) fn pad(cx: &Cx, mode: PadMode, pads: &[(i64, i64)]) -> Result<Vec<Draft>, OnHost> {
    let before = pads.iter().map(|(before, _)| *before).collect();
    let slots: Vec<usize> = (0..cx.operands.len().min(2)).collect();
    cx.one(Work::Pad { mode, before }, &slots)
}

/// Channels put last and padded; few enough for the registers of a thread.
pub(super) fn channels_last(cx: &Cx, channels: usize) -> Result<Vec<Draft>, OnHost> {
    const MOST: usize = 16;
    let own = cx.shape(cx.operand(0)?)?.get(1).and_then(|d| d.known());
    if channels > MOST || own.is_none_or(|own| own > channels as i64) {
        return Err(no_routine("it has too many channels"));
    }
    cx.one(Work::ChannelsLast { channels: channels as u64 }, &[0])
}

/// A resize whose sizes follow from the types of its operand and result.
pub(super) fn resize(cx: &Cx, op: &Resize) -> Result<Vec<Draft>, OnHost> {
    if cx.operands.len() > 1 {
        return Err(cx.data_dependent(1));
    }
    let x = cx.operand(0)?;
    let (dtype, shape) = cx.ty(x)?;
    let rank = shape.rank();
    let lists =
        op.scales.as_ref().is_none_or(|s| s.len() == rank) && op.roi.as_ref().is_none_or(|r| r.len() == 2 * rank);
    if !lists || cx.shape(cx.result(0))?.rank() != rank {
        return Err(no_routine("it has another number of axes"));
    }
    let picks = matches!(op.mode, ResizeMode::Nearest(_)) && op.coordinates != Coordinates::TfCropAndResize;
    // Sums of weighted integers are truncated, which shows the last bit of the weights.
    if !picks && !dtype.is_arithmetic_float() {
        return Err(cx.unsupported(x, dtype));
    }
    cx.one(Work::Resize(op.clone()), &[0])
}

/// The length of the index tuples.
pub(super) fn depth(cx: &Cx) -> Result<usize, OnHost> {
    let last = cx.shape(cx.operand(1)?)?.last().and_then(|d| d.known());
    let depth = last.and_then(|n| usize::try_from(n).ok());
    depth.ok_or_else(|| no_routine("the length of its index tuples is not known"))
}

pub(super) fn gather_nd(cx: &Cx, batch_dims: usize) -> Result<Vec<Draft>, OnHost> {
    let depth = depth(cx)?;
    let (x, at) = (cx.shape(cx.operand(0)?)?, cx.shape(cx.operand(1)?)?);
    if batch_dims + depth > x.rank() || batch_dims >= at.rank() {
        return Err(no_routine("its index tuples are longer than x has axes"));
    }
    cx.one(Work::GatherNd { batch_dims, depth }, &[0, 1])
}

/// Two stages: a copy of x, and the updates. Operands x, indices, updates.
pub(super) fn scatter(cx: &Cx, work: Work) -> Result<Vec<Draft>, OnHost> {
    let x = cx.arithmetic(0)?;
    let copy = cx.draft(Work::Copy, vec![x])?;
    let put = cx.draft(work, vec![cx.operand(1)?, cx.operand(2)?])?;
    Ok(vec![copy, put])
}
