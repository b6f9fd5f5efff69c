//! Edits of a decoded model that keep all they do not touch: documentation, metadata, names, the order of nodes, weights in
//! their own file. Quantization writes its Q and DQ nodes into the user's model through this.

use super::data;
use super::error::{OnnxError, quoted};
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::subgraph;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// A model being edited.
pub struct Edit<'m> {
    model: &'m mut ModelProto,
    names: BTreeSet<String>,
}

/// Where a value is read: input `slot` of the node whose first output is `node`, or inside that node's subgraphs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub node: String,
    /// `None`: a subgraph takes the value from outside.
    pub slot: Option<usize>,
}

impl<'m> Edit<'m> {
    /// # Errors
    /// If the model has no graph.
    pub fn new(model: &'m mut ModelProto) -> Result<Edit<'m>, OnnxError> {
        let Some(graph) = &model.graph else {
            return Err(OnnxError::Graph { what: "the model has none".into() });
        };
        let mut names = BTreeSet::new();
        all_names(graph, &mut names);
        Ok(Edit { model, names })
    }

    fn graph(&mut self) -> &mut GraphProto {
        // `new` has seen the graph, and nothing here takes it away.
        self.model.graph.get_or_insert_default()
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> &[NodeProto] {
        self.model.graph.as_deref().map_or(&[], |graph| &graph.node)
    }

    /// A name that nothing in the model has, made of `base`.
    pub fn fresh(&mut self, base: &str) -> String {
        let numbered = (1u64..).map(|i| format!("{base}_{i}"));
        let name = std::iter::once(base.to_string()).chain(numbered).find(|name| !self.names.contains(name));
        let name = name.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    /// Adds a constant; gives its name.
    pub fn constant(&mut self, base: &str, tensor: &Tensor) -> String {
        let name = self.fresh(base);
        let proto = data::proto(&name, tensor);
        self.graph().initializer.push(proto);
        name
    }

    /// Adds a node of one output, right after the last of the nodes it reads from; gives the output's name.
    pub fn node(
        &mut self,
        base: &str,
        (domain, op_type): (&str, &str),
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.fresh(base);
        let node = NodeProto {
            name: Some(name.clone()),
            op_type: Some(op_type.into()),
            domain: (!domain.is_empty()).then(|| domain.into()),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![name.clone()],
            attribute: attributes,
            ..Default::default()
        };
        let reads = |maker: &NodeProto| maker.output.iter().any(|output| node.input.contains(output));
        let at = self.nodes().iter().rposition(reads).map_or(0, |maker| maker + 1);
        self.graph().node.insert(at, node);
        name
    }

    /// Where a value is read. That it is an output of the graph does not count.
    pub fn uses(&self, value: &str) -> Vec<Use> {
        let mut uses = Vec::new();
        for node in self.nodes() {
            let name = node.output.first().map_or("", String::as_str);
            let slots = node.input.iter().enumerate().filter(|(_, input)| *input == value).map(|(slot, _)| Some(slot));
            let inside = subgraph::captures(node).contains(value).then_some(None);
            uses.extend(slots.chain(inside).map(|slot| Use { node: name.into(), slot }));
        }
        uses
    }

    /// Makes the given uses of `value` read `other` instead.
    ///
    /// # Errors
    /// If a use is none of that value.
    pub fn redirect(&mut self, value: &str, other: &str, uses: &[Use]) -> Result<(), OnnxError> {
        for wanted in uses {
            let found = self.graph().node.iter_mut().find(|n| n.output.first() == Some(&wanted.node));
            let done = match (found, wanted.slot) {
                (Some(node), Some(slot)) => match node.input.get_mut(slot).filter(|input| *input == value) {
                    Some(input) => {
                        *input = other.into();
                        true
                    }
                    None => false,
                },
                (Some(node), None) => {
                    subgraph::rename_captures(node, &BTreeMap::from([(value, other.to_string())]));
                    true
                }
                (None, _) => false,
            };
            if !done {
                let what = format!("{} is not read by {} at {:?}", quoted(value), quoted(&wanted.node), wanted.slot);
                return Err(OnnxError::Graph { what });
            }
        }
        Ok(())
    }

    /// True if a value of the main graph has that name.
    pub fn has(&self, name: &str) -> bool {
        let Some(graph) = &self.model.graph else { return false };
        graph.input.iter().any(|input| input.name() == name)
            || graph.initializer.iter().any(|tensor| tensor.name() == name)
            || graph.node.iter().any(|node| node.output.iter().any(|output| output == name))
    }

    /// Removes an initializer or a node that computes only `value`, if nothing uses it, and then what only it used. The graph's
    /// inputs and outputs stay.
    pub fn remove_unused(&mut self, value: &str) {
        let graph = self.graph();
        let interface = graph.input.iter().chain(&graph.output).any(|info| info.name() == value);
        if interface || !self.uses(value).is_empty() {
            return;
        }
        let graph = self.graph();
        graph.initializer.retain(|tensor| tensor.name() != value);
        let Some(at) = graph.node.iter().position(|node| matches!(&node.output[..], [only] if only == value)) else {
            return;
        };
        let node = graph.node.remove(at);
        node.input.iter().filter(|input| !input.is_empty()).for_each(|input| self.remove_unused(input));
    }

    /// What the node whose first output is `node` reads at `slot`, if anything.
    pub fn input(&self, node: &str, slot: usize) -> Option<&str> {
        let found = self.nodes().iter().find(|n| n.output.first().is_some_and(|output| output == node))?;
        found.input.get(slot).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Makes the node whose first output is `node` read `value` at `slot`, the slot being one that it has left out or not.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn set_input(&mut self, node: &str, slot: usize, value: &str) -> Result<(), OnnxError> {
        let found = self.graph().node.iter_mut().find(|n| n.output.first().is_some_and(|output| output == node));
        let found = found.ok_or_else(|| OnnxError::Graph { what: format!("no node makes {}", quoted(node)) })?;
        while found.input.len() <= slot {
            found.input.push(String::new());
        }
        found.input[slot] = value.into();
        Ok(())
    }

    /// The version of a domain's operator set.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let same = |found: &str| found == domain || domain.is_empty() && found == "ai.onnx";
        self.model.opset_import.iter().find(|o| same(o.domain())).map(|o| o.version())
    }

    /// Imports an operator set that the model does not import yet. One that it imports keeps its version: the model's nodes
    /// were written for it.
    pub fn import_opset(&mut self, domain: &str, version: i64) {
        if self.opset(domain).is_none() {
            self.model.opset_import.push(OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) });
        }
    }
}

/// Every name of a value or node in the graph and its subgraphs.
fn all_names(graph: &GraphProto, names: &mut BTreeSet<String>) {
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(|info| info.name());
    let constants = graph.initializer.iter().map(|t| t.name());
    names.extend(infos.chain(constants).map(str::to_string));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output).cloned());
        names.insert(node.name().into());
        for attribute in &node.attribute {
            attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(|inner| all_names(inner, names));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::onnx::proto::{TensorTypeProto, TypeProto, TypeValue, ValueInfoProto};
    use crate::onnx::{Import, ModelFile};
    use crate::patch::Patch;

    fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(op_type.into()),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.into()],
            doc_string: Some("kept".into()),
            ..Default::default()
        }
    }

    fn model() -> ModelProto {
        let info = |name: &str| ValueInfoProto { name: Some(name.into()), ..Default::default() };
        let float = TensorTypeProto { elem_type: Some(DType::F32.onnx()), shape: None };
        let float = TypeProto { value: Some(TypeValue::TensorType(float)), denotation: None };
        let inner = GraphProto { node: vec![node("Abs", &["r"], "a")], output: vec![info("a")], ..Default::default() };
        let mut branch = node("If", &["c"], "i");
        branch.attribute = vec![
            AttributeProto::of_graph("then_branch", inner.clone()),
            AttributeProto::of_graph("else_branch", inner),
        ];
        let graph = GraphProto {
            node: vec![node("Relu", &["x"], "r"), branch, node("Add", &["r", "r"], "y")],
            input: vec![ValueInfoProto { r#type: Some(float), ..info("x") }, info("c")],
            output: vec![info("y"), info("r"), info("i")],
            ..Default::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
        ModelProto { opset_import, graph: Some(Box::new(graph)), ..Default::default() }
    }

    #[test]
    fn a_value_is_quantized_on_the_way_to_its_users() {
        let mut edited = model();
        let mut edit = Edit::new(&mut edited).expect("a graph");
        let uses = edit.uses("r");
        assert_eq!(uses.iter().map(|u| u.slot).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        let scale = edit.constant("r_scale", &Tensor::from_slice(&[], &[0.5f32]).expect("a tensor"));
        let q = edit.node("r_codes", ("", "QuantizeLinear"), &["r", &scale], vec![]);
        let dq = edit.node("r", ("", "DequantizeLinear"), &[&q, &scale], vec![]);
        assert_eq!(dq, "r_1");
        edit.redirect("r", &dq, &uses).expect("uses of r");
        assert!(edit.redirect("r", &dq, &uses).is_err(), "they are none any more");
        assert_eq!(edit.uses("r").len(), 1);

        let graph = edited.graph.as_ref().expect("a graph");
        let order: Vec<_> = graph.node.iter().map(|n| n.op_type()).collect();
        assert_eq!(order, ["Relu", "QuantizeLinear", "DequantizeLinear", "If", "Add"]);
        assert!(graph.node.iter().filter(|n| n.doc_string() == "kept").count() == 3);
        let inner = graph.node[3].attribute[1].g.as_ref().expect("a branch");
        assert_eq!(inner.node[0].input, ["r_1"]);

        let imported = Import::new().model(&ModelFile::from_model("edited", edited)).expect("import");
        let mut graph = imported.graph;
        Patch::new(&mut graph, "sweep", &[]).sweep();
        let codes = graph.ids().find(|id| graph.node(*id).op().is_some_and(|op| op.name() == "quantize"));
        assert_eq!(graph.ty(codes.expect("a quantization").value()).dtype, Some(DType::U8));
    }

    #[test]
    fn names_and_operator_sets_are_added_once() {
        let mut edited = model();
        let mut edit = Edit::new(&mut edited).expect("a graph");
        assert_eq!([edit.fresh("a"), edit.fresh("a"), edit.fresh("new")], ["a_1", "a_2", "new"]);
        edit.import_opset("", 21);
        edit.import_opset("com.microsoft", 1);
        edit.import_opset("com.microsoft", 2);
        assert_eq!((edit.opset("ai.onnx").or(edit.opset("")), edit.opset("com.microsoft")), (Some(13), Some(1)));
    }
}
