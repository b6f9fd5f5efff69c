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

// As store, for data that is larger than the caches: it leaves them first.
template <int BYTES, int ALIGN>
__device__ __forceinline__ void store_once(void* p, const Words<(BYTES + 3) / 4>& r) {
  if constexpr (ALIGN >= 16 && BYTES % 16 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; ++i)
      __stcs((uint4*)p + i, make_uint4(r.w[4 * i], r.w[4 * i + 1], r.w[4 * i + 2], r.w[4 * i + 3]));
  } else if constexpr (ALIGN >= 8 && BYTES == 8) {
    __stcs((uint2*)p, make_uint2(r.w[0], r.w[1]));
  } else if constexpr (ALIGN >= 4 && BYTES == 4) {
    __stcs((u32*)p, r.w[0]);
  } else {
    store<BYTES, ALIGN>(p, r);
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

// What the driver's cuTensorMapEncodeTiled makes of a matrix in memory; kernels only pass its address on.
struct TensorMap {
  __align__(128) u64 words[16];
};

// Prepares a barrier in shared memory on which `arrivals` arrivals, and all bytes expected, end a phase.
__device__ __forceinline__ void init_barrier(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(arrivals) : "memory");
}

// Shows prepared barriers to the copy engine.
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}

// Arrives, and has the phase last until so many bytes are copied.
__device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}

// Waits until a barrier's phase of parity `parity` is over. A fresh barrier counts as behind a phase of parity 1.
__device__ __forceinline__ void wait_barrier(u32 barrier, u32 parity) {
  u32 over = 0u;
  while (over == 0u) {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(over) : "r"(barrier), "r"(parity) : "memory");
  }
}

// Has the tile of a matrix that begins at element x of line y copied to shared memory, with zeros for what lies outside.
__device__ __forceinline__ void copy_tile(u32 to, const TensorMap* map, u32 x, u32 y, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
      :: "r"(to), "l"(map), "r"(x), "r"(y), "r"(barrier) : "memory");
}

// True in one thread of the warp.
__device__ __forceinline__ bool elected() {
  u32 x;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(x));
  return x != 0u;
}

// From here on a thread of these four warps has N registers: fewer, or more, once others have given theirs.
template <int N>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N));
}
template <int N>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N));
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

// A block computes 128x128 accumulators; then each thread takes 8 adjacent ones at a time.
extern "C" __global__ void __launch_bounds__(384, 1)
pw_gemm_cast_cast_add_silu_etc_099f11dcb1(
    const __grid_constant__ TensorMap a_map,
    const __grid_constant__ TensorMap b_map,
    const f16* __restrict__ x0,
    f16* __restrict__ y0,
    const idx rows,
    const idx columns,
    const idx depth,
    const idx tiles_m,
    const idx tiles_n,
    const off y0_s0) {
  extern __shared__ __align__(1024) uint4 memory[];
  // First the memory that the accumulators pass through, then the slots of the steps, then two barriers for each slot: it is full, it is empty.
  const u32 shared = shared_address(memory) + 34816u;
  const u32 full = shared + 196608u, empty = full + 48u;
  // And one for each crew: its turn has come.
  const u32 turns = empty + 48u;
  const u32 lane = threadIdx.x % 32u;
  const u32 warp = __shfl_sync(0xffffffffu, threadIdx.x / 32u, 0);
  if (threadIdx.x == 0u) {
    for (u32 i = 0; i < 6u; ++i) {
      init_barrier(full + i * 8u, 1u);
      init_barrier(empty + i * 8u, 4u);
    }
    init_barrier(turns, 4u);
    init_barrier(turns + 8u, 4u);
    fence_barriers();
  }
  __syncthreads();
  const u32 tiles = (u32)tiles_m * (u32)tiles_n;
  const u32 steps = (u32)((depth + 63u) / 64u);
  if (warp >= 8u) {
    // These warps need few registers; one thread of them has all tiles copied, one step after the other, as soon as a slot is empty.
    give_registers<24>();
    if (warp == 8u && elected()) {
      u32 slot = 0u, phase = 1u;
#pragma unroll 1
      for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        u32 tile_m = tile, tile_n = 0u;
        // Divisions take longer than all else that a block does before its first copy.
        if (tiles_n > 1) {
          const u32 of_band = 8u * (u32)tiles_n;
          const u32 band = tile / of_band, in_band = tile - band * of_band;
          const u32 height = min(8u, (u32)tiles_m - band * 8u);
          tile_n = in_band / height;
          tile_m = band * 8u + in_band - tile_n * height;
        }
        const idx m0 = (idx)tile_m * 128u, n0 = (idx)tile_n * 128u;
#pragma unroll 1
        for (u32 step = 0; step < steps; ++step) {
          wait_barrier(empty + slot * 8u, phase);
          expect_bytes(full + slot * 8u, 32768u);
          const u32 to = shared + slot * 32768u;
          const u32 k = step * 64u;
          copy_tile(to + 0u, &a_map, k, (u32)m0, full + slot * 8u);
          copy_tile(to + 16384u, &b_map, k, (u32)n0, full + slot * 8u);
          if (++slot == 6u) slot = 0u, phase ^= 1u;
        }
      }
    }
    return;
  }
  take_registers<240>();
  // The warp's part of a tile begins at this row and column.
  const u32 crew = warp / 4u;
  const u32 warp_m = warp % 4u / 4u * 128u + warp % 4u * 16u, warp_n = warp % 4u / 4u * 128u;
  u32 slot = 0u, phase = 0u;
  // The crews take the tiles in turn, and pass over the slots of the other's.
  auto pass = [&]() {
    slot += steps;
    phase ^= slot / 6u & 1u;
    slot %= 6u;
  };
  if (crew == 1u) pass();
  u32 turn = crew ^ 1u;
