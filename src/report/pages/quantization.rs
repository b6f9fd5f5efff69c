//! The page of a calibration: every tensor's range, histogram, codes and calibrators.

use super::plot::{Axis, Tick};
use super::{PageError, decibels, number, percent, render};
use crate::name::Shown;
use crate::quant::{ActivationAudit, Audit, Histogram};
use serde::Serialize;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 110.0;
/// Bars of a histogram; a tensor's own are summed up to these.
const BARS: usize = 84;

#[derive(Serialize)]
struct Page {
    title: String,
    samples: u64,
    tensors: usize,
    quantized_macs: String,
    worst: String,
    warnings: Vec<[String; 3]>,
    activations: Vec<Tensor>,
    weights: Vec<Vec<String>>,
    float: Vec<[String; 2]>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    reason: String,
    facts: Vec<[String; 2]>,
    calibrators: Vec<Row>,
    histogram: Bars,
}

#[derive(Serialize)]
struct Row {
    cells: [String; 4],
    best: bool,
}

#[derive(Serialize)]
struct Bars {
    width: f64,
    height: f64,
    bars: Vec<Bar>,
    ticks: Vec<Tick>,
    /// The ends of the codes' range, where they lie within the plot.
    range: Vec<f64>,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
    /// Beyond the codes' range.
    beyond: bool,
}

/// The page of an audit.
///
/// # Errors
/// Only if a template is damaged.
pub fn quantization(audit: &Audit) -> Result<String, PageError> {
    let shown = |name: &str| Shown(name).to_string();
    let worst = audit.activations.iter().map(|a| a.db).fold(f64::INFINITY, f64::min);
    let weights = audit.weights.iter().map(|w| {
        vec![
            shown(&w.name),
            shown(&w.group),
            w.channels.to_string(),
            format!("{} … {}", number(w.smallest_scale.into()), number(w.largest_scale.into())),
            w.zero_channels.to_string(),
            decibels(w.db),
        ]
    });
    let cost = |db: Option<f64>| db.map_or(String::new(), |db| format!("{db:.1} dB"));
    let warnings = audit.warnings.iter().map(|w| [shown(&w.about), w.what.clone(), cost(w.cost_db)]);
    let page = Page {
        title: shown(&audit.model),
        samples: audit.samples,
        tensors: audit.activations.len(),
        quantized_macs: percent(audit.quantized_macs),
        worst: decibels(worst),
        warnings: warnings.collect(),
        activations: audit.activations.iter().map(tensor).collect(),
        weights: weights.collect(),
        float: audit.float.iter().map(|(name, reason)| [shown(name), shown(reason)]).collect(),
    };
    render("quantization.html", &page)
}

fn tensor(a: &ActivationAudit) -> Tensor {
    let h = &a.histogram;
    let facts = [
        ("range", format!("{} … {}", number(h.min), number(h.max))),
        ("codes", format!("{}, {} … {}", a.dtype, number(a.low), number(a.high))),
        ("scale, zero point", format!("{}, {}", number(a.scale.into()), a.zero_point)),
        ("clipped", percent(a.clipped)),
        ("SQNR of the codes", format!("{} dB", decibels(a.db))),
        ("values seen", h.count.to_string()),
        ("NaN, infinite", format!("{}, {}", h.nan, h.infinite)),
    ];
    let best = a.calibrators.iter().map(|(_, c)| c.sqnr_db).fold(f64::NEG_INFINITY, f64::max);
    let calibrators = a.calibrators.iter().map(|(name, c)| Row {
        cells: [name.clone(), number(c.scale.into()), percent(c.clipped), decibels(c.sqnr_db)],
        best: c.sqnr_db == best,
    });
    Tensor {
        name: Shown(&a.name).to_string(),
        reason: Shown(&a.reason).to_string(),
        facts: facts
            .into_iter()
            .filter(|(what, text)| !(*what == "NaN, infinite" && text == "0, 0"))
            .map(|(a, b)| [a.into(), b])
            .collect(),
        calibrators: calibrators.collect(),
        histogram: bars(h, a.low, a.high, f64::from(a.scale) / 2.0),
    }
}

/// A histogram with the logarithm of its counts for height, so that a single far value is seen. What lies more than `half` a code beyond
/// the range is marked.
fn bars(h: &Histogram, low: f64, high: f64, half: f64) -> Bars {
    let axis = Axis::over([h.min, h.max, 0.0], 6.0, WIDTH - 6.0);
    let bottom = HEIGHT - 20.0;
    let mut counts = [0u64; BARS];
    let mut beyond = [true; BARS];
    let width = (WIDTH - 12.0) / BARS as f64;
    for (x, n) in h.bins() {
        let at = (((axis.at(x) - 6.0) / width) as usize).min(BARS - 1);
        counts[at] += n;
        beyond[at] &= x < low - half || x > high + half;
    }
    let most = (counts.iter().copied().max().unwrap_or(0) as f64).ln_1p().max(f64::MIN_POSITIVE);
    let round = |x: f64| (x * 10.0).round() / 10.0;
    let bar = |(i, n): (usize, &u64)| {
        let h = ((*n as f64).ln_1p() / most * (bottom - 6.0)).max(1.5);
        Bar {
            x: round(6.0 + i as f64 * width),
            y: round(bottom - h),
            w: round(width - 0.6),
            h: round(h),
            beyond: beyond[i],
        }
    };
    let inside = |x: &f64| *x >= h.min.min(0.0) && *x <= h.max.max(0.0);
    let mut ticks = axis.ticks();
    // Every other label where they would touch.
    if ticks.len() > 7 {
        ticks = ticks.into_iter().step_by(2).collect();
    }
    Bars {
        width: WIDTH,
        height: HEIGHT,
        bars: counts.iter().enumerate().filter(|(_, n)| **n > 0).map(bar).collect(),
        ticks,
        range: [low, high].into_iter().filter(inside).map(|x| axis.at(x)).collect(),
    }
}
