//! Calibrators: from a histogram to a scale and a zero point.

use super::Histogram;
use crate::dtype::DType;
use crate::qparams;
use crate::scalar::Number;
use serde::{Deserialize, Serialize};

/// How the range that codes shall cover is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// All of it.
    MinMax,
    /// All of it, and beyond each end this share of that end: what other data hold is larger than what was calibrated on.
    Margin(f64),
    /// The given percentage of the values; the rest is clipped.
    Percentile(f64),
    /// The threshold whose quantized distribution has the least Kullback–Leibler divergence from the clipped one.
    Entropy,
    /// The range whose codes have the least mean squared error.
    Mse,
    /// The range whose codes have the least mean error to this power. The higher it is the less is clipped: rare large values are often
    /// those that decide a score, and other data may have larger ones.
    Power(u8),
}

/// Whether the zero point is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symmetry {
    /// Zero point 0, and for signed codes −127 … 127, so that a code and its negative both exist.
    Symmetric,
    Asymmetric,
}

/// What kind of codes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Codes {
    /// i8, u8, i16 or u16.
    pub dtype: DType,
    pub symmetry: Symmetry,
}

/// The outcome for one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    pub scale: f32,
    pub zero_point: i32,
    /// Share of the finite values beyond the codes' range.
    pub clipped: f64,
    /// Signal power over error power, in dB, by the histogram's bins; infinite (null in JSON) where nothing is lost.
    pub sqnr_db: f64,
    /// What the user should know: a constant tensor, NaN in the data, no data.
    pub warnings: Vec<String>,
}

impl Calibrator {
    /// A fifth beyond what was seen.
    pub const MARGIN: Calibrator = Calibrator::Margin(0.2);

    /// The calibrator of a model's own input: how it is prepared bounds it, so that there is nothing beyond what was seen to leave room for.
    pub fn of_input(self) -> Calibrator {
        match self {
            Calibrator::Margin(_) => Calibrator::MinMax,
            other => other,
        }
    }
}

impl Codes {
    /// The codes that are used.
    fn codes(self) -> (i32, i32) {
        let (low, high) = self.dtype.int_range().unwrap_or((-128, 127));
        let (low, high) = (low as i32, high as i32);
        match self.symmetry {
            Symmetry::Symmetric if low < 0 => (-high, high),
            _ => (low, high),
        }
    }

    /// Scale and zero point so that [low, high], widened to hold 0, is covered.
    fn fit(self, low: f64, high: f64) -> (f32, i32) {
        let (first, last) = self.codes();
        let (low, high) = (low.min(0.0), high.max(0.0));
        let smallest = f64::from(f32::MIN_POSITIVE);
        match self.symmetry {
            Symmetry::Symmetric => {
                let reach = if first < 0 { high.max(-low) } else { high };
                (((reach / f64::from(last)).max(smallest)) as f32, 0)
            }
            Symmetry::Asymmetric => {
                let scale = ((high - low) / f64::from(last - first)).max(smallest) as f32;
                let zero = (f64::from(first) - low / f64::from(scale)).round_ties_even();
                (scale, zero.clamp(f64::from(first), f64::from(last)) as i32)
            }
        }
    }
}

/// Chooses scale and zero point for what the histogram saw.
pub fn calibrate(histogram: &Histogram, calibrator: Calibrator, codes: Codes) -> Calibration {
    let mut warnings = Vec::new();
    if histogram.nan + histogram.infinite > 0 {
        warnings.push(format!("{} NaN and {} infinities were left out", histogram.nan, histogram.infinite));
    }
    if histogram.count == 0 {
        warnings.push("no finite value was seen; scale 1 stands in".to_string());
        return Calibration { scale: 1.0, zero_point: 0, clipped: 0.0, sqnr_db: f64::INFINITY, warnings };
    }
    if histogram.min == histogram.max {
        warnings.push(format!(
            "every value is {}, and its codes will fit no other; give data that vary it, or leave out what computes it",
            histogram.min
        ));
    }
    let (scale, zero_point) = match calibrator {
        _ if histogram.min == 0.0 && histogram.max == 0.0 => (1.0, 0),
        Calibrator::MinMax => codes.fit(histogram.min, histogram.max),
        Calibrator::Margin(share) => codes.fit(histogram.min * (1.0 + share), histogram.max * (1.0 + share)),
        Calibrator::Percentile(p) => percentile(histogram, p, codes),
        Calibrator::Entropy => entropy(histogram, codes),
        Calibrator::Mse => least_error(histogram, codes),
        Calibrator::Power(power) => {
            search(histogram, codes, |scale, zero| error_to_power(histogram, scale, zero, codes, power))
        }
    };
    let (error, power, clipped) = loss(histogram, scale, zero_point, codes);
    let sqnr_db = 10.0 * (power / error).log10();
    Calibration { scale, zero_point, clipped: clipped / histogram.count as f64, sqnr_db, warnings }
}

