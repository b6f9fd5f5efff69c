//! The page of a sensitivity analysis.

use super::plot::{Axis, Tick, series};
use super::{PageError, decibels, percent, render};
use crate::name::Shown;
use crate::quant::sensitivity::{Found, Sensitivity, TappedGroup, WhatIf};
use serde::Serialize;

/// Units of the plots: as wide as the page's text.
const WIDTH: f64 = 960.0;
/// Room for the names of groups.
const NAMES: f64 = 300.0;
/// Room for the bars of noise.
const BARS: f64 = 150.0;
const ROW: f64 = 20.0;
/// Characters of a name that fit into its room.
const LETTERS: usize = 42;

#[derive(Serialize)]
struct Page {
    title: String,
    samples: usize,
    groups: usize,
    quantized_macs: String,
    points: Vec<PointTile>,
    dots: Dots,
    curve: Option<Curve>,
    rows: Vec<Vec<String>>,
    float: Vec<[String; 2]>,
    chosen: Vec<Vec<String>>,
    outcome: Option<String>,
    taps: Vec<TapTable>,
    what_if: Vec<WhatIfTable>,
}

#[derive(Serialize)]
struct PointTile {
    name: String,
    about: String,
    class: String,
    db: String,
    /// With the chosen groups in float.
    after: Option<String>,
}

/// For each group a row of dots: dB at each point when it alone is on codes, and a bar: its share of the noise.
#[derive(Serialize)]
struct Dots {
    width: f64,
    height: f64,
    left: f64,
    bars: f64,
    bottom: f64,
    ticks: Vec<Tick>,
    lines: Vec<Line>,
    rows: Vec<DotRow>,
}

/// What the model reaches with every group on codes.
#[derive(Serialize)]
struct Line {
    x: f64,
    class: String,
}

#[derive(Serialize)]
struct DotRow {
    y: f64,
    name: String,
    full: String,
    chosen: bool,
    dots: Vec<Dot>,
    bar: f64,
    share: String,
}

#[derive(Serialize)]
struct Dot {
    x: f64,
    y: f64,
    class: String,
    label: String,
}

/// dB at each point after each group that was left in float.
#[derive(Serialize)]
struct Curve {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    x: Vec<Tick>,
    y: Vec<Tick>,
    series: Vec<Series>,
}

#[derive(Serialize)]
struct Series {
    class: String,
    path: String,
    dots: Vec<Dot>,
}

#[derive(Serialize)]
struct TapTable {
    name: String,
    rows: Vec<[String; 5]>,
}

#[derive(Serialize)]
struct WhatIfTable {
    title: String,
    rows: Vec<Vec<String>>,
}

/// The page, of one analysis and what was asked for beside it.
///
/// # Errors
/// Only if a template is damaged.
pub fn sensitivity(
    found: &Sensitivity,
    search: Option<&Found>,
    taps: &[TappedGroup],
    what_if: &[WhatIf],
) -> Result<String, PageError> {
    let tiles = found.points.iter().enumerate().map(|(i, point)| PointTile {
        name: shown(&point.name),
        about: shown(&point.about),
        class: series(i),
        db: decibels(point.db),
        after: search.map(|search| decibels(search.db[i])),
    });
    let page = Page {
        title: shown(&found.model),
        samples: found.samples,
        groups: found.groups.len(),
        quantized_macs: percent(search.map_or(found.quantized_macs, |search| search.quantized_macs)),
        points: tiles.collect(),
        dots: dots(found, search),
        curve: search.filter(|search| !search.steps.is_empty()).map(|search| curve(found, search)),
        rows: found.groups.iter().map(row).collect(),
        float: found.float.iter().map(|(name, reason)| [shown(name), shown(reason)]).collect(),
        chosen: search.map_or(Vec::new(), chosen),
        outcome: search.map(outcome),
        taps: taps.iter().map(tap_table).collect(),
        what_if: what_if.iter().map(what_if_table).collect(),
    };
    render("sensitivity.html", &page)
}

fn shown(name: &str) -> String {
    Shown(name).to_string()
}

/// A name that fits into its room: the end tells groups of one model apart.
fn short(name: &str) -> String {
    let name = shown(name);
    match name.chars().count().checked_sub(LETTERS) {
        Some(over) if over > 0 => format!("…{}", name.chars().skip(over + 1).collect::<String>()),
        _ => name,
    }
}

