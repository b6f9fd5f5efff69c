//! THE op table: each pointwise op is one [`Row`], declared once, in one of the files beside this one.
//!
//! A row says everything the compiler knows of an op: its names, its operands, its type rule, its output range, its algebra,
//! its meaning on the CPU, its CUDA expression for each compute type, what that costs and how far it may err. Passes, the
//! reference, the emitter and the tests all read the same row, so adding an op touches that row only, and a new row is tested
//! because the tests iterate the table.
//!
//! ONNX attributes become constant operands ([`Row::params`]), so that an op with its operands is its whole meaning.
//! `Quantize`, `Dequantize` and `Cast` are rows like any other.

mod activation;
mod arithmetic;
mod bitwise;
mod compare;
mod composed;
mod convert;
mod exponential;
mod interval;
mod logic;
mod piecewise;
mod real;
mod rounding;
mod row;
mod trigonometry;
mod types;

pub use activation::*;
pub use arithmetic::*;
pub use bitwise::*;
pub use compare::*;
pub use composed::{COMPOSED, Composed};
pub use convert::*;
pub use exponential::*;
pub use interval::{Interval, interval};
pub use logic::*;
pub use piecewise::*;
pub use rounding::*;
pub use row::{Algebra, Bound, Cost, Cuda, Deviation, Eval, Onnx, Param, Row};
pub use trigonometry::*;
pub use types::{TypeError, TypeRule, TypeSet};

use crate::dtype::DType;
use crate::scalar::Number;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Declares a file's rows: each becomes a `pub static`, and `ROWS` lists them in order.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident = $row:expr;)*) => {
        $($(#[$doc])* pub static $name: $crate::op::Row = $row;)*
        pub(super) static ROWS: &[&$crate::op::Row] = &[$(&$name),*];
    };
}
pub(crate) use rows;

/// A row with the type it converts to, where it is a conversion. A small `Copy` value: with its operands it is the key of CSE.
#[derive(Clone, Copy)]
pub struct Op {
    row: &'static Row,
    to: Option<DType>,
}

impl Op {
    /// An op whose result type follows from its operands.
    pub const fn new(row: &'static Row) -> Op {
        Op { row, to: None }
    }

    /// A conversion to `dtype`: [`CAST`], [`QUANTIZE`], [`DEQUANTIZE`] and their like.
    pub const fn to(row: &'static Row, dtype: DType) -> Op {
        Op { row, to: Some(dtype) }
    }

    pub fn row(self) -> &'static Row {
        self.row
    }

    pub fn name(self) -> &'static str {
        self.row.name
    }

    /// The type a conversion converts to.
    pub fn target(self) -> Option<DType> {
        self.to
    }

    /// True if this is the op of that row, whatever it converts to.
    pub fn is(self, row: &'static Row) -> bool {
        std::ptr::eq(self.row, row) || self.row.name == row.name
    }

    /// Number of operands, params included.
    pub fn arity(self) -> usize {
        self.row.operands.len() + self.row.params.len()
    }

    /// The name of operand `slot`, for messages.
    pub fn operand_name(self, slot: usize) -> &'static str {
        let tensors = self.row.operands.len();
        self.row
            .operands
            .get(slot)
            .copied()
            .or(self.row.params.get(slot.wrapping_sub(tensors)).map(|p| p.name))
            .unwrap_or("?")
    }

    /// The type of the result for operands of these types, params included.
    pub fn result_type(self, operands: &[DType]) -> Result<DType, TypeError> {
        types::result_type(self, operands)
    }

    /// The CUDA text on operands of these types, as [`Cuda::text`] chooses it; empty for the conversions.
    pub fn text(self, operands: &[DType], fast: bool) -> &'static str {
        let decisive = usize::from(self.row.types == TypeRule::Select);
        operands.get(decisive).map_or("", |t| self.row.cuda.text(*t, fast))
    }

    /// The exact result for these operands, before it is rounded to `result`: integers are already wrapped, floats are f64.
    ///
    /// # Panics
    /// If the operands do not satisfy [`Op::result_type`].
    pub fn eval_exact(self, operands: &[Number], result: DType) -> Number {
        let floats = operands.first().is_some_and(|x| matches!(x, Number::Float(_)));
        match &self.row.eval {
            Eval::Arith { float: Some(f), .. } if floats => Number::Float(with_floats(operands, f)),
            Eval::Arith { int: Some(f), .. } => Number::Int(with_ints(operands, |a| f(a, result))).rounded_to(result),
            Eval::Test { float: Some(f), .. } if floats => Number::Int(with_floats(operands, f).into()),
            Eval::Test { int: Some(f), .. } => Number::Int(with_ints(operands, f).into()),
            Eval::Mixed(f) => f(operands, result),
            Eval::Arith { .. } | Eval::Test { .. } => {
                unreachable!("{self} has no meaning for its operands: {operands:?}")
            }
        }
    }

    /// The result as a tensor of type `result` stores it.
    pub fn eval(self, operands: &[Number], result: DType) -> Number {
        self.eval_exact(operands, result).rounded_to(result)
    }

    /// The op of that name, with the type it converts to written after a dot: `relu`, `cast.f16`.
    pub fn parse(text: &str) -> Option<Op> {
        match text.split_once('.') {
            None => find(text).map(Op::new),
            Some((name, to)) => Some(Op::to(find(name)?, to.parse().ok()?)),
        }
    }
}

/// A CUDA text with its operands in place.
pub fn fill(text: &str, operands: &[impl AsRef<str>]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled += before;
        match after.split_once('}').and_then(|(slot, after)| Some((operands.get(slot.parse::<usize>().ok()?)?, after)))
        {
            Some((operand, after)) => {
                filled += operand.as_ref();
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

/// Most operands any row has, params included.
pub const MAX_ARITY: usize = 6;

fn with_floats<R>(operands: &[Number], f: impl Fn(&[f64]) -> R) -> R {
    let mut x = [0.0; MAX_ARITY];
    operands.iter().zip(&mut x).for_each(|(n, x)| *x = n.as_f64());
    f(&x[..operands.len()])
}

fn with_ints<R>(operands: &[Number], f: impl Fn(&[i128]) -> R) -> R {
    let mut x = [0; MAX_ARITY];
    operands.iter().zip(&mut x).for_each(|(n, x)| *x = n.as_i128());
    f(&x[..operands.len()])
}

/// The whole table, in the order of `pointweld ops`.
pub fn table() -> impl Iterator<Item = &'static Row> {
    [
        arithmetic::ROWS,
        rounding::ROWS,
        exponential::ROWS,
        trigonometry::ROWS,
        piecewise::ROWS,
        activation::ROWS,
        compare::ROWS,
        logic::ROWS,
        bitwise::ROWS,
        convert::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    table().find(|row| row.name == name)
}

impl PartialEq for Op {
    fn eq(&self, other: &Op) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Op {}
impl PartialOrd for Op {
    fn partial_cmp(&self, other: &Op) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Op {
    fn cmp(&self, other: &Op) -> Ordering {
        (self.row.name, self.to).cmp(&(other.row.name, other.to))
    }
}
impl Hash for Op {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.row.name, self.to).hash(state);
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            None => f.pad(self.row.name),
            Some(to) => write!(f, "{}.{to}", self.row.name),
        }
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Op, D::Error> {
        let text = String::deserialize(d)?;
        Op::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not an op of the table")))
    }
}
