//! NVRTC and the disk cache together, over all cores.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::{Cache, CompileError, Compiled, Nvrtc, Request};

/// NVRTC recurses over the program's expressions, and a fused kernel can nest deeply.
const STACK: usize = 32 << 20;

/// Compiles kernels, each once.
#[derive(Debug)]
pub struct Toolchain {
    nvrtc: Nvrtc,
    cache: Option<Cache>,
}

/// Is told of each request that is done: how many are, of how many, and which one it was. Called from several threads.
pub type Progress<'a> = dyn Fn(usize, usize, &Request) + Sync + 'a;

impl Toolchain {
    /// Loads NVRTC and uses the user's cache ([`Cache::of_user`]).
    ///
    /// # Errors
    /// As [`Nvrtc::load`].
    pub fn load() -> Result<Toolchain, CompileError> {
        Ok(Toolchain { nvrtc: Nvrtc::load()?, cache: Cache::of_user() })
    }

    /// Uses another cache, or none.
    pub fn with_cache(mut self, cache: Option<Cache>) -> Toolchain {
        self.cache = cache;
        self
    }

    /// The compiler.
    pub fn nvrtc(&self) -> &Nvrtc {
        &self.nvrtc
    }

    /// The cache, if there is one.
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Takes a program from the cache, or compiles and caches it.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`]. The cache makes no errors, only warnings in the result.
    pub fn compile(&self, request: &Request) -> Result<Compiled, CompileError> {
        let Some(cache) = &self.cache else {
            return self.nvrtc.compile(request);
        };
        let start = Instant::now();
        let key = Cache::key(request, self.nvrtc.version());
        let mut warnings = Vec::new();
        match cache.get(&key) {
            Ok(Some(mut compiled)) => {
                compiled.micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(compiled);
            }
            Ok(None) => {}
            Err(warning) => warnings.push(warning),
        }
        let mut compiled = self.nvrtc.compile(request)?;
        if let Err(warning) = cache.put(&key, &compiled) {
            warnings.push(warning);
        }
        compiled.warnings = warnings;
        Ok(compiled)
    }

    /// Compiles many programs on `jobs` threads (0: one a core). The results stand in the order of the requests, and the failure
    /// of one stops no other.
    pub fn compile_all(
        &self,
        requests: &[Request],
        jobs: usize,
        progress: &Progress,
    ) -> Vec<Result<Compiled, CompileError>> {
        let jobs = match jobs {
            0 => thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        }
        .min(requests.len());
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let work = || {
            let mut results = Vec::new();
            // Each thread takes the next request when it is free: kernels differ tenfold in their time.
            while let Some((index, request)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                requests.get(index).map(|request| (index, request))
            } {
                results.push((index, self.compile(request)));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, requests.len(), request);
            }
            results
        };
        let mut results: Vec<_> = thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..jobs {
                let builder = thread::Builder::new().stack_size(STACK);
                threads.extend(builder.spawn_scoped(scope, work));
            }
            // A system may grant fewer threads than asked for, or none.
            let mut results = if threads.is_empty() { work() } else { Vec::new() };
            for thread in threads {
                match thread.join() {
                    Ok(more) => results.extend(more),
                    Err(payload) => panic::resume_unwind(payload),
                }
            }
            results
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
