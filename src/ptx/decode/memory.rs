//! Loads, stores, atomics and address conversions.

use super::mods::Mods;
use super::scope::{Binding, Place};
use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::ops::row;
use crate::ptx::program::*;

/// Generic addresses of shared memory, local memory and parameters, far from all device memory.
pub(crate) const SHARED_WINDOW: u64 = 4 << 60;
pub(crate) const LOCAL_WINDOW: u64 = 5 << 60;
pub(crate) const PARAM_WINDOW: u64 = 6 << 60;

/// Hints about caches and prefetching, which change nothing that a kernel computes.
pub(super) const HINTS: [&str; 3] = ["L1::", "L2::", "level::"];

impl<'a> Decoder<'_, 'a> {
    /// Decodes a memory instruction; false if the opcode is of another family.
    pub(super) fn memory(&mut self, instr: &Instr<'a>) -> Res<bool> {
        let mut mods = Mods::new(instr);
        match instr.opcode {
            "ld" | "ldu" => self.load_or_store(instr, &mut mods, false)?,
            "st" => self.load_or_store(instr, &mut mods, true)?,
            "atom" | "red" => self.atomic(instr, &mut mods)?,
            "cvta" => self.cvta(instr, &mut mods)?,
            "isspacep" => {
                let Some(space) = self.space(&mut mods) else { return self.unknown(instr).map(|()| true) };
                let op = Op::IsSpace { space, dst: self.dst_pred(instr, 0)?, addr: self.src64(instr, 1)? };
                self.emit(op, Class::Compare);
            }
            "cp" if mods.take("async") => self.async_copy(instr, &mut mods)?,
            // Hints only.
            "prefetch" | "prefetchu" | "discard" | "applypriority" => {
                while mods.next().is_some() {}
                self.emit(Op::Nop, Class::Control);
            }
            "createpolicy" => {
                while mods.next().is_some() {}
                let (d, zero) = (self.dst64(instr, 0)?, self.scope.const64(Const::Bits(0)));
                self.pure(Pure::AWide(|a| *a, d, zero), Class::Move);
            }
            "fence" | "membar" => {
                let between = mods.take("proxy") && mods.take("async");
                let elsewhere = mods.take("global");
                while mods.next().is_some() {}
                self.emit(if between && !elsewhere { Op::ProxyFence } else { Op::Fence }, Class::Barrier);
            }
            _ => return Ok(false),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    /// Takes the state space of a memory instruction.
    pub(super) fn space(&mut self, mods: &mut Mods<'a>) -> Option<MemSpace> {
        let name = mods.one_of(&[
            "global",
            "const",
            "shared",
            "shared::cta",
            "local",
            "param",
            "param::entry",
            "param::func",
        ])?;
        Some(match name {
            "global" | "const" => MemSpace::Global,
            "shared" | "shared::cta" => MemSpace::Shared,
            "local" => MemSpace::Local,
            _ => MemSpace::Param,
        })
    }

    /// The address operand of an instruction.
    pub(super) fn address(&mut self, instr: &Instr<'a>, i: usize, space: Option<MemSpace>) -> Res<Address> {
        let op = self.operand(instr, i)?.clone();
        self.address_of(instr, i, &op, space)
    }

    /// An address operand, or the address within one.
    pub(super) fn address_of(
        &mut self,
        instr: &Instr<'a>,
        i: usize,
        op: &Operand<'a>,
        space: Option<MemSpace>,
    ) -> Res<Address> {
        let Operand::Addr(base, offset) = op else {
            return self.operand_error(instr, format!("operand {} must be an address", i + 1));
        };
        let (base, offset) = (*base, *offset);
        let space = space.unwrap_or(MemSpace::Generic);
        let param_space = |d: &Self| if d.in_entry { MemSpace::Param } else { MemSpace::Local };
        let Some(name) = base else {
            return Ok(Address { space, base: Loc::Sink, offset });
        };
        Ok(match self.scope.lookup(name) {
            Some(Binding::Reg(Ty { kind: Kind::Pred, .. }, _)) => {
                return self.operand_error(instr, format!("`{name}` is a predicate"));
            }
            Some(Binding::Reg(ty, slot)) => {
                let base = if ty.bits == 64 { Loc::B64(slot) } else { Loc::B32(slot) };
                let space = if space == MemSpace::Param { param_space(self) } else { space };
                Address { space, base, offset }
            }
            Some(Binding::Var(Place::Module(v))) => {
                let base = Loc::B64(self.scope.const64(Const::Var(v, 0)));
                Address { space: MemSpace::Global, base, offset }
            }
            Some(Binding::Var(Place::Dynamic)) => {
                let base = Loc::B32(self.scope.const32(Const::Dynamic(0)));
                Address { space: MemSpace::Shared, base, offset }
            }
            Some(Binding::Var(Place::Shared(at))) => {
                Address { space: MemSpace::Shared, base: Loc::Sink, offset: offset.wrapping_add(i64::from(at)) }
            }
            Some(Binding::Var(Place::Local(at) | Place::FrameParam(at))) => {
                Address { space: MemSpace::Local, base: Loc::Sink, offset: offset.wrapping_add(i64::from(at)) }
            }
            Some(Binding::Var(Place::KernelParam(at))) => {
                Address { space: MemSpace::Param, base: Loc::Sink, offset: offset.wrapping_add(i64::from(at)) }
            }
            _ => return self.undeclared(instr, name),
        })
    }

    /// Takes the memory ordering. True if another block may be listening.
    fn ordering(&mut self, mods: &mut Mods<'a>) -> bool {
        let strong = mods.one_of(&["volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"]).is_some();
        mods.take("weak");
        mods.one_of(&["cta", "cluster", "gpu", "sys"]);
        strong
    }

    fn load_or_store(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>, store: bool) -> Res<()> {
        let strong = self.ordering(mods);
        let space = self.space(mods);
        let hints = mods.take("L2::cache_hint");
        mods.drop_prefixed(&HINTS);
        mods.one_of(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
        mods.take("nc");
        let count = match mods.one_of(&["v2", "v4", "v8"]) {
            Some("v2") => 2,
            Some("v4") => 4,
            Some(_) => 8,
            None => 1,
        };
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        if ty.bits > 64 || ty.kind == Kind::Pred {
            return self.unknown(instr);
        }
        if strong && matches!(space, None | Some(MemSpace::Global)) {
            self.ordered_blocks = true;
        }
        self.want_operands(instr, 2 + usize::from(hints))?;
        let (data, at) = if store { (1, 0) } else { (0, 1) };
        let addr = self.address(instr, at, space)?;
        let elements = match self.operand(instr, data)?.clone() {
            Operand::Vector(parts) => parts,
            one => vec![one],
        };
        if elements.len() != count {
            return self.operand_error(instr, format!("expected {count} elements, found {}", elements.len()));
        }
        let regs = elements
            .iter()
            .map(|e| if store { self.any_value(instr, e, ty.bits) } else { self.loc_of(instr, e) })
            .collect::<Res<Vec<Loc>>>()?;
        let access = Access { addr, width: ty.bytes() as u8, signed: ty.kind == Kind::Signed, strong, regs };
        let class = match (addr.space, store) {
            (MemSpace::Param, _) => Class::ParamLoad,
            (MemSpace::Local, _) => Class::LocalAccess,
            (MemSpace::Shared, false) => Class::SharedLoad,
            (MemSpace::Shared, true) => Class::SharedStore,
            (_, false) => Class::GlobalLoad,
            (_, true) => Class::GlobalStore,
        };
        if store && addr.space == MemSpace::Param {
            return self.operand_error(instr, "kernel parameters cannot be written");
        }
        self.emit(if store { Op::Store(Box::new(access)) } else { Op::Load(Box::new(access)) }, class);
        Ok(())
    }

    fn atomic(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        self.ordering(mods);
        let space = self.space(mods);
        let hints = mods.take("L2::cache_hint");
        mods.drop_prefixed(&HINTS);
        let Some(name) = mods.one_of(&["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"]) else {
            return self.unknown(instr);
        };
        mods.take("noftz");
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let signed = ty.kind == Kind::Signed;
        let op = match (name, ty.kind, ty.bits) {
            ("add", Kind::Float, 32) => AtomOp::AddF32,
            ("add", Kind::Float, 64) => AtomOp::AddF64,
            ("add", Kind::Float, 16) => AtomOp::AddF16,
            ("add", Kind::BFloat, 16) => AtomOp::AddBf16,
            ("add", Kind::Packed, 32) => AtomOp::AddF16x2,
            ("add", Kind::BPacked, 32) => AtomOp::AddBf16x2,
            ("add", Kind::Unsigned | Kind::Signed, _) => AtomOp::Add,
            ("min", ..) if signed => AtomOp::MinS,
            ("min", Kind::Unsigned, _) => AtomOp::MinU,
            ("max", ..) if signed => AtomOp::MaxS,
            ("max", Kind::Unsigned, _) => AtomOp::MaxU,
            ("and", ..) => AtomOp::And,
            ("or", ..) => AtomOp::Or,
            ("xor", ..) => AtomOp::Xor,
            ("exch", ..) => AtomOp::Exch,
            ("cas", ..) => AtomOp::Cas,
            ("inc", Kind::Unsigned, 32) => AtomOp::Inc,
            ("dec", Kind::Unsigned, 32) => AtomOp::Dec,
            _ => return self.unknown(instr),
        };
        if ty.bits > 64 || ty.bits < 16 {
            return self.unknown(instr);
        }
        let first = usize::from(instr.opcode == "atom");
        let sources = if op == AtomOp::Cas { 2 } else { 1 };
        self.want_operands(instr, first + 1 + sources + usize::from(hints))?;
        let addr = self.address(instr, first, space)?;
        if addr.space != MemSpace::Shared {
            self.ordered_blocks = true;
        }
        let dst = if first == 1 { Some(self.loc_of(instr, self.operand(instr, 0)?)?) } else { None };
        let a = self.value(instr, &self.operand(instr, first + 1)?.clone(), ty.bits)?;
        let b = match sources {
            2 => Some(self.value(instr, &self.operand(instr, first + 2)?.clone(), ty.bits)?),
            _ => None,
        };
        self.emit(Op::Atomic(Box::new(Atomic { op, addr, width: ty.bytes() as u8, dst, a, b })), Class::Atomic);
        Ok(())
    }

    fn cvta(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let to = mods.take("to");
        let Some(space) = self.space(mods) else { return self.unknown(instr) };
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        if ty.bits != 64 {
            return self.unknown(instr);
        }
        self.want_operands(instr, 2)?;
        let f: F1Wide = match (space, to) {
            (MemSpace::Global | MemSpace::Generic, _) => |a| *a,
            (MemSpace::Shared, false) => row!(1, |a: u64| a.wrapping_add(SHARED_WINDOW)),
            (MemSpace::Shared, true) => row!(1, |a: u64| a.wrapping_sub(SHARED_WINDOW)),
            (MemSpace::Local, false) => row!(1, |a: u64| a.wrapping_add(LOCAL_WINDOW)),
            (MemSpace::Local, true) => row!(1, |a: u64| a.wrapping_sub(LOCAL_WINDOW)),
            (MemSpace::Param, false) => row!(1, |a: u64| a.wrapping_add(PARAM_WINDOW)),
            (MemSpace::Param, true) => row!(1, |a: u64| a.wrapping_sub(PARAM_WINDOW)),
        };
        let op = Pure::AWide(f, self.dst64(instr, 0)?, self.src64(instr, 1)?);
        self.pure(op, Class::Integer);
        Ok(())
    }
}
