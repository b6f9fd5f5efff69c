//! NVRTC's log, made fit for a person: errors with the numbered lines of the source, warnings without the chatter.

use std::fmt::Write;

/// How many lines of the source are quoted before and after the offending one.
const CONTEXT: usize = 2;
/// How many errors are quoted; the rest is counted.
const SHOWN: usize = 8;

/// The errors in `log`, each followed by the lines of `source` it is about.
///
/// Errors of ptxas are about PTX text, not about `source`; they are returned as they are.
pub(super) fn quote_errors(source: &str, log: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let errors: Vec<&str> = log.lines().filter(|line| is_error(line)).collect();
    let mut report = String::new();
    for error in errors.iter().take(SHOWN) {
        let _ = writeln!(report, "{error}");
        if let Some(number) = line_number(error).filter(|n| (1..=lines.len()).contains(n)) {
            let first = number.saturating_sub(CONTEXT).max(1);
            let last = (number + CONTEXT).min(lines.len());
            for n in first..=last {
                let mark = if n == number { '>' } else { ' ' };
                let _ = writeln!(report, "{mark} {n:5} | {}", lines[n - 1]);
            }
        }
    }
    if errors.len() > SHOWN {
        let _ = writeln!(report, "and {} more errors", errors.len() - SHOWN);
    }
    if report.is_empty() {
        report.push_str(log.trim());
    }
    report.trim_end().to_owned()
}

/// The warnings in `log`, without what ptxas tells about resources and times, which differ from run to run.
pub(super) fn warnings_of(log: &str) -> String {
    let kept: Vec<&str> =
        log.lines().filter(|line| !line.starts_with("ptxas info") && !line.starts_with("ptxas         .")).collect();
    kept.join("\n").trim().to_owned()
}

fn is_error(line: &str) -> bool {
    line.contains("): error:")
        || line.contains("catastrophic error")
        || (line.starts_with("ptxas") && (line.contains(" error ") || line.contains(" fatal ")))
        || line.starts_with("nvrtc: error")
}

/// The line number in `silu.cu(12): error: …`.
fn line_number(error: &str) -> Option<usize> {
    let (position, _) = error.split_once("): ")?;
    position.rsplit_once('(')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_with_their_lines() {
        let source = "a\nb\nc\nd\ne\n";
        let log = "k.cu(1): warning #177-D: odd\n  a\nk.cu(4): error: no such thing\n  d\n  ^\n\n1 error detected\n";
        let report = quote_errors(source, log);
        assert_eq!(report, "k.cu(4): error: no such thing\n      2 | b\n      3 | c\n>     4 | d\n      5 | e");
    }

    #[test]
    fn lines_outside_the_source_are_not_quoted() {
        for log in ["k.cu(0): error: x", "k.cu(9): error: x", "k.cu(99999999999999999999): error: x"] {
            assert_eq!(quote_errors("a\n", log), log);
        }
    }

    #[test]
    fn ptxas_errors_and_unknown_logs_come_as_they_are() {
        let log = "ptxas application ptx input, line 23; error   : Not a name of any known instruction: 'foo'\nptxas fatal   : Ptx assembly aborted due to errors\n";
        assert_eq!(quote_errors("a", log), log.trim());
        assert_eq!(quote_errors("a", "odd words\n"), "odd words");
    }

    #[test]
    fn many_errors_are_counted() {
        let log = "k.cu(1): error: x\n".repeat(20);
        assert!(quote_errors("a", &log).ends_with("and 12 more errors"));
    }

    #[test]
    fn warnings_lose_the_chatter_of_ptxas() {
        let log = "ptxas info    : 0 bytes gmem\nptxas         .     0 bytes stack frame\nptxas info    : Compile time = 1.0 ms\n";
        assert_eq!(warnings_of(log), "");
        assert_eq!(warnings_of("k.cu(1): warning: w\n\n"), "k.cu(1): warning: w");
    }
}
