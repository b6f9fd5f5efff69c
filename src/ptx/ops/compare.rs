//! Comparisons, as rows to lane masks.

use super::half::{Bf16, F16, Format};
use crate::ptx::ast::{Kind, Ty};
use crate::ptx::program::{FCmp, FCmpWide, FTest, FTestWide};

/// A comparison in the bank of its type.
#[derive(Clone, Copy)]
pub(crate) enum Compare {
    Narrow(FCmp),
    Wide(FCmpWide),
}

/// Collects a test of each lane into a mask.
macro_rules! lanes {
    (|$a:ident, $b:ident| $e:expr) => {
        |x, y| {
            let mut mask = 0u32;
            for i in 0..32 {
                let ($a, $b) = (x[i], y[i]);
                mask |= u32::from($e) << i;
            }
            mask
        }
    };
}

/// One comparison of two rows, whose bits `$conv` turns into numbers.
macro_rules! cmp {
    ($shape:ident, |$v:ident| $conv:expr, |$p:ident, $q:ident| $e:expr) => {
        Some(Compare::$shape(lanes!(|a, b| {
            let ($p, $q) = (
                {
                    let $v = a;
                    $conv
                },
                {
                    let $v = b;
                    $conv
                },
            );
            $e
        })))
    };
}

macro_rules! by_name {
    ($op:expr, $shape:ident, |$v:ident| $conv:expr, float) => {
        match $op {
            "eq" => cmp!($shape, |$v| $conv, |p, q| p == q),
            "ne" => cmp!($shape, |$v| $conv, |p, q| p < q || p > q),
            "lt" => cmp!($shape, |$v| $conv, |p, q| p < q),
            "le" => cmp!($shape, |$v| $conv, |p, q| p <= q),
            "gt" => cmp!($shape, |$v| $conv, |p, q| p > q),
            "ge" => cmp!($shape, |$v| $conv, |p, q| p >= q),
            "equ" => cmp!($shape, |$v| $conv, |p, q| !(p < q || p > q)),
            "neu" => cmp!($shape, |$v| $conv, |p, q| p != q),
            "ltu" => cmp!($shape, |$v| $conv, |p, q| !(p >= q)),
            "leu" => cmp!($shape, |$v| $conv, |p, q| !(p > q)),
            "gtu" => cmp!($shape, |$v| $conv, |p, q| !(p <= q)),
            "geu" => cmp!($shape, |$v| $conv, |p, q| !(p < q)),
            "num" => cmp!($shape, |$v| $conv, |p, q| !p.is_nan() && !q.is_nan()),
            "nan" => cmp!($shape, |$v| $conv, |p, q| p.is_nan() || q.is_nan()),
            _ => None,
        }
    };
    ($op:expr, $shape:ident, |$v:ident| $conv:expr, int) => {
        match $op {
            "eq" => cmp!($shape, |$v| $conv, |p, q| p == q),
            "ne" => cmp!($shape, |$v| $conv, |p, q| p != q),
            "lt" | "lo" => cmp!($shape, |$v| $conv, |p, q| p < q),
            "le" | "ls" => cmp!($shape, |$v| $conv, |p, q| p <= q),
            "gt" | "hi" => cmp!($shape, |$v| $conv, |p, q| p > q),
            "ge" | "hs" => cmp!($shape, |$v| $conv, |p, q| p >= q),
            _ => None,
        }
    };
}

fn flush(x: f32) -> f32 {
    f32::from_bits(super::round::flush(x.to_bits()))
}

