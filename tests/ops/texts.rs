//! The CUDA texts: there is one wherever an op is defined, and NVRTC takes all of them on every architecture.

use crate::instances::{ALL, Instance};
use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::dtype::DType;
use pointweld::emit::prelude::{PRELUDE, prelude_for};
use pointweld::op::{TypeRule, fill};
use pointweld::target::Arch;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The C type in which values of a type are computed with.
pub fn c_type(t: DType) -> &'static str {
    match t {
        DType::F64 => "double",
        t if t.is_float() => "float",
        DType::I64 => "long long",
        DType::U64 => "unsigned long long",
        DType::I32 => "int",
        DType::U32 => "unsigned",
        DType::I16 => "short",
        DType::U16 => "unsigned short",
        DType::Bool => "bool",
        t if t.is_signed_int() => "signed char",
        _ => "unsigned char",
    }
}

/// A kernel that applies an instance's text to arrays: operands as the compute types, params as literals are given.
pub fn kernel(name: &str, instance: &Instance, text: &str, params: &[f64]) -> String {
    let tensors = instance.op.row().operands.len();
    let mut signature = String::new();
    let mut names = Vec::new();
    let double = instance.result == DType::F64;
    for (slot, t) in instance.operands[..tensors].iter().enumerate() {
        write!(signature, "const {}* x{slot}, ", c_type(*t)).unwrap();
        names.push(format!("x{slot}[i]"));
    }
    names.extend(params.iter().map(|p| if double { format!("({p:?})") } else { format!("({:?}f)", *p as f32) }));
    let expression = fill(text, &names);
    let result = c_type(instance.result);
    format!(
        "extern \"C\" __global__ void {name}({signature}{result}* y, unsigned n) {{\n  unsigned i = blockIdx.x * blockDim.x + \
         threadIdx.x;\n  if (i < n) y[i] = ({result}){expression};\n}}\n"
    )
}

/// Instances whose text the table holds, one for each tuple of compute types.
pub fn with_text() -> Vec<&'static Instance> {
    let mut seen = BTreeSet::new();
    let convert =
        |i: &Instance| matches!(i.op.row().types, TypeRule::Convert | TypeRule::Quantize | TypeRule::Dequantize);
    let types = |i: &Instance| i.operands.iter().chain([&i.result]).map(|t| c_type(*t)).collect::<Vec<_>>();
    ALL.iter().filter(|i| !convert(i)).filter(|i| seen.insert((i.op.name(), types(i)))).collect()
}

#[test]
fn every_instance_has_a_text_that_uses_its_operands() {
    for instance in with_text() {
        for fast in [false, true] {
            let text = instance.op.text(&instance.operands, fast);
            assert!(!text.is_empty(), "{instance:?} has no text");
            for slot in 0..instance.op.arity() {
                assert!(text.contains(&format!("{{{slot}}}")), "{instance:?}: {text} does not use operand {slot}");
            }
        }
    }
}

#[test]
fn nvrtc_takes_every_text_on_every_architecture() {
    let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("{error}"));
    let mut kernels = String::new();
    for (i, instance) in with_text().into_iter().enumerate() {
        let params: Vec<f64> = instance.op.row().params.iter().map(|p| f64::from(p.default.unwrap_or(1.0))).collect();
        let accurate = instance.op.text(&instance.operands, false);
        kernels += &kernel(&format!("k{i}"), instance, instance.op.text(&instance.operands, false), &params);
        if instance.op.text(&instance.operands, true) != accurate {
            kernels += &kernel(&format!("k{i}_fast"), instance, instance.op.text(&instance.operands, true), &params);
        }
    }
    let source = prelude_for(&kernels) + &kernels;
    for arch in [Arch::SM_75, Arch::SM_80, Arch::SM_90, Arch::SM_120] {
        let request = Request { source: &source, kernel: "k0", arch, output: Output::Cubin, options: &[] };
        let start = std::time::Instant::now();
        let compiled = nvrtc.compile(&request).unwrap_or_else(|error| panic!("{error}"));
        println!("{arch}: {} bytes, {:?}", compiled.bytes.len(), start.elapsed());
        assert_eq!(compiled.log, "", "{arch}");
    }
}

#[test]
fn the_whole_prelude_is_used() {
    let mut texts = String::from("pw_to_int pw_to_uint pw_to_llong pw_to_ullong ");
    for instance in with_text() {
        texts += instance.op.text(&instance.operands, false);
        texts += instance.op.text(&instance.operands, true);
        texts += instance.op.row().finite;
        texts += instance.op.row().relief;
    }
    let taken = prelude_for(&texts);
    let functions =
        |text: &str| text.lines().filter(|l| l.starts_with("__device__")).map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(functions(PRELUDE), functions(&taken));
}
