//! The command line, run as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn pointweld(args: &[&str], cache: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointweld"));
    command.args(args).env("POINTWELD_CACHE", cache);
    command.output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

const SILU: &str = "y:i8 = quantize(silu(dequantize(x:i8, 0.05)), 0.04)";

#[test]
fn emit_prints_a_kernel_and_says_which_nodes_it_is() {
    let cache = tempfile::tempdir().unwrap();
    let out = pointweld(&["emit", "--expr", SILU], cache.path());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let kernel = text(&out.stdout);
    assert!(kernel.starts_with("// PWN(dequantize_"), "{kernel}");
    assert!(kernel.contains("extern \"C\" __global__"), "{kernel}");
    // Colour is for terminals.
    assert!(!kernel.contains('\u{1b}'));
}

#[test]
fn emit_compiles_for_several_architectures_and_the_cache_remembers() {
    let (cache, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = out.path().join("made/as/needed");
    let args = ["--json", "emit", "--expr", SILU, "--arch", "sm_80,sm_90", "-o", folder.to_str().unwrap()];
    for cached in [0, 2] {
        let run = pointweld(&args, cache.path());
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!((&summary["builds"], &summary["cached"]), (&2.into(), &cached.into()), "{summary}");
        assert!(summary["programs"].as_array().unwrap().iter().all(|row| row["spill_bytes"] == 0), "{summary}");
    }
    let mut kinds: Vec<String> = fs::read_dir(folder.join("kernels"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.split_once('.').unwrap().1.to_string())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["cu", "ptx", "sm_80.cubin", "sm_90.cubin"]);
    let plan = fs::read_to_string(folder.join("plan.json")).unwrap();
    let plan: pointweld::plan::Plan = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan.kernels().count(), 1);
    assert!(fs::read_to_string(folder.join("graph.dot")).unwrap().starts_with("digraph"));

    let stats = pointweld(&["--json", "cache"], cache.path());
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    // Machine code and its PTX are one entry.
    assert_eq!(stats["entries"], 2);
    let cleared = pointweld(&["cache", "--clear"], cache.path());
    assert!(text(&cleared.stdout).contains("removed"), "{}", text(&cleared.stdout));
}

#[test]
fn the_header_is_c_and_launches_as_the_library_does() {
    let (cache, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = out.path();
    let expr = "y = silu(x:f16[n,64,h,40] + b:f16[64,1,1])";
    let run = pointweld(&["emit", "--expr", expr, "--arch", "sm_90", "-o", folder.to_str().unwrap()], cache.path());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let header = fs::read_to_string(folder.join("kernels.h")).unwrap();
    let name = header.split("#define PW_").nth(1).unwrap().split("_ENTRY").next().unwrap().to_lowercase();
    let params = header.split(&format!("pw_{name}(pw_{name}_params* p")).nth(1).unwrap().split(')').next().unwrap();
    // Addresses come first, then the symbols in order: h, n.
    let pointers = params.matches("uint64_t").count();
    let addresses = (1..=pointers).map(|i| format!("{}, ", 4096 * i)).collect::<String>();
    let program = format!(
        "#include \"kernels.h\"\n#include <stdio.h>\nint main(void) {{ pw_{name}_params p;\n\
         pw_launch l = pw_{name}(&p, {addresses}7, 3);\nprintf(\"%u %u\", l.grid, l.block); return 0; }}\n"
    );
    fs::write(folder.join("main.c"), program).unwrap();
    let binary = folder.join("main");
    let cc = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Werror", "-Wno-unused-function", "-o", binary.to_str().unwrap()])
        .arg(folder.join("main.c"))
        .output()
        .expect("a C compiler is there");
    assert!(cc.status.success(), "{}\n{header}", text(&cc.stderr));
    let printed = text(&Command::new(binary).output().unwrap().stdout);

    let graph = pointweld::expr::parse(expr).unwrap();
    let planned = pointweld::compiler::Compiler::new().plan(&graph).unwrap();
    let sizes = [("h".to_string(), 7), ("n".to_string(), 3)].into();
    let launch = planned.sources[0].launch(planned.plan.kernels().next().unwrap(), &sizes).unwrap();
    assert_eq!(printed, format!("{} {}", launch.grid[0], launch.block[0]));
}

#[test]
fn failures_have_their_exit_codes_and_say_what_is_wrong() {
    let cache = tempfile::tempdir().unwrap();
    let case = |args: &[&str], code: i32, says: &str| {
        let out = pointweld(args, cache.path());
        let error = text(&out.stderr) + &text(&out.stdout);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(says), "{args:?}: {error}");
    };
    case(&["emit", "--expr", "y = sulu(x)"], 3, "sulu is not an op");
    case(&["emit"], 2, "--expr");
    case(&["emit", "--expr", SILU, "--arch", "sm_12"], 2, "sm_12");
    case(&["emit", "--expr", SILU, "--keep-apart", "one"], 2, "two node names");
    case(&["emit", "--expr", SILU, "--keep-apart", "silo_4,quantize_7"], 3, "silo_4");
    case(&["emit", "--expr", "y = silu(x:f16[n])", "--dim", "m=4"], 3, "no dimension is called m; the inputs have n");
    case(&["emit", "--expr", SILU, "--stop-after", "inline"], 2, "there is no pass inline");
    case(&["explain", "no/such/model.onnx"], 3, "no/such/model.onnx");
    case(&["--json", "explain", "no/such/model.onnx"], 3, "{\n  \"error\"");
    case(&["explain", "Cargo.toml"], 3, "Cargo.toml");
    case(&["ops", "nosuchop"], 3, "nosuchop");
    case(&["ops", "bitcast"], 0, "between integers: cast");
    case(&["ops", "batchnorm"], 0, "becomes mul");
    let file = cache.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    case(&["emit", "--expr", SILU, "-o", file], 4, file);
    case(&["emit", "--expr", "y = x"], 3, "the formula computes nothing");
    case(&["--json", "emit", "--expr", "y = x:f16", "--arch", "sm_90"], 3, "the formula computes nothing");
    let model = cache.path().join("relu.onnx");
    fs::write(&model, RELU).unwrap();
    case(&["run", model.to_str().unwrap(), "--random", "1", "-o", file], 4, file);
}

