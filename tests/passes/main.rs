//! The passes: each keeps every value, or moves it by no more than it says.

#[path = "../common/random_graph.rs"]
mod random_graph;

#[path = "../common/random_convnet.rs"]
mod random_convnet;

mod models;
mod patterns;
mod random;
mod rules;
mod weld;
mod written_out;
