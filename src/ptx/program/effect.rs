//! What instructions with effects carry: memory, collectives, barriers, copies, matrices.

use super::{Loc, Slot};
use std::sync::Arc;

/// Where a memory instruction goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemSpace {
    Generic,
    Global,
    Shared,
    Local,
    /// A kernel's parameters.
    Param,
}

/// An address: an optional base register and a byte offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub space: MemSpace,
    pub base: Loc,
    pub offset: i64,
}

/// A load or store of up to eight elements.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub addr: Address,
    /// Bytes of one element: 1, 2, 4 or 8.
    pub width: u8,
    /// Loads of signed types extend the sign to the register's width.
    pub signed: bool,
    /// `volatile`, `relaxed`, `acquire`, `release`: such accesses do not race with each other.
    pub strong: bool,
    pub regs: Vec<Loc>,
}

/// The arithmetic of `atom` and `red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtomOp {
    Add,
    MinS,
    MinU,
    MaxS,
    MaxU,
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Inc,
    Dec,
    AddF32,
    AddF64,
    AddF16,
    AddBf16,
    AddF16x2,
    AddBf16x2,
}

/// An atomic read-modify-write.
#[derive(Debug, Clone)]
pub(crate) struct Atomic {
    pub op: AtomOp,
    pub addr: Address,
    pub width: u8,
    /// `None` for `red`.
    pub dst: Option<Loc>,
    pub a: Loc,
    pub b: Option<Loc>,
}

/// `shfl.sync`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shuffle {
    pub mode: ShuffleMode,
    pub dst: Slot,
    pub pred: Option<Slot>,
    pub src: Slot,
    pub lane: Slot,
    pub clamp: Slot,
    pub members: Slot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShuffleMode {
    Up,
    Down,
    Bfly,
    Idx,
}

/// Warp-wide reductions of a predicate or a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Vote {
    Ballot { dst: Slot, src: (Slot, bool), members: Slot },
    All { dst: Slot, src: (Slot, bool), members: Slot },
    Any { dst: Slot, src: (Slot, bool), members: Slot },
    Uniform { dst: Slot, src: (Slot, bool), members: Slot },
    MatchAny { dst: Slot, src: Loc, members: Slot },
    MatchAll { dst: Slot, pred: Option<Slot>, src: Loc, members: Slot },
    Redux { op: AtomOp, dst: Slot, src: Slot, members: Slot },
    Elect { dst: Option<Slot>, pred: Slot, members: Slot },
}

impl Vote {
    pub(crate) fn members(&self) -> Slot {
        match *self {
            Vote::Ballot { members, .. }
            | Vote::All { members, .. }
            | Vote::Any { members, .. }
            | Vote::Uniform { members, .. }
            | Vote::MatchAny { members, .. }
            | Vote::MatchAll { members, .. }
            | Vote::Redux { members, .. }
            | Vote::Elect { members, .. } => members,
        }
    }
}

/// A block-wide barrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Barrier {
    pub id: Slot,
    /// Expected threads; `None` means all of the block.
    pub count: Option<Slot>,
    /// `bar.sync` and `.aligned`: the whole warp must arrive together.
    pub aligned: bool,
    /// `bar.arrive`: does not wait.
    pub arrive_only: bool,
    pub reduce: Option<BarrierReduce>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct BarrierReduce {
    pub op: ReduceOp,
    /// A 32-bit slot for `popc`, a predicate slot for `and` and `or`.
    pub dst: Slot,
    pub src: (Slot, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReduceOp {
    Popc,
    And,
    Or,
}

/// `ldmatrix` and `stmatrix` of 8×8 matrices of 16-bit elements.
#[derive(Debug, Clone)]
pub(crate) struct MatrixAccess {
    pub addr: Address,
    pub regs: Vec<Slot>,
    pub transpose: bool,
}

/// The element types of an `mma.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MmaElem {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    S8,
    U8,
}

/// `mma.sync.aligned.mMnNkK.row.col`.
#[derive(Debug, Clone)]
pub(crate) struct Mma {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a_elem: MmaElem,
    pub b_elem: MmaElem,
    pub acc: MmaAcc,
    pub saturate: bool,
    pub d: Vec<Slot>,
    pub a: Vec<Slot>,
    pub b: Vec<Slot>,
    pub c: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MmaAcc {
    F32,
    F16,
    S32,
}

/// `wgmma.mma_async.m64nNkK`: a warpgroup multiplies 64 rows; k is 32 bytes of elements.
#[derive(Debug, Clone)]
pub(crate) struct Wgmma {
    pub n: usize,
    pub a_elem: MmaElem,
    pub b_elem: MmaElem,
    pub saturate: bool,
    pub d: Arc<[Slot]>,
    pub a: WgmmaSource,
    /// B's descriptor.
    pub b: Slot,
    /// Where this predicate is false, D is overwritten instead of added to.
    pub accumulate: (Slot, bool),
    pub negate_a: bool,
    pub negate_b: bool,
    /// The operands lie m-major and n-major, not k-major.
    pub transpose_a: bool,
    pub transpose_b: bool,
}

/// Where a `wgmma` has its first operand.
#[derive(Debug, Clone)]
pub(crate) enum WgmmaSource {
    Registers(Arc<[Slot]>),
    /// The 64-bit register of a descriptor.
    Shared(Slot),
}

/// `cp.async`: a copy from global to shared memory that lands at its wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsyncCopy {
    pub dst: Address,
    pub src: Address,
    pub bytes: u8,
    /// Bytes taken from the source; the rest is zero.
    pub src_bytes: Option<Slot>,
    /// The copy is all zeros where this predicate holds.
    pub ignore: Option<(Slot, bool)>,
}

/// `cp.async.bulk` from global to shared memory: a copy that lands where an mbarrier waits for its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BulkCopy {
    pub dst: Address,
    pub src: Address,
    pub bytes: Slot,
    pub barrier: Address,
}

/// `cp.async.bulk.tensor.2d`: a tile of a matrix that a tensor map describes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TensorCopy {
    pub dst: Address,
    pub map: Address,
    /// The tile's first element and row: signed, and possibly outside.
    pub at: [Slot; 2],
    pub barrier: Address,
}

/// Operations on an mbarrier object in shared memory.
#[derive(Debug, Clone)]
pub(crate) enum MBarrier {
    Init {
        addr: Address,
        count: Slot,
    },
    Invalidate {
        addr: Address,
    },
    Arrive {
        addr: Address,
        state: Option<Slot>,
        count: Option<Slot>,
        expect: Option<Slot>,
        drop: bool,
    },
    ExpectTx {
        addr: Address,
        bytes: Slot,
    },
    /// `test_wait` and `try_wait` on a state or on a phase parity.
    Test {
        addr: Address,
        pred: Slot,
        token: WaitToken,
        suspends: bool,
    },
    /// `cp.async.mbarrier.arrive`: the thread's earlier copies arrive when they land.
    AsyncArrive {
        addr: Address,
        counted: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum WaitToken {
    State(Slot),
    Parity(Slot),
}

impl MmaElem {
    /// Bits of one element in a register.
    pub(crate) fn bits(self) -> usize {
        match self {
            MmaElem::Tf32 => 32,
            MmaElem::F16 | MmaElem::Bf16 => 16,
            _ => 8,
        }
    }
}
