//! Dead code: `x → f → (nothing)` becomes nothing. Inputs stay, used or not, because they are the graph's signature.

use super::{Pass, PassError, Work};
use crate::graph::Graph;
use crate::patch::Patch;

pub(super) const PASS: Pass =
    Pass { name: "dead_code", about: "remove the nodes from which no output can be reached", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in Patch::new(work.graph, "unreachable", &[]).unreachable() {
        work.note("unreachable", &[id]);
    }
    Ok(())
}

/// Removes what is dead; the driver calls it after every pass that changed something.
pub(super) fn sweep(graph: &mut Graph) {
    Patch::new(graph, "unreachable", &[]).sweep();
}
