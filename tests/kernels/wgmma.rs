//! Products by Hopper's `wgmma`, proved on the interpreter, which lets no register and no operand be touched before it was waited for.

use crate::build::along;
use crate::product::{
    Convolution, Gemm, TOOLCHAIN, bias_silu, columns, holds, proof_of, ptx, requantize, schedule, source, tile_of,
};
use pointweld::compile::sass::Disassembler;
use pointweld::compile::{Output, Request};
use pointweld::dtype::DType::{self, *};
use pointweld::plan::{Blocking, Engine, Kernel};
use pointweld::schedule::{Options, choose};
use pointweld::target::{Arch, Target};

/// Tiles of every kind: one and several groups of warps along both sides, several fragments a warp, slices, one step ahead or none, and each
/// length of a row of terms.
fn tiles(dtype: DType) -> Vec<Blocking> {
    let size = dtype.bits() / 8;
    let tile = |m, n, bytes: u32, warps, slices, stages| Blocking {
        engine: Engine::Wgmma,
        m,
        n,
        k: bytes / size,
        warps,
        slices,
        split: 1,
        stages,
        band: 2,
        copy: (16, 16),
    };
    vec![
        tile(64, 32, 128, (4, 1), 1, 3),
        tile(128, 64, 64, (4, 1), 1, 4),
        tile(64, 128, 128, (4, 2), 1, 4),
        tile(128, 64, 128, (8, 1), 1, 3),
        tile(64, 64, 256, (4, 1), 2, 3),
        tile(64, 16, 32, (4, 1), 1, 3),
    ]
}

fn with(mut kernel: Kernel, tile: Blocking) -> Kernel {
    schedule(&mut kernel);
    *tile_of(&mut kernel) = tile;
    kernel
}

#[test]
fn gemms_of_every_layout_and_tail() {
    let shapes = [(33, 40, 17), (1, 1, 1), (70, 65, 264), (130, 136, 200), (5, 130, 31)];
    for (d, dtype) in [F16, BF16].into_iter().enumerate() {
        for (t, tile) in tiles(dtype).into_iter().enumerate() {
            for (i, (m, n, k)) in shapes.into_iter().enumerate() {
                if (i + t + d) % 2 == 1 {
                    continue;
                }
                let transposed = [(false, true), (false, false), (true, true), (true, false)][(i / 2 + t) % 4];
                let gap = [0, 8, 3][(i + t) % 3];
                let batch = if i == 2 { 3 } else { 1 };
                let gemm = Gemm { batch, transposed, gap, ..Gemm::new(dtype, m, n, k) };
                let kernel = with(gemm.kernel(&[(dtype, columns)], dtype, bias_silu(dtype)), tile);
                holds(&format!("{gemm:?}"), &kernel, Arch::SM_90);
            }
        }
    }
}

#[test]
fn gemms_of_codes_are_exact() {
    let shapes = [(33, 40, 17), (70, 65, 128), (130, 96, 200)];
    for (t, tile) in tiles(I8).into_iter().enumerate() {
        let (m, n, k) = shapes[t % 3];
        let types = [(I8, I8), (U8, I8), (I8, U8), (U8, U8)][t % 4];
        let transposed = [(false, true), (false, false), (true, true)][t / 2];
        let gemm = Gemm { types, transposed, ..Gemm::new(I8, m, n, k) };
        holds(&format!("{gemm:?}"), &with(gemm.kernel(&[], I32, |b| b.product()), tile), Arch::SM_90);
    }
    let gemm = Gemm::new(I8, 70, 48, 96).kernel(&[(F32, columns), (F32, columns)], I8, requantize);
    holds("requantized", &with(gemm, tiles(I8)[1]), Arch::SM_90);
}

#[test]
fn convolutions_with_padding_and_zero_points() {
    for (d, dtype) in [F16, I8, U8].into_iter().enumerate() {
        let mut padded = Convolution::new(dtype, &[9, 11], 16, 40, &[3, 3]);
        (padded.conv.pads, padded.conv.strides) = (vec![(1, 1), (1, 1)], vec![2, 1]);
        (padded.images, padded.pad) = (3, 7);
        let mut odd = Convolution::new(dtype, &[10, 9], 6, 17, &[3, 2]);
        (odd.conv.pads, odd.conv.dilations, odd.pad) = (vec![(2, 0), (1, 3)], vec![1, 3], 101);
        let mut first = Convolution::new(dtype, &[16, 14], 3, 32, &[6, 6]);
        (first.conv.pads, first.conv.strides, first.pad) = (vec![(2, 2), (2, 2)], vec![2, 2], 1);
        let mut groups = Convolution::new(dtype, &[21], 24, 12, &[5]);
        (groups.conv.groups, groups.conv.pads, groups.pitch, groups.first) = (3, vec![(2, 2)], 40, 8);
        (groups.images, groups.pad) = (2, 9);
        for (i, convolution) in [padded, odd, first, groups].iter().enumerate() {
            let to = if dtype.is_float() { dtype } else { I32 };
            let kernel = with(convolution.kernel(&[], to, |b| b.product()), tiles(dtype)[(i + 2 * d) % 6]);
            holds(&format!("{convolution:?}"), &kernel, Arch::SM_90);
        }
    }
}

#[test]
fn blocks_share_out_a_tile() {
    let tile = Blocking { split: 3, ..tiles(F16)[4] };
    let kernel = with(Gemm::new(F16, 70, 40, 700).kernel(&[(F16, columns)], F16, bias_silu(F16)), tile);
    holds("three blocks a tile", &kernel, Arch::SM_90);
}

