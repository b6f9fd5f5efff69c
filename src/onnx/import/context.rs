//! What a converter sees of the node it converts, and how it adds to the graph.

use super::super::attributes::{Attributes, domain, label, op_name};
use super::super::error::{OnnxError, quoted};
use super::super::functions::FlatNode;
use super::super::known::{self, Known, LONGEST_FORMULA};
use super::super::proto::NodeProto;
use super::stop::mistyped;
use super::{Scope, Stop, Warning, broadcast, opaque};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, Kind, Node, NodeId, Origin, Output, Type, Value};
use crate::op::Op;
use crate::shape::Shape;
use crate::structural::Structural;
use crate::tensor::Tensor;
use crate::view::View;
use std::collections::BTreeSet;

/// One node under conversion.
pub(crate) struct Context<'s, 'm, 'n> {
    pub(crate) scope: &'s mut Scope<'m>,
    pub(crate) flat: &'n FlatNode<'n>,
    pub(crate) node: &'n NodeProto,
    pub(crate) attributes: Attributes<'n>,
    /// The version of the node's operator set.
    pub(crate) version: i64,
    inputs: Vec<Option<Value>>,
    /// Nodes from here on were added for this node.
    first: usize,
}

impl<'s, 'm, 'n> Context<'s, 'm, 'n> {
    pub(super) fn new(scope: &'s mut Scope<'m>, flat: &'n FlatNode<'n>) -> Result<Self, OnnxError> {
        let node = &*flat.node;
        let fail = |what: String| OnnxError::Node { node: label(node), what };
        let version = flat.version().or_else(|| (!domain(node).is_empty()).then_some(1));
        let version = version.ok_or_else(|| fail("the model imports no version of its operator set".into()))?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            let value = if name.is_empty() { None } else { scope.value(name)? };
            if value.is_none() && !name.is_empty() {
                return Err(fail(format!("its input {} is not defined", quoted(name))));
            }
            inputs.push(value);
        }
        while inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        let first = scope.graph.len();
        Ok(Self { attributes: Attributes::of(node)?, scope, flat, node, version, inputs, first })
    }

    pub(super) fn error(&self, stop: Stop) -> OnnxError {
        match stop {
            Stop::Error(error) => error,
            Stop::Broken(what) | Stop::Opaque { why: what, .. } => OnnxError::Node { node: label(self.node), what },
        }
    }

    /// The operator's name.
    pub(crate) fn op_type(&self) -> &'n str {
        self.node.op_type()
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.scope.graph
    }

    // ---- operands

    /// Number of inputs, omitted ones at the end not counted.
    pub(crate) fn arity(&self) -> usize {
        self.inputs.len()
    }

    /// Input `slot`, which the operator requires.
    pub(crate) fn input(&self, slot: usize) -> Result<Value, Stop> {
        self.optional(slot).ok_or_else(|| Stop::Broken(format!("input {slot} is required and missing")))
    }

    pub(crate) fn optional(&self, slot: usize) -> Option<Value> {
        self.inputs.get(slot).copied().flatten()
    }

    /// All inputs, of which there must be at least one and none omitted.
    pub(crate) fn all_inputs(&self) -> Result<Vec<Value>, Stop> {
        self.input(0)?;
        (0..self.arity()).map(|slot| self.input(slot)).collect()
    }

    /// # Errors
    /// If there are more inputs than the operator has.
    pub(crate) fn at_most(&self, inputs: usize) -> Result<(), Stop> {
        match self.arity() > inputs {
            true => Err(Stop::Broken(format!("it has {} inputs and takes at most {inputs}", self.arity()))),
            false => Ok(()),
        }
    }

    /// Number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.node.output.len()
    }

    /// True if the model reads output `port`.
    pub(crate) fn wants(&self, port: usize) -> bool {
        self.node.output.get(port).is_some_and(|name| !name.is_empty())
    }

    pub(crate) fn ty(&self, value: Value) -> Type {
        self.scope.graph.ty(value).clone()
    }

    pub(crate) fn dtype(&self, value: Value) -> Option<DType> {
        self.scope.graph.ty(value).dtype
    }

    pub(crate) fn shape(&self, value: Value) -> Option<Shape> {
        self.scope.graph.ty(value).shape.clone()
    }

    /// The shape, or an opaque outcome whose results have `value`'s element type.
    pub(crate) fn need_shape(&self, value: Value) -> Result<Shape, Stop> {
        match self.shape(value) {
            Some(shape) => Ok(shape),
            None => {
                let why = format!("the shape of {} is not known", quoted(self.scope.graph.value_name(value)));
                opaque(why, vec![Type { dtype: self.dtype(value), shape: None }])
            }
        }
    }

    /// `axis` counted from 0, which may be given counted from the end.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Stop> {
        let found = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        let found = found.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
        found.ok_or_else(|| Stop::Broken(format!("axis {axis} of a tensor of rank {rank}")))
    }

    /// Several axes, counted from 0, in the order given.
    ///
    /// # Errors
    /// Also if one is given twice.
    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Stop> {
        let found = axes.iter().map(|&axis| self.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        let distinct: BTreeSet<_> = found.iter().collect();
        if distinct.len() < found.len() {
            return Err(Stop::Broken(format!("axes {axes:?} name one twice")));
        }
        Ok(found)
    }

    pub(crate) fn known(&mut self, value: Value) -> Option<Known> {
        self.scope.known(value)
    }

    /// The elements of a small integer tensor, if all are known numbers.
    pub(crate) fn ints(&mut self, value: Value) -> Option<Vec<i64>> {
        self.known(value)?.ints()
    }

    // ---- results

    /// A size known only when the model runs, called after the node's first output.
    pub(crate) fn fresh(&mut self, port: usize, axis: usize) -> Dim {
        let name = self.node.output.get(port).map_or("", String::as_str);
        self.scope.symbol(&format!("{name}.{axis}"))
    }

    /// A shape of `rank` sizes known only when the model runs.
    pub(crate) fn fresh_shape(&mut self, port: usize, rank: usize) -> Shape {
        (0..rank).map(|axis| self.fresh(port, axis)).collect()
    }

    fn add_node(&mut self, kind: Kind, mut types: Vec<Type>, operands: &[Value]) -> NodeId {
        for (port, ty) in types.iter_mut().enumerate() {
            for (axis, dim) in ty.shape.iter_mut().flat_map(|shape| &mut shape.0).enumerate() {
                if !dim.is_within(LONGEST_FORMULA) {
                    *dim = self.fresh(port, axis);
                }
            }
        }
        let first = self.node.output.first().map_or("", String::as_str);
        let number = self.scope.graph.len() - self.first;
        let outputs = types.into_iter().enumerate().map(|(port, ty)| {
            let suffix = if port == 0 { String::new() } else { format!(".{port}") };
            Output { name: format!("{first}#{number}{suffix}"), ty }
        });
        let outputs = outputs.collect();
        let name = match self.node.name() {
            "" => format!("{}_{}", op_name(self.node), first),
            name => name.into(),
        };
        let origin = Origin { name, op_type: self.node.op_type().into() };
        self.scope.graph.add(Node { kind, origin: smallvec::smallvec![origin], outputs }, operands)
    }

    /// Adds a node with one result.
    pub(crate) fn add(&mut self, kind: Kind, ty: Type, operands: &[Value]) -> Value {
        self.add_node(kind, vec![ty], operands).value()
    }

    pub(crate) fn structural(&mut self, op: Structural, ty: Type, operands: &[Value]) -> Value {
        self.add(Kind::Structural(op), ty, operands)
    }

    /// Adds a structural node whose results are the node's outputs.
    pub(crate) fn structural_outputs(
        &mut self,
        op: Structural,
        types: Vec<Type>,
        operands: &[Value],
    ) -> Result<(), Stop> {
        let ports = types.len() as u32;
        let node = self.add_node(Kind::Structural(op), types, operands);
        (0..ports).try_for_each(|port| self.finish(port as usize, Value { node, port }))
    }

    pub(crate) fn constant(&mut self, tensor: Tensor) -> Value {
        let first = self.node.output.first().map_or("", String::as_str);
        let name = format!("{first}#{}", self.scope.graph.len() - self.first);
        self.scope.add_constant(&name, tensor)
    }

    /// A constant of known elements, if all are integers or bools and numbers: what shapes are computed of. Floats stay nodes,
    /// which passes fold with the rest of the model's constants.
    fn settled(&mut self, known: &Option<Known>) -> Option<Value> {
        let known = known.as_ref().filter(|k| !k.dtype.is_float())?;
        let tensor = known.tensor()?;
        let value = self.constant(tensor);
        self.scope.set_known(value, Some(known.clone()));
        Some(value)
    }

    /// A value whose elements are known: a constant where they are numbers, else what `add` adds.
    pub(crate) fn known_or(&mut self, known: Option<Known>, add: impl FnOnce(&mut Self) -> Value) -> Value {
        if let Some(value) = self.settled(&known) {
            return value;
        }
        let value = add(self);
        self.scope.set_known(value, known);
        value
    }

    /// What is known of all operands, if something is known of each.
    pub(crate) fn all_known(&mut self, operands: &[Value]) -> Option<Vec<Known>> {
        if !operands.iter().all(|v| self.scope.may_be_known(*v)) {
            return None;
        }
        operands.iter().map(|v| self.known(*v)).collect()
    }

    /// Adds a pointwise op, its type following from the operands'.
    pub(crate) fn pointwise(&mut self, op: Op, operands: &[Value]) -> Result<Value, Stop> {
        let shapes: Option<Vec<Shape>> = operands.iter().map(|v| self.shape(*v)).collect();
        let shape = shapes.map(|shapes| broadcast(&shapes)).transpose()?;
        let Some(dtypes) = operands.iter().map(|v| self.dtype(*v)).collect::<Option<Vec<DType>>>() else {
            let ty = Type { dtype: op.target(), shape };
            return opaque("the element type of an operand is not known", vec![ty]);
        };
        let dtype = match op.result_type(&dtypes) {
            Ok(dtype) => dtype,
            Err(error) => return Err(mistyped(op, &dtypes, error, shape)),
        };
        let ty = Type { dtype: Some(dtype), shape };
        let known = self.all_known(operands).and_then(|known| {
            let (dtype, shape) = ty.full()?;
            known::pointwise(op, &known, &shape.known()?, dtype, &self.scope.sizes)
        });
        Ok(self.known_or(known, |cx| cx.add(Kind::Pointwise(op), ty, operands)))
    }

    /// Adds a view whose result has the given shape.
    pub(crate) fn view(&mut self, view: View, operands: &[Value], shape: Shape) -> Value {
        let dtype = operands.first().and_then(|v| self.dtype(*v));
        let known = shape.known().zip(self.all_known(operands));
        let known = known.and_then(|(sizes, known)| known::view(&view, &known, &sizes));
        let ty = Type { dtype, shape: Some(shape) };
        self.known_or(known, |cx| cx.add(Kind::View(view), ty, operands))
    }

    /// The same elements under another shape; nothing is added where it is the same shape.
    pub(crate) fn reshape(&mut self, value: Value, to: Shape) -> Value {
        if self.shape(value).as_ref() == Some(&to) {
            return value;
        }
        self.view(View::Reshape { to: to.clone() }, &[value], to)
    }

    /// A value given per channel (rank 1), seen as one that broadcasts along `axis` of a tensor of `rank` axes.
    pub(crate) fn along_axis(&mut self, value: Value, axis: usize, rank: usize) -> Result<Value, Stop> {
        let shape = self.need_shape(value)?;
        let size = shape.first().cloned().filter(|_| shape.rank() == 1);
        let size =
            size.ok_or_else(|| Stop::Broken(format!("a value a channel has the shape {shape}, not one axis")))?;
        let to = (0..rank).map(|at| if at == axis { size.clone() } else { Dim::ONE }).collect();
        Ok(self.reshape(value, to))
    }

    /// Makes `value` the node's output `port`.
    pub(crate) fn finish(&mut self, port: usize, value: Value) -> Result<(), Stop> {
        let Some(name) = self.node.output.get(port).filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        if value.node.index() >= self.first {
            self.scope.graph.node_mut(value.node).outputs[value.port as usize].name = name.clone();
        }
        self.fill_in(value, name);
        self.check(value, name)?;
        Ok(self.scope.declare(name, value)?)
    }

    /// # Errors
    /// If a size is negative, or the elements more than memory can hold.
    fn check(&self, value: Value, name: &str) -> Result<(), Stop> {
        let Some(shape) = self.scope.graph.ty(value).shape.as_ref() else { return Ok(()) };
        if let Some(dim) = shape.iter().find(|d| d.known().is_some_and(|n| n < 0)) {
            return Err(Stop::Broken(format!(
                "its output {} would have the negative size {dim}: {shape}",
                quoted(name)
            )));
        }
        let total = shape.iter().filter_map(Dim::known).try_fold(1i64, |n, size| n.checked_mul(size.max(1)));
        if total.and_then(|n| n.checked_mul(8)).is_none() {
            return Err(Stop::Broken(format!("its output {} has too many elements: {shape}", quoted(name))));
        }
        Ok(())
    }

    /// Takes from the model's stated types what inference does not know.
    fn fill_in(&mut self, value: Value, name: &str) {
        let ty = self.scope.graph.ty(value);
        if ty.full().is_some() {
            return;
        }
        let stated = self.scope.stated(name);
        let ty = &mut self.scope.graph.node_mut(value.node).outputs[value.port as usize].ty;
        ty.dtype = ty.dtype.or(stated.dtype);
        ty.shape = ty.shape.take().or(stated.shape);
    }

    pub(crate) fn warn(&mut self, what: impl Into<String>) {
        self.scope.warnings.push(Warning { node: label(self.node), what: what.into() });
    }

    /// Leaves the node as it is: operands and results, no meaning.
    pub(super) fn opaque(&mut self, why: &str, types: Vec<Type>, captured: &BTreeSet<&str>) -> Result<(), OnnxError> {
        let mut operands: Vec<Value> = self.inputs.iter().copied().flatten().collect();
        for name in captured {
            operands.extend(self.scope.value(name)?);
        }
        if !why.is_empty() {
            self.warn(why);
        }
        let mut types = types;
        types.resize(self.node.output.len().max(1), Type::default());
        let kind = Kind::Opaque { domain: domain(self.node).into(), op_type: self.node.op_type().into() };
        let ports = types.len() as u32;
        let node = self.add_node(kind, types, &operands);
        (0..ports)
            .try_for_each(|port| self.finish(port as usize, Value { node, port }).map_err(|stop| self.error(stop)))
    }
}
