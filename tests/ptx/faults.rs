//! Planted faults: each kernel has one mistake, which the interpreter must catch and name, or which must spoil the result.

use crate::collective::{DOUBLE_BUFFER, bulk};
use crate::harness::*;
use crate::tensor::{INT8_GEMM, Int8};
use pointweld::ptx::{Arg, Fault, FaultKind, Launch, Memory, Module, Options, PtxError, SpaceName, run};
use pointweld::target::Arch;

/// Replaces a piece of a kernel that must be there.
pub fn plant(source: &str, right: &str, wrong: &str) -> String {
    assert!(source.contains(right), "`{right}` is not in the kernel");
    source.replacen(right, wrong, 1)
}

/// Runs a kernel of `x`, `y` and a length, on 1,000 floats, 4 blocks of 256 threads. Both have exactly that length.
fn run_on_thousand(source: &str) -> Result<Memory, Box<Fault>> {
    let mut memory = Memory::new();
    let (xp, yp) = (upload(&mut memory, &[1.5f32; 1000], "x"), memory.alloc(4000, "y"));
    try_launch(&module(source, Arch::SM_80), 4, 256, vec![xp.into(), yp.into(), 1000i32.into()], &mut memory)?;
    if let Some(at) = memory.first_unwritten(yp, 4000) {
        panic!("byte {at} of y was never written");
    }
    Ok(memory)
}

const SCALE: &str = r#"extern "C" __global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * 2.0f;
}"#;

#[test]
fn an_access_one_past_the_end() {
    run_on_thousand(SCALE).unwrap();
    let fault = run_on_thousand(&plant(SCALE, "i < n", "i <= n")).unwrap_err();
    match &fault.kind {
        FaultKind::OutOfBounds {
            space: SpaceName::Global,
            write: false,
            size: 4,
            label,
            offset: 4000,
            len: 4000,
            ..
        } => assert_eq!(label, "x"),
        other => panic!("{other}"),
    }
    assert_eq!((fault.block, fault.thread), ([3, 0, 0], Some([232, 0, 0])));
    let text = fault.to_string();
    for part in ["kernel k", "block (3,0,0)", "thread (232,0,0)", "`x`", "ld.global"] {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    let fault = run_on_thousand(&plant(SCALE, "y[i] = x[i]", "y[i - 1] = x[i]")).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::OutOfBounds { write: true, offset: -4, .. }), "{fault}");
}

#[test]
#[should_panic(expected = "of y was never written")]
fn a_missing_tail() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n / 8) for (int j = 0; j < 7; ++j) y[i * 8 + j] = x[i * 8 + j];
    }"#;
    run_on_thousand(source).unwrap();
}

#[test]
fn a_misaligned_vector() {
    let source = r#"extern "C" __global__ void k(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }"#;
    let module = module(source, Arch::SM_80);
    for skew in [0, 4, 8, 16] {
        let mut memory = Memory::new();
        let (xp, yp) = (memory.alloc_at_offset(512, "x", skew), memory.alloc(512, "y"));
        memory.write(xp, &[1; 512]);
        let result = try_launch(&module, 1, 32, vec![xp.into(), yp.into()], &mut memory);
        match result {
            Ok(_) => assert_eq!(skew % 16, 0),
            Err(fault) => {
                assert_ne!(skew % 16, 0);
                assert!(matches!(fault.kind, FaultKind::Misaligned { size: 16, write: false, .. }), "{fault}");
            }
        }
    }
}

