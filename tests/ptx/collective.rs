//! Kernels whose threads work together: shared memory, barriers, shuffles, votes, asynchronous copies.

use crate::harness::*;
use pointweld::ptx::{Launch, Memory, Options, run};

#[test]
fn transpose_through_shared_memory() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y, int w, int h) {
        __shared__ float tile[32][33];
        int c = blockIdx.x * 32 + threadIdx.x, r = blockIdx.y * 32 + threadIdx.y;
        for (int j = 0; j < 32; j += 8) if (c < w && r + j < h) tile[threadIdx.y + j][threadIdx.x] = x[(r + j) * w + c];
        __syncthreads();
        c = blockIdx.y * 32 + threadIdx.x; r = blockIdx.x * 32 + threadIdx.y;
        for (int j = 0; j < 32; j += 8) if (c < h && r + j < w) y[(r + j) * h + c] = tile[threadIdx.x][threadIdx.y + j];
    }"#;
    let (w, h) = (75usize, 50usize);
    let x: Vec<f32> = (0..w * h).map(|i| i as f32).collect();
    for on in everywhere(&ARCHS) {
        let code = code(source, on);
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * w * h, "y"));
        let args = vec![xp.into(), yp.into(), (w as i32).into(), (h as i32).into()];
        let shape = Launch { grid: [3, 2, 1], block: [32, 8, 1], dynamic_shared: 0, args };
        code.run(&shape, &mut memory);
        let y = download::<f32>(&memory, yp, w * h);
        assert!((0..w * h).all(|i| y[i % w * h + i / w] == x[i]));
    }
}

#[test]
fn reductions_of_warps_and_blocks() {
    let source = r#"
    __device__ int warp_sum(int v) { for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(~0u, v, d); return v; }
    extern "C" __global__ void k(const int* x, int* sums, int n) {
        __shared__ int part[32];
        int i = blockIdx.x * blockDim.x + threadIdx.x, v = i < n ? x[i] : 0;
        v = warp_sum(v);
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
        __syncthreads();
        if (threadIdx.x < 32) {
            v = warp_sum(threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0);
            if (threadIdx.x == 0) sums[blockIdx.x] = v;
        }
    }"#;
    let x: Vec<i32> = (0..2000).map(|i| i * 31 % 977 - 400).collect();
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (xp, sp) = (upload(&mut memory, &x, "x"), memory.alloc(32, "sums"));
        launch(&code(source, on), 8, 256, vec![xp.into(), sp.into(), 2000i32.into()], &mut memory);
        let want: Vec<i32> = x.chunks(256).map(|c| c.iter().sum()).collect();
        assert_eq!(download::<i32>(&memory, sp, 8), want);
    }
}

#[test]
fn shuffles_votes_and_matches() {
    let source = r#"extern "C" __global__ void k(const int* x, unsigned* y) {
        int i = threadIdx.x, v = x[i]; unsigned* o = y + 10 * i;
        o[0] = __shfl_up_sync(~0u, v, 3); o[1] = __shfl_down_sync(~0u, v, 5, 8); o[2] = __shfl_sync(~0u, v, i * 7, 16); o[3] = __shfl_xor_sync(~0u, v, 9);
        o[4] = __ballot_sync(~0u, v > 3); o[5] = __any_sync(~0u, v == 100) + 2 * __all_sync(~0u, v >= 0); o[6] = __match_any_sync(~0u, v);
        if (i & 1) o[7] = __shfl_xor_sync(0xaaaaaaaau, v, 2); else o[7] = __activemask();
        __syncwarp();
        o[8] = __reduce_add_sync(~0u, v); o[9] = __reduce_max_sync(~0u, (unsigned)v);
    }"#;
    let x: Vec<i32> = (0..64).map(|i| i * 5 % 7).collect();
    for on in everywhere(&AMPERE) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(64 * 40, "y"));
        launch(&code(source, on), 1, 64, vec![xp.into(), yp.into()], &mut memory);
        for (i, y) in download::<u32>(&memory, yp, 640).chunks_exact(10).enumerate() {
            let (lane, warp) = (i % 32, &x[i / 32 * 32..][..32]);
            let mask =
                |f: &dyn Fn(i32) -> bool| warp.iter().enumerate().fold(0u32, |m, (l, &v)| m | u32::from(f(v)) << l);
            let down = if lane % 8 + 5 < 8 { lane + 5 } else { lane };
            let want = [
                warp[if lane >= 3 { lane - 3 } else { lane }] as u32,
                warp[down] as u32,
                warp[lane / 16 * 16 + i * 7 % 16] as u32,
                warp[lane ^ 9] as u32,
                mask(&|v| v > 3),
                2,
                mask(&|v| v == warp[lane]),
                if i & 1 == 1 { warp[lane ^ 2] as u32 } else { 0x5555_5555 },
                warp.iter().sum::<i32>() as u32,
                6,
            ];
            assert_eq!(y, want, "lane {i}");
        }
    }
}

