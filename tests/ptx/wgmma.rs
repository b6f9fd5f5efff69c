//! `wgmma`: every layout of its operands, every type and width, and a pipelined GEMM of two warpgroups; then each of these with a fault planted.
//!
//! The operands are small whole numbers, so that every sum is exact, on hardware as well.

use crate::faults::plant;
use crate::harness::*;
use half::{bf16, f16};
use pointweld::ptx::{Fault, FaultKind, Launch, Memory, Module, Options, PtxError, run};
use pointweld::target::Arch;

const HOPPER: [Arch; 1] = [Arch::SM_90A];

/// One warpgroup's product of 64 × n × (steps of 32 bytes), with the operands in a layout of choice.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// `f16`, `bf16`, or the two types of integers, as in `s8.u8`.
    types: &'static str,
    n: usize,
    steps: usize,
    /// Pieces of 16 bytes in a line of the swizzle: 1, 2, 4 or 8.
    width: usize,
    a_major: bool,
    b_major: bool,
    a_in_registers: bool,
    /// `imm-scale-a` and `imm-scale-b`.
    signs: [i32; 2],
    /// Adds to what D holds before; otherwise the first step overwrites it.
    adds: bool,
}

const PLAIN: Shape = Shape {
    types: "f16",
    n: 64,
    steps: 4,
    width: 8,
    a_major: false,
    b_major: false,
    a_in_registers: false,
    signs: [1, 1],
    adds: false,
};

impl Shape {
    fn size(&self) -> usize {
        if self.floats() { 2 } else { 1 }
    }

    fn floats(&self) -> bool {
        !self.types.contains("8.")
    }

    fn k(&self) -> usize {
        self.steps * 32 / self.size()
    }

