//! Measures a whole model: one run from an idle GPU, runs one after another, and every kernel by itself.
//!
//! One run is one launch of the model's CUDA graph, by the GPU's own clock; the figure is the median. A kernel is measured by a
//! graph that repeats it, so what it reads lies in the L2 cache if it fits, as it mostly does in a model. Nodes of the host are left out
//! of all three and counted.

use super::prepared;
use super::roofline::{self, Demand};
use crate::compiler::Compiled;
use crate::dim::{Bindings, DimError};
use crate::emit;
use crate::plan::{Plan, Step};
use crate::runtime::{Call, Device, EngineError, Graph, Stream};
use serde::Serialize;

/// Launches of a model's graph of which the median is taken, and that run one after another.
const RUNS: usize = 30;
/// Repetitions of a kernel in its graph, and launches of that.
const REPEATS: usize = 20;
const REPLAYS: usize = 5;

/// What was measured of a model at given sizes.
#[derive(Debug, Clone, Serialize)]
pub struct ModelTiming {
    pub sizes: Bindings,
    /// Of one run on an idle GPU, in µs, and of one of many in a row.
    pub latency_us: f64,
    pub sustained_us: f64,
    /// Nodes that run on the host and are not in these figures.
    pub on_host: usize,
    /// The sum of the kernels' least times, as a share of the sustained time.
    pub share: f64,
    /// In the order in which they run.
    pub kernels: Vec<KernelTiming>,
}

/// One kernel of the model.
#[derive(Debug, Clone, Serialize)]
pub struct KernelTiming {
    pub name: String,
    /// What it computes: `PWN(Sigmoid_213, Mul_214): 345[Half(1,128,40,40)] -> 347[Half(1,128,40,40)]`.
    pub line: String,
    pub us: f64,
    #[serde(flatten)]
    pub demand: Demand,
    /// The least time that the roofline allows, and its share of the measured one.
    pub least_us: f64,
    pub share: f64,
}

/// Measures a compiled model at the given sizes on random inputs.
///
/// # Errors
/// As the engine's.
pub fn model(device: &Device, compiled: &Compiled, sizes: &Bindings, seed: u64) -> Result<ModelTiming, EngineError> {
    let plan = &compiled.planned.plan;
    let engine = compiled.load(device)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let session = prepared(&engine, plan, sizes, &mut random)?;
    let stream = device.stream()?;
    let calls: Vec<Call> = session.calls().cloned().collect();
    let whole = Graph::record(device, &calls)?;
    whole.launch(&stream)?;
    stream.synchronize()?;
    let mut latencies = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        latencies.push(launches(&stream, &whole, 1)?);
        stream.synchronize()?;
    }
    let sustained_us = launches(&stream, &whole, RUNS)? / RUNS as f64;
    let target = device.target();
    let mut kernels = Vec::with_capacity(calls.len());
    for ((name, line, demand), call) in demands(plan, sizes)?.into_iter().zip(&calls) {
        let repeated = Graph::record(device, &vec![call.clone(); REPEATS])?;
        let mut times = Vec::with_capacity(REPLAYS);
        for _ in 0..REPLAYS {
            times.push(launches(&stream, &repeated, 1)? / REPEATS as f64);
        }
        let (us, least_us) = (median(times), demand.least_us(&target));
        kernels.push(KernelTiming { name, line, us, demand, least_us, share: least_us / us });
    }
    let least: f64 = kernels.iter().map(|kernel| kernel.least_us).sum();
    let on_host = plan.steps.iter().filter(|step| matches!(step, Step::Node { .. })).count();
    let latency_us = median(latencies);
    Ok(ModelTiming { sizes: sizes.clone(), latency_us, sustained_us, on_host, share: least / sustained_us, kernels })
}

/// Every kernel and stage in the order of the calls: its name, what it computes, and what that takes.
fn demands(plan: &Plan, sizes: &Bindings) -> Result<Vec<(String, String, Demand)>, DimError> {
    let mut demands = Vec::new();
    for step in &plan.steps {
        match step {
            Step::Kernel(kernel) => {
                let demand = roofline::of_kernel(plan, kernel, sizes)?;
                demands.push((kernel.name.clone(), emit::describe(plan, kernel), demand));
            }
            Step::Routine(routine) => {
                for stage in &routine.stages {
                    let line = emit::describe_stage(plan, routine, stage);
                    demands.push((stage.name.clone(), line, roofline::of_stage(stage, sizes)?));
                }
            }
            Step::Node { .. } => {}
        }
    }
    Ok(demands)
}

/// The GPU's time for so many launches in a row, in µs.
fn launches(stream: &Stream, graph: &Graph, times: usize) -> Result<f64, EngineError> {
    let start = stream.record()?;
    for _ in 0..times {
        graph.launch(stream)?;
    }
    let end = stream.record()?;
    Ok(end.micros_since(&start)?)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
