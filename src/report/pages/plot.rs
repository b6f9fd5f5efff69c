//! Where things stand in a plot.

use serde::Serialize;

/// A linear axis: values from `low` to `high` lie from `from` to `to`.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    pub at: f64,
    pub label: String,
}

impl Axis {
    /// An axis over all finite values, its ends on round numbers.
    pub fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Axis {
        let finite = values.into_iter().filter(|x| x.is_finite());
        let ends = finite.fold(None, |ends: Option<(f64, f64)>, x| {
            Some(ends.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
        });
        let (low, high) = ends.unwrap_or((0.0, 1.0));
        let step = step(high - low);
        let (low, mut high) = ((low / step).floor() * step, (high / step).ceil() * step);
        if high <= low {
            high = low + step;
        }
        Axis { low, high, from, to }
    }

    /// The place of a value, held within the axis: what is infinite lies at an end. Rounded to a tenth of a unit.
    pub fn at(&self, x: f64) -> f64 {
        let share = if x.is_nan() { 0.0 } else { ((x - self.low) / (self.high - self.low)).clamp(0.0, 1.0) };
        ((self.from + share * (self.to - self.from)) * 10.0).round() / 10.0
    }

    /// Marks at round numbers.
    pub fn ticks(&self) -> Vec<Tick> {
        let step = step(self.high - self.low);
        let count = ((self.high - self.low) / step).round() as usize;
        let mark = |i: usize| {
            let value = self.low + i as f64 * step;
            // The nearest multiple of the step, so that 0.30000000000000004 is written 0.3.
            Tick { at: self.at(value), label: super::number((value / step).round() * step) }
        };
        (0..=count).map(mark).collect()
    }
}

/// 1, 2 or 5 times a power of ten, four to ten of which make the span.
fn step(span: f64) -> f64 {
    if !(span.is_finite() && span > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf((span / 4.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|n| n * power);
    steps.into_iter().find(|s| span / s >= 4.0).unwrap_or(power)
}

/// The colours of series, by their classes in the style sheet; more series share the last.
pub fn series(i: usize) -> String {
    format!("s{}", i.min(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        let axis = Axis::over([13.2, 37.9, f64::INFINITY], 0.0, 100.0);
        let labels: Vec<String> = axis.ticks().into_iter().map(|t| t.label).collect();
        assert_eq!(labels, ["10", "15", "20", "25", "30", "35", "40"]);
        assert_eq!([axis.at(10.0), axis.at(25.0), axis.at(f64::INFINITY), axis.at(f64::NAN)], [0.0, 50.0, 100.0, 0.0]);
        assert_eq!(Axis::over([0.1, 0.4], 0.0, 1.0).ticks().len(), 7);
        assert!(Axis::over([5.0], 0.0, 1.0).ticks().len() > 1);
        assert!(Axis::over([], 0.0, 1.0).ticks().len() > 1);
    }
}
