//! Topological order that depends on nothing but the graph.

use super::{Graph, NodeId};
use petgraph::Direction;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

impl Graph {
    /// One more than the largest [`NodeId::index`] ever given.
    pub fn bound(&self) -> usize {
        self.ids().map(|id| id.index() + 1).max().unwrap_or(0)
    }

    /// Every node after its operands; of those that are ready the oldest first. `Err` holds a node that waits for itself.
    pub fn topological(&self) -> Result<Vec<NodeId>, NodeId> {
        let mut waiting = vec![0usize; self.bound()];
        let mut ready = BinaryHeap::new();
        for id in self.ids() {
            waiting[id.index()] = self.nodes.edges_directed((id.0).into(), Direction::Incoming).count();
            if waiting[id.index()] == 0 {
                ready.push(Reverse(id));
            }
        }
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse(id)) = ready.pop() {
            order.push(id);
            for (_, user, _) in self.users(id) {
                waiting[user.index()] -= 1;
                if waiting[user.index()] == 0 {
                    ready.push(Reverse(user));
                }
            }
        }
        match self.ids().find(|id| waiting[id.index()] > 0) {
            Some(stuck) => Err(stuck),
            None => Ok(order),
        }
    }
}
