//! NVRTC and the disk cache. They need NVRTC, which `make nvrtc` fetches, and no GPU.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use pointweld::compile::{Cache, CacheWarning, CompileError, Compiled, Nvrtc, Output, Request, Toolchain};
use pointweld::target::Arch;

/// A kernel of about the size of a fused chain; `tag` makes it another program.
fn silu(tag: usize) -> String {
    format!(
        r#"// program {tag}
extern "C" __global__ void __launch_bounds__(256) silu(const float4* __restrict__ x, float4* __restrict__ y, unsigned n) {{
  const unsigned i = blockIdx.x * 256u + threadIdx.x;
  if (i >= n) return;
  float4 v = x[i];
  v.x = v.x / (1.0f + __expf(-v.x)) + {tag}.0f;
  v.y = v.y / (1.0f + __expf(-v.y));
  v.z = v.z / (1.0f + __expf(-v.z));
  v.w = v.w / (1.0f + __expf(-v.w));
  y[i] = v;
}}
"#
    )
}

fn request(source: &str) -> Request<'_> {
    Request { source, kernel: "silu", arch: Arch::SM_90, output: Output::Cubin, options: &[] }
}

fn nvrtc() -> Nvrtc {
    Nvrtc::load().unwrap_or_else(|error| panic!("{error}"))
}

fn toolchain(cache: Cache) -> Toolchain {
    let toolchain = Toolchain::load().unwrap_or_else(|error| panic!("{error}"));
    toolchain.with_cache(Some(cache))
}

/// A result without what differs from one compilation to the next.
fn content(compiled: &Compiled) -> (&[u8], Option<u32>, &str) {
    let registers = compiled.resources.map(|resources| resources.registers);
    (&compiled.bytes, registers, &compiled.log)
}

#[test]
fn machine_code_for_every_architecture() {
    let nvrtc = nvrtc();
    let source = silu(0);
    for arch in Arch::all() {
        let request = Request { arch, ..request(&source) };
        if !nvrtc.supported_archs().contains(&arch.number()) {
            let error = nvrtc.compile(&request).unwrap_err();
            assert!(matches!(error, CompileError::UnsupportedArch { .. }), "{error}");
            continue;
        }
        let compiled = nvrtc.compile(&request).unwrap();
        assert_eq!(&compiled.bytes[..4], b"\x7fELF", "{arch}");
        let resources = compiled.resources.unwrap();
        assert!((8..64).contains(&resources.registers), "{arch}: {resources:?}");
        assert_eq!((resources.spill_stores, resources.stack, resources.shared), (0, 0, 0));
        assert_eq!(compiled.log, "");
    }
}

#[test]
fn resources_are_those_of_the_kernel() {
    let nvrtc = nvrtc();
    let source = r#"
extern "C" __global__ void other(float* x) { __shared__ float s[8]; s[threadIdx.x] = x[0]; __syncthreads(); x[1] = s[3]; }
extern "C" __global__ void wanted(float* x, int n) {
  __shared__ float s[256];
  float local[32];
  for (int k = 0; k < 32; k++) local[k * n & 31] = x[k];
  s[threadIdx.x] = local[n & 31];
  __syncthreads();
  x[threadIdx.x] = s[threadIdx.x ^ 1];
}"#;
    let request = Request { kernel: "wanted", ..request(source) };
    let resources = nvrtc.compile(&request).unwrap().resources.unwrap();
    assert_eq!(resources.shared, 1024);
    assert_eq!(resources.stack, 128);
    assert_eq!(resources.barriers, 1);
}

#[test]
fn ptx_is_text_for_the_architecture() {
    let nvrtc = nvrtc();
    let source = silu(0);
    let request = Request { output: Output::Ptx, arch: Arch::SM_80, ..request(&source) };
    let compiled = nvrtc.compile(&request).unwrap();
    let text = String::from_utf8(compiled.bytes).unwrap();
    assert!(text.contains(".target sm_80") && text.contains(".visible .entry silu"));
    assert!(!text.contains('\0'));
    assert_eq!(compiled.resources, None);
}

