//! Products whose blocks walk the tiles, with a warp that has the copy engine (TMA) fill the stages, proved on the interpreter and on the GPU if there is
//! one. On the interpreter copies land as late as they may, so a barrier that is not waited for shows.

use crate::product::{
    Convolution, Gemm, TOOLCHAIN, bias_silu, columns, holds, proof_of, ptx, requantize, requantize_corrected, schedule,
    source, tile_of,
};
use pointweld::compile::sass::Disassembler;
use pointweld::compile::{Output, Request};
use pointweld::compiler::Compiler;
use pointweld::dtype::DType::{self, *};
use pointweld::emit::{self, ArgValue, Blocks};
use pointweld::lock::{self, Choice, Entry, Lock};
use pointweld::plan::{Blocking, Engine, Form, Kernel, Pick};
use pointweld::schedule::{self, Options};
use pointweld::target::{Arch, Target};

/// Tiles of both kinds: one and several groups of warps along both sides, several fragments a warp, one step ahead or none.
fn tiles(dtype: DType) -> Vec<Blocking> {
    let k = 128 * 8 / dtype.bits();
    let tile = |engine, m, n, warps, stages| Blocking {
        engine,
        m,
        n,
        k,
        warps,
        slices: 1,
        split: 1,
        stages,
        band: 2,
        copy: (16, 16),
    };
    vec![
        tile(Engine::PingPong, 64, 64, (4, 1), 2),
        tile(Engine::Cooperative, 128, 64, (8, 1), 3),
        tile(Engine::PingPong, 128, 64, (4, 1), 5),
        tile(Engine::Cooperative, 64, 128, (4, 2), 4),
        tile(Engine::PingPong, 64, 128, (4, 2), 3),
        tile(Engine::Cooperative, 128, 64, (4, 1), 2),
    ]
}

fn with(mut kernel: Kernel, tile: Blocking) -> Kernel {
    schedule(&mut kernel);
    *tile_of(&mut kernel) = tile;
    kernel
}

#[test]
fn gemms_of_every_layout_and_tail() {
    // Rows, columns and terms fewer than a tile's, tails of each, several tiles a block and fewer tiles than blocks.
    let shapes = [(33, 40, 24), (1, 8, 8), (197, 72, 264), (300, 136, 64), (70, 264, 200), (129, 64, 520)];
    for (d, dtype) in [F16, BF16].into_iter().enumerate() {
        for (t, tile) in tiles(dtype).into_iter().enumerate() {
            for (i, (m, n, k)) in shapes.into_iter().enumerate() {
                if (i + t + 2 * d) % 4 > 0 {
                    continue;
                }
                let transposed = [(false, true), (false, false), (true, true), (true, false)][(i / 2 + t) % 4];
                // What runs across the terms has lines of aligned bytes.
                let m = if transposed.0 { (m + 7) / 8 * 8 } else { m };
                let gemm = Gemm { transposed, gap: [0, 8][(i + t) / 2 % 2], ..Gemm::new(dtype, m, n, k) };
                let kernel = with(gemm.kernel(&[(dtype, columns)], dtype, bias_silu(dtype)), tile);
                holds(&format!("{gemm:?}"), &kernel, Arch::SM_90);
            }
        }
    }
    // Columns that no vector divides.
    let gemm = Gemm::new(F16, 131, 67, 136);
    for tile in tiles(F16) {
        holds("odd", &with(gemm.kernel(&[(F16, columns)], F16, bias_silu(F16)), tile), Arch::SM_90);
    }
}

#[test]
fn gemms_of_codes_are_exact() {
    let shapes = [(33, 40, 16), (197, 65, 144), (300, 96, 400)];
    for (t, tile) in tiles(I8).into_iter().enumerate() {
        let (m, n, k) = shapes[t % 3];
        let types = [(I8, I8), (U8, I8), (I8, U8), (U8, U8)][t % 4];
        let gemm = Gemm { types, ..Gemm::new(I8, m, n, k) };
        holds(&format!("{gemm:?}"), &with(gemm.kernel(&[], I32, |b| b.product()), tile), Arch::SM_90);
        let kernel = Gemm::new(I8, m, n, k).kernel(&[(F32, columns), (F32, columns)], I8, requantize);
        holds("requantized", &with(kernel, tile), Arch::SM_90);
        // The zeros behind the last term are no zero points: they stand in both factors.
        let gemm = Gemm { types: (U8, I8), ..Gemm::new(I8, m, n, k) };
        let kernel = gemm.kernel(&[(F32, columns), (F32, columns), (I32, columns)], U8, requantize_corrected);
        holds("requantized with a zero point by channel", &with(kernel, tile), Arch::SM_90);
    }
}

