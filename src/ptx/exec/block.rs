//! A block: its warps take turns, meet at barriers, and share memory.

use super::bulk::Landing;
use super::shared::Shared;
use super::warp::{FULL, Stop, Wait, Warp, lanes};
use super::wgmma::Warpgroup;
use super::{Context, Stats, coordinates};
use crate::ptx::fault::{Fault, FaultKind};
use crate::ptx::memory::View;
use crate::ptx::program::*;
use crate::ptx::race::Clock;
use std::collections::BTreeMap;

/// Named barriers of a block.
const BARRIERS: usize = 16;
/// Rounds of all warps in which each only asks whether an mbarrier's phase is over, and none is, before the block counts as deadlocked. A round would do were
/// it not for programs that count their attempts, and do something else in the end.
const IDLE_ROUNDS: u32 = 1000;

/// One of a block's barriers while threads gather at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathering {
    /// Threads that arrived, counted as hardware does: whole warps.
    pub arrived: u32,
    /// Threads that really arrived.
    pub members: Vec<u16>,
    pub expected: Option<u32>,
    /// Of a reduction: how many predicates were true, and how many voted.
    pub truths: u32,
    pub votes: u32,
}

/// An mbarrier object.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub expected: u32,
    pub pending: u32,
    pub bytes: i64,
    pub phase: u64,
    /// What this phase's arrivals know, and what the last finished phase knew.
    pub gathering: Clock,
    pub finished: Clock,
}

/// What the warps of a block share.
pub(crate) struct State<'c, 'm> {
    pub context: &'c Context<'c>,
    pub program: &'c Program,
    pub view: View<'m>,
    pub shared: Shared,
    pub barriers: Vec<Gathering>,
    pub mbarriers: BTreeMap<usize, Phase>,
    /// Bulk copies that have not landed, in the order of their issue, by the place of the mbarrier that counts their bytes.
    pub bulk: BTreeMap<usize, Vec<Landing>>,
    /// Something happened since the last look that others could wait for: anything but a wait for an mbarrier in vain.
    pub stirred: bool,
    pub warpgroups: Vec<Warpgroup>,
    pub stats: Stats,
    pub linear: u32,
    pub ctaid: [u32; 3],
    pub max_steps: u64,
    pub perturb: Option<u64>,
    /// Threads of the block that have not exited; brought up to date before each warp's turn.
    pub live: u32,
}

impl State<'_, '_> {
    #[inline]
    pub(crate) fn count(&mut self, class: Class, exec: u32) {
        self.stats.warp_instructions += 1;
        self.stats.classes[class as usize] += u64::from(exec.count_ones());
    }
}

pub(crate) struct Block<'c, 'm> {
    warps: Vec<Warp>,
    state: State<'c, 'm>,
}

impl<'c, 'm> Block<'c, 'm> {
    pub(crate) fn new(context: &'c Context<'c>, view: View<'m>) -> Block<'c, 'm> {
        let program = &context.kernel.program;
        let warps = context.threads.div_ceil(LANES as u32);
        Block {
            warps: (0..warps).map(|w| Warp::new(w, program, context.threads, context.options.uninitialised)).collect(),
            state: State {
                context,
                program,
                view,
                shared: Shared::new(context),
                barriers: vec![Gathering::default(); BARRIERS],
                mbarriers: BTreeMap::new(),
                bulk: BTreeMap::new(),
                stirred: false,
                warpgroups: Vec::new(),
                stats: Stats::default(),
                linear: 0,
                ctaid: [0; 3],
                max_steps: context.options.max_steps,
                perturb: context.options.perturb,
                live: 0,
            },
        }
    }

    pub(crate) fn finish(self) -> (Stats, View<'m>) {
        (self.state.stats, self.state.view)
    }

    /// Runs one block to its end.
    pub(crate) fn run(&mut self, linear: u32, ctaid: [u32; 3]) -> Result<(), Box<Fault>> {
        let state = &mut self.state;
        state.linear = linear;
        state.ctaid = ctaid;
        state.shared.reset();
        state.barriers.fill(Gathering::default());
        state.mbarriers.clear();
        state.bulk.clear();
        state.warpgroups = self.warps.chunks(4).map(|_| Warpgroup::default()).collect();
        state.stats.threads += u64::from(state.context.threads);
        for warp in &mut self.warps {
            warp.start(state.program, |constant, warp| constant_row(state.context, ctaid, constant, warp));
        }
        let mut order: Vec<usize> = (0..self.warps.len()).collect();
        let mut seed = state.context.options.schedule.map(|s| s ^ u64::from(linear) << 20);
        let mut idle = 0;
        loop {
            if let Some(seed) = &mut seed {
                shuffle(&mut order, seed);
            }
            let mut progress = false;
            for &i in &order {
                if self.warps[i].live == 0 {
                    continue;
                }
                self.state.live = self.warps.iter().map(|w| w.live.count_ones()).sum();
                match self.warps[i].run(&mut self.state) {
                    Ok(ran) => progress |= ran,
                    Err(stop) => return Err(self.fault(i, stop)),
                }
            }
            if self.warps.iter().all(|w| w.live == 0) {
                return self.warpgroups_done();
            }
            let released = self.release_barriers() | self.release_warp_syncs();
            idle = if std::mem::take(&mut self.state.stirred) || released { 0 } else { idle + 1 };
            if !progress && !released || idle > IDLE_ROUNDS {
                return Err(self.deadlock());
            }
        }
    }

