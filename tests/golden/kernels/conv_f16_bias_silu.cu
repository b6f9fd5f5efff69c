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

// n / d for n < 2^31, with multiplier = ceil(2^(31 + shift) / d) and shift = ceil(log2 d) (Granlund and Montgomery, 1994).
__device__ __forceinline__ u32 divide(u32 n, u32 multiplier, u32 shift) {
  return __umulhi(2u * n, multiplier) >> shift;
}

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

// Four 8x8 matrices of 16-bit elements, or of pairs of bytes; lane 8 * i + r has the address of row r of matrix i.
__device__ __forceinline__ void load_matrices(u32 (&x)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(from));
}

// c += a * b for a of 16x16 and b of 16x8 elements.
__device__ __forceinline__ void mma_f16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
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

// A block computes 64x32 accumulators; then each thread takes 8 adjacent ones at a time.
extern "C" __global__ void __launch_bounds__(128)
pw_conv_cast_cast_add_silu_etc_39a39cc21f(
    const f16* __restrict__ a,
    const f16* __restrict__ b,
    const f16* __restrict__ x0,
    f16* __restrict__ y0,
    const idx out1,
    const u32 out1_mul,
    const u32 out1_shift,
    const off stride1,
    const off before1,
    const off in1,
    const idx out0,
    const u32 out0_mul,
    const u32 out0_shift,
    const off stride0,
    const off before0,
    const off in0,
    const off pitch,
    const idx run,
    const u32 run_mul,
    const u32 run_shift,
    const off dilation1,
    const idx taps1,
    const u32 taps1_mul,
    const u32 taps1_shift,
    const off dilation0,
    const off b_row_stride,
    const idx rows,
    const idx columns,
    const idx depth,
    const idx tiles_m,
    const idx tiles_n,
    const off y0_s0) {
  extern __shared__ uint4 memory[];
  const u32 shared = shared_address(memory);
  const u32 lane = threadIdx.x % 32u;
  const u32 slice = threadIdx.x / 64u;
  const u32 warp = threadIdx.x / 32u % 2u;
  // The warp's part of the tile begins at this row and column.
  const u32 warp_m = warp % 2u * 32u, warp_n = warp / 2u * 32u;
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
  const idx m0 = (idx)tile_m * 64u, n0 = (idx)tile_n * 32u;
  const u32 a_row = threadIdx.x / 8u, a_piece = threadIdx.x % 8u;
  const u32 a_place = swizzled<8>(a_row, a_piece) * 16u;
  off a_at[4];
  i32 a_w0[4];
  i32 a_w1[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const u32 r = a_row + i * 16u;
    idx rest = m0 + r;
    const bool live = rest < rows;
    const idx q1 = divide(rest, out1_mul, out1_shift);
    const off w1 = (off)(rest - q1 * out1) * stride1 - before1;
    rest = q1;
    const idx q0 = divide(rest, out0_mul, out0_shift);
    const off w0 = (off)(rest - q0 * out0) * stride0 - before0;
    rest = q0;
    a_w0[i] = live ? (i32)w0 : -0x40000000;
    a_w1[i] = live ? (i32)w1 : -0x40000000;
    a_at[i] = (((off)rest * in0 + w0) * in1 + w1) * pitch;
  }
  const u32 b_row = threadIdx.x / 8u, b_piece = threadIdx.x % 8u;
  const u32 b_place = swizzled<8>(b_row, b_piece) * 16u;
  const auto* const b_piece_from = b + (off)(n0 + b_row) * b_row_stride + b_piece * 8u;
  u32 b_rows = 0u;
#pragma unroll
  for (int i = 0; i < 2; ++i) b_rows |= (u32)(n0 + b_row + i * 16u < columns) << i;
  // The columns that the lane takes in the end. What it will read of them is called for now, to be there by then.
  const u32 lane_column = lane % 4u * 8u;
  const bool within = n0 + warp_n + lane_column < columns;
  const idx local = within ? n0 + warp_n + lane_column : 0u;
  const idx column = local;
  const off x0_at = 0;
  const auto x0_w = load<16, 16>(x0 + x0_at + column);
  // Copies what step `step` multiplies, or zeros if there is no such step: all of it if `turn` is negative, else the share of one of
  // 2 turns.
  auto fetch = [&](u32 step, u32 slot, int turn) {
    const u32 a_to = shared + slot * 12288u, b_to = a_to + 8192u;
    {
      const idx k = (idx)step * 64u + a_piece * 8u;
      const idx tap = divide(k, run_mul, run_shift);
      const off inner = (off)(k - tap * run);
      const idx t1 = divide(tap, taps1_mul, taps1_shift);
      const off s1 = (off)(tap - t1 * taps1) * dilation1;
      const off s0 = (off)t1 * dilation0;
      const off shift = (s0 * in1 + s1) * pitch + inner;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (turn >= 0 && i * 2 / 4 != turn) continue;
        const bool inside = k < depth && (u32)(a_w0[i] + (i32)s0) < (u32)in0 && (u32)(a_w1[i] + (i32)s1) < (u32)in1;
        copy_async<16>(a_to + a_place + i * 2048u, inside ? a + (a_at[i] + shift) : a, inside ? 16u : 0u);
      }
    }
    {
      const idx k = (idx)step * 64u + b_piece * 8u;
      const auto* const b_step = b_piece_from + (idx)step * 64u;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (turn >= 0 && i * 2 / 2 != turn) continue;
        const bool inside = (b_rows >> i & 1u) != 0u;
        copy_async<16>(b_to + b_place + i * 2048u, b_step + (off)(i * 16) * b_row_stride, inside && k < depth ? 16u : 0u);
      }
    }
  };
  // Reads the fragments of part `part` of the step in slot `slot`.
  u32 a_parts[1][2][4], b_parts[1][2][4];
  auto read = [&](u32 slot, int part) {
    auto& a = a_parts[part % 1];
    auto& b = b_parts[part % 1];
    const u32 a_from = shared + slot * 12288u, b_from = a_from + 8192u;
    const u32 kk = part * 2u + slice;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      load_matrices(a[i], a_from + swizzled<8>(warp_m + i * 16u + lane % 16u, kk * 2u + lane / 16u) * 16u);
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const u32 row = warp_n + j * 16u + lane / 16u * 8u + lane % 8u;
      load_matrices(b[j], b_from + swizzled<8>(row, kk * 2u + lane / 8u % 2u) * 16u);
    }
  };
  float acc[2][4][4] = {};
  // Copies for a later step go between the multiplications, so that neither waits for the other.
  auto multiply = [&](int part, u32 later, u32 put) {
    auto& a = a_parts[part % 1];
    auto& b = b_parts[part % 1];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) mma_f16(acc[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      if (part * 2 + i < 2) fetch(later, put, part * 2 + i);
    }
  };
