//! Planning stays near-linear.

use crate::graphs::Net;
use crate::random_graph::Random;
use pointweld::dtype::DType::F32;
use pointweld::fuse::{Options, fuse};
use pointweld::graph::{Graph, Value};
use pointweld::op;
use pointweld::shape;
use std::time::{Duration, Instant};

/// A chain of residual blocks: conv, SiLU, conv, SiLU, add.
fn residual(nodes: usize) -> Graph {
    let mut n = Net::new("deep");
    let mut x = n.input("x", F32, shape!["batch", 8, 16, 16]);
    for i in 0..nodes / 6 {
        let mut v = x;
        for half in 0..2 {
            let c = n.conv(&format!("conv_{i}_{half}"), v, 8);
            let s = n.b.silu(c);
            v = n.typed(s, F32, shape!["batch", 8, 16, 16]);
        }
        let sum = n.b.add(x, v);
        x = n.typed(sum, F32, shape!["batch", 8, 16, 16]);
    }
    n.output("y", x);
    n.graph()
}

/// Pointwise ops on values picked at random among the last 30.
fn dag(nodes: usize) -> Graph {
    let mut random = Random::new(7);
    let mut n = Net::new("dag");
    let mut values: Vec<Value> = (0..4).map(|i| n.input(&format!("x{i}"), F32, shape!["batch", 64, 64])).collect();
    for _ in 0..nodes {
        let pick = |random: &mut Random, values: &[Value]| {
            let from = values.len().saturating_sub(30);
            values[from + random.below(values.len() - from)]
        };
        let (a, b) = (pick(&mut random, &values), pick(&mut random, &values));
        values.push(if random.once_in(3) { n.b.unary(&op::SIGMOID, a) } else { n.b.add(a, b) });
    }
    n.output("y", values[values.len() - 1]);
    n.graph()
}

fn chain(nodes: usize) -> Graph {
    let mut n = Net::new("chain");
    let mut x = n.input("x", F32, shape!["batch", 64, 64]);
    for _ in 0..nodes {
        x = n.b.relu(x);
    }
    n.output("y", x);
    n.graph()
}

/// The fastest of three plannings, so that a busy machine does not fail the test.
fn time(graph: &Graph) -> Duration {
    let once = |_| {
        let start = Instant::now();
        fuse(graph, &Options::default()).unwrap();
        start.elapsed()
    };
    (0..3).map(once).min().unwrap()
}

#[test]
fn planning_is_near_linear() {
    type Make = fn(usize) -> Graph;
    for (name, make) in [("chain", chain as Make), ("residual", residual), ("dag", dag)] {
        let (small, large) = (time(&make(500)), time(&make(2000)));
        println!("{name}: 500 nodes {small:?}, 2000 nodes {large:?}");
        // Four times the nodes; the bounds are for unoptimised builds on a busy machine.
        assert!(large < small * 10 + Duration::from_millis(50), "{name}: {small:?} then {large:?}");
        assert!(small < Duration::from_millis(500), "{name}: {small:?}");
    }
}
