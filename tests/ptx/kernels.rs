//! Pointwise kernels and what they are made of: tails, vectors, loops, divergence, calls, integers.

use crate::harness::*;
use half::f16;
use pointweld::ptx::{Arg, Class, Launch, Memory, Options, run};

fn silu(x: f32) -> f32 {
    (f64::from(x) / (1.0 + (-f64::from(x)).exp())) as f32
}

/// Lengths around vectors, warps and blocks.
const LENGTHS: [usize; 10] = [1, 2, 3, 4, 31, 33, 255, 256, 1000, 4097];

#[test]
fn silu_f32_over_odd_lengths() {
    let source = r#"extern "C" __global__ void k(const float* __restrict__ x, float* __restrict__ y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) { float v = x[i]; y[i] = v / (1.0f + __expf(-v)); }
    }"#;
    for on in everywhere(&ARCHS) {
        let code = code(source, on);
        let mut random = Random(1);
        for n in LENGTHS {
            let mut memory = Memory::new();
            let x: Vec<f32> = (0..n).map(|_| random.unit() * 20.0).collect();
            let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * n, "y"));
            launch(&code, n.div_ceil(256) as u32, 256, vec![xp.into(), yp.into(), (n as i32).into()], &mut memory);
            for (x, y) in x.iter().zip(download::<f32>(&memory, yp, n)) {
                // The error of `__expf` grows with its argument.
                let tolerance = silu(*x).abs() * (x.abs() + 4.0) * 2f32.powi(-23);
                assert!((y - silu(*x)).abs() <= tolerance, "silu({x}) = {y}, not {}", silu(*x));
            }
        }
    }
}

/// Vector loads and stores with a scalar tail, two halves at a time.
#[test]
fn silu_f16_in_vectors_of_eight() {
    let source = r#"
    __device__ unsigned one(unsigned v) {
        float a, b; unsigned r;
        asm("{.reg .f16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}" : "=f"(a), "=f"(b) : "r"(v));
        a = a / (1.0f + __expf(-a)); b = b / (1.0f + __expf(-b));
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
        return r;
    }
    __device__ unsigned short narrow(unsigned short v) { return (unsigned short)one(v); }
    extern "C" __global__ void k(const unsigned short* __restrict__ x, unsigned short* __restrict__ y, int n) {
        int i = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
        if (i + 8 <= n) {
            uint4 v = *(const uint4*)(x + i);
            *(uint4*)(y + i) = make_uint4(one(v.x), one(v.y), one(v.z), one(v.w));
        } else for (; i < n; ++i) y[i] = narrow(x[i]);
    }"#;
    for on in everywhere(&AMPERE) {
        let code = code(source, on);
        let mut random = Random(2);
        for n in LENGTHS {
            let mut memory = Memory::new();
            let x: Vec<f16> = (0..n).map(|_| f16::from_f32(random.unit() * 12.0)).collect();
            let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(2 * n, "y"));
            let stats =
                launch(&code, n.div_ceil(1024) as u32, 128, vec![xp.into(), yp.into(), (n as i32).into()], &mut memory);
            assert!(stats.is_none_or(|stats| stats.global_written == 2 * n as u64));
            for (x, y) in x.iter().zip(download::<f16>(&memory, yp, n)) {
                let want = silu(x.to_f32());
                assert!((y.to_f32() - want).abs() <= want.abs() * 2f32.powi(-10) + 1e-7, "silu({x}) = {y}, not {want}");
            }
        }
    }
}

