//! What limits a kernel, estimated from its machine code without a GPU: the instructions of an element by pipe, against the rates of the
//! pipes and the time that memory takes for the element's bytes.

use super::Compiled;
use crate::compile::sass::{Disassembler, Mix, SassError};
use crate::plan::{Access, Kernel};
use crate::target::{Arch, Target};
use serde::Serialize;

/// Of one kernel on one architecture. Loops count once, and what a kernel executes rarely (tails, the second opinion in f64) not at
/// all; latencies are taken to be hidden.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// Instructions of an element, by pipe: all of them take an issue slot.
    pub per_element: PerElement,
    /// Time against that of the memory for the same elements: above 1 the pipe limits.
    pub issue: f64,
    pub fma: f64,
    pub alu: f64,
    pub xu: f64,
    pub shared: f64,
    /// The limit: `memory`, or the busiest pipe.
    pub bound: &'static str,
}

/// Instructions of an element.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PerElement {
    pub issue: f64,
    pub fma: f64,
    pub alu: f64,
    pub xu: f64,
    pub shared: f64,
    pub global: f64,
}

impl Compiled {
    /// An estimate for program `program` on each architecture that it was compiled for, of the first kernel that runs it.
    ///
    /// # Errors
    /// If the machine code can't be read back.
    pub fn estimate(
        &self,
        disassembler: &Disassembler,
        program: usize,
        arch: Arch,
    ) -> Result<Option<Estimate>, SassError> {
        let Some(build) = self.programs[program].builds.get(&arch) else { return Ok(None) };
        let mut kernels = self.planned.plan.kernels().zip(&self.planned.sources).zip(&self.program_of);
        let Some(((kernel, source), _)) = kernels.find(|(_, of)| **of == program) else { return Ok(None) };
        let mix = disassembler.usual_mix(&build.cubin, &source.entry)?;
        Ok(Some(Estimate::new(kernel, &mix, source.rule.elements_per_thread(), &Target::of(arch))))
    }
}

impl Estimate {
    /// Of a kernel whose threads execute `mix` for `elements` elements each.
    pub fn new(kernel: &Kernel, mix: &Mix, elements: f64, target: &Target) -> Estimate {
        let pipes = mix.pipes();
        let of = |count: u32| f64::from(count) / elements;
        let per_element = PerElement {
            issue: of(pipes.issue),
            fma: of(pipes.fma),
            alu: of(pipes.alu),
            xu: of(pipes.xu),
            shared: of(pipes.shared),
            global: of(pipes.global),
        };
        let part = &target.part;
        let clocks_a_second = f64::from(part.sms) * f64::from(part.clock_mhz) * 1e6;
        let memory = bytes(kernel) / (part.copy_gbs() * 1e9) * clocks_a_second;
        let busy = |count: f64, rate: u32| count / f64::from(rate) / memory;
        let rates = &target.rates;
        let pipes = [
            ("issue", busy(per_element.issue, rates.issue)),
            ("fma", busy(per_element.fma, rates.fma)),
            ("alu", busy(per_element.alu, rates.alu)),
            ("xu", busy(per_element.xu, rates.xu)),
            ("shared", busy(per_element.shared, rates.lds)),
        ];
        let busiest = pipes.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let bound = busiest.filter(|(_, time)| *time > 1.0).map_or("memory", |(name, _)| name);
        let [issue, fma, alu, xu, shared] = pipes.map(|(_, time)| time);
        Estimate { per_element, issue, fma, alu, xu, shared, bound }
    }
}

/// Bytes of memory that an element moves; what is broadcast counts nothing.
fn bytes(kernel: &Kernel) -> f64 {
    let reused = |access: &Access| access.strides.iter().zip(&kernel.domain).any(|(s, d)| s.is(0) && !d.is(1));
    let loads = kernel.loads.iter().filter(|load| !reused(&load.access)).map(|load| load.dtype);
    let bits = loads.chain(kernel.stores.iter().map(|store| store.dtype)).map(|t| f64::from(t.bits()));
    // A kernel that only broadcasts still stores.
    bits.sum::<f64>().max(1.0) / 8.0
}
