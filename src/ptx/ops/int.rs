//! Integer, bit and byte instructions.

use super::{Binary, Ternary, Unary, row};
use crate::ptx::ast::{Kind, Ty};
use crate::ptx::program::{F2, F3, F4, FField, FInsert, FJoin, FMadWide, FShift};

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
        (_, 16) => Binary::Narrow(row!(2, |a: u32, b: u32| (a * b) >> 16)),
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
                Ternary::Narrow(row!(3, |a: u32, b: u32, c: u32| (((a * b) >> 16) as u16).wrapping_add(c as u16) as u32))
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

/// Funnel shifts of `hi:lo`.
pub(crate) fn funnel(left: bool, wrap: bool) -> F3 {
    fn pair(lo: u32, hi: u32) -> u64 {
        u64::from(hi) << 32 | u64::from(lo)
    }
    match (left, wrap) {
        (true, true) => row!(3, |lo: u32, hi: u32, n: u32| ((pair(lo, hi) << (n & 31)) >> 32) as u32),
        (true, false) => row!(3, |lo: u32, hi: u32, n: u32| ((pair(lo, hi) << n.min(32)) >> 32) as u32),
        (false, true) => row!(3, |lo: u32, hi: u32, n: u32| (pair(lo, hi) >> (n & 31)) as u32),
        (false, false) => row!(3, |lo: u32, hi: u32, n: u32| (pair(lo, hi) >> n.min(32)) as u32),
    }
}

/// Any Boolean function of three inputs, by its truth table.
pub(crate) fn lop3() -> F4 {
    row!(4, |a: u32, b: u32, c: u32, table: u32| {
        let mut out = 0;
        let mut bit = 0;
        while bit < 8 {
            let pick = |x: u32, on: u32| if on != 0 { x } else { !x };
            let hit = pick(a, bit & 4) & pick(b, bit & 2) & pick(c, bit & 1);
            out |= if table >> bit & 1 == 1 { hit } else { 0 };
            bit += 1;
        }
        out
    })
}

/// `prmt` in its modes; the default picks four bytes of `b:a`, each with optional sign replication.
pub(crate) fn permute(mode: &str) -> Option<F3> {
    fn pair(a: u32, b: u32) -> u64 {
        u64::from(b) << 32 | u64::from(a)
    }
    fn bytes(a: u32, b: u32, index: [u32; 4]) -> u32 {
        index.iter().enumerate().fold(0, |out, (i, n)| out | ((pair(a, b) >> (8 * (n & 7))) as u32 & 0xff) << (8 * i))
    }
    Some(match mode {
        "" => row!(3, |a: u32, b: u32, sel: u32| {
            let p = pair(a, b);
            let mut out = 0u32;
            let mut i = 0;
            while i < 4 {
                let s = sel >> (4 * i);
                let byte = (p >> (8 * (s & 7))) as u8;
                let byte = if s & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte };
                out |= u32::from(byte) << (8 * i);
                i += 1;
            }
            out
        }),
        "f4e" => row!(3, |a: u32, b: u32, n: u32| bytes(a, b, [n & 3, (n & 3) + 1, (n & 3) + 2, (n & 3) + 3])),
        "b4e" => row!(3, |a: u32, b: u32, n: u32| {
            let n = n & 3;
            bytes(a, b, [n, n.wrapping_sub(1), n.wrapping_sub(2), n.wrapping_sub(3)])
        }),
        "rc8" => row!(3, |a: u32, b: u32, n: u32| bytes(a, b, [n & 3; 4])),
        "ecl" => row!(3, |a: u32, b: u32, n: u32| bytes(a, b, std::array::from_fn(|i| (i as u32).max(n & 3)))),
        "ecr" => row!(3, |a: u32, b: u32, n: u32| bytes(a, b, std::array::from_fn(|i| (i as u32).min(n & 3)))),
        "rc16" => row!(3, |a: u32, b: u32, n: u32| {
            let n = (n & 1) * 2;
            bytes(a, b, [n, n + 1, n, n + 1])
        }),
        _ => return None,
    })
}

