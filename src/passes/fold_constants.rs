//! Constant folding: `f(constant, …)` becomes a constant, computed by the CPU reference.
//!
//! What is not folded, so that memory stays bounded and INT8 stays INT8:
//! * A result larger than its operands together and than [`SMALL`]: an expanded scalar stays a scalar with an expand.
//! * A result of more than [`Options::fold_elements`](super::Options::fold_elements) elements.
//! * A dequantize whose value reaches a conv, a GEMM or any other op that is not pointwise. INT8 weights are the point of a
//!   quantized model: the anchor must see the codes and their scales, not floats of four times the size. (A quantize of
//!   constant floats does fold: that is how a model trained with fake quantization gets its codes.)
//! * Convolutions and matrix products, which no exporter leaves over constants and which could take long.

use super::work::Work;
use super::{Pass, PassError};
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::op;
use crate::reference::{self, run_node};
use crate::tensor::{self, Tensor};
use crate::view::View;

pub(super) const PASS: Pass = Pass { name: "fold_constants", about: "compute what depends on constants alone", run };

/// A constant of at most so many bytes may be larger than what it is made of.
const SMALL: usize = 64 << 10;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        if let Some(tensor) = fold(work.graph, id, work.options.fold_elements) {
            let name = work.graph.node(id).outputs[0].name.clone();
            let mut patch = work.patch("constant", &[id]);
            let new = patch.constant(&name, tensor);
            patch.replace(id.value(), new);
        }
    }
    Ok(())
}

fn fold(graph: &Graph, id: NodeId, limit: usize) -> Option<Tensor> {
    let node = graph.node(id);
    let foldable = matches!(node.kind, Kind::Pointwise(_) | Kind::View(_) | Kind::Structural(_));
    if !foldable || node.outputs.len() != 1 || graph.use_count(id.value()) == 0 {
        return None;
    }
    let operands: Vec<Tensor> =
        graph.operands(id).iter().map(|v| graph.constant(*v).cloned()).collect::<Option<_>>()?;
    let (dtype, shape) = node.outputs[0].ty.full()?;
    let sizes = shape.known()?;
    let count = tensor::count(&sizes)?;
    let given: usize = operands.iter().map(|t| t.bytes().len()).sum();
    let fits = count <= limit && dtype.bytes_for(count)? <= given.max(SMALL);
    // A reshape shares its operand's bytes, whatever their number.
    if !fits && !matches!(node.kind, Kind::View(View::Reshape { .. })) {
        return None;
    }
    if node.op().is_some_and(|op| op.is(&op::DEQUANTIZE)) && reaches_compute(graph, id.value()) {
        return None;
    }
    // What can't be executed, or gives another type than the graph says, is left for verification and for others to report.
    let options = reference::Options { tensor_limit: given.max(SMALL), ..reference::Options::default() };
    let result = run_node(node, &operands, &options).ok()?.pop()?;
    (result.dtype() == dtype && result.sizes() == sizes).then_some(result)
}

/// True if a value, perhaps rearranged by views, is an operand of something other than a pointwise op.
fn reaches_compute(graph: &Graph, value: Value) -> bool {
    graph.users(value.node).into_iter().any(|(_, user, _)| match graph.node(user).kind {
        Kind::Pointwise(_) => false,
        Kind::View(_) => reaches_compute(graph, user.value()),
        _ => true,
    })
}
