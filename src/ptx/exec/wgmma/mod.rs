//! `wgmma`: a warpgroup, four warps, multiplies matrices in shared memory while its threads go on.
//!
//! Nothing is seen of a result before `wgmma.wait_group` has waited for it: until then the accumulators are out of reach, and so is shared memory that is
//! read. The sums themselves are formed at the issue; whoever could tell the difference is at fault, and told so.
//!
//! The four warps come along one after the other. What the first finds out and decodes is kept until the last has passed; a warp that issues something else, or
//! nothing, is at fault.

mod operand;
mod product;

use super::block::State;
use super::warp::{Exec, FULL, Flow, Stop, Wait, Warp, lanes};
use crate::ptx::fault::FaultKind;
use crate::ptx::program::*;
use crate::ptx::race::PIECE;
use operand::Descriptor;
use product::Values;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Warps of a warpgroup.
const WARPS: usize = 4;

/// A warp's `wgmma` instructions that nothing has waited for, and who wrote the registers they use.
#[derive(Default)]
pub(crate) struct Tensor {
    /// `wgmma.fence` instructions so far.
    fences: u32,
    /// Of each 32-bit register: the fences before its last write, plus one.
    wrote: Vec<u32>,
    /// Of each 32-bit register: how many instructions in flight use it.
    held: Vec<u16>,
    /// The lanes in which registers of A are written, hidden while an instruction reads them.
    hidden: BTreeMap<Slot, u32>,
    flights: Vec<Flight>,
    /// Groups that are committed.
    committed: u64,
    /// Results that have not landed.
    results: Vec<Outcome>,
    /// A register that was written although it is held.
    pub violation: Option<Slot>,
}

/// An instruction in flight.
struct Flight {
    group: u64,
    line: u32,
    d: Arc<[Slot]>,
    a: Option<Arc<[Slot]>>,
    pieces: Rc<[u32]>,
}

/// The accumulators of instructions in flight.
struct Outcome {
    d: Arc<[Slot]>,
    rows: Vec<R32>,
    /// Instructions that have not ended.
    open: usize,
}

/// What the warps of a warpgroup issue.
#[derive(Default)]
pub(crate) struct Warpgroup {
    log: VecDeque<Rc<Issue>>,
    /// Instructions before those in the log.
    passed: u64,
    /// How many each warp has issued.
    issued: [u64; WARPS],
}

/// One instruction of a warpgroup.
struct Issue {
    line: u32,
    /// A's descriptor or 0, B's, and whether it accumulates.
    operands: (u64, u64, bool),
    a: Option<Values>,
    b: Values,
    /// The pieces of shared memory that it reads, each once.
    pieces: Rc<[u32]>,
    /// What it reads is settled for every warp.
    settled: bool,
}

impl Tensor {
    pub(crate) fn new(registers: usize) -> Tensor {
        Tensor { wrote: vec![0; registers], held: vec![0; registers], ..Tensor::default() }
    }

    pub(crate) fn reset(&mut self) {
        let registers = self.wrote.len();
        *self = Tensor::new(registers);
    }

    /// Notes a write to a register by an ordinary instruction.
    #[inline]
    pub(crate) fn note_write(&mut self, slot: Slot) {
        self.wrote[slot as usize] = self.fences + 1;
        if self.held[slot as usize] > 0 {
            self.violation = Some(slot);
        }
    }

    /// A move is no access of its own: NVRTC copies the operands of inline assembly from register to register, and `ptxas` takes the copies out again. What
    /// counts is where the value was computed.
    pub(crate) fn note_move(&mut self, to: Slot, from: Slot) {
        self.wrote[to as usize] = self.wrote[from as usize];
    }

    /// The line of an instruction in flight that uses a register.
    pub(crate) fn owner(&self, slot: Slot) -> Option<u32> {
        let uses = |f: &&Flight| f.d.contains(&slot) || f.a.as_ref().is_some_and(|a| a.contains(&slot));
        self.flights.iter().find(uses).map(|f| f.line)
    }
}

