//! Hopper's whole tensor path: a producer warp has tiles copied by tensor maps, mbarriers count their bytes, and two warpgroups multiply them.
//!
//! On the interpreter alone: the driver's encoding of a tensor map is its own affair.

use crate::faults::plant;
use crate::harness::*;
use half::f16;
use pointweld::ptx::{Fault, FaultKind, Launch, Memory, Options, TensorMap, run};
use pointweld::target::Arch;

/// Three stages of 64 along k; `full` counts a stage's bytes, `empty` the warpgroups that are done with it.
const PIPELINE: &str = r#"
    typedef unsigned long long u64;
    struct alignas(64) Map { unsigned char bytes[128]; };
    __device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    __device__ u64 descriptor(unsigned start) { return (u64)(start >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
    __device__ void wait(unsigned b, unsigned parity) {
        asm volatile("{ .reg .pred p; LOOP: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra DONE; bra LOOP; DONE: }" :: "r"(b), "r"(parity) : "memory");
    }
    __device__ void tile(unsigned to, const Map& map, int x, int y, unsigned b) {
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" :: "r"(to), "l"(&map), "r"(x), "r"(y), "r"(b) : "memory");
    }
    extern "C" __global__ void __launch_bounds__(384, 1) k(const __grid_constant__ Map A, const __grid_constant__ Map B, float* C, int steps) {
        extern __shared__ __align__(1024) unsigned char smem[];
        __shared__ u64 full[3], empty[3];
        int t = threadIdx.x, lane = t % 32, warp = t / 32;
        if (t == 0) {
            for (int s = 0; s < 3; ++s) {
                asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(at(&full[s])));
                asm volatile("mbarrier.init.shared::cta.b64 [%0], 2;" :: "r"(at(&empty[s])));
            }
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        }
        __syncthreads();
        if (warp >= 8) {
            asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
            unsigned leader;
            asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }" : "=r"(leader));
            if (warp == 8 && leader) for (int step = 0; step < steps; ++step) {
                int s = step % 3;
                if (step >= 3) wait(at(&empty[s]), step / 3 - 1 & 1);
                asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(at(&full[s])), "r"(384 * 128) : "memory");
                tile(at(smem) + s * (384 * 128), A, step * 64, blockIdx.x * 128, at(&full[s]));
                tile(at(smem) + s * (384 * 128) + 128 * 128, B, step * 64, 0, at(&full[s]));
            }
        } else {
            asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
            float d[128];
            #pragma unroll
            for (int i = 0; i < 128; ++i) d[i] = 0;
            for (int step = 0; step < steps; ++step) {
                int s = step % 3;
                unsigned a = at(smem) + s * (384 * 128) + warp / 4 * (64 * 128), b = at(smem) + s * (384 * 128) + 128 * 128;
                wait(at(&full[s]), step / 3 & 1);
                asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
                #pragma unroll
                for (int k = 0; k < 4; ++k)
                    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {OUTS}, %128, %129, 1, 1, 1, 0, 0;" : PLUS : "l"(descriptor(a + k * 32)), "l"(descriptor(b + k * 32)));
                asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
                asm volatile("wgmma.wait_group.sync.aligned 0;" : PLUS :: "memory");
                asm volatile("bar.sync %0, 128;" :: "r"(1 + warp / 4) : "memory");
                if (t % 128 == 37) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(at(&empty[s])) : "memory");
            }
            #pragma unroll
            for (int i = 0; i < 128; ++i)
                C[(blockIdx.x * 128 + warp * 16 + lane / 4 + i / 2 % 2 * 8) * 256 + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
        }
    }"#;

fn pipeline() -> String {
    let list = |f: &dyn Fn(usize) -> String| (0..128).map(f).collect::<Vec<_>>().join(",");
    PIPELINE.replace("OUTS", &list(&|i| format!("%{i}"))).replace("PLUS", &list(&|i| format!("\"+f\"(d[{i}])")))
}

/// Rows and columns of A and B, none of them a multiple of the tile.
const M: usize = 200;
const N: usize = 250;
const K: usize = 400;

