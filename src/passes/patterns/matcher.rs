//! Finds a rule's left side in a graph.

use super::Rule;
use super::language::{Condition, Expr, MAX_NAMES, Pattern};
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Value};
use crate::op::{self, Op};
use crate::passes::work::{same, uniform};
use crate::scalar::Scalar;

/// What a match found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub vars: [Option<Value>; MAX_NAMES],
    pub consts: [Option<Value>; MAX_NAMES],
    /// The nodes that the pattern's ops matched, the root first.
    pub nodes: Vec<NodeId>,
    /// Quantize and dequantize nodes looked through.
    pub dropped: Vec<NodeId>,
    /// Whether every constant that matched has rank 0, and so can't shape the result.
    pub scalars_only: bool,
}

/// The match of a rule at a node. `through_qdq` looks through quantize/dequantize pairs between the pattern's ops.
pub(super) fn find(graph: &Graph, rule: &Rule, id: NodeId, through_qdq: bool) -> Option<Found> {
    let double = graph.ty(id.value()).dtype == Some(DType::F64);
    let mut search =
        Search { graph, through_qdq, double, steps: 0, found: Found { scalars_only: true, ..Found::default() } };
    let todo = Todo { pattern: &rule.left, value: id.value(), root: true, next: None };
    (search.solve(Some(&todo)) && rule.conditions.iter().all(|c| holds(graph, c, &search.found)))
        .then_some(search.found)
}

/// Steps after which a match is given up: patterns are small, and a hostile graph may not make them slow.
const MAX_STEPS: usize = 20_000;

struct Search<'g> {
    graph: &'g Graph,
    through_qdq: bool,
    /// Whether the result is f64, which no constant rounded to f32 may get near.
    double: bool,
    steps: usize,
    found: Found,
}

/// What is left to match, as a list on the stack, so that going back costs nothing.
struct Todo<'a> {
    pattern: &'a Pattern,
    value: Value,
    root: bool,
    next: Option<&'a Todo<'a>>,
}

