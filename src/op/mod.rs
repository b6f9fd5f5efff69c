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
mod compare;
mod convert;
mod types;

pub use activation::*;
pub use arithmetic::*;
pub use compare::*;
pub use convert::*;
pub use types::{TypeError, TypeRule, TypeSet};

use crate::dtype::DType;
use crate::scalar::Number;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Declares a file's rows: each becomes a `pub static`, and `ROWS` lists them in order.
macro_rules! rows {
    ($($name:ident = $row:expr;)*) => {
        $(pub static $name: $crate::op::Row = $row;)*
        pub(super) static ROWS: &[&$crate::op::Row] = &[$(&$name),*];
    };
}
pub(crate) use rows;

/// One pointwise op.
pub struct Row {
    /// Its name in expressions, plans, kernels and messages: lower case, unique.
    pub name: &'static str,
    /// Its formula in the names of its operands, as shown by `pointweld ops`.
    pub formula: &'static str,
    /// The ONNX ops it implements, with the opset since which each has this meaning.
    pub onnx: &'static [Onnx],
    /// What TensorRT and cuDNN call it: `"TensorRT kSIGMOID"`, `"cuDNN SWISH_FWD"`.
    pub elsewhere: &'static [&'static str],
    /// Names of the tensor operands, in order.
    pub operands: &'static [&'static str],
    /// Constant operands that follow them: ONNX's attributes, of type f32.
    pub params: &'static [Param],
    pub types: TypeRule,
    /// The closed interval that every result for finite operands lies in, where it is not all numbers.
    pub range: Option<(f64, f64)>,
    pub algebra: Algebra,
    pub eval: Eval,
    pub cuda: Cuda,
    pub cost: Cost,
    pub bound: Bound,
}

/// An op of ONNX: since opset `since` of `domain` (empty: the default one) `op_type` means what the row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onnx {
    pub domain: &'static str,
    pub op_type: &'static str,
    pub since: u32,
}

/// An ONNX attribute that became a constant operand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    pub name: &'static str,
    /// ONNX's default; `None` where the model must give it.
    pub default: Option<f32>,
}

/// What rewriting may rely on. Everything is false or absent unless a row says otherwise; claims hold bit for bit for
/// numbers (NaN excepted), because a rewrite may not change a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Algebra {
    /// f(a, b) = f(b, a)
    pub commutative: bool,
    /// f(f(a, b), c) = f(a, f(b, c)), exactly: true of max and of integer sums, not of float sums.
    pub associative: bool,
    /// f(x, x) = x for two operands, f(f(x)) = f(x) for one.
    pub idempotent: bool,
    /// f(f(x)) = x
    pub involution: bool,
    /// f(x, e) = x; and f(e, x) = x too if commutative.
    pub neutral: Option<f64>,
    /// f(x, z) = z for finite x; and f(z, x) too if commutative.
    pub absorbing: Option<f64>,
    /// Never decreasing (+1) or never increasing (−1) in its first operand, whatever the others.
    pub monotonic: i8,
}

impl Algebra {
    pub const NONE: Algebra = Algebra {
        commutative: false,
        associative: false,
        idempotent: false,
        involution: false,
        neutral: None,
        absorbing: None,
        monotonic: 0,
    };
    pub const INCREASING: Algebra = Algebra { monotonic: 1, ..Algebra::NONE };
    pub const COMMUTATIVE: Algebra = Algebra { commutative: true, ..Algebra::NONE };
}

/// The meaning of an op on the CPU: exact integer arithmetic, or f64 for floats. Operands and params come in one slice.
pub enum Eval {
    /// A result of the operands' own type. Integers are computed without bound and then wrapped to the type given.
    Arith { float: Option<fn(&[f64]) -> f64>, int: Option<fn(&[i128], DType) -> i128> },
    /// A bool.
    Test { float: Option<fn(&[f64]) -> bool>, int: Option<fn(&[i128]) -> bool> },
    /// Operands of mixed types; the last argument is the result's type.
    Mixed(fn(&[Number], DType) -> Number),
}

/// CUDA expressions: `{0}`, `{1}` … are the operands, params following tensors. An empty text means "not defined for this type".
/// What they call is defined in `templates/prelude.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuda {
    /// On `float`, as accurate as [`Bound::f32`] says.
    pub f32: &'static str,
    /// On `float`, for results that are stored in 16 or 8 bits: approximate instructions within [`Bound::fast`]. Empty: as `f32`.
    pub fast: &'static str,
    /// On `double`.
    pub f64: &'static str,
    /// On the C integer type of the operands' own width and sign, or on `bool`.
    pub int: &'static str,
}

impl Cuda {
    pub const NONE: Cuda = Cuda { f32: "", fast: "", f64: "", int: "" };
    /// The same text for float and double.
    pub const fn float(text: &'static str) -> Cuda {
        Cuda { f32: text, fast: "", f64: text, int: "" }
    }
    /// The same text for every type.
    pub const fn any(text: &'static str) -> Cuda {
        Cuda { f32: text, fast: "", f64: text, int: text }
    }
}

/// Instructions an element takes in the fast form, by pipe: what a schedule compares. See `target` for the pipes' rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// ex2, rcp, rsqrt, lg2, tanh, sin, cos, and F2I/I2F conversions.
    pub mufu: u16,
    /// FADD, FMUL, FFMA.
    pub fma: u16,
    /// Logic, compare, select, minimum, integer add, packed conversions.
    pub alu: u16,
}

impl Cost {
    pub const fn new(mufu: u16, fma: u16, alu: u16) -> Cost {
        Cost { mufu, fma, alu }
    }
}

/// How far a CUDA expression may lie from the exact result for the operands it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    pub f32: Deviation,
    pub fast: Deviation,
    pub f64: Deviation,
}

/// |computed − exact| ≤ `ulp` units in the last place of the exact result in the compute type, + `abs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    pub ulp: f64,
    pub abs: f64,
}

impl Deviation {
    pub const EXACT: Deviation = Deviation::ulp(0.0);
    pub const fn ulp(ulp: f64) -> Deviation {
        Deviation { ulp, abs: 0.0 }
    }
}

impl Bound {
    /// Comparisons, selections, sign changes, integer arithmetic.
    pub const EXACT: Bound = Bound { f32: Deviation::EXACT, fast: Deviation::EXACT, f64: Deviation::EXACT };
    /// One correctly rounded operation.
    pub const ROUNDED: Bound = Bound::ulp(0.5);
    pub const fn ulp(ulp: f64) -> Bound {
        let d = Deviation::ulp(ulp);
        Bound { f32: d, fast: d, f64: d }
    }
}

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
    [activation::ROWS, arithmetic::ROWS, compare::ROWS, convert::ROWS].into_iter().flatten().copied()
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
