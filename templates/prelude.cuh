// The device functions that the texts of the op table call (src/op). A kernel gets those it names and those they name: a line
// "//@ name: dependencies" opens each, and src/emit/prelude.rs selects.
//
// No headers are included. CUDA's own math functions (expf, erff, powf, rintf …) are built into NVRTC and, without fast-math
// options, keep denormals.
//
// Errors are against the exact result for the operands given, in ulp of float; "relative" ones count in 2^-24. Those stated are the
// largest that tests/ops/numerics.rs finds, with approximate instructions, which expf and its kin use too, moved to the ends
// of their own errors; the table's bounds are a little wider. pw_fast_* functions are for results stored in 16 or 8 bits: they use
// the approximate instructions of the PTX ISA, which states
//   ex2.approx.ftz.f32   2 ulp (and, as measured, none at integers); results below 2^-126 become 0
//   lg2.approx.f32       2^-22 absolute for x in (0.5, 2), else 2 ulp
//   rcp.approx.f32       1 ulp
//   sqrt.approx.f32, rsqrt.approx.f32   2^-23 and 2^-22.9 relative
//   div.full.f32         2 ulp

// ---- Integers: sums and products wrap, quotients by zero are zero. C leaves signed overflow undefined, so they pass
// ---- through unsigned types. Types narrower than int arrive as int.

//@ pw_add:
__device__ __forceinline__ int pw_add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
__device__ __forceinline__ unsigned pw_add(unsigned a, unsigned b) { return a + b; }
__device__ __forceinline__ long long pw_add(long long a, long long b) {
  return (long long)((unsigned long long)a + (unsigned long long)b);
}
__device__ __forceinline__ unsigned long long pw_add(unsigned long long a, unsigned long long b) { return a + b; }

//@ pw_sub:
__device__ __forceinline__ int pw_sub(int a, int b) { return (int)((unsigned)a - (unsigned)b); }
__device__ __forceinline__ unsigned pw_sub(unsigned a, unsigned b) { return a - b; }
__device__ __forceinline__ long long pw_sub(long long a, long long b) {
  return (long long)((unsigned long long)a - (unsigned long long)b);
}
__device__ __forceinline__ unsigned long long pw_sub(unsigned long long a, unsigned long long b) { return a - b; }

//@ pw_mul:
__device__ __forceinline__ int pw_mul(int a, int b) { return (int)((unsigned)a * (unsigned)b); }
__device__ __forceinline__ unsigned pw_mul(unsigned a, unsigned b) { return a * b; }
__device__ __forceinline__ long long pw_mul(long long a, long long b) {
  return (long long)((unsigned long long)a * (unsigned long long)b);
}
__device__ __forceinline__ unsigned long long pw_mul(unsigned long long a, unsigned long long b) { return a * b; }

//@ pw_prelu: pw_mul
// x, or slope*x below zero.
__device__ __forceinline__ int pw_prelu(int x, int slope) { return x < 0 ? pw_mul(x, slope) : x; }
__device__ __forceinline__ unsigned pw_prelu(unsigned x, unsigned) { return x; }
__device__ __forceinline__ long long pw_prelu(long long x, long long slope) { return x < 0 ? pw_mul(x, slope) : x; }
__device__ __forceinline__ unsigned long long pw_prelu(unsigned long long x, unsigned long long) { return x; }

//@ pw_neg: pw_sub
__device__ __forceinline__ int pw_neg(int x) { return pw_sub(0, x); }
__device__ __forceinline__ long long pw_neg(long long x) { return pw_sub(0ll, x); }

//@ pw_abs: pw_neg
__device__ __forceinline__ int pw_abs(int x) { return x < 0 ? pw_neg(x) : x; }
__device__ __forceinline__ unsigned pw_abs(unsigned x) { return x; }
__device__ __forceinline__ long long pw_abs(long long x) { return x < 0 ? pw_neg(x) : x; }
__device__ __forceinline__ unsigned long long pw_abs(unsigned long long x) { return x; }

