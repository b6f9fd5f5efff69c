//! Pooling.

use super::window::{Window, kernel, window};
use super::*;
use crate::structural::Pool;

pub(super) fn pool(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let dtype = cx.dtype(x);
    if shape.rank() < 3 {
        return Err(Stop::Broken(format!("it pools {shape}, which has no spatial axis")));
    }
    let rank = shape.rank() - 2;
    let kernel = kernel(cx, None, rank)?;
    let Window { kernel, strides, dilations, pads, sizes, ceil_mode } = window(cx, &shape[2..], kernel)?;
    let to: Shape = shape[..2].iter().cloned().chain(sizes).collect();
    let mut types = vec![typed(dtype, to.clone()), typed(Some(DType::I64), to)];
    types.truncate(if cx.wants(1) { 2 } else { 1 });
    let Some(pads) = pads else {
        return opaque("its padding depends on a size that is not known", types);
    };
    let pool = Pool { kernel, strides, dilations, pads, ceil_mode, channels_last: false };
    let op = match cx.op_type() {
        // Column-major indices are another order of counting.
        "MaxPool" if cx.wants(1) && cx.attributes.flag("storage_order", false)? => {
            return opaque("its indices are counted by columns", types);
        }
        "MaxPool" => Structural::MaxPool(pool),
        "AveragePool" => {
            Structural::AveragePool { pool, count_include_pad: cx.attributes.flag("count_include_pad", false)? }
        }
        _ => Structural::LpPool { pool, p: cx.attributes.int_or("p", 2)? },
    };
    cx.structural_outputs(op, types, &[x])
}

/// One window over all spatial axes.
pub(super) fn global(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    if shape.rank() < 2 {
        return Err(Stop::Broken(format!("it pools {shape}, which has no channel axis")));
    }
    let to: Shape = shape.iter().enumerate().map(|(axis, d)| if axis < 2 { d.clone() } else { Dim::ONE }).collect();
    let ty = typed(cx.dtype(x), to);
    let op = match cx.op_type() {
        "GlobalMaxPool" => Structural::GlobalPool { max: true },
        "GlobalAveragePool" => Structural::GlobalPool { max: false },
        _ => return opaque("GlobalLpPool has types only", vec![ty]),
    };
    let y = cx.structural(op, ty, &[x]);
    cx.finish(0, y)
}
