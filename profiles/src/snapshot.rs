//! Snapshots: the whole state at one position, in a directory of segment files.
//!
//! Form: the entries of a redo record (header, parts, trailer), so that what reads one reads the other. A
//! snapshot is written under a temporary name and renamed once it is durable; its name is the position from
//! which the log has to be read on, in 20 digits.

use crate::checkpoint::{CheckpointError, FORMAT, Header, PART_BYTES, Part, segment_options};
use crate::codec::Checkpoint;
use crate::key::Key;
use crate::store::{Change, Store, StoreError};
use bytes::Bytes;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tributary_eventlog::segment::{RealFs, SegmentLog};
use tributary_model::HashKey;

/// A snapshot can't be written or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system failed.
    #[error("the snapshot {path} can't be written or read")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its files, or the store, failed.
    #[error("the snapshot can't be written or read")]
    Files(#[from] CheckpointError),
    /// Too many are asked for at once, or the projector is stopping.
    #[error("the projector is busy with another snapshot, or stopping")]
    Busy,
    /// There is no snapshot in that place.
    #[error("{0} holds no snapshot")]
    Missing(PathBuf),
    /// It ends before its end.
    #[error("the snapshot {0} is incomplete")]
    Incomplete(PathBuf),
    /// It was taken under another key, so profile ids would not agree.
    #[error(
        "the snapshot was taken under key {theirs}, this data directory has {ours}: bring its keys/ along"
    )]
    OtherKey {
        /// The fingerprint in the snapshot.
        theirs: String,
        /// The fingerprint here.
        ours: String,
    },
}

impl From<StoreError> for SnapshotError {
    fn from(error: StoreError) -> Self {
        Self::Files(error.into())
    }
}

/// A snapshot that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its directory.
    pub path: PathBuf,
    /// The sequence from which the log has to be read on.
    pub next: u64,
}

/// The snapshots in this directory, oldest first.
pub fn list(directory: &Path) -> Vec<Snapshot> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<Snapshot> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str().filter(|name| name.len() == 20)?;
            Some(Snapshot { path: entry.path(), next: name.parse().ok()? })
        })
        .collect();
    found.sort_by_key(|snapshot| snapshot.next);
    found
}

/// The newest snapshot that can be read to its end.
pub(crate) fn newest(directory: &Path, hash_key: &HashKey) -> Option<PathBuf> {
    list(directory).into_iter().rev().map(|snapshot| snapshot.path).find(|path| {
        let usable = read(path, hash_key, &mut |_| Ok(()));
        if let Err(error) = &usable {
            tracing::warn!(snapshot = %path.display(), %error, "this snapshot can't be used");
        }
        usable.is_ok()
    })
}

/// Writes everything in the store as a snapshot, and removes the oldest beyond `kept`. Nothing
/// may change the store meanwhile.
///
/// # Errors
/// If the store can't be read or the snapshot can't be written.
pub fn export(
    directory: &Path,
    store: &dyn Store,
    checkpoint: Checkpoint,
    hash_key: &str,
    kept: usize,
) -> Result<Snapshot, SnapshotError> {
    let name = format!("{:020}", checkpoint.next);
    let path = directory.join(&name);
    let temporary = directory.join(format!("{name}.tmp"));
    let failed = |source| SnapshotError::Io { path: path.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    if path.is_dir() {
        return Ok(Snapshot { path, next: checkpoint.next });
    }
    remove_if_there(&temporary).map_err(failed)?;
    let mut log =
        SegmentLog::open(Arc::new(RealFs), &temporary, segment_options()).map_err(CheckpointError::from)?;
    let header = Header { format: FORMAT, checkpoint, hash_key: hash_key.to_owned() };
    log.append(&[Part::Header(header).encode()]).map_err(failed)?;
    let mut part: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let (mut bytes, mut changes) = (0, 0);
    let mut broken: Option<io::Error> = None;
    let mut write = |part: Vec<_>| {
        if broken.is_none() {
            broken = log.append(&[Part::Changes(part).encode()]).err();
        }
    };
    store.scan(&[], &mut |key: Key, value| {
        bytes += key.as_bytes().len() + value.len();
        changes += 1;
        part.push((key.as_bytes().to_vec(), Some(value)));
        if bytes >= PART_BYTES {
            write(std::mem::take(&mut part));
            bytes = 0;
        }
        Ok(())
    })?;
    write(part);
    if let Some(error) = broken {
        return Err(failed(error));
    }
    log.append(&[Part::Trailer { changes }.encode()]).map_err(failed)?;
    log.sync().map_err(failed)?;
    drop(log);
    let publish = || -> io::Result<()> {
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()?;
        let all = list(directory);
        for old in all.iter().take(all.len().saturating_sub(kept.max(1))) {
            fs::remove_dir_all(&old.path)?;
        }
        Ok(())
    };
    publish().map_err(failed)?;
    Ok(Snapshot { path: path.clone(), next: checkpoint.next })
}

/// Puts a snapshot into an empty store and makes that durable.
///
/// # Errors
/// If the snapshot can't be used or the store fails.
pub(crate) fn import(
    path: &Path,
    store: &dyn Store,
    hash_key: &HashKey,
) -> Result<Checkpoint, SnapshotError> {
    let header = read(path, hash_key, &mut |changes| Ok(store.apply(&changes)?))?;
    store.make_durable()?;
    Ok(header.checkpoint)
}

/// Reads a snapshot to its end.
fn read(
    path: &Path,
    hash_key: &HashKey,
    visit: &mut dyn FnMut(Vec<Change>) -> Result<(), SnapshotError>,
) -> Result<Header, SnapshotError> {
    if !path.is_dir() {
        return Err(SnapshotError::Missing(path.to_owned()));
    }
    let log = SegmentLog::open(Arc::new(RealFs), path, segment_options()).map_err(CheckpointError::from)?;
    let bounds = log.bounds();
    let mut header: Option<Header> = None;
    let (mut next, mut seen) = (bounds.first, 0);
    while next < bounds.end {
        for entry in log.read(next, PART_BYTES).map_err(CheckpointError::from)? {
            next = entry.sequence + 1;
            match (decode(&entry.bytes)?, &header) {
                (Part::Header(found), None) if found.format == FORMAT => {
                    let ours = hash_key.fingerprint();
                    if found.hash_key != ours {
                        return Err(SnapshotError::OtherKey { theirs: found.hash_key, ours });
                    }
                    header = Some(found);
                }
                (Part::Changes(changes), Some(_)) => {
                    seen += changes.len() as u64;
                    visit(changes.into_iter().map(|(key, v)| (Key::from_stored(&key), v)).collect())?;
                }
                (Part::Trailer { changes }, Some(header)) if changes == seen => return Ok(header.clone()),
                _ => return Err(SnapshotError::Incomplete(path.to_owned())),
            }
        }
    }
    Err(SnapshotError::Incomplete(path.to_owned()))
}

fn decode(bytes: &Bytes) -> Result<Part, SnapshotError> {
    Ok(Part::decode(bytes)?)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
