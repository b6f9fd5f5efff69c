//! How a kernel runs. A schedule never changes what is computed, beyond the stated bound of its [`Compute`] mode.

use super::{Arg, Patch};
use crate::scalar::Scalar;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    pub form: Form,
    /// Look results up instead of computing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Chains of the body that are looked up, each on one 8-bit operand; what depends on other operands too is computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
    pub compute: Compute,
    pub index: IndexWidth,
    /// Threads a block.
    pub threads: u32,
    pub traffic: Traffic,
    /// How the results of `Quantize` statements are rounded, by statement; the others are [`Rounding::Exact`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounding: Vec<(u32, Rounding)>,
    /// Of every so many elements, one takes the expressions that spare the slow unit ([`Row::relief`](crate::op::Row::relief)); 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub relief: u32,
    /// Let a library of NVIDIA's compute a kernel that is a product and nothing else, where it is on the machine; the form is what runs
    /// where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub library: bool,
}

/// What of a schedule is a matter of time alone and may be measured; the rest follows from it and the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pick {
    pub form: Form,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Threads a block.
    pub threads: u32,
    /// See [`Schedule::library`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub library: bool,
}

/// The loop nest of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The domain in row-major order, `vector` adjacent elements a thread. Operands that are dense in that order move as vectors;
    /// the others are fetched element by element.
    Flat { vector: u32 },
    /// The innermost axis in vectors of `vector` elements; a thread takes the same vector of `rows` successive rows, and
    /// operands that do not vary from row to row stay in registers for all of them.
    Rows { vector: u32, rows: u32 },
    /// Some tensors' unit stride is along axis `axis`, others' along the innermost. A block takes `rows` × `columns` elements of the
    /// two axes; the former tensors pass through tiles of shared memory, in vectors of 16 bytes on both sides, and a thread takes
    /// `vector` elements along the innermost axis of every so many rows.
    Transposed { axis: u32, rows: u32, columns: u32, vector: u32 },
    /// One element a thread, any strides.
    Strided,
    /// A tile of a [`Product`](super::Product) a block; then its accumulators in vectors of `vector` adjacent columns a thread.
    Product { blocking: Blocking, vector: u32 },
    /// A tile of a convolution of few channels a block, read in place from a [`Patch`]; its accumulators as with `Product`.
    Patch { patch: Patch, vector: u32 },
    /// A depthwise convolution: `vector` adjacent channels of one pixel a thread.
    Depthwise { vector: u32 },
}

/// How a block computes a part of a product. All extents are powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blocking {
    pub engine: Engine,
    /// Rows, columns and terms of the sum, in elements.
    pub m: u32,
    pub n: u32,
    pub k: u32,
    /// Warps along the rows and along the columns.
    pub warps: (u32, u32),
    /// As many groups of such warps share out the terms of each step, and add their sums at the end.
    pub slices: u32,
    /// As many blocks share out the steps of one tile; the last of them to finish adds their sums, in the order of the terms.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub split: u32,
    /// Steps whose factors are in shared memory or on their way there.
    pub stages: u32,
    /// Rows of tiles that are walked together column by column, so that blocks which run together share what they read.
    pub band: u32,
    /// Bytes that one copy of the factors `a` and `b` moves and their memory is aligned to: 16, 8 or 4; 0 for copies of single elements.
    pub copy: (u32, u32),
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// `mma.sync` of f16 and bf16 with f32 sums, of 8-bit codes with i32 sums.
    Tensor,
    /// `FFMA` of f32.
    Simt,
    /// `wgmma` of the same types as [`Engine::Tensor`]'s, by four warps together, on compute capability 9.0 alone.
    Wgmma,
    /// As [`Engine::Wgmma`], by blocks that each stay on a multiprocessor and walk the tiles: one warp has the copy engine (TMA) fill the stages
    /// for all tiles to come, the others multiply. Here all of them multiply one tile.
    Cooperative,
    /// The same by two crews of [`Blocking::warps`], which take the tiles in turn: one's epilogue runs while the other multiplies.
    PingPong,
}

impl Engine {
    /// Whether `wgmma` multiplies.
    pub fn is_wgmma(self) -> bool {
        matches!(self, Engine::Wgmma | Engine::Cooperative | Engine::PingPong)
    }

