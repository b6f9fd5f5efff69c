//! The house stands on its floors: a room imports only rooms below its own. The table here is the plan of the house, and a room that is
//! not in it fails. `unsafe` stays in the rooms that need it, and no file grows beyond what one can read at a sitting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up. Rooms in one pair of parentheses are one room with several doors and may use each other; rooms that
/// are apart on one floor may not.
const FLOORS: &[&[&str]] = &[
    // What a tensor is: types, numbers, dimensions, names; and what a GPU is.
    &["dim", "dtype", "files", "memory", "name", "target"],
    &["minifloat", "shape"],
    &["scalar", "view"],
    &["qparams", "tensor"],
    // The op table, and what is not pointwise.
    &["op", "anchor", "npy"],
    &["structural"],
    // The graph, the only way to edit it, and what always holds of it.
    &["(graph", "patch", "verify)"],
    // The meeting point of all stages.
    &["plan"],
    &["reference", "onnx", "ptx", "expr", "demo", "data", "lock"],
    &["passes"],
    // From a graph to a plan, and from a plan to text, machine code and words.
    &["fuse", "schedule", "emit", "compile", "quant"],
    &["report", "runtime"],
    &["prove"],
    // All stages in order.
    &["compiler"],
    &["bench"],
    &["tune"],
    &["lib"],
    &["cli"],
    &["main"],
];

/// Files that may say `unsafe`, by their path in `src` or the folder they are in.
const UNSAFE: &[&str] =
    &["compile/library.rs", "compile/memory.rs", "compile/nvrtc.rs", "onnx/", "reference/anchor/gemm.rs", "runtime/"];

/// Lines of a file in `src`.
const LONGEST: usize = 700;

/// Each room's floor and the house number of its doors: rooms with the same number are one.
fn floors() -> BTreeMap<&'static str, (usize, usize)> {
    let mut rooms = BTreeMap::new();
    let mut number = 0;
    for (floor, names) in FLOORS.iter().enumerate() {
        let mut inside = false;
        for name in *names {
            inside |= name.starts_with('(');
            let room = name.trim_matches(['(', ')']);
            assert!(rooms.insert(room, (floor, number)).is_none(), "{room} stands twice in the table");
            inside &= !name.ends_with(')');
            if !inside {
                number += 1;
            }
        }
    }
    rooms
}

/// What is wrong with a file of `room` that imports `imported`, if anything is.
fn fault(room: &str, imported: &str) -> Option<String> {
    let rooms = floors();
    let Some((floor, number)) = rooms.get(room) else {
        return Some(format!("the room `{room}` is not in the table of tests/layering.rs: give it a floor"));
    };
    // What is no room is an item of lib.rs, such as a macro.
    let (other_floor, other_number) = rooms.get(imported)?;
    if number == other_number || floor > other_floor {
        return None;
    }
    let relation = if floor == other_floor { "which is on the same floor" } else { "which is above it" };
    Some(format!("the room `{room}` imports `{imported}`, {relation}"))
}

/// The room a file of `src` belongs to: `graph` for `graph.rs` and for all in `graph/`.
fn room_of(file: &Path) -> String {
    let first = file.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// A file's text without comments, texts in quotation marks, and what is compiled for tests only.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['/', '"', '\'']) {
        code.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else if let Some(inside) = rest.strip_prefix('"') {
            let hashes = code.len() - code.trim_end_matches('#').len();
            let raw = code.trim_end_matches('#').ends_with('r');
            match raw {
                true => inside.find(&format!("\"{}", "#".repeat(hashes))).map(|at| at + 2),
                false => closing_quote(rest),
            }
        } else if rest.starts_with("'\"'") || rest.starts_with("'/'") {
            Some(3)
        } else if let Some(escape) = rest.strip_prefix("'\\") {
            escape.find('\'').map(|at| at + 3)
        } else {
            code.push_str(&rest[..1]);
            Some(1)
        };
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    code.push_str(rest);
    // Tests may use the whole house: by custom they stand last in a file.
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// Where a text in quotation marks ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The rooms that code names, in a module `depth` modules below the crate: `crate::shape::Shape`, `crate::{shape::Shape, tensor}`, and
/// `super::shape` where that leaves the module's own room.
fn imports(code: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let root = "super::".repeat(depth);
    let paths = code.match_indices("crate::").map(|(at, prefix)| &code[at + prefix.len()..]);
    let upward = code.match_indices(&root).filter(|(at, _)| !code[..*at].ends_with("super::"));
    for path in paths.chain(upward.map(|(at, prefix)| &code[at + prefix.len()..])) {
        match path.strip_prefix('{') {
            None => found.push(identifier(path)),
            Some(group) => {
                let mut depth = 0;
                let mut fresh = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        _ if fresh && !character.is_whitespace() => {
                            found.push(identifier(&group[at..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Every file of `src`, by its path in it, in order.
fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path.strip_prefix(&root).expect("inside src").to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "only {} files were found", found.len());
    found
}

#[test]
fn imports_run_down_the_floors() {
    let mut faults = Vec::new();
    for (file, text) in files() {
        // A file of tests alone, `mod tests;` in its parent.
        if file.ends_with("tests.rs") || file.iter().any(|part| part == "tests") {
            continue;
        }
        let room = room_of(&file);
        let depth = file.iter().count() - usize::from(file.ends_with("mod.rs"));
        for imported in imports(&code(&text), depth) {
            faults.extend(fault(&room, &imported).map(|fault| format!("src/{}: {fault}", file.display())));
        }
        faults.extend(fault(&room, &room).map(|fault| format!("src/{}: {fault}", file.display())));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn unsafe_stays_where_it_is_needed() {
    for (file, text) in files() {
        let name = file.to_str().expect("a name in UTF-8").replace('\\', "/");
        let allowed = UNSAFE.iter().any(|place| name.starts_with(place));
        let used = code(&text).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        assert!(allowed || !used, "src/{name} says `unsafe`; only {} may", UNSAFE.join(", "));
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (file, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "src/{} has {lines} lines; split it below {LONGEST}", file.display());
    }
}

#[test]
fn the_checks_find_what_they_look_for() {
    let named = |code: &str| imports(code, 1);
    let upward = "use crate::dtype::DType;\nfn f() { crate::plan::Kernel::new(); }";
    assert_eq!(named(upward), ["dtype", "plan"]);
    assert_eq!(named("use crate::{dtype::{DType, X}, shape,\n  op};"), ["dtype", "shape", "op"]);
    assert_eq!(
        named(&code("// crate::plan\n/* crate::plan */ \"crate::plan \\\" crate::op\" 'x' '\"' crate::dim")),
        ["dim"]
    );
    assert_eq!(named(&code("r#\"crate::plan\"# crate::dim\n#[cfg(test)]\nmod tests { use crate::plan; }")), ["dim"]);
    assert_eq!(imports("super::plan::Kernel, super::super::op::Op", 2), ["op"]);
    assert!(fault("graph", "dtype").is_none());
    assert!(fault("graph", "patch").is_none() && fault("patch", "graph").is_none());
    assert!(fault("op", "op").is_none());
    assert!(fault("op", "graph").is_some_and(|fault| fault.contains("above")));
    assert!(fault("emit", "compile").is_some_and(|fault| fault.contains("same floor")));
    assert!(fault("attic", "dtype").is_some_and(|fault| fault.contains("not in the table")));
    assert!(code("let a = 'b'; unsafe {}").contains("unsafe"));
}