/// The comparison `op` of a type. `high` compares the upper halves of packed operands.
#[allow(clippy::double_comparisons, clippy::neg_cmp_op_on_partial_ord)] // IEEE comparisons spell "unordered" that way.
pub(crate) fn compare(op: &str, ty: Ty, ftz: bool, high: bool) -> Option<Compare> {
    match (ty.kind, ty.bits) {
        (Kind::Float, 32) if ftz => by_name!(op, Narrow, |v| flush(f32::from_bits(v)), float),
        (Kind::Float, 32) => by_name!(op, Narrow, |v| f32::from_bits(v), float),
        (Kind::Float, 64) => by_name!(op, Wide, |v| f64::from_bits(v), float),
        _ if ftz => None,
        (Kind::Packed, 32) if high => by_name!(op, Narrow, |v| F16::wide(v >> 16), float),
        (Kind::BPacked, 32) if high => by_name!(op, Narrow, |v| Bf16::wide(v >> 16), float),
        (Kind::Float, 16) | (Kind::Packed, 32) => by_name!(op, Narrow, |v| F16::wide(v & 0xffff), float),
        (Kind::BFloat, 16) | (Kind::BPacked, 32) => by_name!(op, Narrow, |v| Bf16::wide(v & 0xffff), float),
        (Kind::Signed, 16) => by_name!(op, Narrow, |v| v as i16, int),
        (Kind::Bits | Kind::Unsigned, 16) => by_name!(op, Narrow, |v| v as u16, int),
        (Kind::Signed, 32) => by_name!(op, Narrow, |v| v as i32, int),
        (Kind::Bits | Kind::Unsigned, 32) => by_name!(op, Narrow, |v| v, int),
        (Kind::Signed, 64) => by_name!(op, Wide, |v| v as i64, int),
        (Kind::Bits | Kind::Unsigned, 64) => by_name!(op, Wide, |v| v, int),
        _ => None,
    }
}

fn mask_of<T: Copy>(row: &[T; 32], test: impl Fn(T) -> bool) -> u32 {
    row.iter().enumerate().fold(0, |mask, (i, &v)| mask | u32::from(test(v)) << i)
}

/// `testp` of f32.
pub(crate) fn test32(op: &str) -> Option<FTest> {
    Some(match op {
        "finite" => |a| mask_of(a, |v| f32::from_bits(v).is_finite()),
        "infinite" => |a| mask_of(a, |v| f32::from_bits(v).is_infinite()),
        "number" => |a| mask_of(a, |v| !f32::from_bits(v).is_nan()),
        "notanumber" => |a| mask_of(a, |v| f32::from_bits(v).is_nan()),
        "normal" => |a| mask_of(a, |v| f32::from_bits(v).is_normal()),
        "subnormal" => |a| mask_of(a, |v| f32::from_bits(v).is_subnormal()),
        _ => return None,
    })
}

/// `testp` of f64.
pub(crate) fn test64(op: &str) -> Option<FTestWide> {
    Some(match op {
        "finite" => |a| mask_of(a, |v| f64::from_bits(v).is_finite()),
        "infinite" => |a| mask_of(a, |v| f64::from_bits(v).is_infinite()),
        "number" => |a| mask_of(a, |v| !f64::from_bits(v).is_nan()),
        "notanumber" => |a| mask_of(a, |v| f64::from_bits(v).is_nan()),
        "normal" => |a| mask_of(a, |v| f64::from_bits(v).is_normal()),
        "subnormal" => |a| mask_of(a, |v| f64::from_bits(v).is_subnormal()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unordered_comparisons_see_nan() {
        let ty = Ty { kind: Kind::Float, bits: 32 };
        let row = |x: f32| [x.to_bits(); 32];
        let test = |op: &str, x: f32, y: f32| match compare(op, ty, false, false) {
            Some(Compare::Narrow(f)) => f(&row(x), &row(y)) == !0,
            _ => panic!("no comparison {op}"),
        };
        for op in ["equ", "neu", "ltu", "leu", "gtu", "geu", "nan"] {
            assert!(test(op, f32::NAN, 1.0), "{op}");
        }
        for op in ["eq", "ne", "lt", "le", "gt", "ge", "num"] {
            assert!(!test(op, f32::NAN, 1.0), "{op}");
        }
        assert!(test("ne", 1.0, 2.0) && !test("neu", 0.0, -0.0) && test("ge", 0.0, -0.0));
    }
}
