//! A function of an 8-bit code and its channel, looked up: a block copies the entries of the channels that it meets, one where a channel is a row,
//! a window of them where channels are innermost, and walks some vectors of them.

use super::{Filled, Parts, flat};
use crate::dim::Dim;
use crate::emit::EmitError;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::names;
use crate::emit::params::Param;

/// Vectors of a thread in flight at a time.
const AHEAD: u32 = 2;

/// Fills the skeleton: `steps` vectors of `vector` elements a thread, of a window of `window` channels.
pub fn channels(parts: &Parts, vector: u32, window: u32, steps: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let Some(table) = &parts.table else { return Err(unfit("it has no table")) };
    let Some(found) = kernel.channels() else { return Err(unfit("it is no function of a code and a channel")) };
    let innermost = found.inner.is(1);
    let threads = kernel.schedule.threads;
    let lanes = window / vector.max(1);
    if innermost && (lanes == 0 || !window.is_multiple_of(vector) || !threads.is_multiple_of(lanes)) {
        return Err(unfit("its window of channels is not shared out evenly"));
    }
    let mut indexer = Indexer { domain: &kernel.domain, width: parts.width(), params: Vec::new() };
    let channel_count = Dim::fixed(found.channels as i64);
    let span = threads * vector * steps;
    let block = "(idx)blockIdx.x";
    let (place, element_at, tiles) = if innermost {
        let windows = channel_count.ceil_div(&Dim::fixed(i64::from(window))).map_err(dim)?;
        let quotient = indexer.quotient(block, "windows", &windows);
        indexer.param(Param::size("rows".into(), &found.outer, parts.width()));
        indexer.param(Param::size("channels".into(), &channel_count, parts.width()));
        let rows = threads / lanes;
        let place = vec![
            format!("const idx chunk = {quotient};"),
            format!("const idx window = {block} - chunk * windows;"),
            format!("const idx column = window * {window}u + threadIdx.x % {lanes}u * {vector}u;"),
            format!("const idx begin = chunk * {}u + threadIdx.x / {lanes}u;", rows * steps),
        ];
        let at = [
            format!("const idx row = begin + (round + s) * {rows}u;"),
            "const idx first = row * channels + column;".to_owned(),
            "const bool inside = row < rows && column < channels;".to_owned(),
        ];
        let tiles = vec![(found.outer.clone(), u64::from(rows * steps)), (channel_count, u64::from(window))];
        (place, at, tiles)
    } else {
        let chunks = found.inner.ceil_div(&Dim::fixed(i64::from(span))).map_err(dim)?;
        let quotient = indexer.quotient(block, "chunks", &chunks);
        let outer = indexer.quotient("row", "channels", &channel_count);
        indexer.param(Param::size("inner".into(), &found.inner, parts.width()));
        let place = vec![
            format!("const idx row = {quotient};"),
            format!("const idx begin = ({block} - row * chunks) * {span}u + threadIdx.x * {vector}u;"),
            format!("const idx window = row - {outer} * channels;"),
        ];
        let at = [
            format!("const idx at = begin + (round + s) * {}u;", threads * vector),
            "const idx first = row * inner + at;".to_owned(),
            "const bool inside = at < inner;".to_owned(),
        ];
        let tiles = vec![(found.outer.clone(), 1), (channel_count, 1), (found.inner.clone(), u64::from(span))];
        (place, at, tiles)
    };

    let ahead = AHEAD.min(steps);
    let wide = u64::from(vector);
    let (load, words) = (names::load(found.load), names::load_words(found.load));
    let size = parts.load_bytes(found.load);
    let align = flat::alignment(&kernel.loads[found.load].access, size, wide);
    let mut pointers = vec![Param::load(kernel, found.load, align)];
    let bytes = size * wide;
    let loaded = format!("{words}[s] = {}<{bytes}, {align}>({load} + first);", parts.load_once());
    let mut element = parts.unpack(found.load, &format!("{words}[s]"), "e", |_| false);
    let (mut arrays, mut packed, mut stored) = (Vec::new(), Vec::new(), Vec::new());
    for (i, store) in kernel.stores.iter().enumerate() {
        let size = parts.store_bytes(i);
        let bytes = size * wide;
        let align = flat::alignment(&store.access, size, wide);
        let output = &parts.body.outputs[i];
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        pointers.push(Param::store(kernel, i, align));
        arrays.push(format!("{} {elements}[{vector}];", output.c_type));
        element.push(format!("{elements}[e] = {};", output.value));
        packed.push(format!("const auto {words} = {}({elements});", output.packer));
        stored.push(format!("{}<{bytes}, {align}>({pointer} + first, {words});", parts.store_once()));
    }
    let mut context = parts.context();
    let of = if innermost { format!("a window of {window} channels") } else { "a channel's row".to_owned() };
    context
        .insert("what", &format!("Each block looks up a part of {of}, {steps} vectors of {vector} elements a thread."));
    context.insert("vector", &vector);
    context.insert("lanes", &vector);
    context.insert("steps", &steps);
    context.insert("ahead", &ahead);
    context.insert("tail", &false);
    context.insert("doubtful", &false);
    context.insert("watch", &false);
    for (name, lines) in [
        ("place", &place),
        ("prologue", &vec![format!("Words<{}> {words}[{ahead}];", bytes.div_ceil(4))]),
        ("at", &element_at.to_vec()),
        ("load_whole", &vec![loaded]),
        ("load_some", &Vec::new()),
        ("settled", &Vec::new()),
        ("arrays", &arrays),
        ("element", &element),
        ("packed", &packed),
        ("store_whole", &stored),
        ("store_some", &Vec::new()),
    ] {
        context.insert(name, lines);
    }
    // The thread's part of its window.
    let column = if innermost { format!("threadIdx.x % {lanes}u * {wide}u") } else { String::new() };
    context.insert("pointers", &table.pointers_at(&column));
    let params = parts.params(pointers, indexer.params);
    let blocks = Blocks::Walked { tiles, step: wide * u64::from(ahead) };
    Ok(Filled {
        name: format!("{}_channels", parts.name()),
        template: "channels",
        context,
        params,
        blocks,
        dynamic_shared: 0,
    })
}
