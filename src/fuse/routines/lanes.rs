//! What works on lanes: reductions, softmax, normalisations, scans, selections.

use super::{Cx, Draft, broadcast_strides, no_routine};
use crate::dim::Dim;
use crate::graph::Value;
use crate::plan::OnHost;
use crate::plan::routine::{Lanes, Team, Work};
use crate::shape::Shape;
use crate::structural::Reduction;

/// The lanes of a tensor of `shape` over the axes `along`; `strides` are each tensor's over its axes.
fn lanes(cx: &Cx, shape: &[Dim], along: &[usize], strides: &[Vec<Dim>]) -> Result<Lanes, OnHost> {
    if along.iter().any(|axis| *axis >= shape.len()) {
        return Err(no_routine("its axis is none of x's"));
    }
    let part = |chosen: bool| (0..shape.len()).filter(|a| along.contains(a) == chosen).collect::<Vec<_>>();
    let (kept, kept_strides) = merged(shape, &part(false), strides)?;
    let (along, along_strides) = merged(shape, &part(true), strides)?;
    let team = team(cx, &kept, &along, along_strides.first().and_then(|s| s.last()));
    let strides = kept_strides.into_iter().zip(along_strides).map(|(a, b)| [a, b].concat()).collect();
    Ok(Lanes { kept, along, strides, team })
}

/// The axes with those of one element left out and neighbours made one where every tensor allows it.
fn merged(shape: &[Dim], axes: &[usize], strides: &[Vec<Dim>]) -> Result<(Vec<Dim>, Vec<Vec<Dim>>), OnHost> {
    let mut sizes: Vec<Dim> = Vec::new();
    let mut merged: Vec<Vec<Dim>> = vec![Vec::new(); strides.len()];
    for &axis in axes.iter().filter(|a| !shape[**a].is(1)) {
        let size = &shape[axis];
        let mut joins = !sizes.is_empty();
        for (of, to) in strides.iter().zip(&merged) {
            joins &= to.last().is_some_and(|last| of[axis].mul(size).is_ok_and(|span| span == *last));
        }
        match sizes.last_mut().filter(|_| joins) {
            Some(last) => {
                *last = last.mul(size)?;
                merged.iter_mut().zip(strides).for_each(|(to, of)| {
                    if let Some(last) = to.last_mut() {
                        *last = of[axis].clone();
                    }
                });
            }
            None => {
                sizes.push(size.clone());
                merged.iter_mut().zip(strides).for_each(|(to, of)| to.push(of[axis].clone()));
            }
        }
    }
    Ok((sizes, merged))
}

/// Who works on a lane: few threads where lanes are short or lie across memory, many where they are long and dense.
fn team(cx: &Cx, kept: &[Dim], along: &[Dim], innermost: Option<&Dim>) -> Team {
    let product = |dims: &[Dim]| dims.iter().map(|d| cx.model.size(d)).product::<f64>();
    let (lanes, n) = (product(kept), product(along));
    let dense = innermost.is_some_and(|stride| stride.is(1));
    match (dense, n) {
        (_, n) if n <= 16.0 => Team::Thread,
        (false, n) if lanes >= 4096.0 || n <= 64.0 => Team::Thread,
        (_, n) if lanes <= 64.0 && n >= 16384.0 => Team::Block(1024),
        (true, n) if n <= 1024.0 => Team::Warp,
        _ => Team::Block(256),
    }
}

/// Strides of the result that has one element a lane.
fn of_result(shape: &Shape, along: &[usize]) -> Result<Vec<Dim>, OnHost> {
    let one = |(axis, size): (usize, &Dim)| if along.contains(&axis) { Dim::ONE } else { size.clone() };
    let sizes: Shape = shape.iter().enumerate().map(one).collect();
    let mut strides = sizes.strides()?;
    for (axis, stride) in strides.iter_mut().enumerate() {
        if along.contains(&axis) {
            *stride = Dim::ZERO;
        }
    }
    Ok(strides)
}

/// The lanes of operand 0, its strides first, then one element a lane for each of `results` results.
fn folding(cx: &Cx, along: &[usize], results: usize) -> Result<Lanes, OnHost> {
    let shape = cx.shape(cx.operand(0)?)?;
    let mut strides = vec![shape.strides()?];
    for _ in 0..results {
        strides.push(of_result(shape, along)?);
    }
    lanes(cx, shape, along, &strides)
}

pub(super) fn reduce(cx: &Cx, op: Reduction, axes: &[usize]) -> Result<Vec<Draft>, OnHost> {
    let x = cx.arithmetic(0)?;
    let dtype = cx.ty(x)?.0;
    let exact = matches!(
        op,
        Reduction::Sum | Reduction::Prod | Reduction::Max | Reduction::Min | Reduction::L1 | Reduction::SumSquare
    );
    // A mean or root of 64-bit integers is rounded on its way.
    if !exact && dtype.is_int() && dtype.bits() > 32 {
        return Err(cx.unsupported(x, dtype));
    }
    cx.one(Work::Reduce { op, lanes: folding(cx, axes, 1)? }, &[0])
}