#[test]
fn reads_of_what_nothing_wrote() {
    let cases = [
        (SCALE.to_string(), SpaceName::Global),
        (
            r#"extern "C" __global__ void k(const float* x, float* y, int n) { __shared__ float s[300]; s[threadIdx.x] = 1; __syncthreads(); y[threadIdx.x] = s[threadIdx.x + 1]; }"#.into(),
            SpaceName::Shared,
        ),
        (
            r#"extern "C" __global__ void k(const float* x, float* y, int n) { volatile float l[8]; l[n & 3] = 1; y[threadIdx.x] = l[n / 200]; }"#.into(),
            SpaceName::Local,
        ),
    ];
    for (source, want) in cases {
        let mut memory = Memory::new();
        let (xp, yp) = (memory.alloc(4000, "x"), memory.alloc(4000, "y"));
        let args = vec![xp.into(), yp.into(), 1000i32.into()];
        let fault = try_launch(&module(&source, Arch::SM_80), 1, 256, args.clone(), &mut memory).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Uninitialised { space, .. } if space == want), "{fault}");
        let lenient = Options { uninitialised: false, ..Options::default() };
        run(k(&module(&source, Arch::SM_80)), &Launch::linear(1, 256, args), &mut memory, &lenient).unwrap();
    }
}

/// A module whose kernel `k` has one pointer and this body.
fn by_hand(body: &str) -> Result<Module, PtxError> {
    Module::parse(&format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 out)\n{{\n.reg .pred %p<4>;\n.reg .b32 %r<8>;\n.reg .b64 %rd<4>;\nld.param.u64 %rd0, [out];\n{body}\nret;\n}}\n"
    ))
}

fn run_by_hand(body: &str) -> Box<Fault> {
    let module = by_hand(body).unwrap();
    let mut memory = Memory::new();
    let out = memory.alloc(256, "out");
    try_launch(&module, 1, 64, vec![out.into()], &mut memory).unwrap_err()
}

#[test]
fn a_register_read_before_it_is_written() {
    let fault =
        run_by_hand("mov.u32 %r1, %tid.x;\nsetp.eq.u32 %p1, %r1, 5;\n@!%p1 mov.u32 %r2, 1;\nadd.u32 %r3, %r2, 1;");
    assert!(matches!(&fault.kind, FaultKind::UninitialisedRegister { register } if register == "%r2"), "{fault}");
    assert_eq!((fault.thread, fault.text.as_str()), (Some([5, 0, 0]), "add.u32 %r3, %r2, 1;"));
}

#[test]
fn what_the_interpreter_does_not_know_is_an_error_with_its_line() {
    let error = |body: &str| by_hand(body).err().unwrap_or_else(|| panic!("`{body}` was accepted"));
    assert!(
        matches!(error("frobnicate.u32 %r1, %r2;"), PtxError::UnknownOpcode { line: 10, opcode, .. } if opcode == "frobnicate.u32")
    );
    assert!(
        matches!(error("add.sometimes.u32 %r1, %r2, %r3;"), PtxError::UnknownModifier { modifier, .. } if modifier == "sometimes")
    );
    assert!(matches!(error("add.u32 %r1, %r2, %r99;"), PtxError::Undeclared { name, .. } if name == "%r99"));
    assert!(matches!(error("bra nowhere;"), PtxError::Undeclared { name, .. } if name == "nowhere"));
    assert!(matches!(error("add.u64 %rd1, %r2, %rd0;"), PtxError::Operands { .. }));
    assert!(matches!(error("add.u32 %r1, %r2;"), PtxError::Operands { .. }));
    assert!(matches!(error("mov.u32 %r1, ;"), PtxError::Syntax { .. }));
    assert!(matches!(error(".frob 3;"), PtxError::UnknownDirective { .. }));
    assert!(matches!(
        error("wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r1}, [%rd0], %r2;"),
        PtxError::UnknownOpcode { .. }
    ));
    assert!(matches!(Module::parse(SCALE).err(), Some(PtxError::Syntax { line: 1, .. })));
}

#[test]
fn an_endless_loop() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y, int n) { while (((volatile float*)x)[0] > 1.0f) y[threadIdx.x] = 1; }"#;
    let module = module(source, Arch::SM_80);
    let mut memory = Memory::new();
    let (xp, yp) = (upload(&mut memory, &[1.5f32; 8], "x"), memory.alloc(128, "y"));
    let options = Options { max_steps: 100_000, ..Options::default() };
    let fault = run(k(&module), &Launch::linear(1, 32, vec![xp.into(), yp.into(), 8i32.into()]), &mut memory, &options)
        .unwrap_err();
    assert!(matches!(fault.kind, FaultKind::StepLimit { limit: 100_000 }), "{fault}");
}

