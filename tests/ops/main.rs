//! The op table, row by row: every test iterates it, so a new row is tested by being there.

#[path = "../common/gpu.rs"]
mod gpu;

mod execute;
mod instances;
mod intervals;
mod meaning;
mod numerics;
mod table;
mod texts;
