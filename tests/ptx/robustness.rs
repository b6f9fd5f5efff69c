//! Texts that are damaged, senseless or hostile: errors and faults, never a panic, an endless loop or all the memory there is.

use crate::faults::MIXTURE;
use crate::harness::*;
use pointweld::ptx::{Launch, Memory, Module, Options, run};
use proptest::prelude::*;
use proptest::sample::Index;

/// Hopper's instructions, by hand, in the order of a kernel; it runs to its end as it stands.
const HOPPER: &str = r#".version 8.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 out, .param .align 64 .b8 map[128]) .maxntid 128, 1, 1
{
    .shared .align 1024 .b8 tile[8192];
    .shared .align 8 .b64 full;
    .reg .pred %p<4>; .reg .b32 %r<24>; .reg .f32 %f<8>; .reg .b64 %rd<12>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, tile;
    mov.u32 %r3, full;
    setp.eq.u32 %p1, %r1, 0;
    @%p1 mbarrier.init.shared::cta.b64 [%r3], 128;
    fence.mbarrier_init.release.cluster;
    mul.lo.u32 %r4, %r1, 64;
    add.u32 %r4, %r4, %r2;
    mov.b32 %r5, 0x3c003c00;
    st.shared.v4.b32 [%r4], {%r5, %r5, %r5, %r5};
    st.shared.v4.b32 [%r4+16], {%r5, %r5, %r5, %r5};
    st.shared.v4.b32 [%r4+32], {%r5, %r5, %r5, %r5};
    st.shared.v4.b32 [%r4+48], {%r5, %r5, %r5, %r5};
    fence.proxy.async.shared::cta;
    bar.sync 0;
    mbarrier.arrive.shared::cta.b64 %rd2, [%r3];
WAIT:
    mbarrier.try_wait.shared::cta.b64 %p2, [%r3], %rd2;
    @!%p2 bra WAIT;
    elect.sync %r6|%p3, -1;
    setmaxnreg.inc.sync.aligned.u32 160;
    shr.u32 %r7, %r2, 4;
    cvt.u64.u32 %rd3, %r7;
    or.b64 %rd4, %rd3, 0x4000004000010000;
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd4, %rd4, 0, 1, -1, 0, 0;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd4, %rd4, 1, 1, 1, 0, 0;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, {%r5, %r5, %r5, %r5}, %rd4, 1, 1, 1, 0;
    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
    mul.wide.u32 %rd5, %r1, 4;
    add.s64 %rd6, %rd1, %rd5;
    st.global.f32 [%rd6], %f2;
    ret;
}
"#;

#[test]
fn the_hopper_text_runs() {
    let module = parse(HOPPER);
    let mut memory = Memory::new();
    let out = memory.alloc(512, "out");
    launch(&module, 1, 128, vec![out.into(), pointweld::ptx::Arg::Bytes(vec![0; 128])], &mut memory);
    // 16 ones each time, the first time with the sign of B turned.
    assert_eq!(download::<f32>(&memory, out, 128), [16.0; 128]);
}

/// Damages a text by words: takes out, swaps, overwrites, inserts.
fn damaged(text: &str, edits: &[(Index, Index, u8)]) -> String {
    let mut words: Vec<&str> = text.split_inclusive([' ', ',', ';', '.', '[', ']', '{', '}', '%', '\n']).collect();
    for (at, other, kind) in edits {
        let (at, other) = (at.index(words.len()), other.index(words.len()));
        match kind {
            0 => drop(words.remove(at)),
            1 => words.swap(at, other),
            2 => words[at] = words[other],
            _ => words.insert(at, words[other]),
        }
    }
    words.concat()
}

