//! Tensor-core kernels: a whole INT8 GEMM with `cp.async`, `ldmatrix` and `mma.sync`, f16 GEMMs, and every shape of `mma` alone.

use crate::harness::*;
use half::{bf16, f16};
use pointweld::ptx::{Class, DevPtr, Launch, Memory, Module, Options, Stats, run};
use pointweld::target::Arch;

/// `C[m][n] = sum_k A[m][k] * B[n][k]`, 128×128 a block, in two stages of 64 bytes along k.
pub const INT8_GEMM: &str = r#"
    __device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    extern "C" __global__ void __launch_bounds__(256) k(const signed char* A, const signed char* B, int* C, int M, int N, int K) {
        __shared__ alignas(16) signed char sa[2][128][80], sb[2][128][80];
        int t = threadIdx.x, lane = t % 32, warp = t / 32, m0 = blockIdx.y * 128, n0 = blockIdx.x * 128;
        int wm = warp % 4 * 32, wn = warp / 4 * 64;
        int acc[2][8][4] = {};
        auto fetch = [&](int step) {
            #pragma unroll
            for (int j = 0; j < 2; ++j) {
                int c = t + j * 256, row = c / 4, col = c % 4 * 16;
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(at(&sa[step & 1][row][col])), "l"(A + (m0 + row) * K + step * 64 + col));
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(at(&sb[step & 1][row][col])), "l"(B + (n0 + row) * K + step * 64 + col));
            }
            asm volatile("cp.async.commit_group;" ::: "memory");
        };
        int steps = K / 64;
        fetch(0);
        for (int step = 0; step < steps; ++step) {
            if (step + 1 < steps) { fetch(step + 1); asm volatile("cp.async.wait_group 1;" ::: "memory"); }
            else asm volatile("cp.async.wait_group 0;" ::: "memory");
            __syncthreads();
            #pragma unroll
            for (int kk = 0; kk < 64; kk += 32) {
                unsigned a[2][4], b[8][2];
                #pragma unroll
                for (int i = 0; i < 2; ++i)
                    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a[i][0]), "=r"(a[i][1]), "=r"(a[i][2]), "=r"(a[i][3])
                        : "r"(at(&sa[step & 1][wm + i * 16 + lane % 16][kk + lane / 16 * 16])));
                #pragma unroll
                for (int j = 0; j < 8; j += 2)
                    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(b[j][0]), "=r"(b[j][1]), "=r"(b[j + 1][0]), "=r"(b[j + 1][1])
                        : "r"(at(&sb[step & 1][wn + j * 8 + lane % 8 + lane / 16 * 8][kk + lane / 8 % 2 * 16])));
                #pragma unroll
                for (int i = 0; i < 2; ++i)
                    #pragma unroll
                    for (int j = 0; j < 8; ++j)
                        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                            : "+r"(acc[i][j][0]), "+r"(acc[i][j][1]), "+r"(acc[i][j][2]), "+r"(acc[i][j][3])
                            : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j][0]), "r"(b[j][1]));
            }
            __syncthreads();
        }
        for (int i = 0; i < 2; ++i) for (int j = 0; j < 8; ++j) for (int e = 0; e < 4; ++e)
            C[(m0 + wm + i * 16 + lane / 4 + e / 2 * 8) * N + n0 + wn + j * 8 + lane % 4 * 2 + e % 2] = acc[i][j][e];
    }"#;

