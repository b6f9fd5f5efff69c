//! Casts: `cast.T(x: T)` becomes `x`; `cast.C(cast.B(x: A))` becomes `cast.C(x)`, or `x` if C is A, where B holds every A.
//!
//! Both are exact: what a type holds without loss comes out of it unchanged. The middle cast is the usual trace of an exporter
//! that wraps an op in f32, or of a bool that went through a number. A cast to an 8-bit float stays even where x is of that
//! type, because it makes an infinity finite.

use super::work::made_by;
use super::{Pass, PassError, Work};
use crate::dtype::DType;
use crate::graph::{Kind, NodeId};
use crate::op::{self, Op};

pub(super) const PASS: Pass = Pass { name: "casts", about: "drop casts that lose nothing", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        if let Some(to) = work.live_op(id).filter(|op| op.is(&op::CAST)).and_then(Op::target) {
            fold(work, id, to);
        }
    }
    Ok(())
}

fn fold(work: &mut Work<'_>, id: NodeId, to: DType) {
    let x = work.graph.operands(id)[0];
    if is_identity(to) && work.graph.ty(x).dtype == Some(to) && work.replace_same_type("cast_to_same", id, x) {
        return;
    }
    let Some(inner) = made_by(work.graph, x, |op| op.is(&op::CAST)) else { return };
    let source = work.graph.operands(inner)[0];
    let (Some(from), Some(through)) = (work.graph.ty(source).dtype, work.graph.ty(x).dtype) else { return };
    if !drops_middle(from, through, to) {
        return;
    }
    if from == to && is_identity(to) && work.replace_same_type("cast_and_back", id, source) {
        return;
    }
    let node = work.graph.node(id);
    let (name, ty) = (node.outputs[0].name.clone(), node.outputs[0].ty.clone());
    let mut patch = work.patch("cast_through_wider", &[inner, id]);
    let new = patch.add(Kind::Pointwise(Op::to(&op::CAST, to)), &name, ty, &[source]);
    patch.replace(id.value(), new);
}

/// True if casting to its own type changes no value of it.
fn is_identity(dtype: DType) -> bool {
    !dtype.is_float() || dtype.is_arithmetic_float()
}

/// True if casting to `to` by way of `through` gives what casting at once gives, for every value of `from`.
fn drops_middle(from: DType, through: DType, to: DType) -> bool {
    // An integer out of range wraps, a float saturates: by way of a float only what is in range comes out the same.
    let wraps = !from.is_float() && through.is_float() && to.is_int();
    holds(through, from) && (!wraps || holds(to, from))
}

/// True if `wide` has every value of `narrow`.
fn holds(wide: DType, narrow: DType) -> bool {
    use DType::*;
    if wide == narrow {
        return is_identity(wide);
    }
    let significand = match wide {
        F64 => 53,
        F32 => 24,
        F16 => 11,
        BF16 => 8,
        _ => 0,
    };
    match (wide.int_range(), narrow.int_range()) {
        (Some(w), Some(n)) => wide != Bool && w.0 <= n.0 && n.1 <= w.1,
        (Some(_), None) => false,
        (None, Some((low, high))) => significand > 0 && high.max(-low) <= 1 << significand,
        (None, None) => match narrow {
            F64 => false,
            F32 => wide == F64,
            F16 | BF16 => matches!(wide, F64 | F32),
            F8E8M0 => matches!(wide, F64 | F32 | BF16),
            _ => significand > 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::{Number, Scalar};

    /// Every value of every source of at most 16 bits, through every middle that may be dropped, to every target.
    #[test]
    fn dropping_the_middle_changes_no_value() {
        let cast = |x: Number, to: DType| Op::to(&op::CAST, to).eval(&[x], to);
        let equal = |a: Number, b: Number| match (a, b) {
            (Number::Float(a), Number::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
            _ => a == b,
        };
        let mut proved = 0;
        for from in DType::ALL.into_iter().filter(|t| t.bits() <= 16) {
            let codes = if from == DType::Bool { 2 } else { 1u64 << from.bits() };
            for (through, to) in DType::ALL.into_iter().flat_map(|b| DType::ALL.map(|c| (b, c))) {
                if !drops_middle(from, through, to) {
                    continue;
                }
                proved += 1;
                for bits in (0..codes).step_by(if codes > 256 { 7 } else { 1 }) {
                    let x = Scalar::from_bits(from, bits).number();
                    let (two, one) = (cast(cast(x, through), to), cast(x, to));
                    assert!(equal(two, one), "{from} {x:?} by {through} to {to}: {two:?} or {one:?}");
                    assert!(
                        from != to || !is_identity(to) || equal(two, x),
                        "{from} {x:?} by {through} and back: {two:?}"
                    );
                }
            }
        }
        assert!(proved > 1000, "{proved}");
    }

    #[test]
    fn a_middle_that_loses_is_kept() {
        use DType::*;
        for (from, through) in
            [(F32, F16), (I32, F32), (I8, U8), (U8, I8), (F16, BF16), (I64, F64), (F32, I64), (U8, Bool)]
        {
            assert!(!drops_middle(from, through, from), "{from} {through}");
        }
    }
}
