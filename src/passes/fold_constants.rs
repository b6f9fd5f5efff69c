//! Constant folding: `f(constant, …)` becomes a constant, for pointwise ops and views.
//!
//! What is not folded, so that memory stays bounded and INT8 stays INT8:
//! * A result larger than its operands together and than [`SMALL`]: an expanded scalar stays a scalar with an expand.
//! * A result of more than [`Options::fold_elements`](super::Options::fold_elements) elements.
//! * A dequantize whose value reaches a conv, a GEMM or any other op that is not pointwise. INT8 weights are the point of a
//!   quantized model: the anchor must see the codes and their scales, not floats of four times the size. (A quantize of
//!   constant floats does fold: that is how a model trained with fake quantization gets its codes.)

use super::fold_views;
use super::work::Work;
use super::{Pass, PassError};
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::op::{self, Op};
use crate::scalar::Number;
use crate::shape::Shape;
use crate::tensor::{self, Tensor};

pub(super) const PASS: Pass = Pass { name: "fold_constants", about: "compute what depends on constants alone", run };

/// A constant of at most so many bytes may be larger than what it is made of.
const SMALL: usize = 64 << 10;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        if let Some(tensor) = fold(work.graph, id, work.options.fold_elements) {
            let name = work.graph.node(id).outputs[0].name.clone();
            let rule = if work.graph.node(id).op().is_some() { "pointwise" } else { "view" };
            let mut patch = work.patch(rule, &[id]);
            let new = patch.constant(&name, tensor);
            patch.replace(id.value(), new);
        }
    }
    Ok(())
}

fn fold(graph: &Graph, id: NodeId, limit: usize) -> Option<Tensor> {
    let node = graph.node(id);
    if !matches!(node.kind, Kind::Pointwise(_) | Kind::View(_)) || graph.use_count(id.value()) == 0 {
        return None;
    }
    let operands: Vec<&Tensor> = graph.operands(id).iter().map(|v| graph.constant(*v)).collect::<Option<_>>()?;
    let sizes = node.outputs[0].ty.shape.as_ref()?.known()?;
    let dtype = node.outputs[0].ty.dtype?;
    let count = tensor::count(&sizes)?;
    let given: usize = operands.iter().map(|t| t.bytes().len()).sum();
    let fits = count <= limit && dtype.bytes_for(count)? <= given.max(SMALL);
    match &node.kind {
        // A reshape shares its operand's bytes, whatever their number.
        Kind::View(view) => fold_views::fold(view, &operands, &sizes, fits),
        Kind::Pointwise(op) if fits && !(op.is(&op::DEQUANTIZE) && reaches_compute(graph, id.value())) => {
            pointwise(*op, &operands, &sizes, dtype)
        }
        _ => None,
    }
}

/// True if a value, perhaps rearranged by views, is an operand of something other than a pointwise op.
fn reaches_compute(graph: &Graph, value: Value) -> bool {
    graph.users(value.node).into_iter().any(|(_, user, _)| match graph.node(user).kind {
        Kind::Pointwise(_) => false,
        Kind::View(_) => reaches_compute(graph, user.value()),
        _ => true,
    })
}

/// The op applied to constants, or `None` if their types and sizes do not fit it.
pub(super) fn pointwise(op: Op, operands: &[&Tensor], sizes: &[usize], dtype: DType) -> Option<Tensor> {
    let dtypes: Vec<DType> = operands.iter().map(|t| t.dtype()).collect();
    let shape = operands.iter().try_fold(Shape::SCALAR, |all, t| all.broadcast(&t.shape()).ok())?;
    if op.result_type(&dtypes) != Ok(dtype) || shape.known()? != sizes {
        return None;
    }
    let strides: Vec<Vec<usize>> = operands.iter().map(|t| broadcast_strides(t.sizes(), sizes.len())).collect();
    let mut numbers = vec![Number::Int(0); operands.len()];
    let results = indices(sizes).map(|index| {
        for ((number, operand), strides) in numbers.iter_mut().zip(operands).zip(&strides) {
            let at = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            *number = operand.at(at).number();
        }
        op.eval(&numbers, dtype)
    });
    Tensor::from_numbers(dtype, sizes, results).ok()
}

/// Strides of a dense tensor seen as one of `rank` axes; 0 where it is broadcast.
fn broadcast_strides(sizes: &[usize], rank: usize) -> Vec<usize> {
    let mut stride = 1;
    let mut strides = vec![0; rank];
    for (axis, &size) in (rank - sizes.len()..rank).zip(sizes).rev() {
        strides[axis] = if size == 1 { 0 } else { stride };
        stride *= size;
    }
    strides
}

/// Every index tuple of a box, in row-major order.
pub(super) fn indices(sizes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count: usize = sizes.iter().product();
    let mut next = vec![0; sizes.len()];
    (0..count).map(move |_| {
        let this = next.clone();
        for axis in (0..sizes.len()).rev() {
            next[axis] += 1;
            if next[axis] < sizes[axis] {
                break;
            }
            next[axis] = 0;
        }
        this
    })
}
