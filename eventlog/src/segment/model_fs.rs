//! A file system in memory for tests, that is as unkind as a real one may be.
//!
//! What it models: written bytes are lost, kept or torn sector by sector by a crash until their file is synced, in
//! any combination (a later write may survive an earlier one); names appear and disappear durably only when their
//! directory is synced; a failing fsync; no room at any moment, with a write cut short; bit rot. Everything it does
//! by chance follows from the seed given to the call. Reads are counted.
//!
//! Left out: damage to directories, and renames (segment files need none).

use super::fs::{FileEntry, Fs, FsFile, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a crash keeps or loses at a time.
const SECTOR_BYTES: usize = 512;

/// See the module. Clones are the same file system; [`ModelFs::fork`] makes another.
#[derive(Clone, Default)]
pub struct ModelFs(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as a process sees them, and as they are on disk.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
    /// Bytes that may still be written.
    room_bytes: Option<u64>,
    space: Option<Space>,
    failing_syncs: bool,
    /// Changes that still succeed before the power goes.
    changes_left: Option<u64>,
    read_bytes: u64,
    syncs: u64,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl ModelFs {
    /// An empty file system with endless room.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: what was not synced survives as `seed` has it. Open handles are of no further use.
    pub fn crash(&self, seed: u64) {
        let mut disk = self.lock();
        let mut chance = Chance(seed);
        disk.room_bytes = None;
        disk.failing_syncs = false;
        disk.changes_left = None;
        let paths: BTreeSet<PathBuf> = disk.names.keys().chain(disk.durable_names.keys()).cloned().collect();
        for path in paths {
            let (seen, durable) = (disk.names.get(&path).copied(), disk.durable_names.get(&path).copied());
            let survives = if chance.below(2) == 0 { seen } else { durable };
            match survives {
                Some(inode) => disk.durable_names.insert(path, inode),
                None => disk.durable_names.remove(&path),
            };
        }
        disk.names = disk.durable_names.clone();
        for inode in disk.inodes.values_mut() {
            inode.crash(&mut chance);
        }
        // A handle from before the crash must not reach what is on disk now.
        let moved: BTreeMap<u64, u64> = disk
            .names
            .values()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .zip(disk.next_inode..)
            .collect();
        disk.next_inode += moved.len() as u64;
        let mut inodes = std::mem::take(&mut disk.inodes);
        disk.inodes = moved.iter().filter_map(|(old, new)| Some((*new, inodes.remove(old)?))).collect();
        for inode in disk.names.values_mut() {
            *inode = moved[&*inode];
        }
        disk.durable_names = disk.names.clone();
    }

    /// An independent copy of what a process sees now, all of it durable.
    #[must_use]
    pub fn fork(&self) -> Self {
        let disk = self.lock();
        let mut inodes = disk.inodes.clone();
        for inode in inodes.values_mut() {
            inode.durable.clone_from(&inode.seen);
            inode.pending.clear();
        }
        Self(Arc::new(Mutex::new(Disk {
            inodes,
            next_inode: disk.next_inode,
            names: disk.names.clone(),
            durable_names: disk.names.clone(),
            dirs: disk.dirs.clone(),
            ..Disk::default()
        })))
    }

    /// Lets only so many more bytes be written; a write beyond that stops midway with `StorageFull`.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.lock().room_bytes = bytes;
    }

    /// What [`Fs::space`] answers.
    pub fn set_space(&self, space: Space) {
        self.lock().space = Some(space);
    }

    /// Makes every sync of a file fail, or succeed again.
    pub fn set_failing_syncs(&self, failing: bool) {
        self.lock().failing_syncs = failing;
    }

    /// Lets only so many more changes happen (of files, names, and their durability): the next ones fail without
    /// effect, as if the power were gone, until [`ModelFs::crash`].
    pub fn set_changes_left(&self, changes: Option<u64>) {
        self.lock().changes_left = changes;
    }

    /// Whether the changes that were left are used up.
    pub fn is_out(&self) -> bool {
        self.lock().changes_left == Some(0)
    }

    /// Flips one bit of a file, on disk and as seen.
    pub fn rot(&self, path: &Path, bit: u64) {
        let mut disk = self.lock();
        let Some(inode) = disk.names.get(path).copied().and_then(|inode| disk.inodes.get_mut(&inode)) else {
            return;
        };
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        for bytes in [&mut inode.seen, &mut inode.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= mask;
            }
        }
    }

    /// The files and their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let disk = self.lock();
        disk.names.iter().map(|(path, inode)| (path.clone(), disk.inodes[inode].seen.len() as u64)).collect()
    }

    /// The bytes of a file; empty if there is none.
    pub fn contents(&self, path: &Path) -> Vec<u8> {
        let disk = self.lock();
        disk.names.get(path).map(|inode| disk.inodes[inode].seen.clone()).unwrap_or_default()
    }

    /// Puts a file in place, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.lock();
        let inode = disk.make(path);
        disk.durable_names.insert(path.to_owned(), inode);
        disk.inodes
            .insert(inode, Inode { seen: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
    }

    /// Bytes read from files so far.
    pub fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    /// Syncs of files asked for so far, failed ones included.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let inode = self.lock().names.get(path).copied();
        let inode = inode.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(Handle { fs: self.clone(), inode }))
    }
}

