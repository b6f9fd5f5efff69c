//! Explains: a plan as text, as Graphviz, and as a C header for other engines; quantization as pages.

mod c_header;
mod dot;
mod explain;
pub mod pages;

pub use c_header::{LARGEST_TABLE_IN_HEADER, c_header};
pub use dot::dot;
pub use explain::{Explanation, HostRow, KernelRow, Nodes, RoutineRow, Traffic, explain};
