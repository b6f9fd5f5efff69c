//! `cvt` in all its forms, as a short chain of steps between the banks.
//!
//! Narrow values carry no promise about the bits above their width: whoever reads one cuts it to size first. Hence an integer
//! conversion is "extend the source" followed by "cut to the destination", and either may be empty.

use super::half::{Bf16, F16, Format};
use super::round::mode::*;
use super::round::{add_odd, canonical, flush, integral, narrow, narrow_odd};
use super::row;
use crate::ptx::ast::{Kind, Ty};
use crate::ptx::program::{F1, F1Wide, F2, F3, FNarrow, FWiden};

/// One step of a conversion.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Narrow(F1),
    Wide(F1Wide),
    Widen(FWiden),
    Shorten(FNarrow),
}

/// The modifiers of a `cvt`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CvtMods {
    /// A direction of [`mode`](super::round::mode), from `.rn` …
    pub round: Option<u8>,
    /// … or from `.rni` …
    pub to_integral: Option<u8>,
    pub ftz: bool,
    pub sat: bool,
    pub relu: bool,
}

/// The steps of `cvt.dst.src`, or `None` where the combination does not exist.
pub(crate) fn plan(dst: Ty, src: Ty, mods: CvtMods) -> Option<Vec<Step>> {
    let mut steps = match (is_float(src), is_float(dst)) {
        (false, false) => int_to_int(dst, src, mods)?,
        (false, true) => int_to_float(dst, src, mods)?,
        (true, false) => vec![float_to_int(dst, src, mods)?],
        (true, true) => float_to_float(dst, src, mods)?,
    };
    if is_float(dst) && mods.sat {
        steps.push(match (dst.kind, dst.bits) {
            (Kind::Float, 32) => Step::Narrow(super::float::saturate32()),
            (kind, 16) => Step::Narrow(super::half::unary("sat", kind == Kind::BFloat, false)?),
            _ => return None,
        });
    }
    if mods.relu {
        match (dst.kind, dst.bits) {
            (kind, 16) => steps.push(Step::Narrow(super::half::unary("relu", kind == Kind::BFloat, false)?)),
            _ => return None,
        }
    }
    Some(steps)
}

fn is_float(ty: Ty) -> bool {
    matches!(ty.kind, Kind::Float | Kind::BFloat)
}

fn signed(ty: Ty) -> bool {
    ty.kind == Kind::Signed
}

/// Cuts a value of the narrow bank to a type and extends it to the row's 32 bits.
fn cut(ty: Ty) -> Option<Step> {
    Some(Step::Narrow(match (ty.bits, signed(ty)) {
        (8, true) => row!(1, |a: u32| a as i8 as u32),
        (8, false) => row!(1, |a: u32| a & 0xff),
        (16, true) => row!(1, |a: u32| a as i16 as u32),
        (16, false) => row!(1, |a: u32| a & 0xffff),
        _ => return None,
    }))
}

