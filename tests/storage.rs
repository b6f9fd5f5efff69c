//! The memory of a plan: whatever shares the arena, every kernel reads what the one before it wrote.

#[path = "common/random_graph.rs"]
mod random_graph;

use std::collections::{BTreeMap, BTreeSet};

use pointweld::dim::{Bindings, Dim};
use pointweld::dtype::DType;
use pointweld::fuse::{self, fuse};
use pointweld::graph::{Builder, Kind, Node, Type};
use pointweld::plan::{BufferId, Place, Plan, Role, Step, Storage, StorageError};
use pointweld::shape;
use pointweld::view::View;
use proptest::prelude::*;
use random_graph::generate;

/// The buffers that a step reads and those that it writes.
fn touched(step: &Step) -> (Vec<BufferId>, Vec<BufferId>) {
    match step {
        Step::Kernel(kernel) => {
            (kernel.loads.iter().map(|l| l.buffer).collect(), kernel.stores.iter().map(|s| s.buffer).collect())
        }
        Step::Routine(routine) => (routine.inputs.clone(), routine.outputs.clone()),
        Step::Node { inputs, outputs, .. } => (inputs.clone(), outputs.clone()),
    }
}

/// Plays the steps over the arena's bytes, each marked with the buffer last written there.
fn play(plan: &Plan, storage: &Storage) -> Result<(), String> {
    // From a range's start to its end and owner; a write cuts what it overlaps off.
    let mut owners: Vec<(u64, u64, BufferId)> = Vec::new();
    let mut written = BTreeSet::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let (reads, writes) = touched(step);
        for read in reads {
            let placement = storage.places[read.0 as usize];
            if let Place::Arena { offset, bytes } = placement.place {
                let whole = bytes == 0 || owners.contains(&(offset, offset + bytes, placement.root));
                if !whole {
                    return Err(format!("step {i} reads {read:?} at {offset}, where {owners:?} are"));
                }
            }
        }
        for write in writes {
            let placement = storage.places[write.0 as usize];
            if let Place::Arena { offset, bytes } = placement.place {
                // Several kernels may write the parts of one buffer: what the first wrote must be there when the last writes.
                let lost = bytes > 0 && !owners.contains(&(offset, offset + bytes, placement.root));
                if !written.insert(placement.root) && lost {
                    return Err(format!("step {i} writes a part of {write:?}, whose other parts are lost: {owners:?}"));
                }
                owners.retain(|(start, end, _)| *end <= offset || offset + bytes <= *start);
                owners.push((offset, offset + bytes, placement.root));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kernel_reads_what_was_written_for_it(seed in any::<u64>(), ops in 1usize..60, apart in any::<bool>()) {
        let generated = generate(seed, ops);
        let mut options = fuse::Options::default();
        if apart {
            // Many small kernels have more buffers between them.
            options.max_statements = 2;
            options.max_loads = 3;
        }
        let plan = fuse(&generated.graph, &options).unwrap();
        let mut bindings = Bindings::new();
        for ((_, tensor), id) in generated.inputs.iter().zip(generated.graph.inputs()) {
            let ty = generated.graph.ty(id.value());
            for (dim, size) in ty.shape.as_ref().unwrap().iter().zip(tensor.sizes()) {
                if dim.known().is_none() {
                    bindings.insert(dim.to_string(), *size as u64);
                }
            }
        }
        let storage = Storage::new(&plan, &bindings).unwrap();
        prop_assert!(storage.arena <= storage.unshared);
        if let Err(fault) = play(&plan, &storage) {
            prop_assert!(false, "{fault}");
        }
        for (_, id) in plan.inputs.iter().chain(&plan.outputs) {
            let in_arena = matches!(storage.places[id.0 as usize].place, Place::Arena { .. });
            prop_assert!(!in_arena);
        }
    }
}

/// A chain of `n` sums kept apart.
fn chain(n: usize) -> Plan {
    let mut b = Builder::new("chain");
    let x = b.input("x", DType::F32, shape!["batch", 100]);
    let mut y = x;
    for _ in 0..n {
        y = b.add(y, x);
    }
    b.output("y", y);
    let options = fuse::Options { max_statements: 1, ..fuse::Options::default() };
    fuse(&b.finish().unwrap(), &options).unwrap()
}

#[test]
fn a_chain_shares_two_buffers() {
    let plan = chain(9);
    assert_eq!(plan.steps.len(), 9, "the kernels are kept apart");
    let storage = Storage::new(&plan, &BTreeMap::from([("batch".to_owned(), 64)])).unwrap();
    assert_eq!(storage.arena, 2 * 25600);
    assert_eq!(storage.unshared, 8 * 25600);
    // The same plan at another size.
    let storage = Storage::new(&plan, &BTreeMap::from([("batch".to_owned(), 0)])).unwrap();
    assert_eq!(storage.arena, 0);
}

/// A concatenation's parts are written by kernels far apart, with others between them whose results come and go.
#[test]
fn what_several_kernels_write_lives_from_the_first() {
    let mut b = Builder::new("concat");
    let x = b.input("x", DType::F32, shape!["batch", 100]);
    let mut parts = Vec::new();
    for _ in 0..3 {
        let mut y = x;
        for _ in 0..4 {
            y = b.add(y, x);
        }
        parts.push(y);
    }
    let ty = Type::new(DType::F32, shape!["batch", 300]);
    let node = Node::new(Kind::View(View::Concat { axis: 1 }), "joined", ty).with_origin("joined", "Concat");
    let joined = b.node(node, &parts).value();
    let y = b.relu(joined);
    let z = b.mul(y, joined);
    b.output("z", z);
    let options = fuse::Options { max_statements: 1, ..fuse::Options::default() };
    let plan = fuse(&b.finish().unwrap(), &options).unwrap();
    let mut writers: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    for (i, step) in plan.steps.iter().enumerate() {
        touched(step).1.into_iter().for_each(|id| writers.entry(id).or_default().push(i));
    }
    let apart = writers.values().any(|steps| steps.len() > 1 && steps[steps.len() - 1] - steps[0] > 2);
    assert!(apart, "no buffer is written by kernels that are apart\n{plan}");
    let storage = Storage::new(&plan, &BTreeMap::from([("batch".to_owned(), 64)])).unwrap();
    play(&plan, &storage).unwrap_or_else(|fault| panic!("{fault}\n{plan}"));
}

#[test]
fn what_cannot_be_placed_is_named() {
    let mut plan = chain(3);
    let error = Storage::new(&plan, &Bindings::new()).unwrap_err();
    assert!(error.to_string().contains("--dim batch=N"), "{error}");
    let huge = BTreeMap::from([("batch".to_owned(), u64::MAX / 2)]);
    assert!(Storage::new(&plan, &huge).is_err());
    let one = BTreeMap::from([("batch".to_owned(), 1)]);
    let ids: Vec<usize> = (0..plan.buffers.len()).filter(|i| plan.buffers[*i].role == Role::Computed).collect();
    plan.buffers[ids[0]].role = Role::Alias(BufferId(ids[1] as u32));
    plan.buffers[ids[1]].role = Role::Alias(BufferId(ids[0] as u32));
    assert!(matches!(Storage::new(&plan, &one), Err(StorageError::NoBuffer { .. })));
    plan.buffers[ids[0]].role = Role::Alias(BufferId(99));
    assert!(matches!(Storage::new(&plan, &one), Err(StorageError::NoBuffer { buffer: _, count: _ })));
    let mut plan = chain(3);
    plan.buffers[ids[0]].ty.shape = None;
    assert!(matches!(Storage::new(&plan, &one), Err(StorageError::UnknownType { .. })));
    assert_eq!(plan.buffers[ids[1]].ty.shape.as_ref().unwrap().iter().next(), Some(&Dim::symbol("batch")));
}
