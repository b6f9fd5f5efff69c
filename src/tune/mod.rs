//! Measures what each kernel of a model may run as, and keeps the winners in a lock.
//!
//! A kernel's candidates are the schedules that the rules allow ([`schedule::candidates`]), the most promising by the model first. Of a
//! welded kernel also: its product and the rest in kernels of their own. The clock is a GPU, or the model itself. What was measured is kept
//! only if the PTX interpreter then proves the kernel as it would run: within its bounds, every code exact.

mod measure;

use crate::compile::{CompileError, Output, Request, Toolchain};
use crate::compiler::{self, Compiler, Planned, without_product};
use crate::dim::Bindings;
use crate::emit;
use crate::graph::Graph;
use crate::lock::{self, Choice, Entry, Key, Lock};
use crate::plan::{Kernel, Pick};
use crate::prove::{self, Gpu, Interpreter, Proof};
use crate::runtime::{Device, EngineError};
use crate::schedule;
use crate::target::Target;
use measure::Stopwatch;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// How much to try.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Schedules measured of each kernel.
    pub candidates: usize,
    /// Of the random data.
    pub seed: u64,
    /// How a winner is proved.
    pub proof: prove::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options { candidates: 8, seed: 1, proof: prove::Options { samples: 1024, seed: 1 } }
    }
}

/// What tells the time.
#[derive(Debug, Clone, Copy)]
pub enum Clock<'a> {
    Device(&'a Device),
    /// The model by which schedules are chosen without a lock.
    Model,
}

/// What was found of one kernel.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub kernel: String,
    pub what: String,
    pub tried: usize,
    pub us: f64,
    pub default_us: f64,
    /// The choice in words.
    pub choice: String,
    /// All that was tried, the fastest first.
    pub candidates: Vec<Candidate>,
    /// Candidates that were faster and did not hold on the interpreter, each with what was wrong.
    pub refused: Vec<String>,
}

/// One schedule of a kernel, in words, and the time of a launch: as the model predicts it, and by the clock.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    pub choice: String,
    pub predicted_us: f64,
    pub us: f64,
}

/// A lock and how it came about.
#[derive(Debug, Default)]
pub struct Tuned {
    pub lock: Lock,
    pub rows: Vec<Row>,
}

