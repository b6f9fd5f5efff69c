//! Products as the libraries take them, with all sizes known.

use super::{Product, is_float};
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::plan::routine::{self, Work};
use crate::plan::{Arg, Contraction, Kernel, Stage, layout};

/// `d[i, j] = Σ_k a[i, k]·b[k, j]`, as often as `batch` says. Strides are in elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matmul {
    pub dtype: DType,
    pub m: u64,
    pub n: u64,
    pub k: u64,
    pub batch: u64,
    /// From one row, one column and one product of the batch to the next.
    pub a: [i64; 3],
    pub b: [i64; 3],
}

/// A convolution as ONNX says it, over two or three spatial axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    pub dtype: DType,
    /// (images, channels, spatial…) of the input and of the result, whatever their order in memory.
    pub input: Vec<i32>,
    pub output: Vec<i32>,
    /// (filters, channels of a group, kernel…); of a transposed convolution (channels, filters of a group, kernel…).
    pub weights: Vec<i32>,
    pub pads: Vec<i32>,
    pub strides: Vec<i32>,
    pub dilations: Vec<i32>,
    pub groups: i32,
    pub channels_last: bool,
    pub transposed: bool,
    pub bias: bool,
}

/// What a kernel computes that holds a product and nothing else.
pub fn of_kernel(kernel: &Kernel, sizes: &Bindings) -> Option<Product> {
    let product = kernel.product.as_deref()?;
    let [store] = &kernel.stores[..] else { return None };
    let plain = kernel.body.is_empty() && kernel.loads.is_empty() && store.value == Arg::Product;
    let dtype = product.a.dtype;
    let types = dtype == product.b.dtype && store.dtype == product.dtype() && (is_float(dtype) || dtype == DType::I8);
    if !plain || !types || !store.access.is_dense(&kernel.domain) {
        return None;
    }
    let Contraction::Matrix { batch, m, n, k, a, b } = product.contraction.as_matrix().ok()?? else { return None };
    matmul(dtype, sizes, [&m, &n, &k], &batch, &a.strides, &b.strides)
}

/// What a stage of a routine computes.
pub fn of_stage(stage: &Stage, sizes: &Bindings) -> Option<Product> {
    let types = |dtype: DType| stage.reads.iter().chain(&stage.writes).all(|operand| operand.dtype == dtype);
    let (first, result) = (stage.reads.first()?.dtype, stage.writes.first()?.dtype);
    match &stage.work {
        Work::Product(product) if product.c.is_none() && stage.reads.len() == 2 => {
            let codes = first == DType::I8 && stage.reads[1].dtype == DType::I8 && result == DType::I32;
            if !(codes || is_float(first) && types(first)) {
                return None;
            }
            let routine::Product { batch, rows, columns, inner, a, b, .. } = product;
            matmul(first, sizes, [rows, columns, inner], batch, a, b)
        }
        Work::Conv(conv) if is_float(first) && types(first) => convolution(stage, conv, sizes),
        _ => None,
    }
}

fn matmul(
    dtype: DType,
    sizes: &Bindings,
    [m, n, k]: [&Dim; 3],
    batch: &[Dim],
    a: &[Dim],
    b: &[Dim],
) -> Option<Product> {
    let size = |d: &Dim| d.eval(sizes).ok();
    let stride = |d: &Dim| d.eval_signed(sizes).ok();
    let outer: Vec<u64> = batch.iter().map(size).collect::<Option<_>>()?;
    let (rank, inner) = (outer.len(), |strides: &[Dim], axis: usize| stride(strides.get(outer.len() + axis)?));
    // Batch axes beyond one have to lie one after the other.
    let step = |strides: &[Dim]| -> Option<i64> {
        let strides: Vec<i64> = strides[..rank].iter().map(stride).collect::<Option<_>>()?;
        let mut found: Option<(i64, u64)> = None;
        for (count, stride) in outer.iter().zip(&strides).rev().filter(|(count, _)| **count != 1) {
            match found {
                None => found = Some((*stride, *count)),
                Some((first, many)) if *stride == first.checked_mul(many as i64)? => {
                    found = Some((first, many * count))
                }
                Some(_) => return None,
            }
        }
        Some(found.map_or(0, |(stride, _)| stride))
    };
    let matmul = Matmul {
        dtype,
        m: size(m)?,
        n: size(n)?,
        k: size(k)?,
        batch: outer.iter().product(),
        a: [inner(a, 0)?, inner(a, 1)?, step(a)?],
        b: [inner(b, 0)?, inner(b, 1)?, step(b)?],
    };
    let nothing = [matmul.m, matmul.n, matmul.k, matmul.batch].contains(&0);
    (!nothing).then_some(Product::Matmul(matmul))
}

