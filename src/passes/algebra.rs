//! Algebra: identities that follow from what each row of the table claims, whatever the row is.
//!
//! * `neutral`: f(x, e) → x
//! * `absorbing`: f(x, z) → z, for integers and bool (in floats f(NaN, z) is NaN)
//! * `idempotent`: f(x, x) → x, and f(f(x)) → f(x) for one operand
//! * `involution`: f(f(x)) → x
//! * `identity`: f(x) → x, where f is claimed to be both idempotent and an involution
//! * `reassociate`: f(f(x, c), d) → f(x, f(c, d)), so that constants meet and fold
//!
//! All are exact bit for bit: −0 and +0 count as different constants, a NaN stays NaN, and type and shape are kept, so that an
//! operand whose shape widens the result is never taken for neutral.

use super::work::{infer, made_by, same, uniform};
use super::{Pass, PassError, Work};
use crate::graph::{Kind, NodeId, Type, Value};
use crate::op::{Algebra, Op};
use crate::scalar::{Number, Scalar};
use crate::view::View;

pub(super) const PASS: Pass = Pass { name: "algebra", about: "apply the identities that the op table claims", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        let Some(op) = work.live_op(id) else { continue };
        let claims = op.row().algebra;
        let operands = work.graph.operands(id);
        let _ = match op.row().operands.len() {
            1 => nested(work, id, op, &claims, &operands),
            2 if operands.len() == 2 => {
                let (a, b) = (operands[0], operands[1]);
                binary(work, id, op, &claims, a, b)
                    || (claims.commutative && binary(work, id, op, &claims, b, a))
                    || reassociate(work, id, op, &claims, a, b)
            }
            _ => false,
        };
    }
    Ok(())
}

/// f(f(x)), params being equal.
fn nested(work: &mut Work<'_>, id: NodeId, op: Op, claims: &Algebra, operands: &[Value]) -> bool {
    if claims.idempotent && claims.involution && work.replace_same_type("identity", id, operands[0]) {
        return true;
    }
    let Some(inner) = made_by(work.graph, operands[0], |o| o == op) else { return false };
    let below = work.graph.operands(inner);
    let params_equal = operands[1..].iter().zip(&below[1..]).all(|(a, b)| same(work.graph, *a, *b));
    params_equal
        && (claims.idempotent && work.replace_same_type("idempotent", id, operands[0])
            || claims.involution && work.replace_same_type("involution", id, below[0]))
}

/// f(x, c), or with `x` and `c` exchanged f(c, x) where f commutes.
fn binary(work: &mut Work<'_>, id: NodeId, op: Op, claims: &Algebra, x: Value, c: Value) -> bool {
    if claims.idempotent && x == c && work.replace_same_type("idempotent", id, x) {
        return true;
    }
    let Some(constant) = uniform(work.graph, c) else { return false };
    // A power's exponent, or a shift's, is of a type of its own; the result's is the first operand's.
    let is = |claim: Option<f64>| claim.is_some_and(|e| equals(constant, e));
    if is(claims.neutral) && work.replace_same_type("neutral", id, x) {
        return true;
    }
    is(claims.absorbing) && !constant.dtype().is_float() && op.target().is_none() && absorb(work, id, c)
}

/// f(x, z) → z, expanded to the result's shape where it is of another.
fn absorb(work: &mut Work<'_>, id: NodeId, z: Value) -> bool {
    if work.replace_same_type("absorbing", id, z) {
        return true;
    }
    let node = work.graph.node(id);
    let (name, ty) = (node.outputs[0].name.clone(), node.outputs[0].ty.clone());
    let Some((dtype, shape)) = ty.full() else { return false };
    if work.graph.ty(z).dtype != Some(dtype) {
        return false;
    }
    let kind = Kind::View(View::Expand { to: shape.clone() });
    let mut patch = work.patch("absorbing", &[id]);
    let new = patch.add(kind, &name, ty, &[z]);
    patch.replace(id.value(), new);
    true
}

fn reassociate(work: &mut Work<'_>, id: NodeId, op: Op, claims: &Algebra, a: Value, b: Value) -> bool {
    if !(claims.associative && claims.commutative) {
        return false;
    }
    let graph = &*work.graph;
    let constant_last = |a: Value, b: Value| match (graph.constant(a), graph.constant(b)) {
        (None, Some(_)) => Some((a, b)),
        (Some(_), None) => Some((b, a)),
        _ => None,
    };
    let found = || {
        let (inner, d) = constant_last(a, b)?;
        let inner = made_by(graph, inner, |o| o == op)?;
        let below = graph.operands(inner);
        let (x, c) = constant_last(below[0], below[1])?;
        let both = infer(op, &[graph.ty(c).clone(), graph.ty(d).clone()])?;
        let whole = infer(op, &[graph.ty(x).clone(), both.clone()])?;
        // The merged constant may not be larger than the two were, or memory is paid for one op less.
        let no_larger = elements(&both)? <= elements(graph.ty(c))?.max(elements(graph.ty(d))?);
        (whole == *graph.ty(id.value()) && no_larger).then_some((inner, x, c, d, both, whole))
    };
    let Some((inner, x, c, d, both, whole)) = found() else { return false };
    let name = graph.value_name(id.value()).to_string();
    let mut patch = work.patch("reassociate", &[inner, id]);
    let merged = patch.add(Kind::Pointwise(op), &format!("{name}_constant"), both, &[c, d]);
    let new = patch.add(Kind::Pointwise(op), &name, whole, &[x, merged]);
    patch.replace(id.value(), new);
    true
}

fn elements(ty: &Type) -> Option<usize> {
    crate::tensor::count(&ty.shape.as_ref()?.known()?)
}

/// Bit for bit; for integers as their type wraps it, so that −1 is "all bits" of an unsigned one.
fn equals(constant: Scalar, claim: f64) -> bool {
    match constant.number() {
        Number::Float(x) => x.to_bits() == claim.to_bits(),
        Number::Int(_) => claim.fract() == 0.0 && constant == Scalar::new(constant.dtype(), Number::Int(claim as i128)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_zeros_are_told_apart() {
        assert!(equals(Scalar::f32(-0.0), -0.0) && !equals(Scalar::f32(0.0), -0.0));
        assert!(equals(Scalar::new(crate::dtype::DType::I8, Number::Int(0)), -0.0));
    }
}
