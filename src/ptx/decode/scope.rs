//! Names, and the slots and addresses they stand for.

use super::{Decoder, Res};
use crate::ptx::ast::{Instr, Kind, Operand, Ty};
use crate::ptx::program::*;
use std::collections::HashMap;

/// Where a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The i-th module variable.
    Module(usize),
    Shared(u32),
    /// The start of dynamic shared memory.
    Dynamic,
    Local(u32),
    /// A kernel parameter, by offset.
    KernelParam(u32),
    /// A device function's parameter, or an argument of a call, kept in local memory.
    FrameParam(u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Binding {
    Reg(Ty, Slot),
    /// `%r<count>`: the first slot.
    Range(Ty, Slot, u32),
    Var(Place),
}

/// What an operand names, where it is no number.
enum Named {
    Register(Slot),
    Constant(Const),
}

/// Shared addresses start here: low addresses stay invalid, as on hardware, where the system keeps the first KiB.
const SHARED_START: u32 = 1024;
/// Local addresses start here.
const LOCAL_START: u32 = 256;
/// Room between two variables, so that running past one is noticed.
const GAP: u32 = 256;

pub(crate) struct Scope<'a> {
    names: Vec<HashMap<&'a str, Binding>>,
    consts: HashMap<(bool, Const), Slot>,
    pred_consts: [Option<Slot>; 2],
    temps: [Vec<Slot>; 3],
    used: [usize; 3],
    shared_end: u32,
    local_end: u32,
    out: Layout,
    pub(crate) last_label: Option<&'a str>,
}

/// What the scope has handed out.
#[derive(Default)]
pub(crate) struct Layout {
    pub names32: Vec<Box<str>>,
    pub names64: Vec<Box<str>>,
    pub names_pred: Vec<Box<str>>,
    pub consts32: Vec<(Slot, Const)>,
    pub consts64: Vec<(Slot, Const)>,
    pub const_preds: Vec<(Slot, bool)>,
    pub shared: Vec<Region>,
    pub local: Vec<Region>,
    pub static_shared: u32,
    pub dynamic_start: u32,
    pub local_bytes: u32,
}

