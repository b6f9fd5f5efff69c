//! Integer arithmetic and logic.

use super::{Binary, Ternary, Unary, row};
use crate::ptx::ast::{Kind, Ty};
use crate::ptx::program::{F1, F2, F3, FJoin, FMadWide, FShift};

/// Defines a function of the type's lanes in the bank that holds the type. Narrow values are kept zero-extended.
macro_rules! typed {
    ($shape:ident, $n:tt, $ty:expr, |$($x:ident),+| $e:expr) => {
        match ($ty.kind, $ty.bits) {
            (Kind::Signed, 16) => Some($shape::Narrow(row!($n, |$($x: u32),+| { $(let $x = $x as i16;)+ ($e) as u16 as u32 }))),
            (Kind::Bits | Kind::Unsigned, 16) => Some($shape::Narrow(row!($n, |$($x: u32),+| { $(let $x = $x as u16;)+ ($e) as u16 as u32 }))),
            (Kind::Signed, 32) => Some($shape::Narrow(row!($n, |$($x: u32),+| { $(let $x = $x as i32;)+ ($e) as u32 }))),
            (Kind::Bits | Kind::Unsigned, 32) => Some($shape::Narrow(row!($n, |$($x: u32),+| { $(let $x = $x;)+ ($e) as u32 }))),
            (Kind::Signed, 64) => Some($shape::Wide(row!($n, |$($x: u64),+| { $(let $x = $x as i64;)+ ($e) as u64 }))),
            (Kind::Bits | Kind::Unsigned, 64) => Some($shape::Wide(row!($n, |$($x: u64),+| { $(let $x = $x;)+ ($e) as u64 }))),
            _ => None,
        }
    };
}

