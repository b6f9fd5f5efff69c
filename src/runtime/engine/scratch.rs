//! Memory that the blocks of one launch share, for launches that run one after the other: all of a session have the same.

use super::EngineError;
use crate::emit::Scratch;
use crate::runtime::{Buffer, Device};

/// What the launches of a session that have been put together so far share.
#[derive(Default)]
pub(super) struct Shared {
    partials: Option<Buffer>,
    counters: Option<Buffer>,
}

impl Shared {
    /// Memory for one more launch: partial sums with no defined contents, and counters of zero. What launches before it hold stays theirs.
    pub fn hold(&mut self, device: &Device, needs: Scratch) -> Result<[Buffer; 2], EngineError> {
        let enough = |held: &Option<Buffer>, bytes: u64| held.clone().filter(|held| held.bytes() >= bytes);
        let partials = match enough(&self.partials, needs.partials) {
            Some(held) => held,
            None => device.alloc(needs.partials)?,
        };
        let counters = match enough(&self.counters, needs.counters) {
            Some(held) => held,
            None => {
                let counters = device.alloc(needs.counters)?;
                let stream = device.stream()?;
                counters.zero(&stream)?;
                stream.synchronize()?;
                counters
            }
        };
        (self.partials, self.counters) = (Some(partials.clone()), Some(counters.clone()));
        Ok([partials, counters])
    }
}
