//! Compiled kernels on disk, shared by all processes of a user.
//!
//! An entry is a file named by the hash of everything that decides its content. It is written under another name and then renamed, so
//! a reader sees a whole entry or none, and of two writers of one entry the last wins with the same bytes. No lock is needed.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use thiserror::Error;

use super::{Compiled, Request, Version, entry, nvrtc};

/// The environment variable that names the cache's folder.
const VARIABLE: &str = "POINTWELD_CACHE";
/// The ending of an entry's file.
const ENDING: &str = "kernel";
/// The start of a file that is still being written.
const UNFINISHED: &str = ".writing-";
/// The bytes of all entries together, where nothing else is said.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// A disk cache of compiled kernels, safe between threads and processes.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes written since the folder was last measured; starts as if the limit were reached, so the first write measures.
    written: AtomicU64,
    /// Set when a write failed: further ones would only fail again.
    disabled: AtomicBool,
}

/// What the cache could not do. The compilation went on without it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CacheWarning {
    /// An entry was damaged; it has been compiled again.
    #[error("the cache entry {} was compiled again: {reason}", .path.display())]
    Damaged {
        /// The entry's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry could not be read; it has been compiled again.
    #[error("the cache entry {} was compiled again: {reason}", .path.display())]
    Unreadable {
        /// The entry's file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// Nothing can be written, so nothing is cached by this process any more.
    #[error(
        "nothing is cached, because {} cannot be written: {reason}; set POINTWELD_CACHE to a folder that can", .path.display()
    )]
    Unwritable {
        /// The cache's folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// What a cache holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// The cache's folder.
    pub path: PathBuf,
    /// The number of entries.
    pub entries: u64,
    /// The bytes of all entries.
    pub bytes: u64,
    /// The bytes they may have together.
    pub limit: u64,
}

