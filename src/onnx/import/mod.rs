//! From a decoded model to a [`Graph`].
//!
//! Functions are inlined, nodes put into topological order, and each node converted by its operator's converter
//! (`crate::onnx::convert`) into pointwise ops, views, anchors and structural ops with their types. What a converter does not
//! know becomes an opaque node, which bounds fusion and stops nothing else. Sizes that a model computes with nodes of its own
//! are followed symbolically ([`crate::onnx::known`]), so that reshapes and resizes get their shapes.

mod broadcast;
mod context;
mod order;
mod scope;
mod stop;

pub(crate) use broadcast::broadcast;
pub(crate) use context::Context;
pub(crate) use scope::Scope;
pub(crate) use stop::{Stop, opaque};

use super::attributes::{domain, label};
use super::error::{OnnxError, quoted};
use super::functions::{self, FlatNode};
use super::proto::{Dimension, DimensionValue, GraphProto, TypeProto, TypeValue, ValueInfoProto};
use super::read::ModelFile;
use super::{convert, subgraph};
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Node, Type, Value};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// The first version of ONNX's operator set that is understood as a whole: before it, broadcasting was an attribute of each
/// operator. Of older models, the operators that have not changed since are imported and the rest stays opaque.
pub(crate) const OLDEST: i64 = 7;
/// The last version that is known.
const NEWEST: i64 = 27;
/// Nodes of one kind of warning that are listed before the rest is only counted.
const MOST_WARNINGS: usize = 100;

/// How to import a model.
///
/// Symbolic sizes of the model's inputs are taken to be at least 1 where a model compares sizes with one another.
///
/// ```no_run
/// use pointweld::onnx::Import;
/// let imported = Import::new().bind("batch", 8).file("model.onnx")?;
/// println!("{} nodes", imported.graph.len());
/// # Ok::<(), pointweld::onnx::OnnxError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Import {
    bindings: Bindings,
    constants: BTreeMap<String, Tensor>,
}

/// An imported model.
#[derive(Debug)]
pub struct Imported {
    pub graph: Graph,
    /// The version of ONNX's operator set that the model was written for.
    pub opset: i64,
    /// What could not be converted, and what was assumed, in the order of the model's nodes.
    pub warnings: Vec<Warning>,
}

/// A node that was imported with less than its full meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The node's name and operator.
    pub node: String,
    pub what: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}: {}", self.node, self.what)
    }
}

impl Import {
    pub fn new() -> Import {
        Import::default()
    }

    /// Gives a symbolic dimension a size, as `--dim NAME=SIZE` does. An input's dimension without a name is called
    /// `input.axis`.
    pub fn bind(mut self, name: &str, size: u64) -> Import {
        self.bindings.insert(name.into(), size);
        self
    }

    /// Gives several symbolic dimensions their sizes.
    pub fn bind_all(mut self, bindings: &Bindings) -> Import {
        self.bindings.extend(bindings.iter().map(|(name, size)| (name.clone(), *size)));
        self
    }

    /// Gives an input of the model a value, which becomes a constant: a shape or axes that the model takes as an input, say,
    /// without which the shapes that depend on it stay unknown.
    pub fn constant(mut self, input: &str, value: Tensor) -> Import {
        self.constants.insert(input.into(), value);
        self
    }

