//! Windows over spatial axes: pools and convolutions.

use super::{Cx, Draft, no_routine};
use crate::anchor::Conv;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::plan::OnHost;
use crate::plan::routine::{Convolution, Pooling, WindowAxis, Work};
use crate::structural::Pool;

/// The spatial axes of x and of the result, padded on the left to three.
fn window(
    cx: &Cx,
    kernel: &[usize],
    strides: &[usize],
    dilations: &[usize],
    pads: &[(usize, usize)],
    channels_last: bool,
) -> Result<Vec<WindowAxis>, OnHost> {
    let (from, to) = (cx.shape(cx.operand(0)?)?, cx.shape(cx.result(0))?);
    let rank = kernel.len();
    let fits = from.rank() == rank + 2 && to.rank() == rank + 2;
    let lists = [strides.len(), dilations.len(), pads.len()] == [rank; 3];
    if !(1..=3).contains(&rank) || !fits || !lists {
        return Err(no_routine(&format!("a window over {rank} axes of {from}; it takes 1 to 3")));
    }
    let one = |input: &Dim, output: &Dim, a: Option<usize>| WindowAxis {
        input: input.clone(),
        output: output.clone(),
        kernel: a.map_or(1, |a| kernel[a] as u64),
        stride: a.map_or(1, |a| strides[a] as u64),
        dilation: a.map_or(1, |a| dilations[a] as u64),
        before: a.map_or(0, |a| pads[a].0 as u64),
        after: a.map_or(0, |a| pads[a].1 as u64),
    };
    let first = if channels_last { 1 } else { 2 };
    let missing = (rank..3).map(|_| one(&Dim::ONE, &Dim::ONE, None));
    Ok(missing.chain((0..rank).map(|a| one(&from[a + first], &to[a + first], Some(a)))).collect())
}

pub(super) fn pool(cx: &Cx, of: Pooling, pool: &Pool) -> Result<Vec<Draft>, OnHost> {
    let max = of == Pooling::Max;
    if max {
        cx.arithmetic(0)?
    } else {
        cx.float(0)?
    };
    let window = window(cx, &pool.kernel, &pool.strides, &pool.dilations, &pool.pads, pool.channels_last)?;
    cx.one(Work::Pool { of, window, channels_last: pool.channels_last }, &[0])
}

/// How a convolution's tensors lie, and what stands outside of x.
pub(super) struct Form {
    pub transposed: bool,
    pub channels_last: bool,
    pub pad: i32,
}

/// A convolution of floats, or of 8-bit codes with zero points or without.
pub(super) fn conv(cx: &Cx, conv: &Conv, form: Form) -> Result<Vec<Draft>, OnHost> {
    let Form { transposed, channels_last, pad } = form;
    let (x, w) = (cx.arithmetic(0)?, cx.arithmetic(1)?);
    let (x_type, w_type) = (cx.ty(x)?.0, cx.ty(w)?.0);
    let codes = matches!(x_type, DType::I8 | DType::U8) && matches!(w_type, DType::I8 | DType::U8);
    let floats = x_type.is_arithmetic_float() && x_type == w_type;
    if !(codes || floats) {
        return Err(cx.unsupported(x, x_type));
    }
    let window = window(cx, &conv.kernel, &conv.strides, &conv.dilations, &conv.pads, channels_last)?;
    let groups = conv.groups as u64;
    let bias = conv.bias && !codes;
    let work = Work::Conv(Convolution { window, groups, bias, transposed, channels_last, pad });
    let slots: Vec<usize> = (0..cx.operands.len()).collect();
    let fits = match codes {
        true => matches!(slots.len(), 2 | 4) && !conv.bias,
        false => slots.len() == 2 + usize::from(bias) && pad == 0,
    };
    if !fits {
        return Err(no_routine("it has another number of operands"));
    }
    cx.one(work, &slots)
}