fn protocol<T>(message: impl Into<String>) -> Exec<T> {
    Err(Stop::at(0, FaultKind::Protocol(message.into())))
}

impl Warp {
    /// Runs a `wgmma` instruction once the whole warp is there.
    pub(super) fn wgmma(&mut self, block: &mut State<'_, '_>, op: &Op, exec: u32, line: u32) -> Exec<Flow> {
        if exec != self.live {
            return Ok(Flow::Block(Wait::Lanes));
        }
        let first = self.index as usize / WARPS * WARPS * LANES;
        if exec != FULL || first + WARPS * LANES > block.context.threads as usize {
            return protocol("wgmma needs all 128 threads of a warpgroup");
        }
        match op {
            Op::Wgmma(wgmma) => self.issue(block, wgmma, line)?,
            Op::WgmmaFence => self.tensor.iter_mut().for_each(|t| t.fences += 1),
            Op::WgmmaCommit => self.tensor.iter_mut().for_each(|t| t.committed += 1),
            Op::WgmmaWait(left) => self.land(block, u64::from(*left)),
            _ => {}
        }
        Ok(Flow::Next)
    }

    fn issue(&mut self, block: &mut State<'_, '_>, wgmma: &Wgmma, line: u32) -> Exec<()> {
        let operands = self.operands(block, wgmma)?;
        self.check_registers(block, wgmma, operands.2)?;
        let issue = self.find_or_decode(block, wgmma, operands, line)?;
        let warp = self.index as u16;
        if !issue.settled {
            block.shared.check_async_read(&issue.pieces, warp, self.who(0, line)).map_err(|kind| Stop::at(0, *kind))?;
        }
        if let Some(race) = &mut block.shared.race {
            race.begin_async_read(&issue.pieces, warp, line);
        }
        let (a, own) = match (&wgmma.a, &issue.a) {
            (WgmmaSource::Registers(slots), _) => {
                let regs: Vec<R32> = slots.iter().map(|&s| self.r32[s as usize]).collect();
                (Some(slots.clone()), Some(product::from_registers(wgmma, &regs)))
            }
            _ => (None, None),
        };
        let mut rows = self.take_accumulators(&wgmma.d, operands.2);
        let (values, row) = match (&own, &issue.a) {
            (Some(own), _) => (own, 0),
            (None, Some(shared)) => (shared, self.index as usize % WARPS * 16),
            (None, None) => return Ok(()),
        };
        product::multiply(wgmma, values, row, &issue.b, &mut rows.rows);
        rows.open += 1;
        let Some(tensor) = &mut self.tensor else { return Ok(()) };
        tensor.results.push(rows);
        for &slot in wgmma.d.iter() {
            tensor.held[slot as usize] += 1;
            self.set32[slot as usize] = 0;
        }
        for &slot in a.iter().flat_map(|a| a.iter()) {
            tensor.held[slot as usize] += 1;
            let set = std::mem::take(&mut self.set32[slot as usize]);
            tensor.hidden.entry(slot).or_insert(set);
        }
        let group = tensor.committed;
        tensor.flights.push(Flight { group, line, d: wgmma.d.clone(), a, pieces: issue.pieces.clone() });
        Ok(())
    }

    /// The descriptors and the flag of an instruction, which all threads must give alike.
    fn operands(&self, block: &State<'_, '_>, wgmma: &Wgmma) -> Exec<(u64, u64, bool)> {
        let uniform = |slot: Slot| -> Exec<u64> {
            let row = self.read64(block, slot, FULL)?;
            match lanes(FULL).find(|&lane| row[lane] != row[0]) {
                None => Ok(row[0]),
                Some(lane) => Err(Stop::at(
                    lane,
                    FaultKind::Protocol("the threads of a warp give wgmma different matrix descriptors".into()),
                )),
            }
        };
        let a = match wgmma.a {
            WgmmaSource::Shared(slot) => uniform(slot)?,
            WgmmaSource::Registers(_) => 0,
        };
        let b = uniform(wgmma.b)?;
        let (slot, negated) = wgmma.accumulate;
        let accumulate = self.pred(block, slot, FULL)? ^ if negated { FULL } else { 0 };
        if accumulate != 0 && accumulate != FULL {
            return protocol("the threads of a warp disagree on whether wgmma accumulates");
        }
        Ok((a, b, accumulate == FULL))
    }

