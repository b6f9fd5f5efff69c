//! How a factor of a matrix product gets into shared memory: what each thread copies, in which pieces, from where.
//!
//! A tile lies in shared memory in rows of 16-byte pieces. Where the factor's memory runs along the terms of the sum (*deep*), a row
//! of the tile is a row of the factor; where it runs *across* them, a row of the tile is one term of many rows of the factor, and the fragments
//! are transposed on their way to the registers. What does neither is gathered element by element, into deep rows.

use super::super::lines;
use crate::dim::Dim;
use crate::emit::params::Param;
use crate::plan::{Blocking, IndexWidth, layout};

/// The lines of one factor, and what they need.
#[derive(Default)]
pub struct Lines {
    /// Before the loop.
    pub setup: Vec<String>,
    /// For each step, with `step` and the address `a_to` or `b_to` of its tile.
    pub fetch: Vec<String>,
    pub params: Vec<Param>,
}

/// The direction that a factor's memory runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    Deep,
    Across,
    Gathered,
}

/// A factor's tile.
pub struct Factor<'a> {
    /// `a` or `b`: its pointer, and the beginning of its names in the text.
    pub name: &'static str,
    /// Bytes of an element.
    pub size: u32,
    /// Rows (of `a`) or columns (of `b`) of the tile, the first of them, and the parameter that bounds them.
    pub extent: u32,
    pub first: &'static str,
    pub limit: &'static str,
    /// The number that limits rows, and the number of terms.
    pub rows: Dim,
    pub depth: Dim,
    /// Bytes of one copy.
    pub copy: u32,
    /// Turns in which a thread's copies are shared out.
    pub turns: u32,
    pub tile: &'a Blocking,
    pub width: IndexWidth,
}

/// Element strides of a factor of a matrix product, and of its batch axes.
pub struct Strides {
    pub row: Dim,
    pub term: Dim,
    pub batch: Vec<Dim>,
}