#[test]
fn convolutions_of_one_pixel_are_products() {
    for (t, dtype) in [F16, I8].into_iter().enumerate() {
        let mut plain = Convolution::new(dtype, &[9, 11], 48, 40, &[1, 1]);
        plain.images = 3;
        let mut part = Convolution::new(dtype, &[70], 32, 72, &[1]);
        (part.pitch, part.first, part.pad) = (80, 16, 9);
        for (i, convolution) in [plain, part].iter().enumerate() {
            let to = if dtype.is_float() { dtype } else { I32 };
            let kernel = with(convolution.kernel(&[], to, |b| b.product()), tiles(dtype)[2 * i + t]);
            holds(&format!("{convolution:?}"), &kernel, Arch::SM_90);
        }
    }
}

/// With one multiprocessor a block walks all tiles. With more than two the prover takes two, so that blocks walk several tiles still.
#[test]
fn blocks_walk_tiles_whatever_their_number() {
    for (t, tile) in tiles(F16).into_iter().enumerate().take(2) {
        let kernel = with(Gemm::new(F16, 300, 72, 200).kernel(&[(F16, columns)], F16, bias_silu(F16)), tile);
        for multiprocessors in [1, 132] {
            let mut source = source(&kernel);
            let Blocks::Walk { multiprocessors: spread, tiles } = &mut source.rule.blocks else {
                panic!("{:?}", source.rule)
            };
            *spread = multiprocessors;
            let count: u64 = tiles.iter().map(|(size, step)| size.known().unwrap() as u64 / step + 1).product();
            let launch = source.launch(&kernel, &Default::default()).unwrap();
            assert_eq!(u64::from(launch.grid[0]), count.min(multiprocessors.into()), "{t}");
            let text = ptx(&source, &source.text, Arch::SM_90);
            let proof = proof_of(&kernel, &source, &text);
            assert!(proof.holds() && proof.elements > 0, "{tile:?} on {multiprocessors}: {proof:?}");
        }
    }
}

#[test]
fn planted_faults_are_caught() {
    for tile in [tiles(F16)[0], tiles(F16)[3]] {
        let crews = tile.crews() == 2;
        let gemm = Gemm::new(F16, 200, 72, 328);
        let kernel = with(gemm.kernel(&[(F16, columns)], F16, bias_silu(F16)), tile);
        let source = source(&kernel);
        let text = &source.text;
        let good = proof_of(&kernel, &source, &ptx(&source, text, Arch::SM_90));
        assert!(good.holds(), "{good:?}");
        let fails = |what: &str, from: &str, to: &str| {
            // In the kernel, not in the functions that it calls.
            let (head, body) = text.split_once("extern \"C\"").unwrap();
            let changed = format!("{head}extern \"C\"{}", body.replacen(from, to, 1));
            assert!(changed != *text, "{what}: {from}");
            let proof = proof_of(&kernel, &source, &ptx(&source, &changed, Arch::SM_90));
            assert!(!proof.holds(), "{what} is not caught: {tile:?}");
        };
        let bytes = (tile.m + tile.n) * 128;
        fails(
            "bytes that nobody expects",
            &format!("expect_bytes(full + slot * 8u, {bytes}u);"),
            "arrive(full + slot * 8u);",
        );
        let (right, few) = (format!("slot * 8u, {bytes}u);"), format!("slot * 8u, {}u);", bytes / 2));
        fails("half of the bytes expected", &right, &few);
        fails("a slot that may not be empty", "wait_barrier(empty + slot * 8u, phase);", "");
        fails("a slot that may not be full", "wait_barrier(full + slot * 8u, phase);", "");
        fails("a producer of the wrong parity", "u32 slot = 0u, phase = 1u;", "u32 slot = 0u, phase = 0u;");
        fails("consumers of the wrong parity", "u32 slot = 0u, phase = 0u;\n", "u32 slot = 0u, phase = 1u;\n");
        fails("a parity that never turns", "slot = 0u, phase ^= 1u;", "slot = 0u;");
        fails("registers that are not ordered", "wgmma_fence();", "");
        fails("multiplications that are never begun", "wgmma_commit();", "");
        if tile.is_ahead() {
            fails("a slot given back while it is read", "wgmma_wait<1>();", "");
            fails("sums read before they are there", "wgmma_wait<0>();", "");
        } else {
            fails("a slot given back while it is read", "wgmma_wait<0>();", "");
        }
        let give = if tile.is_ahead() {
            "if (step > 0u && lane == 0u) arrive(empty + last * 8u);"
        } else {
            "if (lane == 0u) arrive(empty + slot * 8u);"
        };
        fails("a slot that is never given back", give, "");
        fails(
            "arrivals of one warp too few",
            &format!("init_barrier(empty + i * 8u, {}u);", tile.warps.0 * tile.warps.1),
            "init_barrier(empty + i * 8u, 1u);",
        );
        fails("barriers that are not there yet", "__syncthreads();", "");
        fails("a tile in the other's place", "copy_tile(to + 0u, &a_map", "copy_tile(to + 0u, &b_map");
        fails("coordinates that changed places", "k, (u32)m0,", "(u32)m0, k,");
        fails(
            "a step that is left out",
            "step < steps; ++step) {\n          wait",
            "step + 1u < steps; ++step) {\n          wait",
        );
        fails("a wrong fragment's rows", "warp % 4u * 16u", "warp % 2u * 16u");
        fails("rows that are not stored", "part % 2u * 8u", "0u");
        if crews {
            fails("crews that do not wait for their turn", "wait_barrier(turns + crew * 8u, turn);", "");
            fails("slots of the other's tile that are not passed over", "if (crew == 1u) pass();", "");
            fails("a turn that is not handed over", "if (lane == 0u) arrive(turns + (crew ^ 1u) * 8u);", "");
        }
    }
}

