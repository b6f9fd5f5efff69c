//! Real models: how many nodes become how many kernels, and what is saved.

use pointweld::dim::Bindings;
use pointweld::fuse::{Options, fuse, unfused};
use pointweld::graph::Kind;
use pointweld::onnx::Import;
use std::path::{Path, PathBuf};

fn models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/models");
    assert!(root.is_dir(), "{} is missing: run scripts/fetch_models.py permissive", root.display());
    let (mut found, mut folders) = (Vec::new(), vec![root]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "onnx") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn models_move_fewer_bytes_in_fewer_launches() {
    for path in models() {
        let imported = Import::new().file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut graph = imported.graph;
        pointweld::passes::run(&mut graph, &Default::default(), |_, _, _| {})
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let options = Options::default();
        let start = std::time::Instant::now();
        let plan = fuse(&graph, &options).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let took = start.elapsed();
        let (before, after) = (unfused(&graph, &options, |_| false).unwrap(), plan.moved().unwrap());
        let mut symbols = Default::default();
        before.bytes.symbols(&mut symbols);
        after.bytes.symbols(&mut symbols);
        let sizes: Bindings = symbols.into_iter().map(|s| (s, 32)).collect();
        let megabytes = |m: &pointweld::plan::Moved| m.bytes.eval(&sizes).unwrap() as f64 / 1e6;
        let nodes = graph.ids().filter(|id| !matches!(graph.node(*id).kind, Kind::Input | Kind::Constant(_))).count();
        println!(
            "{:40} nodes {nodes:5}, launches {:4} -> {:4}, MB {:9.3} -> {:9.3}, {took:?}",
            path.file_name().unwrap().to_string_lossy(),
            before.launches,
            after.launches,
            megabytes(&before),
            megabytes(&after),
        );
        assert!(after.launches <= before.launches && megabytes(&after) <= megabytes(&before), "{}", path.display());
    }
}
