//! Executes a plan, and checks what it promises.

use super::column::{Column, Rounding};
use super::memory::Memory;
use super::node::{self, Context};
use super::strided::{CHUNK, loose_bytes};
use super::{KernelError, NodeError, Options, ReferenceError, anchor, bind, body};
use crate::dim::{Bindings, Dim};
use crate::graph::{Graph, NodeId, Type};
use crate::plan::{Access, BufferId, Kernel, Operand, Plan, Product, Role, Routine, Step};
use crate::shape::Shape;
use crate::tensor::{self, Tensor};
use rayon::prelude::*;

/// Executes a plan of a graph: its outputs by name, in its order. The graph gives the constants and the nodes that are no
/// kernels.
///
/// Every load and store is checked to lie within its buffer, every element to be written once before it is read, and no
/// element twice. Under [`Rounding::EachStatement`] the result is [`run_graph`](super::run_graph)'s bit for bit (but for NaN's
/// bits, and for sums of products of floats, whose order is open).
pub fn run_plan<N: AsRef<str>>(
    plan: &Plan,
    graph: &Graph,
    inputs: &[(N, Tensor)],
    mode: Rounding,
    options: &Options,
) -> Result<Vec<(String, Tensor)>, ReferenceError> {
    let mut run = Run::start(plan, graph, inputs, options)?;
    for step in &plan.steps {
        match step {
            Step::Kernel(kernel) => run
                .kernel(kernel, mode)
                .map_err(|source| ReferenceError::Kernel { kernel: kernel.name.clone(), source })?,
            Step::Routine(Routine { node, inputs, outputs, .. }) => run.node(*node, inputs, outputs)?,
            Step::Node { node, inputs, outputs, .. } => run.node(*node, inputs, outputs)?,
        }
    }
    let output = |(name, id): &(String, BufferId)| {
        let tensor = run.memory.tensor(*id, &run.bindings).map_err(|_| {
            let (written, count) = run.memory.progress(*id);
            ReferenceError::OutputUnwritten { name: name.clone(), written, count }
        })?;
        Ok((name.clone(), tensor))
    };
    plan.outputs.iter().map(output).collect()
}

struct Run<'a> {
    plan: &'a Plan,
    graph: &'a Graph,
    memory: Memory<'a>,
    bindings: Bindings,
    options: &'a Options,
}

