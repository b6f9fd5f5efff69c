//! The comment above a kernel's text: which nodes of the model it is.

use super::KernelSource;
use crate::name::Shown;
use crate::plan::{BufferId, Kernel, Plan};
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
    let inputs = list(kernel.loads.iter().map(|load| load.buffer).collect());
    let outputs = list(kernel.stores.iter().map(|store| store.buffer).collect());
    format!("PWN({}): {inputs} -> {outputs}", nodes.join(", "))
}

fn buffer(plan: &Plan, id: BufferId) -> String {
    let Some(buffer) = plan.buffers.get(id.0 as usize) else { return format!("buffer {}[]", id.0) };
    let dtype = buffer.ty.dtype.map_or("?", |t| t.long_name());
    let shape = buffer.ty.shape.as_ref().map_or("?".to_owned(), |shape| Shown(&shape.to_string()).to_string());
    format!("{}[{dtype}{shape}]", Shown(&buffer.name))
}