    /// Registers that are used must be written, be fenced, and not be in use for something else.
    fn check_registers(&self, block: &State<'_, '_>, wgmma: &Wgmma, accumulate: bool) -> Exec<()> {
        let Some(tensor) = &self.tensor else { return Ok(()) };
        if tensor.fences == 0 {
            return protocol("a wgmma.fence must come before the first wgmma");
        }
        let name = |slot: Slot| block.program.names32[slot as usize].to_string();
        let fenced = |slot: Slot| -> Exec<()> {
            if tensor.wrote[slot as usize] > tensor.fences {
                return Err(Stop::at(0, FaultKind::MissingRegisterFence { register: name(slot) }));
            }
            Ok(())
        };
        let same = tensor.results.iter().any(|r| r.d == wgmma.d);
        for &slot in wgmma.d.iter() {
            if same {
                continue;
            }
            if tensor.held[slot as usize] > 0 {
                let owner_line = tensor.owner(slot).unwrap_or(0);
                return Err(Stop::at(0, FaultKind::PendingRegister { register: name(slot), write: true, owner_line }));
            }
            if accumulate {
                self.read32(block, slot, FULL)?;
            }
            fenced(slot)?;
        }
        if let WgmmaSource::Registers(slots) = &wgmma.a {
            for &slot in slots.iter() {
                // Several instructions may read the same fragment at a time.
                if !tensor.hidden.contains_key(&slot) {
                    self.read32(block, slot, FULL)?;
                }
                fenced(slot)?;
            }
        }
        Ok(())
    }

    /// The instruction as the first warp of the group left it, or decoded now.
    fn find_or_decode(
        &self,
        block: &mut State<'_, '_>,
        wgmma: &Wgmma,
        operands: (u64, u64, bool),
        line: u32,
    ) -> Exec<Rc<Issue>> {
        let (group, member) = (self.index as usize / WARPS, self.index as usize % WARPS);
        let at = (block.warpgroups[group].issued[member] - block.warpgroups[group].passed) as usize;
        let issue = match block.warpgroups[group].log.get(at) {
            Some(issue) if issue.line == line && issue.operands == operands => issue.clone(),
            Some(issue) => {
                let what = if issue.line == line { "operands" } else { "instructions" };
                return protocol(format!(
                    "the warps of a warpgroup issue different wgmma {what}: another issued that of PTX line {}",
                    issue.line
                ));
            }
            None => {
                let issue = Rc::new(self.decode(block, wgmma, operands, line)?);
                block.warpgroups[group].log.push_back(issue.clone());
                issue
            }
        };
        block.warpgroups[group].pass(member);
        Ok(issue)
    }

