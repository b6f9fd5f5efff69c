//! Resize: a thread takes one result, works out where it lies in x along each axis, and picks or weighs the elements there.
//!
//! Coordinates are computed in f32 with every operation rounded, exactly as the reference does: nearest rounding makes the last bit
//! visible.

use super::writer::Writer;
use super::{count, malformed};
use crate::emit::types::Class;
use crate::emit::{Blocks, EmitError, KernelSource, Options};
use crate::plan::Stage;
use crate::structural::{Coordinates, NearestMode, Resize, ResizeMode};
use tera::Context;

pub fn resize(stage: &Stage, op: &Resize, options: &Options) -> Result<KernelSource, EmitError> {
    let crops = op.coordinates == Coordinates::TfCropAndResize;
    let picks = matches!(op.mode, ResizeMode::Nearest(_)) && !crops;
    let mut w = Writer::new(stage, picks);
    let (from, to) = (stage.reads[0].shape.clone(), stage.writes[0].shape.clone());
    let rank = from.len();
    let lists = op.scales.as_ref().is_none_or(|s| s.len() == rank);
    if to.len() != rank || !lists || op.roi.as_ref().is_some_and(|r| r.len() != 2 * rank) {
        return Err(malformed(stage, "scales of another number of axes"));
    }
    let outputs = count(stage, &to)?;
    w.size("count", &outputs);
    let axes: Vec<_> = to.iter().enumerate().map(|(i, d)| (format!("c{i}"), d.clone())).collect();
    let mut lines = w.coordinates("at", &axes);
    let dense = crate::plan::layout::row_major(&from).map_err(super::dim(stage))?;
    let (mut terms, mut loops, mut outside) = (Vec::new(), Vec::new(), Vec::new());
    for (a, stride) in dense.into_iter().enumerate() {
        let same = from[a] == to[a] && op.scales.as_ref().is_none_or(|s| s[a] == 1.0);
        terms.push((format!("p{a}"), stride));
        let (start, end) = op.roi.as_ref().map_or((0.0, 1.0), |roi| (roi[a], roi[rank + a]));
        if same && (!crops || (start, end) == (0.0, 1.0)) {
            lines.push(format!("const off p{a} = c{a};"));
            continue;
        }
        w.signed(&format!("from{a}"), &from[a]);
        w.signed(&format!("to{a}"), &to[a]);
        match &op.scales {
            Some(scales) => w.float(&format!("scale{a}"), scales[a]),
            None => lines.push(format!("const float scale{a} = (float)to{a} / (float)from{a};")),
        }
        if crops {
            w.float(&format!("start{a}"), start);
            w.float(&format!("end{a}"), end);
        }
        lines.push(format!("const float x{a}_at = {};", coordinate(op, a)));
        if crops {
            outside.push(format!("x{a}_at < 0.0f || x{a}_at > (float)(from{a} - 1)"));
        }
        match op.mode {
            ResizeMode::Nearest(mode) => {
                lines.push(format!("const off p{a} = {};", clamped(&rounded(mode, a), a)));
            }
            mode => taps(op, mode, a, &mut lines, &mut loops),
        }
    }
    let place = w.offset("x0", &terms);
    let c_type = w.class(0).c_type();
    if loops.is_empty() {
        lines.push(format!("auto value = read_x0(x0 + ({place}));"));
    } else {
        let held = if w.class(0) == Class::F64 { "double" } else { "float" };
        lines.push(format!("{held} value = 0;"));
        let weights: Vec<String> = loops.iter().map(|(a, _)| format!("weight{a}")).collect();
        for (_, open) in &loops {
            lines.extend(open.iter().cloned());
        }
        lines.push(format!("value += {} * read_x0(x0 + ({place}));", weights.join(" * ")));
        lines.extend(loops.iter().map(|_| "}".to_owned()));
    }
    if !outside.is_empty() {
        w.float("extrapolation", op.extrapolation);
        lines.push(format!("if ({}) value = ({c_type})extrapolation;", outside.join(" || ")));
    }
    lines.push("write_y0(y0 + at, value);".to_owned());
    let mut context = Context::new();
    context.insert("what", "A tensor at another resolution.");
    context.insert("lines", &lines);
    w.finish("routines/map", context, 256, Blocks::Threads(vec![(outputs, 1)]), options)
}

