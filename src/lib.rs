//! pointweld.

pub mod anchor;
pub mod compile;
pub mod demo;
pub mod dim;
pub mod dtype;
pub mod graph;
pub mod memory;
pub mod minifloat;
pub mod name;
pub mod npy;
pub mod onnx;
pub mod op;
pub mod passes;
pub mod patch;
pub mod plan;
pub mod qparams;
pub mod quant;
pub mod reference;
pub mod runtime;
pub mod scalar;
pub mod shape;
pub mod structural;
pub mod target;
pub mod tensor;
pub mod verify;
pub mod view;
