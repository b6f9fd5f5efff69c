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

template <int V, typename T>
__device__ __forceinline__ Words<V> pack_32(const T (&y)[V]) {
  Words<V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) r.w[i] = (u32)y[i];
  return r;
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

__device__ __forceinline__ u32 mul_f16x2(u32 a, u32 b) {
  u32 r;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

typedef u32 idx;
typedef i32 off;

// Each thread computes 8 elements along the innermost axis of 2 successive rows.
extern "C" __global__ void __launch_bounds__(256)
pw_mul_rows_5bd28eceea(
    const f16* __restrict__ x0,
    const f16* __restrict__ x1,
    f16* __restrict__ y0,
    const idx columns,
    const u32 columns_mul,
    const u32 columns_shift,
    const idx rows,
    const off y0_s0) {
  const idx place = (idx)blockIdx.x * 256u + threadIdx.x;
  const idx group = divide(place, columns_mul, columns_shift);
  const idx column = (place - group * columns) * 8u;
  const idx row = group * 2u;
  if (row >= rows) return;
  const idx i0 = row;
  const off x0_at = (off)i0;
  const off x1_at = 0;
  const off y0_at = (off)i0 * y0_s0;
  Words<1> x0_w[2];
  const auto x1_w = load<16, 16>(x1 + x1_at + column);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    x0_w[r] = load<2, 2>(x0 + x0_at + r);
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    u32 y0_e[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const u32 x0_e = both_halves(x0_w[r]);
      const u32 x1_e = get_pair(x1_w, e);
      const u32 v0_mul = mul_f16x2(x0_e, x1_e);
      y0_e[e] = v0_mul;
    }
    const auto y0_w = pack_32(y0_e);
    store_once<16, 16>(y0 + y0_at + r * y0_s0 + column, y0_w);
  }
}