#pragma unroll 1
  for (u32 tile = blockIdx.x + crew * gridDim.x; tile < tiles; tile += 2u * gridDim.x) {
    u32 tile_m = tile, tile_n = 0u;
    // Divisions take longer than all else that a block does before its first copy.
    if (tiles_n > 1) {
      const u32 of_band = 8u * (u32)tiles_n;
      const u32 band = tile / of_band, in_band = tile - band * of_band;
      const u32 height = min(8u, (u32)tiles_m - band * 8u);
      tile_n = in_band / height;
      tile_m = band * 8u + in_band - tile_n * height;
    }
    const idx m0 = (idx)tile_m * 128u, n0 = (idx)tile_n * 128u;
    // The columns that the lane takes in the end. What it will read of them is called for now, to be there by then.
    const u32 lane_column = lane % 16u * 8u;
    const bool within = n0 + warp_n + lane_column < columns;
    const idx local = within ? n0 + warp_n + lane_column : 0u;
    const idx column = local;
    const off x0_at = 0;
    const auto x0_w = load<16, 16>(x0 + x0_at + column);
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
    const u32 team = warp / 4u % 1u;
    const u64 a_matrix = 0x4000004000010000ull + (shared + team % 1u * 16384u) / 16u;
    const u64 b_matrix = 0x4000004000010000ull + (shared + 16384u + team / 1u * 16384u) / 16u;
    float acc[2][16][4] = {};
    // Begins to multiply what is in slot `slot`.
    auto multiply = [&](u32 slot) {
      const u64 a = a_matrix + slot * 32768u / 16u, b = b_matrix + slot * 32768u / 16u;
      wgmma_fence();
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const u32 kk = part;
#pragma unroll
        for (int i = 0; i < 2; ++i) wgmma(acc[i], a + (kk * 32u + i * 8192u) / 16u, b + (kk * 32u) / 16u);
      }
      wgmma_commit();
    };
    // While one step is multiplied, the next one's instructions are already given; so the slot that is empty then is the last but one's.
    u32 last = 0u;
    // When the other crew has seen all of its tile's slots full: before, a parity may be that of its steps.
    wait_barrier(turns + crew * 8u, turn);
    turn ^= 1u;
#pragma unroll 1
    for (u32 step = 0; step < steps; ++step) {
      wait_barrier(full + slot * 8u, phase);
      multiply(slot);
      wgmma_wait<1>();
      if (step > 0u && lane == 0u) arrive(empty + last * 8u);
      last = slot;
      if (++slot == 6u) slot = 0u, phase ^= 1u;
    }
    if (lane == 0u) arrive(turns + (crew ^ 1u) * 8u);
    wgmma_wait<0>();
    if (steps > 0u && lane == 0u) arrive(empty + last * 8u);
    settle(acc);
    pass();
    // The accumulators of 8 rows at a time pass through shared memory, from where each lane takes 8 adjacent columns of a row.
    float* const stage = (float*)memory + warp * 1088u;
#pragma unroll 1
    for (u32 part = 0; part < 4u; ++part) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (i != part) continue;
#pragma unroll
        for (int j = 0; j < 16; ++j) {
          float* const to = stage + lane / 4u * 136u + j * 8u + lane % 4u * 2u;
          to[0] = acc[i / 2][j][i % 2 * 2], to[1] = acc[i / 2][j][i % 2 * 2 + 1];
        }
      }
      __syncwarp();
#pragma unroll 1
      for (u32 at = lane; at < 128u; at += 32u) {
        const u32 stage_row = at / 16u;
        const idx local_row = m0 + warp_m + part / 2u * 64u + part % 2u * 8u + stage_row;
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
        store_once<16, 16>(y0 + y0_at + column, y0_w);
      }
    }
  }
}
