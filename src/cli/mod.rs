//! The command line: parses, calls the library, prints. No logic of its own.
//!
//! Exit codes: 0, done; 1, done and found wanting (a kernel out of its bound, a kernel that does not compile); 2, the command line is
//! wrong; 3, the input is wrong (model, expression, data); 4, something this machine lacks (NVRTC, a driver, a GPU, a folder one
//! may write to). An interrupt ends the process by its signal, which shells show as 130; files are whole or absent.

mod args;
mod bench;
mod cache;
mod compile;
mod data;
mod demo;
mod doctor;
mod emit;
mod explain;
mod ops;
mod output;
mod quantize;
mod run;
mod sensitivity;
mod source;
mod tune;
mod verify;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use output::Failure;
use std::io::Write;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    crate::compile::keep_freed_memory();
    let cli = Cli::parse();
    let json = cli.json;
    let result = match cli.command {
        Command::Compile(args) => compile::run(&args, json),
        Command::Explain(args) => explain::run(&args, json),
        Command::Sensitivity(args) => sensitivity::run(&args, json),
        Command::Run(args) => run::run(&args, json),
        Command::Emit(args) => emit::run(&args, json),
        Command::Verify(args) => verify::run(&args, json),
        Command::Quantize(args) => quantize::run(&args, json),
        Command::Bench(args) => bench::run(&args, json),
        Command::Tune(args) => tune::run(&args, json),
        Command::Demo(args) => demo::run(&args, json),
        Command::Doctor => doctor::run(json),
        Command::Ops(args) => ops::run(&args, json),
        Command::Cache(args) => cache::run(&args, json),
        Command::Completions { shell } => completions(shell, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            output::show_failure(&failure, json);
            failure.code()
        }
    }
}

/// The script by which a shell completes the command line.
fn completions(shell: Shell, json: bool) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pointweld", &mut script);
    if json {
        let script = String::from_utf8_lossy(&script);
        return output::json(&serde_json::json!({ "shell": shell.to_string(), "script": script }));
    }
    output::out().write_all(&script)?;
    Ok(())
}
