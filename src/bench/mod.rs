//! Measures compiled graphs on a GPU: time a run by replays of a CUDA graph over rotated buffers, time a launch on the host, and
//! whether what was computed is right.
//!
//! The protocol: inputs are random; a CUDA graph holds ten runs that go round several sets of buffers, so that large tensors do not stay
//! in the L2 cache; the figure is the median of 15 replays by the GPU's own clock. A sample of the outputs is compared with the
//! exact result and the stated bound.

mod check;
mod model;
mod plot;
mod roofline;

pub use model::{KernelTiming, ModelTiming, model};
pub use plot::svg;
pub use roofline::{Demand, least};

use crate::compiler::Compiled;
use crate::dim::Bindings;
use crate::dtype::DType;
use crate::plan::Plan;
use crate::runtime::{Call, Device, Engine, EngineError, Graph, Session};
use crate::scalar::{Number, Scalar};
use serde::Serialize;
use std::time::Instant;

/// Runs of one recorded graph, more where a run takes next to no time.
const RUNS: usize = 10;
const RUNS_OF_SMALL: usize = 50;
const REPLAYS: usize = 15;
/// Launches that the host's time is averaged over.
const LAUNCHES: u32 = 2000;
/// Tensors below this stay in the cache, as they do between the kernels of a model.
const SMALL: u64 = 20_000_000;
/// Different random elements of an input; a larger one repeats them.
const DIFFERENT: usize = 1 << 20;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    /// Of one run, in µs.
    pub gpu_us: f64,
    /// Of one launch of one kernel, on the host, in µs.
    pub host_us: f64,
    pub kernels: usize,
    /// Read once and written once.
    pub bytes: u64,
    pub gb_per_s: f64,
    /// Elements compared; the largest error as a share of its bound; codes that are not the exact ones.
    pub compared: u64,
    pub worst: f64,
    pub mismatches: u64,
    /// The first element that is wrong.
    pub failure: Option<String>,
}

/// Runs a compiled graph at the given sizes and measures it. Every node must be in a kernel.
///
/// # Errors
/// As the engine's; [`EngineError::NeedsHost`] if a node runs on the CPU.
pub fn measure(device: &Device, compiled: &Compiled, sizes: &Bindings, seed: u64) -> Result<Timing, EngineError> {
    let plan = &compiled.planned.plan;
    let engine = compiled.load(device)?;
    let (bytes, _) = plan.moved()?.at(sizes)?;
    let (sets, runs) = protocol(bytes);
    let mut random = fastrand::Rng::with_seed(seed);
    let sessions: Vec<Session> =
        (0..sets).map(|_| prepared(&engine, plan, sizes, &mut random)).collect::<Result<_, EngineError>>()?;
    let gpu_us = replay(device, &sessions, runs, REPLAYS)?;
    let host_us = host_time(&sessions[0], &device.stream()?)?;
    let mut timing = Timing {
        gpu_us,
        host_us,
        kernels: plan.kernels().count(),
        bytes,
        gb_per_s: bytes as f64 / gpu_us / 1e3,
        compared: 0,
        worst: 0.0,
        mismatches: 0,
        failure: None,
    };
    check::sample(plan, &compiled.planned.graph, sizes, &sessions[0], &mut random, &mut timing)?;
    Ok(timing)
}

/// Sets of buffers to go round, and runs of a graph, for runs that move so many bytes.
pub(crate) fn protocol(bytes: u64) -> (usize, usize) {
    match bytes < SMALL {
        true => (1, RUNS_OF_SMALL),
        false => ((400_000_000 / bytes as usize + 1).clamp(2, 4), RUNS),
    }
}

/// µs of one run: the median of so many replays of a graph of `runs` runs that go round the sessions.
pub(crate) fn replay(device: &Device, sessions: &[Session], runs: usize, replays: usize) -> Result<f64, EngineError> {
    let calls: Vec<Call> = (0..runs).flat_map(|i| sessions[i % sessions.len()].calls().cloned()).collect();
    let stream = device.stream()?;
    // A first run each, outside the graph: it reports what a session can't run, and loads the code.
    for session in sessions {
        session.launch()?;
        session.stream().synchronize()?;
    }
    let graph = Graph::record(device, &calls)?;
    let mut times = Vec::new();
    for replay in 0..replays + 3 {
        let start = stream.record()?;
        graph.launch(&stream)?;
        let end = stream.record()?;
        // The first replays warm up.
        if replay >= 3 {
            times.push(end.micros_since(&start)? / runs as f64);
        }
        stream.synchronize()?;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// A session whose inputs hold random data.
fn prepared(
    engine: &Engine,
    plan: &Plan,
    sizes: &Bindings,
    random: &mut fastrand::Rng,
) -> Result<Session, EngineError> {
    let session = engine.session(sizes)?;
    for (name, id) in &plan.inputs {
        let Some(memory) = session.buffer(name) else { continue };
        let Some(dtype) = plan.buffer(*id).ty.dtype else { continue };
        let bytes = random_bytes(random, dtype, memory.bytes() as usize);
        memory.upload(session.stream(), &bytes)?;
    }
    Ok(session)
}

/// Near normal floats of deviation 1, codes of deviation 30, integers of ±20,000.
pub(crate) fn random_bytes(random: &mut fastrand::Rng, dtype: DType, length: usize) -> Vec<u8> {
    let width = dtype.bytes().unwrap_or(1);
    let mut pattern = Vec::with_capacity(DIFFERENT.min(length / width) * width);
    for _ in 0..DIFFERENT.min(length / width) {
        let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let number = match dtype.int_range() {
            None => Number::Float(normal),
            Some((0, 1)) => Number::Int(random.bool().into()),
            Some((low, high)) if dtype.bits() == 8 => {
                let middle = (low + high + 1) / 2;
                Number::Int((middle + (30.0 * normal).round() as i128).clamp(low, high))
            }
            Some((low, high)) => Number::Int(i128::from(random.i32(-20_000..20_000)).clamp(low, high)),
        };
        pattern.extend_from_slice(&Scalar::new(dtype, number).bits().to_le_bytes()[..width]);
    }
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length && !pattern.is_empty() {
        bytes.extend_from_slice(&pattern[..pattern.len().min(length - bytes.len())]);
    }
    bytes
}

/// µs of the host's time for one launch of one kernel.
fn host_time(session: &Session, stream: &crate::runtime::Stream) -> Result<f64, EngineError> {
    let calls: Vec<&Call> = session.calls().collect();
    let launches = LAUNCHES.div_ceil(calls.len().max(1) as u32);
    let mut best = f64::INFINITY;
    // The driver blocks when its queue is full, so the launches come in portions that fit.
    for _ in 0..5 {
        let mut spent = 0.0;
        for _ in 0..launches.div_ceil(100) {
            let start = Instant::now();
            for _ in 0..100 {
                calls.iter().try_for_each(|call| call.launch(stream))?;
            }
            spent += start.elapsed().as_secs_f64() * 1e6;
            stream.synchronize()?;
        }
        best = best.min(spent / f64::from(launches.div_ceil(100) * 100) / calls.len().max(1) as f64);
    }
    Ok(best)
}
