//! Cuts a graph into groups and writes the [`Plan`]: which nodes one kernel computes, what it loads and stores and how, and
//! for every edge the reason why it was fused or not.
//!
//! The work in one sentence a file: `facts` says what each node is to fusion; `grow` puts kernels together from the outputs
//! toward the inputs, asking `cost` what is cheaper, `cone` what a value takes to compute again and `depend` whether a
//! cycle would close; `weld` says what a product reads and `home` which product each op follows; `index` keeps the affine map of every value through views; `lower` and `coalesce` write each kernel down;
//! `routines` gives the nodes that fusion does not take a kernel of their own; `assemble` orders the steps; `decide` explains.
//!
//! **No cycle, by construction.** A kernel is a unit of a dependence graph with the nodes that stay nodes. An edge is added only when a
//! value is given its one writer, and at that moment all of the value's readers are known, because users come before producers;
//! the writer is refused if any reader reaches it. Two kernels become one only if neither reaches the other.

mod assemble;
mod coalesce;
mod cone;
mod cost;
mod decide;
mod depend;
mod draft;
mod facts;
mod grow;
mod home;
mod host;
mod index;
mod lower;
mod pins;
mod routines;
mod split;
mod taps;
mod unfused;
mod weld;

pub use split::split;
pub use unfused::unfused;

use crate::dim::Bindings;
use crate::graph::{Graph, NodeId};
use crate::name::Shown;
use crate::plan::{Plan, Reason, Verdict};
use crate::target::{Arch, Target};
use cost::Model;
use facts::Facts;
use grow::Growth;
use pins::Pins;
use std::collections::BTreeMap;

/// What the user may ask of fusion, and the limits of a kernel.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pairs of nodes, by the name of the node or of its result, that no kernel may hold together.
    pub keep_apart: Vec<(String, String)>,
    /// Pairs of nodes that one kernel must hold together, whatever it costs.
    pub fuse: Vec<(String, String)>,
    /// Values, by name, that become outputs of the plan. Fusion stays as it is: the kernel that computes the value also stores it.
    pub taps: Vec<String>,
    /// Edges that a kernel failed to compile with; see [`split`].
    pub failed: Vec<Failed>,
    /// Edges that are cut because their ends take less time in kernels of their own.
    pub apart: Vec<Apart>,
    /// Nodes that no kernel may compute, each with what the compiler said of it; see [`split`].
    pub never: Vec<(NodeId, String)>,
    /// Let kernels hold a matrix product or convolution each. Convolutions must have been prepared by the passes' option of that name.
    pub weld: bool,
    /// Nodes that no routine may compute, each with what the compiler said of it.
    pub on_host: Vec<(NodeId, String)>,
    /// The GPU whose figures decide what is cheaper.
    pub target: Target,
    /// Sizes of symbols, for costing only.
    pub bindings: Bindings,
    /// The size that costing assumes for a symbol that is not bound.
    pub unbound: u64,
    /// Most tensors that one kernel reads.
    pub max_loads: usize,
    /// Most tensors that one kernel writes, taps left out.
    pub max_stores: usize,
    /// Most statements of one kernel.
    pub max_statements: usize,
}

/// An edge that is cut for a reason that is known only once kernels have schedules.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    pub producer: NodeId,
    pub consumer: NodeId,
    pub reason: Reason,
}

/// An edge that is cut because a kernel holding both its ends failed to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub producer: NodeId,
    pub consumer: NodeId,
    /// What the compiler said.
    pub error: String,
}

impl Default for Options {
    /// The H200, symbols of size 32 unless bound, kernels of at most 24 loads, 8 stores and 256 statements.
    fn default() -> Options {
        Options {
            keep_apart: Vec::new(),
            fuse: Vec::new(),
            taps: Vec::new(),
            failed: Vec::new(),
            apart: Vec::new(),
            never: Vec::new(),
            on_host: Vec::new(),
            weld: false,
            target: Target::of(Arch::SM_90),
            bindings: Bindings::new(),
            unbound: 32,
            max_loads: 24,
            max_stores: 8,
            max_statements: 256,
        }
    }
}

/// Why a graph can't be fused as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FuseError {
    #[error("the graph has a cycle through {}", Shown(.node))]
    Cycle { node: String },
    #[error("no {what} is named {}{}", Shown(.name), did_you_mean(.near))]
    Unknown { what: &'static str, name: String, near: Vec<String> },
    #[error("{} and {} can't be kept apart: both are {} after simplification", Shown(.a), Shown(.b), Shown(.node))]
    SameNode { a: String, b: String, node: String },
    #[error("{} and {} can't be fused: no pointwise ops nor views lead from one to the other", Shown(.a), Shown(.b))]
    NotConnected { a: String, b: String },
    #[error("{} and {} can't be fused: {reason}", Shown(.a), Shown(.b))]
    Unfusable { a: String, b: String, reason: Reason },
}

fn did_you_mean(near: &[String]) -> String {
    let names: Vec<String> = near.iter().map(|n| Shown(n).to_string()).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

/// Fuses a graph, which must be acyclic, into a plan. The same graph and options give the same plan.
///
/// ```
/// use pointweld::{dtype::DType, fuse::{fuse, Options}, graph::Builder, shape};
/// let mut b = Builder::new("silu");
/// let x = b.input("x", DType::I8, shape!["batch", 128, 40, 40]);
/// let real = b.dequantize(x, 0.05, 0);
/// let y = b.silu(real);
/// let codes = b.quantize(y, 0.04, 0, DType::I8);
/// b.output("y", codes);
/// let plan = fuse(&b.finish()?, &Options::default())?;
/// let kernel = plan.kernels().next().unwrap();
/// assert_eq!(kernel.name, "pw_dequantize_silu_quantize_0");
/// assert_eq!((kernel.loads.len(), kernel.body.len(), kernel.stores.len()), (1, 3, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fuse(graph: &Graph, options: &Options) -> Result<Plan, FuseError> {
    let model = Model::new(&options.target, &options.bindings, options.unbound);
    let cycle = |id| FuseError::Cycle { node: graph.node(id).label().into() };
    let never: BTreeMap<NodeId, &str> = options.never.iter().map(|(id, error)| (*id, error.as_str())).collect();
    let never = |id| never.get(&id).map(|error| Reason::CompileFailed { error: (*error).into() });
    let facts = Facts::new(graph, &model, options.weld, never).map_err(cycle)?;
    let pins = Pins::new(&facts, options)?;
    let mut growth = Growth::run(&facts, &model, options, &pins);
    for tap in &pins.taps {
        growth.tap(*tap);
    }
    let together: Vec<bool> = pins.pairs.iter().map(|pair| growth.holds(&pair.from, &pair.to)).collect();
    let plan = assemble::assemble(growth, &pins.taps);
    match pins.pairs.iter().zip(together).find(|(_, together)| !together) {
        Some((pair, _)) => Err(unfusable(&facts, &plan, pair)),
        None => Ok(plan),
    }
}

/// The first cut on the way between two nodes that were to be fused.
fn unfusable(facts: &Facts, plan: &Plan, pair: &pins::Pair) -> FuseError {
    let way: Vec<&str> = pair.way.iter().map(|n| facts.label(*n)).collect();
    let reason = plan.decisions.iter().find_map(|d| match &d.verdict {
        Verdict::Cut { reason } if way.contains(&d.from.as_str()) && way.contains(&d.to.as_str()) => {
            Some(reason.clone())
        }
        _ => None,
    });
    let (a, b) = pair.names.clone();
    match reason {
        Some(reason) => FuseError::Unfusable { a, b, reason },
        None => FuseError::NotConnected { a, b },
    }
}
