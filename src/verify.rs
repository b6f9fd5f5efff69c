//! Checks a graph's invariants: after import, and after every pass in tests and debug builds.

use crate::graph::{Graph, Kind, NodeId, Type};
use crate::name::Shown;
use crate::op::TypeError;
use crate::shape::{Shape, ShapeError};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VerifyError {
    #[error("the graph has a cycle through {}", Shown(.node))]
    Cycle { node: String },
    #[error("{}: {source}", Shown(.node))]
    Type { node: String, source: TypeError },
    #[error("{}: {source}", Shown(.node))]
    Shape { node: String, source: ShapeError },
    #[error("{} is said to be {said}, and its operands make it {found}", Shown(.node))]
    Result { node: String, said: Type, found: Type },
    #[error("{} reads result {port} of {}, which has {results}", Shown(.node), Shown(.operand))]
    Port { node: String, operand: String, port: u32, results: usize },
}

/// Checks that the graph has no cycle, that every operand exists, and that each pointwise node's type follows from its
/// operands' where those are known.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let name = |id: NodeId| graph.node(id).label().to_string();
    let order = graph.topological().map_err(|id| VerifyError::Cycle { node: name(id) })?;
    for id in order {
        for v in graph.operands(id) {
            let results = graph.node(v.node).outputs.len();
            if v.port as usize >= results {
                return Err(VerifyError::Port { node: name(id), operand: name(v.node), port: v.port, results });
            }
        }
        if let Kind::Pointwise(_) = graph.node(id).kind {
            pointwise(graph, id)?;
        }
    }
    Ok(())
}

fn pointwise(graph: &Graph, id: NodeId) -> Result<(), VerifyError> {
    let node = graph.node(id);
    let label = || node.label().to_string();
    let Some(op) = node.op() else { return Ok(()) };
    let operands = graph.operands(id);
    let dtypes: Option<Vec<_>> = operands.iter().map(|v| graph.ty(*v).dtype).collect();
    let said = &node.outputs[0].ty;
    let mut found = Type::default();
    if let Some(dtypes) = dtypes {
        found.dtype = Some(op.result_type(&dtypes).map_err(|source| VerifyError::Type { node: label(), source })?);
    }
    let shapes = operands.iter().map(|v| graph.ty(*v).shape.as_ref());
    let shape = shapes
        .collect::<Option<Vec<_>>>()
        .map(|shapes| shapes.into_iter().try_fold(Shape::SCALAR, |all, shape| all.broadcast(shape)));
    match shape {
        Some(Ok(shape)) => found.shape = Some(shape),
        // Import makes the result of an undecided broadcast as large as the larger operand; a launch checks the sizes.
        None | Some(Err(ShapeError::Undecided { .. })) => {}
        Some(Err(source)) => return Err(VerifyError::Shape { node: label(), source }),
    }
    let differs = |a: bool| a.then(|| VerifyError::Result { node: label(), said: said.clone(), found: found.clone() });
    let wrong_dtype = matches!((said.dtype, found.dtype), (Some(a), Some(b)) if a != b);
    let wrong_shape = matches!((&said.shape, &found.shape), (Some(a), Some(b)) if a != b);
    differs(wrong_dtype || wrong_shape).map_or(Ok(()), Err)
}