#[test]
fn bulk_copies_that_are_not_waited_for_or_miscounted() {
    let fault = |source: &str| {
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &[7i32; 128 * 3], "x"), memory.alloc(512 * 3, "y"));
        let options = Options { max_steps: 200_000, ..Options::default() };
        let args = vec![xp.into(), yp.into(), 3i32.into()];
        let launch = Launch::linear(1, 128, args);
        run(k(&module(source, Arch::SM_90)), &launch, &mut memory, &options).unwrap_err().kind
    };
    let right = bulk("wait", 512, 512);
    let unwaited = plant(&right, "WAIT(&full[s], i >> 1 & 1);", "");
    assert!(matches!(fault(&unwaited), FaultKind::PendingCopy { .. }));
    // The buffer is filled again while others still read it.
    let early = plant(&right, "__syncthreads();\n            if (t == 0 && i + 2", "if (t == 0 && i + 2");
    assert!(matches!(fault(&early), FaultKind::SharedRace { .. } | FaultKind::PendingCopy { .. }));
    // The phase never ends where the bytes that come are not those that are expected.
    assert!(matches!(fault(&bulk("wait", 256, 512)), FaultKind::Deadlock { .. }));
    assert!(matches!(fault(&bulk("wait", 504, 504)), FaultKind::Protocol(_)));
    // Past the end of x.
    assert!(matches!(fault(&bulk("wait", 1536, 1536)), FaultKind::OutOfBounds { .. }));
}

const NEIGHBOURS: &str = r#"extern "C" __global__ void k(const float* x, float* y, int n) {
    __shared__ float s[256];
    int i = blockIdx.x * blockDim.x + threadIdx.x, t = threadIdx.x;
    s[t] = i < n ? x[i] : 0;
    __syncthreads();
    float v = s[(t + 100) % 256];
    __syncthreads();
    s[t] = v;
    if (i < n) y[i] = s[t];
}"#;

#[test]
fn a_removed_barrier() {
    run_on_thousand(NEIGHBOURS).unwrap();
    let fault = run_on_thousand(&plant(NEIGHBOURS, "__syncthreads();", "")).unwrap_err();
    match &fault.kind {
        FaultKind::SharedRace { label, thread, other, .. } => assert!(label.contains('s') && thread != other),
        // Warps run one after another, so the first may find that its neighbour has not written at all.
        FaultKind::Uninitialised { space: SpaceName::Shared, .. } => {}
        other => panic!("{other}"),
    }
    let second = plant(NEIGHBOURS, "__syncthreads();\n    s[t] = v", "s[t] = v");
    let fault = run_on_thousand(&second).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::SharedRace { write: true, other_write: false, .. }), "{fault}");
}

#[test]
fn a_removed_barrier_of_one_warp() {
    let source = r#"extern "C" __global__ void k(const float* x, float* y, int n) {
        __shared__ float s[256]; int i = blockIdx.x * blockDim.x + threadIdx.x, t = threadIdx.x;
        s[t] = i < n ? x[i] : 0; __syncwarp(); float v = s[t ^ 1]; if (i < n) y[i] = v;
    }"#;
    run_on_thousand(source).unwrap();
    let fault = run_on_thousand(&plant(source, "__syncwarp();", "")).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::SharedRace { write: false, other_write: true, .. }), "{fault}");
}

fn double_buffer(source: &str, options: &Options) -> Result<Vec<f32>, Box<Fault>> {
    let x: Vec<f32> = (0..512 * 5).map(|i| i as f32).collect();
    let mut memory = Memory::new();
    let (xp, yp) = (upload(&mut memory, &x, "x"), memory.alloc(5 * 512, "y"));
    let args = vec![xp.into(), yp.into(), 5i32.into(), (x.len() as i32).into()];
    run(k(&module(source, Arch::SM_80)), &Launch::linear(1, 128, args), &mut memory, options)?;
    Ok(download(&memory, yp, 640))
}

