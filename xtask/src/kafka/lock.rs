//! One at a time, across processes.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;

/// Held while it lives; the system lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of this file, and waits for whoever has it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("{} can't be opened", path.display()))?;
        file.lock().with_context(|| format!("{} can't be locked", path.display()))?;
        Ok(Self { _file: file })
    }
}
