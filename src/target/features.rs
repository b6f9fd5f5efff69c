//! Which instructions an architecture has, as far as the choice of a kernel depends on it.

use serde::{Deserialize, Serialize};

use super::Arch;

/// Instructions that not every architecture has.
///
/// Each field was found by compiling the instruction with NVRTC 13.5 for each architecture and reading the machine code;
/// `tests/targets.rs` repeats that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Two `cvt.rni.s32.f32` and a `cvt.pack.sat.s8.s32.b32` become one `F2IP` on the ALU pipe.
    /// Without it they are two `F2I` on the slow unit and an `I2IP`.
    pub f2ip: bool,
    /// `cvt.rn.f32.s32` becomes `I2FP` on the ALU pipe, not `I2F` on the slow unit.
    pub i2fp: bool,
    /// `cp.async`: copies from global to shared memory past the registers.
    pub cp_async: bool,
    /// `fma.rn.bf16x2` and the bf16 types of `mma.sync`.
    pub bf16_fma: bool,
    /// `add`, `sub`, `mul` of bf16, and `tanh.approx.bf16x2`.
    pub bf16_arithmetic: bool,
    /// `cvt` between f32 and fp8 (e4m3, e5m2).
    pub fp8_convert: bool,
    /// `griddepcontrol`: programmatic dependent launch (PDL).
    pub pdl: bool,
    /// `cp.async.bulk` and mbarrier: the tensor memory accelerator.
    pub bulk_copy: bool,
    /// 32-byte global loads and stores.
    pub load_256: bool,
    /// `add.f32x2` and its kin: two f32 operations in one instruction.
    pub f32x2: bool,
    /// `min` and `max` of three f32.
    pub min3: bool,
    /// `wgmma`: warpgroup matrix instructions, on compute capability 9.0 alone. NVRTC's name of it with these is `sm_90a`, and
    /// texts that have them are compiled for that where `sm_90` is asked for (`compile::Request::target`).
    pub wgmma: bool,
    /// `tcgen05`: tensor memory matrix instructions.
    pub tcgen05: bool,
}

impl Features {
    /// The instructions of `arch`.
    pub fn of(arch: Arch) -> Features {
        let number = arch.number();
        Features {
            f2ip: number >= 86,
            i2fp: number >= 86,
            cp_async: number >= 80,
            bf16_fma: number >= 80,
            bf16_arithmetic: number >= 90,
            fp8_convert: number >= 89,
            pdl: number >= 90,
            bulk_copy: number >= 90,
            load_256: number >= 100,
            f32x2: number >= 100,
            min3: number >= 100,
            wgmma: number == 90,
            tcgen05: matches!(number, 100 | 103 | 107 | 110) && arch != arch.base(),
        }
    }
}
