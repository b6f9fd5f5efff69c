//! Kernels with a matrix product or convolution, proved on the interpreter and on the GPU if there is one: every factor's layout, every tile, tails on all sides.

use crate::build::{self, Body, Strides, along, dense};
use crate::machines::DEVICE;
pub use crate::machines::TOOLCHAIN;
use pointweld::anchor::Conv;
use pointweld::compile::sass::Disassembler;
use pointweld::compile::{Output, Request};
use pointweld::dim::Dim;
use pointweld::dtype::DType::{self, *};
use pointweld::emit::{self, KernelSource};
use pointweld::op::{self, Op};
use pointweld::plan::{Access, Arg, Blocking, BufferId, Contraction, Engine, Form, Kernel, Operand, Product};
use pointweld::prove::{self, Gpu, Interpreter, Proof};
use pointweld::scalar::{Number, Scalar};
use pointweld::schedule;
use pointweld::target::{Arch, Target};

const OPTIONS: prove::Options = prove::Options { samples: 1 << 16, seed: 3 };

fn accumulator(dtype: DType) -> DType {
    if dtype.is_float() { F32 } else { I32 }
}

fn dims(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|&n| Dim::fixed(n)).collect()
}

fn access(offset: i64, strides: &[i64]) -> Access {
    Access { offset: Dim::fixed(offset), strides: dims(strides) }
}

/// `a` (batch, m, k) by `b` (batch, k, n), each transposed or not in memory, with `b` the same for the whole batch or not.
#[derive(Debug, Clone, Copy)]
pub struct Gemm {
    pub types: (DType, DType),
    pub batch: i64,
    pub m: i64,
    pub n: i64,
    pub k: i64,
    pub transposed: (bool, bool),
    /// Elements between the rows in memory beyond their length.
    pub gap: i64,
}

impl Gemm {
    pub fn new(dtype: DType, m: i64, n: i64, k: i64) -> Gemm {
        Gemm { types: (dtype, dtype), batch: 1, m, n, k, transposed: (false, true), gap: 0 }
    }

    fn product(&self) -> Product {
        let Gemm { types, batch, m, n, k, transposed, gap } = *self;
        let strides = |rows: i64, columns: i64, transposed: bool| match transposed {
            false => (vec![rows * (columns + gap), columns + gap, 1], rows * (columns + gap)),
            true => (vec![columns * (rows + gap), 1, rows + gap], columns * (rows + gap)),
        };
        let (mut a, mut b) = (strides(m, k, transposed.0).0, strides(k, n, transposed.1).0);
        let sizes = if batch > 1 { dims(&[batch]) } else { Vec::new() };
        if batch == 1 {
            a.remove(0);
            b.remove(0);
        } else {
            b[0] *= batch % 2;
        }
        Product {
            name: "gemm".into(),
            a: Operand { buffer: BufferId(100), dtype: types.0 },
            b: Operand { buffer: BufferId(101), dtype: types.1 },
            accumulator: accumulator(types.0),
            contraction: Contraction::Matrix {
                batch: sizes,
                m: m.into(),
                n: n.into(),
                k: k.into(),
                a: access(gap, &a),
                b: access(0, &b),
            },
        }
    }

    /// The kernel with a body, over a domain of (batch·m, n).
    pub fn kernel(&self, loads: &[(DType, Strides)], to: DType, body: impl FnOnce(&mut Body) -> Arg) -> Kernel {
        build::with_product(Some(self.product()), &[self.batch * self.m, self.n], loads, to, body)
    }
}

/// bias, then SiLU, stored as `to`.
pub fn bias_silu(to: DType) -> impl FnOnce(&mut Body) -> Arg {
    move |b| {
        let bias = b.load(0);
        let bias = if to == F32 { bias } else { b.cast(bias, F32) };
        let product = if to == F32 { b.product() } else { b.cast(b.product(), F32) };
        let sum = b.op(Op::new(&op::ADD), &[product, bias]);
        let y = b.op(Op::new(&op::SILU), &[sum]);
        if to == F32 { y } else { b.cast(y, to) }
    }
}

/// Scales and biases by channel, SiLU, requantized.
pub fn requantize(b: &mut Body) -> Arg {
    let zero = b.scalar(I32, 0.0);
    let x = b.op(Op::to(&op::DEQUANTIZE, F32), &[b.product(), b.load(0), zero]);
    let biased = b.op(Op::new(&op::ADD), &[x, b.load(1)]);
    let y = b.op(Op::new(&op::SILU), &[biased]);
    b.quantize(y, I8, 0.045, 3)
}