    /// Reads and imports a model file.
    ///
    /// # Errors
    /// What [`ModelFile::read`] and [`Import::model`] give.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Imported, OnnxError> {
        self.model(&ModelFile::read(path)?)
    }

    /// Imports a model that has been read. The graph's constants share the model's memory.
    ///
    /// # Errors
    /// [`OnnxError::Node`], [`OnnxError::Attribute`] or [`OnnxError::Tensor`] for what breaks ONNX's rules, naming the node, an output of
    /// another type than the declared one included (another shape is a warning);
    /// [`OnnxError::Graph`] for cycles, names defined twice, values that nothing computes, and bindings of unknown names.
    pub fn model(&self, file: &ModelFile) -> Result<Imported, OnnxError> {
        let model = &file.model;
        let proto = model.graph.as_deref().ok_or_else(|| OnnxError::Graph { what: "the model has none".into() })?;
        let opset = version(file)?;
        let nodes = functions::flatten(model)?;
        let title = if proto.name().is_empty() { file.path().display().to_string() } else { proto.name().into() };
        let mut scope = Scope::new(Graph::new(&title), file, &self.bindings);
        interface(&mut scope, proto, &self.constants)?;
        for node in order::topological(nodes, &scope)? {
            convert_node(&mut scope, &node)?;
        }
        for output in &proto.output {
            let name = output.name();
            let Some(value) = scope.value(name)? else {
                return Err(OnnxError::Graph { what: format!("the output {} is computed by no node", quoted(name)) });
            };
            agrees(&mut scope, output, value)?;
            scope.graph.mark_output(name, value);
        }
        scope.check_bindings()?;
        if let Some(what) = doubt(opset) {
            scope.warnings.insert(0, Warning { node: "the model".into(), what });
        }
        let dropped = scope.warnings.len().saturating_sub(MOST_WARNINGS);
        scope.warnings.truncate(MOST_WARNINGS);
        if dropped > 0 {
            let what = format!("{dropped} more warnings of this kind are not listed");
            scope.warnings.push(Warning { node: "the model".into(), what });
        }
        Ok(Imported { graph: scope.graph, opset, warnings: scope.warnings })
    }
}

/// The version of ONNX's own operator set.
fn version(file: &ModelFile) -> Result<i64, OnnxError> {
    let model = &file.model;
    let opsets = functions::opsets(&model.opset_import)?;
    match opsets.get("").copied() {
        Some(version) => Ok(version),
        None if model.graph.iter().flat_map(|g| &g.node).all(|n| !domain(n).is_empty()) => Ok(NEWEST),
        None => Err(OnnxError::Graph { what: "the model imports no version of ONNX's operator set".into() }),
    }
}

fn doubt(opset: i64) -> Option<String> {
    if opset > NEWEST {
        return Some(format!(
            "operator set {opset} is newer than {NEWEST}, the newest known: ops may mean something else"
        ));
    }
    (opset < OLDEST).then(|| {
        format!("operator set {opset} is older than {OLDEST}: most stays opaque; onnx.version_converter brings it up to date")
    })
}

/// Declares the model's constants and inputs.
fn interface<'m>(
    scope: &mut Scope<'m>,
    proto: &'m GraphProto,
    constants: &BTreeMap<String, Tensor>,
) -> Result<(), OnnxError> {
    for tensor in &proto.initializer {
        scope.declare_initializer(tensor)?;
    }
    for tensor in &proto.sparse_initializer {
        let name = tensor.values.as_ref().map_or("", |v| v.name());
        let ty = Type::default();
        let kind = Kind::Opaque { domain: String::new(), op_type: "SparseTensor".into() };
        let value = scope.graph.add(Node::new(kind, name, ty), &[]).value();
        scope.declare(name, value)?;
    }
    for info in &proto.value_info {
        scope.types.entry(info.name()).or_insert(info);
    }
    for info in &proto.output {
        scope.types.entry(info.name()).or_insert(info);
    }
    for input in &proto.input {
        // An input with an initializer has a default value: the model is compiled for that.
        if scope.is_initializer(input.name()) {
            continue;
        }
        let ty = declared_type(scope, input)?;
        if let Some(tensor) = constants.get(input.name()) {
            let value = scope.given_constant(input.name(), tensor, &ty)?;
            scope.declare(input.name(), value)?;
            continue;
        }
        ty.shape.iter().flat_map(|shape| shape.iter()).for_each(|dim| dim.symbols(&mut scope.sizes.0));
        let value = scope.graph.add(Node::new(Kind::Input, input.name(), ty), &[]).value();
        scope.declare(input.name(), value)?;
    }
    match constants.keys().find(|name| !proto.input.iter().any(|input| input.name() == name.as_str())) {
        Some(name) => {
            Err(OnnxError::Graph { what: format!("a value is given for {}, which is no input", quoted(name)) })
        }
        None => Ok(()),
    }
}

