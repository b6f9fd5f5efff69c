// What kernels with a matrix product are built of: copies to shared memory that arrive later, tensor-core fragments and instructions.
// Items as in device.cuh.

// Where a pointer into shared memory points, as the instructions for shared memory take it.
__device__ __forceinline__ u32 shared_address(const void* p) {
  return (u32)__cvta_generic_to_shared(p);
}

// The place of 16-byte piece `piece` of a row of PIECES: permuted from row to row, so that the same piece of eight successive rows
// lies in eight different banks' lines, which `ldmatrix` reads at once.
template <int PIECES>
__device__ __forceinline__ u32 swizzled(u32 row, u32 piece) {
  if constexpr (PIECES >= 8) return row * PIECES + (piece ^ (row & 7u));
  if constexpr (PIECES == 4) return row * PIECES + (piece ^ (row >> 1 & 3u));
  if constexpr (PIECES == 2) return row * PIECES + (piece ^ (row >> 2 & 1u));
  return row * PIECES + piece;
}

// The same for wgmma, whose rows have at most eight pieces: those beyond lie in the next atom, behind all ROWS rows of this one.
template <int PIECES, int ROWS>
__device__ __forceinline__ u32 in_atoms(u32 row, u32 piece) {
  static_assert(PIECES > 8, "one atom");
  return piece / 8u * (ROWS * 8u) + swizzled<8>(row, piece % 8u);
}

template <int BYTES>
__device__ __forceinline__ void put_shared(u32 to, const Words<BYTES / 4>& x) {
  if constexpr (BYTES == 16)
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" :: "r"(to), "r"(x.w[0]), "r"(x.w[1]), "r"(x.w[2]), "r"(x.w[3]) : "memory");
  if constexpr (BYTES == 8) asm volatile("st.shared.v2.b32 [%0], {%1, %2};" :: "r"(to), "r"(x.w[0]), "r"(x.w[1]) : "memory");
  if constexpr (BYTES == 4) asm volatile("st.shared.b32 [%0], %1;" :: "r"(to), "r"(x.w[0]) : "memory");
}

// A pixel of N words: 1, 2 or a multiple of 4.
template <int N>
__device__ __forceinline__ void put_pixel(u32 to, const Words<N>& x) {
  if constexpr (N <= 2) {
    put_shared<4 * N>(to, x);
  } else {
#pragma unroll
    for (int i = 0; i < N; i += 4) put_shared<16>(to + i * 4u, {x.w[i], x.w[i + 1], x.w[i + 2], x.w[i + 3]});
  }
}

// Pixels of CHANNELS elements of SIZE bytes, one behind the other, as pixels of PIXEL bytes that end in zeros.
template <int CHANNELS, int SIZE, int PIXEL, int N>
__device__ __forceinline__ Words<N * PIXEL / (CHANNELS * SIZE)> spread(const Words<N>& x) {
  Words<N * PIXEL / (CHANNELS * SIZE)> r = {};
#pragma unroll
  for (int i = 0; i < 4 * N / SIZE; ++i) {
    const int from = i * SIZE, to = i / CHANNELS * PIXEL + i % CHANNELS * SIZE;
    const u32 element = x.w[from / 4] >> (8 * (from % 4)) & (SIZE == 1 ? 0xffu : 0xffffu);
    r.w[to / 4] |= element << (8 * (to % 4));
  }
  return r;
}

// Copies the first `live` of BYTES bytes to shared memory and puts zeros behind them. They are there after wait_copies; both
// addresses are multiples of BYTES.
template <int BYTES>
__device__ __forceinline__ void copy_async(u32 to, const void* from, u32 live) {
#if __CUDA_ARCH__ >= 800
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(__cvta_generic_to_global(from)), "r"(live));
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" :: "r"(to), "l"(__cvta_generic_to_global(from)), "n"(BYTES), "r"(live));
#else
  Words<BYTES / 4> x = {};
  if (live == BYTES) {
    x = load<BYTES, BYTES>(from);
  } else {
#pragma unroll 1
    for (u32 i = 0; i < live; ++i) {
      const u32 byte = (u32)__ldca((const u8*)from + i) << (8u * (i % 4u));
#pragma unroll
      for (int w = 0; w < BYTES / 4; ++w) x.w[w] |= i / 4u == w ? byte : 0u;
    }
  }
  put_shared<BYTES>(to, x);
#endif
}

// Calls the line of memory with an address into the multiprocessor's cache.
__device__ __forceinline__ void prefetch(const void* p) {
  asm volatile("prefetch.global.L1 [%0];" :: "l"(__cvta_generic_to_global(p)));
}

// Closes a group of copies.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the last N groups of the thread's copies have arrived.
template <int N>
__device__ __forceinline__ void wait_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

// Element e of a vector of elements of SIZE bytes, from memory, into words that hold zero there.
template <int SIZE, int N>
__device__ __forceinline__ void fetch_element(Words<N>& x, int e, const void* p) {
  if constexpr (SIZE == 1) x.w[e / 4] |= (u32)__ldca((const u8*)p) << (8 * (e % 4));
  if constexpr (SIZE == 2) x.w[e / 2] |= (u32)__ldca((const u16*)p) << (16 * (e % 2));
  if constexpr (SIZE == 4) x.w[e] = __ldca((const u32*)p);
}

// Four 8x8 matrices of 16-bit elements, or of pairs of bytes; lane 8 * i + r has the address of row r of matrix i.
__device__ __forceinline__ void load_matrices(u32 (&x)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(from));
}

// The same, each matrix transposed.
__device__ __forceinline__ void load_transposed(u32 (&x)[4], u32 from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(from));
}

