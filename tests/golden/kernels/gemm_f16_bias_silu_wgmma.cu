typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

struct f16 { u16 bits; };

// Adjacent elements as memory has them, in 32-bit registers.
template <int N>
struct Words {
  u32 w[N];
};

// BYTES bytes at an address that is a multiple of ALIGN, by the widest loads that allows. None of these loads is a ld.global.nc: a kernel
// may start while the one before it still writes what it reads.
template <int BYTES, int ALIGN>
__device__ __forceinline__ Words<(BYTES + 3) / 4> load(const void* p) {
  Words<(BYTES + 3) / 4> r = {};
  if constexpr (ALIGN >= 16 && BYTES % 16 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; ++i) {
      const uint4 v = __ldca((const uint4*)p + i);
      r.w[4 * i] = v.x, r.w[4 * i + 1] = v.y, r.w[4 * i + 2] = v.z, r.w[4 * i + 3] = v.w;
    }
  } else if constexpr (ALIGN >= 8 && BYTES % 8 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 8; ++i) {
      const uint2 v = __ldca((const uint2*)p + i);
      r.w[2 * i] = v.x, r.w[2 * i + 1] = v.y;
    }
  } else if constexpr (ALIGN >= 4 && BYTES % 4 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 4; ++i) r.w[i] = __ldca((const u32*)p + i);
  } else if constexpr (ALIGN >= 2 && BYTES % 2 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 2; ++i) r.w[i / 2] |= (u32)__ldca((const u16*)p + i) << (16 * (i % 2));
  } else {
#pragma unroll
    for (int i = 0; i < BYTES; ++i) r.w[i / 4] |= (u32)__ldca((const u8*)p + i) << (8 * (i % 4));
  }
  return r;
}

// BYTES bytes to an address that is a multiple of ALIGN.
template <int BYTES, int ALIGN>
__device__ __forceinline__ void store(void* p, const Words<(BYTES + 3) / 4>& r) {
  if constexpr (ALIGN >= 16 && BYTES % 16 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; ++i)
      ((uint4*)p)[i] = make_uint4(r.w[4 * i], r.w[4 * i + 1], r.w[4 * i + 2], r.w[4 * i + 3]);
  } else if constexpr (ALIGN >= 8 && BYTES % 8 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 8; ++i) ((uint2*)p)[i] = make_uint2(r.w[2 * i], r.w[2 * i + 1]);
  } else if constexpr (ALIGN >= 4 && BYTES % 4 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 4; ++i) ((u32*)p)[i] = r.w[i];
  } else if constexpr (ALIGN >= 2 && BYTES % 2 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 2; ++i) ((u16*)p)[i] = (u16)(r.w[i / 2] >> (16 * (i % 2)));
  } else {
#pragma unroll
    for (int i = 0; i < BYTES; ++i) ((u8*)p)[i] = (u8)(r.w[i / 4] >> (8 * (i % 4)));
  }
}

// Exchanges rows and columns of the 4 / SIZE words' elements.
template <int SIZE>
__device__ __forceinline__ void turn(u32 (&x)[4 / SIZE]) {
  if constexpr (SIZE == 2) {
    const u32 a = x[0], b = x[1];
    x[0] = __byte_perm(a, b, 0x5410u), x[1] = __byte_perm(a, b, 0x7632u);
  } else if constexpr (SIZE == 1) {
    const u32 a = __byte_perm(x[0], x[1], 0x5140u), b = __byte_perm(x[2], x[3], 0x5140u);
    const u32 c = __byte_perm(x[0], x[1], 0x7362u), d = __byte_perm(x[2], x[3], 0x7362u);
    x[0] = __byte_perm(a, b, 0x5410u), x[1] = __byte_perm(a, b, 0x7632u);
    x[2] = __byte_perm(c, d, 0x5410u), x[3] = __byte_perm(c, d, 0x7632u);
  }
}