#pragma unroll
  for (int step = 0; step < 3; ++step) {
    fetch(step, step, -1);
    commit_copies();
  }
  wait_copies<2>();
  __syncthreads();
  u32 take = 0u, put = 3u;
  if (steps > 0u) read(take, 0);
#pragma unroll 1
  for (u32 step = 0; step < steps; ++step) {
    const u32 later = step + 3u;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      multiply(part, later, put);
      if (part + 1 < 2) {
        read(take, part + 1);
      } else {
        // The next step's copies have arrived, and nobody reads the slot any more that is filled next.
        commit_copies();
        wait_copies<2>();
        __syncthreads();
        take = take + 1u == 4u ? 0u : take + 1u;
        if (step + 1u < steps) read(take, 0);
      }
    }
    put = put + 1u == 4u ? 0u : put + 1u;
  }
  wait_copies<0>();
  __syncthreads();
  // The slices' sums are added in the order of the slices.
  float* const sums = (float*)memory + warp * 1024u + lane;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    if (slice > 0u) sums[((slice - 1u) * 64u + i) * 32u] = acc[i / 16][i / 4 % 4][i % 4];
  }
  __syncthreads();
  if (slice == 0u) {
#pragma unroll
    for (int s = 0; s < 1; ++s) {
#pragma unroll
      for (int i = 0; i < 32; ++i) acc[i / 16][i / 4 % 4][i % 4] += sums[(s * 64 + i) * 32];
    }
  }
  __syncthreads();
  if (slice > 0u) return;
  // The accumulators of 16 rows at a time pass through shared memory, from where each lane takes 8 adjacent columns of a row.
  float* const stage = (float*)memory + warp * 640u;
#pragma unroll 1
  for (u32 part = 0; part < 2u; ++part) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (i != part) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float* const to = stage + lane / 4u * 40u + j * 8u + lane % 4u * 2u;
        to[0] = acc[i][j][0], to[1] = acc[i][j][1];
        to[320] = acc[i][j][2], to[321] = acc[i][j][3];
      }
    }
    __syncwarp();
#pragma unroll 1
    for (u32 at = lane; at < 64u; at += 32u) {
      const u32 stage_row = at / 4u;
      const idx local_row = m0 + warp_m + part * 16u + stage_row;
      if (local_row >= rows || !within) continue;
      const idx row = local_row;
      const float* const sum = stage + stage_row * 40u + lane_column;
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
