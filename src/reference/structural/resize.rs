//! Resize: each axis on its own, by taps and weights for each output coordinate.
//!
//! Coordinates are computed in f32, as ONNX Runtime does, because nearest rounding makes the last bit visible; weights and sums are
//! in f64. Source: ONNX, Resize.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::lanes::Lanes;
use super::{pick, sizes_of};
use crate::dtype::DType;
use crate::structural::{Coordinates, NearestMode, Resize, ResizeMode};
use crate::tensor::Tensor;
use rayon::prelude::*;

/// One axis: its sizes, output size over input size, and the part of it that `TfCropAndResize` takes.
struct Axis {
    from: usize,
    to: usize,
    scale: f32,
    /// The sizes are given, and the scale follows from them.
    exact: bool,
    roi: (f32, f32),
}

/// `given`: scales (a float tensor) or sizes; else the scales are the op's, or the sizes are the result's declared ones.
pub(super) fn resize(
    op: &Resize,
    x: &Tensor,
    given: Option<&Tensor>,
    declared: Option<Vec<usize>>,
    cx: &Context,
) -> Result<Tensor, NodeError> {
    let from = x.sizes();
    let (scales, sizes) = match given {
        Some(t) if t.dtype().is_float() => (Some(t.to_f64().into_iter().map(|s| s as f32).collect()), None),
        Some(t) => (None, Some(sizes_of("sizes", t)?)),
        None => (op.scales.clone(), declared),
    };
    let scaled = |scales: &Vec<f32>| from.iter().zip(scales).map(|(n, s)| (*n as f32 * s).floor() as usize).collect();
    let sizes: Vec<usize> = match (sizes, &scales) {
        (Some(sizes), _) => sizes,
        (None, Some(scales)) => scaled(scales),
        (None, None) => return Err(NodeError::Unknown { what: "shape" }),
    };
    let exact = scales.is_none();
    let scales: Vec<f32> =
        scales.unwrap_or_else(|| sizes.iter().zip(from).map(|(to, from)| *to as f32 / *from as f32).collect());
    let rois = op.roi.as_ref().is_none_or(|roi| roi.len() == 2 * from.len());
    if sizes.len() != from.len() || scales.len() != from.len() || !rois {
        return Err(NodeError::Invalid(format!("{} sizes, {} scales for {from:?}", sizes.len(), scales.len())));
    }
    cx.count(x.dtype(), &sizes)?;
    let axes: Vec<Axis> = (0..from.len())
        .map(|i| {
            let roi = op.roi.as_ref().map_or((0.0, 1.0), |roi| (roi[i], roi[from.len() + i]));
            Axis { from: from[i], to: sizes[i], scale: scales[i], exact, roi }
        })
        .collect();
    if axes.iter().any(|a| a.from == 0 && a.to > 0) {
        return Err(NodeError::Invalid("an empty axis can't be resized".into()));
    }
    match op.mode {
        ResizeMode::Nearest(mode) if op.coordinates != Coordinates::TfCropAndResize => {
            nearest(op, mode, x, &axes, &sizes)
        }
        _ => interpolate(op, x, &axes, &sizes),
    }
}

impl Axis {
    /// Where output index `i` lies in the input.
    fn coordinate(&self, coordinates: Coordinates, i: usize) -> f32 {
        let (from, to, x) = (self.from as f32, self.to as f32, i as f32);
        let half_pixel = (x + 0.5) / self.scale - 0.5;
        match coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::PytorchHalfPixel => {
                if self.to > 1 {
                    half_pixel
                } else {
                    0.0
                }
            }
            Coordinates::HalfPixelSymmetric => {
                // What rounding the size down cut off is shared between both ends.
                let adjustment = to / (self.scale * from);
                from / 2.0 * (1.0 - adjustment) + half_pixel
            }
            Coordinates::AlignCorners if self.to == 1 => 0.0,
            // ONNX takes the size before it is rounded down, where scales are given.
            Coordinates::AlignCorners if self.exact => x * (from - 1.0) / (to - 1.0),
            Coordinates::AlignCorners => x * (from - 1.0) / (from * self.scale - 1.0),
            Coordinates::Asymmetric => x / self.scale,
            Coordinates::TfCropAndResize => {
                let (start, end) = self.roi;
                match self.to {
                    1 => 0.5 * (start + end) * (from - 1.0),
                    _ => start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0),
                }
            }
        }
    }

    /// The taps of an output index and their weights.
    fn taps(&self, op: &Resize, i: usize) -> Vec<(usize, f64)> {
        let at = self.coordinate(op.coordinates, i);
        let base = at.floor();
        let ratio = f64::from(at) - f64::from(base);
        // With antialiasing, a shrinking filter is as wide as what it shrinks.
        let scale = if op.antialias { f64::from(self.scale).min(1.0) } else { 1.0 };
        let (reach, filter): (f64, Box<dyn Fn(f64) -> f64>) = match op.mode {
            ResizeMode::Nearest(mode) => return vec![(self.clamp(rounded(mode, at)), 1.0)],
            ResizeMode::Linear => (1.0, Box::new(|x: f64| (1.0 - x).max(0.0))),
            ResizeMode::Cubic { a } => (2.0, Box::new(move |x: f64| cubic(a.into(), x))),
        };
        let first = (-reach / scale).floor() as i64 + 1;
        let offsets = first..=1 - first;
        let mut taps: Vec<(usize, f64)> = Vec::new();
        let mut sum = 0.0;
        for offset in offsets {
            let place = base + offset as f32;
            let outside = place < 0.0 || place > (self.from - 1) as f32;
            let weight =
                if outside && op.exclude_outside { 0.0 } else { filter(((offset as f64 - ratio) * scale).abs()) };
            sum += weight;
            taps.push((self.clamp(place), weight));
        }
        if op.exclude_outside || op.antialias {
            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        taps
    }

    fn clamp(&self, place: f32) -> usize {
        (place.max(0.0) as usize).min(self.from.saturating_sub(1))
    }
}

