//! The decoded form of a kernel: one flat list of instructions over register slots, ready to execute.
//!
//! Registers live in three banks, one row of 32 lanes per slot: `.b32` and narrower in 32-bit rows, `.b64` in 64-bit
//! rows, predicates as 32-bit lane masks. Immediates and special registers are rows too, filled once per warp, so that every operand
//! is a slot and an instruction needs no case analysis. All device functions a kernel reaches get slots and frames of their
//! own in the same program, so a call is a jump with copied parameters.

use super::ast::Space;

/// Lanes in a warp.
pub(crate) const LANES: usize = 32;
/// A row of the 32-bit bank.
pub(crate) type R32 = [u32; LANES];
/// A row of the 64-bit bank.
pub(crate) type R64 = [u64; LANES];

/// A slot of one of the banks; which one follows from where it is used.
pub(crate) type Slot = u32;

/// A destination or source whose bank is decided per instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loc {
    B32(Slot),
    B64(Slot),
    /// `_`: the value is dropped.
    Sink,
}

pub(crate) type F1 = fn(&R32) -> R32;
pub(crate) type F1Wide = fn(&R64) -> R64;
pub(crate) type FWiden = fn(&R32) -> R64;
pub(crate) type FNarrow = fn(&R64) -> R32;
pub(crate) type F2 = fn(&R32, &R32) -> R32;
pub(crate) type F2Wide = fn(&R64, &R64) -> R64;
pub(crate) type FJoin = fn(&R32, &R32) -> R64;
pub(crate) type FShift = fn(&R64, &R32) -> R64;
pub(crate) type F3 = fn(&R32, &R32, &R32) -> R32;
pub(crate) type F3Wide = fn(&R64, &R64, &R64) -> R64;
pub(crate) type FMadWide = fn(&R32, &R32, &R64) -> R64;
pub(crate) type FField = fn(&R64, &R32, &R32) -> R64;
pub(crate) type F4 = fn(&R32, &R32, &R32, &R32) -> R32;
pub(crate) type FInsert = fn(&R64, &R64, &R32, &R32) -> R64;
pub(crate) type FCmp = fn(&R32, &R32) -> u32;
pub(crate) type FCmpWide = fn(&R64, &R64) -> u32;
pub(crate) type FTest = fn(&R32) -> u32;
pub(crate) type FTestWide = fn(&R64) -> u32;

/// How a comparison's result is joined with a third predicate: `setp.lt.and`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
    Xor,
}

impl Join {
    pub(crate) fn apply(self, a: u32, b: u32) -> u32 {
        match self {
            Join::And => a & b,
            Join::Or => a | b,
            Join::Xor => a ^ b,
        }
    }
}

/// Where the result of a comparison goes: `p = cmp join c`, `q = !cmp join c`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PredOut {
    pub p: Option<Slot>,
    pub q: Option<Slot>,
    pub join: Option<(Join, Slot, bool)>,
}

/// Pure instructions: rows in, one row out, no fault possible. `f` computes all lanes; the executor keeps the active ones.
#[derive(Clone, Copy)]
pub(crate) enum Pure {
    A(F1, Slot, Slot),
    AWide(F1Wide, Slot, Slot),
    Widen(FWiden, Slot, Slot),
    Narrow(FNarrow, Slot, Slot),
    B(F2, Slot, [Slot; 2]),
    BWide(F2Wide, Slot, [Slot; 2]),
    Join(FJoin, Slot, [Slot; 2]),
    Shift(FShift, Slot, Slot, Slot),
    C(F3, Slot, [Slot; 3]),
    CWide(F3Wide, Slot, [Slot; 3]),
    MadWide(FMadWide, Slot, [Slot; 2], Slot),
    Field(FField, Slot, Slot, [Slot; 2]),
    D(F4, Slot, [Slot; 4]),
    Insert(FInsert, Slot, [Slot; 2], [Slot; 2]),
    Cmp(FCmp, PredOut, [Slot; 2]),
    CmpWide(FCmpWide, PredOut, [Slot; 2]),
    Test(FTest, Slot, Slot),
    TestWide(FTestWide, Slot, Slot),
    /// `d = p ? a : b`.
    Select(Slot, [Slot; 2], Slot),
    SelectWide(Slot, [Slot; 2], Slot),
    /// `d = (a ^ na) op (b ^ nb)` on predicates.
    Logic(Join, Slot, [(Slot, bool); 2]),
    MovPred(Slot, Slot, bool),
    /// Carry chains: the carry lives in predicate slot [`CARRY`].
    Carry(CarryOp, Slot, [Slot; 3]),
    CarryWide(CarryOp, Slot, [Slot; 3]),
}

/// The predicate slot that holds the carry flag `CC.CF`.
pub(crate) const CARRY: Slot = 0;

/// An instruction of a carry chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CarryOp {
    pub kind: CarryKind,
    pub reads: bool,
    pub writes: bool,
}

/// What a carry instruction computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarryKind {
    Add,
    Sub,
    MadLo,
    MadHiUnsigned,
    MadHiSigned,
}

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

