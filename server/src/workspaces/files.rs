//! The files of versions.
//!
//! `workspaces/<number>/<version, 20 digits>.json` holds a version: format, version, when, by whom, what changed,
//! and the workspace's document as it stands in the events log (`null` once the workspace was deleted).
//! `<version, 20 digits>.position` holds the place of its record in the events log, and is written once that
//! record is durable. Both are written aside and renamed, so they are whole or absent. Versions of a workspace
//! run from 1 without gaps; only the newest may lack its position, and then nobody was told that it exists.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tributary_model::{Position, Timestamp, Workspace, WorkspaceId};

use super::change::{Author, StoreError};
use crate::durable;

const FORMAT: u8 = 1;
const VERSION: &str = "json";
const POSITION: &str = "position";
/// Documents hold hashes of tokens and sealed secrets.
const MODE: u32 = 0o600;

/// A version as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionFile {
    format: u8,
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) by: Author,
    pub(super) change: String,
    workspace: Option<Box<RawValue>>,
}

impl VersionFile {
    /// A version of a workspace, or without a workspace its end.
    pub(super) fn new(
        version: u64,
        at: Timestamp,
        by: Author,
        change: String,
        workspace: Option<&Workspace>,
    ) -> Result<Self, StoreError> {
        let document = workspace
            .map(serde_json::value::to_raw_value)
            .transpose()
            .map_err(|error| StoreError::Storage(error.into()))?;
        Ok(Self { format: FORMAT, version, at, by, change, workspace: document })
    }

    /// The document as it goes into the events log.
    pub(super) fn document(&self) -> Option<Bytes> {
        self.workspace.as_ref().map(|document| Bytes::copy_from_slice(document.get().as_bytes()))
    }

    /// The workspace; `None` if this version ends it.
    pub(super) fn workspace(&self) -> Result<Option<Workspace>, StoreError> {
        let read = |document: &RawValue| serde_json::from_str(document.get());
        let workspace = self.workspace.as_deref().map(read).transpose();
        workspace.map_err(|error| StoreError::Damaged(format!("version {}: {error}", self.version)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionFile {
    format: u8,
    partition: u32,
    sequence: u64,
}

/// What there is of one workspace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// The newest version; 0 if there is none.
    pub(super) newest: u64,
    /// Whether the newest has its position.
    pub(super) settled: bool,
}

/// The directory of all versions.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Opens the directory, creating it where it is missing, and clears away what was left unfinished.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        durable::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// What there is, by workspace.
    pub(super) fn stored(&self) -> Result<BTreeMap<WorkspaceId, Stored>, StoreError> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number) = number.filter(|_| entry.path().is_dir()) else {
                return Err(StoreError::Damaged(format!("{} does not belong here", entry.path().display())));
            };
            all.insert(WorkspaceId(number), stored_in(&entry.path())?);
        }
        Ok(all)
    }

    /// Writes a version, durably.
    pub(super) fn write_version(&self, id: WorkspaceId, version: &VersionFile) -> Result<(), StoreError> {
        durable::create_dir(&self.dir_of(id))?;
        let text = serde_json::to_vec(version).map_err(io::Error::from)?;
        Ok(durable::write(&self.path(id, version.version, VERSION), &text, MODE)?)
    }

    /// Takes a version back that never came into force.
    pub(super) fn remove_version(&self, id: WorkspaceId, version: u64) -> io::Result<()> {
        durable::remove(&self.path(id, version, VERSION))
    }

    /// Reads a version.
    pub(super) fn read_version(&self, id: WorkspaceId, version: u64) -> Result<VersionFile, StoreError> {
        let path = self.path(id, version, VERSION);
        let read: VersionFile = read(&path)?;
        if read.format != FORMAT || read.version != version {
            return Err(damaged(&path, "it is of another format or version"));
        }
        Ok(read)
    }

    /// Writes the place of a version's record, durably.
    pub(super) fn write_position(&self, id: WorkspaceId, version: u64, at: Position) -> io::Result<()> {
        let file = PositionFile { format: FORMAT, partition: at.partition, sequence: at.sequence };
        durable::write(&self.path(id, version, POSITION), &serde_json::to_vec(&file)?, MODE)
    }

    /// Reads the place of a version's record.
    pub(super) fn read_position(&self, id: WorkspaceId, version: u64) -> Result<Position, StoreError> {
        let path = self.path(id, version, POSITION);
        let PositionFile { format, partition, sequence } = read(&path)?;
        if format != FORMAT {
            return Err(damaged(&path, "it is of another format"));
        }
        Ok(Position { partition, sequence })
    }

    fn dir_of(&self, id: WorkspaceId) -> PathBuf {
        self.dir.join(id.0.to_string())
    }

    fn path(&self, id: WorkspaceId, version: u64, extension: &str) -> PathBuf {
        self.dir_of(id).join(format!("{version:020}.{extension}"))
    }
}

/// Lists one workspace's files by name alone, so that opening stays quick however many versions there are.
fn stored_in(dir: &Path) -> Result<Stored, StoreError> {
    let (mut versions, mut positions) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(durable::UNFINISHED) {
            durable::remove(&path)?;
            continue;
        }
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        match (stem.parse::<u64>(), extension) {
            (Ok(version), VERSION) => versions.push(version),
            (Ok(version), POSITION) => positions.push(version),
            _ => return Err(damaged(&path, "it does not belong here")),
        }
    }
    versions.sort_unstable();
    positions.sort_unstable();
    let newest = versions.last().copied().unwrap_or(0);
    if !versions.iter().copied().eq(1..=newest) {
        return Err(damaged(dir, "a version is missing"));
    }
    let settled = positions.last() == Some(&newest);
    let positioned = if settled { newest } else { newest.saturating_sub(1) };
    if !positions.iter().copied().eq(1..=positioned) {
        return Err(damaged(dir, "the position of a version is missing, or one is too many"));
    }
    Ok(Stored { newest, settled })
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, StoreError> {
    let text = std::fs::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|error| damaged(path, &error.to_string()))
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged(format!("{}: {what}; restore it from a backup", path.display()))
}
