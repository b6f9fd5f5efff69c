//! Kernels with a matrix product or convolution: tiles of it by tensor cores (or, for f32, by `FFMA`), whose accumulators the body takes over through
//! shared memory, a vector of adjacent columns of a row at a time.

mod depthwise;
mod factor;
mod patch;
mod specialised;
mod wgmma;
mod window;

pub use depthwise::depthwise;
pub use patch::patch;

use super::lines::{self, Band};
use super::{Filled, Parts};
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::Param;
use crate::emit::{EmitError, names};
use crate::plan::{Access, Blocking, Contraction, Engine, Extent, Product, layout};
use crate::target::{Arch, Target};
use factor::{Factor, Lines, Run, Strides, run_of};
use specialised::Specialised;
use window::Window;

/// Steps up to which a kernel asks before each copy whether its step exists. With more it costs more than it saves: the copies then stand
/// between the multiplications as the compiler likes it.
const FEW_STEPS: u64 = 8;

/// Fills the skeleton of products.
pub fn product(parts: &Parts, tile: &Blocking, vector: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let product = kernel.product.as_deref().ok_or_else(|| unfit("a tile needs a product"))?;
    let width = parts.width();
    let extent = product.contraction.extent().map_err(dim)?;
    let size = product.a.dtype.bits() / 8;
    let shape = Shape::new(tile, size).ok_or_else(|| unfit("its warps do not fill its tile"))?;
    if (tile.engine == Engine::Simt) != (product.a.dtype == DType::F32) || parts.table.is_some() {
        return Err(unfit("its engine does not multiply such elements"));
    }
    let factor = |name, extent: u32, first, limit, rows: &Dim, depth: &Dim| Factor {
        name,
        size,
        extent,
        first,
        limit,
        rows: rows.clone(),
        depth: depth.clone(),
        copy: 0,
        turns: shape.turns,
        tile,
        width,
    };
    let mut a = factor("a", tile.m, "m0", "rows", &extent.m, &extent.k);
    let mut b = factor("b", tile.n, "n0", "columns", &extent.n, &extent.k);
    let specialised = match tile.engine.is_specialised() {
        true => Some(
            Specialised::of(product, tile, width).ok_or_else(|| unfit("no tensor map fits its factors or its tile"))?,
        ),
        false => None,
    };
    let (a_run, b_run, a_lines, b_lines) = match &specialised {
        Some(maps) => (maps.run(0), maps.run(1), Lines::default(), Lines::default()),
        None => factors(product, &extent, &mut a, &mut b).map_err(dim)?,
    };

    let mut indexer = Indexer { domain: &kernel.domain, width, params: Vec::new() };
    let tiles_m = extent.m.ceil_div(&Dim::from(tile.m as usize)).map_err(dim)?;
    let tiles_n = extent.n.ceil_div(&Dim::from(tile.n as usize)).map_err(dim)?;
    for (name, size) in [
        ("rows", &extent.m),
        ("columns", &extent.n),
        ("depth", &extent.k),
        ("tiles_m", &tiles_m),
        ("tiles_n", &tiles_n),
    ] {
        indexer.param(Param::size(name.into(), size, width));
    }
    let batch = batch_lines(&mut indexer, &extent, &tiles_m, &tiles_n).map_err(dim)?;
    let grouped = matches!(product.contraction, Contraction::Conv { .. }) && !batch.is_empty();
    let tail = !layout::is_multiple(&extent.n, vector.into());
    if grouped && tail && vector > 1 {
        return Err(unfit("its vectors reach into the next group"));
    }
    let (places, mut lines) = row_lines(parts, &mut indexer, vector, tail);

    let row_vectors = shape.wn / vector;
    let still = row_vectors <= 32;
    let mut columns = vec![match grouped {
        true => "const idx column = batch * columns + local;".to_owned(),
        false => "const idx column = local;".to_owned(),
    }];
    if tail {
        columns.push(format!("const u32 live = columns - local < {vector}u ? (u32)(columns - local) : {vector}u;"));
    }
    let acc_type = if product.accumulator == DType::I32 { "i32" } else { "float" };
    let (a_rows, a_pieces) = a.rows_and_pieces(a_run);
    let (b_rows, b_pieces) = b.rows_and_pieces(b_run);
    // Of `wgmma`'s widest swizzle, the pattern repeats every 1024 bytes from address 0.
    let align = if tile.engine.is_wgmma() { 1024 } else { 16 };
    let bytes = |rows: u32, pieces: u32| (rows * pieces * 16).next_multiple_of(align);
    let (a_bytes, b_bytes) = (bytes(a_rows, a_pieces), bytes(b_rows, b_pieces));
    let warps = tile.warps.0 * tile.warps.1;
    let stride = tile.row_pitch();
    let tensor = tile.engine != Engine::Simt;
    let registers = shape.mi * shape.ni * if tensor { 4 } else { 1 };
    let register = match tensor {
        true => format!("acc[i / {0}][i / 4 % {1}][i % 4]", 4 * shape.ni, shape.ni),
        false => format!("acc[i / {0}][i % {0}]", shape.ni),
    };
    let setup: Vec<String> = a_lines.setup.iter().chain(&b_lines.setup).cloned().collect();
    let fetch: Vec<String> = a_lines.fetch.iter().chain(&b_lines.fetch).cloned().collect();

    let mut context = parts.context();
    let what = format!(
        "A block computes {}x{} accumulators; then each thread takes {vector} adjacent ones at a time.",
        tile.m, tile.n
    );
    context.insert("what", &what);
    context.insert("threads", &tile.threads());
    context.insert("tile", tile);
    context.insert("late", &true);
    context.insert("tensor", &tensor);
    context.insert("mma", &mma(product));
    context.insert("acc_type", acc_type);
    for (name, value) in [
        ("slices", tile.slices),
        ("split", tile.split),
        ("warps", warps),
        ("warps_m", tile.warps.0),
        ("wm", shape.wm),
        ("wn", shape.wn),
        ("mi", shape.mi),
        ("ni", shape.ni),
        ("pairs", shape.ni / 2),
        ("rows_at_once", tile.rows_at_once()),
        ("blocks", shape.wm / tile.rows_at_once()),
        ("parts", shape.parts),
        ("turns", shape.turns),
        ("apart", shape.apart),
        // With two, the fragments of the next part are on their way while one is multiplied: for warps whose accumulators leave room for
        // few others on the multiprocessor. More warps hide the way as well, and need their registers.
        ("buffers", if shape.parts % 2 == 0 && registers >= 128 { 2 } else { 1 }),
        ("stages", tile.stages),
        ("band", tile.band),
        ("a_bytes", a_bytes),
        ("stage_bytes", a_bytes + b_bytes),
        ("a_pieces", a_pieces),
        ("b_pieces", b_pieces),
        ("stride", stride),
        ("registers", registers),
        ("row_vectors", row_vectors),
        ("vector", vector),
        ("lanes", vector),
    ] {
        context.insert(name, &value);
    }
    context.insert("engine", &tile.engine);
    context.insert("specialised", &specialised.is_some());
    if let Some(maps) = &specialised {
        maps.insert(&mut context, tile);
    }
    if tile.engine.is_wgmma() {
        wgmma::insert(&mut context, product, &shape, (&a, a_run), (&b, b_run));
    }
    context.insert("register", &register);
    context.insert("a_across", &(a_run == Run::Across));
    context.insert("b_across", &(b_run == Run::Across));
    context.insert("still", &still);
    context.insert("tail", &tail);
    // The products of a batch lie below one another; the groups of a convolution side by side.
    context.insert("stacked", &(!batch.is_empty() && !grouped));
    context.insert("batch", &batch);
    context.insert("setup", &setup);
    context.insert("fetch", &fetch);
    context.insert("columns", &columns);
    let (fixed, varying) = sort_out(parts, places, &lines.prologue);
    lead_with_accumulator(&mut lines, product, "sum[e]");
    lines.insert(&mut context);
    let (early, fixed) = match still {
        true => ahead(parts, fixed, vector),
        false => (Vec::new(), fixed),
    };
    context.insert("early", &early);
    // Where steps are few, those that do not exist are not copied as zeros either.
    let steps = extent.k.known().map(|k| k.unsigned_abs().div_ceil(tile.k.into()));
    context.insert("few", &steps.is_some_and(|steps| steps <= FEW_STEPS));
    context.insert("fixed", &fixed);
    context.insert("varying", &varying);

    let stages = tile.stages * (a_bytes + b_bytes);
    let shared = match specialised {
        Some(_) => specialised::shared(tile, stages),
        None => stages.max(tile.staging()).max((tile.slices - 1) * warps * registers * 128),
    };
    let pointers = match &specialised {
        Some(maps) => maps.params(),
        None => [Param::factor(0, product.a.dtype, a.copy), Param::factor(1, product.b.dtype, b.copy)],
    };
    let scratch = if tile.split > 1 { Param::scratch().to_vec() } else { Vec::new() };
    let pointers = pointers.into_iter().chain(lines.pointers).chain(scratch).collect();
    let sizes = a_lines.params.into_iter().chain(b_lines.params).chain(indexer.params).collect();
    let params = parts.params(pointers, sizes);
    let mut pairs = vec![(extent.m, tile.m.into()), (extent.n, tile.n.into())];
    pairs.extend(extent.batch.into_iter().map(|d| (d, 1)));
    let name = format!("{}_{}", kind(&product.contraction), parts.name());
    let blocks = match tile.split {
        _ if specialised.is_some() => {
            let multiprocessors = Target::of(Arch::SM_90).part.sms;
            Blocks::Walk { tiles: pairs, multiprocessors }
        }
        1 => Blocks::Tiles(pairs),
        split => Blocks::Split { tiles: pairs, split, words: 32 * warps * registers },
    };
    Ok(Filled { name, template: "product", context, params, blocks, dynamic_shared: shared })
}

