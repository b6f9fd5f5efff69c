//! A warp: 32 lanes with their registers, and the fragments they fall into when they diverge.
//!
//! A fragment is a set of lanes with one program counter and one call stack. Of the fragments that can run, the one deepest in calls and
//! lowest in the program runs first, until it meets another one at the same place and joins it. That reconverges at the end of every
//! structured branch and loop. A fragment that runs long without joining lets the others go ahead, so that lanes may wait for each other.

use super::block::State;
use super::{async_copy::Copies, pure, wgmma::Tensor};
use crate::ptx::fault::FaultKind;
use crate::ptx::program::*;
use crate::ptx::race::Who;

/// All lanes.
pub(crate) const FULL: u32 = !0;
/// Instructions a warp runs before the next one has its turn.
const WARP_QUANTUM: u32 = 20_000;
/// Instructions a fragment runs before another one of its warp has its turn.
const FRAGMENT_QUANTUM: u32 = 4_000;

/// Why a fragment does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Ready,
    /// Gave way until the warp's next turn.
    Yielded,
    /// At a collective, until the lanes it names are there as well.
    Lanes,
    /// At a barrier that it has arrived at.
    Barrier(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub pc: u32,
    pub mask: u32,
    pub stack: Vec<u32>,
    pub wait: Wait,
}

/// A fault and the lane it belongs to.
#[derive(Debug)]
pub(crate) struct Stop {
    pub lane: Option<usize>,
    pub kind: Box<FaultKind>,
}

impl Stop {
    pub(crate) fn at(lane: usize, kind: FaultKind) -> Stop {
        Stop { lane: Some(lane), kind: Box::new(kind) }
    }

    pub(crate) fn whole(kind: FaultKind) -> Stop {
        Stop { lane: None, kind: Box::new(kind) }
    }
}

pub(crate) type Exec<T> = Result<T, Stop>;

/// What the run loop does after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// All lanes of the fragment go there.
    Jump(u32),
    /// The fragments changed: choose again.
    Choose,
    /// The fragment waits here.
    Block(Wait),
    /// Go on behind the instruction, after others had a turn.
    Yield,
}

pub(crate) struct Warp {
    pub index: u32,
    pub r32: Vec<R32>,
    pub r64: Vec<R64>,
    pub preds: Vec<u32>,
    /// Lanes in which each register has been written.
    pub set32: Vec<u32>,
    pub set64: Vec<u32>,
    pub set_pred: Vec<u32>,
    pub fragments: Vec<Fragment>,
    /// Lanes that exist, and those that have not exited.
    pub born: u32,
    pub live: u32,
    pub local: Vec<u8>,
    pub local_written: Vec<bool>,
    pub copies: Copies,
    /// For kernels with `wgmma`.
    pub tensor: Option<Box<Tensor>>,
    pub steps: u64,
    /// The lane of the last fault, with its place.
    pub pc: u32,
    pub(super) check: bool,
}

impl Warp {
    pub(crate) fn new(index: u32, program: &Program, threads: u32, check: bool) -> Warp {
        let lanes = (threads - index * LANES as u32).min(LANES as u32);
        let local = if program.local.is_empty() { 0 } else { program.local_bytes as usize * LANES };
        Warp {
            index,
            r32: vec![[0; LANES]; program.rows32 as usize],
            r64: vec![[0; LANES]; program.rows64 as usize],
            preds: vec![0; program.preds as usize],
            set32: vec![0; program.rows32 as usize],
            set64: vec![0; program.rows64 as usize],
            set_pred: vec![0; program.preds as usize],
            fragments: Vec::new(),
            born: FULL >> (32 - lanes),
            live: 0,
            local: vec![0; local],
            local_written: vec![false; local],
            copies: Copies::default(),
            tensor: program.tensor.then(|| Box::new(Tensor::new(program.rows32 as usize))),
            steps: 0,
            pc: 0,
            check,
        }
    }

