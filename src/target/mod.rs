//! What is known of a GPU architecture: its limits, the rates of its pipes, its bandwidth, and which instructions it has.
//!
//! The schedule and the cost of a plan are decided from these figures, so a plan for an architecture is the same on every machine.
//! They describe one reference part of the architecture; whoever has another part changes the fields of [`Part`].

mod arch;
mod features;
mod part;

pub use arch::{Arch, UnknownArch};
pub use features::Features;
pub use part::{Limits, Part, Rates};

use serde::{Deserialize, Serialize};

/// An architecture with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The architecture that kernels are compiled for.
    pub arch: Arch,
    /// The GPU that the architecture's figures are taken from.
    pub part: Part,
    /// What one streaming multiprocessor (SM) holds at most.
    pub limits: Limits,
    /// What one SM executes in a clock.
    pub rates: Rates,
    /// Which instructions the architecture has.
    pub features: Features,
}

impl Target {
    /// The reference part of `arch`.
    pub fn of(arch: Arch) -> Target {
        Target {
            arch,
            part: Part::of(arch),
            limits: Limits::of(arch),
            rates: Rates::of(arch),
            features: Features::of(arch),
        }
    }

    /// How many blocks of `threads` threads, `registers` registers a thread and `shared` bytes of shared memory are resident on
    /// one SM at a time; 0 if not even one fits.
    ///
    /// Registers are allocated in units of 256 a warp and shared memory with 1 KiB of the system's own a block from Ampere on
    /// (CUDA occupancy calculator).
    pub fn blocks_per_sm(&self, threads: u32, registers: u32, shared: u32) -> u32 {
        let limits = &self.limits;
        let reserved = if self.arch >= Arch::SM_80 { 1024 } else { 0 };
        if threads == 0
            || threads > limits.threads_per_block
            || registers > limits.registers_per_thread
            || shared > limits.shared_per_block
        {
            return 0;
        }
        let warps = threads.div_ceil(32);
        let registers_per_warp = (registers.max(1) * 32).next_multiple_of(256);
        // Each of the SM's four partitions holds a quarter of the registers and whole warps.
        let warps_by_registers = 4 * (limits.registers_per_sm / 4 / registers_per_warp);
        let by_shared = match (shared + reserved).next_multiple_of(128) {
            0 => u32::MAX,
            bytes => limits.shared_per_sm / bytes,
        };
        (limits.threads_per_sm / 32 / warps).min(warps_by_registers / warps).min(by_shared).min(limits.blocks_per_sm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupancy_follows_each_limit() {
        let hopper = Target::of(Arch::SM_90);
        assert_eq!(hopper.blocks_per_sm(256, 32, 0), 8);
        assert_eq!(hopper.blocks_per_sm(256, 33, 0), 6); // 40 registers are taken for 33
        assert_eq!(hopper.blocks_per_sm(32, 16, 0), 32);
        assert_eq!(hopper.blocks_per_sm(128, 16, 100 * 1024), 2);
        assert_eq!(hopper.blocks_per_sm(128, 16, 227 * 1024), 1);
        assert_eq!(hopper.blocks_per_sm(128, 16, 228 * 1024), 0);
        assert_eq!(hopper.blocks_per_sm(1025, 16, 0), 0);
        assert_eq!(hopper.blocks_per_sm(0, 16, 0), 0);
        assert_eq!(hopper.blocks_per_sm(1024, 64, 0), 1);
        assert_eq!(hopper.blocks_per_sm(1024, 128, 0), 0);
        assert_eq!(Target::of(Arch::SM_75).blocks_per_sm(256, 32, 0), 4);
    }

    #[test]
    fn every_architecture_has_sensible_figures_and_reads_back() {
        for arch in Arch::all() {
            let target = Target::of(arch);
            let json = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
            let limits = &target.limits;
            assert!(limits.shared_per_block <= limits.shared_per_sm);
            assert!(limits.threads_per_block <= limits.threads_per_sm);
            assert!(target.part.sms > 0 && target.part.clock_mhz > 0);
            assert!(target.part.copy_gbs() < target.part.dram_gbs);
            assert!(target.blocks_per_sm(256, 32, 0) >= 4);
        }
    }

    #[test]
    fn a_variant_shares_the_figures_of_its_architecture() {
        let (exact, base) = (Target::of(Arch::SM_90A), Target::of(Arch::SM_90));
        assert_eq!(exact.part, base.part);
        assert_eq!(exact.limits, base.limits);
        assert_eq!(exact.features, base.features);
    }
}