/// Integer operations that PTX defines on both signed and unsigned types, and bit operations.
pub(crate) fn binary(op: &str, ty: Ty) -> Option<Binary> {
    match op {
        "add" => typed!(Binary, 2, ty, |a, b| a.wrapping_add(b)),
        "sub" => typed!(Binary, 2, ty, |a, b| a.wrapping_sub(b)),
        "mul.lo" => typed!(Binary, 2, ty, |a, b| a.wrapping_mul(b)),
        "mul.hi" => mul_hi(ty),
        // Hardware gives all ones for a quotient by zero and the dividend for a remainder.
        "div" => typed!(Binary, 2, ty, |a, b| if b == 0 { !b } else { a.wrapping_div(b) }),
        "rem" => typed!(Binary, 2, ty, |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
        "min" => typed!(Binary, 2, ty, |a, b| a.min(b)),
        "max" => typed!(Binary, 2, ty, |a, b| a.max(b)),
        "and" => typed!(Binary, 2, ty, |a, b| a & b),
        "or" => typed!(Binary, 2, ty, |a, b| a | b),
        "xor" => typed!(Binary, 2, ty, |a, b| a ^ b),
        _ => None,
    }
}

fn mul_hi(ty: Ty) -> Option<Binary> {
    Some(match (ty.kind, ty.bits) {
        (Kind::Signed, 16) => {
            Binary::Narrow(row!(2, |a: u32, b: u32| ((a as i16 as i32 * b as i16 as i32) >> 16) as u16 as u32))
        }
        (_, 16) => Binary::Narrow(row!(2, |a: u32, b: u32| ((a & 0xffff) * (b & 0xffff)) >> 16)),
        (Kind::Signed, 32) => {
            Binary::Narrow(row!(2, |a: u32, b: u32| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32))
        }
        (_, 32) => Binary::Narrow(row!(2, |a: u32, b: u32| ((a as u64 * b as u64) >> 32) as u32)),
        (Kind::Signed, 64) => {
            Binary::Wide(row!(2, |a: u64, b: u64| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64))
        }
        (_, 64) => Binary::Wide(row!(2, |a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64)),
        _ => return None,
    })
}

/// `add.sat.s32` and `sub.sat.s32`.
pub(crate) fn saturating(op: &str) -> Option<F2> {
    Some(match op {
        "add" => row!(2, |a: u32, b: u32| (a as i32).saturating_add(b as i32) as u32),
        "sub" => row!(2, |a: u32, b: u32| (a as i32).saturating_sub(b as i32) as u32),
        _ => return None,
    })
}

/// The `.relu` of `min` and `max`: negative results become 0.
pub(crate) fn relu() -> F1 {
    row!(1, |a: u32| (a as i32).max(0) as u32)
}

/// Two 16-bit integers in a register: `add.u16x2`, `min.s16x2` …
pub(crate) fn packed16(op: &str, signed: bool) -> Option<F2> {
    macro_rules! pair {
        (|$a:ident, $b:ident| $e:expr, $t:ty) => {
            row!(2, |x: u32, y: u32| {
                let one = |$a: $t, $b: $t| -> u32 { ($e) as u16 as u32 };
                one(x as $t, y as $t) | one((x >> 16) as $t, (y >> 16) as $t) << 16
            })
        };
    }
    Some(match (op, signed) {
        ("add", _) => pair!(|a, b| a.wrapping_add(b), u16),
        ("min", false) => pair!(|a, b| a.min(b), u16),
        ("max", false) => pair!(|a, b| a.max(b), u16),
        ("min", true) => pair!(|a, b| a.min(b), i16),
        ("max", true) => pair!(|a, b| a.max(b), i16),
        ("min.relu", true) => pair!(|a, b| a.min(b).max(0), i16),
        ("max.relu", true) => pair!(|a, b| a.max(b).max(0), i16),
        _ => return None,
    })
}

pub(crate) fn unary(op: &str, ty: Ty) -> Option<Unary> {
    match op {
        "not" => typed!(Unary, 1, ty, |a| !a),
        "cnot" => typed!(Unary, 1, ty, |a| if a == 0 { 1 } else { 0 }),
        "neg" => typed!(Unary, 1, ty, |a| a.wrapping_neg()),
        "abs" => Some(match ty.bits {
            16 => Unary::Narrow(row!(1, |a: u32| (a as i16).unsigned_abs() as u32)),
            32 => Unary::Narrow(row!(1, |a: u32| (a as i32).unsigned_abs())),
            _ => Unary::Wide(row!(1, |a: u64| (a as i64).unsigned_abs())),
        }),
        "brev" => typed!(Unary, 1, ty, |a| a.reverse_bits()),
        _ => None,
    }
}

/// `mad.lo` and `mad.hi`, and `sad`: |a - b| + c.
pub(crate) fn ternary(op: &str, ty: Ty) -> Option<Ternary> {
    match op {
        "mad.lo" => typed!(Ternary, 3, ty, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        "mad.hi" => Some(match (ty.kind, ty.bits) {
            (Kind::Signed, 16) => Ternary::Narrow(row!(3, |a: u32, b: u32, c: u32| {
                (((a as i16 as i32 * b as i16 as i32) >> 16) as u16).wrapping_add(c as u16) as u32
            })),
            (_, 16) => {
                Ternary::Narrow(row!(3, |a: u32, b: u32, c: u32| ((((a & 0xffff) * (b & 0xffff)) >> 16) as u16)
                    .wrapping_add(c as u16) as u32))
            }
            (Kind::Signed, 32) => Ternary::Narrow(row!(3, |a: u32, b: u32, c: u32| {
                (((a as i32 as i64 * b as i32 as i64) >> 32) as u32).wrapping_add(c)
            })),
            (_, 32) => {
                Ternary::Narrow(row!(3, |a: u32, b: u32, c: u32| (((a as u64 * b as u64) >> 32) as u32).wrapping_add(c)))
            }
            (Kind::Signed, 64) => Ternary::Wide(row!(3, |a: u64, b: u64, c: u64| {
                (((a as i64 as i128 * b as i64 as i128) >> 64) as u64).wrapping_add(c)
            })),
            (_, 64) => {
                Ternary::Wide(row!(3, |a: u64, b: u64, c: u64| (((a as u128 * b as u128) >> 64) as u64).wrapping_add(c)))
            }
            _ => return None,
        }),
        "sad" => typed!(Ternary, 3, ty, |a, b, c| (if a < b { b.wrapping_sub(a) } else { a.wrapping_sub(b) })
            .wrapping_add(c)),
        _ => None,
    }
}

/// `mul.wide` of 16-bit types, whose product fits the narrow bank.
pub(crate) fn mul_wide16(signed: bool) -> F2 {
    if signed {
        row!(2, |a: u32, b: u32| (a as i16 as i32 * b as i16 as i32) as u32)
    } else {
        row!(2, |a: u32, b: u32| (a & 0xffff) * (b & 0xffff))
    }
}

pub(crate) fn mul_wide32(signed: bool) -> FJoin {
    if signed {
        row!(2, |a: u32, b: u32| (a as i32 as i64 * b as i32 as i64) as u64)
    } else {
        row!(2, |a: u32, b: u32| a as u64 * b as u64)
    }
}

pub(crate) fn mad_wide16(signed: bool) -> F3 {
    if signed {
        row!(3, |a: u32, b: u32, c: u32| ((a as i16 as i32 * b as i16 as i32) as u32).wrapping_add(c))
    } else {
        row!(3, |a: u32, b: u32, c: u32| ((a & 0xffff) * (b & 0xffff)).wrapping_add(c))
    }
}

pub(crate) fn mad_wide32(signed: bool) -> FMadWide {
    if signed {
        row!(3, |a: u32, b: u32, c: u64| ((a as i32 as i64 * b as i32 as i64) as u64).wrapping_add(c))
    } else {
        row!(3, |a: u32, b: u32, c: u64| (a as u64 * b as u64).wrapping_add(c))
    }
}

/// 24-bit products: `mul24.lo` and `mul24.hi`.
pub(crate) fn mul24(high: bool, signed: bool) -> F2 {
    match (high, signed) {
        (false, false) => row!(2, |a: u32, b: u32| ((a & 0xff_ffff) as u64 * (b & 0xff_ffff) as u64) as u32),
        (true, false) => row!(2, |a: u32, b: u32| (((a & 0xff_ffff) as u64 * (b & 0xff_ffff) as u64) >> 16) as u32),
        (false, true) => row!(2, |a: u32, b: u32| (low24(a) * low24(b)) as u32),
        (true, true) => row!(2, |a: u32, b: u32| ((low24(a) * low24(b)) >> 16) as u32),
    }
}

fn low24(a: u32) -> i64 {
    i64::from((a << 8) as i32 >> 8)
}

/// Shifts of narrow types; the count is clamped to the width.
pub(crate) fn shift(op: &str, ty: Ty) -> Option<F2> {
    Some(match (op, ty.kind, ty.bits) {
        ("shl", _, 16) => row!(2, |a: u32, n: u32| if n > 15 { 0 } else { (a << n) & 0xffff }),
        ("shl", _, 32) => row!(2, |a: u32, n: u32| if n > 31 { 0 } else { a << n }),
        ("shr", Kind::Signed, 16) => row!(2, |a: u32, n: u32| (a as i16 >> n.min(15)) as u16 as u32),
        ("shr", Kind::Signed, 32) => row!(2, |a: u32, n: u32| (a as i32 >> n.min(31)) as u32),
        ("shr", _, 16) => row!(2, |a: u32, n: u32| if n > 15 { 0 } else { (a & 0xffff) >> n }),
        ("shr", _, 32) => row!(2, |a: u32, n: u32| if n > 31 { 0 } else { a >> n }),
        _ => return None,
    })
}

pub(crate) fn shift64(op: &str, signed: bool) -> Option<FShift> {
    Some(match (op, signed) {
        ("shl", _) => row!(2, |a: u64, n: u32| if n > 63 { 0 } else { a << n }),
        ("shr", true) => row!(2, |a: u64, n: u32| (a as i64 >> n.min(63)) as u64),
        ("shr", false) => row!(2, |a: u64, n: u32| if n > 63 { 0 } else { a >> n }),
        _ => return None,
    })
}

/// Dot products of bytes: `dp4a.atype.btype`.
pub(crate) fn dp4a(a_signed: bool, b_signed: bool) -> F3 {
    fn dot(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
        (0..4).fold(c, |sum, i| {
            sum.wrapping_add(extend8(a >> (8 * i), a_signed).wrapping_mul(extend8(b >> (8 * i), b_signed)))
        })
    }
    match (a_signed, b_signed) {
        (false, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, false, false)),
        (false, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, false, true)),
        (true, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, true, false)),
        (true, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, true, true)),
    }
}

