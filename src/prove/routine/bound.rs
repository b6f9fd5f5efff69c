//! What each family of routines must compute, and how far its floats may lie from it.
//!
//! The truth is the node's meaning in f64. A sum of n terms that takes r roundings of unit u lies within γ(r)·Σ|term| of it, with
//! γ(r) = r·u / (1 − r·u) (N. Higham, Accuracy and Stability of Numerical Algorithms, chapter 4). Σ|term| is the same node's result for
//! the operands' magnitudes. What is moved, compared or counted is exact. Where a stored float must lie is found by rounding both ends
//! of that interval to its type.

use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::graph::Node;
use crate::plan::Stage;
use crate::plan::routine::{Convolution, Lanes, Pooling, Product, Team, Work};
use crate::reference;
use crate::scalar::{Number, Scalar};
use crate::structural::Reduction;
use crate::tensor::Tensor;

/// One result: the exact numbers, and how far a stored one may lie from each.
pub struct Expected {
    pub dtype: DType,
    exact: Vec<Number>,
    /// Empty: nothing may differ.
    slack: Vec<f64>,
}

impl Expected {
    pub fn len(&self) -> usize {
        self.exact.len()
    }

    /// The error of the number stored as `bits` as a share of what is allowed, or what is wrong.
    pub fn judge(&self, i: usize, bits: u64) -> Result<f64, String> {
        let found = Scalar::from_bits(self.dtype, bits).number();
        let (exact, slack) = (self.exact[i], self.slack.get(i).copied().unwrap_or(0.0));
        let wrong = || format!("is {found:?}, and the exact result is {exact:?} with a bound of {slack:e}");
        let (Number::Float(x), Number::Float(truth)) = (found, exact) else {
            let near = (found.as_i128() - exact.as_i128()).unsigned_abs() as f64 <= slack;
            return if near { Ok(0.0) } else { Err(wrong()) };
        };
        if slack.is_nan() {
            // Nothing is said of this element.
            return Ok(0.0);
        }
        if truth.is_nan() || x.is_nan() || truth.is_infinite() {
            return if truth.is_nan() && x.is_nan() || x == truth { Ok(0.0) } else { Err(wrong()) };
        }
        let rounded = |x: f64| Scalar::new(self.dtype, Number::Float(x)).number().as_f64();
        if slack == f64::INFINITY || (rounded(truth - slack) <= x && x <= rounded(truth + slack)) {
            let share = (x - rounded(truth)).abs() / slack;
            return Ok(if share.is_finite() { share.min(1.0) } else { 0.0 });
        }
        Err(wrong())
    }
}

/// Threads that share one lane.
pub fn members(lanes: &Lanes) -> u32 {
    match lanes.team {
        Team::Thread => 1,
        Team::Warp => 32,
        Team::Block(threads) => threads,
    }
}

/// The results of a node for these operands.
pub fn expected(
    node: &Node,
    stages: &[&Stage],
    operands: &[Tensor],
    sizes: &Bindings,
) -> Result<Vec<Expected>, String> {
    let options = reference::Options { bindings: sizes.clone(), ..reference::Options::default() };
    let meaning = |operands: &[Tensor]| reference::run_node(node, operands, &options).map_err(|e| e.to_string());
    let Some(stage) = stages.last() else { return Ok(Vec::new()) };
    let float = operands.first().is_some_and(|x| x.dtype().is_arithmetic_float());
    if !float || is_exact(&stage.work) {
        let slack = if truncates(&stage.work) { 1.0 } else { 0.0 };
        return Ok(meaning(operands)?.iter().map(|t| exactly(t, slack)).collect());
    }
    let dtypes: Vec<DType> = meaning(operands)?.iter().map(Tensor::dtype).collect();
    let wide: Vec<Tensor> = operands.iter().map(widened).collect::<Result<_, _>>()?;
    let truth = meaning(&wide)?;
    // The unit of the compute type.
    let u = if operands[0].dtype() == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
    let slacks = slacks(&stage.work, operands[0].dtype(), u, sizes, &wide, &truth, &meaning)?;
    let results = truth.iter().zip(slacks).zip(dtypes);
    Ok(results.map(|((t, slack), dtype)| Expected { dtype, exact: t.numbers().collect(), slack }).collect())
}

fn exactly(tensor: &Tensor, slack: f64) -> Expected {
    let slack = if slack > 0.0 { vec![slack; tensor.len()] } else { Vec::new() };
    Expected { dtype: tensor.dtype(), exact: tensor.numbers().collect(), slack }
}

fn widened(tensor: &Tensor) -> Result<Tensor, String> {
    match tensor.dtype().is_float() {
        true => Tensor::from_f64(DType::F64, tensor.sizes(), &tensor.to_f64()).map_err(|e| e.to_string()),
        false => Ok(tensor.clone()),
    }
}

