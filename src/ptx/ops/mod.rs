//! The meaning of pure instructions: each opcode, type and modifier as a function from operand rows to a result row.
//!
//! A function here computes all 32 lanes at once so that the compiler can vectorise it; lanes that are switched off
//! are thrown away by the executor. None of them can fail: what PTX leaves undefined (division by zero) gives what NVIDIA hardware gives.

pub(crate) mod bits;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod float;
pub(crate) mod fp8;
pub(crate) mod half;
pub(crate) mod int;
pub(crate) mod round;

use super::program::{F1, F1Wide, F2, F2Wide, F3, F3Wide};

/// A unary operation in the bank of its type.
#[derive(Clone, Copy)]
pub(crate) enum Unary {
    Narrow(F1),
    Wide(F1Wide),
}

/// A binary operation in the bank of its type.
#[derive(Clone, Copy)]
pub(crate) enum Binary {
    Narrow(F2),
    Wide(F2Wide),
}

/// A ternary operation in the bank of its type.
#[derive(Clone, Copy)]
pub(crate) enum Ternary {
    Narrow(F3),
    Wide(F3Wide),
}

/// Lifts a function of one lane to a function of rows.
macro_rules! row {
    (1, $f:expr) => {
        |a| {
            let f = $f;
            std::array::from_fn(|i| f(a[i]))
        }
    };
    (2, $f:expr) => {
        |a, b| {
            let f = $f;
            std::array::from_fn(|i| f(a[i], b[i]))
        }
    };
    (3, $f:expr) => {
        |a, b, c| {
            let f = $f;
            std::array::from_fn(|i| f(a[i], b[i], c[i]))
        }
    };
    (4, $f:expr) => {
        |a, b, c, d| {
            let f = $f;
            std::array::from_fn(|i| f(a[i], b[i], c[i], d[i]))
        }
    };
}
pub(crate) use row;
