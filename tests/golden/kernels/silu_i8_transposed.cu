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

// As load, for data that is read once: it leaves the caches first.
template <int BYTES, int ALIGN>
__device__ __forceinline__ Words<(BYTES + 3) / 4> load_once(const void* p) {
  if constexpr (ALIGN >= 16 && BYTES % 16 == 0) {
    Words<(BYTES + 3) / 4> r;
#pragma unroll
    for (int i = 0; i < BYTES / 16; ++i) {
      const uint4 v = __ldcs((const uint4*)p + i);
      r.w[4 * i] = v.x, r.w[4 * i + 1] = v.y, r.w[4 * i + 2] = v.z, r.w[4 * i + 3] = v.w;
    }
    return r;
  } else if constexpr (ALIGN >= 8 && BYTES == 8) {
    const uint2 v = __ldcs((const uint2*)p);
    return {v.x, v.y};
  } else if constexpr (ALIGN >= 4 && BYTES == 4) {
    return {__ldcs((const u32*)p)};
  } else {
    return load<BYTES, ALIGN>(p);
  }
}

// The first `count` of BYTES / SIZE elements of SIZE bytes; zeros behind them. Predicated instructions compile faster than branches.
template <int BYTES, int SIZE>
__device__ __forceinline__ Words<(BYTES + 3) / 4> load_some(const void* p, u32 count) {
  Words<(BYTES + 3) / 4> r = {};
#pragma unroll
  for (int e = 0; e < BYTES / SIZE; ++e) {
    const u8* const from = (const u8*)p + SIZE * e;
    if constexpr (SIZE < 4) {
      u16 x = 0;
      if constexpr (SIZE == 1)
        asm volatile("{.reg .pred q; setp.lt.u32 q, %1, %2; @q ld.global.u8 %0, [%3];}" : "+h"(x) : "r"(e), "r"(count), "l"(from) : "memory");
      else
        asm volatile("{.reg .pred q; setp.lt.u32 q, %1, %2; @q ld.global.u16 %0, [%3];}" : "+h"(x) : "r"(e), "r"(count), "l"(from) : "memory");
      r.w[e * SIZE / 4] |= (u32)x << (8 * (e * SIZE % 4));
    } else {
#pragma unroll
      for (int i = 0; i < SIZE / 4; ++i)
        asm volatile("{.reg .pred q; setp.lt.u32 q, %1, %2; @q ld.global.u32 %0, [%3];}"
                     : "+r"(r.w[e * SIZE / 4 + i]) : "r"(e), "r"(count), "l"(from + 4 * i) : "memory");
    }
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

// Fills a tile from memory, where the elements of a column lie side by side and columns `stride` elements apart. Of elements beyond
// `rows` and `columns` it writes zeros. ONCE says that nothing is read again and may leave the caches first.
template <typename T, int ALIGN, int THREADS, bool ONCE>
__device__ __forceinline__ void tile_in(void* tile, const void* p, i64 stride, u32 rows, u32 columns) {
#pragma unroll
  for (u32 n = 0; n < T::PATCHES; n += THREADS) {
    const u32 patch = n + threadIdx.x;
    if (T::PATCHES % THREADS != 0 && patch >= T::PATCHES) break;
    const u32 row = T::row(patch), column = T::column(patch);
    const bool whole = (rows == T::ROWS && columns == T::COLUMNS) || (row + T::TALL <= rows && column + T::BROAD <= columns);
    Words<4> v[T::BROAD];
#pragma unroll
    for (u32 c = 0; c < T::BROAD; ++c) {
      const u8* const from = (const u8*)p + ((i64)(column + c) * stride + row) * T::ELEMENT;
      const u32 live = column + c < columns && row < rows ? rows - row : 0u;
      if (whole)
        v[c] = ONCE ? load_once<16, ALIGN>(from) : load<16, ALIGN>(from);
      else
        v[c] = load_some<16, T::ELEMENT>(from, live);
    }
    u8* const to = (u8*)tile + T::at(row, column);
    if constexpr (T::ELEMENT == 8) {
      *(uint2*)to = make_uint2(v[0].w[0], v[0].w[1]);
      *(uint2*)(to + T::PITCH) = make_uint2(v[0].w[2], v[0].w[3]);
    } else {
#pragma unroll
      for (u32 q = 0; q < 4; ++q) {
        u32 x[T::BROAD];
#pragma unroll
        for (u32 c = 0; c < T::BROAD; ++c) x[c] = v[c].w[q];
        turn<T::ELEMENT>(x);
#pragma unroll
        for (u32 r = 0; r < T::BROAD; ++r) *(u32*)(to + (q * T::BROAD + r) * T::PITCH) = x[r];
      }
    }
  }
}

// BYTES bytes of a tile from an element on.
template <typename T, int BYTES>
__device__ __forceinline__ Words<(BYTES + 3) / 4> tile_get(const void* tile, u32 row, u32 column) {
  const u8* const p = (const u8*)tile + T::at(row, column);
  Words<(BYTES + 3) / 4> r;
  if constexpr (BYTES % 16 == 0) {
#pragma unroll
    for (int i = 0; i < BYTES / 16; ++i) {
      const uint4 v = ((const uint4*)p)[i];
      r.w[4 * i] = v.x, r.w[4 * i + 1] = v.y, r.w[4 * i + 2] = v.z, r.w[4 * i + 3] = v.w;
    }
  } else if constexpr (BYTES == 8) {
    const uint2 v = *(const uint2*)p;
    r.w[0] = v.x, r.w[1] = v.y;
  } else {
    r.w[0] = BYTES == 4 ? *(const u32*)p : BYTES == 2 ? *(const u16*)p : *p;
  }
  return r;
}

template <int N>
__device__ __forceinline__ u8 get_u8(const Words<N>& x, int e) {
  return (u8)(x.w[e / 4] >> (8 * (e % 4)));
}

// Bytes that sit in the low 8 bits of each value.
template <int V, typename T>
__device__ __forceinline__ Words<(V + 3) / 4> pack_8(const T (&y)[V]) {
  Words<(V + 3) / 4> r;
#pragma unroll
  for (int i = 0; i < V; i += 4) {
    const u32 lo = __byte_perm((u32)y[i], i + 1 < V ? (u32)y[i + 1] : 0u, 0x0040u);
    const u32 hi = __byte_perm(i + 2 < V ? (u32)y[i + 2] : 0u, i + 3 < V ? (u32)y[i + 3] : 0u, 0x0040u);
    r.w[i / 4] = __byte_perm(lo, hi, 0x5410u);
  }
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

typedef u32 idx;
typedef i32 off;

// Each block computes 128 x 128 elements, each thread 16 adjacent elements of each of 4 rows.
extern "C" __global__ void __launch_bounds__(256)
pw_table_i8_i8_transposed_2a827515ac(
    const i8* __restrict__ x0,
    i8* __restrict__ y0,
    const uint4* __restrict__ table,
    const idx tiles_across,
    const u32 tiles_across_mul,
    const u32 tiles_across_shift,
    const idx tiles_down,
    const u32 tiles_down_mul,
    const u32 tiles_down_shift,
    const idx height,
    const off y0_s0,
    const off y0_s1,
    const off x0_s0,
    const off x0_s2) {
  const idx band = divide(blockIdx.x, tiles_across_mul, tiles_across_shift);
  const idx left = (blockIdx.x - band * tiles_across) * 128u;
  const idx batch = divide(band, tiles_down_mul, tiles_down_shift);
  const idx top = (band - batch * tiles_down) * 128u;
  const u32 high = height - top < 128u ? (u32)(height - top) : 128u;
  const idx i0 = batch;
  const u32 down = threadIdx.x / 8u;
  const u32 across = threadIdx.x % 8u * 16u;
  const idx i1 = top + down;
  const idx column = left + across;
  const off y0_at = (off)i0 * y0_s0 + (off)i1 * y0_s1;
  const off x0_corner = (off)i0 * x0_s0 + (off)top + (off)left * x0_s2;
  __shared__ uint4 x0_tile[Tile<1, 128, 128>::PIECES];
  // Each block's copy of the table arrives while its elements do.
  __shared__ uint4 staged[16];
  uint4 piece = {};
  if (threadIdx.x < 16u) piece = __ldg(table + threadIdx.x);
  tile_in<Tile<1, 128, 128>, 16, 256, false>(x0_tile, x0 + x0_corner, x0_s2, high, 128u);
  if (threadIdx.x < 16u) staged[threadIdx.x] = piece;
  const u8* const table0 = (const u8*)(staged + 0);
  __syncthreads();
#pragma unroll 1
  for (int r = 0; r < 4; ++r) {
    if (down + r * 32 < high) {
      const auto x0_w = tile_get<Tile<1, 128, 128>, 16>(x0_tile, down + r * 32, across);
      u8 y0_e[16];
#pragma unroll
      for (int e = 0; e < 16; ++e) {
        const u8 code = get_u8(x0_w, e);
        y0_e[e] = table0[code];
      }
      const auto y0_w = pack_8(y0_e);
      store<16, 16>(y0 + y0_at + r * 32 * y0_s1 + column, y0_w);
    }
  }
}
