//! The memory of a run, planned once: tensors whose lives do not overlap share the same bytes of one arena.
//!
//! The lives are those of a list of steps in the order in which they run. Finding the smallest arena is NP-hard (it is dynamic storage
//! allocation, SR2 in Garey and Johnson's list); placing the largest tensors first, each into the tightest gap that it fits,
//! comes within a few per cent of the lower bound on networks.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a tensor may start: what `cuMemAlloc` guarantees, so that a tensor in the arena is aligned as one of its own would be.
pub const ALIGNMENT: u64 = 256;

/// The life of one tensor: the steps from the one that writes it to the last one that reads it, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Its bytes.
    pub bytes: u64,
    /// The step that writes it.
    pub first: usize,
    /// The last step that uses it; never before `first`.
    pub last: usize,
}

/// Where each tensor lies in the arena.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// For each tensor, in the order they were given, where it starts, in bytes.
    pub offsets: Vec<u64>,
    /// The bytes of the arena.
    pub arena: u64,
}

/// Why no memory was planned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// The tensors' bytes are more than 64 bits can count.
    #[error("tensor {tensor} of {bytes} bytes does not fit into an arena of 2^64 bytes with the others")]
    Overflow {
        /// Its place in the list.
        tensor: usize,
        /// Its bytes.
        bytes: u64,
    },
    /// A tensor is used before it is written.
    #[error("tensor {tensor} is written in step {first} and last used in step {last}, before it")]
    Backward {
        /// Its place in the list.
        tensor: usize,
        /// The step that writes it.
        first: usize,
        /// Its last step.
        last: usize,
    },
}

impl Lifetime {
    /// True if there is a step in which both are alive.
    pub fn overlaps(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl MemoryPlan {
    /// Places every tensor. The same lives give the same plan.
    ///
    /// # Errors
    /// [`MemoryError`] if a life is backward or the bytes overflow.
    pub fn new(lives: &[Lifetime]) -> Result<MemoryPlan, MemoryError> {
        for (tensor, life) in lives.iter().enumerate() {
            if life.last < life.first {
                return Err(MemoryError::Backward { tensor, first: life.first, last: life.last });
            }
        }
        let mut order: Vec<usize> = (0..lives.len()).filter(|&tensor| lives[tensor].bytes > 0).collect();
        order.sort_by_key(|&tensor| (std::cmp::Reverse(lives[tensor].bytes), lives[tensor].first, tensor));

        let mut plan = MemoryPlan { offsets: vec![0; lives.len()], arena: 0 };
        // What has been placed: start, end, tensor; sorted by start.
        let mut placed: Vec<(u64, u64, usize)> = Vec::new();
        for tensor in order {
            let life = &lives[tensor];
            let alive = placed.iter().filter(|(_, _, other)| lives[*other].overlaps(life));
            let start = tightest_gap(alive.map(|(start, end, _)| (*start, *end)), life.bytes);
            let end = start
                .checked_add(life.bytes)
                .and_then(|end| end.checked_next_multiple_of(ALIGNMENT))
                .ok_or(MemoryError::Overflow { tensor, bytes: life.bytes })?;
            plan.offsets[tensor] = start;
            plan.arena = plan.arena.max(end);
            let at = placed.partition_point(|(other, _, _)| *other <= start);
            placed.insert(at, (start, end, tensor));
        }
        Ok(plan)
    }

    /// The bytes that the tensors would take without sharing.
    pub fn unshared(lives: &[Lifetime]) -> u64 {
        lives.iter().map(|life| life.bytes.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT).sum()
    }
}

/// The start of the smallest gap of at least `bytes` between occupied ranges, which come sorted by start and may overlap one another;
/// the end of the last one if there is no such gap.
fn tightest_gap(occupied: impl Iterator<Item = (u64, u64)>, bytes: u64) -> u64 {
    let mut best: Option<(u64, u64)> = None;
    let mut free = 0;
    for (start, end) in occupied {
        let gap = start.saturating_sub(free);
        if gap >= bytes && best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, free));
        }
        free = free.max(end);
    }
    best.map_or(free, |(_, start)| start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn life(bytes: u64, first: usize, last: usize) -> Lifetime {
        Lifetime { bytes, first, last }
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Lifetime> = (0..10).map(|step| life(1000, step, step + 1)).collect();
        let plan = MemoryPlan::new(&chain).unwrap();
        assert_eq!(plan.arena, 2048);
        assert_eq!(MemoryPlan::unshared(&chain), 10 * 1024);
    }

    #[test]
    fn the_tightest_gap_is_taken() {
        // Between the long-lived tensors are gaps of 512 and 256 bytes.
        let occupied = [(0, 256), (768, 1024), (1280, 1536)];
        assert_eq!(tightest_gap(occupied.into_iter(), 256), 1024);
        assert_eq!(tightest_gap(occupied.into_iter(), 257), 256);
        assert_eq!(tightest_gap(occupied.into_iter(), 600), 1536);
    }

    #[test]
    fn what_is_empty_takes_nothing() {
        let plan = MemoryPlan::new(&[life(0, 0, 9), life(1, 0, 9), life(0, 3, 4)]).unwrap();
        assert_eq!(plan.arena, 256);
        assert_eq!(MemoryPlan::new(&[]).unwrap().arena, 0);
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let backward = MemoryPlan::new(&[life(1, 0, 0), life(1, 5, 4)]);
        assert_eq!(backward, Err(MemoryError::Backward { tensor: 1, first: 5, last: 4 }));
        let huge = MemoryPlan::new(&[life(u64::MAX - 300, 0, 1), life(1024, 1, 2)]);
        assert_eq!(huge, Err(MemoryError::Overflow { tensor: 1, bytes: 1024 }));
        assert!(MemoryPlan::new(&[life(u64::MAX, 0, 1)]).is_err());
    }

    prop_compose! {
        fn any_life()(bytes in prop_oneof![0u64..4, 0u64..100_000], first in 0usize..30, length in 0usize..12) -> Lifetime {
            life(bytes, first, first + length)
        }
    }

    proptest! {
        #[test]
        fn no_two_live_tensors_overlap(lives in prop::collection::vec(any_life(), 0..60)) {
            let plan = MemoryPlan::new(&lives).unwrap();
            for (i, a) in lives.iter().enumerate() {
                prop_assert_eq!(plan.offsets[i] % ALIGNMENT, 0);
                prop_assert!(plan.offsets[i] + a.bytes <= plan.arena);
                for (j, b) in lives.iter().enumerate().take(i) {
                    let apart = plan.offsets[i] + a.bytes <= plan.offsets[j]
                        || plan.offsets[j] + b.bytes <= plan.offsets[i];
                    prop_assert!(apart || !a.overlaps(b), "{i} and {j}: {plan:?}");
                }
            }
        }

        #[test]
        fn the_arena_lies_between_the_peak_and_the_sum(lives in prop::collection::vec(any_life(), 0..60)) {
            let plan = MemoryPlan::new(&lives).unwrap();
            let peak = (0..42).map(|step| {
                lives.iter().filter(|life| life.first <= step && step <= life.last).map(|life| life.bytes).sum::<u64>()
            }).max().unwrap_or(0);
            prop_assert!(plan.arena >= peak);
            prop_assert!(plan.arena <= MemoryPlan::unshared(&lives));
            prop_assert_eq!(MemoryPlan::new(&lives).unwrap(), plan);
        }
    }
}
