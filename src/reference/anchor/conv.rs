//! Convolutions: a matrix product over the unfolded input (im2col), or directly where each channel is on its own (depthwise).

use super::super::NodeError;
use super::super::node::Context;
use super::gemm::{Matrix, Real, accumulate};
use super::window::Window;
use super::{bias, reals};
use crate::anchor::Conv;
use crate::tensor::{Element, Tensor};
use rayon::prelude::*;

/// Elements of the unfolded input that are made at a time.
const UNFOLDED: usize = 1 << 21;

/// Checks the operands' sizes: the batch size and the input's channels.
fn check(conv: &Conv, x: &Tensor, w: &Tensor, transposed: bool) -> Result<(usize, usize), NodeError> {
    let (xs, ws) = (x.sizes(), w.sizes());
    let rank = conv.kernel.len();
    let groups = conv.groups;
    if xs.len() != rank + 2 {
        let expected = format!("of {} axes", rank + 2);
        return Err(NodeError::Operand { operand: "x", expected, found: format!("{xs:?}") });
    }
    let per_group = if transposed { ws.first() == Some(&xs[1]) } else { ws.get(1).map(|c| c * groups) == Some(xs[1]) };
    let divides = groups > 0 && xs[1] % groups == 0 && ws.first().is_some_and(|m| m % groups == 0);
    if ws.len() != rank + 2 || ws[2..] != conv.kernel || !per_group || !divides {
        let expected = format!("a kernel {:?} for {} channels in {groups} groups", conv.kernel, xs[1]);
        return Err(NodeError::Operand { operand: "w", expected, found: format!("{ws:?}") });
    }
    Ok((xs[0], xs[1]))
}

/// Operands x, w and, if the convolution has one, b. The result's sizes and elements.
pub(crate) fn conv<T: Real + Element>(
    conv: &Conv,
    operands: &[Tensor],
    cx: &Context,
) -> Result<(Vec<usize>, Vec<T>), NodeError> {
    let [x, w, ..] = operands else {
        return Err(NodeError::Arity { expected: "2 or 3".into(), found: operands.len() });
    };
    let (batch, channels) = check(conv, x, w, false)?;
    let groups = conv.groups;
    let window = Window::new(&x.sizes()[2..], &conv.kernel, &conv.strides, &conv.dilations, &conv.pads, false)?;
    let m = w.sizes()[0];
    let b = bias::<T>(conv.bias, operands, 2, m)?;
    let outputs = window.outputs();
    let mut sizes = vec![batch, m];
    sizes.extend(window.output_sizes());
    let mut to = vec![T::default(); cx.count(T::DTYPE, &sizes)?];
    if let Some(b) = b {
        for (i, to) in to.chunks_mut(outputs.max(1)).enumerate() {
            to.fill(b[i % m]);
        }
    }
    let (x, w) = (reals::<T>(x), reals::<T>(w));
    let (c, mg) = (channels / groups, m / groups);
    let k = c * window.taps_in_all();
    if c == 1 && outputs > 0 {
        let planes = to.par_chunks_mut(outputs).enumerate();
        planes.for_each(|(i, to)| {
            let (n, channel) = (i / m, i % m);
            let from = (n * channels + channel / mg) * window.inputs();
            depthwise(&window, &x[from..][..window.inputs()], &w[channel * k..][..k], to);
        });
        return Ok((sizes, to));
    }
    for (n, g) in (0..batch).flat_map(|n| (0..groups).map(move |g| (n, g))) {
        let x = &x[(n * channels + g * c) * window.inputs()..][..c * window.inputs()];
        let w = Matrix::new(&w[g * mg * k..][..mg * k], mg, k);
        let to = &mut to[(n * m + g * mg) * outputs..][..mg * outputs];
        if window.is_identity() {
            accumulate(to, outputs, 0, w, Matrix::new(x, k, outputs));
            continue;
        }
        let block = (UNFOLDED / k.max(1)).clamp(64, outputs.max(64));
        for first in (0..outputs).step_by(block) {
            let columns = block.min(outputs - first);
            let unfolded = unfold(&window, x, k, first, columns);
            accumulate(to, outputs, first, w, Matrix::new(&unfolded, k, columns));
        }
    }
    Ok((sizes, to))
}

/// Columns `first` to `first + columns` of the unfolded input: row (channel, tap) holds what lies under that tap at each output.
fn unfold<T: Real>(window: &Window, x: &[T], k: usize, first: usize, columns: usize) -> Vec<T> {
    let mut to = vec![T::default(); k * columns];
    let [_, kh, kw] = window.kernel;
    let [_, oh, ow] = window.output;
    let [_, ih, iw] = window.input;
    to.par_chunks_mut(columns.max(1)).enumerate().for_each(|(row, to)| {
        let (channel, tap) = (row / window.taps_in_all(), row % window.taps_in_all());
        let (td, th, tw) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        let x = &x[channel * window.inputs()..][..window.inputs()];
        // A line of outputs at a time.
        let mut at = 0;
        while at < columns {
            let place = first + at;
            let (d, h, w) = (place / (oh * ow), place / ow % oh, place % ow);
            let n = (ow - w).min(columns - at);
            let line = window.input_at(0, d, td).zip(window.input_at(1, h, th));
            if let Some((d, h)) = line {
                let x = &x[(d * ih + h) * iw..][..iw];
                for (i, to) in to[at..at + n].iter_mut().enumerate() {
                    if let Some(at) = window.input_at(2, w + i, tw) {
                        *to = x[at];
                    }
                }
            }
            at += n;
        }
    });
    to
}