    fn decode(&self, block: &mut State<'_, '_>, wgmma: &Wgmma, operands: (u64, u64, bool), line: u32) -> Exec<Issue> {
        let k = 256 / wgmma.a_elem.bits();
        let pieces = |bits: u64, rows: usize, transposed: bool| -> Exec<Vec<u32>> {
            match Descriptor::new(bits) {
                Ok(descriptor) => Ok(descriptor.pieces(rows, k, transposed)),
                Err(message) => protocol(message),
            }
        };
        let a = match wgmma.a {
            WgmmaSource::Shared(_) => pieces(operands.0, 64, wgmma.transpose_a)?,
            WgmmaSource::Registers(_) => Vec::new(),
        };
        let b = pieces(operands.1, wgmma.n, wgmma.transpose_b)?;
        let mut all: Vec<u32> = a.iter().chain(&b).map(|address| address / PIECE as u32).collect();
        all.sort_unstable();
        all.dedup();
        let who = self.who(0, line);
        let checked = block.shared.check_pieces(&all, who).and_then(|()| {
            let settled = block.shared.check_async_read(&all, self.index as u16, who)?;
            Ok((settled, block.shared.gather(&a), block.shared.gather(&b)))
        });
        let (settled, a, b) = checked.map_err(|kind| Stop::at(0, *kind))?;
        let values = operand::values;
        Ok(Issue {
            line,
            operands,
            a: (!a.is_empty()).then(|| values(&a, 64, wgmma.a_elem, wgmma.transpose_a, wgmma.negate_a, false)),
            b: values(&b, wgmma.n, wgmma.b_elem, wgmma.transpose_b, wgmma.negate_b, true),
            pieces: all.into(),
            settled,
        })
    }

    /// The accumulators to add to: those in flight, the registers, or zeros.
    fn take_accumulators(&mut self, d: &Arc<[Slot]>, accumulate: bool) -> Outcome {
        let flying = self.tensor.as_mut().and_then(|t| {
            let at = t.results.iter().position(|r| r.d == *d)?;
            Some(t.results.swap_remove(at))
        });
        match (flying, accumulate) {
            (Some(outcome), true) => outcome,
            (Some(outcome), false) => Outcome { rows: vec![[0; LANES]; d.len()], ..outcome },
            (None, true) => {
                let rows = d.iter().map(|&slot| self.r32[slot as usize]).collect();
                Outcome { d: d.clone(), rows, open: 0 }
            }
            (None, false) => Outcome { d: d.clone(), rows: vec![[0; LANES]; d.len()], open: 0 },
        }
    }

    /// Ends all instructions but those of the newest `left` groups.
    fn land(&mut self, block: &mut State<'_, '_>, left: u64) {
        let Some(tensor) = &mut self.tensor else { return };
        let committed = tensor.committed;
        let due = |f: &Flight| f.group + left < committed;
        let (ended, flying): (Vec<Flight>, Vec<Flight>) =
            std::mem::take(&mut tensor.flights).into_iter().partition(due);
        tensor.flights = flying;
        for flight in &ended {
            if let Some(race) = &mut block.shared.race {
                race.end_async_read(&flight.pieces, self.index as u16, flight.line);
            }
            for &slot in flight.a.iter().flat_map(|a| a.iter()).chain(flight.d.iter()) {
                tensor.held[slot as usize] -= 1;
            }
            for slot in flight.a.iter().flat_map(|a| a.iter()).filter(|&&s| tensor.held[s as usize] == 0) {
                if let Some(set) = tensor.hidden.remove(slot) {
                    self.set32[*slot as usize] = set;
                }
            }
            let Some(at) = tensor.results.iter().position(|r| r.d == flight.d) else { continue };
            tensor.results[at].open -= 1;
            if tensor.results[at].open == 0 {
                let outcome = tensor.results.swap_remove(at);
                for (&slot, row) in outcome.d.iter().zip(&outcome.rows) {
                    self.r32[slot as usize] = *row;
                    self.set32[slot as usize] = FULL;
                }
            }
        }
        if let (Some(race), false) = (&mut block.shared.race, ended.is_empty()) {
            race.learn_async_reads(self.index as u16);
        }
    }
}

impl Warpgroup {
    /// A warp has issued its next instruction; what all four have issued is forgotten.
    fn pass(&mut self, member: usize) {
        self.issued[member] += 1;
        while !self.log.is_empty() && self.issued.iter().all(|&n| n > self.passed) {
            self.log.pop_front();
            self.passed += 1;
        }
    }

    /// The line of an instruction that not all warps have issued.
    pub(super) fn unfinished(&self) -> Option<u32> {
        self.log.front().map(|issue| issue.line)
    }
}
