//! Convolutions of few channels, straight from a patch of the input in shared memory: how the patch lies there.
//!
//! A block copies the input that a tile of pixels reads once. A window of the convolution is then a fixed set of offsets into the patch,
//! the same for every pixel: those of the 4-byte *words* of its taps' channels. A lane reads the words that the tensor core's instruction
//! wants of it where they lie, at whatever stride and dilation, and windows that overlap are never unfolded.

use super::{Contraction, Product, layout};
use crate::dim::Dim;
use serde::{Deserialize, Serialize};

/// How a block convolves a tile of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Patch {
    /// Rows and columns of a tile, in pixels of the result; columns are a multiple of 16. A convolution of one axis has one row.
    pub rows: u32,
    pub columns: u32,
    /// Filters of a tile: 16, 32 or 64.
    pub filters: u32,
    pub warps: u32,
    /// Tiles, each below the one before, that a block computes with the same weights; the next one's patch is copied meanwhile.
    pub walk: u32,
    /// The most bytes that one copy of the input and of the weights may move: 16, 8 or 4; 0 for single elements.
    pub copy: (u32, u32),
}

/// The most taps of a window, and steps of one: the main loop is written out.
const MOST_TAPS: usize = 64;
const MOST_STEPS: u32 = 24;
/// Channels beyond which a pixel is no longer a small thing.
const MOST_CHANNELS: i64 = 32;
/// Fragments of 16×8 accumulators that a warp has registers for.
const MOST_ACCUMULATORS: u32 = 16;
/// Bytes of a word, and words of a row that one step multiplies: those of lane t are t and t + 4.
const WORD: u32 = 4;
const SLOTS: u32 = 8;

/// How the input gets into the patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// By copies of so many bytes: a pixel lies in memory as it does in the patch.
    Copies { bytes: u32 },
    /// Through registers, so many whole pixels a time, whose elements lie without gaps and begin at a multiple of 4 bytes.
    Narrow { pixels: u32 },
    /// Element by element.
    Elements,
}

/// One axis of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    pub taps: u32,
    pub stride: u32,
    pub dilation: u32,
    pub before: u32,
}

/// A patch and its weights in shared memory, in bytes where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchLayout {
    /// Of an element, and of a pixel: whole words, of which a 16-byte piece holds whole pixels or a pixel whole pieces.
    pub size: u32,
    pub pixel: u32,
    pub channels: u32,
    /// Down and across.
    pub axes: [Axis; 2],
    pub fill: Fill,
    /// Pixels that the patch begins before the first window, so that copies begin at a multiple of their size.
    pub shift: u32,
    /// Rows of the patch, pixels of each, and the bytes from one to the next.
    pub height: u32,
    pub width: u32,
    pub pitch: u32,
    /// From one filter's weights to the next's.
    pub weight_pitch: u32,
    pub steps: u32,
    /// Fragments of 16 pixels: of a tile's row, and of a warp.
    pub across: u32,
    pub fragments: u32,
}