    /// Whether some warps only copy and the others only multiply.
    pub fn is_specialised(self) -> bool {
        matches!(self, Engine::Cooperative | Engine::PingPong)
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(n: &u32) -> bool {
    *n == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Blocking {
    /// Threads of a block.
    pub fn threads(&self) -> u32 {
        // Registers are handed over by groups of four warps: so many copy, though one of them does it.
        let copying = if self.engine.is_specialised() { 128 } else { 0 };
        32 * self.crews() * self.warps.0 * self.warps.1 * self.slices + copying
    }

    /// Sets of warps of a block that each have a tile of their own.
    pub fn crews(&self) -> u32 {
        if self.engine == Engine::PingPong { 2 } else { 1 }
    }

    /// Rows that a warp takes through shared memory at a time, from its accumulators to the body: half a fragment where that memory is not also
    /// the stages'.
    pub fn rows_at_once(&self) -> u32 {
        if self.engine.is_specialised() { 8 } else { 16 }
    }

    /// Elements from one of these rows to the next.
    pub fn row_pitch(&self) -> u32 {
        self.n / self.warps.1 + 8
    }

    /// Bytes of shared memory that the accumulators pass through.
    pub fn staging(&self) -> u32 {
        4 * self.crews() * self.warps.0 * self.warps.1 * self.rows_at_once() * self.row_pitch()
    }

    /// True if a step's `wgmma` are given before those of the step before are done. That takes one more stage; where several blocks share a
    /// multiprocessor, the tensor work of one fills the other's gaps, and their shared memory has better uses.
    pub fn is_ahead(&self) -> bool {
        self.engine.is_wgmma() && self.stages > 3
    }

    /// The blocking that takes the place of one that copies by tensor maps, where memory or sizes allow none.
    fn without_maps(self) -> Blocking {
        match self.engine.is_specialised() {
            true => Blocking { engine: Engine::Wgmma, stages: self.stages.min(4), ..self },
            false => self,
        }
    }
}

/// The body replaced by a table in shared memory, which the host computed: every result is a function of one operand, or of one and its
/// channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Of the only operand, of 8 bits: 256 entries, copied by each block.
    Codes8,
    /// Of a 16-bit operand: 65,536 entries, copied once by each of `blocks` blocks, as many as the GPU runs at a time.
    Codes16 { blocks: u32 },
    /// Of an 8-bit operand and its channel ([`Kernel::channels`](super::Kernel::channels)): 256 entries a channel. A block copies those of
    /// `window` channels, 1 where a channel is a row, and takes `steps` vectors a thread.
    Channels8 { window: u32, steps: u32 },
}

/// A statement that depends on one 8-bit operand alone: its 256 values, which the host computed, lie in shared memory as f32, and the
/// statements that only it needs are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lookup {
    pub stmt: u32,
    pub load: u32,
}

/// Which of an op's CUDA expressions a kernel uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// Full accuracy of the compute type.
    Accurate,
    /// Approximate instructions, where what is stored is 16 or 8 bits wide.
    Fast,
    /// Two 16-bit floats an instruction. Each is rounded as f32 arithmetic would round it in the end, bit for bit, because at most one op
    /// rounds on the way from an operand to a result.
    Packed,
}

/// The type of the kernel's index arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexWidth {
    Bits32,
    Bits64,
}

/// Whether the caches should keep what a kernel reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// The tensors fit the L2 cache, where the next kernel finds them.
    Cached,
    /// They do not: what has been read or written leaves first.
    Streamed,
}

/// How `x / scale` becomes an integer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the integer nearest to the exact quotient of the `x` at hand.
    Exact,
    /// `x` carries the error of f32 arithmetic, of at most `absolute` + `relative`·|x| + `spread`·max|of| (f32 numbers): where that
    /// leaves open which integer is nearest, the element is computed again in f64. The same where `x` is infinite or NaN, unless
    /// it is `finite` for certain.
    Guarded { absolute: Scalar, relative: Scalar, spread: Scalar, of: Vec<Arg>, finite: bool },
    /// To the integer nearest to `x · (1/scale)` in f32: wrong by one where the exact quotient is within rounding of a tie.
    Near,
}

impl Default for Schedule {
    /// What is right for every kernel and fast for none.
    fn default() -> Schedule {
        Schedule {
            form: Form::Strided,
            table: None,
            lookups: Vec::new(),
            compute: Compute::Accurate,
            index: IndexWidth::Bits64,
            threads: 256,
            traffic: Traffic::Cached,
            rounding: Vec::new(),
            library: false,
            relief: 0,
        }
    }
}

impl Schedule {
    /// What was a matter of time alone.
    pub fn pick(&self) -> Pick {
        Pick { form: self.form.clone(), table: self.table, threads: self.threads, library: self.library }
    }

    /// The rounding of statement `stmt`.
    pub fn rounding_of(&self, stmt: usize) -> &Rounding {
        self.rounding.iter().find(|(i, _)| *i as usize == stmt).map_or(&Rounding::Exact, |(_, rounding)| rounding)
    }

    /// The same schedule with 64-bit indices, for sizes that [`IndexWidth::Bits32`] can't count.
    pub fn widened(&self) -> Schedule {
        let form = match &self.form {
            // A tensor map counts in 32 bits.
            Form::Product { blocking, vector } => Form::Product { blocking: blocking.without_maps(), vector: *vector },
            form => form.clone(),
        };
        Schedule { form, index: IndexWidth::Bits64, ..self.clone() }
    }

    /// A schedule of the same results that needs no more of a pointer than its element's own alignment.
    pub fn unaligned(&self) -> Schedule {
        let form = match &self.form {
            Form::Product { blocking, .. } => {
                Form::Product { blocking: Blocking { copy: (0, 0), ..blocking.without_maps() }, vector: 1 }
            }
            Form::Patch { patch, .. } => Form::Patch { patch: Patch { copy: (0, 0), ..*patch }, vector: 1 },
            Form::Depthwise { .. } => Form::Depthwise { vector: 1 },
            _ => Form::Strided,
        };
        // A thread of one element has no pairs.
        let compute = if self.compute == Compute::Packed { Compute::Accurate } else { self.compute };
        Schedule { form, compute, table: self.table.filter(|table| *table == Table::Codes8), ..self.clone() }
    }
}