/// The path of a quantised kernel: bytes to floats by `prmt` and a magic exponent, and back by saturating packs.
#[test]
fn int8_dequantise_silu_requantise() {
    let source = r#"
    __device__ float byte_to_float(unsigned v, unsigned sel) {
        unsigned m; asm("prmt.b32 %0, %1, %2, %3;" : "=r"(m) : "r"(v ^ 0x80808080u), "r"(0x4B000000u), "r"(sel));
        return __uint_as_float(m) - 8388736.0f;
    }
    __device__ int q(float x, float s) { return __float2int_rn(x * s); }
    extern "C" __global__ void k(const unsigned* __restrict__ x, unsigned* __restrict__ y, float s, float r, int words) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= words) return;
        unsigned v = x[i]; int o[4];
        for (int j = 0; j < 4; ++j) {
            float f = byte_to_float(v, 0x7650u + j) * s;
            o[j] = q(f / (1.0f + __expf(-f)), r);
        }
        unsigned p;
        asm("{.reg .b32 t; cvt.pack.sat.s8.s32.b32 t, %4, %3, 0; cvt.pack.sat.s8.s32.b32 %0, %2, %1, t;}"
            : "=r"(p) : "r"(o[0]), "r"(o[1]), "r"(o[2]), "r"(o[3]));
        y[i] = p;
    }"#;
    let x: Vec<i8> = (-128..=127).collect();
    let (s, r) = (0.05f32, 20.0f32);
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(256, "y"));
        launch(&code(source, on), 1, 64, vec![xp.into(), yp.into(), s.into(), r.into(), 64i32.into()], &mut memory);
        for (x, y) in x.iter().zip(download::<i8>(&memory, yp, 256)) {
            let exact = f64::from(silu(f32::from(*x) * s)) * f64::from(r);
            let want = exact.round_ties_even().clamp(-128.0, 127.0);
            let near_tie = (exact.fract().abs() - 0.5).abs() < 1e-4;
            assert!(f64::from(y) == want || near_tie, "{x} -> {y}, not {want}");
        }
    }
}

#[test]
fn dot_products_of_bytes() {
    let source = r#"extern "C" __global__ void k(const int* a, const int* b, int* y) {
        int i = threadIdx.x;
        y[4 * i] = __dp4a(a[i], b[i], i);
        y[4 * i + 1] = __dp4a((unsigned)a[i], (unsigned)b[i], (unsigned)i);
        y[4 * i + 2] = __dp2a_lo(a[i], b[i], i);
        y[4 * i + 3] = __dp2a_hi(a[i], b[i], i);
    }"#;
    let mut random = Random(3);
    let [a, b]: [Vec<u32>; 2] = std::array::from_fn(|_| (0..64).map(|_| random.bits()).collect());
    let byte = |v: u32, i: usize| v.to_le_bytes()[i];
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (ap, bp, yp) = (upload(&mut memory, &a, "a"), upload(&mut memory, &b, "b"), memory.alloc(1024, "y"));
        launch(&code(source, on), 1, 64, vec![ap.into(), bp.into(), yp.into()], &mut memory);
        for (i, y) in download::<i32>(&memory, yp, 256).chunks_exact(4).enumerate() {
            let signed: i32 = (0..4).map(|j| i32::from(byte(a[i], j) as i8) * i32::from(byte(b[i], j) as i8)).sum();
            let unsigned: i32 = (0..4).map(|j| i32::from(byte(a[i], j)) * i32::from(byte(b[i], j))).sum();
            let wide = |h: usize| i32::from((a[i] >> (16 * h)) as i16);
            let pairs = |from: usize| (0..2).map(|j| wide(j) * i32::from(byte(b[i], from + j) as i8)).sum::<i32>();
            let i = i as i32;
            assert_eq!(y, [signed + i, unsigned + i, pairs(0) + i, pairs(2) + i]);
        }
    }
}

