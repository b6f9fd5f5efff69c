//! The buffers of a plan while it is executed: what is in them, and which of their elements have been written.

use super::KernelError;
use super::column::from_loose;
use super::strided::{Run, Strided, loose_bytes};
use crate::dim::Bindings;
use crate::dtype::DType;
use crate::plan::{Access, BufferId, Plan, Role};
use crate::tensor::{self, Tensor};

/// One buffer's memory.
enum Cell {
    Empty,
    /// Written in part, by the kernels that share it: a concatenation, for instance. A byte for each element of a packed type.
    Partial {
        dtype: DType,
        sizes: Vec<usize>,
        bytes: Vec<u8>,
        written: Vec<bool>,
        left: usize,
    },
    Whole(Tensor),
}

/// See the module's page. Aliases share the cell of the buffer that they stand for.
pub(super) struct Memory<'p> {
    plan: &'p Plan,
    cells: Vec<Cell>,
    limit: usize,
}

/// An access resolved to a buffer and a walk that lies within it.
pub(super) struct Resolved {
    root: usize,
    pub walk: Strided,
}

impl<'p> Memory<'p> {
    pub fn new(plan: &'p Plan, limit: usize) -> Memory<'p> {
        Memory { plan, cells: plan.buffers.iter().map(|_| Cell::Empty).collect(), limit }
    }

    fn name(&self, id: BufferId) -> String {
        self.plan.buffers.get(id.0 as usize).map_or(String::new(), |b| b.name.clone())
    }

    /// The buffer whose memory this one is.
    fn root(&self, id: BufferId) -> Result<usize, KernelError> {
        let missing = |id: BufferId| KernelError::NoBuffer { buffer: id.0, count: self.plan.buffers.len() };
        let mut id = id;
        // A chain of aliases is no longer than the list; one that is goes in circles.
        for _ in 0..=self.plan.buffers.len() {
            match self.plan.buffers.get(id.0 as usize).ok_or_else(|| missing(id))?.role {
                Role::Alias(of) => id = of,
                _ => return Ok(id.0 as usize),
            }
        }
        Err(missing(id))
    }

    fn type_of(&self, id: BufferId, bindings: &Bindings) -> Result<(DType, Vec<usize>), KernelError> {
        let buffer = self.plan.buffer(id);
        let (dtype, shape) = buffer.ty.full().ok_or_else(|| KernelError::UnknownType(buffer.name.clone()))?;
        Ok((dtype, shape.eval(bindings)?))
    }

    /// Gives a buffer its whole contents.
    pub fn fill(&mut self, id: BufferId, tensor: Tensor) -> Result<(), KernelError> {
        let root = self.root(id)?;
        match self.cells[root] {
            Cell::Empty => self.cells[root] = Cell::Whole(tensor),
            _ => return Err(KernelError::WrittenTwice { name: self.name(id), element: 0 }),
        }
        Ok(())
    }

    /// The whole contents under the buffer's own sizes.
    pub fn tensor(&self, id: BufferId, bindings: &Bindings) -> Result<Tensor, KernelError> {
        let root = self.root(id)?;
        let name = || self.name(id);
        match &self.cells[root] {
            Cell::Empty => Err(KernelError::Unwritten { name: name(), element: 0 }),
            Cell::Partial { written, .. } => {
                let element = written.iter().position(|w| !w).unwrap_or(0);
                Err(KernelError::Unwritten { name: name(), element })
            }
            Cell::Whole(tensor) if id.0 as usize == root => Ok(tensor.clone()),
            Cell::Whole(tensor) => {
                let shape = self.plan.buffer(id).ty.shape.as_ref().ok_or_else(|| KernelError::UnknownType(name()))?;
                Ok(tensor.reshaped(&shape.eval(bindings)?).map_err(super::NodeError::from)?)
            }
        }
    }

    /// How many elements of a buffer are written, of how many.
    pub fn progress(&self, id: BufferId) -> (usize, usize) {
        match self.root(id).map(|root| &self.cells[root]) {
            Ok(Cell::Whole(t)) => (t.len(), t.len()),
            Ok(Cell::Partial { written, left, .. }) => (written.len() - left, written.len()),
            Ok(Cell::Empty) | Err(_) => (0, 1),
        }
    }

    /// The walk of an access over a domain, if every element of it lies within the buffer.
    pub fn resolve(
        &self,
        id: BufferId,
        dtype: DType,
        access: &Access,
        domain: &[usize],
        bindings: &Bindings,
    ) -> Result<Resolved, KernelError> {
        let root = self.root(id)?;
        let name = || self.name(id);
        let (found, sizes) = self.type_of(id, bindings)?;
        if found != dtype {
            return Err(KernelError::Type { name: name(), buffer: found, access: dtype });
        }
        if access.strides.len() != domain.len() {
            return Err(KernelError::Rank { name: name(), strides: access.strides.len(), rank: domain.len() });
        }
        let strides = access.strides.iter().map(|s| s.eval_signed(bindings)).collect::<Result<Vec<_>, _>>()?;
        let walk = Strided::new(access.offset.eval_signed(bindings)?, domain, &strides);
        let count = tensor::count(&sizes).unwrap_or(0);
        if walk.count() > 0 {
            let (low, high) = walk.extremes().unwrap_or((i64::MIN, i64::MAX));
            if low < 0 || high >= count as i64 {
                return Err(KernelError::OutOfBounds { name: name(), low, high, count });
            }
        }
        Ok(Resolved { root, walk })
    }

    /// What a load reads: a tensor of the root's memory, every element of the walk being written.
    pub fn read(&self, id: BufferId, resolved: &Resolved) -> Result<Tensor, KernelError> {
        let name = || self.name(id);
        match &self.cells[resolved.root] {
            Cell::Whole(tensor) => Ok(tensor.clone()),
            Cell::Empty if resolved.walk.count() == 0 => {
                Ok(Tensor::from_numbers(DType::U8, &[0], []).map_err(super::NodeError::from)?)
            }
            Cell::Empty => {
                let (low, _) = resolved.walk.extremes().unwrap_or_default();
                Err(KernelError::Unwritten { name: name(), element: low as usize })
            }
            Cell::Partial { dtype, sizes, bytes, written, .. } => {
                let mut poison = None;
                resolved.walk.runs(0, resolved.walk.count(), |run| {
                    poison = poison.or(run.elements().find(|i| !written[*i]));
                });
                match poison {
                    Some(element) => Err(KernelError::Unwritten { name: name(), element }),
                    None => Ok(from_loose(*dtype, sizes, bytes.clone())?),
                }
            }
        }
    }

    /// Writes what a store computed: chunks of `chunk` elements in the order of the walk, a byte for each element of a packed
    /// type.
    pub fn write(
        &mut self,
        id: BufferId,
        resolved: &Resolved,
        chunks: impl Iterator<Item = Vec<u8>>,
        chunk: usize,
        bindings: &Bindings,
    ) -> Result<(), KernelError> {
        let (name, limit) = (self.name(id), self.limit);
        let (dtype, sizes) = self.type_of(id, bindings)?;
        let buffer = &self.plan.buffers[resolved.root];
        if !matches!(buffer.role, Role::Computed) {
            return Err(KernelError::NotWritable { name });
        }
        let width = loose_bytes(dtype);
        let cell = &mut self.cells[resolved.root];
        if let Cell::Empty = cell {
            let count = tensor::count(&sizes).filter(|n| n.checked_mul(width).is_some_and(|bytes| bytes <= limit));
            let too_large = || super::NodeError::TooLarge { dtype, sizes: sizes.clone(), limit };
            let count = count.ok_or_else(too_large)?;
            let (bytes, written) = (vec![0; count * width], vec![false; count]);
            *cell = Cell::Partial { dtype, sizes, bytes, written, left: count };
        }
        let Cell::Partial { bytes, written, left, .. } = cell else {
            let (low, _) = resolved.walk.extremes().unwrap_or_default();
            return match resolved.walk.count() {
                0 => Ok(()),
                _ => Err(KernelError::WrittenTwice { name, element: low as usize }),
            };
        };
        let mut twice = None;
        let mut put = |from: &[u8], run: Run| {
            for (element, from) in run.elements().zip(from.chunks_exact(width)) {
                if std::mem::replace(&mut written[element], true) {
                    twice = twice.or(Some(element));
                }
                bytes[element * width..][..width].copy_from_slice(from);
            }
        };
        for (i, from) in chunks.enumerate() {
            let mut at = 0;
            resolved.walk.runs(i * chunk, from.len() / width, |run| {
                put(&from[at..at + run.n * width], run);
                at += run.n * width;
            });
        }
        if let Some(element) = twice {
            return Err(KernelError::WrittenTwice { name, element });
        }
        *left -= resolved.walk.count();
        if *left == 0
            && let Cell::Partial { dtype, sizes, bytes, .. } = std::mem::replace(cell, Cell::Empty)
        {
            *cell = Cell::Whole(from_loose(dtype, &sizes, bytes)?);
        }
        Ok(())
    }
}