impl<'a> Scope<'a> {
    pub(crate) fn new() -> Scope<'a> {
        let mut scope = Scope {
            names: vec![HashMap::new()],
            consts: HashMap::new(),
            pred_consts: [None; 2],
            temps: Default::default(),
            used: [0; 3],
            shared_end: SHARED_START,
            local_end: LOCAL_START,
            out: Layout::default(),
            last_label: None,
        };
        scope.new_pred("CC.CF"); // slot CARRY
        scope
    }

    pub(crate) fn enter(&mut self) {
        self.names.push(HashMap::new());
    }

    pub(crate) fn leave(&mut self) {
        self.names.pop();
    }

    pub(crate) fn bind(&mut self, name: &'a str, binding: Binding) {
        if let Some(top) = self.names.last_mut() {
            top.insert(name, binding);
        }
    }

    pub(crate) fn finish(mut self) -> Layout {
        self.out.dynamic_start = aligned(self.shared_end, 1024);
        self.out.local_bytes = self.local_end;
        self.out
    }

    fn new32(&mut self, name: &str) -> Slot {
        self.out.names32.push(name.into());
        self.out.names32.len() as Slot - 1
    }

    fn new64(&mut self, name: &str) -> Slot {
        self.out.names64.push(name.into());
        self.out.names64.len() as Slot - 1
    }

    fn new_pred(&mut self, name: &str) -> Slot {
        self.out.names_pred.push(name.into());
        self.out.names_pred.len() as Slot - 1
    }

    fn new_register(&mut self, name: &str, ty: Ty) -> Slot {
        match (ty.kind, ty.bits) {
            (Kind::Pred, _) => self.new_pred(name),
            (_, 64) => self.new64(name),
            _ => self.new32(name),
        }
    }

    /// `.reg .type name;` or `.reg .type name<count>;`
    pub(crate) fn registers(&mut self, name: &'a str, count: Option<u32>, ty: Ty) {
        match count {
            None => {
                let slot = self.new_register(name, ty);
                self.bind(name, Binding::Reg(ty, slot));
            }
            Some(count) => {
                let first = (0..count).map(|i| self.new_register(&format!("{name}{i}"), ty)).min().unwrap_or(0);
                self.bind(name, Binding::Range(ty, first, count));
            }
        }
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<Binding> {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        self.names.iter().rev().find_map(|names| {
            if let Some(&binding) = names.get(name)
                && !matches!(binding, Binding::Range(..))
            {
                return Some(binding);
            }
            // `%r12` of `%r<20>`; the prefix itself may end in digits.
            (1..=digits).rev().find_map(|n| {
                let (prefix, index) = name.split_at(name.len() - n);
                match names.get(prefix) {
                    Some(&Binding::Range(ty, first, count)) => {
                        let i: u32 = index.parse().ok()?;
                        (i < count).then_some(Binding::Reg(ty, first + i))
                    }
                    _ => None,
                }
            })
        })
    }

    /// Lays out a shared variable.
    pub(crate) fn shared(&mut self, name: &str, size: usize, align: usize) -> u32 {
        let start = aligned(self.shared_end, align.max(16));
        self.out.shared.push(Region { name: name.into(), start, size: size as u32 });
        self.out.static_shared = aligned(self.out.static_shared, align).saturating_add(size as u32);
        self.shared_end = start.saturating_add(size as u32).saturating_add(GAP);
        start
    }

    /// Lays out a local variable or a parameter of a device function.
    pub(crate) fn local(&mut self, name: &str, size: usize, align: usize) -> u32 {
        let start = aligned(self.local_end, align.max(16));
        self.out.local.push(Region { name: name.into(), start, size: size as u32 });
        self.local_end = start.saturating_add(size as u32).saturating_add(16);
        start
    }

    pub(crate) fn const32(&mut self, value: Const) -> Slot {
        if let Some(&slot) = self.consts.get(&(false, value.clone())) {
            return slot;
        }
        let slot = self.new32("constant");
        self.out.consts32.push((slot, value.clone()));
        self.consts.insert((false, value), slot);
        slot
    }

    pub(crate) fn const64(&mut self, value: Const) -> Slot {
        if let Some(&slot) = self.consts.get(&(true, value.clone())) {
            return slot;
        }
        let slot = self.new64("constant");
        self.out.consts64.push((slot, value.clone()));
        self.consts.insert((true, value), slot);
        slot
    }

    pub(crate) fn const_pred(&mut self, value: bool) -> Slot {
        if let Some(slot) = self.pred_consts[usize::from(value)] {
            return slot;
        }
        let slot = self.new_pred("constant");
        self.out.const_preds.push((slot, value));
        self.pred_consts[usize::from(value)] = Some(slot);
        slot
    }

    /// Scratch rows live for one instruction.
    pub(crate) fn reset_temps(&mut self) {
        self.used = [0; 3];
    }

    fn temp(&mut self, bank: usize) -> Slot {
        let i = self.used[bank];
        self.used[bank] += 1;
        if i == self.temps[bank].len() {
            let slot = match bank {
                0 => self.new32("scratch"),
                1 => self.new64("scratch"),
                _ => self.new_pred("scratch"),
            };
            self.temps[bank].push(slot);
        }
        self.temps[bank][i]
    }

    pub(crate) fn temp32(&mut self) -> Slot {
        self.temp(0)
    }

    pub(crate) fn temp64(&mut self) -> Slot {
        self.temp(1)
    }

    pub(crate) fn temp_pred(&mut self) -> Slot {
        self.temp(2)
    }
}

/// The next multiple; what is too large for 32 bits stays so, and no launch has room for it.
fn aligned(at: u32, align: usize) -> u32 {
    at.checked_next_multiple_of(align.max(1) as u32).unwrap_or(u32::MAX)
}