/// The same with a zero point by channel, as a zero point of the factor `a` gives one.
pub fn requantize_corrected(b: &mut Body) -> Arg {
    let x = b.op(Op::to(&op::DEQUANTIZE, F32), &[b.product(), b.load(0), b.load(2)]);
    let biased = b.op(Op::new(&op::ADD), &[b.load(1), x]);
    let y = b.op(Op::new(&op::SILU), &[biased]);
    b.quantize(y, U8, 0.045, 3)
}

pub fn columns(d: &[Dim]) -> Vec<Dim> {
    along(d, d.len() - 1)
}

pub fn schedule(kernel: &mut Kernel) {
    kernel.schedule = schedule::choose(kernel, &Target::of(Arch::SM_80), &schedule::Options::default());
}

pub fn source(kernel: &Kernel) -> KernelSource {
    emit::emit(kernel, &emit::Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

pub fn ptx(source: &KernelSource, text: &str, arch: Arch) -> String {
    let request = Request { source: text, kernel: &source.entry, arch, output: Output::Ptx, options: &[] };
    let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}\n{text}"));
    String::from_utf8(compiled.bytes).unwrap()
}

pub fn proof_of(kernel: &Kernel, source: &KernelSource, ptx: &str) -> Proof {
    let machine = Interpreter::new(ptx, &source.entry, Some(7)).unwrap_or_else(|e| panic!("{e}"));
    prove::prove(kernel, source, None, &machine, &OPTIONS)
}

/// Proves a kernel as it is scheduled, on the interpreter and, where it runs there, on the GPU.
pub fn holds(what: &str, kernel: &Kernel, arch: Arch) {
    let source = source(kernel);
    let proof = proof_of(kernel, &source, &ptx(&source, &source.text, arch));
    if std::env::var_os("POINTWELD_SHOW").is_some() {
        println!("{}", source.text);
    }
    assert!(proof.holds() && proof.elements > 0, "{what}: {proof:?} {:?}", kernel.schedule.form);
    if let Some(device) = DEVICE.as_ref().filter(|device| arch == device.arch() || arch == Arch::SM_80) {
        let (entry, arch) = (&source.entry, device.arch());
        let request = Request { source: &source.text, kernel: entry, arch, output: Output::Cubin, options: &[] };
        let cubin = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}\n{}", source.text)).bytes;
        let proof = prove::prove(kernel, &source, None, &Gpu::new(device, &cubin, arch), &OPTIONS);
        assert!(proof.holds() && proof.elements > 0, "{what} on the GPU: {proof:?} {:?}", kernel.schedule.form);
    }
}

/// The tile of a kernel; one that was scheduled as a patch is taken for any tile, to be given another.
pub fn tile_of(kernel: &mut Kernel) -> &mut Blocking {
    if let (Form::Patch { vector, .. }, Some(product)) = (&kernel.schedule.form, &kernel.product) {
        kernel.schedule.form = Form::Product { blocking: tiles(product.a.dtype)[0], vector: *vector };
    }
    match &mut kernel.schedule.form {
        Form::Product { blocking: tile, .. } => tile,
        form => panic!("{form:?}"),
    }
}

#[test]
fn a_gemm_of_halves_with_bias_and_silu() {
    let mut kernel = Gemm::new(F16, 100, 72, 136).kernel(&[(F16, columns)], F16, bias_silu(F16));
    schedule(&mut kernel);
    holds("f16", &kernel, Arch::SM_80);
    holds("f16 on sm_75", &kernel, Arch::SM_75);
}

/// Small tiles of each engine, so that small problems have several blocks: rows, columns, bytes of a row's terms, warps, slices, stages.
fn tiles(dtype: DType) -> Vec<Blocking> {
    let size = dtype.bits() / 8;
    let engine = if dtype == F32 { Engine::Simt } else { Engine::Tensor };
    let tile = |m, n, bytes: u32, warps, slices, stages| Blocking {
        engine,
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
        tile(32, 32, 64, (1, 1), 1, 2),
        tile(64, 32, 64, (2, 1), 2, 3),
        tile(32, 64, 128, (1, 2), 1, 4),
        tile(64, 16, 64, (2, 1), 1, 3),
    ]
}