impl PatchLayout {
    /// The layout of a product's patch; `None` if it is no convolution of few channels by a window of few taps, or the tile is not whole.
    pub fn of(product: &Product, patch: &Patch) -> Option<PatchLayout> {
        let Contraction::Conv { input, channels, first, pitch, conv, .. } = &product.contraction else { return None };
        let size = product.a.dtype.bits() / 8;
        let count = channels.known().filter(|n| (1..=MOST_CHANNELS).contains(n))? as u32;
        let taps: usize = conv.kernel.iter().product();
        let plain = conv.groups == 1 && (1..=2).contains(&input.len()) && (2..=MOST_TAPS).contains(&taps);
        if !plain || !matches!(size, 1 | 2) || product.b.dtype.bits() != product.a.dtype.bits() {
            return None;
        }
        let axes = axes(conv)?;
        let across = patch.columns / 16;
        let fragments = patch.rows.checked_mul(across)?.checked_div(patch.warps)?;
        let powers = [patch.rows, patch.columns, patch.warps, fragments].iter().all(|n| n.is_power_of_two());
        let whole = powers && across > 0 && patch.warps <= 16 && (1..=64).contains(&patch.walk);
        let filters = matches!(patch.filters, 16 | 32 | 64);
        if !whole || !filters || fragments * patch.filters / 8 > MOST_ACCUMULATORS || patch.rows * patch.columns > 4096
        {
            return None;
        }

        let pixel = (count * size).max(WORD).next_multiple_of((count * size).next_power_of_two().clamp(WORD, 16));
        let steps = (taps as u32 * pixel).div_ceil(SLOTS * WORD);
        if steps > MOST_STEPS {
            return None;
        }
        let dense = pitch == channels;
        let fill = fill(size, pixel, count, dense.then(|| input.last()).flatten(), [first, pitch], patch.copy.0);
        let group = match fill {
            Fill::Copies { bytes } => (bytes / pixel).max(1),
            Fill::Narrow { pixels } => pixels,
            Fill::Elements => 1,
        };
        let [down, along] = axes;
        let shift = (group - along.before % group) % group;
        let reach = |axis: &Axis, tile: u32| {
            let windows = (tile - 1).checked_mul(axis.stride)?;
            windows.checked_add((axis.taps - 1).checked_mul(axis.dilation)?)?.checked_add(1).filter(|n| *n <= 1 << 12)
        };
        let height = reach(&down, patch.rows)?;
        let width = (shift + reach(&along, patch.columns)?).next_multiple_of(group);
        // Four rows, four lanes each, of 64-bit words: spaced by four words or twelve they meet no bank twice.
        let weight_pitch = (steps + (steps + 1) % 2) * SLOTS * WORD;
        let layout = PatchLayout {
            size,
            pixel,
            channels: count,
            axes,
            fill,
            shift,
            height,
            width,
            pitch: (width * pixel).next_multiple_of(16),
            weight_pitch,
            steps,
            across,
            fragments,
        };
        Some(layout.without_conflicts())
    }

    /// The same with the shortest rows of which the lanes' reads meet in the fewest banks.
    fn without_conflicts(self) -> PatchLayout {
        let wider = (0..8).map(|n| PatchLayout { pitch: self.pitch + 16 * n, ..self.clone() });
        wider.min_by_key(|layout| (layout.wavefronts(), layout.pitch)).unwrap_or(self)
    }

    /// Words of a window.
    pub fn words(&self) -> u32 {
        let [down, across] = self.axes;
        down.taps * across.taps * self.pixel / WORD
    }

    /// Words of a window that step `step` multiplies; behind the last there are only weights of zero.
    pub fn live(&self, step: u32) -> u32 {
        (self.words() - step * SLOTS).min(SLOTS)
    }

    /// Where word `n` of a window lies, from the patch's pixel at the window's first place in a tile that begins there.
    fn offset(&self, n: u32) -> u32 {
        let of_pixel = self.pixel / WORD;
        let (tap, word) = (n / of_pixel, n % of_pixel);
        let [down, across] = self.axes;
        let (y, x) = (tap / across.taps * down.dilation, tap % across.taps * across.dilation);
        y * self.pitch + (self.shift + x) * self.pixel + word * WORD
    }

    /// Where the four lanes of a row find their words of step `step`, the first and the second of each. What stands in for a word behind the
    /// last is one of the last four.
    pub fn places(&self, step: u32) -> [[u32; 4]; 2] {
        let (words, first) = (self.words(), step * SLOTS);
        let existing = |n: u32| if n < words { n } else { (n - (n - words) / 4 * 4).saturating_sub(4).min(words - 1) };
        [0, 4].map(|part| [0, 1, 2, 3].map(|lane| self.offset(existing(first + part + lane))))
    }