impl Factor<'_> {
    /// Elements of a 16-byte piece.
    pub fn of_piece(&self) -> u32 {
        16 / self.size
    }

    /// The tile's rows in shared memory and the pieces of each.
    pub fn rows_and_pieces(&self, run: Run) -> (u32, u32) {
        match run {
            Run::Across => (self.tile.k, self.extent / self.of_piece()),
            Run::Deep | Run::Gathered => (self.extent, self.tile.k / self.of_piece()),
        }
    }

    /// Pieces that one thread copies, the distance of their rows, and whether some threads have none.
    pub fn shares(&self, run: Run) -> (u32, u32, bool) {
        let (rows, pieces) = self.rows_and_pieces(run);
        let threads = self.tile.threads();
        ((rows * pieces).div_ceil(threads), threads / pieces, rows * pieces < threads)
    }

    /// Lines that give the thread its row and piece, `{name}_row` and `{name}_piece`, and where that lies in the tile.
    pub fn place(&self, run: Run) -> Vec<String> {
        let (name, (_, pieces)) = (self.name, self.rows_and_pieces(run));
        let (_, distance, _) = self.shares(run);
        let mut lines =
            vec![format!("const u32 {name}_row = threadIdx.x / {pieces}u, {name}_piece = threadIdx.x % {pieces}u;")];
        if distance % 8 == 0 {
            let place = self.swizzled(run, &format!("{name}_row"), &format!("{name}_piece"));
            lines.push(format!("const u32 {name}_place = {place} * 16u;"));
        }
        lines
    }

    /// A loop over the rows that the thread copies in its turn.
    pub fn each_in_turn(&self, run: Run, body: &[String]) -> Vec<String> {
        let (count, ..) = self.shares(run);
        let mut lines = vec![format!("if (turn >= 0 && i * {} / {count} != turn) continue;", self.turns)];
        lines.extend_from_slice(body);
        self.each_row(run, &lines)
    }

    /// Opens the lines of a step's copies that are all made in the first turn: what finds their places is then computed once.
    pub fn at_once(&self) -> String {
        "if (turn <= 0) {".to_owned()
    }

    /// A loop over the thread's rows.
    pub fn each_row(&self, run: Run, body: &[String]) -> Vec<String> {
        let (name, (rows, _)) = (self.name, self.rows_and_pieces(run));
        let (count, distance, idle) = self.shares(run);
        let mut all = vec!["#pragma unroll".to_owned(), format!("for (int i = 0; i < {count}; ++i) {{")];
        if idle || body.iter().any(|line| lines::is_in("r", line)) {
            all.push(format!("const u32 r = {name}_row + i * {distance}u;"));
        }
        if idle {
            all.push(format!("if (r >= {rows}u) continue;"));
        }
        all.extend_from_slice(body);
        all.push("}".to_owned());
        all
    }

    /// The address in shared memory of the thread's piece of row `r`.
    pub fn to(&self, run: Run) -> String {
        let (name, pitch) = (self.name, self.pitch(run));
        let (_, distance, _) = self.shares(run);
        // Eight rows on, the permutation is the same.
        match distance % 8 {
            0 => format!("{name}_to + {name}_place + i * {}u", distance * pitch),
            _ => format!("{name}_to + {} * 16u", self.swizzled(run, "r", &format!("{name}_piece"))),
        }
    }

    /// Bytes from one row of the tile in shared memory to the next.
    pub fn pitch(&self, run: Run) -> u32 {
        let (_, pieces) = self.rows_and_pieces(run);
        16 * if self.tile.engine.is_wgmma() { pieces.min(8) } else { pieces }
    }

    /// The place of a piece in the tile, counted in pieces.
    fn swizzled(&self, run: Run, row: &str, piece: &str) -> String {
        let (rows, pieces) = self.rows_and_pieces(run);
        // `wgmma` takes rows of at most 128 bytes.
        match self.tile.engine.is_wgmma() && pieces > 8 {
            true => format!("in_atoms<{pieces}, {rows}>({row}, {piece})"),
            false => format!("swizzled<{pieces}>({row}, {piece})"),
        }
    }

    fn param(&self, what: &str) -> String {
        format!("{}_{what}", self.name)
    }

    /// The lines for a factor of a matrix product.
    pub fn matrix(&self, run: Run, strides: &Strides) -> Lines {
        let (name, size, first, limit) = (self.name, self.size, self.first, self.limit);
        let mut params = Vec::new();
        let mut stride = |what: &str, dim: &Dim| match dim.known() {
            Some(0) => "0".to_owned(),
            Some(1) => "1".to_owned(),
            _ => {
                let name = self.param(what);
                params.push(Param::stride(name.clone(), dim, self.width));
                name
            }
        };
        let (row, term) = (stride("row_stride", &strides.row), stride("term_stride", &strides.term));
        let batch: Vec<String> =
            strides.batch.iter().enumerate().map(|(i, d)| stride(&format!("batch{i}_stride"), d)).collect();
        let mut setup = self.place(run);
        let offset: Vec<String> = batch
            .iter()
            .enumerate()
            .filter(|(_, s)| *s != "0")
            .map(|(i, s)| format!("(off)batch{i}_at * {s}"))
            .collect();
        let from = match offset.is_empty() {
            true => name.to_owned(),
            false => {
                setup.push(format!("const auto* const {name}_from = {name} + ({});", offset.join(" + ")));
                format!("{name}_from")
            }
        };
        let (count, distance, _) = self.shares(run);
        let elements = self.of_piece();
        let depth = self.tile.k;
        let step = format!("(idx)step * {depth}u");
        let at = |i: &str| format!("(off)({i}) * {row}");
        let mut fetch = vec![if run == Run::Gathered { self.at_once() } else { "{".to_owned() }];
        let body: Vec<String> = match run {
            Run::Deep => {
                // The address of the first row's piece, and which rows exist: what else a copy needs is the same for the whole block.
                let first_row = at(&format!("{first} + {name}_row"));
                setup.push(format!(
                    "const auto* const {name}_piece_from = {from} + {first_row} + {name}_piece * {elements}u;"
                ));
                setup.push(format!("u32 {name}_rows = 0u;"));
                setup.push("#pragma unroll".to_owned());
                setup.push(format!(
                    "for (int i = 0; i < {count}; ++i) {name}_rows |= (u32)({first} + {name}_row + i * {distance}u < {limit}) << i;"
                ));
                fetch.push(format!("const idx k = {step} + {name}_piece * {elements}u;"));
                fetch.push(format!("const auto* const {name}_step = {name}_piece_from + {step};"));
                let mut body = vec![format!("const bool inside = ({name}_rows >> i & 1u) != 0u;")];
                let at = format!("{name}_step + {}", at(&format!("i * {distance}")));
                body.extend(self.pieces("k", ("depth", &self.depth), &at, run));
                body
            }
            Run::Gathered => {
                fetch.push(format!("const idx k = {step} + {name}_piece * {elements}u;"));
                let at = format!("{from} + {} + (off)(k + e) * {term}", at(&format!("{first} + r")));
                vec![
                    "Words<4> x = {};".to_owned(),
                    format!("const bool inside = {first} + r < {limit};"),
                    "#pragma unroll".to_owned(),
                    format!("for (int e = 0; e < {elements}; ++e) {{"),
                    format!("if (inside && k + e < depth) fetch_element<{size}>(x, e, {at});"),
                    "}".to_owned(),
                    format!("put_shared<16>({}, x);", self.to(run)),
                ]
            }
            Run::Across => {
                setup.push(format!("const idx {name}_first = {first} + {name}_piece * {elements}u;"));
                let at = format!("{from} + (off)k * {term} + {name}_first");
                let mut body = vec![format!("const idx k = {step} + r;"), "const bool inside = k < depth;".to_owned()];
                body.extend(self.pieces(&format!("{name}_first"), (limit, &self.rows), &at, run));
                body
            }
        };
        fetch.extend(if run == Run::Gathered { self.each_row(run, &body) } else { self.each_in_turn(run, &body) });
        fetch.push("}".to_owned());
        Lines { setup, fetch, params }
    }

    /// Copies of a piece that begins at index `at` and at address `from`, of which nothing counts unless `inside`. `limit`: the parameter
    /// that its indices stay below, and its value.
    fn pieces(&self, at: &str, limit: (&str, &Dim), from: &str, run: Run) -> Vec<String> {
        let (size, copy) = (self.size, self.copy);
        let to = self.to(run);
        let (limit, value) = limit;
        let live = |at: &str| match layout::is_multiple(value, u64::from(copy / self.size)) {
            true => format!("inside && {at} < {limit} ? {copy}u : 0u"),
            false => {
                format!("inside && {at} < {limit} ? min((u32)({limit} - ({at})), {}u) * {size}u : 0u", copy / size)
            }
        };
        if copy == 16 {
            return vec![format!("copy_async<16>({to}, {from}, {});", live(at))];
        }
        let each = copy / size;
        vec![
            "#pragma unroll".to_owned(),
            format!("for (int p = 0; p < {}; ++p) {{", 16 / copy),
            format!(
                "copy_async<{copy}>({to} + p * {copy}u, {from} + p * {each}, {});",
                live(&format!("{at} + p * {each}u"))
            ),
            "}".to_owned(),
        ]
    }
}

/// The direction of a factor's memory, and the widest copy that its strides and offset allow: 0 if it must be gathered.
pub fn run_of(size: u32, offset: &Dim, strides: &Strides, copy: u32) -> (Run, u32) {
    let (run, outer) = if strides.term.is(1) {
        (Run::Deep, &strides.row)
    } else if strides.row.is(1) && size > 1 {
        (Run::Across, &strides.term)
    } else {
        return (Run::Gathered, 0);
    };
    let fits = |n: u32| {
        let elements = u64::from(n / size);
        let mut dims = strides.batch.iter().chain([offset, outer]);
        dims.all(|dim| layout::is_multiple(dim, elements))
    };
    match [16, 8, 4].into_iter().find(|&n| n <= copy && n >= size && fits(n)) {
        Some(n) => (run, n),
        None => (Run::Gathered, 0),
    }
}