fn convolution(stage: &Stage, conv: &routine::Convolution, sizes: &Bindings) -> Option<Product> {
    let small = |n: u64| i32::try_from(n).ok();
    let size = |d: &Dim| small(d.eval(sizes).ok()?);
    // Axes of one element that only pad the window to three are left out, but for a second spatial axis.
    let trivial = |axis: &&routine::WindowAxis| {
        axis.kernel == 1 && axis.input.is(1) && axis.output.is(1) && (axis.before, axis.after) == (0, 0)
    };
    let skip = conv.window.iter().take_while(trivial).count().min(conv.window.len().saturating_sub(2));
    let window = conv.window.get(skip..)?;
    let (x, y, w) = (&stage.reads[0].shape, &stage.writes[0].shape, &stage.reads[1].shape);
    let channel = |shape: &[Dim]| size(if conv.channels_last { shape.last()? } else { shape.get(1)? });
    let tensor = |shape: &[Dim], along: fn(&routine::WindowAxis) -> &Dim| -> Option<Vec<i32>> {
        let mut sizes = vec![size(shape.first()?)?, channel(shape)?];
        for axis in window {
            sizes.push(size(along(axis))?);
        }
        Some(sizes)
    };
    let each = |number: fn(&routine::WindowAxis) -> u64| -> Option<Vec<i32>> {
        window.iter().map(|axis| small(number(axis))).collect()
    };
    let (input, output) = (tensor(x, |axis| &axis.input)?, tensor(y, |axis| &axis.output)?);
    let second = if conv.channels_last { w.last()? } else { w.get(1)? };
    let mut weights = vec![size(w.first()?)?, size(second)?];
    weights.extend(each(|axis| axis.kernel)?);
    let (strides, dilations) = (each(|axis| axis.stride)?, each(|axis| axis.dilation)?);
    let pads = each(|axis| axis.before)?;
    // A library pads both ends alike: what it would compute has to have the sizes that are there.
    let (from, to) = if conv.transposed { (&output, &input) } else { (&input, &output) };
    let fits = (0..window.len()).all(|i| {
        let reach = (weights[i + 2] - 1) * dilations[i] + 1;
        let room = from[i + 2] + 2 * pads[i] - reach;
        let trailing = window[i].after <= window[i].before || conv.transposed;
        room >= 0 && room / strides[i] + 1 == to[i + 2] && (trailing || window[i].after == window[i].before)
    });
    let bias = conv.bias && stage.reads.len() == 3;
    // A bias would be added to a result that has been rounded already.
    let rounds_once = !bias || stage.reads[0].dtype == DType::F32;
    let plain = conv.pad == 0 && stage.reads.len() == 2 + usize::from(bias) && !(conv.transposed && conv.channels_last);
    let some = input.iter().chain(&output).chain(&weights).all(|n| *n > 0);
    let dense = [x, y, w].iter().all(|shape| layout::row_major(shape).is_ok());
    let convolution = Convolution {
        dtype: stage.reads[0].dtype,
        input,
        output,
        weights,
        pads,
        strides,
        dilations,
        groups: small(conv.groups)?,
        channels_last: conv.channels_last,
        transposed: conv.transposed,
        bias,
    };
    (fits && rounds_once && plain && some && dense).then_some(Product::Convolution(convolution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_one_step_apart_or_no_call() {
        let dims = |sizes: &[i64]| -> Vec<Dim> { sizes.iter().map(|n| Dim::fixed(*n)).collect() };
        let of = |batch: &[i64], a: &[i64], b: &[i64]| {
            let [m, n, k] = [4, 5, 6].map(Dim::fixed);
            matmul(DType::F16, &Bindings::new(), [&m, &n, &k], &dims(batch), &dims(a), &dims(b))
        };
        let Some(Product::Matmul(found)) = of(&[2, 3], &[72, 24, 6, 1], &[0, 0, 5, 1]) else { panic!() };
        assert_eq!((found.batch, found.a, found.b), (6, [6, 1, 24], [5, 1, 0]));
        assert_eq!(of(&[2, 3], &[24, 48, 6, 1], &[0, 0, 5, 1]), None);
        assert_eq!(of(&[0], &[24, 6, 1], &[0, 5, 1]), None);
    }
}
