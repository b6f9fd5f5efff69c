//! Elements moved by index: a thread takes one result, and works out which element it is. Exact: bits are moved as they are.

use super::writer::Writer;
use super::{count, dim, malformed};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::emit::{Blocks, EmitError, KernelSource, Options};
use crate::plan::Stage;
use crate::plan::routine::Work;
use crate::scalar::{Number, Scalar};
use crate::structural::{PadMode, ScatterReduction};
use tera::Context;

const THREADS: u32 = 256;

/// The lines of one result, and how many there are.
struct Map {
    what: &'static str,
    lines: Vec<String>,
    count: Dim,
}

/// Every work that is neither on lanes, windows nor matrices.
pub fn emit(stage: &Stage, work: &Work, options: &Options) -> Result<KernelSource, EmitError> {
    let calculates = matches!(work, Work::Encode | Work::ScatterElements { .. } | Work::ScatterNd { .. });
    let mut w = Writer::new(stage, !calculates);
    let map = match work {
        Work::Encode => encode(stage)?,
        Work::Pad { mode, before } => pad(&mut w, *mode, before)?,
        Work::Gather { axis } => gather(&mut w, *axis)?,
        Work::GatherElements { axis } => gather_elements(&mut w, *axis)?,
        Work::GatherNd { batch_dims, depth } => gather_nd(&mut w, *batch_dims, *depth)?,
        Work::ReverseSequence { batch_axis, time_axis } => reverse_sequence(&mut w, *batch_axis, *time_axis)?,
        Work::OneHot { axis } => one_hot(&mut w, *axis)?,
        Work::Trilu { upper, k } => trilu(&mut w, *upper, *k)?,
        Work::Eye { k } => eye(&mut w, *k)?,
        Work::Fill { value } => fill(stage, *value)?,
        Work::Sizes { values } => sizes(&mut w, values),
        Work::ScatterElements { axis, reduction } => scatter_elements(&mut w, *axis, *reduction)?,
        Work::ScatterNd { depth, reduction } => scatter_nd(&mut w, *depth, *reduction)?,
        _ => copy(stage)?,
    };
    w.size("count", &map.count);
    let mut context = Context::new();
    context.insert("what", map.what);
    context.insert("lines", &map.lines);
    w.finish("routines/map", context, THREADS, Blocks::Threads(vec![(map.count, 1)]), options)
}

/// Coordinates `c0`, `c1` … of result `at` in a tensor of this shape.
fn coordinates(w: &mut Writer, shape: &[Dim]) -> Vec<String> {
    w.coordinates("at", &named("c", shape))
}

fn named(prefix: &str, shape: &[Dim]) -> Vec<(String, Dim)> {
    shape.iter().enumerate().map(|(i, d)| (format!("{prefix}{i}"), d.clone())).collect()
}

/// Strides of a dense tensor.
fn strides(stage: &Stage, shape: &[Dim]) -> Result<Vec<Dim>, EmitError> {
    crate::plan::layout::row_major(shape).map_err(dim(stage))
}

fn copy(stage: &Stage) -> Result<Map, EmitError> {
    let lines = vec!["write_y0(y0 + at, read_x0(x0 + at));".to_owned()];
    Ok(Map { what: "The same elements.", lines, count: count(stage, &stage.writes[0].shape)? })
}

fn encode(stage: &Stage) -> Result<Map, EmitError> {
    let lines = vec![
        "const float quotient = rintf((float)read_x0(x0 + at) / read_x1(x1));".to_owned(),
        "const float zero = (float)read_x2(x2);".to_owned(),
        // NaN becomes the zero point.
        "const float code = quotient == quotient ? quotient + zero : zero;".to_owned(),
        "write_y0(y0 + at, (u8)pw_to_int(fminf(fmaxf(code, 0.0f), 255.0f)));".to_owned(),
    ];
    Ok(Map {
        what: "Codes for a scale and a zero point in memory.",
        lines,
        count: count(stage, &stage.writes[0].shape)?,
    })
}

