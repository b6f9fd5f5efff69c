//! Shapes, NumPy broadcasting and strides.

use crate::dim::{Bindings, Dim, DimError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;

/// The dimensions of a tensor, outermost first. Rank 0 is a scalar.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<Dim>);

/// Makes a [`Shape`] of integers and symbol names: `shape!["batch", 128, 40, 40]`.
#[macro_export]
macro_rules! shape {
    ($($dim:expr),* $(,)?) => { $crate::shape::Shape(vec![$($crate::dim::Dim::from($dim)),*]) };
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("{a} and {b} do not broadcast: axis {axis} is {x} against {y}")]
    Mismatch { a: Shape, b: Shape, axis: usize, x: Dim, y: Dim },
    #[error("whether {a} and {b} broadcast depends on {x} against {y} (axis {axis}); bind the sizes with --dim")]
    Undecided { a: Shape, b: Shape, axis: usize, x: Dim, y: Dim },
    #[error(transparent)]
    Dim(#[from] DimError),
}

impl Shape {
    /// The shape of a scalar.
    pub const SCALAR: Shape = Shape(Vec::new());

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    pub fn count(&self) -> Result<Dim, DimError> {
        self.0.iter().try_fold(Dim::ONE, |n, d| n.mul(d))
    }

    /// The sizes, if none is symbolic (and none negative).
    pub fn known(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|d| usize::try_from(d.known()?).ok()).collect()
    }

    /// The sizes with every symbol bound.
    pub fn eval(&self, bindings: &Bindings) -> Result<Vec<usize>, DimError> {
        let size = |d: &Dim| usize::try_from(d.eval(bindings)?).map_err(|_| DimError::Overflow(d.to_string()));
        self.0.iter().map(size).collect()
    }

    /// The shape with the given symbols replaced by their sizes.
    pub fn bind(&self, bindings: &Bindings) -> Result<Shape, DimError> {
        self.0.iter().map(|d| d.bind(bindings)).collect::<Result<_, _>>().map(Shape)
    }

    /// Strides, in elements, of a dense row-major tensor of this shape.
    pub fn strides(&self) -> Result<Vec<Dim>, DimError> {
        let mut stride = Dim::ONE;
        let mut strides = Vec::with_capacity(self.rank());
        for d in self.0.iter().rev() {
            strides.push(stride.clone());
            stride = stride.mul(d)?;
        }
        strides.reverse();
        Ok(strides)
    }

    /// The shape both broadcast to by NumPy's rule, which is ONNX's.
    ///
    /// A symbol against a known size above 1 gives that size: nothing else is legal, and the kernel's launch checks it.
    /// Two symbols that are not equal can't be decided.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, ShapeError> {
        let rank = self.rank().max(other.rank());
        let mut dims = Vec::with_capacity(rank);
        for axis in 0..rank {
            let (x, y) = (self.padded(rank, axis), other.padded(rank, axis));
            let failed = || (self.clone(), other.clone(), x.clone(), y.clone());
            dims.push(match (x.known(), y.known()) {
                _ if x == y => x,
                (Some(1), _) => y,
                (_, Some(1)) => x,
                (Some(_), Some(_)) => {
                    let (a, b, x, y) = failed();
                    return Err(ShapeError::Mismatch { a, b, axis, x, y });
                }
                (Some(_), None) => x,
                (None, Some(_)) => y,
                (None, None) => {
                    let (a, b, x, y) = failed();
                    return Err(ShapeError::Undecided { a, b, axis, x, y });
                }
            });
        }
        Ok(Shape(dims))
    }

    /// Axis `axis` of this shape seen as one of `rank` axes, missing outer axes being 1.
    fn padded(&self, rank: usize, axis: usize) -> Dim {
        (axis + self.rank()).checked_sub(rank).map_or(Dim::ONE, |i| self.0[i].clone())
    }
}

impl Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = Dim>>(dims: I) -> Shape {
        Shape(dims.into_iter().collect())
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        sizes.iter().map(|&n| Dim::from(n)).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy_and_symbols() {
        let b = |a: Shape, b: Shape| a.broadcast(&b);
        assert_eq!(b(shape![8, 1, 6], shape![7, 1]), Ok(shape![8, 7, 6]));
        assert_eq!(b(shape![], shape![3]), Ok(shape![3]));
        assert_eq!(b(shape!["n", 3], shape!["n", 1]), Ok(shape!["n", 3]));
        assert_eq!(b(shape!["n", 3], shape![4, 3]), Ok(shape![4, 3]));
        assert_eq!(b(shape![0], shape![1]), Ok(shape![0]));
        assert!(matches!(b(shape![2], shape![3]), Err(ShapeError::Mismatch { .. })));
        assert!(matches!(b(shape!["n"], shape!["m"]), Err(ShapeError::Undecided { .. })));
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(shape!["n", 3, 4].strides().unwrap(), [12, 4, 1].map(Dim::fixed));
        assert_eq!(shape![2, "h", "w"].strides().unwrap()[0].to_string(), "h*w");
    }
}
