//! Executes views: elements move, nothing is computed.

use super::NodeError;
use super::node::{Context, exactly};
use super::strided::{Strided, strides};
use crate::tensor::{self, Tensor};
use crate::view::{SliceAxis, View};

pub(super) fn execute(view: &View, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    if let View::Concat { axis } = view {
        return concat(*axis, operands, cx);
    }
    let [x] = exactly(operands)?;
    let from = x.sizes();
    let dense = strides(from);
    let rank = |n: usize| match n == from.len() {
        true => Ok(()),
        false => Err(NodeError::Invalid(format!("the view is of {n} axes, and the operand has {}", from.len()))),
    };
    let (sizes, walk) = match view {
        View::Reshape { to } => return Ok(x.reshaped(&to.eval(cx.bindings)?)?),
        View::Expand { to } => return expand(x, &to.eval(cx.bindings)?, cx),
        View::Transpose { axes } => return transpose(x, axes),
        View::Slice { axes } => {
            rank(axes.len())?;
            let mut offset = 0i64;
            let (mut sizes, mut steps) = (Vec::new(), Vec::new());
            for ((axis, &size), &stride) in axes.iter().zip(from).zip(&dense) {
                let (start, n) = slice_axis(axis, size, cx)?;
                offset += start * stride;
                sizes.push(n);
                steps.push(axis.step.wrapping_mul(stride));
            }
            let walk = Strided::new(offset, &sizes, &steps);
            (sizes, walk)
        }
        View::Repeat { factors } => {
            rank(factors.len())?;
            let factors: Vec<usize> = factors.iter().map(|&f| f as usize).collect();
            let sizes: Vec<usize> = from.iter().zip(&factors).map(|(n, f)| n.saturating_mul(*f)).collect();
            let split = from.iter().zip(&factors).flat_map(|(n, f)| [*n, *f]).collect::<Vec<_>>();
            let steps = dense.iter().flat_map(|stride| [*stride, 0]).collect::<Vec<_>>();
            cx.count(x.dtype(), &sizes)?;
            (sizes, Strided::new(0, &split, &steps))
        }
        View::Concat { .. } => unreachable!("handled above"),
    };
    cx.count(x.dtype(), &sizes)?;
    Ok(walk.copy(x, &sizes)?)
}

/// NumPy's broadcast to given sizes.
pub(super) fn expand(x: &Tensor, to: &[usize], cx: &Context) -> Result<Tensor, NodeError> {
    let missing = to.len().checked_sub(x.sizes().len());
    let fits = |missing: usize| x.sizes().iter().zip(&to[missing..]).all(|(n, m)| n == m || *n == 1);
    if !missing.is_some_and(fits) {
        return Err(NodeError::Invalid(format!("{:?} does not broadcast to {to:?}", x.sizes())));
    }
    cx.count(x.dtype(), to)?;
    Ok(Strided::broadcast(x.sizes(), to).copy(x, to)?)
}

/// Axis `i` of the result is axis `axes[i]` of the operand.
pub(super) fn transpose(x: &Tensor, axes: &[usize]) -> Result<Tensor, NodeError> {
    let (from, dense) = (x.sizes(), strides(x.sizes()));
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..from.len()) {
        return Err(NodeError::Invalid(format!("{axes:?} is not an order of {} axes", from.len())));
    }
    let sizes: Vec<usize> = axes.iter().map(|&a| from[a]).collect();
    let steps: Vec<i64> = axes.iter().map(|&a| dense[a]).collect();
    Ok(Strided::new(0, &sizes, &steps).copy(x, &sizes)?)
}

/// The start and size of a sliced axis, within the operand's.
fn slice_axis(axis: &SliceAxis, size: usize, cx: &Context) -> Result<(i64, usize), NodeError> {
    let start = axis.start.eval_signed(cx.bindings)?;
    let n = axis.size.eval(cx.bindings)?;
    let last = i64::try_from(n).ok().and_then(|n| start.checked_add((n - 1).checked_mul(axis.step)?));
    let within = |i: i64| (0..size as i64).contains(&i);
    match last {
        _ if n == 0 => Ok((0, 0)),
        Some(last) if within(start) && within(last) => Ok((start, n as usize)),
        _ => {
            let step = axis.step;
            Err(NodeError::Invalid(format!("{n} elements from {start} by {step} are beyond an axis of {size}")))
        }
    }
}

/// The operands one after another along `axis`.
pub(super) fn concat(axis: usize, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let first = operands.first().ok_or(NodeError::Arity { expected: "at least one".into(), found: 0 })?;
    let rank = first.sizes().len();
    if axis >= rank {
        return Err(NodeError::Invalid(format!("axis {axis} of a tensor of {rank} axes")));
    }
    let mut sizes = first.sizes().to_vec();
    sizes[axis] = operands.iter().map(|t| t.sizes().get(axis).copied().unwrap_or(0)).sum();
    for t in operands {
        let agrees = |(i, n): (usize, &usize)| i == axis || sizes[i] == *n;
        if t.dtype() != first.dtype() || t.sizes().len() != rank || !t.sizes().iter().enumerate().all(agrees) {
            return Err(NodeError::Invalid(format!("{first:?} and {t:?} can't be joined along axis {axis}")));
        }
    }
    let count = cx.count(first.dtype(), &sizes)?;
    let inner: usize = sizes[axis + 1..].iter().product();
    let outer = if count == 0 { 0 } else { sizes[..axis].iter().product() };
    let Some(width) = first.dtype().bytes() else {
        let part = |row: usize, t: &Tensor| {
            let n = t.sizes()[axis] * inner;
            (row * n..(row + 1) * n).map(|i| t.at(i).number()).collect::<Vec<_>>()
        };
        let numbers = (0..outer).flat_map(|row| operands.iter().flat_map(move |t| part(row, t)));
        return Ok(Tensor::from_numbers(first.dtype(), &sizes, numbers)?);
    };
    let mut bytes = Vec::with_capacity(count * width);
    for row in 0..outer {
        for t in operands {
            let n = t.sizes()[axis] * inner * width;
            bytes.extend_from_slice(&t.bytes()[row * n..(row + 1) * n]);
        }
    }
    debug_assert_eq!(tensor::count(&sizes), Some(count));
    Ok(Tensor::new(first.dtype(), sizes, bytes.into())?)
}
