//! The syntax tree of a PTX module: what the text says, before any meaning is given to it.

/// A parsed module.
#[derive(Debug, Default)]
pub(crate) struct Ast<'a> {
    /// `.target`, such as `sm_90a`.
    pub target: &'a str,
    pub vars: Vec<VarDecl<'a>>,
    pub functions: Vec<Function<'a>>,
}

/// A state space that a variable can be declared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A scalar type as written: its kind and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ty {
    pub kind: Kind,
    pub bits: u32,
}

/// The kind of a scalar type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bits,
    Unsigned,
    Signed,
    Float,
    BFloat,
    /// Two halves in 32 bits, or two floats in 64.
    Packed,
    /// Two bfloat16 in 32 bits.
    BPacked,
    Pred,
}

impl Ty {
    /// Reads a type name without its dot. Formats that live only inside `cvt` and `mma` are not types of registers.
    pub(crate) fn parse(name: &str) -> Option<Ty> {
        let fixed = match name {
            "pred" => Some((Kind::Pred, 1)),
            "f16" => Some((Kind::Float, 16)),
            "f32" => Some((Kind::Float, 32)),
            "f64" => Some((Kind::Float, 64)),
            "bf16" => Some((Kind::BFloat, 16)),
            "f16x2" => Some((Kind::Packed, 32)),
            "bf16x2" => Some((Kind::BPacked, 32)),
            "f32x2" => Some((Kind::Packed, 64)),
            _ => None,
        };
        if let Some((kind, bits)) = fixed {
            return Some(Ty { kind, bits });
        }
        let (kind, width) = match name.split_at_checked(1)? {
            ("b", w) => (Kind::Bits, w),
            ("u", w) => (Kind::Unsigned, w),
            ("s", w) => (Kind::Signed, w),
            _ => return None,
        };
        match width {
            "8" | "16" | "32" | "64" => Some(Ty { kind, bits: width.parse().ok()? }),
            "128" if kind == Kind::Bits => Some(Ty { kind, bits: 128 }),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        (self.bits as usize).div_ceil(8)
    }
}

/// A variable: module-scope, function-scope or a parameter.
#[derive(Debug, Clone)]
pub(crate) struct VarDecl<'a> {
    pub space: Space,
    pub name: &'a str,
    pub align: usize,
    /// Bytes; 0 for an `extern` array without bound, which is dynamic shared memory.
    pub size: usize,
    pub unbounded: bool,
    pub init: Vec<(usize, Init<'a>)>,
    pub external: bool,
}

/// One initialiser element, at a byte offset of the variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Init<'a> {
    Bytes(Vec<u8>),
    /// The 64-bit address of another variable plus a byte offset.
    Address(&'a str, i64),
}

/// A kernel or a device function.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub entry: bool,
    pub line: u32,
    pub params: Vec<VarDecl<'a>>,
    pub returns: Vec<VarDecl<'a>>,
    /// `None` for a declaration without body.
    pub body: Option<Vec<Stmt<'a>>>,
    /// `.reqntid`: the block size the kernel was compiled for.
    pub required_block: Option<[u32; 3]>,
    /// `.maxntid`, as a thread count.
    pub max_threads: Option<u32>,
}

/// A statement of a function body.
#[derive(Debug)]
pub(crate) enum Stmt<'a> {
    Open,
    Close,
    Label(&'a str),
    /// Registers: a type, and names with the count of `name<count>`.
    Regs(Ty, Vec<(&'a str, Option<u32>)>),
    Var(VarDecl<'a>),
    /// `label: .branchtargets a, b, c;`
    Targets(Vec<&'a str>),
    Instr(Instr<'a>),
}

/// An instruction as written.
#[derive(Debug)]
pub(crate) struct Instr<'a> {
    pub line: u32,
    /// `@%p` or `@!%p`: the predicate and whether it is negated.
    pub guard: Option<(&'a str, bool)>,
    pub opcode: &'a str,
    pub mods: Vec<&'a str>,
    pub operands: Vec<Operand<'a>>,
}

/// An operand as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand<'a> {
    /// A register, special register (with its `.x`), symbol or label.
    Name(&'a str, Option<&'a str>),
    /// `!%p`.
    Not(&'a str),
    /// `sym+4`.
    Offset(&'a str, i64),
    Int(i128),
    F32(u32),
    F64(u64),
    /// `[base+offset]`, the base absent for an absolute address.
    Addr(Option<&'a str>, i64),
    /// `[base, {coords}]` of tensor copies: the base and what follows it.
    AddrList(Vec<Operand<'a>>),
    /// `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// `d|p`.
    Pair(&'a str, &'a str),
    /// `(a, b)` of a call.
    List(Vec<Operand<'a>>),
    /// `_`.
    Sink,
}
