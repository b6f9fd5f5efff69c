//! The freedom of a rule's left side: in how many ways an exporter may write the same formula.
//!
//! A chain of sums or products is grouped in every way, a number may be its own inverse on the other side, a small power may be
//! a product. All of it becomes alternatives of one pattern when the rule is read.

use super::language::{Expr, Pattern, RuleError};
use crate::op::{self, Op, Row};

/// The left side with its freedom spelled out, less the way of writing it that is the right side itself (`x * x` of `x ^ 2`).
pub(super) fn freed(left: &Expr, right: &Expr) -> Result<Pattern, RuleError> {
    let right = exactly(right);
    let pattern = match free(left)? {
        Pattern::Any(all) => any(all.into_iter().filter(|p| !equal(p, &right)).collect()),
        one => one,
    };
    if size(&pattern) > 4000 { Err(RuleError::TooLarge) } else { Ok(pattern) }
}

/// A formula as it is written.
fn exactly(e: &Expr) -> Pattern {
    match e {
        Expr::Var(i) => Pattern::Var(*i),
        Expr::Const(i) => Pattern::Const(*i),
        Expr::Number(x) => Pattern::Number(*x),
        Expr::Apply(op, args) => Pattern::Apply { op: *op, args: args.iter().map(exactly).collect() },
    }
}

fn free(e: &Expr) -> Result<Pattern, RuleError> {
    Ok(match e {
        Expr::Var(i) => Pattern::Var(*i),
        Expr::Const(i) => Pattern::Const(*i),
        Expr::Number(x) => Pattern::Number(*x),
        Expr::Apply(op, args) => {
            if let Some(chain) = [&PRODUCT, &SUM].into_iter().find(|c| op.is(c.forward) || op.is(c.backward)) {
                return chain.free(e);
            }
            match power(e) {
                Some(factors) => any(vec![plain(*op, args)?, PRODUCT.groupings(&factors)?]),
                None => plain(*op, args)?,
            }
        }
    })
}

fn plain(op: Op, args: &[Expr]) -> Result<Pattern, RuleError> {
    Ok(Pattern::Apply { op, args: args.iter().map(free).collect::<Result<_, _>>()? })
}

/// The factors of `x^2` or `x^3`.
fn power(e: &Expr) -> Option<Vec<Expr>> {
    let Expr::Apply(op, args) = e else { return None };
    match (op.name(), args.as_slice()) {
        ("pow", [base, Expr::Number(n)]) if *n == 2.0 || *n == 3.0 => Some(vec![base.clone(); *n as usize]),
        _ => None,
    }
}

/// An operation with its inverse, whose chains may be grouped at will.
struct Chain {
    forward: &'static Row,
    backward: &'static Row,
    neutral: f64,
    /// The number that `backward` takes where `forward` takes this one.
    inverse: fn(f64) -> f64,
    join: fn(f64, f64) -> f64,
}

static PRODUCT: Chain =
    Chain { forward: &op::MUL, backward: &op::DIV, neutral: 1.0, inverse: |x| 1.0 / x, join: |a, b| a * b };
static SUM: Chain = Chain { forward: &op::ADD, backward: &op::SUB, neutral: 0.0, inverse: |x| -x, join: |a, b| a + b };

impl Chain {
    fn free(&self, e: &Expr) -> Result<Pattern, RuleError> {
        let mut leaves = Vec::new();
        let number = self.leaves(e, &mut leaves);
        if number != self.neutral {
            leaves.push(Expr::Number(number));
        }
        if let Expr::Apply(op, args) = e
            && leaves.len() == 1
            && op.is(self.backward)
        {
            // a/b of two values: one op, and its operands have no other grouping.
            return plain(*op, args);
        }
        // Where a power is a factor, its factors are factors too: x·(x·(c·x)) is c·x³.
        let spread: Vec<Expr> = leaves
            .iter()
            .flat_map(|leaf| power(leaf).filter(|_| self.neutral == 1.0).unwrap_or(vec![leaf.clone()]))
            .collect();
        let mut all = vec![self.groupings(&leaves)?];
        if spread.len() != leaves.len() {
            all.push(self.groupings(&spread)?);
        }
        Ok(any(all))
    }