/// Runs the product of two matrices. Gives it, 256×256, and what it should be.
fn multiply(source: &str, options: &Options) -> Result<(Vec<f32>, Vec<f32>), Box<Fault>> {
    let mut random = Random(47);
    let mut matrix = |rows: usize| -> Vec<i32> { (0..rows * K).map(|_| random.bits() as i32 % 5).collect() };
    let (a, b) = (matrix(M), matrix(N));
    let half = |m: &[i32]| m.iter().map(|&x| f16::from_f32(x as f32)).collect::<Vec<_>>();
    let mut memory = Memory::new();
    let (ap, bp) = (upload(&mut memory, &half(&a), "A"), upload(&mut memory, &half(&b), "B"));
    let cp = memory.alloc(256 * 256 * 4, "C");
    let map = |base, rows: usize, high: u32| TensorMap {
        base,
        element: 2,
        extent: [K as u32, rows as u32],
        stride: 2 * K as u64,
        tile: [64, high],
        swizzle: 128,
    };
    let args = vec![map(ap, M, 128).into(), map(bp, N, 256).into(), cp.into(), (K.div_ceil(64) as i32).into()];
    let launch = Launch { dynamic_shared: 3 * 384 * 128, ..Launch::linear(2, 384, args) };
    run(k(&module(source, Arch::SM_90A)), &launch, &mut memory, options)?;
    let dot = |i: usize, j: usize| (0..K).map(|x| a[i * K + x] * b[j * K + x]).sum::<i32>() as f32;
    let want = |at: usize| if at / 256 < M && at % 256 < N { dot(at / 256, at % 256) } else { 0.0 };
    Ok((download(&memory, cp, 256 * 256), (0..256 * 256).map(want).collect()))
}

#[test]
fn a_producer_feeds_two_warpgroups() {
    for schedule in [None, Some(1), Some(2)] {
        let options = Options { schedule, max_steps: 1_000_000, ..Options::default() };
        let (c, want) = multiply(&pipeline(), &options).unwrap_or_else(|f| panic!("{f}"));
        assert!(c == want);
    }
}

/// What a thread that comes too early meets: which it is depends on who comes first.
fn early(kind: &FaultKind) -> bool {
    use FaultKind::*;
    matches!(
        kind,
        PendingCopy { .. } | PendingOperand { .. } | PendingRegister { .. } | SharedRace { .. } | Uninitialised { .. }
    ) || matches!(kind, Protocol(what) if what.contains("more arrivals"))
}

#[test]
fn faults_planted_in_a_pipeline() {
    let right = pipeline();
    let fault = |right_text: &str, wrong: &str| {
        let options = Options { max_steps: 300_000, ..Options::default() };
        let source = plant(&right, right_text, wrong);
        multiply(&source, &options).err().unwrap_or_else(|| panic!("`{wrong}` was not noticed")).kind
    };
    // Nobody waits for the copies, or for the stage to be free again.
    let kind = fault("wait(at(&full[s]), step / 3 & 1);", "");
    assert!(early(&kind), "{kind}");
    let kind = fault("if (step >= 3) wait(at(&empty[s]), step / 3 - 1 & 1);", "");
    assert!(early(&kind), "{kind}");
    // The stage is given back while it is read, or by one warp for all.
    let kind = fault("wgmma.wait_group.sync.aligned 0;", "wgmma.wait_group.sync.aligned 1;");
    assert!(early(&kind), "{kind}");
    let kind = fault("asm volatile(\"bar.sync %0, 128;\" :: \"r\"(1 + warp / 4) : \"memory\");", "");
    assert!(early(&kind), "{kind}");
    // Bytes miscounted, arrivals miscounted, parities confused.
    let kind = fault("\"r\"(384 * 128) : \"memory\"", "\"r\"(384 * 128 + 16) : \"memory\"");
    assert!(matches!(kind, FaultKind::StepLimit { .. } | FaultKind::Deadlock { .. }), "{kind}");
    let kind = fault(".b64 [%0], 2;", ".b64 [%0], 3;");
    assert!(matches!(kind, FaultKind::StepLimit { .. } | FaultKind::Deadlock { .. }), "{kind}");
    let kind = fault("step / 3 & 1);", "step / 3 - 1 & 1);");
    assert!(matches!(kind, FaultKind::PendingCopy { .. } | FaultKind::Uninitialised { .. }), "{kind}");
    // The barrier behind which the mbarriers are initialised.
    let kind = fault("__syncthreads();", "");
    assert!(matches!(kind, FaultKind::SharedRace { .. } | FaultKind::Protocol(_)), "{kind}");
    // A tile at an address that is none.
    let kind = fault("tile(at(smem) + s * (384 * 128), A", "tile(at(smem) + s * (384 * 128) + 64, A");
    assert!(matches!(kind, FaultKind::Misaligned { size: 128, .. }), "{kind}");
    let kind = fault("\"l\"(&map)", "\"l\"((const char*)&map + 64)");
    assert!(matches!(&kind, FaultKind::Protocol(what) if what.contains("no tensor map")), "{kind}");
}

