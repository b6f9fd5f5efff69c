//! Views of constants, computed by moving bytes.

use super::fold_constants::indices;
use crate::tensor::Tensor;
use crate::view::View;
use bytes::Bytes;

/// The view of the constants, of `sizes`; `None` if it is not `small` enough to copy, or not a legal view of them.
/// Elements narrower than a byte are only reshaped.
pub(super) fn fold(view: &View, operands: &[&Tensor], sizes: &[usize], small: bool) -> Option<Tensor> {
    let x = operands.first()?;
    match view {
        View::Reshape { .. } => x.reshaped(sizes).ok(),
        _ if !small => None,
        View::Concat { axis } => concat(operands, *axis, sizes),
        View::Transpose { axes } => gather(x, sizes, |i, at| {
            let from = axes.iter().position(|a| *a == i)?;
            at.get(from).copied()
        }),
        View::Slice { axes } => {
            let starts: Option<Vec<i64>> = axes.iter().map(|a| a.start.known()).collect();
            let starts = starts?;
            gather(x, sizes, |i, at| {
                let offset = axes.get(i)?.step.checked_mul(i64::try_from(*at.get(i)?).ok()?)?;
                usize::try_from(starts.get(i)?.checked_add(offset)?).ok()
            })
        }
        View::Expand { .. } => {
            let missing = sizes.len().checked_sub(x.sizes().len())?;
            gather(x, sizes, |i, at| if x.sizes()[i] == 1 { Some(0) } else { at.get(i + missing).copied() })
        }
        View::Repeat { factors } => gather(x, sizes, |i, at| {
            let factor = usize::try_from(*factors.get(i)?).ok()?;
            at.get(i)?.checked_div(factor)
        }),
    }
}

/// The tensor of `sizes` whose element at `index` is the operand's at `from(axis, index)` on each of the operand's axes.
fn gather(x: &Tensor, sizes: &[usize], from: impl Fn(usize, &[usize]) -> Option<usize>) -> Option<Tensor> {
    let width = x.dtype().bytes()?;
    let mut bytes = Vec::with_capacity(width * sizes.iter().product::<usize>());
    for index in indices(sizes) {
        let mut at = 0;
        for (axis, &size) in x.sizes().iter().enumerate() {
            at = at * size + from(axis, &index).filter(|i| *i < size)?;
        }
        bytes.extend_from_slice(&x.bytes()[at * width..][..width]);
    }
    Tensor::new(x.dtype(), sizes.to_vec(), bytes.into()).ok()
}

fn concat(operands: &[&Tensor], axis: usize, sizes: &[usize]) -> Option<Tensor> {
    let dtype = operands[0].dtype();
    let width = dtype.bytes()?;
    let (outer, inner) = (sizes.get(..axis)?, sizes.get(axis + 1..)?);
    let fits = |t: &&Tensor| t.dtype() == dtype && t.sizes().get(..axis) == Some(outer) && t.sizes().get(axis + 1..) == Some(inner);
    if !operands.iter().all(fits) {
        return None;
    }
    let run = |t: &Tensor| t.sizes()[axis] * inner.iter().product::<usize>() * width;
    let mut bytes = Vec::with_capacity(sizes.iter().product::<usize>() * width);
    for i in 0..outer.iter().product() {
        for t in operands {
            bytes.extend_from_slice(&t.bytes()[i * run(t)..][..run(t)]);
        }
    }
    Tensor::new(dtype, sizes.to_vec(), Bytes::from(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dim::Dim;
    use crate::shape;
    use crate::view::SliceAxis;

    fn counting(sizes: &[usize]) -> Tensor {
        let values: Vec<i32> = (0..sizes.iter().product::<usize>() as i32).collect();
        Tensor::from_slice(sizes, &values).unwrap()
    }

    fn folded(view: View, x: &Tensor, sizes: &[usize]) -> Vec<i32> {
        fold(&view, &[x], sizes, true).unwrap().to_vec().unwrap()
    }

    #[test]
    fn each_view_moves_the_elements_it_should() {
        let x = counting(&[2, 3]);
        assert_eq!(folded(View::Transpose { axes: vec![1, 0] }, &x, &[3, 2]), [0, 3, 1, 4, 2, 5]);
        let axis = |start: i64, step, size: i64| SliceAxis { start: Dim::fixed(start), step, size: Dim::fixed(size) };
        assert_eq!(folded(View::Slice { axes: vec![axis(1, 1, 1), axis(2, -2, 2)] }, &x, &[1, 2]), [5, 3]);
        assert_eq!(folded(View::Repeat { factors: vec![1, 2] }, &x, &[2, 6]), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(folded(View::Expand { to: shape![2, 2, 1] }, &counting(&[2, 1]), &[2, 2, 1]), [0, 1, 0, 1]);
        let both = fold(&View::Concat { axis: 1 }, &[&x, &counting(&[2, 1])], &[2, 4], true).unwrap();
        assert_eq!(both.to_vec::<i32>().unwrap(), [0, 1, 2, 0, 3, 4, 5, 1]);
        assert_eq!(fold(&View::Transpose { axes: vec![0, 0] }, &[&x], &[2, 2], true), None);
        assert_eq!(fold(&View::Concat { axis: 3 }, &[&x], &[2, 3], true), None);
        let out = View::Slice { axes: vec![axis(1, 1, 2), axis(0, 1, 3)] };
        assert_eq!(fold(&out, &[&x], &[2, 3], true), None);
    }
}