template <int N>
__device__ __forceinline__ float get_f32(const Words<N>& x, int e) {
  return __uint_as_float(x.w[e]);
}

template <int N>
__device__ __forceinline__ float get_f16(const Words<N>& x, int e) {
  float r;
  if (e % 2 == 0)
    asm("{.reg .b16 lo, hi; mov.b32 {lo, hi}, %1; cvt.f32.f16 %0, lo;}" : "=f"(r) : "r"(x.w[e / 2]));
  else
    asm("{.reg .b16 lo, hi; mov.b32 {lo, hi}, %1; cvt.f32.f16 %0, hi;}" : "=f"(r) : "r"(x.w[e / 2]));
  return r;
}

// Two floats rounded half to even to 16 bits each, the first in the low half.
__device__ __forceinline__ u32 halves_f16(float lo, float hi) {
  u32 r;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
#else
  asm("{.reg .b16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b};}" : "=r"(r) : "f"(lo), "f"(hi));
#endif
  return r;
}

__device__ __forceinline__ float round_f16(float x) {
  const Words<1> r = {halves_f16(x, 0.0f)};
  return get_f16(r, 0);
}

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_f16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = halves_f16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

// Where a pointer into shared memory points, as the instructions for shared memory take it.
__device__ __forceinline__ u32 shared_address(const void* p) {
  return (u32)__cvta_generic_to_shared(p);
}

// The place of 16-byte piece `piece` of a row of PIECES: permuted from row to row, so that the same piece of eight successive rows
// lies in eight different banks' lines, which `ldmatrix` reads at once.
template <int PIECES>
__device__ __forceinline__ u32 swizzled(u32 row, u32 piece) {
  if constexpr (PIECES >= 8) return row * PIECES + (piece ^ (row & 7u));
  if constexpr (PIECES == 4) return row * PIECES + (piece ^ (row >> 1 & 3u));
  if constexpr (PIECES == 2) return row * PIECES + (piece ^ (row >> 2 & 1u));
  return row * PIECES + piece;
}

template <int BYTES>
__device__ __forceinline__ void put_shared(u32 to, const Words<BYTES / 4>& x) {
  if constexpr (BYTES == 16)
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" :: "r"(to), "r"(x.w[0]), "r"(x.w[1]), "r"(x.w[2]), "r"(x.w[3]) : "memory");
  if constexpr (BYTES == 8) asm volatile("st.shared.v2.b32 [%0], {%1, %2};" :: "r"(to), "r"(x.w[0]), "r"(x.w[1]) : "memory");
  if constexpr (BYTES == 4) asm volatile("st.shared.b32 [%0], %1;" :: "r"(to), "r"(x.w[0]) : "memory");
}

// Copies the first `live` of BYTES bytes to shared memory and puts zeros behind them. They are there after wait_copies; both
// addresses are multiples of BYTES.
template <int BYTES>
__device__ __forceinline__ void copy_async(u32 to, const void* from, u32 live) {
#if __CUDA_ARCH__ >= 800
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(__cvta_generic_to_global(from)), "r"(live));
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" :: "r"(to), "l"(__cvta_generic_to_global(from)), "n"(BYTES), "r"(live));
#else
  Words<BYTES / 4> x = {};
  if (live == BYTES) {
    x = load<BYTES, BYTES>(from);
  } else {
#pragma unroll 1
    for (u32 i = 0; i < live; ++i) {
      const u32 byte = (u32)__ldca((const u8*)from + i) << (8u * (i % 4u));
#pragma unroll
      for (int w = 0; w < BYTES / 4; ++w) x.w[w] |= i / 4u == w ? byte : 0u;
    }
  }
  put_shared<BYTES>(to, x);
#endif
}

// Closes a group of copies.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the last N groups of the thread's copies have arrived.
template <int N>
__device__ __forceinline__ void wait_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

