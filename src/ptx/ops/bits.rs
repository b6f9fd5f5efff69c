//! Bits and bytes: shifts across words, truth tables, permutations, fields, counts.

use super::row;
use crate::ptx::program::{F1, F2, F3, F4, FField, FInsert, FNarrow};

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

/// `fns`: the position of the n-th set bit of a mask, counted up or down from a base; all ones if there is none.
pub(crate) fn nth_set() -> F3 {
    fn find(mask: u32, base: u32, n: i32) -> Option<u32> {
        let set = |i: &u32| mask >> i & 1 == 1;
        let base = (base < 32).then_some(base)?;
        match n {
            0 => Some(base).filter(set),
            1.. => (base..32).filter(set).nth(n as usize - 1),
            _ => (0..=base).rev().filter(set).nth(n.unsigned_abs() as usize - 1),
        }
    }
    row!(3, |mask: u32, base: u32, n: u32| find(mask, base, n as i32).unwrap_or(!0))
}

/// `popc`, `clz`, `bfind`: results are 32-bit whatever the source.
pub(crate) fn count32(op: &str) -> Option<F1> {
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

pub(crate) fn count64(op: &str) -> Option<FNarrow> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bit_fields_agree_with_a_bit_by_bit_reading(a: u64, b: u64, pos in 0u32..256, len in 0u32..256) {
            for bits in [32u32, 64] {
                for signed in [false, true] {
                    let bit = |i: u32| i < bits && a >> i & 1 == 1;
                    let sign = signed && len > 0 && bit((pos + len - 1).min(bits - 1));
                    let want = (0..bits).fold(0u64, |v, i| v | u64::from(if i < len && pos + i < bits { bit(pos + i) } else { sign }) << i);
                    let got = if bits == 64 {
                        extract64(signed)(&[a; 32], &[pos; 32], &[len; 32])[0]
                    } else {
                        u64::from(extract32(signed)(&[a as u32; 32], &[pos; 32], &[len; 32])[0])
                    };
                    prop_assert_eq!(got, want, "bfe {} {} {} {}", bits, signed, pos, len);
                }
                let inside = |i: u32| i >= pos && i - pos < len;
                let want = (0..bits).fold(0u64, |v, i| v | (if inside(i) { a >> (i - pos) } else { b >> i } & 1) << i);
                let got = if bits == 64 {
                    insert64()(&[a; 32], &[b; 32], &[pos; 32], &[len; 32])[0]
                } else {
                    u64::from(insert32()(&[a as u32; 32], &[b as u32; 32], &[pos; 32], &[len; 32])[0])
                };
                prop_assert_eq!(got, want, "bfi {} {} {}", bits, pos, len);
            }
        }

        #[test]
        fn lop3_is_its_truth_table(a: u32, b: u32, c: u32, table in 0u32..256) {
            let got = lop3()(&[a; 32], &[b; 32], &[c; 32], &[table; 32])[0];
            let want = (0..32).fold(0, |v, i| {
                let row = (a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1;
                v | (table >> row & 1) << i
            });
            prop_assert_eq!(got, want);
        }

        #[test]
        fn permutations_pick_bytes(a: u32, b: u32, sel: u32) {
            let bytes: Vec<u8> = a.to_le_bytes().into_iter().chain(b.to_le_bytes()).collect();
            let want = u32::from_le_bytes(std::array::from_fn(|i| {
                let s = sel >> (4 * i) & 15;
                let byte = bytes[s as usize & 7];
                if s & 8 == 0 { byte } else if byte & 0x80 != 0 { 0xff } else { 0 }
            }));
            prop_assert_eq!(permute("").unwrap()(&[a; 32], &[b; 32], &[sel; 32])[0], want);
            let n = (sel & 3) as usize;
            let forward = u32::from_le_bytes(std::array::from_fn(|i| bytes[n + i]));
            prop_assert_eq!(permute("f4e").unwrap()(&[a; 32], &[b; 32], &[sel; 32])[0], forward);
        }
    }

    #[test]
    fn the_nth_set_bit_is_found_in_both_directions() {
        let find = |mask: u32, base: u32, n: i32| nth_set()(&[mask; 32], &[base; 32], &[n as u32; 32])[0];
        assert_eq!([find(0b1011_0010, 0, 1), find(0b1011_0010, 1, 2), find(0b1011_0010, 31, -1)], [1, 4, 7]);
        assert_eq!([find(0b10, 1, 0), find(0b10, 2, 0), find(0b10, 0, 2)], [1, !0, !0]);
    }

    #[test]
    fn counts_of_zero() {
        let zero = [0; 32];
        assert_eq!(count32("clz").unwrap()(&zero)[0], 32);
        assert_eq!(count32("bfind.u").unwrap()(&zero)[0], u32::MAX);
        assert_eq!(count64("clz").unwrap()(&[0; 32])[0], 64);
        assert_eq!(count32("bfind.s").unwrap()(&[u32::MAX; 32])[0], u32::MAX);
    }
}
