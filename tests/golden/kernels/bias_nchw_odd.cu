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

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_f16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = halves_f16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
}

typedef u32 idx;
typedef i32 off;

// Each thread computes 8 adjacent elements in row-major order.
extern "C" __global__ void __launch_bounds__(128)
pw_add_flat_98dc9ff7f4(
    const f16* __restrict__ x0,
    const f16* __restrict__ x1,
    f16* __restrict__ y0,
    const idx count,
    const idx d2,
    const u32 d2_mul,
    const u32 d2_shift,
    const idx d1,
    const u32 d1_mul,
    const u32 d1_shift) {
  const idx first = ((idx)blockIdx.x * 128u + threadIdx.x) * 8u;
  if (first >= count) return;
  const auto x0_w = load<16, 16>(x0 + first);
  float y0_e[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    const idx at = first + e;
    const idx q2 = divide(at, d2_mul, d2_shift);
    const idx q1 = divide(q2, d1_mul, d1_shift);
    const idx i1 = q2 - q1 * d1;
    const off x1_at = (off)i1;
    const float x0_e = get_f16(x0_w, e);
    const auto x1_w = load<2, 2>(x1 + x1_at);
    const float x1_e = get_f16(x1_w, 0);
    const float v0_add = x0_e + x1_e;
    y0_e[e] = v0_add;
  }
  const auto y0_w = pack_f16(y0_e);
  store<16, 16>(y0 + first, y0_w);
}
