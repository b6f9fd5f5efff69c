//! What compiling costs: NVRTC to machine code and to PTX, on one thread and on all, and the disk cache.
//! `cargo bench --bench compile` prints a table for this machine.

use std::time::Instant;

use pointweld::compile::{Cache, Nvrtc, Output, Request, Toolchain};
use pointweld::target::Arch;

/// Programs a row.
const PROGRAMS: usize = 48;

/// A 16-byte vectorised kernel of `ops` operations an element. Each `tag` is a program that no cache has seen.
fn program(ops: usize, tag: usize) -> String {
    let mut body = String::new();
    for lane in ["x", "y", "z", "w"] {
        body += &format!("  float a_{lane} = v.{lane};\n");
        for op in 0..ops {
            body += &match op % 3 {
                0 => format!("  a_{lane} = __fdividef(a_{lane}, 1.0f + __expf(-a_{lane}));\n"),
                1 => format!("  a_{lane} = fmaf(a_{lane}, 1.{op}f, 0.{tag}f);\n"),
                _ => format!("  a_{lane} = fmaxf(a_{lane}, -1.{op}f);\n"),
            };
        }
        body += &format!("  v.{lane} = a_{lane};\n");
    }
    format!(
        "extern \"C\" __global__ void __launch_bounds__(256) kernel(const float4* __restrict__ x, float4* __restrict__ y, unsigned n) {{\n  \
         const unsigned i = blockIdx.x * 256u + threadIdx.x;\n  if (i >= n) return;\n  float4 v = x[i];\n{body}  y[i] = v;\n}}\n"
    )
}

/// Milliseconds a program of a run over all of them: by the wall clock, and the median of each one's own.
fn measure(toolchain: &Toolchain, sources: &[String], output: Output, jobs: usize) -> (f64, f64) {
    let requests: Vec<Request> = sources
        .iter()
        .map(|source| Request { source, kernel: "kernel", arch: Arch::SM_90, output, options: &[] })
        .collect();
    let start = Instant::now();
    let results = toolchain.compile_all(&requests, jobs, &|_, _, _| {});
    let wall = start.elapsed().as_secs_f64() * 1e3 / sources.len() as f64;
    let mut each: Vec<u64> =
        results.into_iter().map(|result| result.unwrap_or_else(|error| panic!("{error}")).micros).collect();
    each.sort_unstable();
    (wall, each[each.len() / 2] as f64 / 1e3)
}

fn main() {
    let start = Instant::now();
    let nvrtc = Nvrtc::load().unwrap_or_else(|error| panic!("{error}"));
    println!("NVRTC {} loaded in {:.1} ms", nvrtc.version(), start.elapsed().as_secs_f64() * 1e3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let uncached = Toolchain::load().unwrap_or_else(|error| panic!("{error}")).with_cache(None);
    let cached = Toolchain::load().unwrap_or_else(|error| panic!("{error}")).with_cache(Some(Cache::at(folder.path())));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);

    println!("{:<28} {:>8} {:>16} {:>16}", "sm_90", "threads", "ms/kernel, wall", "ms/kernel, each");
    let row =
        |name: &str, jobs: usize, (wall, each): (f64, f64)| println!("{name:<28} {jobs:>8} {wall:>16.3} {each:>16.3}");
    let mut tag = 0;
    for ops in [1, 10, 50] {
        for output in [Output::Cubin, Output::Ptx] {
            for jobs in [1, cores] {
                let sources: Vec<String> = (0..PROGRAMS).map(|n| program(ops, tag + n)).collect();
                tag += PROGRAMS;
                row(&format!("{ops} ops, {output:?}"), jobs, measure(&uncached, &sources, output, jobs));
            }
        }
    }
    let sources: Vec<String> = (0..PROGRAMS).map(|n| program(10, tag + n)).collect();
    row("10 ops, Cubin, to the cache", 1, measure(&cached, &sources, Output::Cubin, 1));
    row("10 ops, Cubin, from it", 1, measure(&cached, &sources, Output::Cubin, 1));
}