    /// The operands of a chain, its numbers joined into one.
    fn leaves(&self, e: &Expr, into: &mut Vec<Expr>) -> f64 {
        match e {
            Expr::Number(x) => *x,
            Expr::Apply(op, args) if op.is(self.forward) => {
                let a = self.leaves(&args[0], into);
                let b = self.leaves(&args[1], into);
                (self.join)(a, b)
            }
            Expr::Apply(op, args) if op.is(self.backward) && matches!(args[1], Expr::Number(_)) => {
                let Expr::Number(x) = args[1] else { return self.neutral };
                let a = self.leaves(&args[0], into);
                (self.join)(a, (self.inverse)(x))
            }
            _ => {
                into.push(e.clone());
                self.neutral
            }
        }
    }

    /// Every tree over the leaves.
    fn groupings(&self, leaves: &[Expr]) -> Result<Pattern, RuleError> {
        if let [leaf] = leaves {
            // A quotient of two values is a leaf of a product; its own operands are freed.
            return match leaf {
                Expr::Apply(op, args) if op.is(self.backward) => plain(*op, args),
                _ => free(leaf),
            };
        }
        if leaves.len() > 5 {
            return Err(RuleError::TooLarge);
        }
        let mut all: Vec<Pattern> = Vec::new();
        // The last leaf is always on the right, so that each split is seen once.
        for left in 1..1usize << (leaves.len() - 1) {
            let part = |of: bool| -> Vec<Expr> {
                (0..leaves.len()).filter(|i| (left >> i & 1 == 1) == of).map(|i| leaves[i].clone()).collect()
            };
            let (a, b) = (self.groupings(&part(true))?, self.groupings(&part(false))?);
            for (x, y) in [(&a, &b), (&b, &a)] {
                if let Pattern::Number(n) = y {
                    let inverse = Pattern::Number((self.inverse)(*n));
                    all.push(Pattern::Apply { op: Op::new(self.backward), args: vec![x.clone(), inverse] });
                }
            }
            all.push(Pattern::Apply { op: Op::new(self.forward), args: vec![a, b] });
        }
        Ok(any(all))
    }
}

/// Alternatives without repetition, and one alone as itself.
fn any(all: Vec<Pattern>) -> Pattern {
    let mut distinct: Vec<Pattern> = Vec::new();
    for pattern in all {
        let parts = if let Pattern::Any(parts) = pattern { parts } else { vec![pattern] };
        for part in parts {
            if !distinct.iter().any(|p| equal(p, &part)) {
                distinct.push(part);
            }
        }
    }
    if distinct.len() == 1 { distinct.remove(0) } else { Pattern::Any(distinct) }
}

/// Equality up to the order of operands that commute.
fn equal(a: &Pattern, b: &Pattern) -> bool {
    match (a, b) {
        (Pattern::Apply { op: r, args: x }, Pattern::Apply { op: s, args: y }) => {
            let all = |y: &[&Pattern]| x.iter().zip(y).all(|(a, b)| equal(a, b));
            r == s
                && x.len() == y.len()
                && (all(&y.iter().collect::<Vec<_>>())
                    || (r.row().algebra.commutative && x.len() == 2 && all(&[&y[1], &y[0]])))
        }
        (Pattern::Any(x), Pattern::Any(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| equal(a, b)),
        (Pattern::Number(x), Pattern::Number(y)) => x.to_bits() == y.to_bits(),
        (Pattern::Var(x), Pattern::Var(y)) | (Pattern::Const(x), Pattern::Const(y)) => x == y,
        _ => false,
    }
}

fn size(pattern: &Pattern) -> usize {
    match pattern {
        Pattern::Apply { args, .. } => 1 + args.iter().map(size).sum::<usize>(),
        Pattern::Any(all) => all.iter().map(size).sum(),
        _ => 1,
    }
}
