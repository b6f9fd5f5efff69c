//! The accumulators of a kernel's product, exactly: the truth that welded kernels are compared with.

use super::bound::Interval;
use crate::dim::{Bindings, Dim, DimError};
use crate::dtype::DType;
use crate::plan::{Access, Contraction, Product};
use crate::scalar::Number;
use rayon::prelude::*;

/// The elements of a factor, from element `first` of its buffer on. Floats of 32 bits or fewer and codes are exact as f64.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    pub elements: &'a [f64],
    pub first: i64,
}

/// One accumulator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// Σ a·b, in f64.
    pub exact: f64,
    /// Σ |a|·|b|, which the error of a float sum grows with.
    pub magnitude: f64,
}

impl Factor<'_> {
    fn at(&self, element: i64) -> f64 {
        usize::try_from(element - self.first).ok().and_then(|i| self.elements.get(i)).copied().unwrap_or(f64::NAN)
    }
}

/// Every accumulator, in the row-major order of the product's result. An element outside of a factor counts as NaN.
pub fn sums(product: &Product, sizes: &Bindings, a: Factor, b: Factor) -> Result<Vec<Sum>, DimError> {
    let (rows, row) = rows(product, sizes, a, b)?;
    Ok((0..rows).into_par_iter().flat_map_iter(row).collect())
}

/// The accumulators of row `nth` of the product's result.
pub fn row(product: &Product, sizes: &Bindings, a: Factor, b: Factor, nth: u64) -> Result<Vec<Sum>, DimError> {
    Ok(rows(product, sizes, a, b)?.1(nth))
}

/// What sums a row.
type Row<'a> = Box<dyn Fn(u64) -> Vec<Sum> + Sync + Send + 'a>;

/// The number of rows, and what sums one.
fn rows<'a>(product: &'a Product, sizes: &Bindings, a: Factor<'a>, b: Factor<'a>) -> Result<(u64, Row<'a>), DimError> {
    match &product.contraction {
        Contraction::Matrix { batch, m, n, k, a: at, b: by } => {
            let eval = |d: &Dim| d.eval(sizes);
            let batch: Vec<u64> = batch.iter().map(eval).collect::<Result<_, _>>()?;
            let (m, n, k) = (eval(m)? as i64, eval(n)? as i64, eval(k)? as i64);
            let (at, by) = (strides(at, sizes)?, strides(by, sizes)?);
            let axes = batch.len();
            let rows = batch.iter().product::<u64>() * m as u64;
            let row = move |nth: u64| {
                let index = tuple(&batch, nth / m.max(1) as u64);
                let i = (nth % m.max(1) as u64) as i64;
                let start = |(offset, strides): &(i64, Vec<i64>)| {
                    offset + strides.iter().zip(&index).map(|(s, i)| s * *i as i64).sum::<i64>()
                };
                let (a0, b0) = (start(&at) + i * at.1[axes], start(&by));
                let one = |j: i64| {
                    let left = |x: i64| a.at(a0 + x * at.1[axes + 1]);
                    let right = |x: i64| b.at(b0 + x * by.1[axes] + j * by.1[axes + 1]);
                    sum((0..k).map(|x| (left(x), right(x))))
                };
                (0..n).map(one).collect::<Vec<Sum>>()
            };
            Ok((rows, Box::new(row)))
        }
        Contraction::Conv { images, input, output, channels, first, pitch, filters, conv, pad } => {
            let eval = |d: &Dim| Ok::<i64, DimError>(d.eval(sizes)? as i64);
            let input: Vec<i64> = input.iter().map(eval).collect::<Result<_, _>>()?;
            let mut pixels = vec![images.eval(sizes)?];
            for d in output {
                pixels.push(d.eval(sizes)?);
            }
            let taps: Vec<u64> = conv.kernel.iter().map(|n| *n as u64).collect();
            let groups = conv.groups as i64;
            let (filters, per_group) = (eval(filters)?, eval(channels)? / groups.max(1));
            let (first, pitch) = (first.eval_signed(sizes)?, pitch.eval_signed(sizes)?);
            let in_group = filters / groups.max(1);
            let depth = taps.iter().product::<u64>() as i64 * per_group;
            let rows = pixels.iter().product::<u64>();
            let row = move |nth: u64| {
                let pixel = tuple(&pixels, nth);
                // The first element under each tap; `None` where it lies outside.
                let mut under = Vec::new();
                for tap in (0..taps.iter().product::<u64>()).map(|nth| tuple(&taps, nth)) {
                    let mut place = Some(pixel[0] as i64);
                    for (axis, size) in input.iter().enumerate() {
                        let at = pixel[axis + 1] as i64 * conv.strides[axis] as i64 - conv.pads[axis].0 as i64
                            + tap[axis] as i64 * conv.dilations[axis] as i64;
                        place = place.filter(|_| (0..*size).contains(&at)).map(|place| place * size + at);
                    }
                    under.push(place.map(|place| first + place * pitch));
                }
                let one = |filter: i64| {
                    let channel = filter / in_group.max(1) * per_group;
                    let terms = under.iter().enumerate().flat_map(|(tap, place)| {
                        (0..per_group).map(move |c| {
                            let x = place.map_or(pad.as_f64(), |place| a.at(place + channel + c));
                            (x, b.at(filter * depth + tap as i64 * per_group + c))
                        })
                    });
                    sum(terms)
                };
                (0..filters).map(one).collect::<Vec<Sum>>()
            };
            Ok((rows, Box::new(row)))
        }
    }
}

fn sum(terms: impl Iterator<Item = (f64, f64)>) -> Sum {
    terms.fold(Sum { exact: 0.0, magnitude: 0.0 }, |sum, (a, b)| Sum {
        exact: sum.exact + a * b,
        magnitude: sum.magnitude + (a * b).abs(),
    })
}

fn strides(access: &Access, sizes: &Bindings) -> Result<(i64, Vec<i64>), DimError> {
    let strides = access.strides.iter().map(|d| d.eval_signed(sizes)).collect::<Result<_, _>>()?;
    Ok((access.offset.eval_signed(sizes)?, strides))
}

/// The index tuple of a box with that place in its row-major order.
fn tuple(extents: &[u64], mut nth: u64) -> Vec<u64> {
    let mut index = vec![0; extents.len()];
    for (i, extent) in index.iter_mut().zip(extents).rev() {
        (*i, nth) = (nth % extent, nth / extent);
    }
    index
}

impl Sum {
    /// All that a kernel may hold for a sum of `depth` terms. Integers are exact, modulo 2³². Each addition of floats errs by at most
    /// 2⁻²³ of what has been summed, whatever the order: tensor cores do not round to nearest but cut off.
    pub fn interval(&self, accumulator: DType, depth: u64) -> Interval {
        if accumulator == DType::I32 {
            return Interval::point(Number::Int(i128::from(self.exact as i64 as i32)));
        }
        let exact = Number::Float(self.exact);
        if !self.magnitude.is_finite() {
            let (low, high) = (Number::Float(f64::NEG_INFINITY), Number::Float(f64::INFINITY));
            return Interval { exact, low, high, nan: true };
        }
        let error = self.magnitude * (depth as f64 + 2.0) * f64::from(f32::EPSILON) + depth as f64 * 1e-45;
        let end = |x: f64| Number::Float(if x.abs() > f64::from(f32::MAX) { x.signum() * f64::INFINITY } else { x });
        Interval { exact, low: end(self.exact - error), high: end(self.exact + error), nan: false }
    }
}
