//! Convolutions.

use super::window::{Window, kernel, sizes_of, window};
use super::*;
use crate::anchor::{Anchor, Conv};
use crate::graph::Kind;

/// A convolution whose shapes have been checked.
pub(super) struct Checked {
    pub(super) conv: Conv,
    pub(super) shape: Shape,
}

/// Checks x (N, C, spatial…) against w (M, C/groups, kernel…); an opaque outcome has the result's shape.
pub(super) fn check(cx: &mut Cx, x: Value, w: Value, dtype: Option<DType>, bias: bool) -> Result<Checked, Stop> {
    let Some(from) = cx.shape(x) else { return opaque("the shape of its input is not known", vec![of_dtype(dtype)]) };
    let Some(weights) = cx.shape(w) else {
        return opaque("the shape of its weights is not known", vec![of_dtype(dtype)]);
    };
    if from.rank() < 3 || weights.rank() != from.rank() {
        return Err(Stop::Broken(format!("it convolves {from} with weights {weights}")));
    }
    let kernel = kernel(cx, Some(&weights[2..]), from.rank() - 2)?;
    let groups = groups(cx)?;
    let inner = weights[1].mul(&Dim::from(groups))?;
    if from[1].sub(&inner)?.known().is_some_and(|difference| difference != 0) {
        let what = format!("its input {from} has {} channels and its weights {weights} take {inner}", from[1]);
        return Err(Stop::Broken(what));
    }
    if weights[0].known().is_some_and(|m| m % groups as i64 != 0) {
        return Err(Stop::Broken(format!("its {} output channels do not divide into {groups} groups", weights[0])));
    }
    let Window { kernel, strides, dilations, pads, sizes, .. } = window(cx, &from[2..], kernel)?;
    let shape: Shape = [from[0].clone(), weights[0].clone()].into_iter().chain(sizes).collect();
    match pads {
        Some(pads) => Ok(Checked { conv: Conv { kernel, strides, dilations, pads, groups, bias }, shape }),
        None => opaque("its padding depends on a size that is not known", vec![typed(dtype, shape)]),
    }
}

/// One element a filter: the kernels read no other way, and would read beyond a shorter one.
fn check_bias(cx: &Cx, bias: Option<Value>, filters: &Dim) -> Result<(), Stop> {
    let Some(shape) = bias.and_then(|bias| cx.shape(bias)) else { return Ok(()) };
    let differs = |size: &Dim| size.known().zip(filters.known()).is_some_and(|(a, b)| a != b);
    match shape.first() {
        Some(size) if shape.rank() == 1 && !differs(size) => Ok(()),
        _ => Err(Stop::Broken(format!(
            "its bias has the shape {shape}, expected one element for each of {filters} filters"
        ))),
    }
}

fn groups(cx: &Cx) -> Result<usize, Stop> {
    let groups = cx.attributes.int_or("group", 1)?;
    match usize::try_from(groups).ok().filter(|g| (1..=1 << 31).contains(g)) {
        Some(groups) => Ok(groups),
        None => Err(cx.attributes.error("group", groups.to_string(), "at least 1").into()),
    }
}

pub(super) fn conv(cx: &mut Cx) -> Done {
    cx.at_most(3)?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let y = convolved(cx, x, w, cx.optional(2))?;
    cx.finish(0, y)
}

/// A convolution with the node's attributes, of whatever operands.
pub(super) fn convolved(cx: &mut Cx, x: Value, w: Value, bias: Option<Value>) -> Result<Value, Stop> {
    let dtype = cx.dtype(x);
    let checked = check(cx, x, w, dtype, bias.is_some())?;
    check_bias(cx, bias, &checked.shape[1])?;
    let operands: Vec<Value> = [Some(x), Some(w), bias].into_iter().flatten().collect();
    Ok(cx.add(Kind::Anchor(Anchor::Conv(checked.conv)), typed(dtype, checked.shape), &operands))
}