/// The operands and the exact product of an INT8 GEMM.
pub struct Int8 {
    pub a: Vec<i8>,
    pub b: Vec<i8>,
    pub c: Vec<i32>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl Int8 {
    pub fn new(m: usize, n: usize, k: usize) -> Int8 {
        let mut random = Random(31);
        let a: Vec<i8> = (0..m * k).map(|_| random.i8()).collect();
        let b: Vec<i8> = (0..n * k).map(|_| random.i8()).collect();
        let dot = |i: usize, j: usize| (0..k).map(|x| i32::from(a[i * k + x]) * i32::from(b[j * k + x])).sum();
        let c = (0..m * n).map(|at| dot(at / n, at % n)).collect();
        Int8 { a, b, c, m, n, k }
    }

    /// Runs a GEMM kernel. Gives the result, whether or not it is right.
    pub fn run(&self, module: &Module, options: &Options) -> Result<(Vec<i32>, Stats), Box<pointweld::ptx::Fault>> {
        let mut memory = Memory::new();
        let (launch, cp) = self.launch(&mut memory);
        let stats = run(k(module), &launch, &mut memory, options)?;
        Ok((download(&memory, cp, self.m * self.n), stats))
    }

    /// The launch, and where it puts the product.
    fn launch(&self, memory: &mut Memory) -> (Launch, DevPtr) {
        let (ap, bp) = (upload(memory, &self.a, "A"), upload(memory, &self.b, "B"));
        let cp = memory.alloc(4 * self.m * self.n, "C");
        let sizes = [self.m, self.n, self.k].map(|v| (v as i32).into());
        let args = [ap.into(), bp.into(), cp.into()].into_iter().chain(sizes).collect();
        let grid = [self.n as u32 / 128, self.m as u32 / 128, 1];
        (Launch { grid, block: [256, 1, 1], dynamic_shared: 0, args }, cp)
    }
}

#[test]
fn an_int8_gemm_is_exact() {
    let problem = Int8::new(128, 128, 256);
    for arch in AMPERE {
        let (c, stats) = problem.run(&module(INT8_GEMM, arch), &Options::default()).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!(c, problem.c);
        assert_eq!(stats.of(Class::Matrix), 128 / 16 * (128 / 8) * (256 / 32) * 32);
    }
    for on in everywhere(&[]) {
        let mut memory = Memory::new();
        let (launch, cp) = problem.launch(&mut memory);
        code(INT8_GEMM, on).run(&launch, &mut memory);
        assert_eq!(download::<i32>(&memory, cp, 128 * 128), problem.c);
    }
    // More blocks than one, in an order of warps that differs in each.
    let problem = Int8::new(256, 128, 192);
    let options = Options { schedule: Some(9), ..Options::default() };
    assert_eq!(problem.run(&module(INT8_GEMM, AMPERE[0]), &options).unwrap().0, problem.c);
}

/// A warp multiplies 32×32×64: A by `ldmatrix`, B, which lies k-major, by `ldmatrix.trans`.
fn half_gemm(acc: &str) -> String {
    let (ty, regs, mma) = match acc {
        "f32" => (
            "float",
            4,
            r#"asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[i][j][0]), "+f"(c[i][j][1]), "+f"(c[i][j][2]), "+f"(c[i][j][3]) : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j][0]), "r"(b[j][1]));"#,
        ),
        _ => (
            "unsigned",
            2,
            r#"asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};"
            : "+r"(c[i][j][0]), "+r"(c[i][j][1]) : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j][0]), "r"(b[j][1]));"#,
        ),
    };
    let store = if regs == 4 {
        "((float*)C)[(i * 16 + lane / 4 + e / 2 * 8) * 32 + j * 8 + lane % 4 * 2 + e % 2] = c[i][j][e];"
    } else {
        "((unsigned*)C)[((i * 16 + lane / 4 + e * 8) * 32 + j * 8 + lane % 4 * 2) / 2] = c[i][j][e];"
    };
    format!(
        r#"
    __device__ unsigned at(const void* p) {{ return (unsigned)__cvta_generic_to_shared(p); }}
    extern "C" __global__ void k(const uint4* A, const uint4* B, void* C) {{
        extern __shared__ __align__(16) unsigned short sm[];
        unsigned short* sa = sm; unsigned short* sb = sm + 32 * 72;
        int lane = threadIdx.x;
        for (int i = lane; i < 256; i += 32) *(uint4*)(sa + i / 8 * 72 + i % 8 * 8) = A[i];
        for (int i = lane; i < 256; i += 32) *(uint4*)(sb + i / 4 * 40 + i % 4 * 8) = B[i];
        __syncwarp();
        {ty} c[2][4][{regs}] = {{}};
        #pragma unroll
        for (int kk = 0; kk < 64; kk += 16) {{
            unsigned a[2][4], b[4][2];
            #pragma unroll
            for (int i = 0; i < 2; ++i)
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%0,%1,%2,%3}}, [%4];" : "=r"(a[i][0]), "=r"(a[i][1]), "=r"(a[i][2]), "=r"(a[i][3])
                    : "r"(at(sa + (i * 16 + lane % 16) * 72 + kk + lane / 16 * 8)));
            #pragma unroll
            for (int j = 0; j < 4; ++j)
                asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{%0,%1}}, [%2];" : "=r"(b[j][0]), "=r"(b[j][1]) : "r"(at(sb + (kk + lane % 16) * 40 + j * 8)));
            #pragma unroll
            for (int i = 0; i < 2; ++i) for (int j = 0; j < 4; ++j) {{ {mma} }}
        }}
        for (int i = 0; i < 2; ++i) for (int j = 0; j < 4; ++j) for (int e = 0; e < {regs}; ++e) {store}
    }}"#
    )
}

