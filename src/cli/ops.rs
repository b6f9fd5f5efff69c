//! `pointweld ops`: the op table, as text, JSON or the Markdown page of the docs.

use super::args::OpsArgs;
use super::output::{self, Failure, bold, dim};
use crate::op::{self, Bound, COMPOSED, Composed, Deviation, Onnx, Row, TypeRule};
use serde::Serialize;
use std::io::Write;

/// What the command says of a row.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    operands: Vec<String>,
    formula: &'static str,
    types: String,
    onnx: Vec<String>,
    elsewhere: &'static [&'static str],
    range: Option<(String, String)>,
    bound_f32: String,
    bound_fast: String,
    bound_f64: String,
}

/// What the command says of an op that is no row.
#[derive(Serialize)]
struct Other {
    onnx: Vec<String>,
    elsewhere: &'static [&'static str],
    becomes: &'static str,
}

impl Other {
    fn names(&self) -> String {
        let names = self.onnx.iter().map(String::as_str).chain(self.elsewhere.iter().copied());
        names.collect::<Vec<&str>>().join("; ")
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Row(&'a Entry),
    Other(&'a Other),
}

pub fn run(args: &OpsArgs, json: bool) -> Result<(), Failure> {
    let wanted = args.name.as_deref().unwrap_or("").to_lowercase();
    let rows: Vec<&Row> = op::table()
        .filter(|row| row.name.contains(&wanted) || row.onnx.iter().any(|o| o.op_type.to_lowercase().contains(&wanted)))
        .collect();
    let named = |c: &&Composed| {
        let onnx = c.onnx.iter().map(|o| o.op_type);
        onnx.chain(c.elsewhere.iter().copied()).any(|name| name.to_lowercase().contains(&wanted))
    };
    let others: Vec<Other> = COMPOSED
        .iter()
        .filter(named)
        .map(|c| Other { onnx: c.onnx.iter().map(onnx).collect(), elsewhere: c.elsewhere, becomes: c.formula })
        .collect();
    if rows.is_empty() && others.is_empty() {
        return Err(Failure::Input(format!("no op's name contains {wanted:?}; `pointweld ops` lists all")));
    }
    let entries: Vec<Entry> = rows.iter().map(|row| entry(row)).collect();
    if json {
        let all = entries.iter().map(Listed::Row).chain(others.iter().map(Listed::Other));
        return output::json(&all.collect::<Vec<_>>());
    }
    let mut out = output::out();
    if args.markdown {
        return Ok(write!(out, "{}", markdown(&entries, &others))?);
    }
    for e in entries {
        writeln!(out, "{} {}", bold(e.name), dim(format!("({})", e.operands.join(", "))))?;
        writeln!(out, "    = {}", e.formula)?;
        writeln!(out, "    types {}", e.types)?;
        let names: Vec<&str> = e.onnx.iter().map(String::as_str).chain(e.elsewhere.iter().copied()).collect();
        if !names.is_empty() {
            writeln!(out, "    {}", names.join("; "))?;
        }
        writeln!(out, "    error f32 {}, fast {}, f64 {}", e.bound_f32, e.bound_fast, e.bound_f64)?;
    }
    for other in others {
        writeln!(out, "{}\n    becomes {}", bold(other.names()), other.becomes)?;
    }
    Ok(())
}

fn entry(row: &Row) -> Entry {
    let params = row.params.iter().map(|p| match p.default {
        Some(default) => format!("{} = {default}", p.name),
        None => p.name.to_string(),
    });
    let Bound { f32, fast, f64, .. } = row.bound;
    Entry {
        name: row.name,
        operands: row.operands.iter().map(|o| o.to_string()).chain(params).collect(),
        formula: row.formula,
        types: types(row.types),
        onnx: row.onnx.iter().map(onnx).collect(),
        elsewhere: row.elsewhere,
        range: row.range.map(|(low, high)| (low.to_string(), high.to_string())),
        bound_f32: deviation(f32),
        bound_fast: deviation(fast),
        bound_f64: deviation(f64),
    }
}

fn onnx(o: &Onnx) -> String {
    let dot = if o.domain.is_empty() { "" } else { "." };
    format!("ONNX {}{dot}{} (since {})", o.domain, o.op_type, o.since)
}

fn types(rule: TypeRule) -> String {
    match rule {
        TypeRule::Same(set) => format!("T in {set}"),
        TypeRule::Test(set) => format!("T in {set}, to bool"),
        TypeRule::Select => "bool, T, T, any T".into(),
        TypeRule::Power => "T to the power of U, numbers".into(),
        TypeRule::Convert => "any to any".into(),
        TypeRule::Quantize => "float or i32 to codes".into(),
        TypeRule::Dequantize => "codes or i32 to float".into(),
    }
}

fn deviation(d: Deviation) -> String {
    match (d.ulp, d.abs) {
        (0.0, 0.0) => "exact".into(),
        (ulp, 0.0) => format!("{ulp} ulp"),
        (0.0, abs) => format!("{abs:e}"),
        (ulp, abs) => format!("{ulp} ulp + {abs:e}"),
    }
}

fn markdown(entries: &[Entry], others: &[Other]) -> String {
    let mut text = String::from(
        "# The op table\n\nWritten by `pointweld ops --markdown`.\n\n\
         A bound is the largest distance between a kernel's result and the exact one, for the operands it was given, in units in the \
         last place of the compute type; *fast* is the form used where the result is stored in 16 or 8 bits.\n\n\
         | Op | Operands | Meaning | Types | Elsewhere | f32 | fast | f64 |\n|---|---|---|---|---|---|---|---|\n",
    );
    let cell = |s: &str| s.replace('|', "\\|");
    for e in entries {
        let names: Vec<&str> = e.onnx.iter().map(String::as_str).chain(e.elsewhere.iter().copied()).collect();
        text.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {} | {} | {} | {} |\n",
            e.name,
            e.operands.join(", "),
            cell(e.formula),
            e.types,
            names.join("; "),
            e.bound_f32,
            e.bound_fast,
            e.bound_f64
        ));
    }
    text.push_str("\n## Ops that need no row\n\n| Op | Becomes |\n|---|---|\n");
    for other in others {
        text.push_str(&format!("| {} | {} |\n", cell(&other.names()), cell(other.becomes)));
    }
    text
}
