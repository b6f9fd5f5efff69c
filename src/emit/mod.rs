//! From a scheduled kernel to CUDA text. Pure: the same kernel gives the same text, and nothing is decided here that changes
//! what is computed.
//!
//! [`emit`] writes a kernel's statements from the op table's expressions, fills the skeleton of its form (a Tera template),
//! and copies the device functions it calls in front. Sizes, strides, scales and zero points are parameters of the text, so
//! that the kernels of a model share few texts; [`KernelSource::launch`] evaluates them.

mod body;
mod convert;
mod device;
mod error;
mod forms;
mod header;
mod index;
mod launch;
mod literal;
mod names;
mod params;
pub mod prelude;
mod routines;
mod template;
mod types;

pub use error::EmitError;
pub use header::{describe, describe_stage};
pub use launch::{Blocks, Launch, LaunchRule, Scratch};
pub use params::{ArgValue, Param, ParamValue, TensorMap};
pub use routines::emit_stage;
pub use types::supported;

use crate::plan::{Form, IndexWidth, Kernel, Table};
use forms::{Filled, Parts};
use serde::Serialize;

/// Parses the skeletons, which takes some milliseconds the first time: to be done beside other work.
pub fn prepare() {
    template::load();
}

/// Choices that change a kernel's text and not its results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Wait at the kernel's entry for the kernel before it (`griddepcontrol.wait`, sm_90 and later), as launches with programmatic stream
    /// serialization need.
    pub dependent_launch: bool,
}

/// A kernel's text and how to launch it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelSource {
    /// The name of the `extern "C"` function: the same for every kernel of the same text, and different for every other.
    pub entry: String,
    /// CUDA C++ that includes nothing, for NVRTC's default dialect (C++17), the same for every architecture. Kernels that differ in
    /// sizes, scales, zero points and names alone have the same text.
    pub text: String,
    /// In the order of the function's parameters.
    pub params: Vec<Param>,
    pub rule: LaunchRule,
}

/// The text of a kernel in the form that its schedule says.
///
/// # Errors
/// If an op has no expression for its type, or the schedule does not fit the kernel.
pub fn emit(kernel: &Kernel, options: &Options) -> Result<KernelSource, EmitError> {
    let types = kernel.loads.iter().map(|load| load.dtype).chain(kernel.stores.iter().map(|store| store.dtype));
    let factors = kernel.product.iter().flat_map(|product| product.factors()).map(|factor| factor.dtype);
    let types = types.chain(factors);
    for dtype in types.chain(kernel.body.iter().map(|stmt| stmt.dtype)) {
        if !supported(dtype) {
            return Err(EmitError::UnsupportedType { kernel: kernel.name.clone(), dtype });
        }
    }
    let is_product = matches!(kernel.schedule.form, Form::Product { .. } | Form::Patch { .. } | Form::Depthwise { .. });
    if kernel.product.is_some() != is_product {
        let why = format!("{:?} is no form for it", kernel.schedule.form);
        return Err(EmitError::Schedule { kernel: kernel.name.clone(), why });
    }
    let parts = Parts::new(kernel)?;
    let filled = match (&kernel.schedule.form, kernel.schedule.table) {
        (Form::Flat { vector }, Some(Table::Codes16 { blocks })) => forms::codes16(&parts, *vector, blocks)?,
        (form, Some(Table::Codes16 { .. })) => {
            let why = format!("{form:?} is no form for a table of 16-bit codes");
            return Err(EmitError::Schedule { kernel: kernel.name.clone(), why });
        }
        (Form::Flat { vector }, Some(Table::Channels8 { window, steps })) => {
            forms::channels(&parts, *vector, window, steps)?
        }
        (form, Some(Table::Channels8 { .. })) => {
            let why = format!("{form:?} is no form for a table of channels");
            return Err(EmitError::Schedule { kernel: kernel.name.clone(), why });
        }
        (Form::Flat { vector }, _) => forms::flat(&parts, *vector)?,
        (Form::Strided, _) => forms::flat(&parts, 1)?,
        (Form::Rows { vector, rows }, _) => forms::rows(&parts, *vector, *rows)?,
        (&Form::Transposed { axis, rows, columns, vector }, _) => {
            forms::transposed(&parts, axis as usize, [rows, columns], vector)?
        }
        (Form::Product { blocking, vector }, _) => forms::product(&parts, blocking, *vector)?,
        (Form::Patch { patch, vector }, _) => forms::patch(&parts, patch, *vector)?,
        (Form::Depthwise { vector }, _) => forms::depthwise(&parts, *vector)?,
    };
    let threads = match &kernel.schedule.form {
        Form::Product { blocking, .. } => blocking.threads(),
        Form::Patch { patch, .. } => 32 * patch.warps,
        _ => kernel.schedule.threads,
    };
    finish(&kernel.name, threads, kernel.schedule.index, filled, options)
}

/// Stands for the kernel's name until its text is known.
const ENTRY: &str = "KERNEL";

/// The text of a filled skeleton; `kernel` is its name in messages.
fn finish(
    kernel: &str,
    threads: u32,
    index: IndexWidth,
    filled: Filled,
    options: &Options,
) -> Result<KernelSource, EmitError> {
    let failed = |reason| EmitError::Template { kernel: kernel.into(), reason };
    let Filled { name, template, mut context, params, blocks, dynamic_shared } = filled;
    let declared: Vec<String> = params.iter().map(|param| format!("{} {}", param.c_type, param.name)).collect();
    context.insert("params", &declared);
    context.insert("wait", &options.dependent_launch);
    context.insert("entry", ENTRY);
    let code = template::render(template, &context).map_err(failed)?;
    let text = device::definitions_for(&code) + &prelude::prelude_for(&code) + &code;
    // The hash tells the kernel from every other text.
    let entry = format!("pw_{name}_{}", &blake3::hash(text.as_bytes()).to_hex()[..10]);
    let rule = LaunchRule { dependent: options.dependent_launch, threads, blocks, dynamic_shared, index };
    Ok(KernelSource { text: text.replacen(ENTRY, &entry, 1), entry, params, rule })
}

/// The table of a kernel that looks results up ([`Schedule::table`](crate::plan::Schedule::table)) or chains of its body
/// ([`Schedule::lookups`](crate::plan::Schedule::lookups)), as its device buffer holds it; `None` if it computes everything.
///
/// # Panics
/// If the kernel's body is not valid (see [`crate::reference::body::check`]).
pub fn table_of(kernel: &Kernel) -> Option<Vec<u8>> {
    match kernel.schedule.table {
        Some(table) => Some(forms::contents(kernel, table)),
        None if kernel.schedule.lookups.is_empty() => None,
        None => Some(forms::lookups(kernel)),
    }
}