/// The mean squared error of codes with this scale and zero point, by the histogram's bins.
pub fn mean_squared_error(histogram: &Histogram, scale: f32, zero_point: i32, codes: Codes) -> f64 {
    loss(histogram, scale, zero_point, codes).0 / histogram.count.max(1) as f64
}

/// Signal power over error power of codes with this scale and zero point, in dB; infinite where nothing is lost.
pub fn sqnr_db(histogram: &Histogram, scale: f32, zero_point: i32, codes: Codes) -> f64 {
    let (error, power, _) = loss(histogram, scale, zero_point, codes);
    10.0 * (power / error).log10()
}

/// Sums over all values: squared error, square, and the number clipped.
fn loss(histogram: &Histogram, scale: f32, zero_point: i32, codes: Codes) -> (f64, f64, f64) {
    let (first, last) = codes.codes();
    let (s, zero) = (f64::from(scale), Number::Int(zero_point.into()));
    // A value is clipped when its nearest code would lie beyond the ends, not when it rounds to an end.
    let reach = |code: i32, half: f64| (f64::from(code - zero_point) + half) * s;
    let (low, high) = (reach(first, -0.5), reach(last, 0.5));
    let (mut error, mut power, mut clipped) = (0.0, 0.0, 0.0);
    for (x, n) in histogram.bins() {
        let n = n as f64;
        let code = qparams::quantize(x, s, zero, codes.dtype).as_i128().clamp(first.into(), last.into());
        let back = qparams::dequantize(Number::Int(code), s, zero);
        // Within a bin values are spread evenly: its width adds w²/12 where the bin is narrower than a code.
        let spread = if histogram.width() < s { histogram.width().powi(2) / 12.0 } else { 0.0 };
        error += n * ((x - back).powi(2) + if histogram.min == histogram.max { 0.0 } else { spread });
        power += n * x * x;
        clipped += if x < low || x > high { n } else { 0.0 };
    }
    (error, power, clipped)
}

/// The sum of the errors of all values to a power.
fn error_to_power(histogram: &Histogram, scale: f32, zero_point: i32, codes: Codes, power: u8) -> f64 {
    let (first, last) = codes.codes();
    let (s, zero) = (f64::from(scale), Number::Int(zero_point.into()));
    let error = |(x, n): (f64, u64)| {
        let code = qparams::quantize(x, s, zero, codes.dtype).as_i128().clamp(first.into(), last.into());
        let error = (x - qparams::dequantize(Number::Int(code), s, zero)).abs();
        // Within a bin values are spread evenly, so the error is no less than that of a code of the bin's width.
        n as f64 * error.max(histogram.width().min(s) / 4.0).powi(power.into())
    };
    histogram.bins().map(error).sum()
}

fn percentile(histogram: &Histogram, p: f64, codes: Codes) -> (f32, i32) {
    let keep = (p / 100.0).clamp(0.0, 1.0);
    match codes.symmetry {
        Symmetry::Symmetric => {
            let target = keep * histogram.count as f64;
            let mut below = 0.0;
            let counts = histogram.magnitudes();
            let reach = counts.iter().position(|n| {
                below += *n as f64;
                below >= target
            });
            let reach = (reach.unwrap_or(counts.len()) + 1) as f64 * histogram.width();
            let reach = reach.min(histogram.max.abs().max(histogram.min.abs()));
            codes.fit(-reach, reach)
        }
        Symmetry::Asymmetric => {
            let tail = (1.0 - keep) / 2.0;
            codes.fit(histogram.quantile(tail), histogram.quantile(1.0 - tail))
        }
    }
}

