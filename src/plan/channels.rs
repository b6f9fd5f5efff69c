//! Kernels that are functions of an 8-bit code and a channel: what a table of 256 entries a channel can hold.

use super::Kernel;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::scalar::Number;

/// How such a kernel walks its tensors: `outer` × `channels` × `inner` elements, dense, the innermost last. Channels lie along the innermost
/// axis where `inner` is 1 (NHWC), and are rows of `inner` elements where it is not (NCHW).
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// The load of the codes; the others are constants of the kernel.
    pub load: usize,
    pub outer: Dim,
    pub channels: u64,
    pub inner: Dim,
    /// The axis of the domain that the channels lie along.
    axis: usize,
}

impl Kernel {
    /// The channels of a kernel whose only operand that is not known is one 8-bit tensor, while the others are known and vary along one axis of
    /// known length; `None` for any other.
    pub fn channels(&self) -> Option<Channels> {
        let unknown: Vec<usize> = (0..self.loads.len()).filter(|i| self.loads[*i].known.is_empty()).collect();
        let [load] = unknown[..] else { return None };
        let codes = &self.loads[load];
        let is_code = codes.dtype.bits() == 8 && codes.dtype != DType::Bool;
        let dense = self.stores.iter().map(|store| &store.access).chain([&codes.access]);
        if self.product.is_some() || !is_code || !dense.into_iter().all(|access| access.is_dense(&self.domain)) {
            return None;
        }
        let moves = |axis: &usize| {
            let along = |i: usize| i != load && !self.loads[i].access.strides[*axis].is(0);
            !self.domain[*axis].is(1) && (0..self.loads.len()).any(along)
        };
        let moved: Vec<usize> = (0..self.domain.len()).filter(moves).collect();
        let [axis] = moved[..] else { return None };
        let channels = u64::try_from(self.domain[axis].known()?).ok()?;
        let product = |axes: &[Dim]| axes.iter().try_fold(Dim::ONE, |n, d| n.mul(d)).ok();
        let (outer, inner) = (product(&self.domain[..axis])?, product(&self.domain[axis + 1..])?);
        let found = Channels { load, outer, channels, inner, axis };
        (0..channels).all(|c| self.constants(&found, c).is_some()).then_some(found)
    }

    /// The operands of a channel, that of the codes being 0.
    pub fn constants(&self, channels: &Channels, channel: u64) -> Option<Vec<Number>> {
        let element = |(i, load): (usize, &super::Load)| {
            if i == channels.load {
                return Some(Number::Int(0));
            }
            let step = load.access.strides[channels.axis].known()?.checked_mul(i64::try_from(channel).ok()?)?;
            let at = load.access.offset.known()?.checked_add(step)?;
            Some(load.known.get(usize::try_from(at).ok()?)?.number())
        };
        self.loads.iter().enumerate().map(element).collect()
    }
}
