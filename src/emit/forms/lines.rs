//! What a thread does with vectors along the innermost axis, of one row or of several: what of each operand is fetched where, what an
//! element's lines read, where its results go. The forms that walk rows share it; they differ in how a thread finds its rows.

use super::{Doubts, Parts};
use crate::dim::Dim;
use crate::emit::index::Indexer;
use crate::emit::names;
use crate::emit::params::Param;
use crate::plan::{Access, Tile};
use tera::Context;

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
    /// A vector a row, of a tile in shared memory.
    Tiled,
}

/// The rows of a thread.
pub struct Band {
    /// Adjacent elements of a row.
    pub vector: u32,
    pub rows: u32,
    /// Rows from one of a thread to its next.
    pub pitch: u32,
    /// The axis that counts them.
    pub axis: Option<usize>,
    /// A vector may reach beyond the innermost axis: `live` of its elements don't.
    pub tail: bool,
    /// A thread may have no element: its `live` is 0.
    pub edge: bool,
    /// The tile that each load and each store passes through, if it does.
    pub tiles: (Vec<Option<Tile>>, Vec<Option<Tile>>),
}

/// The lines by the place where a skeleton puts them.
#[derive(Default)]
pub struct Lines {
    pub pointers: Vec<Param>,
    /// Before the rows.
    pub prologue: Vec<String>,
    /// For each row, if all elements of its vector are there; if some are not.
    load_whole: Vec<String>,
    load_some: Vec<String>,
    /// For each row, before its elements.
    arrays: Vec<String>,
    /// For each element.
    element: Vec<String>,
    /// For each row, behind its elements.
    packed: Vec<String>,
    /// For each element whose rounding f32 leaves open.
    exact: Vec<String>,
    store_whole: Vec<String>,
    store_some: Vec<String>,
    /// For each row at its end: what goes into tiles.
    kept: Vec<String>,
    doubts: Doubts,
}

impl Lines {
    pub fn insert(&self, context: &mut Context) {
        for (name, lines) in self.parts() {
            context.insert(name, lines);
        }
        self.doubts.insert(context);
    }

    /// Puts a line in front of an element's, and one in front of those that compute it again.
    pub fn lead(&mut self, element: String, exact: String) {
        self.element.insert(0, element);
        if !self.exact.is_empty() {
            self.exact.insert(0, exact);
        }
    }

    /// True if a line names `word`.
    pub fn name(&self, word: &str) -> bool {
        self.parts().iter().any(|(_, lines)| lines.iter().any(|line| is_in(word, line)))
    }

    /// True if a row's registers are in an array of the rows.
    pub fn index_rows(&self) -> bool {
        self.parts().iter().any(|(_, lines)| lines.iter().any(|line| line.contains("[r]")))
    }

    /// True if a skeleton loads for each row.
    pub fn load_rows(&self) -> bool {
        !self.load_whole.is_empty()
    }

    fn parts(&self) -> [(&'static str, &Vec<String>); 10] {
        [
            ("prologue", &self.prologue),
            ("load_whole", &self.load_whole),
            ("load_some", &self.load_some),
            ("arrays", &self.arrays),
            ("element", &self.element),
            ("packed", &self.packed),
            ("exact", &self.exact),
            ("store_whole", &self.store_whole),
            ("store_some", &self.store_some),
            ("kept", &self.kept),
        ]
    }
}

/// The tensors whose offset at a thread's first row its lines name.
pub fn moving<'a>(parts: &Parts<'a>, band: &Band) -> Vec<(String, &'a Access)> {
    let kernel = parts.kernel;
    // The second opinion reads the operands of a tile from memory.
    let read = |i: &usize| band.tiles.0[*i].is_none() || parts.exact.is_some();
    let used = |i: &usize| parts.used(*i) && !kernel.loads[*i].access.is_uniform(&kernel.domain) && read(i);
    let loads = (0..kernel.loads.len()).filter(used).map(|i| (names::load(i), &kernel.loads[i].access));
    let written = (0..kernel.stores.len()).filter(|i| band.tiles.1[*i].is_none());
    loads.chain(written.map(|i| (names::store(i), &kernel.stores[i].access))).collect()
}

