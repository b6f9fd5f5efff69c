//! The PTX interpreter on kernels that NVRTC compiles. They need NVRTC, which `make nvrtc` fetches, and no GPU.
//!
//! `kernels` computes what is known otherwise; `collective` shares memory and lanes; `tensor` multiplies matrices; `numerics` compares the
//! math library; `faults` plants mistakes, and each must be caught and named.

mod collective;
mod faults;
mod harness;
mod kernels;
mod numerics;
mod tensor;
