//! Why a model's sensitivity can't be measured.

use crate::data::DataError;
use crate::name::Shown;
use crate::quant::QuantizeError;
use crate::reference::ReferenceError;
use crate::tensor::TensorError;

#[derive(Debug, thiserror::Error)]
pub enum SensitivityError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("sample {}: {source}", Shown(.sample))]
    Run { sample: String, source: ReferenceError },
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    #[error("the model has no value {}; its outputs are {}", Shown(.name), .outputs)]
    Unknown { name: String, outputs: String },
    #[error("there is no op {}: `pointweld ops` lists all, and one of one operand is wanted", Shown(.0))]
    Op(String),
    #[error("the model has no {0} to replace")]
    Absent(String),
    #[error("the graph can't be simplified: {0}")]
    Passes(#[from] crate::passes::PassError),
}
