//! `pointweld explain`: what fused, what did not and why.

use super::args::ExplainArgs;
use super::output::{self, Failure};
use super::source;
use crate::name::Shown;
use crate::report;
use std::io::Write;

pub fn run(args: &ExplainArgs, json: bool) -> Result<(), Failure> {
    let graph = source::import(&args.model)?;
    let planned = source::plan(&source::compiler(&args.model.fusion)?, &graph, &args.model.fusion)?;
    let sizes = args.model.fusion.dims.iter().cloned().collect();
    let mut explanation = report::explain(&graph, &planned.graph, &planned.plan, &planned.passes, &sizes);
    if let Some(node) = &args.node {
        explanation = explanation.about(node).ok_or_else(|| {
            Failure::Input(format!("no kernel and no edge of the plan has a node named {}", Shown(node)))
        })?;
    }
    if json {
        return output::json(&explanation);
    }
    Ok(write!(output::out(), "{explanation}")?)
}
