//! Sums of codes as floats, for kernels whose guard computes an element again where something is out of the ordinary.
//!
//! The sum less its zero point becomes a float by integer arithmetic: 1.5·2²³ is added to it as bits and taken away as a number, exact for sums
//! below 2²². The bits of the first tell whether it was: their upper nine are those of 2²³. All real sums are; what is not goes by f64.

use super::{Class, Writer};
use crate::emit::names;
use crate::plan::{Arg, LARGEST_SUM, Stmt};

/// The bits of 2²³ and of 1.5·2²³.
const BASE: u32 = 0x4b00_0000;
const MIDDLE: u32 = 0x4b40_0000;
const _: () = assert!(LARGEST_SUM == (MIDDLE - BASE) as f64);

impl Writer<'_> {
    /// The scaled sum of statement `i`; the sum itself is a line of its own.
    pub(super) fn scale_sum(&mut self, i: usize, stmt: &Stmt, scale: &str) -> String {
        let name = |what| names::of_value(i, what);
        let zero = match stmt.args[2] {
            Arg::Const(scalar) if scalar.as_f64() == 0.0 => String::new(),
            zero => format!(" - (u32){}", self.arg(zero)),
        };
        let bits = format!("(u32){}{zero} + {MIDDLE:#x}u", self.arg(stmt.args[0]));
        self.line("u32", name("bits"), &bits);
        self.line("float", name("sum"), &format!("__uint_as_float({}) - 12582912.0f", name("bits")));
        self.body.far.push(format!("{} ^ {BASE:#x}u", name("bits")));
        format!("{} * {scale}", name("sum"))
    }

    /// An addition to a scaled sum: rounded once.
    pub(super) fn multiply_add(&mut self, stmt: &Stmt) -> Option<String> {
        let slot = self.kernel.scaled_term(stmt).filter(|_| self.guarded)?;
        let Arg::Stmt(scaled) = stmt.args[slot] else { return None };
        let kernel = self.kernel;
        let scale = self.float_operand(scaled as usize, "scale", kernel.body[scaled as usize].args[1]);
        let other = self.operand(stmt, 1 - slot, stmt.args[1 - slot], Class::F32);
        Some(format!("fmaf({}, {scale}, {other})", names::of_value(scaled as usize, "sum")))
    }

    /// True if all that reads the scaled sum of statement `i` is a [`Writer::multiply_add`] of its parts.
    pub(super) fn is_absorbed(&self, i: usize) -> bool {
        let scaled = |arg: &Arg| *arg == Arg::Stmt(i as u32);
        let stored = self.kernel.stores.iter().any(|store| scaled(&store.value));
        let mut readers = self.kernel.body.iter().filter(|stmt| stmt.args.iter().any(scaled));
        let added = |stmt: &Stmt| {
            let slot = self.kernel.scaled_term(stmt);
            slot.is_some_and(|slot| scaled(&stmt.args[slot]) && !scaled(&stmt.args[1 - slot]))
        };
        self.guarded && self.kernel.scales_sum(i) && !stored && readers.all(added)
    }

    /// Notes the factors of a column, which must all be below [`LARGEST_FACTOR`](crate::plan::LARGEST_FACTOR).
    pub(super) fn check_columns(&mut self) {
        if !self.guarded {
            return;
        }
        for i in (0..self.kernel.loads.len()).filter(|i| self.kernel.is_steady(*i)) {
            self.body.steady.push(names::element(i));
            self.body.native.insert(i);
        }
    }
}
