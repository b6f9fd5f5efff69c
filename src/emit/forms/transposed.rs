//! Tensors that lie the other way in memory, turned in shared memory: a block takes a tile of two axes. It reads what is adjacent
//! along one axis and writes what is adjacent along the other, both in whole lines of memory.

use super::lines::{self, Band, typed};
use super::{Filled, Parts};
use crate::dim::{Dim, DimError};
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::Param;
use crate::emit::{EmitError, names};
use crate::plan::{Access, Tile, Traffic, layout};

/// Fills the skeleton of tiles of `sides[0]` elements along `axis` and `sides[1]` along the innermost axis, `vector` adjacent elements
/// of each of its rows a thread.
pub fn transposed(parts: &Parts, axis: usize, sides: [u32; 2], vector: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let band = band(parts, axis, sides, vector)?;
    let inner_axis = kernel.domain.len() - 1;
    let (height, inner) = (&kernel.domain[axis], &kernel.domain[inner_axis]);
    let [tall, broad] = sides;
    let (high, wide) = (!layout::is_multiple(height, tall.into()), band.edge);
    let batch: Vec<usize> = (0..inner_axis).filter(|other| *other != axis).collect();
    let batches = batch.iter().try_fold(Dim::ONE, |n, other| n.mul(&kernel.domain[*other])).map_err(dim)?;

    let mut indexer = Indexer { domain: &kernel.domain, width: parts.width(), params: Vec::new() };
    let mut places = tile_of_block(&mut indexer, axis, sides).map_err(dim)?;
    for (there, name, size, side, start) in
        [(high, "high", ("height", height), tall, "top"), (wide, "wide", ("inner", inner), broad, "left")]
    {
        if there {
            let (param, dim) = size;
            indexer.param(Param::size(param.into(), dim, parts.width()));
            let rest = format!("{param} - {start}");
            places.push(format!("const u32 {name} = {rest} < {side}u ? (u32)({rest}) : {side}u;"));
        }
    }
    let moving = lines::moving(parts, &band);
    let turned = turned(parts, &band);
    let all = moving.iter().map(|(_, access)| *access).chain(turned.iter().map(|turned| turned.access));
    let moved: Vec<usize> = indexer.moved(all, inner_axis).into_iter().filter(|other| *other != axis).collect();
    places.extend(indexer.coordinates("batch", &batch, &moved));
    let mut offsets = Vec::new();
    for (pointer, access) in &moving {
        let offset = indexer.offset(pointer, access, 0..inner_axis);
        offsets.push(format!("const off {pointer}_at = {offset};"));
    }
    let (mut declared, mut brought, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for Turned { pointer, access, tile, is_store } in &turned {
        let (name, stride) = (names::tile(pointer), names::stride(pointer, inner_axis));
        let offset = indexer.offset(pointer, access, batch.iter().copied());
        let batch = if offset == "0" { String::new() } else { format!("{offset} + ") };
        indexer.param(Param::stride(stride.clone(), &access.inner(), parts.width()));
        offsets.push(format!("const off {pointer}_corner = {batch}(off)top + (off)left * {stride};"));
        let typed = typed(tile);
        declared.push(format!("__shared__ uint4 {name}[{typed}::PIECES];"));
        let align = lines::alignment_in_tile(access, axis, tile.size);
        let rows = if high { "high".to_owned() } else { format!("{tall}u") };
        let columns = if wide { "wide".to_owned() } else { format!("{broad}u") };
        let (function, into) = if *is_store { ("tile_out", &mut sent) } else { ("tile_in", &mut brought) };
        let ends = format!("{name}, {pointer} + {pointer}_corner, {stride}, {rows}, {columns}");
        let once = kernel.schedule.traffic == Traffic::Streamed;
        into.push(format!("{function}<{typed}, {align}, {}, {once}>({ends});", kernel.schedule.threads));
    }
    let lines = lines::write(parts, &mut indexer, &band);

    let mut guard = Vec::new();
    guard.extend(high.then(|| format!("down{} < high", band.step())));
    guard.extend(wide.then(|| "across < wide".to_owned()));
    let guard = guard.join(" && ");
    let row = names::index(axis);
    let broadness = broad / vector;
    let across = if vector == 1 { String::new() } else { format!(" * {vector}u") };
    // From the last to the first: what no line names would be a warning.
    let mut thread: Vec<String> = Vec::new();
    for (name, line) in [
        ("column", "const idx column = left + across;".to_owned()),
        (row.as_str(), format!("const idx {row} = top + down;")),
        ("live", format!("const u32 live = across < wide ? min(wide - across, {vector}u) : 0u;")),
        ("across", format!("const u32 across = threadIdx.x % {broadness}u{across};")),
        ("down", format!("const u32 down = threadIdx.x / {broadness}u;")),
    ] {
        let named = offsets.iter().chain(&thread).chain([&guard]).any(|line| lines::is_in(name, line));
        if named || lines.name(name) {
            thread.insert(0, line);
        }
    }
    places.extend(thread);
    places.extend(offsets);

    let mut context = parts.context();
    let each = if vector == 1 { "one element".to_owned() } else { format!("{vector} adjacent elements") };
    let of = if band.rows == 1 { "a row".to_owned() } else { format!("each of {} rows", band.rows) };
    context.insert("what", &format!("Each block computes {tall} x {broad} elements, each thread {each} of {of}."));
    context.insert("vector", &vector);
    context.insert("lanes", &parts.lanes(vector));
    context.insert("rows", &band.rows);
    context.insert("tail", &band.tail);
    context.insert("guard", &guard);
    context.insert("load_rows", &lines.load_rows());
    // A loop that indexes the registers of a row must be unrolled.
    context.insert("unroll", &lines.index_rows());
    for (name, lines) in [("places", &places), ("tiles", &declared), ("brought", &brought), ("sent", &sent)] {
        context.insert(name, lines);
    }
    lines.insert(&mut context);
    let params = parts.params(lines.pointers, indexer.params);
    let blocks = Blocks::Tiles(vec![(batches, 1), (height.clone(), tall.into()), (inner.clone(), broad.into())]);
    let name = format!("{}_transposed", parts.name());
    Ok(Filled { name, template: "transposed", context, params, blocks, dynamic_shared: 0 })
}

/// A tensor that passes through a tile.
struct Turned<'a> {
    pointer: String,
    access: &'a Access,
    tile: Tile,
    is_store: bool,
}

