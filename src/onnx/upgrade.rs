//! Brings a model of operator set 11 or 12 to 13, the first that has one scale a channel. From 11 to 13 only few operators change their
//! form: axes and sizes of Squeeze, Unsqueeze, Split and ReduceSum become inputs, Dropout's ratio goes, and Softmax and its like
//! no longer flatten the axes behind theirs, which makes no difference for the last axis.

use super::attributes::label;
use super::edit::Edit;
use super::error::OnnxError;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use crate::tensor::Tensor;

/// The operator set that models are brought to.
const TO: i64 = 13;
/// The oldest that they are brought from.
const FROM: i64 = 11;
/// The file format's version that goes with operator set 13.
const IR: i64 = 7;

/// Brings the model up to operator set 13 if it is older; true if it was. `rank` tells the number of axes of a value.
///
/// # Errors
/// If the model is older than 11, or has a node that would change its meaning; it is then as it was.
pub fn upgrade(model: &mut ModelProto, rank: impl Fn(&str) -> Option<usize>) -> Result<bool, OnnxError> {
    let found = Edit::new(model)?.opset("").unwrap_or(TO);
    if found >= TO {
        return Ok(false);
    }
    let refused = |what: String| {
        let what = format!("{what}; bring the model up to operator set {TO} first, as onnx.version_converter does");
        Err(OnnxError::Graph { what })
    };
    if found < FROM {
        return refused(format!("the model is of operator set {found}, and codes per channel need {TO}"));
    }
    let mut moves: Vec<(String, &'static str, Vec<i64>)> = Vec::new();
    let mut plain: Vec<(String, &'static str)> = Vec::new();
    let mut last: Vec<String> = Vec::new();
    for node in Edit::new(model)?.nodes() {
        if inner(node).any(changes) {
            return refused(format!("node {} has operators inside that operator set {TO} changes", label(node)));
        }
        let Some(output) = node.output.first().cloned() else { continue };
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name() == name);
        match node.op_type() {
            op @ ("Squeeze" | "Unsqueeze" | "ReduceSum" | "Split") => {
                let name = if op == "Split" { "split" } else { "axes" };
                moves.extend(attribute(name).map(|a| (output, name, a.ints.clone())));
            }
            "Dropout" => plain.extend(attribute("ratio").map(|_| (output, "ratio"))),
            "Softmax" | "LogSoftmax" | "Hardmax" => {
                let axis = attribute("axis").map_or(1, |a| a.i());
                let rank = node.input.first().and_then(|x| rank(x)).map(|rank| rank as i64);
                if axis != -1 && rank != Some(axis + 1) {
                    return refused(format!("node {} is over axis {axis}, which may not be the last", label(node)));
                }
                last.push(output);
            }
            _ => {}
        }
    }
    let mut edit = Edit::new(model)?;
    for (output, name, values) in moves {
        let Ok(tensor) = Tensor::from_slice(&[values.len()], &values) else { continue };
        let value = edit.constant(&format!("{output}_{name}"), &tensor);
        edit.set_input(&output, 1, &value)?;
        plain.push((output, name));
    }
    if let Some(graph) = &mut model.graph {
        for node in &mut graph.node {
            let Some(output) = node.output.first() else { continue };
            let gone: Vec<&str> = plain.iter().filter(|(o, _)| o == output).map(|(_, name)| *name).collect();
            node.attribute.retain(|a| !gone.contains(&a.name()));
            if last.contains(output) {
                node.attribute.retain(|a| a.name() != "axis");
                node.attribute.push(AttributeProto::of_int("axis", -1));
            }
        }
    }
    for set in model.opset_import.iter_mut().filter(|set| matches!(set.domain(), "" | "ai.onnx")) {
        set.version = Some(TO);
    }
    model.ir_version = Some(model.ir_version().max(IR));
    Ok(true)
}

/// The nodes of a node's subgraphs, those within these included.
fn inner(node: &NodeProto) -> Box<dyn Iterator<Item = &NodeProto> + '_> {
    let graphs = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
    Box::new(graphs.flat_map(|graph: &GraphProto| &graph.node).flat_map(|n| std::iter::once(n).chain(inner(n))))
}

fn changes(node: &NodeProto) -> bool {
    let changed = ["Squeeze", "Unsqueeze", "Split", "ReduceSum", "Dropout", "Softmax", "LogSoftmax", "Hardmax"];
    changed.contains(&node.op_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::OperatorSetIdProto;

    fn node(op_type: &str, output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            op_type: Some(op_type.into()),
            input: vec!["x".into()],
            output: vec![output.into()],
            attribute: attributes,
            ..Default::default()
        }
    }

    fn model(opset: i64, nodes: Vec<NodeProto>) -> ModelProto {
        let graph = GraphProto { node: nodes, ..Default::default() };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(opset) }];
        ModelProto { ir_version: Some(6), opset_import, graph: Some(Box::new(graph)), ..Default::default() }
    }

    #[test]
    fn attributes_become_inputs() {
        let axes = AttributeProto::of_ints("axes", &[0, 2]);
        let softmax = node("Softmax", "s", vec![AttributeProto::of_int("axis", 2)]);
        let ratio = AttributeProto::of_float("ratio", 0.3);
        let mut m = model(12, vec![node("Unsqueeze", "u", vec![axes]), softmax, node("Dropout", "d", vec![ratio])]);
        assert!(upgrade(&mut m, |_| Some(3)).unwrap());
        assert!(!upgrade(&mut m, |_| None).unwrap(), "it is up to date");
        assert_eq!((m.ir_version(), m.opset_import[0].version()), (7, 13));
        let graph = m.graph.unwrap();
        assert_eq!(graph.node[0].input, ["x", "u_axes"]);
        assert_eq!(graph.initializer[0].raw_data.as_deref(), Some([0i64, 2].map(i64::to_le_bytes).concat().as_slice()));
        assert!(graph.node[0].attribute.is_empty() && graph.node[2].attribute.is_empty());
        assert_eq!(graph.node[1].attribute[0].i(), -1);
    }

    #[test]
    fn what_would_change_its_meaning_is_refused() {
        let flattens = || model(12, vec![node("Softmax", "s", vec![])]);
        let mut m = flattens();
        let error = upgrade(&mut m, |_| Some(4)).unwrap_err().to_string();
        assert!(
            error.contains("over axis 1, which may not be the last") && error.contains("version_converter"),
            "{error}"
        );
        assert_eq!(m, flattens());
        assert!(upgrade(&mut model(9, vec![]), |_| None).is_err());
        let branch = GraphProto { node: vec![node("Squeeze", "q", vec![])], ..Default::default() };
        let inside = node("If", "i", vec![AttributeProto::of_graph("then_branch", branch)]);
        assert!(upgrade(&mut model(11, vec![inside]), |_| None).is_err());
    }
}
