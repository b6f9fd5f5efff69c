//! Scans and selections along lanes.

use super::lanes::places;
use super::writer::Writer;
use super::{count, malformed};
use crate::emit::types::Class;
use crate::emit::{Blocks, EmitError, KernelSource, Options};
use crate::plan::Stage;
use crate::plan::routine::Lanes;
use tera::Context;

/// Running sums or products. A warp adds 32 elements in a tree and goes on with their total: element i of a lane takes
/// ⌈i / 32⌉ + 5 roundings.
pub fn scan(
    stage: &Stage,
    product: bool,
    exclusive: bool,
    reverse: bool,
    lanes: &Lanes,
    options: &Options,
) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    // Integers wrap; products leave the range of f32 on their way to a result within it.
    let held = match class {
        Class::Int(_) => "u64",
        Class::F32 if !product => "float",
        _ => "double",
    };
    let (kept, along) = (count(stage, &lanes.kept)?, count(stage, &lanes.along)?);
    w.size("lanes", &kept);
    w.size("n", &along);
    let (starts, places) = places(&mut w, lanes);
    let mut context = Context::new();
    context.insert("what", "Running sums or products of each lane.");
    context.insert("held", held);
    context.insert("c_type", class.c_type());
    context.insert("op", if product { "*" } else { "+" });
    context.insert("start", if product { "1" } else { "0" });
    context.insert("exclusive", &exclusive);
    context.insert("reverse", &reverse);
    context.insert("starts", &starts);
    context.insert("places", &places);
    w.finish("routines/scan", context, 128, Blocks::Tiles(vec![(kept, 4)]), options)
}

/// The first `k` of each lane in order.
pub fn top_k(
    stage: &Stage,
    largest: bool,
    k: u64,
    lanes: &Lanes,
    options: &Options,
) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    let (kept, along) = (count(stage, &lanes.kept)?, count(stage, &lanes.along)?);
    w.size("lanes", &kept);
    w.size("n", &along);
    w.number("k", i64::try_from(k).map_err(|_| malformed(stage, "k is too large"))?);
    let (starts, within) = places(&mut w, lanes);
    let without = |pointer: &str| -> Vec<&String> {
        within.iter().filter(|line| !line.starts_with(&format!("const off {pointer}"))).collect()
    };
    let (reads, results) = (without("y"), without("x"));
    let mut context = Context::new();
    context.insert("what", "The first of each lane in order, and their indices.");
    context.insert("c_type", class.c_type());
    context.insert("starts", &starts);
    context.insert("places", &reads);
    context.insert("results", &results);
    context.insert("behind", &before("last", "last_place", "x", "(i64)i", largest, class));
    context.insert("better", &before("x", "(i64)i", "best", "place", largest, class));
    context.insert("better_o", &before("best_o", "place_o", "best", "place", largest, class));
    w.finish("routines/topk", context, 256, Blocks::Tiles(vec![(kept, 1)]), options)
}

/// Whether element `a` at place `a_at` comes before `b`: by value, NaN being the largest, and equal ones by place.
fn before(a: &str, a_at: &str, b: &str, b_at: &str, largest: bool, class: Class) -> String {
    let (high, low) = if largest { (a, b) } else { (b, a) };
    match class {
        Class::Int(_) => format!("({high} > {low} || ({a} == {b} && {a_at} < {b_at}))"),
        _ => format!(
            "({high} > {low} || ({high} != {high} && {low} == {low}) || (({a} == {b} || ({a} != {a} && {b} != {b})) && {a_at} < {b_at}))"
        ),
    }
}
