//! Copies from `templates/device.cuh` and `templates/matrix.cuh` what a kernel calls, and nothing else: kernels stay short and compile fast.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

const TEXT: &str =
    concat!(include_str!("../../templates/device.cuh"), "\n", include_str!("../../templates/matrix.cuh"));

/// One definition of the library, with the comment above it.
struct Item {
    text: &'static str,
    /// Indices of the items that it names.
    needs: Vec<usize>,
}

/// The items, and where each name is defined; the names are looked up and never listed.
static LIBRARY: LazyLock<(Vec<Item>, HashMap<&'static str, usize>)> = LazyLock::new(|| {
    let texts: Vec<&'static str> = TEXT.split("\n\n").map(str::trim).collect();
    let mut names = HashMap::new();
    for (i, text) in texts.iter().enumerate() {
        names.extend(defined(text).into_iter().map(|name| (name, i)));
    }
    let needs = |i: usize, text: &'static str| {
        let found: BTreeSet<usize> =
            words(text).filter_map(|word| names.get(word).copied()).filter(|n| *n != i).collect();
        found.into_iter().collect()
    };
    (texts.iter().enumerate().map(|(i, text)| Item { text, needs: needs(i, text) }).collect(), names)
});

/// The definitions that `code` needs, in the library's order, each followed by an empty line.
pub fn definitions_for(code: &str) -> String {
    let (items, names) = &*LIBRARY;
    let mut wanted = BTreeSet::new();
    let mut open: Vec<usize> = words(code).filter_map(|word| names.get(word).copied()).collect();
    while let Some(i) = open.pop() {
        if wanted.insert(i) {
            open.extend(&items[i].needs);
        }
    }
    wanted.into_iter().map(|i| format!("{}\n\n", items[i].text)).collect()
}

/// The identifiers of a C++ text outside its comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let code = line.split("//").next().unwrap_or_default();
        let words = code.as_bytes().split(|c| !c.is_ascii_alphanumeric() && *c != b'_').filter(|word| !word.is_empty());
        words.filter_map(|word| str::from_utf8(word).ok())
    })
}

/// The names that an item of the library defines: of its types or of its function.
fn defined(item: &str) -> Vec<&str> {
    let code: Vec<&str> =
        item.lines().filter(|line| !line.starts_with("//") && !line.starts_with("template")).collect();
    let typedefs: Vec<&str> =
        code.iter().filter_map(|l| l.strip_prefix("typedef ")?.rsplit(' ').next()?.strip_suffix(';')).collect();
    if !typedefs.is_empty() {
        return typedefs;
    }
    let Some(first) = code.first() else { return Vec::new() };
    let name = match first.strip_prefix("struct ") {
        Some(rest) => rest.split_whitespace().next(),
        // The parenthesis after an identifier: a return type may have one of its own.
        None => first.match_indices('(').find_map(|(at, _)| {
            let name = first[..at].rsplit(' ').next()?;
            name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_').then_some(name)
        }),
    };
    name.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_gets_what_it_calls_and_what_that_calls() {
        let text = definitions_for("y = pack_f16(y_e); // round_f8e4m3fn");
        assert!(text.contains("pack_f16(const float") && text.contains("halves_f16(float lo") && text.contains("u32;"));
        assert!(!text.contains("halves_bf16") && !text.contains("round_f8"));
        assert_eq!(definitions_for("a + b"), "");
    }

    #[test]
    fn every_item_defines_a_name_or_is_a_comment() {
        for text in TEXT.split("\n\n").map(str::trim) {
            let comment = text.lines().all(|line| line.starts_with("//"));
            assert!(comment || !defined(text).is_empty(), "{text}");
        }
    }
}
