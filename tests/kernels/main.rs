//! Generated kernels. They need NVRTC, which `make nvrtc` fetches, and no GPU.
//!
//! `codegen` looks at the texts and their machine code; `differential` executes them, on the interpreter from their PTX and on the GPU if
//! there is one, and compares with the exact result; `random` does so with the kernels of random graphs. `build` makes kernels as fusion
//! would; `prove` runs one.

#[path = "../common/gpu.rs"]
mod gpu;
#[path = "../common/machines.rs"]
mod machines;
#[path = "../common/random_graph.rs"]
mod random_graph;

mod build;
mod channels;
mod codegen;
mod codes;
mod differential;
mod packed;
mod patch;
mod product;
mod prove;
mod random;
mod specialised;
mod transposed;
mod wgmma;
