//! Broadcasts that the model leaves open: what a launch must find of its sizes.

use super::Kernel;
use crate::dim::{Bindings, Dim, DimError};
use crate::name::Shown;
use serde::{Deserialize, Serialize};

/// An axis of an operand whose size nothing relates to the result's. The kernel takes both ways of broadcasting, by a stride that is 0 where
/// the axis has the size 1; any other size than the result's would read what is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// The model's node.
    pub node: String,
    pub from: Dim,
    pub to: Dim,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastError {
    #[error(
        "{} takes an operand of size {from} = {found} where its result has {to} = {wanted}: give it the size 1, or {wanted}",
        Shown(.node)
    )]
    Sizes { node: String, from: Dim, to: Dim, found: u64, wanted: u64 },
    #[error(transparent)]
    Dim(#[from] DimError),
}

impl Kernel {
    /// Checks the sizes of a launch against [`Kernel::broadcasts`].
    pub fn check_broadcasts(&self, sizes: &Bindings) -> Result<(), BroadcastError> {
        for Broadcast { node, from, to } in &self.broadcasts {
            let (found, wanted) = (from.eval(sizes)?, to.eval(sizes)?);
            if found != 1 && found != wanted {
                let (node, from, to) = (node.clone(), from.clone(), to.clone());
                return Err(BroadcastError::Sizes { node, from, to, found, wanted });
            }
        }
        Ok(())
    }
}