#[test]
fn a_table_of_256_bytes_in_shared_memory() {
    let source = r#"extern "C" __global__ void k(const unsigned* table, const unsigned* x, unsigned* y, int words) {
        __shared__ unsigned char lut[256];
        if (threadIdx.x < 64) ((unsigned*)lut)[threadIdx.x] = table[threadIdx.x];
        __syncthreads();
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < words; i += gridDim.x * blockDim.x) {
            unsigned v = x[i];
            y[i] = lut[v & 255] | lut[v >> 8 & 255] << 8 | lut[v >> 16 & 255] << 16 | (unsigned)lut[v >> 24] << 24;
        }
    }"#;
    let table: Vec<u8> = (0..=255u8).map(|b| b.wrapping_mul(167).wrapping_add(13)).collect();
    let mut random = Random(21);
    let x: Vec<u8> = (0..4 * 1111).map(|_| random.bits() as u8).collect();
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let (tp, xp) = (upload(&mut memory, &table, "table"), upload(&mut memory, &x, "x"));
        let yp = memory.alloc(x.len(), "y");
        launch(&code(source, on), 3, 128, vec![tp.into(), xp.into(), yp.into(), 1111i32.into()], &mut memory);
        assert!(download::<u8>(&memory, yp, x.len()).iter().zip(&x).all(|(y, x)| *y == table[usize::from(*x)]));
    }
}

/// Two stages of `cp.async`: the next tile is fetched while this one is used.
pub const DOUBLE_BUFFER: &str = r#"
    #define COPY(dst, src, bytes) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"((unsigned)__cvta_generic_to_shared(dst)), "l"(src), "r"(bytes))
    extern "C" __global__ void k(const float* x, float* y, int tiles, int n) {
        __shared__ alignas(16) float stage[2][512];
        int t = threadIdx.x;
        auto fetch = [&](int tile) {
            int at = tile * 512 + t * 4, left = (n - at) * 4;
            COPY(&stage[tile & 1][t * 4], left > 0 ? x + at : x, left >= 16 ? 16 : left > 0 ? left : 0);
            asm volatile("cp.async.commit_group;");
        };
        fetch(0);
        for (int tile = 0; tile < tiles; ++tile) {
            if (tile + 1 < tiles) { fetch(tile + 1); asm volatile("cp.async.wait_group 1;"); } else asm volatile("cp.async.wait_group 0;");
            __syncthreads();
            float sum = 0;
            for (int j = 0; j < 4; ++j) sum += stage[tile & 1][(t + j * 128 + 37) % 512];
            y[tile * 128 + t] = sum;
            __syncthreads();
        }
    }"#;

#[test]
fn a_double_buffer_of_asynchronous_copies() {
    let n = 512 * 5 - 77i32;
    let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
    for on in everywhere(&AMPERE) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(5 * 512, "y"));
        launch(&code(DOUBLE_BUFFER, on), 1, 128, vec![xp.into(), yp.into(), 5i32.into(), n.into()], &mut memory);
        for (i, y) in download::<f32>(&memory, yp, 640).into_iter().enumerate() {
            let at = |j: usize| x.get(i / 128 * 512 + (i % 128 + j * 128 + 37) % 512).copied().unwrap_or(0.0);
            assert_eq!(y, (0..4).map(at).sum::<f32>());
        }
    }
}

/// Barriers that reduce, barriers of some warps only, and threads that leave early.
#[test]
fn barriers_of_all_kinds() {
    let source = r#"extern "C" __global__ void k(int* y, int n) {
        __shared__ int box[4];
        int t = threadIdx.x;
        y[t] = __syncthreads_count(t < n) * 4 + __syncthreads_and(t < 1000) * 2 + __syncthreads_or(t == 5);
        if (t < 64) {
            if (t == 0) box[0] = 11;
            asm volatile("bar.sync 3, 64;" ::: "memory");
            y[t] += box[0] * 1000;
        } else if (t < 128) {
            if (t == 127) box[1] = 22;
            asm volatile("bar.sync 4, 64;" ::: "memory");
            y[t] += box[1] * 1000;
        } else if (t >= 150) return;
        if (t == 7) box[2] = 33;
        __syncthreads();
        y[t] += box[2] * 1000000;
    }"#;
    for on in everywhere(&ARCHS) {
        let mut memory = Memory::new();
        let yp = memory.alloc(4 * 192, "y");
        launch(&code(source, on), 1, 192, vec![yp.into(), 100i32.into()], &mut memory);
        for (t, y) in download::<i32>(&memory, yp, 192).into_iter().enumerate() {
            let own = match t {
                0..64 => 11_000,
                64..128 => 22_000,
                _ => 0,
            };
            assert_eq!(y, 403 + own + if t < 150 { 33_000_000 } else { 0 }, "thread {t}");
        }
    }
}