/// The first part of the kernel's name.
fn kind(contraction: &Contraction) -> &'static str {
    match contraction {
        Contraction::Matrix { .. } => "gemm",
        Contraction::Conv { .. } => "conv",
    }
}

/// Lines for one row of a thread: those that find its places in memory, and the others.
fn row_lines(parts: &Parts, indexer: &mut Indexer, vector: u32, tail: bool) -> (Vec<String>, lines::Lines) {
    let kernel = parts.kernel;
    let axes: Vec<usize> = (0..kernel.domain.len().saturating_sub(1)).collect();
    let tiles = (vec![None; kernel.loads.len()], vec![None; kernel.stores.len()]);
    let band = Band { vector, rows: 1, pitch: 1, axis: axes.last().copied(), tail, edge: false, tiles };
    let moving = lines::moving(parts, &band);
    let moved = indexer.moved(moving.iter().map(|(_, access)| *access), axes.len());
    let mut places = indexer.coordinates("row", &axes, &moved);
    for (pointer, access) in &moving {
        let offset = indexer.offset(pointer, access, axes.iter().copied());
        places.push(format!("const off {pointer}_at = {offset};"));
    }
    (places, lines::write(parts, indexer, &band))
}

/// The lines before a row's elements that depend on the column alone, and the others.
fn sort_out(parts: &Parts, places: Vec<String>, prologue: &[String]) -> (Vec<String>, Vec<String>) {
    let kernel = parts.kernel;
    let outer = kernel.domain.len().saturating_sub(1);
    let still = |access: &Access| {
        access.strides[..outer].iter().zip(&kernel.domain).all(|(stride, size)| stride.is(0) || size.is(1))
    };
    let loads = kernel.loads.iter().enumerate().map(|(i, load)| (names::load(i), &load.access));
    let stores = kernel.stores.iter().enumerate().map(|(i, store)| (names::store(i), &store.access));
    let moving: Vec<String> =
        loads.chain(stores).filter(|(_, access)| !still(access)).map(|(pointer, _)| format!("{pointer}_at")).collect();
    let is_fixed = |line: &String| {
        let coordinate = line.starts_with("const idx ");
        !coordinate && line.contains(" = ") && !moving.iter().any(|name| lines::is_in(name, line))
    };
    places.into_iter().chain(prologue.iter().cloned()).partition(is_fixed)
}

