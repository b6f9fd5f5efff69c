//! The generated texts: goldens, their machine code, and what a model can do to them.

use crate::build::{self, along, dense, kernel, uniform};
use crate::product::{self, Convolution, Gemm};
use pointweld::compile::sass::{Disassembler, Mix};
use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::compiler::{Compiler, Estimate};
use pointweld::dtype::DType::*;
use pointweld::emit::{self, KernelSource, Options};
use pointweld::graph::{Builder, Kind, Node, Type};
use pointweld::op::{self, Op};
use pointweld::plan::Kernel;
use pointweld::schedule;
use pointweld::shape;
use pointweld::target::{Arch, Target};
use std::fs;
use std::path::Path;

fn source(kernel: &Kernel) -> KernelSource {
    emit::emit(kernel, &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Machine code of a text for an architecture; warnings and spills fail.
fn compile(source: &KernelSource, arch: Arch) -> Vec<u8> {
    let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("{error}"));
    let request = Request { source: &source.text, kernel: &source.entry, arch, output: Output::Cubin, options: &[] };
    let compiled = nvrtc.compile(&request).unwrap_or_else(|error| panic!("{error}\n{}", source.text));
    assert_eq!(compiled.log, "", "{}", source.text);
    let resources = compiled.resources.unwrap();
    assert_eq!((resources.spill_stores, resources.spill_loads, resources.stack), (0, 0, 0), "{arch}\n{}", source.text);
    compiled.bytes
}

/// Representative kernels by name, scheduled for the H200.
fn cases() -> Vec<(&'static str, Kernel)> {
    let add = Op::new(&op::ADD);
    let leaky = Op::new(&op::LEAKY_RELU);
    let mut cases = vec![
        ("copy_i8", kernel(&[1 << 20], &[(I8, dense)], I8, |b| b.load(0))),
        ("add_f16", kernel(&[1 << 26], &[(F16, dense), (F16, dense)], F16, |b| b.op(add, &[b.load(0), b.load(1)]))),
        (
            "add_bf16_tail",
            kernel(&[(1 << 20) + 3], &[(BF16, dense), (BF16, uniform)], BF16, |b| b.op(add, &[b.load(0), b.load(1)])),
        ),
        ("leaky_f64", kernel(&[1000], &[(F64, dense)], F64, |b| b.op(leaky, &[b.load(0), b.float(0.1)]))),
        (
            "requantize_i8",
            kernel(&[1 << 26], &[(I8, dense), (I8, dense)], I8, |b| {
                let x = b.dequantize(b.load(0), 0.05, 0);
                let y = b.dequantize(b.load(1), 0.04, 3);
                let sum = b.op(add, &[x, y]);
                let leaky = b.op(leaky, &[sum, b.float(0.1)]);
                b.quantize(leaky, I8, 0.03, 0)
            }),
        ),
        (
            "bias_nchw_odd",
            kernel(&[32, 128, 49], &[(F16, dense), (F16, |d| along(d, 1))], F16, |b| {
                b.op(add, &[b.load(0), b.load(1)])
            }),
        ),
        ("to_f8", kernel(&[1 << 20], &[(F32, dense)], F8E4M3FN, |b| b.cast(b.load(0), F8E4M3FN))),
        (
            "fake_quantize_u8",
            kernel(&[1 << 20], &[(F32, dense)], F32, |b| {
                let q = b.quantize(b.load(0), U8, 0.02, 128);
                b.dequantize(q, 0.02, 128)
            }),
        ),
    ];
    let silu = Op::new(&op::SILU);
    cases.push(("silu_f16", kernel(&[1 << 26], &[(F16, dense)], F16, |b| b.op(silu, &[b.load(0)]))));
    cases.push(("silu_f32", kernel(&[1 << 26], &[(F32, dense)], F32, |b| b.op(silu, &[b.load(0)]))));
    let swiglu = |b: &mut build::Body| {
        let gate = b.op(silu, &[b.load(0)]);
        b.op(Op::new(&op::MUL), &[gate, b.load(1)])
    };
    cases.push(("swiglu_bf16", kernel(&[8192 * 14336], &[(BF16, dense), (BF16, dense)], BF16, swiglu)));
    let silu_i8 = |b: &mut build::Body| {
        let x = b.dequantize(b.load(0), 0.05, 0);
        let y = b.dequantize(b.load(1), 0.03, 0);
        let sum = b.op(add, &[x, y]);
        let y = b.op(silu, &[sum]);
        b.quantize(y, I8, 0.045, 0)
    };
    cases.push(("add_silu_i8", kernel(&[1 << 26], &[(I8, dense), (I8, dense)], I8, silu_i8)));
    let bias_gelu = |b: &mut build::Body| {
        let sum = b.op(add, &[b.load(0), b.load(1)]);
        b.op(Op::new(&op::GELU), &[sum])
    };
    cases.push(("bias_gelu_f16", kernel(&[8192, 16384], &[(F16, dense), (F16, |d| along(d, 1))], F16, bias_gelu)));
    let bias_silu = |b: &mut build::Body| {
        let sum = b.op(add, &[b.load(0), b.load(1)]);
        b.op(silu, &[sum])
    };
    cases.push((
        "bias_silu_nchw_f16",
        kernel(&[32, 128, 25600], &[(F16, dense), (F16, |d| along(d, 1))], F16, bias_silu),
    ));
    let outer = |b: &mut build::Body| b.op(Op::new(&op::MUL), &[b.load(0), b.load(1)]);
    let (row, column): (build::Strides, build::Strides) = (|d| along(d, 0), |d| along(d, 1));
    cases.push(("outer_f16", kernel(&[16384, 8192], &[(F16, row), (F16, column)], F16, outer)));
    let accumulator = |b: &mut build::Body| {
        let zero = b.scalar(I32, 0.0);
        let x = b.op(Op::to(&op::DEQUANTIZE, F32), &[b.load(0), b.load(1), zero]);
        let biased = b.op(add, &[x, b.load(2)]);
        let y = b.op(silu, &[biased]);
        b.quantize(y, I8, 0.045, 0)
    };
    let loads: [(_, build::Strides); 3] = [(I32, dense), (F32, column), (F32, column)];
    cases.push(("i32_bias_silu_i8", kernel(&[262144, 256], &loads, I8, accumulator)));
    cases.push((
        "transposed_add",
        kernel(&[4096, 4096], &[(F16, dense), (F16, build::transposed)], F16, |b| b.op(add, &[b.load(0), b.load(1)])),
    ));
    let silu_codes = |b: &mut build::Body| {
        let x = b.dequantize(b.load(0), 0.05, 0);
        let y = b.op(silu, &[x]);
        b.quantize(y, I8, 0.045, 0)
    };
    cases.push(("silu_i8_transposed", kernel(&[32, 1600, 128], &[(I8, build::transposed)], I8, silu_codes)));
    cases.push(("relu_f32_stored_transposed", {
        let mut kernel = kernel(&[32, 49, 384], &[(F32, dense)], F32, |b| b.op(Op::new(&op::RELU), &[b.load(0)]));
        let domain = kernel.domain.clone();
        kernel.stores[0].access.strides = build::transposed(&domain);
        kernel
    }));
    cases.push(("silu_i8", kernel(&[1 << 26], &[(I8, dense)], I8, silu_codes)));
    cases.push(("silu_i8_into_channels", {
        let mut kernel = kernel(&[4, 64 * 1600], &[(I8, dense)], I8, silu_codes);
        kernel.stores[0].access.strides[0] = pointweld::dim::Dim::fixed(96 * 1600);
        kernel
    }));
    let channels = |domain: &[i64], axis| crate::channels::silu(domain, axis, I8, I8);
    cases.push(("channels_nchw_i8", channels(&[32, 128, 6400], 1)));
    cases.push(("channels_nhwc_i8", channels(&[32 * 6400, 128], 1)));
    // The same without a table, because the constants are not known.
    for (name, domain) in
        [("channels_nchw_arithmetic", &[32, 128, 6400][..]), ("channels_nhwc_arithmetic", &[32 * 6400, 128])]
    {
        let mut kernel = channels(domain, 1);
        kernel.loads.iter_mut().for_each(|load| load.known.clear());
        cases.push((name, kernel));
    }
    // Two functions of few ops that the slow unit takes long for, and many.
    let chain = |b: &mut build::Body, length: usize| {
        (0..length).fold(b.load(0), |x, _| {
            let y = b.op(silu, &[x]);
            b.op(Op::new(&op::SUB), &[y, b.scalar(F16, 0.3)])
        })
    };
    cases.push(("two_silu_f16", kernel(&[1 << 26], &[(F16, dense)], F16, |b| chain(b, 2))));
    cases.push(("chain_f16", kernel(&[1 << 26], &[(F16, dense)], F16, |b| chain(b, 10))));
    let silu_of = |gemm: Gemm| gemm.kernel(&[(F16, product::columns)], F16, product::bias_silu(F16));
    cases.push(("gemm_f16_bias_silu", silu_of(Gemm::new(F16, 4096, 4096, 1024))));
    let mut layer = Convolution::new(F16, &[40, 40], 128, 128, &[3, 3]);
    layer.conv.pads = vec![(1, 1), (1, 1)];
    cases.push(("conv_f16_bias_silu", layer.kernel(&[(F16, product::columns)], F16, product::bias_silu(F16))));
    let mut layer = Convolution::new(F16, &[80, 80], 64, 64, &[3, 3]);
    (layer.conv.pads, layer.conv.groups) = (vec![(1, 1), (1, 1)], 64);
    cases.push(("depthwise_f16_bias_silu", layer.kernel(&[(F16, product::columns)], F16, product::bias_silu(F16))));
    cases.push(("gemm_f16_bias_silu_wgmma", silu_of(Gemm::new(F16, 2048, 4096, 1024))));
    cases.push(("gemm_f16_bias_silu_pingpong", silu_of(Gemm::new(F16, 8192, 8192, 1024))));
    for (name, kernel) in &mut cases {
        // Hopper multiplies with instructions of its own; the other products are what all architectures run.
        let hopper = name.ends_with("wgmma") || name.ends_with("pingpong");
        let arch = if kernel.product.is_none() || hopper { Arch::SM_90 } else { Arch::SM_80 };
        kernel.schedule = schedule::choose(kernel, &Target::of(arch), &schedule::Options::default());
    }
    cases
}

#[test]
fn the_texts_are_those_of_the_goldens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kernels");
    let bless = std::env::var_os("POINTWELD_BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for (name, kernel) in cases() {
        let file = folder.join(format!("{name}.cu"));
        let text = source(&kernel).text;
        if bless {
            fs::write(&file, &text).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} differ from tests/golden/kernels; if they should, run with POINTWELD_BLESS=1");
}

#[test]
fn the_texts_compile_without_warnings_or_spills() {
    for (_, kernel) in cases() {
        let source = source(&kernel);
        let on_hopper_alone = source.text.contains("wgmma.");
        for arch in [Arch::SM_75, Arch::SM_80, Arch::SM_90, Arch::SM_120] {
            if arch == Arch::SM_90 || !on_hopper_alone {
                compile(&source, arch);
            }
        }
    }
}

#[test]
fn kernels_that_differ_in_sizes_and_scales_share_a_text() {
    let requantize_two = |n: i64, scale: f32, zero: i64| {
        let mut kernel = kernel(&[n], &[(I8, dense), (I8, dense)], I8, |b| {
            let x = b.dequantize(b.load(0), scale, zero);
            let y = b.dequantize(b.load(1), scale * 3.0, 0);
            let sum = b.op(Op::new(&op::ADD), &[x, y]);
            b.quantize(sum, I8, scale * 2.0, 0)
        });
        kernel.schedule = schedule::choose(&kernel, &Target::of(Arch::SM_90), &schedule::Options::default());
        source(&kernel)
    };
    let first = requantize_two(1 << 22, 0.05, 7);
    let second = requantize_two(3 << 20, 0.0123, -3);
    assert!(first.entry == second.entry && first.text == second.text);
    assert_ne!(first.params, second.params);
    assert!(first.text != requantize_two(1 << 22, 0.05, 0).text, "a zero point of zero is left out");
    assert!(first == requantize_two(1 << 22, 0.05, 7));
}

/// The instructions of a case on sm_90.
fn mix(name: &str) -> Mix {
    let (_, kernel) = cases().into_iter().find(|(case, _)| *case == name).unwrap();
    let source = source(&kernel);
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    disassembler.mix(&compile(&source, Arch::SM_90), &source.entry).unwrap()
}

#[test]
fn memory_moves_in_vectors_of_16_bytes() {
    for (name, loads, stores) in [
        ("add_f16", 2, 1),
        ("silu_f16", 1, 1),
        ("silu_f32", 1, 1),
        ("swiglu_bf16", 2, 1),
        ("add_silu_i8", 2, 1),
        ("bias_silu_nchw_f16", 1, 1),
        ("outer_f16", 1, 2),
        ("bias_gelu_f16", 3, 2),
        ("transposed_add", 8, 4),
    ] {
        let mix = mix(name);
        assert_eq!((mix.count("LDG", &["128"]), mix.count("STG", &["128"])), (loads, stores), "{name} {mix:?}");
        assert_eq!(mix.pipes().local, 0, "{name}");
    }
}

/// What the machine code says limits each case on the H200, by the instructions of its usual path.
#[test]
fn the_estimates_say_what_limits() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    let target = Target::of(Arch::SM_90);
    for (name, limit, most) in [
        ("silu_f16", "memory", 10.0),
        ("silu_f32", "memory", 30.0),
        ("add_silu_i8", "memory", 20.0),
        ("i32_bias_silu_i8", "memory", 39.0),
        ("silu_i8", "memory", 6.0),
        ("channels_nchw_i8", "memory", 7.0),
        ("channels_nhwc_i8", "memory", 8.0),
        ("channels_nchw_arithmetic", "issue", 30.0),
        ("channels_nhwc_arithmetic", "issue", 34.0),
        ("chain_f16", "memory", 5.0),
        ("two_silu_f16", "memory", 19.0),
        ("add_f16", "memory", 4.0),
    ] {
        let (_, kernel) = cases().into_iter().find(|(case, _)| *case == name).unwrap();
        let source = source(&kernel);
        let mix = disassembler.usual_mix(&compile(&source, Arch::SM_90), &source.entry).unwrap();
        let estimate = Estimate::new(&kernel, &mix, source.rule.elements_per_thread(), &target);
        println!("{name}: {estimate:?}");
        assert!(mix.count("DFMA", &[]) == 0 && mix.count("STG", &["U8"]) == 0, "{name} {mix:?}");
        assert_eq!(estimate.bound, limit, "{name} {estimate:?}");
        assert!(estimate.per_element.issue <= most, "{name} {estimate:?}");
    }
}