/// One operation.
#[derive(Clone)]
pub(crate) enum Op {
    Pure(Pure),
    Load(Box<Access>),
    Store(Box<Access>),
    Atomic(Box<Atomic>),
    Branch(u32),
    /// `brx.idx`: an index and its targets.
    BranchTable(Slot, Box<[u32]>),
    Call(u32),
    Return,
    Exit,
    Trap,
    /// A call of a function that has no body here, such as `vprintf`.
    External(Box<str>),
    Fence,
    Nop,
    /// Gives other warps a turn: `nanosleep`.
    Yield,
    Clock(Loc),
    ActiveMask(Slot),
    WarpSync(Slot),
    Shuffle(Box<Shuffle>),
    Vote(Box<Vote>),
    Barrier(Box<Barrier>),
    LoadMatrix(Box<MatrixAccess>),
    StoreMatrix(Box<MatrixAccess>),
    Mma(Box<Mma>),
    AsyncCopy(Box<AsyncCopy>),
    AsyncCommit,
    /// Waits until at most this many groups are unfinished.
    AsyncWait(u32),
    AsyncWaitAll,
    MBarrier(Box<MBarrier>),
    /// `isspacep`.
    IsSpace {
        space: MemSpace,
        dst: Slot,
        addr: Slot,
    },
}

/// What an instruction is counted as in [`Stats`](super::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The names say it.
pub enum Class {
    /// A helper of an instruction that was split: not counted.
    Expansion,
    Move,
    Integer,
    Float,
    Double,
    Half,
    Convert,
    Approximate,
    Compare,
    GlobalLoad,
    GlobalStore,
    SharedLoad,
    SharedStore,
    LocalAccess,
    ParamLoad,
    Atomic,
    Warp,
    Barrier,
    Async,
    Matrix,
    Control,
}

impl Class {
    pub(crate) const COUNT: usize = Class::Control as usize + 1;

    /// Every class that is counted, in order.
    pub const ALL: [Class; Class::COUNT - 1] = [
        Class::Move,
        Class::Integer,
        Class::Float,
        Class::Double,
        Class::Half,
        Class::Convert,
        Class::Approximate,
        Class::Compare,
        Class::GlobalLoad,
        Class::GlobalStore,
        Class::SharedLoad,
        Class::SharedStore,
        Class::LocalAccess,
        Class::ParamLoad,
        Class::Atomic,
        Class::Warp,
        Class::Barrier,
        Class::Async,
        Class::Matrix,
        Class::Control,
    ];
}

/// The error bound of an approximate instruction, as the PTX ISA states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Approx {
    Exact,
    /// Units in the last place of the f32 result.
    Ulp(u8),
    /// `lg2.approx.f32`: 2^-22 absolute for arguments in (0.5, 2), 2 ulp elsewhere.
    Log2,
    /// An absolute error.
    Absolute(f32),
    /// A relative error of an f32 result.
    Relative(f32),
    /// A relative error of an f16 result, in both halves for packed types.
    RelativeF16(f32),
    RelativeBf16(f32),
    AbsoluteF16(f32),
    AbsoluteBf16(f32),
}

/// One decoded instruction.
#[derive(Clone)]
pub(crate) struct Inst {
    pub op: Op,
    /// A predicate slot and whether it is negated.
    pub guard: Option<(Slot, bool)>,
    pub line: u32,
    pub class: Class,
    pub approx: Approx,
}

/// The value of a constant row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Const {
    Bits(u64),
    Special(Special),
    /// The address of a module variable plus an offset.
    Var(usize, i64),
    /// The shared address of the dynamic region plus an offset.
    Dynamic(i64),
}

/// Special registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NWarpId,
    SmId,
    NSmId,
    GridId,
    LaneMask(Compare),
    DynamicSmem,
    TotalSmem,
    /// Registers that are zero in a launch without clusters: `%cluster_ctarank`, `%cluster_ctaid`.
    Zero,
    /// Registers that are one in a launch without clusters: `%cluster_nctarank`, `%nclusterid` aside.
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Compare {
    Eq,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A module variable with its contents at load.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub name: String,
    pub space: Space,
    pub bytes: Vec<u8>,
    /// Addresses to patch in: byte offset, variable, addend.
    pub relocations: Vec<(usize, usize, i64)>,
}

/// A named range of shared or local memory. Ranges are kept apart by gaps, so that running past one is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    pub name: String,
    pub start: u32,
    pub size: u32,
}

/// A kernel parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param {
    pub offset: u32,
    pub size: u32,
}

/// A kernel with every device function it reaches.
pub(crate) struct Program {
    pub insts: Vec<Inst>,
    pub rows32: u32,
    pub rows64: u32,
    pub preds: u32,
    /// Rows to fill before a warp starts. Predicate constants are bits 0 or 1.
    pub consts32: Vec<(Slot, Const)>,
    pub consts64: Vec<(Slot, Const)>,
    pub const_preds: Vec<(Slot, bool)>,
    /// Register names for fault messages.
    pub names32: Vec<Box<str>>,
    pub names64: Vec<Box<str>>,
    pub names_pred: Vec<Box<str>>,
    pub params: Vec<Param>,
    pub param_bytes: u32,
    pub shared: Vec<Region>,
    /// Where dynamic shared memory starts.
    pub dynamic_start: u32,
    pub static_shared: u32,
    pub local: Vec<Region>,
    pub local_bytes: u32,
    /// Blocks may talk to each other through memory, so they must run one after another on the same memory.
    pub ordered_blocks: bool,
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