/// Whether a family rounds nothing but by its own rule.
fn is_exact(work: &Work) -> bool {
    match work {
        Work::Reduce { op, .. } => matches!(op, Reduction::Max | Reduction::Min),
        Work::Pool { of, .. } => *of == Pooling::Max,
        Work::Softmax { .. }
        | Work::LpNorm { .. }
        | Work::Normalize { .. }
        | Work::Scan { .. }
        | Work::LocalResponse { .. }
        | Work::Conv(_)
        | Work::Product(_)
        | Work::ScatterElements { .. }
        | Work::ScatterNd { .. } => false,
        Work::Resize(op) => {
            let crops = op.coordinates == crate::structural::Coordinates::TfCropAndResize;
            matches!(op.mode, crate::structural::ResizeMode::Nearest(_)) && !crops
        }
        _ => true,
    }
}

/// Whether a result of integers is a float truncated, so that an error in its last bit may show.
fn truncates(work: &Work) -> bool {
    matches!(work, Work::Reduce { op: Reduction::Mean | Reduction::L2 | Reduction::LogSum | Reduction::LogSumExp, .. })
}

fn gamma(roundings: f64, u: f64) -> f64 {
    let r = roundings * u;
    if r < 0.5 { r / (1.0 - r) } else { f64::INFINITY }
}

type Meaning<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>, String> + 'a;

/// The slack of every result.
fn slacks(
    work: &Work,
    dtype: DType,
    u: f64,
    sizes: &Bindings,
    operands: &[Tensor],
    truth: &[Tensor],
    meaning: &Meaning,
) -> Result<Vec<Vec<f64>>, String> {
    let product = |dims: &[Dim]| -> Result<f64, String> {
        dims.iter().try_fold(1.0, |n, d| Ok(n * d.eval(sizes).map_err(|e| e.to_string())? as f64))
    };
    // The roundings of a lane's sum: in order by each member, then in a tree.
    let of_lane = |lanes: &Lanes| -> Result<f64, String> {
        let t = f64::from(members(lanes));
        Ok((product(&lanes.along)? / t).ceil() + t.log2())
    };
    let magnitudes = || -> Result<Vec<f64>, String> {
        let absolute: Vec<Tensor> = operands.iter().map(absolute).collect::<Result<_, _>>()?;
        Ok(meaning(&absolute)?[0].to_f64())
    };
    let exact = truth[0].to_f64();
    // What is computed in f64 is rounded to the compute type before it is stored.
    let relative = |share: f64| vec![exact.iter().map(|y| (share + u) * y.abs() + 1e-45).collect::<Vec<f64>>()];
    let wide = 2f64.powi(-53);
    let linear = |roundings: f64| -> Result<Vec<Vec<f64>>, String> {
        // Products of denormals are lost.
        Ok(vec![magnitudes()?.iter().map(|m| gamma(roundings, u) * m + 1e-44 * roundings).collect()])
    };
    match work {
        Work::Reduce { op: Reduction::Sum | Reduction::Mean | Reduction::L1 | Reduction::SumSquare, lanes } => {
            linear(of_lane(lanes)? + 2.0)
        }
        Work::Reduce { op: Reduction::L2 | Reduction::Prod, lanes } => {
            Ok(relative(gamma(product(&lanes.along)? + 4.0, wide)))
        }
        Work::Reduce { lanes, op } => {
            let log = *op == Reduction::LogSum;
            lane_wise(lanes, sizes, &operands[0], &truth[0], |lane, y| {
                logarithm(lane, y.first().copied().unwrap_or(f64::NAN), log, of_lane(lanes).unwrap_or(f64::INFINITY), u)
            })
        }
        Work::Softmax { log, lanes } => {
            let roundings = of_lane(lanes)?;
            lane_wise(lanes, sizes, &operands[0], &truth[0], |lane, y| softmax(lane, y, *log, roundings, u))
        }
        Work::LpNorm { lanes, .. } => Ok(relative(gamma(product(&lanes.along)? + 4.0, wide))),
        Work::Normalize { .. } => normalize(work, u, sizes, operands, truth, of_lane),
        Work::Scan { product: true, lanes, .. } => Ok(relative(gamma(product(&lanes.along)?, wide))),
        Work::Scan { lanes, .. } => linear(product(&lanes.along)? / 32.0 + 8.0),
        Work::Pool { of: Pooling::Lp { .. }, window, .. } => {
            let taps: f64 = window.iter().map(|axis| axis.kernel as f64).product();
            Ok(relative(gamma(taps + 8.0, wide)))
        }
        Work::Pool { window, .. } => linear(window.iter().map(|axis| axis.kernel as f64).product::<f64>() + 1.0),
        Work::LocalResponse { size, .. } => Ok(relative(gamma(*size as f64 + 16.0, wide))),
        Work::Conv(Convolution { window, .. }) => {
            let taps: f64 = window.iter().map(|axis| axis.kernel as f64).product();
            // No fewer than the channels that one result sums.
            let channels = operands[1].sizes().iter().max();
            linear(taps * channels.copied().unwrap_or(1) as f64 + 2.0)
        }
        Work::Product(Product { inner, .. }) => linear(product(std::slice::from_ref(inner))? + 2.0),
        // The weights of an axis lie within 8 units of their sum.
        Work::Resize(_) => {
            let largest =
                operands[0].to_f64().into_iter().filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()));
            let taps = exact.len().max(operands[0].len()) as f64 / exact.len().min(operands[0].len()).max(1) as f64;
            let share = gamma(64.0 + 4.0 * taps, u) * 16.0 * largest;
            Ok(vec![vec![share; exact.len()]])
        }
        Work::ScatterElements { .. } | Work::ScatterNd { .. } => {
            // Each of at most that many updates rounds once to the tensor's own type.
            let unit = match dtype {
                DType::F16 => 2f64.powi(-11),
                DType::BF16 => 2f64.powi(-8),
                _ => u,
            };
            let updates = operands[1].len() as f64 + 1.0;
            // What a denormal loses, multiplied by the updates that follow.
            let largest =
                operands[2].to_f64().into_iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
            let lost = if dtype == DType::F16 { 6e-8 } else { 1e-38 } * largest.powf(updates.min(8.0));
            Ok(vec![magnitudes()?.iter().map(|m| gamma(updates, unit) * m + lost).collect()])
        }
        _ => Ok(truth.iter().map(|t| vec![0.0; t.len()]).collect()),
    }
}