/// A special register by its PTX name.
fn special(name: &str, part: Option<&str>) -> Option<Special> {
    let axis = match part {
        None => 0,
        Some("x") => 0,
        Some("y") => 1,
        Some("z") => 2,
        Some("w") => return matches!(name, "%tid" | "%ntid" | "%ctaid" | "%nctaid").then_some(Special::Zero),
        Some(_) => return None,
    };
    Some(match name {
        "%tid" => Special::Tid(axis),
        "%ntid" => Special::Ntid(axis),
        "%ctaid" => Special::Ctaid(axis),
        "%nctaid" => Special::Nctaid(axis),
        "%laneid" => Special::LaneId,
        "%warpid" => Special::WarpId,
        "%nwarpid" => Special::NWarpId,
        "%smid" => Special::SmId,
        "%nsmid" => Special::NSmId,
        "%gridid" => Special::GridId,
        "%lanemask_eq" => Special::LaneMask(Compare::Eq),
        "%lanemask_lt" => Special::LaneMask(Compare::Lt),
        "%lanemask_le" => Special::LaneMask(Compare::Le),
        "%lanemask_gt" => Special::LaneMask(Compare::Gt),
        "%lanemask_ge" => Special::LaneMask(Compare::Ge),
        "%dynamic_smem_size" => Special::DynamicSmem,
        "%total_smem_size" => Special::TotalSmem,
        "%cluster_ctaid" | "%cluster_ctarank" => Special::Zero,
        "%cluster_nctaid" | "%cluster_nctarank" => Special::One,
        "%clusterid" => Special::Ctaid(axis),
        "%nclusterid" => Special::Nctaid(axis),
        _ => return None,
    })
}

/// Special registers that are read when the instruction runs.
pub(crate) fn is_clock(name: &str) -> bool {
    matches!(name, "%clock" | "%clock_hi" | "%clock64" | "%globaltimer" | "%globaltimer_lo" | "%globaltimer_hi")
}

/// The address of a variable as a constant row. A parameter of a device function is a local address.
fn address_of(place: Place, offset: i64) -> Const {
    match place {
        Place::Module(i) => Const::Var(i, offset),
        Place::Dynamic => Const::Dynamic(offset),
        Place::Shared(at) | Place::Local(at) | Place::KernelParam(at) | Place::FrameParam(at) => {
            Const::Bits(u64::from(at).wrapping_add_signed(offset))
        }
    }
}