/// Dot products of two 16-bit values with two bytes of `b`: `dp2a.lo` and `dp2a.hi`.
pub(crate) fn dp2a(a_signed: bool, b_signed: bool, high: bool) -> F3 {
    fn dot(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
        let wide = |v: u32| if a_signed { v as u16 as i16 as u32 } else { v & 0xffff };
        (0..2).fold(c, |sum, i| sum.wrapping_add(wide(a >> (16 * i)).wrapping_mul(extend8(b >> (8 * i), b_signed))))
    }
    match (a_signed, b_signed, high) {
        (false, false, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, false, false)),
        (false, true, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, false, true)),
        (true, false, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, true, false)),
        (true, true, false) => row!(3, |a: u32, b: u32, c: u32| dot(a, b, c, true, true)),
        (false, false, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b >> 16, c, false, false)),
        (false, true, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b >> 16, c, false, true)),
        (true, false, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b >> 16, c, true, false)),
        (true, true, true) => row!(3, |a: u32, b: u32, c: u32| dot(a, b >> 16, c, true, true)),
    }
}

fn extend8(v: u32, signed: bool) -> u32 {
    if signed { v as u8 as i8 as u32 } else { v & 0xff }
}

/// `vabsdiff4`: the absolute differences of four bytes, or their sum added to `c`.
pub(crate) fn byte_differences(sum: bool) -> F3 {
    fn each(a: u32, b: u32) -> [u8; 4] {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        std::array::from_fn(|i| a[i].abs_diff(b[i]))
    }
    if sum {
        row!(3, |a: u32, b: u32, c: u32| each(a, b).iter().fold(c, |sum, &d| sum.wrapping_add(u32::from(d))))
    } else {
        row!(3, |a: u32, b: u32, _c: u32| u32::from_le_bytes(each(a, b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPES: [(Kind, u32); 6] = [
        (Kind::Signed, 16),
        (Kind::Unsigned, 16),
        (Kind::Signed, 32),
        (Kind::Unsigned, 32),
        (Kind::Signed, 64),
        (Kind::Unsigned, 64),
    ];

    /// The value of a register's bits in a type.
    fn value(ty: Ty, bits: u64) -> i128 {
        let shift = 64 - ty.bits;
        if ty.kind == Kind::Signed {
            i128::from((bits << shift) as i64 >> shift)
        } else {
            i128::from(bits << shift >> shift)
        }
    }

    /// The bits of a value, cut to a type.
    fn cut(ty: Ty, value: i128) -> u64 {
        value as u64 & (u64::MAX >> (64 - ty.bits))
    }

    fn run2(f: Binary, a: u64, b: u64) -> u64 {
        match f {
            Binary::Narrow(f) => u64::from(f(&[a as u32; 32], &[b as u32; 32])[7]),
            Binary::Wide(f) => f(&[a; 32], &[b; 32])[7],
        }
    }

    fn run3(f: Ternary, a: u64, b: u64, c: u64) -> u64 {
        match f {
            Ternary::Narrow(f) => u64::from(f(&[a as u32; 32], &[b as u32; 32], &[c as u32; 32])[7]),
            Ternary::Wide(f) => f(&[a; 32], &[b; 32], &[c; 32])[7],
        }
    }

    /// Operands that are often small, huge or close to a power of two.
    fn operand() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0u64..4,
            (0u32..64, -1i64..2).prop_map(|(n, d)| (1u64 << n).wrapping_add_signed(d)),
            Just(u64::MAX)
        ]
    }

    proptest! {
        #[test]
        fn binary_operations_agree_with_i128(a in operand(), b in operand()) {
            for (kind, bits) in TYPES {
                let ty = Ty { kind, bits };
                let (x, y) = (value(ty, a), value(ty, b));
                for op in ["add", "sub", "mul.lo", "mul.hi", "div", "rem", "min", "max", "and", "or", "xor"] {
                    let want = match op {
                        "add" => x + y,
                        "sub" => x - y,
                        "mul.lo" => x.wrapping_mul(y),
                        "mul.hi" if kind == Kind::Unsigned => ((x as u128 * y as u128) >> bits) as i128,
                        "mul.hi" => (x * y) >> bits,
                        "div" => if y == 0 { -1 } else { x / y },
                        "rem" => if y == 0 { x } else { x % y },
                        "min" => x.min(y),
                        "max" => x.max(y),
                        "and" => x & y,
                        "or" => x | y,
                        _ => x ^ y,
                    };
                    let got = run2(binary(op, ty).unwrap(), a, b);
                    prop_assert_eq!(got, cut(ty, want), "{} {:?} {:#x} {:#x}", op, ty, a, b);
                }
            }
        }

        #[test]
        fn ternary_operations_agree_with_i128(a in operand(), b in operand(), c in operand()) {
            for (kind, bits) in TYPES {
                let ty = Ty { kind, bits };
                let (x, y, z) = (value(ty, a), value(ty, b), value(ty, c));
                let high = if kind == Kind::Unsigned { ((x as u128 * y as u128) >> bits) as i128 } else { (x * y) >> bits };
                for (op, want) in [("mad.lo", x.wrapping_mul(y).wrapping_add(z)), ("mad.hi", high + z), ("sad", (x - y).abs() + z)] {
                    let got = run3(ternary(op, ty).unwrap(), a, b, c);
                    prop_assert_eq!(got, cut(ty, want), "{} {:?}", op, ty);
                }
            }
            let wide = |kind| (value(Ty { kind, bits: 32 }, a), value(Ty { kind, bits: 32 }, b));
            for (kind, signed) in [(Kind::Signed, true), (Kind::Unsigned, false)] {
                let (x, y) = wide(kind);
                prop_assert_eq!(mul_wide32(signed)(&[a as u32; 32], &[b as u32; 32])[0], (x * y) as u64);
                prop_assert_eq!(mad_wide32(signed)(&[a as u32; 32], &[b as u32; 32], &[c; 32])[0], (x * y + i128::from(c)) as u64);
            }
        }

        #[test]
        fn shifts_clamp_their_count(a in operand(), n in prop_oneof![0u32..70, any::<u32>()]) {
            for (kind, bits) in TYPES {
                let ty = Ty { kind, bits };
                let by = n.min(bits);
                let left = if n >= bits { 0 } else { value(ty, a) << by };
                let right = value(ty, a) >> by;
                for (op, want) in [("shl", left), ("shr", right)] {
                    let got = if bits == 64 {
                        shift64(op, kind == Kind::Signed).unwrap()(&[a; 32], &[n; 32])[0]
                    } else {
                        u64::from(shift(op, ty).unwrap()(&[a as u32; 32], &[n; 32])[0])
                    };
                    prop_assert_eq!(got & (u64::MAX >> (64 - bits)), cut(ty, want), "{} {:?} {:#x} {}", op, ty, a, n);
                }
            }
        }
    }

    #[test]
    fn byte_differences_add_up() {
        let (a, b) = ([0x01ff_8000; 32], [0xff01_7f05; 32]);
        assert_eq!(byte_differences(false)(&a, &b, &[0; 32])[0], 0xfefe_0105);
        assert_eq!(byte_differences(true)(&a, &b, &[10; 32])[0], 254 + 254 + 1 + 5 + 10);
    }
}
