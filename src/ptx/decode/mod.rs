//! Turns the syntax tree into [`Program`]s: names become slots, opcodes become functions and operations.
//!
//! `scope` owns names and slots; `arith`, `convert`, `memory`, `control` and `tensor` each know a family of opcodes. An opcode or modifier that
//! none of them knows is an error here, before anything runs.

mod arith;
mod control;
mod convert;
mod copy;
mod integer;
mod memory;
mod mods;
mod scope;
mod tensor;
mod wgmma;

use super::ast::{Ast, Function, Init, Instr, Operand, Space, Stmt, VarDecl};
use super::error::{PtxError, line_text};
use super::program::*;
pub(crate) use memory::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use scope::{Binding, Place, Scope};
use std::collections::{BTreeMap, HashMap};

/// The module variables of the text, in order.
pub(crate) fn variables(ast: &Ast<'_>, source: &str) -> Result<Vec<Variable>, PtxError> {
    let vars: Vec<&VarDecl<'_>> = module_vars(ast).collect();
    let index: BTreeMap<&str, usize> = vars.iter().enumerate().map(|(i, v)| (v.name, i)).collect();
    vars.iter()
        .map(|v| {
            let mut bytes = vec![0; v.size];
            let mut relocations = Vec::new();
            for (at, init) in &v.init {
                match init {
                    Init::Bytes(b) if at + b.len() <= bytes.len() => bytes[*at..at + b.len()].copy_from_slice(b),
                    Init::Address(name, addend) if at + 8 <= bytes.len() => match index.get(name) {
                        Some(&target) => relocations.push((*at, target, *addend)),
                        None => {
                            return Err(PtxError::Undeclared {
                                line: 0,
                                name: name.to_string(),
                                text: line_text(source, 0),
                            });
                        }
                    },
                    _ => {
                        return Err(PtxError::Syntax {
                            line: 0,
                            message: format!("the initialiser of `{}` is longer than the variable", v.name),
                            text: String::new(),
                        });
                    }
                }
            }
            Ok(Variable { name: v.name.to_string(), space: v.space, bytes, relocations })
        })
        .collect()
}

fn module_vars<'s, 'a>(ast: &'s Ast<'a>) -> impl Iterator<Item = &'s VarDecl<'a>> {
    ast.vars.iter().filter(|v| matches!(v.space, Space::Global | Space::Const))
}

/// Decodes one kernel and the functions it reaches.
pub(crate) fn kernel(ast: &Ast<'_>, source: &str, entry: &Function<'_>) -> Result<Program, PtxError> {
    let mut decoder = Decoder {
        source,
        functions: ast.functions.iter().filter(|f| !f.entry && f.body.is_some()).map(|f| (f.name, f)).collect(),
        scope: Scope::new(),
        insts: Vec::new(),
        guard: None,
        line: entry.line,
        fixups: Vec::new(),
        labels: HashMap::new(),
        targets: HashMap::new(),
        blocks: Vec::new(),
        next_block: 0,
        frames: BTreeMap::new(),
        stack: Vec::new(),
        calls: Vec::new(),
        ordered_blocks: false,
        params: Vec::new(),
        param_bytes: 0,
        in_entry: true,
        exact_target: ast.target == "sm_90a",
    };
    for (i, var) in module_vars(ast).enumerate() {
        decoder.scope.bind(var.name, Binding::Var(Place::Module(i)));
    }
    for var in ast.vars.iter().filter(|v| v.space == Space::Shared) {
        decoder.declare(var);
    }
    decoder.function(entry)?;
    Ok(decoder.finish())
}

/// A device function's place in the program.
#[derive(Debug, Clone)]
struct Frame {
    entry: u32,
    /// Local addresses of parameters and results.
    params: Vec<u32>,
    returns: Vec<u32>,
}

struct Fixup {
    inst: usize,
    /// Enclosing blocks, innermost last: labels are looked up outward.
    blocks: Vec<u32>,
    label: String,
    /// Which entry of a branch table, if it is one.
    entry: Option<usize>,
    line: u32,
}

