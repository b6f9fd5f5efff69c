//! When two 16-bit floats go through one instruction.
//!
//! A sum, difference or product of two floats of p bits, rounded to at least 2p + 2 bits and then to p, is the exact one rounded once
//! (Figueroa, "When is double rounding innocuous?", 1995): f32 has 24 bits, f16 11 and bf16 8. So f32 arithmetic that is rounded where it is
//! stored gives what a packed instruction gives, as long as one op rounds at most. Maxima, minima and changes of sign round nothing and
//! keep the order, so they may stand before or behind it.

use crate::dtype::DType;
use crate::plan::{Arg, Form, Kernel, layout};
use crate::target::{Arch, Target};

/// True if the kernel may, and if the target has the instructions.
pub fn fits(kernel: &Kernel, form: &Form, target: &Target) -> bool {
    let dtype = match kernel.stores.first().map(|store| store.dtype) {
        Some(DType::F16) if target.arch >= Arch::SM_80 => DType::F16,
        Some(DType::BF16) if target.arch >= Arch::SM_90 => DType::BF16,
        _ => return false,
    };
    let body = !kernel.body.is_empty()
        && kernel.body.iter().all(|stmt| stmt.dtype == dtype && !stmt.op.row().packed.is_empty());
    body && layout::in_pairs(kernel, form) && roundings(kernel) <= 1
}

/// Most ops that round on the way from an operand to a result.
fn roundings(kernel: &Kernel) -> u32 {
    let mut so_far: Vec<u32> = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let of = |arg: &Arg| if let Arg::Stmt(i) = arg { so_far[*i as usize] } else { 0 };
        let own = u32::from(stmt.op.row().bound.f32.ulp > 0.0);
        so_far.push(stmt.args.iter().map(of).max().unwrap_or(0) + own);
    }
    so_far.into_iter().max().unwrap_or(0)
}
