//! Passes: what simplifies a graph before it is cut into groups.
//!
//! [`PASSES`] is the literal list, in order. [`run`] goes through it again and again until a whole round changes nothing. Each
//! rewrite is a named rule, edits through [`crate::patch`] alone, and is written down in the [`Report`], so that one can ask
//! which rule took a node away. A rule either keeps every value bit for bit or states by how much it may move one.

mod affine;
mod algebra;
mod anchor_bias;
mod casts;
mod channels_last;
mod concats;
mod cse;
mod dead_code;
mod fold_constants;
mod half;
mod integer_products;
pub mod patterns;
mod qdq;
mod quantize_first;
mod ranges;
mod siblings;
mod transposes;
mod views;
mod work;

pub use work::{Fired, Refused, Work};

use crate::dtype::DType;
use crate::graph::{Graph, NodeId};
use crate::name::Shown;
use crate::verify::{VerifyError, verify};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One pass: a file of this folder.
pub struct Pass {
    /// The name that `--dump-after` and `--stop-after` take.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    run: fn(&mut Work<'_>) -> Result<(), PassError>,
}

/// Every pass, in the order of a round. Each prepares what the next ones look for: folded constants have equal contents, equal
/// values are one value, and a pattern's `x` is then the same value wherever it is written.
pub static PASSES: &[Pass] = &[
    dead_code::PASS,
    fold_constants::PASS,
    cse::PASS,
    casts::PASS,
    views::PASS,
    transposes::PASS,
    qdq::PASS,
    quantize_first::PASS,
    algebra::PASS,
    patterns::PASS,
    affine::PASS,
    ranges::PASS,
    concats::PASS,
    channels_last::PASS,
    anchor_bias::PASS,
    integer_products::PASS,
    siblings::PASS,
    half::PASS,
];

/// What a caller can choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Let patterns look through a quantize/dequantize pair between their ops, as between Sigmoid and Mul, and so drop its
    /// rounding. Off by default, because it changes values; each time is reported as `drop_inner_qdq`.
    pub drop_inner_qdq: bool,
    /// Prepare for kernels that are welded onto convolutions and matrix products: off by default, because nothing else gains by it.
    pub weld: bool,
    /// Compute what leads to a product in this type, f16 or bf16, where the model says f32.
    pub float: Option<DType>,
    /// Nodes that keep f32 then, by the name of the node or of its result.
    pub keep_f32: BTreeSet<String>,
    /// Passes and rules to leave out, by name.
    pub skip: BTreeSet<String>,
    /// Nodes that no pattern may make one op of, in pairs, by the name of the node or of its result.
    pub keep_apart: Vec<(String, String)>,
    /// Stop when this pass has run for the first time.
    pub stop_after: Option<String>,
    /// Check the graph's invariants after every pass; by default in debug builds.
    pub verify: bool,
    /// The largest constant, in elements, that folding computes.
    pub fold_elements: usize,
    /// Rounds after which to stop even if the last one changed something.
    pub max_rounds: usize,
    /// Rules to apply after the built-in ones, such as `silu(x) => hard_swish(x)`.
    pub extra_rules: Vec<patterns::Rule>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            drop_inner_qdq: false,
            weld: false,
            float: None,
            keep_f32: BTreeSet::new(),
            skip: BTreeSet::new(),
            keep_apart: Vec::new(),
            stop_after: None,
            verify: cfg!(debug_assertions),
            fold_elements: 1 << 22,
            max_rounds: 16,
            extra_rules: Vec::new(),
        }
    }
}

/// What went wrong; a graph that came from the importer or the builder gives only [`PassError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error("there is no pass {}; the passes are {}", Shown(.0), names().join(" "))]
    Unknown(String),
    #[error("the graph has a cycle through {}", Shown(.node))]
    Cycle { node: String },
    #[error("pass {pass} broke the graph: {source}; this is a mistake of pointweld, please report it")]
    Broken { pass: &'static str, source: VerifyError },
    #[error("the rule {name} can't be read: {source}")]
    Rule { name: &'static str, source: patterns::RuleError },
}

/// What the passes did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Rounds through the list, the last one (which changed nothing) included.
    pub rounds: usize,
    /// Whether that last round changed nothing; false only if the passes were stopped.
    pub settled: bool,
    /// Every rewrite, in the order in which they were made.
    pub fired: Vec<Fired>,
    /// What a pass saw and left as it is.
    pub refused: Vec<Refused>,
}