/// Result: (input − 1)·stride + output padding + (kernel − 1)·dilation + 1 − pads.
pub(super) fn conv_transpose(cx: &mut Cx) -> Done {
    cx.at_most(3)?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    let (from, weights) = (cx.need_shape(x)?, cx.need_shape(w)?);
    if from.rank() < 3 || weights.rank() != from.rank() {
        return Err(Stop::Broken(format!("it convolves {from} with weights {weights}")));
    }
    let rank = from.rank() - 2;
    let (kernel, groups) = (kernel(cx, Some(&weights[2..]), rank)?, groups(cx)?);
    if from[1].sub(&weights[0])?.known().is_some_and(|difference| difference != 0) {
        return Err(Stop::Broken(format!("its input {from} and its weights {weights} differ in channels")));
    }
    let strides = sizes_of(cx, "strides", rank, 1, 1)?;
    let dilations = sizes_of(cx, "dilations", rank, 1, 1)?;
    let mut output_padding = sizes_of(cx, "output_padding", rank, 0, 0)?;
    let auto = cx.attributes.string_or("auto_pad", "NOTSET")?;
    let wanted = cx.attributes.ints("output_shape")?;
    if wanted.is_some_and(|sizes| sizes.len() != rank) {
        return Err(cx.attributes.error("output_shape", format!("{wanted:?}"), format!("{rank} sizes")).into());
    }
    let given = window::pads(cx, rank)?;
    let (mut pads, mut sizes) = (Some(Vec::new()), Vec::new());
    for axis in 0..rank {
        let reach = Dim::from((kernel[axis] - 1).saturating_mul(dilations[axis]).saturating_add(1));
        let full = from[axis + 2].sub(&Dim::ONE)?.mul(&Dim::from(strides[axis]))?;
        let full = full.add(&Dim::from(output_padding[axis]))?.add(&reach)?;
        let same = matches!(auto, "SAME_UPPER" | "SAME_LOWER");
        let size = match wanted {
            Some(sizes) => Some(Dim::fixed(sizes[axis])),
            None if same => Some(from[axis + 2].mul(&Dim::from(strides[axis]))?),
            None => None,
        };
        let (size, pad) = match size {
            None => {
                let pad = if auto == "VALID" { (0, 0) } else { given[axis] };
                (full.sub(&Dim::from(pad.0 + pad.1))?, Some(pad))
            }
            Some(size) => {
                let total = full.sub(&size)?.known();
                // A result larger than what the windows cover is padded behind.
                output_padding[axis] += total.map_or(0, |t| t.min(0).unsigned_abs() as usize);
                let total = total.map(|t| t.max(0) as usize);
                let less = total.map(|t| t / 2);
                let halves = total.zip(less).map(|(t, less)| (less, t - less));
                (size, halves.map(|(a, b)| if auto == "SAME_UPPER" { (a, b) } else { (b, a) }))
            }
        };
        match (pads.as_mut(), pad) {
            (Some(pads), Some(pad)) => pads.push(pad),
            _ => pads = None,
        }
        sizes.push(size);
    }
    let channels = weights[1].mul(&Dim::from(groups))?;
    let shape: Shape = [from[0].clone(), channels].into_iter().chain(sizes).collect();
    let Some(pads) = pads else {
        return opaque("its padding depends on a size that is not known", vec![typed(dtype, shape)]);
    };
    let bias = cx.optional(2);
    check_bias(cx, bias, &shape[1])?;
    let conv = Conv { kernel, strides, dilations, pads, groups, bias: bias.is_some() };
    let operands: Vec<Value> = [Some(x), Some(w), bias].into_iter().flatten().collect();
    let kind = Kind::Anchor(Anchor::ConvTranspose { conv, output_padding });
    let y = cx.add(kind, typed(dtype, shape), &operands);
    cx.finish(0, y)
}

/// 8-bit convolution with an exact i32 result. Zero points that are left out become zeros.
pub(super) fn conv_integer(cx: &mut Cx) -> Done {
    cx.at_most(4)?;
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let checked = check(cx, x, w, Some(DType::I32), false)?;
    let zeros = [super::quant::zero_or(cx, cx.optional(2), x)?, super::quant::zero_or(cx, cx.optional(3), w)?];
    let ty = typed(Some(DType::I32), checked.shape);
    let y = cx.structural(Structural::ConvInteger(checked.conv), ty, &[x, w, zeros[0], zeros[1]]);
    cx.finish(0, y)
}
