//! Patterns: what exporters write out in several nodes becomes the op that it means, `x * sigmoid(x)` a `silu(x)`.
//!
//! The rules are formulas in a small language (`language`), listed in `rules`. A rule is a rewrite of one value: the nodes
//! in between may have other users and are then kept for those. Constants of a pattern match within the rounding of their
//! type; see `matcher`. Each rule says what it claims of the values ([`Claim`]), and a test holds each to its claim.

mod build;
mod freedom;
mod language;
mod matcher;
mod rules;

pub use language::{Expr, RuleError};
pub use rules::builtin;

use super::{Pass, PassError, Work};
use crate::graph::{Graph, NodeId};
use crate::op::Op;
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) const PASS: Pass = Pass { name: "patterns", about: "recognise what exporters write out", run };

/// What a rule may do to a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Bit for bit the same, infinities and the sign of zero included; NaN stays NaN.
    Exact,
    /// |new − old| ≤ `ulp`·ulp(new) + ε·c·(`input`·|x| + `constant`) + η·c·(1 + |x|), with ε the type's unit roundoff and η its
    /// least positive number, |x| the largest of the values that the pattern's variables stand for and c the largest of 1 and
    /// its named constants.
    ///
    /// In f64, which the reference computes no wider than it stores, the rows' own errors come on top: four times as much.
    ///
    /// The new form is the old formula rounded once, so that this is the error of the old form: of the roundings between its
    /// ops and of its constants. It holds where all of these are finite; where one overflows or is 0·∞, the new form gives
    /// the formula's limit.
    Within { ulp: f64, input: f64, constant: f64 },
}

/// A named rewrite, read from text such as `x * sigmoid(x) => silu(x)`.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: &'static str,
    /// The rule as it was written.
    pub text: String,
    /// Which exporter writes this, or where it appears.
    pub source: &'static str,
    pub claim: Claim,
    /// Where the claim does not hold, in words; empty where it always does.
    pub except: &'static str,
    left: language::Pattern,
    right: language::Expr,
    conditions: Vec<language::Condition>,
}

impl Rule {
    /// Reads a rule of one's own.
    pub fn parse(
        name: &'static str,
        text: &str,
        source: &'static str,
        claim: Claim,
        except: &'static str,
    ) -> Result<Rule, RuleError> {
        let (left, right, conditions) = language::parse(text)?;
        Ok(Rule { name, text: text.into(), source, claim, except, left, right, conditions })
    }

    /// The left side as it is written, without the freedom that it matches with.
    pub fn pattern(&self) -> Result<Expr, RuleError> {
        Expr::parse(self.text.split("=>").next().unwrap_or_default())
    }

    /// The right side.
    pub fn replacement(&self) -> &Expr {
        &self.right
    }
}

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    let options = work.options;
    let builtin = builtin().map_err(|(name, source)| PassError::Rule { name, source })?;
    let rules: Vec<&Rule> =
        builtin.iter().chain(&options.extra_rules).filter(|rule| !options.skip.contains(rule.name)).collect();
    let mut by_root: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        for op in rule.left.roots() {
            by_root.entry(op.name()).or_default().push(rule);
        }
    }
    for id in work.order()? {
        let Some(op) = work.live_op(id) else { continue };
        let Some(rules) = by_root.get(op.name()) else { continue };
        let _ = rules.iter().any(|rule| try_rule(work, rule, id));
    }
    Ok(())
}

/// Rewrites node `id` by `rule`, if it matches there.
fn try_rule(work: &mut Work<'_>, rule: &Rule, id: NodeId) -> bool {
    let Some(found) = matcher::find(work.graph, rule, id, work.options.drop_inner_qdq) else { return false };
    if work.options.keep_apart.iter().any(|pair| holds_both(work.graph, &found.nodes, pair)) {
        return false;
    }
    let Some(plan) = build::plan(work.graph, rule, id, &found) else { return false };
    if !found.dropped.is_empty() {
        work.note("drop_inner_qdq", &found.dropped);
    }
    let mut replaced = found.nodes.clone();
    replaced.sort_unstable();
    replaced.dedup();
    let mut patch = work.patch(rule.name, &replaced);
    let new = build::build(&mut patch, &plan, id);
    patch.replace(id.value(), new);
    true
}

/// Whether two of the nodes have these names. One node that has both is one op in any case.
fn holds_both(graph: &Graph, nodes: &[NodeId], (a, b): &(String, String)) -> bool {
    let named = |name: &str| {
        let is_named = move |id: &NodeId| {
            let node = graph.node(*id);
            node.origin.iter().any(|o| o.name == name) || node.outputs.iter().any(|o| o.name == name)
        };
        nodes.iter().copied().find(is_named)
    };
    matches!((named(a), named(b)), (Some(x), Some(y)) if x != y)
}

impl language::Pattern {
    /// The ops that the root of a match can have.
    fn roots(&self) -> Vec<Op> {
        let mut ops: Vec<Op> = match self {
            language::Pattern::Apply { op, .. } => vec![*op],
            language::Pattern::Any(all) => all.iter().flat_map(language::Pattern::roots).collect(),
            _ => Vec::new(),
        };
        ops.sort_unstable();
        ops.dedup();
        ops
    }
}
