//! Functions local to a model are inlined: a call becomes the function's nodes, with its values renamed so that they are
//! unique, and references to the function's attributes replaced by the call's. What results is one flat list of nodes, each
//! with the operator-set versions it was written for.

use super::attributes::{domain, label};
use super::error::{OnnxError, quoted};
use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Functions calling functions: deeper than any exporter nests modules.
const MAX_DEPTH: usize = 64;
/// Nodes after inlining; a few functions that call each other twice could otherwise make any number.
const MAX_NODES: usize = 1_000_000;

/// Bytes of names and lists that inlining may copy; weights are shared.
const MAX_BYTES: usize = 1 << 28;

/// Operator-set versions by domain; ONNX's own domain is "".
pub(crate) type Opsets = BTreeMap<String, i64>;

/// A node to import.
#[derive(Debug, Clone)]
pub(crate) struct FlatNode<'a> {
    pub(crate) node: Cow<'a, NodeProto>,
    pub(crate) opsets: Rc<Opsets>,
}

impl FlatNode<'_> {
    /// The version of the node's operator set, or `None` if the model does not import its domain.
    pub(crate) fn version(&self) -> Option<i64> {
        self.opsets.get(domain(&self.node)).copied()
    }
}

/// The versions a model or function imports.
pub(crate) fn opsets(imports: &[OperatorSetIdProto]) -> Result<Opsets, OnnxError> {
    let mut opsets = Opsets::new();
    for import in imports {
        let name = if import.domain() == "ai.onnx" { "" } else { import.domain() };
        match opsets.insert(name.into(), import.version()) {
            Some(other) if other != import.version() => {
                let what = format!(
                    "operator set {} is imported in two versions, {other} and {}",
                    quoted(name),
                    import.version()
                );
                return Err(OnnxError::Graph { what });
            }
            _ => {}
        }
    }
    Ok(opsets)
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn key(node: &NodeProto) -> Key<'_> {
    (domain(node), node.op_type(), node.overload())
}

/// The nodes of the model's graph, functions inlined, in the order of the file.
///
/// # Errors
/// A function that calls itself, directly or through others; a call that does not fit its function; too many nodes.
pub(crate) fn flatten(model: &ModelProto) -> Result<Vec<FlatNode<'_>>, OnnxError> {
    let mut functions: BTreeMap<Key, (&FunctionProto, Rc<Opsets>)> = BTreeMap::new();
    for function in &model.functions {
        let name = (function.domain(), function.name(), function.overload());
        let name = (if name.0 == "ai.onnx" { "" } else { name.0 }, name.1, name.2);
        if functions.insert(name, (function, Rc::new(opsets(&function.opset_import)?))).is_some() {
            let what = format!("the function {} is defined twice", quoted(function.name()));
            return Err(OnnxError::Graph { what });
        }
    }
    let opsets = Rc::new(opsets(&model.opset_import)?);
    let mut inliner = Inliner { functions, nodes: Vec::new(), calls: 0, bytes: 0 };
    for node in model.graph.iter().flat_map(|graph| &graph.node) {
        inliner.add(FlatNode { node: Cow::Borrowed(node), opsets: opsets.clone() }, 0)?;
    }
    Ok(inliner.nodes)
}

struct Inliner<'a> {
    functions: BTreeMap<Key<'a>, (&'a FunctionProto, Rc<Opsets>)>,
    nodes: Vec<FlatNode<'a>>,
    calls: usize,
    bytes: usize,
}

impl<'a> Inliner<'a> {
    fn add(&mut self, node: FlatNode<'a>, depth: usize) -> Result<(), OnnxError> {
        let Some((function, opsets)) = self.functions.get(&key(&node.node)).cloned() else {
            if self.nodes.len() == MAX_NODES {
                let what = format!("inlining its functions gives more than {MAX_NODES} nodes");
                return Err(OnnxError::Graph { what });
            }
            self.nodes.push(node);
            return Ok(());
        };
        let fail = |what: String| OnnxError::Node { node: label(&node.node), what };
        if depth == MAX_DEPTH {
            return Err(fail(format!(
                "its function calls functions more than {MAX_DEPTH} deep (does one call itself?)"
            )));
        }
        self.calls += 1;
        if self.calls > MAX_NODES {
            return Err(fail(format!("inlining functions takes more than {MAX_NODES} calls")));
        }
        let call = Call::new(&node.node, function, self.calls).map_err(&fail)?;
        for inner in &function.node {
            let renamed = call.instantiate(inner).map_err(|what| OnnxError::Node { node: label(inner), what })?;
            self.bytes += weight(&renamed);
            if self.bytes > MAX_BYTES {
                return Err(fail(format!("inlining functions copies more than {MAX_BYTES} bytes of names")));
            }
            self.add(FlatNode { node: Cow::Owned(renamed), opsets: opsets.clone() }, depth + 1)?;
        }
        Ok(())
    }
}

