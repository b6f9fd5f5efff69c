//! What the names of a model stand for while it is imported.

use super::super::data;
use super::super::error::{OnnxError, quoted};
use super::super::known::{Known, Sizes};
use super::super::proto::{DimensionValue, TensorProto, TypeProto, ValueInfoProto};
use super::super::read::ModelFile;
use super::{Warning, tensor_type};
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Node, Type, Value};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::collections::{BTreeSet, HashMap};

/// A name's meaning. Constants enter the graph when first used: models carry many that nothing reads.
#[derive(Clone, Copy)]
enum Slot<'m> {
    Value(Value),
    Initializer(&'m TensorProto),
}

pub(crate) struct Scope<'m> {
    pub(crate) graph: Graph,
    pub(crate) file: &'m ModelFile,
    pub(crate) warnings: Vec<Warning>,
    /// Types that the model states for its intermediate values: used where inference has no answer.
    pub(super) types: HashMap<&'m str, &'m ValueInfoProto>,
    slots: HashMap<String, Slot<'m>>,
    known: HashMap<Value, Option<Known>>,
    bindings: &'m Bindings,
    symbols: BTreeSet<String>,
    /// What is known of the symbols.
    pub(crate) sizes: Sizes,
    /// Levels of If branches that are being imported in place.
    pub(crate) depth: usize,
}

