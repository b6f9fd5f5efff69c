//! Quantization of float models: what range a tensor takes, which scale and zero point fit it, and what that costs.
//!
//! Ranges are gathered at fusion boundaries, because only what a kernel stores is quantized: the sigmoid inside a SiLU never
//! leaves its registers.

mod calibrate;
mod group;
mod histogram;
mod scheme;

pub use calibrate::{Calibration, Calibrator, Codes, Symmetry, calibrate, mean_squared_error};
pub use group::{Group, groups, macs};
pub use histogram::Histogram;
pub use scheme::{Role, Scheme, TensorScale};
