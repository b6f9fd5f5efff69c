//! The tiles of convolutions of few channels, and what they are predicted to take: what a tile needs of each unit of a multiprocessor, one
//! unit's work hiding most of the others'.
//!
//! The rates are those of the hardware and of launches of other kernels on the H200; how well the units hide one another is an
//! assumption (benches/NOTES.md).

use super::super::{codes16, vector};
use super::model;
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::plan::{Contraction, Fill, Form, Kernel, Patch, PatchLayout, Product, layout};
use crate::target::Target;

/// How many times longer launches on the H200 take than the model has their units take: 1.5 to 2.0 in nine convolutions of 4, 16 and 32 channels.
const MEASURED: f64 = 1.6;
/// Channels up to which gathering takes longer than its model has it, by no less than a patch does.
const FEW: i64 = 4;
/// Filters of a patch that is chosen without a measurement.
const FILTERS: u32 = 32;
/// Multiply-adds that one SM does in a clock of 16-bit floats and of codes: 650 TFLOPS and 1280 TOPS, measured.
const RATE: (f64, f64) = (1243.0, 2449.0);
/// The share of what the other units do that the busiest does not hide.
const SHOWS: f64 = 0.25;
/// Clocks from the launch of a block to its first multiplication and from its last to its end; of a tile that a block has alone, beside its
/// work; and how many times longer its work takes alone than shared out among several.
/// The columns' constants of a kernel of codes take as long again.
const START: f64 = 3100.0;
const LATENCY: f64 = 1000.0;
const ALONE: f64 = 3.0;
/// Instructions of a thread for one copy to the patch: asynchronous, and through registers; and for the addresses of a vector.
const COPY: (f64, f64) = (14.0, 24.0);
const VECTOR: f64 = 10.0;
/// Registers of a thread beside its accumulators.
const REGISTERS: u32 = 56;
/// Clocks that an SM takes for each copy of the gathering main loop: some 12 instructions of one lane of 128 (counted in its text).
const GATHER: f64 = 12.0 / 128.0;

/// Rows, columns, filters and warps.
const TILES: [(u32, u32, u32, u32); 16] = [
    (16, 32, 32, 8),
    (8, 32, 32, 4),
    (8, 16, 32, 2),
    (8, 16, 32, 4),
    (4, 16, 32, 2),
    (8, 32, 16, 4),
    (8, 16, 16, 2),
    (4, 16, 16, 2),
    (8, 32, 64, 8),
    (8, 16, 64, 4),
    (4, 16, 64, 2),
    (1, 256, 32, 4),
    (1, 128, 32, 4),
    (1, 256, 16, 4),
    (1, 128, 64, 4),
    (1, 64, 32, 2),
];
/// Tiles that a block walks down.
const WALKS: [u32; 4] = [1, 2, 4, 8];

/// The patches that a product fits, with the time that each is predicted to take, the fastest first.
pub fn candidates(kernel: &Kernel, product: &Product, target: &Target, sizes: &Bindings) -> Vec<(Patch, f64)> {
    let tiles = TILES.iter().flat_map(|&(rows, columns, filters, warps)| {
        WALKS.map(|walk| Patch { rows, columns, filters, warps, walk, copy: (16, 16) })
    });
    let timed = tiles.filter_map(|patch| Some((patch, time(kernel, product, &patch, target, sizes)?)));
    let mut timed: Vec<(Patch, f64)> = timed.collect();
    timed.sort_by(|a, b| a.1.total_cmp(&b.1));
    timed
}

/// The form, with vectors of as many of a lane's filters as its memory allows.
pub fn with(kernel: &Kernel, patch: Patch) -> Form {
    Form::Patch { patch, vector: vector::columns(kernel, (patch.filters / 4).min(16)) }
}

/// The best patch, where it takes less time than gathering the same terms: `gathered`, which does not count the
/// instructions of the copies.
pub fn choose(kernel: &Kernel, product: &Product, target: &Target, sizes: &Bindings, gathered: f64) -> Option<Form> {
    // Wider results leave a patch in rows too short for memory, and more filters leave a multiprocessor too few blocks: both were slower than
    // the model has it.
    if kernel.stores.iter().any(|store| store.dtype.bits() > 16) {
        return None;
    }
    let narrow = candidates(kernel, product, target, sizes).into_iter().find(|(patch, _)| patch.filters <= FILTERS);
    let (patch, us) = narrow?;
    let few = matches!(&product.contraction, Contraction::Conv { channels, .. } if channels.known().is_some_and(|n| n <= FEW));
    let us = if few { us / MEASURED } else { us };
    let copies = copies(product, sizes)? * GATHER / f64::from(target.part.sms) / f64::from(target.part.clock_mhz);
    (us < gathered + copies).then(|| with(kernel, patch))
}

