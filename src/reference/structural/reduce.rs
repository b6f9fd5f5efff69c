//! Reductions along axes. Floats are summed in f64, in order, and rounded once; integers are exact and wrap.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::strided::{Strided, strides};
use super::lanes::{Lanes, axis, beyond};
use crate::dtype::DType;
use crate::scalar::Number;
use crate::structural::Reduction;
use crate::tensor::Tensor;
use rayon::prelude::*;

pub(super) fn reduce(
    op: Reduction,
    axes: &[usize],
    keep_dims: bool,
    x: &Tensor,
    cx: &Context,
) -> Result<Tensor, NodeError> {
    let from = x.sizes();
    if let Some(axis) = axes.iter().find(|a| **a >= from.len()) {
        return Err(beyond(*axis, from.len()));
    }
    let kept: Vec<usize> = (0..from.len()).filter(|a| !axes.contains(a)).collect();
    let reduced: Vec<usize> = (0..from.len()).filter(|a| axes.contains(a)).collect();
    let n: usize = reduced.iter().map(|a| from[*a]).product();
    let sizes: Vec<usize> = match keep_dims {
        true => (0..from.len()).map(|a| if axes.contains(&a) { 1 } else { from[a] }).collect(),
        false => kept.iter().map(|a| from[*a]).collect(),
    };
    let dtype = x.dtype();
    let count = cx.count(dtype, &sizes)?;
    // The elements that make one result, one after another.
    let dense = strides(from);
    let order: Vec<usize> = kept.into_iter().chain(reduced).collect();
    let permuted: Vec<usize> = order.iter().map(|a| from[*a]).collect();
    let walk = Strided::new(0, &permuted, &order.iter().map(|a| dense[*a]).collect::<Vec<_>>());
    let lane = |i: usize| {
        let mut column = Column::with_capacity(dtype, n);
        if n > 0 {
            walk.runs(i * n, n, |run| column.read(x, run));
        }
        column
    };
    let exact = matches!(
        op,
        Reduction::Sum | Reduction::Prod | Reduction::Max | Reduction::Min | Reduction::L1 | Reduction::SumSquare
    );
    if !dtype.is_float() && exact {
        let results = (0..count).into_par_iter().map(|i| {
            let wrapped = Number::Int(of_ints(op, dtype, &lane(i).into_ints())).rounded_to(dtype);
            wrapped.as_i128()
        });
        return Column::Int(results.collect()).into_tensor(dtype, &sizes);
    }
    let results: Vec<f64> = (0..count).into_par_iter().map(|i| of_floats(op, &lane(i).into_floats())).collect();
    match dtype.is_float() {
        true => Column::Float(results).into_tensor(dtype, &sizes),
        // Means and roots of integers are truncated.
        false => Column::Int(Column::Float(results).into_ints()).into_tensor(dtype, &sizes),
    }
}

fn of_ints(op: Reduction, dtype: DType, x: &[i128]) -> i128 {
    let (low, high) = dtype.int_range().unwrap_or_default();
    match op {
        Reduction::Max => x.iter().copied().max().unwrap_or(low),
        Reduction::Min => x.iter().copied().min().unwrap_or(high),
        Reduction::Prod => x.iter().fold(1, |p, x| p.wrapping_mul(*x)),
        Reduction::L1 => x.iter().fold(0, |s, x| s.wrapping_add(x.wrapping_abs())),
        Reduction::SumSquare => x.iter().fold(0, |s, x| s.wrapping_add(x.wrapping_mul(*x))),
        _ => x.iter().fold(0, |s, x| s.wrapping_add(*x)),
    }
}

fn of_floats(op: Reduction, x: &[f64]) -> f64 {
    let sum = || x.iter().sum::<f64>();
    let squares = || x.iter().map(|x| x * x).sum::<f64>();
    match op {
        Reduction::Sum => sum(),
        Reduction::Mean => sum() / x.len() as f64,
        Reduction::Max => x.iter().copied().fold(f64::NEG_INFINITY, largest),
        Reduction::Min => -x.iter().map(|x| -x).fold(f64::NEG_INFINITY, largest),
        Reduction::Prod => x.iter().product(),
        Reduction::L1 => x.iter().map(|x| x.abs()).sum(),
        Reduction::L2 => squares().sqrt(),
        Reduction::SumSquare => squares(),
        Reduction::LogSum => sum().ln(),
        Reduction::LogSumExp => {
            let max = x.iter().copied().fold(f64::NEG_INFINITY, largest);
            if max.is_infinite() { max } else { max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln() }
        }
    }
}

