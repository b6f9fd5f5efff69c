//! pointweld.

pub mod compile;
pub mod onnx;
pub mod target;