fn turned<'a>(parts: &Parts<'a>, band: &Band) -> Vec<Turned<'a>> {
    let kernel = parts.kernel;
    let loads = kernel.loads.iter().enumerate().map(|(i, load)| (names::load(i), &load.access, false));
    let stores = kernel.stores.iter().enumerate().map(|(i, store)| (names::store(i), &store.access, true));
    let tiles = band.tiles.0.iter().chain(&band.tiles.1);
    let all = loads.chain(stores).zip(tiles);
    all.filter_map(|((pointer, access, is_store), tile)| Some(Turned { pointer, access, tile: (*tile)?, is_store }))
        .collect()
}

/// The rows of a thread, and which tensors pass through tiles.
fn band(parts: &Parts, axis: usize, [tall, broad]: [u32; 2], vector: u32) -> Result<Band, EmitError> {
    let kernel = parts.kernel;
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let inner = match &kernel.domain[..] {
        [.., inner] if axis + 1 < kernel.domain.len() => inner,
        _ => return Err(unfit("tiles need an axis besides the innermost")),
    };
    let threads = kernel.schedule.threads;
    let powers = [tall, broad, vector, threads].iter().all(|n| n.is_power_of_two());
    if !powers || tall.min(broad) < Tile::LEAST_SIDE || tall.max(broad) > 1 << 10 || vector > broad {
        return Err(unfit("its tiles have no sides that tiles can have"));
    }
    // A row has no more vectors than there are threads, and every thread has a row.
    let across = broad / vector;
    if across > threads || threads / across > tall {
        return Err(unfit("its tiles don't divide among the threads"));
    }
    let pitch = threads / across;
    let tile = |access: &Access, size: u64, used: bool| {
        let tile = Tile { size, rows: tall.into(), columns: broad.into() };
        (used && access.is_turned(axis, &kernel.domain)).then_some(tile)
    };
    let loads = kernel.loads.iter().enumerate().map(|(i, l)| tile(&l.access, parts.load_bytes(i), parts.used(i)));
    let stores = kernel.stores.iter().enumerate().map(|(i, s)| tile(&s.access, parts.store_bytes(i), true));
    let tiles: (Vec<_>, Vec<_>) = (loads.collect(), stores.collect());
    if tiles.0.iter().chain(&tiles.1).flatten().map(Tile::bytes).sum::<u64>() > Tile::MOST_SHARED {
        return Err(unfit("its tiles take more shared memory than a block has"));
    }
    let covers = |step: u32| layout::is_multiple(inner, step.into());
    let (tail, edge) = (!covers(vector), !covers(broad));
    Ok(Band { vector, rows: tall / pitch, pitch, axis: Some(axis), tail, edge, tiles })
}

/// Lines that define the first row and column of a block's tile, `top` and `left`, and its place in the axes outside, `batch`.
fn tile_of_block(indexer: &mut Indexer, axis: usize, [tall, broad]: [u32; 2]) -> Result<Vec<String>, DimError> {
    let domain = indexer.domain;
    let inner = domain.len() - 1;
    let tiles = |axis: usize, side: u32| domain[axis].ceil_div(&Dim::fixed(side.into()));
    let quotient = indexer.quotient("blockIdx.x", "tiles_across", &tiles(inner, broad)?);
    let mut lines = vec![
        format!("const idx band = {quotient};"),
        format!("const idx left = (blockIdx.x - band * tiles_across) * {broad}u;"),
    ];
    if (0..inner).all(|other| other == axis || domain[other].is(1)) {
        lines.push(format!("const idx top = band * {tall}u;"));
    } else {
        let quotient = indexer.quotient("band", "tiles_down", &tiles(axis, tall)?);
        lines.push(format!("const idx batch = {quotient};"));
        lines.push(format!("const idx top = (band - batch * tiles_down) * {tall}u;"));
    }
    Ok(lines)
}
