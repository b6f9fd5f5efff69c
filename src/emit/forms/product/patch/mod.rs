//! Convolutions of few channels: a tile of pixels a block, read in place from a patch of the input in shared memory, as [`PatchLayout`] says.
//!
//! A lane's accumulators are made to be adjacent filters of a pixel, by the order in which the weights are laid down; so the body takes them
//! over from its own registers, and what eight pixels store is one stretch of memory.

mod fill;

use super::super::{Filled, Parts};
use super::{ahead, lead_with_accumulator, mma, row_lines, sort_out};
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::emit::EmitError;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::Param;
use crate::plan::{Contraction, Patch, PatchLayout, layout};
use fill::Filler;

/// Fills the skeleton of patches.
pub fn patch(parts: &Parts, patch: &Patch, vector: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let product = kernel.product.as_deref().ok_or_else(|| unfit("a patch needs a product"))?;
    let place = PatchLayout::of(product, patch).filter(|_| parts.table.is_none());
    let place = place.ok_or_else(|| unfit("its product is no convolution that such a patch holds"))?;
    let Contraction::Conv { images, input, output, filters, pitch, pad, .. } = &product.contraction else {
        return Err(unfit("its product is no convolution"));
    };
    let of_lane = patch.filters / 4;
    if vector == 0 || !vector.is_power_of_two() || vector > of_lane || !layout::is_multiple(filters, vector.into()) {
        return Err(unfit("its vectors do not fit its filters"));
    }
    let width = parts.width();
    let ones = vec![Dim::ONE; 2 - input.len()];
    let plane = |sizes: &[Dim]| [&ones[..], sizes].concat();
    let (inputs, outputs) = (plane(input), plane(output));

    let mut indexer = Indexer { domain: &kernel.domain, width, params: Vec::new() };
    let walked = patch.rows * patch.walk;
    let tiles = |size: &Dim, of: u32| size.ceil_div(&Dim::from(of as usize));
    let tiles_y = tiles(&outputs[0], walked).map_err(dim)?;
    let tiles_x = tiles(&outputs[1], patch.columns).map_err(dim)?;
    let tiles_n = tiles(filters, patch.filters).map_err(dim)?;
    let mut setup = Vec::new();
    for (rest, name, by) in [("blockIdx.x", "n", &tiles_n), ("by_n", "x", &tiles_x), ("by_x", "y", &tiles_y)] {
        let quotient = indexer.quotient(rest, &format!("tiles_{name}"), by);
        setup.push(format!("const idx by_{name} = {quotient}, at_{name} = (idx){rest} - by_{name} * tiles_{name};"));
    }
    for i in 0..2 {
        indexer.param(Param::size(format!("out{i}"), &outputs[i], width));
        indexer.param(Param::stride(format!("in{i}"), &inputs[i], width));
        let before = Dim::from(place.axes[i].before as usize);
        indexer.param(Param::stride(format!("before{i}"), &before, width));
    }
    indexer.param(Param::size("columns".into(), filters, width));
    indexer.param(Param::stride("pitch".into(), pitch, width));
    setup.push("const idx image = by_y;".to_owned());
    setup.push(format!(
        "const idx n0 = at_n * {}u, x_first = at_x * {}u, y_first = at_y * {walked}u;",
        patch.filters, patch.columns
    ));
    setup.push(format!(
        "const u32 tiles = min({}u, (u32)((out0 - y_first + {}u) / {}u));",
        patch.walk,
        patch.rows - 1,
        patch.rows
    ));

    let matrices = place.in_matrices();
    let masked = product.accumulator.is_float() && (0..place.steps).any(|step| place.live(step) < 8);
    let (patterns, steps) = steps(&place, matrices, masked);
    let (right, _) = place.moves();
    let warp = (0..patch.warps).map(|warp| place.fragment(warp * place.fragments)).collect::<Vec<_>>();
    let (row, own) = if matrices { ("lane % 16u", "lane / 16u") } else { ("lane / 4u", "lane % 4u") };
    setup.push(format!("const u32 first = {} + {row} * {right}u;", progression(&warp, "warp")));
    for (i, pattern) in patterns.iter().enumerate() {
        setup.push(format!("const u32 place{i} = first + {};", progression(pattern, own)));
    }

    let (places, mut lines) = row_lines(parts, &mut indexer, vector, false);
    // Adjacent filters of a lane, in registers of one fragment or several.
    let wide = vector.max(2);
    let passes = of_lane / vector;
    let still = passes == 1;
    let own = match vector {
        1 => "q / 2u * 8u + lane % 4u * 2u + q % 2u".to_owned(),
        _ if still => format!("lane % 4u * {wide}u"),
        _ => format!("q / {wide}u * {}u + lane % 4u * {wide}u", 4 * wide),
    };
    let (fixed, varying) = sort_out(parts, places, &lines.prologue);
    let (acc_type, at) = match product.accumulator {
        DType::I32 => ("i32", "(i32)word_at(acc_w, e)"),
        _ => ("float", "__uint_as_float(word_at(acc_w, e))"),
    };
    lead_with_accumulator(&mut lines, product, at);
    let (early, fixed) = match still {
        true => ahead(parts, fixed, vector),
        false => (Vec::new(), fixed),
    };
    let filler = Filler { patch, place: &place, wide };
    let fill = filler.patch(pad, &mut indexer);
    setup.extend(fill.setup);
    let (weights, b_align) = filler.weights();

    let mut context = parts.context();
    let what = format!(
        "A block convolves {}x{} pixels at a time by {} filters, from a patch of the input in shared memory.",
        patch.rows, patch.columns, patch.filters
    );
    context.insert("what", &what);
    context.insert("late", &true);
    context.insert("threads", &(32 * patch.warps));
    context.insert("patch", patch);
    context.insert("matrices", &matrices);
    context.insert("mma", &mma(product));
    context.insert("acc_type", acc_type);
    let offsets: Vec<u32> = (0..place.fragments).map(|i| place.fragment(i)).collect();
    context.insert("fragment", &progression(&offsets, "i"));
    for (name, value) in [
        ("mi", place.fragments),
        ("ni", patch.filters / 8),
        ("across", place.across),
        ("eight", 8 * right),
        ("weight_row", 8 * place.weight_pitch),
        ("weight_pitch", place.weight_pitch),
        ("weight_bytes", place.weight_bytes(patch.filters)),
        ("patch_bytes", place.patch_bytes()),
        ("vector", vector),
        ("lanes", vector),
        ("passes", passes),
    ] {
        context.insert(name, &value);
    }
    context.insert("patterns", &patterns.len());
    context.insert("steps", &steps);
    context.insert("masked", &masked);
    context.insert("own", &own);
    context.insert("still", &still);
    context.insert("tail", &false);
    context.insert("setup", &setup);
    context.insert("fetch", &fill.fetch);
    context.insert("weights", &weights);
    context.insert("columns", &["const idx column = local;"]);
    lines.insert(&mut context);
    context.insert("early", &early);
    context.insert("fixed", &fixed);
    context.insert("varying", &varying);

    let pointers = [Param::factor(0, product.a.dtype, fill.align), Param::factor(1, product.b.dtype, b_align)];
    let pointers = pointers.into_iter().chain(lines.pointers).collect();
    let params = parts.params(pointers, indexer.params);
    let pairs = vec![
        (images.clone(), 1),
        (outputs[0].clone(), walked.into()),
        (outputs[1].clone(), patch.columns.into()),
        (filters.clone(), patch.filters.into()),
    ];
    let name = format!("conv_{}", parts.name());
    Ok(Filled {
        name,
        template: "patch",
        context,
        params,
        blocks: Blocks::Tiles(pairs),
        dynamic_shared: place.shared(patch),
    })
}