fn int_to_int(dst: Ty, src: Ty, mods: CvtMods) -> Option<Vec<Step>> {
    if mods.round.is_some() || mods.to_integral.is_some() || mods.ftz {
        return None;
    }
    let mut steps: Vec<Step> = cut(src).into_iter().collect();
    if mods.sat {
        // Through 64 bits: every source fits i64 except large u64, which the clamp below takes as unsigned.
        if src.bits < 64 {
            steps.push(Step::Widen(if signed(src) {
                row!(1, |a: u32| a as i32 as u64)
            } else {
                row!(1, |a: u32| u64::from(a))
            }));
        }
        if !signed(src) {
            steps.push(Step::Wide(row!(1, |a: u64| a.min(i64::MAX as u64))));
        }
        match (dst.bits, signed(dst)) {
            (8, true) => steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(-128, 127) as u32))),
            (8, false) => steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(0, 255) as u32))),
            (16, true) => steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(-32768, 32767) as u32))),
            (16, false) => steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(0, 65535) as u32))),
            (32, true) => {
                steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(i32::MIN.into(), i32::MAX.into()) as u32)))
            }
            (32, false) => steps.push(Step::Shorten(row!(1, |a: u64| (a as i64).clamp(0, u32::MAX.into()) as u32))),
            (64, false) if signed(src) => steps.push(Step::Wide(row!(1, |a: u64| (a as i64).max(0) as u64))),
            (64, s) if s == signed(src) || src.bits < 64 => {}
            (64, true) => {}
            _ => return None,
        }
        return Some(steps);
    }
    match (src.bits, dst.bits) {
        (64, 64) => {}
        (64, _) => {
            steps.push(Step::Shorten(row!(1, |a: u64| a as u32)));
            steps.extend(cut(dst));
        }
        (_, 64) => steps.push(Step::Widen(if signed(src) {
            row!(1, |a: u32| a as i32 as u64)
        } else {
            row!(1, |a: u32| u64::from(a))
        })),
        (s, d) if d <= s => steps = cut(dst).into_iter().collect(),
        (_, d) if d < 32 => steps.extend(cut(dst)),
        _ => {}
    }
    Some(steps)
}

/// A 64-bit integer in f64, rounded to odd.
fn wide_odd(high: i64, low: u32) -> f64 {
    add_odd(high as f64 * 4294967296.0, f64::from(low))
}

fn int_to_float(dst: Ty, src: Ty, mods: CvtMods) -> Option<Vec<Step>> {
    let mode = mods.round?;
    if mods.to_integral.is_some() {
        return None;
    }
    macro_rules! directed {
        (|$a:ident: $t:ty| $odd:expr) => {
            match mode {
                RZ => row!(1, |$a: $t| canonical(narrow::<RZ>($odd))),
                RM => row!(1, |$a: $t| canonical(narrow::<RM>($odd))),
                _ => row!(1, |$a: $t| canonical(narrow::<RP>($odd))),
            }
        };
    }
    let mut steps: Vec<Step> = cut(src).into_iter().collect();
    let s = signed(src);
    steps.push(match (dst.kind, dst.bits, src.bits == 64) {
        (Kind::Float, 32, false) if mode == RN => Step::Narrow(if s {
            row!(1, |a: u32| (a as i32 as f32).to_bits())
        } else {
            row!(1, |a: u32| (a as f32).to_bits())
        }),
        (Kind::Float, 32, false) if s => Step::Narrow(directed!(|a: u32| f64::from(a as i32))),
        (Kind::Float, 32, false) => Step::Narrow(directed!(|a: u32| f64::from(a))),
        (Kind::Float, 32, true) if mode == RN => Step::Shorten(if s {
            row!(1, |a: u64| (a as i64 as f32).to_bits())
        } else {
            row!(1, |a: u64| (a as f32).to_bits())
        }),
        (Kind::Float, 32, true) if s => Step::Shorten(directed!(|a: u64| wide_odd(a as i64 >> 32, a as u32))),
        (Kind::Float, 32, true) => Step::Shorten(directed!(|a: u64| wide_odd((a >> 32) as i64, a as u32))),
        (Kind::Float, 64, false) => Step::Widen(if s {
            row!(1, |a: u32| f64::from(a as i32).to_bits())
        } else {
            row!(1, |a: u32| f64::from(a).to_bits())
        }),
        (Kind::Float, 64, true) if mode == RN => Step::Wide(if s {
            row!(1, |a: u64| (a as i64 as f64).to_bits())
        } else {
            row!(1, |a: u64| (a as f64).to_bits())
        }),
        (_, 16, _) => {
            // Through f64, which holds 32-bit integers exactly and others rounded to odd.
            steps.push(match (src.bits == 64, s) {
                (false, true) => Step::Widen(row!(1, |a: u32| f64::from(a as i32).to_bits())),
                (false, false) => Step::Widen(row!(1, |a: u32| f64::from(a).to_bits())),
                (true, true) => Step::Wide(row!(1, |a: u64| wide_odd(a as i64 >> 32, a as u32).to_bits())),
                (true, false) => Step::Wide(row!(1, |a: u64| wide_odd((a >> 32) as i64, a as u32).to_bits())),
            });
            let double = Ty { kind: Kind::Float, bits: 64 };
            steps.extend(float_to_float(dst, double, CvtMods { round: Some(mode), ..CvtMods::default() })?);
            return Some(steps);
        }
        _ => return None,
    });
    Some(steps)
}

