//! How the patch and the weights get into shared memory.

use crate::dtype::DType;
use crate::emit::index::Indexer;
use crate::emit::params::{Param, ParamValue};
use crate::plan::{Fill, Patch, PatchLayout};
use crate::scalar::{Number, Scalar};

/// Moves that a thread has on their way through its registers at a time, and copies that are written out.
const ON_THEIR_WAY: u32 = 6;
const WRITTEN_OUT: u32 = 8;

/// What both need to know.
pub struct Filler<'a> {
    pub patch: &'a Patch,
    pub place: &'a PatchLayout,
    /// Adjacent filters that a lane takes, at least 2.
    pub wide: u32,
}

/// The lines that fill patches.
pub struct PatchLines {
    /// Before the first.
    pub setup: Vec<String>,
    /// For each, with the tile `nth` of the walk.
    pub fetch: Vec<String>,
    /// Bytes that the input's address is a multiple of.
    pub align: u32,
}

impl Filler<'_> {
    fn threads(&self) -> u32 {
        32 * self.patch.warps
    }

    /// The lines that fill a patch. A thread moves the same column of it in every so many rows, so that what finds the column is
    /// computed once; where a row has more columns than there are threads, one after the other.
    pub fn patch(&self, pad: &Scalar, indexer: &mut Indexer) -> PatchLines {
        let Filler { patch, place, .. } = self;
        let [down, along] = place.axes;
        // Pixels of a move or moves of a pixel, and the bytes of a move in the patch.
        let (pixels, moves, bytes, align) = match place.fill {
            Fill::Copies { bytes } => ((bytes / place.pixel).max(1), (place.pixel / bytes).max(1), bytes, bytes),
            Fill::Narrow { pixels } => (pixels, 1, pixels * place.pixel, 4),
            Fill::Elements => (1, 1, place.pixel, place.size),
        };
        let (columns, threads) = (place.width / pixels * moves, self.threads());
        let (across, rows) = (columns.min(threads), (threads / columns).max(1));
        let (pixel, part) = match moves {
            1 => (format!("(off)(patch_column * {pixels}u)"), String::new()),
            _ => (
                format!("(off)(patch_column / {moves}u)"),
                format!(" + patch_column % {moves}u * {}u", bytes / place.size),
            ),
        };
        let column = vec![
            format!("const off patch_x = (off)x_first * {} - before1 - {} + {pixel};", along.stride, place.shift),
            "const bool patch_exists = (u32)patch_x < (u32)in1;".to_owned(),
            format!("const auto* const patch_from = a + ((off)image * in0 * in1 + patch_x) * pitch{part};"),
        ];
        let (mut setup, mut fetch) = (Vec::new(), Vec::new());
        if rows * across < threads {
            fetch.push(format!("if (patch_row >= {rows}u) return;"));
        }
        let looped = columns > across;
        if looped {
            fetch.push("#pragma unroll 1".to_owned());
            fetch.push(format!(
                "for (u32 patch_column = threadIdx.x; patch_column < {columns}u; patch_column += {across}u) {{"
            ));
            fetch.extend(column);
        } else {
            setup.push(format!(
                "const u32 patch_row = threadIdx.x / {across}u, patch_column = threadIdx.x % {across}u;"
            ));
            setup.extend(column);
        }
        let slot = match patch.walk {
            1 => String::new(),
            _ => format!(" + nth % 2u * {}u", place.patch_bytes()),
        };
        let row_of_thread = if looped { "0u" } else { "patch_row" };
        fetch.push(format!(
            "const u32 to = shared + {}u{slot} + {row_of_thread} * {}u + patch_column * {bytes}u;",
            place.weight_bytes(patch.filters),
            place.pitch
        ));
        fetch.push(format!(
            "const off top = (off)(y_first + nth * {}u) * {} - before0 + (off){row_of_thread};",
            patch.rows, down.stride
        ));
        let word = repeated(pad);
        if word != 0 {
            let value = ParamValue::Scalar(Scalar::new(DType::I32, Number::Int(i128::from(word as i32))));
            indexer.param(Param { name: "pad".into(), c_type: "const i32".into(), value });
        }
        let pad = |bytes: u32| vec![if word == 0 { "0u" } else { "(u32)pad" }; bytes as usize / 4].join(", ");
        let source = vec![
            format!("const off row = top + n * {rows};"),
            "const bool inside = patch_exists && (u32)row < (u32)in0;".to_owned(),
            "const auto* const p = patch_from + row * in1 * pitch;".to_owned(),
        ];
        let step = rows * place.pitch;
        let passes = place.height.div_ceil(rows);
        let guard = format!("if ({row_of_thread} + n * {rows}u >= {}u) continue;", place.height);
        match place.fill {
            Fill::Copies { bytes } => {
                let unroll = if passes <= WRITTEN_OUT { "#pragma unroll" } else { "#pragma unroll 4" };
                fetch.push(unroll.to_owned());
                fetch.push(format!("for (int n = 0; n < {passes}; ++n) {{"));
                if !place.height.is_multiple_of(rows) {
                    fetch.push(guard);
                }
                fetch.extend(source);
                let copy = format!("copy_async<{bytes}>(to + n * {step}u, inside ? p : a, inside ? {bytes}u : 0u);");
                if word == 0 {
                    fetch.push(copy);
                } else {
                    fetch.push(format!("if (inside) {copy}"));
                    fetch.push(format!("else put_shared<{bytes}>(to + n * {step}u, {{{}}});", pad(bytes)));
                }
                fetch.push("}".to_owned());
            }
            Fill::Narrow { pixels } => {
                let narrow = pixels * place.channels * place.size;
                let mut load = source;
                load.push(format!("held[i] = {{{}}};", pad(narrow)));
                load.push(format!("if (inside) held[i] = load<{narrow}, 4>(p);"));
                let spread = format!("spread<{}, {}, {}>(held[i])", place.channels, place.size, place.pixel);
                let put = format!("put_shared<{bytes}>(to + n * {step}u, {spread});");
                fetch.extend(through_registers(passes, &guard, narrow / 4, load, put));
            }
            Fill::Elements => {
                let words = place.pixel / 4;
                let mut load = source;
                load.push(format!("held[i] = {{{}}};", pad(place.pixel)));
                load.push("if (!inside) continue;".to_owned());
                load.push("held[i] = {};".to_owned());
                load.push("#pragma unroll".to_owned());
                let fetched = format!("fetch_element<{}>(held[i], e, p + e);", place.size);
                load.push(format!("for (int e = 0; e < {}; ++e) {fetched}", place.channels));
                let put = format!("put_pixel<{words}>(to + n * {step}u, held[i]);");
                fetch.extend(through_registers(passes, &guard, words, load, put));
            }
        }
        if looped {
            fetch.push("}".to_owned());
        }
        PatchLines { setup, fetch, align }
    }

    /// The lines that lay the weights down, word by word, and the alignment in bytes that they need. Row `r` in shared memory is column
    /// `r % 8` of fragment `r / 8`; the filter that it stands for makes a lane's accumulators adjacent. A lane's two words of a step
    /// lie side by side.
    pub fn weights(&self) -> (Vec<String>, u32) {
        let Filler { patch, place, wide } = *self;
        let size = place.size;
        let [down, along] = place.axes;
        let terms = down.taps * along.taps * place.channels;
        let per = wide / 2;
        let filter = match per {
            1 => "n0 + r".to_owned(),
            _ => {
                format!("n0 + r / {}u * {}u + r % 8u / 2u * {wide}u + r / 8u % {per}u * 2u + r % 2u", 8 * per, 4 * wide)
            }
        };
        let of_row = place.steps * 8;
        let mut lines = vec![
            "#pragma unroll 4".to_owned(),
            format!("for (u32 i = threadIdx.x; i < {}u; i += {}u) {{", patch.filters * of_row, self.threads()),
            format!("const u32 r = i / {of_row}u, q = i % {of_row}u;"),
            format!(
                "const u32 to = shared + r * {}u + q / 8u * 32u + q % 4u * 8u + q / 4u % 2u * 4u;",
                place.weight_pitch
            ),
            format!("const idx filter = {filter};"),
            format!("const bool inside = filter < columns && q < {}u;", place.words()),
            format!("const auto* const p = b + (off)filter * {terms};"),
        ];
        let per_word = 4 / size;
        if place.channels * size == place.pixel && patch.copy.1 >= 4 {
            lines.push(format!("copy_async<4>(to, inside ? p + q * {per_word}u : b, inside ? 4u : 0u);"));
            lines.push("}".to_owned());
            return (lines, 4);
        }
        // A word is some channels of a tap.
        let (of_pixel, channels) = (place.pixel / 4, place.channels);
        lines.push("Words<1> x = {};".to_owned());
        lines.push("#pragma unroll".to_owned());
        lines.push(format!("for (int e = 0; e < {per_word}; ++e) {{"));
        lines.push(format!("const u32 c = q % {of_pixel}u * {per_word}u + e;"));
        lines.push(format!(
            "if (inside && c < {channels}u) fetch_element<{size}>(x, e, p + q / {of_pixel}u * {channels}u + c);"
        ));
        lines.push("}".to_owned());
        lines.push("put_shared<4>(to, x);".to_owned());
        lines.push("}".to_owned());
        (lines, size)
    }
}

/// Moves through the registers `held[i]`, of some words each, several on their way at once.
fn through_registers(passes: u32, guard: &str, words: u32, load: Vec<String>, put: String) -> Vec<String> {
    let some = passes.min(ON_THEIR_WAY);
    let each = |body: Vec<String>| {
        let mut lines = vec!["#pragma unroll".to_owned(), format!("for (int i = 0; i < {some}; ++i) {{")];
        lines.push("const int n = first + i;".to_owned());
        lines.push(guard.to_owned());
        lines.extend(body);
        lines.push("}".to_owned());
        lines
    };
    let mut lines =
        vec!["#pragma unroll 1".to_owned(), format!("for (int first = 0; first < {passes}; first += {some}) {{")];
    lines.push(format!("Words<{words}> held[{some}];"));
    lines.extend(each(load));
    lines.extend(each(vec![put]));
    lines.push("}".to_owned());
    lines
}

/// The element that stands outside of the image, repeated to fill 32 bits.
fn repeated(pad: &Scalar) -> u32 {
    let bits = pad.bits() as u32;
    match pad.dtype().bits() {
        8 => (bits & 0xff) * 0x0101_0101,
        _ => (bits & 0xffff) * 0x0001_0001,
    }
}