#[test]
fn hopper_chooses_it_and_no_other_architecture() {
    let gemm = |m, n, k| Gemm::new(F16, m, n, k).kernel(&[(F16, columns)], F16, bias_silu(F16));
    let large = |arch| {
        let mut kernel = gemm(8192, 8192, 1024);
        kernel.schedule = choose(&kernel, &Target::of(arch), &Options::default());
        kernel
    };
    for arch in [Arch::SM_90, Arch::SM_90A] {
        assert_eq!(tile_of(&mut large(arch)).engine, Engine::PingPong, "{arch}");
        let mut fewer = gemm(2048, 4096, 1024);
        fewer.schedule = choose(&fewer, &Target::of(arch), &Options::default());
        assert_eq!(tile_of(&mut fewer).engine, Engine::Wgmma, "{arch}");
    }
    for arch in [Arch::SM_75, Arch::SM_80, Arch::SM_89, Arch::SM_100, Arch::SM_120] {
        assert_eq!(tile_of(&mut large(arch)).engine, Engine::Tensor, "{arch}");
    }
    let mut kernel = gemm(300, 264, 136);
    kernel.schedule = large(Arch::SM_90).schedule;
    let text = source(&kernel);
    assert!(ptx(&text, &text.text, Arch::SM_90).contains(".target sm_90a"));
    holds("as chosen", &kernel, Arch::SM_90);
    kernel.schedule = kernel.schedule.unaligned();
    holds("unaligned", &kernel, Arch::SM_90);
}

/// The text without its lines that are `line` and nothing else.
fn without(text: &str, line: &str) -> String {
    text.lines().filter(|l| l.trim() != line).map(|l| format!("{l}\n")).collect()
}

#[test]
fn planted_faults_are_caught() {
    for tile in [tiles(F16)[3], tiles(F16)[2]] {
        let gemm = Gemm::new(F16, 70, 136, 400);
        let kernel = with(gemm.kernel(&[(F16, columns)], F16, bias_silu(F16)), tile);
        let source = source(&kernel);
        let text = &source.text;
        let fails = |what: &str, changed: String| {
            assert_ne!(changed, *text, "{what}");
            let proof = proof_of(&kernel, &source, &ptx(&source, &changed, Arch::SM_90));
            assert!(!proof.holds(), "{what} is not caught");
        };
        let good = proof_of(&kernel, &source, &ptx(&source, text, Arch::SM_90));
        assert!(good.holds(), "{good:?}");
        fails("sums read before they are there", without(text, "wgmma_wait<0>();"));
        if tile.is_ahead() {
            fails("a slot filled that is still multiplied", without(text, "wgmma_wait<1>();"));
        }
        fails("copies that the tensor cores may not see", without(text, "fence_for_wgmma();"));
        fails("registers that are not ordered", without(text, "wgmma_fence();"));
        fails("multiplications that are never begun", without(text, "wgmma_commit();"));
        let barrier = text.replacen("fence_for_wgmma();\n    __syncthreads();", "fence_for_wgmma();", 1);
        fails("no barrier between steps", barrier);
        let distance = tile.stages - 1 - u32::from(tile.is_ahead());
        let (wait, late) = (format!("wait_copies<{}>();", distance - 1), format!("wait_copies<{distance}>();"));
        fails("a wait for one group of copies fewer", text.replace(&wait, &late));
        fails("a wrong stride between atoms", text.replace("0x40000040", "0x40000020"));
        fails("a wrong swizzle", text.replace("0x40000040", "0x80000040"));
        fails("factors exchanged", text.replace("wgmma(acc[i], a +", "wgmma(acc[i], b +"));
        fails("terms beyond the last", text.replace("k < depth ?", "k <= depth ?"));
        fails("a wrong fragment's rows", text.replace("warp % 4u * 16u", "warp % 2u * 16u"));
    }
}

#[test]
fn main_loops_are_warpgroup_instructions() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    let half = Gemm::new(F16, 2048, 4096, 4096).kernel(&[(F16, columns)], F16, bias_silu(F16));
    let across = Gemm { transposed: (true, false), ..Gemm::new(BF16, 2048, 4096, 4096) };
    let across = across.kernel(&[(BF16, |d| along(d, d.len() - 1))], BF16, bias_silu(BF16));
    let codes = Gemm::new(I8, 2048, 4096, 4096).kernel(&[(F32, columns), (F32, columns)], I8, requantize);
    for (name, mut kernel) in [("HGMMA", half), ("HGMMA", across), ("IGMMA", codes)] {
        kernel.schedule = choose(&kernel, &Target::of(Arch::SM_90), &Options::default());
        let tile = *tile_of(&mut kernel);
        let source = source(&kernel);
        let request = Request {
            source: &source.text,
            kernel: &source.entry,
            arch: Arch::SM_90,
            output: Output::Cubin,
            options: &[],
        };
        let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}"));
        // The compiler says so here when it must wait after every instruction.
        assert_eq!(compiled.log, "", "{tile:?}");
        let resources = compiled.resources.unwrap();
        assert_eq!((resources.spill_stores, resources.spill_loads), (0, 0), "{tile:?}");
        let mix = disassembler.mix(&compiled.bytes, &source.entry).unwrap();
        let bytes = tile.k * if name == "IGMMA" { 1 } else { 2 };
        assert_eq!(mix.count(name, &[]), bytes / 32 * (tile.m / tile.warps.0 / 16), "{tile:?} {mix:?}");
        assert_eq!((mix.count("HMMA", &[]), mix.count("IMMA", &[]), mix.count("LDSM", &[])), (0, 0, 0), "{mix:?}");
        assert!(mix.count("LDGSTS", &[]) > 0, "{tile:?} {mix:?}");
    }
}