impl Report {
    /// How often each rule fired, by pass and rule.
    pub fn counts(&self) -> BTreeMap<(&'static str, &'static str), usize> {
        let mut counts = BTreeMap::new();
        for fired in &self.fired {
            *counts.entry((fired.pass, fired.rule)).or_default() += 1;
        }
        counts
    }

    /// How often one rule fired.
    pub fn count(&self, rule: &str) -> usize {
        self.fired.iter().filter(|fired| fired.rule == rule).count()
    }
}

/// The names of all passes, in order.
pub fn names() -> Vec<&'static str> {
    PASSES.iter().map(|pass| pass.name).collect()
}

/// Runs the passes to a fixpoint. `observer` sees the graph after each pass, with the round counted from 1.
pub fn run(
    graph: &mut Graph,
    options: &Options,
    mut observer: impl FnMut(&Pass, usize, &Graph),
) -> Result<Report, PassError> {
    if let Some(name) = options.stop_after.as_deref().filter(|name| !names().contains(name)) {
        return Err(PassError::Unknown(name.into()));
    }
    let mut report = Report::default();
    while report.rounds < options.max_rounds && !report.settled {
        report.rounds += 1;
        let before = report.fired.len();
        for pass in PASSES {
            if options.skip.contains(pass.name) {
                continue;
            }
            apply(graph, pass, options, &mut report)?;
            observer(pass, report.rounds, graph);
            if options.stop_after.as_deref() == Some(pass.name) {
                return Ok(report);
            }
        }
        report.settled = report.fired.len() == before;
    }
    Ok(report)
}

fn apply(graph: &mut Graph, pass: &Pass, options: &Options, report: &mut Report) -> Result<(), PassError> {
    let before = report.fired.len();
    (pass.run)(&mut Work { graph, options, pass: pass.name, fired: &mut report.fired, refused: &mut report.refused })?;
    if report.fired.len() > before {
        // Rewrites leave what they replaced behind, so that one sweep serves all of them.
        dead_code::sweep(graph);
        if options.verify {
            verify(graph).map_err(|source| PassError::Broken { pass: pass.name, source })?;
        }
    }
    Ok(())
}

fn order(graph: &Graph) -> Result<Vec<NodeId>, PassError> {
    graph.topological().map_err(|id| PassError::Cycle { node: graph.node(id).label().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::graph::Builder;
    use crate::shape;

    #[test]
    fn names_are_unique_and_an_unknown_one_is_refused() {
        let mut sorted = names();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), PASSES.len());
        let options = Options { stop_after: Some("inline".into()), ..Options::default() };
        let error = run(&mut Graph::new("g"), &options, |_, _, _| {}).unwrap_err();
        assert!(error.to_string().starts_with("there is no pass inline; the passes are dead_code fold_constants"));
    }

    #[test]
    fn stopping_stops_and_the_observer_sees_each_pass() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![4]);
        let s = b.sigmoid(x);
        let y = b.mul(x, s);
        b.output("y", y);
        let mut g = b.finish().unwrap();
        let options = Options { stop_after: Some("cse".into()), ..Options::default() };
        let mut seen = Vec::new();
        let report = run(&mut g, &options, |pass, round, _| seen.push((pass.name, round))).unwrap();
        assert_eq!(seen, [("dead_code", 1), ("fold_constants", 1), ("cse", 1)]);
        assert!(report.fired.is_empty() && !report.settled);
        let report = run(&mut g, &Options::default(), |_, _, _| {}).unwrap();
        assert_eq!((report.count("silu"), report.rounds, report.settled), (1, 2, true));
    }
}