/// Writes the lines for the rows of `band`. The text before them defines `column`, an offset `x0_at` … for each tensor of [`moving`],
/// and where there are tiles the thread's place in them, `down` and `across`.
pub fn write(parts: &Parts, indexer: &mut Indexer, band: &Band) -> Lines {
    let Band { vector, rows, axis, tail, .. } = *band;
    let mut writer = Writer { parts, indexer, band, lines: Lines::default(), strides: Vec::new() };
    let kernel = parts.kernel;
    let walks = |accesses: Vec<&Access>, tiles: &[Option<Tile>]| -> Vec<Walk> {
        accesses.iter().zip(tiles).map(|(access, tile)| walk(parts, access, axis, tile.is_some())).collect()
    };
    let loads = walks(kernel.loads.iter().map(|l| &l.access).collect(), &band.tiles.0);
    let stores = walks(kernel.stores.iter().map(|s| &s.access).collect(), &band.tiles.1);
    // A store that is no vector along the innermost axis puts its elements one by one.
    let apart = |walk: Walk| match walk {
        Walk::Strided => true,
        Walk::Scalar | Walk::Uniform => vector > 1,
        Walk::Column | Walk::Vector | Walk::Tiled => false,
    };
    let as_it_is = |store: usize| {
        let vectors = |i: usize| matches!(loads[i], Walk::Vector | Walk::Tiled);
        !apart(stores[store]) && parts.stored(store).is_some_and(vectors)
    };
    let mut addresses = Vec::new();
    for (i, walk) in loads.iter().enumerate() {
        addresses.push(writer.load(i, *walk, as_it_is));
    }
    writer.lines.element.extend(parts.statements());

    let mut exact_stores = Vec::new();
    let mut doubts = Doubts::new(parts);
    for (i, walk) in stores.iter().enumerate() {
        let access = &kernel.stores[i].access;
        let size = parts.store_bytes(i);
        let output = &parts.body.outputs[i];
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        if apart(*walk) {
            writer.lines.pointers.push(Param::store(kernel, i, size));
            let at = writer.address(&pointer, access, "e");
            writer.strides.push((pointer.clone(), access.inner()));
            let put = |from: &str| format!("store<{size}, {size}>({at}, {}({from}));", output.packer);
            let live = if tail { "if (e < live) " } else { "" };
            writer.lines.element.push(format!("const {} {elements}[1] = {{{}}};", output.c_type, output.value));
            writer.lines.element.push(format!("{live}{}", put(&elements)));
            writer.lines.element.extend(doubts.element(parts, i));
            exact_stores.push(put(&format!("{elements}1")));
            continue;
        }
        let bytes = size * u64::from(vector);
        let constant = if parts.exact.is_some() { "" } else { "const " };
        let lines = &mut writer.lines;
        match parts.stored(i).filter(|_| as_it_is(i)) {
            Some(load) => {
                let row = if rows > 1 && loads[load] == Walk::Vector { "[r]" } else { "" };
                lines.packed.push(format!("{constant}auto {words} = {}{row};", names::load_words(load)));
            }
            None => {
                lines.arrays.push(format!("{} {elements}[{}];", output.c_type, parts.lanes(vector)));
                lines.element.push(format!("{elements}[e] = {};", output.value));
                lines.packed.push(format!("{constant}auto {words} = {}({elements});", output.packer));
                if let Some([array, line, pack]) = doubts.vector(parts, i, vector) {
                    lines.arrays.push(array);
                    lines.element.push(line);
                    lines.packed.push(pack);
                }
            }
        }
        exact_stores.push(format!("patch<{size}>({words}, e, {}({elements}1));", output.packer));
        match &band.tiles.1[i] {
            Some(tile) => {
                lines.pointers.push(Param::store(kernel, i, alignment_in_tile(access, axis.unwrap_or_default(), size)));
                let place = band.place();
                lines.kept.push(format!(
                    "tile_set<{}, {bytes}>({}, {place}, {words});",
                    typed(tile),
                    names::tile(&pointer)
                ));
            }
            None => {
                let align = alignment(access, size, vector.into());
                lines.pointers.push(Param::store(kernel, i, align));
                let at = writer.address(&pointer, access, "");
                let lines = &mut writer.lines;
                lines.store_whole.push(format!("{}<{bytes}, {align}>({at}, {words});", parts.store_once()));
                lines.store_some.push(format!("store_some<{bytes}, {size}>({at}, {words}, live);"));
            }
        }
    }
    writer.lines.doubts = doubts;
    writer.finish(&addresses, &exact_stores)
}

