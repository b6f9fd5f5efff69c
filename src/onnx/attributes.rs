//! Typed access to a node's attributes. A wrong type or a missing attribute is an error that names the node and the attribute.

use super::error::{OnnxError, quoted};
use super::proto::{AttributeProto, AttributeType, GraphProto, NodeProto, TensorProto};
use std::collections::BTreeMap;

/// A node for messages: its name and operator, or what it computes where it has no name.
pub(crate) fn label(node: &NodeProto) -> String {
    let op = op_name(node);
    match (node.name(), node.output.iter().find(|o| !o.is_empty())) {
        ("", Some(output)) => format!("{op} computing {}", quoted(output)),
        ("", None) => format!("{op} without a name"),
        (name, _) => format!("{} ({op})", quoted(name)),
    }
}

/// The operator with its domain, where that is not ONNX's own: `Conv`, `com.microsoft::BiasGelu`.
pub(crate) fn op_name(node: &NodeProto) -> String {
    let op = quoted(node.op_type());
    let op = op.trim_matches('"');
    match domain(node) {
        "" => op.into(),
        domain => format!("{}::{op}", quoted(domain).trim_matches('"')),
    }
}

/// The node's domain; ONNX's own has two spellings.
pub(crate) fn domain(node: &NodeProto) -> &str {
    match node.domain() {
        "ai.onnx" => "",
        domain => domain,
    }
}

/// The attributes of one node by name.
pub(crate) struct Attributes<'a> {
    node: &'a NodeProto,
    by_name: BTreeMap<&'a str, &'a AttributeProto>,
}

impl<'a> Attributes<'a> {
    /// # Errors
    /// If an attribute is given twice.
    pub(crate) fn of(node: &'a NodeProto) -> Result<Self, OnnxError> {
        let mut attributes = Self { node, by_name: BTreeMap::new() };
        for attribute in &node.attribute {
            if attributes.by_name.insert(attribute.name(), attribute).is_some() {
                return Err(attributes.error(attribute.name(), "it given twice", "it once at most"));
            }
        }
        Ok(attributes)
    }