    /// True if the words of each four lanes are 16 adjacent bytes at a multiple of 16, which `ldmatrix` reads for all of them.
    pub fn in_matrices(&self) -> bool {
        let (right, _) = self.moves();
        let adjacent = |[a, b, c, d]: [u32; 4]| a % 16 == 0 && [b, c, d] == [a + WORD, a + 2 * WORD, a + 3 * WORD];
        right % 16 == 0 && (0..self.steps).flat_map(|step| self.places(step)).all(adjacent)
    }

    /// Bytes from a pixel of the result to the next, and to the one below, in the patch.
    pub fn moves(&self) -> (u32, u32) {
        (self.axes[1].stride * self.pixel, self.axes[0].stride * self.pitch)
    }

    /// From the first fragment of a warp to fragment `i`: they lie side by side, then in the next row of the tile.
    pub fn fragment(&self, i: u32) -> u32 {
        let (right, down) = self.moves();
        i / self.across * down + i % self.across * 16 * right
    }

    /// Passes through shared memory of a fragment's reads of the patch.
    pub fn wavefronts(&self) -> u32 {
        let (right, _) = self.moves();
        let steps = (0..self.steps).flat_map(|step| self.places(step));
        2 * steps.map(|places| passes(places, right)).sum::<u32>()
    }

    /// Of the weights of a tile's filters, of one patch, and of all.
    pub fn weight_bytes(&self, filters: u32) -> u32 {
        filters * self.weight_pitch
    }

    pub fn patch_bytes(&self) -> u32 {
        self.height * self.pitch
    }

    pub fn shared(&self, patch: &Patch) -> u32 {
        self.weight_bytes(patch.filters) + self.patch_bytes() * patch.walk.min(2)
    }
}

/// Passes of one read by a warp, eight rows of four words: each reads one word of each of 32 banks.
fn passes(places: [u32; 4], right: u32) -> u32 {
    let rows = (0..8).flat_map(|row| places.map(|place| (place + row * right) / WORD));
    let mut distinct: Vec<u32> = rows.collect();
    distinct.sort_unstable();
    distinct.dedup();
    let in_bank = |bank: u32| distinct.iter().filter(|word| *word % 32 == bank).count() as u32;
    (0..32).map(in_bank).max().unwrap_or(0)
}

/// The axes of a window, an axis of one tap being added to a single one.
fn axes(conv: &crate::anchor::Conv) -> Option<[Axis; 2]> {
    let axis = |i: usize| {
        let number = |n: usize| u32::try_from(n).ok();
        let taps = number(*conv.kernel.get(i)?)?;
        let (stride, dilation) = (number(*conv.strides.get(i)?)?, number(*conv.dilations.get(i)?)?);
        Some(Axis { taps, stride, dilation, before: number(conv.pads.get(i)?.0)? })
    };
    match conv.kernel.len() {
        1 => Some([Axis { taps: 1, stride: 1, dilation: 1, before: 0 }, axis(0)?]),
        _ => Some([axis(0)?, axis(1)?]),
    }
}

