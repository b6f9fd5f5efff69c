//! Linear algebra on small matrices.

use super::super::NodeError;
use super::super::column::{Column, whole};
use crate::tensor::Tensor;

/// Of each square matrix over the last two axes: elimination in f64 with row pivots.
pub(super) fn determinant(x: &Tensor) -> Result<Tensor, NodeError> {
    let (outer, n) = match x.sizes() {
        [outer @ .., a, b] if a == b => (outer, *a),
        other => {
            let found = format!("{other:?}");
            return Err(NodeError::Operand { operand: "x", expected: "square matrices".into(), found });
        }
    };
    let mut values = whole(x).into_floats();
    let count = outer.iter().product();
    let mut results = vec![1.0; count];
    if n > 0 {
        results = values.chunks_mut(n * n).map(|matrix| eliminate(matrix, n)).collect();
    }
    Column::Float(results).into_tensor(x.dtype(), outer)
}

fn eliminate(a: &mut [f64], n: usize) -> f64 {
    let mut determinant = 1.0;
    for column in 0..n {
        let pivot = (column..n)
            .fold(column, |best, row| if a[row * n + column].abs() > a[best * n + column].abs() { row } else { best });
        if pivot != column {
            (0..n).for_each(|j| a.swap(pivot * n + j, column * n + j));
            determinant = -determinant;
        }
        let top = a[column * n + column];
        determinant *= top;
        if top == 0.0 {
            return 0.0;
        }
        for row in column + 1..n {
            let factor = a[row * n + column] / top;
            (column..n).for_each(|j| a[row * n + j] -= factor * a[column * n + j]);
        }
    }
    determinant
}
