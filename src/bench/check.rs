//! Compares a sample of what a GPU computed with the exact results and their bounds.

use super::Timing;
use crate::dim::Bindings;
use crate::graph::Graph;
use crate::plan::{Access, BufferId, Kernel, Plan};
use crate::reference::bound::{self, Judgement};
use crate::runtime::{EngineError, Session};
use crate::tensor::Tensor;
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
    for buffer in plan.kernels().flat_map(|k| &k.loads).map(|l| l.buffer) {
        if let Some(constant) = graph.constant(plan.buffer(buffer).value) {
            tensors.insert(buffer, constant.clone());
        }
    }
    for kernel in plan.kernels() {
        let loads: Option<Vec<&Tensor>> = kernel.loads.iter().map(|l| tensors.get(&l.buffer)).collect();
        let stores: Option<Vec<&Tensor>> = kernel.stores.iter().map(|s| tensors.get(&s.buffer)).collect();
        if let (Some(loads), Some(stores)) = (loads, stores) {
            one(kernel, &loads, &stores, sizes, random, timing)?;
        }
    }
    Ok(())
}

fn one(
    kernel: &Kernel,
    loads: &[&Tensor],
    stores: &[&Tensor],
    sizes: &Bindings,
    random: &mut fastrand::Rng,
    timing: &mut Timing,
) -> Result<(), EngineError> {
    let extents: Vec<u64> = kernel.domain.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>()?;
    let count: u64 = extents.iter().product();
    let at = |access: &Access, index: &[u64]| access.at(index, sizes).map(|i| i as usize);
    for i in 0..SAMPLE.min(count as usize) {
        // The last elements too: a tail is where kernels go wrong.
        let flat = if i < 64 { count - 1 - i as u64 % count } else { random.u64(..count) };
        let mut rest = flat;
        let mut index = vec![0; extents.len()];
        for (i, extent) in index.iter_mut().zip(&extents).rev() {
            (*i, rest) = (rest % extent, rest / extent);
        }
        let mut operands = Vec::with_capacity(loads.len());
        for (load, tensor) in kernel.loads.iter().zip(loads) {
            operands.push(tensor.at(at(&load.access, &index)?).number());
        }
        for ((bounded, store), tensor) in bound::bounds(kernel, &operands).iter().zip(&kernel.stores).zip(stores) {
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