#[test]
fn f16_gemms_accumulate_in_f32_and_f16() {
    let mut random = Random(32);
    let a: Vec<f16> = (0..32 * 64).map(|_| f16::from_f32(random.unit())).collect();
    let b: Vec<f16> = (0..64 * 32).map(|_| f16::from_f32(random.unit())).collect();
    for on in everywhere(&AMPERE) {
        for acc in ["f32", "f16"] {
            let mut memory = Memory::new();
            let (ap, bp) = (upload(&mut memory, &a, "A"), upload(&mut memory, &b, "B"));
            let cp = memory.alloc(32 * 32 * 4, "C");
            let shape = Launch {
                grid: [1; 3],
                block: [32, 1, 1],
                dynamic_shared: (32 * 72 + 64 * 40) * 2,
                args: vec![ap.into(), bp.into(), cp.into()],
            };
            code(&half_gemm(acc), on).run(&shape, &mut memory);
            let got: Vec<f64> = if acc == "f32" {
                download::<f32>(&memory, cp, 1024).into_iter().map(f64::from).collect()
            } else {
                download::<f16>(&memory, cp, 1024).into_iter().map(f16::to_f64).collect()
            };
            let tolerance = if acc == "f32" { 1e-5 } else { 2e-2 };
            for (i, got) in got.into_iter().enumerate() {
                let want: f64 = (0..64).map(|x| a[i / 32 * 64 + x].to_f64() * b[x * 32 + i % 32].to_f64()).sum();
                assert!((got - want).abs() < tolerance, "{acc} ({}, {}): {got}, not {want}", i / 32, i % 32);
            }
        }
    }
}

/// One `mma` with fragments loaded as the PTX ISA lays them out: 32-bit words along k.
fn single(shape: (usize, usize, usize), types: &str, bits: usize, acc: &str) -> String {
    let (m, n, kk) = shape;
    let (a_regs, b_regs) = (m * kk * bits / 1024, n * kk * bits / 1024);
    let acc_regs = m * n / 32;
    let list = |from: usize, count: usize| (from..from + count).map(|i| format!("%{i}")).collect::<Vec<_>>().join(",");
    let c = list(0, acc_regs);
    let each = |name: &str, count: usize, class: &str| {
        (0..count).map(|i| format!("\"{class}\"({name}[{i}])")).collect::<Vec<_>>().join(",")
    };
    let words = kk * bits / 32;
    let halves = m / 8;
    let class = if acc == "float" { "f" } else { "r" };
    format!(
        r#"extern "C" __global__ void k(const unsigned* A, const unsigned* B, {acc}* C) {{
        int lane = threadIdx.x, g = lane / 4, p = lane % 4; unsigned a[{a_regs}], b[{b_regs}]; {acc} c[{acc_regs}];
        for (int i = 0; i < {a_regs}; ++i) a[i] = A[(g + i % {halves} * 8) * {words} + i / {halves} * 4 + p];
        for (int i = 0; i < {b_regs}; ++i) b[i] = B[g * {words} + i * 4 + p];
        for (int i = 0; i < {acc_regs}; ++i) c[i] = C[(g + i / 2 * 8) * {n} + p * 2 + i % 2];
        asm volatile("mma.sync.aligned.m{m}n{n}k{kk}.row.col.{types} {{{c}}}, {{{a}}}, {{{b}}}, {{{c}}};" : {outs} : {ins});
        for (int i = 0; i < {acc_regs}; ++i) C[(g + i / 2 * 8) * {n} + p * 2 + i % 2] = c[i];
    }}"#,
        a = list(acc_regs, a_regs),
        b = list(acc_regs + a_regs, b_regs),
        outs = each("c", acc_regs, &format!("+{class}")),
        ins = [each("a", a_regs, "r"), each("b", b_regs, "r")].join(","),
    )
}