impl Search<'_> {
    fn solve(&mut self, todo: Option<&Todo<'_>>) -> bool {
        let Some(Todo { pattern, value, root, next }) = todo else { return true };
        let (value, root, next) = (*value, *root, *next);
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return false;
        }
        match pattern {
            Pattern::Any(all) => all.iter().any(|pattern| self.solve(Some(&Todo { pattern, value, root, next }))),
            Pattern::Var(i) => self.bind_var(*i, value, next),
            Pattern::Const(i) => self.bind_const(*i, value, next),
            Pattern::Number(x) => {
                uniform(self.graph, value).is_some_and(|c| is_near(c, *x, self.double))
                    && self.with_constant(value, |s| s.solve(next))
            }
            Pattern::Apply { op, args } => {
                self.apply(*op, args, value, next) || (!root && self.look_through(pattern, value, next))
            }
        }
    }

    fn bind_var(&mut self, i: usize, value: Value, next: Option<&Todo<'_>>) -> bool {
        match self.found.vars[i] {
            Some(bound) => bound == value && self.solve(next),
            None => {
                self.found.vars[i] = Some(value);
                let solved = self.solve(next);
                if !solved {
                    self.found.vars[i] = None;
                }
                solved
            }
        }
    }

    fn bind_const(&mut self, i: usize, value: Value, next: Option<&Todo<'_>>) -> bool {
        if uniform(self.graph, value).is_none() {
            return false;
        }
        match self.found.consts[i] {
            Some(bound) => same(self.graph, bound, value) && self.solve(next),
            None => {
                self.found.consts[i] = Some(value);
                let solved = self.with_constant(value, |s| s.solve(next));
                if !solved {
                    self.found.consts[i] = None;
                }
                solved
            }
        }
    }

    fn with_constant(&mut self, value: Value, rest: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.found.scalars_only;
        self.found.scalars_only &= self.graph.constant(value).is_some_and(|t| t.sizes().is_empty());
        let solved = rest(self);
        if !solved {
            self.found.scalars_only = before;
        }
        solved
    }

    fn apply(&mut self, op: Op, args: &[Pattern], value: Value, next: Option<&Todo<'_>>) -> bool {
        if self.graph.node(value.node).op() != Some(op) {
            return false;
        }
        let operands = self.graph.operands(value.node);
        if operands.len() != args.len() {
            return false;
        }
        let (before, dropped) = (self.found.nodes.len(), self.found.dropped.len());
        self.found.nodes.push(value.node);
        let solved = self.operands(args, &operands, next)
            || op.row().algebra.commutative
                && operands.len() == 2
                && operands[0] != operands[1]
                && self.operands(args, &[operands[1], operands[0]], next);
        if !solved {
            self.found.nodes.truncate(before);
            self.found.dropped.truncate(dropped);
        }
        solved
    }

    /// Operands in reverse on the list, so that the last is looked at first: exporters put the telling op there.
    fn operands(&mut self, args: &[Pattern], operands: &[Value], next: Option<&Todo<'_>>) -> bool {
        match (args, operands) {
            ([pattern, args @ ..], [value, operands @ ..]) => {
                self.operands(args, operands, Some(&Todo { pattern, value: *value, root: false, next }))
            }
            _ => self.solve(next),
        }
    }

    /// `dequantize(quantize(v, s, z), s, z)` seen as `v`.
    fn look_through(&mut self, pattern: &Pattern, value: Value, next: Option<&Todo<'_>>) -> bool {
        let made_by = |v: Value, row| self.graph.node(v.node).op().is_some_and(|op| op.is(row));
        if !self.through_qdq || !made_by(value, &op::DEQUANTIZE) {
            return false;
        }
        let outer = self.graph.operands(value.node);
        if !made_by(outer[0], &op::QUANTIZE) {
            return false;
        }
        let inner = self.graph.operands(outer[0].node);
        let same_parameters = (1..3).all(|slot| same(self.graph, inner[slot], outer[slot]));
        // A row of its own kind below: a chain of pairs is not what an exporter writes.
        if !same_parameters || made_by(inner[0], &op::DEQUANTIZE) {
            return false;
        }
        self.found.dropped.extend([outer[0].node, value.node]);
        let solved = self.solve(Some(&Todo { pattern, value: inner[0], root: false, next }));
        if !solved {
            self.found.dropped.truncate(self.found.dropped.len() - 2);
        }
        solved
    }
}

/// True if a model's constant is the number that a rule writes: equal if the constant's type holds that number, and else
/// nearer than the roundings that exporters make (a reciprocal, seven decimal digits).
fn is_near(constant: Scalar, wanted: f64, double: bool) -> bool {
    let value = constant.as_f64();
    if value == wanted {
        // max(x, −0) is not relu(x).
        return value.is_sign_negative() == wanted.is_sign_negative();
    }
    let tolerance = match constant.dtype() {
        DType::F64 => 4.0 * 2f64.powi(-53),
        _ if double => return false,
        DType::F32 => 4.0 * 2f64.powi(-24),
        DType::F16 => 2.0 * 2f64.powi(-11),
        DType::BF16 => 2.0 * 2f64.powi(-8),
        _ => return false,
    };
    let representable = Scalar::new(constant.dtype(), crate::scalar::Number::Float(wanted)).as_f64() == wanted;
    !representable && (value - wanted).abs() <= tolerance * wanted.abs()
}

fn holds(graph: &Graph, condition: &Condition, found: &Found) -> bool {
    let value = |e: &Expr| match e {
        Expr::Number(x) => Some(*x),
        Expr::Const(i) => uniform(graph, found.consts[*i]?).map(Scalar::as_f64),
        _ => None,
    };
    match (value(&condition.left), value(&condition.right)) {
        (Some(a), Some(b)) => {
            if condition.strict {
                a < b
            } else {
                a <= b
            }
        }
        _ => false,
    }
}
