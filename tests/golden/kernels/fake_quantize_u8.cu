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

// The float nearest integer, half to even, for |x| < 2^22.
__device__ __forceinline__ float nearest(float x) {
  return __fsub_rn(__fadd_rn(x, 12582912.0f), 12582912.0f);
}

__device__ __forceinline__ float number(float k) {
  return k != k ? 0.0f : k;
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

template <int V>
__device__ __forceinline__ Words<V> pack_f32(const float (&y)[V]) {
  Words<V> r;
#pragma unroll
  for (int i = 0; i < V; ++i) r.w[i] = __float_as_uint(y[i]);
  return r;
}

typedef u32 idx;
typedef i32 off;

// Each thread computes 4 adjacent elements in row-major order.
extern "C" __global__ void __launch_bounds__(128)
pw_quantize_dequantize_flat_c81456de83(
    const f32* __restrict__ x0,
    f32* __restrict__ y0,
    const idx count,
    const float v0_zero,
    const float v0_scale,
    const float v0_inverse,
    const float v1_zero,
    const float v1_scale) {
  const idx first = ((idx)blockIdx.x * 128u + threadIdx.x) * 4u;
  if (first >= count) return;
  const auto x0_w = load<16, 16>(x0 + first);
  float y0_e[4];
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const float x0_e = get_f32(x0_w, e);
    const float v0_quantize = number(quotient(x0_e, v0_scale, v0_inverse)) + v0_zero;
    const float v0_clamped = fminf(fmaxf(v0_quantize, 0.0f), 255.0f);
    const float v1_dequantize = (v0_clamped - v1_zero) * v1_scale;
    y0_e[e] = v1_dequantize;
  }
  const auto y0_w = pack_f32(y0_e);
  store<16, 16>(y0 + first, y0_w);
}
