//! The file system as the segment files need it: a trait, so that tests can put a modelled one underneath, and
//! the machine's own.
//!
//! Durability points: [`FsFile::sync`] for a file's bytes and length, [`Fs::sync_dir`] for the names in a
//! directory. Nothing else makes anything durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Room on the file system that holds a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes free for an ordinary process.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// The calls that segment files make.
pub trait Fs: Send + Sync + 'static {
    /// Makes a directory and its parents, durable when this returns; no error if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The plain files of a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>>;

    /// Makes an empty file to read and write, in place of one of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file to read and write.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Removes a file's name; open handles stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The room left where `dir` is.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// An open file; every call names its offset, so that a handle can be shared.
pub trait FsFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset` on; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes everything written so far durable, the length included. After an error nothing is known about what
    /// was written since the last success, and a later success says nothing about it either.
    fn sync(&self) -> io::Result<()>;

    /// The file's length.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The machine's file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealFs;

impl Fs for RealFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.create_dir(parent)?;
        }
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            Some(_) => self.sync_dir(Path::new(".")),
            None => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push(FileEntry { name, bytes: metadata.len() });
            }
        }
        Ok(files)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let room = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        })
    }
}

impl FsFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