#[test]
fn grid_stride_loops_cover_everything_once() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y, long long n) {
        long long step = (long long)gridDim.x * blockDim.x;
        for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += step) y[i] = x[i] * 2.0f + 1.0f;
    }"#;
    for arch in ARCHS {
        let mut memory = Memory::new();
        let x: Vec<f32> = (0..10_007).map(|i| i as f32).collect();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * x.len(), "y"));
        let module = module(source, arch);
        let options = Options { block_conflicts: true, ..Options::default() };
        let args: Vec<Arg> = vec![xp.into(), yp.into(), (x.len() as i64).into()];
        run(k(&module), &Launch::linear(7, 96, args), &mut memory, &options).unwrap();
        assert!(download::<f32>(&memory, yp, x.len()).iter().zip(&x).all(|(y, x)| *y == x * 2.0 + 1.0));
    }
}

/// Trip counts that differ in every lane, with breaks and continues, against the same program on the host.
#[test]
fn divergent_loops_agree_with_the_host() {
    let source = r#"
    extern "C" __global__ void k(const unsigned* x, unsigned* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= n) return;
        unsigned long long v = x[i]; unsigned steps = 0;
        while (v != 1) {
            if (v & 1) { v = 3 * v + 1; if (steps > 60) { steps += 1000; break; } }
            else { v >>= 1; if (steps % 3 == 2) { ++steps; continue; } }
            ++steps;
            for (unsigned j = 0; j < (v & 3); ++j) steps += j;
        }
        y[i] = steps;
    }"#;
    fn host(x: u32) -> u32 {
        let (mut v, mut steps) = (u64::from(x), 0u32);
        while v != 1 {
            if v & 1 == 1 {
                v = 3 * v + 1;
                if steps > 60 {
                    steps += 1000;
                    break;
                }
            } else {
                v >>= 1;
                if steps % 3 == 2 {
                    steps += 1;
                    continue;
                }
            }
            steps += 1;
            steps += (0..(v & 3) as u32).sum::<u32>();
        }
        steps
    }
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let x: Vec<u32> = (1..1001).collect();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * x.len(), "y"));
        launch(&code(source, on), 4, 256, vec![xp.into(), yp.into(), 1000i32.into()], &mut memory);
        let want: Vec<u32> = x.iter().map(|&x| host(x)).collect();
        assert_eq!(download::<u32>(&memory, yp, x.len()), want);
    }
}

/// A switch wide enough for a jump table, with a call in one arm, structs by value and local arrays.
#[test]
fn switches_calls_structs_and_local_arrays() {
    let source = r#"
    struct P { int n; float s[3]; const float* p; unsigned char tag; };
    __constant__ float table[4] = {1.5f, 2.5f, 3.5f, 4.5f};
    __device__ const float* both[2] = {table, table + 2};
    __device__ __noinline__ float twice(float x, P p) { return x * 2.0f + p.s[2] + p.tag; }
    extern "C" __global__ void k(const int* x, float* y, P p) {
        int i = threadIdx.x; float v = i; float local[8];
        for (int j = 0; j < 8; ++j) local[j] = v * j;
        switch (x[i]) {
            case 0: v += 1; break; case 1: v *= 3; break; case 2: v = twice(v, p); break; case 3: v -= 4; break;
            case 4: v = table[i & 3]; break; case 5: v = local[i & 7]; break; case 6: v = both[i & 1][1]; break;
            case 7: v = p.s[i % 3]; break; case 8: v = p.p[i]; break; case 9: v = -v; break; default: v = 99;
        }
        y[i] = v + p.n;
    }"#;
    let x: Vec<i32> = (0..64).map(|i| i * 7 % 12).collect();
    let data: Vec<f32> = (0..64).map(|i| i as f32 * 0.25).collect();
    for arch in ARCHS {
        let mut memory = Memory::new();
        let (xp, yp, dp) = (upload(&mut memory, &x, "x"), memory.alloc(256, "y"), upload(&mut memory, &data, "data"));
        let mut p = bytes(&[7i32]);
        p.extend(bytes(&[0.5f32, 1.5, 2.5]));
        p.extend(dp.addr().to_le_bytes());
        p.extend([9, 0, 0, 0, 0, 0, 0, 0]);
        launch(&module(source, arch), 1, 64, vec![xp.into(), yp.into(), Arg::Bytes(p)], &mut memory);
        for (i, y) in download::<f32>(&memory, yp, 64).into_iter().enumerate() {
            let v = i as f32;
            let want = match x[i] {
                0 => v + 1.0,
                1 => v * 3.0,
                2 => v * 2.0 + 2.5 + 9.0,
                3 => v - 4.0,
                4 => [1.5, 2.5, 3.5, 4.5][i & 3],
                5 => v * (i & 7) as f32,
                6 => [2.5, 4.5][i & 1],
                7 => [0.5, 1.5, 2.5][i % 3],
                8 => data[i],
                9 => -v,
                _ => 99.0,
            };
            assert_eq!(y, want + 7.0, "thread {i}, case {}", x[i]);
        }
    }
}

