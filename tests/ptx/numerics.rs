//! The CUDA math library through the interpreter, slow paths included, against the host's.

use crate::harness::*;
use half::{bf16, f16};
use pointweld::ptx::Memory;

/// Runs `y[i] = f(x[i])` in f32 and gives the largest error in ulps against `want`.
fn worst_f32(function: &str, inputs: &[f32], want: impl Fn(f64) -> f64) -> (u32, f32) {
    let source = format!(
        "extern \"C\" __global__ void k(const float* x, float* y) {{ int i = blockIdx.x * blockDim.x + threadIdx.x; float a = x[i]; y[i] = {function}; }}"
    );
    assert_eq!(inputs.len() % 128, 0);
    let mut worst = (0, 0.0);
    for on in everywhere(&[ARCHS[0], ARCHS[3]]) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, inputs, "x"), memory.alloc(4 * inputs.len(), "y"));
        launch(&code(&source, on), inputs.len() as u32 / 128, 128, vec![xp.into(), yp.into()], &mut memory);
        for (x, y) in inputs.iter().zip(download::<f32>(&memory, yp, inputs.len())) {
            let error = ulps(y, want(f64::from(*x)) as f32);
            if error > worst.0 {
                worst = (error, *x);
            }
        }
    }
    worst
}

fn inputs(count: usize, scale: f32) -> Vec<f32> {
    let mut random = Random(11);
    (0..count).map(|_| random.any_f32(scale)).collect()
}

/// The bounds are those of the CUDA programming guide's table of mathematical functions.
#[test]
fn single_precision_functions_keep_cudas_bounds() {
    let check = |function: &str, scale: f32, bound: u32, want: &dyn Fn(f64) -> f64| {
        let (error, at) = worst_f32(function, &inputs(1024, scale), want);
        assert!(error <= bound, "{function} is off by {error} ulp at {at:e}; CUDA states {bound}");
    };
    check("expf(a)", 100.0, 2, &f64::exp);
    check("tanhf(a)", 9.0, 2, &f64::tanh);
    check("powf(fabsf(a), 2.5f)", 50.0, 4, &|x| x.abs().powf(2.5));
    check("sinf(a)", 10.0, 2, &|x| if x.is_finite() { x.sin() } else { f64::NAN });
    // Arguments so large that the reduction takes the slow path through local memory.
    check("sinf(a)", 1e30, 2, &|x| if x.is_finite() { x.sin() } else { f64::NAN });
    check("cosf(a)", 1e7, 2, &|x| if x.is_finite() { x.cos() } else { f64::NAN });
    check("logf(fabsf(a))", 1e20, 1, &|x| x.abs().ln());
    check("erff(a)", 4.0, 2, &libm::erf);
    check("lgammaf(fabsf(a) + 3.0f)", 50.0, 6, &|x| libm::lgamma(f64::from(x.abs() as f32 + 3.0)));
    check("1.0f / a", 1e10, 0, &|x| 1.0 / x);
    check("sqrtf(fabsf(a))", 1e30, 0, &|x| x.abs().sqrt());
    check("rintf(a)", 1e3, 0, &f64::round_ties_even);
    check("floorf(a) + ceilf(a) * 2.0f + truncf(a)", 1e3, 0, &|x| x.floor() + x.ceil() * 2.0 + x.trunc());
    check("fmodf(a, 3.7f)", 1e4, 0, &|x| x % f64::from(3.7f32));
}

#[test]
fn double_precision_functions_agree_with_the_host() {
    let source = r#"extern "C" __global__ void k(const double* x, double* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; double a = x[i]; double* o = y + 8 * i;
        o[0] = exp(a); o[1] = log(fabs(a)); o[2] = pow(fabs(a), 1.7); o[3] = erf(a); o[4] = 1.0 / a; o[5] = sqrt(fabs(a)); o[6] = tanh(a); o[7] = lgamma(fabs(a) + 1.0);
    }"#;
    let mut random = Random(12);
    let x: Vec<f64> = (0..512).map(|i| f64::from(random.unit()) * [0.01, 1.0, 5.0, 30.0][i % 4]).collect();
    for on in everywhere(&[ARCHS[0], ARCHS[2], ARCHS[3]]) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(512 * 64, "y"));
        launch(&code(source, on), 4, 128, vec![xp.into(), yp.into()], &mut memory);
        for (x, y) in x.iter().zip(download::<f64>(&memory, yp, 4096).chunks_exact(8)) {
            let a = x.abs();
            let want =
                [x.exp(), a.ln(), a.powf(1.7), libm::erf(*x), 1.0 / x, a.sqrt(), x.tanh(), libm::lgamma(a + 1.0)];
            for (i, (y, want)) in y.iter().zip(want).enumerate() {
                assert!((y - want).abs() <= want.abs() * 2e-15 + 1e-16, "function {i} at {x}: {y}, not {want}");
            }
        }
    }
}

