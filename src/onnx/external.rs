//! Weights kept outside the model file. A model names them by a relative path, which is untrusted: a file outside the model's
//! folder is refused, whatever the path's form. Files are mapped when first used, and tensors are slices of the mapping.

use super::error::{OnnxError, quoted};
use super::proto::TensorProto;
use super::read::map;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

/// The weight files of one model, mapped as they are needed.
#[derive(Debug)]
pub(crate) struct ExternalFiles {
    /// Folder the model names files in. `None`: the model did not come from a file.
    folder: Option<PathBuf>,
    /// The model's own path. Model hubs keep files as links into a store; where the model is such a link, its weights may be
    /// links into the same store.
    model: PathBuf,
    mapped: Mutex<BTreeMap<String, Bytes>>,
}

impl ExternalFiles {
    pub(crate) fn beside(model: &Path) -> Self {
        let folder = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { folder: Some(folder.into()), model: model.into(), mapped: Mutex::default() }
    }

    pub(crate) fn none() -> Self {
        Self { folder: None, model: PathBuf::new(), mapped: Mutex::default() }
    }

    /// The bytes of `tensor`, whose data is external.
    pub(crate) fn bytes(&self, tensor: &TensorProto) -> Result<Bytes, OnnxError> {
        let name = quoted(tensor.name());
        let fail = |what: String| OnnxError::External { tensor: name.clone(), what };
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(fail(format!("`{key}` is {}, not a number of bytes", quoted(text)))),
            },
        };
        let location = entry("location").ok_or_else(|| fail("no `location` is given".into()))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = self.file(location).map_err(|error| match error {
            OnnxError::External { what, .. } => fail(what),
            other => other,
        })?;
        let size = file.len() as u64;
        let end = match length {
            Some(length) => offset.checked_add(length),
            None => Some(size),
        };
        match end {
            Some(end) if offset <= end && end <= size => Ok(file.slice(offset as usize..end as usize)),
            _ => {
                let length = length.map_or("the rest".to_string(), |l| format!("{l} bytes"));
                Err(fail(format!(
                    "{} has {size} bytes, but {length} from byte {offset} are asked for",
                    quoted(location)
                )))
            }
        }
    }

    fn file(&self, location: &str) -> Result<Bytes, OnnxError> {
        let mut mapped = self.mapped.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(bytes) = mapped.get(location) {
            return Ok(bytes.clone());
        }
        let bytes = map(&self.resolve(location)?)?;
        mapped.insert(location.into(), bytes.clone());
        Ok(bytes)
    }

    /// The file `location` stands for, once it is known to be inside the model's folder.
    fn resolve(&self, location: &str) -> Result<PathBuf, OnnxError> {
        let fail = |what: String| OnnxError::External { tensor: String::new(), what };
        let Some(folder) = &self.folder else {
            return Err(fail("the model was not read from a file, so there is no folder to look in".into()));
        };
        let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
        // A backslash is a separator on other systems; a model must mean the same file everywhere.
        if location.is_empty() || location.contains(['\\', '\0']) || !Path::new(location).components().all(inside) {
            return Err(fail(format!("{} is not a plain relative path inside the model's folder", quoted(location))));
        }
        let path = folder.join(location);
        let real = |path: &Path| {
            path.canonicalize().map_err(|source| OnnxError::Io { action: "open", path: path.into(), source })
        };
        let target = real(&path)?;
        let store = real(&self.model)?;
        let store = store.parent().unwrap_or(Path::new("/"));
        if !target.starts_with(real(folder)?) && !target.starts_with(store) {
            return Err(fail(format!("{} leads outside the model's folder through a link", quoted(location))));
        }
        // Opening a pipe would wait for whoever writes into it.
        if !target.is_file() {
            return Err(fail(format!("{} is no regular file", quoted(location))));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::StringStringEntryProto;

    fn tensor(entries: &[(&str, &str)]) -> TensorProto {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some((*key).into()),
            value: Some((*value).into()),
        };
        TensorProto { name: Some("w".into()), external_data: entries.iter().map(entry).collect(), ..Default::default() }
    }

    fn folder_with_weights() -> (tempfile::TempDir, ExternalFiles) {
        let root = tempfile::tempdir().expect("temporary folder");
        let folder = root.path().join("model");
        std::fs::create_dir(&folder).expect("folder");
        std::fs::write(root.path().join("secret"), b"secret").expect("write");
        std::fs::write(folder.join("m.onnx"), b"m").expect("write");
        std::fs::write(folder.join("w.bin"), b"0123456789").expect("write");
        let files = ExternalFiles::beside(&folder.join("m.onnx"));
        (root, files)
    }

    #[test]
    fn slices_and_their_bounds() {
        let (_root, files) = folder_with_weights();
        let get = |entries: &[(&str, &str)]| files.bytes(&tensor(entries)).map(|b| b.to_vec());
        assert_eq!(get(&[("location", "w.bin"), ("offset", "2"), ("length", "3")]).expect("slice"), b"234");
        assert_eq!(get(&[("location", "./w.bin"), ("offset", "8")]).expect("slice"), b"89");
        for (offset, length) in [("8", "3"), ("11", "0"), ("1", "18446744073709551615"), ("-1", "1"), ("x", "1")] {
            let error = get(&[("location", "w.bin"), ("offset", offset), ("length", length)]).expect_err("bounds");
            assert!(matches!(error, OnnxError::External { ref tensor, .. } if tensor == "\"w\""), "{error}");
        }
    }

    #[test]
    fn paths_out_of_the_folder_are_refused() {
        let (root, files) = folder_with_weights();
        let absolute = root.path().join("secret").display().to_string();
        for location in ["../secret", "a/../../secret", &absolute, "..\\secret", "", "w.bin\0"] {
            let error = files.bytes(&tensor(&[("location", location)])).expect_err("outside");
            assert!(error.to_string().contains("not a plain relative path"), "{location}: {error}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.path().join("secret"), root.path().join("model/link")).expect("link");
            let error = files.bytes(&tensor(&[("location", "link")])).expect_err("outside");
            assert!(error.to_string().contains("through a link"), "{error}");
        }
        assert!(ExternalFiles::none().bytes(&tensor(&[("location", "w.bin")])).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let (root, files) = folder_with_weights();
        let pipe = root.path().join("model/pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        for location in ["pipe", "."] {
            let error = files.bytes(&tensor(&[("location", location)])).expect_err("no file");
            assert!(error.to_string().contains("is no regular file"), "{location}: {error}");
        }
    }

    /// Model hubs store `models/x/model.onnx` and `model.onnx_data` as links into one folder of blobs.
    #[cfg(unix)]
    #[test]
    fn a_store_of_links_works() {
        let root = tempfile::tempdir().expect("temporary folder");
        for folder in ["blobs", "snapshot"] {
            std::fs::create_dir(root.path().join(folder)).expect("folder");
        }
        for (blob, name) in [("1", "m.onnx"), ("2", "m.onnx_data")] {
            std::fs::write(root.path().join("blobs").join(blob), blob).expect("write");
            let link = root.path().join("snapshot").join(name);
            std::os::unix::fs::symlink(format!("../blobs/{blob}"), link).expect("link");
        }
        let files = ExternalFiles::beside(&root.path().join("snapshot/m.onnx"));
        assert_eq!(files.bytes(&tensor(&[("location", "m.onnx_data")])).expect("blob").as_ref(), b"2");
    }
}