#[test]
fn integers_of_64_bits_divide_and_multiply() {
    let source = r#"extern "C" __global__ void k(const long long* a, const long long* b, long long* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        long long p = a[i], q = b[i]; unsigned long long u = p, v = q; long long* o = y + 10 * i;
        o[0] = p / q; o[1] = p % q; o[2] = u / v; o[3] = u % v; o[4] = __mul64hi(p, q); o[5] = __umul64hi(u, v);
        o[6] = p >> (i & 63); o[7] = u >> (i & 63); o[8] = __clzll(p) + 100 * __popcll(p) + 10000 * __ffsll(p); o[9] = __brevll(u);
    }"#;
    let mut random = Random(5);
    let mut wide = |shift: u32| ((u64::from(random.bits()) << 32 | u64::from(random.bits())) >> shift) as i64;
    let a: Vec<i64> = (0..256).map(|i| wide(i % 40)).collect();
    let b: Vec<i64> = (0..256).map(|i| wide(i * 7 % 60) | 1).collect();
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (ap, bp, yp) = (upload(&mut memory, &a, "a"), upload(&mut memory, &b, "b"), memory.alloc(256 * 80, "y"));
        launch(&code(source, on), 2, 128, vec![ap.into(), bp.into(), yp.into()], &mut memory);
        for (i, y) in download::<i64>(&memory, yp, 2560).chunks_exact(10).enumerate() {
            let (p, q) = (a[i], b[i]);
            let (u, v) = (p as u64, q as u64);
            let ffs = if p == 0 { 0 } else { i64::from(p.trailing_zeros()) + 1 };
            let want = [
                p.wrapping_div(q),
                p.wrapping_rem(q),
                (u / v) as i64,
                (u % v) as i64,
                ((i128::from(p) * i128::from(q)) >> 64) as i64,
                ((u128::from(u) * u128::from(v)) >> 64) as i64,
                p >> (i & 63),
                (u >> (i & 63)) as i64,
                i64::from(p.leading_zeros()) + 100 * i64::from(p.count_ones()) + 10000 * ffs,
                u.reverse_bits() as i64,
            ];
            assert_eq!(y, want, "{p} {q}");
        }
    }
}