#[test]
fn gemms_of_every_type_layout_and_tail() {
    let shapes = [(33, 40, 17), (1, 1, 1), (70, 65, 64), (32, 96, 200), (5, 130, 31)];
    for dtype in [F16, BF16, F32] {
        for (i, (m, n, k)) in shapes.into_iter().enumerate() {
            for (t, tile) in tiles(dtype).into_iter().enumerate() {
                if (i + t) % 2 == 1 {
                    continue;
                }
                let transposed = [(false, true), (false, false), (true, true), (true, false)][(i + t) % 4];
                let gap = [0, 8, 3][(i + t) % 3];
                let batch = if i == 2 { 3 } else { 1 };
                let gemm = Gemm { batch, transposed, gap, ..Gemm::new(dtype, m, n, k) };
                let mut kernel = gemm.kernel(&[(dtype, columns)], dtype, bias_silu(dtype));
                schedule(&mut kernel);
                *tile_of(&mut kernel) = tile;
                holds(&format!("{gemm:?}"), &kernel, Arch::SM_80);
            }
        }
    }
}

#[test]
fn gemms_of_codes_are_exact() {
    let shapes = [(33, 40, 17), (1, 1, 1), (70, 65, 128), (32, 96, 200)];
    for (i, (m, n, k)) in shapes.into_iter().enumerate() {
        for (t, tile) in tiles(I8).into_iter().enumerate() {
            let types = [(I8, I8), (U8, I8), (I8, U8), (U8, U8)][(i + t) % 4];
            let transposed = [(false, true), (false, false), (true, true)][(i + t) % 3];
            let gemm = Gemm { types, transposed, ..Gemm::new(I8, m, n, k) };
            let mut kernel = gemm.kernel(&[], I32, |b| b.product());
            schedule(&mut kernel);
            *tile_of(&mut kernel) = tile;
            holds(&format!("{gemm:?}"), &kernel, Arch::SM_80);
        }
    }
    let gemm = Gemm::new(I8, 33, 48, 96);
    let mut kernel = gemm.kernel(&[(F32, columns), (F32, columns)], I8, requantize);
    schedule(&mut kernel);
    holds("requantized", &kernel, Arch::SM_90);
    holds("requantized on sm_75", &kernel, Arch::SM_75);
    for (n, types) in [(48, (U8, I8)), (7, (I8, I8))] {
        let gemm = Gemm { types, ..Gemm::new(I8, 300, n, 40) };
        let mut kernel = gemm.kernel(&[(F32, columns), (F32, columns), (I32, columns)], U8, requantize_corrected);
        schedule(&mut kernel);
        holds("requantized with a zero point by channel", &kernel, Arch::SM_90);
    }
    // Sums that pass what the fast path holds, and a depth of which it can't be told what wraps.
    for k in [2000, 70_000] {
        let mut kernel = Gemm { types: (U8, U8), ..Gemm::new(U8, 8, 16, k) }.kernel(
            &[(F32, columns), (F32, columns), (I32, columns)],
            U8,
            requantize_corrected,
        );
        schedule(&mut kernel);
        holds("long sums", &kernel, Arch::SM_90);
    }
}

#[test]
fn the_epilogue_of_codes_keeps_nothing_in_local_memory() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    for (to, n) in [(I8, 64), (I8, 30)] {
        let mut kernel = Gemm::new(I8, 819_200, n, 64).kernel(&[(F32, columns), (F32, columns)], to, requantize);
        schedule(&mut kernel);
        let source = source(&kernel);
        let request = Request {
            source: &source.text,
            kernel: &source.entry,
            arch: Arch::SM_90,
            output: Output::Cubin,
            options: &[],
        };
        let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}"));
        let mix = disassembler.mix(&compiled.bytes, &source.entry).unwrap();
        // NVRTC 13.0 saves two registers around each of two calls of the exact path; an array of codes would be sixteen.
        assert!(mix.count("LDL", &[]) <= 4 && mix.count("STL", &[]) <= 4, "{mix:?}\n{}", source.text);
        assert!(compiled.resources.is_some_and(|r| r.stack <= 16), "{:?}", compiled.resources);
    }
}