#[test]
fn machine_code_comes_with_the_ptx_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let toolchain = toolchain(Cache::at(folder.path()));
    let source = silu(0);
    for arch in [Arch::SM_80, Arch::SM_90] {
        let cubin = Request { arch, ..request(&source) };
        let alone = nvrtc().compile(&Request { output: Output::Ptx, ..cubin }).unwrap();
        let [fresh, cached] = [(); 2].map(|()| toolchain.compile(&cubin).unwrap());
        assert!(!fresh.from_cache && cached.from_cache);
        assert_eq!(fresh.ptx, alone.bytes, "{arch}");
        assert_eq!((&cached.bytes, &cached.ptx), (&fresh.bytes, &fresh.ptx));
        assert!(alone.ptx.is_empty());
    }
}

#[test]
fn options_reach_nvrtc() {
    let nvrtc = nvrtc();
    let source = "extern \"C\" __global__ void silu(float* x) { x[0] = expf(x[0]) / x[1] + WORD; }";
    let options = ["--define-macro=WORD=3".to_owned(), "--use_fast_math".to_owned()];
    let ptx = |options: &[String]| {
        let request = Request { options, output: Output::Ptx, ..request(source) };
        nvrtc.compile(&request).map(|compiled| compiled.bytes)
    };
    let fast = String::from_utf8(ptx(&options).unwrap()).unwrap();
    assert!(fast.contains("div.approx.ftz.f32"), "{fast}");
    let exact = String::from_utf8(ptx(&options[..1]).unwrap()).unwrap();
    assert!(exact.contains("div.rn.f32"), "{exact}");
    let error = ptx(&["--no-such-option".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn a_wrong_program_is_shown_with_its_lines() {
    let nvrtc = nvrtc();
    let source = silu(7).replace("y[i] = v", "y[i] = w");
    let error = nvrtc.compile(&request(&source)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("rejected kernel `silu` for sm_90"), "{text}");
    assert!(text.contains("silu.cu(10): error: identifier \"w\" is undefined"), "{text}");
    assert!(text.contains(">    10 |   y[i] = w;"), "{text}");

    let source = "extern \"C\" __global__ void silu() { asm(\"no.such;\"); }";
    let text = nvrtc.compile(&request(source)).unwrap_err().to_string();
    assert!(text.contains("ptxas"), "{text}");
}

#[test]
fn a_zero_byte_is_refused() {
    let nvrtc = nvrtc();
    let source = "int a;\0int b;";
    let error = nvrtc.compile(&request(source)).unwrap_err();
    assert!(matches!(error, CompileError::ZeroByte { what: "source", at: 6, .. }), "{error}");
}

#[test]
fn compiling_again_gives_the_same_bytes() {
    let nvrtc = nvrtc();
    let source = silu(1);
    let once = nvrtc.compile(&request(&source)).unwrap();
    let again = nvrtc.compile(&request(&source)).unwrap();
    assert_eq!(content(&once), content(&again));
}

#[test]
fn the_cache_returns_what_nvrtc_made() {
    let folder = tempfile::tempdir().unwrap();
    let toolchain = toolchain(Cache::at(folder.path()));
    let source = silu(2);
    let cold = toolchain.compile(&request(&source)).unwrap();
    let warm = toolchain.compile(&request(&source)).unwrap();
    assert!(!cold.from_cache && warm.from_cache);
    assert_eq!(content(&cold), content(&warm));
    assert_eq!(cold.resources, warm.resources);
    assert_eq!(toolchain.cache().unwrap().stats().unwrap().entries, 1);

    // Whatever decides the result makes another entry.
    let options = ["--maxrregcount=24".to_owned()];
    let others = [
        Request { arch: Arch::SM_80, ..request(&source) },
        Request { arch: Arch::SM_90A, ..request(&source) },
        Request { output: Output::Ptx, ..request(&source) },
        Request { options: &options, ..request(&source) },
    ];
    for other in &others {
        assert!(!toolchain.compile(other).unwrap().from_cache);
        assert!(toolchain.compile(other).unwrap().from_cache);
    }
    let cache = toolchain.cache().unwrap();
    assert_eq!(cache.stats().unwrap().entries, 5);
    assert_eq!(cache.clear().unwrap().entries, 5);
    assert_eq!(cache.stats().unwrap().bytes, 0);
}

#[test]
fn a_damaged_entry_is_compiled_again_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let toolchain = toolchain(Cache::at(folder.path()));
    let source = silu(3);
    let good = toolchain.compile(&request(&source)).unwrap();
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for damage in [&flipped[..], &whole[..whole.len() - 9], &whole[..5], b""] {
        fs::write(&file, damage).unwrap();
        let again = toolchain.compile(&request(&source)).unwrap();
        assert!(!again.from_cache);
        assert_eq!(content(&again), content(&good));
        assert!(
            matches!(&again.warnings[..], [CacheWarning::Damaged { path, .. }] if *path == file),
            "{:?}",
            again.warnings
        );
        // It has been replaced.
        let next = toolchain.compile(&request(&source)).unwrap();
        assert!(next.from_cache && next.warnings.is_empty());
    }
}

#[test]
fn a_folder_that_cannot_be_written_only_costs_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let toolchain = toolchain(Cache::at(file.join("cache")));
    let source = silu(4);
    let first = toolchain.compile(&request(&source)).unwrap();
    assert!(matches!(&first.warnings[..], [CacheWarning::Unwritable { .. }]));
    // It is said once.
    let second = toolchain.compile(&request(&source)).unwrap();
    assert!(!second.from_cache && second.warnings.is_empty());
}

#[test]
fn the_least_recently_used_entries_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let unlimited = toolchain(Cache::at(folder.path()));
    let sources: Vec<String> = (0..6).map(|tag| silu(100 + tag)).collect();
    for source in &sources[..5] {
        unlimited.compile(&request(source)).unwrap();
    }
    let bytes = unlimited.cache().unwrap().stats().unwrap().bytes;
    // The first has been used again, so the second is the oldest.
    assert!(unlimited.compile(&request(&sources[0])).unwrap().from_cache);
    let limited = toolchain(Cache::at(folder.path()).with_limit(bytes));
    limited.compile(&request(&sources[5])).unwrap();
    let left = limited.cache().unwrap().stats().unwrap();
    assert!(left.bytes <= bytes && left.entries < 6, "{left:?}");
    let cached: Vec<bool> =
        [0, 1, 5].iter().map(|n| limited.compile(&request(&sources[*n])).unwrap().from_cache).collect();
    assert_eq!(cached, [true, false, true]);
}

