//! Reading a model file: mapped into memory, checked, decoded. The weights stay where they are in the mapping: a tensor's bytes
//! are a slice of the file, and external weight files are mapped when a tensor of theirs is first asked for.

use super::error::OnnxError;
use super::proto::ModelProto;
use super::{external::ExternalFiles, sniff, wire};
use bytes::{Buf, Bytes};
use prost::Message;
use std::path::{Path, PathBuf};

/// A decoded model together with the file it came from, which its external weights are relative to.
#[derive(Debug)]
pub struct ModelFile {
    /// The decoded messages. Their byte fields share the file's memory.
    pub model: ModelProto,
    path: PathBuf,
    pub(crate) external: ExternalFiles,
}

impl ModelFile {
    /// Reads the model at `path`.
    ///
    /// # Errors
    /// [`OnnxError`] that says whether the file is missing, is something other than ONNX, or is damaged and at which byte.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let bytes = map(path)?;
        Self::decode(path, bytes, ExternalFiles::beside(path))
    }

    /// Decodes a model that is already in memory. `name` stands for the file in messages; external weights are refused, since
    /// there is no folder to look in.
    ///
    /// # Errors
    /// As [`ModelFile::read`].
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Self, OnnxError> {
        Self::decode(Path::new(name), bytes, ExternalFiles::none())
    }

    /// Wraps a model that was built in memory.
    pub fn from_model(name: &str, model: ModelProto) -> Self {
        Self { model, path: name.into(), external: ExternalFiles::none() }
    }

    /// Where the model was read from, or the name given to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn decode(path: &Path, bytes: Bytes, external: ExternalFiles) -> Result<Self, OnnxError> {
        if let Some(what) = sniff::not_onnx(&bytes) {
            return Err(OnnxError::NotOnnx { path: path.into(), what });
        }
        wire::check(path, &bytes)?;
        let mut rest = bytes.clone();
        let model = ModelProto::decode(&mut rest).map_err(|error| OnnxError::Malformed {
            path: path.into(),
            offset: (bytes.len() - rest.remaining()) as u64,
            place: "the model".into(),
            what: error.to_string(),
        })?;
        if model.graph.is_none() {
            let what = "it decodes, but holds no graph (another protobuf format, such as a TensorFlow model?)";
            return Err(OnnxError::NotOnnx { path: path.into(), what: what.into() });
        }
        Ok(Self { model, path: path.into(), external })
    }
}

/// The file's bytes: mapped where it is a regular file, else (a pipe) read to the end.
pub(crate) fn map(path: &Path) -> Result<Bytes, OnnxError> {
    let fail = |action, source| OnnxError::Io { action, path: path.into(), source };
    let file = std::fs::File::open(path).map_err(|e| fail("open", e))?;
    let about = file.metadata().map_err(|e| fail("read", e))?;
    if about.is_dir() {
        let what = "it is a folder; name the .onnx file in it".into();
        return Err(OnnxError::NotOnnx { path: path.into(), what });
    }
    if !about.is_file() {
        return read_to_end(path, file);
    }
    if about.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private and read-only. As with every mapped file, the contents change underneath us if another
    // process rewrites the file in place; every byte is treated as untrusted data, and nothing but a truncation (which the
    // system answers with a signal) can do more than give wrong numbers. pointweld itself only ever replaces files by rename.
    let mapping = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| fail("map", e))?;
    Ok(Bytes::from_owner(mapping))
}

fn read_to_end(path: &Path, file: std::fs::File) -> Result<Bytes, OnnxError> {
    use std::io::Read;
    /// A model file is at most 2 GiB (protobuf's limit); what is larger has its weights outside.
    const LARGEST: u64 = 1 << 31;
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|source| OnnxError::Io { action: "read", path: path.into(), source })?;
    if bytes.len() as u64 > LARGEST {
        let what = "bytes read from a pipe".into();
        return Err(OnnxError::Limit { path: path.into(), what, found: bytes.len() as u64, limit: LARGEST });
    }
    Ok(bytes.into())
}
