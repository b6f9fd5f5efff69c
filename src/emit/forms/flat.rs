//! The domain in row-major order, a vector of adjacent elements a thread; also any strides, one element a thread.

use super::{Doubts, Filled, Parts};
use crate::dim::Dim;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::Param;
use crate::emit::{EmitError, names};
use crate::plan::{Access, layout};

/// How a tensor is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// One element for all.
    Uniform,
    /// Element `first + e`.
    Dense,
    /// By its strides.
    Indexed,
}

fn walk(access: &Access, domain: &[Dim]) -> Walk {
    if access.is_uniform(domain) {
        Walk::Uniform
    } else if access.is_dense(domain) {
        Walk::Dense
    } else {
        Walk::Indexed
    }
}

/// The bytes that every address of a vector is a multiple of, given that of the whole buffer.
pub(super) fn alignment(access: &Access, size: u64, vector: u64) -> u64 {
    let of_offset = match access.offset.is(0) {
        true => 16,
        false => layout::power_of_two(&access.offset, 16) * size,
    };
    let of_vector = 1 << (vector * size).trailing_zeros();
    of_offset.min(of_vector).min(16).max(size)
}

/// Fills the flat skeleton.
pub fn flat(parts: &Parts, vector: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source| EmitError::Dim { kernel: kernel.name.clone(), source };
    let count = kernel.count().map_err(dim)?;
    let rank = kernel.domain.len();
    let mut indexer = Indexer { domain: &kernel.domain, width: parts.width(), params: Vec::new() };
    indexer.param(Param::size("count".into(), &count, parts.width()));
    let tail = vector > 1 && !layout::is_multiple(&count, vector.into());
    let wide = u64::from(vector);

    let loads: Vec<Walk> = kernel.loads.iter().map(|load| walk(&load.access, &kernel.domain)).collect();
    // A store to one element is one of a domain of one element: dense.
    let stores: Vec<Walk> = kernel.stores.iter().map(|store| walk(&store.access, &kernel.domain)).collect();
    let indexed_loads = (0..loads.len()).filter(|&i| loads[i] == Walk::Indexed && parts.used(i));
    let indexed_stores = (0..stores.len()).filter(|&i| stores[i] == Walk::Indexed);

    let as_it_is = |store: usize| {
        let dense = |load: usize| loads[load] == Walk::Dense;
        stores[store] != Walk::Indexed && parts.stored(store).is_some_and(dense)
    };

    let indexed = indexed_loads.clone().map(|i| &kernel.loads[i].access);
    let indexed = indexed.chain(indexed_stores.clone().map(|i| &kernel.stores[i].access));
    let moved = indexer.moved(indexed, rank);
    let mut offsets = Vec::new();
    if !moved.is_empty() {
        let at = if tail { "min(first + e, count - 1u)" } else { "first + e" };
        offsets.push(format!("const idx at = {at};"));
        offsets.extend(indexer.coordinates("at", &(0..rank).collect::<Vec<_>>(), &moved));
        for i in indexed_loads {
            let pointer = names::load(i);
            let offset = indexer.offset(&pointer, &kernel.loads[i].access, 0..rank);
            offsets.push(format!("const off {pointer}_at = {offset};"));
        }
        for i in indexed_stores {
            let pointer = names::store(i);
            let offset = indexer.offset(&pointer, &kernel.stores[i].access, 0..rank);
            offsets.push(format!("const off {pointer}_at = {offset};"));
        }
    }

    let (mut pointers, mut prologue) = (Vec::new(), Vec::new());
    let (mut load_whole, mut load_some, mut element) = (Vec::new(), Vec::new(), offsets.clone());
    for (i, walk) in loads.iter().enumerate() {
        let size = parts.load_bytes(i);
        let access = &kernel.loads[i].access;
        let align = if *walk == Walk::Dense { alignment(access, size, wide) } else { size };
        pointers.push(Param::load(kernel, i, align));
        if !parts.used(i) {
            continue;
        }
        let (pointer, words) = (names::load(i), names::load_words(i));
        match walk {
            Walk::Uniform => {
                prologue.push(format!("const auto {words} = {};", parts.element_at(i, &pointer)));
                element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
            Walk::Dense => {
                let bytes = size * wide;
                let once = parts.load_once();
                if tail || parts.table.is_some() {
                    prologue.push(format!("Words<{}> {words};", bytes.div_ceil(4)));
                    load_whole.push(format!("{words} = {once}<{bytes}, {align}>({pointer} + first);"));
                    load_some.push(format!("{words} = load_some<{bytes}, {size}>({pointer} + first, live);"));
                } else {
                    load_whole.push(format!("const auto {words} = {once}<{bytes}, {align}>({pointer} + first);"));
                }
                element.extend(parts.unpack(i, &words, "e", as_it_is));
            }
            Walk::Indexed => {
                let at = parts.element_at(i, &format!("{pointer} + {pointer}_at"));
                element.push(format!("const auto {words} = {at};"));
                element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
        }
    }
    element.extend(parts.statements());

    let (mut arrays, mut packed, mut store_whole, mut store_some) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut doubts = Doubts::new(parts);
    for (i, walk) in stores.iter().enumerate() {
        let size = parts.store_bytes(i);
        let output = &parts.body.outputs[i];
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        let dense = *walk != Walk::Indexed;
        let align = if dense { alignment(&kernel.stores[i].access, size, wide) } else { size };
        pointers.push(Param::store(kernel, i, align));
        if dense {
            let bytes = size * wide;
            let constant = if parts.exact.is_some() { "" } else { "const " };
            match parts.stored(i).filter(|_| as_it_is(i)) {
                Some(load) => packed.push(format!("{constant}auto {words} = {};", names::load_words(load))),
                None => {
                    arrays.push(format!("{} {elements}[{}];", output.c_type, parts.lanes(vector)));
                    element.push(format!("{elements}[e] = {};", output.value));
                    packed.push(format!("{constant}auto {words} = {}({elements});", output.packer));
                    if let Some([array, line, pack]) = doubts.vector(parts, i, vector) {
                        arrays.push(array);
                        element.push(line);
                        packed.push(pack);
                    }
                }
            }
            store_whole.push(format!("{}<{bytes}, {align}>({pointer} + first, {words});", parts.store_once()));
            store_some.push(format!("store_some<{bytes}, {size}>({pointer} + first, {words}, live);"));
        } else {
            element.push(format!("const {} {elements}[1] = {{{}}};", output.c_type, output.value));
            element.extend(doubts.element(parts, i));
            let live = if tail { "if (e < live) " } else { "" };
            element
                .push(format!("{live}store<{size}, {size}>({pointer} + {pointer}_at, {}({elements}));", output.packer));
        }
    }

    let address = |i: usize| match loads[i] {
        Walk::Uniform => names::load(i),
        Walk::Dense => format!("{} + first + e", names::load(i)),
        Walk::Indexed => format!("{0} + {0}_at", names::load(i)),
    };
    let exact = parts.exact_lines(address, |i, output| {
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        let size = parts.store_bytes(i);
        let one = format!("const {} {elements}1[1] = {{{}}};", output.c_type, output.value);
        let put = match stores[i] {
            Walk::Indexed => {
                format!("store<{size}, {size}>({pointer} + {pointer}_at, {}({elements}1));", output.packer)
            }
            _ => format!("patch<{size}>({words}, e, {}({elements}1));", output.packer),
        };
        vec![one, put]
    });
    let exact: Vec<String> = if exact.is_empty() { exact } else { offsets.into_iter().chain(exact).collect() };

    let mut context = parts.context();
    let thread = if vector == 1 { "one element".to_owned() } else { format!("{vector} adjacent elements") };
    context.insert("what", &format!("Each thread computes {thread} in row-major order."));
    context.insert("vector", &vector);
    context.insert("lanes", &parts.lanes(vector));
    context.insert("tail", &tail);
    doubts.insert(&mut context);
    for (name, lines) in [
        ("prologue", &prologue),
        ("load_whole", &load_whole),
        ("load_some", &load_some),
        ("arrays", &arrays),
        ("element", &element),
        ("packed", &packed),
        ("exact", &exact),
        ("store_whole", &store_whole),
        ("store_some", &store_some),
    ] {
        context.insert(name, lines);
    }
    let params = parts.params(pointers, indexer.params);
    let blocks = Blocks::Threads(vec![(count, wide)]);
    Ok(Filled { name: format!("{}_flat", parts.name()), template: "flat", context, params, blocks, dynamic_shared: 0 })
}
