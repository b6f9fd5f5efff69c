//! The figures of each architecture's reference part.
//!
//! Sources. Threads and blocks per SM: the bounds that ptxas 13.5 itself enforces (`tests/targets.rs`). Shared memory, registers and
//! pipe rates: the tables "Technical Specifications" and "Throughput of Native Arithmetic Instructions" of NVIDIA's CUDA programming
//! guide. SMs, clocks (boost), DRAM and L2: the data sheets of the parts. The H200's clock, copy bandwidth and launch costs are
//! measured; what is said below to be taken over from another part is an estimate.

use serde::{Deserialize, Serialize};

use super::Arch;

/// The GPU whose figures stand for its architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The product's name.
    pub name: String,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// The clock of the SMs under load, in MHz.
    pub clock_mhz: u32,
    /// The data sheet's DRAM bandwidth, in GB/s (10^9 bytes).
    pub dram_gbs: f64,
    /// Bytes of L2 cache.
    pub l2_bytes: u64,
    /// The time an empty kernel adds to a CUDA graph, in µs.
    pub launch_us: f64,
    /// The time each further block of a large grid adds to an empty kernel, in ns.
    pub block_ns: f64,
}

/// The share of the data sheet's bandwidth that a copy kernel reaches: 4209 of 4800 GB/s, measured on the H200.
const COPY_SHARE: f64 = 0.877;

/// What one SM holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Threads of one block.
    pub threads_per_block: u32,
    /// Resident threads.
    pub threads_per_sm: u32,
    /// Resident blocks.
    pub blocks_per_sm: u32,
    /// 32-bit registers.
    pub registers_per_sm: u32,
    /// Registers of one thread.
    pub registers_per_thread: u32,
    /// Bytes of shared memory.
    pub shared_per_sm: u32,
    /// Bytes of shared memory of one block, with the opt-in that more than 48 KiB needs.
    pub shared_per_block: u32,
}

/// Operations of single threads that one SM executes in a clock, by pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Instructions dispatched: 4 warps a clock.
    pub issue: u32,
    /// `FADD`, `FMUL`, `FFMA`.
    pub fma: u32,
    /// `HFMA2`: each does two f16 or bf16 operations.
    pub hfma2: u32,
    /// Integer multiply-add and `IDP` (dp4a).
    pub imad: u32,
    /// Logic, shifts, integer adds, `PRMT`, `FMNMX`, `I2FP`, `F2IP`.
    pub alu: u32,
    /// The slow unit (XU): `MUFU` (ex2, rcp, rsqrt, lg2, tanh, sin, cos) and the conversions `F2I`, `I2F`.
    pub xu: u32,
    /// Lanes of shared-memory loads and stores of 4 bytes without a bank conflict.
    pub lds: u32,
}

impl Part {
    /// The reference part of `arch`.
    pub fn of(arch: Arch) -> Part {
        const MIB: u64 = 1 << 20;
        let (name, sms, clock_mhz, dram_gbs, l2_bytes) = match arch.number() {
            75 => ("T4", 40, 1590, 320.0, 4 * MIB),
            80 => ("A100 SXM 80 GB", 108, 1410, 2039.0, 40 * MIB),
            86 => ("A10", 72, 1695, 600.0, 6 * MIB),
            // No public part names sm_88: it takes over Orin's figures.
            87 | 88 => ("Jetson AGX Orin", 16, 1300, 204.8, 4 * MIB),
            89 => ("L40S", 142, 2520, 864.0, 96 * MIB),
            90 => ("H200 SXM", 132, 1980, 4800.0, 60 * MIB),
            // No public data sheet of an sm_107 part: it takes over the B300's figures.
            103 | 107 => ("B300", 148, 1920, 8000.0, 126 * MIB),
            110 => ("Jetson T5000 (Thor)", 20, 1575, 273.0, 32 * MIB),
            120 => ("RTX 5090", 170, 2407, 1792.0, 96 * MIB),
            121 => ("GB10 (DGX Spark)", 48, 2418, 273.0, 24 * MIB),
            _ => ("B200", 148, 1965, 8000.0, 126 * MIB),
        };
        Part {
            name: name.to_owned(),
            sms,
            clock_mhz,
            dram_gbs,
            l2_bytes,
            // Measured on the H200, taken over for all.
            launch_us: 0.81,
            block_ns: 0.6,
        }
    }

    /// The bandwidth a copy kernel reaches, reads and writes together, in GB/s.
    pub fn copy_gbs(&self) -> f64 {
        self.dram_gbs * COPY_SHARE
    }
}

impl Limits {
    /// The limits of `arch`.
    pub fn of(arch: Arch) -> Limits {
        let (threads_per_sm, blocks_per_sm, shared_per_sm, shared_per_block) = match arch.number() {
            75 => (1024, 16, 64, 64),
            80 => (2048, 32, 164, 163),
            86 => (1536, 16, 100, 99),
            87 | 88 => (1536, 16, 164, 163),
            89 => (1536, 24, 100, 99),
            107 => (1024, 16, 228, 227),
            110 => (1536, 24, 228, 227),
            120 | 121 => (1536, 24, 100, 99),
            _ => (2048, 32, 228, 227),
        };
        Limits {
            threads_per_block: 1024,
            threads_per_sm,
            blocks_per_sm,
            registers_per_sm: 65536,
            registers_per_thread: 255,
            shared_per_sm: shared_per_sm * 1024,
            shared_per_block: shared_per_block * 1024,
        }
    }
}

impl Rates {
    /// The rates of `arch`.
    pub fn of(arch: Arch) -> Rates {
        Rates {
            issue: 128,
            // Turing and the A100 have 64 f32 lanes an SM; every later SM has 128.
            fma: if arch <= Arch::SM_80 { 64 } else { 128 },
            hfma2: 64,
            imad: 64,
            alu: 64,
            xu: 16,
            lds: 32,
        }
    }
}
