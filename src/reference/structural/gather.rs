//! Ops that pick elements by index, and that put them by index.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::strided::strides;
use super::lanes::{Lanes, beyond};
use super::pick;
use crate::scalar::Number;
use crate::structural::ScatterReduction;
use crate::tensor::Tensor;

/// An index counted from the end if negative.
fn index(index: i128, size: usize) -> Result<usize, NodeError> {
    let wrapped = if index < 0 { index + size as i128 } else { index };
    usize::try_from(wrapped).ok().filter(|i| *i < size).ok_or_else(|| NodeError::Operand {
        operand: "indices",
        expected: format!("-{size} to {size} - 1"),
        found: index.to_string(),
    })
}

fn indices(tensor: &Tensor, size: usize) -> Result<Vec<usize>, NodeError> {
    whole(tensor).into_ints().into_iter().map(|i| index(i, size)).collect()
}

pub(super) fn gather(axis: usize, x: &Tensor, at: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    let from = Lanes::new(x.sizes(), axis)?;
    let at_values = indices(at, from.n)?;
    let mut sizes = x.sizes()[..axis].to_vec();
    sizes.extend(at.sizes());
    sizes.extend(&x.sizes()[axis + 1..]);
    cx.count(x.dtype(), &sizes)?;
    let n = at_values.len();
    pick(x, &sizes, |i| {
        let (outer, rest) = (i / (n * from.inner), i % (n * from.inner));
        (outer * from.n + at_values[rest / from.inner]) * from.inner + rest % from.inner
    })
}

/// Element (i, j, k) is x at (i, index(i, j, k), k) for axis 1.
pub(super) fn gather_elements(axis: usize, x: &Tensor, at: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    cx.count(x.dtype(), at.sizes())?;
    let places = element_places(axis, x.sizes(), at)?;
    pick(x, at.sizes(), |i| places[i])
}

/// For each element of `at`, the element of a tensor of `sizes` that it names along `axis`.
fn element_places(axis: usize, sizes: &[usize], at: &Tensor) -> Result<Vec<usize>, NodeError> {
    let smaller = |(i, (n, m)): (usize, (&usize, &usize))| i == axis || n <= m;
    if axis >= sizes.len() {
        return Err(beyond(axis, sizes.len()));
    }
    if at.sizes().len() != sizes.len() || !at.sizes().iter().zip(sizes).enumerate().all(smaller) {
        let (expected, found) = (format!("within {sizes:?}"), format!("{:?}", at.sizes()));
        return Err(NodeError::Operand { operand: "indices", expected, found });
    }
    let (own, dense) = (strides(at.sizes()), strides(sizes));
    let along = indices(at, sizes[axis])?;
    let place = |(i, along): (usize, usize)| {
        let mut rest = i;
        let mut place = 0;
        for a in 0..sizes.len() {
            let (at, stride) = (rest / own[a] as usize, dense[a] as usize);
            rest %= own[a] as usize;
            place += if a == axis { along } else { at } * stride;
        }
        place
    };
    Ok(along.into_iter().enumerate().map(place).collect())
}

/// Where each tuple of `at`'s last axis points into axes `batch..` of a tensor of `sizes`: offsets, and the size of each block.
fn tuples(at: &Tensor, sizes: &[usize], batch: usize) -> Result<(Vec<usize>, usize), NodeError> {
    let found = || NodeError::Operand {
        operand: "indices",
        expected: format!("tuples of at most {} for {sizes:?}", sizes.len().saturating_sub(batch)),
        found: format!("{:?}", at.sizes()),
    };
    let (&depth, outer) = at.sizes().split_last().ok_or_else(found)?;
    if batch + depth > sizes.len() || outer.len() < batch || outer[..batch] != sizes[..batch] {
        return Err(found());
    }
    let dense = strides(sizes);
    let block: usize = sizes[batch + depth..].iter().product();
    let batches: usize = sizes[..batch].iter().product();
    let count: usize = outer.iter().product();
    let each = count.checked_div(batches).unwrap_or(0);
    let values = whole(at).into_ints();
    let mut offsets = Vec::with_capacity(count);
    for i in 0..count {
        let mut offset = i / each.max(1) * sizes[batch..].iter().product::<usize>();
        for (a, value) in values[i * depth..][..depth].iter().enumerate() {
            offset += index(*value, sizes[batch + a])? * dense[batch + a] as usize;
        }
        offsets.push(offset);
    }
    Ok((offsets, block))
}

pub(super) fn gather_nd(batch: usize, x: &Tensor, at: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    let (offsets, block) = tuples(at, x.sizes(), batch)?;
    let depth = at.sizes().last().copied().unwrap_or(0);
    let mut sizes = at.sizes()[..at.sizes().len() - 1].to_vec();
    sizes.extend(&x.sizes()[batch + depth..]);
    cx.count(x.dtype(), &sizes)?;
    pick(x, &sizes, |i| offsets[i / block] + i % block)
}

