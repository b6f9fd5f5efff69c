//! Choices that were measured once and are kept: which schedule each kernel runs in, and which products are welded.
//!
//! The file is plain JSON, sorted, without dates: the same measurements give the same bytes. An entry is found by a hash of all that makes a
//! kernel's text and time: its domain, accesses, ops and types, the architecture, and the sizes expected of its symbols, rounded up to
//! powers of two. Names and the values of constants are no part of it, so kernels that share a text and a shape share an entry.
//!
//! A lock changes when results are there, not what they are: a choice counts only if the schedule's own rules allow it for the kernel at hand.

use crate::dim::Bindings;
use crate::name::Shown;
use crate::op::TypeRule;
use crate::plan::{Arg, BufferId, Contraction, Kernel, Pick, Schedule};
use crate::scalar::{Number, Scalar};
use crate::target::Arch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The version of the format and of what a key is made of.
pub const VERSION: u32 = 1;

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lock {
    pub entries: BTreeMap<Key, Entry>,
    /// What was in the file and is not understood: entries that a newer version wrote, or that were damaged.
    pub unknown: Vec<String>,
}

/// What an entry is found by: 24 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

/// What was chosen for one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// For the reader: the product, the ops, the types and the domain.
    pub kernel: String,
    pub arch: Arch,
    /// The sizes of symbols that it was chosen for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: Bindings,
    pub choice: Choice,
    /// µs of the choice, and of what the compiler would have chosen by itself.
    pub us: f64,
    pub default_us: f64,
    /// The GPU that both were measured on; `None` if the model predicted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_on: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Run the kernel so.
    Run(Pick),
    /// The product of this kernel and the ops welded onto it take less time in kernels of their own.
    Apart,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no lock file: {source}; `pointweld tune` writes one", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

/// The file as it is read: entries are looked at one by one.
#[derive(Deserialize)]
struct Found {
    version: u32,
    entries: BTreeMap<String, serde_json::Value>,
}

/// The file as it is written.
#[derive(Serialize)]
struct File<'a> {
    version: u32,
    entries: &'a BTreeMap<Key, Entry>,
}

impl Lock {
    /// Reads a lock file. Entries that are not understood are kept apart, by name.
    ///
    /// # Errors
    /// If the file can't be read or is no lock file.
    pub fn read(path: &Path) -> Result<Lock, LockError> {
        let text = std::fs::read(path).map_err(|source| LockError::Read { path: path.into(), source })?;
        Lock::parse(&text).map_err(|source| LockError::Json { path: path.into(), source })
    }

    /// Reads a lock file's text.
    ///
    /// # Errors
    /// If it is no JSON object of a version and entries.
    pub fn parse(text: &[u8]) -> Result<Lock, serde_json::Error> {
        let Found { version, entries } = serde_json::from_slice(text)?;
        let mut lock = Lock::default();
        if version != VERSION {
            let entries = entries.len();
            lock.unknown.push(format!(
                "all {entries} entries: the file has version {version}, and this pointweld writes {VERSION}; tune again"
            ));
            return Ok(lock);
        }
        for (key, value) in entries {
            match serde_json::from_value(value) {
                Ok(entry) => drop(lock.entries.insert(Key(key), entry)),
                Err(why) => lock.unknown.push(format!("entry {}: {why}", Shown(&key))),
            }
        }
        Ok(lock)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None for numbers that are finite.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let file = File { version: VERSION, entries: &self.entries };
        serde_json::to_string_pretty(&file).map(|text| text + "\n")
    }
}

impl Entry {
    /// An entry for a kernel; times are kept to a hundredth.
    pub fn new(kernel: &Kernel, arch: Arch, sizes: &Bindings, choice: Choice, us: f64, default_us: f64) -> Entry {
        let round = |us: f64| (us * 100.0).round() / 100.0;
        let (kernel, sizes) = (what(kernel), class(kernel, sizes));
        Entry { kernel, arch, sizes, choice, us: round(us), default_us: round(default_us), measured_on: None }
    }
}

/// The key of a kernel.
pub fn key(kernel: &Kernel, arch: Arch, sizes: &Bindings) -> Key {
    let mut hash = blake3::Hasher::new();
    let normal = normal(kernel);
    // The kernel's own serialization names every field.
    let text = serde_json::to_string(&(VERSION, arch, class(kernel, sizes), normal)).unwrap_or_default();
    hash.update(text.as_bytes());
    Key(hash.finalize().to_hex()[..24].to_owned())
}

