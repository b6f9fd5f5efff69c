//! Random graphs, compiled whole: their kernels are proved on every machine that is here, and on a GPU their plans run.

use crate::machines::{self, DEVICE};
use crate::random_graph::{Generated, generate};
use pointweld::compiler::{Compiled, Compiler};
use pointweld::dim::Bindings;
use pointweld::plan::{BufferId, Role};
use pointweld::prove::{Options, Outcome, Proof, Region, Stored, Trial, judge, prove};
use pointweld::reference::bind_inputs;
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

/// Whole plans on the GPU, twice: with every tensor in memory of its own, where each kernel's results are judged by the operands that it
/// really had; and as they are, with tensors that share memory, which must give the very same bits.
#[test]
fn plans_of_random_graphs_run_whole() {
    let Some(device) = DEVICE.as_ref() else { return };
    for seed in 100..160 {
        let g = generate(seed, 2 + seed as usize % 40);
        let compiler = Compiler::new().arch(device.arch()).dependent_launch(seed % 2 == 0);
        let mut compiled = compiler.compile(&g.graph).unwrap();
        let run = |compiled: &Compiled| {
            let found = compiled.run_on(device, &g.inputs);
            found.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", compiled.planned.plan))
        };
        let shared = run(&compiled);
        let plan = &mut compiled.planned.plan;
        let computed = |(_, buffer): &(usize, &pointweld::plan::Buffer)| buffer.role == Role::Computed;
        let known = |(_, buffer): &(usize, &pointweld::plan::Buffer)| buffer.ty.full().is_some();
        let all: Vec<BufferId> =
            plan.buffers.iter().enumerate().filter(computed).filter(known).map(|(i, _)| BufferId(i as u32)).collect();
        let first = plan.outputs.len();
        plan.outputs.extend(all.iter().map(|id| (format!("buffer {}", id.0), *id)));
        let apart = run(&compiled);
        for ((name, shared), (_, apart)) in shared.iter().zip(&apart) {
            let plan = &compiled.planned.plan;
            assert!(shared.bytes() == apart.bytes(), "seed {seed}: sharing memory changes {name}\n{plan}");
        }
        let computed = all.iter().copied().zip(apart[first..].iter().map(|(_, tensor)| tensor));
        judge_kernels(seed, &compiled, &g, &computed.collect::<Vec<_>>());
    }
}

fn judge_kernels(seed: u64, compiled: &Compiled, g: &Generated, computed: &[(BufferId, &Tensor)]) {
    let (plan, graph) = (&compiled.planned.plan, &compiled.planned.graph);
    let declared: Vec<_> = plan.inputs.iter().map(|(name, id)| (name.as_str(), &plan.buffer(*id).ty)).collect();
    let mut sizes = Bindings::new();
    let inputs = bind_inputs(&declared, &g.inputs, &mut sizes).unwrap();
    let tensor = |mut id: BufferId| {
        while let Role::Alias(of) = plan.buffer(id).role {
            id = of;
        }
        let input = plan.inputs.iter().position(|(_, of)| *of == id).map(|at| &inputs[at]);
        let computed = computed.iter().find(|(of, _)| *of == id).map(|(_, tensor)| *tensor);
        let found = input.or(computed).or_else(|| graph.constant(plan.buffer(id).value));
        found.unwrap_or_else(|| panic!("seed {seed}: b{} is nowhere\n{plan}", id.0)).clone()
    };
    let part = |region: &Region, id: BufferId| {
        let bytes = tensor(id).bytes()[region.first as usize * region.width()..].to_vec();
        bytes[..region.count * region.width()].to_vec()
    };
    for (kernel, source) in plan.kernels().zip(&compiled.planned.sources) {
        let mut trial = Trial::new(kernel, source, &sizes, None).unwrap();
        if trial.count() == 0 {
            continue;
        }
        for (region, load) in trial.loads.iter_mut().zip(&kernel.loads) {
            region.contents = part(region, load.buffer);
        }
        let stored = |(region, store): (&Region, &pointweld::plan::Store)| {
            let mut written = vec![false; region.count];
            trial.tuples().for_each(|index| written[region.position(&index)] = true);
            Stored { bytes: part(region, store.buffer), written }
        };
        let stores = trial.stores.iter().zip(&kernel.stores).map(stored).collect();
        let mut proof = Proof::default();
        let judged = judge(&trial, &Outcome { stores, instructions: None }, &mut proof);
        assert!(judged.is_ok() && proof.mismatches == proof.near_ties, "seed {seed}: {judged:?}\n{kernel}\n{plan}");
    }
}