/// Rounds to an integral f32. Adding and taking away 2^23 rounds to nearest even without a library call.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    let big = 8388608f32.copysign(x);
    let rounded = ((x + big) - big).copysign(x);
    if x.abs() < 8388608.0 { rounded } else { x }
}

/// Floats become integers by rounding and clamping. NaN becomes 0, or the top bit alone where 64-bit types take part.
fn float_to_int(dst: Ty, src: Ty, mods: CvtMods) -> Option<Step> {
    let mode = mods.to_integral?;
    if mods.round.is_some() {
        return None;
    }
    /// Cases by destination, for a source lane type and its conversion to f64.
    macro_rules! by_dst {
        ($shape:ident, $wide_shape:ident, |$a:ident: $t:ty| $x:expr, $mode:ident, $nan32:expr) => {{
            match (dst.bits, signed(dst)) {
                (8, true) => Step::$shape(row!(1, |$a: $t| integral::<$mode>($x) as i8 as u32)),
                (8, false) => Step::$shape(row!(1, |$a: $t| integral::<$mode>($x) as u8 as u32)),
                (16, true) => Step::$shape(row!(1, |$a: $t| integral::<$mode>($x) as i16 as u32)),
                (16, false) => Step::$shape(row!(1, |$a: $t| integral::<$mode>($x) as u16 as u32)),
                (32, true) => Step::$shape(row!(1, |$a: $t| if $nan32 && $x.is_nan() {
                    1 << 31
                } else {
                    integral::<$mode>($x) as i32 as u32
                })),
                (32, false) => Step::$shape(row!(1, |$a: $t| if $nan32 && $x.is_nan() {
                    1 << 31
                } else {
                    integral::<$mode>($x) as u32
                })),
                (64, true) => Step::$wide_shape(row!(1, |$a: $t| if $x.is_nan() {
                    1 << 63
                } else {
                    integral::<$mode>($x) as i64 as u64
                })),
                (64, false) => Step::$wide_shape(row!(1, |$a: $t| if $x.is_nan() {
                    1 << 63
                } else {
                    integral::<$mode>($x) as u64
                })),
                _ => return None,
            }
        }};
    }
    macro_rules! by_mode {
        ($shape:ident, $wide_shape:ident, |$a:ident: $t:ty| $x:expr, $nan32:expr) => {
            match mode {
                RN => by_dst!($shape, $wide_shape, |$a: $t| $x, RN, $nan32),
                RZ => by_dst!($shape, $wide_shape, |$a: $t| $x, RZ, $nan32),
                RM => by_dst!($shape, $wide_shape, |$a: $t| $x, RM, $nan32),
                _ => by_dst!($shape, $wide_shape, |$a: $t| $x, RP, $nan32),
            }
        };
    }
    Some(match (src.kind, src.bits) {
        (Kind::Float, 32) if mods.ftz => by_mode!(Narrow, Widen, |a: u32| f64::from(f32::from_bits(flush(a))), false),
        // The conversions of quantised kernels, kept free of library calls.
        (Kind::Float, 32) if mode == RN && dst.bits == 32 && signed(dst) => {
            Step::Narrow(row!(1, |a: u32| nearest(f32::from_bits(a)) as i32 as u32))
        }
        (Kind::Float, 32) if mode == RN && dst.bits == 8 && signed(dst) => {
            Step::Narrow(row!(1, |a: u32| nearest(f32::from_bits(a)) as i8 as u32))
        }
        (Kind::Float, 32) => by_mode!(Narrow, Widen, |a: u32| f64::from(f32::from_bits(a)), false),
        (Kind::Float, 64) => by_mode!(Shorten, Wide, |a: u64| f64::from_bits(a), true),
        (Kind::Float, 16) => by_mode!(Narrow, Widen, |a: u32| f64::from(F16::wide(a & 0xffff)), false),
        (Kind::BFloat, 16) => by_mode!(Narrow, Widen, |a: u32| f64::from(Bf16::wide(a & 0xffff)), false),
        _ => return None,
    })
}

