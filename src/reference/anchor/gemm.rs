//! Matrix products through the `gemm` crate: the one place of the reference that says `unsafe`, because that crate takes
//! pointers and strides.

use rayon::prelude::*;

/// An element type that products are computed in.
pub(crate) trait Real:
    Copy + Send + Sync + Default + std::ops::AddAssign + std::ops::Mul<Output = Self> + 'static
{
    const ONE: Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    const ONE: f32 = 1.0;
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    const ONE: f64 = 1.0;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// A matrix within a slice: element (i, j) is `data[i·row + j·column]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub data: &'a [T],
    pub rows: usize,
    pub columns: usize,
    pub row: usize,
    pub column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A dense row-major matrix.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        Matrix { data, rows, columns, row: columns, column: 1 }
    }

    pub fn transposed(self) -> Matrix<'a, T> {
        Matrix { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }

    /// Elements that the slice must have.
    fn span(&self) -> usize {
        span(self.rows, self.columns, self.row, self.column)
    }
}

fn span(rows: usize, columns: usize, row: usize, column: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row + (columns - 1) * column + 1 }
}

/// `to += a·b`, where `to` is row-major with rows `row` apart and starts at column `first`; rows are shared out among threads.
///
/// Sums are in `T`, in the order that the `gemm` crate's kernel takes; each has `a.columns` terms.
///
/// # Panics
/// If a matrix does not lie within its slice, or the sizes do not agree.
pub(crate) fn accumulate<T: Real>(to: &mut [T], row: usize, first: usize, a: Matrix<T>, b: Matrix<T>) {
    assert_eq!(a.columns, b.rows, "inner sizes");
    if a.rows == 0 || b.columns == 0 || a.columns == 0 {
        return;
    }
    assert!(first + b.columns <= row && to.len() >= (a.rows - 1) * row + first + b.columns, "the result is too small");
    let share = a.rows.div_ceil(rayon::current_num_threads()).next_multiple_of(8);
    to.par_chunks_mut(share * row).enumerate().for_each(|(i, to)| {
        let start = i * share;
        if start < a.rows {
            let rows = share.min(a.rows - start);
            let part = Matrix { data: &a.data[start * a.row..], rows, ..a };
            product(&mut to[first..], row, part, b);
        }
    });
}

fn product<T: Real>(to: &mut [T], row: usize, a: Matrix<T>, b: Matrix<T>) {
    assert!(a.data.len() >= a.span() && b.data.len() >= b.span(), "an operand is too small");
    assert!(to.len() >= span(a.rows, b.columns, row, 1), "the result is too small");
    // SAFETY: the asserts above bound every element (i, j) that the crate reads of `a` and `b` and writes of `to`, whose
    // pointers come from live slices; `to` is borrowed mutably, so nothing else overlaps it. Strides are below `isize::MAX`
    // because each spans no more than its slice.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            to.as_mut_ptr(),
            1,
            row as isize,
            true,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_those_of_the_definition(
            m in 0usize..40, k in 0usize..20, n in 0usize..40, turned in any::<[bool; 2]>(), first in 0usize..3,
        ) {
            let a: Vec<f64> = (0..m * k).map(|i| ((i * 7) % 11) as f64 - 5.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| ((i * 5) % 13) as f64 - 6.0).collect();
            let view = |data, rows, columns, turned: bool| match turned {
                true => Matrix::new(data, columns, rows).transposed(),
                false => Matrix::new(data, rows, columns),
            };
            let (a, b) = (view(&a, m, k, turned[0]), view(&b, k, n, turned[1]));
            let row = n + 3;
            let mut to = vec![1.0; m * row];
            accumulate(&mut to, row, first, a, b);
            for (i, j) in (0..m).flat_map(|i| (0..row).map(move |j| (i, j))) {
                let inside = (first..first + n).contains(&j);
                let sum: f64 = (0..k).filter(|_| inside)
                    .map(|l| a.data[i * a.row + l * a.column] * b.data[l * b.row + (j - first) * b.column]).sum();
                prop_assert_eq!(to[i * row + j], 1.0 + sum);
            }
        }
    }
}
