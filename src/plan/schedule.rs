//! How a kernel runs. A schedule never changes what is computed, beyond the stated bound of its [`Compute`] mode.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    pub form: Form,
    pub compute: Compute,
    pub index: IndexWidth,
    /// Threads a block.
    pub threads: u32,
}

/// The loop nest of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One dense axis. Each thread takes `unroll` vectors of `vector` elements, a block apart.
    Flat { vector: u32, unroll: u32 },
    /// An inner axis that is vectorised and outer axes that are not; operands that do not vary along the outer axis stay in
    /// registers for `rows` of them.
    Rows { vector: u32, rows: u32 },
    /// Some operand's unit stride is along another axis than the store's: tiles of `tile`×`tile` elements go through shared memory.
    Transposed { axis: u32, tile: u32 },
    /// One element a thread, any strides.
    Strided,
    /// Every result is a function of one 8-bit operand: a table of 256 entries that the host computed, read from shared memory.
    Table8 { vector: u32 },
    /// As `Table8` for one 16-bit operand and 65,536 entries, by persistent blocks.
    Table16 { vector: u32 },
}

/// Which of an op's CUDA expressions a kernel uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// Full accuracy of the compute type.
    Accurate,
    /// Approximate instructions, where what is stored is 16 or 8 bits wide.
    Fast,
}

/// The type of the kernel's index arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexWidth {
    Bits32,
    Bits64,
}

impl Default for Schedule {
    /// What is right for every kernel and fast for none.
    fn default() -> Schedule {
        Schedule { form: Form::Strided, compute: Compute::Accurate, index: IndexWidth::Bits64, threads: 256 }
    }
}