impl<'m> Scope<'m> {
    pub(super) fn new(graph: Graph, file: &'m ModelFile, bindings: &'m Bindings) -> Scope<'m> {
        Scope {
            graph,
            file,
            warnings: Vec::new(),
            types: HashMap::new(),
            slots: HashMap::new(),
            known: HashMap::new(),
            bindings,
            symbols: BTreeSet::new(),
            sizes: Sizes::default(),
            depth: 0,
        }
    }

    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// True for a constant that nothing has used yet.
    pub(super) fn is_initializer(&self, name: &str) -> bool {
        matches!(self.slots.get(name), Some(Slot::Initializer(_)))
    }

    /// Gives a name to a value.
    pub(crate) fn declare(&mut self, name: &str, value: Value) -> Result<(), OnnxError> {
        self.define(name, Slot::Value(value))
    }

    pub(super) fn declare_initializer(&mut self, tensor: &'m TensorProto) -> Result<(), OnnxError> {
        self.define(tensor.name(), Slot::Initializer(tensor))
    }

    fn define(&mut self, name: &str, slot: Slot<'m>) -> Result<(), OnnxError> {
        match self.slots.insert(name.into(), slot) {
            None => Ok(()),
            Some(_) => Err(OnnxError::Graph { what: format!("the name {} is defined twice", quoted(name)) }),
        }
    }

    /// The value of a name, if there is one.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<Value>, OnnxError> {
        match self.slots.get(name).copied() {
            None => Ok(None),
            Some(Slot::Value(value)) => Ok(Some(value)),
            Some(Slot::Initializer(tensor)) => {
                let value = self.constant(name, tensor)?;
                self.slots.insert(name.into(), Slot::Value(value));
                Ok(Some(value))
            }
        }
    }

    /// Adds a constant of the model. One whose type has no arithmetic here (text, complex numbers) is opaque.
    pub(crate) fn constant(&mut self, name: &str, proto: &TensorProto) -> Result<Value, OnnxError> {
        let Some(dtype) = DType::from_onnx(proto.data_type()) else {
            data::elements(proto)?;
            let shape = proto.dims.iter().map(|&d| Dim::fixed(d)).collect();
            let kind = Kind::Opaque { domain: String::new(), op_type: "Constant".into() };
            let ty = Type { dtype: None, shape: Some(shape) };
            return Ok(self.graph.add(Node::new(kind, name, ty), &[]).value());
        };
        let mut bytes = data::little_endian(proto, &self.file.external)?;
        if dtype == DType::Bool && bytes.iter().any(|&b| b > 1) {
            bytes = bytes.iter().map(|&b| u8::from(b != 0)).collect::<Vec<_>>().into();
        }
        let sizes = proto.dims.iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
        let tensor = Tensor::new(dtype, sizes, bytes).map_err(|error| OnnxError::Tensor {
            tensor: quoted(name),
            found: error.to_string(),
            expected: "data that fits its type and sizes".into(),
        })?;
        Ok(self.add_constant(name, tensor))
    }

    /// An input that the user gives a value.
    pub(super) fn given_constant(&mut self, name: &str, tensor: &Tensor, ty: &Type) -> Result<Value, OnnxError> {
        let fits = |shape: &Shape| {
            let size_fits = |(d, n): (&Dim, &usize)| d.known().is_none_or(|d| usize::try_from(d) == Ok(*n));
            shape.rank() == tensor.sizes().len() && shape.iter().zip(tensor.sizes()).all(size_fits)
        };
        if ty.dtype.is_some_and(|dtype| dtype != tensor.dtype()) || !ty.shape.as_ref().is_none_or(fits) {
            let found = format!("{} {:?} given for it", tensor.dtype(), tensor.sizes());
            return Err(OnnxError::Tensor { tensor: quoted(name), found, expected: ty.to_string() });
        }
        Ok(self.add_constant(name, tensor.clone()))
    }

    pub(crate) fn add_constant(&mut self, name: &str, tensor: Tensor) -> Value {
        let ty = Type::new(tensor.dtype(), tensor.shape());
        self.graph.add(Node::new(Kind::Constant(tensor), name, ty), &[]).value()
    }

    /// What is known of a value's elements.
    pub(crate) fn known(&mut self, value: Value) -> Option<Known> {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        let known = self.graph.constant(value).and_then(Known::of);
        self.known.insert(value, known.clone());
        known
    }

    /// True unless it is clear at once that nothing is known.
    pub(crate) fn may_be_known(&self, value: Value) -> bool {
        let constant = |value| self.graph.constant(value).is_some_and(|t| t.len() <= Known::most(t.dtype()));
        self.known.get(&value).map_or_else(|| constant(value), Option::is_some)
    }

    pub(crate) fn set_known(&mut self, value: Value, known: Option<Known>) {
        self.known.insert(value, known);
    }

    /// A symbolic size, or its number where the user has bound it.
    pub(crate) fn symbol(&mut self, name: &str) -> Dim {
        self.symbols.insert(name.into());
        match self.bindings.get(name).map(|&n| i64::try_from(n)) {
            Some(Ok(n)) => Dim::fixed(n),
            _ => Dim::symbol(name),
        }
    }

    /// A declared type. Sizes without a name or number are called after the value and the axis.
    pub(crate) fn type_of(&mut self, value: &str, ty: Option<&TypeProto>) -> Type {
        let Some(tensor) = tensor_type(ty) else {
            return Type::default();
        };
        let shape = tensor.shape.as_ref().filter(|shape| shape.dim.len() <= 64).map(|shape| {
            let dims = shape.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
                Some(DimensionValue::DimValue(n)) if *n >= 0 => Dim::fixed(*n),
                Some(DimensionValue::DimParam(name)) if !name.is_empty() => self.symbol(name),
                _ => self.symbol(&format!("{value}.{axis}")),
            });
            dims.collect::<Shape>()
        });
        Type { dtype: DType::from_onnx(tensor.elem_type()), shape }
    }

    /// The type the model states for an intermediate value.
    pub(crate) fn stated(&mut self, name: &str) -> Type {
        match self.types.get(name).copied() {
            Some(info) => self.type_of(name, info.r#type.as_ref()),
            None => Type::default(),
        }
    }

    /// # Errors
    /// If a name was bound that the model does not have.
    pub(super) fn check_bindings(&self) -> Result<(), OnnxError> {
        let Some(unused) = self.bindings.keys().find(|name| !self.symbols.contains(*name)) else {
            return Ok(());
        };
        let mut inputs = BTreeSet::new();
        let types = self.graph.inputs().iter().flat_map(|id| &self.graph.node(*id).outputs);
        types.filter_map(|o| o.ty.shape.as_ref()).flat_map(|s| s.iter()).for_each(|d| d.symbols(&mut inputs));
        let names: Vec<_> = inputs.iter().take(20).map(|name| quoted(name)).collect();
        let known = if names.is_empty() { "no symbolic size".into() } else { names.join(", ") };
        let what = format!("no dimension is called {}; the inputs have {known}", quoted(unused));
        Err(OnnxError::Graph { what })
    }
}