#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    #[error(transparent)]
    Compiler(#[from] compiler::Error),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Plans follow one another, each with the choices for the last one's kernels; a model that goes on growing new kernels after so many is
/// left as it is.
const ROUNDS: usize = 6;
/// The share of the welded time that keeping apart has to save, for what one measurement differs from the next by.
const WORTH: f64 = 0.98;

/// The share of the welded time that the parts are predicted to take beyond which they are not measured.
const HOPELESS: f64 = 1.25;

/// The faster candidates of one kernel first.
struct Found {
    kernel: Kernel,
    key: Key,
    ranked: Vec<(Pick, f64)>,
    default: (Pick, f64),
    candidates: Vec<Candidate>,
    refused: Vec<String>,
    /// Whether the fastest that is left holds on the interpreter.
    proved: bool,
}

/// Finds the best choice for each kernel of the model at these sizes. `progress` is told of every kernel.
///
/// # Errors
/// If the model can't be planned, NVRTC is missing, or the GPU fails.
pub fn tune(
    clock: Clock,
    compiler: &Compiler,
    graph: &Graph,
    sizes: &Bindings,
    options: &Options,
    progress: &mut dyn FnMut(&Row),
) -> Result<Tuned, TuneError> {
    let mut tuned = Tuned::default();
    let compiler = compiler.clone().weld_by_prediction(false);
    let target = compiler.target();
    let stopwatch = match clock {
        Clock::Device(device) => Some(Stopwatch::new(device, options.seed)?),
        Clock::Model => None,
    };
    let measured_on = match clock {
        Clock::Device(device) => Some(device.info().name.clone()),
        Clock::Model => None,
    };
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS {
        let planned = compiler.clone().lock(tuned.lock.clone()).plan(graph)?;
        let fresh: Vec<&Kernel> =
            planned.plan.kernels().filter(|kernel| seen.insert(lock::key(kernel, target.arch, sizes))).collect();
        if fresh.is_empty() {
            // Parts of kernels that fusion then put together in other ways have entries that nothing asks for.
            let keys: BTreeSet<Key> = planned.plan.kernels().map(|k| lock::key(k, target.arch, sizes)).collect();
            tuned.lock.entries.retain(|key, entry| entry.choice == Choice::Apart || keys.contains(key));
            break;
        }
        let cx = Round {
            compiler: &compiler,
            planned: &planned,
            target: &target,
            sizes,
            options,
            stopwatch: stopwatch.as_ref(),
        };
        let mut groups = Vec::new();
        for kernel in fresh {
            let mut group = vec![cx.find(kernel)?];
            if let Some((alone, rest)) = without_product(kernel)
                && cx.predicted(&alone) + cx.predicted(&rest) < HOPELESS * cx.predicted(kernel)
            {
                group.extend([cx.find(&alone)?, cx.find(&rest)?]);
            }
            groups.push(group);
        }
        if let Some(stopwatch) = &stopwatch {
            groups.par_iter_mut().for_each(|group| cx.keep_what_holds(group, stopwatch.toolchain()));
        }
        for group in groups {
            let mut add = |found: &Found, choice: Choice, us: f64, default_us: f64| {
                let mut entry = Entry::new(&found.kernel, target.arch, sizes, choice, us, default_us);
                entry.measured_on.clone_from(&measured_on);
                let row = row(found, &entry);
                progress(&row);
                tuned.rows.push(row);
                // What nothing proved is not kept.
                if !found.ranked.is_empty() {
                    tuned.lock.entries.insert(found.key.clone(), entry);
                }
                seen.insert(found.key.clone());
            };
            let (whole, parts) = (&group[0], &group[1..]);
            if is_apart(&group) {
                add(whole, Choice::Apart, parts.iter().map(|part| part.best().1).sum(), whole.best().1);
                for part in parts {
                    let (pick, us) = part.best();
                    add(part, Choice::Run(pick), us, part.default.1);
                }
            } else {
                let (pick, us) = whole.best();
                add(whole, Choice::Run(pick), us, whole.default.1);
            }
        }
    }
    Ok(tuned)
}

/// Whether the parts of a kernel, which follow it, take less time than itself.
fn is_apart(group: &[Found]) -> bool {
    let [whole, parts @ ..] = group else { return false };
    !parts.is_empty() && parts.iter().map(|part| part.best().1).sum::<f64>() < WORTH * whole.best().1
}

impl Found {
    /// What is left fastest; the compiler's own choice if nothing is.
    fn best(&self) -> (Pick, f64) {
        self.ranked.first().unwrap_or(&self.default).clone()
    }
}

fn words(pick: &Pick) -> String {
    let Pick { form, table, threads, library } = pick;
    if *library {
        return "by a library".into();
    }
    let table = table.map_or(String::new(), |table| format!(" by {table:?}"));
    format!("{form:?}{table}, {threads} threads")
}

fn row(found: &Found, entry: &Entry) -> Row {
    let choice = match &entry.choice {
        Choice::Run(pick) if *pick == found.default.0 => "as chosen without a lock".into(),
        Choice::Run(pick) => words(pick),
        Choice::Apart => "the product and the rest apart".into(),
    };
    Row {
        kernel: found.kernel.name.clone(),
        what: entry.kernel.clone(),
        tried: found.ranked.len(),
        us: entry.us,
        default_us: entry.default_us,
        choice,
        candidates: found.candidates.clone(),
        refused: found.refused.clone(),
    }
}

/// One plan's kernels at work.
struct Round<'a> {
    compiler: &'a Compiler,
    planned: &'a Planned,
    target: &'a Target,
    sizes: &'a Bindings,
    options: &'a Options,
    stopwatch: Option<&'a Stopwatch<'a>>,
}

