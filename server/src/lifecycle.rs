//! How the process starts, runs and ends.
//!
//! Whatever must not go on (a failed fsync, a task that ended unexpectedly) ends the process through [`Fatal`]:
//! a restart begins from what is durable, which is the only state that is known to be right.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ends the process, or tells a test that it would.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The exit code of a process that ended through [`Fatal`].
pub const EXIT_FATAL: i32 = 70;

/// Logs the reason and exits at once: nothing is flushed, because what is durable is what counts.
pub fn exit_process() -> Fatal {
    Arc::new(|reason| {
        tracing::error!(reason, "this process can't go on and ends");
        std::process::exit(EXIT_FATAL);
    })
}

/// The data directory can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{0} is in use by another process: stop it, or choose another --data-dir")]
    InUse(PathBuf),
    /// The file system failed.
    #[error("the data directory {path} can't be used")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The data directory, held by this process alone until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is missing, and takes it.
    ///
    /// # Errors
    /// If another process holds it, or it can't be created.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file =
            options.create(true).truncate(false).write(true).open(path.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_held_by_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data");
        let held = DataDir::lock(&path).expect("free");
        assert!(matches!(DataDir::lock(&path), Err(LockError::InUse(_))));
        drop(held);
        DataDir::lock(&path).expect("free again");
    }
}