/// A producer warp and consumer warps that meet at mbarriers, in the order that any schedule brings.
#[test]
fn producer_and_consumers_meet_at_mbarriers() {
    let source = r#"
    __device__ unsigned at(void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    __device__ void wait(unsigned long long* b, unsigned parity) {
        asm volatile("{ .reg .pred p; LOOP: mbarrier.try_wait.parity.shared.b64 p, [%0], %1; @p bra DONE; bra LOOP; DONE: }" :: "r"(at(b)), "r"(parity) : "memory");
    }
    __device__ void arrive(unsigned long long* b) { asm volatile("mbarrier.arrive.shared.b64 _, [%0];" :: "r"(at(b)) : "memory"); }
    extern "C" __global__ void k(const int* x, int* y, int tiles) {
        __shared__ unsigned long long full[2], empty[2];
        __shared__ int stage[2][32];
        int t = threadIdx.x;
        if (t == 0) for (int s = 0; s < 2; ++s) {
            asm volatile("mbarrier.init.shared.b64 [%0], 32;" :: "r"(at(&full[s])));
            asm volatile("mbarrier.init.shared.b64 [%0], 64;" :: "r"(at(&empty[s])));
        }
        __syncthreads();
        for (int i = 0; i < tiles; ++i) {
            int s = i & 1, phase = i >> 1 & 1;
            if (t < 32) { if (i >= 2) wait(&empty[s], phase ^ 1); stage[s][t] = x[i * 32 + t]; arrive(&full[s]); }
            else { wait(&full[s], phase); y[i * 64 + t - 32] = stage[s][(t * 5) & 31] + t; arrive(&empty[s]); }
        }
    }"#;
    let x: Vec<i32> = (0..32 * 9).map(|i| i * i).collect();
    let module = module(source, ARCHS[2]);
    for schedule in [None, Some(1), Some(2), Some(3)] {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * 64 * 9, "y"));
        let options = Options { schedule, ..Options::default() };
        let args = vec![xp.into(), yp.into(), 9i32.into()];
        run(k(&module), &Launch::linear(1, 96, args), &mut memory, &options).unwrap_or_else(|f| panic!("{f}"));
        for (i, y) in download::<i32>(&memory, yp, 64 * 9).into_iter().enumerate() {
            let t = i % 64 + 32;
            assert_eq!(y, x[i / 64 * 32 + ((t * 5) & 31)] + t as i32);
        }
    }
}

/// A thread that has tiles copied in bulk, two at a time, and threads that wait for them. `{WAIT}` is where they do.
pub const BULK: &str = r#"
    __device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    __device__ void wait(unsigned long long* b, unsigned parity) {
        asm volatile("{ .reg .pred p; LOOP: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra DONE; bra LOOP; DONE: }" :: "r"(at(b)), "r"(parity) : "memory");
    }
    __device__ void fetch(unsigned long long* b, int* to, const int* from) {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(at(b)), "r"(EXPECTED) : "memory");
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
            :: "r"(at(to)), "l"(__cvta_generic_to_global(from)), "r"(COPIED), "r"(at(b)) : "memory");
    }
    extern "C" __global__ void k(const int* x, int* y, int tiles) {
        __shared__ alignas(16) int stage[2][128];
        __shared__ unsigned long long full[2];
        int t = threadIdx.x;
        if (t == 0) {
            for (int s = 0; s < 2; ++s) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(at(&full[s])));
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        }
        __syncthreads();
        if (t == 0) for (int i = 0; i < 2 && i < tiles; ++i) fetch(&full[i], stage[i], x + 128 * i);
        for (int i = 0; i < tiles; ++i) {
            int s = i & 1;
            WAIT(&full[s], i >> 1 & 1);
            y[128 * i + t] = stage[s][(t * 5) & 127] + t;
            __syncthreads();
            if (t == 0 && i + 2 < tiles) fetch(&full[s], stage[s], x + 128 * (i + 2));
        }
    }"#;

/// [`BULK`] with its wait, and the bytes that the mbarrier is told of and that are copied.
pub fn bulk(wait: &str, expected: u32, copied: u32) -> String {
    format!("#define WAIT {wait}\n#define EXPECTED {expected}\n#define COPIED {copied}\n{BULK}")
}

#[test]
fn bulk_copies_land_at_their_mbarrier() {
    let x: Vec<i32> = (0..128 * 7).map(|i| i * i).collect();
    for on in everywhere(&[ARCHS[2], ARCHS[3]]) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(4 * x.len(), "y"));
        launch(&code(&bulk("wait", 512, 512), on), 1, 128, vec![xp.into(), yp.into(), 7i32.into()], &mut memory);
        for (i, y) in download::<i32>(&memory, yp, x.len()).into_iter().enumerate() {
            let t = i % 128;
            assert_eq!(y, x[i / 128 * 128 + ((t * 5) & 127)] + t as i32);
        }
    }
}