pub(super) fn global_pool(cx: &Cx, max: bool) -> Result<Vec<Draft>, OnHost> {
    let axes: Vec<usize> = (2..cx.shape(cx.operand(0)?)?.rank()).collect();
    reduce(cx, if max { Reduction::Max } else { Reduction::Mean }, &axes)
}

pub(super) fn extremum(cx: &Cx, max: bool, axis: usize, select_last: bool) -> Result<Vec<Draft>, OnHost> {
    cx.arithmetic(0)?;
    cx.one(Work::Extremum { max, select_last, lanes: folding(cx, &[axis], 1)? }, &[0])
}

/// One lane-wise op whose result lies as x does.
pub(super) fn in_place(cx: &Cx, axis: usize, work: impl FnOnce(Lanes) -> Work, x: Value) -> Result<Vec<Draft>, OnHost> {
    let shape = cx.shape(x)?;
    let strides = [shape.strides()?, shape.strides()?];
    cx.one(work(lanes(cx, shape, &[axis], &strides)?), &[0])
}

pub(super) fn layer_norm(cx: &Cx, axis: usize, epsilon: f32, centred: bool, bias: bool) -> Result<Vec<Draft>, OnHost> {
    let shape = cx.shape(cx.float(0)?)?;
    let along: Vec<usize> = (axis..shape.rank()).collect();
    let mut strides = vec![shape.strides()?];
    let slots: Vec<usize> = (0..2 + usize::from(bias)).collect();
    for slot in &slots[1..] {
        strides.push(broadcast_strides(cx.shape(cx.float(*slot)?)?, shape)?);
    }
    strides.push(shape.strides()?);
    for _ in 1..cx.results() {
        strides.push(of_result(shape, &along)?);
    }
    let lanes = lanes(cx, shape, &along, &strides)?;
    cx.one(Work::Normalize { centred, epsilon, bias, lanes }, &slots)
}

/// Per sample and group of channels; without `groups`, per channel.
pub(super) fn group_norm(cx: &Cx, groups: Option<usize>, epsilon: f32) -> Result<Vec<Draft>, OnHost> {
    let shape = cx.shape(cx.float(0)?)?;
    let [batch, channels, spatial @ ..] = &shape.0[..] else { return Err(no_routine("x has no channels")) };
    let groups = groups.map_or(channels.clone(), |g| Dim::fixed(g as i64));
    let each = channels.div_exact(&groups).ok_or_else(|| no_routine("its channels do not divide into the groups"))?;
    // x as (batch, group, channel of the group, spatial…).
    let split: Shape = [batch, &groups, &each].into_iter().chain(spatial).cloned().collect();
    let along: Vec<usize> = (2..split.rank()).collect();
    let mut strides = vec![split.strides()?];
    for slot in 1..3 {
        let shape = cx.shape(cx.float(slot)?)?;
        if shape.rank() != 1 || shape[0] != *channels {
            return Err(no_routine("its scale is not one number a channel"));
        }
        let mut of_channel = vec![Dim::ZERO; split.rank()];
        of_channel[1] = each.clone();
        of_channel[2] = Dim::ONE;
        strides.push(of_channel);
    }
    strides.push(split.strides()?);
    let lanes = lanes(cx, &split, &along, &strides)?;
    cx.one(Work::Normalize { centred: true, epsilon, bias: true, lanes }, &[0, 1, 2])
}

/// Two stages: the range of x, and the codes for it.
pub(super) fn dynamic_quantize(cx: &Cx) -> Result<Vec<Draft>, OnHost> {
    let x = cx.float(0)?;
    let axes: Vec<usize> = (0..cx.shape(x)?.rank()).collect();
    let (codes, scale, zero) = (cx.result(0), cx.result(1), cx.result(2));
    if cx.results() != 3 {
        return Err(no_routine("it has not three results"));
    }
    let range = Work::CodeRange { lanes: folding(cx, &axes, 2)? };
    Ok(vec![
        Draft { work: range, reads: vec![x], writes: vec![scale, zero] },
        Draft { work: Work::Encode, reads: vec![x, scale, zero], writes: vec![codes] },
    ])
}

pub(super) fn top_k(cx: &Cx, axis: usize, largest: bool) -> Result<Vec<Draft>, OnHost> {
    let shape = cx.shape(cx.arithmetic(0)?)?;
    let k = u64::try_from(cx.number(1)?).map_err(|_| no_routine("k is negative"))?;
    let to = cx.shape(cx.result(0))?;
    if to.rank() != shape.rank() || !to.get(axis).is_some_and(|d| d.is(k as i64)) {
        return Err(no_routine("its result is not of k elements"));
    }
    let result = to.strides()?;
    let strides = [shape.strides()?, result.clone(), result];
    let mut lanes = lanes(cx, shape, &[axis], &strides)?;
    // A selection looks at the whole lane once for each element that it finds.
    lanes.team = Team::Block(256);
    if cx.results() != 2 {
        return Err(no_routine("it has not two results"));
    }
    cx.one(Work::TopK { largest, k, lanes }, &[0])
}
