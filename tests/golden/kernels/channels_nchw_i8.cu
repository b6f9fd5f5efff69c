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

// Each block looks up a part of a channel's row, 4 vectors of 16 elements a thread.
extern "C" __global__ void __launch_bounds__(128)
pw_table_i8_i8_channels_45b973b9a0(
    const i8* __restrict__ x0,
    i8* __restrict__ y0,
    const uint4* __restrict__ table,
    const idx chunks,
    const u32 chunks_mul,
    const u32 chunks_shift,
    const idx channels,
    const u32 channels_mul,
    const u32 channels_shift,
    const idx inner) {
  const idx row = divide((idx)blockIdx.x, chunks_mul, chunks_shift);
  const idx begin = ((idx)blockIdx.x - row * chunks) * 8192u + threadIdx.x * 16u;
  const idx window = row - divide(row, channels_mul, channels_shift) * channels;
  __shared__ uint4 staged[16];
  for (u32 i = threadIdx.x; i < 16u; i += 128u) staged[i] = __ldg(table + window * 16u + i);
  __syncthreads();
  const u8* const table0 = (const u8*)(staged + 0);
#pragma unroll 1
  for (u32 round = 0; round < 4u; round += 2u) {
    Words<4> x0_w[2];
#pragma unroll
    for (u32 s = 0; s < 2u; ++s) {
      const idx at = begin + (round + s) * 2048u;
      const idx first = row * inner + at;
      const bool inside = at < inner;
      if (inside) {
        x0_w[s] = load_once<16, 16>(x0 + first);
      }
    }
#pragma unroll
    for (u32 s = 0; s < 2u; ++s) {
      const idx at = begin + (round + s) * 2048u;
      const idx first = row * inner + at;
      const bool inside = at < inner;
      if (inside) {
        u8 y0_e[16];
#pragma unroll
        for (int e = 0; e < 16; ++e) {
          const u8 code = get_u8(x0_w[s], e);
          y0_e[e] = table0[code];
        }
        const auto y0_w = pack_8(y0_e);
        store_once<16, 16>(y0 + first, y0_w);
      }
    }
  }
}