/// Of every main kernel: what the slow unit (16 operations a clock of a multiprocessor) has time for while the memory moves an element at 4.3 TB/s, at
/// 1.98 GHz; no local memory; codes packed and unpacked off the slow unit.
#[test]
fn main_kernels_keep_their_budgets() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    for (name, slow, from_codes, to_codes) in [
        ("silu_f32", 7.8, false, false),
        ("silu_f16", 3.9, false, false),
        ("add_f16", 5.8, false, false),
        ("swiglu_bf16", 5.8, false, false),
        ("bias_gelu_f16", 3.9, false, false),
        ("bias_silu_nchw_f16", 3.9, false, false),
        ("outer_f16", 1.9, false, false),
        ("transposed_add", 5.8, false, false),
        ("chain_f16", 3.9, false, false),
        ("silu_i8", 1.95, false, false),
        ("channels_nchw_i8", 1.95, false, false),
        ("channels_nhwc_i8", 1.95, false, false),
        ("requantize_i8", 2.9, true, true),
        ("add_silu_i8", 2.9, true, true),
        ("i32_bias_silu_i8", 4.9, false, true),
    ] {
        let (_, kernel) = cases().into_iter().find(|(case, _)| *case == name).unwrap();
        let source = source(&kernel);
        let cubin = compile(&source, Arch::SM_90);
        let mix = disassembler.usual_mix(&cubin, &source.entry).unwrap();
        let elements = source.rule.elements_per_thread();
        let (pipes, per_element) = (mix.pipes(), |count: u32| f64::from(count) / elements);
        println!("{name}: MUFU {:.2}, slow unit {:.2}", per_element(mix.count("MUFU", &[])), per_element(pipes.xu));
        assert!(per_element(pipes.xu) <= slow, "{name}: {mix:?}");
        assert_eq!(pipes.local, 0, "{name}: {mix:?}");
        assert_eq!(mix.count("I2F", &["S8"]), 0, "{name}: {mix:?}");
        if to_codes {
            assert!(mix.count("F2IP", &[]) > 0 && mix.count("F2I", &[]) == 0, "{name}: {mix:?}");
        }
        if from_codes {
            assert!(mix.count("I2F", &[]) == 0, "{name}: {mix:?}");
        }
        // Each architecture has its own estimate; where `F2IP` is missing the slow unit has more to do.
        for arch in [Arch::SM_80, Arch::SM_90, Arch::SM_100, Arch::SM_120] {
            let mix = disassembler.usual_mix(&compile(&source, arch), &source.entry).unwrap();
            let estimate = Estimate::new(&kernel, &mix, elements, &Target::of(arch));
            println!("  {arch}: {} (issue {:.2}, xu {:.2})", estimate.bound, estimate.issue, estimate.xu);
            assert!(estimate.per_element.issue >= 1.0 / elements && estimate.issue.is_finite(), "{name} {estimate:?}");
        }
    }
}

