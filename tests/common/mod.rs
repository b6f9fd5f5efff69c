//! What several integration tests use.

pub mod random_graph;