fn declared_type(scope: &mut Scope, input: &ValueInfoProto) -> Result<Type, OnnxError> {
    let ty = scope.type_of(input.name(), input.r#type.as_ref());
    let known = ty.shape.as_ref().map(|shape| shape.iter().map(|d| d.known()).collect::<Option<Vec<_>>>());
    if let Some(Some(sizes)) = known {
        let elements = sizes.iter().try_fold(1i64, |n, size| n.checked_mul(*size));
        if elements.is_none_or(|n| n.checked_mul(16).is_none()) {
            let what = format!("the input {} has more elements than fit in memory: {sizes:?}", quoted(input.name()));
            return Err(OnnxError::Graph { what });
        }
    }
    Ok(ty)
}

/// Compares what a model declares of an output with what its node computes. Stale sizes are common, where a model was exported at one size and
/// edited since, and harm nothing: the computed ones count, and a warning says so. Of two types one is wrong, and a reader of the file would
/// take the bytes for something else.
fn agrees(scope: &mut Scope, output: &ValueInfoProto, value: Value) -> Result<(), OnnxError> {
    let Some(declared) = tensor_type(output.r#type.as_ref()) else { return Ok(()) };
    let name = output.name();
    let from = scope.graph.node(value.node);
    let node = format!("{} ({})", quoted(from.label()), from.kind);
    let computed = scope.graph.ty(value);
    if let (Some(stated), Some(found)) = (DType::from_onnx(declared.elem_type()), computed.dtype)
        && stated != found
    {
        let what =
            format!("it computes {found} for the output {}, which the model declares to be {stated}", quoted(name));
        return Err(OnnxError::Node { node, what });
    }
    let (Some(stated), Some(found)) = (&declared.shape, &computed.shape) else { return Ok(()) };
    let fixed = |dim: &Dimension| match &dim.value {
        Some(DimensionValue::DimValue(n)) if *n >= 0 => Some(*n),
        _ => None,
    };
    let differs = |(dim, size): (&Dimension, &Dim)| matches!((fixed(dim), size.known()), (Some(a), Some(b)) if a != b);
    if stated.dim.len() != found.rank() || stated.dim.iter().zip(found.iter()).any(differs) {
        let sizes = stated.dim.iter().take(16).map(|dim| match &dim.value {
            Some(DimensionValue::DimParam(symbol)) => quoted(symbol),
            _ => fixed(dim).map_or("?".into(), |n| n.to_string()),
        });
        let sizes = sizes.collect::<Vec<_>>().join(", ");
        let what = format!(
            "the model declares its output {} to be [{sizes}], but it computes {found}; the computed shape counts",
            quoted(name)
        );
        scope.warnings.push(Warning { node, what });
    }
    Ok(())
}

/// Converts one node, or leaves it opaque.
pub(crate) fn convert_node(scope: &mut Scope, flat: &FlatNode) -> Result<(), OnnxError> {
    let node = &*flat.node;
    for output in node.output.iter().filter(|o| !o.is_empty()) {
        if scope.is_declared(output) {
            let what = format!("its output {} is already defined", quoted(output));
            return Err(OnnxError::Node { node: label(node), what });
        }
    }
    let mut context = Context::new(scope, flat)?;
    match convert::node(&mut context) {
        Ok(()) => Ok(()),
        Err(Stop::Opaque { why, types }) => {
            let captured = subgraph::captures(node);
            context.opaque(&why, types, &captured)
        }
        Err(stop) => Err(context.error(stop)),
    }
}

/// The tensor type inside a declared type.
pub(crate) fn tensor_type(ty: Option<&TypeProto>) -> Option<&super::proto::TensorTypeProto> {
    match ty?.value.as_ref()? {
        TypeValue::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}