fn pad(w: &mut Writer, mode: PadMode, before: &[i64]) -> Result<Map, EmitError> {
    let stage = w.stage;
    let (from, to) = (stage.reads[0].shape.clone(), stage.writes[0].shape.clone());
    if before.len() != from.len() || to.len() != from.len() {
        return Err(malformed(stage, "pads of another number of axes"));
    }
    let mut lines = coordinates(w, &to);
    let mut terms = Vec::new();
    let mut inside = Vec::new();
    for (a, stride) in strides(stage, &from)?.into_iter().enumerate() {
        let (p, n) = (format!("p{a}"), format!("from{a}"));
        terms.push((p.clone(), stride));
        if before[a] == 0 && from[a] == to[a] {
            lines.push(format!("const off {p} = c{a};"));
            continue;
        }
        w.number(&format!("before{a}"), before[a]);
        w.signed(&n, &from[a]);
        let raw = format!("(off)c{a} - before{a}");
        match mode {
            PadMode::Constant => {
                lines.push(format!("const off {p} = {raw};"));
                inside.push(format!("{p} >= 0 && {p} < {n}"));
            }
            PadMode::Edge => {
                lines.push(format!("const off {p}_raw = {raw};"));
                lines.push(format!("const off {p} = {p}_raw < 0 ? 0 : {p}_raw < {n} ? {p}_raw : {n} - 1;"));
            }
            PadMode::Wrap => {
                lines.push(format!("const off {p}_left = ({raw}) % {n};"));
                lines.push(format!("const off {p} = {p}_left < 0 ? {p}_left + {n} : {p}_left;"));
            }
            PadMode::Reflect => {
                // Back and forth without repeating the ends: a period of 2(n - 1).
                lines.push(format!("const off {p}_period = {n} > 1 ? 2 * ({n} - 1) : 1;"));
                lines.push(format!("const off {p}_left = ({raw}) % {p}_period;"));
                lines.push(format!("const off {p}_up = {p}_left < 0 ? {p}_left + {p}_period : {p}_left;"));
                lines.push(format!("const off {p}_down = {p}_period - {p}_up;"));
                lines.push(format!("const off {p}_near = {p}_up < {p}_down ? {p}_up : {p}_down;"));
                lines.push(format!("const off {p} = {p}_near < {n} ? {p}_near : {n} - 1;"));
            }
        }
    }
    let place = w.offset("x0", &terms);
    lines.push(format!("const off place = {place};"));
    let fill = if stage.reads.len() > 1 { "read_x1(x1)" } else { "0" };
    let value = match inside.is_empty() {
        true => "read_x0(x0 + place)".to_owned(),
        false => format!("{} ? read_x0(x0 + place) : {fill}", inside.join(" && ")),
    };
    lines.push(format!("write_y0(y0 + at, {value});"));
    Ok(Map { what: "A tensor with its ends cut or continued.", lines, count: count(stage, &to)? })
}

/// Lines that define `name`, the index at `place` of an operand, counted from the end if negative and clamped to an axis of `size`.
fn index_line(operand: usize, name: &str, place: &str, size: &str) -> Vec<String> {
    vec![
        format!("const i64 {name}_given = (i64)read_x{operand}(x{operand} + {place});"),
        format!("const i64 {name}_up = {name}_given < 0 ? {name}_given + (i64){size} : {name}_given;"),
        format!("const off {name} = (off)({name}_up < 0 ? 0 : {name}_up < (i64){size} ? {name}_up : (i64){size} - 1);"),
    ]
}

fn gather(w: &mut Writer, axis: usize) -> Result<Map, EmitError> {
    let stage = w.stage;
    w.typed(1);
    let (from, at) = (&stage.reads[0].shape, &stage.reads[1].shape);
    let n = from.get(axis).ok_or_else(|| malformed(stage, "an axis that x has not"))?;
    let (outer, inner) = (count(stage, &from[..axis])?, count(stage, &from[axis + 1..])?);
    let indices = count(stage, at)?;
    let axes = [("outer", outer), ("which", indices), ("inside", inner.clone())];
    let mut lines = w.coordinates("at", &axes.map(|(name, d)| (name.to_owned(), d)));
    w.signed("size", n);
    w.signed("inner", &inner);
    lines.extend(index_line(1, "along", "which", "size"));
    lines.push("write_y0(y0 + at, read_x0(x0 + ((off)outer * size + along) * inner + inside));".into());
    Ok(Map { what: "Slices picked by index.", lines, count: count(stage, &stage.writes[0].shape)? })
}