//@ pw_div: pw_neg
// Toward zero. Dividing the smallest integer by -1 overflows, so -1 is apart.
__device__ __forceinline__ int pw_div(int a, int b) { return b == 0 ? 0 : b == -1 ? pw_neg(a) : a / b; }
__device__ __forceinline__ unsigned pw_div(unsigned a, unsigned b) { return b == 0 ? 0 : a / b; }
__device__ __forceinline__ long long pw_div(long long a, long long b) {
  return b == 0 ? 0 : b == -1 ? pw_neg(a) : a / b;
}
__device__ __forceinline__ unsigned long long pw_div(unsigned long long a, unsigned long long b) {
  return b == 0 ? 0 : a / b;
}

//@ pw_rem:
// The remainder with the dividend's sign.
__device__ __forceinline__ int pw_rem(int a, int b) { return b == 0 || b == -1 ? 0 : a % b; }
__device__ __forceinline__ unsigned pw_rem(unsigned a, unsigned b) { return b == 0 ? 0 : a % b; }
__device__ __forceinline__ long long pw_rem(long long a, long long b) { return b == 0 || b == -1 ? 0 : a % b; }
__device__ __forceinline__ unsigned long long pw_rem(unsigned long long a, unsigned long long b) {
  return b == 0 ? 0 : a % b;
}