/// The larger; NaN if either is.
pub(super) fn largest(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// The index of the extreme element along an axis; NaN counts as larger than all when the largest is sought, and smaller when the
/// smallest is.
pub(super) fn arg_extremum(
    max: bool,
    along: usize,
    keep_dims: bool,
    select_last: bool,
    x: &Tensor,
) -> Result<Tensor, NodeError> {
    let lanes = Lanes::new(x.sizes(), along)?;
    if lanes.n == 0 && lanes.count() > 0 {
        return Err(NodeError::Invalid(format!("axis {along} is empty, so it has no extreme element")));
    }
    let mut sizes = x.sizes().to_vec();
    match keep_dims {
        true => sizes[along] = 1,
        false => drop(sizes.remove(along)),
    }
    let column = whole(x);
    let better = |a: Number, b: Number| match (a, b) {
        (Number::Int(a), Number::Int(b)) => (if max { a > b } else { a < b }, a == b),
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            ((if max { a > b } else { a < b }) || (a.is_nan() && !b.is_nan()), a == b || (a.is_nan() && b.is_nan()))
        }
    };
    let pick = |start: usize| {
        let mut best = 0;
        for i in 1..lanes.n {
            let (wins, ties) = better(column.get(start + i * lanes.inner), column.get(start + best * lanes.inner));
            if wins || (ties && select_last) {
                best = i;
            }
        }
        best as i64
    };
    Ok(Tensor::from_vec(&sizes, lanes.starts().map(pick).collect::<Vec<i64>>())?)
}

/// Running sums or products along an axis.
pub(super) fn cumulative(
    product: bool,
    exclusive: bool,
    reverse: bool,
    x: &Tensor,
    along: &Tensor,
) -> Result<Tensor, NodeError> {
    let missing = || NodeError::Operand { operand: "axis", expected: "one number".into(), found: format!("{along:?}") };
    let along = axis(along.uniform().ok_or_else(missing)?.number().as_i128(), x.sizes().len())?;
    let lanes = Lanes::new(x.sizes(), along)?;
    let dtype = x.dtype();
    let column = match whole(x) {
        Column::Float(mut values) => {
            let next = |a: f64, b: f64| if product { a * b } else { a + b };
            lanes.map(&mut values, |lane| running(lane, f64::from(product), exclusive, reverse, next));
            Column::Float(values)
        }
        Column::Int(mut values) => {
            let next = |a: i128, b: i128| {
                let exact = if product { a.wrapping_mul(b) } else { a.wrapping_add(b) };
                Number::Int(exact).rounded_to(dtype).as_i128()
            };
            lanes.map(&mut values, |lane| running(lane, i128::from(product), exclusive, reverse, next));
            Column::Int(values)
        }
    };
    column.into_tensor(dtype, x.sizes())
}

fn running<T: Copy>(lane: &mut [T], start: T, exclusive: bool, reverse: bool, next: impl Fn(T, T) -> T) {
    let mut so_far = start;
    let mut step = |x: &mut T| {
        let with = next(so_far, *x);
        *x = if exclusive { so_far } else { with };
        so_far = with;
    };
    if reverse { lane.iter_mut().rev().for_each(&mut step) } else { lane.iter_mut().for_each(&mut step) }
}

/// Outputs values and indices, ordered; equal elements keep their order.
pub(super) fn top_k(
    along: usize,
    largest: bool,
    x: &Tensor,
    k: &Tensor,
    cx: &Context,
) -> Result<[Tensor; 2], NodeError> {
    let lanes = Lanes::new(x.sizes(), along)?;
    let found = format!("{k:?}");
    let k = k.uniform().map(|k| k.number().as_i128()).and_then(|k| usize::try_from(k).ok()).filter(|k| *k <= lanes.n);
    let k = k.ok_or_else(|| NodeError::Operand { operand: "k", expected: format!("0 to {}", lanes.n), found })?;
    let mut sizes = x.sizes().to_vec();
    sizes[along] = k;
    cx.count(DType::I64, &sizes)?;
    let column = whole(x);
    let compare = |a: &Number, b: &Number| match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.cmp(b),
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    };
    let mut picked = vec![0usize; lanes.count() * k];
    let mut indices = vec![0i64; lanes.count() * k];
    for (lane, start) in lanes.starts().enumerate() {
        let mut order: Vec<usize> = (0..lanes.n).collect();
        let at = |i: usize| column.get(start + i * lanes.inner);
        order.sort_by(|&a, &b| {
            let ascending = compare(&at(a), &at(b));
            if largest { ascending.reverse() } else { ascending }
        });
        let (o, i) = (lane / lanes.inner, lane % lanes.inner);
        for (rank, &best) in order.iter().take(k).enumerate() {
            let to = (o * k + rank) * lanes.inner + i;
            picked[to] = start + best * lanes.inner;
            indices[to] = best as i64;
        }
    }
    let values = super::pick(x, &sizes, |i| picked[i])?;
    Ok([values, Tensor::from_vec(&sizes, indices)?])
}
