//! Integer instructions with shapes of their own: wide products, carry chains, shifts, bit fields, counts.

use super::mods::Mods;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Ty};
use crate::ptx::ops::{Binary, Ternary, bits, int};
use crate::ptx::program::*;

impl<'a> Decoder<'_, 'a> {
    pub(super) fn binary_int(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, ty: Ty) -> Res<()> {
        let signed = ty.kind == Kind::Signed;
        if instr.opcode == "mul" {
            let part = mods.one_of(&["lo", "hi", "wide"]);
            return match (part, ty.bits) {
                (Some("wide"), 16) => self.emit_binary(instr, Binary::Narrow(int::mul_wide16(signed)), Class::Integer),
                (Some("wide"), 32) => {
                    self.want_operands(instr, 3)?;
                    let op = Pure::Join(
                        int::mul_wide32(signed),
                        self.dst64(instr, 0)?,
                        [self.src32(instr, 1)?, self.src32(instr, 2)?],
                    );
                    self.pure(op, Class::Integer);
                    Ok(())
                }
                (Some(part), _) => match int::binary(&format!("mul.{part}"), ty) {
                    Some(f) => self.emit_binary(instr, f, Class::Integer),
                    None => self.unknown(instr),
                },
                _ => self.unknown(instr),
            };
        }
        if matches!(instr.opcode, "add" | "sub") && mods.take("cc") {
            return self.emit_carry(
                instr,
                if instr.opcode == "add" { CarryKind::Add } else { CarryKind::Sub },
                false,
                true,
                ty,
            );
        }
        if mods.take("sat") {
            let f = int::saturating(instr.opcode).filter(|_| signed && ty.bits == 32);
            let Some(f) = f else { return self.unknown(instr) };
            return self.emit_binary(instr, Binary::Narrow(f), Class::Integer);
        }
        let relu = matches!(instr.opcode, "min" | "max") && signed && ty.bits == 32 && mods.take("relu");
        match int::binary(instr.opcode, ty) {
            Some(f) if relu => {
                self.emit_binary(instr, f, Class::Integer)?;
                self.after(instr, int::relu())
            }
            Some(f) => self.emit_binary(instr, f, Class::Integer),
            None => self.unknown(instr),
        }
    }

    pub(super) fn mad_int(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, ty: Ty) -> Res<()> {
        let signed = ty.kind == Kind::Signed;
        if instr.opcode == "sad" {
            let Some(f) = int::ternary("sad", ty) else { return self.unknown(instr) };
            return self.emit_ternary(instr, f, Class::Integer);
        }
        let part = mods.one_of(&["lo", "hi", "wide"]);
        if mods.take("cc") {
            let kind = match (part, signed) {
                (Some("lo"), _) => CarryKind::MadLo,
                (Some("hi"), false) => CarryKind::MadHiUnsigned,
                (Some("hi"), true) => CarryKind::MadHiSigned,
                _ => return self.unknown(instr),
            };
            return self.emit_carry(instr, kind, false, true, ty);
        }
        match (part, ty.bits) {
            (Some("wide"), 16) => self.emit_ternary(instr, Ternary::Narrow(int::mad_wide16(signed)), Class::Integer),
            (Some("wide"), 32) => {
                self.want_operands(instr, 4)?;
                let factors = [self.src32(instr, 1)?, self.src32(instr, 2)?];
                let op = Pure::MadWide(int::mad_wide32(signed), self.dst64(instr, 0)?, factors, self.src64(instr, 3)?);
                self.pure(op, Class::Integer);
                Ok(())
            }
            (Some(part), _) => match int::ternary(&format!("mad.{part}"), ty) {
                Some(f) => self.emit_ternary(instr, f, Class::Integer),
                None => self.unknown(instr),
            },
            _ => self.unknown(instr),
        }
    }

    pub(super) fn product24(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let (Some(part), Some(ty)) = (mods.one_of(&["lo", "hi"]), mods.ty()) else { return self.unknown(instr) };
        let f = int::mul24(part == "hi", ty.kind == Kind::Signed);
        if instr.opcode == "mul24" {
            return self.emit_binary(instr, Binary::Narrow(f), Class::Integer);
        }
        self.want_operands(instr, 4)?;
        let (product, d) = (self.scope.temp32(), self.dst32(instr, 0)?);
        let factors = [self.src32(instr, 1)?, self.src32(instr, 2)?];
        let addend = self.src32(instr, 3)?;
        self.pure(Pure::B(f, product, factors), Class::Expansion);
        let Some(Binary::Narrow(add)) = int::binary("add", Ty { kind: Kind::Unsigned, bits: 32 }) else {
            return self.unknown(instr);
        };
        self.pure(Pure::B(add, d, [product, addend]), Class::Integer);
        Ok(())
    }

    pub(super) fn carry(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let writes = mods.take("cc");
        let part = mods.one_of(&["lo", "hi"]);
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let kind = match (instr.opcode, part, ty.kind) {
            ("addc", None, _) => CarryKind::Add,
            ("subc", None, _) => CarryKind::Sub,
            ("madc", Some("lo"), _) => CarryKind::MadLo,
            ("madc", Some("hi"), Kind::Signed) => CarryKind::MadHiSigned,
            ("madc", Some("hi"), _) => CarryKind::MadHiUnsigned,
            _ => return self.unknown(instr),
        };
        self.emit_carry(instr, kind, true, writes, ty)
    }

    fn emit_carry(&mut self, instr: &Instr<'a>, kind: CarryKind, reads: bool, writes: bool, ty: Ty) -> Res<()> {
        let op = CarryOp { kind, reads, writes };
        let count = if matches!(kind, CarryKind::Add | CarryKind::Sub) { 2 } else { 3 };
        self.want_operands(instr, count + 1)?;
        // Sums have two operands; the third slot repeats the second and is not read.
        let pick = |i: usize| if i < count { i + 1 } else { count };
        let op = match ty.bits {
            32 => Pure::Carry(
                op,
                self.dst32(instr, 0)?,
                [self.src32(instr, pick(0))?, self.src32(instr, pick(1))?, self.src32(instr, pick(2))?],
            ),
            64 => Pure::CarryWide(
                op,
                self.dst64(instr, 0)?,
                [self.src64(instr, pick(0))?, self.src64(instr, pick(1))?, self.src64(instr, pick(2))?],
            ),
            _ => return self.unknown(instr),
        };
        self.pure(op, Class::Integer);
        Ok(())
    }

    pub(super) fn shift(&mut self, instr: &Instr<'a>, ty: Ty) -> Res<()> {
        self.want_operands(instr, 3)?;
        let op = if ty.bits == 64 {
            let Some(f) = int::shift64(instr.opcode, ty.kind == Kind::Signed) else { return self.unknown(instr) };
            Pure::Shift(f, self.dst64(instr, 0)?, self.src64(instr, 1)?, self.src32(instr, 2)?)
        } else {
            let Some(f) = int::shift(instr.opcode, ty) else { return self.unknown(instr) };
            Pure::B(f, self.dst32(instr, 0)?, [self.src32(instr, 1)?, self.src32(instr, 2)?])
        };
        self.pure(op, Class::Integer);
        Ok(())
    }

    pub(super) fn extract(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let signed = ty.kind == Kind::Signed;
        self.want_operands(instr, 4)?;
        if ty.bits != 64 {
            return self.emit_ternary(instr, Ternary::Narrow(bits::extract32(signed)), Class::Integer);
        }
        let field = [self.src32(instr, 2)?, self.src32(instr, 3)?];
        let op = Pure::Field(bits::extract64(signed), self.dst64(instr, 0)?, self.src64(instr, 1)?, field);
        self.pure(op, Class::Integer);
        Ok(())
    }

    pub(super) fn insert(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        if ty.bits != 64 {
            return self.four(instr, bits::insert32());
        }
        self.want_operands(instr, 5)?;
        let sources = [self.src64(instr, 1)?, self.src64(instr, 2)?];
        let op = Pure::Insert(
            bits::insert64(),
            self.dst64(instr, 0)?,
            sources,
            [self.src32(instr, 3)?, self.src32(instr, 4)?],
        );
        self.pure(op, Class::Integer);
        Ok(())
    }

    pub(super) fn count(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let mut name = instr.opcode.to_string();
        if instr.opcode == "bfind" {
            name.push_str(if mods.take("shiftamt") { ".shiftamt" } else { "" });
            name.push_str(if ty.kind == Kind::Signed { ".s" } else { ".u" });
        }
        self.want_operands(instr, 2)?;
        let d = self.dst32(instr, 0)?;
        let op = match ty.bits {
            32 => bits::count32(&name).map(|f| Ok(Pure::A(f, d, self.src32(instr, 1)?))),
            64 => bits::count64(&name).map(|f| Ok(Pure::Narrow(f, d, self.src64(instr, 1)?))),
            _ => None,
        };
        match op {
            Some(op) => {
                self.pure(op?, Class::Integer);
                Ok(())
            }
            None => self.unknown(instr),
        }
    }
}
