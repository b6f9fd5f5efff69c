//! The bodies of If, Loop and Scan: what they take from outside, and what they give.

use super::proto::{GraphProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// The names that a node's subgraphs read and do not define: operands of the node that its inputs do not list.
pub(crate) fn captures(node: &NodeProto) -> BTreeSet<&str> {
    let mut free = BTreeSet::new();
    for attribute in &node.attribute {
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            free.extend(free_names(graph));
        }
    }
    free
}

fn free_names(graph: &GraphProto) -> BTreeSet<&str> {
    let mut used: BTreeSet<&str> = graph.output.iter().map(|o| o.name()).collect();
    let mut defined: BTreeSet<&str> = graph.input.iter().map(|i| i.name()).collect();
    defined.extend(graph.initializer.iter().map(|t| t.name()));
    defined.extend(graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref()).map(|t| t.name()));
    for node in &graph.node {
        used.extend(node.input.iter().map(String::as_str));
        used.extend(captures(node));
        defined.extend(node.output.iter().map(String::as_str));
    }
    used.remove("");
    used.retain(|name| !defined.contains(name));
    used
}

/// Gives other names to what a node's subgraphs take from outside.
pub(crate) fn rename_captures(node: &mut NodeProto, names: &BTreeMap<&str, String>) {
    for attribute in &mut node.attribute {
        for graph in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
            let free = free_names(graph);
            let wanted: BTreeMap<&str, String> =
                names.iter().filter(|(name, _)| free.contains(*name)).map(|(name, new)| (*name, new.clone())).collect();
            rename_free(graph, &wanted);
        }
    }
}

/// `names` are free in the graph as a whole; a deeper graph may define one of them itself.
fn rename_free(graph: &mut GraphProto, names: &BTreeMap<&str, String>) {
    let rename = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            *name = new.clone();
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(rename);
        rename_captures(node, names);
    }
    graph.output.iter_mut().filter_map(|o| o.name.as_mut()).for_each(rename);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, ValueInfoProto};

    fn node(inputs: &[&str], outputs: &[&str], body: Option<GraphProto>) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let attribute = body.map(|g| AttributeProto { g: Some(Box::new(g)), ..Default::default() });
        NodeProto {
            input: names(inputs),
            output: names(outputs),
            attribute: attribute.into_iter().collect(),
            ..Default::default()
        }
    }

    #[test]
    fn names_from_outside_are_found_through_two_levels() {
        let info = |name: &str| ValueInfoProto { name: Some(name.into()), ..Default::default() };
        let inner = GraphProto {
            node: vec![node(&["outer", "middle", ""], &["r"], None)],
            output: vec![info("r"), info("passed")],
            ..Default::default()
        };
        let middle = GraphProto {
            input: vec![info("i")],
            node: vec![node(&["i"], &["middle"], None), node(&[], &["s"], Some(inner))],
            output: vec![info("s")],
            ..Default::default()
        };
        let top = node(&["x"], &["y"], Some(middle));
        assert_eq!(captures(&top).into_iter().collect::<Vec<_>>(), ["outer", "passed"]);
    }
}
