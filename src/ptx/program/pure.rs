//! Pure instructions: rows in, one row out. Their meaning is a function of rows, chosen when the text is decoded.

use super::{R32, R64, Slot};

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
