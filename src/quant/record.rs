//! `calibration.json`: what was observed, on which part of the data, and what was decided. Records of parts add up to the record of the
//! whole.

use super::choose::Choice;
use super::observe::Observation;
use super::scheme::Scheme;
use crate::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this file.
    pub format: u32,
    /// The model's fingerprint.
    pub model: String,
    /// Which parts of the data, from 0, of how many; `[0]` of 1 is all of it.
    pub shards: BTreeSet<usize>,
    pub shard_count: usize,
    /// How scales were chosen and what was decided; not in a shard's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    pub observation: Observation,
}

/// Why records do not add up.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is no record of observations: {source}", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{} has the form {found}, and this version reads {}; observe again", .path.display(), Record::FORMAT)]
    Format { path: PathBuf, found: u32 },
    #[error("{} was observed on another model", .path.display())]
    Model { path: PathBuf },
    #[error("{} has part {shard} of {count}, which another file has too", .path.display())]
    Twice { path: PathBuf, shard: usize, count: usize },
    #[error("{} is one of {found} parts, and the files before are of {count}", .path.display())]
    Count { path: PathBuf, found: usize, count: usize },
    #[error("part {} of {count} is missing", list(.missing))]
    Missing { missing: Vec<usize>, count: usize },
}

fn list(parts: &[usize]) -> String {
    parts.iter().map(|part| (part + 1).to_string()).collect::<Vec<_>>().join(", ")
}

impl Record {
    const FORMAT: u32 = 1;

    /// What was seen of one part of the data.
    pub fn new(model: &str, (shard, shard_count): (usize, usize), observation: Observation) -> Record {
        let (format, model, shards) = (Record::FORMAT, model.to_string(), [shard].into());
        Record { format, model, shards, shard_count, choice: None, scheme: None, observation }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// If the file can't be read or is something else.
    pub fn read(path: &Path) -> Result<Record, MergeError> {
        let text = std::fs::read(path).map_err(|source| MergeError::Io { path: path.into(), source })?;
        let record: Record =
            serde_json::from_slice(&text).map_err(|source| MergeError::Json { path: path.into(), source })?;
        match record.format {
            Record::FORMAT => Ok(record),
            found => Err(MergeError::Format { path: path.into(), found }),
        }
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn write(&self, path: &Path) -> Result<(), MergeError> {
        files::write_with(path, |file| serde_json::to_writer(file, self).map_err(io::Error::from))
            .map_err(|source| MergeError::Io { path: path.into(), source })
    }
}

/// Adds up the records of all parts of the data.
///
/// # Errors
/// If one is of another model, a part comes twice or is missing.
pub fn merge(model: &str, paths: &[PathBuf]) -> Result<Record, MergeError> {
    let mut whole: Option<Record> = None;
    for path in paths {
        let part = Record::read(path)?;
        if part.model != model {
            return Err(MergeError::Model { path: path.clone() });
        }
        let Some(whole) = &mut whole else {
            whole = Some(Record { choice: None, scheme: None, ..part });
            continue;
        };
        if part.shard_count != whole.shard_count {
            return Err(MergeError::Count { path: path.clone(), found: part.shard_count, count: whole.shard_count });
        }
        if let Some(shard) = part.shards.iter().find(|shard| whole.shards.contains(shard)) {
            return Err(MergeError::Twice { path: path.clone(), shard: shard + 1, count: whole.shard_count });
        }
        whole.shards.extend(&part.shards);
        whole.observation.merge(&part.observation);
    }
    let whole = whole.unwrap_or_else(|| Record::new(model, (0, 1), Observation::default()));
    let missing: Vec<usize> = (0..whole.shard_count).filter(|shard| !whole.shards.contains(shard)).collect();
    match missing.is_empty() {
        true => Ok(whole),
        false => Err(MergeError::Missing { missing, count: whole.shard_count }),
    }
}
