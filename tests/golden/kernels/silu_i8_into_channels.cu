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

typedef u32 idx;
typedef i32 off;

// Each thread computes 16 elements along the innermost axis.
extern "C" __global__ void __launch_bounds__(128)
pw_table_i8_i8_rows_8c9915107c(
    const i8* __restrict__ x0,
    i8* __restrict__ y0,
    const uint4* __restrict__ table,
    const idx columns,
    const u32 columns_mul,
    const u32 columns_shift,
    const idx rows,
    const off x0_s0,
    const off y0_s0) {
  const idx place = (idx)blockIdx.x * 128u + threadIdx.x;
  const idx group = divide(place, columns_mul, columns_shift);
  const idx column = (place - group * columns) * 16u;
  const idx row = group;
  const bool inside = row < rows;
  // Each block's copy of the table arrives while its elements do.
  __shared__ uint4 staged[16];
  uint4 piece = {};
  if (threadIdx.x < 16u) piece = __ldg(table + threadIdx.x);
  const idx i0 = row;
  const off x0_at = (off)i0 * x0_s0;
  const off y0_at = (off)i0 * y0_s0;
  Words<4> x0_w;
  if (inside) {
    x0_w = load<16, 16>(x0 + x0_at + column);
  }
  if (threadIdx.x < 16u) staged[threadIdx.x] = piece;
  __syncthreads();
  if (!inside) return;
  const u8* const table0 = (const u8*)(staged + 0);
  u8 y0_e[16];
#pragma unroll
  for (int e = 0; e < 16; ++e) {
    const u8 code = get_u8(x0_w, e);
    y0_e[e] = table0[code];
  }
  const auto y0_w = pack_8(y0_e);
  store<16, 16>(y0 + y0_at + column, y0_w);
}