/// Bit tricks of 32 bits, with the intrinsics that compile to `prmt`, `shf`, `lop3`, `bfe`, `sad` and packed comparisons.
#[test]
fn bit_intrinsics_agree_with_the_host() {
    let source = r#"extern "C" __global__ void k(const unsigned* a, const unsigned* b, unsigned* y) {
        int i = threadIdx.x; unsigned p = a[i], q = b[i]; unsigned* o = y + 10 * i;
        o[0] = __byte_perm(p, q, 0x5140); o[1] = __funnelshift_l(p, q, i); o[2] = __funnelshift_rc(p, q, i);
        o[3] = __vadd4(p, q); o[4] = __vmaxs4(p, q); o[5] = __usad(p, q, i); o[6] = __sad((int)p, (int)q, i);
        o[7] = (p & q) | (~p & (unsigned)i); o[8] = (p >> 5) & 0x1ff; o[9] = __umulhi(p, q) + __mulhi((int)p, (int)q);
    }"#;
    let mut random = Random(6);
    let [a, b]: [Vec<u32>; 2] = std::array::from_fn(|_| (0..64).map(|_| random.bits()).collect());
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (ap, bp, yp) = (upload(&mut memory, &a, "a"), upload(&mut memory, &b, "b"), memory.alloc(64 * 40, "y"));
        launch(&code(source, on), 1, 64, vec![ap.into(), bp.into(), yp.into()], &mut memory);
        for (i, y) in download::<u32>(&memory, yp, 640).chunks_exact(10).enumerate() {
            let (p, q, n) = (a[i], b[i], i as u32);
            let (pb, qb) = (p.to_le_bytes(), q.to_le_bytes());
            let each = |f: &dyn Fn(u8, u8) -> u8| u32::from_le_bytes(std::array::from_fn(|j| f(pb[j], qb[j])));
            let pair = u64::from(q) << 32 | u64::from(p);
            let want = [
                u32::from_le_bytes([pb[0], qb[0], pb[1], qb[1]]),
                ((pair << (n & 31)) >> 32) as u32,
                (pair >> n.min(32)) as u32,
                each(&|x, y| x.wrapping_add(y)),
                each(&|x, y| (x as i8).max(y as i8) as u8),
                p.abs_diff(q).wrapping_add(n),
                (p as i32).abs_diff(q as i32).wrapping_add(n),
                p & q | !p & n,
                p >> 5 & 0x1ff,
                (((u64::from(p) * u64::from(q)) >> 32) as u32)
                    .wrapping_add(((i64::from(p as i32) * i64::from(q as i32)) >> 32) as u32),
            ];
            assert_eq!(y, want, "{p:#x} {q:#x} {i}");
        }
    }
}

#[test]
fn special_registers_describe_the_launch() {
    let source = r#"extern "C" __global__ void k(unsigned* y) {
        unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        unsigned lane, warp; asm("mov.u32 %0, %%laneid;" : "=r"(lane)); asm volatile("mov.u32 %0, %%warpid;" : "=r"(warp));
        y[b * 60 + t] = b * 1000000 + t * 1000 + warp * 32 + lane;
    }"#;
    for arch in ARCHS {
        let module = module(source, arch);
        let mut memory = Memory::new();
        let yp = memory.alloc(4 * 60 * 24, "y");
        let shape = Launch { grid: [2, 3, 4], block: [5, 4, 3], dynamic_shared: 0, args: vec![yp.into()] };
        let stats = run(k(&module), &shape, &mut memory, &Options::default()).unwrap();
        assert_eq!(stats.threads, 60 * 24);
        for (i, y) in download::<u32>(&memory, yp, 60 * 24).into_iter().enumerate() {
            assert_eq!(y as usize, i / 60 * 1_000_000 + i % 60 * 1001);
        }
    }
}

#[test]
fn atomics_of_many_blocks_add_up() {
    let source = r#"
    __device__ unsigned counter;
    extern "C" __global__ void k(const int* x, int* out, float* f, unsigned long long* w) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        atomicAdd(out, x[i]); atomicMax(out + 1, x[i]); atomicMin(out + 2, x[i]); atomicOr((unsigned*)out + 3, 1u << (i & 31));
        atomicAdd(f, 0.5f); atomicAdd(w, 3ull << 33);
        unsigned t = atomicInc(&counter, 1u << 30); if (t == gridDim.x * blockDim.x - 1) out[4] = 1;
        int seen = out[5], old; do { old = seen; seen = atomicCAS(out + 5, old, old * 3 + 1); } while (seen != old);
    }"#;
    let x: Vec<i32> = (0..512).map(|i| (i * 37 % 101) - 50).collect();
    for arch in ARCHS {
        let module = module(source, arch);
        let mut memory = Memory::new();
        let (xp, op) = (upload(&mut memory, &x, "x"), upload(&mut memory, &[0i32, i32::MIN, i32::MAX, 0, 0, 0], "out"));
        let (fp, wp) = (upload(&mut memory, &[0f32], "f"), upload(&mut memory, &[0u64], "w"));
        launch(&module, 4, 128, vec![xp.into(), op.into(), fp.into(), wp.into()], &mut memory);
        let chained = (0..512).fold(0i32, |v, _| v.wrapping_mul(3).wrapping_add(1));
        let want = [x.iter().sum(), *x.iter().max().unwrap(), *x.iter().min().unwrap(), -1, 1, chained];
        assert_eq!(download::<i32>(&memory, op, 6), want);
        assert_eq!(download::<f32>(&memory, fp, 1), [256.0]);
        assert_eq!(download::<u64>(&memory, wp, 1), [512 * (3 << 33)]);
        let counter = module.variable("counter", &mut memory).unwrap();
        assert_eq!(download::<u32>(&memory, counter, 1), [512]);
    }
}

