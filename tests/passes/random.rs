//! Random graphs before and after each pass.

use crate::random_graph::generate;
use pointweld::graph::Graph;
use pointweld::passes::patterns::{Claim, Rule};
use pointweld::passes::{self, Options};
use pointweld::reference::{self, run_graph};
use pointweld::tensor::Tensor;
use pointweld::verify::verify;
use proptest::prelude::*;

pub fn evaluate(graph: &Graph, inputs: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    run_graph(graph, inputs, &reference::Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Bit for bit the same, every NaN being as good as another.
pub fn identical(a: &Tensor, b: &Tensor) -> bool {
    let same = |i| a.at(i) == b.at(i) || a.at(i).as_f64().is_nan() && b.at(i).as_f64().is_nan();
    a.dtype() == b.dtype() && a.sizes() == b.sizes() && (0..a.len()).all(same)
}

/// Everything but the rules that may move a value.
fn exact() -> Options {
    let mut options = Options { verify: true, ..Options::default() };
    options.skip.insert("affine".into());
    let rules = passes::patterns::builtin().expect("the rules can be read");
    let exact = |r: &&Rule| r.claim == Claim::Exact && r.except.is_empty();
    options.skip.extend(rules.iter().filter(|r| !exact(r)).map(|r| r.name.to_string()));
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_exact_pass_keeps_every_value(seed in any::<u64>(), ops in 1usize..40) {
        let generated = generate(seed, ops);
        verify(&generated.graph).unwrap();
        let before = evaluate(&generated.graph, &generated.inputs);
        let mut graph = generated.graph.clone();
        let mut stages = Vec::new();
        passes::run(&mut graph, &exact(), |pass, round, graph| stages.push((pass.name, round, graph.clone()))).unwrap();
        for (pass, round, graph) in stages {
            verify(&graph).unwrap();
            let after = evaluate(&graph, &generated.inputs);
            for ((name, a), (_, b)) in before.iter().zip(&after) {
                prop_assert!(identical(a, b), "{name} after {pass}, round {round}: {a:?} became {b:?}");
            }
        }
    }

    #[test]
    fn a_second_run_changes_nothing_and_two_runs_agree(seed in any::<u64>(), ops in 1usize..60) {
        let run = |graph: &mut Graph| passes::run(graph, &Options::default(), |_, _, _| {}).unwrap();
        let (mut a, mut b) = (generate(seed, ops).graph, generate(seed, ops).graph);
        let (first, other) = (run(&mut a), run(&mut b));
        prop_assert!(first.settled, "{:?}", first.counts());
        prop_assert_eq!(first.fired, other.fired);
        prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
        let second = run(&mut a);
        prop_assert!(second.fired.is_empty(), "{:?}", second.fired);
        prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

/// The random graphs are worth something only if the rules fire on them.
#[test]
fn random_graphs_reach_the_rules() {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..1500 {
        let mut graph = generate(seed, 40).graph;
        let report = passes::run(&mut graph, &Options::default(), |_, _, _| {}).unwrap();
        report.fired.iter().for_each(|f| *counts.entry(f.rule).or_default() += 1);
    }
    let reached = [
        "absorbing",
        "add_neg",
        "cast_and_back",
        "cast_through_wider",
        "cast_to_same",
        "composed_views",
        "constant",
        "dq_q",
        "equal_constant",
        "equal_node",
        "expand_by_broadcast",
        "idempotent",
        "identity",
        "identity_view",
        "involution",
        "neutral",
        "reassociate",
        "relu_max",
        "times_minus_one",
        "transpose_of_units",
        "unreachable",
        "where_equal",
    ];
    for rule in reached {
        assert!(counts.contains_key(rule), "{rule} never fired: {counts:?}");
    }
}
