//! Symbolic sizes: bound by the shapes of the inputs, and by results whose sizes are known only once they are computed.

use super::ReferenceError;
use crate::dim::{Bindings, Dim, DimError};
use crate::graph::Type;
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// Why a tensor is not of a declared type.
pub(super) enum Mismatch {
    Type,
    Symbol { symbol: String, bound: u64, found: u64 },
    Dim(DimError),
}

impl Mismatch {
    pub fn of_input(self, name: &str, expected: &Type, found: &Tensor) -> ReferenceError {
        let name = name.to_string();
        match self {
            Mismatch::Type => ReferenceError::InputType { name, expected: expected.clone(), found: type_of(found) },
            Mismatch::Symbol { symbol, bound, found } => ReferenceError::Symbol { name, symbol, bound, found },
            Mismatch::Dim(source) => source.into(),
        }
    }

    pub fn of_result(self, node: &str, value: &str, said: &Type, found: &Tensor) -> ReferenceError {
        match self {
            Mismatch::Type => ReferenceError::Result {
                node: node.into(),
                value: value.into(),
                said: said.clone(),
                found: type_of(found),
            },
            other => other.of_input(value, said, found),
        }
    }
}

/// The type of a tensor.
pub(super) fn type_of(tensor: &Tensor) -> Type {
    Type::new(tensor.dtype(), tensor.shape())
}

/// Checks a tensor against a declared type, and binds each symbol that stands alone for an axis and has no size yet. Sizes that
/// depend on symbols still unbound are not checked.
pub(super) fn bind(declared: &Type, tensor: &Tensor, bindings: &mut Bindings) -> Result<(), Mismatch> {
    if declared.dtype.is_some_and(|dtype| dtype != tensor.dtype()) {
        return Err(Mismatch::Type);
    }
    let Some(shape) = &declared.shape else { return Ok(()) };
    if shape.rank() != tensor.sizes().len() {
        return Err(Mismatch::Type);
    }
    for (dim, &size) in shape.iter().zip(tensor.sizes()) {
        let size = size as u64;
        match symbol(dim) {
            Some(symbol) => {
                let bound = *bindings.entry(symbol.clone()).or_insert(size);
                if bound != size {
                    return Err(Mismatch::Symbol { symbol, bound, found: size });
                }
            }
            None => match dim.eval(bindings) {
                Ok(expected) if expected == size => {}
                Ok(_) => return Err(Mismatch::Type),
                Err(DimError::Unbound { .. }) => {}
                Err(source) => return Err(Mismatch::Dim(source)),
            },
        }
    }
    Ok(())
}

/// The symbol that the dimension is, if it is nothing but one.
fn symbol(dim: &Dim) -> Option<String> {
    let mut symbols = BTreeSet::new();
    dim.symbols(&mut symbols);
    symbols.pop_first().filter(|name| *dim == Dim::symbol(name))
}

/// The given inputs in the order of the declared ones, checked, and the sizes they bind.
pub fn inputs<N: AsRef<str>>(
    declared: &[(&str, &Type)],
    given: &[(N, Tensor)],
    bindings: &mut Bindings,
) -> Result<Vec<Tensor>, ReferenceError> {
    let unknown = |name: &&str| !declared.iter().any(|(known, _)| known == name);
    if let Some(name) = given.iter().map(|(name, _)| name.as_ref()).find(unknown) {
        let inputs = declared.iter().map(|(name, _)| name.to_string()).collect();
        return Err(ReferenceError::UnknownInput { name: name.into(), inputs });
    }
    let find = |&(name, expected): &(&str, &Type)| {
        let tensor = given.iter().find(|(given, _)| given.as_ref() == name).map(|(_, tensor)| tensor.clone());
        tensor.ok_or_else(|| ReferenceError::MissingInput { name: name.into(), expected: expected.clone() })
    };
    let tensors: Vec<Tensor> = declared.iter().map(find).collect::<Result<_, _>>()?;
    // Twice, because an input may have an axis whose formula uses symbols that a later input binds.
    for _ in 0..2 {
        for ((name, expected), tensor) in declared.iter().zip(&tensors) {
            bind(expected, tensor, bindings).map_err(|m| m.of_input(name, expected, tensor))?;
        }
    }
    Ok(tensors)
}
