//! The texts of routines: one file a family, each over a skeleton of `templates/routines`.
//!
//! Sizes are parameters, so that all convolutions of a model, say, share one text. Floats narrower than f32 are computed in f32 and
//! rounded where they are stored; integers wrap. How many roundings a sum takes is said where it is written.

mod channels;
mod index;
mod lanes;
mod matrix;
mod resize;
mod select;
mod window;
mod writer;

use super::{EmitError, KernelSource, Options, supported};
use crate::dim::{Dim, DimError};
use crate::plan::Stage;
use crate::plan::routine::Work;

/// The text of a stage.
///
/// # Errors
/// If a tensor is of a type that no generated kernel computes on, or the stage's tensors do not fit its work.
pub fn emit_stage(stage: &Stage, options: &Options) -> Result<KernelSource, EmitError> {
    for operand in stage.reads.iter().chain(&stage.writes) {
        if !supported(operand.dtype) {
            return Err(EmitError::UnsupportedType { kernel: stage.name.clone(), dtype: operand.dtype });
        }
    }
    match &stage.work {
        Work::Reduce { lanes, .. }
        | Work::Extremum { lanes, .. }
        | Work::Softmax { lanes, .. }
        | Work::Hardmax { lanes }
        | Work::LpNorm { lanes, .. }
        | Work::Normalize { lanes, .. }
        | Work::CodeRange { lanes } => lanes::emit(stage, lanes, options),
        Work::Scan { product, exclusive, reverse, lanes } => {
            select::scan(stage, *product, *exclusive, *reverse, lanes, options)
        }
        Work::TopK { largest, k, lanes } => select::top_k(stage, *largest, *k, lanes, options),
        Work::Pool { of, window, channels_last } => window::pool(stage, *of, window, *channels_last, options),
        Work::Conv(conv) => window::conv(stage, conv, options),
        Work::LocalResponse { size, alpha, beta, bias } => {
            window::local_response(stage, [*alpha, *beta, *bias], *size, options)
        }
        Work::Product(product) => matrix::product(stage, product, options),
        Work::Resize(resample) => resize::resize(stage, resample, options),
        Work::ChannelsLast { channels } => channels::emit(stage, *channels, options),
        work => index::emit(stage, work, options),
    }
}

fn dim(stage: &Stage) -> impl Fn(DimError) -> EmitError + '_ {
    |source| EmitError::Dim { kernel: stage.name.clone(), source }
}

/// Number of elements of a shape.
fn count(stage: &Stage, shape: &[Dim]) -> Result<Dim, EmitError> {
    shape.iter().try_fold(Dim::ONE, |n, d| n.mul(d)).map_err(dim(stage))
}

fn malformed(stage: &Stage, what: &str) -> EmitError {
    EmitError::Malformed { kernel: stage.name.clone(), what: what.into() }
}
