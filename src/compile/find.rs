//! Where NVRTC and the disassembler may lie on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The environment variable that names NVRTC: its file or its folder.
const VARIABLE: &str = "POINTWELD_NVRTC";

/// A place where a library or a tool may lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A file, or a folder that holds it.
    pub path: PathBuf,
    /// True if the user named this very place, so that its failing must not be passed over.
    pub explicit: bool,
}

/// The places to look for NVRTC in, the first first; the system's loader comes after them.
pub(super) fn nvrtc_places() -> Vec<Place> {
    places(VARIABLE, ".cache/nvrtc", &["lib64", "lib"])
}

/// The places to look for nvdisasm in, the first first; `PATH` comes after them.
pub(super) fn disassembler_places() -> Vec<Place> {
    places("POINTWELD_NVDISASM", ".cache/disassembler", &["bin"])
}

/// The place that `variable` names, or else: `folder` in the working folder or above the executable, the executable's folder, and
/// `toolkit` in CUDA's own folder.
fn places(variable: &str, folder: &str, toolkit: &[&str]) -> Vec<Place> {
    let value = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = value(variable) {
        return vec![Place { path: path.into(), explicit: true }];
    }
    let mut folders = Vec::new();
    if let Ok(current) = env::current_dir() {
        folders.push(current.join(folder));
    }
    // The executable lies in target/release or target/debug/deps of the checkout, or beside the library of a package.
    if let Ok(executable) = env::current_exe() {
        folders.extend(executable.ancestors().skip(1).take(5).map(|above| above.join(folder)));
        folders.extend(executable.parent().map(Path::to_owned));
    }
    for root in ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(value) {
        folders.extend(toolkit.iter().map(|inside| Path::new(&root).join(inside)));
    }
    let mut unique: Vec<Place> = Vec::new();
    for path in folders {
        if unique.iter().all(|place| place.path != path) {
            unique.push(Place { path, explicit: false });
        }
    }
    unique
}

/// The library's file at `path`: `path` itself, or the newest `libnvrtc.so.N` in the folder `path`.
pub(super) fn library_at(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(path)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = version_in(entry.file_name().to_str()?)?;
            Some((version, entry.path()))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// The version in the name of a library's file: `libnvrtc.so.13` has `[13]`, `libnvrtc.so` has `[]`.
/// Its companions (`libnvrtc-builtins.so.13.5`, `libnvrtc.alt.so.13`) have none.
fn version_in(name: &str) -> Option<Vec<u32>> {
    let rest = name.strip_prefix("libnvrtc.so")?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest.strip_prefix('.')?.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_of_a_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(library_at(folder.path()), None);
        for name in [
            "libnvrtc-builtins.so.13.5",
            "libnvrtc.alt.so.99",
            "libnvrtc.so",
            "libnvrtc.so.9.2",
            "libnvrtc.so.12",
            "libnvrtc.so.13",
            "libnvrtc.so.x",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let newest = folder.path().join("libnvrtc.so.13");
        assert_eq!(library_at(folder.path()), Some(newest.clone()));
        assert_eq!(library_at(&newest), Some(newest));
        assert_eq!(library_at(&folder.path().join("absent")), None);
    }

    #[test]
    fn no_place_is_looked_in_twice() {
        let places = nvrtc_places();
        for (i, place) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|other| other.path != place.path));
        }
    }
}
