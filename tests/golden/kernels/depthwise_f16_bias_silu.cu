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

// The same from registers.
template <int N>
__device__ __forceinline__ Words<N> words_of(const float (&x)[N]) {
  Words<N> r;
#pragma unroll
  for (int i = 0; i < N; ++i) r.w[i] = __float_as_uint(x[i]);
  return r;
}
template <int N>
__device__ __forceinline__ Words<N> words_of(const i32 (&x)[N]) {
  Words<N> r;
#pragma unroll
  for (int i = 0; i < N; ++i) r.w[i] = (u32)x[i];
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

// Each thread sums 8 adjacent channels of one pixel.
extern "C" __global__ void __launch_bounds__(128)
pw_depthwise_cast_cast_add_silu_etc_c2f066c65f(
    const f16* __restrict__ a,
    const f16* __restrict__ b,
    const f16* __restrict__ x0,
    f16* __restrict__ y0,
    const idx vectors,
    const u32 vectors_mul,
    const u32 vectors_shift,
    const idx rows,
    const idx inner,
    const off pitch,
    const idx out1,
    const u32 out1_mul,
    const u32 out1_shift,
    const off stride1,
    const off before1,
    const off in1,
    const off taps1,
    const off dilation1,
    const idx out0,
    const u32 out0_mul,
    const u32 out0_shift,
    const off stride0,
    const off before0,
    const off in0,
    const off taps0,
    const off dilation0,
    const off taps,
    const off y0_s0) {
  const idx place = (idx)blockIdx.x * 128u + threadIdx.x;
  const idx row = divide(place, vectors_mul, vectors_shift);
  const idx column = (place - row * vectors) * 8u;
  if (row >= rows) return;
  float acc[8] = {};
  const idx image1 = divide(row, out1_mul, out1_shift);
  const off w1 = (off)(row - image1 * out1) * stride1 - before1;
  const idx image0 = divide(image1, out0_mul, out0_shift);
  const off w0 = (off)(image1 - image0 * out0) * stride0 - before0;
  for (off t0 = 0; t0 < taps0; ++t0) {
    const off p0 = w0 + t0 * dilation0;
    for (off t1 = 0; t1 < taps1; ++t1) {
      const off p1 = w1 + t1 * dilation1;
      const bool inside = p0 >= 0 && p0 < in0 && p1 >= 0 && p1 < in1;
      const off at = (((off)image0 * in0 + p0) * in1 + p1) * pitch + (off)column;
      Words<4> x = {};
      if (inside) x = load<16, 16>(a + at);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float y = get_f16(load<2, 2>(b + (off)(column + e) * taps + (t0 * taps1 + t1)), 0);
        acc[e] = fmaf(get_f16(x, e), y, acc[e]);
      }
    }
  }
  const auto acc_w = words_of(acc);
  const idx i0 = row;
  const off x0_at = 0;
  const off y0_at = (off)i0 * y0_s0;
  const auto x0_w = load<16, 16>(x0 + x0_at + column);
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