#[test]
fn every_shape_of_integer_mma() {
    let mut random = Random(33);
    for (shape, arch) in [((8, 8, 16), Arch::SM_75), ((16, 8, 16), Arch::SM_80), ((16, 8, 32), Arch::SM_80)] {
        for types in ["s8.s8", "u8.u8", "s8.u8", "u8.s8"] {
            let (m, n, kk) = shape;
            let text = ptx(&single(shape, &format!("s32.{types}.s32"), 8, "int"), arch, &[]);
            let a: Vec<u8> = (0..m * kk).map(|_| random.bits() as u8).collect();
            let b: Vec<u8> = (0..n * kk).map(|_| random.bits() as u8).collect();
            let c: Vec<i32> = (0..m * n).map(|_| random.bits() as i32 / 2).collect();
            let mut memory = Memory::new();
            let (ap, bp, cp) =
                (upload(&mut memory, &a, "A"), upload(&mut memory, &b, "B"), upload(&mut memory, &c, "C"));
            launch(&parse(&text), 1, 32, vec![ap.into(), bp.into(), cp.into()], &mut memory);
            let value = |signed: bool, v: u8| if signed { i32::from(v as i8) } else { i32::from(v) };
            for (i, d) in download::<i32>(&memory, cp, m * n).into_iter().enumerate() {
                let dot: i32 = (0..kk)
                    .map(|x| {
                        value(types.starts_with('s'), a[i / n * kk + x])
                            * value(types.ends_with("s8"), b[i % n * kk + x])
                    })
                    .sum();
                assert_eq!(d, c[i].wrapping_add(dot), "{shape:?} {types} element {i}");
            }
        }
    }
}

#[test]
fn every_shape_of_floating_mma() {
    let mut random = Random(34);
    type Put = fn(f32, &mut Vec<u8>) -> f64;
    let half: Put = |x, out| {
        f16::from_f32(x).put(out);
        f16::from_f32(x).to_f64()
    };
    let brain: Put = |x, out| {
        bf16::from_f32(x).put(out);
        bf16::from_f32(x).to_f64()
    };
    let tensor: Put = |x, out| {
        x.put(out);
        // The lower 13 bits are not looked at.
        f64::from(f32::from_bits(x.to_bits() & !0x1fff))
    };
    for (shape, name, bits, put) in [
        ((16, 8, 8), "f16", 16, half),
        ((16, 8, 16), "f16", 16, half),
        ((16, 8, 8), "bf16", 16, brain),
        ((16, 8, 16), "bf16", 16, brain),
        ((16, 8, 4), "tf32", 32, tensor),
        ((16, 8, 8), "tf32", 32, tensor),
    ] {
        let (m, n, kk) = shape;
        let text = ptx(&single(shape, &format!("f32.{name}.{name}.f32"), bits, "float"), Arch::SM_80, &[]);
        let mut matrix = |count: usize| {
            let mut raw = Vec::new();
            let values: Vec<f64> = (0..count).map(|_| put(random.unit(), &mut raw)).collect();
            (raw, values)
        };
        let ((a_raw, a), (b_raw, b)) = (matrix(m * kk), matrix(n * kk));
        let c: Vec<f32> = (0..m * n).map(|i| i as f32 * 0.01).collect();
        let mut memory = Memory::new();
        let (ap, bp, cp) =
            (upload(&mut memory, &a_raw, "A"), upload(&mut memory, &b_raw, "B"), upload(&mut memory, &c, "C"));
        launch(&parse(&text), 1, 32, vec![ap.into(), bp.into(), cp.into()], &mut memory);
        for (i, d) in download::<f32>(&memory, cp, m * n).into_iter().enumerate() {
            let want: f64 = f64::from(c[i]) + (0..kk).map(|x| a[i / n * kk + x] * b[i % n * kk + x]).sum::<f64>();
            assert!((f64::from(d) - want).abs() < 1e-6, "{shape:?} {name} element {i}: {d}, not {want}");
        }
    }
}

#[test]
fn stmatrix_undoes_ldmatrix() {
    let source = r#"
    extern "C" __global__ void k(const uint4* x, uint4* y) {
        __shared__ uint4 in[32], out[32]; int lane = threadIdx.x; unsigned r[4];
        in[lane] = x[lane]; __syncwarp();
        unsigned from = (unsigned)__cvta_generic_to_shared(in + lane), to = (unsigned)__cvta_generic_to_shared(out + lane);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
        asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" :: "r"(to), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
        __syncwarp(); y[lane] = out[lane];
    }"#;
    let mut random = Random(35);
    let x: Vec<u32> = (0..128).map(|_| random.bits()).collect();
    for on in everywhere(&[Arch::SM_90]) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(512, "y"));
        launch(&code(source, on), 1, 32, vec![xp.into(), yp.into()], &mut memory);
        assert_eq!(download::<u32>(&memory, yp, 128), x);
    }
}
