//! The passes: each keeps every value, or moves it by no more than it says.

#[path = "../common/random_graph.rs"]
mod random_graph;

mod models;
mod patterns;
mod random;
mod rules;
mod written_out;