#[test]
fn coordinates_that_change_places_spoil_the_product() {
    let source = plant(&pipeline(), "A, step * 64, blockIdx.x * 128", "A, blockIdx.x * 128, step * 64");
    let (c, want) = multiply(&source, &Options::default()).unwrap_or_else(|f| panic!("{f}"));
    assert!(c != want);
}

/// What only mbarrier instructions may do to an mbarrier.
#[test]
fn mbarriers_that_are_misused() {
    let kind = |body: &str| {
        let source = format!(
            r#"__device__ unsigned at(const void* p) {{ return (unsigned)__cvta_generic_to_shared(p); }}
            extern "C" __global__ void k(unsigned long long* y) {{
                __shared__ unsigned long long b[2];
                if (threadIdx.x == 0) asm volatile("mbarrier.init.shared.b64 [%0], 64;" :: "r"(at(b)) : "memory");
                __syncthreads();
                {body}
            }}"#
        );
        let mut memory = Memory::new();
        let yp = memory.alloc(8 * 64, "y");
        let options = Options { max_steps: 100_000, ..Options::default() };
        let launch = Launch::linear(1, 64, vec![yp.into()]);
        run(k(&module(&source, Arch::SM_90)), &launch, &mut memory, &options).err().map(|fault| fault.kind)
    };
    let arrive = r#"asm volatile("mbarrier.arrive.shared.b64 _, [%0];" :: "r"(at(b)) : "memory");"#;
    let inval = r#"__syncthreads(); if (threadIdx.x == 9) asm volatile("mbarrier.inval.shared.b64 [%0];" :: "r"(at(b)) : "memory"); __syncthreads();"#;
    let says = |kind: Option<FaultKind>, part: &str| {
        assert!(matches!(&kind, Some(FaultKind::Protocol(what)) if what.contains(part)), "{kind:?}");
    };
    assert_eq!(kind(arrive), None);
    assert_eq!(
        kind(&format!("{arrive} {inval} b[threadIdx.x & 1] = 7; __syncthreads(); y[threadIdx.x] = b[0];")),
        None
    );
    assert_eq!(kind(&format!("{arrive} {arrive} {arrive}")), None);
    says(kind("y[threadIdx.x] = *(volatile unsigned long long*)b;"), "only mbarrier instructions");
    says(kind("*(volatile unsigned*)((char*)b + 4) = 1;"), "only mbarrier instructions");
    says(kind(&format!("{inval} {arrive}")), "before it is initialised");
    says(kind(r#"asm volatile("mbarrier.init.shared.b64 [%0], 64;" :: "r"(at(b)) : "memory");"#), "initialised again");
    says(kind(r#"asm volatile("mbarrier.arrive.shared.b64 _, [%0], 40;" :: "r"(at(b)) : "memory");"#), "more arrivals");
    assert!(matches!(
        kind(&format!(
            "{arrive} if (threadIdx.x == 40) asm volatile(\"mbarrier.inval.shared.b64 [%0];\" :: \"r\"(at(b)) : \"memory\");"
        )),
        Some(FaultKind::SharedRace { .. })
    ));
}
