//! A plan as a Graphviz graph: a box for each kernel with its ops, a rounded one for each routine, an
//! ellipse for each node of the host, an edge for each tensor.

use crate::name::Shown;
use crate::plan::{BufferId, Kernel, Plan, Role, Step};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The text of `graph.dot`.
pub fn dot(plan: &Plan) -> String {
    let mut text = String::from("digraph plan {\n  rankdir=TB;\n  node [fontname=\"monospace\", fontsize=10];\n");
    let mut writers: BTreeMap<BufferId, Vec<String>> = BTreeMap::new();
    for (i, (name, id)) in plan.inputs.iter().enumerate() {
        _ = writeln!(text, "  in{i} [shape=oval, style=filled, fillcolor=\"#e8e8e8\", label={}];", quoted(name));
        writers.entry(*id).or_default().push(format!("in{i}"));
    }
    for (i, step) in plan.steps.iter().enumerate() {
        let (label, style, outputs) = match step {
            Step::Kernel(kernel) => {
                (kernel_label(kernel), "shape=box, style=filled, fillcolor=\"#d5e8d4\"", stores(kernel))
            }
            Step::Routine(routine) => {
                let label = format!("{}\n{}", routine.kind, Shown(&routine.label));
                (label, "shape=box, style=\"filled,rounded\", fillcolor=\"#dae8fc\"", routine.outputs.clone())
            }
            Step::Node { label, kind, outputs, .. } => {
                (format!("{kind}\n{}", Shown(label)), "shape=ellipse", outputs.clone())
            }
        };
        _ = writeln!(text, "  s{i} [{style}, label={}];", quoted(&label));
        for id in outputs {
            writers.entry(id).or_default().push(format!("s{i}"));
        }
    }
    for (i, (name, _)) in plan.outputs.iter().enumerate() {
        _ = writeln!(text, "  out{i} [shape=oval, style=filled, fillcolor=\"#e8e8e8\", label={}];", quoted(name));
    }
    let mut edge = |id: BufferId, to: String| {
        let mut root = id;
        while let Role::Alias(of) = plan.buffer(root).role {
            root = of;
        }
        for from in writers.get(&root).into_iter().flatten() {
            _ = writeln!(text, "  {from} -> {to} [label={}];", quoted(&plan.buffer(id).ty.to_string()));
        }
    };
    for (i, step) in plan.steps.iter().enumerate() {
        let mut read: Vec<BufferId> = match step {
            Step::Kernel(kernel) => kernel.reads().collect(),
            Step::Routine(routine) => routine.inputs.clone(),
            Step::Node { inputs, .. } => inputs.clone(),
        };
        read.sort_unstable();
        read.dedup();
        for id in read {
            edge(id, format!("s{i}"));
        }
    }
    for (i, (_, id)) in plan.outputs.iter().enumerate() {
        edge(*id, format!("out{i}"));
    }
    text.push_str("}\n");
    text
}

fn stores(kernel: &Kernel) -> Vec<BufferId> {
    kernel.stores.iter().map(|store| store.buffer).collect()
}

/// The kernel's name and its ops, one a line; a long body is cut.
fn kernel_label(kernel: &Kernel) -> String {
    const SHOWN: usize = 12;
    let mut label = kernel.name.clone();
    for stmt in kernel.body.iter().take(SHOWN) {
        _ = write!(label, "\n{}", stmt.op);
    }
    if kernel.body.len() > SHOWN {
        _ = write!(label, "\n… {} more", kernel.body.len() - SHOWN);
    }
    label
}

/// A string of Graphviz. Names are shown through [`Shown`], which leaves no control character; here quotes and backslashes are escaped.
fn quoted(label: &str) -> String {
    let mut text = String::from("\"");
    for (i, line) in label.split('\n').enumerate() {
        if i > 0 {
            text.push_str("\\n");
        }
        let shown = Shown(line).to_string();
        text.push_str(&shown.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_hostile_name_stays_within_its_quotes() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        let text = quoted("x\"];evil[");
        // Every inner quote is escaped an odd number of times.
        assert_eq!(text, "\"x\\\\\\\"];evil[\"");
    }
}