/// Tries the given shares of a range's two ends and keeps the best by `cost`. Ends move one at a time until neither improves.
fn search(histogram: &Histogram, codes: Codes, cost: impl Fn(f32, i32) -> f64) -> (f32, i32) {
    const STEPS: i32 = 100;
    let share = |k: i32| f64::from(k) / f64::from(STEPS);
    let at = |a: i32, b: i32| codes.fit(histogram.min * share(a), histogram.max * share(b));
    let cost_at = |a: i32, b: i32| {
        let (scale, zero) = at(a, b);
        cost(scale, zero)
    };
    if codes.symmetry == Symmetry::Symmetric {
        let best = (1..=STEPS).rev().min_by(|a, b| cost_at(*a, *a).total_cmp(&cost_at(*b, *b))).unwrap_or(STEPS);
        return at(best, best);
    }
    let (mut a, mut b) = (STEPS, STEPS);
    loop {
        let high = (1..=STEPS).rev().min_by(|x, y| cost_at(a, *x).total_cmp(&cost_at(a, *y))).unwrap_or(b);
        let low = (0..=STEPS).rev().min_by(|x, y| cost_at(*x, high).total_cmp(&cost_at(*y, high))).unwrap_or(a);
        if cost_at(low, high) >= cost_at(a, b) {
            return at(a, b);
        }
        (a, b) = (low, high);
    }
}

fn least_error(histogram: &Histogram, codes: Codes) -> (f32, i32) {
    search(histogram, codes, |scale, zero| mean_squared_error(histogram, scale, zero, codes))
}

