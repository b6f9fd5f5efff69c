//! Quantization of float models: what range a tensor takes, which scale and zero point fit it, and what that costs.
//!
//! Ranges are gathered at fusion boundaries, because only what a kernel stores is quantized: the sigmoid inside a SiLU never
//! leaves its registers. [`place()`] says where codes go, [`Observation`] what these tensors hold, [`choose()`] which scales they get,
//! and [`simulate()`] makes the graph that computes what the quantized model does.

mod audit;
mod calibrate;
mod choose;
mod correct;
mod group;
mod histogram;
mod observe;
mod place;
mod quantizer;
mod record;
mod scheme;
pub mod sensitivity;
mod simulate;
mod write;

pub use audit::{ActivationAudit, Advice, Audit, WeightAudit, audit};
pub use calibrate::{Calibration, Calibrator, Codes, Symmetry, calibrate, mean_squared_error, sqnr_db};
pub use choose::{Choice, Unseen, choose};
pub use group::{Group, groups, macs};
pub use histogram::Histogram;
pub use observe::{ChannelSums, Observation, Watched, watched};
pub use place::{Placement, Site, Weight, place};
pub use quantizer::{QuantizeError, Quantizer, matching};
pub use record::{MergeError, Record, merge};
pub use scheme::{Role, Scheme, TensorScale};
pub use simulate::{simulate, weight_codes};
pub use write::{OPSET, WeightForm, WriteError, unwritable, write};