/// Products whose steps several blocks share out: with as many, fewer and more blocks than there are steps.
#[test]
fn split_products_add_up_in_order() {
    for (i, split) in [2, 3, 8].into_iter().enumerate() {
        for (dtype, k) in [(F16, 200), (F32, 70), (I8, 300)] {
            let gemm = Gemm { batch: if i == 1 { 3 } else { 1 }, ..Gemm::new(dtype, 33, 72, k) };
            let mut kernel = match dtype {
                I8 => gemm.kernel(&[(F32, columns), (F32, columns)], I8, requantize),
                _ => gemm.kernel(&[(dtype, columns)], dtype, bias_silu(dtype)),
            };
            schedule(&mut kernel);
            *tile_of(&mut kernel) = Blocking { split, ..tiles(dtype)[i] };
            holds(&format!("{gemm:?} split {split}"), &kernel, Arch::SM_80);
        }
    }
    let mut convolution = Convolution::new(I8, &[7, 5], 48, 40, &[3, 3]);
    (convolution.conv.pads, convolution.pad) = (vec![(1, 1), (1, 1)], 7);
    let mut kernel = convolution.kernel(&[], I32, |b| b.product());
    schedule(&mut kernel);
    *tile_of(&mut kernel) = Blocking { split: 4, ..tiles(I8)[1] };
    holds("a split convolution", &kernel, Arch::SM_75);
}

#[test]
fn faults_in_the_sum_of_a_split_product_are_caught() {
    let mut kernel = Gemm::new(F16, 40, 40, 256).kernel(&[(F16, columns)], F16, bias_silu(F16));
    schedule(&mut kernel);
    *tile_of(&mut kernel) = Blocking { split: 3, ..tiles(F16)[0] };
    let source = source(&kernel);
    assert!(proof_of(&kernel, &source, &ptx(&source, &source.text, Arch::SM_80)).holds());
    let faults = [
        ("the first block goes on", "2u) == 2u;", "2u) == 0u;"),
        ("one sum left out", "for (u32 s = 0; s < 3u; ++s)", "for (u32 s = 1; s < 3u; ++s)"),
        (
            "a counter that does not begin anew",
            "atomicInc(counters + blockIdx.x / 3u, 2u)",
            "atomicAdd(counters + blockIdx.x / 3u, 1u)",
        ),
        ("steps that two blocks take", "first_step + step : all_steps", "first_step / 2u + step : all_steps"),
    ];
    for (what, from, to) in faults {
        assert!(source.text.contains(from), "{what}: {}", source.text);
        let text = source.text.replace(from, to);
        let proof = proof_of(&kernel, &source, &ptx(&source, &text, Arch::SM_80));
        assert!(!proof.holds(), "{what} is not caught");
    }
}

/// A convolution with channels last.
#[derive(Debug, Clone)]
pub struct Convolution {
    pub types: (DType, DType),
    pub images: i64,
    pub input: Vec<i64>,
    pub channels: i64,
    pub filters: i64,
    pub conv: Conv,
    pub pad: i64,
    /// Channels of the tensor that the input is a part of, and the first of them.
    pub pitch: i64,
    pub first: i64,
}

impl Convolution {
    pub fn new(dtype: DType, input: &[i64], channels: i64, filters: i64, kernel: &[usize]) -> Convolution {
        let rank = kernel.len();
        let conv = Conv {
            kernel: kernel.to_vec(),
            strides: vec![1; rank],
            dilations: vec![1; rank],
            pads: vec![(0, 0); rank],
            groups: 1,
            bias: false,
        };
        let types = (dtype, dtype);
        let input = input.to_vec();
        Convolution { types, images: 1, input, channels, filters, conv, pad: 0, pitch: channels, first: 0 }
    }

    fn output(&self) -> Vec<i64> {
        let conv = &self.conv;
        let one = |i: usize| {
            let reach = (conv.kernel[i] - 1) * conv.dilations[i] + 1;
            let padded = self.input[i] + (conv.pads[i].0 + conv.pads[i].1) as i64;
            (padded - reach as i64) / conv.strides[i] as i64 + 1
        };
        (0..self.input.len()).map(one).collect()
    }

    fn product(&self) -> Product {
        let number = if self.types.0.is_float() { Number::Float(0.0) } else { Number::Int(self.pad.into()) };
        Product {
            name: "conv".into(),
            a: Operand { buffer: BufferId(100), dtype: self.types.0 },
            b: Operand { buffer: BufferId(101), dtype: self.types.1 },
            accumulator: accumulator(self.types.0),
            contraction: Contraction::Conv {
                images: self.images.into(),
                input: dims(&self.input),
                output: dims(&self.output()),
                channels: self.channels.into(),
                first: self.first.into(),
                pitch: self.pitch.into(),
                filters: self.filters.into(),
                conv: self.conv.clone(),
                pad: Scalar::new(self.types.0, number),
            },
        }
    }

