//! The innermost axis in vectors, the outer axes as rows: what is broadcast along the rows or across them is fetched once.

use super::{Filled, Parts};
use crate::dim::{Dim, DimError};
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
    /// The same vector for all rows of a thread.
    Column,
    /// A vector a row.
    Vector,
    /// One element a row.
    Scalar,
    /// A stride other than 0 and 1 along the innermost axis: element by element.
    Strided,
}

/// Fills the skeleton of rows: `vector` elements of `rows` successive rows a thread.
pub fn rows(parts: &Parts, vector: u32, rows: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let [outer @ .., inner] = &kernel.domain[..] else { return Err(unfit("rows need an axis")) };
    let axes = outer.len();
    if rows > 1 && !outer.last().is_some_and(|last| layout::is_multiple(last, rows.into())) {
        return Err(unfit("its rows are no multiple of those that a thread takes"));
    }
    let last = axes.checked_sub(1);
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
    let walk = |access: &Access| {
        let fixed = |axis: usize| access.strides[axis].is(0) || kernel.domain[axis].is(1);
        let stays = last.is_none_or(fixed);
        match access.inner() {
            _ if access.is_uniform(&kernel.domain) => Walk::Uniform,
            _ if inner.is(1) => Walk::Scalar,
            stride if stride.is(1) && stays => Walk::Column,
            stride if stride.is(1) => Walk::Vector,
            stride if stride.is(0) => Walk::Scalar,
            _ => Walk::Strided,
        }
    };
    let loads: Vec<Walk> = kernel.loads.iter().map(|load| walk(&load.access)).collect();
    let stores: Vec<Walk> = kernel.stores.iter().map(|store| walk(&store.access)).collect();
    // A store that is no vector along the innermost axis puts its elements one by one.
    let apart = |walk: Walk| match walk {
        Walk::Strided => true,
        Walk::Scalar | Walk::Uniform => vector > 1,
        Walk::Column | Walk::Vector => false,
    };
    let as_it_is =
        |store: usize| !apart(stores[store]) && parts.stored(store).is_some_and(|i| loads[i] == Walk::Vector);

    // The offsets of the thread's first row, from its coordinates.
    let used = |i: &usize| parts.used(*i) && loads[*i] != Walk::Uniform;
    let moving = (0..loads.len()).filter(used).map(|i| (names::load(i), &kernel.loads[i].access));
    let moving = moving.chain(kernel.stores.iter().enumerate().map(|(i, s)| (names::store(i), &s.access)));
    let moving: Vec<(String, &Access)> = moving.collect();
    let moved = indexer.moved(moving.iter().map(|(_, access)| *access), axes);
    let mut prologue = indexer.coordinates("row", axes, &moved);
    for (pointer, access) in &moving {
        let offset = indexer.offset(pointer, access, 0..axes);
        prologue.push(format!("const off {pointer}_at = {offset};"));
    }
    // What a row adds to the offset of the one before it.
    let mut row_step = |pointer: &str, access: &Access| match last {
        Some(axis) if rows > 1 && !access.strides[axis].is(0) => {
            let stride = &access.strides[axis];
            if stride.is(1) {
                return " + r".to_owned();
            }
            let name = names::stride(pointer, axis);
            indexer.param(Param::stride(name.clone(), stride, parts.width()));
            format!(" + r * {name}")
        }
        _ => String::new(),
    };
    // The address of element `e` of the vector of row `r`.
    let mut address = |pointer: &str, access: &Access, e: &str| {
        let row = row_step(pointer, access);
        let place = if e.is_empty() { "column".to_owned() } else { format!("(column + {e})") };
        match access.inner() {
            stride if stride.is(0) || inner.is(1) => format!("{pointer} + {pointer}_at{row}"),
            stride if stride.is(1) => format!("{pointer} + {pointer}_at{row} + {}", place.trim_matches(['(', ')'])),
            _ => format!("{pointer} + {pointer}_at{row} + (off){place} * {}", names::stride(pointer, axes)),
        }
    };

    let (mut pointers, mut load_whole, mut load_some, mut element) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut exact_addresses = Vec::new();
    let mut strides = Vec::new();
    for (i, walk) in loads.iter().enumerate() {
        let access = &kernel.loads[i].access;
        let size = parts.load_bytes(i);
        let vectors = matches!(walk, Walk::Column | Walk::Vector);
        let align = if vectors { alignment(access, size, wide) } else { size };
        pointers.push(Param::load(kernel, i, align));
        let (pointer, words) = (names::load(i), names::load_words(i));
        exact_addresses.push(match walk {
            Walk::Uniform => pointer.clone(),
            _ => address(&pointer, access, "e"),
        });
        if !parts.used(i) {
            continue;
        }
        let bytes = size * wide;
        let in_rows = if rows > 1 { format!("{words}[r]") } else { words.clone() };
        let declare = |n: u64| match rows {
            1 => format!("Words<{n}> {words};"),
            rows => format!("Words<{n}> {words}[{rows}];"),
        };
        match walk {
            Walk::Uniform => {
                prologue.push(format!("const auto {words} = {};", parts.element_at(i, &pointer)));
                element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
            Walk::Column => {
                let at = address(&pointer, access, "");
                let whole = format!("load<{bytes}, {align}>({at})");
                prologue.push(match tail {
                    true => format!(
                        "const auto {words} = live == {vector}u ? {whole} : load_some<{bytes}, {size}>({at}, live);"
                    ),
                    false => format!("const auto {words} = {whole};"),
                });
                element.extend(parts.unpack(i, &words, "e", as_it_is));
            }
            Walk::Vector => {
                let at = address(&pointer, access, "");
                prologue.push(declare(bytes.div_ceil(4)));
                load_whole.push(format!("{in_rows} = {}<{bytes}, {align}>({at});", parts.load_once()));
                load_some.push(format!("{in_rows} = load_some<{bytes}, {size}>({at}, live);"));
                element.extend(parts.unpack(i, &in_rows, "e", as_it_is));
            }
            Walk::Scalar => {
                let at = parts.element_at(i, &address(&pointer, access, ""));
                prologue.push(declare(size.div_ceil(4)));
                load_whole.push(format!("{in_rows} = {at};"));
                load_some.push(format!("{in_rows} = {at};"));
                element.extend(parts.unpack(i, &in_rows, "0", as_it_is));
            }
            Walk::Strided => {
                let e = if tail { "min((u32)e, live - 1u)" } else { "e" };
                let at = parts.element_at(i, &address(&pointer, access, e));
                strides.push((pointer, access.inner()));
                element.push(format!("const auto {words} = {at};"));
                element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
        }
    }
    element.extend(parts.statements());

    let (mut arrays, mut packed, mut store_whole, mut store_some) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut exact_stores = Vec::new();
    for (i, walk) in stores.iter().enumerate() {
        let access = &kernel.stores[i].access;
        let size = parts.store_bytes(i);
        let output = &parts.body.outputs[i];
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        if apart(*walk) {
            pointers.push(Param::store(kernel, i, size));
            let at = address(&pointer, access, "e");
            strides.push((pointer.clone(), access.inner()));
            let put = |from: &str| format!("store<{size}, {size}>({at}, {}({from}));", output.packer);
            let live = if tail { "if (e < live) " } else { "" };
            element.push(format!("const {} {elements}[1] = {{{}}};", output.c_type, output.value));
            element.push(format!("{live}{}", put(&elements)));
            exact_stores.push(put(&format!("{elements}1")));
            continue;
        }
        let bytes = size * wide;
        let align = alignment(access, size, wide);
        pointers.push(Param::store(kernel, i, align));
        let at = address(&pointer, access, "");
        let constant = if parts.exact.is_some() { "" } else { "const " };
        match parts.stored(i).filter(|_| as_it_is(i)) {
            Some(load) => {
                let row = if rows > 1 { "[r]" } else { "" };
                packed.push(format!("{constant}auto {words} = {}{row};", names::load_words(load)));
            }
            None => {
                arrays.push(format!("{} {elements}[{vector}];", output.c_type));
                element.push(format!("{elements}[e] = {};", output.value));
                packed.push(format!("{constant}auto {words} = {}({elements});", output.packer));
            }
        }
        store_whole.push(format!("{}<{bytes}, {align}>({at}, {words});", parts.store_once()));
        store_some.push(format!("store_some<{bytes}, {size}>({at}, {words}, live);"));
        exact_stores.push(format!("patch<{size}>({words}, e, {}({elements}1));", output.packer));
    }
    for (pointer, stride) in strides {
        indexer.param(Param::stride(names::stride(&pointer, axes), &stride, parts.width()));
    }

    let exact = parts.exact_lines(
        |i| exact_addresses[i].clone(),
        |i, output| {
            let one = format!("const {} {}1[1] = {{{}}};", output.c_type, names::store_elements(i), output.value);
            vec![one, exact_stores[i].clone()]
        },
    );

    let mut context = parts.context();
    let of = if rows == 1 { String::new() } else { format!(" of {rows} successive rows") };
    let elements = if vector == 1 { "one element".to_owned() } else { format!("{vector} elements") };
    context.insert("what", &format!("Each thread computes {elements} along the innermost axis{of}."));
    context.insert("vector", &vector);
    context.insert("rows", &rows);
    context.insert("group", &group);
    context.insert("tail", &tail);
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
    let blocks = Blocks::Threads(vec![(count, rows.into()), (inner.clone(), wide)]);
    Ok(Filled { name: format!("{}_rows", parts.name()), template: "rows", context, params, blocks, dynamic_shared: 0 })
}

/// The bytes that every vector's address is a multiple of.
fn alignment(access: &Access, size: u64, vector: u64) -> u64 {
    let of_vector = 1 << (vector * size).trailing_zeros();
    access.alignment(size, vector, 16).min(of_vector).max(size)
}