pub(crate) struct Decoder<'s, 'a> {
    source: &'s str,
    functions: BTreeMap<&'a str, &'s Function<'a>>,
    scope: Scope<'a>,
    insts: Vec<Inst>,
    guard: Option<(Slot, bool)>,
    line: u32,
    fixups: Vec<Fixup>,
    labels: HashMap<(u32, &'a str), u32>,
    targets: HashMap<&'a str, Vec<&'a str>>,
    blocks: Vec<u32>,
    next_block: u32,
    frames: BTreeMap<&'a str, Frame>,
    stack: Vec<&'a str>,
    /// Calls to patch once every function has its address.
    calls: Vec<(usize, &'a str)>,
    ordered_blocks: bool,
    params: Vec<Param>,
    param_bytes: u32,
    in_entry: bool,
    /// The text is for the one architecture that has `wgmma`.
    exact_target: bool,
}

type Res<T> = Result<T, PtxError>;

/// How deep calls nest.
const MAX_CALLS: usize = 128;

impl<'s, 'a> Decoder<'s, 'a> {
    fn function(&mut self, f: &'s Function<'a>) -> Res<()> {
        self.scope.enter();
        if f.entry {
            for p in &f.params {
                // All the variables of a module are smaller than 2^30 bytes.
                let offset = self.param_bytes.next_multiple_of(p.align.max(1) as u32);
                self.params.push(Param { offset, size: p.size as u32 });
                self.param_bytes = offset + p.size as u32;
                self.scope.bind(p.name, Binding::Var(Place::KernelParam(offset)));
            }
        } else if let Some(frame) = self.frames.get(f.name).cloned() {
            for (p, &at) in f.params.iter().zip(&frame.params).chain(f.returns.iter().zip(&frame.returns)) {
                self.scope.bind(p.name, Binding::Var(Place::FrameParam(at)));
            }
        }
        let mut callees: Vec<&'a str> = Vec::new();
        self.stack.push(f.name);
        // Callees are laid out first, so that their frames are known; their code follows the kernel's own because the kernel starts at 0.
        for stmt in f.body.iter().flatten() {
            if let Stmt::Instr(instr) = stmt
                && instr.opcode == "call"
            {
                callees.extend(control::callee(instr));
            }
        }
        if self.stack.len() > MAX_CALLS {
            return Err(PtxError::Syntax {
                line: f.line,
                message: format!("calls nest deeper than {MAX_CALLS}"),
                text: line_text(self.source, f.line),
            });
        }
        for name in &callees {
            if self.stack.contains(name) {
                return Err(PtxError::Recursion { function: name.to_string() });
            }
            if let (Some(callee), false) = (self.functions.get(name).copied(), self.frames.contains_key(name)) {
                let params = callee.params.iter().map(|p| self.scope.local(p.name, p.size, p.align)).collect();
                let returns = callee.returns.iter().map(|p| self.scope.local(p.name, p.size, p.align)).collect();
                self.frames.insert(callee.name, Frame { entry: u32::MAX, params, returns });
            }
        }
        self.body(f)?;
        self.scope.leave();
        self.resolve()?;
        for name in callees {
            let Some(callee) = self.functions.get(name).copied() else { continue };
            if self.frames.get(name).is_some_and(|frame| frame.entry == u32::MAX) {
                let entry = self.insts.len() as u32;
                if let Some(frame) = self.frames.get_mut(name) {
                    frame.entry = entry;
                }
                self.in_entry = false;
                self.function(callee)?;
            }
        }
        self.stack.pop();
        Ok(())
    }

    fn body(&mut self, f: &'s Function<'a>) -> Res<()> {
        self.labels.clear();
        self.targets.clear();
        self.blocks = vec![self.open_block()];
        for stmt in f.body.iter().flatten() {
            match stmt {
                Stmt::Open => {
                    let block = self.open_block();
                    self.blocks.push(block);
                    self.scope.enter();
                }
                Stmt::Close => {
                    self.blocks.pop();
                    self.scope.leave();
                }
                Stmt::Label(name) => {
                    let block = self.blocks.last().copied().unwrap_or(0);
                    self.labels.insert((block, name), self.insts.len() as u32);
                    self.last_label(name);
                }
                Stmt::Targets(list) => {
                    if let Some(name) = self.scope.last_label {
                        self.targets.insert(name, list.clone());
                    }
                }
                Stmt::Regs(ty, names) => names.iter().for_each(|(name, count)| self.scope.registers(name, *count, *ty)),
                Stmt::Var(var) => self.declare(var),
                Stmt::Instr(instr) => self.instruction(instr)?,
            }
        }
        // A body that falls off its end returns.
        self.guard = None;
        self.emit(if f.entry { Op::Exit } else { Op::Return }, Class::Control);
        Ok(())
    }

    fn last_label(&mut self, name: &'a str) {
        self.scope.last_label = Some(name);
    }

    fn open_block(&mut self) -> u32 {
        self.next_block += 1;
        self.next_block
    }

    fn declare(&mut self, var: &VarDecl<'a>) {
        let place = match var.space {
            Space::Shared if var.unbounded || (var.external && var.size == 0) => Place::Dynamic,
            Space::Shared => Place::Shared(self.scope.shared(var.name, var.size, var.align)),
            Space::Local => Place::Local(self.scope.local(var.name, var.size, var.align)),
            _ => Place::FrameParam(self.scope.local(var.name, var.size, var.align)),
        };
        self.scope.bind(var.name, Binding::Var(place));
    }

    fn resolve(&mut self) -> Res<()> {
        for fixup in std::mem::take(&mut self.fixups) {
            let found = fixup.blocks.iter().rev().find_map(|b| self.labels.get(&(*b, fixup.label.as_str())));
            let Some(&target) = found else {
                return Err(PtxError::Undeclared {
                    line: fixup.line,
                    name: fixup.label,
                    text: line_text(self.source, fixup.line),
                });
            };
            match (&mut self.insts[fixup.inst].op, fixup.entry) {
                (Op::Branch(t), _) => *t = target,
                (Op::BranchTable(_, table), Some(i)) => table[i] = target,
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Program {
        // Calls were emitted before their callee had an address.
        for (at, name) in &self.calls {
            if let (Op::Call(target), Some(frame)) = (&mut self.insts[*at].op, self.frames.get(name)) {
                *target = frame.entry;
            }
        }
        let s = self.scope.finish();
        Program {
            tensor: self.insts.iter().any(|inst| matches!(inst.op, Op::Wgmma(_))),
            insts: self.insts,
            rows32: s.names32.len() as u32,
            rows64: s.names64.len() as u32,
            preds: s.names_pred.len() as u32,
            consts32: s.consts32,
            consts64: s.consts64,
            const_preds: s.const_preds,
            names32: s.names32,
            names64: s.names64,
            names_pred: s.names_pred,
            params: self.params,
            param_bytes: self.param_bytes,
            dynamic_start: s.dynamic_start,
            static_shared: s.static_shared,
            shared: s.shared,
            local: s.local,
            local_bytes: s.local_bytes,
            ordered_blocks: self.ordered_blocks,
        }
    }

    fn instruction(&mut self, instr: &Instr<'a>) -> Res<()> {
        self.line = instr.line;
        self.scope.reset_temps();
        self.guard = match instr.guard {
            Some((name, negated)) => Some((self.pred_named(instr, name)?, negated)),
            None => None,
        };
        let known = self.arith(instr)?
            || self.conversion(instr)?
            || self.memory(instr)?
            || self.control(instr)?
            || self.tensor(instr)?
            || self.wgmma(instr)?;
        if known {
            Ok(())
        } else {
            Err(PtxError::UnknownOpcode {
                line: instr.line,
                opcode: full_name(instr),
                text: line_text(self.source, instr.line),
            })
        }
    }

    fn emit(&mut self, op: Op, class: Class) {
        self.emit_approx(op, class, Approx::Exact);
    }

    fn emit_approx(&mut self, op: Op, class: Class, approx: Approx) {
        self.insts.push(Inst { op, guard: self.guard, line: self.line, class, approx });
    }

    fn pure(&mut self, op: Pure, class: Class) {
        self.emit(Op::Pure(op), class);
    }

    fn operand_error<T>(&self, instr: &Instr<'a>, message: impl Into<String>) -> Res<T> {
        Err(PtxError::Operands {
            line: instr.line,
            opcode: full_name(instr),
            message: message.into(),
            text: line_text(self.source, instr.line),
        })
    }

    /// Fails because this combination of modifiers is not one the opcode has.
    fn unknown<T>(&self, instr: &Instr<'a>) -> Res<T> {
        Err(PtxError::UnknownOpcode {
            line: instr.line,
            opcode: full_name(instr),
            text: line_text(self.source, instr.line),
        })
    }

    fn undeclared<T>(&self, instr: &Instr<'a>, name: &str) -> Res<T> {
        Err(PtxError::Undeclared { line: instr.line, name: name.to_string(), text: line_text(self.source, instr.line) })
    }

    fn want_operands(&self, instr: &Instr<'a>, count: usize) -> Res<()> {
        if instr.operands.len() == count {
            return Ok(());
        }
        self.operand_error(instr, format!("expected {count} operands, found {}", instr.operands.len()))
    }

    fn operand<'i>(&self, instr: &'i Instr<'a>, i: usize) -> Res<&'i Operand<'a>> {
        match instr.operands.get(i) {
            Some(op) => Ok(op),
            None => self.operand_error(instr, format!("operand {} is missing", i + 1)),
        }
    }
}

/// The opcode with all its modifiers.
fn full_name(instr: &Instr<'_>) -> String {
    std::iter::once(instr.opcode).chain(instr.mods.iter().copied()).collect::<Vec<_>>().join(".")
}
