//! Pools over windows. Averages and norms are summed in f64.

use super::super::NodeError;
use super::super::anchor::window::Window;
use super::super::anchor::{channels_last, to_channels_first};
use super::super::column::{Column, whole};
use super::super::node::Context;
use crate::structural::Pool;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// What a window's elements become.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Max,
    Average { count_include_pad: bool },
    Lp(i64),
}

fn window(pool: &Pool, x: &Tensor) -> Result<Window, NodeError> {
    if x.sizes().len() != pool.kernel.len() + 2 {
        let expected = format!("of {} axes", pool.kernel.len() + 2);
        return Err(NodeError::Operand { operand: "x", expected, found: format!("{:?}", x.sizes()) });
    }
    Window::new(&x.sizes()[2..], &pool.kernel, &pool.strides, &pool.dilations, &pool.pads, pool.ceil_mode)
}

/// The pooled tensor and, if `indices`, where in x each maximum stands.
pub(super) fn pool(of: Of, pool: &Pool, x: &Tensor, indices: bool, cx: &Context) -> Result<Vec<Tensor>, NodeError> {
    if pool.channels_last {
        return pool_last(of, pool, x, indices, cx);
    }
    let window = window(pool, x)?;
    let mut sizes = x.sizes()[..2].to_vec();
    sizes.extend(window.output_sizes());
    let count = cx.count(x.dtype(), &sizes)?;
    // Every type that is pooled is exact in f64.
    let values = whole(x).into_floats();
    let (inputs, outputs) = (window.inputs(), window.outputs());
    let mut to = vec![0.0; count];
    let mut places = vec![0i64; if indices { count } else { 0 }];
    let axes = [0, 1, 2].map(|axis| window.all_taps(axis));
    let divisors = [0, 1, 2].map(|axis| padded_taps(&window, axis));
    let plane = |plane: usize, to: &mut [f64], places: &mut [i64]| {
        let x = &values[plane * inputs..][..inputs];
        let [_, ih, iw] = window.input;
        let [od, oh, ow] = window.output;
        let places_of = (0..od).flat_map(|d| (0..oh).flat_map(move |h| (0..ow).map(move |w| (d, h, w))));
        for (i, (d, h, w)) in places_of.enumerate() {
            let lines = axes[0][d].iter().flat_map(|(_, id)| axes[1][h].iter().map(move |(_, ih_at)| id * ih + ih_at));
            let under = lines.flat_map(|line| axes[2][w].iter().map(move |(_, iw_at)| line * iw + iw_at));
            to[i] = match of {
                Of::Max => {
                    let mut best: Option<usize> = None;
                    for at in under {
                        if best.is_none_or(|b| x[at] > x[b] || x[at].is_nan()) {
                            best = Some(at);
                        }
                    }
                    if let (Some(place), Some(best)) = (places.get_mut(i), best) {
                        *place = (plane * inputs + best) as i64;
                    }
                    best.map_or(f64::NEG_INFINITY, |b| x[b])
                }
                Of::Average { count_include_pad } => {
                    let (mut sum, mut n) = (0.0, 0);
                    under.for_each(|at| (sum, n) = (sum + x[at], n + 1));
                    let all = divisors[0][d] * divisors[1][h] * divisors[2][w];
                    sum / if count_include_pad { all } else { n } as f64
                }
                Of::Lp(p) => {
                    let sum: f64 = under.map(|at| x[at].abs().powf(p as f64)).sum();
                    sum.powf(1.0 / p as f64)
                }
            };
        }
    };
    if outputs > 0 {
        if indices {
            let planes = to.par_chunks_mut(outputs).zip(places.par_chunks_mut(outputs)).enumerate();
            planes.for_each(|(i, (to, places))| plane(i, to, places));
        } else {
            to.par_chunks_mut(outputs).enumerate().for_each(|(i, to)| plane(i, to, &mut []));
        }
    }
    let column = match x.dtype().is_float() {
        true => Column::Float(to),
        false => Column::Int(to.into_iter().map(|x| x as i128).collect()),
    };
    let mut results = vec![column.into_tensor(x.dtype(), &sizes)?];
    if indices {
        results.push(Tensor::from_vec(&sizes, places)?);
    }
    Ok(results)
}

