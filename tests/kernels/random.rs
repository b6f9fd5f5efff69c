//! Random graphs, compiled whole: their kernels are proved on every machine that is here, and on a GPU their plans run.

use crate::machines::{self, DEVICE};
use crate::random_graph::generate;
use pointweld::compiler::Compiler;
use pointweld::prove::{Options, prove};
use pointweld::reference::{self, Rounding, run_plan};
use pointweld::target::Arch;
use pointweld::tensor::Tensor;

#[test]
fn kernels_of_random_graphs_hold() {
    let mut kernels = 0;
    for seed in 0..60 {
        let arch = [Arch::SM_75, Arch::SM_80, Arch::SM_90, Arch::SM_120][seed as usize % 4];
        let graph = generate(seed, 2 + seed as usize % 24).graph;
        let planned = Compiler::new().arch(arch).plan(&graph).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let tables = planned.tables();
        for ((kernel, source), table) in planned.plan.kernels().zip(&planned.sources).zip(&tables) {
            machines::on_each(source, arch, Some(seed), |machine, it| {
                let proof = prove(kernel, source, table.as_deref(), it, &Options { samples: 600, seed });
                assert!(proof.holds(), "seed {seed} on {machine}: {proof:#?}\n{kernel}\n{}", source.text);
            });
            kernels += 1;
        }
    }
    assert!(kernels > 60, "{kernels} kernels");
}

/// What shares memory, and in which order kernels run, shows in whole plans only. Each kernel may lie within its bound of the exact
/// result, and a later one may take that across a step, so a few elements may differ; memory that is overwritten too early spoils many.
#[test]
fn plans_of_random_graphs_run_whole() {
    let Some(device) = DEVICE.as_ref() else { return };
    for seed in 100..160 {
        let g = generate(seed, 2 + seed as usize % 40);
        let compiled = Compiler::new().arch(device.arch()).dependent_launch(seed % 2 == 0).compile(&g.graph).unwrap();
        let (plan, graph) = (&compiled.planned.plan, &compiled.planned.graph);
        let expected = run_plan(plan, graph, &g.inputs, Rounding::Exact, &reference::Options::default()).unwrap();
        let found = compiled.run_on(device, &g.inputs).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{plan}"));
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            let far = far(found, expected);
            assert!(far * 50 <= found.len(), "seed {seed}: {far} of {} elements of {name} differ\n{plan}", found.len());
        }
    }
}

/// How many elements are not about the same.
fn far(found: &Tensor, expected: &Tensor) -> usize {
    assert_eq!((found.dtype(), found.sizes()), (expected.dtype(), expected.sizes()));
    let near = |(a, b): &(f64, f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 0.02 * (1.0 + b.abs());
    found.to_f64().into_iter().zip(expected.to_f64()).filter(|pair| !near(pair)).count()
}
