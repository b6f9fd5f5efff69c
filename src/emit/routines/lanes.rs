//! Lanes: passes that each fold a lane into a few numbers, then a line for each element, or for each lane.
//!
//! A lane's members fold their elements in order, one after every [`Lanes`] team's width, and then one another's results in a tree of
//! shuffles (and of shared memory between warps): a sum of n elements by t members takes ⌈n / t⌉ + log₂ t roundings.

use super::writer::Writer;
use crate::dim::Dim;
use crate::emit::types::Class;
use crate::emit::{Blocks, EmitError, KernelSource, Options, literal, names};
use crate::plan::Stage;
use crate::plan::routine::{Lanes, Team, Work};
use crate::scalar::Number;
use crate::structural::Reduction;
use serde::Serialize;
use tera::Context;

/// A number that a pass folds a lane into.
#[derive(Serialize)]
struct Var {
    name: &'static str,
    c_type: &'static str,
    init: String,
}

#[derive(Serialize, Default)]
struct Pass {
    vars: Vec<Var>,
    /// Takes in element `i`, whose place is `x0_i`.
    step: Vec<String>,
    /// Takes in another member's numbers, which end in `_o`.
    combine: Vec<String>,
    /// What follows, known to every member.
    then: Vec<String>,
}

/// What fills the skeleton.
#[derive(Default)]
struct Plot {
    what: String,
    passes: Vec<Pass>,
    each: Vec<String>,
    once: Vec<String>,
}

pub fn emit(stage: &Stage, lanes: &Lanes, options: &Options) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    let plot = plot(&mut w, &stage.work, class);
    let dim = |source| EmitError::Dim { kernel: stage.name.clone(), source };
    let product = |dims: &[Dim]| dims.iter().try_fold(Dim::ONE, |n, d| n.mul(d)).map_err(dim);
    let (count, n) = (product(&lanes.kept)?, product(&lanes.along)?);
    w.size("lanes", &count);
    w.size("n", &n);
    let (starts, places) = places(&mut w, lanes);
    let (team, threads, members) = match lanes.team {
        Team::Thread => ("thread", 128, 1),
        Team::Warp => ("warp", 256, 32),
        Team::Block(threads) => ("block", threads, threads),
    };
    let blocks = match lanes.team {
        Team::Thread => Blocks::Threads(vec![(count, 1)]),
        Team::Warp => Blocks::Tiles(vec![(count, u64::from(threads / 32))]),
        Team::Block(_) => Blocks::Tiles(vec![(count, 1)]),
    };
    let mut context = Context::new();
    context.insert("what", &plot.what);
    context.insert("team", team);
    context.insert("members", &members);
    context.insert("starts", &starts);
    context.insert("places", &places);
    context.insert("passes", &plot.passes);
    context.insert("each", &plot.each);
    context.insert("once", &plot.once);
    w.finish("routines/lanes", context, threads, blocks, options)
}

/// Lines that define where each tensor's lane begins, and where its element `i` is.
pub fn places(w: &mut Writer, lanes: &Lanes) -> (Vec<String>, Vec<String>) {
    let named = |prefix: &str, sizes: &[Dim]| -> Vec<(String, Dim)> {
        sizes.iter().enumerate().map(|(i, size)| (format!("{prefix}{i}"), size.clone())).collect()
    };
    let (kept, along) = (named("k", &lanes.kept), named("a", &lanes.along));
    let mut starts = w.coordinates("lane", &kept);
    let mut within = w.coordinates("i", &along);
    let reads = w.stage.reads.len();
    for (t, strides) in lanes.strides.iter().enumerate() {
        let name = if t < reads { names::load(t) } else { names::store(t - reads) };
        let (outer, inner) = strides.split_at(kept.len());
        let terms = |axes: &[(String, Dim)], strides: &[Dim]| -> Vec<(String, Dim)> {
            axes.iter().zip(strides).map(|((axis, _), stride)| (axis.clone(), stride.clone())).collect()
        };
        let start = w.offset(&format!("{name}_lane"), &terms(&kept, outer));
        starts.push(format!("const off {name}_lane = {start};"));
        let place = w.offset(&name, &terms(&along, inner));
        within.push(format!("const off {name}_i = {name}_lane + {place};"));
    }
    (starts, within)
}