fn gather_elements(w: &mut Writer, axis: usize) -> Result<Map, EmitError> {
    let stage = w.stage;
    w.typed(1);
    let (from, to) = (stage.reads[0].shape.clone(), stage.writes[0].shape.clone());
    let n =
        from.get(axis).filter(|_| from.len() == to.len()).ok_or_else(|| malformed(stage, "an axis that x has not"))?;
    let mut lines = coordinates(w, &to);
    w.signed("size", n);
    lines.extend(index_line(1, "along", "at", "size"));
    let coordinate = |a: usize| if a == axis { "along".to_owned() } else { format!("c{a}") };
    let terms: Vec<_> = strides(stage, &from)?.into_iter().enumerate().map(|(a, s)| (coordinate(a), s)).collect();
    let place = w.offset("x0", &terms);
    lines.push(format!("write_y0(y0 + at, read_x0(x0 + ({place})));"));
    Ok(Map { what: "Elements picked by index.", lines, count: count(stage, &to)? })
}

/// Lines, and terms of an offset: coordinates with their strides.
type Tuple = (Vec<String>, Vec<(String, Dim)>);

/// Lines that define the terms of an index tuple over axes `first..first + depth` of a tensor; the tuple begins at
/// `place` of the operand.
fn tuple(
    w: &mut Writer,
    operand: usize,
    shape: &[Dim],
    first: usize,
    depth: usize,
    place: &str,
) -> Result<Tuple, EmitError> {
    let (mut lines, mut terms) = (Vec::new(), Vec::new());
    let dense = strides(w.stage, shape)?;
    for d in 0..depth {
        let size = format!("size{d}");
        w.signed(&size, &shape[first + d]);
        lines.extend(index_line(operand, &format!("along{d}"), &format!("{place} + {d}"), &size));
        terms.push((format!("along{d}"), dense[first + d].clone()));
    }
    Ok((lines, terms))
}

fn gather_nd(w: &mut Writer, batch: usize, depth: usize) -> Result<Map, EmitError> {
    let stage = w.stage;
    w.typed(1);
    let (from, at, to) = (stage.reads[0].shape.clone(), stage.reads[1].shape.clone(), stage.writes[0].shape.clone());
    if batch + depth > from.len() || batch >= at.len() {
        return Err(malformed(stage, "index tuples that are longer than x has axes"));
    }
    let batches = count(stage, &from[..batch])?;
    let each = count(stage, &at[batch..at.len() - 1])?;
    let block = count(stage, &from[batch + depth..])?;
    let axes = [("sample", batches), ("which", each.clone()), ("inside", block)];
    let mut lines = w.coordinates("at", &axes.map(|(name, d)| (name.to_owned(), d)));
    w.signed("each", &each);
    lines.push(format!("const off first = ((off)sample * each + which) * {depth};"));
    let (more, mut terms) = tuple(w, 1, &from, batch, depth, "first")?;
    lines.extend(more);
    terms.push(("sample".into(), count(stage, &from[batch..])?));
    terms.push(("inside".into(), Dim::ONE));
    let place = w.offset("x0", &terms);
    lines.push(format!("write_y0(y0 + at, read_x0(x0 + ({place})));"));
    Ok(Map { what: "Blocks picked by index tuples.", lines, count: count(stage, &to)? })
}

