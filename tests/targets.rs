//! The table of architectures against the compiler: NVRTC compiles each instruction for each architecture, or refuses it.
//! The tests need NVRTC and nvdisasm, which `make nvrtc disassembler` fetches, and no GPU.

use pointweld::compile::sass::{Disassembler, mix_of};
use pointweld::compile::{Nvrtc, Output, Request};
use pointweld::target::{Arch, Features, Limits};

/// The name of the feature, whether the table has it, and a use of it.
type Probe = (&'static str, fn(&Features) -> bool, &'static str);

const PROBES: [Probe; 11] = [
    (
        "cp.async",
        |f| f.cp_async,
        r#"__shared__ int s[4];
           asm("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"((unsigned)__cvta_generic_to_shared(s)), "l"(x));"#,
    ),
    ("fma.bf16x2", |f| f.bf16_fma, r#"asm("fma.rn.bf16x2 %0, %0, %0, %0;" : "+r"(u));"#),
    ("add.bf16x2", |f| f.bf16_arithmetic, r#"asm("add.bf16x2 %0, %0, %0;" : "+r"(u));"#),
    ("tanh.bf16x2", |f| f.bf16_arithmetic, r#"asm("tanh.approx.bf16x2 %0, %0;" : "+r"(u));"#),
    (
        "cvt fp8",
        |f| f.fp8_convert,
        r#"unsigned short h; asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %1;" : "=h"(h) : "f"(v)); u = h;"#,
    ),
    ("PDL", |f| f.pdl, r#"asm("griddepcontrol.wait;");"#),
    ("bulk copies", |f| f.bulk_copy, r#"asm("cp.async.bulk.wait_group 0;");"#),
    (
        "32-byte loads",
        |f| f.load_256,
        r#"long long a, b, c, d;
           asm("ld.global.v4.b64 {%0, %1, %2, %3}, [%4];" : "=l"(a), "=l"(b), "=l"(c), "=l"(d) : "l"(x)); u = a + b + c + d;"#,
    ),
    ("f32x2", |f| f.f32x2, r#"long long a = u; asm("add.rn.f32x2 %0, %0, %0;" : "+l"(a)); u = a;"#),
    ("min of three", |f| f.min3, r#"asm("min.f32 %0, %0, %0, %0;" : "+f"(v));"#),
    ("wgmma", |f| f.wgmma, r#"asm("wgmma.fence.sync.aligned;");"#),
];

fn program(body: &str) -> String {
    format!(
        "extern \"C\" __global__ void probe(float* x) {{\n  unsigned u = ((unsigned*)x)[0];\n  float v = x[1];\n  {body}\n  \
         ((unsigned*)x)[2] = u;\n  x[3] = v;\n}}\n"
    )
}

fn request(source: &str, arch: Arch) -> Request<'_> {
    Request { source, kernel: "probe", arch, output: Output::Cubin, options: &[] }
}

fn nvrtc() -> Nvrtc {
    Nvrtc::load().unwrap_or_else(|error| panic!("{error}"))
}

/// The architectures of the table that this NVRTC knows, the exact variant of Hopper among them.
fn archs(nvrtc: &Nvrtc) -> Vec<Arch> {
    Arch::all().chain([Arch::SM_90A]).filter(|arch| nvrtc.supported_archs().contains(&arch.number())).collect()
}

#[test]
fn the_table_has_the_architectures_of_the_pinned_nvrtc() {
    let nvrtc = nvrtc();
    if nvrtc.version().to_string() == "13.5" {
        let table: Vec<u32> = Arch::all().map(Arch::number).collect();
        assert_eq!(nvrtc.supported_archs(), table);
    }
}

#[test]
fn each_architecture_has_the_instructions_of_its_features() {
    let nvrtc = nvrtc();
    for arch in archs(&nvrtc) {
        let features = Features::of(arch);
        let (has, lacks): (Vec<&Probe>, Vec<&Probe>) = PROBES.iter().partition(|(_, has, _)| has(&features));
        // What it has compiles all together; what it lacks must fail alone.
        let all: String = has.iter().map(|(_, _, body)| format!("{{ {body} }}\n")).collect();
        if let Err(error) = nvrtc.compile(&request(&program(&all), arch)) {
            panic!("{arch} lacks something that the table has: {error}");
        }
        for (name, _, body) in lacks {
            assert!(nvrtc.compile(&request(&program(body), arch)).is_err(), "{arch} has {name}, and the table has not");
        }
    }
}

#[test]
fn conversions_run_on_the_pipe_the_table_says() {
    let nvrtc = nvrtc();
    let disassembler = Disassembler::find().unwrap_or_else(|error| panic!("{error}"));
    let source = r#"
extern "C" __global__ void narrow(const float* x, unsigned* y) {
  int a, b;
  unsigned packed;
  asm("cvt.rni.s32.f32 %0, %1;" : "=r"(a) : "f"(x[0]));
  asm("cvt.rni.s32.f32 %0, %1;" : "=r"(b) : "f"(x[1]));
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(packed) : "r"(a), "r"(b), "r"(y[1]));
  y[0] = packed;
}
extern "C" __global__ void widen(const int* x, float* y) { y[0] = (float)x[0]; }
"#;
    for arch in archs(&nvrtc) {
        let features = Features::of(arch);
        let cubin = nvrtc.compile(&Request { kernel: "narrow", ..request(source, arch) }).unwrap().bytes;
        let text = disassembler.disassemble(&cubin).unwrap();
        let (narrow, widen) = (mix_of(&text, "narrow").unwrap(), mix_of(&text, "widen").unwrap());
        assert_eq!(narrow.count("F2IP", &[]) > 0, features.f2ip, "{arch}");
        assert_eq!(narrow.count("F2I", &[]) == 0, features.f2ip, "{arch}");
        assert_eq!(widen.count("I2FP", &[]) > 0, features.i2fp, "{arch}");
        assert_eq!(widen.count("I2F", &[]) == 0, features.i2fp, "{arch}");
    }
}

/// ptxas warns when a kernel asks for more resident blocks than an SM holds.
#[test]
fn residency_is_what_ptxas_enforces() {
    let nvrtc = nvrtc();
    let accepted = |arch, threads: u32, blocks: u32| {
        let source = format!(
            "extern \"C\" __global__ void __launch_bounds__({threads}, {blocks}) probe(float* x) {{ x[0] = 1; }}"
        );
        nvrtc.compile(&request(&source, arch)).unwrap().log.is_empty()
    };
    for arch in archs(&nvrtc) {
        let limits = Limits::of(arch);
        let blocks = limits.threads_per_sm / 256;
        assert!(accepted(arch, 256, blocks), "{arch}: {blocks} blocks of 256");
        assert!(!accepted(arch, 256, blocks + 1), "{arch}: {blocks} + 1 blocks of 256");
        let blocks = limits.blocks_per_sm;
        assert!(accepted(arch, 32, blocks), "{arch}: {blocks} blocks of 32");
        assert!(!accepted(arch, 32, blocks + 1), "{arch}: {blocks} + 1 blocks of 32");
    }
}
