//! What can go wrong while a kernel runs. A fault names the kernel, the block, the thread and the PTX line.

use super::program::MemSpace;
use std::fmt;
use thiserror::Error;

/// A kernel did something it must not do, or asked for a launch that cannot be.
#[derive(Debug, Clone, PartialEq, Error)]
pub struct Fault {
    /// The kernel's name.
    pub kernel: String,
    /// The block (`%ctaid`).
    pub block: [u32; 3],
    /// The thread (`%tid`), where one can be named.
    pub thread: Option<[u32; 3]>,
    /// The PTX line, from 1; 0 when the fault belongs to the launch.
    pub line: u32,
    /// The text of that line.
    pub text: String,
    /// What happened.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}", self.kernel)?;
        if self.line == 0 {
            return write!(f, ": {}", self.kind);
        }
        let [x, y, z] = self.block;
        write!(f, ", block ({x},{y},{z})")?;
        if let Some([x, y, z]) = self.thread {
            write!(f, ", thread ({x},{y},{z})")?;
        }
        write!(f, ": {}; PTX line {}: `{}`", self.kind, self.line, self.text)
    }
}

/// A state space, as faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceName {
    /// Device memory: a [`Memory`](super::Memory) allocation or a module variable.
    Global,
    /// Shared memory of a block.
    Shared,
    /// Local memory of a thread.
    Local,
    /// The kernel's parameters.
    Param,
}

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpaceName::Global => "global",
            SpaceName::Shared => "shared",
            SpaceName::Local => "local",
            SpaceName::Param => "parameter",
        })
    }
}

impl From<MemSpace> for SpaceName {
    fn from(space: MemSpace) -> SpaceName {
        match space {
            MemSpace::Generic | MemSpace::Global => SpaceName::Global,
            MemSpace::Shared => SpaceName::Shared,
            MemSpace::Local => SpaceName::Local,
            MemSpace::Param => SpaceName::Param,
        }
    }
}

/// The ways an execution can fail.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// An access outside the allocation that the address belongs to.
    #[error("{} of {size} bytes at offset {offset} of {space} `{label}`, which has {len} bytes", verb(*.write))]
    OutOfBounds { space: SpaceName, write: bool, size: usize, address: u64, label: String, offset: i64, len: usize },
    /// An address that belongs to no allocation.
    #[error("{} of {size} bytes at {space} address {address:#x}, which belongs to no allocation", verb(*.write))]
    Unmapped { space: SpaceName, write: bool, size: usize, address: u64 },
    /// A write to constant memory.
    #[error("write of {size} bytes at offset {offset} of `{label}`, which is constant")]
    ReadOnly { size: usize, label: String, offset: i64 },
    /// The address is no multiple of the access size.
    #[error("{} of {size} bytes at {space} address {address:#x} (offset {offset} of `{label}`), which is not aligned to {size}", verb(*.write))]
    Misaligned { space: SpaceName, write: bool, size: usize, address: u64, label: String, offset: i64 },
    /// Bytes that nothing ever wrote were read.
    #[error("read of {size} bytes at offset {offset} of {space} `{label}`, where byte {first} was never written")]
    Uninitialised { space: SpaceName, size: usize, address: u64, label: String, offset: i64, first: i64 },
    /// A register was read before anything was written to it.
    #[error("register {register} is read before it is written")]
    UninitialisedRegister { register: String },
    /// Two threads of a block touch the same shared byte with no barrier between, and one of them writes.
    #[error(
        "race on shared `{label}` byte {offset}: {} by thread {thread:?} and {} by thread {other:?} (PTX line {other_line}) with no barrier between",
        verb(*.write), verb(*.other_write)
    )]
    SharedRace {
        label: String,
        offset: i64,
        write: bool,
        thread: [u32; 3],
        other_write: bool,
        other: [u32; 3],
        other_line: u32,
    },
    /// A byte that an unfinished `cp.async` will write was touched.
    #[error("{} of shared `{label}` byte {offset}, which a cp.async of thread {owner:?} (PTX line {owner_line}) has not finished writing", verb(*.write))]
    PendingCopy { label: String, offset: i64, write: bool, owner: [u32; 3], owner_line: u32 },
    /// A byte that a `wgmma` may still read was written: the warp has not waited for it.
    #[error(
        "write of shared `{label}` byte {offset}, which a wgmma of the warp of thread {reader:?} (PTX line {reader_line}) may still read: nothing has waited for it"
    )]
    PendingOperand { label: String, offset: i64, reader: [u32; 3], reader_line: u32 },
    /// `wgmma` reads, through the async proxy, what an ordinary store or a `cp.async` wrote with no `fence.proxy.async` between.
    #[error(
        "wgmma reads shared `{label}` byte {offset}, which thread {writer:?} wrote through the generic proxy (PTX line {writer_line}) with no fence.proxy.async between"
    )]
    MissingProxyFence { label: String, offset: i64, writer: [u32; 3], writer_line: u32 },
    /// A register that belongs to a `wgmma` was touched before a wait for it.
    #[error("register {register} is {} while the wgmma of PTX line {owner_line} that uses it has not been waited for", if *.write { "written" } else { "read" })]
    PendingRegister { register: String, write: bool, owner_line: u32 },
    /// A register that a `wgmma` uses was written after the last `wgmma.fence`.
    #[error("wgmma uses register {register}, which was written with no wgmma.fence since")]
    MissingRegisterFence { register: String },
    /// Two blocks wrote the same global byte in one launch.
    #[error("blocks {first:?} and {second:?} both write byte {offset} of `{label}`")]
    GlobalRace { label: String, offset: i64, first: [u32; 3], second: [u32; 3] },
    /// Threads wait for others that will never come.
    #[error("deadlock: {waiting}")]
    Deadlock { waiting: String },
    /// A warp executed more instructions than [`Options::max_steps`](super::Options).
    #[error("a warp executed {limit} instructions without ending; raise Options::max_steps if that is intended")]
    StepLimit { limit: u64 },
    /// `trap`.
    #[error("the kernel executed a trap")]
    Trap,
    /// A call of a function without body, such as `vprintf` or `__assertfail`.
    #[error("call of `{name}`, which has no body in the module")]
    ExternalCall { name: String },
    /// A collective names lanes that cannot take part.
    #[error("the member mask {mask:#010x} {problem}")]
    BadMemberMask { mask: u32, problem: &'static str },
    /// `brx.idx` outside its table.
    #[error("branch index {index} is outside a table of {len} targets")]
    BranchIndex { index: u32, len: usize },
    /// An instruction that needs operands in a state they are not in (mbarrier counts, barrier numbers).
    #[error("{0}")]
    Protocol(String),
    /// The launch itself is wrong: block size, arguments, shared memory.
    #[error("cannot launch: {0}")]
    Launch(String),
}

fn verb(write: bool) -> &'static str {
    if write { "write" } else { "read" }
}
