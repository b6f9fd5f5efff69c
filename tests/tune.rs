//! Locks: what is written is found again, by the same bytes; what does not fit is named and changes nothing; every candidate computes the same.

use pointweld::compile::{Output, Request, Toolchain};
use pointweld::compiler::Compiler;
use pointweld::dim::Bindings;
use pointweld::emit;
use pointweld::expr;
use pointweld::graph::Graph;
use pointweld::lock::{Choice, Lock};
use pointweld::plan::{Form, Kernel, Reason, Verdict};
use pointweld::prove::{self, Interpreter};
use pointweld::schedule;
use pointweld::target::Arch;
use pointweld::tune::{Clock, Options, tune};

fn graph(text: &str) -> Graph {
    expr::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

fn compiler() -> Compiler {
    Compiler::new()
}

fn by_model(graph: &Graph, sizes: &Bindings) -> Lock {
    let compiler = sizes.iter().fold(compiler(), |c, (name, size)| c.expect_size(name, *size));
    tune(Clock::Model, &compiler, graph, sizes, &Options::default(), &mut |_| {}).unwrap().lock
}

const GEMM: &str = "y = silu(matmul(a:f16[m,256], b:f16[256,128]) + c:f16[128])";

#[test]
fn a_lock_reads_back_and_is_written_in_the_same_bytes() {
    let graph = graph("y:i8 = quantize(silu(dequantize(x:i8[n], 0.05)), 0.04); z = relu(a:f16[n,64] + b:f16[64])");
    let sizes = [("n".to_string(), 4096)].into();
    let lock = by_model(&graph, &sizes);
    assert_eq!(lock.entries.len(), 2);
    let text = lock.to_json().unwrap();
    assert_eq!(text, by_model(&graph, &sizes).to_json().unwrap());
    let back = Lock::parse(text.as_bytes()).unwrap();
    assert_eq!((back.to_json().unwrap(), &back.entries), (text, &lock.entries));
    // A size of the same class finds the same entries, one of another class none.
    for (size, used) in [(4096, 2), (3000, 2), (5000, 0)] {
        let planned = compiler().expect_size("n", size).lock(lock.clone()).plan(&graph).unwrap();
        assert_eq!(planned.locked.used.len(), used, "{size}: {:?}", planned.locked);
        assert_eq!(planned.locked.missing.len(), 2 - used);
        assert_eq!(planned.locked.stale.len(), 2 - used);
    }
    // Another architecture has entries of its own.
    let planned = compiler().arch(Arch::SM_80).expect_size("n", 4096).lock(lock).plan(&graph).unwrap();
    assert_eq!((planned.locked.used.len(), planned.locked.stale.len()), (0, 0));
}

#[test]
fn names_and_constants_are_no_part_of_a_key() {
    let sizes: Bindings = [("n".to_string(), 64)].into();
    let lock = by_model(&graph("y:i8 = quantize(silu(dequantize(x:i8[n], 0.05)), 0.04)"), &sizes);
    let other = graph("result:i8 = quantize(silu(dequantize(data:i8[n], 0.125, 3)), 0.25, 7)");
    let planned = compiler().expect_size("n", 64).lock(lock.clone()).plan(&other).unwrap();
    assert_eq!(planned.locked.used.len(), 1, "{:?}", planned.locked);
    let unsigned = graph("y:i8 = quantize(silu(dequantize(x:u8[n], 0.05)), 0.04)");
    let planned = compiler().expect_size("n", 64).lock(lock).plan(&unsigned).unwrap();
    assert_eq!(planned.locked.missing.len(), 1, "{:?}", planned.locked);
}

#[test]
fn a_lock_chooses_the_blocking() {
    let graph = graph(GEMM);
    let sizes = [("m".to_string(), 512)].into();
    let mut lock = by_model(&graph, &sizes);
    let compiler = compiler().expect_size("m", 512);
    let planned = compiler.plan(&graph).unwrap();
    let kernel = planned.plan.kernels().next().unwrap();
    let candidates = schedule::candidates(kernel, &compiler.target(), compiler.schedule_options());
    let other = candidates.iter().find(|pick| pick.form != kernel.schedule.form).unwrap();
    lock.entries.values_mut().for_each(|entry| entry.choice = Choice::Run(other.clone()));
    let locked = compiler.clone().lock(lock.clone()).plan(&graph).unwrap();
    assert_eq!(locked.plan.kernels().next().unwrap().schedule.pick(), *other);
    assert_eq!((locked.locked.used.len(), locked.locked.stale.len()), (1, 0));
    // A schedule that the rules do not allow is named, and the compiler chooses.
    for entry in lock.entries.values_mut() {
        let Choice::Run(pick) = &mut entry.choice else { panic!() };
        let Form::Product { blocking, .. } = &mut pick.form else { panic!() };
        blocking.m = 48;
    }
    let planned_again = compiler.clone().lock(lock).plan(&graph).unwrap();
    assert_eq!(planned_again.plan.kernels().next().unwrap().schedule, kernel.schedule);
    assert_eq!((planned_again.locked.used.len(), planned_again.locked.stale.len()), (0, 1));
}

#[test]
fn a_lock_takes_a_product_and_its_epilogue_apart() {
    let graph = graph(GEMM);
    let sizes = [("m".to_string(), 512)].into();
    let mut lock = by_model(&graph, &sizes);
    lock.entries.values_mut().for_each(|entry| entry.choice = Choice::Apart);
    let compiler = compiler().expect_size("m", 512);
    let planned = compiler.clone().lock(lock.clone()).plan(&graph).unwrap();
    let kernels: Vec<&Kernel> = planned.plan.kernels().collect();
    assert_eq!(kernels.len(), 2, "{}", planned.plan);
    assert!(
        kernels[0].product.is_some() && kernels[0].body.is_empty() && kernels[1].product.is_none(),
        "{}",
        planned.plan
    );
    let cut =
        planned.plan.decisions.iter().find(|d| matches!(&d.verdict, Verdict::Cut { reason: Reason::Cost { .. } }));
    assert!(cut.unwrap().to_string().contains("by the lock"), "{}", cut.unwrap());
    assert!(planned.locked.stale.is_empty(), "{:?}", planned.locked);
    // What the user asks for goes before it.
    let sum = cut.unwrap().to.clone();
    let forced = compiler.lock(lock).fuse("matmul", &sum).plan(&graph);
    assert_eq!(forced.unwrap().plan.kernels().count(), 1);
}

#[test]
fn blocks_share_out_long_sums_where_there_are_few_tiles() {
    let split = |text: &str| {
        let planned = compiler().plan(&graph(text)).unwrap();
        let Form::Product { blocking, .. } = planned.plan.kernels().next().unwrap().schedule.form else { panic!() };
        blocking.split
    };
    assert!(split("y = relu(matmul(a:f16[16,4096], transpose(b:f16[1024,4096])))") > 1);
    assert_eq!(split("y = relu(matmul(a:f16[4096,4096], transpose(b:f16[4096,4096])))"), 1);
    assert_eq!(split("y = relu(matmul(a:f16[16,64], transpose(b:f16[4096,64])))"), 1);
}

#[test]
fn welded_edges_say_what_both_ways_cost() {
    let planned = compiler().expect_size("m", 8192).plan(&graph(GEMM)).unwrap();
    let welded = planned.plan.decisions.iter().find(|d| d.from == "matmul").unwrap();
    let costs = welded.costs.unwrap();
    assert!(matches!(welded.verdict, Verdict::Fused { .. }) && costs.fused_ns < costs.cut_ns, "{welded}");
    assert!(welded.to_string().contains(" ns, cut "), "{welded}");
    assert!(costs.fused_ns > 0.0 && costs.cut_ns.is_finite());
}

fn pointweld(args: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_pointweld")).args(args).output().expect("the command starts")
}

#[test]
fn the_command_writes_locks_and_others_read_them() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/models/qonnx/mnist-conv/model.onnx");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, two) = (path("one.lock.json"), path("two.lock.json"));
    for lock in [&one, &two] {
        let run = pointweld(&["tune", model, "--model", "-o", lock]);
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    }
    let text = std::fs::read_to_string(&one).unwrap();
    assert_eq!(text, std::fs::read_to_string(&two).unwrap());
    assert!(!Lock::parse(text.as_bytes()).unwrap().entries.is_empty(), "{text}");
    let run = pointweld(&["explain", model, "--lock", &one]);
    assert_eq!(
        (run.status.code(), run.stderr.as_slice()),
        (Some(0), &b""[..]),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    // Without welding there are other kernels, which the warnings name.
    let run = pointweld(&["explain", model, "--no-weld", "--lock", &one]);
    let warnings = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && warnings.contains("no kernel has the entry"), "{warnings}");
    std::fs::write(&two, "{}").unwrap();
    let run = pointweld(&["explain", model, "--lock", &two]);
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
    if pointweld::runtime::Device::open(0).is_err() {
        let run = pointweld(&["tune", model, "-o", &two]);
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.code() == Some(4) && message.contains("--model"), "{message}");
    }
}

