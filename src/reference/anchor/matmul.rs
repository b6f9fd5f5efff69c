//! Batched matrix products, NumPy's way: outer axes broadcast, an operand of one axis is a row on the left and a column on the right.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::pointwise::broadcast_sizes;
use super::super::strided::Strided;
use super::gemm::{Matrix, Real, accumulate};
use crate::dtype::DType;
use crate::scalar::Number;
use crate::tensor::{Element, Tensor};

/// Which matrix of each operand makes each matrix of the result.
pub(crate) struct Batches {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Offsets of the two operands' matrices, one an outer index of the result.
    pub pairs: Vec<(usize, usize)>,
    /// Sizes of the result.
    pub sizes: Vec<usize>,
}

/// Operand sizes to the sizes of the products; a transposed operand has its last two axes swapped.
pub(crate) fn batches(a: &[usize], b: &[usize], transpose_a: bool, transpose_b: bool) -> Result<Batches, NodeError> {
    let (row, column) = (a.len() == 1, b.len() == 1);
    let as_matrix = |sizes: &[usize], vector: bool, front: bool| match (vector, front) {
        (true, true) => vec![1, sizes[0]],
        (true, false) => vec![sizes[0], 1],
        _ => sizes.to_vec(),
    };
    let mismatch = || NodeError::Invalid(format!("the product of {a:?} and {b:?} is not defined"));
    if a.is_empty() || b.is_empty() {
        return Err(mismatch());
    }
    let (fa, fb) = (as_matrix(a, row, true), as_matrix(b, column, false));
    let (oa, [a0, a1]) = fa.split_last_chunk::<2>().ok_or_else(mismatch)?;
    let (ob, [b0, b1]) = fb.split_last_chunk::<2>().ok_or_else(mismatch)?;
    let (m, k) = if transpose_a { (*a1, *a0) } else { (*a0, *a1) };
    let (k2, n) = if transpose_b { (*b1, *b0) } else { (*b0, *b1) };
    if k != k2 {
        return Err(mismatch());
    }
    let outer = broadcast_sizes([oa, ob].into_iter())?;
    let offsets = |from: &[usize], each: usize| {
        let walk = Strided::broadcast(from, &outer);
        let mut offsets = Vec::with_capacity(walk.count());
        walk.runs(0, walk.count(), |run| offsets.extend(run.elements().map(|i| i * each)));
        offsets
    };
    let pairs = offsets(oa, a0 * a1).into_iter().zip(offsets(ob, b0 * b1)).collect();
    let mut sizes = outer;
    sizes.extend((!row).then_some(m));
    sizes.extend((!column).then_some(n));
    Ok(Batches { m, k, n, pairs, sizes })
}

fn arity(operands: &[Tensor], bias: bool) -> Result<(), NodeError> {
    let expected = if bias { 3 } else { 2 };
    match operands.len() == expected {
        true => Ok(()),
        false => Err(NodeError::Arity { expected: expected.to_string(), found: operands.len() }),
    }
}

/// The walk of the bias over the product.
fn bias_walk(bias: &Tensor, sizes: &[usize]) -> Result<Strided, NodeError> {
    if broadcast_sizes([bias.sizes(), sizes].into_iter())? != sizes {
        let found = format!("{:?}", bias.sizes());
        return Err(NodeError::Operand { operand: "c", expected: format!("broadcast to {sizes:?}"), found });
    }
    Ok(Strided::broadcast(bias.sizes(), sizes))
}

fn part<'a, T>(data: &'a [T], offset: usize, rows: usize, columns: usize, turned: bool) -> Matrix<'a, T> {
    match turned {
        true => Matrix::new(&data[offset..], columns, rows).transposed(),
        false => Matrix::new(&data[offset..], rows, columns),
    }
}

/// Float products, summed in `T`.
pub(crate) fn reals<T: Real + Element>(
    operands: &[Tensor],
    transpose_a: bool,
    transpose_b: bool,
    bias: bool,
    cx: &Context,
) -> Result<(Vec<usize>, Vec<T>), NodeError> {
    arity(operands, bias)?;
    let [a, b] = [&operands[0], &operands[1]];
    let Batches { m, k, n, pairs, sizes } = batches(a.sizes(), b.sizes(), transpose_a, transpose_b)?;
    let count = cx.count(T::DTYPE, &sizes)?;
    let mut to = vec![T::default(); count];
    if let Some(c) = operands.get(2) {
        let (walk, c) = (bias_walk(c, &sizes)?, super::reals::<T>(c));
        let mut at = 0;
        walk.runs(0, count, |run| {
            run.elements().for_each(|i| {
                to[at] = c[i];
                at += 1;
            });
        });
    }
    let (a, b) = (super::reals::<T>(a), super::reals::<T>(b));
    for (i, (at_a, at_b)) in pairs.into_iter().enumerate() {
        let (a, b) = (part(&a, at_a, m, k, transpose_a), part(&b, at_b, k, n, transpose_b));
        accumulate(&mut to[i * m * n..(i + 1) * m * n], n, 0, a, b);
    }
    Ok((sizes, to))
}

/// Integer products, exact and wrapped to their type.
pub(super) fn integers(
    operands: &[Tensor],
    transpose_a: bool,
    transpose_b: bool,
    bias: bool,
    cx: &Context,
) -> Result<Tensor, NodeError> {
    arity(operands, bias)?;
    let dtype = operands[0].dtype();
    if dtype == DType::Bool || operands.iter().any(|t| t.dtype() != dtype) {
        let found = operands.iter().map(|t| t.dtype().to_string()).collect::<Vec<_>>().join(", ");
        return Err(NodeError::Operand { operand: "of it", expected: "numbers of one type".into(), found });
    }
    let Batches { m, k, n, pairs, sizes } =
        batches(operands[0].sizes(), operands[1].sizes(), transpose_a, transpose_b)?;
    let count = cx.count(dtype, &sizes)?;
    let (a, b) = (whole(&operands[0]).into_ints(), whole(&operands[1]).into_ints());
    let mut to = vec![0i128; count];
    if let Some(c) = operands.get(2) {
        let (walk, c) = (bias_walk(c, &sizes)?, whole(c).into_ints());
        let mut at = to.iter_mut();
        walk.runs(0, count, |run| run.elements().zip(&mut at).for_each(|(i, to)| *to = c[i]));
    }
    for (to, (at_a, at_b)) in to.chunks_mut((m * n).max(1)).zip(pairs) {
        let (a, b) = (part(&a, at_a, m, k, transpose_a), part(&b, at_b, k, n, transpose_b));
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let terms = (0..k).map(|l| a.data[i * a.row + l * a.column].wrapping_mul(b.data[l * b.row + j * b.column]));
            let sum = terms.fold(to[i * n + j], i128::wrapping_add);
            to[i * n + j] = Number::Int(sum).rounded_to(dtype).as_i128();
        }
    }
    Column::Int(to).into_tensor(dtype, &sizes)
}
