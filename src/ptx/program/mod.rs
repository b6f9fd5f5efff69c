//! The decoded form of a kernel: one flat list of instructions over register slots, ready to execute.
//!
//! Registers live in three banks, one row of 32 lanes per slot: `.b32` and narrower in 32-bit rows, `.b64` in 64-bit
//! rows, predicates as 32-bit lane masks. Immediates and special registers are rows too, filled once per warp, so that every operand
//! is a slot and an instruction needs no case analysis. All device functions a kernel reaches get slots and frames of their
//! own in the same program, so a call is a jump with copied parameters.

mod effect;
mod pure;

pub(crate) use effect::*;
pub(crate) use pure::*;

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
    /// `fence.proxy.async` over shared memory.
    ProxyFence,
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
    Wgmma(Box<Wgmma>),
    WgmmaFence,
    WgmmaCommit,
    /// Waits until at most this many groups are unfinished.
    WgmmaWait(u32),
    AsyncCopy(Box<AsyncCopy>),
    BulkCopy(Box<BulkCopy>),
    TensorCopy(Box<TensorCopy>),
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

/// The error bound of an approximate instruction, as the PTX ISA states it in the sections named after the instructions: `rcp`, `sqrt`, `rsqrt`,
/// `sin`, `cos`, `lg2`, `ex2` and `tanh` under "Floating Point Instructions", the 16-bit `ex2` and `tanh` under "Half Precision Floating Point
/// Instructions".
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Approx {
    Exact,
    /// Units in the last place of the f32 result.
    Ulp(u8),
    /// `ex2.approx.f32`: 2 ulp, and exact where the result is a power of two. The ISA does not say the latter; CUDA's own functions
    /// count on it, and the GPU test of the approximate instructions finds it so.
    Exp2,
    /// `lg2.approx.f32` (PTX ISA, "Floating Point Instructions: lg2"): 2^-22 absolute for arguments in (0.5, 2). Elsewhere the PTX ISA has 2^-22 relative, and CUDA's guide 2 ulp for `__log2f`, which
    /// is this instruction: the narrower one, which hardware keeps.
    Log2,
    /// `sin.approx.f32` and `cos.approx.f32` (PTX ISA, "Floating Point Instructions: sin" and "cos"): 2^-20.5 absolute for arguments in ±2π, where
    /// the cosine was measured to reach 2^-20.43, so that each has its own number here; 2^-14.7 in ±100π; nothing is stated beyond.
    Wave(f32),
    /// `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64`: 20 bits of mantissa, of which the ISA does not say how far off the last is. One unit.
    Gross,
    /// `rsqrt.approx.f64`, which the ISA says nothing of: one unit in the last place, as CUDA states for `rsqrt`.
    Ulp64,
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
    /// It has `wgmma`: what it needs to be watched costs the others nothing.
    pub tensor: bool,
    /// Blocks may talk to each other through memory, so they must run one after another on the same memory.
    pub ordered_blocks: bool,
}