    /// Starts a block: registers are undefined again, except the constant rows.
    pub(crate) fn start(&mut self, program: &Program, value: impl Fn(&Const, u32) -> R64) {
        self.set32.fill(0);
        self.set64.fill(0);
        self.set_pred.fill(0);
        self.local_written.fill(false);
        for (slot, constant) in &program.consts32 {
            self.r32[*slot as usize] = value(constant, self.index).map(|v| v as u32);
            self.set32[*slot as usize] = FULL;
        }
        for (slot, constant) in &program.consts64 {
            self.r64[*slot as usize] = value(constant, self.index);
            self.set64[*slot as usize] = FULL;
        }
        for (slot, constant) in &program.const_preds {
            self.preds[*slot as usize] = if *constant { FULL } else { 0 };
            self.set_pred[*slot as usize] = FULL;
        }
        self.live = self.born;
        self.fragments = vec![Fragment { pc: 0, mask: self.born, stack: Vec::new(), wait: Wait::Ready }];
        self.copies = Copies::default();
        self.tensor.iter_mut().for_each(|tensor| tensor.reset());
        self.steps = 0;
    }

    pub(crate) fn thread(&self, lane: usize) -> u16 {
        (self.index as usize * LANES + lane) as u16
    }

    pub(crate) fn who(&self, lane: usize, line: u32) -> Who {
        Who { thread: self.thread(lane), line }
    }

    /// Runs until every lane waits or has exited, or the quantum is used up. True if anything ran.
    pub(crate) fn run(&mut self, block: &mut State<'_, '_>) -> Exec<bool> {
        let start = self.steps;
        let end = start + u64::from(WARP_QUANTUM);
        // Those who gave way in the last turn may run again.
        for f in self.fragments.iter_mut().filter(|f| f.wait == Wait::Yielded) {
            f.wait = Wait::Ready;
        }
        while self.steps < end {
            let Some(index) = self.choose() else { break };
            self.run_fragment(index, block, end)?;
        }
        // Whoever still has something to do moves on.
        block.stirred |= self.steps >= end;
        Ok(self.steps > start)
    }

    /// Joins fragments that are at the same place, and chooses the next to run.
    fn choose(&mut self) -> Option<usize> {
        if self.fragments.len() > 1 {
            self.join_fragments();
        }
        let ready = self.fragments.iter().enumerate().filter(|(_, f)| f.wait == Wait::Ready);
        ready.min_by_key(|(_, f)| (std::cmp::Reverse(f.stack.len()), f.pc)).map(|(i, _)| i)
    }

