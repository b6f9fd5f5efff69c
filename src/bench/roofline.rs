//! The least time that a kernel's memory traffic and its products allow on a GPU: what a measured time is a share of.

use crate::dim::{Bindings, Dim, DimError};
use crate::dtype::DType;
use crate::plan::routine::Work as Stages;
use crate::plan::{Kernel, Plan, Stage};
use crate::target::Target;
use serde::Serialize;

/// What a kernel moves and multiplies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Demand {
    /// Bytes read and written, each element once.
    pub bytes: u64,
    /// Operations of products: two for each multiplication that is summed.
    pub operations: f64,
    /// The element type of the products.
    pub dtype: Option<DType>,
}

/// A kernel of the plan.
pub fn of_kernel(plan: &Plan, kernel: &Kernel, sizes: &Bindings) -> Result<Demand, DimError> {
    let (bytes, _) = kernel.moved(plan)?.at(sizes)?;
    let Some(product) = &kernel.product else { return Ok(Demand { bytes, ..Demand::default() }) };
    let depth = product.contraction.depth()?.eval(sizes)? as f64;
    let operations = 2.0 * kernel.count()?.eval(sizes)? as f64 * depth;
    Ok(Demand { bytes, operations, dtype: Some(product.a.dtype) })
}

/// The least µs that the kernels and stages of a plan need, one after the other, each by its own limit.
///
/// # Errors
/// If a symbol is not bound or a size overflows.
pub fn least(plan: &Plan, sizes: &Bindings, target: &Target) -> Result<f64, DimError> {
    let kernels = plan.kernels().map(|kernel| of_kernel(plan, kernel, sizes));
    let demands = kernels.chain(plan.stages().map(|stage| of_stage(stage, sizes)));
    demands.map(|demand| Ok(demand?.least_us(target))).sum()
}

/// A stage of a routine.
pub fn of_stage(stage: &Stage, sizes: &Bindings) -> Result<Demand, DimError> {
    let eval = |d: &Dim| d.eval(sizes).unwrap_or(0) as f64;
    let results: f64 = stage.writes.first().map_or(0.0, |write| write.shape.iter().map(eval).product());
    let depth = match &stage.work {
        Stages::Conv(conv) => {
            let x = &stage.reads[0].shape;
            let channels = if conv.channels_last { x.last() } else { x.get(1) };
            let taps: f64 = conv.window.iter().map(|axis| axis.kernel as f64).product();
            // Of a transposed convolution, only every stride-th tap meets an element.
            let met: f64 = match conv.transposed {
                true => conv.window.iter().map(|axis| axis.stride as f64).product(),
                false => 1.0,
            };
            channels.map_or(0.0, eval) / conv.groups as f64 * taps / met
        }
        Stages::Product(product) => eval(&product.inner),
        _ => 0.0,
    };
    let (bytes, _) = stage.moved()?.at(sizes)?;
    let dtype = (depth > 0.0).then(|| stage.reads[0].dtype);
    Ok(Demand { bytes, operations: 2.0 * results * depth, dtype })
}

impl Demand {
    /// The time in µs that the memory or the multipliers need at least, whichever is longer.
    pub fn least_us(&self, target: &Target) -> f64 {
        let memory = self.bytes as f64 / target.part.copy_gbs() / 1e3;
        let clocks = f64::from(target.part.sms) * f64::from(target.part.clock_mhz);
        let per_clock = self.dtype.map_or(f64::INFINITY, |dtype| operations_per_clock(target, dtype));
        memory.max(self.operations / (clocks * per_clock))
    }
}

/// Dense operations of one SM in a clock: of its tensor cores for 16- and 8-bit factors (the parts' data sheets, f16 with f32 sums),
/// else of its FMA pipe.
fn operations_per_clock(target: &Target, dtype: DType) -> f64 {
    let half = match target.arch.number() {
        80 => 2048.0,
        90 => 4096.0,
        100..=110 => 8192.0,
        120.. => 512.0,
        _ => 1024.0,
    };
    match dtype.bits() {
        16 => half,
        8 => 2.0 * half,
        64 => f64::from(target.rates.fma),
        _ => 2.0 * f64::from(target.rates.fma),
    }
}
