//! The plan: what the compiler decided, as pure data. `fuse` and `schedule` write it; the emitter, the reports, the runtime and the
//! command line only read it. It serialises, diffs and prints, and holds neither code text nor device handles.
//!
//! A plan is a list of [`Step`]s over a list of [`Buffer`]s. A step is a [`Kernel`] that pointweld generates for a group of nodes, a
//! [`Routine`] that it generates for one node, or a node that runs on the host. A kernel walks a *domain*, a box of index tuples; every load and store is an affine [`Access`] from a tuple
//! to an element of a buffer, which is how broadcasts (stride 0), transposes, slices, repeats and concatenations cost no
//! pass of their own.

mod broadcast;
mod channels;
mod decision;
mod host;
pub mod layout;
mod matrix;
mod moved;
mod patch;
mod print;
mod product;
pub mod routine;
mod schedule;
mod storage;

pub use broadcast::{Broadcast, BroadcastError};
pub use channels::Channels;
pub use decision::{Costs, Decision, Reason, Verdict};
pub use host::OnHost;
pub use layout::Tile;
pub use matrix::Matrix;
pub use moved::{Moved, SECTOR, moved_for};
pub use patch::{Axis, Fill, Patch, PatchLayout};
pub use product::{Contraction, Extent, LARGEST_FACTOR, LARGEST_SUM, Operand, Product};
pub use routine::{Routine, Stage};
pub use schedule::{Blocking, Compute, Engine, Form, IndexWidth, Lookup, Pick, Rounding, Schedule, Table, Traffic};
pub use storage::{Place, Placement, Storage, StorageError};

use crate::dim::{Bindings, Dim, DimError};
use crate::dtype::DType;
use crate::graph::{NodeId, Origin, Type, Value};
use crate::op::Op;
use crate::scalar::Scalar;
use serde::{Deserialize, Serialize};

/// A buffer of the plan, by its place in [`Plan::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BufferId(pub u32);

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The model's name.
    pub model: String,
    pub buffers: Vec<Buffer>,
    /// The graph's inputs and outputs by name, in the graph's order.
    pub inputs: Vec<(String, BufferId)>,
    pub outputs: Vec<(String, BufferId)>,
    /// In an order in which every buffer is written before it is read.
    pub steps: Vec<Step>,
    /// One for every edge between two nodes that compute, in the graph's order.
    pub decisions: Vec<Decision>,
}

/// A tensor in memory, dense and row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Buffer {
    /// The value's name in the model.
    pub name: String,
    /// The graph's value that it holds.
    pub value: Value,
    /// Complete for every buffer that a kernel touches.
    pub ty: Type,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Input,
    /// Contents known when the plan is made: a constant node of the graph.
    Constant,
    /// Written by a step; an output of the graph if [`Plan::outputs`] names it.
    Computed,
    /// The same memory as another buffer under another shape.
    Alias(BufferId),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Kernel(Kernel),
    Routine(Routine),
    /// A node that no generated kernel computes.
    Node {
        node: NodeId,
        label: String,
        kind: String,
        inputs: Vec<BufferId>,
        outputs: Vec<BufferId>,
        why: OnHost,
    },
}

/// One generated kernel: for each tuple of the domain, load, compute, store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// A C identifier, unique in the plan.
    pub name: String,
    /// The model's nodes that it computes.
    pub origin: Vec<Origin>,
    /// The extents of the iteration space, outermost first, adjacent axes merged where every access allows.
    pub domain: Vec<Dim>,
    /// The main loop of a kernel that is welded onto a matrix product or convolution; `None` for one that is pointwise alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Box<Product>>,
    pub loads: Vec<Load>,
    /// In SSA order: a statement's arguments come before it.
    pub body: Vec<Stmt>,
    pub stores: Vec<Store>,
    /// What must hold of the sizes of every launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broadcasts: Vec<Broadcast>,
    pub schedule: Schedule,
}

/// Element `offset + Σ strides[i]·index[i]` of a buffer; strides may be 0 or negative.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    pub offset: Dim,
    pub strides: Vec<Dim>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub buffer: BufferId,
    pub dtype: DType,
    pub access: Access,
    /// The elements of the buffer, from its first on, where they are constants that a table of the kernel may take in
    /// ([`Kernel::channels`]); else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Scalar>,
}

/// Every tuple of the domain stores its own element: the access is injective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Store {
    pub buffer: BufferId,
    pub dtype: DType,
    pub access: Access,
    pub value: Arg,
}

/// One op on scalars. Statement `i` of [`Kernel::body`] is named `Arg::Stmt(i)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stmt {
    pub op: Op,
    pub args: Vec<Arg>,
    /// The type of the result in the graph. A float narrower than f32 is computed in f32 and rounded where it is stored
    /// or cast, not after every op.
    pub dtype: DType,
    /// The value's name in the model, for the reader of the kernel.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arg {
    Load(u32),
    /// The accumulator of the kernel's [`Product`].
    Product,
    Stmt(u32),
    Const(Scalar),
}

impl Plan {
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }

    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.steps.iter().filter_map(|step| match step {
            Step::Kernel(kernel) => Some(kernel),
            Step::Routine(_) | Step::Node { .. } => None,
        })
    }

    pub fn routines(&self) -> impl Iterator<Item = &Routine> {
        self.steps.iter().filter_map(|step| match step {
            Step::Routine(routine) => Some(routine),
            Step::Kernel(_) | Step::Node { .. } => None,
        })
    }

    /// The stages of all routines, in order.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.routines().flat_map(|routine| &routine.stages)
    }
}

impl Kernel {
    /// The type of an argument.
    pub fn arg_dtype(&self, arg: Arg) -> DType {
        match arg {
            Arg::Load(i) => self.loads[i as usize].dtype,
            Arg::Product => self.product.as_ref().map_or(DType::F32, |product| product.dtype()),
            Arg::Stmt(i) => self.body[i as usize].dtype,
            Arg::Const(scalar) => scalar.dtype(),
        }
    }

    /// The statements that are computed if these are looked up: what the stores and the guards of roundings need.
    pub fn live(&self, lookups: &[Lookup]) -> Vec<bool> {
        let mut live = vec![false; self.body.len()];
        let mut mark = |arg: &Arg| {
            if let Arg::Stmt(i) = arg {
                live[*i as usize] = true;
            }
        };
        self.stores.iter().for_each(|store| mark(&store.value));
        for (_, rounding) in &self.schedule.rounding {
            if let Rounding::Guarded { of, .. } = rounding {
                of.iter().for_each(&mut mark);
            }
        }
        for i in (0..self.body.len()).rev() {
            if live[i] && !lookups.iter().any(|lookup| lookup.stmt as usize == i) {
                for arg in &self.body[i].args {
                    if let Arg::Stmt(i) = arg {
                        live[*i as usize] = true;
                    }
                }
            }
        }
        live
    }

    /// Number of tuples of the domain.
    pub fn count(&self) -> Result<Dim, DimError> {
        self.domain.iter().try_fold(Dim::ONE, |n, d| n.mul(d))
    }
}

impl Access {
    /// The element for one index tuple.
    pub fn at(&self, index: &[u64], bindings: &Bindings) -> Result<i64, DimError> {
        let overflow = || DimError::Overflow(format!("offset {} with strides {:?}", self.offset, self.strides));
        self.strides.iter().zip(index).try_fold(self.offset.eval_signed(bindings)?, |at, (stride, &i)| {
            let step = i64::try_from(i).ok().and_then(|i| i.checked_mul(stride.eval_signed(bindings).ok()?));
            step.and_then(|step| at.checked_add(step)).ok_or_else(overflow)
        })
    }
}
