//! Arithmetic and logic: the opcodes, and floating-point instructions of one type.

use super::mods::Mods;
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::ops::round::mode::RN;
use crate::ptx::ops::{Binary, Ternary, Unary, bits, float, half, int};
use crate::ptx::program::*;

impl<'a> Decoder<'_, 'a> {
    /// Decodes an arithmetic instruction; false if the opcode is of another family.
    pub(super) fn arith(&mut self, instr: &Instr<'a>) -> Res<bool> {
        let mut mods = Mods::new(instr);
        match instr.opcode {
            "add" | "sub" | "mul" | "div" | "min" | "max" | "rem" => self.two_operands(instr, &mut mods)?,
            "and" | "or" | "xor" => self.logic(instr, &mut mods)?,
            "fma" | "mad" | "sad" => self.three_operands(instr, &mut mods)?,
            "neg" | "abs" | "not" | "cnot" | "brev" => self.one_operand(instr, &mut mods)?,
            "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => {
                self.function_of_one(instr, &mut mods)?
            }
            "copysign" => {
                let Some(f) = mods.ty().and_then(|ty| float::copysign(ty.bits)) else { return self.unknown(instr) };
                self.emit_binary(instr, f, Class::Float)?;
            }
            "addc" | "subc" | "madc" => self.carry(instr, &mut mods)?,
            "shl" | "shr" => {
                let Some(ty) = mods.ty() else { return self.unknown(instr) };
                self.shift(instr, ty)?;
            }
            "shf" => {
                let left = match mods.one_of(&["l", "r"]) {
                    Some(m) => m == "l",
                    None => return self.unknown(instr),
                };
                let wrap = match mods.one_of(&["wrap", "clamp"]) {
                    Some(m) => m == "wrap",
                    None => return self.unknown(instr),
                };
                mods.ty();
                self.emit_ternary(instr, Ternary::Narrow(bits::funnel(left, wrap)), Class::Integer)?;
            }
            "lop3" => {
                mods.ty();
                self.four(instr, bits::lop3())?;
            }
            "prmt" => {
                mods.ty();
                let mode = mods.one_of(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]).unwrap_or("");
                let Some(f) = bits::permute(mode) else { return self.unknown(instr) };
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Integer)?;
            }
            "bfe" => self.extract(instr, &mut mods)?,
            "bfi" => self.insert(instr, &mut mods)?,
            "bmsk" => {
                mods.ty();
                let clamp = mods.one_of(&["clamp", "wrap"]) == Some("clamp");
                self.emit_binary(instr, Binary::Narrow(bits::bit_mask(clamp)), Class::Integer)?;
            }
            "popc" | "clz" | "bfind" => self.count(instr, &mut mods)?,
            "dp4a" => {
                let (Some(a), Some(b)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
                let f = int::dp4a(a.kind == Kind::Signed, b.kind == Kind::Signed);
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Integer)?;
            }
            "dp2a" => {
                let high = mods.one_of(&["lo", "hi"]) == Some("hi");
                let (Some(a), Some(b)) = (mods.ty(), mods.ty()) else { return self.unknown(instr) };
                let f = int::dp2a(a.kind == Kind::Signed, b.kind == Kind::Signed, high);
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Integer)?;
            }
            "vabsdiff4" => {
                let types = (mods.ty(), mods.ty(), mods.ty());
                let unsigned = Some(Ty { kind: Kind::Unsigned, bits: 32 });
                if types != (unsigned, unsigned, unsigned) {
                    return self.unknown(instr).map(|()| true);
                }
                let f = int::byte_differences(mods.take("add"));
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Integer)?;
            }
            "fns" => {
                mods.ty();
                self.emit_ternary(instr, Ternary::Narrow(bits::nth_set()), Class::Integer)?;
            }
            "mul24" | "mad24" => self.product24(instr, &mut mods)?,
            _ => return Ok(false),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    pub(super) fn emit_unary(&mut self, instr: &Instr<'a>, f: Unary, class: Class, approx: Approx) -> Res<()> {
        self.want_operands(instr, 2)?;
        let op = match f {
            Unary::Narrow(f) => Pure::A(f, self.dst32(instr, 0)?, self.src32(instr, 1)?),
            Unary::Wide(f) => Pure::AWide(f, self.dst64(instr, 0)?, self.src64(instr, 1)?),
        };
        self.emit_approx(Op::Pure(op), class, approx);
        Ok(())
    }

    pub(super) fn emit_binary(&mut self, instr: &Instr<'a>, f: Binary, class: Class) -> Res<()> {
        self.want_operands(instr, 3)?;
        let op = match f {
            Binary::Narrow(f) => Pure::B(f, self.dst32(instr, 0)?, [self.src32(instr, 1)?, self.src32(instr, 2)?]),
            Binary::Wide(f) => Pure::BWide(f, self.dst64(instr, 0)?, [self.src64(instr, 1)?, self.src64(instr, 2)?]),
        };
        self.pure(op, class);
        Ok(())
    }

    pub(super) fn emit_ternary(&mut self, instr: &Instr<'a>, f: Ternary, class: Class) -> Res<()> {
        self.want_operands(instr, 4)?;
        let op = match f {
            Ternary::Narrow(f) => {
                Pure::C(f, self.dst32(instr, 0)?, [self.src32(instr, 1)?, self.src32(instr, 2)?, self.src32(instr, 3)?])
            }
            Ternary::Wide(f) => Pure::CWide(
                f,
                self.dst64(instr, 0)?,
                [self.src64(instr, 1)?, self.src64(instr, 2)?, self.src64(instr, 3)?],
            ),
        };
        self.pure(op, class);
        Ok(())
    }

    pub(super) fn four(&mut self, instr: &Instr<'a>, f: F4) -> Res<()> {
        self.want_operands(instr, 5)?;
        let sources = [self.src32(instr, 1)?, self.src32(instr, 2)?, self.src32(instr, 3)?, self.src32(instr, 4)?];
        let dst = self.dst32(instr, 0)?;
        self.pure(Pure::D(f, dst, sources), Class::Integer);
        Ok(())
    }

    /// A clamp applied to what the instruction just emitted wrote.
    pub(super) fn after(&mut self, instr: &Instr<'a>, f: F1) -> Res<()> {
        let d = self.dst32(instr, 0)?;
        self.pure(Pure::A(f, d, d), Class::Expansion);
        Ok(())
    }

    fn half_clamps(&mut self, instr: &Instr<'a>, ty: Ty, sat: bool, relu: bool) -> Res<()> {
        for (on, name) in [(sat, "sat"), (relu, "relu")] {
            if on {
                let Some(f) = half::unary(name, is_bf16(ty), is_packed(ty)) else { return self.unknown(instr) };
                self.after(instr, f)?;
            }
        }
        Ok(())
    }

    fn two_operands(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        if let Some(signed) = mods.one_of(&["u16x2", "s16x2"]).map(|m| m == "s16x2") {
            let name = format!("{}{}", instr.opcode, if mods.take("relu") { ".relu" } else { "" });
            let Some(f) = int::packed16(&name, signed) else { return self.unknown(instr) };
            return self.emit_binary(instr, Binary::Narrow(f), Class::Integer);
        }
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        match (ty.kind, ty.bits) {
            (Kind::Packed, 64) => {
                let (ftz, mode) = (mods.take("ftz"), mods.rounding().unwrap_or(RN));
                let Some(f) = float::packed32(instr.opcode, ftz, mode) else { return self.unknown(instr) };
                self.emit_binary(instr, f, Class::Float)
            }
            (Kind::Float, 32) => self.binary_f32(instr, mods),
            (Kind::Float, 64) => {
                if instr.opcode != "min" && instr.opcode != "max" {
                    mods.take("rn");
                }
                let Some(f) = float::binary64(instr.opcode) else { return self.unknown(instr) };
                self.emit_binary(instr, Binary::Wide(f), Class::Double)
            }
            (Kind::Float | Kind::BFloat | Kind::Packed | Kind::BPacked, _) => {
                let (nan, sat) = (mods.take("NaN"), mods.take("sat"));
                if !matches!(instr.opcode, "min" | "max") {
                    mods.take("rn");
                }
                let name = format!("{}{}", instr.opcode, if nan { ".NaN" } else { "" });
                let Some(f) = half::binary(&name, is_bf16(ty), is_packed(ty)) else { return self.unknown(instr) };
                self.emit_binary(instr, Binary::Narrow(f), Class::Half)?;
                self.half_clamps(instr, ty, sat, false)
            }
            _ => self.binary_int(instr, mods, ty),
        }
    }

    fn binary_f32(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let ftz = mods.take("ftz");
        if matches!(instr.opcode, "min" | "max") {
            let Some(f) = float::min_max32(instr.opcode, ftz, mods.take("NaN")) else { return self.unknown(instr) };
            return self.emit_binary(instr, Binary::Narrow(f), Class::Float);
        }
        let sat = mods.take("sat");
        if instr.opcode == "div"
            && let Some(kind) = mods.one_of(&["approx", "full"])
        {
            let f = if kind == "approx" { Some(float::div_approx32(ftz)) } else { float::binary32("div", ftz, RN) };
            let Some(f) = f else { return self.unknown(instr) };
            self.want_operands(instr, 3)?;
            let op = Pure::B(f, self.dst32(instr, 0)?, [self.src32(instr, 1)?, self.src32(instr, 2)?]);
            self.emit_approx(Op::Pure(op), Class::Approximate, Approx::Ulp(2));
            return Ok(());
        }
        let Some(f) = float::binary32(instr.opcode, ftz, mods.rounding().unwrap_or(RN)) else {
            return self.unknown(instr);
        };
        self.emit_binary(instr, Binary::Narrow(f), Class::Float)?;
        if sat { self.after(instr, float::saturate32()) } else { Ok(()) }
    }

    fn logic(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        if ty.kind != Kind::Pred {
            let Some(f) = int::binary(instr.opcode, ty) else { return self.unknown(instr) };
            return self.emit_binary(instr, f, Class::Integer);
        }
        let join = match instr.opcode {
            "and" => Join::And,
            "or" => Join::Or,
            _ => Join::Xor,
        };
        let sources = [self.pred_src(instr, 1)?, self.pred_src(instr, 2)?];
        let dst = self.dst_pred(instr, 0)?;
        self.pure(Pure::Logic(join, dst, sources), Class::Compare);
        Ok(())
    }

    fn three_operands(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        match (ty.kind, ty.bits) {
            (Kind::Packed, 64) => {
                mods.take("rn");
                let ftz = mods.take("ftz");
                self.emit_ternary(instr, float::packed_fma32(ftz), Class::Float)
            }
            (Kind::Float, 32) => {
                let (ftz, sat) = (mods.take("ftz"), mods.take("sat"));
                let f = float::fma32(ftz, mods.rounding().unwrap_or(RN));
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Float)?;
                if sat { self.after(instr, float::saturate32()) } else { Ok(()) }
            }
            (Kind::Float, 64) => {
                mods.take("rn");
                self.emit_ternary(instr, Ternary::Wide(float::fma64()), Class::Double)
            }
            (Kind::Float | Kind::BFloat | Kind::Packed | Kind::BPacked, _) => {
                mods.take("rn");
                let (sat, relu) = (mods.take("sat"), mods.take("relu"));
                let f = half::fused(is_bf16(ty), is_packed(ty));
                self.emit_ternary(instr, Ternary::Narrow(f), Class::Half)?;
                self.half_clamps(instr, ty, sat, relu)
            }
            _ => self.mad_int(instr, mods, ty),
        }
    }

    fn one_operand(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        match (ty.kind, ty.bits) {
            (Kind::Pred, _) if instr.opcode == "not" => {
                let (src, negated) = self.pred_src(instr, 1)?;
                let dst = self.dst_pred(instr, 0)?;
                self.pure(Pure::MovPred(dst, src, !negated), Class::Compare);
                Ok(())
            }
            (Kind::Float, 32 | 64) => {
                let ftz = mods.take("ftz");
                let class = if ty.bits == 64 { Class::Double } else { Class::Float };
                match float::sign(instr.opcode, ty.bits, ftz) {
                    Some(f) => self.emit_unary(instr, f, class, Approx::Exact),
                    None => self.unknown(instr),
                }
            }
            (Kind::Float | Kind::BFloat | Kind::Packed | Kind::BPacked, _) => {
                match half::unary(instr.opcode, is_bf16(ty), is_packed(ty)) {
                    Some(f) => self.emit_unary(instr, Unary::Narrow(f), Class::Half, Approx::Exact),
                    None => self.unknown(instr),
                }
            }
            _ => match int::unary(instr.opcode, ty) {
                Some(f) => self.emit_unary(instr, f, Class::Integer, Approx::Exact),
                None => self.unknown(instr),
            },
        }
    }

    fn function_of_one(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let (approx, ftz) = (mods.take("approx"), mods.take("ftz"));
        let found = match (ty.kind, ty.bits) {
            (Kind::Float, 32) if approx => {
                float::approx32(instr.opcode, ftz).map(|(f, bound)| (Unary::Narrow(f), Class::Approximate, bound))
            }
            (Kind::Float, 32) => mods
                .rounding()
                .and_then(|mode| float::unary32(instr.opcode, ftz, mode))
                .map(|f| (Unary::Narrow(f), Class::Float, Approx::Exact)),
            (Kind::Float, 64) => {
                mods.take("rn");
                let name = match (approx, ftz) {
                    (true, true) => format!("{}.approx", instr.opcode),
                    (true, false) => format!("{}.full", instr.opcode),
                    _ => instr.opcode.to_string(),
                };
                let bound = match (approx, ftz) {
                    (true, true) => Approx::Gross,
                    (true, false) => Approx::Ulp64,
                    _ => Approx::Exact,
                };
                float::unary64(&name).map(|f| (Unary::Wide(f), Class::Double, bound))
            }
            // bf16 exponentials always flush; f16 ones may say so, where it changes nothing: their results keep subnormals.
            _ if approx && ftz == (is_bf16(ty) && instr.opcode == "ex2") => {
                half::approx(instr.opcode, is_bf16(ty), is_packed(ty)).map(|(f, bound)| (f, Class::Approximate, bound))
            }
            _ => None,
        };
        match found {
            Some((f, class, bound)) => self.emit_unary(instr, f, class, bound),
            None => self.unknown(instr),
        }
    }

    /// The negation flag and name of a predicate operand, for operands that may be negated.
    pub(super) fn pred_operand(&mut self, instr: &Instr<'a>, op: &Operand<'a>) -> Res<(Slot, bool)> {
        match op {
            Operand::Name(name, None) => Ok((self.pred_named(instr, name)?, false)),
            Operand::Not(name) => Ok((self.pred_named(instr, name)?, true)),
            Operand::Int(v) => Ok((self.scope.const_pred(*v != 0), false)),
            _ => self.operand_error(instr, "expected a predicate"),
        }
    }
}

pub(super) fn is_bf16(ty: Ty) -> bool {
    matches!(ty.kind, Kind::BFloat | Kind::BPacked)
}

pub(super) fn is_packed(ty: Ty) -> bool {
    matches!(ty.kind, Kind::Packed | Kind::BPacked)
}
