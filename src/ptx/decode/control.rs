//! Control flow, barriers and warp collectives.

use super::mods::Mods;
use super::scope::{Binding, Place};
use super::{Decoder, Fixup, Res};
use crate::ptx::ast::{Instr, Kind, Operand};
use crate::ptx::program::*;

/// The function that a `call` names.
pub(super) fn callee<'a>(instr: &Instr<'a>) -> Option<&'a str> {
    instr.operands.iter().find_map(|op| match op {
        Operand::Name(name, None) => Some(*name),
        _ => None,
    })
}

impl<'a> Decoder<'_, 'a> {
    /// Decodes control flow and collectives; false if the opcode is of another family.
    pub(super) fn control(&mut self, instr: &Instr<'a>) -> Res<bool> {
        let mut mods = Mods::new(instr);
        match instr.opcode {
            "bra" => {
                mods.take("uni");
                let Operand::Name(label, None) = self.operand(instr, 0)? else {
                    return self.operand_error(instr, "expected a label").map(|()| true);
                };
                self.fix(label, None);
                self.emit(Op::Branch(0), Class::Control);
            }
            "brx" => {
                mods.take("idx");
                mods.take("uni");
                self.branch_table(instr)?;
            }
            "call" => {
                mods.take("uni");
                self.call(instr)?;
            }
            "ret" => {
                mods.take("uni");
                self.emit(if self.in_entry { Op::Exit } else { Op::Return }, Class::Control);
            }
            "exit" => self.emit(Op::Exit, Class::Control),
            "trap" | "brkpt" => self.emit(Op::Trap, Class::Control),
            "nanosleep" => {
                mods.ty();
                self.emit(Op::Yield, Class::Control);
            }
            // A register budget does not change what a kernel computes.
            "setmaxnreg" => {
                let whole = mods.one_of(&["inc", "dec"]).is_some() && mods.take("sync") && mods.take("aligned");
                let count = match self.operand(instr, 0)? {
                    Operand::Int(n @ 24..=256) if n % 8 == 0 => Some(*n),
                    _ => None,
                };
                if !whole || !mods.take("u32") {
                    return self.unknown(instr).map(|()| true);
                }
                if count.is_none() {
                    let message = "the register count must be a constant multiple of 8 from 24 to 256";
                    return self.operand_error(instr, message).map(|()| true);
                }
                self.emit(Op::Nop, Class::Control);
            }
            // Programmatic dependent launch does not change what one kernel computes.
            "griddepcontrol" | "pmevent" => {
                while mods.next().is_some() {}
                self.emit(Op::Nop, Class::Control);
            }
            "activemask" => {
                mods.ty();
                let d = self.dst32(instr, 0)?;
                self.emit(Op::ActiveMask(d), Class::Warp);
            }
            "shfl" => self.shuffle(instr, &mut mods)?,
            "vote" => self.vote(instr, &mut mods)?,
            "match" => self.match_sync(instr, &mut mods)?,
            "redux" => self.redux(instr, &mut mods)?,
            "elect" => {
                mods.take("sync");
                let Operand::Pair(d, p) = self.operand(instr, 0)?.clone() else {
                    return self.operand_error(instr, "expected `d|p`").map(|()| true);
                };
                let dst = if d == "_" { None } else { Some(self.register(instr, d)?.1) };
                let vote = Vote::Elect { dst, pred: self.pred_named(instr, p)?, members: self.src32(instr, 1)? };
                self.emit(Op::Vote(Box::new(vote)), Class::Warp);
            }
            "bar" | "barrier" => self.barrier(instr, &mut mods)?,
            _ => return Ok(false),
        }
        mods.done(self.source, instr)?;
        Ok(true)
    }

    fn fix(&mut self, label: &str, entry: Option<usize>) {
        self.fixups.push(Fixup {
            inst: self.insts.len(),
            blocks: self.blocks.clone(),
            label: label.to_string(),
            entry,
            line: self.line,
        });
    }

    fn branch_table(&mut self, instr: &Instr<'a>) -> Res<()> {
        self.want_operands(instr, 2)?;
        let index = self.src32(instr, 0)?;
        let labels = match self.operand(instr, 1)? {
            Operand::Name(name, None) => match self.targets.get(name) {
                Some(list) => list.clone(),
                None => return self.undeclared(instr, name),
            },
            _ => return self.operand_error(instr, "expected a list of branch targets"),
        };
        for (i, label) in labels.iter().enumerate() {
            self.fix(label, Some(i));
        }
        self.emit(Op::BranchTable(index, vec![0; labels.len()].into()), Class::Control);
        Ok(())
    }

    /// `call (results), function, (arguments);` Arguments and results are variables of `.param` space, copied through local memory.
    fn call(&mut self, instr: &Instr<'a>) -> Res<()> {
        let Some(name) = callee(instr) else { return self.operand_error(instr, "indirect calls are not supported") };
        if !self.functions.contains_key(name) {
            self.emit(Op::External(name.into()), Class::Control);
            return Ok(());
        }
        let Some(frame) = self.frames.get(name).cloned() else { return self.undeclared(instr, name) };
        let f = self.functions[name];
        let split = instr.operands.iter().position(|op| matches!(op, Operand::Name(..))).unwrap_or(0);
        let list = |ops: &[Operand<'a>]| match ops.first() {
            Some(Operand::List(list)) => list.clone(),
            _ => Vec::new(),
        };
        let (results, arguments) = (list(&instr.operands[..split]), list(&instr.operands[split + 1..]));
        if results.len() != f.returns.len() || arguments.len() != f.params.len() {
            return self.operand_error(
                instr,
                format!("`{name}` takes {} arguments and gives {} results", f.params.len(), f.returns.len()),
            );
        }
        let sizes = |vars: &[crate::ptx::ast::VarDecl<'_>]| vars.iter().map(|v| v.size).collect::<Vec<_>>();
        let (parameter_sizes, result_sizes) = (sizes(&f.params), sizes(&f.returns));
        for ((arg, &to), size) in arguments.iter().zip(&frame.params).zip(parameter_sizes) {
            let from = self.frame_variable(instr, arg)?;
            self.copy_local(from, to, size);
        }
        self.calls.push((self.insts.len(), f.name));
        self.emit(Op::Call(u32::MAX), Class::Control);
        for ((result, &from), size) in results.iter().zip(&frame.returns).zip(result_sizes) {
            let to = self.frame_variable(instr, result)?;
            self.copy_local(from, to, size);
        }
        Ok(())
    }

    fn frame_variable(&self, instr: &Instr<'a>, op: &Operand<'a>) -> Res<u32> {
        match op {
            Operand::Name(name, None) => match self.scope.lookup(name) {
                Some(Binding::Var(Place::FrameParam(at))) => Ok(at),
                _ => self.undeclared(instr, name),
            },
            _ => self.operand_error(instr, "arguments must be variables of `.param` space"),
        }
    }

    fn copy_local(&mut self, from: u32, to: u32, size: usize) {
        let mut done = 0;
        while done < size {
            let width = [8, 4, 2, 1].into_iter().find(|w| done + w <= size).unwrap_or(1);
            let value = Loc::B64(self.scope.temp64());
            let access = |at: u32| Access {
                addr: Address { space: MemSpace::Local, base: Loc::Sink, offset: i64::from(at) + done as i64 },
                width: width as u8,
                signed: false,
                strong: false,
                regs: vec![value],
            };
            self.emit(Op::Load(Box::new(access(from))), Class::Expansion);
            self.emit(Op::Store(Box::new(access(to))), Class::Expansion);
            done += width;
        }
    }

    fn shuffle(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let sync = mods.take("sync");
        let mode = match mods.one_of(&["up", "down", "bfly", "idx"]) {
            Some("up") => ShuffleMode::Up,
            Some("down") => ShuffleMode::Down,
            Some("bfly") => ShuffleMode::Bfly,
            Some(_) => ShuffleMode::Idx,
            None => return self.unknown(instr),
        };
        mods.take("b32");
        if !sync {
            return self.unknown(instr);
        }
        self.want_operands(instr, 5)?;
        let (dst, pred) = match self.operand(instr, 0)?.clone() {
            Operand::Pair(d, p) => {
                let dst = if d == "_" { self.scope.temp32() } else { self.register(instr, d)?.1 };
                (dst, Some(self.pred_named(instr, p)?))
            }
            _ => (self.dst32(instr, 0)?, None),
        };
        let shuffle = Shuffle {
            mode,
            dst,
            pred,
            src: self.src32(instr, 1)?,
            lane: self.src32(instr, 2)?,
            clamp: self.src32(instr, 3)?,
            members: self.src32(instr, 4)?,
        };
        self.emit(Op::Shuffle(Box::new(shuffle)), Class::Warp);
        Ok(())
    }

    fn vote(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let sync = mods.take("sync");
        let kind = mods.one_of(&["ballot", "all", "any", "uni"]);
        mods.ty();
        self.want_operands(instr, 3)?;
        let (src, members) = (self.pred_src(instr, 1)?, self.src32(instr, 2)?);
        let vote = match kind {
            Some("ballot") if sync => Vote::Ballot { dst: self.dst32(instr, 0)?, src, members },
            Some("all") if sync => Vote::All { dst: self.dst_pred(instr, 0)?, src, members },
            Some("any") if sync => Vote::Any { dst: self.dst_pred(instr, 0)?, src, members },
            Some("uni") if sync => Vote::Uniform { dst: self.dst_pred(instr, 0)?, src, members },
            _ => return self.unknown(instr),
        };
        self.emit(Op::Vote(Box::new(vote)), Class::Warp);
        Ok(())
    }

    fn match_sync(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let kind = mods.one_of(&["any", "all"]);
        if !mods.take("sync") {
            return self.unknown(instr);
        }
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        self.want_operands(instr, 3)?;
        let src = self.value(instr, &self.operand(instr, 1)?.clone(), ty.bits)?;
        let members = self.src32(instr, 2)?;
        let vote = match kind {
            Some("any") => Vote::MatchAny { dst: self.dst32(instr, 0)?, src, members },
            Some(_) => match self.operand(instr, 0)?.clone() {
                Operand::Pair(d, p) => {
                    let dst = if d == "_" { self.scope.temp32() } else { self.register(instr, d)?.1 };
                    Vote::MatchAll { dst, pred: Some(self.pred_named(instr, p)?), src, members }
                }
                _ => Vote::MatchAll { dst: self.dst32(instr, 0)?, pred: None, src, members },
            },
            None => return self.unknown(instr),
        };
        self.emit(Op::Vote(Box::new(vote)), Class::Warp);
        Ok(())
    }

    fn redux(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        let sync = mods.take("sync");
        let name = mods.one_of(&["add", "min", "max", "and", "or", "xor"]);
        let Some(ty) = mods.ty() else { return self.unknown(instr) };
        let op = match (name, ty.kind) {
            (_, Kind::Float) => return self.unknown(instr),
            (Some("add"), _) => AtomOp::Add,
            (Some("min"), Kind::Signed) => AtomOp::MinS,
            (Some("min"), _) => AtomOp::MinU,
            (Some("max"), Kind::Signed) => AtomOp::MaxS,
            (Some("max"), _) => AtomOp::MaxU,
            (Some("and"), _) => AtomOp::And,
            (Some("or"), _) => AtomOp::Or,
            (Some("xor"), _) => AtomOp::Xor,
            _ => return self.unknown(instr),
        };
        if !sync || ty.bits != 32 {
            return self.unknown(instr);
        }
        self.want_operands(instr, 3)?;
        let vote =
            Vote::Redux { op, dst: self.dst32(instr, 0)?, src: self.src32(instr, 1)?, members: self.src32(instr, 2)? };
        self.emit(Op::Vote(Box::new(vote)), Class::Warp);
        Ok(())
    }

    /// `bar.sync`, `barrier.cta.sync.aligned`, `bar.arrive`, `bar.red`, `bar.warp.sync`.
    fn barrier(&mut self, instr: &Instr<'a>, mods: &mut Mods<'a>) -> Res<()> {
        if mods.take("warp") {
            mods.take("sync");
            self.want_operands(instr, 1)?;
            let members = self.src32(instr, 0)?;
            self.emit(Op::WarpSync(members), Class::Warp);
            return Ok(());
        }
        mods.take("cta");
        let aligned = mods.take("aligned") || instr.opcode == "bar";
        match mods.one_of(&["sync", "arrive", "red"]) {
            Some("red") => {
                let op = match mods.one_of(&["popc", "and", "or"]) {
                    Some("popc") => ReduceOp::Popc,
                    Some("and") => ReduceOp::And,
                    Some(_) => ReduceOp::Or,
                    None => return self.unknown(instr),
                };
                mods.ty();
                let last = instr.operands.len().saturating_sub(1);
                let dst = if op == ReduceOp::Popc { self.dst32(instr, 0)? } else { self.dst_pred(instr, 0)? };
                let src = self.pred_operand(instr, &self.operand(instr, last)?.clone())?;
                let id = self.src32(instr, 1)?;
                let count = if last == 3 { Some(self.src32(instr, 2)?) } else { None };
                let reduce = Some(BarrierReduce { op, dst, src });
                self.emit(
                    Op::Barrier(Box::new(Barrier { id, count, aligned, arrive_only: false, reduce })),
                    Class::Barrier,
                );
            }
            Some(kind) => {
                let id = self.src32(instr, 0)?;
                let count = if instr.operands.len() > 1 { Some(self.src32(instr, 1)?) } else { None };
                let barrier = Barrier { id, count, aligned, arrive_only: kind == "arrive", reduce: None };
                self.emit(Op::Barrier(Box::new(barrier)), Class::Barrier);
            }
            None => return self.unknown(instr),
        }
        Ok(())
    }
}
