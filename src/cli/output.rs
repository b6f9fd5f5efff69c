//! How the command line speaks: text with colour on a terminal, JSON where asked for, failures with their exit code.

use anstyle::{AnsiColor, Style};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The work was done, and something is wrong with what it found.
    Wanting(String),
    Usage(String),
    /// The model, the formula or the data are wrong.
    Input(String),
    /// This machine lacks something.
    Machine(String),
    /// Whoever read our output has stopped reading.
    Closed,
}

impl Failure {
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Closed => 0,
            Failure::Wanting(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Input(_) => 3,
            Failure::Machine(_) => 4,
        })
    }

    pub fn input(e: impl fmt::Display) -> Failure {
        Failure::Input(e.to_string())
    }

    pub fn machine(e: impl fmt::Display) -> Failure {
        Failure::Machine(e.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Machine(e.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Failure {
        match e.io_error_kind() {
            Some(io::ErrorKind::BrokenPipe) => Failure::Closed,
            _ => Failure::Machine(e.to_string()),
        }
    }
}

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();

/// Text in a style; the stream drops the colour where it is no terminal.
pub struct Styled<T>(Style, T);

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.0.render(), self.1, self.0.render_reset())
    }
}

pub fn bold<T: fmt::Display>(t: T) -> Styled<T> {
    Styled(BOLD, t)
}

pub fn good<T: fmt::Display>(t: T) -> Styled<T> {
    Styled(GREEN, t)
}

pub fn bad<T: fmt::Display>(t: T) -> Styled<T> {
    Styled(RED, t)
}

pub fn dim<T: fmt::Display>(t: T) -> Styled<T> {
    Styled(DIM, t)
}

/// Standard output, with colour on a terminal only.
pub fn out() -> impl Write {
    anstream::stdout().lock()
}

/// Whether standard output holds a JSON value already: it holds one at most, so that it can be read as one.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Prints a value as JSON on standard output.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = out();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// A JSON list on standard output of which each value is written as soon as it is there, on a line of its own: whoever is stopped has lost nothing.
#[derive(Default)]
pub struct List {
    begun: bool,
}

impl List {
    pub fn push(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        PRINTED.store(true, Ordering::Relaxed);
        let mut out = out();
        write!(out, "{}", if self.begun { ",\n" } else { "[\n" })?;
        self.begun = true;
        serde_json::to_writer(&mut out, value)?;
        Ok(out.flush()?)
    }

    pub fn end(self) -> Result<(), Failure> {
        PRINTED.store(true, Ordering::Relaxed);
        Ok(writeln!(out(), "{}", if self.begun { "\n]" } else { "[]" })?)
    }
}

/// Prints a failure: on standard error as text, or on standard output as `{"error": …}` if that holds no value yet, which says the same.
pub fn show_failure(failure: &Failure, as_json: bool) {
    let (Failure::Wanting(text) | Failure::Usage(text) | Failure::Input(text) | Failure::Machine(text)) = failure
    else {
        return;
    };
    // Nothing can be done for a reader who has gone.
    if as_json && !PRINTED.load(Ordering::Relaxed) {
        let _ = json(&serde_json::json!({ "error": text }));
    } else {
        let _ = writeln!(anstream::stderr(), "{} {text}", bad("error:"));
    }
}

/// What to call a file in a title.
pub fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Prints a warning on standard error.
pub fn warn(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{} {text}", bold("warning:"));
}

/// A progress bar on standard error, hidden where that is no terminal.
pub fn progress(total: usize, what: &str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(total as u64);
    let style = indicatif::ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    bar.set_prefix(what.to_string());
    bar
}
