//! Where each buffer of a plan lies on a device, for given sizes.
//!
//! Inputs, outputs and constants have memory of their own, so that a run can be repeated and its results read. What is computed on the
//! way shares one arena: buffers whose lives do not overlap share bytes ([`MemoryPlan`]).

use super::{BufferId, Plan, Role, Routine, Step};
use crate::dim::{Bindings, DimError};
use crate::dtype::DType;
use crate::memory::{Lifetime, MemoryError, MemoryPlan};
use crate::name::Shown;
use crate::tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The memory of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// One for each of the plan's buffers. An alias lies where its root lies.
    pub places: Vec<Placement>,
    /// Bytes of the arena.
    pub arena: u64,
    /// Bytes that the arena's buffers would take without sharing.
    pub unshared: u64,
}

/// Where one buffer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The buffer whose memory it is: itself, unless it is an alias.
    pub root: BufferId,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the arena.
    Arena { offset: u64, bytes: u64 },
    /// In memory of its own: an input or an output of the graph.
    Own { bytes: u64 },
    /// In memory of its own, filled once and for all.
    Constant,
    /// It has no memory: no step touches it, or its type is not known and no kernel touches it.
    Nowhere,
}

/// Why a plan cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("the plan names buffer {buffer} and has {count}, or its aliases go in circles")]
    NoBuffer { buffer: u32, count: usize },
    #[error("the type of {}, which a kernel uses, is not known", Shown(.name))]
    UnknownType { name: String },
    #[error("{}: {source}", Shown(.name))]
    Size { name: String, source: DimError },
    #[error("{} is {dtype} {sizes:?}, more bytes than an address can count", Shown(.name))]
    TooLarge { name: String, dtype: DType, sizes: Vec<usize> },
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Storage {
    /// The storage for the given sizes of the symbols.
    ///
    /// # Errors
    /// [`StorageError::Size`] if a symbol is not bound.
    pub fn new(plan: &Plan, bindings: &Bindings) -> Result<Storage, StorageError> {
        let roots = (0..plan.buffers.len()).map(|i| root(plan, BufferId(i as u32))).collect::<Result<Vec<_>, _>>()?;
        let root_of = |id: BufferId| {
            roots.get(id.0 as usize).copied().ok_or(StorageError::NoBuffer { buffer: id.0, count: roots.len() })
        };

        // The first and the last step that touches each root, and whether a kernel does.
        let mut lives: BTreeMap<BufferId, (usize, usize, bool)> = BTreeMap::new();
        for (step, what) in plan.steps.iter().enumerate() {
            let (touched, by_kernel): (Vec<BufferId>, bool) = match what {
                Step::Kernel(kernel) => {
                    (kernel.reads().chain(kernel.stores.iter().map(|store| store.buffer)).collect(), true)
                }
                Step::Routine(Routine { inputs, outputs, .. }) => {
                    (inputs.iter().chain(outputs).copied().collect(), true)
                }
                Step::Node { inputs, outputs, .. } => (inputs.iter().chain(outputs).copied().collect(), false),
            };
            for id in touched {
                let life = lives.entry(root_of(id)?).or_insert((step, step, false));
                life.1 = step;
                life.2 |= by_kernel;
            }
        }
        let mut own = BTreeSet::new();
        for (_, id) in plan.inputs.iter().chain(&plan.outputs) {
            let id = root_of(*id)?;
            own.insert(id);
            lives.entry(id).or_insert((0, 0, false));
        }

        let mut places = vec![Place::Nowhere; plan.buffers.len()];
        let mut shared = Vec::new();
        let mut lifetimes = Vec::new();
        for (id, (first, last, by_kernel)) in lives {
            let place = &mut places[id.0 as usize];
            if plan.buffer(id).role == Role::Constant {
                *place = Place::Constant;
                continue;
            }
            let bytes = match bytes_of(plan, id, bindings) {
                Ok(bytes) => bytes,
                Err(StorageError::UnknownType { .. }) if !by_kernel => continue,
                Err(error) => return Err(error),
            };
            if own.contains(&id) {
                *place = Place::Own { bytes };
            } else {
                shared.push(id);
                lifetimes.push(Lifetime { bytes, first, last });
            }
        }
        let memory = MemoryPlan::new(&lifetimes)?;
        for ((id, life), offset) in shared.iter().zip(&lifetimes).zip(&memory.offsets) {
            places[id.0 as usize] = Place::Arena { offset: *offset, bytes: life.bytes };
        }
        let placed = |root: &BufferId| Placement { root: *root, place: places[root.0 as usize] };
        Ok(Storage {
            places: roots.iter().map(placed).collect(),
            arena: memory.arena,
            unshared: MemoryPlan::unshared(&lifetimes),
        })
    }
}

/// The buffer whose memory a buffer is.
fn root(plan: &Plan, id: BufferId) -> Result<BufferId, StorageError> {
    let lost = StorageError::NoBuffer { buffer: id.0, count: plan.buffers.len() };
    let mut at = id;
    // A chain of aliases is no longer than the list; one that is goes in circles.
    for _ in 0..plan.buffers.len() {
        match plan.buffers.get(at.0 as usize).map(|buffer| buffer.role) {
            Some(Role::Alias(of)) => at = of,
            Some(_) => return Ok(at),
            None => return Err(lost),
        }
    }
    Err(lost)
}

fn bytes_of(plan: &Plan, id: BufferId, bindings: &Bindings) -> Result<u64, StorageError> {
    let buffer = plan.buffer(id);
    let name = || buffer.name.clone();
    let (dtype, shape) = buffer.ty.full().ok_or_else(|| StorageError::UnknownType { name: name() })?;
    let sizes = shape.eval(bindings).map_err(|source| StorageError::Size { name: name(), source })?;
    match tensor::count(&sizes).and_then(|count| dtype.bytes_for(count)) {
        Some(bytes) => Ok(bytes as u64),
        None => Err(StorageError::TooLarge { name: name(), dtype, sizes }),
    }
}