#[test]
fn cores_and_schedules_do_not_change_the_result() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = sqrtf(x[i]) * __sinf(x[i]);
    }"#;
    let module = module(source, ARCHS[2]);
    let x: Vec<f32> = (0..4096).map(|i| i as f32 * 0.01).collect();
    let mut outputs = Vec::new();
    for (parallel, schedule) in [(false, None), (true, None), (true, Some(1)), (false, Some(2))] {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * x.len(), "y"));
        let options = Options { parallel, schedule, ..Options::default() };
        let stats =
            run(k(&module), &Launch::linear(32, 128, vec![xp.into(), yp.into()]), &mut memory, &options).unwrap();
        outputs.push((memory.read(yp).to_vec(), stats));
    }
    assert!(outputs.iter().all(|o| *o == outputs[0]));
}

#[test]
fn statistics_count_what_a_thread_does() {
    let source = r#"extern "C" __global__ void k(const float4* x, float4* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; float4 v = x[i];
        v.x = __expf(v.x); v.y = __expf(v.y); v.z = __expf(v.z); v.w = __expf(v.w); y[i] = v;
    }"#;
    for arch in ARCHS {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &[0.5f32; 1024], "x"), memory.alloc(4096, "y"));
        let stats = launch(&module(source, arch), 2, 128, vec![xp.into(), yp.into()], &mut memory).unwrap();
        assert_eq!((stats.of(Class::GlobalLoad), stats.of(Class::GlobalStore)), (256, 256));
        assert_eq!((stats.global_read, stats.global_written), (4096, 4096));
        assert_eq!(stats.per_thread(Class::Approximate), 4.0);
    }
}

/// A kernel whose result hangs on the last bits of `__expf` is moved by the perturbation; one that rounds coarsely is not.
#[test]
fn perturbation_moves_approximate_results_within_their_bound() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y) {
        int i = threadIdx.x; float e; asm("ex2.approx.f32 %0, %1;" : "=f"(e) : "f"(x[i])); y[i] = e;
    }"#;
    let module = module(source, ARCHS[1]);
    let x: Vec<f32> = (0..256).map(|i| i as f32 * 0.037 - 5.0).collect();
    let mut results = Vec::new();
    for perturb in [None, Some(1), Some(1), Some(2)] {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(1024, "y"));
        let options = Options { perturb, ..Options::default() };
        run(k(&module), &Launch::linear(1, 256, vec![xp.into(), yp.into()]), &mut memory, &options).unwrap();
        results.push(download::<f32>(&memory, yp, 256));
    }
    assert_eq!(results[1], results[2], "the same seed moves the same way");
    assert_ne!(results[1], results[3]);
    let worst = |r: &[f32]| r.iter().zip(&results[0]).map(|(a, b)| ulps(*a, *b)).max().unwrap();
    assert_eq!((worst(&results[1]), worst(&results[3])), (2, 2));
}
