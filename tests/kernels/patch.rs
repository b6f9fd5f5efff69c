//! Convolutions of few channels from a patch in shared memory, proved on the interpreter: every way to fill the patch, every tail of a tile,
//! every padding; and their machine code.

use crate::product::{Convolution, TOOLCHAIN, bias_silu, columns, holds, proof_of, ptx, requantize, schedule, source};
use pointweld::anchor::Conv;
use pointweld::compile::sass::{Disassembler, Mix};
use pointweld::compile::{Output, Request};
use pointweld::dtype::DType::{self, *};
use pointweld::plan::{Fill, Form, Kernel, Patch, PatchLayout};
use pointweld::schedule::Options;
use pointweld::target::{Arch, Target};
use proptest::prelude::*;

/// Small tiles, so that small images have several.
const SMALL: [Patch; 6] = [
    Patch { rows: 4, columns: 16, filters: 16, warps: 2, walk: 1, copy: (16, 16) },
    Patch { rows: 2, columns: 32, filters: 32, warps: 1, walk: 2, copy: (16, 16) },
    Patch { rows: 4, columns: 16, filters: 64, warps: 2, walk: 3, copy: (16, 16) },
    Patch { rows: 1, columns: 64, filters: 32, warps: 2, walk: 1, copy: (8, 4) },
    Patch { rows: 2, columns: 16, filters: 32, warps: 1, walk: 4, copy: (4, 8) },
    Patch { rows: 4, columns: 16, filters: 32, warps: 4, walk: 2, copy: (0, 0) },
];

/// Puts the kernel into such a patch, with the vectors that its filters allow.
fn in_patch(kernel: &mut Kernel, patch: Patch) {
    schedule(kernel);
    let filters = kernel.domain.last().and_then(|d| d.known()).unwrap_or(1) as u32;
    let width = kernel.stores.iter().map(|s| s.dtype.bits() / 8).max().unwrap_or(4);
    let most = (patch.filters / 4).min(16 / width);
    let vector = (0..5).map(|n| 16 >> n).find(|n| *n <= most && filters.is_multiple_of(*n)).unwrap_or(1);
    kernel.schedule.form = Form::Patch { patch, vector: if patch.copy == (0, 0) { 1 } else { vector } };
}

/// The kernel of a convolution as models have them: halves with a bias and SiLU, codes requantized, or bare sums.
fn kernel_of(convolution: &Convolution, bare: bool) -> Kernel {
    match convolution.types.0 {
        dtype if dtype.is_float() => convolution.kernel(&[(dtype, columns)], dtype, bias_silu(dtype)),
        _ if bare => convolution.kernel(&[], I32, |b| b.product()),
        _ => convolution.kernel(&[(F32, columns), (F32, columns)], I8, requantize),
    }
}

fn fill_of(kernel: &Kernel) -> Fill {
    let Form::Patch { patch, .. } = &kernel.schedule.form else { panic!("{:?}", kernel.schedule.form) };
    PatchLayout::of(kernel.product.as_deref().unwrap(), patch).unwrap().fill
}

/// A network's first layer, of a smaller image.
fn first_layer(dtype: DType, channels: i64, size: [i64; 2], images: i64) -> Convolution {
    let mut convolution = Convolution::new(dtype, &size, channels, 32, &[6, 6]);
    (convolution.conv.pads, convolution.conv.strides) = (vec![(2, 2), (2, 2)], vec![2, 2]);
    convolution.images = images;
    convolution.pad = if dtype.is_float() { 0 } else { 7 };
    convolution
}

#[test]
fn first_layers_hold_on_every_architecture() {
    for (dtype, channels, fill) in [
        (F16, 4, Fill::Copies { bytes: 16 }),
        (BF16, 3, Fill::Narrow { pixels: 2 }),
        (I8, 4, Fill::Copies { bytes: 16 }),
        (U8, 3, Fill::Narrow { pixels: 4 }),
    ] {
        let mut kernel = kernel_of(&first_layer(dtype, channels, [28, 44], 3), false);
        in_patch(&mut kernel, SMALL[1]);
        assert_eq!(fill_of(&kernel), fill, "{dtype} of {channels}");
        holds(&format!("{dtype} of {channels}"), &kernel, Arch::SM_90);
        holds(&format!("{dtype} of {channels}, sm_75"), &kernel, Arch::SM_75);
        kernel.schedule = kernel.schedule.unaligned();
        holds(&format!("{dtype} of {channels}, unaligned"), &kernel, Arch::SM_80);
    }
}