/// Where result `c` lies along axis `a` of x.
fn coordinate(op: &Resize, a: usize) -> String {
    let exact = op.scales.is_none();
    let half_pixel = format!("((float)c{a} + 0.5f) / scale{a} - 0.5f");
    match op.coordinates {
        Coordinates::HalfPixel => half_pixel,
        Coordinates::PytorchHalfPixel => format!("to{a} > 1 ? {half_pixel} : 0.0f"),
        Coordinates::HalfPixelSymmetric => format!(
            "__fadd_rn(__fmul_rn((float)from{a} / 2.0f, 1.0f - (float)to{a} / __fmul_rn(scale{a}, (float)from{a})), {half_pixel})"
        ),
        Coordinates::AlignCorners => {
            let last = if exact {
                format!("(float)to{a} - 1.0f")
            } else {
                format!("__fsub_rn(__fmul_rn((float)from{a}, scale{a}), 1.0f)")
            };
            format!("to{a} == 1 ? 0.0f : __fmul_rn((float)c{a}, (float)from{a} - 1.0f) / ({last})")
        }
        Coordinates::Asymmetric => format!("(float)c{a} / scale{a}"),
        Coordinates::TfCropAndResize => {
            let last = format!("((float)from{a} - 1.0f)");
            let middle = format!("__fmul_rn(__fmul_rn(0.5f, start{a} + end{a}), {last})");
            let first = format!("__fmul_rn(start{a}, {last})");
            let step = format!("__fmul_rn(__fmul_rn((float)c{a}, end{a} - start{a}), {last}) / ((float)to{a} - 1.0f)");
            format!("to{a} == 1 ? {middle} : __fadd_rn({first}, {step})")
        }
    }
}

fn rounded(mode: NearestMode, a: usize) -> String {
    match mode {
        NearestMode::RoundPreferFloor => format!("ceilf(x{a}_at - 0.5f)"),
        NearestMode::RoundPreferCeil => format!("floorf(x{a}_at + 0.5f)"),
        NearestMode::Floor => format!("floorf(x{a}_at)"),
        NearestMode::Ceil => format!("ceilf(x{a}_at)"),
    }
}

/// A place along axis `a` within x.
fn clamped(place: &str, a: usize) -> String {
    format!("(off)fminf(fmaxf({place}, 0.0f), (float)(from{a} - 1))")
}

/// Lines before the sum, and the loop over the taps of axis `a`, which defines `p` and `weight`.
fn taps(op: &Resize, mode: ResizeMode, a: usize, lines: &mut Vec<String>, loops: &mut Vec<(usize, Vec<String>)>) {
    let (reach, filter) = match mode {
        ResizeMode::Cubic { a: bend } => (2, format!("cubic(d{a}, {})", crate::emit::literal::float(bend))),
        _ => (1, format!("fmaxf(1.0f - d{a}, 0.0f)")),
    };
    // With antialiasing, a shrinking filter is as wide as what it shrinks.
    let scale = if op.antialias { format!("fminf(scale{a}, 1.0f)") } else { "1.0f".to_owned() };
    lines.push(format!("const float base{a} = floorf(x{a}_at);"));
    lines.push(format!("const float ratio{a} = x{a}_at - base{a};"));
    lines.push(format!("const float narrow{a} = {scale};"));
    lines.push(format!("const int first{a} = (int)floorf(-{reach}.0f / narrow{a}) + 1;"));
    let open = |total: bool| {
        let mut open = vec![
            format!("for (int t{a} = first{a}; t{a} <= 1 - first{a}; ++t{a}) {{"),
            format!("const float place{a} = base{a} + (float)t{a};"),
            format!("const float d{a} = fabsf(__fmul_rn((float)t{a} - ratio{a}, narrow{a}));"),
            format!("float weight{a} = {filter};"),
        ];
        if op.exclude_outside {
            open.push(format!("if (place{a} < 0.0f || place{a} > (float)(from{a} - 1)) weight{a} = 0.0f;"));
        }
        match total {
            true => open.extend([format!("total{a} += weight{a};"), "}".to_owned()]),
            false => {
                if op.exclude_outside || op.antialias {
                    open.push(format!("weight{a} /= total{a};"));
                }
                open.push(format!("const off p{a} = {};", clamped(&format!("place{a}"), a)));
            }
        }
        open
    };
    if op.exclude_outside || op.antialias {
        lines.push(format!("float total{a} = 0.0f;"));
        lines.extend(open(true));
    }
    loops.push((a, open(false)));
}
