//! The language of rules: formulas as one writes them.
//!
//! ```text
//! 0.5 * x * (1 + erf(x / sqrt(2))) => gelu(x)
//! max(x, x * $a) => leaky_relu(x, $a) if 0 <= $a and $a <= 1
//! ```
//!
//! * `x`: any value, the same wherever it is written. `$a`: a constant all of whose elements are equal.
//! * A number is a constant of that value. Arithmetic of numbers, `sqrt` of one and `pi` are worked out when the rule is read.
//! * `name(…)` is the op of that name in the table; `+ - * / ^` and unary `-` are its add, sub, mul, div, pow and neg.
//! * On the left side an op that commutes matches in both orders; a chain of `*` or of `+` matches in every grouping; dividing
//!   by a number also matches multiplying by its reciprocal, and subtracting one, adding its opposite; `x^2` and `x^3` also
//!   match products. That is the freedom exporters take. The right side is built as it is written.

use crate::op::{self, Op, Row};
use crate::scalar::Number;
use std::fmt;

/// A rule that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("expected {expected} at {at:?}")]
    Syntax { expected: &'static str, at: String },
    #[error("there is no op {0:?} in the table")]
    NoSuchOp(String),
    #[error("{op} takes {expected} operands, found {found}")]
    Arity { op: &'static str, expected: usize, found: usize },
    #[error("{0} on the right side is not on the left")]
    Unbound(String),
    #[error("the rule has more than {} names or more groupings than are reasonable", MAX_NAMES)]
    TooLarge,
}

/// Most variables, and most constants, of one rule.
pub const MAX_NAMES: usize = 6;

/// A formula.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A variable, by its number.
    Var(usize),
    /// A named constant, by its number.
    Const(usize),
    Number(f64),
    Apply(Op, Vec<Expr>),
}

/// A formula with the freedom of the left side spelled out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    Var(usize),
    Const(usize),
    Number(f64),
    Apply {
        op: Op,
        args: Vec<Pattern>,
    },
    /// Any of these.
    Any(Vec<Pattern>),
}

/// `left ≤ right`, or `left < right` if strict.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub left: Expr,
    pub right: Expr,
    pub strict: bool,
}

type Parts = (Pattern, Expr, Vec<Condition>);

pub(super) fn parse(text: &str) -> Result<Parts, RuleError> {
    let mut reader = Reader { rest: text, vars: Vec::new(), consts: Vec::new() };
    let left = reader.sum()?;
    let (vars, consts) = (reader.vars.len(), reader.consts.len());
    reader.expect("=>")?;
    let right = reader.sum()?;
    let mut conditions = Vec::new();
    if reader.take("if") {
        loop {
            let left = reader.sum()?;
            let strict = !reader.take("<=");
            if strict {
                reader.expect("<")?;
            }
            conditions.push(Condition { left, right: reader.sum()?, strict });
            if !reader.take("and") {
                break;
            }
        }
    }
    if !reader.rest.trim().is_empty() {
        return Err(reader.wants("the end"));
    }
    if let Some(name) = reader.vars.get(vars).or(reader.consts.get(consts)) {
        return Err(RuleError::Unbound(name.to_string()));
    }
    if reader.vars.len().max(reader.consts.len()) > MAX_NAMES {
        return Err(RuleError::TooLarge);
    }
    Ok((super::freedom::freed(&left, &right)?, right, conditions))
}

impl Expr {
    /// Reads a formula alone, such as `x * sigmoid(x)`.
    pub fn parse(text: &str) -> Result<Expr, RuleError> {
        let mut reader = Reader { rest: text, vars: Vec::new(), consts: Vec::new() };
        let formula = reader.sum()?;
        if reader.rest.trim().is_empty() { Ok(formula) } else { Err(reader.wants("the end")) }
    }
}