/// Rounds an f32 to a 16-bit format in a direction.
#[inline(always)]
fn round_to<T: Format, const MODE: u8>(x: f32) -> u32 {
    let near = T::round(x);
    let back = T::wide(near);
    let too_far = match MODE {
        RZ => back.abs() > x.abs(),
        RM => back > x,
        RP => back < x,
        _ => false,
    };
    if !too_far {
        return near;
    }
    // One step toward zero shrinks the magnitude; one step down from a negative value grows it.
    let shrink = MODE == RZ || (MODE == RM) == (near & 0x8000 == 0);
    // From a zero, the step is to the smallest value of the same sign.
    if near & 0x7fff == 0 {
        near | 1
    } else if shrink {
        near - 1
    } else {
        near + 1
    }
}

fn float_to_float(dst: Ty, src: Ty, mods: CvtMods) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    if mods.ftz && (src.kind, src.bits) == (Kind::Float, 32) {
        steps.push(Step::Narrow(row!(1, flush)));
    }
    if let Some(mode) = mods.to_integral {
        if dst != src || mods.round.is_some() {
            return None;
        }
        macro_rules! whole {
            ($mode:ident) => {
                match (src.kind, src.bits) {
                    (Kind::Float, 32) if mode == RN => {
                        Step::Narrow(row!(1, |a: u32| canonical(nearest(f32::from_bits(a)))))
                    }
                    (Kind::Float, 32) => Step::Narrow(row!(1, |a: u32| canonical(integral::<$mode>(f64::from(
                        f32::from_bits(a)
                    )) as f32))),
                    (Kind::Float, 64) => Step::Wide(row!(1, |a: u64| integral::<$mode>(f64::from_bits(a)).to_bits())),
                    (Kind::Float, 16) => Step::Narrow(row!(1, |a: u32| F16::round(integral::<$mode>(f64::from(
                        F16::wide(a & 0xffff)
                    )) as f32))),
                    (Kind::BFloat, 16) => Step::Narrow(row!(1, |a: u32| Bf16::round(integral::<$mode>(f64::from(
                        Bf16::wide(a & 0xffff)
                    )) as f32))),
                    _ => return None,
                }
            };
        }
        steps.push(match mode {
            RN => whole!(RN),
            RZ => whole!(RZ),
            RM => whole!(RM),
            _ => whole!(RP),
        });
        return Some(steps);
    }
    let narrowing = dst.bits < src.bits || dst.bits == src.bits && dst.kind != src.kind;
    if narrowing != mods.round.is_some() {
        return None;
    }
    let mode = mods.round.unwrap_or(RN);
    macro_rules! directed {
        ($shape:ident, |$a:ident: $t:ty| $f:ident ( $x:expr )) => {
            match mode {
                RN => Step::$shape(row!(1, |$a: $t| $f::<RN>($x))),
                RZ => Step::$shape(row!(1, |$a: $t| $f::<RZ>($x))),
                RM => Step::$shape(row!(1, |$a: $t| $f::<RM>($x))),
                _ => Step::$shape(row!(1, |$a: $t| $f::<RP>($x))),
            }
        };
    }
    fn to_f16<const MODE: u8>(x: f32) -> u32 {
        round_to::<F16, MODE>(x)
    }
    fn to_bf16<const MODE: u8>(x: f32) -> u32 {
        round_to::<Bf16, MODE>(x)
    }
    fn to_f32<const MODE: u8>(x: f64) -> u32 {
        canonical(narrow::<MODE>(x))
    }
    let step = match ((src.kind, src.bits), (dst.kind, dst.bits)) {
        (a, b) if a == b => None,
        ((Kind::Float, 16), (Kind::Float, 32)) => {
            Some(Step::Narrow(row!(1, |a: u32| canonical(F16::wide(a & 0xffff)))))
        }
        ((Kind::BFloat, 16), (Kind::Float, 32)) => {
            Some(Step::Narrow(row!(1, |a: u32| canonical(Bf16::wide(a & 0xffff)))))
        }
        ((Kind::Float, 32), (Kind::Float, 16)) => Some(directed!(Narrow, |a: u32| to_f16(f32::from_bits(a)))),
        ((Kind::Float, 32), (Kind::BFloat, 16)) => Some(directed!(Narrow, |a: u32| to_bf16(f32::from_bits(a)))),
        ((Kind::Float, 32), (Kind::Float, 64)) => {
            Some(Step::Widen(row!(1, |a: u32| f64::from(f32::from_bits(a)).to_bits())))
        }
        ((Kind::Float, 64), (Kind::Float, 32)) => Some(directed!(Shorten, |a: u64| to_f32(f64::from_bits(a)))),
        ((Kind::Float, 16), (Kind::Float, 64)) => {
            Some(Step::Widen(row!(1, |a: u32| f64::from(F16::wide(a & 0xffff)).to_bits())))
        }
        ((Kind::BFloat, 16), (Kind::Float, 64)) => {
            Some(Step::Widen(row!(1, |a: u32| f64::from(Bf16::wide(a & 0xffff)).to_bits())))
        }
        ((Kind::Float, 64), (Kind::Float, 16)) => {
            Some(directed!(Shorten, |a: u64| to_f16(narrow_odd(f64::from_bits(a)))))
        }
        ((Kind::Float, 64), (Kind::BFloat, 16)) => {
            Some(directed!(Shorten, |a: u64| to_bf16(narrow_odd(f64::from_bits(a)))))
        }
        ((Kind::Float, 16), (Kind::BFloat, 16)) => Some(directed!(Narrow, |a: u32| to_bf16(F16::wide(a & 0xffff)))),
        ((Kind::BFloat, 16), (Kind::Float, 16)) => Some(directed!(Narrow, |a: u32| to_f16(Bf16::wide(a & 0xffff)))),
        _ => return None,
    };
    steps.extend(step);
    if mods.ftz && (dst.kind, dst.bits) == (Kind::Float, 32) && src.bits != 32 {
        steps.push(Step::Narrow(row!(1, flush)));
    }
    Some(steps)
}

