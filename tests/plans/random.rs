//! Fusion of random graphs: whatever it decides, the plan computes what the graph says, has no cycle, reads nothing that was not
//! written, explains every edge, and is the same every time.

use crate::random_graph::{Random, generate};
use pointweld::fuse::{Options, fuse, split};
use pointweld::graph::{Graph, Kind};
use pointweld::plan::{Plan, Step};
use pointweld::reference::{self, Rounding, run_graph, run_plan};
use proptest::prelude::*;

fn check(graph: &Graph, inputs: &[(String, pointweld::tensor::Tensor)], options: &Options) -> Plan {
    let plan = fuse(graph, options).unwrap();
    assert_eq!(plan, fuse(graph, options).unwrap());
    let names: Vec<_> = plan.outputs.iter().map(|(name, _)| name.clone()).collect();
    let cpu = reference::Options::default();
    let expected = run_graph(graph, inputs, &cpu).unwrap();
    // `run_plan` checks that accesses are in bounds, stores injective, and nothing read before it is written.
    let found = run_plan(&plan, graph, inputs, Rounding::EachStatement, &cpu).unwrap_or_else(|e| panic!("{e}\n{plan}"));
    assert_eq!(names[..expected.len()], expected.iter().map(|e| e.0.clone()).collect::<Vec<_>>()[..]);
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        let same = expected.dtype() == found.dtype()
            && expected.sizes() == found.sizes()
            && (0..expected.len()).all(|i| {
                let (a, b) = (expected.at(i), found.at(i));
                a == b || (a.as_f64().is_nan() && b.as_f64().is_nan())
            });
        assert!(same, "{name}: {expected:?} expected, {found:?} found\n{plan}");
    }
    plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_plan_computes_what_its_graph_says(seed in any::<u64>(), ops in 1usize..80) {
        let g = generate(seed, ops);
        let plan = check(&g.graph, &g.inputs, &Options::default());
        let pointwise = g.graph.ids().filter(|id| matches!(g.graph.node(*id).kind, Kind::Pointwise(_))).count();
        prop_assert!(plan.kernels().count() <= pointwise + g.graph.len());
        for step in &plan.steps {
            // Every type and view of the generator is one that kernels take.
            prop_assert!(!matches!(step, Step::Node { .. }), "{}", plan);
        }
    }

    #[test]
    fn limits_are_kept(seed in any::<u64>(), ops in 1usize..80, max_loads in 3usize..6, max_statements in 1usize..6) {
        let g = generate(seed, ops);
        let options = Options { max_loads, max_statements, max_stores: 2, ..Options::default() };
        let plan = check(&g.graph, &g.inputs, &options);
        for kernel in plan.kernels() {
            prop_assert!(kernel.loads.len() <= max_loads.max(pointweld::op::MAX_ARITY), "{}", kernel);
            prop_assert!(kernel.body.len() <= max_statements, "{}", kernel);
        }
    }

    /// Nodes that no kernel computes stand between those that some do: no cycle may close through them.
    #[test]
    fn nodes_that_stay_nodes_bound_fusion(seed in any::<u64>(), ops in 1usize..80, one_in in 2usize..8) {
        let g = generate(seed, ops);
        let mut random = Random::new(seed ^ 1);
        let never = g.graph.ids().filter(|_| random.once_in(one_in)).map(|id| (id, "chosen".to_string())).collect();
        check(&g.graph, &g.inputs, &Options { never, ..Options::default() });
    }

    /// A tap adds an output and changes no decision nor any body.
    #[test]
    fn taps_leave_fusion_as_it_is(seed in any::<u64>(), ops in 1usize..40) {
        let g = generate(seed, ops);
        let plain = fuse(&g.graph, &Options::default()).unwrap();
        let mut random = Random::new(seed ^ 2);
        let live = |name: &&String| plain.decisions.iter().any(|d| d.value == **name);
        let names: Vec<String> = g.graph.ids().map(|id| g.graph.value_name(id.value()).to_string()).collect();
        let unique = |name: &&String| names.iter().filter(|n| n == name).count() == 1;
        let taps: Vec<String> = names.iter().filter(unique).filter(live).filter(|_| random.once_in(3)).cloned().collect();
        let options = Options { taps: taps.clone(), ..Options::default() };
        let plan = check(&g.graph, &g.inputs, &options);
        prop_assert_eq!(&plan.decisions, &plain.decisions);
        for kernel in plain.kernels() {
            let tapped = plan.kernels().find(|k| k.name == kernel.name).expect("the same kernels");
            prop_assert_eq!(&tapped.body, &kernel.body);
        }
        let cpu = reference::Options::default();
        let found = run_plan(&plan, &g.graph, &g.inputs, Rounding::EachStatement, &cpu).unwrap();
        for tap in taps {
            prop_assert!(found.iter().any(|(name, _)| *name == tap));
        }
    }

    /// Whatever kernel fails, splitting it ends, and what is left still computes what the graph says.
    #[test]
    fn kernels_that_fail_are_split(seed in any::<u64>(), ops in 1usize..30, most in 1usize..4) {
        let g = generate(seed, ops);
        let mut options = Options::default();
        for _ in 0..200 {
            let plan = fuse(&g.graph, &options).unwrap();
            let Some(kernel) = plan.kernels().find(|k| k.body.len() > most) else { break };
            options = split(&g.graph, &options, &plan, &kernel.name, "too long");
        }
        let plan = check(&g.graph, &g.inputs, &options);
        prop_assert!(plan.kernels().all(|k| k.body.len() <= most), "{}", plan);
    }
}