fn dots(found: &Sensitivity, search: Option<&Found>) -> Dots {
    let all = found.groups.iter().flat_map(|row| row.alone_quantized.iter().copied());
    let (left, right) = (NAMES + 10.0, WIDTH - BARS - 20.0);
    let axis = Axis::over(all.chain(found.points.iter().map(|point| point.db)), left, right);
    let most = found.groups.iter().map(|row| row.noise).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let rows = (0..).zip(&found.groups).map(|(i, group)| {
        let y = 30.0 + ROW * f64::from(i);
        let dot = |(p, db): (usize, &f64)| Dot {
            x: axis.at(*db),
            y,
            class: series(p),
            label: format!("{} dB at {}", decibels(*db), shown(&found.points[p].name)),
        };
        DotRow {
            y,
            name: short(&group.name),
            full: format!("{}: {}", shown(&group.name), shown(&group.ops)),
            chosen: search.is_some_and(|search| search.float.contains(&group.name)),
            dots: group.alone_quantized.iter().enumerate().map(dot).collect(),
            bar: (group.noise / most * (BARS - 50.0) * 10.0).round() / 10.0,
            share: percent(group.noise),
        }
    });
    let rows: Vec<DotRow> = rows.collect();
    let bottom = 30.0 + ROW * rows.len() as f64;
    let line =
        |(i, point): (usize, &crate::quant::sensitivity::PointRow)| Line { x: axis.at(point.db), class: series(i) };
    Dots {
        width: WIDTH,
        height: bottom + 30.0,
        left: NAMES,
        bars: WIDTH - BARS,
        bottom,
        ticks: axis.ticks(),
        lines: found.points.iter().enumerate().map(line).collect(),
        rows,
    }
}

fn curve(found: &Sensitivity, search: &Found) -> Curve {
    let (left, right, bottom) = (50.0, WIDTH - 20.0, 230.0);
    let of = |p: usize| {
        let first = found.points[p].db;
        std::iter::once(first).chain(search.steps.iter().map(move |step| step.db[p])).collect::<Vec<f64>>()
    };
    let all: Vec<Vec<f64>> = (0..found.points.len()).map(of).collect();
    let x = Axis::over([0.0, search.steps.len() as f64], left, right);
    let y = Axis::over(all.iter().flatten().copied(), bottom, 20.0);
    let line = |(p, values): (usize, &Vec<f64>)| {
        let dots: Vec<Dot> = (0..)
            .zip(values)
            .map(|(i, db)| Dot {
                x: x.at(f64::from(i)),
                y: y.at(*db),
                class: series(p),
                label: format!("{i} in float: {} dB at {}", decibels(*db), shown(&found.points[p].name)),
            })
            .collect();
        let path: Vec<String> = dots.iter().map(|dot| format!("{} {}", dot.x, dot.y)).collect();
        Series { class: series(p), path: format!("M{}", path.join("L")), dots }
    };
    let series = all.iter().enumerate().map(line).collect();
    // Groups come whole.
    let whole = x.ticks().into_iter().filter(|tick| !tick.label.contains('.')).collect();
    Curve { width: WIDTH, height: 270.0, left, right, bottom, x: whole, y: y.ticks(), series }
}

fn row(row: &crate::quant::sensitivity::GroupRow) -> Vec<String> {
    let mut cells = vec![shown(&row.name), shown(&row.ops), percent(row.noise), percent(row.macs)];
    cells.extend(row.alone_quantized.iter().chain(&row.alone_float).map(|db| decibels(*db)));
    cells
}

fn chosen(search: &Found) -> Vec<Vec<String>> {
    let step = |step: &crate::quant::sensitivity::Step| {
        let mut cells = vec![shown(&step.group), percent(step.quantized_macs)];
        cells.extend(step.db.iter().map(|db| decibels(*db)));
        cells.push(if search.dropped.contains(&step.group) { "superfluous in the end".into() } else { String::new() });
        cells
    };
    search.steps.iter().map(step).collect()
}

fn outcome(search: &Found) -> String {
    let (n, macs) = (search.float.len(), percent(search.quantized_macs));
    let goal = if search.met { "the goal is reached" } else { "the goal is not reached" };
    format!("With {n} groups in float {goal}, and {macs} of the multiply-adds are on codes.")
}

fn tap_table(group: &TappedGroup) -> TapTable {
    let rows = group
        .ops
        .iter()
        .map(|tap| [tap.op.clone(), shown(&tap.value), decibels(tap.float), decibels(tap.alone), decibels(tap.all)]);
    TapTable { name: shown(&group.name), rows: rows.collect() }
}

fn what_if_table(found: &WhatIf) -> WhatIfTable {
    let row = |name: &str, db: &[f64]| {
        std::iter::once(name.to_string()).chain(db.iter().map(|db| decibels(*db))).collect::<Vec<String>>()
    };
    let mut rows = vec![
        row("in float, every one replaced", &found.float),
        row("on codes, as it is", &found.quantized),
        row("on codes, every one replaced", &found.quantized_replaced),
    ];
    rows.extend(found.each.iter().map(|(value, db)| row(&format!("in float, only {}", Shown(value)), db)));
    WhatIfTable { title: format!("{} replaced by {}", found.from, found.to), rows }
}