struct Reader<'a> {
    rest: &'a str,
    vars: Vec<&'a str>,
    consts: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn wants(&self, expected: &'static str) -> RuleError {
        RuleError::Syntax { expected, at: self.rest.chars().take(40).collect() }
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let after = rest.strip_prefix(token);
        // A word must end where it ends.
        let whole = |r: &&str| !(token.ends_with(is_word) && r.starts_with(is_word));
        match after.filter(whole) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &'static str) -> Result<(), RuleError> {
        if self.take(token) { Ok(()) } else { Err(self.wants(token)) }
    }

    fn sum(&mut self) -> Result<Expr, RuleError> {
        let mut left = self.product()?;
        loop {
            let row = match () {
                () if self.take("+") => &op::ADD,
                () if self.take("-") => &op::SUB,
                () => return Ok(left),
            };
            left = apply(row, vec![left, self.product()?])?;
        }
    }

    fn product(&mut self) -> Result<Expr, RuleError> {
        let mut left = self.power()?;
        loop {
            let row = match () {
                () if self.take("*") => &op::MUL,
                () if self.take("/") => &op::DIV,
                () => return Ok(left),
            };
            left = apply(row, vec![left, self.power()?])?;
        }
    }

    fn power(&mut self) -> Result<Expr, RuleError> {
        if self.take("-") {
            return apply(named("neg")?, vec![self.power()?]);
        }
        let base = self.atom()?;
        if self.take("^") {
            let exponent = self.power()?;
            return apply(named("pow")?, vec![base, exponent]);
        }
        Ok(base)
    }

    fn atom(&mut self) -> Result<Expr, RuleError> {
        if self.take("(") {
            let inner = self.sum()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("$") {
            let name = self.word().ok_or_else(|| self.wants("a name after $"))?;
            return Ok(Expr::Const(number(&mut self.consts, name)));
        }
        let Some(word) = self.word() else { return Err(self.wants("a value")) };
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().map(Expr::Number).map_err(|_| self.wants("a number"));
        }
        if !self.take("(") {
            let pi = Expr::Number(std::f64::consts::PI);
            return Ok(if word == "pi" { pi } else { Expr::Var(number(&mut self.vars, word)) });
        }
        let mut args = vec![self.sum()?];
        while self.take(",") {
            args.push(self.sum()?);
        }
        self.expect(")")?;
        apply(named(word)?, args)
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        (!word.is_empty()).then(|| {
            self.rest = after;
            word
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn named(name: &str) -> Result<&'static Row, RuleError> {
    op::find(name).ok_or_else(|| RuleError::NoSuchOp(name.into()))
}

fn number<'a>(names: &mut Vec<&'a str>, name: &'a str) -> usize {
    names.iter().position(|n| *n == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// The op applied; worked out at once if all its operands are numbers.
fn apply(row: &'static Row, args: Vec<Expr>) -> Result<Expr, RuleError> {
    let expected = row.operands.len() + row.params.len();
    if args.len() != expected {
        return Err(RuleError::Arity { op: row.name, expected, found: args.len() });
    }
    let numbers: Option<Vec<Number>> =
        args.iter().map(|a| if let Expr::Number(x) = a { Some(Number::Float(*x)) } else { None }).collect();
    Ok(match numbers {
        Some(numbers) => Expr::Number(Op::new(row).eval_exact(&numbers, crate::dtype::DType::F64).as_f64()),
        None => Expr::Apply(Op::new(row), args),
    })
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Var(i) => write!(f, "x{i}"),
            Expr::Const(i) => write!(f, "$c{i}"),
            Expr::Number(x) => write!(f, "{x}"),
            Expr::Apply(op, args) => {
                write!(f, "{op}(")?;
                for (i, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if i > 0 { ", " } else { "" })?;
                }
                write!(f, ")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_read_with_the_usual_precedence() {
        let shown = |text| Expr::parse(text).unwrap().to_string();
        assert_eq!(shown("x * y + x / (2 - 1.5)"), "add(mul(x0, x1), div(x0, 0.5))");
        assert_eq!(shown("leaky_relu(x, $a)"), "leaky_relu(x0, $c0)");
        assert_eq!(shown("x - y - x"), "sub(sub(x0, x1), x0)");
    }

    #[test]
    fn mistakes_are_told() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("x * sigmoid(x) = silu(x)"), "expected => at \" = silu(x)\"");
        assert_eq!(error("x * frob(x) => silu(x)"), "there is no op \"frob\" in the table");
        assert_eq!(error("x * x => silu(y)"), "y on the right side is not on the left");
        assert_eq!(error("silu(x, x) => x"), "silu takes 1 operands, found 2");
        assert_eq!(error("relu(x) => x)"), "expected the end at \")\"");
    }
}