/// Of the lines that depend on the column alone: those that go before the main loop, and the others. What is short is loaded there, the rest
/// called into the nearest cache, so that the epilogue does not begin with waiting for it.
fn ahead(parts: &Parts, fixed: Vec<String>, vector: u32) -> (Vec<String>, Vec<String>) {
    const FEW_BYTES: u64 = 16;
    let kernel = parts.kernel;
    let (mut early, late): (Vec<String>, Vec<String>) =
        fixed.into_iter().partition(|line| line.starts_with("const off "));
    let outer = kernel.domain.len().saturating_sub(1);
    let of_column = |access: &Access| {
        let still = access.strides[..outer].iter().zip(&kernel.domain).all(|(stride, size)| stride.is(0) || size.is(1));
        still && access.inner().is(1) && !access.is_uniform(&kernel.domain)
    };
    let loads: Vec<usize> =
        (0..kernel.loads.len()).filter(|&i| parts.used(i) && of_column(&kernel.loads[i].access)).collect();
    let bytes: u64 = loads.iter().map(|&i| parts.load_bytes(i) * u64::from(vector)).sum();
    if bytes <= FEW_BYTES {
        early.extend(late);
        return (early, Vec::new());
    }
    for i in loads {
        let pointer = names::load(i);
        // A line of the cache a call; vectors of a lane are no longer.
        early.push(format!("prefetch({pointer} + {pointer}_at + column);"));
    }
    (early, late)
}