fn absolute(tensor: &Tensor) -> Result<Tensor, String> {
    match tensor.dtype().is_float() {
        true => {
            let values: Vec<f64> = tensor.to_f64().into_iter().map(f64::abs).collect();
            Tensor::from_f64(tensor.dtype(), tensor.sizes(), &values).map_err(|e| e.to_string())
        }
        false => Ok(tensor.clone()),
    }
}

/// Calls `f` for each lane with its elements and those of the result, and puts the slacks it returns in the result's places.
fn lane_wise(
    lanes: &Lanes,
    sizes: &Bindings,
    x: &Tensor,
    y: &Tensor,
    f: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> Result<Vec<Vec<f64>>, String> {
    let (x, y) = (x.to_f64(), y.to_f64());
    let mut slack = vec![0.0; y.len()];
    let from = places(lanes, sizes, 0)?;
    let to = places(lanes, sizes, lanes.strides.len() - 1)?;
    for (from, to) in from.iter().zip(&to) {
        let lane: Vec<f64> = from.iter().map(|at| x[*at]).collect();
        // A result of one element a lane has stride 0 along it.
        let results: Vec<f64> = to.iter().map(|at| y[*at]).collect();
        for (at, s) in to.iter().zip(f(&lane, &results)) {
            slack[*at] = s;
        }
    }
    Ok(vec![slack])
}

/// Where the elements of each lane of tensor `t` lie; at least one for each lane.
fn places(lanes: &Lanes, sizes: &Bindings, t: usize) -> Result<Vec<Vec<usize>>, String> {
    let eval = |d: &Dim| d.eval_signed(sizes).map_err(|e| e.to_string());
    let strides = lanes.strides[t].iter().map(eval).collect::<Result<Vec<i64>, _>>()?;
    let span = |dims: &[Dim], strides: &[i64]| -> Result<Vec<i64>, String> {
        let mut at = vec![0i64];
        for (d, stride) in dims.iter().zip(strides) {
            let n = eval(d)?;
            at = at.iter().flat_map(|base| (0..n).map(move |i| base + i * stride)).collect();
        }
        Ok(at)
    };
    let (kept, along) = strides.split_at(lanes.kept.len());
    let (starts, steps) = (span(&lanes.kept, kept)?, span(&lanes.along, along)?);
    Ok(starts.iter().map(|start| steps.iter().map(|step| (start + step) as usize).collect()).collect())
}

/// Of exp(x − max): the largest, their sum, and Σ exp·|x − max|: what rounding x − max makes of the sum.
fn exponentials(lane: &[f64]) -> (f64, f64, f64) {
    let top = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let terms = lane.iter().map(|x| ((x - top).exp(), (x - top).abs()));
    let (sum, moved) = terms.fold((0.0, 0.0), |(s, m), (e, d)| (s + e, m + if e > 0.0 { e * d } else { 0.0 }));
    (top, sum, moved)
}

/// The units in the last place that expf and logf may be off by, and the operations around them.
const FUNCTION: f64 = 6.0;

fn softmax(lane: &[f64], y: &[f64], log: bool, roundings: f64, u: f64) -> Vec<f64> {
    let (top, sum, moved) = exponentials(lane);
    let of_sum = moved / sum + roundings + FUNCTION;
    let one = |(x, y): (&f64, &f64)| match log {
        // A float's exponential is lost below 2^-149.
        false => y.abs() * gamma((x - top).abs() + of_sum + FUNCTION, u) + 3e-45,
        true => gamma((x - top).abs() + of_sum + FUNCTION * sum.ln().abs() + y.abs() * 2.0, u),
    };
    lane.iter().zip(y).map(one).collect()
}

fn logarithm(lane: &[f64], y: f64, of_plain_sum: bool, roundings: f64, u: f64) -> Vec<f64> {
    let own = gamma(FUNCTION, u) * y.abs();
    if of_plain_sum {
        let (sum, magnitude) = lane.iter().fold((0.0, 0.0), |(s, m), x| (s + x, m + x.abs()));
        let error = gamma(roundings + 1.0, u) * magnitude;
        // Where the sum may be zero or below, nothing is said.
        let slack = if sum - error > 0.0 { (error / (sum - error)).ln_1p() + own } else { f64::NAN };
        return vec![slack; lane.len().max(1)];
    }
    let (top, sum, moved) = exponentials(lane);
    let slack = gamma(moved / sum + roundings + FUNCTION, u) + gamma(FUNCTION, u) * (sum.ln().abs() + top.abs()) + own;
    vec![if slack.is_nan() { 0.0 } else { slack }; lane.len().max(1)]
}

fn normalize(
    work: &Work,
    u: f64,
    sizes: &Bindings,
    operands: &[Tensor],
    truth: &[Tensor],
    of_lane: impl Fn(&Lanes) -> Result<f64, String>,
) -> Result<Vec<Vec<f64>>, String> {
    let Work::Normalize { centred, epsilon, bias, lanes } = work else { return Ok(Vec::new()) };
    let roundings = of_lane(lanes)? + 2.0;
    let x = operands[0].to_f64();
    let (scale, shift) = (operands[1].to_f64(), operands.get(2).filter(|_| *bias).map(Tensor::to_f64));
    let from = places(lanes, sizes, 0)?;
    let scales = places(lanes, sizes, 1)?;
    let shifts = if *bias { places(lanes, sizes, 2)? } else { Vec::new() };
    let to = places(lanes, sizes, operands.len().min(2 + usize::from(*bias)))?;
    let mut slack: Vec<Vec<f64>> = truth.iter().map(|t| vec![0.0; t.len()]).collect();
    let numbers: Vec<Vec<f64>> = truth.iter().map(Tensor::to_f64).collect();
    for (lane, from) in from.iter().enumerate() {
        let n = from.len() as f64;
        let mean = if *centred { from.iter().map(|at| x[*at]).sum::<f64>() / n } else { 0.0 };
        let magnitude = from.iter().map(|at| x[*at].abs()).sum::<f64>() / n;
        let of_mean = if *centred { gamma(roundings, u) * magnitude } else { 0.0 };
        let deviations: Vec<f64> = from.iter().map(|at| x[*at] - mean).collect();
        let of_deviation = |d: f64| of_mean + gamma(1.0, u) * d.abs();
        let variance = deviations.iter().map(|d| d * d).sum::<f64>() / n;
        let squares = deviations.iter().map(|d| (2.0 * d.abs() + of_deviation(*d)) * of_deviation(*d)).sum::<f64>() / n;
        let of_variance = gamma(roundings, u) * (variance + squares) + squares;
        let inside = variance + f64::from(*epsilon);
        let inverse = 1.0 / inside.sqrt();
        let least = inside - of_variance;
        let of_inverse = if least > 0.0 { 1.0 / least.sqrt() - inverse } else { f64::NAN } + gamma(6.0, u) * inverse;
        for (i, d) in deviations.iter().enumerate() {
            let s = scale[scales[lane][i]].abs();
            let b = shift.as_ref().map_or(0.0, |shift| shift[shifts[lane][i]].abs());
            let error = (d.abs() + of_deviation(*d)) * of_inverse * s + of_deviation(*d) * inverse * s;
            slack[0][to[lane][i]] = error + gamma(6.0, u) * (d.abs() * inverse * s + b) + 1e-44;
        }
        // The statistics are rounded to f32 in the truth too.
        if let Some(slack) = slack.get_mut(1) {
            slack[lane] = of_mean + 2f64.powi(-23) * numbers[1][lane].abs();
        }
        if let Some(slack) = slack.get_mut(2) {
            slack[lane] = of_inverse + 2f64.powi(-23) * numbers[2][lane].abs();
        }
    }
    Ok(slack)
}
