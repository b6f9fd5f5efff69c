//! Visits every tensor a model holds, in file order: initializers, attributes, the bodies of If and Loop, functions, training.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

type Visit<'a, E> = dyn FnMut(&mut TensorProto) -> Result<(), E> + 'a;

/// Calls `visit` with each tensor of `model`, and stops at the first error.
pub(crate) fn tensors<E>(model: &mut ModelProto, visit: &mut Visit<E>) -> Result<(), E> {
    model.graph.iter_mut().try_for_each(|g| graph(g, visit))?;
    for function in &mut model.functions {
        function.attribute_proto.iter_mut().try_for_each(|a| attribute(a, visit))?;
        function.node.iter_mut().try_for_each(|n| node(n, visit))?;
    }
    for training in &mut model.training_info {
        training.initialization.iter_mut().try_for_each(|g| graph(g, visit))?;
        training.algorithm.iter_mut().try_for_each(|g| graph(g, visit))?;
    }
    Ok(())
}

fn graph<E>(graph: &mut GraphProto, visit: &mut Visit<E>) -> Result<(), E> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    graph.sparse_initializer.iter_mut().try_for_each(|s| sparse(s, visit))?;
    graph.node.iter_mut().try_for_each(|n| node(n, visit))
}

fn node<E>(node: &mut NodeProto, visit: &mut Visit<E>) -> Result<(), E> {
    node.attribute.iter_mut().try_for_each(|a| attribute(a, visit))
}

fn attribute<E>(attribute: &mut AttributeProto, visit: &mut Visit<E>) -> Result<(), E> {
    attribute.t.iter_mut().try_for_each(|t| visit(t))?;
    attribute.tensors.iter_mut().try_for_each(&mut *visit)?;
    attribute.sparse_tensor.iter_mut().try_for_each(|s| sparse(s, visit))?;
    attribute.sparse_tensors.iter_mut().try_for_each(|s| sparse(s, visit))?;
    attribute.g.iter_mut().try_for_each(|g| graph(g, visit))?;
    attribute.graphs.iter_mut().try_for_each(|g| graph(g, visit))
}

fn sparse<E>(tensor: &mut SparseTensorProto, visit: &mut Visit<E>) -> Result<(), E> {
    tensor.values.iter_mut().try_for_each(&mut *visit)?;
    tensor.indices.iter_mut().try_for_each(&mut *visit)
}
