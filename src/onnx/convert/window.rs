//! Windows over spatial axes, which convolutions and pooling share: strides, dilations, padding, and the sizes they make.

use super::*;

/// A window with its attributes made explicit.
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    /// `None`: "SAME" padding of a size that is not known.
    pub(super) pads: Option<Vec<(usize, usize)>>,
    /// Sizes of the result's spatial axes.
    pub(super) sizes: Vec<Dim>,
    pub(super) ceil_mode: bool,
}

/// Larger windows, strides and pads are mistakes, and would overflow sizes.
const LARGEST: i64 = 1 << 31;

/// A list of sizes, each at least `least` and no larger than [`LARGEST`].
pub(super) fn sizes_of(cx: &Cx, name: &str, rank: usize, default: i64, least: i64) -> Result<Vec<usize>, Stop> {
    let values = cx.attributes.ints_of(name, rank, default)?;
    match values.iter().find(|&&n| n < least || n > LARGEST) {
        Some(bad) => Err(cx.attributes.error(name, bad.to_string(), format!("sizes from {least} to {LARGEST}")).into()),
        None => Ok(values.into_iter().map(|n| n as usize).collect()),
    }
}

/// `kernel_shape`, which must agree with the weights' sizes where both are there.
pub(super) fn kernel(cx: &Cx, weights: Option<&[Dim]>, rank: usize) -> Result<Vec<usize>, Stop> {
    let from_weights =
        weights.map(|dims| dims.iter().map(|d| usize::try_from(d.known()?).ok()).collect::<Option<Vec<_>>>());
    let given = match cx.attributes.ints("kernel_shape")? {
        Some(_) => Some(sizes_of(cx, "kernel_shape", rank, 1, 1)?),
        None => None,
    };
    match (given, from_weights) {
        (Some(given), Some(Some(found))) if given != found => Err(cx
            .attributes
            .error("kernel_shape", format!("{given:?}"), format!("the weights' sizes {found:?}"))
            .into()),
        (None, Some(Some(found))) if found.contains(&0) => {
            Err(Stop::Broken(format!("its window {found:?} has an axis without places")))
        }
        (Some(kernel), _) | (None, Some(Some(kernel))) => Ok(kernel),
        (None, Some(None)) => opaque("the sizes of its weights are not known", vec![]),
        (None, None) => Err(cx.attributes.error("kernel_shape", "none", "a value: it is required").into()),
    }
}

/// Pads as ONNX lists them: all that come before, then all that come after.
pub(super) fn pads(cx: &Cx, rank: usize) -> Result<Vec<(usize, usize)>, Stop> {
    let flat = sizes_of(cx, "pads", 2 * rank, 0, 0)?;
    Ok((0..rank).map(|axis| (flat[axis], flat[axis + rank])).collect())
}

pub(super) fn window(cx: &mut Cx, spatial: &[Dim], kernel: Vec<usize>) -> Result<Window, Stop> {
    let rank = spatial.len();
    if kernel.len() != rank {
        return Err(Stop::Broken(format!("its kernel {kernel:?} does not fit {rank} spatial axes")));
    }
    let strides = sizes_of(cx, "strides", rank, 1, 1)?;
    let dilations = sizes_of(cx, "dilations", rank, 1, 1)?;
    let ceil_mode = cx.attributes.flag("ceil_mode", false)?;
    let auto = cx.attributes.string_or("auto_pad", "NOTSET")?;
    let given = pads(cx, rank)?;
    let (mut pads, mut sizes) = (Some(Vec::new()), Vec::new());
    for axis in 0..rank {
        let reach = (kernel[axis] - 1).saturating_mul(dilations[axis]).saturating_add(1);
        let stride = strides[axis];
        let input = &spatial[axis];
        let (size, pad) = match auto {
            "SAME_UPPER" | "SAME_LOWER" => {
                let size = input.ceil_div(&Dim::from(stride))?;
                (size, same(input, reach, stride, auto == "SAME_LOWER"))
            }
            "NOTSET" | "" | "VALID" => {
                let pad = if auto == "VALID" { (0, 0) } else { given[axis] };
                let size = match counted(input, reach, stride, pad, ceil_mode)? {
                    Some(size) => size,
                    None => cx.fresh(0, axis + 2),
                };
                (size, Some(pad))
            }
            other => {
                return Err(cx.attributes.error("auto_pad", format!("{other:?}"), "a padding that ONNX names").into());
            }
        };
        if let Some(n) = size.known().filter(|n| *n < 0 || *n == 0 && !input.is(0)) {
            let what = format!("a window of {reach} does not fit the size {input} of spatial axis {axis} (result {n})");
            return Err(Stop::Broken(what));
        }
        match (pads.as_mut(), pad) {
            (Some(pads), Some(pad)) => pads.push(pad),
            _ => pads = None,
        }
        sizes.push(size);
    }
    Ok(Window { kernel, strides, dilations, pads, sizes, ceil_mode })
}

/// Padding that makes the result ⌈input / stride⌉; the odd one goes after, or before for "SAME_LOWER".
fn same(input: &Dim, reach: usize, stride: usize, lower: bool) -> Option<(usize, usize)> {
    let total = match (input.known(), stride) {
        (Some(n), _) => {
            let n = usize::try_from(n).ok()?;
            (n.div_ceil(stride).saturating_sub(1) * stride + reach).saturating_sub(n)
        }
        (None, 1) => reach - 1,
        (None, _) => return None,
    };
    let less = total / 2;
    Some(if lower { (total - less, less) } else { (less, total - less) })
}

/// ⌊(input + pads − reach) / stride⌋ + 1, or with `ceil` the ceiling, less a window that would begin in the padding after.
fn counted(input: &Dim, reach: usize, stride: usize, pad: (usize, usize), ceil: bool) -> Result<Option<Dim>, Stop> {
    let room = input.add(&Dim::from(pad.0 + pad.1))?.sub(&Dim::from(reach))?;
    let by = Dim::from(stride);
    if !ceil {
        return Ok(Some(room.floor_div(&by)?.add(&Dim::ONE)?));
    }
    let size = room.ceil_div(&by)?.add(&Dim::ONE)?;
    let last_start = size.sub(&Dim::ONE)?.mul(&by)?;
    match last_start.sub(&input.add(&Dim::from(pad.0))?)?.known() {
        Some(beyond) if beyond >= 0 => Ok(Some(size.sub(&Dim::ONE)?)),
        Some(_) => Ok(Some(size)),
        // Where the last window is wider than the padding and a stride, it can't begin beyond the input.
        None if reach > pad.1 + stride - 1 => Ok(Some(size)),
        None => Ok(None),
    }
}
