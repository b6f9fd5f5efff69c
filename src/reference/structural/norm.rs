//! Softmax and normalisations. Everything is summed in f64 and rounded once at the end.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::strided::Strided;
use super::lanes::Lanes;
use super::reduce::largest;
use crate::dtype::DType;
use crate::tensor::Tensor;

/// Applies `f` to each lane in f64.
fn lanewise(x: &Tensor, lanes: Lanes, f: impl Fn(&mut [f64]) + Sync) -> Result<Tensor, NodeError> {
    let mut values = whole(x).into_floats();
    lanes.map(&mut values, f);
    Column::Float(values).into_tensor(x.dtype(), x.sizes())
}

pub(super) fn softmax(axis: usize, log: bool, x: &Tensor) -> Result<Tensor, NodeError> {
    lanewise(x, Lanes::new(x.sizes(), axis)?, |lane| {
        let max = lane.iter().copied().fold(f64::NEG_INFINITY, largest);
        let sum: f64 = lane.iter().map(|x| (x - max).exp()).sum();
        for x in lane {
            *x = if log { *x - max - sum.ln() } else { (*x - max).exp() / sum };
        }
    })
}

pub(super) fn hardmax(axis: usize, x: &Tensor) -> Result<Tensor, NodeError> {
    lanewise(x, Lanes::new(x.sizes(), axis)?, |lane| {
        let best = (1..lane.len()).fold(0, |best, i| if lane[i] > lane[best] { i } else { best });
        lane.iter_mut().enumerate().for_each(|(i, x)| *x = f64::from(i == best));
    })
}

pub(super) fn lp_norm(axis: usize, p: i64, x: &Tensor) -> Result<Tensor, NodeError> {
    lanewise(x, Lanes::new(x.sizes(), axis)?, |lane| {
        let norm = match p {
            1 => lane.iter().map(|x| x.abs()).sum::<f64>(),
            _ => lane.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        // A lane of zeros stays one.
        lane.iter_mut().for_each(|x| *x = if norm == 0.0 { 0.0 } else { *x / norm });
    })
}

/// What is subtracted of and what multiplies each lane.
struct Moments {
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

fn moments(values: &[f64], n: usize, epsilon: f32, centred: bool) -> Moments {
    let lane = |lane: &[f64]| {
        let mean = if centred { lane.iter().sum::<f64>() / n as f64 } else { 0.0 };
        let variance = lane.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
        (mean, 1.0 / (variance + f64::from(epsilon)).sqrt())
    };
    let (mean, inverse) = values.chunks(n.max(1)).map(lane).unzip();
    Moments { mean, inverse }
}

/// Element `i` of a scale or bias for each element of a lane.
fn along(operand: &'static str, parameter: &Tensor, sizes: &[usize]) -> Result<Vec<f64>, NodeError> {
    let from = parameter.sizes();
    let missing = sizes.len().checked_sub(from.len());
    if !missing.is_some_and(|m| from.iter().zip(&sizes[m..]).all(|(a, b)| a == b || *a == 1)) {
        let (expected, found) = (format!("broadcast to {sizes:?}"), format!("{from:?}"));
        return Err(NodeError::Operand { operand, expected, found });
    }
    let walk = Strided::broadcast(from, sizes);
    let mut column = Column::with_capacity(parameter.dtype(), walk.count());
    walk.runs(0, walk.count(), |run| column.read(parameter, run));
    Ok(column.into_floats())
}

/// Over the axes from `axis` on. Outputs y, the mean and the inverse of the standard deviation.
pub(super) fn layer_norm(
    axis: usize,
    epsilon: f32,
    centred: bool,
    x: &Tensor,
    scale: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Vec<Tensor>, NodeError> {
    let lanes = Lanes::tail(x.sizes(), axis)?;
    // A scale may have outer axes too, so it is spread over all of x.
    let scale = along("scale", scale, x.sizes())?;
    let bias = bias.map(|b| along("bias", b, x.sizes())).transpose()?;
    let mut values = whole(x).into_floats();
    let Moments { mean, inverse } = moments(&values, lanes.n, epsilon, centred);
    for (i, y) in values.iter_mut().enumerate() {
        let lane = i / lanes.n;
        *y = (*y - mean[lane]) * inverse[lane] * scale[i] + bias.as_ref().map_or(0.0, |b| b[i]);
    }
    let mut statistics = x.sizes().to_vec();
    statistics[axis..].fill(1);
    Ok(vec![
        Column::Float(values).into_tensor(x.dtype(), x.sizes())?,
        Column::Float(mean).into_tensor(DType::F32, &statistics)?,
        Column::Float(inverse).into_tensor(DType::F32, &statistics)?,
    ])
}

/// Per sample and group of channels; one group a channel is instance normalisation.
pub(super) fn group_norm(
    groups: usize,
    epsilon: f32,
    x: &Tensor,
    scale: &Tensor,
    bias: &Tensor,
) -> Result<Tensor, NodeError> {
    let sizes = x.sizes();
    let &[batch, channels, ..] = sizes else {
        return Err(NodeError::Operand {
            operand: "x",
            expected: "at least 2 axes".into(),
            found: format!("{sizes:?}"),
        });
    };
    if groups == 0 || channels % groups != 0 {
        return Err(NodeError::Invalid(format!("{channels} channels do not divide into {groups} groups")));
    }
    let (scale, bias) = (along("scale", scale, &[channels])?, along("bias", bias, &[channels])?);
    let mut values = whole(x).into_floats();
    let n = values.len().checked_div(batch * groups).unwrap_or(0);
    let Moments { mean, inverse } = moments(&values, n, epsilon, true);
    let plane = values.len().checked_div(batch * channels).unwrap_or(0);
    for (i, y) in values.iter_mut().enumerate() {
        let channel = i / plane % channels;
        *y = (*y - mean[i / n]) * inverse[i / n] * scale[channel] + bias[channel];
    }
    Column::Float(values).into_tensor(x.dtype(), sizes)
}

/// x / (bias + alpha/size · Σ x²)^beta, the sum being over `size` channels around each.
pub(super) fn local_response(size: usize, alpha: f32, beta: f32, bias: f32, x: &Tensor) -> Result<Tensor, NodeError> {
    let lanes = Lanes::new(x.sizes(), 1)?;
    if size == 0 {
        return Err(NodeError::Invalid("a window of 0 channels".into()));
    }
    let (before, after) = ((size - 1) / 2, size / 2);
    lanewise(x, lanes, |lane| {
        let squares: Vec<f64> = lane.iter().map(|x| x * x).collect();
        for (c, x) in lane.iter_mut().enumerate() {
            let end = (c + after + 1).min(squares.len());
            let sum: f64 = squares[c.saturating_sub(before)..end].iter().sum();
            *x /= (f64::from(bias) + f64::from(alpha) / size as f64 * sum).powf(beta.into());
        }
    })
}
