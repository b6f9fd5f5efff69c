//! The comment above a kernel's text: which nodes of the model it is.

use super::KernelSource;
use crate::name::Shown;
use crate::plan::{BufferId, Kernel, Plan, Routine, Stage};
use std::fmt::Write;

/// Nodes named in one header line; a chain of thousands is cut.
const NODES: usize = 64;

impl KernelSource {
    /// Comment lines, one for each kernel of the plan that has this text:
    /// `// PWN(Sigmoid_213, Mul_214): 345[Int8(1,128,40,40)] -> 347[Int8(1,128,40,40)]`.
    pub fn header(&self, plan: &Plan, kernels: &[&Kernel]) -> String {
        let mut text = String::new();
        for kernel in kernels {
            // A line that ended in a backslash would continue into the text; each ends in a bracket or a parenthesis.
            let _ = writeln!(text, "// {}", describe(plan, kernel));
        }
        text
    }

    /// As [`KernelSource::header`], for stages that have this text.
    pub fn stage_header(&self, plan: &Plan, stages: &[(&Routine, &Stage)]) -> String {
        stages.iter().map(|(routine, stage)| format!("// {}\n", describe_stage(plan, routine, stage))).collect()
    }
}

/// The kernel on one line, in TensorRT's manner: `PWN(Sigmoid_213, Mul_214): 345[Int8(1,128,40,40)] -> 347[Int8(1,128,40,40)]`.
/// Names are shown through [`Shown`]; a long list of nodes is cut.
pub fn describe(plan: &Plan, kernel: &Kernel) -> String {
    let mut nodes: Vec<String> = kernel.origin.iter().take(NODES).map(|o| Shown(&o.name).to_string()).collect();
    if kernel.origin.len() > NODES {
        nodes.push(format!("and {} more", kernel.origin.len() - NODES));
    }
    let list = |ids: Vec<BufferId>| {
        let mut seen = Vec::new();
        for id in ids {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        let shown: Vec<String> = seen.into_iter().map(|id| buffer(plan, id)).collect();
        shown.join(", ")
    };
    let inputs = list(kernel.reads().collect());
    let outputs = list(kernel.stores.iter().map(|store| store.buffer).collect());
    format!("PWN({}): {inputs} -> {outputs}", nodes.join(", "))
}

/// A stage of a routine on one line: `Softmax(Softmax_213): 345[Half(1,1000)] -> 346[Half(1,1000)]`.
pub fn describe_stage(plan: &Plan, routine: &Routine, stage: &Stage) -> String {
    let list = |operands: &[crate::plan::routine::Operand]| {
        operands.iter().map(|o| buffer(plan, o.buffer)).collect::<Vec<_>>().join(", ")
    };
    let (label, reads, writes) = (Shown(&routine.label), list(&stage.reads), list(&stage.writes));
    format!("{}({label}): {reads} -> {writes}", routine.kind)
}

fn buffer(plan: &Plan, id: BufferId) -> String {
    let Some(buffer) = plan.buffers.get(id.0 as usize) else { return format!("buffer {}[]", id.0) };
    let dtype = buffer.ty.dtype.map_or("?", |t| t.long_name());
    let shape = buffer.ty.shape.as_ref().map_or("?".to_owned(), |shape| Shown(&shape.to_string()).to_string());
    format!("{}[{dtype}{shape}]", Shown(&buffer.name))
}