    pub fn kernel(&self, loads: &[(DType, Strides)], to: DType, body: impl FnOnce(&mut Body) -> Arg) -> Kernel {
        let pixels: i64 = self.images * self.output().iter().product::<i64>();
        build::with_product(Some(self.product()), &[pixels, self.filters], loads, to, body)
    }
}

#[test]
fn convolutions_of_every_window() {
    let with = |convolution: Convolution, change: &dyn Fn(&mut Convolution)| {
        let mut convolution = convolution;
        change(&mut convolution);
        convolution
    };
    for (dtype, n) in [(F16, 0usize), (I8, 1), (F32, 2), (U8, 3)] {
        let cases = [
            // 3×3, padded, strided; whole pieces of channels.
            with(Convolution::new(dtype, &[9, 11], 16, 40, &[3, 3]), &|c| {
                (c.conv.pads, c.conv.strides, c.images) = (vec![(1, 1), (1, 1)], vec![2, 1], 3);
                c.pad = 7;
            }),
            // Channels that are no whole piece; pads that differ; dilation.
            with(Convolution::new(dtype, &[10, 9], 6, 17, &[3, 2]), &|c| {
                (c.conv.pads, c.conv.dilations) = (vec![(2, 0), (1, 3)], vec![1, 3]);
                c.pad = 101;
            }),
            // A first layer of three channels.
            with(Convolution::new(dtype, &[16, 14], 3, 32, &[6, 6]), &|c| {
                (c.conv.pads, c.conv.strides, c.images) = (vec![(2, 2), (2, 2)], vec![2, 2], 2);
                c.pad = 1;
            }),
            with(Convolution::new(dtype, &[12, 13], 3, 8, &[3, 3]), &|c| c.conv.pads = vec![(1, 1), (1, 1)]),
            // Groups, 1-D, part of a wider tensor.
            with(Convolution::new(dtype, &[21], 24, 12, &[5]), &|c| {
                (c.conv.groups, c.conv.pads, c.pitch, c.first, c.images) = (3, vec![(2, 2)], 40, 8, 2);
                c.pad = 9;
            }),
            // 1×1: a matrix product.
            Convolution::new(dtype, &[7, 9], 24, 20, &[1, 1]),
            // Three spatial axes.
            with(Convolution::new(dtype, &[4, 5, 6], 8, 8, &[2, 3, 3]), &|c| {
                (c.conv.pads, c.conv.strides) = (vec![(1, 0), (1, 1), (0, 1)], vec![1, 2, 1]);
            }),
        ];
        for (i, convolution) in cases.iter().enumerate() {
            let to = if dtype.is_float() { dtype } else { I32 };
            let mut kernel = convolution.kernel(&[], to, |b| b.product());
            schedule(&mut kernel);
            *tile_of(&mut kernel) = tiles(dtype)[(i + n) % 3];
            holds(&format!("{convolution:?}"), &kernel, Arch::SM_80);
        }
    }
}

#[test]
fn depthwise_convolutions() {
    for dtype in [F16, I8, F32, BF16, U8] {
        for (channels, pad, images) in [(16, 0, 3), (13, 5, 1)] {
            let mut convolution = Convolution::new(dtype, &[9, 8], channels, channels, &[3, 3]);
            convolution.conv.groups = channels as usize;
            (convolution.pad, convolution.images) = (pad, images);
            convolution.conv.pads = vec![(1, 1), (0, 2)];
            convolution.conv.strides = vec![2, 1];
            let mut kernel = match dtype {
                I8 => convolution.kernel(&[(F32, columns), (F32, columns)], I8, requantize),
                U8 => convolution.kernel(&[], I32, |b| b.product()),
                _ => convolution.kernel(&[(dtype, columns)], dtype, bias_silu(dtype)),
            };
            schedule(&mut kernel);
            holds(&format!("{convolution:?}"), &kernel, Arch::SM_80);
        }
    }
}