    /// Every `wgmma` must have been issued by all warps of its group.
    fn warpgroups_done(&self) -> Result<(), Box<Fault>> {
        let Some(line) = self.state.warpgroups.iter().find_map(Warpgroup::unfinished) else { return Ok(()) };
        let kind = FaultKind::Protocol("not all warps of a warpgroup issue this wgmma".into());
        let context = self.state.context;
        let text = context.kernel.module.line(line);
        let kernel = context.kernel.name.clone();
        Err(Box::new(Fault { kernel, block: self.state.ctaid, thread: None, line, text, kind }))
    }

    /// Lets go the barriers at which everyone expected has arrived.
    fn release_barriers(&mut self) -> bool {
        let live: u32 = self.warps.iter().map(|w| w.live.count_ones()).sum();
        let mut any = false;
        for id in 0..BARRIERS {
            let barrier = &self.state.barriers[id];
            let complete = match barrier.expected {
                Some(count) => barrier.arrived >= count,
                None => barrier.members.len() as u32 >= live,
            };
            if barrier.arrived == 0 || !complete {
                continue;
            }
            let done = std::mem::take(&mut self.state.barriers[id]);
            if let Some(race) = &mut self.state.shared.race {
                if done.members.len() as u32 >= live { race.new_epoch() } else { race.join(&done.members) }
            }
            for warp in &mut self.warps {
                for i in 0..warp.fragments.len() {
                    if warp.fragments[i].wait != Wait::Barrier(id as u32) {
                        continue;
                    }
                    let (pc, mask) = (warp.fragments[i].pc, warp.fragments[i].mask);
                    if let Op::Barrier(b) = &self.state.program.insts[pc as usize].op
                        && let Some(reduce) = b.reduce
                    {
                        match reduce.op {
                            ReduceOp::Popc => warp.write32(reduce.dst, mask, &[done.truths; LANES]),
                            ReduceOp::And => {
                                warp.write_pred(reduce.dst, mask, if done.truths == done.votes { FULL } else { 0 })
                            }
                            ReduceOp::Or => warp.write_pred(reduce.dst, mask, if done.truths > 0 { FULL } else { 0 }),
                        }
                    }
                    warp.fragments[i].pc += 1;
                    warp.fragments[i].wait = Wait::Ready;
                }
            }
            any = true;
        }
        any
    }

    /// Lanes may meet at different `bar.warp.sync` instructions: it is enough that all of them wait at one.
    fn release_warp_syncs(&mut self) -> bool {
        let mut any = false;
        for warp in &mut self.warps {
            any |= warp.release_syncs(&mut self.state);
        }
        any
    }

    fn fault(&self, warp: usize, stop: Stop) -> Box<Fault> {
        let warp = &self.warps[warp];
        let context = self.state.context;
        let line = context.kernel.program.insts[warp.pc as usize].line;
        Box::new(Fault {
            kernel: context.kernel.name.clone(),
            block: self.state.ctaid,
            thread: stop.lane.map(|lane| coordinates(u64::from(warp.thread(lane)), context.block)),
            line,
            text: context.kernel.module.line(line),
            kind: *stop.kind,
        })
    }

    fn deadlock(&self) -> Box<Fault> {
        let mut waits = Vec::new();
        let mut first = None;
        for warp in &self.warps {
            for f in &warp.fragments {
                let line = self.state.program.insts[f.pc as usize].line;
                first.get_or_insert((line, warp.thread(f.mask.trailing_zeros() as usize)));
                waits.push(format!("{} threads of warp {} wait at line {line}", f.mask.count_ones(), warp.index));
            }
        }
        let (line, thread) = first.unwrap_or((0, 0));
        let shown = waits.len().min(6);
        let more =
            if waits.len() > shown { format!(", and {} more groups", waits.len() - shown) } else { String::new() };
        let context = self.state.context;
        Box::new(Fault {
            kernel: context.kernel.name.clone(),
            block: self.state.ctaid,
            thread: Some(coordinates(u64::from(thread), context.block)),
            line,
            text: context.kernel.module.line(line),
            kind: FaultKind::Deadlock { waiting: format!("{}{more}", waits[..shown].join(", ")) },
        })
    }
}