fn plot(w: &mut Writer, work: &Work, class: Class) -> Plot {
    match work {
        Work::Reduce { op, .. } => reduce(*op, class),
        Work::Extremum { max, select_last, .. } => extremum(*max, *select_last, class),
        Work::Softmax { log, .. } => softmax(*log, class),
        Work::Hardmax { .. } => hardmax(class),
        Work::LpNorm { p, .. } => lp_norm(*p, class),
        Work::Normalize { centred, epsilon, bias, .. } => {
            w.float("epsilon", *epsilon);
            normalize(*centred, *bias, w.stage.writes.len(), class)
        }
        _ => code_range(),
    }
}

const READ: &str = "const auto x = read_x0(x0 + x0_i);";

/// A suffix of the float functions and literals of a class.
fn suffix(class: Class) -> &'static str {
    if class == Class::F64 { "" } else { "f" }
}

/// The end of a class's range: nothing is smaller (greater).
fn least(class: Class, greatest: bool) -> String {
    match class {
        Class::Int(t) => {
            let (low, high) = t.int_range().unwrap_or((0, 1));
            literal::integer(t, Number::Int(if greatest { high } else { low }))
        }
        Class::F64 => literal::double(if greatest { f64::INFINITY } else { f64::NEG_INFINITY }),
        Class::F32 => literal::float(if greatest { f32::INFINITY } else { f32::NEG_INFINITY }),
    }
}

/// What sums and products of a class are held in. Integers wrap, so 64 bits hold what matters of any.
fn total(class: Class) -> &'static str {
    match class {
        Class::Int(_) => "u64",
        float => float.c_type(),
    }
}

fn sum_of(name: &'static str, c_type: &'static str, element: &str) -> Pass {
    Pass {
        vars: vec![Var { name, c_type, init: "0".into() }],
        step: vec![READ.into(), format!("{name} += ({c_type}){element};")],
        combine: vec![format!("{name} += {name}_o;")],
        then: Vec::new(),
    }
}

fn max_of(class: Class) -> Pass {
    Pass {
        vars: vec![Var { name: "top", c_type: class.c_type(), init: least(class, false) }],
        step: vec![READ.into(), "top = pw_max(top, x);".into()],
        combine: vec!["top = pw_max(top, top_o);".into()],
        then: Vec::new(),
    }
}

fn reduce(op: Reduction, class: Class) -> Plot {
    let integer = match class {
        Class::Int(t) => Some(t),
        _ => None,
    };
    // Means and roots of integers are taken in f64 and truncated.
    let (held, back) = match integer {
        Some(t) => ("double", format!("({t})pw_to_llong")),
        None => (class.c_type(), String::new()),
    };
    let whole = total(class);
    let whole_back = integer.map_or(String::new(), |t| format!("({t})"));
    // Products and squares leave the range of f32 on their way to a result within it.
    let wide = match class {
        Class::Int(_) => "u64",
        _ => "double",
    };
    let (pass, result) = match op {
        Reduction::Sum => (sum_of("sum", whole, "x"), format!("{whole_back}sum")),
        Reduction::L1 => (sum_of("sum", whole, &magnitude(class)), format!("{whole_back}sum")),
        Reduction::SumSquare => (sum_of("sum", whole, &format!("x * ({whole})x")), format!("{whole_back}sum")),
        Reduction::Mean => (sum_of("sum", held, "x"), format!("{back}(sum / ({held})n)")),
        Reduction::L2 => (sum_of("sum", "double", "x * (double)x"), format!("{}(sqrt(sum))", narrowed(&back, class))),
        Reduction::LogSum => {
            let log = if held == "float" { "logf" } else { "log" };
            (sum_of("sum", held, "x"), format!("{back}({log}(sum))"))
        }
        Reduction::Prod => {
            let mut pass = sum_of("product", wide, "x");
            pass.vars[0].init = "1".into();
            pass.step[1] = format!("product *= ({wide})x;");
            pass.combine = vec!["product *= product_o;".into()];
            (pass, format!("({})product", class.c_type()))
        }
        Reduction::Max => (max_of(class), "top".into()),
        Reduction::Min => {
            let mut pass = max_of(class);
            pass.vars[0].init = least(class, true);
            pass.step[1] = "top = pw_min(top, x);".into();
            pass.combine = vec!["top = pw_min(top, top_o);".into()];
            (pass, "top".into())
        }
        Reduction::LogSumExp => return log_sum_exp(class, held, &back),
    };
    Plot {
        what: "One number of each lane.".into(),
        passes: vec![pass],
        once: vec![format!("write_y0(y0 + y0_lane, {result});")],
        ..Plot::default()
    }
}

