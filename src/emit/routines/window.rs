//! Pools and convolutions by their definition: a thread takes one result, and walks its window.
//!
//! A convolution's thread sums in order: n products take n roundings. It is what runs where no tensor-core kernel fits.
//!
//! A small window stands in the text as constants: its loops unroll, and its reads are on their way at a time. A larger one is a parameter, and shares a text.

use super::writer::Writer;
use super::{count, dim};
use crate::dim::Dim;
use crate::emit::types::Class;
use crate::emit::{Blocks, EmitError, KernelSource, Options, literal};
use crate::plan::Stage;
use crate::plan::routine::{Convolution, Pooling, WindowAxis};
use crate::scalar::Number;
use tera::Context;

const THREADS: u32 = 128;

/// The most elements of a pool's window that its text writes out: 32 reads on their way are as many as registers hold beside the rest.
const WRITTEN_OUT: u64 = 32;

/// Number of elements of a window.
fn taps(window: &[WindowAxis]) -> u64 {
    window.iter().fold(1, |n, axis| n.saturating_mul(axis.kernel))
}

/// The window's sizes, as constants of the text if they are `fixed` and else as parameters, and the coordinates of a result over `outer`
/// axes, the three spatial ones and `inner` axes.
fn walk(
    w: &mut Writer,
    window: &[WindowAxis],
    fixed: bool,
    outer: &[(String, Dim)],
    inner: &[(String, Dim)],
) -> Vec<String> {
    let mut lines = Vec::new();
    for (i, axis) in window.iter().enumerate() {
        w.signed(&format!("in{i}"), &axis.input);
        for (name, n) in
            [("kernel", axis.kernel), ("stride", axis.stride), ("dilation", axis.dilation), ("before", axis.before)]
        {
            let name = format!("{name}{i}");
            // A stride or a border beyond 32 bits is a parameter of its width.
            match fixed && i32::try_from(n).is_ok() {
                true => lines.push(format!("constexpr off {name} = {n};")),
                false => w.number(&name, n as i64),
            }
        }
    }
    let spatial = window.iter().enumerate().map(|(i, axis)| (format!("o{i}"), axis.output.clone()));
    let axes: Vec<(String, Dim)> = outer.iter().cloned().chain(spatial).chain(inner.iter().cloned()).collect();
    lines.extend(w.coordinates("at", &axes));
    lines
}

pub fn pool(
    stage: &Stage,
    of: Pooling,
    window: &[WindowAxis],
    channels_last: bool,
    options: &Options,
) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    let outputs = count(stage, &stage.writes[0].shape)?;
    w.size("count", &outputs);
    // A power of each element is too long a text to write out.
    let fixed = taps(window) <= WRITTEN_OUT && !matches!(of, Pooling::Lp { .. });
    // Where a plane begins, and how far apart neighbours in it are.
    let from = &stage.reads[0].shape;
    let (coordinates, plane, pitch) = match channels_last {
        false => {
            let planes = count(stage, &from[..2])?;
            let plane = "(off)plane * in0 * in1 * in2";
            (walk(&mut w, window, fixed, &[("plane".into(), planes)], &[]), plane, "")
        }
        true => {
            let channels = &from[from.len() - 1];
            w.signed("channels", channels);
            let (outer, inner) = ([("sample".to_owned(), from[0].clone())], [("c".to_owned(), channels.clone())]);
            let plane = "(off)sample * in0 * in1 * in2 * channels + (off)c";
            (walk(&mut w, window, fixed, &outer, &inner), plane, " * channels")
        }
    };
    let (open, step, close, what) = match of {
        Pooling::Max => max_pool(stage, class),
        Pooling::Average { count_include_pad } => {
            if count_include_pad {
                for (i, axis) in window.iter().enumerate() {
                    w.number(&format!("after{i}"), axis.after as i64);
                }
            }
            average_pool(class, count_include_pad)
        }
        Pooling::Lp { p } => {
            w.number("power", p);
            let t = class.c_type();
            (
                vec!["double sum = 0.0;".to_owned()],
                vec![
                    "const double size = fabs((double)x);".to_owned(),
                    "sum += power == 1 ? size : power == 2 ? size * size : pow(size, (double)power);".to_owned(),
                ],
                vec![
                    "const double root = power == 1 ? sum : power == 2 ? sqrt(sum) : pow(sum, 1.0 / (double)power);"
                        .to_owned(),
                    format!("write_y0(y0 + at, ({t})root);"),
                ],
                "The norm of each window.",
            )
        }
    };
    let mut context = Context::new();
    context.insert("what", what);
    context.insert("plane", plane);
    context.insert("fixed", &fixed);
    context.insert("pitch", pitch);
    context.insert("coordinates", &coordinates);
    context.insert("open", &open);
    context.insert("step", &step);
    context.insert("close", &close);
    w.finish("routines/pool", context, THREADS, Blocks::Threads(vec![(outputs, 1)]), options)
}