/// The steps of the main loop, a line each, and what is added to the places of their words by lane: most steps have that in common.
///
/// Words behind the last have weights of zero, which makes nothing of codes; of floats they must not be infinite, and are `masked`.
fn steps(place: &PatchLayout, matrices: bool, masked: bool) -> (Vec<Vec<u32>>, Vec<String>) {
    let mut patterns: Vec<Vec<u32>> = Vec::new();
    let mut argument = |places: &[u32]| {
        let first = places.iter().copied().min().unwrap_or(0);
        let pattern: Vec<u32> = places.iter().map(|at| at - first).collect();
        let known = patterns.iter().position(|other| *other == pattern);
        let i = known.unwrap_or_else(|| {
            patterns.push(pattern);
            patterns.len() - 1
        });
        format!("from{i} + {first}u")
    };
    let mut lines = Vec::new();
    for step in 0..place.steps {
        let [low, high] = place.places(step);
        let mut args = match matrices {
            true => vec![argument(&[low[0], high[0]])],
            false => vec![argument(&low), argument(&high)],
        };
        args.push(format!("{}u", 32 * step));
        if masked {
            args.push(format!("{}u", place.live(step)));
        }
        lines.push(format!("multiply({});", args.join(", ")));
    }
    (patterns, lines)
}

/// An expression of `index` with these values at 0, 1, 2 …
fn progression(values: &[u32], index: &str) -> String {
    let step = values.get(1).map_or(0, |second| second.saturating_sub(values[0]));
    if values.iter().enumerate().all(|(i, value)| *value == step * i as u32) {
        return format!("{index} * {step}u");
    }
    // Rows of a tile, some fragments each.
    for n in (2..values.len()).filter(|n| values.len().is_multiple_of(*n)) {
        let down = values[n];
        if values.iter().enumerate().all(|(i, value)| *value == (i / n) as u32 * down + (i % n) as u32 * step) {
            return format!("({index} / {n}u * {down}u + {index} % {n}u * {step}u)");
        }
    }
    let last = values.len() - 1;
    let rest = values[last].to_string() + "u";
    (0..last).rev().fold(rest, |rest, i| format!("({index} == {i}u ? {}u : {rest})", values[i]))
}