#[test]
fn results_go_wherever_their_access_says() {
    // A residual, two results, one of them a slice of a wider tensor and the other with its rows innermost.
    let gemm = Gemm::new(F16, 40, 48, 64);
    let loads: [(_, Strides); 2] = [(F16, columns), (F16, dense)];
    let mut kernel = gemm.kernel(&loads, F16, |b| {
        let bias = b.cast(b.load(0), F32);
        let product = b.cast(b.product(), F32);
        let sum = b.op(Op::new(&op::ADD), &[product, bias]);
        let residual = b.cast(b.load(1), F32);
        let sum = b.op(Op::new(&op::ADD), &[sum, residual]);
        b.cast(sum, F16)
    });
    kernel.stores[0].access = access(16, &[96, 1]);
    let mut second = kernel.stores[0].clone();
    (second.buffer, second.access) = (BufferId(50), access(0, &[1, 40]));
    kernel.stores.push(second);
    schedule(&mut kernel);
    holds("two results", &kernel, Arch::SM_80);
    kernel.schedule = kernel.schedule.unaligned();
    holds("two results, unaligned", &kernel, Arch::SM_80);
}

/// A kernel of several steps and blocks with tails on all sides, for faults to hide in.
fn victim() -> Kernel {
    let mut kernel = Gemm::new(F16, 70, 72, 200).kernel(&[(F16, columns)], F16, bias_silu(F16));
    schedule(&mut kernel);
    *tile_of(&mut kernel) = Blocking { stages: 3, slices: 1, ..tiles(F16)[1] };
    kernel
}

#[test]
fn planted_faults_are_caught() {
    let kernel = victim();
    let source = source(&kernel);
    let faults: [(&str, &str, &str); 7] = [
        ("a wait for one group fewer", "wait_copies<1>();", "wait_copies<2>();"),
        ("no barrier between steps", "__syncthreads();\n        take", "take"),
        (
            "the halves of a fragment exchanged",
            "b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]",
            "b[j / 2][j % 2 * 2 + 1], b[j / 2][j % 2 * 2]",
        ),
        ("terms beyond the last", "k < depth ?", "k <= depth ?"),
        ("a row beyond the last", "u < rows) << i", "u <= rows) << i"),
        ("a result beyond the last", "local_row >= rows", "local_row > rows"),
        (
            "pieces not permuted where they are read",
            "load_matrices(a[i], a_from + swizzled<4>",
            "load_matrices(a[i], a_from + swizzled<1>",
        ),
    ];
    let good = proof_of(&kernel, &source, &ptx(&source, &source.text, Arch::SM_80));
    assert!(good.holds(), "{good:?}");
    for (what, from, to) in faults {
        assert!(source.text.contains(from), "{what}: {}", source.text);
        let text = source.text.replace(from, to);
        let proof = proof_of(&kernel, &source, &ptx(&source, &text, Arch::SM_80));
        assert!(!proof.holds(), "{what} is not caught");
    }
}

#[test]
fn main_loops_are_tensor_core_instructions() {
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    let cases = [
        ("HMMA", Gemm::new(F16, 4096, 4096, 4096).kernel(&[(F16, columns)], F16, bias_silu(F16))),
        (
            "HMMA",
            Gemm { transposed: (false, false), ..Gemm::new(BF16, 4096, 4096, 4096) }.kernel(
                &[(BF16, columns)],
                BF16,
                bias_silu(BF16),
            ),
        ),
        ("IMMA", Gemm::new(I8, 4096, 4096, 4096).kernel(&[(F32, columns), (F32, columns)], I8, requantize)),
    ];
    for (name, mut kernel) in cases {
        schedule(&mut kernel);
        *tile_of(&mut kernel) =
            Blocking { m: 128, n: 128, k: tile_of(&mut kernel).k, warps: (2, 2), stages: 4, ..*tile_of(&mut kernel) };
        let bytes = tile_of(&mut kernel).k * if name == "IMMA" { 1 } else { 2 };
        let source = source(&kernel);
        for arch in [Arch::SM_80, Arch::SM_90] {
            let request =
                Request { source: &source.text, kernel: &source.entry, arch, output: Output::Cubin, options: &[] };
            let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|e| panic!("{e}"));
            let resources = compiled.resources.unwrap();
            assert_eq!((resources.spill_stores, resources.spill_loads), (0, 0), "{arch} {}", source.text);
            let mix = disassembler.mix(&compiled.bytes, &source.entry).unwrap();
            // A warp's 64x64 accumulators take 4x8 instructions for 32 bytes of terms, from 8 loads of fragments; the first are loaded twice in
            // the text, before the loop and in it.
            let parts = bytes / 32;
            assert_eq!(mix.count(name, &[]), 32 * parts, "{arch} {mix:?}");
            assert_eq!(mix.count("LDSM", &[]), 8 * (parts + 1), "{arch} {mix:?}");
            assert!(mix.count("LDGSTS", &[]) > 0, "{arch} {mix:?}");
        }
    }
}
