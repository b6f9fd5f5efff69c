//! The compiler's lock at work: what it says of the kernels of a plan.

use super::Compiler;
use crate::emit::{self, EmitError, KernelSource};
use crate::fuse;
use crate::lock::{self, Choice, Key};
use crate::plan::{Kernel, Plan, Schedule, Step, Verdict};
use crate::schedule;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// What a lock was good for. Nothing in it is an error: a kernel without a choice of the lock's runs as the compiler itself chooses.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Locked {
    /// Kernels that run as the lock says.
    pub used: Vec<String>,
    /// Kernels that it has no entry for.
    pub missing: Vec<String>,
    /// Entries of this architecture that no kernel of the plan has, and such as the schedule's rules do not allow; what was not understood.
    pub stale: Vec<String>,
    #[serde(skip)]
    met: BTreeSet<Key>,
}

impl Locked {
    /// Schedules every kernel of a plan, by the lock where it says anything.
    pub(super) fn schedule(plan: &mut Plan, compiler: &Compiler) -> Locked {
        let (target, options) = (compiler.target(), &compiler.schedule);
        let mut locked = Locked::default();
        let kernels: Vec<&Kernel> = plan.kernels().collect();
        let choose = |kernel: &&Kernel| schedule::choose(kernel, &target, options);
        let schedules: Vec<Schedule> = kernels.par_iter().map(choose).collect();
        let kernels = plan.steps.iter_mut().filter_map(|step| match step {
            Step::Kernel(kernel) => Some(kernel),
            _ => None,
        });
        for (kernel, schedule) in kernels.zip(schedules) {
            kernel.schedule = schedule;
            if compiler.lock.entries.is_empty() {
                continue;
            }
            let key = lock::key(kernel, target.arch, &options.sizes);
            let name = kernel.name.clone();
            match compiler.lock.entries.get(&key) {
                None => locked.missing.push(name),
                // A product that is to be apart is seen to by `weld`.
                Some(entry) => {
                    locked.met.insert(key);
                    let Choice::Run(pick) = &entry.choice else { continue };
                    if schedule::candidates(kernel, &target, options).contains(pick) {
                        kernel.schedule = schedule::with(kernel, pick.clone(), &target, options);
                        locked.used.push(name);
                    } else {
                        locked.stale.push(format!("{name}: its entry says a schedule that is none of its candidates"));
                    }
                }
            }
        }
        locked
    }

    /// Completes what is said of a plan that stays as it is.
    pub(super) fn seal(&mut self, plan: &Plan, fusion: &fuse::Options, compiler: &Compiler) {
        let lock = &compiler.lock;
        let arch = compiler.target().arch;
        // What was taken apart is no kernel any more.
        let apart = plan.decisions.iter().filter(|d| matches!(d.verdict, Verdict::Cut { .. }));
        let mut left = apart
            .filter(|d| fusion.apart.iter().any(|a| (a.producer, a.consumer) == (d.producer.node, d.consumer)))
            .count();
        for (key, entry) in lock.entries.iter().filter(|(key, entry)| entry.arch == arch && !self.met.contains(key)) {
            if entry.choice == Choice::Apart && left > 0 {
                left -= 1;
                continue;
            }
            self.stale.push(format!("no kernel has the entry {}: {}", serde_json::json!(key), entry.kernel));
        }
        self.stale.extend(lock.unknown.iter().cloned());
    }

    /// The text of each kernel of a plan, in order; where none can be written for the lock's choice, that of the compiler's own.
    pub(super) fn emit(&mut self, plan: &mut Plan, compiler: &Compiler) -> Vec<Result<KernelSource, EmitError>> {
        let kernels: Vec<&Kernel> = plan.kernels().collect();
        let found: Vec<_> = kernels.par_iter().map(|kernel| emit::emit(kernel, &compiler.emit)).collect();
        let kernels = plan.steps.iter_mut().filter_map(|step| match step {
            Step::Kernel(kernel) => Some(kernel),
            _ => None,
        });
        kernels.zip(found).map(|(kernel, found)| self.or_own(kernel, found, compiler)).collect()
    }

    fn or_own(
        &mut self,
        kernel: &mut Kernel,
        found: Result<KernelSource, EmitError>,
        compiler: &Compiler,
    ) -> Result<KernelSource, EmitError> {
        let Some(at) = self.used.iter().position(|name| *name == kernel.name) else { return found };
        found.or_else(|error| {
            self.used.remove(at);
            self.stale.push(format!("{}: its entry's schedule has no text: {error}", kernel.name));
            kernel.schedule = schedule::choose(kernel, &compiler.target(), &compiler.schedule);
            emit::emit(kernel, &compiler.emit)
        })
    }
}
