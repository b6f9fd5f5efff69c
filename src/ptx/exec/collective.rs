//! Warp collectives: they run once all the lanes that the member mask names are at the instruction.

use super::atomic::apply;
use super::block::State;
use super::warp::{Exec, FULL, Flow, Stop, Wait, Warp, lanes};
use crate::ptx::fault::FaultKind;
use crate::ptx::program::*;

impl Warp {
    /// The groups that take part in a collective, by member mask; `None` if some lane named by a mask is not there yet.
    fn groups(&self, block: &State<'_, '_>, members: Slot, exec: u32) -> Exec<Option<Vec<u32>>> {
        let row = self.read32(block, members, exec)?;
        let mut groups: Vec<u32> = Vec::new();
        for lane in lanes(exec) {
            let mask = row[lane];
            let bad = |problem| Err(Stop::at(lane, FaultKind::BadMemberMask { mask, problem }));
            if mask >> lane & 1 == 0 {
                return bad("does not name the lane that executes");
            }
            // Lanes that a short block never had are no one to wait for.
            let group = mask & self.born;
            if group & !self.live != 0 {
                return bad("names lanes that have exited");
            }
            if group & !exec != 0 {
                return Ok(None);
            }
            if !groups.contains(&group) {
                if groups.iter().any(|g| g & group != 0) {
                    return bad("overlaps with another lane's mask without being equal to it");
                }
                groups.push(group);
            }
        }
        Ok(Some(groups))
    }

    pub(super) fn warp_sync(
        &mut self,
        _index: usize,
        block: &mut State<'_, '_>,
        members: Slot,
        exec: u32,
    ) -> Exec<Flow> {
        let Some(groups) = self.groups(block, members, exec)? else { return Ok(Flow::Block(Wait::Lanes)) };
        for group in groups {
            self.join_lanes(block, group);
        }
        Ok(Flow::Next)
    }

    fn join_lanes(&self, block: &mut State<'_, '_>, group: u32) {
        if let Some(race) = &mut block.shared.race {
            let threads: Vec<u16> = lanes(group).map(|l| self.thread(l)).collect();
            race.join(&threads);
        }
    }

    /// Releases lanes that all wait at a `bar.warp.sync`, wherever each of them is.
    pub(super) fn release_syncs(&mut self, block: &mut State<'_, '_>) -> bool {
        let waiting: Vec<(usize, u32)> = (0..self.fragments.len())
            .filter_map(|i| match block.program.insts[self.fragments[i].pc as usize].op {
                Op::WarpSync(members) if self.fragments[i].wait == Wait::Lanes => Some((i, members)),
                _ => None,
            })
            .collect();
        let there = waiting.iter().fold(0, |all, &(i, _)| all | self.fragments[i].mask);
        let complete = |i: usize, members: Slot| {
            let row = &self.r32[members as usize];
            lanes(self.fragments[i].mask).all(|l| row[l] & self.born & !there == 0)
        };
        let ready: Vec<usize> = waiting.iter().filter(|&&(i, m)| complete(i, m)).map(|&(i, _)| i).collect();
        let group = ready.iter().fold(0, |all, &i| all | self.fragments[i].mask);
        if ready.is_empty() {
            return false;
        }
        self.join_lanes(block, group);
        for i in ready {
            self.fragments[i].pc += 1;
            self.fragments[i].wait = Wait::Ready;
        }
        true
    }

