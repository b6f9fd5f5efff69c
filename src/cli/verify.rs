//! `pointweld verify`: proves a model's kernels on the CPU.

use super::args::VerifyArgs;
use super::output::{self, Failure, bad, bold, good};
use super::source;
use crate::compile::{Output, Request, Toolchain};
use crate::prove::{self, Proof};
use std::collections::BTreeMap;
use std::io::Write;

pub fn run(args: &VerifyArgs, json: bool) -> Result<(), Failure> {
    let graph = source::import(&args.model)?;
    let compiler = source::compiler(&args.model.fusion).arch(args.arch);
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
    let requests: Vec<Request> = distinct
        .iter()
        .map(|(_, _, source)| Request {
            source: &source.text,
            kernel: &source.entry,
            arch: args.arch,
            output: Output::Ptx,
            options: &[],
        })
        .collect();
    let compiled = toolchain.compile_all(&requests, 0, &|_, _, _| {});
    let options = prove::Options { samples: args.samples, seed: args.seed };
    let bar = output::progress(distinct.len(), "proving");
    let mut proofs = Vec::new();
    for ((i, kernel, source), compiled) in distinct.into_iter().zip(compiled) {
        bar.set_message(kernel.name.clone());
        let ptx = compiled.map_err(|e| Failure::Wanting(e.to_string()))?.bytes;
        let ptx = String::from_utf8_lossy(&ptx).into_owned();
        proofs.push(prove::prove(kernel, source, &ptx, tables[i].as_deref(), &options));
        bar.inc(1);
    }
    bar.finish_and_clear();
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

fn print(proofs: &[Proof]) -> Result<(), Failure> {
    let mut out = output::out();
    let head = "       cases  elements  error/bound     codes  mismatches  instr/thread  kernel";
    writeln!(out, "{}", bold(head))?;
    for p in proofs {
        let mark = if p.holds() { good("holds").to_string() } else { bad("FAILS").to_string() };
        writeln!(
            out,
            "{mark} {:>6} {:>9} {:>12.3} {:>9} {:>11} {:>13.0}  {}: {}",
            p.cases,
            p.elements,
            p.worst,
            p.codes,
            p.mismatches,
            p.instructions,
            p.kernel,
            p.ops.join(", ")
        )?;
    }
    let elements: u64 = proofs.iter().map(|p| p.elements).sum();
    let held = proofs.iter().filter(|p| p.holds()).count();
    writeln!(out, "{held} of {} distinct kernels hold over {elements} elements", proofs.len())?;
    Ok(())
}
