//! `pointweld doctor`: what this machine has, and what to do about what it lacks.

use super::output::{self, Failure, bad, bold, good};
use crate::compile::{Cache, Nvrtc};
use crate::runtime::{Device, libraries};
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// Without it nothing can be compiled.
    needed: bool,
    says: String,
}

pub fn run(json: bool) -> Result<(), Failure> {
    let findings = [nvrtc(), cache(), gpu(), libraries()];
    if json {
        output::json(&findings)?;
    } else {
        let mut out = output::out();
        for f in &findings {
            let mark = if f.ok { good("ok     ").to_string() } else { bad("missing").to_string() };
            writeln!(out, "{mark} {:<6} {}", bold(f.what), f.says)?;
        }
    }
    match findings.iter().find(|f| f.needed && !f.ok) {
        Some(f) => Err(Failure::Machine(format!("{} is needed to compile kernels", f.what))),
        None => Ok(()),
    }
}

fn nvrtc() -> Finding {
    let (ok, says) = match Nvrtc::load() {
        Ok(nvrtc) => {
            let archs: Vec<String> = nvrtc.supported_archs().iter().map(|n| format!("sm_{n}")).collect();
            let path = nvrtc.path().map_or(String::new(), |p| format!(" at {}", p.display()));
            (true, format!("{}{path}; compiles for {}", nvrtc.version(), archs.join(" ")))
        }
        Err(e) => (false, e.to_string()),
    };
    Finding { what: "NVRTC", ok, needed: true, says }
}

fn cache() -> Finding {
    let (ok, says) = match Cache::of_user().map(|cache| cache.stats()) {
        Some(Ok(stats)) => (true, format!("{} kernels in {}", stats.entries, stats.path.display())),
        Some(Err(e)) => (false, e.to_string()),
        None => (false, "no folder: set POINTWELD_CACHE to one, or HOME".into()),
    };
    Finding { what: "cache", ok, needed: false, says }
}

/// What products may be left to where no kernel of pointweld's takes them to the tensor cores.
fn libraries() -> Finding {
    let found = libraries::found();
    let one = |(name, found): &(&str, bool)| format!("{name} {}", if *found { "found" } else { "not found" });
    let says = found.iter().map(one).collect::<Vec<_>>().join(", ");
    Finding { what: "more", ok: found.iter().all(|(_, found)| *found), needed: false, says }
}

fn gpu() -> Finding {
    let (ok, says) = match Device::list() {
        Ok(devices) => (true, devices.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        Err(e) => (false, e.to_string()),
    };
    Finding { what: "GPU", ok, needed: false, says }
}
