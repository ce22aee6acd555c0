//! Generations of the state: numbered directories and a pointer that is switched.
//!
//! ```text
//! state/CURRENT               the name of the directory in use, switched by an atomic rename
//! state/gen-000001/sled/      the store
//! state/gen-000001/redo/      redo records
//! state/gen-000001/suspect    present once the store was found damaged while it was in use
//! state/gen-000001/sorting/   while the generation is being written: what is to be put into it, in order
//! state/broken-000001/        a generation that could not be opened, kept for a look
//! ```
//!
//! A store that does not open, or was found damaged, is moved aside; the newest snapshot that can be read goes
//! into a new generation, and the log is read on from there. Whatever writes a whole new state (rebuild,
//! restore) makes a new generation and switches the pointer last, so a crash leaves the old one in use. A start
//! removes the generations that are not in use: a crash left them, before the switch or right behind it.

use crate::checkpoint::{CheckpointError, Checkpointer};
use crate::codec::Checkpoint;
use crate::sled_store::SledStore;
use crate::snapshot::{self, SnapshotError};
use crate::store::Store;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::fail_points::crash_point;
use tributary_model::HashKey;

/// The state's directories can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The file system failed.
    #[error("the state's directory {path} can't be used")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A fresh store can't be made or filled.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The snapshot can't be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Where the state and its snapshots are.
#[derive(Debug, Clone)]
pub struct StatePaths {
    /// The directory of generations.
    pub state: PathBuf,
    /// The directory of snapshots.
    pub snapshots: PathBuf,
}

impl StatePaths {
    /// The places within a data directory.
    pub fn within(data_dir: &Path) -> Self {
        Self { state: data_dir.join("state"), snapshots: data_dir.join("snapshots") }
    }
}

/// How long the directory of a store that is not in use any more waits for reads that still go on.
const READS_END: Duration = Duration::from_secs(5);

/// A generation that is open.
pub struct Generation {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Puts checkpoints into it.
    pub checkpointer: Checkpointer,
    /// Up to where it has the log.
    pub checkpoint: Checkpoint,
    /// Why the state has to be made again, if it has: for `/readyz` and the log.
    pub rebuilt: Option<String>,
    directory: PathBuf,
}

impl Generation {
    /// Opens the generation in use, or makes the first. One that can't be opened is moved aside and made
    /// again from the newest snapshot; [`Generation::rebuilt`] then says so.
    ///
    /// # Errors
    /// If the directories can't be used, or a fresh store can't be made.
    pub fn open(paths: &StatePaths, hash_key: &HashKey, cache_bytes: u64) -> Result<Self, GenerationError> {
        create_dir(&paths.state)?;
        let mut rebuilt = None;
        if let Some(name) = current(paths)? {
            let directory = paths.state.join(&name);
            let suspect = directory.join("suspect").exists();
            let trouble = match Self::open_in(&directory, hash_key, cache_bytes) {
                Ok(open) if !suspect => {
                    remove_others(paths, &name);
                    return Ok(open);
                }
                Ok(_) => "the store was found damaged while it was in use".to_owned(),
                Err(error) => with_sources(&error),
            };
            tracing::error!(generation = %name, %trouble, "the state can't be opened: it is made again");
            move_aside(paths, &name)?;
            rebuilt = Some(format!("state {name} could not be opened ({trouble})"));
        }
        let number = next_number(paths)?;
        let directory = paths.state.join(generation_name(number));
        // Also where the pointer leads nowhere: a start that was making the state again did not come to its end.
        if let Some(path) = snapshot::newest(&paths.snapshots, hash_key) {
            fill(&directory, &path, hash_key, cache_bytes)?;
            let from = format!("rebuilding from snapshot {}", path.display());
            rebuilt = Some(rebuilt.map_or(from.clone(), |why| format!("{why}; {from}")));
        }
        let mut open = Self::open_in(&directory, hash_key, cache_bytes)?;
        switch(paths, number)?;
        remove_others(paths, &generation_name(number));
        open.rebuilt = rebuilt;
        Ok(open)
    }

    /// Leaves a mark that the store is damaged, so that the next start makes it again.
    pub fn mark_suspect(directory: &Path) {
        if let Err(error) = File::create(directory.join("suspect")).and_then(|file| file.sync_all()) {
            tracing::error!(%error, "the damaged state could not be marked");
        }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn open_in(directory: &Path, hash_key: &HashKey, cache_bytes: u64) -> Result<Self, GenerationError> {
        create_dir(directory)?;
        let store = SledStore::open(&directory.join("sled"), cache_bytes).map_err(CheckpointError::from)?;
        let store: Arc<dyn Store> = Arc::new(store);
        let (checkpointer, checkpoint) =
            Checkpointer::open(&directory.join("redo"), Arc::clone(&store), hash_key.fingerprint())?;
        Ok(Self { store, checkpointer, checkpoint, rebuilt: None, directory: directory.to_owned() })
    }
}

/// A generation that is being written beside the one in use.
pub(crate) struct NextGeneration {
    paths: StatePaths,
    number: u32,
    directory: PathBuf,
    store: Arc<dyn Store>,
}

impl NextGeneration {
    /// An empty one.
    ///
    /// # Errors
    /// If its directory or its store can't be made.
    pub(crate) fn begin(paths: &StatePaths, cache_bytes: u64) -> Result<Self, GenerationError> {
        let number = next_number(paths)?;
        let directory = paths.state.join(generation_name(number));
        create_dir(&directory)?;
        let store = SledStore::open(&directory.join("sled"), cache_bytes).map_err(CheckpointError::from)?;
        Ok(Self { paths: paths.clone(), number, directory, store: Arc::new(store) })
    }

