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

struct bf16 { u16 bits; };

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

template <int N>
__device__ __forceinline__ float get_bf16(const Words<N>& x, int e) {
  return __uint_as_float(e % 2 == 0 ? x.w[e / 2] << 16 : x.w[e / 2] & 0xffff0000u);
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

template <int V>
__device__ __forceinline__ Words<(V + 1) / 2> pack_bf16(const float (&y)[V]) {
  Words<(V + 1) / 2> r;
#pragma unroll
  for (int i = 0; i < V; i += 2) r.w[i / 2] = halves_bf16(y[i], i + 1 < V ? y[i + 1] : 0.0f);
  return r;
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

typedef u32 idx;
typedef i32 off;

// Each thread computes 8 adjacent elements in row-major order.
extern "C" __global__ void __launch_bounds__(128)
pw_add_flat_75320cb4c2(
    const bf16* __restrict__ x0,
    const bf16* __restrict__ x1,
    bf16* __restrict__ y0,
    const idx count) {
  const idx first = ((idx)blockIdx.x * 128u + threadIdx.x) * 8u;
  if (first >= count) return;
  const u32 live = count - first < 8u ? (u32)(count - first) : 8u;
  Words<4> x0_w;
  const auto x1_w = load<2, 2>(x1);
  if (live == 8u) {
    x0_w = load<16, 16>(x0 + first);
  } else {
    x0_w = load_some<16, 2>(x0 + first, live);
  }
  u32 y0_e[4];
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const u32 x0_e = get_pair(x0_w, e);
    const u32 x1_e = both_halves(x1_w);
    const u32 v0_add = add_bf16x2(x0_e, x1_e);
    y0_e[e] = v0_add;
  }
  const auto y0_w = pack_32(y0_e);
  if (live == 8u) {
    store<16, 16>(y0 + first, y0_w);
  } else {
    store_some<16, 2>(y0 + first, y0_w, live);
  }
}