// c += a * b for a of 16x16 and b of 16x8 elements.
__device__ __forceinline__ void mma_f16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

__device__ __forceinline__ void mma_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  // No such instruction: each lane collects the row and the columns of its four sums.
  const u32 lane = threadIdx.x % 32u;
#pragma unroll
  for (int pair = 0; pair < 8; ++pair) {
    const u32 b = pair < 4 ? b0 : b1;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const u32 x = __shfl_sync(0xffffffffu, a[pair / 4 * 2 + i / 2], (lane & 28u) + pair % 4);
      const u32 y = __shfl_sync(0xffffffffu, b, lane % 4u * 8u + i % 2 * 4 + pair % 4);
      c[i] = fmaf(__uint_as_float(x << 16), __uint_as_float(y << 16), c[i]);
      c[i] = fmaf(__uint_as_float(x & 0xffff0000u), __uint_as_float(y & 0xffff0000u), c[i]);
    }
  }
#endif
}

// c += a * b for a of 16x32 and b of 32x8 codes, each signed or not.
template <bool A_SIGNED, bool B_SIGNED>
__device__ __forceinline__ void mma_codes(i32 (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
#define MMA(A, B) asm("mma.sync.aligned.m16n8k32.row.col.s32." A "." B ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
#else
#define HALF(A, B, I, X, Y) asm("mma.sync.aligned.m8n8k16.row.col.s32." A "." B ".s32 {%0, %1}, {%2}, {%3}, {%0, %1};" \
      : "+r"(c[I]), "+r"(c[I + 1]) : "r"(X), "r"(Y))
#define MMA(A, B) HALF(A, B, 0, a[0], b0); HALF(A, B, 0, a[2], b1); HALF(A, B, 2, a[1], b0); HALF(A, B, 2, a[3], b1)
#endif
  if constexpr (A_SIGNED && B_SIGNED) { MMA("s8", "s8"); }
  if constexpr (A_SIGNED && !B_SIGNED) { MMA("s8", "u8"); }
  if constexpr (!A_SIGNED && B_SIGNED) { MMA("u8", "s8"); }
  if constexpr (!A_SIGNED && !B_SIGNED) { MMA("u8", "u8"); }
}

// wgmma reads shared memory past the caches' ordinary order: what the thread wrote there, or copied there and waited for, is in place for it
// after this and a barrier.
__device__ __forceinline__ void fence_for_wgmma() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Orders the accumulators' registers before the multiplications that follow.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// Closes a group of multiplications.
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until all but the last N groups of multiplications are done: with their accumulators and with their factors in shared memory.
template <int N>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}

// Keeps reads of the accumulators behind a wait that the compiler does not know to be about them.
template <int I, int J>
__device__ __forceinline__ void settle(float (&c)[I][J][4]) {
#pragma unroll
  for (int i = 0; i < 4 * I * J; ++i) asm volatile("" : "+f"(c[i / (4 * J)][i / 4 % J][i % 4]) :: "memory");
}
template <int I, int J>
__device__ __forceinline__ void settle(i32 (&c)[I][J][4]) {
#pragma unroll
  for (int i = 0; i < 4 * I * J; ++i) asm volatile("" : "+r"(c[i / (4 * J)][i / 4 % J][i % 4]) :: "memory");
}

// What the driver's cuTensorMapEncodeTiled makes of a matrix in memory; kernels only pass its address on.
struct TensorMap {
  __align__(128) u64 words[16];
};

// Prepares a barrier in shared memory on which `arrivals` arrivals, and all bytes expected, end a phase.
__device__ __forceinline__ void init_barrier(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(arrivals) : "memory");
}

// Shows prepared barriers to the copy engine.
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}

// Arrives, and has the phase last until so many bytes are copied.
__device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}

// Waits until a barrier's phase of parity `parity` is over. A fresh barrier counts as behind a phase of parity 1.
__device__ __forceinline__ void wait_barrier(u32 barrier, u32 parity) {
  u32 over = 0u;
  while (over == 0u) {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(over) : "r"(barrier), "r"(parity) : "memory");
  }
}

// Has the tile of a matrix that begins at element x of line y copied to shared memory, with zeros for what lies outside.
__device__ __forceinline__ void copy_tile(u32 to, const TensorMap* map, u32 x, u32 y, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
      :: "r"(to), "l"(map), "r"(x), "r"(y), "r"(barrier) : "memory");
}

// True in one thread of the warp.
__device__ __forceinline__ bool elected() {
  u32 x;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(x));
  return x != 0u;
}

// From here on a thread of these four warps has N registers: fewer, or more, once others have given theirs.
template <int N>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N));
}
template <int N>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N));
}

// N adjacent accumulators from shared memory.
template <int N>
__device__ __forceinline__ Words<N> load_staged(const void* p) {
  Words<N> x;
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N / 4; ++i) {
      const uint4 v = ((const uint4*)p)[i];
      x.w[4 * i] = v.x, x.w[4 * i + 1] = v.y, x.w[4 * i + 2] = v.z, x.w[4 * i + 3] = v.w;
    }
  } else if constexpr (N % 2 == 0) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const uint2 v = ((const uint2*)p)[i];
      x.w[2 * i] = v.x, x.w[2 * i + 1] = v.y;
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) x.w[i] = ((const u32*)p)[i];
  }
  return x;
}

// Word i, where i is not known when compiling: an array of registers can't be indexed.
template <int N>
__device__ __forceinline__ u32 word_at(const Words<N>& x, int i) {
  u32 r = 0u;
#pragma unroll
  for (int w = 0; w < N; ++w) r = w == i ? x.w[w] : r;
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