// wgmma reads shared memory past the caches' ordinary order: what the thread wrote there, or copied there and waited for, is in place for it
// after this and a barrier.
__device__ __forceinline__ void fence_for_wgmma() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Orders the accumulators' registers before the multiplications that follow.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// Closes a group of multiplications.
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until all but the last N groups of multiplications are done: with their accumulators and with their factors in shared memory.
template <int N>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}

// Keeps reads of the accumulators behind a wait that the compiler does not know to be about them.
template <int I, int J>
__device__ __forceinline__ void settle(float (&c)[I][J][4]) {
#pragma unroll
  for (int i = 0; i < 4 * I * J; ++i) asm volatile("" : "+f"(c[i / (4 * J)][i / 4 % J][i % 4]) :: "memory");
}
template <int I, int J>
__device__ __forceinline__ void settle(i32 (&c)[I][J][4]) {
#pragma unroll
  for (int i = 0; i < 4 * I * J; ++i) asm volatile("" : "+r"(c[i / (4 * J)][i / 4 % J][i % 4]) :: "memory");
}

// N adjacent accumulators from shared memory.
template <int N>
__device__ __forceinline__ Words<N> load_staged(const void* p) {
  Words<N> x;
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N / 4; ++i) {
      const uint4 v = ((const uint4*)p)[i];
      x.w[4 * i] = v.x, x.w[4 * i + 1] = v.y, x.w[4 * i + 2] = v.z, x.w[4 * i + 3] = v.w;
    }
  } else if constexpr (N % 2 == 0) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const uint2 v = ((const uint2*)p)[i];
      x.w[2 * i] = v.x, x.w[2 * i + 1] = v.y;
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) x.w[i] = ((const u32*)p)[i];
  }
  return x;
}