/// [`pool`] of a tensor with channels last, by way of one with channels first.
fn pool_last(of: Of, pool: &Pool, x: &Tensor, indices: bool, cx: &Context) -> Result<Vec<Tensor>, NodeError> {
    let first = Pool { channels_last: false, ..pool.clone() };
    let turned = to_channels_first(x)?;
    let mut results = self::pool(of, &first, &turned, indices, cx)?;
    for result in &mut results {
        *result = channels_last(result)?;
    }
    if let Some(places) = results.get_mut(1) {
        // From (n, c, place) to (n, place, c).
        let (channels, inputs) = (turned.sizes()[1] as i128, turned.sizes()[2..].iter().product::<usize>() as i128);
        let moved = |i: i128| {
            let (plane, place) = (i / inputs, i % inputs);
            (plane / channels * inputs + place) * channels + plane % channels
        };
        let sizes = places.sizes().to_vec();
        let indices = whole(places).into_ints().into_iter().map(|i| moved(i) as i64).collect();
        *places = Tensor::from_vec(&sizes, indices)?;
    }
    Ok(results)
}

/// For each output index, how many taps lie over the input or its padding. Those that a rounded-up size adds lie beyond it.
fn padded_taps(window: &Window, axis: usize) -> Vec<usize> {
    let end = window.input[axis] + window.before[axis] + window.after[axis];
    let within = |out: usize, tap: &usize| out * window.strides[axis] + tap * window.dilations[axis] < end;
    (0..window.output[axis]).map(|out| (0..window.kernel[axis]).filter(|tap| within(out, tap)).count()).collect()
}

/// Over all spatial axes.
pub(super) fn global(max: bool, x: &Tensor, cx: &Context) -> Result<Tensor, NodeError> {
    use crate::structural::Reduction::{Max, Mean};
    let axes: Vec<usize> = (2..x.sizes().len()).collect();
    super::reduce::reduce(if max { Max } else { Mean }, &axes, true, x, cx)
}

/// Each element of x at the place that its index names, zero elsewhere.
pub(super) fn max_unpool(
    pool: &Pool,
    x: &Tensor,
    indices: &Tensor,
    shape: Option<&Tensor>,
    cx: &Context,
) -> Result<Tensor, NodeError> {
    let sizes: Vec<usize> = match shape {
        Some(shape) => super::sizes_of("output_shape", shape)?,
        None => {
            let mut sizes = x.sizes().to_vec();
            if sizes.len() != pool.kernel.len() + 2 || indices.sizes() != sizes {
                let found = format!("{:?} and indices {:?}", sizes, indices.sizes());
                return Err(NodeError::Operand { operand: "x", expected: "of the pool's axes".into(), found });
            }
            for (axis, n) in sizes[2..].iter_mut().enumerate() {
                let (before, after) = pool.pads[axis];
                let full = n.saturating_sub(1) * pool.strides[axis] + pool.kernel[axis];
                *n = full.saturating_sub(before + after);
            }
            sizes
        }
    };
    let count = cx.count(x.dtype(), &sizes)?;
    // Indices count in the tensor that was pooled, whose sizes a given shape may exceed.
    let mut to = Column::splat(whole(x).zero(), count);
    for (i, index) in whole(indices).into_ints().into_iter().enumerate() {
        let at = usize::try_from(index).ok().filter(|at| *at < count);
        let found =
            || NodeError::Operand { operand: "indices", expected: format!("below {count}"), found: index.to_string() };
        to.set(at.ok_or_else(found)?, x.at(i).number());
    }
    to.into_tensor(x.dtype(), &sizes)
}