/// Puts the accumulator in front of an element's lines; `at` names the one with index `e` where that is not known when compiling.
fn lead_with_accumulator(lines: &mut lines::Lines, product: &Product, at: &str) {
    let (c_type, wide, dtype) = match product.accumulator {
        DType::I32 => ("i32", "i32", "i32"),
        _ => ("float", "double", "f32"),
    };
    let name = names::PRODUCT;
    lines.lead(format!("const {c_type} {name} = get_{dtype}(acc_w, e);"), format!("const {wide} {name} = {at};"));
}

/// How a tile is shared out.
struct Shape {
    /// A warp's rows and columns.
    wm: u32,
    wn: u32,
    /// Fragments of them: 16 rows and 8 columns of a tensor core, 4 rows and 8 columns of single elements.
    mi: u32,
    ni: u32,
    /// Fragments of a step's terms that one slice takes.
    parts: u32,
    /// Turns in which a thread's copies for a later step are shared out among the multiplications of one.
    turns: u32,
    /// Rows from one fragment of a warp to its next: the four warps of a `wgmma` take 16 of each 64.
    apart: u32,
}

impl Shape {
    fn new(tile: &Blocking, size: u32) -> Option<Shape> {
        let Blocking { m, n, k, warps, slices, stages, .. } = *tile;
        let powers = [m, n, k, warps.0, warps.1, slices].iter().all(|x| x.is_power_of_two());
        let (wm, wn) = (m / warps.0.max(1), n / warps.1.max(1));
        let terms = match tile.engine {
            Engine::Simt => 4,
            _ => 32 / size,
        };
        let fits = powers
            && tile.split > 0
            && wm >= 16
            && wn >= 16
            && k >= terms * slices
            && k * size >= 16
            && stages >= 2
            && tile.band > 0;
        // Each thread copies pieces of one column.
        let copies = tile.threads() >= (k * size / 16).max(m * size / 16).max(n * size / 16);
        let rows = if tile.engine == Engine::Simt { 4 } else { 16 };
        let grouped = !tile.engine.is_wgmma() || wgmma::fits(tile, wn, k * size);
        (fits && copies && grouped).then(|| {
            let parts = k / terms / slices;
            let mi = wm / rows;
            // All within the first part: in the last, the next step's copies are waited for, and more turns are more code than they hide.
            let turns = if tile.engine == Engine::Simt { 4 } else { mi };
            let apart = if tile.engine.is_wgmma() { 64 } else { 16 };
            Shape { wm, wn, mi, ni: wn / 8, parts, turns, apart }
        })
    }
}