// 2^x
__device__ __forceinline__ float pw_fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 1/x for x whose reciprocal is a normal number: beyond 2^126 it is 0.
__device__ __forceinline__ float pw_fast_rcp(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// exp(x) = 2^(x*log2(e)). The product's rounding grows with |x|: 61 ulp at the ends.
__device__ __forceinline__ float pw_fast_exp(float x) { return pw_fast_exp2(x * 1.44269504f); }

// 1/(1 + exp(-x)). 57 ulp at x = -72.
__device__ __forceinline__ float pw_fast_sigmoid(float x) { return pw_fast_rcp(1.0f + pw_fast_exp(-x)); }

// x*sigmoid(x), 59 ulp; -0 at -inf, where the sigmoid is 0. NaN comes through the sigmoid.
__device__ __forceinline__ float pw_fast_silu(float x) { return fmaxf(x, -3.402823466e+38f) * pw_fast_sigmoid(x); }

typedef u32 idx;
typedef i32 off;

// A block computes 128x256 accumulators; then each thread takes 8 adjacent ones at a time.
extern "C" __global__ void __launch_bounds__(512)
pw_gemm_cast_cast_add_silu_etc_48efa065e8(
    const f16* __restrict__ a,
    const f16* __restrict__ b,
    const f16* __restrict__ x0,
    f16* __restrict__ y0,
    const off a_row_stride,
    const off b_row_stride,
    const idx rows,
    const idx columns,
    const idx depth,
    const idx tiles_m,
    const idx tiles_n,
    const off y0_s0) {
  extern __shared__ __align__(1024) uint4 memory[];
  const u32 shared = shared_address(memory);
  const u32 lane = threadIdx.x % 32u;
  const u32 warp = threadIdx.x / 32u;
  // The warp's part of the tile begins at this row and column.
  const u32 warp_m = warp % 8u / 4u * 64u + warp % 4u * 16u, warp_n = warp / 8u * 128u;
  // Tiles go column by column within bands of rows, so that blocks which run together share what they read.
  u32 tile = blockIdx.x;
  const u32 steps = (u32)((depth + 63u) / 64u);
  u32 tile_m = tile, tile_n = 0u;
  // Divisions take longer than all else that a block does before its first copy.
  if (tiles_n > 1) {
    const u32 of_band = 8u * (u32)tiles_n;
    const u32 band = tile / of_band, in_band = tile - band * of_band;
    const u32 height = min(8u, (u32)tiles_m - band * 8u);
    tile_n = in_band / height;
    tile_m = band * 8u + in_band - tile_n * height;
  }
  const idx m0 = (idx)tile_m * 128u, n0 = (idx)tile_n * 256u;
  const u32 a_row = threadIdx.x / 8u, a_piece = threadIdx.x % 8u;
  const u32 a_place = swizzled<8>(a_row, a_piece) * 16u;
  const auto* const a_piece_from = a + (off)(m0 + a_row) * a_row_stride + a_piece * 8u;
  u32 a_rows = 0u;
#pragma unroll
  for (int i = 0; i < 2; ++i) a_rows |= (u32)(m0 + a_row + i * 64u < rows) << i;
  const u32 b_row = threadIdx.x / 8u, b_piece = threadIdx.x % 8u;
  const u32 b_place = swizzled<8>(b_row, b_piece) * 16u;
  const auto* const b_piece_from = b + (off)(n0 + b_row) * b_row_stride + b_piece * 8u;
  u32 b_rows = 0u;
#pragma unroll
  for (int i = 0; i < 4; ++i) b_rows |= (u32)(n0 + b_row + i * 64u < columns) << i;
  // The columns that the lane takes in the end. What it will read of them is called for now, to be there by then.
  const u32 lane_column = lane % 16u * 8u;
  const bool within = n0 + warp_n + lane_column < columns;
  const idx local = within ? n0 + warp_n + lane_column : 0u;
  const idx column = local;
  const off x0_at = 0;
  const auto x0_w = load<16, 16>(x0 + x0_at + column);
  // Copies what step `step` multiplies, or zeros if there is no such step: all of it if `turn` is negative, else the share of one of
  // 1 turns.
  auto fetch = [&](u32 step, u32 slot, int turn) {
    const u32 a_to = shared + slot * 49152u, b_to = a_to + 16384u;
    {
      const idx k = (idx)step * 64u + a_piece * 8u;
      const auto* const a_step = a_piece_from + (idx)step * 64u;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (turn >= 0 && i * 1 / 2 != turn) continue;
        const bool inside = (a_rows >> i & 1u) != 0u;
        copy_async<16>(a_to + a_place + i * 8192u, a_step + (off)(i * 64) * a_row_stride, inside && k < depth ? 16u : 0u);
      }
    }
    {
      const idx k = (idx)step * 64u + b_piece * 8u;
      const auto* const b_step = b_piece_from + (idx)step * 64u;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (turn >= 0 && i * 1 / 4 != turn) continue;
        const bool inside = (b_rows >> i & 1u) != 0u;
        copy_async<16>(b_to + b_place + i * 8192u, b_step + (off)(i * 64) * b_row_stride, inside && k < depth ? 16u : 0u);
      }
    }
  };
  // One product of a 64-row fragment of `a` with `b`, by a team of four warps.
  auto wgmma = [&](float (&c)[16][4], u64 a, u64 b) {
    asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"
          "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
            "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63},"
          " %64, %65, add, 1, 1, 0, 0;\n}"
        : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]), "+f"(c[1][3])
        , "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]), "+f"(c[3][2]), "+f"(c[3][3])
        , "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]), "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3])
        , "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]), "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
        , "+f"(c[8][0]), "+f"(c[8][1]), "+f"(c[8][2]), "+f"(c[8][3]), "+f"(c[9][0]), "+f"(c[9][1]), "+f"(c[9][2]), "+f"(c[9][3])
        , "+f"(c[10][0]), "+f"(c[10][1]), "+f"(c[10][2]), "+f"(c[10][3]), "+f"(c[11][0]), "+f"(c[11][1]), "+f"(c[11][2]), "+f"(c[11][3])
        , "+f"(c[12][0]), "+f"(c[12][1]), "+f"(c[12][2]), "+f"(c[12][3]), "+f"(c[13][0]), "+f"(c[13][1]), "+f"(c[13][2]), "+f"(c[13][3])
        , "+f"(c[14][0]), "+f"(c[14][1]), "+f"(c[14][2]), "+f"(c[14][3]), "+f"(c[15][0]), "+f"(c[15][1]), "+f"(c[15][2]), "+f"(c[15][3])
        : "l"(a), "l"(b) : "memory");
  };
  // Where the factors of the team of four warps lie in slot 0, and in which layout.
  const u32 team = __shfl_sync(0xffffffffu, threadIdx.x / 128u, 0);
  const u64 a_matrix = 0x4000004000010000ull + (shared + team % 2u * 8192u) / 16u;
  const u64 b_matrix = 0x4000004000010000ull + (shared + 16384u + team / 2u * 16384u) / 16u;
  float acc[1][16][4] = {};
  // Begins to multiply what is in slot `slot`.
  auto multiply = [&](u32 slot) {
    const u64 a = a_matrix + slot * 49152u / 16u, b = b_matrix + slot * 49152u / 16u;
    wgmma_fence();
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const u32 kk = part;
#pragma unroll
      for (int i = 0; i < 1; ++i) wgmma(acc[i], a + (kk * 32u + i * 8192u) / 16u, b + (kk * 32u) / 16u);
    }
    wgmma_commit();
  };
  // While one step is multiplied, the next one's instructions are already given; so the slot filled meanwhile is the last but one's.