/// `cvt.rn.f16x2.f32 d, a, b`: `a` goes to the upper half.
pub(crate) fn pair(bf16: bool, mode: u8, ftz: bool) -> Option<F2> {
    macro_rules! two {
        ($t:ty, $mode:ident) => {
            row!(2, |a: u32, b: u32| round_to::<$t, $mode>(f32::from_bits(a)) << 16
                | round_to::<$t, $mode>(f32::from_bits(b)))
        };
    }
    if ftz {
        return None;
    }
    Some(match (bf16, mode) {
        (false, RN) => two!(F16, RN),
        (false, RZ) => two!(F16, RZ),
        (true, RN) => two!(Bf16, RN),
        (true, RZ) => two!(Bf16, RZ),
        _ => return None,
    })
}

/// `cvt.rna.tf32.f32` (nearest, ties away) and `cvt.rn.tf32.f32`, `cvt.rz.tf32.f32`.
pub(crate) fn tf32(round: &str) -> Option<F1> {
    fn cut(bits: u32, add: u32) -> u32 {
        if bits & 0x7f80_0000 == 0x7f80_0000 {
            canonical(f32::from_bits(bits))
        } else {
            bits.wrapping_add(add) & !0x1fff
        }
    }
    Some(match round {
        "rna" => row!(1, |a: u32| cut(a, 0x1000)),
        "rn" => row!(1, |a: u32| cut(a, 0xfff + (a >> 13 & 1))),
        "rz" => row!(1, |a: u32| cut(a, 0)),
        _ => return None,
    })
}