impl Round<'_> {
    /// Times a kernel's candidates.
    fn find(&self, kernel: &Kernel) -> Result<Found, TuneError> {
        let options = self.compiler.schedule_options();
        let mut picks = schedule::candidates(kernel, self.target, options);
        picks.truncate(self.options.candidates.max(1));
        let with = |pick: &Pick| {
            let schedule = schedule::with(kernel, pick.clone(), self.target, options);
            Kernel { schedule, ..kernel.clone() }
        };
        let kernels: Vec<Kernel> = picks.iter().map(with).collect();
        let predicted: Vec<f64> = kernels.iter().map(|k| schedule::predict(k, self.target, self.sizes)).collect();
        let times: Vec<Option<f64>> = match self.stopwatch {
            None => predicted.iter().copied().map(Some).collect(),
            Some(stopwatch) => stopwatch.times(self.planned, &kernels, self.compiler.emit_options(), self.sizes)?,
        };
        let default = (picks[0].clone(), times[0].unwrap_or(f64::INFINITY));
        let timed = picks.iter().zip(predicted).zip(&times);
        let candidate = |((pick, predicted_us), us): ((&Pick, f64), &Option<f64>)| {
            Some(Candidate { choice: words(pick), predicted_us, us: (*us)? })
        };
        let mut candidates: Vec<Candidate> = timed.filter_map(candidate).collect();
        candidates.sort_by(|a, b| a.us.total_cmp(&b.us));
        let mut ranked: Vec<(Pick, f64)> =
            picks.into_iter().zip(times).filter_map(|(pick, us)| Some((pick, us?))).collect();
        // Equals stay in the order of the candidates: the compiler's own choice first.
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        let key = lock::key(kernel, self.target.arch, self.sizes);
        Ok(Found { kernel: kernel.clone(), key, ranked, default, candidates, refused: Vec::new(), proved: false })
    }

    /// µs of the compiler's own choice by the model.
    fn predicted(&self, kernel: &Kernel) -> f64 {
        let schedule = schedule::choose(kernel, self.target, self.compiler.schedule_options());
        schedule::predict(&Kernel { schedule, ..kernel.clone() }, self.target, self.sizes)
    }

    /// Drops candidates until what is chosen of a kernel and its parts is what the interpreter proves.
    fn keep_what_holds(&self, group: &mut [Found], toolchain: &Toolchain) {
        loop {
            let apart = is_apart(group);
            let (whole, parts) = group.split_at_mut(1);
            for found in if apart { parts } else { whole } {
                self.drop_what_fails(found, toolchain);
            }
            // Without its fastest candidates a kernel may lose to its parts, or the other way round.
            if is_apart(group) == apart {
                return;
            }
        }
    }

    /// Drops the candidates before the first that the interpreter proves.
    fn drop_what_fails(&self, found: &mut Found, toolchain: &Toolchain) {
        if found.proved {
            return;
        }
        found.proved = true;
        while let Some((pick, us)) = found.ranked.first().cloned() {
            match self.prove(&found.kernel, &pick, toolchain) {
                Ok(()) => return,
                Err(why) => {
                    found.refused.push(format!("{:?}, {us:.2} us: {why}", pick.form));
                    found.ranked.remove(0);
                }
            }
        }
    }

    fn prove(&self, kernel: &Kernel, pick: &Pick, toolchain: &Toolchain) -> Result<(), String> {
        let schedule = schedule::with(kernel, pick.clone(), self.target, self.compiler.schedule_options());
        let kernel = Kernel { schedule, ..kernel.clone() };
        let source = emit::emit(&kernel, self.compiler.emit_options()).map_err(|e| e.to_string())?;
        let arch = self.target.arch;
        let request = Request { source: &source.text, kernel: &source.entry, arch, output: Output::Ptx, options: &[] };
        let compiled = toolchain.compile(&request).map_err(|e| e.to_string())?;
        let ptx = String::from_utf8_lossy(&compiled.bytes);
        let interpreter = Interpreter::new(&ptx, &source.entry, Some(self.options.seed)).map_err(|e| e.to_string())?;
        let table = emit::table_of(&kernel);
        verdict(prove::prove(&kernel, &source, table.as_deref(), &interpreter, &self.options.proof))?;
        let (true, Some(stopwatch)) = (pick.library, self.stopwatch) else { return Ok(()) };
        // A library's kernels are on the GPU alone.
        let request = Request { output: Output::Cubin, ..request };
        let compiled = toolchain.compile(&request).map_err(|e| e.to_string())?;
        let gpu = Gpu::new(stopwatch.device(), &compiled.bytes, arch);
        verdict(prove::prove(&kernel, &source, table.as_deref(), &gpu, &self.options.proof))
    }
}

/// What is wrong with a proof, if anything is.
fn verdict(proof: Proof) -> Result<(), String> {
    match (proof.holds(), proof.failure) {
        (true, _) => Ok(()),
        (false, Some(failure)) => Err(failure),
        (false, None) => Err(format!("{} of {} codes differ from the exact ones", proof.mismatches, proof.codes)),
    }
}