#pragma unroll
  for (u32 step = 0; step < 2u; ++step) {
    if (step < steps) fetch(step, step, -1);
    commit_copies();
  }
  u32 take = 0u, put = 2u;
#pragma unroll 1
  for (u32 step = 0; step < steps; ++step) {
    // The step's copies have arrived, and nobody multiplies what lies in the slot that is filled next.
    wait_copies<1>();
    fence_for_wgmma();
    __syncthreads();
    multiply(take);
    if (step + 2u < steps) fetch(step + 2u, put, -1);
    commit_copies();
    wgmma_wait<1>();
    take = take + 1u == 4u ? 0u : take + 1u;
    put = put + 1u == 4u ? 0u : put + 1u;
  }
  wgmma_wait<0>();
  settle(acc);
  wait_copies<0>();
  __syncthreads();
  // The accumulators of 16 rows at a time pass through shared memory, from where each lane takes 8 adjacent columns of a row.
  float* const stage = (float*)memory + warp * 2176u;
#pragma unroll 1
  for (u32 part = 0; part < 1u; ++part) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 1; ++i) {
      if (i != part) continue;
#pragma unroll
      for (int j = 0; j < 16; ++j) {
        float* const to = stage + lane / 4u * 136u + j * 8u + lane % 4u * 2u;
        to[0] = acc[i][j][0], to[1] = acc[i][j][1];
        to[1088] = acc[i][j][2], to[1089] = acc[i][j][3];
      }
    }
    __syncwarp();
#pragma unroll 1
    for (u32 at = lane; at < 256u; at += 32u) {
      const u32 stage_row = at / 16u;
      const idx local_row = m0 + warp_m + part * 64u + stage_row;
      if (local_row >= rows || !within) continue;
      const idx row = local_row;
      const float* const sum = stage + stage_row * 136u + lane_column;
      const auto acc_w = load_staged<8>(sum);
      const idx i0 = row;
      const off y0_at = (off)i0 * y0_s0;
      float y0_e[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float acc_e = get_f32(acc_w, e);
        const float x0_e = get_f16(x0_w, e);
        const float v0_cast = x0_e;
        const float v1_cast = acc_e;
        const float v2_add = v1_cast + v0_cast;
        const float v3_silu = pw_fast_silu(v2_add);
        const float v4_cast = round_f16(v3_silu);
        y0_e[e] = v4_cast;
      }
      const auto y0_w = pack_f16(y0_e);
      store<16, 16>(y0 + y0_at + column, y0_w);
    }
  }
}