/// Copies that gather the terms of all pixels: of as many bytes as a pixel's channels allow.
fn copies(product: &Product, sizes: &Bindings) -> Option<f64> {
    let Contraction::Conv { channels, .. } = &product.contraction else { return None };
    let extent = product.contraction.extent().ok()?;
    let bytes = u64::from(product.a.dtype.bits() / 8);
    let widest = layout::power_of_two(channels, 16 / bytes);
    let copy = if widest * bytes >= 4 { widest } else { 1 };
    Some(size(&extent.m, sizes, 4096.0) * size(&extent.k, sizes, 1.0) / copy as f64)
}

/// A size that is not known counts as a large one.
fn size(dim: &Dim, sizes: &Bindings, unknown: f64) -> f64 {
    dim.eval(sizes).map_or(unknown, |n| n as f64)
}

/// µs that a patch takes; `None` if the product does not fit it or the target has no room for it.
pub fn time(kernel: &Kernel, product: &Product, patch: &Patch, target: &Target, sizes: &Bindings) -> Option<f64> {
    let place = PatchLayout::of(product, patch)?;
    let Contraction::Conv { images, input, output, channels, filters, .. } = &product.contraction else { return None };
    let (sms, clock) = (f64::from(target.part.sms), f64::from(target.part.clock_mhz));
    let warps = f64::from(patch.warps);
    let registers = 4 * place.fragments * patch.filters / 8 + REGISTERS;
    let resident = target.blocks_per_sm(32 * patch.warps, registers, place.shared(patch));
    if resident == 0 {
        return None;
    }

    let (images, filters) = (size(images, sizes, 1.0), size(filters, sizes, 64.0));
    let last = output.len() - 1;
    let down = if last == 0 { 1.0 } else { size(&output[0], sizes, 256.0) };
    let across = size(&output[last], sizes, 256.0);
    let tiles = (down / f64::from(patch.rows)).ceil();
    let columns = (across / f64::from(patch.columns)).ceil() * (filters / f64::from(patch.filters)).ceil() * images;
    let blocks = columns * (tiles / f64::from(patch.walk)).ceil();
    let walked = f64::from(patch.walk).min(tiles);

    // What a tile needs of each unit, in clocks.
    let floats = product.accumulator.is_float();
    let pixels = f64::from(patch.rows * patch.columns);
    let elements = pixels * f64::from(patch.filters);
    let steps = f64::from(place.steps);
    let terms = steps * 32.0 / f64::from(place.size);
    let tensor = elements * terms / if floats { RATE.0 } else { RATE.1 };
    let multiplications = steps * f64::from(place.fragments * patch.filters / 8);
    let fills = f64::from(place.patch_bytes());
    let of_patch = steps * f64::from(place.fragments) * if place.in_matrices() { 1.0 } else { 4.0 };
    let of_weights = steps * f64::from(patch.filters / 8);
    let copied = match place.fill {
        Fill::Copies { bytes } => fills / f64::from(bytes) * COPY.0,
        Fill::Narrow { pixels } => fills / f64::from(pixels * place.pixel) * COPY.1,
        Fill::Elements => fills / f64::from(place.pixel) * (COPY.1 + 2.0 * f64::from(place.channels)),
    };
    let stored = f64::from(kernel.stores.iter().map(|s| s.dtype.bits()).sum::<u32>()) / 8.0;
    // A pass moves 128 bytes: half of a warp's weights.
    let passes = pixels / 16.0 * f64::from(place.wavefronts()) + warps * of_weights * 2.0;
    let shared = passes + (fills + elements * stored) / 128.0;
    let [slow, fma, alu, issue] = codes16::pipes(kernel, target).map(|clocks| clocks * elements);
    let codes = kernel.stores.iter().any(|s| s.dtype.bits() == 8 && s.dtype != DType::Bool);
    let vectors = elements / f64::from(patch.filters / 4) * VECTOR;
    let guards = if codes { elements * 6.0 } else { 0.0 };
    let threads = f64::from(target.rates.issue);
    let issue =
        issue + (32.0 * warps * (multiplications + of_patch + of_weights) + copied + vectors + guards) / threads;
    let units = [tensor, shared, slow, fma, alu, issue];
    let most = units.into_iter().fold(0.0, f64::max);
    let tile = most + SHOWS * (tensor + shared + slow + issue - most).max(0.0);

    let resident = f64::from(resident);
    let start = if codes { 2.0 * START } else { START };
    let clocks = |together: f64| start + walked * (tile * together).max(LATENCY + ALONE * tile);
    let waves = (blocks / (sms * resident)).floor();
    let rest = blocks - waves * sms * resident;
    let last = if rest > 0.0 { clocks((rest / sms).ceil()) } else { 0.0 };
    let busy = MEASURED * (waves * clocks(resident) + last) / clock;
    let read = input.iter().map(|d| size(d, sizes, 512.0)).product::<f64>() * images * size(channels, sizes, 4.0);
    let moved = read * f64::from(place.size) + images * down * across * filters * model::moved(kernel);
    Some(busy.max(moved / target.part.copy_gbs() / 1e3) + target.part.launch_us)
}
