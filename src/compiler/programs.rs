//! Compiles a plan's distinct texts, and splits the groups whose text NVRTC refuses.

use super::{Compiler, Error, Planned};
use crate::compile::{Compiled as Object, Output, Request, Resources, Toolchain};
use crate::emit::KernelSource;
use crate::fuse;
use crate::graph::NodeId;
use crate::target::Arch;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A compiled model.
pub struct Compiled {
    pub planned: Planned,
    /// The distinct texts, each compiled; kernels that differ in sizes and constants alone share one.
    pub programs: Vec<Program>,
    /// Which program each kernel of the plan runs, in the plan's order; and each stage of its routines.
    pub program_of: Vec<usize>,
    pub program_of_stage: Vec<usize>,
    /// Groups that were split because their kernel did not compile, and kernels that no split could save.
    pub failures: Vec<String>,
    /// What the cache and the compiler warned of.
    pub warnings: Vec<String>,
    /// What the compiler first said of each program that lacks a build, by its place in `programs`.
    refused: BTreeMap<usize, String>,
    /// Whether the cache on disk is used.
    pub(super) cached: bool,
}

/// One text and what NVRTC made of it.
pub struct Program {
    /// The source of the first kernel that has this text.
    pub source: KernelSource,
    /// Machine code by architecture; an architecture is missing if its compilation failed.
    pub builds: BTreeMap<Arch, Build>,
    /// PTX for the oldest of the architectures.
    pub ptx: Option<Vec<u8>>,
}

/// Machine code for one architecture.
#[derive(Serialize)]
pub struct Build {
    #[serde(skip)]
    pub cubin: Vec<u8>,
    pub resources: Option<Resources>,
    pub from_cache: bool,
    /// Time that the compilation, or the look into the cache, took.
    pub micros: u64,
}

/// How many times a model is planned again around kernels that do not compile.
const ATTEMPTS: usize = 16;

type Progress<'a> = dyn Fn(usize, usize, &Request) + Sync + 'a;

pub(super) fn compile(
    compiler: &Compiler,
    toolchain: &Toolchain,
    mut planned: Planned,
    progress: &Progress,
) -> Result<Compiled, Error> {
    let mut fusion = compiler.fusion_options();
    let mut split = Vec::new();
    for attempt in 0.. {
        let mut compiled = build(compiler, toolchain, planned, progress);
        let (failed, failed_routines) = (compiled.failed_kernels(), compiled.failed_routines());
        if failed.is_empty() && failed_routines.is_empty() || attempt == ATTEMPTS {
            compiled.failures.splice(0..0, split);
            return Ok(compiled);
        }
        for (kernel, error) in &failed {
            split.push(format!("kernel {kernel} did not compile and its group was split: {}", gist(error)));
            fusion = fuse::split(&compiled.planned.graph, &fusion, &compiled.planned.plan, kernel, error);
        }
        for (node, label, error) in failed_routines {
            split.push(format!("{label} runs on the host: its kernel did not compile: {}", gist(&error)));
            fusion.on_host.push((node, error));
        }
        let Planned { graph, passes, .. } = compiled.planned;
        planned = compiler.lower(graph, passes, &fusion)?;
    }
    unreachable!("the loop returns after {ATTEMPTS} attempts")
}

/// What refused a program and its first complaint, in one line.
fn gist(error: &str) -> String {
    error.lines().map(str::trim).take(2).collect::<Vec<_>>().join(" ")
}

/// Compiles every distinct text once.
fn build(compiler: &Compiler, toolchain: &Toolchain, planned: Planned, progress: &Progress) -> Compiled {
    let mut numbers = BTreeMap::new();
    let mut distinct: Vec<&KernelSource> = Vec::new();
    let mut program_of: Vec<usize> = planned
        .sources
        .iter()
        .chain(&planned.stages)
        .map(|source| {
            *numbers.entry(source.text.as_str()).or_insert_with(|| {
                distinct.push(source);
                distinct.len() - 1
            })
        })
        .collect();
    let program_of_stage = program_of.split_off(planned.sources.len());
    let mut programs: Vec<Program> = distinct
        .into_iter()
        .map(|source| Program { source: source.clone(), builds: BTreeMap::new(), ptx: None })
        .collect();

    let oldest = compiler.archs().iter().min().copied().unwrap_or(Arch::SM_90);
    let archs = compiler.archs();
    let mut wanted: Vec<(usize, Arch)> = (0..programs.len()).flat_map(|i| archs.iter().map(move |a| (i, *a))).collect();
    // The longest first, so that no thread is left alone with one at the end: NVRTC's time grows with the text.
    wanted.sort_by_key(|(i, _)| Reverse(programs[*i].source.text.len()));
    let requests: Vec<Request> = wanted
        .iter()
        .map(|&(i, arch)| {
            let source = &programs[i].source;
            Request { source: &source.text, kernel: &source.entry, arch, output: Output::Cubin, options: &[] }
        })
        .collect();
    let results = toolchain.compile_all(&requests, compiler.jobs, progress);
    let (mut failures, mut warnings, mut refused) = (Vec::new(), Vec::new(), BTreeMap::new());
    for ((i, arch), result) in wanted.into_iter().zip(results) {
        match result {
            Ok(object) => {
                warnings.extend(object.warnings.iter().map(ToString::to_string));
                let Object { bytes: cubin, ptx, resources, from_cache, micros, .. } = object;
                programs[i].builds.insert(arch, Build { cubin, resources, from_cache, micros });
                if arch == oldest {
                    programs[i].ptx = Some(ptx);
                }
            }
            Err(error) => {
                let failure = format!("{}: {error}", programs[i].source.entry);
                refused.entry(i).or_insert_with(|| failure.clone());
                failures.push(failure);
            }
        }
    }
    warnings.sort();
    warnings.dedup();
    Compiled { planned, programs, program_of, program_of_stage, failures, warnings, refused, cached: compiler.cached }
}

impl Compiled {
    /// Whether every kernel has machine code for every architecture.
    pub fn is_complete(&self, archs: &[Arch]) -> bool {
        self.programs.iter().all(|p| archs.iter().all(|arch| p.builds.contains_key(arch)))
    }

    /// The plan's kernels that lack a build, each with what the compiler said.
    fn failed_kernels(&self) -> Vec<(String, String)> {
        let kernels = self.planned.plan.kernels().zip(&self.program_of);
        let failed = kernels.filter_map(|(kernel, program)| {
            let error = self.refused.get(program)?;
            Some((kernel.name.clone(), error.clone()))
        });
        failed.collect()
    }

    /// The routines of which a stage lacks a build: node, label, and what the compiler said.
    fn failed_routines(&self) -> Vec<(NodeId, String, String)> {
        let mut programs = self.program_of_stage.iter();
        let mut failed = Vec::new();
        for routine in self.planned.plan.routines() {
            let stages = programs.by_ref().take(routine.stages.len());
            if let Some(error) = stages.filter_map(|program| self.refused.get(program)).last() {
                failed.push((routine.node, routine.label.clone(), error.clone()));
            }
        }
        failed
    }
}
