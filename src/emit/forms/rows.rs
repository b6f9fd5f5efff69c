//! The innermost axis in vectors, the outer axes as rows: what is broadcast along the rows or across them is fetched once.

use super::lines::{self, Band};
use super::{Filled, Parts};
use crate::dim::{Dim, DimError};
use crate::emit::EmitError;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::Param;
use crate::plan::layout;

/// Fills the skeleton of rows: `vector` elements of `rows` successive rows a thread.
pub fn rows(parts: &Parts, vector: u32, rows: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let [outer @ .., inner] = &kernel.domain[..] else { return Err(unfit("rows need an axis")) };
    let axes: Vec<usize> = (0..outer.len()).collect();
    // Rows beyond the end are left out; rows of another index further out would have other offsets.
    let ragged = !outer.last().is_some_and(|last| layout::is_multiple(last, rows.into()));
    if rows > 1 && ragged && !layout::is_single(outer) {
        return Err(unfit("its rows are no multiple of those that a thread takes"));
    }
    let wide = u64::from(vector);
    let tail = !layout::is_multiple(inner, wide);
    let columns = inner.ceil_div(&Dim::fixed(i64::from(vector))).map_err(dim)?;
    let count = outer.iter().try_fold(Dim::ONE, |n, d| n.mul(d)).map_err(dim)?;

    let mut indexer = Indexer { domain: &kernel.domain, width: parts.width(), params: Vec::new() };
    let group = indexer.quotient("place", "columns", &columns);
    indexer.param(Param::size("rows".into(), &count, parts.width()));
    if tail {
        indexer.param(Param::size("inner".into(), inner, parts.width()));
    }
    let no_tiles = (vec![None; kernel.loads.len()], vec![None; kernel.stores.len()]);
    let band = Band { vector, rows, pitch: 1, axis: axes.last().copied(), tail, edge: false, tiles: no_tiles };
    // The offsets of the thread's first row, from its coordinates.
    let moving = lines::moving(parts, &band);
    let moved = indexer.moved(moving.iter().map(|(_, access)| *access), axes.len());
    let mut places = indexer.coordinates("row", &axes, &moved);
    for (pointer, access) in &moving {
        let offset = indexer.offset(pointer, access, axes.iter().copied());
        places.push(format!("const off {pointer}_at = {offset};"));
    }
    let mut lines = lines::write(parts, &mut indexer, &band);
    lines.prologue.splice(..0, places);

    let mut context = parts.context();
    let of = if rows == 1 { String::new() } else { format!(" of {rows} successive rows") };
    let elements = if vector == 1 { "one element".to_owned() } else { format!("{vector} elements") };
    context.insert("what", &format!("Each thread computes {elements} along the innermost axis{of}."));
    context.insert("vector", &vector);
    context.insert("lanes", &parts.lanes(vector));
    context.insert("rows", &rows);
    context.insert("group", &group);
    context.insert("tail", &tail);
    context.insert("ragged", &(rows > 1 && ragged));
    lines.insert(&mut context);
    let params = parts.params(lines.pointers, indexer.params);
    let blocks = Blocks::Threads(vec![(count, rows.into()), (inner.clone(), wide)]);
    Ok(Filled { name: format!("{}_rows", parts.name()), template: "rows", context, params, blocks, dynamic_shared: 0 })
}
