//! The cost that fusion minimises: bytes moved, launches, and instructions where they take longer than the bytes.
//!
//! A kernel takes `launch + max(bytes / bandwidth, instructions / rate)`. Figures are those of the reference GPU of
//! [`crate::target`], so that a plan is the same on every machine.

use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::op;
use crate::shape::Shape;
use crate::target::Target;
use std::collections::BTreeSet;

/// Instructions an element by pipe, summed over ops.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    xu: f64,
    fma: f64,
    alu: f64,
}

impl Work {
    pub fn of(cost: op::Cost) -> Work {
        Work { xu: cost.mufu.into(), fma: cost.fma.into(), alu: cost.alu.into() }
    }

    pub fn plus(self, other: Work) -> Work {
        Work { xu: self.xu + other.xu, fma: self.fma + other.fma, alu: self.alu + other.alu }
    }
}

/// Multiplications a clock of one SM by `mma.sync` on 16-bit floats; codes take half the time. From the data sheet of the A100, and within a
/// third of what was measured on the H200.
const TENSOR: u32 = 1024;

/// The reference GPU's speeds, and the sizes assumed for symbols.
pub(super) struct Model {
    bytes_per_ns: f64,
    pub launch_ns: f64,
    /// Instructions of all SMs in a nanosecond, by pipe, and all together.
    xu: f64,
    fma: f64,
    alu: f64,
    issue: f64,
    /// Multiplications of all SMs in a nanosecond, by `mma.sync` on 16-bit floats.
    tensor: f64,
    sizes: Bindings,
    unbound: u64,
}

impl Model {
    /// `sizes` are the symbols' sizes for costing; what they leave out counts as `unbound`.
    pub fn new(target: &Target, sizes: &Bindings, unbound: u64) -> Model {
        let (part, rates) = (&target.part, &target.rates);
        let per_ns = |per_clock: u32| f64::from(per_clock) * f64::from(part.sms) * f64::from(part.clock_mhz) / 1000.0;
        Model {
            bytes_per_ns: part.copy_gbs(),
            launch_ns: part.launch_us * 1000.0,
            xu: per_ns(rates.xu),
            fma: per_ns(rates.fma),
            alu: per_ns(rates.alu),
            issue: per_ns(rates.issue),
            tensor: per_ns(TENSOR),
            sizes: sizes.clone(),
            unbound,
        }
    }

    /// A dimension's size for costing, at least 0.
    pub fn size(&self, dim: &Dim) -> f64 {
        if let Some(n) = dim.known() {
            return n.max(0) as f64;
        }
        let mut symbols = BTreeSet::new();
        dim.symbols(&mut symbols);
        let mut sizes = self.sizes.clone();
        for symbol in symbols {
            sizes.entry(symbol).or_insert(self.unbound);
        }
        dim.eval_signed(&sizes).map_or(f64::from(u32::MAX), |n| n.max(0) as f64)
    }

    /// Number of elements.
    pub fn count(&self, shape: &Shape) -> f64 {
        shape.iter().map(|d| self.size(d)).product()
    }

    /// The time of so many multiplications of elements of a type: f32 is multiplied by the ordinary pipe.
    pub fn tensor_ns(&self, multiplications: f64, dtype: DType) -> f64 {
        match dtype.bits() {
            8 => multiplications / (2.0 * self.tensor),
            16 => multiplications / self.tensor,
            _ => multiplications / self.fma,
        }
    }

    pub fn bytes_ns(&self, bytes: f64) -> f64 {
        bytes / self.bytes_per_ns
    }

    /// The time of `work` on each of `count` elements, by the busiest pipe.
    pub fn work_ns(&self, work: Work, count: f64) -> f64 {
        let all = (work.xu + work.fma + work.alu) / self.issue;
        count * (work.xu / self.xu).max(work.fma / self.fma).max(work.alu / self.alu).max(all)
    }
}