#[test]
fn codes_are_converted_off_the_slow_unit() {
    let mix = mix("add_silu_i8");
    // Two for each four codes, for both ends of what they may be.
    assert_eq!(mix.count("F2IP", &[]), 16);
    assert_eq!(mix.count("MUFU", &["EX2"]) + mix.count("MUFU", &["RCP"]), 32);
    // What is left of conversions is in the second opinion in f64, once a vector.
    assert!(mix.count("F2I", &[]) <= 1 && mix.count("I2F", &["S8"]) == 0, "{mix:?}");
}

/// Names that would end a comment, a line or a string, or begin one, in the text that NVRTC compiles and in the C header.
#[test]
fn names_of_a_model_write_nothing_but_names() {
    let long = "x*/\n".repeat(1 << 18);
    let names = [
        "*/ int evil; /*",
        "a\nint evil;",
        "a\r\nint evil;",
        "ends in \\",
        "ends in ??/",
        "\\\n#error evil\n",
        "\"; int evil; //",
        "'\"\\\"",
        "%s%n{{ evil }}{% raw %}",
        "\u{202e}/*\u{2028}\u{85}\0",
        "/",
        "*",
        "",
        "é層🙂",
        &long,
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let mut b = Builder::new(name);
        let shape = shape![if name.is_empty() { "n" } else { name }, 24];
        let x = b.input(name, F16, shape.clone());
        let node = Node::new(Kind::Pointwise(Op::new(&op::SILU)), name, Type::new(F16, shape)).with_origin(name, name);
        let y = b.node(node, &[x]).value();
        b.output(name, y);
        let planned = Compiler::new().plan(&b.finish().unwrap()).unwrap_or_else(|error| panic!("{name:.80}: {error}"));
        let kernels: Vec<&Kernel> = planned.plan.kernels().collect();
        let mut source = planned.sources[0].clone();
        let header = source.header(&planned.plan, &kernels);
        assert_eq!(header.lines().count(), 1, "{header}");
        assert!(header.len() < 4000, "{} bytes", header.len());
        source.text = header + &source.text;
        compile(&source, Arch::SM_90);

        let sources: Vec<&KernelSource> = planned.sources.iter().collect();
        let tables = vec![None; sources.len()];
        let file = folder.path().join("kernels.h");
        fs::write(&file, pointweld::report::c_header(&planned.plan, &sources, &tables, &[])).unwrap();
        let mut cc = std::process::Command::new("cc");
        let run = cc.args(["-std=c99", "-trigraphs", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused-function"]);
        let output = run.arg(&file).output().expect("a C compiler");
        assert!(output.status.success(), "{name:.80}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
