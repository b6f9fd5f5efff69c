//! `pointweld verify`: proves a model's kernels, on the CPU or on a GPU.

use super::args::{MachineArg, VerifyArgs};
use super::output::{self, Failure, bad, bold, good};
use super::source;
use crate::compile::{Output, Request, Toolchain};
use crate::compiler::Planned;
use crate::emit::KernelSource;
use crate::plan::Routine;
use crate::prove::{self, Gpu, Interpreter, Proof};
use crate::runtime::Device;
use crate::target::Arch;
use std::collections::BTreeMap;
use std::io::Write;

pub fn run(args: &VerifyArgs, json: bool) -> Result<(), Failure> {
    let graph = source::import(&args.model)?;
    let device = match args.device {
        MachineArg::Cpu => None,
        MachineArg::Cuda => Some(Device::open(0).map_err(Failure::machine)?),
    };
    let arch = args.arch.or(device.as_ref().map(Device::arch)).unwrap_or(Arch::SM_90);
    let compiler = source::compiler(&args.model.fusion)?.arch(arch);
    let planned = source::plan(&compiler, &graph, &args.model.fusion)?;
    let toolchain = Toolchain::load().map_err(Failure::machine)?;
    let tables = planned.tables();
    // One group for each distinct text, the first that has it.
    let mut distinct = BTreeMap::new();
    for (i, (kernel, source)) in planned.plan.kernels().zip(&planned.sources).enumerate() {
        distinct.entry(source.text.as_str()).or_insert((i, kernel, source));
    }
    let mut distinct: Vec<_> = distinct.into_values().collect();
    distinct.sort_by_key(|(i, _, _)| *i);
    let output = if device.is_some() { Output::Cubin } else { Output::Ptx };
    let requests: Vec<Request> = distinct
        .iter()
        .map(|(_, _, source)| Request { source: &source.text, kernel: &source.entry, arch, output, options: &[] })
        .collect();
    let bar = output::progress(requests.len(), "compiling");
    let compiled = toolchain.compile_all(&requests, 0, &|done, _, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let options = prove::Options { samples: args.samples, seed: args.seed };
    let bar = output::progress(distinct.len(), "proving");
    let mut proofs = Vec::new();
    for ((i, kernel, source), compiled) in distinct.into_iter().zip(compiled) {
        bar.set_message(kernel.name.clone());
        let code = compiled.map_err(|e| Failure::Wanting(e.to_string()))?.bytes;
        let table = tables[i].as_deref();
        let proof = match &device {
            Some(device) => prove::prove(kernel, source, table, &Gpu::new(device, &code, arch), &options),
            None => {
                let ptx = String::from_utf8_lossy(&code);
                let interpreter = Interpreter::new(&ptx, &source.entry, Some(args.seed));
                let interpreter = interpreter.map_err(|e| Failure::Wanting(format!("{}: {e}", source.entry)))?;
                prove::prove(kernel, source, table, &interpreter, &options)
            }
        };
        proofs.push(proof);
        bar.inc(1);
    }
    bar.finish_and_clear();
    proofs.extend(routines(args, &planned, &toolchain, device.as_ref(), arch)?);
    if json {
        output::json(&proofs)?;
    } else {
        print(&proofs)?;
    }
    match proofs.iter().find(|proof| !proof.holds()) {
        None => Ok(()),
        Some(proof) => {
            let exact = format!("{} of {} codes differ from the exact ones", proof.mismatches, proof.codes);
            let why = proof.failure.as_ref().unwrap_or(&exact);
            Err(Failure::Wanting(format!("kernel {} is out of its bound: {}", proof.kernel, why)))
        }
    }
}

/// Proves each distinct routine, at sizes of its symbols that it can be launched with.
fn routines(
    args: &VerifyArgs,
    planned: &Planned,
    toolchain: &Toolchain,
    device: Option<&Device>,
    arch: Arch,
) -> Result<Vec<Proof>, Failure> {
    let (machine, output) = match device {
        Some(device) => (prove::routine::Machine::Gpu(device, arch), Output::Cubin),
        None => (prove::routine::Machine::Interpreter, Output::Ptx),
    };
    let mut sources = planned.stages.iter();
    let mut distinct: Vec<(&Routine, Vec<&KernelSource>)> = Vec::new();
    for routine in planned.plan.routines() {
        let texts: Vec<&KernelSource> = sources.by_ref().take(routine.stages.len()).collect();
        let same =
            |(_, other): &(_, Vec<&KernelSource>)| other.iter().map(|s| &s.text).eq(texts.iter().map(|s| &s.text));
        if !distinct.iter().any(same) {
            distinct.push((routine, texts));
        }
    }
    let texts: Vec<&KernelSource> = distinct.iter().flat_map(|(_, sources)| sources.iter().copied()).collect();
    let requests: Vec<Request> = texts
        .into_iter()
        .map(|source| Request { source: &source.text, kernel: &source.entry, arch, output, options: &[] })
        .collect();
    let mut compiled = toolchain.compile_all(&requests, 0, &|_, _, _| {}).into_iter();
    let options = prove::Options { samples: args.samples, seed: args.seed };
    let bar = output::progress(distinct.len(), "proving routines");
    let mut proofs = Vec::new();
    for (routine, sources) in &distinct {
        bar.set_message(routine.label.clone());
        let mut texts = Vec::with_capacity(sources.len());
        for object in compiled.by_ref().take(sources.len()) {
            texts.push(object.map_err(|e| Failure::Wanting(e.to_string()))?.bytes);
        }
        let stages: Vec<prove::routine::Compiled> = routine
            .stages
            .iter()
            .zip(sources)
            .zip(&texts)
            .map(|((stage, source), code)| (stage, *source, code.as_slice()))
            .collect();
        proofs.push(prove::routine::prove_at_some_size(&planned.graph, routine, &stages, machine, &options));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(proofs)
}

fn print(proofs: &[Proof]) -> Result<(), Failure> {
    let mut out = output::out();
    let head = "       cases  elements  error/bound     codes  mismatches  instr/thread  kernel";
    writeln!(out, "{}", bold(head))?;
    for p in proofs {
        let mark = if p.holds() { good("holds").to_string() } else { bad("FAILS").to_string() };
        let instructions = p.instructions.map_or("-".to_string(), |n| format!("{n:.0}"));
        writeln!(
            out,
            "{mark} {:>6} {:>9} {:>12.3} {:>9} {:>11} {:>13}  {}: {}",
            p.cases,
            p.elements,
            p.worst,
            p.codes,
            p.mismatches,
            instructions,
            p.kernel,
            p.ops.join(", ")
        )?;
    }
    let elements: u64 = proofs.iter().map(|p| p.elements).sum();
    let held = proofs.iter().filter(|p| p.holds()).count();
    writeln!(out, "{held} of {} distinct kernels hold over {elements} elements", proofs.len())?;
    Ok(())
}