impl<'a> Decoder<'_, 'a> {
    /// A register by name.
    pub(super) fn register(&self, instr: &Instr<'a>, name: &str) -> Res<(Ty, Slot)> {
        match self.scope.lookup(name) {
            Some(Binding::Reg(ty, slot)) => Ok((ty, slot)),
            Some(_) => self.operand_error(instr, format!("`{name}` is not a register")),
            None => self.undeclared(instr, name),
        }
    }

    pub(super) fn pred_named(&self, instr: &Instr<'a>, name: &str) -> Res<Slot> {
        match self.register(instr, name)? {
            (Ty { kind: Kind::Pred, .. }, slot) => Ok(slot),
            _ => self.operand_error(instr, format!("`{name}` is not a predicate")),
        }
    }

    /// A predicate source: register, `!register`, or a constant.
    pub(super) fn pred_src(&mut self, instr: &Instr<'a>, i: usize) -> Res<(Slot, bool)> {
        match self.operand(instr, i)? {
            Operand::Name(name, None) => Ok((self.pred_named(instr, name)?, false)),
            Operand::Not(name) => Ok((self.pred_named(instr, name)?, true)),
            Operand::Int(v) => Ok((self.scope.const_pred(*v != 0), false)),
            _ => self.operand_error(instr, "expected a predicate"),
        }
    }

    /// A destination register in whatever bank it is.
    pub(super) fn loc_of(&self, instr: &Instr<'a>, op: &Operand<'a>) -> Res<Loc> {
        match op {
            Operand::Sink => Ok(Loc::Sink),
            Operand::Name(name, None) => match self.register(instr, name)? {
                (Ty { kind: Kind::Pred, .. }, _) => self.operand_error(instr, format!("`{name}` is a predicate")),
                (Ty { bits: 128, .. }, _) => self.operand_error(instr, "128-bit registers are not supported"),
                (Ty { bits: 64, .. }, slot) => Ok(Loc::B64(slot)),
                (_, slot) => Ok(Loc::B32(slot)),
            },
            _ => self.operand_error(instr, "expected a register"),
        }
    }

    pub(super) fn dst32(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        match self.loc_of(instr, self.operand(instr, i)?)? {
            Loc::B32(slot) => Ok(slot),
            Loc::Sink => Ok(self.scope.temp32()),
            Loc::B64(_) => {
                self.operand_error(instr, format!("operand {} must be a register of at most 32 bits", i + 1))
            }
        }
    }

    pub(super) fn dst64(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        match self.loc_of(instr, self.operand(instr, i)?)? {
            Loc::B64(slot) => Ok(slot),
            Loc::Sink => Ok(self.scope.temp64()),
            Loc::B32(_) => self.operand_error(instr, format!("operand {} must be a 64-bit register", i + 1)),
        }
    }

    pub(super) fn dst_pred(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        match self.operand(instr, i)? {
            Operand::Name(name, None) => self.pred_named(instr, name),
            Operand::Sink => Ok(self.scope.temp_pred()),
            _ => self.operand_error(instr, "expected a predicate"),
        }
    }

    pub(super) fn src32(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        let op = self.operand(instr, i)?.clone();
        self.value32(instr, &op)
    }

    pub(super) fn src64(&mut self, instr: &Instr<'a>, i: usize) -> Res<Slot> {
        let op = self.operand(instr, i)?.clone();
        self.value64(instr, &op)
    }

    /// A source of at most 32 bits: register, special register, immediate or address of a shared variable.
    pub(super) fn value32(&mut self, instr: &Instr<'a>, op: &Operand<'a>) -> Res<Slot> {
        let value = match op {
            Operand::Int(v) => Const::Bits(u64::from(*v as u32)),
            Operand::F32(bits) => Const::Bits(u64::from(*bits)),
            Operand::F64(bits) => Const::Bits(u64::from((f64::from_bits(*bits) as f32).to_bits())),
            Operand::Name("WARP_SZ", None) => Const::Bits(LANES as u64),
            _ => match self.named(instr, op, |ty| ty.bits <= 32 && ty.kind != Kind::Pred, "of at most 32 bits")? {
                Named::Register(slot) => return Ok(slot),
                Named::Constant(value) => value,
            },
        };
        Ok(self.scope.const32(value))
    }

    pub(super) fn value64(&mut self, instr: &Instr<'a>, op: &Operand<'a>) -> Res<Slot> {
        let value = match op {
            Operand::Int(v) => Const::Bits(*v as u64),
            Operand::F64(bits) => Const::Bits(*bits),
            Operand::F32(bits) => Const::Bits(f64::from(f32::from_bits(*bits)).to_bits()),
            _ => match self.named(instr, op, |ty| ty.bits == 64, "of 64 bits")? {
                Named::Register(slot) => return Ok(slot),
                Named::Constant(value) => value,
            },
        };
        Ok(self.scope.const64(value))
    }

    /// What an operand names: a register that `fits`, a special register, or the address of a variable.
    fn named(&self, instr: &Instr<'a>, op: &Operand<'a>, fits: fn(Ty) -> bool, what: &str) -> Res<Named> {
        let value = match op {
            Operand::Name(name, part) => match self.scope.lookup(name) {
                Some(Binding::Reg(ty, slot)) if part.is_none() && fits(ty) => return Ok(Named::Register(slot)),
                Some(Binding::Reg(..)) => {
                    return self.operand_error(instr, format!("`{name}` is not a register {what}"));
                }
                Some(Binding::Var(place)) => address_of(place, 0),
                Some(Binding::Range(..)) => return self.undeclared(instr, name),
                None => match special(name, *part) {
                    Some(s) => Const::Special(s),
                    None => return self.undeclared(instr, name),
                },
            },
            Operand::Offset(name, offset) => match self.scope.lookup(name) {
                Some(Binding::Var(place)) => address_of(place, *offset),
                _ => return self.undeclared(instr, name),
            },
            _ => return self.operand_error(instr, format!("expected a value {what}")),
        };
        Ok(Named::Constant(value))
    }

    /// A value in the bank of a width.
    pub(super) fn value(&mut self, instr: &Instr<'a>, op: &Operand<'a>, bits: u32) -> Res<Loc> {
        if bits == 64 { self.value64(instr, op).map(Loc::B64) } else { self.value32(instr, op).map(Loc::B32) }
    }

    /// A register or immediate, in the bank it is in: for stores and conversions, whose registers may be wider than the type.
    pub(super) fn any_value(&mut self, instr: &Instr<'a>, op: &Operand<'a>, bits: u32) -> Res<Loc> {
        match op {
            Operand::Name(name, None) => match self.scope.lookup(name) {
                Some(Binding::Reg(..)) => self.loc_of(instr, op),
                _ => self.value(instr, op, bits),
            },
            _ => self.value(instr, op, bits),
        }
    }
}
