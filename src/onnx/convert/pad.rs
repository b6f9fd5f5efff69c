//! Pad.

use super::*;
use crate::structural::PadMode;

/// Pads are an attribute before opset 11 and an input since; opset 18 adds axes.
pub(super) fn pad(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let dtype = cx.dtype(x);
    let mode = match cx.attributes.string_or("mode", "constant")? {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" if cx.version >= 19 => PadMode::Wrap,
        other => {
            return Err(cx.attributes.error("mode", format!("{other:?}"), "constant, reflect, edge or wrap").into());
        }
    };
    let axes = match cx.optional(3) {
        None => (0..shape.rank()).collect(),
        Some(axes) => match cx.ints(axes) {
            Some(axes) => cx.axes(&axes, shape.rank())?,
            None => {
                let fresh = cx.fresh_shape(0, shape.rank());
                return opaque("its axes are computed at run time", vec![typed(dtype, fresh)]);
            }
        },
    };
    let given = match cx.version < 11 {
        true => cx.attributes.ints("pads")?.map(|pads| pads.iter().map(|&n| Some(Dim::fixed(n))).collect::<Vec<_>>()),
        false => {
            let pads = cx.input(1)?;
            cx.known(pads).map(|k| k.elems.iter().map(|e| e.dim().cloned()).collect())
        }
    };
    let given = given.unwrap_or_else(|| vec![None; 2 * axes.len()]);
    if given.len() != 2 * axes.len() {
        return Err(Stop::Broken(format!("it has {} pads for {} axes", given.len(), axes.len())));
    }
    let (mut to, mut pads) = (shape.clone(), Some(vec![(0, 0); shape.rank()]));
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (&given[i], &given[i + axes.len()]);
        to.0[axis] = match (before, after) {
            (Some(before), Some(after)) => shape[axis].add(before)?.add(after)?,
            _ => cx.fresh(0, axis),
        };
        match (before.as_ref().and_then(Dim::known), after.as_ref().and_then(Dim::known)) {
            (Some(before), Some(after)) => pads.iter_mut().for_each(|p| p[axis] = (before, after)),
            _ => pads = None,
        }
    }
    let Some(pads) = pads else {
        return opaque("its pads depend on sizes that are not known", vec![typed(dtype, to)]);
    };
    if pads.iter().all(|p| *p == (0, 0)) {
        return cx.finish(0, x);
    }
    let mut operands = vec![x];
    if mode == PadMode::Constant {
        let value = match (cx.version < 11, cx.optional(2)) {
            (false, Some(value)) => value,
            (false, None) => super::pointwise::scalar(cx, x, 0.0)?,
            (true, _) => {
                let value = cx.attributes.float_or("value", 0.0)?;
                super::pointwise::scalar(cx, x, value.into())?
            }
        };
        operands.push(value);
    }
    let y = cx.structural(Structural::Pad { mode, pads }, typed(dtype, to), &operands);
    cx.finish(0, y)
}