#[test]
fn many_programs_keep_their_order_and_one_failure_stops_none() {
    let folder = tempfile::tempdir().unwrap();
    let toolchain = toolchain(Cache::at(folder.path()));
    let mut sources: Vec<String> = (0..8).map(|tag| silu(200 + tag)).collect();
    sources[3] = "not a program".to_owned();
    let requests: Vec<Request> = sources.iter().map(|source| request(source)).collect();
    let seen = Mutex::new(BTreeSet::new());
    let results = toolchain.compile_all(&requests, 0, &|done, total, request| {
        assert_eq!(total, 8);
        assert_eq!(request.kernel, "silu");
        assert!(seen.lock().unwrap().insert(done));
    });
    assert_eq!(seen.into_inner().unwrap(), (1..=8).collect::<BTreeSet<usize>>());
    for (index, result) in results.iter().enumerate() {
        match result {
            Err(CompileError::Rejected { .. }) => assert_eq!(index, 3),
            Err(error) => panic!("{error}"),
            Ok(compiled) => {
                let alone = toolchain.compile(&requests[index]).unwrap();
                assert_eq!(content(compiled), content(&alone));
            }
        }
    }
    assert!(toolchain.compile_all(&[], 4, &|_, _, _| {}).is_empty());
}

/// The variable that makes this test binary say what loading NVRTC gives.
const LOADER: &str = "POINTWELD_TEST_LOAD";

/// Loads NVRTC and says what came of it; a test only when the variable is set.
#[test]
fn load_worker() {
    if std::env::var_os(LOADER).is_some() {
        match Nvrtc::load() {
            Ok(nvrtc) => println!("loaded {:?}", nvrtc.path()),
            Err(error) => println!("refused {error}"),
        }
    }
}

