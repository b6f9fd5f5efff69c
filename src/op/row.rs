//! What a row of the table says of its op, field by field.

use super::{TypeRule, TypeSet};
use crate::dtype::DType;
use crate::scalar::Number;
use std::fmt;

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
    /// Where a unary op that falls and then rises has its least value: what an uncertain operand may give lies there, not at its ends.
    pub turn: Option<f64>,
    pub algebra: Algebra,
    pub eval: Eval,
    pub cuda: Cuda,
    /// As `cuda.fast`, within the same bound, for operands that are not infinite: without what infinities need. Empty: as `fast`.
    pub finite: &'static str,
    /// As `cuda.fast`, within the same bound, with an instruction of the slow unit less and some more of the other pipes. Empty: there is
    /// none. A kernel that the slow unit holds up uses it for some of its elements.
    pub relief: &'static str,
    /// On pairs of 16-bit floats in a word, `{t}` being their type: each half is the result of the exact operation, rounded once. Empty:
    /// there is none.
    pub packed: &'static str,
    pub cost: Cost,
    pub bound: Bound,
}

impl Row {
    /// What most unary ops share, to be completed by `..Row::UNARY`: one float operand, no algebra, an exact result.
    pub const UNARY: Row = Row {
        name: "",
        formula: "",
        onnx: &[],
        elsewhere: &[],
        operands: &["x"],
        params: &[],
        types: TypeRule::Same(TypeSet::FLOATS),
        range: None,
        turn: None,
        algebra: Algebra::NONE,
        eval: Eval::Arith { float: None, int: None },
        cuda: Cuda::NONE,
        finite: "",
        relief: "",
        packed: "",
        cost: Cost::new(0, 0, 0),
        bound: Bound::EXACT,
    };
    /// What most binary ops share: two operands of one number type, a result rounded once.
    pub const BINARY: Row =
        Row { operands: &["a", "b"], types: TypeRule::Same(TypeSet::NUMBERS), bound: Bound::ROUNDED, ..Row::UNARY };
}

/// An op of ONNX: since opset `since` of `domain` (empty: the default one) `op_type` means what the row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onnx {
    pub domain: &'static str,
    pub op_type: &'static str,
    pub since: u32,
}

/// An op of ONNX's default domain.
pub(super) const fn onnx(op_type: &'static str, since: u32) -> Onnx {
    Onnx { domain: "", op_type, since }
}

/// An op that ONNX Runtime adds to ONNX.
pub(super) const fn microsoft(op_type: &'static str) -> Onnx {
    Onnx { domain: "com.microsoft", op_type, since: 1 }
}

/// An ONNX attribute that became a constant operand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    pub name: &'static str,
    /// ONNX's default; `None` where the model must give it.
    pub default: Option<f32>,
}