    /// An error about the attribute `name`.
    pub(crate) fn error(&self, name: &str, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
        OnnxError::Attribute {
            node: label(self.node),
            attribute: quoted(name).trim_matches('"').into(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn get(&self, name: &str, wanted: AttributeType) -> Result<Option<&'a AttributeProto>, OnnxError> {
        let Some(&attribute) = self.by_name.get(name) else {
            return Ok(None);
        };
        if !attribute.ref_attr_name().is_empty() {
            let found = format!("a reference to the function attribute {}", quoted(attribute.ref_attr_name()));
            return Err(self.error(name, found, "a value: references are for nodes inside functions"));
        }
        let found = kind(attribute);
        // An empty list has no telling field, and early exporters left the type out.
        if found == wanted || found == AttributeType::Undefined {
            return Ok(Some(attribute));
        }
        Err(self.error(name, format!("{found:?}"), format!("{wanted:?}")))
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, OnnxError> {
        Ok(self.get(name, AttributeType::Int)?.map(|a| a.i()))
    }

    pub(crate) fn int_or(&self, name: &str, default: i64) -> Result<i64, OnnxError> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer used as a switch.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, OnnxError> {
        Ok(self.int(name)?.map_or(default, |i| i != 0))
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, OnnxError> {
        Ok(self.get(name, AttributeType::Float)?.map(|a| a.f()))
    }

    pub(crate) fn float_or(&self, name: &str, default: f32) -> Result<f32, OnnxError> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub(crate) fn string(&self, name: &str) -> Result<Option<&'a str>, OnnxError> {
        let Some(attribute) = self.get(name, AttributeType::String)? else {
            return Ok(None);
        };
        match std::str::from_utf8(attribute.s()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(name, "bytes that are not text", "UTF-8 text")),
        }
    }

    pub(crate) fn string_or(&self, name: &str, default: &'a str) -> Result<&'a str, OnnxError> {
        Ok(self.string(name)?.unwrap_or(default))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, OnnxError> {
        Ok(self.get(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    /// A list of integers of a given length, or the default for each.
    pub(crate) fn ints_of(&self, name: &str, length: usize, default: i64) -> Result<Vec<i64>, OnnxError> {
        match self.ints(name)? {
            None | Some([]) => Ok(vec![default; length]),
            Some(values) if values.len() == length => Ok(values.into()),
            Some(values) => Err(self.error(name, format!("{} values", values.len()), format!("{length}"))),
        }
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, OnnxError> {
        Ok(self.get(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, OnnxError> {
        Ok(self.get(name, AttributeType::Tensor)?.and_then(|a| a.t.as_deref()))
    }

    pub(crate) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>, OnnxError> {
        Ok(self.get(name, AttributeType::Graph)?.and_then(|a| a.g.as_deref()))
    }

    /// The attribute's value or an error that says it is missing.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, OnnxError> {
        value.ok_or_else(|| self.error(name, "none", "a value: it is required"))
    }
}

impl AttributeProto {
    fn of(name: &str, r#type: AttributeType) -> AttributeProto {
        AttributeProto { name: Some(name.into()), r#type: Some(r#type as i32), ..Default::default() }
    }

    /// An integer attribute.
    pub fn of_int(name: &str, i: i64) -> AttributeProto {
        AttributeProto { i: Some(i), ..Self::of(name, AttributeType::Int) }
    }

    /// A float attribute.
    pub fn of_float(name: &str, f: f32) -> AttributeProto {
        AttributeProto { f: Some(f), ..Self::of(name, AttributeType::Float) }
    }

    /// A text attribute.
    pub fn of_string(name: &str, s: &str) -> AttributeProto {
        AttributeProto { s: Some(s.as_bytes().to_vec().into()), ..Self::of(name, AttributeType::String) }
    }

    /// A list of integers.
    pub fn of_ints(name: &str, ints: &[i64]) -> AttributeProto {
        AttributeProto { ints: ints.into(), ..Self::of(name, AttributeType::Ints) }
    }

    /// A list of floats.
    pub fn of_floats(name: &str, floats: &[f32]) -> AttributeProto {
        AttributeProto { floats: floats.into(), ..Self::of(name, AttributeType::Floats) }
    }

    /// A tensor.
    pub fn of_tensor(name: &str, tensor: TensorProto) -> AttributeProto {
        AttributeProto { t: Some(Box::new(tensor)), ..Self::of(name, AttributeType::Tensor) }
    }

    /// A subgraph.
    pub fn of_graph(name: &str, graph: GraphProto) -> AttributeProto {
        AttributeProto { g: Some(Box::new(graph)), ..Self::of(name, AttributeType::Graph) }
    }

    /// Inside a function, an attribute that stands for one of the function's own.
    pub fn of_reference(name: &str, to: &str, r#type: AttributeType) -> AttributeProto {
        AttributeProto { ref_attr_name: Some(to.into()), ..Self::of(name, r#type) }
    }
}

/// What an attribute holds: what it says, or, where it says nothing, what its fields show.
fn kind(attribute: &AttributeProto) -> AttributeType {
    match attribute.r#type() {
        AttributeType::Undefined if attribute.f.is_some() => AttributeType::Float,
        AttributeType::Undefined if attribute.i.is_some() => AttributeType::Int,
        AttributeType::Undefined if attribute.s.is_some() => AttributeType::String,
        AttributeType::Undefined if attribute.t.is_some() => AttributeType::Tensor,
        AttributeType::Undefined if attribute.g.is_some() => AttributeType::Graph,
        AttributeType::Undefined if !attribute.floats.is_empty() => AttributeType::Floats,
        AttributeType::Undefined if !attribute.ints.is_empty() => AttributeType::Ints,
        AttributeType::Undefined if !attribute.strings.is_empty() => AttributeType::Strings,
        stated => stated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(attributes: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            name: Some("conv\n1".into()),
            op_type: Some("Conv".into()),
            attribute: attributes,
            ..Default::default()
        }
    }

    #[test]
    fn values_and_defaults() {
        let node = node(vec![AttributeProto::of_float("alpha", 0.5)]);
        let attributes = Attributes::of(&node).expect("attributes");
        assert_eq!(attributes.float_or("alpha", 1.0).expect("float"), 0.5);
        assert_eq!(attributes.float_or("beta", 1.0).expect("float"), 1.0);
        assert_eq!(attributes.ints_of("pads", 2, 0).expect("ints"), [0, 0]);
    }

    #[test]
    fn errors_name_node_attribute_found_and_expected() {
        let node = node(vec![AttributeProto::of_float("group", 0.5)]);
        let error = Attributes::of(&node).expect("attributes").int("group").expect_err("a float");
        let expected = "node \"conv\\n1\" (Conv): attribute `group`: found Float, expected Int";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_attribute_given_twice_is_refused() {
        let node = node(vec![AttributeProto::of_float("alpha", 0.5), AttributeProto::of_float("alpha", 0.25)]);
        assert!(Attributes::of(&node).is_err());
    }

    /// Files of the first IR versions leave the attribute's type out.
    #[test]
    fn the_type_may_be_left_out() {
        let node = node(vec![AttributeProto { r#type: None, ..AttributeProto::of_float("alpha", 0.5) }]);
        let attributes = Attributes::of(&node).expect("attributes");
        assert_eq!(attributes.float("alpha").expect("float"), Some(0.5));
        assert!(attributes.int("alpha").is_err());
    }
}
