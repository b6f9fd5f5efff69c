//! Resize and Upsample. Nearest by whole factors is a view; the rest is structural.

use super::*;
use crate::structural::{Coordinates, NearestMode, Resize, ResizeMode};

/// Where the new sizes come from.
enum Target {
    Scales(Vec<f32>),
    Sizes(Vec<Option<Dim>>),
}

pub(super) fn resize(cx: &mut Cx) -> Done {
    let x = cx.input(0)?;
    let shape = cx.need_shape(x)?;
    let (rank, dtype) = (shape.rank(), cx.dtype(x));
    // The axes that scales or sizes are given for; all of them before opset 18.
    let axes = match cx.attributes.ints("axes")? {
        Some(axes) => cx.axes(axes, rank)?,
        None => (0..rank).collect(),
    };
    let Some(target) = target(cx, axes.len())? else {
        return at_run_time(cx, x, axes.len() == rank);
    };
    let (mut to, mut scales) = (shape.clone(), None);
    match target {
        Target::Scales(given) => {
            let mut all = vec![1.0; rank];
            for (&axis, scale) in axes.iter().zip(given) {
                to.0[axis] = match scaled(&shape[axis], scale)? {
                    Some(dim) => dim,
                    None => cx.fresh(0, axis),
                };
                all[axis] = scale;
            }
            scales = Some(all);
        }
        Target::Sizes(sizes) => {
            if cx.attributes.string_or("keep_aspect_ratio_policy", "stretch")? != "stretch" {
                let fresh = axes.iter().map(|&axis| (axis, cx.fresh(0, axis))).collect::<Vec<_>>();
                fresh.into_iter().for_each(|(axis, dim)| to.0[axis] = dim);
                return opaque("it keeps the aspect ratio", vec![typed(dtype, to)]);
            }
            for (&axis, size) in axes.iter().zip(sizes) {
                to.0[axis] = size.unwrap_or_else(|| cx.fresh(0, axis));
            }
        }
    }
    let mut op = descriptor(cx, scales)?;
    let crops = op.coordinates == Coordinates::TfCropAndResize;
    if crops {
        op.roi = region(cx, &axes, rank)?;
        if op.roi.is_none() {
            return opaque("the region it crops to is computed at run time", vec![typed(dtype, to)]);
        }
    }
    let factors = whole_factors(&shape, &to);
    let y = match factors {
        _ if !crops && shape == to && op.scales.as_ref().is_none_or(|s| s.iter().all(|&s| s == 1.0)) => x,
        Some(factors) if repeats(&op, &factors) => cx.view(View::Repeat { factors }, &[x], to),
        _ => cx.structural(Structural::Resize(op), typed(dtype, to), &[x]),
    };
    cx.finish(0, y)
}

/// Scales or sizes for all axes as a second operand; the result's sizes are known when it runs.
fn at_run_time(cx: &mut Cx, x: Value, all_axes: bool) -> Done {
    let rank = cx.need_shape(x)?.rank();
    let ty = typed(cx.dtype(x), cx.fresh_shape(0, rank));
    let second =
        if cx.op_type() == "Upsample" || cx.version < 11 { cx.optional(1) } else { cx.optional(2).or(cx.optional(3)) };
    let op = descriptor(cx, None)?;
    match second {
        Some(second) if all_axes && op.coordinates != Coordinates::TfCropAndResize => {
            let y = cx.structural(Structural::Resize(op), ty, &[x, second]);
            cx.finish(0, y)
        }
        _ => opaque("its scales are computed at run time", vec![ty]),
    }
}

/// Starts, then ends, of the region that is resized: all of an axis that none are given for.
fn region(cx: &mut Cx, axes: &[usize], rank: usize) -> Result<Option<Vec<f32>>, Stop> {
    let roi = cx.input(1)?;
    let Some(given) = cx.known(roi).and_then(|k| k.floats()) else { return Ok(None) };
    if given.len() != 2 * axes.len() {
        return Err(Stop::Broken(format!("its region has {} numbers for {} axes", given.len(), axes.len())));
    }
    let mut region: Vec<f32> = (0..2 * rank).map(|i| if i < rank { 0.0 } else { 1.0 }).collect();
    for (i, &axis) in axes.iter().enumerate() {
        region[axis] = given[i] as f32;
        region[axis + rank] = given[i + axes.len()] as f32;
    }
    Ok(Some(region))
}

/// Scales or sizes, wherever the operator's version has them.
fn target(cx: &mut Cx, axes: usize) -> Result<Option<Target>, Stop> {
    let scales_at = match (cx.op_type(), cx.version) {
        ("Upsample", ..9) => {
            let scales = cx.attributes.floats("scales")?;
            let scales = cx.attributes.required("scales", scales)?;
            return checked(scales.to_vec(), axes).map(|s| Some(Target::Scales(s)));
        }
        ("Upsample", _) | (_, ..11) => 1,
        _ => 2,
    };
    // From opset 11 on, an empty list of scales means that sizes are given.
    let scales = cx.optional(scales_at).filter(|&v| cx.shape(v).is_none_or(|s| !s.iter().any(|d| d.is(0))));
    match (scales, cx.optional(3)) {
        (Some(scales), None) => {
            let Some(known) = cx.known(scales).and_then(|k| k.floats()) else { return Ok(None) };
            checked(known.into_iter().map(|s| s as f32).collect(), axes).map(|s| Some(Target::Scales(s)))
        }
        (None, Some(sizes)) => {
            let Some(known) = cx.known(sizes) else { return Ok(None) };
            if known.elems.len() != axes {
                return Err(Stop::Broken(format!("it has {} sizes for {axes} axes", known.elems.len())));
            }
            Ok(Some(Target::Sizes(known.elems.iter().map(|e| e.dim().cloned()).collect())))
        }
        (Some(_), Some(_)) => Err(Stop::Broken("it has both scales and sizes".into())),
        (None, None) => Err(Stop::Broken("it has neither scales nor sizes".into())),
    }
}