fn reverse_sequence(w: &mut Writer, batch_axis: usize, time_axis: usize) -> Result<Map, EmitError> {
    let stage = w.stage;
    w.typed(1);
    let shape = stage.writes[0].shape.clone();
    if batch_axis.max(time_axis) >= shape.len() {
        return Err(malformed(stage, "an axis that x has not"));
    }
    let mut lines = coordinates(w, &shape);
    w.signed("size", &shape[time_axis]);
    lines.push(format!("const i64 given = (i64)read_x1(x1 + c{batch_axis});"));
    lines.push("const off length = (off)(given < 0 ? 0 : given < (i64)size ? given : (i64)size);".into());
    lines.push(format!(
        "const off time = (off)c{time_axis} < length ? length - 1 - (off)c{time_axis} : (off)c{time_axis};"
    ));
    let coordinate = |a: usize| if a == time_axis { "time".to_owned() } else { format!("c{a}") };
    let terms: Vec<_> = strides(stage, &shape)?.into_iter().enumerate().map(|(a, s)| (coordinate(a), s)).collect();
    let place = w.offset("x0", &terms);
    lines.push(format!("write_y0(y0 + at, read_x0(x0 + ({place})));"));
    Ok(Map { what: "Sequences reversed.", lines, count: count(stage, &shape)? })
}

fn one_hot(w: &mut Writer, axis: usize) -> Result<Map, EmitError> {
    let stage = w.stage;
    w.typed(0);
    let (at, to) = (&stage.reads[0].shape, &stage.writes[0].shape);
    let depth = to.get(axis).filter(|_| axis <= at.len()).ok_or_else(|| malformed(stage, "an axis too far"))?;
    let inner = count(stage, &at[axis..])?;
    let axes = [("outer", count(stage, &at[..axis])?), ("k", depth.clone()), ("inside", inner.clone())];
    let mut lines = w.coordinates("at", &axes.map(|(name, d)| (name.to_owned(), d)));
    w.signed("depth", depth);
    w.signed("inner", &inner);
    lines.push("const i64 given = (i64)read_x0(x0 + (off)outer * inner + inside);".into());
    lines.push("const i64 hot = given < 0 ? given + (i64)depth : given;".into());
    lines.push("write_y0(y0 + at, read_x1(x1 + (hot == (i64)k ? 1 : 0)));".into());
    Ok(Map { what: "One element of each lane on, the others off.", lines, count: count(stage, to)? })
}

fn trilu(w: &mut Writer, upper: bool, k: i64) -> Result<Map, EmitError> {
    let stage = w.stage;
    let shape = &stage.writes[0].shape;
    let [outer @ .., rows, columns] = &shape[..] else { return Err(malformed(stage, "fewer than 2 axes")) };
    let axes = [("outer", count(stage, outer)?), ("row", rows.clone()), ("column", columns.clone())];
    let mut lines = w.coordinates("at", &axes.map(|(name, d)| (name.to_owned(), d)));
    w.number("k", k);
    let keep = if upper { ">=" } else { "<=" };
    lines.push(format!("write_y0(y0 + at, (off)column - (off)row {keep} k ? read_x0(x0 + at) : 0);"));
    Ok(Map { what: "Triangles of matrices.", lines, count: count(stage, shape)? })
}

/// The bits of a number of a type, as an unsigned literal.
fn bits(dtype: DType, number: Number) -> String {
    format!("{}ull", Scalar::new(dtype, number).bits())
}

fn eye(w: &mut Writer, k: i64) -> Result<Map, EmitError> {
    let stage = w.stage;
    let to = &stage.writes[0];
    let [_, columns] = &to.shape[..] else { return Err(malformed(stage, "not 2 axes")) };
    let axes = [("row".to_owned(), to.shape[0].clone()), ("column".to_owned(), columns.clone())];
    let mut lines = w.coordinates("at", &axes);
    w.number("k", k);
    lines.push(format!("write_y0(y0 + at, (off)column - (off)row == k ? {} : 0);", bits(to.dtype, Number::Int(1))));
    Ok(Map { what: "Ones on a diagonal.", lines, count: count(stage, &to.shape)? })
}

fn fill(stage: &Stage, value: Scalar) -> Result<Map, EmitError> {
    let to = &stage.writes[0];
    let lines = vec![format!("write_y0(y0 + at, {});", bits(to.dtype, value.number()))];
    Ok(Map { what: "The same number everywhere.", lines, count: count(stage, &to.shape)? })
}