    fn join_fragments(&mut self) {
        let mut i = 0;
        while i < self.fragments.len() {
            let mut j = i + 1;
            while j < self.fragments.len() {
                let (a, b) = (&self.fragments[i], &self.fragments[j]);
                let barred = |f: &Fragment| matches!(f.wait, Wait::Barrier(_));
                if a.pc == b.pc && a.stack == b.stack && !barred(a) && !barred(b) {
                    let gone = self.fragments.swap_remove(j);
                    self.fragments[i].mask |= gone.mask;
                    self.fragments[i].wait = Wait::Ready;
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
    }

    /// Runs one fragment until it must be chosen anew.
    fn run_fragment(&mut self, index: usize, block: &mut State<'_, '_>, end: u64) -> Exec<()> {
        let program = block.program;
        let alone = self.fragments.len() == 1;
        // The nearest place where another fragment waits to be joined.
        let meet = if alone {
            u32::MAX
        } else {
            let here = self.fragments[index].pc;
            self.fragments.iter().map(|f| f.pc).filter(|&pc| pc > here).min().unwrap_or(u32::MAX)
        };
        let quantum = if alone { end } else { end.min(self.steps + u64::from(FRAGMENT_QUANTUM)) };
        let (mut pc, mask) = (self.fragments[index].pc, self.fragments[index].mask);
        loop {
            self.pc = pc;
            let inst = &program.insts[pc as usize];
            let exec = match inst.guard {
                None => mask,
                Some((slot, negated)) => mask & (self.pred(block, slot, mask)? ^ if negated { FULL } else { 0 }),
            };
            self.steps += 1;
            block.count(inst.class, exec);
            let flow = match &inst.op {
                Op::Pure(op) => {
                    if exec != 0 {
                        pure::run(self, block, op, exec, inst)?;
                    }
                    Flow::Next
                }
                Op::Branch(target) => {
                    if exec == mask {
                        Flow::Jump(*target)
                    } else if exec == 0 {
                        Flow::Next
                    } else {
                        self.fragments[index].pc = pc;
                        self.split(index, exec, *target);
                        Flow::Choose
                    }
                }
                // The others act only for lanes whose guard holds.
                _ if exec == 0 => Flow::Next,
                op => {
                    self.fragments[index].pc = pc;
                    let flow = self.effect(index, block, op, exec, inst)?;
                    block.stirred |= !(flow == Flow::Yield && matches!(op, Op::MBarrier(_)));
                    flow
                }
            };
            if let Some(slot) = self.tensor.as_mut().and_then(|tensor| tensor.violation.take()) {
                let register = &program.names32[slot as usize];
                return Err(self.in_flight(slot, register, true).unwrap_or(Stop::whole(FaultKind::Trap)));
            }
            match flow {
                Flow::Next => pc += 1,
                Flow::Jump(target) => {
                    pc = target;
                    if !alone {
                        self.fragments[index].pc = pc;
                        self.tire(index, block, quantum);
                        return Ok(());
                    }
                }
                Flow::Choose => return Ok(()),
                Flow::Block(wait) => {
                    self.fragments[index].pc = pc;
                    self.fragments[index].wait = wait;
                    return Ok(());
                }
                Flow::Yield => {
                    self.fragments[index].pc = pc + 1;
                    self.fragments[index].wait = Wait::Yielded;
                    return Ok(());
                }
            }
            if self.steps >= block.max_steps {
                return Err(Stop::whole(FaultKind::StepLimit { limit: block.max_steps }));
            }
            if pc == meet || self.steps >= quantum {
                self.fragments[index].pc = pc;
                self.tire(index, block, quantum);
                return Ok(());
            }
        }
    }

    /// Sends a fragment to the back of the queue when it has used up its quantum.
    fn tire(&mut self, index: usize, block: &mut State<'_, '_>, quantum: u64) {
        if self.steps >= quantum && self.fragments.len() > 1 {
            self.fragments[index].wait = Wait::Yielded;
            block.stirred = true;
        }
    }

    /// The taken lanes of a branch become a fragment of their own; the rest falls through.
    fn split(&mut self, index: usize, taken: u32, target: u32) {
        let stack = self.fragments[index].stack.clone();
        let f = &mut self.fragments[index];
        f.mask &= !taken;
        f.pc += 1;
        self.fragments.push(Fragment { pc: target, mask: taken, stack, wait: Wait::Ready });
    }

    /// Lanes whose guard is false go on; the others stay at the instruction, as a fragment that executes it whole.
    fn part(&mut self, index: usize, exec: u32) -> Flow {
        let f = &mut self.fragments[index];
        let mut rest = f.clone();
        f.mask = exec;
        rest.mask &= !exec;
        rest.pc += 1;
        self.fragments.push(rest);
        Flow::Choose
    }

    fn effect(&mut self, index: usize, block: &mut State<'_, '_>, op: &Op, exec: u32, inst: &Inst) -> Exec<Flow> {
        let whole = exec == self.fragments[index].mask;
        match op {
            Op::Load(access) => self.load(block, access, exec, inst.line)?,
            Op::Store(access) => self.store(block, access, exec, inst.line)?,
            Op::Atomic(atomic) => self.atomic(block, atomic, exec, inst.line)?,
            Op::IsSpace { space, dst, addr } => {
                let addrs = *self.read64(block, *addr, exec)?;
                let mask = self.in_space(*space, &addrs);
                self.write_pred(*dst, exec, mask);
            }
            Op::Clock(loc) => {
                let now = self.steps;
                self.write_loc(*loc, exec, &[now; LANES]);
            }
            Op::ActiveMask(dst) => self.write32(*dst, exec, &[exec; LANES]),
            Op::Nop | Op::Fence => {}
            Op::Yield => return Ok(Flow::Yield),
            Op::Trap => return Err(Stop::at(exec.trailing_zeros() as usize, FaultKind::Trap)),
            Op::External(name) => {
                return Err(Stop::at(
                    exec.trailing_zeros() as usize,
                    FaultKind::ExternalCall { name: name.to_string() },
                ));
            }
            Op::Exit => {
                self.live &= !exec;
                let f = &mut self.fragments[index];
                f.mask &= !exec;
                f.pc += 1;
                if f.mask == 0 {
                    self.fragments.swap_remove(index);
                }
                // Whoever waits for these lanes looks again: a barrier needs them no more, a member mask must not name them.
                for f in self.fragments.iter_mut().filter(|f| f.wait == Wait::Lanes) {
                    f.wait = Wait::Ready;
                }
                return Ok(Flow::Choose);
            }
            // What changes the flow of a whole fragment is done by whole fragments.
            Op::Call(_)
            | Op::Return
            | Op::BranchTable(..)
            | Op::WarpSync(_)
            | Op::Shuffle(_)
            | Op::Vote(_)
            | Op::Barrier(_)
                if !whole =>
            {
                return Ok(self.part(index, exec));
            }
            Op::Call(target) => {
                let f = &mut self.fragments[index];
                f.stack.push(f.pc + 1);
                f.pc = *target;
                return Ok(Flow::Choose);
            }
            Op::Return => {
                let f = &mut self.fragments[index];
                match f.stack.pop() {
                    Some(pc) => f.pc = pc,
                    None => return Err(Stop::whole(FaultKind::Protocol("a return without a call".into()))),
                }
                return Ok(Flow::Choose);
            }
            Op::BranchTable(slot, table) => return self.branch_table(index, block, *slot, table, exec),
            Op::WarpSync(members) => return self.warp_sync(index, block, *members, exec),
            Op::Shuffle(s) => return self.shuffle(block, s, exec),
            Op::Vote(v) => return self.vote(block, v, exec),
            Op::Barrier(b) => return self.barrier(block, b, exec),
            Op::LoadMatrix(_) | Op::StoreMatrix(_) | Op::Mma(_) => return self.matrix(block, op, exec, inst.line),
            Op::Wgmma(_) | Op::WgmmaFence | Op::WgmmaCommit | Op::WgmmaWait(_) => {
                return self.wgmma(block, op, exec, inst.line);
            }
            Op::ProxyFence => {
                if let Some(race) = &mut block.shared.race {
                    lanes(exec).for_each(|lane| race.fence(self.thread(lane)));
                }
            }
            Op::AsyncCopy(copy) => self.async_copy(block, copy, exec, inst.line)?,
            Op::BulkCopy(copy) => self.bulk_copy(block, copy, exec, inst.line)?,
            Op::TensorCopy(copy) => self.tensor_copy(block, copy, exec, inst.line)?,
            Op::AsyncCommit => self.copies.commit(exec),
            Op::AsyncWait(left) => self.async_wait(block, exec, *left),
            Op::AsyncWaitAll => {
                self.copies.commit(exec);
                self.async_wait(block, exec, 0);
            }
            Op::MBarrier(m) => return self.mbarrier(block, m, exec, inst.line),
            Op::Pure(_) | Op::Branch(_) => {}
        }
        Ok(Flow::Next)
    }

    fn branch_table(
        &mut self,
        index: usize,
        block: &State<'_, '_>,
        slot: Slot,
        table: &[u32],
        exec: u32,
    ) -> Exec<Flow> {
        let indices = *self.read32(block, slot, exec)?;
        let mut groups: Vec<(u32, u32)> = Vec::new();
        for lane in lanes(exec) {
            let Some(&target) = table.get(indices[lane] as usize) else {
                return Err(Stop::at(lane, FaultKind::BranchIndex { index: indices[lane], len: table.len() }));
            };
            match groups.iter_mut().find(|g| g.0 == target) {
                Some(g) => g.1 |= 1 << lane,
                None => groups.push((target, 1 << lane)),
            }
        }
        let stack = self.fragments[index].stack.clone();
        self.fragments[index].pc = groups[0].0;
        self.fragments[index].mask = groups[0].1;
        for &(pc, mask) in &groups[1..] {
            self.fragments.push(Fragment { pc, mask, stack: stack.clone(), wait: Wait::Ready });
        }
        Ok(Flow::Choose)
    }
}

/// The lanes of a mask, lowest first.
pub(crate) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let lane = left.trailing_zeros() as usize;
        left &= left - 1;
        Some(lane)
    })
}
