//! Gives a graph's symbols their sizes.

use super::{Graph, Kind};
use crate::dim::{Bindings, DimError};
use crate::view::{SliceAxis, View};

impl Graph {
    /// Replaces the given symbols by their sizes, in every type and every view. Other symbols stay.
    ///
    /// # Errors
    /// If a dimension overflows, or becomes negative as far as it is known.
    pub fn bind(&mut self, sizes: &Bindings) -> Result<(), DimError> {
        if sizes.is_empty() {
            return Ok(());
        }
        for node in self.nodes.node_weights_mut() {
            for output in &mut node.outputs {
                if let Some(shape) = &mut output.ty.shape {
                    *shape = shape.bind(sizes)?;
                }
            }
            match &mut node.kind {
                Kind::View(View::Reshape { to } | View::Expand { to }) => *to = to.bind(sizes)?,
                Kind::View(View::Slice { axes }) => {
                    for SliceAxis { start, size, .. } in axes {
                        *start = start.bind(sizes)?;
                        *size = size.bind(sizes)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::dtype::DType;
    use crate::graph::Builder;
    use crate::shape;

    #[test]
    fn types_are_bound() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F16, shape!["n", "h"]);
        let y = b.relu(x);
        b.output("y", y);
        let mut g = b.finish().unwrap();
        g.bind(&[("n".to_string(), 4)].into()).unwrap();
        assert_eq!(g.ty(y).to_string(), "Half(4,h)");
    }
}