/// Runs what parses. Any outcome will do.
fn try_text(text: &str, threads: u32, second: usize) {
    if let Ok(module) = Module::parse(text)
        && let Ok(kernel) = module.kernel("k")
    {
        let mut memory = Memory::new();
        let out = memory.alloc(512, "out");
        let args = vec![out.into(), pointweld::ptx::Arg::Bytes(vec![5; second])];
        for (races, uninitialised) in [(true, false), (false, true)] {
            let options = Options { max_steps: 2000, uninitialised, races, ..Options::default() };
            let _ = run(kernel, &Launch::linear(2, threads, args.clone()), &mut memory, &options);
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<(Index, Index, u8)>> {
    prop::collection::vec((any::<Index>(), any::<Index>(), 0u8..4), 1..4)
}

/// What PTX is made of.
const TOKENS: &str = ".version .target sm_90a .address_size 64 .visible .entry .func k ( ) { } [ ] ; , .param .u64 .b32 .reg .pred \
    %r<4> %r1 %p1 @%p1 @!%p1 ld .global .shared .align 1024 = generic + - -1 0xffffffffffffffff 0f3F800000 \
    0d3FF0000000000000 | ! _ < > \" // /* */ .pragma .attribute .section .loc .file .extern .maxntid .reqntid \
    4294967295 add .u32 bra L: L call ret brx .idx .branchtargets mma .sync .aligned wgmma .mma_async .m64n8k16 \
    .f32 .f16 é 🙂 $L__BB0_1 %tid.x WARP_SZ cp .async .bulk .tensor .2d mbarrier .init";

/// One of them, to be strewn together, or something else.
fn token() -> impl Strategy<Value = String> {
    let tokens: Vec<&str> = TOKENS.split(' ').chain(["\n", "\0"]).collect();
    prop_oneof![
        20 => prop::sample::select(tokens).prop_map(str::to_string),
        1 => ".{0,6}",
        1 => any::<i64>().prop_map(|n| n.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_texts_never_panic(edits in edits()) {
        try_text(&damaged(MIXTURE, &edits), 64, 8);
    }

    #[test]
    fn damaged_hopper_texts_never_panic(edits in edits()) {
        try_text(&damaged(HOPPER, &edits), 128, 128);
    }

    #[test]
    fn strewn_tokens_never_panic(tokens in prop::collection::vec(token(), 0..60), spaced: bool) {
        let text = tokens.join(if spaced { " " } else { "" });
        try_text(&text, 32, 8);
        // As the body of a kernel, and as what comes behind a sound one.
        try_text(&MIXTURE.replace("ret;\n}", &format!("{text}\nret;\n}}")), 64, 8);
        try_text(&format!("{MIXTURE}{text}"), 64, 8);
    }

    #[test]
    fn any_bytes_never_panic(text in "\\PC{0,200}", cut in any::<Index>()) {
        try_text(&text, 32, 8);
        let mut at = cut.index(MIXTURE.len());
        while !MIXTURE.is_char_boundary(at) { at -= 1; }
        try_text(&format!("{}{text}{}", &MIXTURE[..at], &MIXTURE[at..]), 64, 8);
        try_text(&MIXTURE[..at], 64, 8);
    }
}

/// Each of these once hung, overflowed or ate the memory, or might have.
#[test]
fn hostile_texts_are_refused() {
    let head = ".version 8.0\n.target sm_80\n.address_size 64\n";
    let kernel = |body: &str| format!("{head}.visible .entry k(.param .u64 out)\n{{\n{body}\nret;\n}}\n");
    let refused = [
        kernel(&format!("mov.u32 %r1, {};", "{".repeat(100_000))),
        kernel(&format!("call {}", "(".repeat(100_000))),
        format!("{head}.global .b32 x[4] = {};", "{".repeat(100_000)),
        format!("{head}.global .attribute(.managed"),
        format!("{head}.global .b8 x[18446744073709551615];"),
        format!("{head}{}", ".global .b8 x[1073741824];\n".repeat(8)),
        kernel(&".reg .b32 %a<1000000>;\n".repeat(64)),
        kernel(".shared .align 4096 .b8 s[4294967295];"),
        kernel(".reg .b64 %rd<2>; ld.global.u32 %rd1, [out+9223372036854775807"),
        kernel("/* never closed"),
        (0..5000).fold(head.to_string(), |text, i| text + &format!(".func f{i}() {{ call f{}; ret; }}\n", i + 1))
            + ".func f5000() { ret; }\n.visible .entry k() { call f0; ret; }\n",
    ];
    for text in refused {
        assert!(Module::parse(&text).is_err(), "accepted: {text:.120}");
    }
    // These parse, and no launch has room for them or gets past them.
    let many: String = (0..5000).map(|i| format!(".shared .b8 s{i}[200000];\n")).collect();
    for text in [
        format!("{head}.pragma"),
        kernel(&many),
        kernel(".reg .b32 %r<4>; .reg .b64 %rd<4>; ld.param.u32 %r1, [out+9223372036854775807];"),
        kernel(".shared .b8 s[8]; .reg .b32 %r<4>; ld.shared.u32 %r1, [s+9223372036854775807];"),
        format!("{head}.visible .entry k(.param .u64 out) .maxntid 4294967295, 4294967295, 4294967295 {{ ret; }}"),
    ] {
        try_text(&text, 32, 8);
        if let Ok(module) = Module::parse(&text)
            && let Ok(kernel) = module.kernel("k")
        {
            let mut memory = Memory::new();
            let out = memory.alloc(512, "out");
            let _ = run(kernel, &Launch::linear(1, 32, vec![out.into()]), &mut memory, &Options::default());
        }
    }
}
