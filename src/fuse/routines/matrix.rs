//! Matrix products, batched by NumPy's rule.

use super::{Cx, Draft, broadcast_strides, no_routine};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::Value;
use crate::plan::OnHost;
use crate::plan::routine::{Product, Work};
use crate::shape::Shape;

pub(super) fn gemm(cx: &Cx, transpose_a: bool, transpose_b: bool, bias: bool) -> Result<Vec<Draft>, OnHost> {
    let (a, b) = (cx.arithmetic(0)?, cx.arithmetic(1)?);
    let codes = |t: DType| matches!(t, DType::I8 | DType::U8);
    let (a_type, b_type) = (cx.ty(a)?.0, cx.ty(b)?.0);
    let fits = a_type == b_type && a_type.is_arithmetic_float() || codes(a_type) && codes(b_type) && !bias;
    if !fits {
        return Err(cx.unsupported(b, cx.ty(b)?.0));
    }
    let c = if bias { Some(cx.float(2)?) } else { None };
    let work = product(cx, a, b, transpose_a, transpose_b, c)?;
    let slots: &[usize] = if bias { &[0, 1, 2] } else { &[0, 1] };
    cx.one(Work::Product(work), slots)
}

pub(super) fn integer(cx: &Cx) -> Result<Vec<Draft>, OnHost> {
    let (a, b) = (cx.arithmetic(0)?, cx.arithmetic(1)?);
    for value in [a, b] {
        match cx.ty(value)?.0 {
            DType::I8 | DType::U8 => {}
            dtype => return Err(cx.unsupported(value, dtype)),
        }
    }
    cx.one(Work::Product(product(cx, a, b, false, false, None)?), &[0, 1, 2, 3])
}

fn product(
    cx: &Cx,
    a: Value,
    b: Value,
    transpose_a: bool,
    transpose_b: bool,
    c: Option<Value>,
) -> Result<Product, OnHost> {
    let (a, b, y) = (cx.shape(a)?, cx.shape(b)?, cx.shape(cx.result(0))?);
    // A vector is a row of a or a column of b, and the result lacks that axis.
    let (a, b) = (matrix(a, true, transpose_a)?, matrix(b, false, transpose_b)?);
    let axes = usize::from(!a.vector) + usize::from(!b.vector);
    let batch = y.rank().checked_sub(axes).ok_or_else(|| no_routine("its result has too few axes"))?;
    let batch = y.0[..batch].to_vec();
    let over = |of: &Matrix| -> Result<Vec<Dim>, OnHost> {
        // Strides of the outer axes count whole matrices.
        let outer = broadcast_strides(&of.outer, &batch)?;
        let size = of.rows.mul(&of.columns)?;
        let outer = outer.iter().map(|s| s.mul(&size)).collect::<Result<Vec<_>, _>>()?;
        Ok([outer, vec![of.row_stride.clone(), of.column_stride.clone()]].concat())
    };
    if a.columns != b.rows {
        return Err(no_routine(&format!("whether {} is {} depends on its sizes", a.columns, b.rows)));
    }
    let whole = [&batch[..], &[a.rows.clone(), b.columns.clone()]].concat();
    let c = c.map(|c| broadcast_strides(cx.shape(c)?, &whole)).transpose()?;
    Ok(Product {
        a: over(&a)?,
        b: over(&b)?,
        c,
        batch,
        rows: a.rows.clone(),
        columns: b.columns.clone(),
        inner: a.columns.clone(),
    })
}

/// An operand as it takes part: transposed if it is to be.
struct Matrix {
    outer: Shape,
    rows: Dim,
    columns: Dim,
    row_stride: Dim,
    column_stride: Dim,
    vector: bool,
}

fn matrix(shape: &Shape, row: bool, transpose: bool) -> Result<Matrix, OnHost> {
    match &shape.0[..] {
        [] => Err(no_routine("an operand has no axis")),
        [n] => {
            let (rows, columns) = if row { (Dim::ONE, n.clone()) } else { (n.clone(), Dim::ONE) };
            let outer = Shape::SCALAR;
            Ok(Matrix { outer, rows, columns, row_stride: Dim::ONE, column_stride: Dim::ONE, vector: true })
        }
        [outer @ .., r, c] => {
            let outer = Shape(outer.to_vec());
            let (r, c, down) = (r.clone(), c.clone(), c.clone());
            Ok(match transpose {
                false => {
                    Matrix { outer, rows: r, columns: c, row_stride: down, column_stride: Dim::ONE, vector: false }
                }
                true => Matrix { outer, rows: c, columns: r, row_stride: Dim::ONE, column_stride: down, vector: false },
            })
        }
    }
}