/// The sizes that are expected of a kernel's symbols, rounded up to powers of two; symbols of which nothing is expected are left out.
fn class(kernel: &Kernel, sizes: &Bindings) -> Bindings {
    let mut symbols = BTreeSet::new();
    kernel.domain.iter().for_each(|d| d.symbols(&mut symbols));
    for (over, access) in kernel.product.iter().flat_map(|p| p.contraction.accesses()).flatten() {
        over.iter().chain(&access.strides).for_each(|d| d.symbols(&mut symbols));
    }
    let known = |name: String| sizes.get(&name).map(|n| (name, n.checked_next_power_of_two().unwrap_or(*n)));
    symbols.into_iter().filter_map(known).collect()
}

/// The kernel without names, places and values.
fn normal(kernel: &Kernel) -> Kernel {
    let mut kernel =
        Kernel { name: String::new(), origin: Vec::new(), schedule: Schedule::default(), ..kernel.clone() };
    let mut seen: Vec<BufferId> = Vec::new();
    let mut number = |id: BufferId| {
        let at = seen.iter().position(|other| *other == id).unwrap_or_else(|| {
            seen.push(id);
            seen.len() - 1
        });
        BufferId(at as u32)
    };
    if let Some(product) = kernel.product.as_deref_mut() {
        product.name.clear();
        (product.a.buffer, product.b.buffer) = (number(product.a.buffer), number(product.b.buffer));
        if let Contraction::Conv { pad, .. } = &mut product.contraction {
            *pad = zero(*pad);
        }
    }
    for load in &mut kernel.loads {
        load.buffer = number(load.buffer);
        load.known.iter_mut().for_each(|element| *element = zero(*element));
    }
    for store in &mut kernel.stores {
        store.buffer = number(store.buffer);
        store.value = nameless(store.value);
    }
    for stmt in &mut kernel.body {
        stmt.name.clear();
        stmt.args.iter_mut().for_each(|arg| *arg = nameless(*arg));
    }
    for broadcast in &mut kernel.broadcasts {
        broadcast.node.clear();
    }
    kernel
}

fn nameless(arg: Arg) -> Arg {
    match arg {
        Arg::Const(scalar) => Arg::Const(zero(scalar)),
        other => other,
    }
}

fn zero(scalar: Scalar) -> Scalar {
    let number = if scalar.dtype().is_float() { Number::Float(0.0) } else { Number::Int(0) };
    Scalar::new(scalar.dtype(), number)
}

/// A kernel in a line: `conv f16 128x3x3 -> 64, silu over 6400x64 to f16`.
pub fn what(kernel: &Kernel) -> String {
    let mut text = String::new();
    if let Some(product) = &kernel.product {
        let (a, b) = (product.a.dtype, product.b.dtype);
        let types = if a == b { a.to_string() } else { format!("{a} by {b}") };
        let kind = match &product.contraction {
            Contraction::Matrix { .. } => "gemm".to_owned(),
            Contraction::Conv { conv, .. } => {
                let sizes = |sizes: &[usize]| sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
                let groups = if conv.groups > 1 { format!(" in {} groups", conv.groups) } else { String::new() };
                format!("conv {} by {}{groups}", sizes(&conv.kernel), sizes(&conv.strides))
            }
        };
        let depth = product.contraction.depth().map_or("?".into(), |d| d.to_string());
        text = format!("{kind} {types} of {depth} terms, ");
    }
    let ops: Vec<&str> =
        kernel.body.iter().filter(|s| s.op.row().types != TypeRule::Convert).map(|s| s.op.name()).collect();
    let ops = if ops.is_empty() { "copy".to_owned() } else { ops.join(" ") };
    let domain: Vec<String> = kernel.domain.iter().map(ToString::to_string).collect();
    let mut types: Vec<String> = kernel.stores.iter().map(|s| s.dtype.to_string()).collect();
    types.dedup();
    text + &format!("{ops} over {} to {}", domain.join("x"), types.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named_and_no_failure() {
        let lock = Lock::parse(br#"{"version": 9, "entries": {"a": {}}}"#).unwrap();
        assert!(lock.entries.is_empty() && lock.unknown[0].contains("version 9"), "{lock:?}");
        let lock = Lock::parse(br#"{"version": 1, "entries": {"a": {"kernel": 3}}}"#).unwrap();
        assert!(lock.entries.is_empty() && lock.unknown[0].starts_with("entry a: "), "{lock:?}");
        for text in ["", "[]", "{\"entries\": {}}", "{\"version\": 1}"] {
            assert!(Lock::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
