//! Why each edge of the graph was fused or cut.

use crate::graph::{NodeId, Value};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of one edge between two nodes that compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The edge: the value, and the node that reads it.
    pub producer: Value,
    pub consumer: NodeId,
    /// Labels of the producing and of the consuming node, and the name of the value between them.
    pub from: String,
    pub to: String,
    pub value: String,
    pub verdict: Verdict,
    /// Of an edge out of a product that was welded: what both cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
}

/// The predicted times of an edge's kernels, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    pub fused_ns: f64,
    pub cut_ns: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Producer and consumer are in one kernel; the value stays in registers. `recomputed`: the producer is also computed elsewhere.
    Fused {
        kernel: String,
        recomputed: bool,
    },
    /// The consumer is a reshape that only renames the memory of its operand: nothing is computed nor moved.
    Alias,
    Cut {
        reason: Reason,
    },
}

/// Why a value goes through memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// One end is not a pointwise op nor a view: `kind` says what it is.
    NotPointwise { node: String, kind: String },
    /// The type or shape of a value at either end is not known.
    UnknownType { value: String },
    /// No kernel computes on this element type.
    UnsupportedType { value: String, dtype: crate::dtype::DType },
    /// Whether the operand broadcasts depends on sizes that are not known.
    Undecided { from: String, to: String },
    /// The index of the producer is no affine function of the consumer's.
    IndexNotAffine { view: String },
    /// Fusing would make two kernels wait for each other through `through`.
    Cycle { through: String },
    /// Recomputing the producer, or the worse access pattern, costs more than the round trip: both in nanoseconds on the reference GPU.
    Cost { fused_ns: f64, cut_ns: f64, why: String },
    /// The iteration spaces differ and neither broadcasts to the other.
    Domains { from: String, to: String },
    /// The consumer multiplies it: a product reads its factors from memory.
    Factor { product: String },
    /// Both ends follow a product of their own, and a kernel holds one: the consumer stays with `product`, which saves `saved_ns`; with `other`
    /// it would save `other_ns`.
    OtherProduct { product: String, other: String, saved_ns: f64, other_ns: f64 },
    /// The consumer does not walk the result of the product each element once, so it can't be part of its epilogue.
    EpilogueEnds { product: String },
    /// No kernel of pointweld's computes this product or convolution.
    NoTemplate { node: String, why: String },
    /// The group has reached the limit of what one kernel may hold.
    TooLarge { what: String, limit: usize },
    /// The user asked for it.
    KeptApart,
    /// The fused kernel failed to compile, and its group was split here.
    CompileFailed { error: String },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::name::Shown;
        match self {
            Reason::NotPointwise { node, kind } => write!(f, "{} is {kind}, which is not pointwise", Shown(node)),
            Reason::UnknownType { value } => write!(f, "the type or shape of {} is not known", Shown(value)),
            Reason::UnsupportedType { value, dtype } => {
                write!(f, "{} is {dtype}, which no generated kernel computes on", Shown(value))
            }
            Reason::Undecided { from, to } => {
                write!(f, "whether {from} broadcasts to {to} depends on its sizes; bind them with --dim")
            }
            Reason::IndexNotAffine { view } => write!(f, "the index through {} is not affine", Shown(view)),
            Reason::Cycle { through } => write!(f, "fusing would make a cycle through {}", Shown(through)),
            Reason::Cost { fused_ns, cut_ns, why } => {
                write!(f, "{why}: fused {fused_ns:.0} ns, cut {cut_ns:.0} ns")
            }
            Reason::Domains { from, to } => write!(f, "the iteration spaces {from} and {to} differ"),
            Reason::Factor { product } => write!(f, "{} reads its factors from memory", Shown(product)),
            Reason::OtherProduct { product, other, saved_ns, other_ns } => write!(
                f,
                "one kernel holds one product: with {} fusing saves {saved_ns:.0} ns, with {} {other_ns:.0} ns",
                Shown(product),
                Shown(other)
            ),
            Reason::EpilogueEnds { product } => {
                write!(f, "it does not walk the result of {} each element once", Shown(product))
            }
            Reason::NoTemplate { node, why } => write!(f, "no kernel computes {}: {why}", Shown(node)),
            Reason::TooLarge { what, limit } => write!(f, "one kernel holds at most {limit} {what}"),
            Reason::KeptApart => f.write_str("kept apart on request"),
            Reason::CompileFailed { error } => write!(f, "the fused kernel failed to compile: {}", Shown(error)),
        }
    }
}