    /// Its store: what is put in has to be durable before the switch.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where what it is made from can be sorted.
    pub(crate) fn sorting(&self) -> PathBuf {
        self.directory.join("sorting")
    }

    /// Makes it the one in use. The one before stays where it is: see [`retire`].
    ///
    /// # Errors
    /// If its redo log can't be made or the pointer can't be switched: then the one before is still in use.
    pub(crate) fn switch(self, hash_key: &HashKey) -> Result<Generation, GenerationError> {
        let (checkpointer, checkpoint) = Checkpointer::open(
            &self.directory.join("redo"),
            Arc::clone(&self.store),
            hash_key.fingerprint(),
        )?;
        switch(&self.paths, self.number)?;
        crash_point("rebuild::switched");
        Ok(Generation {
            store: self.store,
            checkpointer,
            checkpoint,
            rebuilt: None,
            directory: self.directory,
        })
    }

    /// Gives it up.
    pub(crate) fn discard(self) {
        let Self { directory, store, .. } = self;
        retire(&directory, store);
    }
}

/// Removes a generation that is not in use any more, once nobody reads its store; `store` should be the last
/// reference that lasts. What can't be removed is left to the next start.
pub(crate) fn retire(directory: &Path, store: Arc<dyn Store>) {
    let by = Instant::now() + READS_END;
    while Arc::strong_count(&store) > 1 && Instant::now() < by {
        thread::park_timeout(Duration::from_millis(1));
    }
    // sled closes its files here; a read that still goes on keeps them open, and can do so without their names.
    drop(store);
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::warn!(directory = %directory.display(), %error, "a generation that is not in use was not removed");
    }
}

/// Puts a snapshot into a new generation and switches to it. The server must not be running.
///
/// # Errors
/// If the snapshot can't be read or was taken under another key, or the directories can't be used.
pub fn restore(
    paths: &StatePaths,
    snapshot: &Path,
    hash_key: &HashKey,
    cache_bytes: u64,
) -> Result<Checkpoint, GenerationError> {
    create_dir(&paths.state)?;
    let number = next_number(paths)?;
    let directory = paths.state.join(generation_name(number));
    let checkpoint = fill(&directory, snapshot, hash_key, cache_bytes)?;
    let old = current(paths)?;
    switch(paths, number)?;
    if let Some(old) = old {
        move_aside(paths, &old)?;
    }
    Ok(checkpoint)
}

fn fill(
    directory: &Path,
    snapshot: &Path,
    hash_key: &HashKey,
    cache_bytes: u64,
) -> Result<Checkpoint, GenerationError> {
    create_dir(directory)?;
    let store = SledStore::open(&directory.join("sled"), cache_bytes).map_err(CheckpointError::from)?;
    Ok(snapshot::import(snapshot, &store, hash_key)?)
}

fn generation_name(number: u32) -> String {
    format!("gen-{number:06}")
}

fn current(paths: &StatePaths) -> Result<Option<String>, GenerationError> {
    let path = paths.state.join("CURRENT");
    match fs::read_to_string(&path) {
        Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| paths.state.join(name).is_dir())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GenerationError::Io { path, source }),
    }
}

/// One more than the largest number that any directory here has, whatever became of it.
fn next_number(paths: &StatePaths) -> Result<u32, GenerationError> {
    let list = || -> io::Result<u32> {
        let mut largest = 0;
        for entry in fs::read_dir(&paths.state)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.rsplit('-').next()?.parse::<u32>().ok());
            largest = largest.max(number.unwrap_or(0));
        }
        Ok(largest + 1)
    };
    list().map_err(|source| GenerationError::Io { path: paths.state.clone(), source })
}

fn switch(paths: &StatePaths, number: u32) -> Result<(), GenerationError> {
    let path = paths.state.join("CURRENT");
    let write = || -> io::Result<()> {
        let temporary = paths.state.join("CURRENT.tmp");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{}", generation_name(number))?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&paths.state)?.sync_all()
    };
    write().map_err(|source| GenerationError::Io { path: path.clone(), source })
}

fn move_aside(paths: &StatePaths, name: &str) -> Result<(), GenerationError> {
    let number = name.rsplit('-').next().unwrap_or(name);
    let aside = paths.state.join(format!("broken-{number}"));
    fs::rename(paths.state.join(name), &aside)
        .map_err(|source| GenerationError::Io { path: aside.clone(), source })
}

/// Removes every generation but this one. Failing to is no reason not to start.
fn remove_others(paths: &StatePaths, kept: &str) {
    for entry in fs::read_dir(&paths.state).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_other = name.to_str().is_some_and(|name| name.starts_with("gen-") && name != kept);
        if is_other && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(directory = %entry.path().display(), %error, "a generation that is not in use stays");
        }
    }
}

fn create_dir(path: &Path) -> Result<(), GenerationError> {
    let create = || -> io::Result<()> {
        fs::create_dir_all(path)?;
        match path.parent() {
            Some(parent) if parent.is_dir() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    create().map_err(|source| GenerationError::Io { path: path.to_owned(), source })
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