/// Any window over any image, by any of the small tiles.
fn any_case() -> impl Strategy<Value = (Convolution, Patch, bool)> {
    let axis = (1..5usize, 1..4usize, 1..3usize, 0..3usize, 0..3usize);
    let place = prop_oneof![Just((0, 0)), Just((0, 2)), Just((4, 8)), Just((1, 5))];
    let sizes = (1..4i64, 1..20i64, 1..45i64, prop_oneof![1..5i64, Just(6), Just(8), Just(16)], 1..40i64);
    let dtype = prop_oneof![Just(F16), Just(BF16), Just(I8), Just(U8)];
    let rest = (dtype.clone(), dtype, 0..SMALL.len(), any::<bool>(), any::<bool>(), -3..100i64);
    (axis.clone(), axis, sizes, place, rest).prop_filter_map(
        "a window that reaches beyond its image",
        |(down, across, (images, height, width, channels, filters), (first, gap), rest)| {
            let (a, b, tile, one_axis, bare, pad) = rest;
            let axes = if one_axis { vec![across] } else { vec![down, across] };
            let input = if one_axis { vec![width] } else { vec![height, width] };
            let conv = Conv {
                kernel: axes.iter().map(|axis| axis.0).collect(),
                strides: axes.iter().map(|axis| axis.1).collect(),
                dilations: axes.iter().map(|axis| axis.2).collect(),
                pads: axes.iter().map(|axis| (axis.3, axis.4)).collect(),
                groups: 1,
                bias: false,
            };
            let inside = axes.iter().zip(&input).all(|(&(taps, _, dilation, before, after), size)| {
                ((taps - 1) * dilation + 1) as i64 <= *size + (before + after) as i64
            });
            let types = if a.is_float() { (a, a) } else { (a, if b.is_float() { I8 } else { b }) };
            let pad = if a == U8 { pad.max(0) } else { pad };
            let taps: usize = conv.kernel.iter().product();
            let convolution =
                Convolution { types, images, input, channels, filters, conv, pad, pitch: channels + gap, first };
            (inside && taps > 1 && taps as i64 * channels <= 256).then_some((convolution, SMALL[tile], bare))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_window_holds((convolution, patch, bare) in any_case()) {
        let mut kernel = kernel_of(&convolution, bare);
        in_patch(&mut kernel, patch);
        holds(&format!("{convolution:?} {patch:?}"), &kernel, Arch::SM_80);
    }
}

/// Words behind a window's last count as nothing, whatever stands in for them: it could be infinite. Here they are multiplied by weights that
/// are not zero.
#[test]
fn words_behind_the_last_are_no_terms() {
    let mut convolution = Convolution::new(F16, &[9, 17], 4, 17, &[3, 3]);
    convolution.conv.pads = vec![(1, 1), (1, 1)];
    let mut kernel = kernel_of(&convolution, false);
    in_patch(&mut kernel, SMALL[0]);
    let source = source(&kernel);
    let holds = |text: &str| proof_of(&kernel, &source, &ptx(&source, text, Arch::SM_80)).holds();
    let weights = source.text.replace("q < 18u", "(q < 18u || filter < 16u)");
    assert_ne!(weights, source.text);
    assert!(holds(&source.text) && holds(&weights));
    for (from, to) in [("% 4u >= live", "% 4u > live"), ("+ 4u >= live", "+ 4u > live + 2u")] {
        let text = weights.replace(from, to);
        assert_ne!(text, weights);
        assert!(!holds(&text), "{from}");
    }
}

#[test]
fn planted_faults_are_caught() {
    let faults: [(&str, DType, i64, &str, &str); 10] = [
        ("no wait for the copies", F16, 4, "wait_copies<0>();", ""),
        ("a wait for one group fewer", F16, 4, "wait_copies<0>();", "wait_copies<1>();"),
        ("no barrier between tiles", F16, 4, "__syncthreads();", ""),
        ("no barrier between tiles of pixels that pass through registers", I8, 3, "__syncthreads();", ""),
        ("one patch for all tiles", F16, 4, "nth % 2u", "nth % 1u"),
        ("a row beyond the image", F16, 4, "(u32)row < (u32)in0", "(u32)row <= (u32)in0"),
        ("a pixel beyond the image", I8, 3, "(u32)patch_x < (u32)in1", "(u32)patch_x <= (u32)in1"),
        ("a result beyond the last row", F16, 4, "py >= out0", "py > out0"),
        ("a result beyond the last column", I8, 4, "px >= out1", "px > out1"),
        ("weights of a filter beyond the last", F16, 4, "filter < columns", "filter <= columns"),
    ];
    for (what, dtype, channels, from, to) in faults {
        let mut convolution = first_layer(dtype, channels, [28, 44], 1);
        convolution.filters = 24;
        let mut kernel = kernel_of(&convolution, false);
        in_patch(&mut kernel, SMALL[1]);
        let source = source(&kernel);
        let good = proof_of(&kernel, &source, &ptx(&source, &source.text, Arch::SM_80));
        assert!(good.holds(), "{good:?}");
        assert!(source.text.contains(from), "{what}: {}", source.text);
        let text = source.text.replace(from, to);
        let proof = proof_of(&kernel, &source, &ptx(&source, &text, Arch::SM_80));
        assert!(!proof.holds(), "{what} is not caught");
    }
}

/// The instructions of a kernel of which nothing may be in local memory.
fn mix(kernel: &Kernel, arch: Arch) -> Mix {
    let source = source(kernel);
    let request = Request { source: &source.text, kernel: &source.entry, arch, output: Output::Cubin, options: &[] };
    let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}"));
    let resources = compiled.resources.unwrap();
    assert_eq!((resources.spill_stores, resources.spill_loads, resources.stack), (0, 0, 0), "{arch} {}", source.text);
    if std::env::var_os("POINTWELD_SHOW").is_some() {
        println!("{}\n{resources:?}", source.text);
    }
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    disassembler.mix(&compiled.bytes, &source.entry).unwrap_or_else(|error| panic!("{error}"))
}

/// At 640 by 640: nine steps of halves, five of codes, each with its 4x4 multiplications and the reads that those take, once in the text.
#[test]
fn main_loops_are_reads_and_multiplications() {
    let patch = Patch { rows: 8, columns: 32, filters: 32, warps: 4, walk: 4, copy: (16, 16) };
    for (dtype, channels, name, steps) in [(F16, 4, "HMMA", 9), (F16, 3, "HMMA", 9), (I8, 4, "IMMA", 5)] {
        let mut kernel = kernel_of(&first_layer(dtype, channels, [640, 640], 32), false);
        schedule(&mut kernel);
        assert!(matches!(kernel.schedule.form, Form::Patch { .. }), "{:?}", kernel.schedule.form);
        println!("{:?}", kernel.schedule.form);
        kernel.schedule.form = Form::Patch { patch, vector: 8 };
        for arch in [Arch::SM_80, Arch::SM_90] {
            let mix = mix(&kernel, arch);
            println!("{dtype} {channels} {arch} {mix:?}");
            assert_eq!(mix.count(name, &[]), 16 * steps, "{arch} {mix:?}");
            // Matrices of halves; for sm_90 the compiler reads those once that two fragments share, 4 of 6 rows of their windows.
            let shared = if arch >= Arch::SM_90 { 2 * steps * 4 / 6 } else { 0 };
            let matrices = if dtype == F16 { 4 * steps - shared } else { 0 };
            assert_eq!(mix.count("LDSM", &[]), matrices, "{arch} {mix:?}");
            assert_eq!(mix.count("LDS", &["64"]), 4 * steps, "{arch} {mix:?}");
            // Words of codes, of which the compiler reads some once that two windows share; and it puts idle reads before copies.
            let words = mix.count("LDS", &[]) - mix.count("LDS", &["64"]);
            let most = if dtype == F16 { 0 } else { 16 * steps };
            assert!(words <= most + 24, "{arch} {mix:?}");
            assert_eq!(mix.count("LDGSTS", &[]) > 0, channels == 4, "{arch} {mix:?}");
        }
    }
}

#[test]
fn few_channels_are_read_from_patches_and_many_are_not() {
    let (target, options) = (Target::of(Arch::SM_90), Options::default());
    let kernel = |channels| {
        let convolution = Convolution { images: 32, ..Convolution::new(F16, &[160, 160], channels, 32, &[3, 3]) };
        kernel_of(&convolution, false)
    };
    for (channels, few) in [(1, true), (3, true), (4, true), (16, true), (64, false)] {
        let kernel = kernel(channels);
        let chosen = pointweld::schedule::choose(&kernel, &target, &options).form;
        assert_eq!(matches!(chosen, Form::Patch { .. }), few, "{channels}: {chosen:?}");
        let candidates = pointweld::schedule::candidates(&kernel, &target, &options);
        let tried = candidates.iter().any(|pick| matches!(pick.form, Form::Patch { .. }));
        assert_eq!(tried, few, "{channels}");
    }
}