/// Every f16 and every bf16 through the conversions a kernel uses.
#[test]
fn all_sixteen_bit_floats_convert_as_the_half_crate_does() {
    let source = r#"extern "C" __global__ void k(const unsigned short* x, float* wide, unsigned short* back, int* rounded) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; float f; unsigned short h; unsigned p;
        asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x[i])); wide[2 * i] = f;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f * 1.0001f)); back[2 * i] = h;
        asm("cvt.rni.s32.f16 %0, %1;" : "=r"(rounded[2 * i]) : "h"(x[i]));
        f = __uint_as_float((unsigned)x[i] << 16); wide[2 * i + 1] = f;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(p) : "f"(f), "f"(f * 1.001f)); back[2 * i + 1] = (unsigned short)p;
        rounded[2 * i + 1] = (int)(p >> 16);
    }"#;
    let x: Vec<u16> = (0..=u16::MAX).collect();
    for on in everywhere(&[ARCHS[1]]) {
        let mut memory = Memory::new();
        let xp = upload(&mut memory, &x, "x");
        let [wp, bp, rp] = [8, 4, 8].map(|size| memory.alloc(size * x.len(), "out"));
        launch(&code(source, on), 256, 256, vec![xp.into(), wp.into(), bp.into(), rp.into()], &mut memory);
        let (wide, back) = (download::<f32>(&memory, wp, 2 * x.len()), download::<u16>(&memory, bp, 2 * x.len()));
        let rounded = download::<i32>(&memory, rp, 2 * x.len());
        for (i, &bits) in x.iter().enumerate() {
            let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(ulps(wide[2 * i], h.to_f32()), 0);
            let nan = |x: f32, bits: u16| if x.is_nan() { 0x7fff } else { bits };
            assert_eq!(back[2 * i], nan(h.to_f32(), f16::from_f32(h.to_f32() * 1.0001).to_bits()), "{h:e}");
            assert_eq!(rounded[2 * i], h.to_f32().round_ties_even() as i32);
            assert_eq!(ulps(wide[2 * i + 1], b.to_f32()), 0);
            assert_eq!(back[2 * i + 1], nan(b.to_f32(), bf16::from_f32(b.to_f32() * 1.001).to_bits()), "{b:e}");
            assert_eq!(rounded[2 * i + 1] as u16, nan(b.to_f32(), bits));
        }
    }
}

/// Packed half arithmetic on all f16, paired with themselves turned over.
#[test]
fn packed_half_arithmetic_rounds_once() {
    let source = r#"extern "C" __global__ void k(const unsigned* x, unsigned* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; unsigned a = x[i], b = __byte_perm(a, a, 0x1032), *o = y + 8 * i;
        asm("add.f16x2 %0, %1, %2;" : "=r"(o[0]) : "r"(a), "r"(b)); asm("mul.f16x2 %0, %1, %2;" : "=r"(o[1]) : "r"(a), "r"(b));
        asm("fma.rn.f16x2 %0, %1, %2, %1;" : "=r"(o[2]) : "r"(a), "r"(b)); asm("sub.f16x2 %0, %1, %2;" : "=r"(o[3]) : "r"(a), "r"(b));
        asm("max.f16x2 %0, %1, %2;" : "=r"(o[4]) : "r"(a), "r"(b)); asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(o[5]) : "r"(a), "r"(b));
        asm("neg.f16x2 %0, %1;" : "=r"(o[6]) : "r"(a)); asm("fma.rn.relu.f16x2 %0, %1, %2, %2;" : "=r"(o[7]) : "r"(a), "r"(b));
    }"#;
    let mut random = Random(13);
    let x: Vec<u32> = (0..=u16::MAX).map(|h| u32::from(h) | random.bits() << 16).collect();
    for on in everywhere(&[ARCHS[1]]) {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(32 * x.len(), "y"));
        launch(&code(source, on), 256, 256, vec![xp.into(), yp.into()], &mut memory);
        let same = |got: u16, want: f64, what: &str, a: f16, b: f16| {
            // The host rounds an exact f64 once more than once only if it is not exact; products and sums of two halves are.
            let want = f16::from_f32(want as f32);
            assert!(
                got == want.to_bits() || want.is_nan() && got == 0x7fff,
                "{a:e} {what} {b:e} = {:e}, not {want:e}",
                f16::from_bits(got)
            );
        };
        for (x, y) in x.iter().zip(download::<u32>(&memory, yp, 8 * x.len()).chunks_exact(8)) {
            for half in 0..2 {
                let pick = |v: u32| (v >> (16 * half)) as u16;
                let (a, b) = (f16::from_bits(pick(*x)), f16::from_bits(pick(x.rotate_left(16))));
                let (p, q) = (a.to_f64(), b.to_f64());
                same(pick(y[0]), p + q, "+", a, b);
                same(pick(y[1]), p * q, "*", a, b);
                same(pick(y[3]), p - q, "-", a, b);
                let larger = if p.is_nan() {
                    q
                } else if q.is_nan() || p > q {
                    p
                } else {
                    q
                };
                if p != q {
                    same(pick(y[4]), larger, "max", a, b);
                    same(pick(y[5]), if p.is_nan() || q.is_nan() { f64::NAN } else { p.min(q) }, "min", a, b);
                }
                assert_eq!(pick(y[6]), if a.is_nan() { 0x7fff } else { a.to_bits() ^ 0x8000 });
                let fused = f16::from_bits(pick(y[2])).to_f64();
                let exact = p * q + p;
                assert!(
                    fused.is_nan() == exact.is_nan()
                        && (exact.is_nan()
                            || !exact.is_finite()
                            || exact.abs() > 65504.0
                            || (fused - exact).abs() <= exact.abs() * 2f64.powi(-11) + 2f64.powi(-25)),
                    "{a:e} * {b:e} + {a:e} = {fused:e}"
                );
                assert!(f16::from_bits(pick(y[7])).to_f64() >= 0.0 || (p * q + q).is_nan());
            }
        }
    }
}