#[test]
fn a_folder_that_is_not_writable_is_noticed_before_anything_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, file, model) = (folder.path().join("cache"), folder.path().join("file"), folder.path().join("m.onnx"));
    fs::write(&file, "").unwrap();
    fs::write(&model, RELU).unwrap();
    let model = model.to_str().unwrap();
    for command in [["emit", "--expr", SILU], ["compile", "--no-weld", model]] {
        let out = pointweld(&[&command[..], &["-o", file.to_str().unwrap()]].concat(), &cache);
        assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
        assert!(!cache.exists(), "{command:?} compiled first");
    }
}

/// Every file below a folder.
#[cfg(unix)]
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_compilation_and_leaves_nothing_half_written() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let (cache, out, model) = (folder.path().join("cache"), folder.path().join("out"), folder.path().join("m.onnx"));
    fs::write(&model, RELU).unwrap();
    let archs = "sm_75,sm_80,sm_86,sm_87,sm_89,sm_90,sm_100,sm_103,sm_110,sm_120,sm_121";
    let args = ["compile", "-j", "1", model.to_str().unwrap(), "--arch", archs, "-o", out.to_str().unwrap()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointweld"));
    let mut child = command.args(args).env("POINTWELD_CACHE", &cache).spawn().unwrap();
    // An entry of the cache is there and another has at least begun; most compilations are still to come.
    let start = Instant::now();
    while files_below(&cache).len() < 2 && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().signal(), Some(2), "a shell calls it 130");
    assert!(files_below(&out).is_empty());
    // What stands in the cache is whole: the next run uses it and has nothing to warn of.
    let again = pointweld(&[&["--json"], &args[..]].concat(), &cache);
    assert_eq!((again.status.code(), text(&again.stderr).as_str()), (Some(0), ""));
    let summary: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!((1..11).contains(&summary["compiled"]["cached"].as_u64().unwrap()), "{summary}");
}

/// An ONNX model of one node, y = Relu(x), with x of four f32: the wire format written out.
const RELU: &[u8] = b"\x08\x08\x3a\x33\
    \x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu\
    \x12\x01g\
    \x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x04\
    \x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x04\
    \x42\x02\x10\x0d";

#[test]
fn what_limits_a_kernel_is_said_where_it_is_asked_for() {
    let (cache, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut args = vec!["--json", "emit", "--expr", SILU, "--arch", "sm_90", "-o", out.path().to_str().unwrap()];
    for asked in [false, true] {
        if asked {
            args.push("--estimate");
        }
        let run = pointweld(&args, cache.path());
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(
            summary["programs"][0]["estimate"]["bound"],
            if asked { "memory".into() } else { serde_json::Value::Null }
        );
    }
}

#[test]
fn pins_and_taps_reach_the_plan() {
    let cache = tempfile::tempdir().unwrap();
    let kernels = |more: &[&str]| {
        let expr = "s = sigmoid(x); y = tanh(s) * s";
        let args = [&["--json", "emit", "--expr", expr], more].concat();
        let out = pointweld(&args, cache.path());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let made: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let steps = made["plan"]["steps"].as_array().unwrap().clone();
        steps.iter().map(|s| s["kernel"]["stores"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(kernels(&[]), [1]);
    assert_eq!(kernels(&["--keep-apart", "sigmoid_1,tanh_2"]).len(), 2);
    assert_eq!(kernels(&["--output", "sigmoid_1"]), [2]);
}

#[test]
fn the_page_of_ops_is_up_to_date() {
    let cache = tempfile::tempdir().unwrap();
    let page = text(&pointweld(&["ops", "--markdown"], cache.path()).stdout);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/OPS.md");
    if std::env::var_os("POINTWELD_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/OPS.md is out of date: POINTWELD_BLESS=1 cargo test --test cli");
}

#[test]
fn completions_are_printed_for_every_shell() {
    let cache = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let out = pointweld(&["completions", shell], cache.path());
        assert!(out.status.success() && text(&out.stdout).contains("explain"), "{shell}");
    }
    let out = pointweld(&["--json", "completions", "bash"], cache.path());
    let printed: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(printed["shell"] == "bash" && printed["script"].as_str().unwrap().contains("pointweld"), "{printed}");
}

#[test]
fn the_demo_compiles_runs_and_shows() {
    let (cache, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = pointweld(&["demo", "-o", out.path().to_str().unwrap()], cache.path());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let shown = text(&run.stdout);
    for part in ["launches", "PWN(", "__global__", "y: i8[2, 64, 40, 40]", "written to"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}
