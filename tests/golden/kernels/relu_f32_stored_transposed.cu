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

// ROWS x COLUMNS elements of SIZE bytes in shared memory, row by row, which are turned on the way between it and memory. A thread turns
// a patch of TALL rows (16 bytes in memory) by BROAD columns (32 bits of a row, 64 for elements of 8 bytes).
//
// Why no access meets another in a bank: a warp's patches are LANES beside each other down the rows and 32 / LANES across, and it
// writes (reads) one row of each at a time. TALL rows are 4 * COLUMNS words, a multiple of 32, so that all LANES would meet in
// the same banks, but for the PAD of 32 / LANES words behind each TALL rows: it moves them just past each other. A warp that goes along
// rows takes 128 bytes at a time, which lie side by side: rows of fewer bytes have no padding within them, as COLUMNS >= 8.
template <int SIZE, int ROWS_, int COLUMNS_>
struct Tile {
  static constexpr u32 ROWS = ROWS_, COLUMNS = COLUMNS_;
  static constexpr u32 TALL = 16 / SIZE, BROAD = SIZE < 4 ? 4 / SIZE : 1;
  static constexpr u32 LANES = ROWS / TALL < 8 ? ROWS / TALL : 8;
  static constexpr u32 PITCH = COLUMNS * SIZE, PAD = 128 / LANES;
  static constexpr u32 PIECES = (ROWS * PITCH + ROWS / TALL * PAD) / 16;
  static constexpr u32 PATCHES = ROWS / TALL * (COLUMNS / BROAD);
  static constexpr int ELEMENT = SIZE;
  // The byte at which an element lies.
  __device__ static constexpr u32 at(u32 row, u32 column) { return row * PITCH + row / TALL * PAD + column * SIZE; }
  // The first row and column of a patch.
  __device__ static constexpr u32 row(u32 patch) {
    return (patch / 32 % (ROWS / TALL / LANES) * LANES + patch % LANES) * TALL;
  }
  __device__ static constexpr u32 column(u32 patch) {
    return (patch / 32 / (ROWS / TALL / LANES) * (32 / LANES) + patch % 32 / LANES) * BROAD;
  }
};

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

// The other way: what of a tile lies within `rows` and `columns`.
template <typename T, int ALIGN, int THREADS, bool ONCE>
__device__ __forceinline__ void tile_out(const void* tile, void* p, i64 stride, u32 rows, u32 columns) {
#pragma unroll
  for (u32 n = 0; n < T::PATCHES; n += THREADS) {
    const u32 patch = n + threadIdx.x;
    if (T::PATCHES % THREADS != 0 && patch >= T::PATCHES) break;
    const u32 row = T::row(patch), column = T::column(patch);
    const u8* const from = (const u8*)tile + T::at(row, column);
    u8* const to = (u8*)p + ((i64)column * stride + row) * T::ELEMENT;
    if ((rows == T::ROWS && columns == T::COLUMNS) || (row + T::TALL <= rows && column + T::BROAD <= columns)) {
      Words<4> v[T::BROAD];
      if constexpr (T::ELEMENT == 8) {
        const uint2 a = *(const uint2*)from, b = *(const uint2*)(from + T::PITCH);
        v[0].w[0] = a.x, v[0].w[1] = a.y, v[0].w[2] = b.x, v[0].w[3] = b.y;
      } else {
#pragma unroll
        for (u32 q = 0; q < 4; ++q) {
          u32 x[T::BROAD];
#pragma unroll
          for (u32 r = 0; r < T::BROAD; ++r) x[r] = *(const u32*)(from + (q * T::BROAD + r) * T::PITCH);
          turn<T::ELEMENT>(x);
#pragma unroll
          for (u32 c = 0; c < T::BROAD; ++c) v[c].w[q] = x[c];
        }
      }
#pragma unroll
      for (u32 c = 0; c < T::BROAD; ++c) {
        u8* const line = to + (i64)c * stride * T::ELEMENT;
        if constexpr (ONCE) store_once<16, ALIGN>(line, v[c]);
        else store<16, ALIGN>(line, v[c]);
      }
    } else {
#pragma unroll 1
      for (u32 e = 0; e < T::TALL * T::BROAD; ++e) {
        const u32 r = e % T::TALL, c = e / T::TALL;
        if (row + r >= rows || column + c >= columns) continue;
        const u8* const x = from + r * T::PITCH + c * T::ELEMENT;
        u8* const y = to + ((i64)c * stride + r) * T::ELEMENT;
        for (int i = 0; i < T::ELEMENT; ++i) y[i] = x[i];
      }
    }
  }
}

