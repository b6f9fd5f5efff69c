//! From a kernel of the plan to CUDA text.

pub mod prelude;