    pub(super) fn shuffle(&mut self, block: &State<'_, '_>, s: &Shuffle, exec: u32) -> Exec<Flow> {
        if self.groups(block, s.members, exec)?.is_none() {
            return Ok(Flow::Block(Wait::Lanes));
        }
        let src = *self.read32(block, s.src, exec)?;
        let (operand, control) = (*self.read32(block, s.lane, exec)?, *self.read32(block, s.clamp, exec)?);
        let mut in_range = 0u32;
        let mut out = src;
        for lane in lanes(exec) {
            let (b, c) = (operand[lane] & 31, control[lane]);
            let (clamp, segment) = (c & 31, c >> 8 & 31);
            let l = lane as u32;
            let max = l & segment | clamp & !segment;
            let min = l & segment;
            let (from, valid) = match s.mode {
                ShuffleMode::Up => (l.wrapping_sub(b), l as i64 - i64::from(b) >= i64::from(max)),
                ShuffleMode::Down => (l + b, l + b <= max),
                ShuffleMode::Bfly => (l ^ b, l ^ b <= max),
                ShuffleMode::Idx => (min | b & !segment, (min | b & !segment) <= max),
            };
            let from = if valid { from } else { l };
            if exec >> from & 1 == 0 {
                let problem = "lets a lane read from one that does not take part";
                return Err(Stop::at(lane, FaultKind::BadMemberMask { mask: exec, problem }));
            }
            out[lane] = src[from as usize];
            in_range |= u32::from(valid) << lane;
        }
        self.write32(s.dst, exec, &out);
        if let Some(p) = s.pred {
            self.write_pred(p, exec, in_range);
        }
        Ok(Flow::Next)
    }

    pub(super) fn vote(&mut self, block: &State<'_, '_>, vote: &Vote, exec: u32) -> Exec<Flow> {
        let Some(groups) = self.groups(block, vote.members(), exec)? else { return Ok(Flow::Block(Wait::Lanes)) };
        for group in groups {
            self.vote_group(block, vote, group)?;
        }
        Ok(Flow::Next)
    }

    fn vote_group(&mut self, block: &State<'_, '_>, vote: &Vote, group: u32) -> Exec<()> {
        let ayes = |(slot, negated): (Slot, bool)| -> Exec<u32> {
            Ok((self.pred(block, slot, group)? ^ if negated { FULL } else { 0 }) & group)
        };
        let whole = |yes: bool| if yes { FULL } else { 0 };
        match *vote {
            Vote::Ballot { dst, src, .. } => {
                let row = [ayes(src)?; LANES];
                self.write32(dst, group, &row);
            }
            Vote::All { dst, src, .. } => {
                let yes = ayes(src)? == group;
                self.write_pred(dst, group, whole(yes));
            }
            Vote::Any { dst, src, .. } => {
                let yes = ayes(src)? != 0;
                self.write_pred(dst, group, whole(yes));
            }
            Vote::Uniform { dst, src, .. } => {
                let a = ayes(src)?;
                self.write_pred(dst, group, whole(a == 0 || a == group));
            }
            Vote::MatchAny { dst, src, .. } => {
                let values = self.read_loc(block, src, group)?;
                let row = std::array::from_fn(|lane| {
                    lanes(group).filter(|&l| values[l] == values[lane]).fold(0, |m, l| m | 1 << l)
                });
                self.write32(dst, group, &row);
            }
            Vote::MatchAll { dst, pred, src, .. } => {
                let values = self.read_loc(block, src, group)?;
                let first = values[group.trailing_zeros() as usize];
                let equal = lanes(group).all(|l| values[l] == first);
                self.write32(dst, group, &[if equal { group } else { 0 }; LANES]);
                if let Some(p) = pred {
                    self.write_pred(p, group, whole(equal));
                }
            }
            Vote::Redux { op, dst, src, .. } => {
                let values = *self.read32(block, src, group)?;
                let all = lanes(group).map(|l| u64::from(values[l])).reduce(|a, b| apply(op, 4, a, b, 0)).unwrap_or(0);
                self.write32(dst, group, &[all as u32; LANES]);
            }
            Vote::Elect { dst, pred, .. } => {
                let leader = group.trailing_zeros();
                if let Some(dst) = dst {
                    self.write32(dst, group, &[leader; LANES]);
                }
                self.write_pred(pred, group, 1 << leader);
            }
        }
        Ok(())
    }
}