    /// The kernel: it stages `A[64][k]` and `B[n][k]` as the canonical layouts of the PTX ISA say, and multiplies.
    fn source(&self) -> String {
        let Shape { types, n, steps, width, a_major, b_major, .. } = *self;
        let (size, k) = (self.size(), self.k());
        let mode = [0, 3, 2, 1][width.trailing_zeros() as usize];
        let (class, acc) = if self.floats() { ("f", "float") } else { ("r", "int") };
        let list =
            |from: usize, count: usize| (from..from + count).map(|i| format!("%{i}")).collect::<Vec<_>>().join(",");
        let outs = (0..n / 2).map(|i| format!("\"+{class}\"(d[{i}])")).collect::<Vec<_>>().join(",");
        let (first, a_in) = match self.a_in_registers {
            true => (format!("{{{}}}", list(n / 2, 4)), "\"r\"(a[0]),\"r\"(a[1]),\"r\"(a[2]),\"r\"(a[3])".to_string()),
            false => (format!("%{}", n / 2), "\"l\"(da)".to_string()),
        };
        let b_at = n / 2 + if self.a_in_registers { 4 } else { 1 };
        let [sa, sb] = self.signs;
        let trans = |major: bool| i32::from(major);
        let flags = match (self.floats(), self.a_in_registers) {
            (false, _) => String::new(),
            (true, true) => format!(", {sa}, {sb}, {}", trans(b_major)),
            (true, false) => format!(", {sa}, {sb}, {}, {}", trans(a_major), trans(b_major)),
        };
        let ty = match types {
            "f16" => "m64n{n}k16.f32.f16.f16",
            "bf16" => "m64n{n}k16.f32.bf16.bf16",
            "s8.s8" => "m64n{n}k32.s32.s8.s8",
            "s8.u8" => "m64n{n}k32.s32.s8.u8",
            "u8.s8" => "m64n{n}k32.s32.u8.s8",
            _ => "m64n{n}k32.s32.u8.u8",
        };
        let ty = ty.replace("{n}", &n.to_string());
        let adds = i32::from(self.adds);
        format!(
            r#"
    typedef unsigned long long u64;
    __device__ unsigned at(const void* p) {{ return (unsigned)__cvta_generic_to_shared(p); }}
    // The byte of an operand's element, before the swizzle; line is what is not contiguous.
    template <int ROWS, bool MAJOR> __device__ unsigned place(int row, int k) {{
        int along = (MAJOR ? row : k) * {size}, line = MAJOR ? k : row, lines = MAJOR ? {k} : ROWS, wide = 16 * {width};
        return along / wide * (lines * wide) + line * wide + along % wide;
    }}
    __device__ unsigned swizzle(unsigned address) {{ return address ^ (address >> 7 & {width} - 1) << 4; }}
    template <int ROWS, bool MAJOR> __device__ u64 descriptor(unsigned tile, int step) {{
        int lines = MAJOR ? {k} : ROWS, panel = lines * 16 * {width}, eight = 8 * 16 * {width};
        unsigned start = tile + place<ROWS, MAJOR>(0, step * 32 / {size});
        // Without a swizzle the two strides of an mn-major operand change places.
        unsigned leading = MAJOR ? ({width} == 1 ? eight : panel) : ({width} == 1 ? panel : 16);
        unsigned stride = MAJOR ? ({width} == 1 ? panel : eight) : eight;
        return (u64)(start >> 4) | (u64)(leading >> 4) << 16 | (u64)(stride >> 4) << 32 | (u64){mode} << 62;
    }}
    extern "C" __global__ void __launch_bounds__(128) k(const unsigned char* A, const unsigned char* B, {acc}* D) {{
        __shared__ alignas(1024) unsigned char sa[64 * {k} * {size}], sb[{n} * {k} * {size}];
        int t = threadIdx.x, lane = t % 32, warp = t / 32;
        for (int i = t; i < 64 * {k}; i += 128) for (int b = 0; b < {size}; ++b)
            sa[swizzle(at(sa) + place<64, {a_major}>(i / {k}, i % {k})) - at(sa) + b] = A[i * {size} + b];
        for (int i = t; i < {n} * {k}; i += 128) for (int b = 0; b < {size}; ++b)
            sb[swizzle(at(sb) + place<{n}, {b_major}>(i / {k}, i % {k})) - at(sb) + b] = B[i * {size} + b];
        asm volatile("fence.proxy.async;" ::: "memory");
        __syncthreads();
        {acc} d[{n} / 2];
        #pragma unroll
        for (int i = 0; i < {n} / 2; ++i) d[i] = {adds} * (i + 1);
        unsigned a[{steps}][4];
        #pragma unroll
        for (int s = 0; s < {steps}; ++s) for (int i = 0; i < 4; ++i)
            a[s][i] = ((const unsigned*)A)[(warp * 16 + lane / 4 + i % 2 * 8) * ({k} * {size} / 4) + s * 8 + lane % 4 + i / 2 * 4];
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        #pragma unroll
        for (int s = 0; s < {steps}; ++s) {{
            u64 da = descriptor<64, {a_major}>(at(sa), s), db = descriptor<{n}, {b_major}>(at(sb), s);
            int more = {adds} | s > 0;
            asm volatile("{{ .reg .pred p; setp.ne.b32 p, %{p_at}, 0; wgmma.mma_async.sync.aligned.{ty} {{{d}}}, {first}, %{b_at}, p{flags}; }}"
                : {outs} : {a_in}, "l"(db), "r"(more));
        }}
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" : {outs} :: "memory");
        #pragma unroll
        for (int i = 0; i < {n} / 2; ++i)
            D[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * {n} + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
    }}"#,
            p_at = b_at + 1,
            d = list(0, n / 2),
            a_in = a_in.replace("a[", "a[s]["),
        )
    }

    /// The bytes of an operand and its values.
    fn operand(&self, count: usize, second: bool, random: &mut Random) -> (Vec<u8>, Vec<i32>) {
        let mut raw = Vec::new();
        let values = (0..count)
            .map(|_| {
                let bits = random.bits();
                let small = bits as i32 % 9;
                let ty = if second { self.types.split('.').next_back() } else { self.types.split('.').next() };
                match ty {
                    Some("f16") => f16::from_f32(small as f32).put(&mut raw),
                    Some("bf16") => bf16::from_f32(small as f32).put(&mut raw),
                    Some("s8") => {
                        (bits as i8).put(&mut raw);
                        return i32::from(bits as i8);
                    }
                    _ => {
                        (bits as u8).put(&mut raw);
                        return i32::from(bits as u8);
                    }
                }
                small
            })
            .collect();
        (raw, values)
    }

    /// Runs the kernel and compares every element.
    fn check(&self) {
        let mut random = Random(41);
        let k = self.k();
        let ((a_raw, a), (b_raw, b)) =
            (self.operand(64 * k, false, &mut random), self.operand(self.n * k, true, &mut random));
        for on in everywhere(&HOPPER) {
            let mut memory = Memory::new();
            let (ap, bp) = (upload(&mut memory, &a_raw, "A"), upload(&mut memory, &b_raw, "B"));
            let dp = memory.alloc(64 * self.n * 4, "D");
            launch(&code(&self.source(), on), 1, 128, vec![ap.into(), bp.into(), dp.into()], &mut memory);
            let d: Vec<i32> = match self.floats() {
                true => download::<f32>(&memory, dp, 64 * self.n).into_iter().map(|x| x as i32).collect(),
                false => download(&memory, dp, 64 * self.n),
            };
            for (at, d) in d.into_iter().enumerate() {
                let (row, column) = (at / self.n, at % self.n);
                let dot: i32 = (0..k).map(|x| a[row * k + x] * b[column * k + x]).sum();
                // What the thread that has the element had in it before.
                let register = column / 8 * 4 + row % 16 / 8 * 2 + column % 2;
                let before = if self.adds { register as i32 + 1 } else { 0 };
                assert_eq!(d, before + dot * self.signs[0] * self.signs[1], "{self:?} on {on:?}: ({row}, {column})");
            }
        }
    }
}

#[test]
fn every_layout_of_the_operands() {
    for width in [1, 2, 4, 8] {
        for types in ["f16", "bf16"] {
            for (a_major, b_major) in [(false, false), (false, true), (true, false), (true, true)] {
                Shape { types, width, a_major, b_major, n: 128, ..PLAIN }.check();
            }
        }
        Shape { types: "s8.s8", width, ..PLAIN }.check();
    }
}

#[test]
fn every_width_and_type() {
    for n in [8, 16, 24, 72, 200, 256] {
        Shape { n, ..PLAIN }.check();
    }
    for types in ["s8.s8", "s8.u8", "u8.s8", "u8.u8"] {
        for n in [8, 24, 256] {
            Shape { types, n, ..PLAIN }.check();
        }
        Shape { types, adds: true, ..PLAIN }.check();
    }
}

#[test]
fn fragments_in_registers_signs_and_sums() {
    for types in ["f16", "bf16", "s8.u8", "u8.s8"] {
        Shape { types, a_in_registers: true, ..PLAIN }.check();
    }
    Shape { b_major: true, a_in_registers: true, ..PLAIN }.check();
    for signs in [[1, -1], [-1, 1], [-1, -1]] {
        Shape { signs, adds: true, ..PLAIN }.check();
        Shape { signs, a_in_registers: true, ..PLAIN }.check();
    }
}

/// Two warpgroups multiply 128×256 in steps of 64 along k, three stages deep, with one group of wgmma in flight: the loop of a fast kernel.
const GEMM: &str = r#"
    typedef unsigned long long u64;
    __device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    __device__ u64 descriptor(unsigned start) { return (u64)(start >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
    extern "C" __global__ void __launch_bounds__(256) k(const unsigned short* A, const unsigned short* B, float* C, int steps) {
        extern __shared__ __align__(1024) unsigned char smem[];
        int t = threadIdx.x, lane = t % 32, warp = t / 32;
        unsigned base = at(smem);
        auto fetch = [&](int step) {
            unsigned tile = base + step % 3 * (384 * 128);
            for (int i = t; i < 384 * 8; i += 256) {
                int row = i / 8, piece = i % 8;
                const unsigned short* from = row < 128 ? A + row * steps * 64 : B + (row - 128) * steps * 64;
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(tile + row * 128 + (piece ^ row % 8) * 16), "l"(from + step * 64 + piece * 8));
            }
        };
        float d[128];
        #pragma unroll
        for (int i = 0; i < 128; ++i) d[i] = 0;
        fetch(0); asm volatile("cp.async.commit_group;" ::: "memory");
        fetch(1); asm volatile("cp.async.commit_group;" ::: "memory");
        for (int step = 0; step < steps; ++step) {
            asm volatile("cp.async.wait_group 1;" ::: "memory");
            asm volatile("fence.proxy.async;" ::: "memory");
            __syncthreads();
            unsigned a = base + step % 3 * (384 * 128) + warp / 4 * (64 * 128), b = base + step % 3 * (384 * 128) + 128 * 128;
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
            #pragma unroll
            for (int k = 0; k < 4; ++k)
                asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {OUTS}, %128, %129, 1, 1, 1, 0, 0;" : PLUS : "l"(descriptor(a + k * 32)), "l"(descriptor(b + k * 32)));
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
            __syncthreads();
            if (step + 2 < steps) fetch(step + 2);
            asm volatile("cp.async.commit_group;" ::: "memory");
        }
        asm volatile("wgmma.wait_group.sync.aligned 0;" : PLUS :: "memory");
        #pragma unroll
        for (int i = 0; i < 128; ++i)
            C[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * 256 + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
    }"#;

/// [`GEMM`] with its lists of registers.
fn gemm() -> String {
    let list = |f: &dyn Fn(usize) -> String| (0..128).map(f).collect::<Vec<_>>().join(",");
    GEMM.replace("OUTS", &list(&|i| format!("%{i}"))).replace("PLUS", &list(&|i| format!("\"+f\"(d[{i}])")))
}

const STEPS: usize = 6;

/// Runs a GEMM. Gives the product and what it should be.
fn multiply(source: &str, options: &Options) -> Result<(Vec<f32>, Vec<f32>), Box<Fault>> {
    let mut random = Random(43);
    let k = STEPS * 64;
    let mut matrix = |rows: usize| -> Vec<i32> { (0..rows * k).map(|_| random.bits() as i32 % 5).collect() };
    let (a, b) = (matrix(128), matrix(256));
    let half = |m: &[i32]| m.iter().map(|&x| f16::from_f32(x as f32)).collect::<Vec<_>>();
    let mut memory = Memory::new();
    let (ap, bp) = (upload(&mut memory, &half(&a), "A"), upload(&mut memory, &half(&b), "B"));
    let cp = memory.alloc(128 * 256 * 4, "C");
    let args = vec![ap.into(), bp.into(), cp.into(), (STEPS as i32).into()];
    let launch = Launch { dynamic_shared: 3 * 384 * 128, ..Launch::linear(1, 256, args) };
    run(super::harness::k(&module(source, Arch::SM_90A)), &launch, &mut memory, options)?;
    let dot = |i: usize| (0..k).map(|x| a[i / 256 * k + x] * b[i % 256 * k + x]).sum::<i32>() as f32;
    Ok((download(&memory, cp, 128 * 256), (0..128 * 256).map(dot).collect()))
}

#[test]
fn a_pipelined_gemm_of_two_warpgroups() {
    for schedule in [None, Some(1), Some(2)] {
        let (c, want) =
            multiply(&gemm(), &Options { schedule, ..Options::default() }).unwrap_or_else(|f| panic!("{f}"));
        assert!(c == want);
    }
}

#[test]
fn faults_planted_in_a_gemm() {
    let right = gemm();
    let fault = |right_text: &str, wrong: &str| {
        let source = plant(&right, right_text, wrong);
        multiply(&source, &Options::default()).err().unwrap_or_else(|| panic!("`{wrong}` was not noticed")).kind
    };
    // The last wait, without which nothing has landed; and the one in the loop, behind which the next copies overwrite what is still read.
    let kind = fault("asm volatile(\"wgmma.wait_group.sync.aligned 0;\"", "asm volatile(\"\"");
    assert!(matches!(kind, FaultKind::PendingRegister { write: false, .. }), "{kind}");
    let kind = fault("wgmma.wait_group.sync.aligned 1;", "");
    assert!(matches!(kind, FaultKind::PendingOperand { .. }), "{kind}");
    let kind = fault("wgmma.wait_group.sync.aligned 1;", "wgmma.wait_group.sync.aligned 2;");
    assert!(matches!(kind, FaultKind::PendingOperand { .. }), "{kind}");
    let kind = fault("wgmma.commit_group.sync.aligned;", "");
    assert!(matches!(kind, FaultKind::PendingOperand { .. }), "{kind}");
    // The fences, for memory and for registers.
    let kind = fault("fence.proxy.async;", "");
    assert!(matches!(kind, FaultKind::MissingProxyFence { .. }), "{kind}");
    let kind = fault("fence.proxy.async;", "fence.proxy.async.global;");
    assert!(matches!(kind, FaultKind::MissingProxyFence { .. }), "{kind}");
    let kind = fault("wgmma.fence.sync.aligned;", "");
    assert!(matches!(kind, FaultKind::Protocol(_)), "{kind}");
    // The barrier before the product, the wait for the copies, and both in the wrong order.
    let kind = fault("__syncthreads();\n            unsigned a", "unsigned a");
    assert!(
        matches!(kind, FaultKind::SharedRace { .. } | FaultKind::PendingCopy { .. } | FaultKind::Uninitialised { .. }),
        "{kind}"
    );
    let kind = fault("cp.async.wait_group 1;", "cp.async.wait_group 2;");
    assert!(matches!(kind, FaultKind::PendingCopy { .. }), "{kind}");
    let kind = fault(
        "asm volatile(\"cp.async.wait_group 1;\" ::: \"memory\");\n            asm volatile(\"fence.proxy.async;\" ::: \"memory\");",
        "asm volatile(\"fence.proxy.async;\" ::: \"memory\");\n asm volatile(\"cp.async.wait_group 1;\" ::: \"memory\");",
    );
    assert!(matches!(kind, FaultKind::MissingProxyFence { .. }), "{kind}");
    // The barrier behind which the stage may be filled again.
    let kind = fault("__syncthreads();\n            if (step", "if (step");
    assert!(matches!(kind, FaultKind::PendingOperand { .. } | FaultKind::SharedRace { .. }), "{kind}");
}

#[test]
fn mistakes_in_a_gemm_that_spoil_the_product() {
    let right = gemm();
    let spoilt = |right_text: &str, wrong: &str| match multiply(&plant(&right, right_text, wrong), &Options::default())
    {
        Ok((c, want)) => assert!(c != want, "`{wrong}` changed nothing"),
        Err(fault) => assert!(
            matches!(
                fault.kind,
                FaultKind::Uninitialised { .. } | FaultKind::OutOfBounds { .. } | FaultKind::PendingCopy { .. }
            ),
            "{fault}"
        ),
    };
    spoilt(
        "\"l\"(descriptor(a + k * 32)), \"l\"(descriptor(b + k * 32))",
        "\"l\"(descriptor(b + k * 32)), \"l\"(descriptor(a + k * 32))",
    );
    // Strides and swizzles of the descriptor, and the step along k.
    spoilt("64ull << 32", "32ull << 32");
    spoilt("1ull << 62", "2ull << 62");
    spoilt("1ull << 62", "0ull << 62");
    spoilt("descriptor(b + k * 32)", "descriptor(b + k * 64)");
    spoilt("(piece ^ row % 8)", "piece");
    spoilt("1, 1, 1, 0, 0;", "0, 1, 1, 0, 0;");
    spoilt("1, 1, 1, 0, 0;", "1, -1, 1, 0, 0;");
    spoilt("1, 1, 1, 0, 0;", "1, 1, 1, 0, 1;");
    spoilt("warp / 4 * (64 * 128)", "0");
}

/// The fault of one warpgroup's kernel with a mistake in it.
fn planted(right: &str, wrong: &str) -> FaultKind {
    let shape = Shape { a_in_registers: true, ..PLAIN };
    let module = module(&plant(&shape.source(), right, wrong), Arch::SM_90A);
    let mut memory = Memory::new();
    let (ap, bp) = (upload(&mut memory, &[0u8; 64 * 128], "A"), upload(&mut memory, &[0u8; 64 * 128], "B"));
    let dp = memory.alloc(64 * 64 * 4, "D");
    let args = vec![ap.into(), bp.into(), dp.into()];
    try_launch(&module, 1, 128, args, &mut memory).err().unwrap_or_else(|| panic!("`{wrong}` was not noticed")).kind
}

#[test]
fn registers_and_warps_that_are_not_ready() {
    let commit = "asm volatile(\"wgmma.commit_group.sync.aligned;\" ::: \"memory\");";
    // A fragment of A that is written anew, or read, while it may still be multiplied.
    let kind = planted(commit, &format!("{commit} asm volatile(\"add.u32 %0, %0, 1;\" : \"+r\"(a[0][0]));"));
    assert!(matches!(kind, FaultKind::PendingRegister { .. }), "{kind}");
    let kind = planted(commit, &format!("{commit} D[t] = d[0];"));
    assert!(matches!(kind, FaultKind::PendingRegister { write: false, .. }), "{kind}");
    // An accumulator that is written between the fence and the product.
    let fence = "asm volatile(\"wgmma.fence.sync.aligned;\" ::: \"memory\");";
    let kind = planted(fence, &format!("{fence} asm volatile(\"add.f32 %0, %0, 0f3F800000;\" : \"+f\"(d[5]));"));
    assert!(matches!(kind, FaultKind::MissingRegisterFence { .. }), "{kind}");
    // One warp of the four stays away; the warps name different operands.
    let loop_start = "for (int s = 0; s < 4; ++s) {\n            u64 da";
    let kind = planted(loop_start, "if (warp != 2) for (int s = 0; s < 4; ++s) {\n            u64 da");
    assert!(matches!(&kind, FaultKind::Protocol(what) if what.contains("not all warps")), "{kind}");
    let kind = planted("int more =", "db += warp == 3 ? 2 : 0; int more =");
    assert!(matches!(&kind, FaultKind::Protocol(what) if what.contains("different wgmma operands")), "{kind}");
    let kind = planted("int more =", "db += lane == 3 ? 2 : 0; int more =");
    assert!(matches!(&kind, FaultKind::Protocol(what) if what.contains("different matrix descriptors")), "{kind}");
    let kind = planted("| s > 0", "| s > lane");
    assert!(matches!(&kind, FaultKind::Protocol(what) if what.contains("disagree")), "{kind}");
    // Past the end of the operand, and an operand that nobody wrote.
    let kind = planted("int more =", "db += 64; int more =");
    assert!(matches!(kind, FaultKind::OutOfBounds { write: false, .. }), "{kind}");
    let kind = planted(
        "i < 64 * 64; i += 128) for (int b = 0; b < 2; ++b)\n            sb",
        "i < 60 * 64; i += 128) for (int b = 0; b < 2; ++b)\n            sb",
    );
    assert!(matches!(kind, FaultKind::Uninitialised { .. }), "{kind}");
}

#[test]
fn texts_that_no_hopper_takes() {
    let text = |target: &str, body: &str| {
        let text = format!(
            ".version 8.0\n.target {target}\n.address_size 64\n.visible .entry k()\n{{\n.reg .b32 %r<9>; .reg .b64 %rd<4>;\n{body}\nret;\n}}\n"
        );
        Module::parse(&text).err()
    };
    let right = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r0,%r1,%r2,%r3}, %rd1, %rd2, 1, 1, 1, 0, 0;";
    assert_eq!(text("sm_90a", right), None);
    assert!(matches!(text("sm_90", right), Some(PtxError::Operands { message, .. }) if message.contains("sm_90a")));
    for wrong in [
        right.replace("m64n8k16", "m64n8k32"),
        right.replace("m64n8k16", "m64n12k16"),
        right.replace("m64n8k16", "m64n264k16"),
        right.replace("%r3}", "%r2}"),
        right.replace(",%r3}", "}"),
        right.replace("1, 1, 1, 0, 0", "1, 2, 1, 0, 0"),
        right.replace("1, 1, 1, 0, 0", "1, 1, 1, 0"),
        right.replace("f32.f16.f16", "f32.f16.bf16"),
        right.replace("%rd2", "%r2"),
        "wgmma.mma_async.sync.aligned.m64n40k32.s32.s8.s8 {%r0}, %rd1, %rd2, 1;".to_string(),
        "wgmma.wait_group.sync.aligned %r1;".to_string(),
        "wgmma.fence.aligned;".to_string(),
        "setmaxnreg.dec.sync.aligned.u32 20;".to_string(),
    ] {
        assert!(text("sm_90a", &wrong).is_some(), "`{wrong}` was accepted");
    }
    assert_eq!(text("sm_90a", "setmaxnreg.inc.sync.aligned.u32 232;"), None);
}
