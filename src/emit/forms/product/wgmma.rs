//! Hopper's tensor-core instruction, `wgmma`: four warps multiply 64 rows by up to 256 columns, and read both factors from shared memory.
//!
//! A factor is told by a 64-bit descriptor (PTX ISA, "Asynchronous Warpgroup Level Matrix Shared Memory Layout"): its address, the swizzle,
//! and two strides. The tiles' own permutation of 16-byte pieces is that swizzle already. Where memory runs along the terms, the atoms of
//! eight rows follow one another; where it runs across, an atom is eight terms of at most 64 rows or columns.

use super::Shape;
use super::factor::{Factor, Run};
use crate::dtype::DType;
use crate::plan::{Blocking, Product};
use tera::Context;

/// Terms of one instruction, in bytes.
const TERMS: u32 = 32;

/// True if groups of four warps can multiply such tiles: `wn` columns a warp, `row` bytes of a row's terms.
pub fn fits(tile: &Blocking, wn: u32, row: u32) -> bool {
    let whole = tile.m.is_multiple_of(16 * tile.warps.0.max(1)) && tile.warps.0.is_multiple_of(4);
    whole && wn <= 256 && (TERMS..=256).contains(&row)
}

/// A factor's part in the instructions' addresses, in bytes.
struct Layout {
    /// All of the descriptor but the address.
    descriptor: u64,
    /// From the first terms to those of part `kk`.
    terms: String,
    /// From 64 rows or columns to the next.
    block: u32,
}

impl Layout {
    fn of(factor: &Factor, run: Run) -> Layout {
        let (rows, pieces) = factor.rows_and_pieces(run);
        let pitch = factor.pitch(run);
        let swizzle: u64 = match pitch {
            128 => 1,
            64 => 2,
            _ => 3,
        };
        let atom = 8 * pitch;
        // The stride across atoms counts only where they lie across.
        let (across, terms, block) = match run {
            Run::Across => {
                let terms = format!("kk * {}u", TERMS / factor.size * pitch);
                (rows * pitch, terms, 64 * factor.size / pitch * rows * pitch)
            }
            _ if pieces > 8 => (16, format!("kk / 4u * {}u + kk % 4u * {TERMS}u", rows * pitch), 64 * pitch),
            _ => (16, format!("kk * {TERMS}u"), 64 * pitch),
        };
        let descriptor = swizzle << 62 | u64::from(atom / 16) << 32 | u64::from(across / 16) << 16;
        Layout { descriptor, terms, block }
    }
}

/// Fills in what the main loop needs.
pub fn insert(context: &mut Context, product: &Product, shape: &Shape, a: (&Factor, Run), b: (&Factor, Run)) {
    let (a_layout, b_layout) = (Layout::of(a.0, a.1), Layout::of(b.0, b.1));
    let tile = a.0.tile;
    let groups_m = tile.warps.0 / 4;
    let ahead = u32::from(tile.is_ahead());
    context.insert("wgmma", &instruction(product, shape.wn, a.1, b.1));
    context.insert("a_layout", &format!("{:#018x}ull", a_layout.descriptor));
    context.insert("b_layout", &format!("{:#018x}ull", b_layout.descriptor));
    context.insert("a_terms", &a_layout.terms);
    context.insert("b_terms", &b_layout.terms);
    for (name, value) in [
        ("ahead", ahead),
        ("distance", tile.stages - 1 - ahead),
        ("groups", groups_m * tile.warps.1),
        ("groups_m", groups_m),
        ("a_group", shape.mi * a_layout.block),
        ("b_group", b_layout.block * shape.wn / 64),
        ("a_block", a_layout.block),
    ] {
        context.insert(name, &value);
    }
}

/// The instruction that adds the product of the factors at `a` and `b` to `c`.
fn instruction(product: &Product, columns: u32, a_run: Run, b_run: Run) -> Vec<String> {
    let registers = columns / 2;
    let name = |dtype: DType| match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::U8 => "u8",
        _ => "s8",
    };
    let (sum, constraint, terms) = match product.accumulator {
        DType::I32 => ("s32", "r", 32),
        _ => ("f32", "f", 16),
    };
    let across = |run| u32::from(run == Run::Across);
    // Halves may be negated, which these are not, and lie transposed.
    let modes = match product.accumulator {
        DType::I32 => String::new(),
        _ => format!(", 1, 1, {}, {}", across(a_run), across(b_run)),
    };
    let (a, b) = (name(product.a.dtype), name(product.b.dtype));
    let results: Vec<u32> = (0..registers).collect();
    let mut lines = vec!["asm volatile(\"{\\n.reg .pred add;\\nsetp.eq.u32 add, 0, 0;\\n\"".to_owned()];
    lines.push(format!("\"wgmma.mma_async.sync.aligned.m64n{columns}k{terms}.{sum}.{a}.{b} {{\""));
    for (n, some) in results.chunks(16).enumerate() {
        let list: Vec<String> = some.iter().map(|i| format!("%{i}")).collect();
        let end = if 16 * (n as u32 + 1) < registers { "," } else { "}," };
        lines.push(format!("\"{}{end}\"", list.join(", ")));
    }
    lines.push(format!("\" %{registers}, %{}, add{modes};\\n}}\"", registers + 1));
    for (n, some) in results.chunks(8).enumerate() {
        let list: Vec<String> = some.iter().map(|i| format!("\"+{constraint}\"(c[{}][{}])", i / 4, i % 4)).collect();
        let begin = if n == 0 { ":" } else { "," };
        lines.push(format!("{begin} {}", list.join(", ")));
    }
    lines.push(": \"l\"(a), \"l\"(b) : \"memory\");".to_owned());
    lines
}