fn narrowed(back: &str, class: Class) -> String {
    if back.is_empty() { format!("({})", class.c_type()) } else { back.to_owned() }
}

/// |x| as an expression.
fn magnitude(class: Class) -> String {
    match class {
        Class::F32 => "fabsf(x)".into(),
        Class::F64 => "fabs(x)".into(),
        Class::Int(t) if t.is_signed_int() => "(x < 0 ? 0ull - (u64)x : (u64)x)".into(),
        Class::Int(_) => "x".into(),
    }
}

fn log_sum_exp(class: Class, held: &'static str, back: &str) -> Plot {
    let (exp, log, isinf) = match held {
        "float" => ("expf", "logf", "top - top != 0.0f"),
        _ => ("exp", "log", "top - top != 0.0"),
    };
    let mut top = max_of(class);
    if held != class.c_type() {
        top.vars[0].c_type = "double";
        top.vars[0].init = literal::double(f64::NEG_INFINITY);
        top.step[1] = "top = pw_max(top, (double)x);".into();
    }
    let sum = sum_of("sum", held, &format!("{exp}(({held})x - top)"));
    let result = format!("{back}({isinf} ? top : top + {log}(sum))");
    Plot {
        what: "The logarithm of the sum of the exponentials of each lane.".into(),
        passes: vec![top, sum],
        once: vec![format!("write_y0(y0 + y0_lane, {result});")],
        ..Plot::default()
    }
}

fn softmax(log: bool, class: Class) -> Plot {
    let f = suffix(class);
    let sum = sum_of("sum", class.c_type(), &format!("exp{f}(x - top)"));
    let value = match log {
        false => format!("exp{f}(read_x0(x0 + x0_i) - top) / sum"),
        true => format!("read_x0(x0 + x0_i) - top - log{f}(sum)"),
    };
    Plot {
        what: "Each lane's exponentials over their sum.".into(),
        passes: vec![max_of(class), sum],
        each: vec![format!("write_y0(y0 + y0_i, {value});")],
        ..Plot::default()
    }
}

/// The place of an extreme element. NaN is the most extreme.
fn extremum(max: bool, select_last: bool, class: Class) -> Plot {
    let (sign, nan) = match (max, class) {
        (true, Class::Int(_)) => (">", ""),
        (false, Class::Int(_)) => ("<", ""),
        (true, _) => (">", "nan"),
        (false, _) => ("<", "nan"),
    };
    let later = if select_last { ">" } else { "<" };
    let test = |value: &str, at: &str| match nan {
        "" => format!("{value} {sign} best || ({value} == best && {at} {later} place)"),
        _ => format!(
            "{value} {sign} best || ({value} != {value} && best == best) || (({value} == best || ({value} != {value} && best != best)) && {at} {later} place)"
        ),
    };
    let none = if select_last { "-1" } else { "9223372036854775807ll" };
    Plot {
        what: "Where each lane's extreme element is.".into(),
        passes: vec![Pass {
            vars: vec![
                Var { name: "best", c_type: class.c_type(), init: least(class, !max) },
                Var { name: "place", c_type: "i64", init: none.into() },
            ],
            step: vec![READ.into(), format!("if ({}) best = x, place = (i64)i;", test("x", "(i64)i"))],
            combine: vec![format!("if ({}) best = best_o, place = place_o;", test("best_o", "place_o"))],
            then: Vec::new(),
        }],
        once: vec!["write_y0(y0 + y0_lane, place);".into()],
        ..Plot::default()
    }
}