fn sizes(w: &mut Writer, values: &[Dim]) -> Map {
    let mut lines = Vec::new();
    for (i, value) in values.iter().enumerate() {
        w.size(&format!("size{i}"), value);
        lines.push(format!("write_y0(y0 + {i}, (u64)size{i});"));
    }
    Map { what: "Sizes of a tensor.", lines, count: Dim::ONE }
}

/// Lines that put `update` into element `place` of the result.
fn put(w: &Writer, reduction: ScatterReduction) -> Vec<String> {
    let dtype = w.stage.writes[0].dtype;
    // The result is read back, so its loads must not take the path for what never changes.
    let was = format!("get_{dtype}(again<{0}>(y0 + place), 0)", dtype.bytes().unwrap_or(1));
    let value = match reduction {
        ScatterReduction::None => "update".to_owned(),
        ScatterReduction::Add => format!("{was} + update"),
        ScatterReduction::Mul => format!("{was} * update"),
        ScatterReduction::Max => format!("pw_max({was}, update)"),
        ScatterReduction::Min => format!("pw_min({was}, update)"),
    };
    vec![format!("write_y0(y0 + place, {value});")]
}

/// A thread takes one lane of the updates, in order: no two threads meet.
fn scatter_elements(w: &mut Writer, axis: usize, reduction: ScatterReduction) -> Result<Map, EmitError> {
    let stage = w.stage;
    let (at, to) = (stage.reads[0].shape.clone(), stage.writes[0].shape.clone());
    if axis >= at.len() || at.len() != to.len() {
        return Err(malformed(stage, "an axis that x has not"));
    }
    let mut others = at.clone();
    others[axis] = Dim::ONE;
    let mut lines = coordinates(w, &others);
    w.signed("size", &to[axis]);
    w.signed("updates", &at[axis]);
    lines.push("for (off u = 0; u < updates; ++u) {".into());
    let coordinate = |a: usize, own: &str| if a == axis { own.to_owned() } else { format!("c{a}") };
    let terms = |own: &str, strides: Vec<Dim>| -> Vec<(String, Dim)> {
        strides.into_iter().enumerate().map(|(a, s)| (coordinate(a, own), s)).collect()
    };
    let from = w.offset("x0", &terms("u", strides(stage, &at)?));
    lines.push(format!("const off from = {from};"));
    lines.extend(index_line(0, "along", "from", "size"));
    let place = w.offset("y0", &terms("along", strides(stage, &to)?));
    lines.push(format!("const off place = {place};"));
    lines.push("const auto update = read_x1(x1 + from);".into());
    lines.extend(put(w, reduction));
    lines.push("}".into());
    Ok(Map { what: "Updates put by index.", lines, count: count(stage, &others)? })
}

/// A thread takes one element of the blocks, for all updates in order: no two threads meet.
fn scatter_nd(w: &mut Writer, depth: usize, reduction: ScatterReduction) -> Result<Map, EmitError> {
    let stage = w.stage;
    let (at, to) = (stage.reads[0].shape.clone(), stage.writes[0].shape.clone());
    if depth > to.len() || at.is_empty() {
        return Err(malformed(stage, "index tuples that are longer than x has axes"));
    }
    let (tuples, block) = (count(stage, &at[..at.len() - 1])?, count(stage, &to[depth..])?);
    w.signed("updates", &tuples);
    w.signed("block", &block);
    let mut lines = vec!["for (off u = 0; u < updates; ++u) {".to_owned()];
    let (more, mut terms) = tuple(w, 0, &to, 0, depth, &format!("u * {depth}"))?;
    lines.extend(more);
    terms.push(("at".into(), Dim::ONE));
    let place = w.offset("y0", &terms);
    lines.push(format!("const off place = {place};"));
    lines.push("const auto update = read_x1(x1 + u * block + at);".into());
    lines.extend(put(w, reduction));
    lines.push("}".into());
    Ok(Map { what: "Blocks put by index tuples.", lines, count: block })
}
