//! Broadcasting where sizes are symbolic.

use super::Stop;
use crate::dim::Dim;
use crate::shape::{Shape, ShapeError};

/// The shape that several broadcast to. Where two symbolic sizes meet, legal inputs make them equal or one of them 1, so that
/// the result is the larger.
pub(crate) fn broadcast(shapes: &[Shape]) -> Result<Shape, Stop> {
    let mut all = Shape::SCALAR;
    for shape in shapes {
        all = match all.broadcast(shape) {
            Err(ShapeError::Undecided { .. }) => larger(&all, shape)?,
            result => result?,
        };
    }
    Ok(all)
}

fn larger(a: &Shape, b: &Shape) -> Result<Shape, Stop> {
    let rank = a.rank().max(b.rank());
    let at = |s: &Shape, axis: usize| (axis + s.rank()).checked_sub(rank).map_or(Dim::ONE, |i| s[i].clone());
    let dims = (0..rank).map(|axis| {
        let (x, y) = (Shape(vec![at(a, axis)]), Shape(vec![at(b, axis)]));
        match x.broadcast(&y) {
            Err(ShapeError::Undecided { x, y, .. }) => Ok(x.larger(&y)?),
            result => Ok(result?[0].clone()),
        }
    });
    dims.collect::<Result<_, Stop>>()
}
