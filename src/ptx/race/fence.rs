//! Which writes of the generic proxy are ordered before reads of the async proxy.
//!
//! Ordinary stores and `cp.async` write through the generic proxy; `wgmma` and bulk copies go through the async proxy. Between a write of the one and a read of
//! the other, somewhere on the path of barriers that orders them, there must be a `fence.proxy.async` (PTX ISA, "Async proxy"). Knowledge of fences spreads as
//! knowledge of accesses does: with barriers, releases and acquires.

use super::merge;
use std::collections::BTreeMap;

/// What fences cover, as one thread or synchronisation object knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Covered {
    /// The writes of earlier epochs.
    earlier: bool,
    /// The writes of this epoch: each thread's clock up to which they are. Empty: none.
    upto: Vec<u32>,
}

impl Covered {
    fn join(&mut self, other: &Covered) {
        self.earlier |= other.earlier;
        if self.upto.len() < other.upto.len() {
            self.upto.resize(other.upto.len(), 0);
        }
        merge(&mut self.upto, &other.upto);
    }

    fn holds(&self, thread: u16, clock: u32) -> bool {
        self.upto.get(usize::from(thread)).is_some_and(|&upto| upto >= clock)
    }
}

/// The fences that the threads of a block have executed.
pub(crate) struct Fences {
    /// Writes of epochs before this one are covered for everyone.
    settled: u32,
    /// Of later epochs that are over: each thread's clock up to which its writes are covered for everyone.
    past: BTreeMap<u32, Vec<u32>>,
    threads: Vec<Covered>,
    any: bool,
}

impl Fences {
    pub(super) fn new(threads: usize) -> Fences {
        Fences { settled: 0, past: BTreeMap::new(), threads: vec![Covered::default(); threads], any: false }
    }

    /// `thread` executes a fence: it covers all that the thread knows.
    pub(super) fn fence(&mut self, thread: u16, clock: u32, known: Option<&[u32]>) {
        let count = self.threads.len();
        let covered = &mut self.threads[usize::from(thread)];
        covered.earlier = true;
        covered.upto.resize(count, 0);
        if let Some(known) = known {
            merge(&mut covered.upto, known);
        }
        covered.upto[usize::from(thread)] = clock;
        self.any = true;
    }

    /// What a thread knows of fences.
    pub(super) fn of(&self, thread: u16) -> &Covered {
        &self.threads[usize::from(thread)]
    }

    pub(super) fn learn(&mut self, thread: u16, from: &Covered) {
        if self.any {
            self.threads[usize::from(thread)].join(from);
        }
    }

    pub(super) fn tell(&self, thread: u16, to: &mut Covered) {
        if self.any {
            to.join(self.of(thread));
        }
    }

    /// The threads of a group tell each other.
    pub(super) fn join(&mut self, group: &[u16]) {
        if !self.any {
            return;
        }
        let mut all = Covered::default();
        group.iter().for_each(|&t| all.join(self.of(t)));
        group.iter().for_each(|&t| self.threads[usize::from(t)] = all.clone());
    }

    /// All threads tell each other, at the end of an epoch.
    pub(super) fn end(&mut self, epoch: u32) {
        if !self.any {
            return;
        }
        let mut all = Covered::default();
        self.threads.iter().for_each(|t| all.join(t));
        self.settled = epoch;
        self.past = self.past.split_off(&epoch);
        self.past.insert(epoch, all.upto);
        self.threads.fill(Covered::default());
        self.any = false;
    }

    /// Whether a fence lies between a write of an earlier epoch and everyone.
    pub(super) fn covered(&self, epoch: u32, thread: u16, clock: u32) -> bool {
        let past = || self.past.get(&epoch).and_then(|upto| upto.get(usize::from(thread)));
        epoch < self.settled || past().is_some_and(|&upto| upto >= clock)
    }

    /// Whether `reader` knows of a fence between a write and itself. `now`: the write is of this epoch.
    pub(super) fn knows(&self, reader: u16, now: bool, thread: u16, clock: u32) -> bool {
        let covered = self.of(reader);
        if now { covered.holds(thread, clock) } else { covered.earlier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_covers_what_its_thread_wrote_before_it() {
        let mut fences = Fences::new(4);
        fences.fence(1, 5, None);
        assert!(fences.knows(1, true, 1, 5) && !fences.knows(1, true, 1, 6));
        assert!(!fences.knows(2, true, 1, 5));
        // A release and an acquire carry it on.
        let mut object = Covered::default();
        fences.tell(1, &mut object);
        fences.learn(2, &object);
        assert!(fences.knows(2, true, 1, 5) && !fences.knows(3, true, 1, 5));
        // A barrier of all carries it to all.
        fences.end(7);
        assert!(fences.covered(7, 1, 5) && !fences.covered(7, 1, 6) && !fences.covered(7, 2, 1));
        assert!(fences.covered(6, 2, 1));
    }

    #[test]
    fn a_later_fence_covers_all_earlier_epochs() {
        let mut fences = Fences::new(2);
        fences.end(1);
        fences.end(2);
        assert!(!fences.covered(1, 0, 1));
        fences.fence(0, 1, None);
        assert!(fences.knows(0, false, 1, 9) && !fences.knows(1, false, 1, 9));
        fences.end(3);
        assert!(fences.covered(1, 0, 1) && fences.covered(2, 1, 1) && !fences.covered(3, 1, 1));
    }
}