pub(super) const fn param(name: &'static str, default: f32) -> Param {
    Param { name, default: Some(default) }
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
    /// f(x, e) = x; and f(e, x) = x too if commutative. For an integer type a finite e is wrapped to the type (−1 is "all
    /// ones") and an infinite one does not apply.
    pub neutral: Option<f64>,
    /// f(x, z) = z for finite x; and f(z, x) too if commutative. For integers as above.
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
    pub const DECREASING: Algebra = Algebra { monotonic: -1, ..Algebra::NONE };
    pub const COMMUTATIVE: Algebra = Algebra { commutative: true, ..Algebra::NONE };
    /// Maxima, minima, conjunctions and disjunctions.
    pub const LATTICE: Algebra = Algebra { associative: true, idempotent: true, monotonic: 1, ..Algebra::COMMUTATIVE };
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

impl Eval {
    /// The meaning of an op that takes floats only.
    pub const fn float(f: fn(&[f64]) -> f64) -> Eval {
        Eval::Arith { float: Some(f), int: None }
    }
    /// The meaning of an op that takes integers or bools only.
    pub const fn int(f: fn(&[i128], DType) -> i128) -> Eval {
        Eval::Arith { float: None, int: Some(f) }
    }
    /// An arithmetic op on both.
    pub const fn both(float: fn(&[f64]) -> f64, int: fn(&[i128], DType) -> i128) -> Eval {
        Eval::Arith { float: Some(float), int: Some(int) }
    }
}

/// CUDA expressions: `{0}`, `{1}` … are the operands, params following tensors. An empty text means "not defined for this type".
/// What they call (`pw_…`) is defined in `templates/prelude.cuh`, of which [`crate::emit::prelude::prelude_for`] takes what a
/// kernel's text needs.
///
/// What the emitter owes a text, and what a text may rely on:
/// * Each operand is a name or a literal (a negative one in parentheses); it may appear several times.
/// * `f32` and `fast` are for float types narrower than f64: operands are `float`, params are `float` literals. For `f64`,
///   operands and params are `double`.
/// * `int` is for integers and bools: operands are of the type's own C type, or of `int` for types narrower than that;
///   literals carry their suffix (`5u`, `5ll`, `5ull`), since the functions are overloaded. Bools are `bool`.
/// * A test gives a `bool`; any other text gives its operands' type or, for integers, one that the emitter casts to the
///   result's type, which wraps.
/// * [`TypeRule::Power`] and [`TypeRule::Select`] take the text of the result's type; the exponent and the condition keep
///   their own C types (a float narrower than f64 is `float`).
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
    /// A text on integers or bools alone.
    pub const fn int(text: &'static str) -> Cuda {
        Cuda { int: text, ..Cuda::NONE }
    }

    /// The text on operands of this type, `fast` if results of 16 or 8 bits follow; empty where the op is not defined on it.
    pub fn text(&self, operands: DType, fast: bool) -> &'static str {
        match operands {
            DType::F64 => self.f64,
            t if !t.is_float() => self.int,
            _ if fast && !self.fast.is_empty() => self.fast,
            _ => self.f32,
        }
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
    /// Of the fast expression once more, with fewer ulp and a larger absolute part: the better bound where the result becomes a code,
    /// for codes lie evenly.
    pub codes: Deviation,
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
    /// The same, and as much again in absolute terms: where results are flushed to zero or cancel.
    pub const fn or_abs(self, abs: f64) -> Deviation {
        Deviation { abs, ..self }
    }
}

impl fmt::Display for Deviation {
    /// `exact`, `0.5 ulp`, `4 ulp + 1e-43`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ulp, self.abs) {
            (0.0, 0.0) => f.write_str("exact"),
            (ulp, 0.0) => write!(f, "{ulp} ulp"),
            (0.0, abs) => write!(f, "{abs:.0e}"),
            (ulp, abs) => write!(f, "{ulp} ulp + {abs:.0e}"),
        }
    }
}

impl Bound {
    /// Comparisons, selections, sign changes, integer arithmetic.
    pub const EXACT: Bound = Bound::ulp(0.0);
    /// One correctly rounded operation.
    pub const ROUNDED: Bound = Bound::ulp(0.5);
    pub const fn ulp(ulp: f64) -> Bound {
        Bound::ulps(ulp, ulp, ulp)
    }
    pub const fn ulps(f32: f64, fast: f64, f64: f64) -> Bound {
        let fast = Deviation::ulp(fast);
        Bound { f32: Deviation::ulp(f32), fast, codes: fast, f64: Deviation::ulp(f64) }
    }
    /// Where the approximate instructions flush denormals to zero.
    pub const fn flushed(self) -> Bound {
        let fast = self.fast.or_abs(f32::MIN_POSITIVE as f64);
        Bound { fast, codes: fast, ..self }
    }
    /// With another bound of the fast expression for what becomes a code.
    pub const fn codes(self, ulp: f64, abs: f64) -> Bound {
        Bound { codes: Deviation { ulp, abs }, ..self }
    }
}
