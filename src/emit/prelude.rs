//! The part of `templates/prelude.cuh` that a kernel needs: the functions it names, with those that they name in turn.
//!
//! In that file a line `//@ name: dependency dependency` opens the text of one function, which goes up to the next such line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The whole file.
pub const PRELUDE: &str = include_str!("../../templates/prelude.cuh");

struct Block {
    dependencies: Vec<&'static str>,
    text: String,
    /// Its place in the file.
    order: usize,
}

static BLOCKS: LazyLock<BTreeMap<&'static str, Block>> = LazyLock::new(|| {
    PRELUDE
        .split("\n//@ ")
        .skip(1)
        .enumerate()
        .filter_map(|(order, block)| {
            let (head, text) = block.split_once('\n')?;
            let (name, dependencies) = head.split_once(':').unwrap_or((head, ""));
            let dependencies = dependencies.split_whitespace().collect();
            // A heading of the file's next part is no part of the function before it.
            let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("// ----")).collect();
            Some((name.trim(), Block { dependencies, text: text.join("\n").trim_end().to_owned(), order }))
        })
        .collect()
});

/// The definitions of every function of the prelude that `text` names, and of what those call, in the file's order; a function a
/// paragraph. Empty if it names none.
pub fn prelude_for(text: &str) -> String {
    let mut wanted: Vec<&str> = identifiers(text).filter(|name| BLOCKS.contains_key(name)).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if let Some(block) = BLOCKS.get(name)
            && found.insert((block.order, &block.text))
        {
            wanted.extend(&block.dependencies);
        }
    }
    found.into_iter().map(|(_, text)| format!("{text}\n\n")).collect()
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("pw_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_is_declared_and_comes_before() {
        for (name, block) in BLOCKS.iter() {
            let code: String =
                block.text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
            let named: BTreeSet<&str> =
                identifiers(&code).filter(|other| BLOCKS.contains_key(other) && other != name).collect();
            let declared: BTreeSet<&str> = block.dependencies.iter().copied().collect();
            assert_eq!(named, declared, "{name}");
            for other in declared {
                assert!(BLOCKS[other].order < block.order, "{name} comes before {other}");
            }
        }
    }

    #[test]
    fn only_what_is_called_is_taken() {
        assert_eq!(prelude_for("float y = x + 1.0f; // no calls"), "");
        let text = prelude_for("y = pw_fast_silu(x);");
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
        assert!(at("float pw_fast_rcp(float") < at("float pw_fast_sigmoid(float"));
        assert!(at("float pw_fast_sigmoid(float") < at("float pw_fast_silu(float"));
        assert!(!text.contains("pw_gelu") && !text.contains("//@"));
    }
}
