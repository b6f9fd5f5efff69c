//! The passes that prepare for welded kernels: values stay, and the transposes go.

use crate::random_convnet;
use pointweld::anchor::Anchor;
use pointweld::graph::{Graph, Kind};
use pointweld::passes::{self, Options};
use pointweld::reference::{self, run_graph};
use pointweld::tensor::Tensor;
use pointweld::view::View;
use proptest::prelude::*;

pub fn welded(graph: &Graph) -> Graph {
    let mut after = graph.clone();
    let options = Options { verify: true, weld: true, ..Options::default() };
    let report = passes::run(&mut after, &options, |_, _, _| {}).unwrap();
    assert!(report.settled, "{:?}", report.counts());
    after
}

pub fn count(graph: &Graph, what: impl Fn(&Kind) -> bool) -> usize {
    graph.ids().filter(|id| what(&graph.node(*id).kind)).count()
}

pub fn transposes(graph: &Graph) -> usize {
    count(graph, |kind| matches!(kind, Kind::View(View::Transpose { .. })))
}

fn run(graph: &Graph, inputs: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    run_graph(graph, inputs, &reference::Options::default()).unwrap()
}

/// Within a few roundings of f32, relative to the largest element.
fn assert_close(expected: &[(String, Tensor)], found: &[(String, Tensor)]) -> Result<(), TestCaseError> {
    for ((name, a), (other, b)) in expected.iter().zip(found) {
        prop_assert_eq!((name, a.sizes(), a.dtype()), (other, b.sizes(), b.dtype()));
        let (a, b) = (a.to_f64(), b.to_f64());
        let scale = a.iter().fold(1e-3f64, |scale, x| scale.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            prop_assert!((x - y).abs() <= 1e-5 * scale || x == y || (x.is_nan() && y.is_nan()), "{name}: {x} {y}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn channels_last_keeps_values(seed in any::<u64>(), ops in 1usize..14) {
        let generated = random_convnet::generate(seed, ops);
        let after = welded(&generated.graph);
        prop_assert_eq!(count(&after, |kind| matches!(kind, Kind::Anchor(Anchor::Conv(_)))), 0);
        assert_close(&run(&generated.graph, &generated.inputs), &run(&after, &generated.inputs))?;
        // One transpose at the input, in as many places as read it, and one at each output.
        let reads = after.users(after.inputs()[0]).len();
        prop_assert!(transposes(&after) <= reads + 2, "{} transposes", transposes(&after));
    }
}