#[test]
fn a_weakened_wait() {
    let right = double_buffer(DOUBLE_BUFFER, &Options::default()).unwrap();
    let weak = plant(DOUBLE_BUFFER, "cp.async.wait_group 1;", "cp.async.wait_group 2;");
    let fault = double_buffer(&weak, &Options::default()).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::PendingCopy { write: false, .. }), "{fault}");
    // Without the race check the copy lands too late, and the kernel reads what was never written, or stale data.
    let blind = Options { races: false, ..Options::default() };
    let fault = double_buffer(&weak, &blind).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Uninitialised { space: SpaceName::Shared, .. }), "{fault}");
    let blinder = Options { races: false, uninitialised: false, ..Options::default() };
    assert_ne!(double_buffer(&weak, &blinder).unwrap(), right);
    // The barrier that keeps the next copy from overwriting what others still read.
    let early = plant(DOUBLE_BUFFER, "= sum;\n            __syncthreads();", "= sum;");
    let fault = double_buffer(&early, &Options::default()).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::SharedRace { write: true, .. } | FaultKind::PendingCopy { .. }), "{fault}");
}

#[test]
fn mistakes_in_a_gemm() {
    let problem = Int8::new(128, 128, 256);
    let with = |source: &str| problem.run(&module(source, Arch::SM_80), &Options::default());
    assert_eq!(with(INT8_GEMM).unwrap().0, problem.c);
    // Operands in the wrong order.
    let swapped = plant(INT8_GEMM, r#""r"(b[j][0]), "r"(b[j][1]));"#, r#""r"(b[j][1]), "r"(b[j][0]));"#);
    assert_ne!(with(&swapped).unwrap().0, problem.c);
    let swapped = plant(INT8_GEMM, r#""r"(a[i][1]), "r"(a[i][2])"#, r#""r"(a[i][2]), "r"(a[i][1])"#);
    assert_ne!(with(&swapped).unwrap().0, problem.c);
    // Unsigned where signed is meant.
    let unsigned = plant(INT8_GEMM, "s32.s8.s8.s32", "s32.s8.u8.s32");
    assert_ne!(with(&unsigned).unwrap().0, problem.c);
    // A wait that lets the current stage fly, and a barrier too few.
    let weak = plant(INT8_GEMM, "cp.async.wait_group 1;", "cp.async.wait_group 3;");
    assert!(matches!(with(&weak).unwrap_err().kind, FaultKind::PendingCopy { .. }));
    let unguarded = plant(INT8_GEMM, "}\n            __syncthreads();\n        }", "}\n        }");
    let kind = with(&unguarded).unwrap_err().kind;
    assert!(matches!(kind, FaultKind::SharedRace { .. } | FaultKind::PendingCopy { .. }), "{kind}");
}

#[test]
fn threads_that_wait_for_nobody() {
    let deadlocks = [
        "if (threadIdx.x < 40) __syncthreads(); else if (threadIdx.x < 64) while (((volatile float*)x)[0] < 0) {} __syncthreads(); if (threadIdx.x < 40) __syncthreads(); y[threadIdx.x] = 1;",
        "if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(~0u, n, 16); else __syncthreads();",
    ];
    for body in deadlocks {
        let source = format!("extern \"C\" __global__ void k(const float* x, float* y, int n) {{ {body} }}");
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &[1.5f32; 8], "x"), memory.alloc(4000, "y"));
        let fault =
            try_launch(&module(&source, Arch::SM_80), 1, 64, vec![xp.into(), yp.into(), 8i32.into()], &mut memory)
                .unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Deadlock { .. }), "{body}: {fault}");
    }
}

