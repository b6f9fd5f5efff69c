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
__device__ __forceinline__ double get_f64(const Words<N>& x, int e) {
  return __hiloint2double((i32)x.w[2 * e + 1], (i32)x.w[2 * e]);
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

typedef u32 idx;
typedef i32 off;

// Each thread computes one element in row-major order.
extern "C" __global__ void __launch_bounds__(128)
pw_leaky_relu_flat_39948457b7(
    const f64* __restrict__ x0,
    f64* __restrict__ y0,
    const idx count) {
  const idx first = (idx)blockIdx.x * 128u + threadIdx.x;
  if (first >= count) return;
  const auto x0_w = load<8, 8>(x0 + first);
  double y0_e[1];
  {
    constexpr int e = 0;
    const double x0_e = get_f64(x0_w, e);
    const double v0_leaky_relu = x0_e >= 0 ? x0_e : x0_e * 0.10000000149011612;
    y0_e[e] = v0_leaky_relu;
  }
  const auto y0_w = pack_f64(y0_e);
  store<8, 8>(y0 + first, y0_w);
}