/// A NaN at the front is the maximum, and elsewhere it is none.
fn hardmax(class: Class) -> Plot {
    let key = match class {
        Class::Int(_) => "x".to_owned(),
        _ => format!("(x == x ? x : i == 0 ? {} : {})", least(class, true), least(class, false)),
    };
    Plot {
        what: "1 at each lane's first largest element.".into(),
        passes: vec![Pass {
            vars: vec![
                Var { name: "best", c_type: class.c_type(), init: least(class, false) },
                Var { name: "place", c_type: "i64", init: "9223372036854775807ll".into() },
            ],
            step: vec![
                READ.into(),
                format!("const auto key = {key};"),
                "if (key > best || (key == best && (i64)i < place)) best = key, place = (i64)i;".into(),
            ],
            combine: vec![
                "if (best_o > best || (best_o == best && place_o < place)) best = best_o, place = place_o;".into(),
            ],
            then: Vec::new(),
        }],
        each: vec!["write_y0(y0 + y0_i, (i64)i == place ? 1 : 0);".into()],
        ..Plot::default()
    }
}

fn lp_norm(p: i64, class: Class) -> Plot {
    // Squares leave the range of f32 where the norm does not.
    let (mut pass, norm) = match p {
        1 => (sum_of("sum", "double", &magnitude(class)), "sum"),
        _ => (sum_of("sum", "double", "x * (double)x"), "sqrt(sum)"),
    };
    pass.then = vec![format!("const double norm = {norm};")];
    Plot {
        what: "Each lane over its norm; a lane of zeros stays one.".into(),
        passes: vec![pass],
        each: vec![format!(
            "write_y0(y0 + y0_i, norm == 0.0 ? 0 : ({})((double)read_x0(x0 + x0_i) / norm));",
            class.c_type()
        )],
        ..Plot::default()
    }
}

fn normalize(centred: bool, bias: bool, results: usize, class: Class) -> Plot {
    let (f, t) = (suffix(class), class.c_type());
    let mut passes = Vec::new();
    if centred {
        let mut mean = sum_of("sum", t, "x");
        mean.then = vec![format!("const {t} mean = sum / ({t})n;")];
        passes.push(mean);
    }
    let from = if centred { "x - mean" } else { "x" };
    let mut spread = sum_of("squares", t, "d * d");
    spread.step.insert(1, format!("const {t} d = {from};"));
    spread.then = vec![format!("const {t} inverse = 1 / sqrt{f}(squares / ({t})n + ({t})epsilon);")];
    passes.push(spread);
    let centre = if centred { "(read_x0(x0 + x0_i) - mean)" } else { "read_x0(x0 + x0_i)" };
    let shift = if bias { " + read_x2(x2 + x2_i)" } else { "" };
    let mean = if centred { "mean" } else { "0" };
    let statistics = [format!("write_y1(y1 + y1_lane, {mean});"), "write_y2(y2 + y2_lane, inverse);".into()];
    let once = statistics.into_iter().take(results.saturating_sub(1)).collect();
    Plot {
        what: "Each lane less its mean, over its deviation, scaled and shifted.".into(),
        passes,
        each: vec![format!("write_y0(y0 + y0_i, {centre} * inverse * read_x1(x1 + x1_i){shift});")],
        once,
    }
}

/// ONNX's DynamicQuantizeLinear, the part that looks at all of x.
fn code_range() -> Plot {
    let var = |name| Var { name, c_type: "float", init: "0".into() };
    Plot {
        what: "The scale and the zero point of codes for all of x and zero.".into(),
        passes: vec![Pass {
            vars: vec![var("low"), var("high")],
            step: vec![READ.into(), "low = fminf(low, x);".into(), "high = fmaxf(high, x);".into()],
            combine: vec!["low = fminf(low, low_o);".into(), "high = fmaxf(high, high_o);".into()],
            then: Vec::new(),
        }],
        once: vec![
            "const float scale = high == low ? 1.0f : (high - low) / 255.0f;".into(),
            "const float zero = rintf(fminf(fmaxf((0.0f - low) / scale, 0.0f), 255.0f));".into(),
            "write_y0(y0, scale);".into(),
            "write_y1(y1, (u8)pw_to_int(zero));".into(),
        ],
        ..Plot::default()
    }
}
