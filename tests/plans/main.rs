//! Fusion: which ops end up in which kernel, at which index, and why not.

#[path = "../common/random_graph.rs"]
mod random_graph;

#[path = "../common/random_convnet.rs"]
mod random_convnet;

mod decisions;
mod goldens;
mod graphs;
mod models;
mod pins;
mod random;
mod size;
mod weld;
