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

// Each thread computes 8 adjacent elements in row-major order.
extern "C" __global__ void __launch_bounds__(128)
pw_silu_flat_39dc037bfc(
    const f16* __restrict__ x0,
    f16* __restrict__ y0,
    const idx count) {
  const idx first = ((idx)blockIdx.x * 128u + threadIdx.x) * 8u;
  if (first >= count) return;
  const auto x0_w = load_once<16, 16>(x0 + first);
  float y0_e[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    const float x0_e = get_f16(x0_w, e);
    const float v0_silu = pw_fast_silu(x0_e);
    y0_e[e] = v0_silu;
  }
  const auto y0_w = pack_f16(y0_e);
  store_once<16, 16>(y0 + first, y0_w);
}
