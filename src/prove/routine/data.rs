//! Operands for a routine: the model's constants as they are, and random data for the rest, with NaN, ±inf, −0 and denormals, whose
//! sums stay within f32; indices lie in their axis.

use crate::dim::Bindings;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::plan::Routine;
use crate::plan::routine::Work;
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;

/// The operands of the routine's node, in slot order.
pub fn operands(graph: &Graph, routine: &Routine, sizes: &Bindings, seed: u64) -> Result<Vec<Tensor>, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let node = routine.node;
    let mut tensors = Vec::new();
    for (slot, value) in graph.operands(node).iter().enumerate() {
        if let Some(tensor) = graph.constant(*value) {
            tensors.push(tensor.clone());
            continue;
        }
        let (dtype, shape) = graph.ty(*value).full().ok_or("an operand's type is not known")?;
        let shape = shape.eval(sizes).map_err(|e| e.to_string())?;
        let count = crate::tensor::count(&shape).ok_or("an operand is too large")?;
        let range = index_range(graph, routine, slot, sizes)?;
        let number = |random: &mut fastrand::Rng| match range {
            Some((low, high)) => Number::Int(random.i64(low..=high).into()),
            None => element(random, dtype),
        };
        let numbers: Vec<Number> = (0..count).map(|_| number(&mut random)).collect();
        tensors.push(Tensor::from_numbers(dtype, &shape, numbers).map_err(|e| e.to_string())?);
    }
    Ok(tensors)
}

/// The range of an operand that holds indices or lengths.
fn index_range(graph: &Graph, routine: &Routine, slot: usize, sizes: &Bindings) -> Result<Option<(i64, i64)>, String> {
    let work = routine.stages.last().map(|stage| &stage.work);
    let x = graph.operands(routine.node).first().map(|v| graph.ty(*v).clone());
    let shape = x.and_then(|ty| ty.shape).map(|s| s.eval(sizes)).transpose().map_err(|e| e.to_string())?;
    let shape = shape.unwrap_or_default();
    let within = |n: usize| Some((-(n as i64), (n as i64 - 1).max(-(n as i64))));
    Ok(match (work, slot) {
        (Some(Work::Gather { axis } | Work::GatherElements { axis } | Work::ScatterElements { axis, .. }), 1) => {
            within(shape[*axis])
        }
        (Some(Work::GatherNd { batch_dims, depth }), 1) => {
            within(shape[*batch_dims..batch_dims + depth].iter().copied().min().unwrap_or(0))
        }
        (Some(Work::ScatterNd { depth, .. }), 1) => within(shape[..*depth].iter().copied().min().unwrap_or(0)),
        (Some(Work::ReverseSequence { time_axis, .. }), 1) => Some((0, shape[*time_axis] as i64)),
        (Some(Work::OneHot { .. }), 0) => Some((-6, 6)),
        _ => None,
    })
}

fn element(random: &mut fastrand::Rng, dtype: DType) -> Number {
    const SPECIAL: [f64; 8] = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, -1e-40, 6e-8];
    if dtype == DType::Bool {
        return Number::Int(random.bool().into());
    }
    if !dtype.is_float() {
        return match random.u8(..) {
            0..128 => Scalar::new(dtype, Number::Int(random.i64(-9..=9).into())).number(),
            _ => Scalar::from_bits(dtype, random.u64(..)).number(),
        };
    }
    match random.u16(..) {
        0..300 => Number::Float(SPECIAL[random.usize(..SPECIAL.len())]),
        n => {
            let near_normal = (0..3).map(|_| 2.0 * random.f64() - 1.0).sum::<f64>();
            Number::Float(near_normal * if n < 8000 { 40.0 } else { 3.0 })
        }
    }
}