/// The divergence of Migacz's calibration (GTC 2017), for any codes: P is the histogram within the codes' range with what lies beyond
/// added to its end bins; Q is the same without what lies beyond, each code's count spread evenly over the code's filled bins.
fn entropy(histogram: &Histogram, codes: Codes) -> (f32, i32) {
    let bins: Vec<(f64, f64)> = histogram.bins().map(|(x, n)| (x, n as f64)).collect();
    let (first, last) = codes.codes();
    search(histogram, codes, |scale, zero| {
        let (low, high) = (f64::from(first - zero) * f64::from(scale), f64::from(last - zero) * f64::from(scale));
        let begin = bins.partition_point(|(x, _)| *x < low);
        let end = bins.partition_point(|(x, _)| *x <= high);
        let inside = &bins[begin..end];
        if inside.is_empty() {
            return f64::INFINITY;
        }
        let sum = |bins: &[(f64, f64)]| bins.iter().map(|(_, n)| n).sum::<f64>();
        let (below, above, kept) = (sum(&bins[..begin]), sum(&bins[end..]), sum(inside));
        let code = |(x, _): &(f64, f64)| qparams::quantize(*x, scale.into(), Number::Int(zero.into()), codes.dtype);
        let mut divergence = 0.0;
        let mut at = 0;
        for group in inside.chunk_by(|a, b| code(a) == code(b)) {
            let q = sum(group) / group.len() as f64 / kept;
            for (_, n) in group {
                let outliers = if at == 0 { below } else { 0.0 } + if at + 1 == inside.len() { above } else { 0.0 };
                let p = (n + outliers) / (kept + below + above);
                divergence += p * (p / q).ln();
                at += 1;
            }
        }
        divergence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMMETRIC: Codes = Codes { dtype: DType::I8, symmetry: Symmetry::Symmetric };
    const ASYMMETRIC: Codes = Codes { dtype: DType::U8, symmetry: Symmetry::Asymmetric };

    /// Normal values (Box–Muller over a low-discrepancy sequence) with one outlier far away.
    fn normal(outlier: f64) -> Histogram {
        let mut h = Histogram::default();
        let golden = 0.618_033_988_749_895;
        let values: Vec<f64> = (1..20_000)
            .map(|i| {
                let (u, v) = ((f64::from(i) * golden).fract().max(1e-9), f64::from(i) / 20_000.0);
                (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
            })
            .chain([outlier])
            .collect();
        h.extend(values);
        h
    }

    #[test]
    fn min_max_covers_the_ends_exactly() {
        let h = normal(40.0);
        let c = calibrate(&h, Calibrator::MinMax, SYMMETRIC);
        assert_eq!((c.scale, c.zero_point), ((40.0f64 / 127.0) as f32, 0));
        assert_eq!(c.clipped, 0.0);
        let c = calibrate(&h, Calibrator::MinMax, ASYMMETRIC);
        assert!((f64::from(0 - c.zero_point) * f64::from(c.scale) - h.min).abs() <= f64::from(c.scale));
    }

    #[test]
    fn a_margin_leaves_room_beyond_what_was_seen() {
        let h = normal(40.0);
        for codes in [SYMMETRIC, ASYMMETRIC] {
            let c = calibrate(&h, Calibrator::Margin(0.25), codes);
            let (zero, s) = (Number::Int(c.zero_point.into()), f64::from(c.scale));
            let back = |x: f64| qparams::dequantize(qparams::quantize(x, s, zero, codes.dtype), s, zero);
            assert!((back(49.5) - 49.5).abs() <= s && back(51.0) < 50.0 + s, "{} {}", back(49.5), back(51.0));
        }
        assert_eq!(Calibrator::MARGIN.of_input(), Calibrator::MinMax);
    }

    #[test]
    fn an_outlier_is_clipped_by_all_but_min_max_and_mse_loses_least() {
        for codes in [SYMMETRIC, ASYMMETRIC] {
            let h = normal(40.0);
            let db = |c| calibrate(&h, c, codes).sqnr_db;
            let all = [Calibrator::MinMax, Calibrator::Percentile(99.99), Calibrator::Entropy, Calibrator::Mse].map(db);
            assert!(all[3] >= all[0] && all[3] >= all[1] - 0.1 && all[3] >= all[2] - 0.1, "{all:?}");
            assert!(calibrate(&h, Calibrator::Percentile(99.99), codes).scale < 0.08);
            assert!(calibrate(&h, Calibrator::Entropy, codes).scale < 0.2);
            // Higher powers clip less.
            let scale = |c| calibrate(&h, c, codes).scale;
            let scales = [Calibrator::Mse, Calibrator::Power(3), Calibrator::Power(8), Calibrator::MinMax].map(scale);
            assert!(scales.is_sorted() && scales[0] < scales[3], "{scales:?}");
        }
    }

    #[test]
    fn silus_lopsided_range_wants_a_zero_point() {
        let mut h = Histogram::default();
        let silu = |x: f64| x / (1.0 + (-x).exp());
        h.extend((0..10_000).map(|i| silu(f64::from(i) / 625.0 - 8.0)).collect::<Vec<_>>());
        let (s, a) = (calibrate(&h, Calibrator::MinMax, SYMMETRIC), calibrate(&h, Calibrator::MinMax, ASYMMETRIC));
        assert!(a.sqnr_db > s.sqnr_db + 5.0, "{} {}", a.sqnr_db, s.sqnr_db);
    }

    #[test]
    fn odd_data_gives_usable_parameters_and_says_so() {
        let mut h = Histogram::default();
        assert_eq!(calibrate(&h, Calibrator::Mse, SYMMETRIC).scale, 1.0);
        h.extend([0.0, 0.0, f64::NAN]);
        let c = calibrate(&h, Calibrator::Entropy, ASYMMETRIC);
        assert_eq!((c.scale, c.zero_point), (1.0, 0));
        assert_eq!(c.warnings.len(), 2, "{:?}", c.warnings);
        for (value, calibrator) in
            [(3.5, Calibrator::MinMax), (-1e-30, Calibrator::Mse), (1e30, Calibrator::Percentile(99.0))]
        {
            let mut h = Histogram::default();
            h.extend([value; 5]);
            for codes in [SYMMETRIC, ASYMMETRIC] {
                let c = calibrate(&h, calibrator, codes);
                let zero = Number::Int(c.zero_point.into());
                let code = qparams::quantize(value, c.scale.into(), zero, codes.dtype);
                let back = qparams::dequantize(code, c.scale.into(), zero);
                assert!((back - value).abs() <= value.abs() * 0.02, "{value} {codes:?} {back}");
            }
        }
    }
}
