//! Proves kernels through the library, as `pointweld verify` does, and that a kernel which is wrong is found out.

use pointweld::compile::{Output, Request, Toolchain};
use pointweld::compiler::Compiler;
use pointweld::expr;
use pointweld::prove::{Options, Proof, prove};
use pointweld::target::Arch;

/// Proves every kernel of a formula; `edit` changes the PTX before it is executed.
fn proofs(formula: &str, arch: Arch, edit: impl Fn(String) -> String) -> Vec<Proof> {
    let toolchain = Toolchain::load().expect("NVRTC is needed: make nvrtc").with_cache(None);
    let planned = Compiler::new().arch(arch).plan(&expr::parse(formula).unwrap()).unwrap();
    let tables = planned.tables();
    let kernels = planned.plan.kernels().zip(&planned.sources).zip(&tables);
    let one = |((kernel, source), table): ((_, &pointweld::emit::KernelSource), &Option<Vec<u8>>)| {
        let request = Request { source: &source.text, kernel: &source.entry, arch, output: Output::Ptx, options: &[] };
        let ptx = String::from_utf8(toolchain.compile(&request).unwrap().bytes).unwrap();
        prove(kernel, source, &edit(ptx), table.as_deref(), &Options { samples: 3000, seed: 5 })
    };
    kernels.map(one).collect()
}

#[test]
fn formulas_hold() {
    let formulas = [
        "y = silu(x:f16[n,64,10,10] + b:f16[64,1,1])",
        "y = gelu(x:bf16[n,7]) * z:bf16[1,7]",
        "y:i8 = quantize(silu(dequantize(x:i8[n], 0.05)), 0.04)",
        "y:u8 = quantize(relu(dequantize(x:i8, 0.05) + dequantize(z:u8, 0.03, 128)), 0.02, 3)",
        "y = a:f32[n,1] * b:f32[33]",
        "y = a:f16[20,30] + transpose(b:f16[30,20])",
        "y = where(x:f32 > 0, x, exp(x) - 1)",
        // Small negative accumulators lost 8 bits when the halves of the integer were split toward minus infinity.
        "y = dequantize(x:i32[n], s:f32[n])",
        "y:i8 = quantize(silu(cast.f32(x:i32[n,16]) * s:f32[16] + b:f32[16]), 0.045)",
    ];
    for formula in formulas {
        for arch in [Arch::SM_75, Arch::SM_90] {
            for proof in proofs(formula, arch, |ptx| ptx) {
                assert!(proof.holds(), "{formula} on {arch}: {proof:#?}");
                assert!(proof.cases > 0 && proof.elements > 100, "{formula}: {proof:#?}");
            }
        }
    }
}

#[test]
fn a_kernel_that_computes_something_else_is_found_out() {
    let swapped = |ptx: String| ptx.replace("sub.f32", "add.f32").replace("sub.rn.f32", "add.rn.f32");
    let proof = &proofs("y = a:f32 - b:f32", Arch::SM_90, swapped)[0];
    let failure = proof.failure.as_ref().expect("the difference is a sum");
    assert!(!proof.holds() && failure.contains("the exact result is"), "{failure}");
}