/// Bytes of a node that were copied to make it: names, lists and subgraphs, not tensors.
fn weight(node: &NodeProto) -> usize {
    let names = node.input.iter().chain(&node.output).map(|name| name.len() + 24).sum::<usize>() + node.name().len();
    let lists = node.attribute.iter().map(|a| 4 * a.floats.len() + 8 * a.ints.len() + 64);
    let graphs = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
    names + lists.sum::<usize>() + graphs.map(|g| g.node.iter().map(weight).sum::<usize>()).sum::<usize>()
}

/// One call of a function: what its names and attributes stand for.
struct Call<'c> {
    names: BTreeMap<&'c str, &'c str>,
    attributes: BTreeMap<&'c str, &'c AttributeProto>,
    /// Goes before the function's own value names.
    prefix: String,
}

impl<'c> Call<'c> {
    fn new(node: &'c NodeProto, function: &'c FunctionProto, number: usize) -> Result<Self, String> {
        let fits = |kind: &str, given: usize, defined: usize| match given > defined {
            true => Err(format!("{given} {kind}s are given to its function, which has {defined}")),
            false => Ok(()),
        };
        fits("input", node.input.len(), function.input.len())?;
        fits("output", node.output.len(), function.output.len())?;
        // An input or output that the call leaves out is "" inside as well, which means the same there.
        let pairs = |inside: &'c [String], outside: &'c [String]| {
            let outside = outside.iter().map(String::as_str).chain(std::iter::repeat(""));
            inside.iter().map(String::as_str).zip(outside).collect::<Vec<_>>()
        };
        let mut names: BTreeMap<&str, &str> = pairs(&function.input, &node.input).into_iter().collect();
        for (inside, outside) in pairs(&function.output, &node.output) {
            // An output left out is still computed; it only needs a name of its own.
            if !outside.is_empty() {
                names.insert(inside, outside);
            }
        }
        let mut attributes: BTreeMap<&str, &AttributeProto> =
            function.attribute_proto.iter().map(|a| (a.name(), a)).collect();
        attributes.extend(node.attribute.iter().map(|a| (a.name(), a)));
        let title = if node.name().is_empty() { node.op_type() } else { node.name() };
        let title: String = title.chars().take(64).collect();
        Ok(Self { names, attributes, prefix: format!("{title}#{number}/") })
    }

    fn instantiate(&self, inner: &NodeProto) -> Result<NodeProto, String> {
        let mut node = inner.clone();
        node.name = Some(format!("{}{}", self.prefix, inner.name()));
        self.rename_all(&mut node.input, &[]);
        self.rename_all(&mut node.output, &[]);
        self.attributes(&mut node, &mut Vec::new())?;
        Ok(node)
    }

    /// Replaces references to the function's attributes, and renames what subgraphs take from outside. `inner` holds the names
    /// that the subgraphs around define themselves.
    fn attributes(&self, node: &mut NodeProto, inner: &mut Vec<String>) -> Result<(), String> {
        let mut resolved = Vec::with_capacity(node.attribute.len());
        for mut attribute in std::mem::take(&mut node.attribute) {
            if let Some(wanted) = attribute.ref_attr_name.take().filter(|name| !name.is_empty()) {
                // An attribute that the call leaves out and the function has no default for is absent.
                let Some(&given) = self.attributes.get(wanted.as_str()) else { continue };
                attribute = AttributeProto { name: attribute.name, ..given.clone() };
            } else {
                let graphs = attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs);
                graphs.into_iter().try_for_each(|graph| self.subgraph(graph, inner))?;
            }
            resolved.push(attribute);
        }
        node.attribute = resolved;
        Ok(())
    }

    fn subgraph(&self, graph: &mut GraphProto, inner: &mut Vec<String>) -> Result<(), String> {
        let outer = inner.len();
        inner.extend(graph.input.iter().map(|v| v.name().to_string()));
        inner.extend(graph.initializer.iter().map(|t| t.name().to_string()));
        inner.extend(graph.node.iter().flat_map(|n| n.output.iter().cloned()));
        inner[outer..].sort();
        for node in &mut graph.node {
            self.rename_all(&mut node.input, inner);
            self.attributes(node, inner)?;
        }
        // A subgraph's output may be a value from outside.
        for output in &mut graph.output {
            if let Some(name) = &mut output.name {
                self.rename_all(std::slice::from_mut(name), inner);
            }
        }
        inner.truncate(outer);
        Ok(())
    }

    fn rename_all(&self, names: &mut [String], inner: &[String]) {
        for name in names.iter_mut().filter(|name| !name.is_empty() && !inner.contains(name)) {
            *name = match self.names.get(name.as_str()) {
                Some(outside) => (*outside).into(),
                None => format!("{}{name}", self.prefix),
            };
        }
    }
}
