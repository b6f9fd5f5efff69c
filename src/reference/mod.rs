//! The CPU reference: executes a [`Graph`](crate::graph::Graph) and a [`Plan`](crate::plan::Plan), and says how far a kernel may
//! lie from the exact result.
//!
//! * [`run_graph`] executes node by node; each result is rounded to its type, as [`Op::eval`](crate::op::Op::eval) says.
//!   [`tap_graph`] shows every value on its way, [`run_values`] computes some values only, and [`resume_values`] only what
//!   differs from an earlier run.
//! * [`run_plan`] executes each kernel's body over its domain through its accesses, and checks on the way what a plan
//!   promises: accesses in bounds, stores injective, nothing read that was not written.
//! * [`body`] evaluates a kernel's body for one tuple of loads.
//! * [`bound`] says how far a kernel may lie from the exact result.
//!
//! Nothing here knows a GPU, and nothing but convolutions and matrix products is tuned; every pointwise op means what its row
//! in [`crate::op`] says.

mod anchor;
mod bind;
pub mod body;
pub mod bound;
mod column;
mod error;
mod graph;
mod memory;
mod node;
mod plan;
mod pointwise;
pub mod product;
mod strided;
mod structural;
mod view;

pub use bind::inputs as bind_inputs;
pub use column::Rounding;
pub use error::{KernelError, NodeError, ReferenceError};
pub use graph::{Known, resume_values, run_graph, run_node, run_values, tap_graph};
pub use plan::run_plan;

use crate::dim::Bindings;

/// How to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sizes of symbols that no input's shape tells.
    pub bindings: Bindings,
    /// The most bytes that one tensor may have: a model may ask for billions of elements.
    pub tensor_limit: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { bindings: Bindings::new(), tensor_limit: 4 << 30 }
    }
}
