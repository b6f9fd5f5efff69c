//! Moves, conversions, comparisons and selections.

use super::arith::{is_bf16, is_packed};
use super::mods::Mods;
use super::scope::is_clock;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::ops::compare::{self, Compare};
use crate::ptx::ops::convert::{self, CvtMods, Step};
use crate::ptx::ops::round::mode::RN;
use crate::ptx::ops::{fp8, half, row};
use crate::ptx::program::*;

/// A row unchanged.
const COPY: F1 = |a| *a;
const COPY_WIDE: F1Wide = |a| *a;

const COMPARISONS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan", "lo", "ls", "hi", "hs",
];

impl<'a> Decoder<'_, 'a> {
    /// Decodes a move, conversion, comparison or selection; false if the opcode is of another family.
    pub(super) fn conversion(&mut self, instr: &Instr<'a>) -> Res<bool> {
        let mut mods = Mods::new(instr);
        match instr.opcode {
            "mov" => self.mov(instr, &mut mods)?,
            "cvt" => self.cvt(instr, &mut mods)?,
            "setp" => self.setp(instr, &mut mods)?,
            "set" => self.set(instr, &mut mods)?,
            "testp" => self.testp(instr, &mut mods)?,
            "selp" => {
                let Some(ty) = mods.ty() else { return self.unknown(instr) };
                self.want_operands(instr, 4)?;
                let (p, negated) = self.pred_src(instr, 3)?;
                let swap = |pair: [Slot; 2]| if negated { [pair[1], pair[0]] } else { pair };
                let op = if ty.bits == 64 {
                    Pure::SelectWide(self.dst64(instr, 0)?, swap([self.src64(instr, 1)?, self.src64(instr, 2)?]), p)
                } else {
                    Pure::Select(self.dst32(instr, 0)?, swap([self.src32(instr, 1)?, self.src32(instr, 2)?]), p)
                };
                self.pure(op, Class::Move);
            }
            "slct" => self.slct(instr, &mut mods)?,
            _ => return Ok(false),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    fn mov(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        self.want_operands(instr, 2)?;
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        if ty.kind == Kind::Pred {
            let (src, negated) = self.pred_src(instr, 1)?;
            let dst = self.dst_pred(instr, 0)?;
            self.pure(Pure::MovPred(dst, src, negated), Class::Move);
            return Ok(());
        }
        match (self.operand(instr, 0)?.clone(), self.operand(instr, 1)?.clone()) {
            (Operand::Vector(parts), _) => self.unpack(instr, ty, &parts),
            (_, Operand::Vector(parts)) => self.pack(instr, ty, &parts),
            (dst, Operand::Name(name, None)) if is_clock(name) => {
                let dst = self.loc_of(instr, &dst)?;
                self.emit(Op::Clock(dst), Class::Move);
                Ok(())
            }
            _ if ty.bits == 64 => {
                let op = Pure::AWide(COPY_WIDE, self.dst64(instr, 0)?, self.src64(instr, 1)?);
                self.pure(op, Class::Move);
                Ok(())
            }
            _ if ty.bits == 128 => self.unknown(instr),
            _ => {
                let op = Pure::A(COPY, self.dst32(instr, 0)?, self.src32(instr, 1)?);
                self.pure(op, Class::Move);
                Ok(())
            }
        }
    }

    /// `mov.b32 d, {a, b}` and its kin: the first element is the lowest.
    fn pack(&mut self, instr: &Instr<'a>, ty: Ty, parts: &[Operand<'a>]) -> Res<()> {
        let narrow = parts.iter().map(|p| self.value32(instr, p)).collect::<Res<Vec<Slot>>>()?;
        match (ty.bits, narrow.as_slice()) {
            (32, &[a, b]) => {
                let op = Pure::B(row!(2, |a: u32, b: u32| a & 0xffff | b << 16), self.dst32(instr, 0)?, [a, b]);
                self.pure(op, Class::Move);
            }
            (16, &[a, b]) => {
                let op = Pure::B(row!(2, |a: u32, b: u32| a & 0xff | (b & 0xff) << 8), self.dst32(instr, 0)?, [a, b]);
                self.pure(op, Class::Move);
            }
            (32, &[a, b, c, d]) => {
                let f: F4 =
                    row!(4, |a: u32, b: u32, c: u32, d: u32| a & 0xff | (b & 0xff) << 8 | (c & 0xff) << 16 | d << 24);
                let op = Pure::D(f, self.dst32(instr, 0)?, [a, b, c, d]);
                self.pure(op, Class::Move);
            }
            (64, &[a, b]) => {
                let op = Pure::Join(
                    row!(2, |a: u32, b: u32| u64::from(a) | u64::from(b) << 32),
                    self.dst64(instr, 0)?,
                    [a, b],
                );
                self.pure(op, Class::Move);
            }
            (64, &[a, b, c, d]) => {
                let (low, high) = (self.scope.temp32(), self.scope.temp32());
                let two: F2 = row!(2, |a: u32, b: u32| a & 0xffff | b << 16);
                self.pure(Pure::B(two, low, [a, b]), Class::Expansion);
                self.pure(Pure::B(two, high, [c, d]), Class::Expansion);
                let op = Pure::Join(
                    row!(2, |a: u32, b: u32| u64::from(a) | u64::from(b) << 32),
                    self.dst64(instr, 0)?,
                    [low, high],
                );
                self.pure(op, Class::Move);
            }
            _ => return self.unknown(instr),
        }
        Ok(())
    }

    fn unpack(&mut self, instr: &Instr<'a>, ty: Ty, parts: &[Operand<'a>]) -> Res<()> {
        let dsts = parts.iter().map(|p| self.loc_of(instr, p)).collect::<Res<Vec<Loc>>>()?;
        let picks32: &[F1] = match (ty.bits, parts.len()) {
            (32, 2) => &[row!(1, |a: u32| a & 0xffff), row!(1, |a: u32| a >> 16)],
            (16, 2) => &[row!(1, |a: u32| a & 0xff), row!(1, |a: u32| a >> 8 & 0xff)],
            (32, 4) => &[
                row!(1, |a: u32| a & 0xff),
                row!(1, |a: u32| a >> 8 & 0xff),
                row!(1, |a: u32| a >> 16 & 0xff),
                row!(1, |a: u32| a >> 24),
            ],
            _ => &[],
        };
        let picks64: &[FNarrow] = match (ty.bits, parts.len()) {
            (64, 2) => &[row!(1, |a: u64| a as u32), row!(1, |a: u64| (a >> 32) as u32)],
            (64, 4) => &[
                row!(1, |a: u64| a as u32 & 0xffff),
                row!(1, |a: u64| a as u32 >> 16),
                row!(1, |a: u64| (a >> 32) as u32 & 0xffff),
                row!(1, |a: u64| (a >> 48) as u32),
            ],
            _ => &[],
        };
        if picks32.is_empty() && picks64.is_empty() {
            return self.unknown(instr);
        }
        let src = self.value(instr, self.operand(instr, 1)?, ty.bits)?;
        // A destination may also be the source, so the source is read from a copy.
        let src = match src {
            Loc::B32(slot) => {
                let copy = self.scope.temp32();
                self.pure(Pure::A(COPY, copy, slot), Class::Expansion);
                Loc::B32(copy)
            }
            other => other,
        };
        for (i, dst) in dsts.into_iter().enumerate() {
            match (dst, src) {
                (Loc::Sink, _) => {}
                (Loc::B32(d), Loc::B32(s)) => self.pure(Pure::A(picks32[i], d, s), Class::Move),
                (Loc::B32(d), Loc::B64(s)) => self.pure(Pure::Narrow(picks64[i], d, s), Class::Move),
                _ => return self.operand_error(instr, "the parts of a vector must be registers of at most 32 bits"),
            }
        }
        Ok(())
    }

    fn cvt(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        if mods.take("pack") {
            return self.cvt_pack(instr, mods);
        }
        if let Some(eight) = mods.one_of(&["e4m3x2", "e5m2x2"]) {
            return self.cvt_fp8(instr, mods, eight == "e4m3x2");
        }
        if mods.take("tf32") {
            mods.ty();
            let relu = mods.take("relu");
            let f = mods.one_of(&["rna", "rn", "rz"]).and_then(convert::tf32).filter(|_| !relu);
            let Some(f) = f else { return self.unknown(instr) };
            return self.emit_unary(instr, crate::ptx::ops::Unary::Narrow(f), Class::Convert, Approx::Exact);
        }
        let how = CvtMods {
            round: mods.rounding(),
            to_integral: mods.integral(),
            ftz: mods.take("ftz"),
            sat: mods.take("sat"),
            relu: mods.take("relu"),
        };
        let (Some(dst), Some(src)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
        if is_packed(dst) {
            let plain = src == Ty { kind: Kind::Float, bits: 32 } && !how.sat;
            let f =
                convert::pair(is_bf16(dst), how.round.unwrap_or(RN), how.ftz).filter(|_| plain && how.round.is_some());
            let Some(f) = f else { return self.unknown(instr) };
            self.emit_binary(instr, crate::ptx::ops::Binary::Narrow(f), Class::Convert)?;
            if how.relu {
                let d = self.dst32(instr, 0)?;
                let Some(f) = half::unary("relu", is_bf16(dst), true) else { return self.unknown(instr) };
                self.pure(Pure::A(f, d, d), Class::Expansion);
            }
            return Ok(());
        }
        let Some(steps) = convert::plan(dst, src, how) else { return self.unknown(instr) };
        self.want_operands(instr, 2)?;
        self.chain(instr, dst, src, &steps)
    }

    /// Emits conversion steps through scratch rows, from and to registers that may be wider than the types.
    fn chain(&mut self, instr: &Instr<'a>, dst: Ty, src: Ty, steps: &[Step]) -> Res<()> {
        let source = self.operand(instr, 1)?.clone();
        let mut at = self.any_value(instr, &source, src.bits)?;
        let target = self.loc_of(instr, self.operand(instr, 0)?)?;
        if let (Loc::B64(slot), true) = (at, src.bits < 64) {
            let low = self.scope.temp32();
            self.pure(Pure::Narrow(row!(1, |a: u64| a as u32), low, slot), Class::Expansion);
            at = Loc::B32(low);
        }
        let mut steps = steps.to_vec();
        if steps.is_empty() {
            steps.push(if dst.bits == 64 { Step::Wide(COPY_WIDE) } else { Step::Narrow(COPY) });
        }
        if matches!(target, Loc::B64(_)) && dst.bits < 64 {
            steps.push(Step::Widen(if dst.kind == Kind::Signed {
                row!(1, |a: u32| a as i32 as u64)
            } else {
                row!(1, |a: u32| u64::from(a))
            }));
        }
        let last = steps.len() - 1;
        for (i, step) in steps.into_iter().enumerate() {
            let class = if i == last { Class::Convert } else { Class::Expansion };
            let wide = matches!(step, Step::Wide(_) | Step::Widen(_));
            let to = match (i == last, wide, target) {
                (true, false, Loc::B32(slot)) | (true, true, Loc::B64(slot)) => slot,
                (true, true, Loc::B32(_)) => {
                    return self.operand_error(instr, "the destination register is narrower than the type");
                }
                (_, true, _) => self.scope.temp64(),
                (_, false, _) => self.scope.temp32(),
            };
            let op = match (step, at) {
                (Step::Narrow(f), Loc::B32(from)) => Pure::A(f, to, from),
                (Step::Wide(f), Loc::B64(from)) => Pure::AWide(f, to, from),
                (Step::Widen(f), Loc::B32(from)) => Pure::Widen(f, to, from),
                (Step::Shorten(f), Loc::B64(from)) => Pure::Narrow(f, to, from),
                _ => return self.operand_error(instr, "the source register does not hold the type"),
            };
            self.pure(op, class);
            at = if wide { Loc::B64(to) } else { Loc::B32(to) };
        }
        Ok(())
    }

    fn cvt_pack(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let sat = mods.take("sat");
        let (Some(dst), Some(src)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
        let third = mods.ty();
        if !sat || src != (Ty { kind: Kind::Signed, bits: 32 }) {
            return self.unknown(instr);
        }
        let signed = dst.kind == Kind::Signed;
        match (dst.bits, third) {
            (16, None) => {
                self.emit_binary(instr, crate::ptx::ops::Binary::Narrow(convert::pack16(signed)), Class::Convert)
            }
            (8, Some(_)) => {
                self.want_operands(instr, 4)?;
                let sources = [self.src32(instr, 1)?, self.src32(instr, 2)?, self.src32(instr, 3)?];
                let op = Pure::C(convert::pack8(signed), self.dst32(instr, 0)?, sources);
                self.pure(op, Class::Convert);
                Ok(())
            }
            _ => self.unknown(instr),
        }
    }

    fn cvt_fp8(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, e4m3: bool) -> Res<()> {
        mods.take("rn");
        let (saturate, relu) = (mods.take("satfinite"), mods.take("relu"));
        let Some(other) = mods.ty() else { return self.unknown(instr) };
        match (other.kind, other.bits, saturate) {
            (Kind::Float, 32, true) => {
                self.emit_binary(instr, crate::ptx::ops::Binary::Narrow(fp8::from_f32(e4m3, relu)), Class::Convert)
            }
            (Kind::Packed, 32, true) => self.emit_unary(
                instr,
                crate::ptx::ops::Unary::Narrow(fp8::from_f16x2(e4m3, relu)),
                Class::Convert,
                Approx::Exact,
            ),
            (Kind::Packed, 32, false) => self.emit_unary(
                instr,
                crate::ptx::ops::Unary::Narrow(fp8::to_f16x2(e4m3, relu)),
                Class::Convert,
                Approx::Exact,
            ),
            _ => self.unknown(instr),
        }
    }

    /// The optional third predicate of `setp.lt.and`.
    fn join(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, at: usize) -> Res<Option<(Join, Slot, bool)>> {
        let join = match mods.one_of(&["and", "or", "xor"]) {
            Some("and") => Join::And,
            Some("or") => Join::Or,
            Some(_) => Join::Xor,
            None => return Ok(None),
        };
        let (slot, negated) = self.pred_src(instr, at)?;
        Ok(Some((join, slot, negated)))
    }

    fn compare(&mut self, instr: &Instr<'a>, f: Compare, out: PredOut) -> Res<()> {
        let op = match f {
            Compare::Narrow(f) => Pure::Cmp(f, out, [self.src32(instr, 1)?, self.src32(instr, 2)?]),
            Compare::Wide(f) => Pure::CmpWide(f, out, [self.src64(instr, 1)?, self.src64(instr, 2)?]),
        };
        self.pure(op, Class::Compare);
        Ok(())
    }

    fn setp(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(op) = mods.one_of(&COMPARISONS) else { return self.unknown(instr) };
        let join = self.join(instr, mods, 3)?;
        self.want_operands(instr, if join.is_some() { 4 } else { 3 })?;
        let ftz = mods.take("ftz");
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let (p, q) = match self.operand(instr, 0)?.clone() {
            Operand::Pair(p, q) => {
                let slot = |name| if name == "_" { Ok(None) } else { self.pred_named(instr, name).map(Some) };
                (slot(p)?, slot(q)?)
            }
            _ => (Some(self.dst_pred(instr, 0)?), None),
        };
        let Some(f) = compare::compare(op, ty, ftz, false) else { return self.unknown(instr) };
        if !is_packed(ty) {
            return self.compare(instr, f, PredOut { p, q, join });
        }
        // Packed comparisons fill one predicate for each half.
        let Some(high) = compare::compare(op, ty, ftz, true) else { return self.unknown(instr) };
        self.compare(instr, f, PredOut { p, q: None, join })?;
        self.compare(instr, high, PredOut { p: q, q: None, join })
    }

    fn set(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(op) = mods.one_of(&COMPARISONS) else { return self.unknown(instr) };
        let join = self.join(instr, mods, 3)?;
        let ftz = mods.take("ftz");
        let (Some(dst), Some(src)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
        self.want_operands(instr, if join.is_some() { 4 } else { 3 })?;
        let d = self.dst32(instr, 0)?;
        // A true result is 1.0 for floating-point destinations and all ones for integers.
        let (low_true, high_true) = match (dst.kind, dst.bits) {
            (Kind::Float, 32) => (1f32.to_bits(), 0),
            (Kind::Float, 16) => (0x3c00, 0),
            (Kind::BFloat, 16) => (0x3f80, 0),
            (Kind::Packed, 32) => (0x3c00, 0x3c00_0000),
            (Kind::BPacked, 32) => (0x3f80, 0x3f80_0000),
            (_, 32) if is_packed(src) => (0xffff, 0xffff_0000),
            (_, 32) => (u32::MAX, 0),
            (_, 16) => (0xffff, 0),
            _ => return self.unknown(instr),
        };
        let halves = if is_packed(src) { 2 } else { 1 };
        let mut parts = Vec::new();
        for (high, truth) in [(false, low_true), (true, high_true)].into_iter().take(halves) {
            let Some(f) = compare::compare(op, src, ftz, high) else { return self.unknown(instr) };
            let p = self.scope.temp_pred();
            self.compare(instr, f, PredOut { p: Some(p), q: None, join })?;
            let picked = self.scope.temp32();
            let sources = [self.scope.const32(Const::Bits(u64::from(truth))), self.scope.const32(Const::Bits(0))];
            self.pure(Pure::Select(picked, sources, p), Class::Expansion);
            parts.push(picked);
        }
        let op = match parts[..] {
            [low, high] => Pure::B(row!(2, |a: u32, b: u32| a | b), d, [low, high]),
            _ => Pure::A(COPY, d, parts[0]),
        };
        self.pure(op, Class::Expansion);
        Ok(())
    }

    fn testp(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        self.want_operands(instr, 2)?;
        let Some(test) = mods.next() else { return self.unknown(instr) };
        let d = self.dst_pred(instr, 0)?;
        let op = match mods.ty().map(|ty| ty.bits) {
            Some(32) => compare::test32(test).map(|f| Ok(Pure::Test(f, d, self.src32(instr, 1)?))),
            Some(64) => compare::test64(test).map(|f| Ok(Pure::TestWide(f, d, self.src64(instr, 1)?))),
            _ => None,
        };
        match op {
            Some(op) => {
                self.pure(op?, Class::Compare);
                Ok(())
            }
            None => self.unknown(instr),
        }
    }

    /// `slct.type.ctype d, a, b, c`: a where c >= 0, else b.
    fn slct(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let ftz = mods.take("ftz");
        let (Some(ty), Some(by)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
        self.want_operands(instr, 4)?;
        let Some(Compare::Narrow(f)) = compare::compare("ge", by, ftz, false) else { return self.unknown(instr) };
        let (p, zero) = (self.scope.temp_pred(), self.scope.const32(Const::Bits(0)));
        let by = self.src32(instr, 3)?;
        self.pure(Pure::Cmp(f, PredOut { p: Some(p), q: None, join: None }, [by, zero]), Class::Expansion);
        let op = if ty.bits == 64 {
            Pure::SelectWide(self.dst64(instr, 0)?, [self.src64(instr, 1)?, self.src64(instr, 2)?], p)
        } else {
            Pure::Select(self.dst32(instr, 0)?, [self.src32(instr, 1)?, self.src32(instr, 2)?], p)
        };
        self.pure(op, Class::Move);
        Ok(())
    }
}