type Body = (Vec<String>, Vec<String>, Vec<String>, &'static str);

fn max_pool(stage: &Stage, class: Class) -> Body {
    // A window of padding alone has no maximum: the end of a float's range, zero of an integer.
    let (none, nan) = match class {
        Class::Int(t) => (literal::integer(t, Number::Int(0)), ""),
        Class::F64 => (literal::double(f64::NEG_INFINITY), " || x != x"),
        Class::F32 => (literal::float(f32::NEG_INFINITY), " || x != x"),
    };
    let t = class.c_type();
    let (mut open, mut close) = (vec![format!("{t} best = {none};")], vec!["write_y0(y0 + at, best);".to_owned()]);
    let step = if stage.writes.len() > 1 {
        open.push("off found = -1;".to_owned());
        close.push("write_y1(y1 + at, found < 0 ? 0 : (i64)found);".to_owned());
        format!("if (found < 0 || x > best{nan}) best = x, found = place;")
    } else {
        open.push("bool any = false;".to_owned());
        format!("if (!any || x > best{nan}) best = x, any = true;")
    };
    (open, vec![step], close, "The largest element of each window.")
}

fn average_pool(class: Class, count_include_pad: bool) -> Body {
    let t = class.c_type();
    let mut close = Vec::new();
    if count_include_pad {
        // Taps over the input or its padding; those that a rounded-up size adds lie beyond it.
        for i in 0..3 {
            close.push(format!("off taps{i} = 0;"));
            close.push(format!(
                "for (off t = 0; t < kernel{i}; ++t) taps{i} += (off)o{i} * stride{i} + t * dilation{i} < in{i} + before{i} + after{i};"
            ));
        }
        close.push("n = taps0 * taps1 * taps2;".to_owned());
    }
    close.push(format!("write_y0(y0 + at, sum / ({t})n);"));
    let open = vec![format!("{t} sum = 0;"), "off n = 0;".to_owned()];
    let step = vec!["sum += x;".to_owned(), "++n;".to_owned()];
    (open, step, close, "The mean of each window.")
}

pub fn conv(stage: &Stage, conv: &Convolution, options: &Options) -> Result<KernelSource, EmitError> {
    let Convolution { window, groups, bias, transposed, channels_last, pad } = conv;
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    let (from, to) = (&stage.reads[0].shape, &stage.writes[0].shape);
    let outputs = count(stage, to)?;
    w.size("count", &outputs);
    let axis = if *channels_last { to.len() - 1 } else { 1 };
    // Of a window of one element nothing is left but the sum over the channels.
    let fixed = taps(window) == 1;
    let (sample, m) = (("sample".to_owned(), to[0].clone()), ("m".to_owned(), to[axis].clone()));
    let coordinates = match channels_last {
        false => walk(&mut w, window, fixed, &[sample, m], &[]),
        true => walk(&mut w, window, fixed, &[sample], &[m]),
    };
    let each = |d: &Dim, what: &str| {
        d.div_exact(&Dim::fixed(*groups as i64)).ok_or_else(|| EmitError::Schedule {
            kernel: stage.name.clone(),
            why: format!("{d} {what} channels do not divide into {groups} groups"),
        })
    };
    w.signed("channels", &each(&from[axis], "input")?);
    w.signed("of_group", &each(&to[axis], "output")?);
    w.number("groups", *groups as i64);
    let codes = matches!(class, Class::Int(_));
    let padded = codes && stage.reads.len() == 2 && *pad != 0;
    if padded {
        w.number("pad", (*pad).into());
    }
    let t = if codes { "int" } else { class.c_type() };
    let (open, product) = if !codes {
        let start = if *bias { "read_x2(x2 + m)" } else { "0" };
        (vec![format!("{t} sum = {start};")], "read_x0(x0 + place) * read_x1(x1 + tap)")
    } else if stage.reads.len() < 4 {
        let product = match padded {
            true => "(inside ? (int)read_x0(x0 + place) : (int)pad) * (int)read_x1(x1 + tap)",
            false => "(int)read_x0(x0 + place) * (int)read_x1(x1 + tap)",
        };
        (vec!["int sum = 0;".to_owned()], product)
    } else {
        // One zero point of w for all, or one an output channel.
        let many = stage.reads[3].shape.iter().any(|d| !d.is(1));
        let zero = if many { "read_x3(x3 + m)" } else { "read_x3(x3)" };
        let open = vec![
            "const int x_zero = read_x2(x2);".to_owned(),
            format!("const int w_zero = {zero};"),
            "int sum = 0;".to_owned(),
        ];
        (open, "((int)read_x0(x0 + place) - x_zero) * ((int)read_x1(x1 + tap) - w_zero)")
    };
    // Where a channel begins in x and in w, and how far apart neighbours in space are in both.
    let inputs = "in0 * in1 * in2";
    let taps = "kernel0 * kernel1 * kernel2";
    let (x_at, w_at, pitch, tap_pitch) = match (channels_last, transposed) {
        (true, _) => (
            format!("(off)sample * {inputs} * groups * channels + group * channels + c"),
            format!("(off)m * {taps} * channels + c"),
            " * groups * channels",
            " * channels",
        ),
        (false, false) => (
            format!("(((off)sample * groups + group) * channels + c) * {inputs}"),
            format!("((off)m * channels + c) * {taps}"),
            "",
            "",
        ),
        (false, true) => (
            format!("(((off)sample * groups + group) * channels + c) * {inputs}"),
            format!("((group * channels + c) * of_group + (off)m % of_group) * {taps}"),
            "",
            "",
        ),
    };
    let inside = if padded { "const bool inside = inside0 && inside1 && inside2;".to_owned() } else { String::new() };
    let step = vec![
        inside,
        format!("const off place = x_at + ((p0 * in1 + p1) * in2 + p2){pitch};"),
        format!("const off tap = w_at + ((t0 * kernel1 + t1) * kernel2 + t2){tap_pitch};"),
        format!("sum += {product};"),
    ];
    let mut context = Context::new();
    context.insert("what", if *transposed { "A transposed convolution." } else { "A convolution." });
    context.insert("places", &[0, 1, 2].map(|axis| place(axis, *transposed, padded)));
    context.insert("channel", &[format!("const off x_at = {x_at};"), format!("const off w_at = {w_at};")]);
    context.insert("coordinates", &coordinates);
    context.insert("open", &open);
    context.insert("step", &step);
    context.insert("close", &["write_y0(y0 + at, sum);"]);
    w.finish("routines/conv", context, THREADS, Blocks::Threads(vec![(outputs, 1)]), options)
}

/// Lines that define the place `p` in x under tap `t` along an axis. What lies outside of x is left out, or noted if it is `padded`.
fn place(axis: usize, transposed: bool, padded: bool) -> String {
    let outside = format!("p{axis} < 0 || p{axis} >= in{axis}");
    if transposed {
        // The result whose tap falls on x's element: only multiples of the stride are.
        return format!(
            "const off q{axis} = (off)o{axis} + before{axis} - t{axis} * dilation{axis};\nconst off p{axis} = q{axis} / stride{axis};\nif (q{axis} < 0 || p{axis} * stride{axis} != q{axis} || p{axis} >= in{axis}) continue;"
        );
    }
    let p = format!("const off p{axis} = (off)o{axis} * stride{axis} - before{axis} + t{axis} * dilation{axis};");
    match padded {
        true => format!("{p}\nconst bool inside{axis} = !({outside});"),
        false => format!("{p}\nif ({outside}) continue;"),
    }
}

/// x / (bias + alpha/size · Σ x²)^beta over `size` neighbouring channels.
pub fn local_response(
    stage: &Stage,
    [alpha, beta, bias]: [f32; 3],
    size: u64,
    options: &Options,
) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let t = w.class(0).c_type();
    let shape = &stage.reads[0].shape;
    let outputs = count(stage, shape)?;
    w.size("count", &outputs);
    let inner = shape[2..].iter().try_fold(Dim::ONE, |n, d| n.mul(d)).map_err(dim(stage))?;
    let axes = [("sample", &shape[0]), ("c", &shape[1]), ("inside", &inner)];
    let mut lines = w.coordinates("at", &axes.map(|(name, d)| (name.to_owned(), d.clone())));
    w.signed("channels", &shape[1]);
    w.signed("inner", &inner);
    w.number("before", (size.max(1) as i64 - 1) / 2);
    w.number("after", size as i64 / 2);
    for (name, value) in [("alpha", alpha), ("beta", beta), ("bias", bias)] {
        w.float(name, value);
    }
    w.number("size", size as i64);
    lines.extend([
        "double sum = 0.0;".to_owned(),
        "for (off d = -before; d <= after; ++d) {".to_owned(),
        "if ((off)c + d < 0 || (off)c + d >= channels) continue;".to_owned(),
        "const double x = (double)read_x0(x0 + (off)at + d * inner);".to_owned(),
        "sum += x * x;".to_owned(),
        "}".to_owned(),
        "const double base = (double)bias + (double)alpha / (double)size * sum;".to_owned(),
        format!("write_y0(y0 + at, ({t})((double)read_x0(x0 + at) / pow(base, (double)beta)));"),
    ]);
    let mut context = Context::new();
    context.insert("what", "Each element over the power of its neighbours in other channels.");
    context.insert("lines", &lines);
    w.finish("routines/map", context, THREADS, Blocks::Threads(vec![(outputs, 1)]), options)
}