fn checked(scales: Vec<f32>, axes: usize) -> Result<Vec<f32>, Stop> {
    if scales.len() != axes {
        return Err(Stop::Broken(format!("it has {} scales for {axes} axes", scales.len())));
    }
    match scales.iter().find(|&&s| !(s > 0.0 && s.is_finite())) {
        Some(bad) => Err(Stop::Broken(format!("it scales by {bad}"))),
        None => Ok(scales),
    }
}

/// ⌊size · scale⌋, multiplied in f32 as runtimes do. A symbolic size can be scaled by fractions of powers of two, for which
/// that product is exact.
fn scaled(size: &Dim, scale: f32) -> Result<Option<Dim>, Stop> {
    if let Some(n) = size.known() {
        let scaled = (n as f32 * scale).floor();
        return match scaled < 1e15 {
            true => Ok(Some(Dim::fixed(scaled as i64))),
            false => Err(Stop::Broken(format!("it scales {n} elements to {scaled}"))),
        };
    }
    let sixteenths = f64::from(scale) * 16.0;
    if sixteenths.fract() != 0.0 || sixteenths > 1e6 {
        return Ok(None);
    }
    Ok(Some(size.mul(&Dim::fixed(sixteenths as i64))?.floor_div(&Dim::fixed(16))?))
}

/// The factor of each axis, if all are known whole numbers.
fn whole_factors(from: &Shape, to: &Shape) -> Option<Vec<u64>> {
    let factor =
        |(from, to): (&Dim, &Dim)| to.div_exact(from)?.known().and_then(|f| u64::try_from(f).ok()).filter(|f| *f > 0);
    from.iter().zip(to.iter()).map(factor).collect()
}

/// True if the resize gives element ⌊i / factor⌋ everywhere. At half-pixel centres the source position of i = q·f + r is
/// q + (r + ½)/f − ½, which is nearest to q whatever r is and never halfway. With asymmetric coordinates it is q + r/f, whose
/// floor is q; rounded, it is q only up to a factor of 2, and there only if ½ goes down.
fn repeats(op: &Resize, factors: &[u64]) -> bool {
    use Coordinates::*;
    use NearestMode::*;
    if op.antialias || op.scales.as_ref().is_some_and(|s| s.iter().zip(factors).any(|(s, f)| *s != *f as f32)) {
        return false;
    }
    match (op.mode, op.coordinates) {
        (ResizeMode::Nearest(RoundPreferFloor | RoundPreferCeil), HalfPixel | HalfPixelSymmetric) => true,
        (ResizeMode::Nearest(Floor), Asymmetric) => true,
        (ResizeMode::Nearest(RoundPreferFloor), Asymmetric) => factors.iter().all(|f| *f <= 2),
        _ => false,
    }
}

fn descriptor(cx: &mut Cx, scales: Option<Vec<f32>>) -> Result<Resize, Stop> {
    let legacy = cx.op_type() == "Upsample" || cx.version < 11;
    let wrong = |cx: &Cx, name: &str, found: &str, expected: &str| {
        Stop::Error(cx.attributes.error(name, format!("{found:?}"), expected))
    };
    let nearest = match cx.attributes.string("nearest_mode")? {
        None if legacy => NearestMode::Floor,
        None | Some("round_prefer_floor") => NearestMode::RoundPreferFloor,
        Some("round_prefer_ceil") => NearestMode::RoundPreferCeil,
        Some("floor") => NearestMode::Floor,
        Some("ceil") => NearestMode::Ceil,
        Some(other) => return Err(wrong(cx, "nearest_mode", other, "a rounding that ONNX names")),
    };
    let mode = match cx.attributes.string_or("mode", "nearest")? {
        "nearest" => ResizeMode::Nearest(nearest),
        "linear" | "bilinear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic { a: cx.attributes.float_or("cubic_coeff_a", -0.75)? },
        other => return Err(wrong(cx, "mode", other, "nearest, linear or cubic")),
    };
    let coordinates = match cx.attributes.string("coordinate_transformation_mode")? {
        None if legacy => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("tf_half_pixel_for_nn") => return opaque("its coordinates are those of an early TensorFlow", vec![]),
        Some("tf_crop_and_resize") => Coordinates::TfCropAndResize,
        Some(other) => return Err(wrong(cx, "coordinate_transformation_mode", other, "a mode that ONNX names")),
    };
    Ok(Resize {
        mode,
        coordinates,
        scales,
        roi: None,
        antialias: cx.attributes.flag("antialias", false)?,
        exclude_outside: cx.attributes.flag("exclude_outside", false)?,
        extrapolation: cx.attributes.float_or("extrapolation_value", 0.0)?,
    })
}
