//! Every crate pointweld is built from has a licence that lets anybody use, change and sell what is built with it.

use std::process::Command;

use serde_json::Value;

/// The licences that are allowed, by their SPDX names: permissive ones only.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// True if an SPDX expression can be met with allowed licences alone: one side of each `OR`, both sides of each `AND`.
fn is_allowed(expression: &str) -> bool {
    // Old manifests write `/` for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    either(&mut tokens) == Some(true) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `both OR both OR …`; `None` if it is malformed, as in what follows.
fn either(tokens: &mut Tokens) -> Option<bool> {
    let mut allowed = both(tokens)?;
    while tokens.next_if_eq(&"OR").is_some() {
        allowed |= both(tokens)?;
    }
    Some(allowed)
}

/// `licence AND licence AND …`
fn both(tokens: &mut Tokens) -> Option<bool> {
    let mut allowed = licence(tokens)?;
    while tokens.next_if_eq(&"AND").is_some() {
        allowed &= licence(tokens)?;
    }
    Some(allowed)
}

/// A name, a name `WITH` an exception, or an expression in parentheses.
fn licence(tokens: &mut Tokens) -> Option<bool> {
    let name = tokens.next()?;
    if name == "(" {
        let allowed = either(tokens)?;
        return tokens.next_if_eq(&")").map(|_| allowed);
    }
    if tokens.next_if_eq(&"WITH").is_some() {
        let exception = tokens.next()?;
        return Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&name))
}

#[test]
fn expressions_are_read_as_spdx_says() {
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "MIT OR Apache-2.0 AND",
        "(MIT",
        "MIT)",
        "MIT MIT",
        "(MIT OR GPL-3.0-only) AND MPL-2.0",
        "GPL-2.0-only WITH LLVM-exception",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

/// The dependencies of this platform, those of the tests among them.
#[test]
fn every_dependency_has_an_allowed_licence() {
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs, for it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("cargo writes UTF-8")
    };
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let metadata = cargo(&["metadata", "--format-version=1", "--locked", "--filter-platform", host]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert!(packages.len() > 50, "only {} packages were listed", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that are not in the list of this test:\n{}", refused.join("\n"));
}