/// One channel: `to += x ∗ w`.
fn depthwise<T: Real>(window: &Window, x: &[T], w: &[T], to: &mut [T]) {
    let [_, kh, kw] = window.kernel;
    let [od, oh, ow] = window.output;
    let [_, ih, iw] = window.input;
    let stride = window.strides[2];
    for (d, h) in (0..od).flat_map(|d| (0..oh).map(move |h| (d, h))) {
        let to = &mut to[(d * oh + h) * ow..][..ow];
        for (td, id) in window.taps(0, d) {
            for (th, ih_at) in window.taps(1, h) {
                let x = &x[(id * ih + ih_at) * iw..][..iw];
                for tw in 0..kw {
                    let w = w[(td * kh + th) * kw + tw];
                    // The outputs whose input under this tap is not in the padding.
                    let shift = tw * window.dilations[2];
                    let begin = window.before[2].saturating_sub(shift).div_ceil(stride).min(ow);
                    let end = (iw + window.before[2]).saturating_sub(shift).div_ceil(stride).clamp(begin, ow);
                    let from = (begin * stride + shift).saturating_sub(window.before[2]);
                    let x = x.get(from..).unwrap_or_default().iter().step_by(stride);
                    to[begin..end].iter_mut().zip(x).for_each(|(to, x)| *to += w * *x);
                }
            }
        }
    }
}

/// Operands x, w (C, M/groups, kernel…) and, if the convolution has one, b.
pub(crate) fn conv_transpose<T: Real + Element>(
    conv: &Conv,
    output_padding: &[usize],
    operands: &[Tensor],
    cx: &Context,
) -> Result<(Vec<usize>, Vec<T>), NodeError> {
    let [x, w, ..] = operands else {
        return Err(NodeError::Arity { expected: "2 or 3".into(), found: operands.len() });
    };
    let (batch, channels) = check(conv, x, w, true)?;
    let groups = conv.groups;
    // The window that the transposed convolution is the transpose of: its output is this one's input.
    let spatial = x.sizes().get(2..).unwrap_or_default();
    let mut large = Vec::new();
    for (axis, &n) in spatial.iter().enumerate() {
        let get = |list: &[usize]| list.get(axis).copied().unwrap_or(1);
        let reach = (get(&conv.kernel).saturating_sub(1)) * get(&conv.dilations) + 1;
        let (before, after) = conv.pads.get(axis).copied().unwrap_or_default();
        let full = n.saturating_sub(1) * get(&conv.strides) + reach + output_padding.get(axis).copied().unwrap_or(0);
        let cropped = full.checked_sub(before + after).filter(|_| n > 0);
        large.push(cropped.ok_or_else(|| NodeError::Invalid("the padding is larger than the result".into()))?);
    }
    let mut window = Window::new(&large, &conv.kernel, &conv.strides, &conv.dilations, &conv.pads, false)?;
    window.output[3 - spatial.len()..].copy_from_slice(spatial);
    let m = w.sizes()[1] * groups;
    let b = bias::<T>(conv.bias, operands, 2, m)?;
    let (small, large_count) = (window.outputs(), window.inputs());
    let mut sizes = vec![batch, m];
    sizes.extend(&large);
    let mut to = vec![T::default(); cx.count(T::DTYPE, &sizes)?];
    if let Some(b) = b {
        for (i, to) in to.chunks_mut(large_count.max(1)).enumerate() {
            to.fill(b[i % m]);
        }
    }
    let (x, w) = (reals::<T>(x), reals::<T>(w));
    let (c, mg) = (channels / groups, m / groups);
    let k = mg * window.taps_in_all();
    cx.count(T::DTYPE, &[k, small])?;
    for (n, g) in (0..batch).flat_map(|n| (0..groups).map(move |g| (n, g))) {
        let x = Matrix::new(&x[(n * channels + g * c) * small..][..c * small], c, small);
        let w = Matrix::new(&w[g * c * k..][..c * k], c, k).transposed();
        let mut unfolded = vec![T::default(); k * small];
        accumulate(&mut unfolded, small, 0, w, x);
        let to = &mut to[(n * m + g * mg) * large_count..][..mg * large_count];
        to.par_chunks_mut(large_count.max(1))
            .zip(unfolded.par_chunks(window.taps_in_all() * small))
            .for_each(|(to, unfolded)| fold(&window, unfolded, to));
    }
    Ok((sizes, to))
}

/// Adds each row of one channel's unfolded result to the places that its tap lies over.
fn fold<T: Real>(window: &Window, unfolded: &[T], to: &mut [T]) {
    let [_, kh, kw] = window.kernel;
    let [od, oh, ow] = window.output;
    let [_, ih, iw] = window.input;
    for (tap, row) in unfolded.chunks_exact(od * oh * ow).enumerate() {
        let (td, th, tw) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        for (d, h) in (0..od).flat_map(|d| (0..oh).map(move |h| (d, h))) {
            let Some((id, ih_at)) = window.input_at(0, d, td).zip(window.input_at(1, h, th)) else { continue };
            let to = &mut to[(id * ih + ih_at) * iw..][..iw];
            for (w, x) in row[(d * oh + h) * ow..][..ow].iter().enumerate() {
                if let Some(at) = window.input_at(2, w, tw) {
                    to[at] += *x;
                }
            }
        }
    }
}