/// What [`load_worker`] says in a process of its own, started from `program` in `folder`, with `POINTWELD_NVRTC` as given.
fn loading(program: &Path, folder: &Path, named: Option<&Path>) -> String {
    let mut command = Command::new(program);
    command.args(["--exact", "load_worker", "--nocapture"]).current_dir(folder).env(LOADER, "1");
    for variable in ["POINTWELD_NVRTC", "CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH"] {
        command.env_remove(variable);
    }
    if let Some(path) = named {
        command.env("POINTWELD_NVRTC", path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_nvrtc_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let text = folder.path().join("libnvrtc.so.13");
    fs::write(&text, "not a library").unwrap();
    let absent = folder.path().join("absent");
    let refused = |path: &Path| {
        let said = loading(&program, folder.path(), Some(path));
        assert!(said.contains(&format!("refused NVRTC at {}", path.display())), "{said}");
        assert!(said.contains("make nvrtc"), "{said}");
        said
    };
    assert!(refused(&absent).contains("there is no libnvrtc.so there"));
    refused(&text);
    // A library that is something else: the first one that this process has loaded.
    if let Ok(maps) = fs::read_to_string("/proc/self/maps") {
        let other =
            maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc.so"));
        if let Some(other) = other {
            assert!(refused(Path::new(other)).contains("it has no function nvrtc"));
        }
    }
}

#[test]
fn nvrtc_is_found_by_file_by_folder_and_missed_with_advice() {
    let Some(file) = nvrtc().path().map(|path| path.canonicalize().unwrap()) else {
        // The system's loader has one, so that it is never missing here.
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let loaded = format!("loaded Some({file:?})");
    assert!(loading(&program, folder.path(), Some(&file)).contains(&loaded));
    let said = loading(&program, folder.path(), file.parent());
    assert!(said.contains(&loaded), "{said}");
    // A copy of the program, far from any NVRTC.
    let copy = folder.path().join("program");
    fs::copy(&program, &copy).unwrap();
    let said = loading(&copy, folder.path(), None);
    let missing = said.contains("was not found; run `make nvrtc`") && said.contains("the system's loader");
    assert!(missing || said.contains("loaded None"), "{said}");
    // The same with NVRTC in `.cache/nvrtc` beside it.
    let cache = folder.path().join(".cache/nvrtc");
    fs::create_dir_all(&cache).unwrap();
    for entry in fs::read_dir(file.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), cache.join(entry.file_name())).unwrap();
    }
    let said = loading(&copy, folder.path(), None);
    assert!(!missing || said.contains("loaded Some"), "{said}");
}

/// The variable that makes this test binary a worker of the test below.
const WORKER: &str = "POINTWELD_TEST_CACHE_WORKER";

/// Compiles the same few programs over and over in the folder that the variable names; a test only when it is set.
#[test]
fn cache_worker() {
    let Some(folder) = std::env::var_os(WORKER) else {
        return;
    };
    // A limit of a few entries makes the processes evict each other's entries too.
    let toolchain = toolchain(Cache::at(folder).with_limit(40_000));
    let sources: Vec<String> = (0..6).map(|tag| silu(300 + tag)).collect();
    let requests: Vec<Request> = (0..24).map(|n| request(&sources[n % 6])).collect();
    for result in toolchain.compile_all(&requests, 3, &|_, _, _| {}) {
        let compiled = result.unwrap();
        assert_eq!(&compiled.bytes[..4], b"\x7fELF");
        assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
    }
}

#[test]
fn processes_and_threads_share_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "cache_worker"])
                .env(WORKER, folder.path())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    // No process left a half-written file behind.
    for entry in fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(name.to_str().unwrap().ends_with(".kernel"), "{name:?}");
    }
}

#[test]
fn a_cached_kernel_takes_less_than_a_tenth_of_a_compiled_one() {
    let folder = tempfile::tempdir().unwrap();
    let toolchain = toolchain(Cache::at(folder.path()));
    let sources: Vec<String> = (0..10).map(|tag| silu(400 + tag)).collect();
    let time = || {
        let start = Instant::now();
        for source in &sources {
            toolchain.compile(&request(source)).unwrap();
        }
        start.elapsed()
    };
    let (cold, warm) = (time(), time());
    eprintln!("a kernel: cold {:.2} ms, cached {:.3} ms", cold.as_secs_f64() * 100.0, warm.as_secs_f64() * 100.0);
    assert!(warm * 10 < cold, "cold {cold:?}, cached {warm:?}");
}