fn mma(product: &Product) -> String {
    match product.a.dtype {
        DType::F16 => "mma_f16".to_owned(),
        DType::BF16 => "mma_bf16".to_owned(),
        a => format!("mma_codes<{}, {}>", a == DType::I8, product.b.dtype == DType::I8),
    }
}

/// The lines that tell which product of the batch a block computes a tile of; none if there is only one.
fn batch_lines(indexer: &mut Indexer, extent: &Extent, tiles_m: &Dim, tiles_n: &Dim) -> Result<Vec<String>, DimError> {
    if extent.batch.is_empty() {
        return Ok(Vec::new());
    }
    indexer.param(Param::size("tiles".into(), &tiles_m.mul(tiles_n)?, indexer.width));
    let mut lines = vec![
        "const u32 nth = tile / (u32)tiles;".to_owned(),
        "const idx batch = nth;".to_owned(),
        "tile -= nth * (u32)tiles;".to_owned(),
    ];
    let mut rest = "batch".to_owned();
    for (i, size) in extent.batch.iter().enumerate().skip(1).rev() {
        let quotient = indexer.quotient(&rest, &format!("batch{i}"), size);
        lines.push(format!("const idx batch{i}_q = {quotient};"));
        lines.push(format!("const idx batch{i}_at = {rest} - batch{i}_q * batch{i};"));
        rest = format!("batch{i}_q");
    }
    lines.push(format!("const idx batch0_at = {rest};"));
    Ok(lines)
}

/// The lines of both factors, and the direction of their tiles in shared memory.
fn factors(
    product: &Product,
    extent: &Extent,
    a: &mut Factor,
    b: &mut Factor,
) -> Result<(Run, Run, Lines, Lines), DimError> {
    let (most_a, most_b) = a.tile.copy;
    match &product.contraction.as_matrix()? {
        Some(Contraction::Matrix { batch, a: at, b: by, .. }) => {
            let many: Vec<usize> = (0..batch.len()).filter(|&i| !batch[i].is(1)).collect();
            let strides = |access: &Access, row: usize, term: usize| Strides {
                row: access.strides[batch.len() + row].clone(),
                term: access.strides[batch.len() + term].clone(),
                batch: many.iter().map(|&i| access.strides[i].clone()).collect(),
            };
            let (a_strides, b_strides) = (strides(at, 0, 1), strides(by, 1, 0));
            let (a_run, a_copy) = run_of(a.size, &at.offset, &a_strides, most_a);
            let (b_run, b_copy) = run_of(b.size, &by.offset, &b_strides, most_b);
            (a.copy, b.copy) = (a_copy, b_copy);
            Ok((a_run, b_run, a.matrix(a_run, &a_strides), b.matrix(b_run, &b_strides)))
        }
        _ => {
            let window = window(&product.contraction);
            let Some(window) = window else { return Err(DimError::Overflow("a convolution".into())) };
            a.copy = window.copy(a.size, most_a)?;
            let batch = if extent.batch.is_empty() { Vec::new() } else { vec![extent.n.mul(&extent.k)?] };
            let strides = Strides { row: extent.k.clone(), term: Dim::ONE, batch };
            let (b_run, b_copy) = run_of(b.size, &Dim::ZERO, &strides, most_b);
            b.copy = b_copy;
            let lines = window.lines(a)?;
            Ok((Run::Deep, b_run, lines, b.matrix(b_run, &strides)))
        }
    }
}

fn window(contraction: &Contraction) -> Option<Window<'_>> {
    match contraction {
        Contraction::Conv { input, output, channels, first, pitch, conv, pad, .. } => {
            Some(Window { conv, input, output, channels, pitch, first, pad: *pad })
        }
        Contraction::Matrix { .. } => None,
    }
}
