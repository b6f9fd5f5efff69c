//! Views: ops that move elements without computing anything, and that fusion can fold into the index of a load or store.

use crate::dim::Dim;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// A rearrangement of one tensor's elements (several for `Concat`).
///
/// ONNX's Flatten, Squeeze and Unsqueeze are `Reshape`; Split is one `Slice` an output; DepthToSpace and SpaceToDepth are
/// Reshape, Transpose, Reshape; a nearest Resize by whole factors is `Repeat`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum View {
    /// The same elements in row-major order under another shape.
    Reshape { to: Shape },
    /// Axis `i` of the result is axis `axes[i]` of the operand.
    Transpose { axes: Vec<usize> },
    /// Element `i` of each axis is element `start + i·step` of the operand's; `size` elements. One entry an axis.
    Slice { axes: Vec<SliceAxis> },
    /// NumPy's broadcast to a shape.
    Expand { to: Shape },
    /// Element `i` of axis `a` is element ⌊i / factors\[a\]⌋ of the operand's.
    Repeat { factors: Vec<u64> },
    /// The operands one after another along `axis`.
    Concat { axis: usize },
}

/// One axis of a slice. A negative step walks backward from `start`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceAxis {
    pub start: Dim,
    pub step: i64,
    pub size: Dim,
}

impl View {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            View::Reshape { .. } => "reshape",
            View::Transpose { .. } => "transpose",
            View::Slice { .. } => "slice",
            View::Expand { .. } => "expand",
            View::Repeat { .. } => "repeat",
            View::Concat { .. } => "concat",
        }
    }
}
