//! Writes a rule's formula out as an exporter might: chains grouped at random, operands exchanged, a number as its inverse on
//! the other side, a small power as a product.

use crate::random_graph::Random;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Operand, Value};
use pointweld::op::{self, Op};
use pointweld::passes::patterns::Expr;
use pointweld::scalar::{Number, Scalar};

/// What the names of a formula stand for.
pub struct Names<'a> {
    pub vars: &'a [Value],
    pub consts: &'a [f64],
    pub dtype: DType,
}

/// The value of the formula. Without `freedom` it is written as it stands.
pub fn write(b: &mut Builder, e: &Expr, names: &Names, freedom: Option<&mut Random>) -> Value {
    Writer { b, names, freedom }.value(e)
}

struct Writer<'a, 'n> {
    b: &'a mut Builder,
    names: &'a Names<'n>,
    freedom: Option<&'a mut Random>,
}

impl Writer<'_, '_> {
    fn toss(&mut self) -> bool {
        self.freedom.as_mut().is_some_and(|random| random.once_in(2))
    }

    fn scalar(&mut self, dtype: DType, x: f64) -> Value {
        self.b.scalar(Scalar::new(dtype, Number::Float(x)))
    }

    fn value(&mut self, e: &Expr) -> Value {
        match e {
            Expr::Var(i) => self.names.vars[*i],
            Expr::Const(i) => self.scalar(self.names.dtype, self.names.consts[*i]),
            Expr::Number(x) => self.scalar(self.names.dtype, *x),
            Expr::Apply(op, args) => self.apply(*op, args),
        }
    }

    fn apply(&mut self, op: Op, args: &[Expr]) -> Value {
        if self.freedom.is_some() {
            if let Some((forward, backward, inverse)) = chain(op) {
                let mut leaves = Vec::new();
                let number = self.leaves(&Expr::Apply(op, args.to_vec()), forward, backward, inverse, &mut leaves);
                if leaves.len() > 1 || number.is_some() {
                    return self.arrange(leaves, number, forward, backward, inverse);
                }
            }
            if let Some(n) = args.get(1).filter(|_| op.is(&op::POW)).and_then(small_power)
                && self.toss()
            {
                return self.arrange(vec![args[0].clone(); n], None, &op::MUL, &op::DIV, |x| 1.0 / x);
            }
        }
        let operands: Vec<Operand> = args
            .iter()
            .enumerate()
            .map(|(slot, arg)| match (slot < op.row().operands.len(), arg) {
                (false, Expr::Number(x)) => self.scalar(DType::F32, *x).into(),
                (false, Expr::Const(i)) => self.scalar(DType::F32, self.names.consts[*i]).into(),
                _ => self.value(arg).into(),
            })
            .collect();
        self.b.apply(op, &operands)
    }

    /// The operands of a chain, its one number apart.
    fn leaves(
        &mut self,
        e: &Expr,
        forward: &'static op::Row,
        backward: &'static op::Row,
        inverse: fn(f64) -> f64,
        into: &mut Vec<Expr>,
    ) -> Option<f64> {
        match e {
            Expr::Number(x) => Some(*x),
            Expr::Apply(op, args) if op.is(forward) => {
                let a = self.leaves(&args[0], forward, backward, inverse, into);
                let b = self.leaves(&args[1], forward, backward, inverse, into);
                a.or(b)
            }
            Expr::Apply(op, args) if op.is(backward) && matches!(args[1], Expr::Number(_)) => {
                let Expr::Number(x) = args[1] else { return None };
                self.leaves(&args[0], forward, backward, inverse, into);
                Some(inverse(x))
            }
            Expr::Apply(op, args)
                if forward.name == "mul" && op.is(&op::POW) && small_power(&args[1]).is_some() && self.toss() =>
            {
                into.extend(vec![args[0].clone(); small_power(&args[1]).unwrap_or(0)]);
                None
            }
            _ => {
                into.push(e.clone());
                None
            }
        }
    }

    fn arrange(
        &mut self,
        leaves: Vec<Expr>,
        number: Option<f64>,
        forward: &'static op::Row,
        backward: &'static op::Row,
        inverse: fn(f64) -> f64,
    ) -> Value {
        let mut parts: Vec<Result<Value, f64>> = leaves.iter().map(|leaf| Ok(self.plain(leaf))).collect();
        parts.extend(number.map(Err));
        while parts.len() > 1 {
            let random = self.freedom.as_mut().expect("only called with freedom");
            let a = parts.swap_remove(random.below(parts.len()));
            let b = parts.swap_remove(random.below(parts.len()));
            let joined = match (a, b) {
                (Ok(a), Ok(b)) => self.b.apply(Op::new(forward), &[a.into(), b.into()]),
                (Ok(a), Err(n)) | (Err(n), Ok(a)) => {
                    let (row, n) = if self.toss() { (backward, inverse(n)) } else { (forward, n) };
                    let n = self.scalar(self.names.dtype, n);
                    let exchange = row.algebra.commutative && self.toss();
                    let (a, n) = if exchange { (n, a) } else { (a, n) };
                    self.b.apply(Op::new(row), &[a.into(), n.into()])
                }
                (Err(_), Err(_)) => unreachable!("a chain has one number"),
            };
            parts.push(Ok(joined));
        }
        match parts[0] {
            Ok(value) => value,
            Err(number) => self.scalar(self.names.dtype, number),
        }
    }

    /// A leaf of a chain: a quotient of two values is not to be taken for a chain again.
    fn plain(&mut self, e: &Expr) -> Value {
        match e {
            Expr::Apply(op, args) if chain(*op).is_some() && !matches!(args[1], Expr::Number(_)) => {
                let (a, b) = (self.value(&args[0]), self.value(&args[1]));
                self.b.apply(*op, &[a.into(), b.into()])
            }
            _ => self.value(e),
        }
    }
}

type Chain = (&'static op::Row, &'static op::Row, fn(f64) -> f64);

fn chain(op: Op) -> Option<Chain> {
    if op.is(&op::MUL) || op.is(&op::DIV) {
        Some((&op::MUL, &op::DIV, |x| 1.0 / x))
    } else if op.is(&op::ADD) || op.is(&op::SUB) {
        Some((&op::ADD, &op::SUB, |x| -x))
    } else {
        None
    }
}

fn small_power(exponent: &Expr) -> Option<usize> {
    match exponent {
        Expr::Number(n) if *n == 2.0 || *n == 3.0 => Some(*n as usize),
        _ => None,
    }
}
