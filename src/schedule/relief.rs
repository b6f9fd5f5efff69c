//! When some elements spare the slow unit.
//!
//! Two chained SiLUs take four instructions of it (two exponentials, two reciprocals) an element: on the H200 as long as the memory takes
//! for 16-bit tensors, and the two together take 1.15 times as long. A quarter of the reciprocals on the FMA pipe brings that down to 1.05
//! (measured on the chain of ten ops in benches/cases.json; half of them cost more instructions than they free).

use super::codes16::{bytes, pipes};
use crate::plan::{Compute, Form, Kernel};
use crate::target::Target;

/// Of so many elements one is relieved.
const EVERY: u32 = 4;
/// The slow unit's time as a share of the memory's from which on it holds the kernel up.
const BUSY: f64 = 0.9;

/// [`Schedule::relief`](crate::plan::Schedule::relief) for a kernel.
pub fn choose(kernel: &Kernel, form: &Form, compute: Compute, target: &Target) -> u32 {
    let (Form::Flat { vector } | Form::Rows { vector, .. } | Form::Transposed { vector, .. }) = form else { return 0 };
    let offered = kernel.body.iter().any(|stmt| !stmt.op.row().relief.is_empty());
    // Codes are compared with an error that is the usual expression's.
    let codes = kernel.body.iter().any(|stmt| !stmt.dtype.is_float());
    if compute != Compute::Fast || codes || !offered || *vector < EVERY {
        return 0;
    }
    let part = &target.part;
    // Clocks of one multiprocessor for an element.
    let memory = bytes(kernel) / part.copy_gbs() * f64::from(part.sms) * f64::from(part.clock_mhz) / 1e3;
    let [slow, ..] = pipes(kernel, target);
    if slow >= BUSY * memory { EVERY } else { 0 }
}