/// Bit fields. Position and length are bytes, as PTX states.
pub(crate) fn extract32(signed: bool) -> F3 {
    if signed {
        row!(3, |a: u32, pos: u32, len: u32| extract(a as i32 as i64 as u64, 32, pos, len, true) as u32)
    } else {
        row!(3, |a: u32, pos: u32, len: u32| extract(u64::from(a), 32, pos, len, false) as u32)
    }
}

pub(crate) fn extract64(signed: bool) -> FField {
    if signed {
        row!(3, |a: u64, pos: u32, len: u32| extract(a, 64, pos, len, true))
    } else {
        row!(3, |a: u64, pos: u32, len: u32| extract(a, 64, pos, len, false))
    }
}

fn extract(a: u64, width: u32, pos: u32, len: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    // The sign of a field that reaches past the top is the operand's own top bit.
    let top = (pos + len).saturating_sub(1).min(width - 1);
    let sign = signed && len != 0 && a >> top & 1 == 1;
    let field = if pos < width { a >> pos } else { 0 };
    let valid = len.min(width.saturating_sub(pos));
    let mask = if valid >= 64 { !0 } else { (1u64 << valid) - 1 };
    if sign { field & mask | !mask } else { field & mask }
}

pub(crate) fn insert32() -> F4 {
    row!(4, |a: u32, b: u32, pos: u32, len: u32| insert(u64::from(a), u64::from(b), 32, pos, len) as u32)
}

pub(crate) fn insert64() -> FInsert {
    row!(4, |a: u64, b: u64, pos: u32, len: u32| insert(a, b, 64, pos, len))
}

fn insert(a: u64, b: u64, width: u32, pos: u32, len: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    let len = len.min(width.saturating_sub(pos));
    if len == 0 {
        return b;
    }
    let mask = (!0u64 >> (64 - len)) << pos;
    b & !mask | a << pos & mask
}

/// `bmsk`: a mask of `len` bits from `pos`.
pub(crate) fn bit_mask(clamp: bool) -> F2 {
    fn mask(pos: u32, len: u32) -> u32 {
        let ones = if len > 31 { !0 } else { (1u32 << len) - 1 };
        if pos > 31 { 0 } else { ones << pos }
    }
    if clamp {
        row!(2, |pos: u32, len: u32| mask(pos, len))
    } else {
        row!(2, |pos: u32, len: u32| mask(pos & 31, len & 31))
    }
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

/// `popc`, `clz`, `bfind`: results are 32-bit whatever the source.
pub(crate) fn count32(op: &str) -> Option<crate::ptx::program::F1> {
    Some(match op {
        "popc" => row!(1, |a: u32| a.count_ones()),
        "clz" => row!(1, |a: u32| a.leading_zeros()),
        "bfind.u" => row!(1, |a: u32| 31u32.wrapping_sub(a.leading_zeros())),
        "bfind.s" => row!(1, |a: u32| 31u32.wrapping_sub((a ^ (a as i32 >> 31) as u32).leading_zeros())),
        "bfind.shiftamt.u" => row!(1, |a: u32| if a == 0 { !0 } else { a.leading_zeros() }),
        "bfind.shiftamt.s" => row!(1, |a: u32| {
            let a = a ^ (a as i32 >> 31) as u32;
            if a == 0 { !0 } else { a.leading_zeros() }
        }),
        _ => return None,
    })
}

pub(crate) fn count64(op: &str) -> Option<crate::ptx::program::FNarrow> {
    Some(match op {
        "popc" => row!(1, |a: u64| a.count_ones()),
        "clz" => row!(1, |a: u64| a.leading_zeros()),
        "bfind.u" => row!(1, |a: u64| 63u32.wrapping_sub(a.leading_zeros())),
        "bfind.s" => row!(1, |a: u64| 63u32.wrapping_sub((a ^ (a as i64 >> 63) as u64).leading_zeros())),
        "bfind.shiftamt.u" => row!(1, |a: u64| if a == 0 { !0 } else { a.leading_zeros() }),
        "bfind.shiftamt.s" => row!(1, |a: u64| {
            let a = a ^ (a as i64 >> 63) as u64;
            if a == 0 { !0 } else { a.leading_zeros() }
        }),
        _ => return None,
    })
}
