//! If, Loop and Scan. Their bodies stay opaque, with the types that the bodies state for their results; but an If whose
//! condition is known is replaced by its branch, which is how exporters guard a Squeeze.

use super::*;
use crate::onnx::error::quoted;
use crate::onnx::functions::FlatNode;
use crate::onnx::import::convert_node;
use crate::onnx::proto::{GraphProto, NodeProto};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Branches inside branches that are taken in place.
const MAX_DEPTH: usize = 16;

pub(super) fn branch(cx: &mut Cx) -> Done {
    let condition = cx.input(0)?;
    let (then, otherwise) = (cx.attributes.graph("then_branch")?, cx.attributes.graph("else_branch")?);
    let then = cx.attributes.required("then_branch", then)?;
    let otherwise = cx.attributes.required("else_branch", otherwise)?;
    if let Some([taken]) = cx.ints(condition).as_deref()
        && cx.scope.depth < MAX_DEPTH
    {
        return take(cx, if *taken != 0 { then } else { otherwise });
    }
    let (mut a, mut b) = (stated(cx, then), stated(cx, otherwise));
    let outputs = cx.node.output.len();
    a.resize(outputs, Type::default());
    b.resize(outputs, Type::default());
    let types = a.into_iter().zip(b).enumerate().map(|(port, (a, b))| common(cx, port, a, b)).collect();
    opaque("its condition is known at run time only", types)
}

/// What both branches agree on.
fn common(cx: &mut Cx, port: usize, a: Type, b: Type) -> Type {
    let shape = match (a.shape, b.shape) {
        (Some(a), Some(b)) if a.rank() == b.rank() => {
            let dims = a.iter().zip(b.iter()).enumerate();
            let dims = dims.map(|(axis, (a, b))| if a == b { a.clone() } else { cx.fresh(port, axis) });
            Some(dims.collect())
        }
        _ => None,
    };
    Type { dtype: a.dtype.filter(|_| a.dtype == b.dtype), shape }
}

fn stated(cx: &mut Cx, graph: &GraphProto) -> Vec<Type> {
    graph.output.iter().map(|o| cx.scope.type_of(o.name(), o.r#type.as_ref())).collect()
}

/// Imports a branch where the If stands. Its own names are made unique; those it takes from outside stay.
fn take(cx: &mut Cx, branch: &GraphProto) -> Done {
    if branch.output.len() < cx.node.output.len() {
        let what = format!("its branch has {} results, not {}", branch.output.len(), cx.node.output.len());
        return Err(Stop::Broken(what));
    }
    let prefix = format!("{}/", cx.node.output.iter().find(|o| !o.is_empty()).map_or("if", String::as_str));
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let outputs = branch.node.iter().flat_map(|n| n.output.iter().map(String::as_str));
    for name in outputs.chain(branch.initializer.iter().map(|t| t.name())).filter(|name| !name.is_empty()) {
        names.insert(name, format!("{prefix}{name}"));
    }
    for tensor in &branch.initializer {
        let name = &names[tensor.name()];
        let value = cx.scope.constant(name, tensor)?;
        cx.scope.declare(name, value)?;
    }
    if !branch.sparse_initializer.is_empty() {
        return opaque("its branch has sparse constants", vec![]);
    }
    cx.scope.depth += 1;
    for inner in &branch.node {
        let mut node: NodeProto = inner.clone();
        node.name = Some(format!("{prefix}{}", inner.name()));
        for name in node.input.iter_mut().chain(&mut node.output) {
            if let Some(unique) = names.get(name.as_str()) {
                *name = unique.clone();
            }
        }
        if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            crate::onnx::subgraph::rename_captures(&mut node, &names);
        }
        convert_node(cx.scope, &FlatNode { node: Cow::Owned(node), opsets: cx.flat.opsets.clone() })?;
    }
    cx.scope.depth -= 1;
    for (port, output) in branch.output.iter().enumerate().take(cx.node.output.len()) {
        let name = names.get(output.name()).map_or(output.name(), String::as_str);
        let Some(value) = cx.scope.value(name)? else {
            return Err(Stop::Broken(format!("its branch's result {} is computed by no node", quoted(output.name()))));
        };
        cx.finish(port, value)?;
    }
    Ok(())
}

/// Loop's and Scan's results: states keep the type they come in with, if their sizes do not change; the rest is collected
/// along a new first axis.
pub(super) fn repeat(cx: &mut Cx) -> Done {
    let body = cx.attributes.graph("body")?;
    let body = cx.attributes.required("body", body)?;
    let is_loop = cx.op_type() == "Loop";
    let states = match is_loop {
        true => cx.node.input.len().saturating_sub(2),
        false => {
            let scanned = cx.attributes.int_or("num_scan_inputs", 0)?;
            cx.node.input.len().saturating_sub(usize::try_from(scanned).unwrap_or(usize::MAX))
        }
    };
    let mut stated = stated(cx, body);
    if is_loop && !stated.is_empty() {
        stated.remove(0);
    }
    let mut types = Vec::new();
    for (port, mut ty) in stated.into_iter().enumerate().take(cx.node.output.len()) {
        if port < states {
            // A state may grow from step to step.
            let before = cx.optional(if is_loop { port + 2 } else { port }).map(|v| cx.ty(v)).unwrap_or_default();
            ty.dtype = ty.dtype.or(before.dtype);
            ty.shape = ty.shape.filter(|shape| Some(shape) == before.shape.as_ref());
        } else if let Some(shape) = &mut ty.shape {
            shape.0.insert(0, cx.fresh(port, 0));
        }
        types.push(ty);
    }
    opaque("its body is not looked into", types)
}
