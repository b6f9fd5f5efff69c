//! Writes the plan: buffers, steps in an order that respects every dependence, decisions.

use super::decide::decisions;
use super::facts::Class;
use super::grow::Growth;
use super::lower::lower;
use super::routines;
use crate::graph::{Kind, Value};
use crate::plan::routine::Operand;
use crate::plan::{Buffer, BufferId, IndexWidth, OnHost, Plan, Role, Routine, Stage, Step};
use std::collections::{BTreeMap, BTreeSet};

/// The plan of a finished growth.
pub(super) fn assemble(mut growth: Growth, taps: &[u32]) -> Plan {
    let facts = growth.facts;
    let table = Buffers::new(&growth, taps);
    let place = |v: u32| table.of[v as usize];
    let mut drafts = std::mem::take(&mut growth.drafts);
    let mut kernels: BTreeMap<u32, usize> = BTreeMap::new();
    for (k, draft) in drafts.iter().enumerate() {
        if draft.merged.is_none() && !(draft.stores.is_empty() && draft.taps.is_empty()) {
            kernels.insert(draft.unit, k);
        }
    }
    let nodes: BTreeMap<u32, u32> =
        growth.units.iter().enumerate().filter_map(|(n, unit)| Some(((*unit)?, n as u32))).collect();
    let first = |unit: u32| match (nodes.get(&unit), kernels.get(&unit)) {
        (Some(n), _) => (*n, 0),
        (None, Some(k)) => {
            let draft = &drafts[*k];
            let values = draft.stores.iter().map(|s| facts.values[s.0 as usize].node);
            // A kernel that only taps comes last, so that it changes no other's number.
            (values.min().unwrap_or(u32::MAX), 1)
        }
        (None, None) => (u32::MAX, 2),
    };
    let order = growth.depend.order(first);
    let (mut steps, mut names, mut number, mut stages) = (Vec::new(), BTreeMap::new(), 0, 0);
    let buffer = |v: u32| place(v).unwrap_or(BufferId(0));
    for unit in order {
        if let Some(n) = nodes.get(&unit) {
            steps.push(node_step(&growth, *n, &mut stages, &buffer));
        } else if let Some(k) = kernels.get(&unit) {
            let kernel = lower(&growth, &mut drafts[*k], number, &buffer);
            number += 1;
            names.insert(*k, kernel.name.clone());
            steps.push(Step::Kernel(kernel));
        }
    }
    growth.drafts = drafts;
    let graph = facts.graph;
    let inputs = graph.inputs().iter().map(|id| id.value());
    let named = |name: &str, v: u32| (name.to_string(), buffer(v));
    let mut outputs: Vec<_> = graph.outputs().iter().map(|(name, v)| named(name, facts.of(*v))).collect();
    for tap in taps {
        if !outputs.iter().any(|(name, _)| name == facts.name(*tap)) {
            outputs.push(named(facts.name(*tap), *tap));
        }
    }
    Plan {
        model: graph.name.clone(),
        inputs: inputs.map(|v| named(graph.value_name(v), facts.of(v))).collect(),
        outputs,
        steps,
        decisions: decisions(&growth, &names),
        buffers: table.buffers,
    }
}

/// A node that no kernel holds: a routine, or a node of the host. `number` counts stages.
fn node_step(growth: &Growth, n: u32, number: &mut usize, buffer: &dyn Fn(u32) -> BufferId) -> Step {
    let facts = growth.facts;
    let node = &facts.nodes[n as usize];
    let of_graph = facts.graph.node(node.id);
    let (label, kind) = (facts.label(n).to_string(), of_graph.kind.to_string());
    let inputs = node.operands.iter().map(|v| buffer(*v)).collect();
    let outputs = (node.first..node.first + node.results).map(buffer).collect();
    let operand = |value: &Value| {
        let (dtype, shape) = facts.graph.ty(*value).full()?;
        Some(Operand { buffer: buffer(facts.of(*value)), dtype, shape: shape.0.clone() })
    };
    let failed = growth.options.on_host.iter().find(|(id, _)| *id == node.id);
    let drafts = match (failed, &node.class, &of_graph.kind) {
        (Some((_, error)), ..) => Err(OnHost::CompileFailed { error: error.clone() }),
        (None, Class::Hard(reason), Kind::Pointwise(_) | Kind::View(_)) => Err(OnHost::Unfused(reason.clone())),
        // A product that no kernel could hold, or whose kernel did not compile, among them.
        _ => routines::stages(facts.graph, growth.model, node.id),
    };
    let drafts = match drafts {
        Ok(drafts) => drafts,
        Err(why) => return Step::Node { node: node.id, label, kind, inputs, outputs, why },
    };
    let mut stages = Vec::with_capacity(drafts.len());
    for draft in drafts {
        stages.push(Stage {
            name: format!("rt_{}_{number}", draft.work.name()),
            work: draft.work,
            // Every value of a routine has a type: a family asks for each.
            reads: draft.reads.iter().filter_map(operand).collect(),
            writes: draft.writes.iter().filter_map(operand).collect(),
            index: IndexWidth::Bits32,
        });
        *number += 1;
    }
    let origin = of_graph.origin.to_vec();
    Step::Routine(Routine { node: node.id, label, kind, origin, inputs, outputs, stages })
}

/// The plan's buffers, and which of them each value lies in.
struct Buffers {
    buffers: Vec<Buffer>,
    of: Vec<Option<BufferId>>,
}

impl Buffers {
    fn new(growth: &Growth, taps: &[u32]) -> Buffers {
        let facts = growth.facts;
        let mut needed: BTreeSet<u32> = taps.iter().copied().collect();
        for (v, value) in facts.values.iter().enumerate() {
            let made = matches!(facts.maker(v as u32), Class::Hard(_));
            let input = facts.graph.node(value.value.node).kind == Kind::Input;
            if value.required || made || input || growth.alias[v].is_some() {
                needed.insert(v as u32);
            }
        }
        for draft in growth.drafts.iter().filter(|d| d.merged.is_none()) {
            if let Some((_, main)) = growth.product_of(draft) {
                needed.extend((0..2).filter_map(|slot| growth.factor_place(main, slot)).map(|sink| sink.target));
            }
            for (v, _, place) in draft.loads.iter().chain(&draft.stores).chain(&draft.taps) {
                if facts.values[*v as usize].uniform.is_none() || draft.stores.iter().any(|s| s.0 == *v) {
                    needed.insert(growth.places[*v as usize][*place].target);
                }
            }
        }
        let mut table = Buffers { buffers: Vec::new(), of: vec![None; facts.values.len()] };
        // A value may lie in the memory of one that comes later in the graph: such a place is numbered first.
        for v in needed {
            table.place(growth, v);
        }
        table
    }

    fn place(&mut self, growth: &Growth, v: u32) -> BufferId {
        if let Some(id) = self.of[v as usize] {
            return id;
        }
        let facts = growth.facts;
        let value = facts.values[v as usize].value;
        let role = match (growth.alias[v as usize], &facts.graph.node(value.node).kind) {
            (Some(of), _) => Role::Alias(self.place(growth, of)),
            (None, Kind::Input) => Role::Input,
            (None, Kind::Constant(_)) => Role::Constant,
            (None, _) => Role::Computed,
        };
        let id = BufferId(self.buffers.len() as u32);
        let name = facts.name(v).to_string();
        self.buffers.push(Buffer { name, value, ty: facts.graph.ty(value).clone(), role });
        self.of[v as usize] = Some(id);
        id
    }
}