/// The widest way to fill a patch. `columns` are the pixels of an image's row if no gaps are between pixels; `aligned` the elements before the
/// first pixel and from one to the next.
fn fill(size: u32, pixel: u32, channels: u32, columns: Option<&Dim>, aligned: [&Dim; 2], most: u32) -> Fill {
    let multiple = |dim: &Dim, n: u32| layout::is_multiple(dim, u64::from(n));
    if channels * size == pixel {
        let fits = |bytes: &u32| {
            let elements = bytes / size;
            let whole = match bytes.checked_div(pixel) {
                Some(group) if group > 1 => columns.is_some_and(|columns| multiple(columns, group)),
                _ => pixel.is_multiple_of(*bytes) && multiple(aligned[1], elements),
            };
            *bytes <= most && whole && multiple(aligned[0], elements)
        };
        return [16, 8, 4].into_iter().find(fits).map_or(Fill::Elements, |bytes| Fill::Copies { bytes });
    }
    let pixels = 16 / pixel;
    let groups = columns.is_some_and(|columns| pixels > 0 && multiple(columns, pixels));
    match groups && most >= 4 && multiple(aligned[0], 4 / size) && (pixels * channels * size).is_multiple_of(4) {
        true => Fill::Narrow { pixels },
        false => Fill::Elements,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anchor::Conv;
    use crate::dtype::DType;
    use crate::plan::{BufferId, Operand};
    use crate::scalar::{Number, Scalar};

    const PATCH: Patch = Patch { rows: 8, columns: 32, filters: 32, warps: 4, walk: 4, copy: (16, 16) };

    fn product(dtype: DType, channels: i64, kernel: usize, stride: usize, pad: usize) -> Product {
        let conv = Conv {
            kernel: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            pads: vec![(pad, pad); 2],
            groups: 1,
            bias: false,
        };
        Product {
            name: "conv".into(),
            a: Operand { buffer: BufferId(0), dtype },
            b: Operand { buffer: BufferId(1), dtype },
            accumulator: if dtype.is_float() { DType::F32 } else { DType::I32 },
            contraction: Contraction::Conv {
                images: 1.into(),
                input: vec![640.into(), 640.into()],
                output: vec![320.into(), 320.into()],
                channels: channels.into(),
                first: 0.into(),
                pitch: channels.into(),
                filters: 32.into(),
                conv,
                pad: Scalar::new(dtype, if dtype.is_float() { Number::Float(0.0) } else { Number::Int(0) }),
            },
        }
    }

    #[test]
    fn the_first_layer_reads_without_conflicts() {
        // Four reads a step, of one pass each.
        for (dtype, channels, steps, passes) in [(DType::F16, 4, 9, 36), (DType::F16, 3, 9, 36), (DType::I8, 3, 5, 20)]
        {
            let layout = PatchLayout::of(&product(dtype, channels, 6, 2, 2), &PATCH).unwrap();
            assert_eq!((layout.steps, layout.wavefronts()), (steps, passes), "{dtype} {layout:?}");
            // Two taps of halves are a row of a matrix; the next window of codes begins within one.
            assert_eq!(layout.in_matrices(), dtype == DType::F16);
        }
    }

    #[test]
    fn copies_begin_where_their_size_divides() {
        for (channels, pad, fill, shift) in [
            (4, 2, Fill::Copies { bytes: 16 }, 0),
            (4, 1, Fill::Copies { bytes: 16 }, 1),
            (3, 1, Fill::Narrow { pixels: 2 }, 1),
            (6, 1, Fill::Narrow { pixels: 1 }, 0),
            (5, 1, Fill::Elements, 0),
            (8, 1, Fill::Copies { bytes: 16 }, 0),
        ] {
            let layout = PatchLayout::of(&product(DType::F16, channels, 3, 2, pad), &PATCH).unwrap();
            assert_eq!((layout.fill, layout.shift), (fill, shift), "{channels} channels");
            assert!(layout.pitch >= layout.width * layout.pixel && layout.pitch.is_multiple_of(16));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let first = product(DType::F16, 4, 6, 2, 2);
        for patch in [
            Patch { columns: 8, ..PATCH },
            Patch { warps: 3, ..PATCH },
            Patch { warps: 0, ..PATCH },
            Patch { filters: 24, ..PATCH },
            Patch { rows: 64, ..PATCH },
        ] {
            assert_eq!(PatchLayout::of(&first, &patch), None, "{patch:?}");
        }
        for other in
            [product(DType::F16, 64, 3, 1, 1), product(DType::F16, 4, 1, 1, 0), product(DType::F32, 4, 3, 1, 1)]
        {
            assert_eq!(PatchLayout::of(&other, &PATCH), None);
        }
    }
}