/// The values of a constant row in a warp.
fn constant_row(context: &Context<'_>, ctaid: [u32; 3], constant: &Const, warp: u32) -> R64 {
    let same = |v: u64| [v; LANES];
    let special = match constant {
        Const::Bits(v) => return same(*v),
        Const::Var(i, offset) => return same(context.variables[*i].wrapping_add_signed(*offset)),
        Const::Dynamic(offset) => {
            return same(u64::from(context.kernel.program.dynamic_start).wrapping_add_signed(*offset));
        }
        Const::Special(s) => *s,
    };
    let axis = |a: u8, of: [u32; 3]| same(u64::from(of[usize::from(a)]));
    match special {
        Special::Tid(a) => std::array::from_fn(|lane| {
            let thread = u64::from(warp) * LANES as u64 + lane as u64;
            u64::from(coordinates(thread, context.block)[usize::from(a)])
        }),
        Special::Ntid(a) => axis(a, context.block),
        Special::Ctaid(a) => axis(a, ctaid),
        Special::Nctaid(a) => axis(a, context.grid),
        Special::LaneId => std::array::from_fn(|lane| lane as u64),
        Special::WarpId => same(u64::from(warp)),
        Special::NWarpId => same(u64::from(context.threads.div_ceil(LANES as u32))),
        Special::NSmId | Special::One => same(1),
        Special::SmId | Special::GridId | Special::Zero => same(0),
        Special::LaneMask(compare) => std::array::from_fn(|lane| {
            let bit = 1u32 << lane;
            u64::from(match compare {
                Compare::Eq => bit,
                Compare::Lt => bit - 1,
                Compare::Le => bit | (bit - 1),
                Compare::Gt => !(bit | (bit - 1)),
                Compare::Ge => !(bit - 1),
            })
        }),
        Special::DynamicSmem => same(u64::from(context.dynamic_shared)),
        Special::TotalSmem => same(u64::from(context.dynamic_shared + context.kernel.program.static_shared)),
    }
}

fn shuffle(order: &mut [usize], seed: &mut u64) {
    for i in (1..order.len()).rev() {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (*seed >> 33) as usize % (i + 1));
    }
}

impl Warp {
    /// Arrives at a barrier of the block.
    pub(super) fn barrier(
        &mut self,
        block: &mut State<'_, '_>,
        b: &Barrier,
        exec: u32,
    ) -> super::warp::Exec<super::warp::Flow> {
        use super::warp::Flow;
        if b.aligned && exec != self.live {
            // The rest of the warp has to come along.
            return Ok(Flow::Block(Wait::Lanes));
        }
        let lane = exec.trailing_zeros() as usize;
        let id = self.read32(block, b.id, exec)?[lane] as usize;
        let Some(_) = block.barriers.get(id) else {
            return Err(Stop::at(
                lane,
                FaultKind::Protocol(format!("barrier {id} does not exist; a block has {BARRIERS}")),
            ));
        };
        let count = match b.count {
            Some(slot) => Some(self.read32(block, slot, exec)?[lane]),
            None => None,
        };
        if count.is_some_and(|c| c == 0 || c % 32 != 0) {
            return Err(Stop::at(
                lane,
                FaultKind::Protocol(format!("barrier {id} expects {} threads, no multiple of 32", count.unwrap_or(0))),
            ));
        }
        let truth = match b.reduce {
            Some(r) => self.pred(block, r.src.0, exec)? ^ if r.src.1 { FULL } else { 0 },
            None => 0,
        };
        let members: Vec<u16> = lanes(exec).map(|l| self.thread(l)).collect();
        let gathering = &mut block.barriers[id];
        if gathering.arrived > 0 && gathering.expected != count {
            let message = format!("threads arrive at barrier {id} with different thread counts");
            return Err(Stop::at(lane, FaultKind::Protocol(message)));
        }
        gathering.expected = count;
        gathering.arrived += if b.aligned { LANES as u32 } else { exec.count_ones() };
        gathering.members.extend(members);
        gathering.truths += (truth & exec).count_ones();
        gathering.votes += exec.count_ones();
        if b.arrive_only {
            return Ok(Flow::Next);
        }
        Ok(Flow::Block(Wait::Barrier(id as u32)))
    }
}
