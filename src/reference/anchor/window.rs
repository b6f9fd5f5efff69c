//! Windows over up to three spatial axes: what convolutions and pools share.

use super::super::NodeError;

/// Spatial axes, padded on the left with axes of size 1 to three: one loop nest serves 1-D, 2-D and 3-D.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub strides: [usize; 3],
    pub dilations: [usize; 3],
    pub before: [usize; 3],
    pub after: [usize; 3],
    pub output: [usize; 3],
    /// The number of axes that are real.
    pub rank: usize,
}

impl Window {
    /// `input`: the spatial sizes. One entry an axis in all lists.
    pub fn new(
        input: &[usize],
        kernel: &[usize],
        strides: &[usize],
        dilations: &[usize],
        pads: &[(usize, usize)],
        ceil: bool,
    ) -> Result<Window, NodeError> {
        let rank = input.len();
        let lengths = [kernel.len(), strides.len(), dilations.len(), pads.len()];
        if !(1..=3).contains(&rank) || lengths.iter().any(|n| *n != rank) {
            return Err(NodeError::Invalid(format!("a window of {lengths:?} axes over {rank} spatial axes (1 to 3)")));
        }
        if strides.contains(&0) || kernel.contains(&0) || dilations.contains(&0) {
            return Err(NodeError::Invalid("a kernel size, stride or dilation of 0".into()));
        }
        let fill = |list: &[usize], missing: usize| {
            let mut three = [missing; 3];
            three[3 - rank..].copy_from_slice(list);
            three
        };
        let (before, after): (Vec<_>, Vec<_>) = pads.iter().copied().unzip();
        let mut window = Window {
            input: fill(input, 1),
            kernel: fill(kernel, 1),
            strides: fill(strides, 1),
            dilations: fill(dilations, 1),
            before: fill(&before, 0),
            after: fill(&after, 0),
            output: [1; 3],
            rank,
        };
        for axis in 0..3 {
            window.output[axis] = window.output_size(axis, ceil).ok_or_else(|| {
                NodeError::Invalid(format!("the kernel {kernel:?} is larger than the padded input {input:?}"))
            })?;
        }
        Ok(window)
    }

    fn output_size(&self, axis: usize, ceil: bool) -> Option<usize> {
        let padded = self.input[axis].checked_add(self.before[axis])?.checked_add(self.after[axis])?;
        let reach = (self.kernel[axis] - 1).checked_mul(self.dilations[axis])?.checked_add(1)?;
        let room = padded.checked_sub(reach)?;
        let stride = self.strides[axis];
        if !ceil {
            return Some(room / stride + 1);
        }
        let size = room.div_ceil(stride) + 1;
        // A window that would begin in the padding behind the input is left out.
        let begins_behind = (size - 1) * stride >= self.input[axis] + self.before[axis];
        Some(if begins_behind { size - 1 } else { size })
    }

    /// The input's index under kernel index `tap` of output index `out`, if it is not in the padding.
    pub fn input_at(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        let at = (out * self.strides[axis] + tap * self.dilations[axis]).checked_sub(self.before[axis])?;
        (at < self.input[axis]).then_some(at)
    }

    /// The kernel indices of output index `out` that are not in the padding, and the input's index under each.
    pub fn taps(&self, axis: usize, out: usize) -> Vec<(usize, usize)> {
        (0..self.kernel[axis]).filter_map(|tap| Some((tap, self.input_at(axis, out, tap)?))).collect()
    }

    /// [`Window::taps`] for every output index of an axis.
    pub fn all_taps(&self, axis: usize) -> Vec<Vec<(usize, usize)>> {
        (0..self.output[axis]).map(|out| self.taps(axis, out)).collect()
    }

    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    pub fn outputs(&self) -> usize {
        self.output.iter().product()
    }

    pub fn taps_in_all(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The sizes of the real axes of the output.
    pub fn output_sizes(&self) -> &[usize] {
        &self.output[3 - self.rank..]
    }

    /// True if each output is the input at the same place.
    pub fn is_identity(&self) -> bool {
        self.kernel == [1; 3] && self.strides == [1; 3] && self.before == [0; 3] && self.after == [0; 3]
    }
}