/// Puts updates in the order given; equal places combine, or the last wins.
fn scatter(x: &Tensor, places: &[usize], updates: &Tensor, reduction: ScatterReduction) -> Result<Tensor, NodeError> {
    if updates.dtype() != x.dtype() || updates.len() != places.len() {
        let (expected, found) = (format!("{} {}", places.len(), x.dtype()), format!("{updates:?}"));
        return Err(NodeError::Operand { operand: "updates", expected, found });
    }
    let mut to = whole(x);
    let from = whole(updates);
    for (i, place) in places.iter().enumerate() {
        let value = match (to.get(*place), from.get(i)) {
            (Number::Float(a), Number::Float(b)) => Number::Float(match reduction {
                ScatterReduction::None => b,
                ScatterReduction::Add => a + b,
                ScatterReduction::Mul => a * b,
                ScatterReduction::Max => super::reduce::largest(a, b),
                ScatterReduction::Min => -super::reduce::largest(-a, -b),
            }),
            (a, b) => {
                let (a, b) = (a.as_i128(), b.as_i128());
                Number::Int(match reduction {
                    ScatterReduction::None => b,
                    ScatterReduction::Add => a.wrapping_add(b),
                    ScatterReduction::Mul => a.wrapping_mul(b),
                    ScatterReduction::Max => a.max(b),
                    ScatterReduction::Min => a.min(b),
                })
            }
        };
        to.set(*place, value.rounded_to(x.dtype()));
    }
    to.into_tensor(x.dtype(), x.sizes())
}

pub(super) fn scatter_elements(
    axis: usize,
    reduction: ScatterReduction,
    [x, at, updates]: &[Tensor; 3],
) -> Result<Tensor, NodeError> {
    let places = element_places(axis, x.sizes(), at)?;
    if updates.sizes() != at.sizes() {
        let (expected, found) = (format!("{:?}", at.sizes()), format!("{:?}", updates.sizes()));
        return Err(NodeError::Operand { operand: "updates", expected, found });
    }
    scatter(x, &places, updates, reduction)
}

pub(super) fn scatter_nd(reduction: ScatterReduction, [x, at, updates]: &[Tensor; 3]) -> Result<Tensor, NodeError> {
    let (offsets, block) = tuples(at, x.sizes(), 0)?;
    let places: Vec<usize> = offsets.into_iter().flat_map(|o| o..o + block).collect();
    scatter(x, &places, updates, reduction)
}

/// The slices along `axis` (of x taken flat without one) where the condition is true.
pub(super) fn compress(axis: Option<usize>, x: &Tensor, condition: &Tensor) -> Result<Tensor, NodeError> {
    let flat = x.reshaped(&[x.len()])?;
    let (x, axis) = axis.map_or((&flat, 0), |axis| (x, axis));
    let lanes = Lanes::new(x.sizes(), axis)?;
    let chosen: Vec<usize> = (0..condition.len()).filter(|i| condition.at(*i).number().is_true()).collect();
    if let Some(last) = chosen.last().filter(|last| **last >= lanes.n) {
        let (expected, found) = (format!("no longer than {}", lanes.n), format!("true at {last}"));
        return Err(NodeError::Operand { operand: "condition", expected, found });
    }
    let mut sizes = x.sizes().to_vec();
    sizes[axis] = chosen.len();
    pick(x, &sizes, |i| {
        let (outer, rest) = (i / (chosen.len() * lanes.inner), i % (chosen.len() * lanes.inner));
        (outer * lanes.n + chosen[rest / lanes.inner]) * lanes.inner + rest % lanes.inner
    })
}

/// The first `lengths[b]` elements along the time axis in reverse.
pub(super) fn reverse_sequence(batch: usize, time: usize, x: &Tensor, lengths: &Tensor) -> Result<Tensor, NodeError> {
    let (b, t) = (Lanes::new(x.sizes(), batch)?, Lanes::new(x.sizes(), time)?);
    let lengths = whole(lengths).into_ints();
    let within = |n: &i128| (0..=t.n as i128).contains(n);
    if batch == time || lengths.len() != b.n || !lengths.iter().all(within) {
        let expected = format!("{} lengths of 0 to {}", b.n, t.n);
        return Err(NodeError::Operand { operand: "lengths", expected, found: format!("{lengths:?}") });
    }
    pick(x, x.sizes(), |i| {
        let length = lengths[i / b.inner % b.n] as usize;
        let at = i / t.inner % t.n;
        if at < length { i - at * t.inner + (length - 1 - at) * t.inner } else { i }
    })
}

impl Column {
    /// Replaces one number.
    pub(super) fn set(&mut self, i: usize, number: Number) {
        match self {
            Column::Float(x) => x[i] = number.as_f64(),
            Column::Int(x) => x[i] = number.as_i128(),
        }
    }

    /// Zero, of the column's kind.
    pub(super) fn zero(&self) -> Number {
        match self {
            Column::Float(_) => Number::Float(0.0),
            Column::Int(_) => Number::Int(0),
        }
    }
}