/// The prover's machine has no copy engine that is late by chance: what a fence shows it is seen in the text.
#[test]
fn the_copy_engine_is_shown_its_barriers() {
    let kernel = with(Gemm::new(F16, 64, 64, 64).kernel(&[], F16, |b| b.product()), tiles(F16)[0]);
    let text = ptx(&source(&kernel), &source(&kernel).text, Arch::SM_90);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing"));
    assert!(at("mbarrier.init") < at("fence.mbarrier_init.release.cluster"));
    assert!(at("fence.mbarrier_init.release.cluster") < at("cp.async.bulk.tensor.2d"));
}

#[test]
fn candidates_where_a_tensor_map_fits_and_the_choice_for_many_tiles() {
    let engines = |kernel: &Kernel, arch| {
        let picks = schedule::candidates(kernel, &Target::of(arch), &Options::default());
        let specialised =
            |form: &Form| matches!(form, Form::Product { blocking, .. } if blocking.engine.is_specialised());
        let chosen = specialised(&picks[0].form);
        assert_eq!(chosen, kernel.domain.iter().all(|d| d.known() == Some(8192)), "{:?}", picks[0].form);
        picks.into_iter().filter(|pick| specialised(&pick.form)).count()
    };
    let gemm = |m, n, k| Gemm::new(F16, m, n, k);
    let kernel = |gemm: Gemm| gemm.kernel(&[(F16, columns)], F16, bias_silu(F16));
    assert_eq!(engines(&kernel(gemm(8192, 8192, 512)), Arch::SM_90), 6);
    assert_eq!(engines(&kernel(Gemm { transposed: (false, false), ..gemm(512, 512, 520) }), Arch::SM_90), 6);
    for (what, none) in [
        ("lines of no multiple of 16 bytes", gemm(512, 512, 516)),
        ("a batch", Gemm { batch: 3, ..gemm(512, 512, 512) }),
        ("an offset of 6 bytes", Gemm { gap: 3, ..gemm(512, 512, 509) }),
    ] {
        assert_eq!(engines(&kernel(none), Arch::SM_90), 0, "{what}");
    }
    for arch in [Arch::SM_80, Arch::SM_100, Arch::SM_120] {
        assert_eq!(engines(&kernel(gemm(512, 512, 512)), arch), 0, "{arch}");
    }
    let codes = |transposed| Gemm { transposed, ..Gemm::new(I8, 512, 512, 512) };
    let kernel = |transposed| codes(transposed).kernel(&[(F32, columns), (F32, columns)], I8, requantize);
    assert_eq!((engines(&kernel((false, true)), Arch::SM_90), engines(&kernel((false, false)), Arch::SM_90)), (6, 0));
}

#[test]
fn memory_that_is_not_aligned_and_sizes_beyond_32_bits_have_another_form() {
    let tile = tiles(F16)[2];
    let kernel = with(Gemm::new(F16, 70, 72, 136).kernel(&[(F16, columns)], F16, bias_silu(F16)), tile);
    let aligned = source(&kernel).launch(&kernel, &Default::default()).unwrap();
    let maps = |args: &[ArgValue]| args.iter().filter(|arg| matches!(arg, ArgValue::TensorMap { .. })).count();
    assert_eq!((maps(&aligned.args), emit::TensorMap::ALIGN), (2, 16));
    for schedule in [kernel.schedule.unaligned(), kernel.schedule.widened(), kernel.schedule.widened().unaligned()] {
        let kernel = Kernel { schedule, ..kernel.clone() };
        let launch = source(&kernel).launch(&kernel, &Default::default()).unwrap();
        assert_eq!(maps(&launch.args), 0);
        holds("without tensor maps", &kernel, Arch::SM_90);
    }
}

