//! `pointweld cache`: what the kernel cache holds, and how to empty it.

use super::args::CacheArgs;
use super::output::{self, Failure, bold};
use crate::compile::Cache;
use std::io::Write;

pub fn run(args: &CacheArgs, json: bool) -> Result<(), Failure> {
    let cache = Cache::of_user().ok_or_else(|| {
        Failure::Machine("there is no folder for a cache: set POINTWELD_CACHE to one, or HOME".into())
    })?;
    let stats = if args.clear { cache.clear()? } else { cache.stats()? };
    if json {
        return output::json(&stats);
    }
    let mut out = output::out();
    writeln!(out, "{} {}", bold("folder "), stats.path.display())?;
    let verb = if args.clear { "removed" } else { "entries" };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(out, "{} {} ({:.1} MiB of {:.0} MiB)", bold(verb), stats.entries, mib(stats.bytes), mib(stats.limit))?;
    Ok(())
}