/// True if `line` names `word`.
pub fn is_in(word: &str, line: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|part| part == word)
}

fn walk(parts: &Parts, access: &Access, axis: Option<usize>, tiled: bool) -> Walk {
    let domain = &parts.kernel.domain;
    let inner_is_one = domain.last().is_some_and(|inner| inner.is(1));
    let stays = axis.is_none_or(|axis| access.strides[axis].is(0) || domain[axis].is(1));
    match access.inner() {
        _ if access.is_uniform(domain) => Walk::Uniform,
        _ if inner_is_one => Walk::Scalar,
        _ if tiled => Walk::Tiled,
        stride if stride.is(1) && stays => Walk::Column,
        stride if stride.is(1) => Walk::Vector,
        stride if stride.is(0) => Walk::Scalar,
        _ => Walk::Strided,
    }
}

/// A tile's type in the text.
pub fn typed(tile: &Tile) -> String {
    format!("Tile<{}, {}, {}>", tile.size, tile.rows, tile.columns)
}

/// The bytes that every vector's address is a multiple of.
fn alignment(access: &Access, size: u64, vector: u64) -> u64 {
    let of_vector = 1 << (vector * size).trailing_zeros();
    access.alignment(size, vector, 16).min(of_vector).max(size)
}

/// The same for vectors of 16 bytes along `axis`, which a tile takes in or gives out.
pub fn alignment_in_tile(access: &Access, axis: usize, size: u64) -> u64 {
    access.alignment_along(axis, size, 16 / size, 16)
}

impl Band {
    /// What row `r` of a thread lies behind its first, as a term; empty for the first.
    pub fn step(&self) -> String {
        match (self.rows, self.pitch) {
            (1, _) => String::new(),
            (_, 1) => " + r".to_owned(),
            (_, pitch) => format!(" + r * {pitch}"),
        }
    }

    /// The row and the column of a thread's vector in a tile.
    fn place(&self) -> String {
        format!("down{}, across", self.step())
    }
}

struct Writer<'a, 'b, 'c> {
    parts: &'a Parts<'b>,
    indexer: &'a mut Indexer<'c>,
    band: &'a Band,
    lines: Lines,
    /// Strides along the innermost axis that addresses name.
    strides: Vec<(String, Dim)>,
}

