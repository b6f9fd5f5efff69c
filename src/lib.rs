//! pointweld.

pub mod compile;
pub mod dim;
pub mod dtype;
pub mod minifloat;
pub mod name;
pub mod onnx;
pub mod op;
pub mod qparams;
pub mod scalar;
pub mod shape;
pub mod target;
pub mod tensor;
