//! Small files that must survive a power cut whole: written aside, synced, renamed, and the directory synced.
//!
//! A reader sees either the former content or the new one, never a part. What is left of a write that was cut
//! short ends in [`UNFINISHED`] and means nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How the name of an unfinished file ends.
pub(crate) const UNFINISHED: &str = ".tmp";

/// Puts `content` at `path`, durably. A file that is there already is replaced.
///
/// # Errors
/// Whatever the file system answers. The former file is then still in place, unless only the last step, the
/// syncing of the directory, failed.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(UNFINISHED);
    let aside = PathBuf::from(aside);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&aside, path)?;
    sync_parent(path)
}

/// Removes a file, durably.
///
/// # Errors
/// Whatever the file system answers, also that there is no such file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    sync_parent(path)
}

/// Creates a directory (readable by its owner only) with everything above it, durably. One that is there
/// already is left as it is.
///
/// # Errors
/// Whatever the file system answers.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(path),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}