impl Disk {
    fn make(&mut self, path: &Path) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.names.insert(path.to_owned(), inode);
        inode
    }

    /// Counts one change, unless the power is gone.
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| io::Error::other("the handle is from before a crash"))
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.seen);
        self.pending.clear();
    }

    fn crash(&mut self, chance: &mut Chance) {
        // How the disk happened to order its writes this time.
        let keep_of_eight = [0, 1, 4, 7, 8][chance.below(5)];
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Length(_) => {
                    if chance.below(8) < keep_of_eight {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { offset, bytes } => {
                    let mut done = 0;
                    while done < bytes.len() {
                        let sector_left = SECTOR_BYTES - (offset + done) % SECTOR_BYTES;
                        let end = (done + sector_left).min(bytes.len());
                        if chance.below(8) < keep_of_eight {
                            let bytes = bytes[done..end].to_vec();
                            Change::Write { offset: offset + done, bytes }.apply(&mut self.durable);
                        } else if chance.below(4) == 0 && self.durable.len() < offset + end {
                            // The length got there, the bytes did not.
                            self.durable.resize(offset + end, 0);
                        }
                        done = end;
                    }
                }
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(bytes) => file.resize(*bytes, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Fs for ModelFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().dirs.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let in_dir = |(path, bytes): (PathBuf, u64)| {
            let name = path.file_name()?.to_str()?.to_owned();
            (path.parent() == Some(dir)).then_some(FileEntry { name, bytes })
        };
        Ok(self.files().into_iter().filter_map(in_dir).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.lock();
        disk.spend()?;
        if disk.room_bytes == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.make(path);
        drop(disk);
        self.handle(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.handle(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.handle(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.spend()?;
        match disk.names.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.spend()?;
        let Disk { names, durable_names, .. } = &mut *disk;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let here = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(here.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let endless = Space { free_bytes: 1 << 50, total_bytes: 1 << 50 };
        Ok(self.lock().space.unwrap_or(endless))
    }
}

struct Handle {
    fs: ModelFs,
    inode: u64,
}

impl FsFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.fs.lock();
        let seen = &disk.inode(self.inode)?.seen;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let count = buffer.len().min(seen.len() - start);
        buffer[..count].copy_from_slice(&seen[start..start + count]);
        disk.read_bytes += count as u64;
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.fs.lock();
        disk.spend()?;
        let room = disk.room_bytes.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX));
        let written = bytes.len().min(room);
        if let Some(room) = &mut disk.room_bytes {
            *room -= written as u64;
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        disk.inode(self.inode)?.change(Change::Write { offset, bytes: bytes[..written].to_vec() });
        if written < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let mut disk = self.fs.lock();
        disk.spend()?;
        disk.inode(self.inode)?.change(Change::Length(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.fs.lock();
        disk.spend()?;
        disk.syncs += 1;
        if disk.failing_syncs {
            return Err(io::Error::other("the disk is failing"));
        }
        disk.inode(self.inode)?.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.lock().inode(self.inode)?.seen.len() as u64)
    }
}

/// SplitMix64: chance that follows from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
