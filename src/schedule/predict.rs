//! What a scheduled kernel is predicted to take: the model of tiles for products, and for the others the larger of what memory and arithmetic
//! need.

use super::{codes16, product};
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::plan::{Access, Contraction, Form, Kernel};
use crate::target::Target;

/// What a size that is not known counts as.
const UNKNOWN: f64 = 32.0;

/// µs that the kernel takes in a CUDA graph, its launch included.
pub fn predict(kernel: &Kernel, target: &Target, sizes: &Bindings) -> f64 {
    if matches!(kernel.schedule.form, Form::Product { .. } | Form::Patch { .. }) {
        return product::time(kernel, target, sizes).unwrap_or(f64::INFINITY);
    }
    let size = |d: &Dim| d.eval(sizes).map_or(UNKNOWN, |n| n as f64);
    let count: f64 = kernel.domain.iter().map(size).product();
    let read = |access: &Access, dtype: DType| {
        let moving = access.strides.iter().zip(&kernel.domain).filter(|(stride, _)| !stride.is(0));
        moving.map(|(_, extent)| size(extent)).product::<f64>() * f64::from(dtype.bits()) / 8.0
    };
    let mut bytes: f64 = kernel.loads.iter().map(|l| read(&l.access, l.dtype)).sum();
    bytes += kernel.stores.iter().map(|s| read(&s.access, s.dtype)).sum::<f64>();
    let part = &target.part;
    let mut clocks = if kernel.schedule.table.is_some() { 0.0 } else { codes16::clocks(kernel, target) };
    if let Some(product) = &kernel.product {
        // A depthwise convolution: a multiply-add and two loads from the caches a tap.
        if let Contraction::Conv { conv, .. } = &product.contraction {
            let taps: usize = conv.kernel.iter().product();
            clocks += 3.0 * taps as f64 / f64::from(target.rates.fma);
        }
        for (over, _) in product.contraction.accesses().into_iter().flatten() {
            bytes += over.iter().map(size).product::<f64>() * f64::from(product.a.dtype.bits()) / 8.0;
        }
    }
    let memory = bytes / part.copy_gbs() / 1e3;
    let computed = clocks * count / f64::from(part.sms) / f64::from(part.clock_mhz);
    part.launch_us + memory.max(computed)
}