impl<'a> Run<'a> {
    /// Puts the inputs and the constants in their buffers.
    fn start<N: AsRef<str>>(
        plan: &'a Plan,
        graph: &'a Graph,
        inputs: &[(N, Tensor)],
        options: &'a Options,
    ) -> Result<Run<'a>, ReferenceError> {
        let setup = |source| ReferenceError::Kernel { kernel: "(the plan's buffers)".into(), source };
        let mut bindings = options.bindings.clone();
        let missing = |id: &BufferId| KernelError::NoBuffer { buffer: id.0, count: plan.buffers.len() };
        let mut declared: Vec<(&str, &Type)> = Vec::new();
        for (name, id) in &plan.inputs {
            let buffer = plan.buffers.get(id.0 as usize).ok_or_else(|| missing(id)).map_err(setup)?;
            declared.push((name, &buffer.ty));
        }
        let given = bind::inputs(&declared, inputs, &mut bindings)?;
        let mut memory = Memory::new(plan, options.tensor_limit);
        for ((_, id), tensor) in plan.inputs.iter().zip(given) {
            memory.fill(*id, tensor).map_err(setup)?;
        }
        for (i, buffer) in plan.buffers.iter().enumerate() {
            if buffer.role == Role::Constant {
                let tensor = graph.constant(buffer.value).ok_or(KernelError::NoNode(buffer.value.node));
                let filled = tensor.and_then(|t| memory.fill(BufferId(i as u32), t.clone()));
                filled.map_err(setup)?;
            }
        }
        Ok(Run { plan, graph, memory, bindings, options })
    }

    fn kernel(&mut self, kernel: &Kernel, mode: Rounding) -> Result<(), KernelError> {
        body::check(kernel)?;
        let bindings = &self.bindings;
        kernel.check_broadcasts(bindings)?;
        let size = |d: &crate::dim::Dim| Ok(d.eval(bindings)? as usize);
        let domain = kernel.domain.iter().map(size).collect::<Result<Vec<_>, KernelError>>()?;
        let too_many = || KernelError::Dim(crate::dim::DimError::Overflow(format!("{domain:?}")));
        let count = tensor::count(&domain).ok_or_else(too_many)?;
        let mut loads = Vec::new();
        for load in &kernel.loads {
            let resolved = self.memory.resolve(load.buffer, load.dtype, &load.access, &domain, bindings)?;
            loads.push((self.memory.read(load.buffer, &resolved)?, resolved.walk));
        }
        let mut stores = Vec::new();
        for store in &kernel.stores {
            stores.push(self.memory.resolve(store.buffer, store.dtype, &store.access, &domain, bindings)?);
        }
        let sums = match &kernel.product {
            Some(product) => Some(self.accumulators(product, mode)?),
            None => None,
        };
        if let Some(sums) = sums.as_ref().filter(|sums| sums.len() != count) {
            return Err(KernelError::Product { sums: sums.len(), count });
        }
        // Everything is computed before anything is stored, so a kernel can't see its own results.
        let compute = |chunk: usize| {
            let start = chunk * CHUNK;
            let n = CHUNK.min(count - start);
            let read = |(load, (tensor, walk)): (&crate::plan::Load, &(Tensor, super::strided::Strided))| {
                let mut column = Column::with_capacity(load.dtype, n);
                walk.runs(start, n, |run| column.read(tensor, run));
                column
            };
            let mut columns: Vec<Column> = kernel.loads.iter().zip(&loads).map(read).collect();
            columns.extend(sums.as_ref().map(|sums| sums.part(start, n)));
            let stored = body::columns(kernel, &columns, n, mode);
            let bytes = kernel.stores.iter().zip(&stored).map(|(store, column)| {
                let mut bytes = vec![0u8; n * loose_bytes(store.dtype)];
                column.write(store.dtype, &mut bytes);
                bytes
            });
            bytes.collect::<Vec<_>>()
        };
        let mut chunks: Vec<Vec<Vec<u8>>> = (0..count.div_ceil(CHUNK)).into_par_iter().map(compute).collect();
        for (i, (store, resolved)) in kernel.stores.iter().zip(&stores).enumerate() {
            let bytes = chunks.iter_mut().map(|stored| std::mem::take(&mut stored[i]));
            self.memory.write(store.buffer, resolved, bytes, CHUNK, &self.bindings)?;
        }
        Ok(())
    }

    /// The accumulators of a product, in the row-major order of its result: exact for codes; for floats summed in f64, or as the graph's
    /// node sums them where each statement is rounded.
    fn accumulators(&self, product: &Product, mode: Rounding) -> Result<Column, KernelError> {
        let [a, b] = product.contraction.accesses()?;
        let gather = |factor: &Operand, (over, access): (Vec<Dim>, Access)| {
            let sizes = Shape(over).eval(&self.bindings)?;
            let resolved = self.memory.resolve(factor.buffer, factor.dtype, &access, &sizes, &self.bindings)?;
            let whole = self.memory.read(factor.buffer, &resolved)?;
            Ok::<Tensor, KernelError>(resolved.walk.copy(&whole, &sizes).map_err(NodeError::from)?)
        };
        let (a, b) = (gather(&product.a, a)?, gather(&product.b, b)?);
        let cx = Context { bindings: &self.bindings, limit: self.options.tensor_limit };
        let mut sums = anchor::accumulators(&product.contraction, &a, &b, mode == Rounding::Exact, &cx)?;
        if mode == Rounding::EachStatement {
            sums.round(product.dtype());
        }
        Ok(sums)
    }

    fn node(&mut self, id: NodeId, inputs: &[BufferId], outputs: &[BufferId]) -> Result<(), ReferenceError> {
        let unknown = KernelError::NoNode(id);
        let node = self
            .graph
            .get(id)
            .ok_or(ReferenceError::Kernel { kernel: "(a node of the plan)".into(), source: unknown })?;
        let (label, kind) = (node.label().to_string(), node.kind.to_string());
        let failed = |source| ReferenceError::Kernel { kernel: label.clone(), source };
        let operands = inputs.iter().map(|b| self.memory.tensor(*b, &self.bindings)).collect::<Result<Vec<_>, _>>();
        let cx = Context { bindings: &self.bindings, limit: self.options.tensor_limit };
        let results = node::execute(node, &operands.map_err(failed)?, &cx).map_err(|source| ReferenceError::Node {
            node: label.clone(),
            kind,
            source,
        })?;
        for (id, tensor) in outputs.iter().zip(results) {
            if let Some(buffer) = self.plan.buffers.get(id.0 as usize) {
                let bound = bind::bind(&buffer.ty, &tensor, &mut self.bindings);
                bound.map_err(|m| m.of_result(&label, &buffer.name, &buffer.ty, &tensor))?;
            }
            self.memory.fill(*id, tensor).map_err(failed)?;
        }
        Ok(())
    }
}