#[test]
fn collectives_that_name_the_wrong_lanes() {
    for (body, part) in [
        ("if (threadIdx.x % 32 >= 16) return; y[threadIdx.x] = __shfl_xor_sync(~0u, n, 1);", "have exited"),
        ("y[threadIdx.x] = __shfl_xor_sync(0xffffu, n, 1);", "does not name the lane"),
        ("if (threadIdx.x % 32 < 16) y[threadIdx.x] = __shfl_xor_sync(0xffffu, n, 16);", "does not take part"),
    ] {
        let source = format!("extern \"C\" __global__ void k(const float* x, float* y, int n) {{ {body} }}");
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &[1.5f32; 8], "x"), memory.alloc(4000, "y"));
        let fault =
            try_launch(&module(&source, Arch::SM_80), 1, 64, vec![xp.into(), yp.into(), 8i32.into()], &mut memory)
                .unwrap_err();
        assert!(
            matches!(fault.kind, FaultKind::BadMemberMask { .. }) && fault.to_string().contains(part),
            "{body}: {fault}"
        );
    }
}

#[test]
fn blocks_that_write_the_same_place() {
    let source = plant(SCALE, "y[i] = x[i] * 2.0f", "y[i % 999] = x[i]");
    let module = module(&source, Arch::SM_80);
    let mut memory = Memory::new();
    let (xp, yp) = (upload(&mut memory, &[1.5f32; 1000], "x"), memory.alloc(4000, "y"));
    let shape = Launch::linear(4, 256, vec![xp.into(), yp.into(), 1000i32.into()]);
    run(k(&module), &shape, &mut memory, &Options::default()).unwrap();
    for parallel in [false, true] {
        let options = Options { block_conflicts: true, parallel, ..Options::default() };
        let fault = run(k(&module), &shape, &mut memory, &options).unwrap_err();
        match fault.kind {
            FaultKind::GlobalRace { label, offset, first, second } => {
                assert_eq!((label.as_str(), offset / 4, first, second), ("y", 0, [0, 0, 0], [3, 0, 0]));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn traps_missing_functions_null_pointers_and_constants() {
    let fault = |body: &str| {
        let source = format!(
            "__constant__ float table[4] = {{1, 2, 3, 4}};\nextern \"C\" __global__ void k(const float* x, float* y, int n) {{ {body} }}"
        );
        let mut memory = Memory::new();
        let (xp, yp) = (upload(&mut memory, &[1.5f32; 8], "x"), memory.alloc(4000, "y"));
        try_launch(&module(&source, Arch::SM_80), 1, 64, vec![xp.into(), yp.into(), 0i32.into()], &mut memory)
            .unwrap_err()
            .kind
    };
    assert_eq!(fault("if (threadIdx.x == 9) __trap(); y[threadIdx.x] = 1;"), FaultKind::Trap);
    assert!(matches!(fault("printf(\"%d\", n);"), FaultKind::ExternalCall { name } if name == "vprintf"));
    assert!(matches!(fault("((float*)(size_t)n)[threadIdx.x] = 1;"), FaultKind::Unmapped { write: true, .. }));
    assert!(matches!(
        fault("asm volatile(\"st.f32 [%0], %1;\" :: \"l\"(table + (threadIdx.x & 3)), \"f\"(x[0]));"),
        FaultKind::ReadOnly { .. }
    ));
    assert!(matches!(
        fault("__shared__ float s[64]; s[threadIdx.x + 1] = 1; __syncthreads(); y[threadIdx.x] = s[1];"),
        FaultKind::OutOfBounds { space: SpaceName::Shared, offset: 256, len: 256, .. }
    ));
}

#[test]
fn launches_that_cannot_be() {
    let module = module(SCALE, Arch::SM_80);
    let mut memory = Memory::new();
    let (xp, yp) = (memory.alloc(64, "x"), memory.alloc(64, "y"));
    let good = Launch::linear(1, 16, vec![xp.into(), yp.into(), 0i32.into()]);
    run(k(&module), &good, &mut memory, &Options::default()).unwrap();
    for (bad, part) in [
        (Launch { block: [33, 32, 1], ..good.clone() }, "1056 threads"),
        (Launch { grid: [0, 1, 1], ..good.clone() }, "grid"),
        (Launch { args: vec![xp.into(), yp.into()], ..good.clone() }, "3 parameters"),
        (Launch { args: vec![xp.into(), yp.into(), 0i64.into()], ..good.clone() }, "argument 2 has 8 bytes"),
        (Launch { dynamic_shared: 300_000, ..good.clone() }, "shared memory"),
    ] {
        let fault = run(k(&module), &bad, &mut memory, &Options::default()).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Launch(_)) && fault.to_string().contains(part), "{fault}");
    }
    assert!(matches!(module.kernel("nothing"), Err(PtxError::NoSuchKernel { .. })));
}

/// A kernel by hand with one of many things; it runs to its end as it stands.
pub const MIXTURE: &str = r#".version 8.0
.target sm_80
.address_size 64
.const .align 4 .b32 table[4] = {1, 2, 3, 4};
.global .align 8 .u64 where[2] = {generic(table), generic(table)+4};
.func (.param .b32 back) twice(.param .b32 in) { .reg .b32 %r<3>; ld.param.b32 %r1, [in]; add.s32 %r2, %r1, %r1; st.param.b32 [back], %r2; ret; }
.visible .entry k(.param .u64 out, .param .align 4 .b8 pair[8]) .maxntid 64, 1, 1
{
    .local .align 8 .b8 depot[16];
    .shared .align 4 .b8 tile[256];
    .reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<24>; .reg .f32 %f<4>; .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [out];
    ld.param.v2.b32 {%r1, %r2}, [pair];
    mov.u32 %r3, %tid.x;
    shl.b32 %r4, %r3, 2;
    mov.u32 %r5, tile;
    add.u32 %r6, %r5, %r4;
    st.shared.u32 [%r6], %r3;
    bar.sync 0;
    xor.b32 %r7, %r6, 4;
    ld.shared.u32 %r8, [%r7];
    mov.u64 %rd2, depot;
    cvta.local.u64 %rd3, %rd2;
    st.u32 [%rd3+8], %r8;
    ld.local.u32 %r9, [%rd2+8];
    { .param .b32 a; st.param.b32 [a], %r9; .param .b32 b; call.uni (b), twice, (a); ld.param.b32 %r10, [b]; }
    ld.global.u64 %rd4, [where+8];
    ld.u32 %r11, [%rd4];
    setp.lt.and.u32 %p1|%p2, %r3, 40, 1;
    @%p1 bra LOW;
    mov.u32 %r12, 7;
    bra.uni JOIN;
LOW:
    activemask.b32 %r20;
    shfl.sync.idx.b32 %r12|%p3, %r3, 0, 31, %r20;
JOIN:
    cvt.rn.f32.u32 %f1, %r12;
    ex2.approx.ftz.f32 %f2, 0f3F800000;
    fma.rn.f32 %f3, %f1, %f2, %f1;
    cvt.rzi.s32.f32 %r13, %f3;
    cvt.rn.f16.f32 %h1, %f3;
    mov.b32 %r14, {%h1, %h1};
    prmt.b32 %r15, %r14, %r13, 0x5410;
    vote.sync.ballot.b32 %r16, %p1, -1;
    bar.sync 0;
    atom.shared.add.u32 %r17, [tile+128], 1;
    mul.wide.u32 %rd5, %r3, 4;
    add.s64 %rd6, %rd1, %rd5;
    st.global.u32 [%rd6], %r15;
    ret;
}
"#;

#[test]
fn the_mixture_runs() {
    let module = parse(MIXTURE);
    let mut memory = Memory::new();
    let out = memory.alloc(256, "out");
    let args = vec![out.into(), Arg::Bytes(bytes(&[1i32, 2]))];
    launch(&module, 1, 64, args, &mut memory);
    // ex2(1) = 2: three times lane 0's thread number below 40, three times 7 above.
    let half = |x: f32| u32::from(half::f16::from_f32(x).to_bits());
    let y = download::<u32>(&memory, out, 64);
    assert_eq!([y[0], y[39], y[63]], [(0.0, 0u32), (96.0, 96), (21.0, 21)].map(|(x, n)| half(x) | n << 16));
}