/// All candidates of a kernel on the interpreter.
fn all_hold(text: &str, arch: Arch) {
    let toolchain = Toolchain::load().unwrap_or_else(|e| panic!("{e}"));
    let compiler = compiler().arch(arch);
    let planned = compiler.plan(&graph(text)).unwrap();
    for kernel in planned.plan.kernels() {
        let candidates = schedule::candidates(kernel, &compiler.target(), compiler.schedule_options());
        assert!(candidates.len() > 1, "{text}: {:?}", kernel.schedule.form);
        let (mut held, count) = (0, candidates.len());
        for pick in candidates {
            let schedule = schedule::with(kernel, pick, &compiler.target(), compiler.schedule_options());
            let kernel = Kernel { schedule, ..kernel.clone() };
            // A form that does not fit has no text, and is no candidate any more.
            let Ok(source) = emit::emit(&kernel, &emit::Options::default()) else { continue };
            let request =
                Request { source: &source.text, kernel: &source.entry, arch, output: Output::Ptx, options: &[] };
            let compiled = toolchain.compile(&request).unwrap_or_else(|e| panic!("{e}"));
            let machine = Interpreter::new(&String::from_utf8_lossy(&compiled.bytes), &source.entry, Some(5)).unwrap();
            let table = emit::table_of(&kernel);
            let options = prove::Options { samples: 2048, seed: 3 };
            let proof = prove::prove(&kernel, &source, table.as_deref(), &machine, &options);
            assert!(proof.holds() && proof.elements > 0, "{text}: {:?}: {proof:?}", kernel.schedule.form);
            held += 1;
        }
        assert!(2 * held > count, "{text}: {held} of {count}");
    }
}

#[test]
fn every_pointwise_candidate_holds() {
    all_hold("y = silu(x:f16[n])", Arch::SM_90);
    all_hold("y:i8 = quantize(silu(dequantize(x:i8[3000], 0.05)), 0.04)", Arch::SM_90);
    all_hold("y = relu(x:f16[40,64] + b:f16[64])", Arch::SM_80);
    all_hold("y = conv(x:f16[2,9,9,32], w:f16[32,3,3,1], 1, 1)", Arch::SM_80);
}

#[test]
fn every_blocking_of_a_small_product_holds() {
    all_hold("y = silu(matmul(a:f16[24,512], transpose(b:f16[40,512])) + c:f16[40])", Arch::SM_80);
    all_hold("y:i8 = quantize(dequantize(conv(x:i8[1,5,7,64], w:i8[32,3,3,64], 1, 1), 0.001), 0.1)", Arch::SM_80);
}