#[test]
fn machine_code_has_what_the_design_says_and_spills_nothing() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    let half = Gemm::new(F16, 8192, 8192, 1024).kernel(&[(F16, columns)], F16, bias_silu(F16));
    let across = Gemm { transposed: (false, false), ..Gemm::new(F16, 8192, 8192, 1024) };
    let across = across.kernel(&[(F16, columns)], F16, bias_silu(F16));
    let codes = Gemm::new(I8, 8192, 8192, 1024).kernel(&[(F32, columns), (F32, columns)], I8, requantize);
    for (name, kernel) in [("HGMMA", half), ("HGMMA", across), ("IGMMA", codes)] {
        let target = Target::of(Arch::SM_90);
        for pick in schedule::candidates(&kernel, &target, &Options::default()) {
            let Form::Product { blocking: tile, .. } = pick.form else { continue };
            if !tile.engine.is_specialised() {
                continue;
            }
            let schedule = schedule::with(&kernel, pick, &target, &Options::default());
            let kernel = Kernel { schedule, ..kernel.clone() };
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
            // What some warps take is what the others give: that adds up only if the compiler begins with all there is.
            assert_eq!(resources.registers, 65_536 / tile.threads() / 8 * 8, "{tile:?} {resources:?}");
            assert!(source.rule.dynamic_shared <= target.limits.shared_per_block, "{tile:?}");
            let mix = disassembler.mix(&compiled.bytes, &source.entry).unwrap();
            if std::env::var_os("POINTWELD_SHOW").is_some() {
                println!("{name} {tile:?}\n{resources:?} {} instructions\n{mix:?}", mix.total());
            }
            assert_eq!(mix.count(name, &[]), 4 * (tile.m / tile.warps.0 / 16), "{tile:?} {mix:?}");
            let copies = 1 + if name == "HGMMA" && source.text.contains("(u32)n0, k") { tile.n / 64 } else { 1 };
            assert_eq!(mix.count("UTMALDG", &[]), copies, "{tile:?} {mix:?}");
            let none = ["HMMA", "IMMA", "LDSM", "LDGSTS", "LDL", "STL"].map(|other| mix.count(other, &[]));
            assert_eq!(none, [0; 6], "{tile:?} {mix:?}");
        }
    }
}

/// What `kernels.h` says of a tensor map is C, and the lock has the compiler choose such a kernel.
#[test]
fn the_header_takes_tensor_maps() {
    let graph = pointweld::expr::parse("y = relu(matmul(a:f16[512,264], transpose(b:f16[384,264])))").unwrap();
    let compiler = Compiler::new().arch(Arch::SM_90);
    let chosen = compiler.plan(&graph).unwrap();
    let [kernel] = chosen.plan.kernels().collect::<Vec<_>>()[..] else { panic!("{:?}", chosen.plan) };
    let sizes = Default::default();
    let picks = schedule::candidates(kernel, &compiler.target(), compiler.schedule_options());
    let specialised =
        |pick: &Pick| matches!(&pick.form, Form::Product { blocking, .. } if blocking.engine.is_specialised());
    let pick = picks.into_iter().find(specialised).unwrap();
    let mut lock = Lock::default();
    let entry = Entry::new(kernel, Arch::SM_90, &sizes, Choice::Run(pick.clone()), 1.0, 2.0);
    lock.entries.insert(lock::key(kernel, Arch::SM_90, &sizes), entry);
    let planned = compiler.lock(lock).plan(&graph).unwrap();
    assert_eq!(planned.plan.kernels().next().unwrap().schedule.form, pick.form);
    let sources: Vec<&emit::KernelSource> = planned.sources.iter().collect();
    let header = pointweld::report::c_header(&planned.plan, &sources, &vec![None; sources.len()], &[]);
    for what in [
        "const pw_tensor_map* a_map",
        "p->b_map = *b_map;",
        "sizes { INT64_C(264), INT64_C(512) }, stride { (INT64_C(264)) * 2 }",
        "pw_min(",
    ] {
        assert!(header.contains(what), "{what}: {header}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernels.h");
    std::fs::write(&file, header).unwrap();
    let mut cc = std::process::Command::new("cc");
    let run = cc.args(["-std=c99", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused-function"]).arg(&file);
    let output = run.output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
