//! Writing a model: beside its place, then renamed, so that no reader ever sees half a file. What does not fit into one
//! protobuf file (2 GiB) goes to a weights file next to it.

use super::error::OnnxError;
use super::proto::{DataLocation, ModelProto, StringStringEntryProto, TensorProto};
use super::{data, read::ModelFile, walk};
use crate::files;
use prost::Message;
use std::io::Write;
use std::path::Path;

/// protobuf readers refuse files of 2 GiB and more.
const LARGEST_FILE: usize = (1 << 31) - 1;
/// Tensors below this stay in the model: shapes and scales, which readers want at hand.
const SMALLEST_EXTERNAL: usize = 1024;
/// Weights start at multiples of this, so that a reader can map each of them.
const ALIGNMENT: u64 = 4096;

impl ModelFile {
    /// Writes the model to `path`, with all its weights: in the file while it stays below 2 GiB, else in `<name>.data` beside it.
    /// An existing file is replaced in one step, and may be the very file the model was read from.
    ///
    /// # Errors
    /// [`OnnxError::Io`], or what reading the external weights of the source gives.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), OnnxError> {
        self.write_within(path.as_ref(), LARGEST_FILE)
    }

    fn write_within(&self, path: &Path, largest: usize) -> Result<(), OnnxError> {
        // Clones the messages; weights are shared.
        let mut model = self.model.clone();
        walk::tensors(&mut model, &mut |tensor| self.embed(tensor))?;
        if model.encoded_len() > largest {
            let weights = path.with_file_name(match path.file_name() {
                Some(name) => format!("{}.data", name.to_string_lossy()),
                None => "model.onnx.data".into(),
            });
            let location = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
            replace(&weights, |file| move_out(&mut model, &location, file))?;
            if model.encoded_len() > largest {
                let what = "bytes in the model even without its weights".into();
                let found = model.encoded_len() as u64;
                return Err(OnnxError::Limit { path: path.into(), what, found, limit: largest as u64 });
            }
        }
        replace(path, |file| file.write_all(&model.encode_to_vec()))
    }

    /// Takes external data into the message (a slice of the mapped file).
    fn embed(&self, tensor: &mut TensorProto) -> Result<(), OnnxError> {
        if tensor.data_location() == DataLocation::External {
            tensor.raw_data = Some(data::little_endian(tensor, &self.external)?);
            tensor.external_data.clear();
            tensor.data_location = None;
        }
        Ok(())
    }
}

/// Moves the large tensors of `model` into `file`, which the model will name `location`.
fn move_out(model: &mut ModelProto, location: &str, file: &mut dyn Write) -> std::io::Result<()> {
    let mut at = 0u64;
    walk::tensors(model, &mut |tensor| {
        let Some(raw) = tensor.raw_data.take_if(|raw| raw.len() >= SMALLEST_EXTERNAL) else {
            return Ok(());
        };
        let start = at.next_multiple_of(ALIGNMENT);
        file.write_all(&vec![0; (start - at) as usize])?;
        file.write_all(&raw)?;
        at = start + raw.len() as u64;
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        tensor.external_data = vec![
            entry("location", location.into()),
            entry("offset", start.to_string()),
            entry("length", raw.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External as i32);
        Ok(())
    })
}

/// Fills the file at `path`, whole or not at all.
fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), OnnxError> {
    files::write_with(path, |file| fill(file)).map_err(|source| OnnxError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, DataType, GraphProto, NodeProto};

    fn weights(name: &str, size: usize) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: vec![size as i64],
            data_type: Some(DataType::Uint8 as i32),
            raw_data: Some((0..size).map(|i| (i % 251) as u8).collect::<Vec<_>>().into()),
            ..Default::default()
        }
    }

    fn model() -> ModelProto {
        let constant = AttributeProto { t: Some(Box::new(weights("c", 5000))), ..Default::default() };
        let body = GraphProto { initializer: vec![weights("inner", 2000)], ..Default::default() };
        let branch = AttributeProto { g: Some(Box::new(body)), ..Default::default() };
        let node = NodeProto { attribute: vec![constant, branch], ..Default::default() };
        let initializer = vec![weights("w", 9000), weights("small", 10)];
        let graph = GraphProto { node: vec![node], initializer, ..Default::default() };
        ModelProto { ir_version: Some(8), graph: Some(Box::new(graph)), ..Default::default() }
    }

    #[test]
    fn a_written_model_reads_back_the_same() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("m.onnx");
        ModelFile::from_model("m", model()).write(&path).expect("write");
        assert_eq!(ModelFile::read(&path).expect("read").model, model());
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn a_model_over_the_limit_moves_its_weights_out_and_back() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("m.onnx");
        ModelFile::from_model("m", model()).write_within(&path, 3000).expect("write");
        let outside = ModelFile::read(&path).expect("read");
        let graph = outside.model.graph.as_ref().expect("graph");
        assert_eq!(graph.initializer[0].data_location(), DataLocation::External);
        assert_eq!(graph.initializer[1].data_location(), DataLocation::Default);
        assert_eq!(
            data::little_endian(&graph.initializer[0], &outside.external).expect("data"),
            weights("w", 9000).raw_data.unwrap_or_default()
        );
        // Written again without the limit, onto the file it was read from, all weights are inside again.
        outside.write(&path).expect("write");
        assert_eq!(ModelFile::read(&path).expect("read").model, model());
    }
}
