//! Executes one node.

use super::{NodeError, anchor, pointwise, structural, view};
use crate::dim::{Bindings, DimError};
use crate::dtype::DType;
use crate::graph::{Kind, Node};
use crate::tensor::{self, Tensor};

/// What a node's execution may know beside its operands.
pub(super) struct Context<'a> {
    pub bindings: &'a Bindings,
    /// The most bytes that one tensor may have.
    pub limit: usize,
}

impl Context<'_> {
    /// The number of elements of a result, if it is within the limit.
    pub fn count(&self, dtype: DType, sizes: &[usize]) -> Result<usize, NodeError> {
        let count = tensor::count(sizes).filter(|n| dtype.bytes_for(*n).is_some_and(|bytes| bytes <= self.limit));
        count.ok_or_else(|| NodeError::TooLarge { dtype, sizes: sizes.to_vec(), limit: self.limit })
    }

    /// The sizes that a node's result has by its declared type, where every symbol is bound.
    pub fn declared(&self, node: &Node, port: usize) -> Result<Option<Vec<usize>>, NodeError> {
        match node.outputs.get(port).and_then(|output| output.ty.shape.as_ref()).map(|s| s.eval(self.bindings)) {
            None | Some(Err(DimError::Unbound { .. })) => Ok(None),
            Some(sizes) => Ok(Some(sizes?)),
        }
    }
}

/// The results of a node for its operands, in slot order.
pub(super) fn execute(node: &Node, operands: &[Tensor], cx: &Context) -> Result<Vec<Tensor>, NodeError> {
    match &node.kind {
        Kind::Constant(tensor) => Ok(vec![tensor.clone()]),
        Kind::Pointwise(op) => Ok(vec![pointwise::execute(*op, operands, cx)?]),
        Kind::View(view) => Ok(vec![view::execute(view, operands, cx)?]),
        Kind::Anchor(anchor) => Ok(vec![anchor::execute(anchor, operands, cx)?]),
        Kind::Structural(op) => structural::execute(op, node, operands, cx),
        Kind::Input | Kind::Opaque { .. } => Err(NodeError::Opaque),
    }
}

/// Exactly `N` operands.
pub(super) fn exactly<const N: usize>(operands: &[Tensor]) -> Result<&[Tensor; N], NodeError> {
    operands.try_into().map_err(|_| NodeError::Arity { expected: N.to_string(), found: operands.len() })
}