//@ pw_mod: pw_rem
// The remainder with the divisor's sign, as in Python. For floats fmod is exact; adding the divisor rounds once.
__device__ __forceinline__ int pw_mod(int a, int b) {
  int r = pw_rem(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
__device__ __forceinline__ unsigned pw_mod(unsigned a, unsigned b) { return pw_rem(a, b); }
__device__ __forceinline__ long long pw_mod(long long a, long long b) {
  long long r = pw_rem(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
__device__ __forceinline__ unsigned long long pw_mod(unsigned long long a, unsigned long long b) { return pw_rem(a, b); }
__device__ __forceinline__ float pw_mod(float a, float b) {
  float r = fmodf(a, b);
  return r == 0.0f ? copysignf(0.0f, b) : (r < 0.0f) != (b < 0.0f) ? r + b : r;
}
__device__ __forceinline__ double pw_mod(double a, double b) {
  double r = fmod(a, b);
  return r == 0.0 ? copysign(0.0, b) : (r < 0.0) != (b < 0.0) ? r + b : r;
}

//@ pw_floor_div: pw_div pw_rem
// floor(a/b). The rounded quotient may have reached an integer that the exact one does not: then q*b lies beyond a.
// Exact while |q| < 2^24 (2^53); beyond, the quotient is an integer rounded once.
__device__ __forceinline__ int pw_floor_div(int a, int b) {
  int q = pw_div(a, b), r = pw_rem(a, b);
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
__device__ __forceinline__ unsigned pw_floor_div(unsigned a, unsigned b) { return pw_div(a, b); }
__device__ __forceinline__ long long pw_floor_div(long long a, long long b) {
  long long q = pw_div(a, b), r = pw_rem(a, b);
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
__device__ __forceinline__ unsigned long long pw_floor_div(unsigned long long a, unsigned long long b) {
  return pw_div(a, b);
}
__device__ __forceinline__ float pw_floor_div(float a, float b) {
  float q = floorf(a / b);
  float beyond = fmaf(-q, b, a);
  return beyond != 0.0f && fabsf(q) < 16777216.0f && (beyond < 0.0f) != (b < 0.0f) ? q - 1.0f : q;
}
__device__ __forceinline__ double pw_floor_div(double a, double b) {
  double q = floor(a / b);
  double beyond = fma(-q, b, a);
  return beyond != 0.0 && fabs(q) < 9007199254740992.0 && (beyond < 0.0) != (b < 0.0) ? q - 1.0 : q;
}

//@ pw_shift_left:
// A shift by the width or more gives 0. Types narrower than int lose their high bits when the result is cast to them.
__device__ __forceinline__ unsigned pw_shift_left(unsigned a, unsigned b) { return b < 32 ? a << b : 0; }
__device__ __forceinline__ unsigned pw_shift_left(int a, int b) { return b < 32 ? (unsigned)a << b : 0; }
__device__ __forceinline__ unsigned long long pw_shift_left(unsigned long long a, unsigned long long b) {
  return b < 64 ? a << b : 0;
}

//@ pw_shift_right:
__device__ __forceinline__ unsigned pw_shift_right(unsigned a, unsigned b) { return b < 32 ? a >> b : 0; }
__device__ __forceinline__ unsigned pw_shift_right(int a, int b) { return b < 32 ? (unsigned)a >> b : 0; }
__device__ __forceinline__ unsigned long long pw_shift_right(unsigned long long a, unsigned long long b) {
  return b < 64 ? a >> b : 0;
}

// ---- Floats to integers: toward zero, saturating at the ends, NaN to 0. The instruction saturates; for 64 bits, on either
// ---- side, it gives 2^63 for NaN.

//@ pw_to_int:
__device__ __forceinline__ int pw_to_int(float x) { return __float2int_rz(x); }
__device__ __forceinline__ int pw_to_int(double x) { return x == x ? __double2int_rz(x) : 0; }

//@ pw_to_uint:
__device__ __forceinline__ unsigned pw_to_uint(float x) { return __float2uint_rz(x); }
__device__ __forceinline__ unsigned pw_to_uint(double x) { return x == x ? __double2uint_rz(x) : 0u; }

//@ pw_to_llong:
__device__ __forceinline__ long long pw_to_llong(float x) { return x == x ? __float2ll_rz(x) : 0ll; }
__device__ __forceinline__ long long pw_to_llong(double x) { return x == x ? __double2ll_rz(x) : 0ll; }

//@ pw_to_ullong:
__device__ __forceinline__ unsigned long long pw_to_ullong(float x) { return x == x ? __float2ull_rz(x) : 0ull; }
__device__ __forceinline__ unsigned long long pw_to_ullong(double x) { return x == x ? __double2ull_rz(x) : 0ull; }

// ---- Maxima, minima and signs.

//@ pw_max:
// The larger; NaN if either is; +0 over -0. Exact. One instruction from sm_80 on; max.f32 of sm_75 drops NaN.
__device__ __forceinline__ float pw_max(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
#else
  return a != a || b != b ? a + b : fmaxf(a, b);
#endif
}
__device__ __forceinline__ double pw_max(double a, double b) { return a != a || b != b ? a + b : fmax(a, b); }
__device__ __forceinline__ int pw_max(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned pw_max(unsigned a, unsigned b) { return a > b ? a : b; }
__device__ __forceinline__ long long pw_max(long long a, long long b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned long long pw_max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }

//@ pw_min:
// The smaller; NaN if either is; -0 over +0. Exact.
__device__ __forceinline__ float pw_min(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float y;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
#else
  return a != a || b != b ? a + b : fminf(a, b);
#endif
}
__device__ __forceinline__ double pw_min(double a, double b) { return a != a || b != b ? a + b : fmin(a, b); }
__device__ __forceinline__ int pw_min(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ unsigned pw_min(unsigned a, unsigned b) { return a < b ? a : b; }
__device__ __forceinline__ long long pw_min(long long a, long long b) { return a < b ? a : b; }
__device__ __forceinline__ unsigned long long pw_min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }

//@ pw_sign:
// 1, -1, 0; NaN stays NaN. Exact.
__device__ __forceinline__ float pw_sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x == 0.0f ? 0.0f : x; }
__device__ __forceinline__ double pw_sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x == 0.0 ? 0.0 : x; }
__device__ __forceinline__ int pw_sign(int x) { return (x > 0) - (x < 0); }
__device__ __forceinline__ unsigned pw_sign(unsigned x) { return x > 0; }
__device__ __forceinline__ long long pw_sign(long long x) { return (x > 0) - (x < 0); }
__device__ __forceinline__ unsigned long long pw_sign(unsigned long long x) { return x > 0; }

// ---- Powers.

//@ pw_power_of_integer: pw_mul
// An integer to an integer power, modulo 2^width: by squaring. Negative powers are truncated toward zero; those of 0 are 0.
template <class Base>
__device__ __forceinline__ Base pw_power_of_integer(Base x, unsigned long long n) {
  Base y = 1;
  for (; n != 0; n >>= 1, x = pw_mul(x, x))
    if (n & 1) y = pw_mul(y, x);
  return y;
}
template <class Base>
__device__ __forceinline__ Base pw_power_of_integer(Base x, long long n) {
  if (n >= 0) return pw_power_of_integer(x, (unsigned long long)n);
  return x == 1 ? 1 : x == (Base)-1 && (Base)-1 < 0 ? (n & 1 ? x : 1) : 0;
}

//@ pw_widen:
// a^b. Of floats: CUDA's powf, 4 ulp; an exponent of another type goes through double, where every 32-bit integer is exact.
// Of integers: exact and wrapped, also for a float exponent that is an integer; to any other, through double and as pw_to_int
// and its kin convert.
__device__ __forceinline__ long long pw_widen(int n) { return n; }
__device__ __forceinline__ unsigned long long pw_widen(unsigned n) { return n; }
__device__ __forceinline__ long long pw_widen(long long n) { return n; }
__device__ __forceinline__ unsigned long long pw_widen(unsigned long long n) { return n; }

//@ pw_is_integer:
// Whether an exponent is an integer that 64 bits hold.
__device__ __forceinline__ bool pw_is_integer(double x) { return fabs(x) < 9e18 && trunc(x) == x; }

//@ pw_pow: pw_power_of_integer pw_widen pw_is_integer pw_to_int pw_to_uint pw_to_llong pw_to_ullong
__device__ __forceinline__ float pw_pow(float a, float b) { return powf(a, b); }
template <class Exponent>
__device__ __forceinline__ float pw_pow(float a, Exponent b) { return (float)pow((double)a, (double)b); }
template <class Exponent>
__device__ __forceinline__ double pw_pow(double a, Exponent b) { return pow(a, (double)b); }
__device__ __forceinline__ int pw_pow(int a, double b) {
  return pw_is_integer(b) ? pw_power_of_integer(a, (long long)b) : pw_to_int(pow((double)a, b));
}
__device__ __forceinline__ unsigned pw_pow(unsigned a, double b) {
  return pw_is_integer(b) ? pw_power_of_integer(a, (long long)b) : pw_to_uint(pow((double)a, b));
}
__device__ __forceinline__ long long pw_pow(long long a, double b) {
  return pw_is_integer(b) ? pw_power_of_integer(a, (long long)b) : pw_to_llong(pow((double)a, b));
}
__device__ __forceinline__ unsigned long long pw_pow(unsigned long long a, double b) {
  return pw_is_integer(b) ? pw_power_of_integer(a, (long long)b) : pw_to_ullong(pow((double)a, b));
}
__device__ __forceinline__ int pw_pow(int a, float b) { return pw_pow(a, (double)b); }
__device__ __forceinline__ unsigned pw_pow(unsigned a, float b) { return pw_pow(a, (double)b); }
__device__ __forceinline__ long long pw_pow(long long a, float b) { return pw_pow(a, (double)b); }
__device__ __forceinline__ unsigned long long pw_pow(unsigned long long a, float b) { return pw_pow(a, (double)b); }
template <class Exponent>
__device__ __forceinline__ int pw_pow(int a, Exponent b) { return pw_power_of_integer(a, pw_widen(b)); }
template <class Exponent>
__device__ __forceinline__ unsigned pw_pow(unsigned a, Exponent b) { return pw_power_of_integer(a, pw_widen(b)); }
template <class Exponent>
__device__ __forceinline__ long long pw_pow(long long a, Exponent b) { return pw_power_of_integer(a, pw_widen(b)); }
template <class Exponent>
__device__ __forceinline__ unsigned long long pw_pow(unsigned long long a, Exponent b) {
  return pw_power_of_integer(a, pw_widen(b));
}

// ---- Smooth functions of float and double, accurate. "e" is exp(-|x|), which neither overflows nor makes a sum cancel.

//@ pw_sigmoid:
// 1/(1 + exp(-x)): expf (3.1 ulp), a sum and a quotient; 5.3 ulp.
__device__ __forceinline__ float pw_sigmoid(float x) {
  float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
__device__ __forceinline__ double pw_sigmoid(double x) {
  double e = exp(-fabs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

//@ pw_silu:
// x*sigmoid(x), 5.5 ulp; -0 at -inf. Below x = -87, e is denormal and its error times x is up to 55*2^-149.
__device__ __forceinline__ float pw_silu(float x) {
  float e = expf(-fabsf(x));
  return (x < 0.0f ? fmaxf(x, -3.402823466e+38f) * e : x) / (1.0f + e);
}
__device__ __forceinline__ double pw_silu(double x) {
  double e = exp(-fabs(x));
  return (x < 0.0 ? fmax(x, -1.7976931348623157e+308) * e : x) / (1.0 + e);
}

//@ pw_swish:
// x*sigmoid(alpha*x), 0 where alpha*x = -inf. The product's rounding error d would grow |alpha*x|-fold in the exponential:
// exp(p + d) = exp(p)*(1 + d). 6.6 ulp.
__device__ __forceinline__ float pw_swish(float x, float alpha) {
  float p = alpha * x;
  float e = expf(-fabsf(p));
  float d = fmaf(alpha, x, -p);
  e = fmaf(e, p < 0.0f ? d : -d, e);
  float s = (p < 0.0f ? e : 1.0f) / (1.0f + e);
  return fabsf(p) > 150.0f ? (p < 0.0f ? copysignf(0.0f, x) : x) : x * s;
}
__device__ __forceinline__ double pw_swish(double x, double alpha) {
  double p = alpha * x;
  double e = exp(-fabs(p));
  double d = fma(alpha, x, -p);
  e = fma(e, p < 0.0 ? d : -d, e);
  double s = (p < 0.0 ? e : 1.0) / (1.0 + e);
  return fabs(p) > 1500.0 ? (p < 0.0 ? copysign(0.0, x) : x) : x * s;
}

//@ pw_softplus:
// log(1 + exp(x)) = max(x, 0) + log1p(e). 5.0 ulp.
__device__ __forceinline__ float pw_softplus(float x) {
  float l = log1pf(expf(-fabsf(x)));
  return x > 0.0f ? x + l : l;
}
__device__ __forceinline__ double pw_softplus(double x) {
  double l = log1p(exp(-fabs(x)));
  return x > 0.0 ? x + l : l;
}

//@ pw_scaled_softplus:
// log(1 + exp(beta*x)), the product's rounding error d put back as in pw_swish. Beyond the range of exp it is p or 0. 5.3 ulp
// with the factor that follows.
__device__ __forceinline__ float pw_scaled_softplus(float x, float beta) {
  float p = beta * x;
  if (fabsf(p) > 150.0f) return p > 0.0f ? p : 0.0f;
  float d = fmaf(beta, x, -p);
  float e = expf(-fabsf(p));
  e = fmaf(e, p < 0.0f ? d : -d, e);
  float l = log1pf(e);
  return p > 0.0f ? p + (l + d) : l;
}
__device__ __forceinline__ double pw_scaled_softplus(double x, double beta) {
  double p = beta * x;
  if (fabs(p) > 1500.0) return p > 0.0 ? p : 0.0;
  double d = fma(beta, x, -p);
  double e = exp(-fabs(p));
  e = fma(e, p < 0.0 ? d : -d, e);
  double l = log1p(e);
  return p > 0.0 ? p + (l + d) : l;
}

//@ pw_softsign:
// x/(1 + |x|), +-1 at +-inf. 1.5 ulp.
__device__ __forceinline__ float pw_softsign(float x) {
  return fabsf(x) > 1e9f ? copysignf(1.0f, x) : x / (1.0f + fabsf(x));
}
__device__ __forceinline__ double pw_softsign(double x) {
  return fabs(x) > 1e18 ? copysign(1.0, x) : x / (1.0 + fabs(x));
}

//@ pw_hard_swish: pw_max
// x*max(0, min(1, (x + 3)/6)): beside x = -3 the sum is exact, where x/6 + 1/2 would cancel; -0 at -inf. 2.4 ulp.
__device__ __forceinline__ float pw_hard_swish(float x) {
  return pw_max(x, -3.402823466e+38f) * __saturatef((x + 3.0f) * 0.16666667f);
}
__device__ __forceinline__ double pw_hard_swish(double x) {
  double gate = (x + 3.0) / 6.0;
  return x != x ? x : gate <= 0.0 ? -0.0 : gate < 1.0 ? x * gate : x;
}

//@ pw_gelu:
// x*Phi(x), Phi the normal distribution: CUDA's normcdf keeps the tail, where 1 + erf cancels. 6.9 ulp; below x = -13 Phi is
// denormal. -0 at -inf.
__device__ __forceinline__ float pw_gelu(float x) {
  return x < -20.0f ? -0.0f : x * normcdff(x);
}
__device__ __forceinline__ double pw_gelu(double x) {
  return x < -50.0 ? -0.0 : x * normcdf(x);
}

//@ pw_gelu_tanh:
// x*sigmoid(z), z = 2*sqrt(2/pi)*(x + 0.044715*x^3). z carries its rounding errors along (zh + zl), since exp would make
// them |z| times larger: 5.9 ulp, where plain evaluation has 100. Each constant is a float and what it lacks.
__device__ __forceinline__ float pw_gelu_tanh(float x) {
  if (fabsf(x) > 16.0f) return x > 0.0f ? x : -0.0f;
  float p = x * x;
  float pl = fmaf(x, x, -p);
  float w = fmaf(0.044715f, p, 1.0f);
  float wl = fmaf(0.044715f, p, 1.0f - w) + fmaf(0.044715f, pl, 1.54614e-09f * p);
  float y = 1.5957692f * x;
  float yl = fmaf(1.5957692f, x, -y) + -4.53407e-08f * x;
  float zh = y * w;
  float zl = fmaf(y, w, -zh) + fmaf(y, wl, yl * w);
  float e = expf(-fabsf(zh));
  e = fmaf(e, zh < 0.0f ? zl : -zl, e);
  return (x < 0.0f ? x * e : x) / (1.0f + e);
}
__device__ __forceinline__ double pw_gelu_tanh(double x) {
  if (fabs(x) > 40.0) return x > 0.0 ? x : -0.0;
  double p = x * x;
  double pl = fma(x, x, -p);
  double w = fma(0.044715, p, 1.0);
  double wl = fma(0.044715, p, 1.0 - w) + 0.044715 * pl;
  double y = 1.5957691216057308 * x;
  double yl = fma(1.5957691216057308, x, -y) + -9.96930880911092e-17 * x;
  double zh = y * w;
  double zl = fma(y, w, -zh) + fma(y, wl, yl * w);
  double e = exp(-fabs(zh));
  e = fma(e, zh < 0.0 ? zl : -zl, e);
  return (x < 0.0 ? x * e : x) / (1.0 + e);
}

//@ pw_mish:
// x*tanh(softplus(x)): tanh(log(1 + t)) = (t^2 + 2t)/(t^2 + 2t + 2), divided by t^2 for x > 0. 6.7 ulp; -0 at -inf.
__device__ __forceinline__ float pw_mish(float x) {
  float e = expf(-fabsf(x));
  if (x < 0.0f) return fmaxf(x, -3.402823466e+38f) * e * (e + 2.0f) / fmaf(e, e + 2.0f, 2.0f);
  float n = fmaf(2.0f, e, 1.0f);
  return x * (n / fmaf(2.0f * e, e, n));
}
__device__ __forceinline__ double pw_mish(double x) {
  double e = exp(-fabs(x));
  if (x < 0.0) return fmax(x, -1.7976931348623157e+308) * e * (e + 2.0) / fma(e, e + 2.0, 2.0);
  double n = fma(2.0, e, 1.0);
  return x * (n / fma(2.0 * e, e, n));
}

// ---- Approximate forms for results of 16 and 8 bits. Polynomials are minimax fits of the relative error, made for this file by
// ---- reweighted least squares on 4,000 Chebyshev nodes in double and rounded to float.

//@ pw_fast_exp2:
// 2^x
__device__ __forceinline__ float pw_fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

//@ pw_fast_rcp:
// 1/x for x whose reciprocal is a normal number: beyond 2^126 it is 0.
__device__ __forceinline__ float pw_fast_rcp(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

//@ pw_fast_reciprocal:
// 1/x over the whole range.
__device__ __forceinline__ float pw_fast_reciprocal(float x) {
  float y;
  asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

//@ pw_fast_div:
__device__ __forceinline__ float pw_fast_div(float a, float b) {
  float y;
  asm("div.full.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

//@ pw_fast_sqrt:
__device__ __forceinline__ float pw_fast_sqrt(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

//@ pw_fast_rsqrt:
__device__ __forceinline__ float pw_fast_rsqrt(float x) {
  float y;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

//@ pw_fast_exp: pw_fast_exp2
// exp(x) = 2^(x*log2(e)). The product's rounding grows with |x|: 61 ulp at the ends.
__device__ __forceinline__ float pw_fast_exp(float x) { return pw_fast_exp2(x * 1.44269504f); }

//@ pw_fast_expm1: pw_fast_exp
// exp(x) - 1 for x <= 0. Above -0.3, where 2^y - 1 cancels, a minimax polynomial (8 relative). 10 ulp.
__device__ __forceinline__ float pw_fast_expm1(float x) {
  float p = fmaf(0.0369670838f, x, 0.165796936f);
  p = fmaf(p, x, 0.499947608f);
  p = fmaf(p, x, 0.999999523f) * x;
  return x > -0.3f ? p : pw_fast_exp(x) - 1.0f;
}

//@ pw_fast_log:
// log(x). Within 0.1 of 1, where the logarithm's absolute error is too large, a minimax polynomial in x - 1 (2 relative).
// 23 ulp.
__device__ __forceinline__ float pw_fast_log(float x) {
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  float m = x - 1.0f;
  float p = fmaf(0.202102214f, m, -0.252099812f);
  p = fmaf(p, m, 0.333325803f);
  p = fmaf(p, m, -0.499994725f);
  p = fmaf(p, m, 1.0f) * m;
  return fabsf(m) < 0.1f ? p : y * 0.693147181f;
}

//@ pw_fast_log1p:
// log(1 + e) for 0 <= e <= 1: a minimax polynomial, 21 relative; no instruction of the slow pipe.
__device__ __forceinline__ float pw_fast_log1p(float e) {
  float p = fmaf(0.0141410204f, e, -0.0664017871f);
  p = fmaf(p, e, 0.149223864f);
  p = fmaf(p, e, -0.235038593f);
  p = fmaf(p, e, 0.331094474f);
  p = fmaf(p, e, -0.499869645f);
  p = fmaf(p, e, 0.999998748f);
  return p * e;
}

//@ pw_fast_sigmoid: pw_fast_exp pw_fast_rcp
// 1/(1 + exp(-x)). 57 ulp at x = -72.
__device__ __forceinline__ float pw_fast_sigmoid(float x) { return pw_fast_rcp(1.0f + pw_fast_exp(-x)); }

//@ pw_fast_silu: pw_fast_sigmoid
// x*sigmoid(x), 59 ulp; -0 at -inf, where the sigmoid is 0. NaN comes through the sigmoid.
__device__ __forceinline__ float pw_fast_silu(float x) { return fmaxf(x, -3.402823466e+38f) * pw_fast_sigmoid(x); }

//@ pw_finite_silu: pw_fast_sigmoid
// The same for x that is not infinite.
__device__ __forceinline__ float pw_finite_silu(float x) { return x * pw_fast_sigmoid(x); }

//@ pw_relief_silu: pw_max pw_fast_exp
// x*sigmoid(x) with the reciprocal of p = 1 + exp(-x) on the FMA pipe: from p's bits a guess within 6%, then two steps of Newton's method, the
// constants of the first minimax (14 relative). 70 ulp; below x = -87, where p would leave the range of the guess, the sigmoid stays at
// 2^-125.5, and -inf gives -1e-36.
__device__ __forceinline__ float pw_relief_silu(float x) {
  float m = pw_max(x, -87.0f);
  float p = 1.0f + pw_fast_exp(-m);
  float g = __uint_as_float(0x7ef33400u - __float_as_uint(p));
  g *= fmaf(-p, g, 2.00127989f);
  g *= fmaf(-p, g, 2.0000008f);
  return m * g;
}

//@ pw_fast_swish: pw_fast_sigmoid
// x*sigmoid(alpha*x), 88 ulp; 0 where the sigmoid is.
__device__ __forceinline__ float pw_fast_swish(float x, float alpha) {
  float s = pw_fast_sigmoid(alpha * x);
  return s == 0.0f ? copysignf(0.0f, x) : x * s;
}

//@ pw_fast_tanh: pw_fast_exp2 pw_fast_rcp
// 1 - 2/(exp(2x) + 1), absolute error 2 in 2^-24; below 0.25 that would be too much of the result, so a minimax
// polynomial in x^2 there (7 relative). 20 ulp.
__device__ __forceinline__ float pw_fast_tanh(float x) {
  float u = x * x;
  float p = fmaf(0.128416136f, u, -0.333219081f);
  p = fmaf(p, u, 0.999999583f) * x;
  float t = fmaf(-2.0f, pw_fast_rcp(pw_fast_exp2(x * 2.88539008f) + 1.0f), 1.0f);
  return fabsf(x) < 0.25f ? p : t;
}

//@ pw_fast_softplus: pw_fast_exp pw_fast_log1p
// max(x, 0) + log(1 + exp(-|x|)). 51 ulp.
__device__ __forceinline__ float pw_fast_softplus(float x) {
  return fmaxf(x, 0.0f) + pw_fast_log1p(pw_fast_exp(-fabsf(x)));
}

//@ pw_fast_softsign: pw_fast_rcp
// x/(1 + |x|), +-1 from 1e9 on. 3.7 ulp.
__device__ __forceinline__ float pw_fast_softsign(float x) {
  return fabsf(x) > 1e9f ? copysignf(1.0f, x) : x * pw_fast_rcp(1.0f + fabsf(x));
}

//@ pw_fast_gelu: pw_fast_exp2 pw_fast_rcp
// max(x, 0) - |x|*Phi(-|x|), which cancels nowhere. Phi(-a) = exp(-a^2/2)*s*P(s) with s = 1/(1 + 0.36a), P a minimax polynomial
// of degree 6 for 0 <= a <= 20 (34 relative). With the exponent's rounding 106 ulp at a = 11.
__device__ __forceinline__ float pw_fast_gelu(float x) {
  float a = fabsf(x);
  float s = pw_fast_rcp(fmaf(0.36f, a, 1.0f));
  float p = fmaf(0.0443997979f, s, -0.170702115f);
  p = fmaf(p, s, 0.168731555f);
  p = fmaf(p, s, 0.0348270275f);
  p = fmaf(p, s, 0.136774734f);
  p = fmaf(p, s, 0.142289773f);
  p = fmaf(p, s, 0.143678218f);
  float tail = p * s * pw_fast_exp2(x * x * -0.72134752f);
  return fmaf(-fminf(a, 3.402823466e+38f), tail, fmaxf(x, 0.0f));
}

//@ pw_fast_gelu_tanh: pw_fast_exp2 pw_fast_rcp
// x*sigmoid(2*sqrt(2/pi)*(x + 0.044715*x^3)). 88 ulp.
__device__ __forceinline__ float pw_fast_gelu_tanh(float x) {
  float z = x * fmaf(-0.102943240f, x * x, -2.30220820f);
  return fmaxf(x, -3.402823466e+38f) * pw_fast_rcp(1.0f + pw_fast_exp2(z));
}

//@ pw_finite_gelu_tanh: pw_fast_exp2 pw_fast_rcp
// The same for finite x.
__device__ __forceinline__ float pw_finite_gelu_tanh(float x) {
  float z = x * fmaf(-0.102943240f, x * x, -2.30220820f);
  return x * pw_fast_rcp(1.0f + pw_fast_exp2(z));
}

//@ pw_fast_mish: pw_fast_exp pw_fast_rcp
// x*n/(n + 2) with n = exp(x)*(exp(x) + 2); from x = 40 on the quotient is 1. 60 ulp.
__device__ __forceinline__ float pw_fast_mish(float x) {
  float e = pw_fast_exp(fminf(x, 40.0f));
  float n = e * (e + 2.0f);
  return x < -1e4f ? -0.0f : x * (n * pw_fast_rcp(n + 2.0f));
}