fn rounded(mode: NearestMode, x: f32) -> f32 {
    match mode {
        NearestMode::RoundPreferFloor => (x - 0.5).ceil(),
        NearestMode::RoundPreferCeil => (x + 0.5).floor(),
        NearestMode::Floor => x.floor(),
        NearestMode::Ceil => x.ceil(),
    }
}

/// The cubic convolution kernel with parameter `a` at distance `x`. Source: R. Keys, 1981.
fn cubic(a: f64, x: f64) -> f64 {
    match x {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

fn nearest(op: &Resize, mode: NearestMode, x: &Tensor, axes: &[Axis], sizes: &[usize]) -> Result<Tensor, NodeError> {
    let dense = super::super::strided::strides(x.sizes());
    let own = super::super::strided::strides(sizes);
    let place = |axis: &Axis, i: usize| axis.clamp(rounded(mode, axis.coordinate(op.coordinates, i)));
    let places: Vec<Vec<usize>> = axes.iter().map(|axis| (0..axis.to).map(|i| place(axis, i)).collect()).collect();
    pick(x, sizes, |i| {
        let mut rest = i;
        let mut at = 0;
        for (axis, places) in places.iter().enumerate() {
            at += places[rest / own[axis] as usize] * dense[axis] as usize;
            rest %= own[axis] as usize;
        }
        at
    })
}

fn interpolate(op: &Resize, x: &Tensor, axes: &[Axis], sizes: &[usize]) -> Result<Tensor, NodeError> {
    let mut values = whole(x).into_floats();
    let mut current = x.sizes().to_vec();
    for (i, axis) in axes.iter().enumerate() {
        let taps: Vec<Vec<(usize, f64)>> = (0..axis.to).map(|i| axis.taps(op, i)).collect();
        let identity =
            |(i, taps): (usize, &Vec<(usize, f64)>)| taps.iter().all(|(at, w)| *w == 0.0 || (*at == i && *w == 1.0));
        if axis.from == axis.to && taps.iter().enumerate().all(identity) {
            continue;
        }
        let lanes = Lanes::new(&current, i)?;
        let inner = lanes.inner;
        let mut to = vec![0.0; lanes.outer * axis.to * inner];
        to.par_chunks_mut(inner.max(1)).enumerate().for_each(|(line, to)| {
            let (outer, out) = (line / axis.to, line % axis.to);
            for (at, weight) in &taps[out] {
                let from = &values[(outer * lanes.n + at) * inner..][..inner];
                to.iter_mut().zip(from).for_each(|(to, x)| *to += weight * x);
            }
        });
        values = to;
        current[i] = axis.to;
    }
    if op.coordinates == Coordinates::TfCropAndResize {
        let outside = |axis: &Axis, i: usize| {
            let at = axis.coordinate(op.coordinates, i);
            at < 0.0 || at > (axis.from - 1) as f32
        };
        for (a, axis) in axes.iter().enumerate() {
            let lanes = Lanes::new(sizes, a)?;
            let cut: Vec<bool> = (0..axis.to).map(|i| outside(axis, i)).collect();
            for (i, value) in values.iter_mut().enumerate() {
                if cut[i / lanes.inner % lanes.n] {
                    *value = op.extrapolation.into();
                }
            }
        }
    }
    let column = match x.dtype() {
        t if t.is_float() => Column::Float(values),
        DType::Bool => Column::Int(values.into_iter().map(|x| i128::from(x != 0.0)).collect()),
        _ => Column::Int(Column::Float(values).into_ints()),
    };
    column.into_tensor(x.dtype(), sizes)
}
