//! NVIDIA's libraries for products that no kernel of pointweld's takes to the tensor cores: cuBLASLt multiplies matrices, cuDNN convolves.
//!
//! Both are looked for on the machine when a plan first has use for them, and nothing depends on them: every call here stands in for a
//! generated kernel of the same results, which runs where the library is missing, does not know the case, or is switched off by setting
//! `POINTWELD_LIBRARIES=0`.

mod cublaslt;
mod cudnn;
mod describe;

pub(super) use describe::{Convolution, Matmul, of_kernel, of_stage};

use super::{Buffer, Call, Device};
use crate::dtype::DType;
use std::sync::OnceLock;

/// Bytes of the workspace that a library may use, which all calls of a session share.
pub(super) const WORKSPACE: u64 = 32 << 20;

/// A product that a library may compute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Product {
    Matmul(Matmul),
    Convolution(Convolution),
}

impl Product {
    /// A call that computes it: from `operands` (both factors, then the bias, if it has one) to `result`; `None` where no library does.
    pub fn call(&self, device: &Device, operands: &[Buffer], result: &Buffer, workspace: &Buffer) -> Option<Call> {
        static WANTED: OnceLock<bool> = OnceLock::new();
        if !WANTED.get_or_init(|| std::env::var_os("POINTWELD_LIBRARIES").is_none_or(|value| value != "0")) {
            return None;
        }
        let aligned = operands.iter().chain([result]).all(|buffer| buffer.pointer().is_multiple_of(16));
        if !aligned || operands.iter().chain([result]).any(|buffer| buffer.bytes() == 0) {
            return None;
        }
        match self {
            Product::Matmul(matmul) => cublaslt::call(device, matmul, operands, result, workspace),
            Product::Convolution(convolution) => cudnn::call(device, convolution, operands, result, workspace),
        }
    }
}

/// The libraries that this machine has, for `doctor`.
pub fn found() -> [(&'static str, bool); 2] {
    [("cuBLASLt", cublaslt::ready()), ("cuDNN", cudnn::ready())]
}

/// Types that are computed in f32.
fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}
