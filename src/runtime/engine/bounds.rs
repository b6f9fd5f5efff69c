//! Checks that a kernel reads and writes inside its buffers, before it is launched: the promise that a launch is safe.

use super::EngineError;
use crate::dim::{Bindings, DimError};
use crate::plan::{Access, BufferId, Kernel, Plan, Stage};

/// Checks every load and store of the kernel at these sizes.
pub(super) fn check(plan: &Plan, kernel: &Kernel, sizes: &Bindings) -> Result<(), EngineError> {
    let extents: Vec<u64> = kernel.domain.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>()?;
    if extents.contains(&0) {
        return Ok(());
    }
    let loads = kernel.loads.iter().map(|load| (load.buffer, &load.access));
    let stores = kernel.stores.iter().map(|store| (store.buffer, &store.access));
    for (id, access) in loads.chain(stores) {
        inside(plan, kernel, id, access, &extents, sizes)?;
    }
    if let Some(product) = &kernel.product {
        for (factor, (over, access)) in product.factors().iter().zip(product.contraction.accesses()?) {
            let extents: Vec<u64> = over.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>()?;
            // A sum of no terms reads nothing.
            if !extents.contains(&0) {
                inside(plan, kernel, factor.buffer, &access, &extents, sizes)?;
            }
        }
    }
    Ok(())
}

/// Checks that a stage's tensors are as large as their buffers: a stage touches no element outside its tensors.
pub(super) fn check_stage(plan: &Plan, stage: &Stage, sizes: &Bindings) -> Result<(), EngineError> {
    for operand in stage.reads.iter().chain(&stage.writes) {
        let buffer = plan.buffer(operand.buffer);
        let shape = buffer.ty.shape.as_ref();
        let shape = shape.ok_or_else(|| EngineError::UnknownType { value: buffer.name.clone() })?;
        let count = shape.count()?.eval(sizes)?;
        let own = operand.shape.iter().map(|d| d.eval(sizes)).collect::<Result<Vec<u64>, _>>()?;
        let own = own.iter().fold(1u128, |n, d| n.saturating_mul(u128::from(*d)));
        if own > u128::from(count) {
            let (kernel, value, last) =
                (stage.name.clone(), buffer.name.clone(), i128::try_from(own).unwrap_or(i128::MAX) - 1);
            return Err(EngineError::OutOfBounds { kernel, value, first: 0, last, count });
        }
    }
    Ok(())
}

/// Checks one access over a box that is not empty.
fn inside(
    plan: &Plan,
    kernel: &Kernel,
    id: BufferId,
    access: &Access,
    extents: &[u64],
    sizes: &Bindings,
) -> Result<(), EngineError> {
    let buffer = plan.buffer(id);
    let shape = buffer.ty.shape.as_ref();
    let shape = shape.ok_or_else(|| EngineError::UnknownType { value: buffer.name.clone() })?;
    let count = shape.count()?.eval(sizes)?;
    let (first, last) = reach(access, extents, sizes)?;
    if first < 0 || last >= i128::from(count) {
        let (kernel, value) = (kernel.name.clone(), buffer.name.clone());
        return Err(EngineError::OutOfBounds { kernel, value, first, last, count });
    }
    Ok(())
}

/// The smallest and the largest element that an access reaches over a domain that is not empty.
fn reach(access: &Access, extents: &[u64], sizes: &Bindings) -> Result<(i128, i128), DimError> {
    let offset = i128::from(access.offset.eval_signed(sizes)?);
    let (mut first, mut last) = (offset, offset);
    for (stride, extent) in access.strides.iter().zip(extents) {
        // Both are below 2⁶³, so their product fits.
        let span = i128::from(stride.eval_signed(sizes)?) * i128::from(extent - 1);
        *(if span < 0 { &mut first } else { &mut last }) += span;
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dim::Dim;

    #[test]
    fn negative_strides_reach_below_the_offset() {
        let access = Access { offset: Dim::fixed(9), strides: vec![Dim::fixed(-3), Dim::symbol("s")] };
        let sizes = [("s".to_string(), 5)].into();
        assert_eq!(reach(&access, &[4, 3], &sizes), Ok((0, 19)));
    }
}
