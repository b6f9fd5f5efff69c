//! The `pointweld` command: see `pointweld --help`.

fn main() -> std::process::ExitCode {
    pointweld::cli::main()
}
