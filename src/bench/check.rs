//! Compares a sample of what a GPU computed with the exact results and their bounds.

use super::Timing;
use crate::dim::Bindings;
use crate::graph::Graph;
use crate::plan::{Access, BufferId, Kernel, Plan};
use crate::reference::bound::{self, Judgement};
use crate::reference::product::{self, Factor};
use crate::runtime::{EngineError, Session};
use crate::tensor::Tensor;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Elements compared of each kernel whose operands are all inputs or constants.
const SAMPLE: usize = 20_000;

/// Compares a sample of the results of every kernel that reads nothing but the plan's inputs and constants.
pub(super) fn sample(
    plan: &Plan,
    graph: &Graph,
    sizes: &Bindings,
    session: &Session,
    random: &mut fastrand::Rng,
    timing: &mut Timing,
) -> Result<(), EngineError> {
    let mut tensors: BTreeMap<BufferId, Tensor> = BTreeMap::new();
    for (name, id) in plan.inputs.iter().chain(&plan.outputs) {
        let (Some(memory), Some((dtype, shape))) = (session.buffer(name), plan.buffer(*id).ty.full()) else { continue };
        tensors.insert(*id, memory.download_tensor(session.stream(), dtype, &shape.eval(sizes)?)?);
    }
    for buffer in plan.kernels().flat_map(|kernel| kernel.reads()) {
        if let Some(constant) = graph.constant(plan.buffer(buffer).value) {
            tensors.insert(buffer, constant.clone());
        }
    }
    for kernel in plan.kernels() {
        let loads: Option<Vec<&Tensor>> = kernel.loads.iter().map(|l| tensors.get(&l.buffer)).collect();
        let stores: Option<Vec<&Tensor>> = kernel.stores.iter().map(|s| tensors.get(&s.buffer)).collect();
        let factors = kernel.product.iter().flat_map(|product| product.factors());
        let factors: Option<Vec<&Tensor>> = factors.map(|factor| tensors.get(&factor.buffer)).collect();
        if let (Some(factors), Some(loads), Some(stores)) = (factors, loads, stores) {
            one(kernel, &factors, &loads, &stores, sizes, random, timing)?;
        }
    }
    Ok(())
}

fn one(
    kernel: &Kernel,
    factors: &[&Tensor],
    loads: &[&Tensor],
    stores: &[&Tensor],
    sizes: &Bindings,
    random: &mut fastrand::Rng,
    timing: &mut Timing,
) -> Result<(), EngineError> {
    let extents: Vec<u64> = kernel.domain.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>()?;
    let count: u64 = extents.iter().product();
    let at = |access: &Access, index: &[u64]| access.at(index, sizes).map(|i| i as usize);
    let floats = |tensor: &Tensor| -> Vec<f64> {
        (0..tensor.sizes().iter().product()).into_par_iter().map(|i| tensor.at(i).as_f64()).collect()
    };
    let values: Vec<Vec<f64>> = factors.iter().map(|tensor| floats(tensor)).collect();
    let factor = |i: usize| Factor { elements: &values[i], first: 0 };
    let columns = extents.last().copied().unwrap_or(1).max(1);
    let depth = match &kernel.product {
        Some(product) => product.contraction.depth()?.eval(sizes)?,
        None => 0,
    };
    let mut row = (u64::MAX, Vec::new());
    for i in 0..SAMPLE.min(count as usize) {
        // The last elements too: a tail is where kernels go wrong.
        let flat = match &kernel.product {
            None if i < 64 => count - 1 - i as u64 % count,
            // Whole rows of a product, the last one first: a row of sums costs as much as one.
            Some(_) if (i as u64) < columns => count - columns + i as u64,
            Some(_) if !(i as u64).is_multiple_of(columns) => row.0 * columns + i as u64 % columns,
            Some(_) => random.u64(..count / columns) * columns,
            None => random.u64(..count),
        };
        if let Some(product) = &kernel.product
            && row.0 != flat / columns
        {
            row = (flat / columns, product::row(product, sizes, factor(0), factor(1), flat / columns)?);
        }
        let mut rest = flat;
        let mut index = vec![0; extents.len()];
        for (i, extent) in index.iter_mut().zip(&extents).rev() {
            (*i, rest) = (rest % extent, rest / extent);
        }
        let mut operands = Vec::with_capacity(loads.len());
        for (load, tensor) in kernel.loads.iter().zip(loads) {
            operands.push(tensor.at(at(&load.access, &index)?).number());
        }
        let bounds = match &kernel.product {
            Some(product) => {
                let sum = row.1[(flat % columns) as usize].interval(product.accumulator, depth);
                operands.push(sum.exact);
                bound::bounds_of_product(kernel, &operands, sum)
            }
            None => bound::bounds(kernel, &operands),
        };
        for ((bounded, store), tensor) in bounds.iter().zip(&kernel.stores).zip(stores) {
            let found = tensor.at(at(&store.access, &index)?).number();
            timing.compared += 1;
            match bounded.judge(found) {
                Judgement::Exact => {}
                Judgement::Within => {
                    let share = (found.as_f64() - bounded.interval.exact.as_f64()).abs() / bounded.interval.error();
                    timing.worst = timing.worst.max(share);
                }
                Judgement::NearTie => timing.mismatches += 1,
                Judgement::Wrong => {
                    timing.mismatches += u64::from(!bounded.dtype.is_arithmetic_float());
                    let exact = bounded.interval.exact;
                    timing.failure.get_or_insert_with(|| {
                        format!("{}: element {index:?} of {operands:?} is {found:?}, exactly {exact:?}", kernel.name)
                    });
                }
            }
        }
    }
    Ok(())
}
