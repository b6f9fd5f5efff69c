//! Builds a rule's right side, once it is sure that it has the type and shape of what it replaces.

use super::language::Expr;
use super::matcher::Found;
use super::{Claim, Rule};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::Op;
use crate::passes::work::uniform;
use crate::patch::Patch;
use crate::scalar::{Number, Scalar};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// The right side with its types.
pub(super) enum Part {
    Value(Value),
    Scalar(Scalar),
    Apply(Op, Vec<Part>, Type),
}

/// The right side for a match at `id`; `None` if it would be of another type, or if a constant can't be an op's parameter.
pub(super) fn plan(graph: &Graph, rule: &Rule, id: NodeId, found: &Found) -> Option<Part> {
    let said = graph.ty(id.value());
    let dtype = said.dtype?;
    // Roundings are a matter of floats; on integers such a formula means something else.
    if rule.claim != Claim::Exact && !dtype.is_arithmetic_float() {
        return None;
    }
    let part = place(graph, &rule.right, found, dtype)?;
    let ty = type_of(graph, &part);
    let same_shape = match (&said.shape, &ty.shape) {
        (Some(a), Some(b)) => a == b,
        // Unknown, and nothing but the same variables shapes it.
        (None, None) => found.scalars_only,
        _ => false,
    };
    (ty.dtype == said.dtype && same_shape).then_some(part)
}

fn place(graph: &Graph, e: &Expr, found: &Found, dtype: DType) -> Option<Part> {
    Some(match e {
        Expr::Var(i) => Part::Value(found.vars[*i]?),
        Expr::Const(i) => Part::Value(found.consts[*i]?),
        Expr::Number(x) => Part::Scalar(Scalar::new(dtype, Number::Float(*x))),
        Expr::Apply(op, args) => {
            let slot = |(slot, arg): (usize, &Expr)| match slot < op.row().operands.len() {
                true => place(graph, arg, found, dtype),
                false => param(graph, arg, found, dtype),
            };
            let parts = args.iter().enumerate().map(slot).collect::<Option<Vec<_>>>()?;
            let ty = result(graph, *op, &parts)?;
            Part::Apply(*op, parts, ty)
        }
    })
}

/// A parameter is an f32 scalar. A constant of the model that f32 does not hold can't be one, nor in double precision a number
/// of the rule.
fn param(graph: &Graph, e: &Expr, found: &Found, dtype: DType) -> Option<Part> {
    let (value, exactly) = match e {
        Expr::Number(x) => (*x, dtype == DType::F64),
        Expr::Const(i) => (uniform(graph, found.consts[*i]?)?.as_f64(), true),
        _ => return None,
    };
    let scalar = Scalar::new(DType::F32, Number::Float(value));
    (!exactly || scalar.as_f64() == value).then_some(Part::Scalar(scalar))
}

fn result(graph: &Graph, op: Op, parts: &[Part]) -> Option<Type> {
    let types: Vec<Type> = parts.iter().map(|p| type_of(graph, p)).collect();
    let dtypes: Vec<DType> = types.iter().map(|ty| ty.dtype).collect::<Option<_>>()?;
    let shapes: Option<Vec<&Shape>> = types.iter().map(|ty| ty.shape.as_ref()).collect();
    let shape = match shapes {
        Some(shapes) => Some(shapes.into_iter().try_fold(Shape::SCALAR, |all, shape| all.broadcast(shape)).ok()?),
        None => None,
    };
    Some(Type { dtype: Some(op.result_type(&dtypes).ok()?), shape })
}

fn type_of(graph: &Graph, part: &Part) -> Type {
    match part {
        Part::Value(value) => graph.ty(*value).clone(),
        Part::Scalar(scalar) => Type::new(scalar.dtype(), Shape::SCALAR),
        Part::Apply(_, _, ty) => ty.clone(),
    }
}

/// Adds the right side to the graph. Its result takes the name of node `id`'s.
pub(super) fn build(patch: &mut Patch<'_>, part: &Part, id: NodeId) -> Value {
    let name = patch.graph().value_name(id.value()).to_string();
    add(patch, part, &name)
}

fn add(patch: &mut Patch<'_>, part: &Part, name: &str) -> Value {
    match part {
        Part::Value(value) => *value,
        Part::Scalar(scalar) => patch.constant(&scalar.to_string(), Tensor::scalar(*scalar)),
        Part::Apply(op, parts, ty) => {
            let operands: Vec<Value> = parts
                .iter()
                .enumerate()
                .map(|(slot, part)| add(patch, part, &format!("{name}_{}", op.operand_name(slot))))
                .collect();
            patch.add(Kind::Pointwise(*op), name, ty.clone(), &operands)
        }
    }
}
