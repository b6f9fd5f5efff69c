//! Generated kernels. They need NVRTC, which `make nvrtc` fetches, and no GPU.
//!
//! `codegen` looks at the texts and their machine code; `differential` executes them from their PTX and compares with the exact result.
//! `build` makes kernels as fusion would; `prove` runs one.

mod build;
mod codegen;
mod differential;
mod prove;