impl Cache {
    /// The user's cache: the folder `POINTWELD_CACHE`, else `pointweld` in `XDG_CACHE_HOME`, else `.cache/pointweld` in the home
    /// folder; `None` where there is no home either. Nothing is created before the first write.
    pub fn of_user() -> Option<Cache> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let folder = match variable(VARIABLE) {
            Some(folder) => PathBuf::from(folder),
            // The XDG specification has relative paths ignored.
            None => match variable("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()) {
                Some(root) => Path::new(&root).join("pointweld"),
                None => env::home_dir().filter(|home| home.is_absolute())?.join(".cache/pointweld"),
            },
        };
        Some(Cache::at(folder))
    }

    /// A cache in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache {
            folder: folder.into(),
            limit: DEFAULT_LIMIT,
            written: AtomicU64::new(u64::MAX),
            disabled: AtomicBool::new(false),
        }
    }

    /// Lets the entries have `bytes` bytes together (1 GiB without this); the least recently used ones go first.
    pub fn with_limit(mut self, bytes: u64) -> Cache {
        self.limit = bytes;
        self
    }

    /// The cache's folder, which may not exist yet.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Counts the entries.
    ///
    /// # Errors
    /// The system's error if the folder exists and cannot be read.
    pub fn stats(&self) -> io::Result<CacheStats> {
        let files = self.files()?;
        Ok(CacheStats {
            path: self.folder.clone(),
            entries: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            limit: self.limit,
        })
    }

    /// Removes every entry and says what was removed. Other files in the folder stay.
    ///
    /// # Errors
    /// The system's error if the folder cannot be read or an entry cannot be removed.
    pub fn clear(&self) -> io::Result<CacheStats> {
        let mut removed = CacheStats { path: self.folder.clone(), entries: 0, bytes: 0, limit: self.limit };
        for file in self.files()? {
            match fs::remove_file(&file.path) {
                Ok(()) => {
                    removed.entries += 1;
                    removed.bytes += file.bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// The name of a request's entry: the hash of all that decides what NVRTC makes of it.
    pub(super) fn key(request: &Request, nvrtc: Version) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        // Each part goes with its length, so that no two lists of parts run together into the same bytes.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(entry::MARK);
        part(nvrtc.to_string().as_bytes());
        part(request.kernel.as_bytes());
        part(request.source.as_bytes());
        for option in nvrtc::options(request, nvrtc) {
            part(option.as_bytes());
        }
        hasher.finalize()
    }

    /// The entry `key`; `None` if there is none.
    pub(super) fn get(&self, key: &blake3::Hash) -> Result<Option<Compiled>, CacheWarning> {
        let path = self.entry(key);
        let read = || {
            let mut file = File::open(&path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            // The time of the last use, for eviction. Where it cannot be set, the time of writing has to do.
            let _ = file.set_modified(SystemTime::now());
            Ok(bytes)
        };
        let bytes: Vec<u8> = match read() {
            Ok(bytes) => bytes,
            Err(error) => match io::Error::kind(&error) {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(None),
                _ => {
                    return Err(CacheWarning::Unreadable { path, reason: error.to_string() });
                }
            },
        };
        match entry::decode(&bytes) {
            Ok(compiled) => Ok(Some(compiled)),
            Err(reason) => Err(CacheWarning::Damaged { path, reason }),
        }
    }

    /// Stores the entry `key`. After a failure nothing more is stored, and no more is said.
    pub(super) fn put(&self, key: &blake3::Hash, compiled: &Compiled) -> Result<(), CacheWarning> {
        if self.disabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = entry::encode(compiled);
        let written = self.write(key, &bytes).and_then(|()| {
            let size = bytes.len() as u64;
            let before = self.written.fetch_add(size, Ordering::Relaxed);
            // Measuring the folder reads all of it: do so for every sixteenth of the limit written.
            if before.saturating_add(size) >= self.limit / 16 {
                self.written.store(0, Ordering::Relaxed);
                self.evict()?;
            }
            Ok(())
        });
        match written {
            Ok(()) => Ok(()),
            Err(_) if self.disabled.swap(true, Ordering::Relaxed) => Ok(()),
            Err(error) => Err(CacheWarning::Unwritable { path: self.folder.clone(), reason: error.to_string() }),
        }
    }

    fn write(&self, key: &blake3::Hash, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.entry(key))?;
        Ok(())
    }

    /// Removes the least recently used entries until the rest has at most 7/8 of the limit, if there is more than the limit.
    fn evict(&self) -> io::Result<()> {
        self.sweep()?;
        let mut files = self.files()?;
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        if total <= self.limit {
            return Ok(());
        }
        files.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        for file in files {
            if total <= self.limit / 8 * 7 {
                break;
            }
            // Another process may have removed it: then it is gone all the same.
            let _ = fs::remove_file(&file.path);
            total -= file.bytes;
        }
        Ok(())
    }

    /// Removes what processes that were killed left half written.
    fn sweep(&self) -> io::Result<()> {
        for found in fs::read_dir(&self.folder)? {
            let Ok(found) = found else { continue };
            let unfinished = found.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
            let old = || {
                let age = found.metadata().ok()?.modified().ok()?.elapsed().ok()?;
                Some(age > Duration::from_secs(3600))
            };
            if unfinished && old() == Some(true) {
                let _ = fs::remove_file(found.path());
            }
        }
        Ok(())
    }

    fn entry(&self, key: &blake3::Hash) -> PathBuf {
        self.folder.join(format!("{}.{ENDING}", key.to_hex()))
    }

    /// Every entry's file. One that another process removes meanwhile is left out.
    fn files(&self) -> io::Result<Vec<EntryFile>> {
        let listing = match fs::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for found in listing {
            let path = found?.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            if let Ok(data) = fs::metadata(&path) {
                files.push(EntryFile {
                    bytes: data.len(),
                    used: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    path,
                });
            }
        }
        Ok(files)
    }
}

struct EntryFile {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}