impl Writer<'_, '_, '_> {
    /// What a row adds to the offset of the first.
    fn row_step(&mut self, pointer: &str, access: &Access) -> String {
        match self.band.axis {
            Some(axis) if self.band.rows > 1 && !access.strides[axis].is(0) => {
                let (step, stride) = (self.band.step(), &access.strides[axis]);
                if stride.is(1) {
                    return step;
                }
                let name = names::stride(pointer, axis);
                self.indexer.param(Param::stride(name.clone(), stride, self.parts.width()));
                format!("{step} * {name}")
            }
            _ => String::new(),
        }
    }

    /// The address of element `e` of the vector of row `r`.
    fn address(&mut self, pointer: &str, access: &Access, e: &str) -> String {
        let row = self.row_step(pointer, access);
        let place = if e.is_empty() { "column".to_owned() } else { format!("(column + {e})") };
        let inner = self.parts.kernel.domain.len() - 1;
        match access.inner() {
            stride if stride.is(0) || self.parts.kernel.domain[inner].is(1) => format!("{pointer} + {pointer}_at{row}"),
            stride if stride.is(1) => format!("{pointer} + {pointer}_at{row} + {}", place.trim_matches(['(', ')'])),
            _ => format!("{pointer} + {pointer}_at{row} + (off){place} * {}", names::stride(pointer, inner)),
        }
    }

    /// The lines of load `i`; gives the address of one of its elements.
    fn load(&mut self, i: usize, walk: Walk, as_it_is: impl Fn(usize) -> bool) -> String {
        let (parts, band) = (self.parts, self.band);
        let access = &parts.kernel.loads[i].access;
        let (size, vector) = (parts.load_bytes(i), u64::from(band.vector));
        let bytes = size * vector;
        let align = match walk {
            Walk::Column | Walk::Vector => alignment(access, size, vector),
            Walk::Tiled => alignment_in_tile(access, band.axis.unwrap_or_default(), size),
            Walk::Uniform | Walk::Scalar | Walk::Strided => size,
        };
        self.lines.pointers.push(Param::load(parts.kernel, i, align));
        let (pointer, words) = (names::load(i), names::load_words(i));
        let element = match walk {
            Walk::Uniform => pointer.clone(),
            _ => self.address(&pointer, access, "e"),
        };
        if !parts.used(i) {
            return element;
        }
        let in_rows = if band.rows > 1 { format!("{words}[r]") } else { words.clone() };
        let declare = |n: u64| match band.rows {
            1 => format!("Words<{n}> {words};"),
            rows => format!("Words<{n}> {words}[{rows}];"),
        };
        match walk {
            Walk::Uniform => {
                self.lines.prologue.push(format!("const auto {words} = {};", parts.element_at(i, &pointer)));
                self.lines.element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
            Walk::Column => {
                let at = self.address(&pointer, access, "");
                let whole = format!("load<{bytes}, {align}>({at})");
                self.lines.prologue.push(match band.tail || band.edge {
                    true => format!(
                        "const auto {words} = live == {vector}u ? {whole} : load_some<{bytes}, {size}>({at}, live);"
                    ),
                    false => format!("const auto {words} = {whole};"),
                });
                self.lines.element.extend(parts.unpack(i, &words, "e", as_it_is));
            }
            Walk::Vector => {
                let at = self.address(&pointer, access, "");
                let lines = &mut self.lines;
                lines.prologue.push(declare(bytes.div_ceil(4)));
                lines.load_whole.push(format!("{in_rows} = {}<{bytes}, {align}>({at});", parts.load_once()));
                lines.load_some.push(format!("{in_rows} = load_some<{bytes}, {size}>({at}, live);"));
                lines.element.extend(parts.unpack(i, &in_rows, "e", as_it_is));
            }
            Walk::Scalar => {
                let at = parts.element_at(i, &self.address(&pointer, access, ""));
                self.lines.prologue.push(declare(size.div_ceil(4)));
                self.lines.load_whole.push(format!("{in_rows} = {at};"));
                self.lines.load_some.push(format!("{in_rows} = {at};"));
                self.lines.element.extend(parts.unpack(i, &in_rows, "0", as_it_is));
            }
            Walk::Strided => {
                let e = if band.tail { "min((u32)e, live - 1u)" } else { "e" };
                let at = parts.element_at(i, &self.address(&pointer, access, e));
                self.strides.push((pointer, access.inner()));
                self.lines.element.push(format!("const auto {words} = {at};"));
                self.lines.element.extend(parts.unpack(i, &words, "0", as_it_is));
            }
            Walk::Tiled => {
                let tile = band.tiles.0[i].as_ref().map(typed).unwrap_or_default();
                let place = band.place();
                let text =
                    format!("const auto {words} = tile_get<{tile}, {bytes}>({}, {place});", names::tile(&pointer));
                self.lines.arrays.push(text);
                self.lines.element.extend(parts.unpack(i, &words, "e", as_it_is));
            }
        }
        element
    }

    fn finish(self, addresses: &[String], stores: &[String]) -> Lines {
        let Writer { parts, indexer, band, mut lines, strides } = self;
        if !band.tail {
            lines.load_some.clear();
            lines.store_some.clear();
        }
        let inner = parts.kernel.domain.len() - 1;
        for (pointer, stride) in strides {
            indexer.param(Param::stride(names::stride(&pointer, inner), &stride, parts.width()));
        }
        lines.exact = parts.exact_lines(
            |i| addresses[i].clone(),
            |i, output| {
                let one = format!("const {} {}1[1] = {{{}}};", output.c_type, names::store_elements(i), output.value);
                vec![one, stores[i].clone()]
            },
        );
        lines
    }
}
