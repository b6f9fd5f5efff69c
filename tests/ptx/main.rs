//! The PTX interpreter on kernels that NVRTC compiles. They need NVRTC, which `make nvrtc` fetches, and no GPU; where there is one, what
//! the tests say of kernels is asked of it as well.
//!
//! `kernels` computes what is known otherwise; `collective` shares memory and lanes; `tensor`, `wgmma` and `tma` multiply matrices; `numerics` compares the
//! math library; `faults` plants mistakes, and each must be caught and named; `robustness`
//! breaks the texts themselves.

#[path = "../common/gpu.rs"]
mod gpu;

mod approximate;
mod collective;
mod faults;
mod harness;
mod kernels;
mod numerics;
mod robustness;
mod tensor;
mod tma;
mod wgmma;