template <typename T, int BYTES>
__device__ __forceinline__ void tile_set(void* tile, u32 row, u32 column, const Words<(BYTES + 3) / 4>& words) {
  store<BYTES, BYTES>((u8*)tile + T::at(row, column), words);
}

template <int N>
__device__ __forceinline__ float get_f32(const Words<N>& x, int e) {
  return __uint_as_float(x.w[e]);
}

template <int V>
__device__ __forceinline__ Words<V> pack_f32(const float (&y)[V]) {
  Words<V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) r.w[i] = __float_as_uint(y[i]);
  return r;
}

// Element e of a vector in registers replaced by the bits of another one. e may vary at run time: every word is written, with itself
// where e lies elsewhere, because a store under a condition would put the vector into local memory.
template <int SIZE, int N, int M>
__device__ __forceinline__ void patch(Words<N>& r, int e, const Words<M>& element) {
  constexpr int PER = SIZE < 4 ? 4 / SIZE : 1;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if constexpr (SIZE < 4) {
      const u32 shift = 8 * SIZE * (e % PER);
      const u32 mask = i == e / PER ? (SIZE == 1 ? 0xffu : 0xffffu) << shift : 0u;
      r.w[i] = r.w[i] & ~mask | element.w[0] << shift & mask;
    } else {
      r.w[i] = i / (SIZE / 4) == e ? element.w[i % (SIZE / 4)] : r.w[i];
    }
  }
}

// The larger; NaN if either is; +0 over -0. Exact. One instruction from sm_80 on; max.f32 of sm_75 drops NaN.
__device__ __forceinline__ float pw_max(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
#else
  return a != a || b != b ? a + b : fmaxf(a, b);
#endif
}
__device__ __forceinline__ double pw_max(double a, double b) { return a != a || b != b ? a + b : fmax(a, b); }
__device__ __forceinline__ int pw_max(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned pw_max(unsigned a, unsigned b) { return a > b ? a : b; }
__device__ __forceinline__ long long pw_max(long long a, long long b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned long long pw_max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }

typedef u32 idx;
typedef i32 off;

// Each block computes 64 x 64 elements, each thread 4 adjacent elements of each of 4 rows.
extern "C" __global__ void __launch_bounds__(256)
pw_relu_transposed_b406dade9a(
    const f32* __restrict__ x0,
    f32* __restrict__ y0,
    const idx tiles_across,
    const u32 tiles_across_mul,
    const u32 tiles_across_shift,
    const idx tiles_down,
    const u32 tiles_down_mul,
    const u32 tiles_down_shift,
    const idx height,
    const off x0_s0,
    const off x0_s1,
    const off y0_s0,
    const off y0_s2) {
  const idx band = divide(blockIdx.x, tiles_across_mul, tiles_across_shift);
  const idx left = (blockIdx.x - band * tiles_across) * 64u;
  const idx batch = divide(band, tiles_down_mul, tiles_down_shift);
  const idx top = (band - batch * tiles_down) * 64u;
  const u32 high = height - top < 64u ? (u32)(height - top) : 64u;
  const idx i0 = batch;
  const u32 down = threadIdx.x / 16u;
  const u32 across = threadIdx.x % 16u * 4u;
  const idx i1 = top + down;
  const idx column = left + across;
  const off x0_at = (off)i0 * x0_s0 + (off)i1 * x0_s1;
  const off y0_corner = (off)i0 * y0_s0 + (off)top + (off)left * y0_s2;
  __shared__ uint4 y0_tile[Tile<4, 64, 64>::PIECES];
  Words<4> x0_w[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if (down + r * 16 < high) {
      x0_w[r] = load<16, 16>(x0 + x0_at + r * 16 * x0_s1 + column);
    }
  }
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if (down + r * 16 < high) {
      float y0_e[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float x0_e = get_f32(x0_w[r], e);
        const float v0_relu = pw_max(x0_e, 0.0f);
        y0_e[e] = v0_relu;
      }
      const auto y0_w = pack_f32(y0_e);
      tile_set<Tile<4, 64, 64>, 16>(y0_tile, down + r * 16, across, y0_w);
    }
  }
  __syncthreads();
  tile_out<Tile<4, 64, 64>, 4, 256, false>(y0_tile, y0 + y0_corner, y0_s2, high, 64u);
}
