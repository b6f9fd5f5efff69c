//! pointweld.

pub mod onnx;