/// `cvt.pack.sat.T.s32`: two values saturated to 16 bits, `a` above `b`.
pub(crate) fn pack16(signed: bool) -> F2 {
    if signed {
        row!(2, |a: u32, b: u32| (clamp(a, -32768, 32767) & 0xffff) << 16 | clamp(b, -32768, 32767) & 0xffff)
    } else {
        row!(2, |a: u32, b: u32| clamp(a, 0, 65535) << 16 | clamp(b, 0, 65535))
    }
}

/// `cvt.pack.sat.T.s32.b32`: two values saturated to 8 bits, `a` above `b`, below `c` shifted up by both.
pub(crate) fn pack8(signed: bool) -> F3 {
    if signed {
        row!(3, |a: u32, b: u32, c: u32| c << 16 | (clamp(a, -128, 127) & 0xff) << 8 | clamp(b, -128, 127) & 0xff)
    } else {
        row!(3, |a: u32, b: u32, c: u32| c << 16 | clamp(a, 0, 255) << 8 | clamp(b, 0, 255))
    }
}

fn clamp(a: u32, low: i32, high: i32) -> u32 {
    (a as i32).clamp(low, high) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(name: &str) -> Ty {
        Ty::parse(name).unwrap()
    }

    /// Runs a conversion on one value, whatever banks its steps use.
    fn run(dst: &str, src: &str, mods: CvtMods, value: u64) -> u64 {
        let steps = plan(ty(dst), ty(src), mods).unwrap_or_else(|| panic!("no cvt.{dst}.{src}"));
        steps.iter().fold(value, |v, step| match step {
            Step::Narrow(f) => u64::from(f(&[v as u32; 32])[0]),
            Step::Wide(f) => f(&[v; 32])[0],
            Step::Widen(f) => f(&[v as u32; 32])[0],
            Step::Shorten(f) => u64::from(f(&[v; 32])[0]),
        })
    }

    const SAT: CvtMods = CvtMods { round: None, to_integral: None, ftz: false, sat: true, relu: false };
    fn rni(mode: u8) -> CvtMods {
        CvtMods { to_integral: Some(mode), ..CvtMods::default() }
    }
    fn rn(mode: u8) -> CvtMods {
        CvtMods { round: Some(mode), ..CvtMods::default() }
    }

    #[test]
    fn integers_extend_and_truncate_by_their_own_signs() {
        let plain = CvtMods::default();
        assert_eq!(run("s32", "s8", plain, 0xff80) as u32 as i32, -128);
        assert_eq!(run("u32", "u8", plain, 0xff80), 0x80);
        assert_eq!(run("s64", "s32", plain, 0xffff_ffff) as i64, -1);
        assert_eq!(run("u64", "u32", plain, 0xffff_ffff), 0xffff_ffff);
        assert_eq!(run("s8", "s32", plain, 200) as u32 as i32, -56);
        assert_eq!(run("u16", "s8", plain, 0x80), 0xff80);
        assert_eq!(run("u32", "u64", plain, 1 << 40 | 7), 7);
    }

    #[test]
    fn integer_saturation_clamps_to_the_destination() {
        assert_eq!(run("s8", "s32", SAT, (-1000i32) as u32 as u64) as u32 as i32, -128);
        assert_eq!(run("u8", "s32", SAT, (-5i32) as u32 as u64), 0);
        assert_eq!(run("u8", "u32", SAT, 4_000_000_000), 255);
        assert_eq!(run("s32", "u64", SAT, u64::MAX), i32::MAX as u64);
        assert_eq!(run("s32", "s64", SAT, i64::MIN as u64) as u32 as i32, i32::MIN);
    }

    #[test]
    fn floats_round_to_integers_in_all_directions() {
        let x = |v: f32| u64::from(v.to_bits());
        for (mode, want) in [(RN, -2), (RZ, -2), (RM, -3), (RP, -2)] {
            assert_eq!(run("s32", "f32", rni(mode), x(-2.5)) as u32 as i32, want);
        }
        assert_eq!(run("s32", "f32", rni(RN), x(3.5)) as i32, 4);
        assert_eq!(run("u8", "f32", rni(RN), x(300.0)), 255);
        assert_eq!(run("s32", "f32", rni(RN), x(3e9)) as u32 as i32, i32::MAX);
        assert_eq!(run("s32", "f32", rni(RN), x(f32::NAN)), 0);
        assert_eq!(run("s64", "f32", rni(RZ), x(f32::NAN)), 1 << 63);
        assert_eq!(run("s32", "f64", rni(RZ), f64::NAN.to_bits()), 1 << 31);
    }

    #[test]
    fn nearest_agrees_with_the_library() {
        for i in 0..2_000_000u32 {
            let x = f32::from_bits(i.wrapping_mul(2147).wrapping_add(0x9e37_79b9 & i.rotate_left(13)));
            assert_eq!(canonical(nearest(x)), canonical(x.round_ties_even()), "{x:e}");
        }
    }

    #[test]
    fn large_integers_round_once() {
        let v = (1u64 << 60) + (1 << 36) + 1; // just past a tie of f32
        assert_eq!(f32::from_bits(run("f32", "u64", rn(RN), v) as u32), v as f32);
        assert!(f64::from(f32::from_bits(run("f32", "s64", rn(RZ), v) as u32)) < v as f64);
        assert_eq!(run("f16", "s32", rn(RN), 2049), 0x6800);
        assert_eq!(run("f16", "s32", rn(RN), 2051), 0x6802);
    }

    #[test]
    fn f16_directions_bracket_every_f32() {
        for bits in (0..u32::MAX).step_by(65_521) {
            let x = f32::from_bits(bits);
            if x.is_nan() {
                continue;
            }
            let [down, up, zero] = [RM, RP, RZ].map(|m| F16::wide(run("f16", "f32", rn(m), u64::from(bits)) as u32));
            assert!(down <= x && x <= up, "{x:e}: {down:e} {up:e}");
            assert_eq!(zero.to_bits(), if x < 0.0 { up } else { down }.to_bits(), "{x:e}");
        }
    }

    #[test]
    fn every_f16_survives_a_round_trip_through_every_wider_type() {
        for bits in 0..=0xffffu64 {
            if half::f16::from_bits(bits as u16).is_nan() {
                continue;
            }
            for wide in ["f32", "f64"] {
                assert_eq!(run("f16", wide, rn(RN), run(wide, "f16", CvtMods::default(), bits)), bits);
            }
        }
    }

    #[test]
    fn doubles_round_to_f16_once() {
        // Just above the tie between 1 and 1 + 2^-10: through f32 it would land on the tie and fall to even.
        let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(run("f16", "f64", rn(RN), x.to_bits()), 0x3c01);
    }

    #[test]
    fn packs_saturate_and_place_their_halves() {
        let row = |v: i32| [v as u32; 32];
        assert_eq!(pack8(true)(&row(300), &row(-300), &row(0x0102))[0], 0x0102_7f80);
        assert_eq!(pack8(false)(&row(300), &row(-300), &row(0))[0], 0xff00);
        assert_eq!(pack16(true)(&row(70000), &row(-2))[0], 0x7fff_fffe);
    }
}
