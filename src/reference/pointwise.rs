//! Executes a pointwise op over operands that broadcast.

use super::NodeError;
use super::column::{Column, Rounding, apply, from_loose};
use super::node::Context;
use super::strided::{CHUNK, Strided, loose_bytes};
use crate::dtype::DType;
use crate::op::Op;
use crate::tensor::Tensor;
use rayon::prelude::*;

pub(super) fn execute(op: Op, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let types: Vec<DType> = operands.iter().map(Tensor::dtype).collect();
    let dtype = op.result_type(&types).map_err(|e| NodeError::Invalid(e.to_string()))?;
    let sizes = broadcast(operands)?;
    let count = cx.count(dtype, &sizes)?;
    let walks: Vec<Strided> = operands.iter().map(|t| Strided::broadcast(t.sizes(), &sizes)).collect();
    // A packed type is computed a byte an element and packed at the end; the reference need not be fast for it.
    let width = loose_bytes(dtype);
    let mut bytes = vec![0u8; count * width];
    bytes.par_chunks_mut(CHUNK * width).enumerate().for_each(|(chunk, to)| {
        let n = to.len() / width;
        let columns: Vec<Column> = operands
            .iter()
            .zip(&walks)
            .map(|(tensor, walk)| {
                let mut column = Column::with_capacity(tensor.dtype(), n);
                walk.runs(chunk * CHUNK, n, |run| column.read(tensor, run));
                column
            })
            .collect();
        let columns: Vec<&Column> = columns.iter().collect();
        apply(op, &columns, n, dtype, Rounding::EachStatement).write(dtype, to);
    });
    from_loose(dtype, &sizes, bytes)
}

/// The sizes that all operands broadcast to.
pub(super) fn broadcast(operands: &[Tensor]) -> Result<Vec<usize>, NodeError> {
    broadcast_sizes(operands.iter().map(Tensor::sizes))
}

/// NumPy's rule.
pub(super) fn broadcast_sizes<'a>(all: impl Iterator<Item = &'a [usize]>) -> Result<Vec<usize>, NodeError> {
    let mut to: Vec<usize> = Vec::new();
    for sizes in all {
        if sizes.len() > to.len() {
            to.splice(0..0, std::iter::repeat_n(1, sizes.len() - to.len()));
        }
        let missing = to.len() - sizes.len();
        for (axis, &size) in sizes.iter().enumerate() {
            match &mut to[missing + axis] {
                n if *n == size || size == 1 => {}
                n if *n == 1 => *n = size,
                n => {
                    let n = *n;
                    let axis = missing + axis;
                    return Err(NodeError::Invalid(format!(
                        "operands do not broadcast: axis {axis} is {size} against {n}"
                    )));
                }
            }
        }
    }
    Ok(to)
}
