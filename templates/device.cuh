// What generated kernels are built of besides the ops' own functions: element types, vectors in registers, conversions, packing.
// The emitter copies the items that a kernel needs. Items are separated by blank lines; nothing is included.

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

struct bf16 { u16 bits; };

struct f8e4m3fn { u8 bits; };

struct f8e4m3fnuz { u8 bits; };

struct f8e5m2 { u8 bits; };

struct f8e5m2fnuz { u8 bits; };

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

// The first `count` of BYTES / SIZE elements of SIZE bytes.
template <int BYTES, int SIZE>
__device__ __forceinline__ void store_some(void* p, const Words<(BYTES + 3) / 4>& r, u32 count) {
#pragma unroll
  for (int e = 0; e < BYTES / SIZE; ++e) {
    u8* const to = (u8*)p + SIZE * e;
    if constexpr (SIZE < 4) {
      const u16 x = (u16)(r.w[e * SIZE / 4] >> (8 * (e * SIZE % 4)));
      if constexpr (SIZE == 1)
        asm volatile("{.reg .pred q; setp.lt.u32 q, %0, %1; @q st.global.u8 [%2], %3;}" ::"r"(e), "r"(count), "l"(to), "h"(x) : "memory");
      else
        asm volatile("{.reg .pred q; setp.lt.u32 q, %0, %1; @q st.global.u16 [%2], %3;}" ::"r"(e), "r"(count), "l"(to), "h"(x) : "memory");
    } else {
#pragma unroll
      for (int i = 0; i < SIZE / 4; ++i)
        asm volatile("{.reg .pred q; setp.lt.u32 q, %0, %1; @q st.global.u32 [%2], %3;}"
                     ::"r"(e), "r"(count), "l"(to + 4 * i), "r"(r.w[e * SIZE / 4 + i]) : "memory");
    }
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

template <typename T, int BYTES>
__device__ __forceinline__ void tile_set(void* tile, u32 row, u32 column, const Words<(BYTES + 3) / 4>& words) {
  store<BYTES, BYTES>((u8*)tile + T::at(row, column), words);
}

// Element e of a vector, in the type that computes it.
template <int N>
__device__ __forceinline__ i8 get_i8(const Words<N>& x, int e) {
  return (i8)(x.w[e / 4] >> (8 * (e % 4)));
}

template <int N>
__device__ __forceinline__ u8 get_u8(const Words<N>& x, int e) {
  return (u8)(x.w[e / 4] >> (8 * (e % 4)));
}

template <int N>
__device__ __forceinline__ bool get_bool(const Words<N>& x, int e) {
  return (x.w[e / 4] >> (8 * (e % 4)) & 0xffu) != 0u;
}

template <int N>
__device__ __forceinline__ i16 get_i16(const Words<N>& x, int e) {
  return (i16)(x.w[e / 2] >> (16 * (e % 2)));
}

template <int N>
__device__ __forceinline__ u16 get_u16(const Words<N>& x, int e) {
  return (u16)(x.w[e / 2] >> (16 * (e % 2)));
}

template <int N>
__device__ __forceinline__ i32 get_i32(const Words<N>& x, int e) {
  return (i32)x.w[e];
}

template <int N>
__device__ __forceinline__ u32 get_u32(const Words<N>& x, int e) {
  return x.w[e];
}

template <int N>
__device__ __forceinline__ u64 get_u64(const Words<N>& x, int e) {
  return (u64)x.w[2 * e + 1] << 32 | x.w[2 * e];
}

template <int N>
__device__ __forceinline__ i64 get_i64(const Words<N>& x, int e) {
  return (i64)get_u64(x, e);
}

template <int N>
__device__ __forceinline__ double get_f64(const Words<N>& x, int e) {
  return __hiloint2double((i32)x.w[2 * e + 1], (i32)x.w[2 * e]);
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

template <int N>
__device__ __forceinline__ float get_bf16(const Words<N>& x, int e) {
  return __uint_as_float(e % 2 == 0 ? x.w[e / 2] << 16 : x.w[e / 2] & 0xffff0000u);
}

// Small integers as floats without a conversion instruction, which runs on the slow unit: the code becomes the low bits of
// 2^23 by a byte permutation, and 2^23 is subtracted. Exact. The constant comes first, where an instruction takes a register only: so
// the selector, which differs from element to element, is the immediate.
template <int N>
__device__ __forceinline__ float get_i8_as_float(const Words<N>& x, int e) {
  const u32 biased = x.w[e / 4] ^ 0x80808080u;
  return __uint_as_float(__byte_perm(0x4b000000u, biased, 0x3004u + e % 4)) - 8388736.0f;
}

template <int N>
__device__ __forceinline__ float get_u8_as_float(const Words<N>& x, int e) {
  return __uint_as_float(__byte_perm(0x4b000000u, x.w[e / 4], 0x3004u + e % 4)) - 8388608.0f;
}

template <int N>
__device__ __forceinline__ float get_i16_as_float(const Words<N>& x, int e) {
  const u32 biased = x.w[e / 2] ^ 0x80008000u;
  return __uint_as_float(__byte_perm(0x4b000000u, biased, e % 2 == 0 ? 0x3054u : 0x3076u)) - 8421376.0f;
}

template <int N>
__device__ __forceinline__ float get_u16_as_float(const Words<N>& x, int e) {
  return __uint_as_float(__byte_perm(0x4b000000u, x.w[e / 2], e % 2 == 0 ? 0x3054u : 0x3076u)) - 8388608.0f;
}

// 8-bit floats. The code's bits are put where a float has them and the exponent's bias is mended by a multiplication, which
// makes denormals normal on the way.
__device__ __forceinline__ float float_of_f8e4m3fn(u32 code) {
  const float magnitude = __uint_as_float((code & 0x7fu) << 20) * 0x1p120f;
  const float x = (code & 0x7fu) == 0x7fu ? __int_as_float(0x7fc00000) : magnitude;
  return (code & 0x80u) != 0u ? -x : x;
}

__device__ __forceinline__ float float_of_f8e4m3fnuz(u32 code) {
  const float magnitude = __uint_as_float((code & 0x7fu) << 20) * 0x1p119f;
  const float x = code == 0x80u ? __int_as_float(0x7fc00000) : magnitude;
  return (code & 0x80u) != 0u ? -x : x;
}

__device__ __forceinline__ float float_of_f8e5m2(u32 code) {
  float r;
  asm("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(r) : "r"(code << 8));
  return r;
}

__device__ __forceinline__ float float_of_f8e5m2fnuz(u32 code) {
  const float magnitude = __uint_as_float((code & 0x7fu) << 21) * 0x1p111f;
  const float x = code == 0x80u ? __int_as_float(0x7fc00000) : magnitude;
  return (code & 0x80u) != 0u ? -x : x;
}

template <int N>
__device__ __forceinline__ float get_f8e4m3fn(const Words<N>& x, int e) {
  return float_of_f8e4m3fn(x.w[e / 4] >> (8 * (e % 4)) & 0xffu);
}

template <int N>
__device__ __forceinline__ float get_f8e4m3fnuz(const Words<N>& x, int e) {
  return float_of_f8e4m3fnuz(x.w[e / 4] >> (8 * (e % 4)) & 0xffu);
}

template <int N>
__device__ __forceinline__ float get_f8e5m2(const Words<N>& x, int e) {
  return float_of_f8e5m2(x.w[e / 4] >> (8 * (e % 4)) & 0xffu);
}

template <int N>
__device__ __forceinline__ float get_f8e5m2fnuz(const Words<N>& x, int e) {
  return float_of_f8e5m2fnuz(x.w[e / 4] >> (8 * (e % 4)) & 0xffu);
}

// x to the nearest float, except that what is inexact gets an odd last bit: a second rounding to at most 22 bits then gives
// what one rounding would have given (Boldo and Melquiond, 2008).
__device__ __forceinline__ float to_odd(double x) {
  const float r = __double2float_rz(x);
  return (double)r == x || x != x ? r : __uint_as_float(__float_as_uint(r) | 1u);
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

__device__ __forceinline__ u32 halves_bf16(float lo, float hi) {
#if __CUDA_ARCH__ >= 800
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
#else
  const u32 a = __float_as_uint(lo), b = __float_as_uint(hi);
  const u32 x = lo != lo ? 0x7fffu : (a + 0x7fffu + (a >> 16 & 1u)) >> 16;
  const u32 y = hi != hi ? 0x7fffu : (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
  return x | y << 16;
#endif
}

__device__ __forceinline__ float round_f16(float x) {
  const Words<1> r = {halves_f16(x, 0.0f)};
  return get_f16(r, 0);
}

__device__ __forceinline__ float round_bf16(float x) {
  return __uint_as_float(halves_bf16(x, 0.0f) << 16);
}

// x on the grid of an 8-bit float with MANTISSA bits, smallest normal exponent EXPONENT and largest value `top`, saturated.
// Adding and subtracting 1.5 * 2^23 units of the grid rounds half to even.
template <int MANTISSA, int EXPONENT>
__device__ __forceinline__ float round_f8(float x, float top) {
  const float clamped = fminf(fmaxf(x, -top), top);
  const u32 binade = max(__float_as_uint(clamped) & 0x7f800000u, (u32)(127 + EXPONENT) << 23);
  const float magic = __uint_as_float(binade + ((u32)(23 - MANTISSA) << 23) | 0x400000u);
  const float rounded = __fsub_rn(__fadd_rn(clamped, magic), magic);
  return x != x ? x : copysignf(rounded, x);
}

__device__ __forceinline__ float round_f8e4m3fn(float x) {
  return round_f8<3, -6>(x, 448.0f);
}

// These two formats have no negative zero.
__device__ __forceinline__ float round_f8e4m3fnuz(float x) {
  return round_f8<3, -7>(x, 240.0f) + 0.0f;
}

__device__ __forceinline__ float round_f8e5m2(float x) {
  return round_f8<2, -14>(x, 57344.0f);
}

__device__ __forceinline__ float round_f8e5m2fnuz(float x) {
  return round_f8<2, -15>(x, 57344.0f) + 0.0f;
}

// The same, except that what is beyond the largest value becomes infinity, or NaN where the format has none.
__device__ __forceinline__ float round_f8e4m3fn_unsaturated(float x) {
  const float r = round_f8<3, -6>(x, 0x1p30f);
  return fabsf(r) <= 448.0f ? r : __int_as_float(0x7fc00000);
}

__device__ __forceinline__ float round_f8e4m3fnuz_unsaturated(float x) {
  const float r = round_f8<3, -7>(x, 0x1p30f) + 0.0f;
  return fabsf(r) <= 240.0f ? r : __int_as_float(0x7fc00000);
}

__device__ __forceinline__ float round_f8e5m2_unsaturated(float x) {
  const float r = round_f8<2, -14>(x, 0x1p30f);
  return fabsf(r) > 57344.0f ? copysignf(__int_as_float(0x7f800000), x) : r;
}

__device__ __forceinline__ float round_f8e5m2fnuz_unsaturated(float x) {
  const float r = round_f8<2, -15>(x, 0x1p30f) + 0.0f;
  return fabsf(r) <= 57344.0f ? r : __int_as_float(0x7fc00000);
}

// The codes of values that are already on the grid.
__device__ __forceinline__ u32 code_of_f8e4m3fn(float x) {
  const u32 sign = __float_as_uint(x) >> 24 & 0x80u;
  return x != x ? 0x7fu : sign | __float_as_uint(fabsf(x) * 0x1p-120f) >> 20;
}

__device__ __forceinline__ u32 code_of_f8e4m3fnuz(float x) {
  const u32 code = __float_as_uint(x) >> 24 & 0x80u | __float_as_uint(fabsf(x) * 0x1p-119f) >> 20;
  return x != x ? 0x80u : x == 0.0f ? 0u : code;
}

__device__ __forceinline__ u32 code_of_f8e5m2(float x) {
  const u32 sign = __float_as_uint(x) >> 24 & 0x80u;
  return x != x ? 0x7eu : sign | (halves_f16(fabsf(x), 0.0f) >> 8);
}

__device__ __forceinline__ u32 code_of_f8e5m2fnuz(float x) {
  const u32 code = __float_as_uint(x) >> 24 & 0x80u | __float_as_uint(fabsf(x) * 0x1p-111f) >> 21;
  return x != x ? 0x80u : x == 0.0f ? 0u : code;
}

// Quantization. A code is carried as an integral float, not yet saturated: packing saturates for free. Beyond 2^22 it is only
// near the true quotient, which every code type saturates alike. NaN becomes the zero point.

// The float nearest integer, half to even, for |x| < 2^22.
__device__ __forceinline__ float nearest(float x) {
  return __fsub_rn(__fadd_rn(x, 12582912.0f), 12582912.0f);
}

__device__ __forceinline__ float number(float k) {
  return k != k ? 0.0f : k;
}

// Negative where two numbers, saturated, round to the same integer.
__device__ __forceinline__ float apart(float a, float b, float low, float high) {
  const float x = nearest(fminf(fmaxf(a, low), high)), y = nearest(fminf(fmaxf(b, low), high));
  return fabsf(x - y) - 0.5f;
}

// Whether any element of two vectors differs.
template <int N>
__device__ __forceinline__ bool differ(const Words<N>& x, const Words<N>& y) {
  u32 r = 0u;
#pragma unroll
  for (int i = 0; i < N; ++i) r |= x.w[i] ^ y.w[i];
  return r != 0u;
}

// Which of V elements of SIZE bytes differ: bit 31 - e stands for element e.
template <int V, int SIZE, int N>
__device__ __forceinline__ u32 differences(const Words<N>& x, const Words<N>& y) {
  constexpr int PER = 4 / SIZE;
  u32 r = 0u;
#pragma unroll
  for (int e = 0; e < V; ++e) {
    const u32 d = (x.w[e / PER] ^ y.w[e / PER]) >> (8 * SIZE * (e % PER)) & (SIZE == 1 ? 0xffu : 0xffffu);
    if (d != 0u) r |= 0x80000000u >> e;
  }
  return r;
}

// The nearest integer to x / scale, half to even, exactly. k comes from the rounded inverse and is off by one at most; the
// remainder x - k * scale is exact (k * scale is within half a scale of x), and tells.
__device__ __forceinline__ float quotient(float x, float scale, float inverse) {
  float k = nearest(x * inverse);
  const float twice = 2.0f * fmaf(-k, scale, x);
  if (fabsf(twice) >= fabsf(scale)) {
    const float next = k + ((twice < 0.0f) == (scale < 0.0f) ? 1.0f : -1.0f);
    if (fabsf(twice) > fabsf(scale) || ((i32)k & 1) != 0) k = next;
  }
  return k;
}

// The same for scales whose inverse or remainders leave the range of floats, and for doubles.
__device__ __forceinline__ float quotient_wide(double x, double scale) {
  return (float)fmin(fmax(rint(x / scale), -0x1p22), 0x1p22);
}

// NaN passes through fmin and fmax as a bound: keep it, and that of zero by zero.
__device__ __forceinline__ float quotient_or_nan(double x, double scale) {
  const double ratio = x / scale;
  return ratio != ratio ? __int_as_float(0x7fc00000) : quotient_wide(x, scale);
}

// x / scale rounded to odd (see to_odd), so that rounding it to 8 bits rounds once.
__device__ __forceinline__ float quotient_odd(double x, double scale) {
  return to_odd(x / scale);
}

__device__ __forceinline__ u32 saturate_pack_i8(float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 860
  // The pairs of conversions and packings become one F2IP each, off the slow unit.
  u32 r;
  asm("{.reg .s32 a, b, c, d; .reg .b32 hi; cvt.rni.s32.f32 a, %1; cvt.rni.s32.f32 b, %2; cvt.rni.s32.f32 c, %3; "
      "cvt.rni.s32.f32 d, %4; cvt.pack.sat.s8.s32.b32 hi, d, c, 0; cvt.pack.sat.s8.s32.b32 %0, b, a, hi;}"
      : "=r"(r) : "f"(a), "f"(b), "f"(c), "f"(d));
  return r;
#else
  // The code is in the low bits of 1.5 * 2^23 plus itself.
  const u32 x = __float_as_uint(fminf(fmaxf(number(a), -128.0f), 127.0f) + 12582912.0f);
  const u32 y = __float_as_uint(fminf(fmaxf(number(b), -128.0f), 127.0f) + 12582912.0f);
  const u32 z = __float_as_uint(fminf(fmaxf(number(c), -128.0f), 127.0f) + 12582912.0f);
  const u32 w = __float_as_uint(fminf(fmaxf(number(d), -128.0f), 127.0f) + 12582912.0f);
  return __byte_perm(__byte_perm(x, y, 0x0040u), __byte_perm(z, w, 0x0040u), 0x5410u);
#endif
}

__device__ __forceinline__ u32 saturate_pack_u8(float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 860
  u32 r;
  asm("{.reg .s32 a, b, c, d; .reg .b32 hi; cvt.rni.s32.f32 a, %1; cvt.rni.s32.f32 b, %2; cvt.rni.s32.f32 c, %3; "
      "cvt.rni.s32.f32 d, %4; cvt.pack.sat.u8.s32.b32 hi, d, c, 0; cvt.pack.sat.u8.s32.b32 %0, b, a, hi;}"
      : "=r"(r) : "f"(a), "f"(b), "f"(c), "f"(d));
  return r;
#else
  const u32 x = __float_as_uint(fminf(fmaxf(a, 0.0f), 255.0f) + 12582912.0f);
  const u32 y = __float_as_uint(fminf(fmaxf(b, 0.0f), 255.0f) + 12582912.0f);
  const u32 z = __float_as_uint(fminf(fmaxf(c, 0.0f), 255.0f) + 12582912.0f);
  const u32 w = __float_as_uint(fminf(fmaxf(d, 0.0f), 255.0f) + 12582912.0f);
  return __byte_perm(__byte_perm(x, y, 0x0040u), __byte_perm(z, w, 0x0040u), 0x5410u);
#endif
}

__device__ __forceinline__ u32 saturate_pack_i16(float a, float b) {
  const u32 x = __float_as_uint(fminf(fmaxf(number(a), -32768.0f), 32767.0f) + 12582912.0f);
  const u32 y = __float_as_uint(fminf(fmaxf(number(b), -32768.0f), 32767.0f) + 12582912.0f);
  return __byte_perm(x, y, 0x5410u);
}

__device__ __forceinline__ u32 saturate_pack_u16(float a, float b) {
  const u32 x = __float_as_uint(fminf(fmaxf(a, 0.0f), 65535.0f) + 12582912.0f);
  const u32 y = __float_as_uint(fminf(fmaxf(b, 0.0f), 65535.0f) + 12582912.0f);
  return __byte_perm(x, y, 0x5410u);
}

// q * scale, rounded once, or nearly. A float holds 24 bits of an integer; a larger one goes in two halves, the low one nearest to zero.
__device__ __forceinline__ float scale_i32(i32 q, float scale) {
  const float whole = (float)q * scale;
  const i32 high = (q >> 16) + ((q >> 15) & 1);
  const i32 low = (i32)((u32)q - ((u32)high << 16));
  const float halves = fmaf((float)high * 65536.0f, scale, (float)low * scale);
  // An infinite scale would cancel itself between the halves.
  return (u32)q + 16777216u > 33554432u && fabsf(whole) < __int_as_float(0x7f800000) ? halves : whole;
}

// (q - zero) * scale, likewise.
__device__ __forceinline__ float scale_difference(i32 q, i32 zero, float scale) {
  const i32 d = (i32)((u32)q - (u32)zero);
  if (((q ^ zero) & (q ^ d)) < 0) return (float)(((double)q - (double)zero) * (double)scale);
  return scale_i32(d, scale);
}

// A vector's elements into the words that memory has.
template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_code_i8(const float (&y)[V]) {
  Words<(V + 3) / 4> r;
#pragma unroll
  for (int i = 0; i < V; i += 4)
    r.w[i / 4] = saturate_pack_i8(y[i], i + 1 < V ? y[i + 1] : 0.0f, i + 2 < V ? y[i + 2] : 0.0f, i + 3 < V ? y[i + 3] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_code_u8(const float (&y)[V]) {
  Words<(V + 3) / 4> r;
#pragma unroll
  for (int i = 0; i < V; i += 4)
    r.w[i / 4] = saturate_pack_u8(y[i], i + 1 < V ? y[i + 1] : 0.0f, i + 2 < V ? y[i + 2] : 0.0f, i + 3 < V ? y[i + 3] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_code_i16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = saturate_pack_i16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_code_u16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = saturate_pack_u16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_f16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = halves_f16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_bf16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = halves_bf16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

template <int V>
__device__ __forceinline__ Words<V> pack_f32(const float (&y)[V]) {
  Words<V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) r.w[i] = __float_as_uint(y[i]);
  return r;
}

template <int V>
__device__ __forceinline__ Words<2 * V> pack_f64(const double (&y)[V]) {
  Words<2 * V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    r.w[2 * i] = (u32)__double2loint(y[i]);
    r.w[2 * i + 1] = (u32)__double2hiint(y[i]);
  }
  return r;
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

template <int V, typename T>
__device__ __forceinline__ Words<(V + 1) / 2> pack_16(const T (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = __byte_perm((u32)y[i], i + 1 < V ? (u32)y[i + 1] : 0u, 0x5410u);
  return r;
}

template <int V, typename T>
__device__ __forceinline__ Words<V> pack_32(const T (&y)[V]) {
  Words<V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) r.w[i] = (u32)y[i];
  return r;
}

template <int V, typename T>
__device__ __forceinline__ Words<2 * V> pack_64(const T (&y)[V]) {
  Words<2 * V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    r.w[2 * i] = (u32)(u64)y[i];
    r.w[2 * i + 1] = (u32)((u64)y[i] >> 32);
  }
  return r;
}

template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_f8e4m3fn(const float (&y)[V]) {
  u32 codes[V];
#pragma unroll
  for (int i = 0; i < V; ++i) codes[i] = code_of_f8e4m3fn(y[i]);
  return pack_8(codes);
}

template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_f8e4m3fnuz(const float (&y)[V]) {
  u32 codes[V];
#pragma unroll
  for (int i = 0; i < V; ++i) codes[i] = code_of_f8e4m3fnuz(y[i]);
  return pack_8(codes);
}

template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_f8e5m2(const float (&y)[V]) {
  u32 codes[V];
#pragma unroll
  for (int i = 0; i < V; ++i) codes[i] = code_of_f8e5m2(y[i]);
  return pack_8(codes);
}

template <int V>
__device__ __forceinline__ Words<(V + 3) / 4> pack_f8e5m2fnuz(const float (&y)[V]) {
  u32 codes[V];
#pragma unroll
  for (int i = 0; i < V; ++i) codes[i] = code_of_f8e5m2fnuz(y[i]);
  return pack_8(codes);
}

// Two 16-bit floats in a word, which an instruction computes at a time.
template <int N>
__device__ __forceinline__ u32 get_pair(const Words<N>& x, int e) {
  return x.w[e];
}

template <int N>
__device__ __forceinline__ u32 both_halves(const Words<N>& x) {
  return __byte_perm(x.w[0], x.w[0], 0x1010u);
}

__device__ __forceinline__ u32 neg_x2(u32 a) {
  return a ^ 0x80008000u;
}

__device__ __forceinline__ u32 abs_x2(u32 a) {
  return a & 0x7fff7fffu;
}

// The larger of two floats, or NaN.
__device__ __forceinline__ float larger(float a, float b) {
  return a != a || b != b ? a + b : fmaxf(a, b);
}

__device__ __forceinline__ float smaller(float a, float b) {
  return a != a || b != b ? a + b : fminf(a, b);
}

// Rounded once, and never contracted to a fused multiply-add.
__device__ __forceinline__ u32 add_f16x2(u32 a, u32 b) {
  u32 r;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

__device__ __forceinline__ u32 sub_f16x2(u32 a, u32 b) {
  u32 r;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

__device__ __forceinline__ u32 mul_f16x2(u32 a, u32 b) {
  u32 r;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

__device__ __forceinline__ u32 add_bf16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 900
  u32 r;
  asm("add.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {get_bf16(x, 0) + get_bf16(y, 0), get_bf16(x, 1) + get_bf16(y, 1)};
  return pack_bf16(r).w[0];
#endif
}

__device__ __forceinline__ u32 sub_bf16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 900
  u32 r;
  asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {get_bf16(x, 0) - get_bf16(y, 0), get_bf16(x, 1) - get_bf16(y, 1)};
  return pack_bf16(r).w[0];
#endif
}

__device__ __forceinline__ u32 mul_bf16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 900
  u32 r;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {get_bf16(x, 0) * get_bf16(y, 0), get_bf16(x, 1) * get_bf16(y, 1)};
  return pack_bf16(r).w[0];
#endif
}

__device__ __forceinline__ u32 max_f16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 800
  u32 r;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {larger(get_f16(x, 0), get_f16(y, 0)), larger(get_f16(x, 1), get_f16(y, 1))};
  return pack_f16(r).w[0];
#endif
}

__device__ __forceinline__ u32 min_f16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 800
  u32 r;
  asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {smaller(get_f16(x, 0), get_f16(y, 0)), smaller(get_f16(x, 1), get_f16(y, 1))};
  return pack_f16(r).w[0];
#endif
}

__device__ __forceinline__ u32 max_bf16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 800
  u32 r;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {larger(get_bf16(x, 0), get_bf16(y, 0)), larger(get_bf16(x, 1), get_bf16(y, 1))};
  return pack_bf16(r).w[0];
#endif
}

__device__ __forceinline__ u32 min_bf16x2(u32 a, u32 b) {
#if __CUDA_ARCH__ >= 800
  u32 r;
  asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
#else
  const Words<1> x = {{a}}, y = {{b}};
  const float r[2] = {smaller(get_bf16(x, 0), get_bf16(y, 0)), smaller(get_bf16(x, 1), get_bf16(y, 1))};
  return pack_bf16(r).w[0];
#endif
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

// For a scale that is known at run time only.
__device__ __forceinline__ float quotient_by(float x, float scale) {
  const float size = fabsf(scale);
  return size > 0x1p-100f && size < 0x1p100f ? quotient(x, scale, __frcp_rn(scale)) : quotient_or_nan(x, scale);
}

// As load of one element, for what the kernel itself writes: not by the path for what never changes.
template <int BYTES>
__device__ __forceinline__ Words<(BYTES + 3) / 4> again(const void* p) {
  Words<(BYTES + 3) / 4> r = {};
  if constexpr (BYTES == 1) r.w[0] = *(const u8*)p;
  if constexpr (BYTES == 2) r.w[0] = *(const u16*)p;
  if constexpr (BYTES == 4) r.w[0] = *(const u32*)p;
  if constexpr (BYTES == 8) {
    const uint2 v = *(const uint2*)p;
    r.w[0] = v.x, r.w[1] = v.y;
  }
  return r;
}

// The cubic convolution kernel of parameter `a` at distance x (R. Keys, 1981).
__device__ __forceinline__ float cubic(float x, float a) {
  if (x <= 1.0f) return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
  return x < 2.0f ? ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a : 0.0f;
}
