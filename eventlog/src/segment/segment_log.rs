//! The writer of a log.

use super::encoder::Encoder;
use super::frame::Stamp;
use super::fs::{Fs, FsFile};
use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader, index_path, segment_path};
use super::index::SparseIndex;
use super::reader::SegmentReader;
use super::shared::{Segment, Shared};
use super::{APPEND_BYTES_MAX, ENTRY_BYTES_MAX, open};
use crate::log::{Bounds, Entry, ReadError};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};

/// How the files of a log are cut.
#[derive(Clone)]
pub struct SegmentOptions {
    /// A segment at least this long is followed by the next.
    pub segment_bytes: u64,
    /// Entries that share a frame, in bytes; a larger entry has a frame of its own.
    pub frame_bytes: usize,
    /// Tells when a frame was written.
    pub clock: Arc<dyn Clock>,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, frame_bytes: 64 << 10, clock: Arc::new(SystemClock) }
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Entries that had been durable are damaged. Nothing was changed.
    #[error(
        "{file} is damaged at byte {offset}: entries from sequence {sequence} on had been stored and can't be \
         read ({what}); restore the file from a backup, or move the log's directory aside to start without it"
    )]
    Corrupt {
        /// The damaged file.
        file: String,
        /// Where in it the damage begins.
        offset: u64,
        /// The first sequence that is lost by it.
        sequence: u64,
        /// What was found there.
        what: &'static str,
    },
    /// The file system failed.
    #[error("the log in {} can't be opened", .dir.display())]
    Io {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Segments that were taken off a log, and whose files are still to be removed.
#[must_use = "the files stay until they are removed"]
pub struct Detached {
    shared: Arc<Shared>,
    segments: Vec<Arc<Segment>>,
}

impl Detached {
    /// Removes the files, durably. Blocking.
    ///
    /// # Errors
    /// What the file system says; what is left belongs to the log again.
    pub fn remove(self) -> io::Result<()> {
        self.shared.remove(self.segments)
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}

/// The synchronous core of a log: one writer, over segment files. See the module.
pub struct SegmentLog {
    pub(super) shared: Arc<Shared>,
    pub(super) options: SegmentOptions,
    pub(super) file: Box<dyn FsFile>,
    pub(super) segment: Arc<Segment>,
    pub(super) header: SegmentHeader,
    /// Where the next frame goes.
    pub(super) offset: u64,
    /// The next sequence.
    pub(super) next: u64,
    /// The highest durable end that a frame of this segment tells.
    pub(super) marked: u64,
    /// Whether anything was written since the last sync.
    pub(super) unsynced: bool,
    /// Set for good when it is unknown what the file holds.
    pub(super) failed: bool,
    pub(super) encoder: Encoder,
}

impl SegmentLog {
    /// Opens the log in `dir`, or makes an empty one. A torn tail is cut off; what remains is made durable.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if what had been durable is damaged, else what the file system says.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, options: SegmentOptions) -> Result<Self, OpenError> {
        open::open(fs, dir, options)
    }

    /// Appends `entries` whole, behind everything appended before. Readers see them after [`SegmentLog::sync`].
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded` or `FileTooLarge` if there is no room, `InvalidInput` if an entry or all of
    /// them together are too large: then nothing of it is left in the log, and it goes on. Any other error ends
    /// the log's writing.
    pub fn append(&mut self, entries: &[Bytes]) -> io::Result<Range<u64>> {
        self.append_group(&[entries])
    }

    /// Appends several appends with one write; they succeed or fail together, and each is whole after a crash.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn append_group(&mut self, appends: &[&[Bytes]]) -> io::Result<Range<u64>> {
        self.usable()?;
        check_sizes(appends)?;
        if self.offset >= self.options.segment_bytes {
            self.roll()?;
        }
        let stamp = self.stamp();
        let first = self.next;
        self.encoder.begin(first);
        for entries in appends {
            self.encoder.push(entries, &stamp, self.options.frame_bytes);
        }
        let next = self.encoder.finish(&stamp);
        self.write_out()?;
        self.next = next;
        if next > first {
            self.marked = self.marked.max(stamp.synced);
        }
        Ok(first..next)
    }

    /// Makes everything appended durable, and readable.
    ///
    /// # Errors
    /// What the file system says; that ends the log's writing, and it is unknown what survives of the entries
    /// since the last success.
    pub fn sync(&mut self) -> io::Result<()> {
        self.usable()?;
        if self.unsynced {
            if let Err(error) = self.sync_file() {
                self.failed = true;
                return Err(error);
            }
            self.unsynced = false;
        }
        self.shared.set_durable(self.next);
        Ok(())
    }

    /// Writes down that everything up to the durable end is durable, so that damage to it can't pass for a torn
    /// write. Does nothing if that is written already, or if there is no room.
    ///
    /// # Errors
    /// As [`SegmentLog::append`], but for lack of room.
    pub fn mark(&mut self) -> io::Result<()> {
        self.usable()?;
        let stamp = self.stamp();
        if stamp.synced < self.next || self.marked >= stamp.synced {
            return Ok(());
        }
        self.encoder.begin(self.next);
        self.encoder.mark(&stamp);
        match self.write_out() {
            Ok(()) => {
                self.marked = stamp.synced;
                Ok(())
            }
            Err(error) if is_lack_of_room(&error) && !self.failed => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As [`crate::EventLog::read`].
    ///
    /// # Errors
    /// As [`crate::EventLog::read`].
    pub fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        self.reader().read(from, bytes_max)
    }

    /// A reader for other threads.
    pub fn reader(&self) -> SegmentReader {
        SegmentReader { shared: Arc::clone(&self.shared) }
    }

    /// What can be read now.
    pub fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    /// Bytes of all segments.
    pub fn kept_bytes(&self) -> u64 {
        self.shared.kept_bytes()
    }

    /// When the segment that is written to was made.
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.header.created_at_millis)
    }

    /// Whether writing has ended because it is unknown what the file holds.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Removes the segments that hold only sequences below `sequence`; the one that is written to stays.
    ///
    /// # Errors
    /// What the file system says; nothing that was asked to stay is lost.
    pub fn drop_before(&mut self, sequence: u64) -> io::Result<()> {
        self.detach_before(sequence).remove()
    }

    /// Takes these segments off the log, and leaves it to the caller to remove their files, on any thread, one
    /// call at a time.
    pub fn detach_before(&mut self, sequence: u64) -> Detached {
        let segments = self.shared.detach_before(sequence.min(self.shared.durable()));
        Detached { shared: Arc::clone(&self.shared), segments }
    }

    /// Removes everything; the next entry keeps its sequence.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn clear(&mut self) -> io::Result<()> {
        self.begin_segment()?;
        self.drop_before(self.next)
    }

    /// Begins the next segment, with everything before it durable. Does nothing if this one has no entries.
    ///
    /// # Errors
    /// As [`SegmentLog::append`].
    pub fn roll(&mut self) -> io::Result<()> {
        let full = Arc::clone(&self.segment);
        self.begin_segment()?;
        if full.first != self.segment.first {
            self.store_index(&full);
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.sync()?;
        if self.header.first == self.next {
            return Ok(());
        }
        let header = SegmentHeader {
            first: self.next,
            epoch: next_epoch(self.header.epoch, self.options.clock.now()),
            created_at_millis: self.options.clock.now().as_millis(),
        };
        let path = segment_path(&self.shared.dir, self.next);
        let file = match create_segment(self.shared.fs.as_ref(), &self.shared.dir, &path, &header) {
            Ok(file) => file,
            Err(error) => {
                // An empty file of the next name would be harmless, but it may take the last free bytes.
                let removed = self.shared.fs.remove(&path);
                self.failed = !is_lack_of_room(&error)
                    || removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
                return Err(error);
            }
        };
        self.segment =
            Arc::new(Segment::active(path, header, SparseIndex::empty(header.first, header.epoch)));
        self.shared.push_segment(Arc::clone(&self.segment));
        self.file = file;
        self.header = header;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.marked = self.next;
        Ok(())
    }

    /// Writes what the encoder holds, or leaves nothing of it.
    fn write_out(&mut self) -> io::Result<()> {
        if self.encoder.out.is_empty() {
            return Ok(());
        }
        self.unsynced = true;
        if let Err(error) = self.file.write_at(&self.encoder.out, self.offset) {
            if !is_lack_of_room(&error) {
                self.failed = true;
                return Err(error);
            }
            // Made durable at once: a refused append must not come back after a crash.
            if let Err(cut) = self.file.set_len(self.offset) {
                self.failed = true;
                return Err(cut);
            }
            self.sync()?;
            return Err(error);
        }
        self.offset += self.encoder.out.len() as u64;
        self.segment.push(&self.encoder.frames);
        self.shared.count_kept(self.encoder.out.len() as u64);
        Ok(())
    }

    fn sync_file(&self) -> io::Result<()> {
        fail::fail_point!("segment::sync", crate::fail_points::failed_sync);
        fail::fail_point!(
            &format!("segment::sync::{}", self.shared.dir.file_name().unwrap_or_default().display()),
            crate::fail_points::failed_sync
        );
        self.file.sync()
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.header.epoch,
            synced: self.shared.durable(),
            written_at_millis: self.options.clock.now().as_millis(),
        }
    }

    /// Puts the full segment's index beside it. It is only a shortcut, so failing to is no error.
    fn store_index(&self, full: &Segment) {
        let path = index_path(&full.path);
        let Some(bytes) = full.encoded_index() else { return };
        let stored = self.shared.fs.create(&path).and_then(|file| file.write_at(&bytes, 0));
        if let Err(error) = stored {
            tracing::debug!(%error, "the sparse index was not stored");
            // Damaged or missing, it is rebuilt from the segment all the same.
            let _ = self.shared.fs.remove(&path);
        }
    }

    fn usable(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("the log stopped after an earlier error")) } else { Ok(()) }
    }
}

/// Whether an error only means that there is no room for now.
pub(crate) fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Larger than every epoch before it, also those of segments that are forgotten: time goes on meanwhile.
pub(super) fn next_epoch(previous: u64, now: Timestamp) -> u64 {
    previous.saturating_add(1).max(now.as_micros().max(1).cast_unsigned())
}

/// Makes a segment without frames, durable with its name.
pub(super) fn create_segment(
    fs: &dyn Fs,
    dir: &Path,
    path: &Path,
    header: &SegmentHeader,
) -> io::Result<Box<dyn FsFile>> {
    let file = fs.create(path)?;
    file.write_at(&header.encode(), 0)?;
    file.sync().map_err(failed_sync)?;
    fs.sync_dir(dir).map_err(failed_sync)?;
    Ok(file)
}

/// A failed sync is final whatever its reason, so it must not look like a mere lack of room.
fn failed_sync(error: io::Error) -> io::Error {
    io::Error::other(error)
}

fn check_sizes(appends: &[&[Bytes]]) -> io::Result<()> {
    let too_large = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if appends.iter().flat_map(|entries| entries.iter()).any(|entry| entry.len() > ENTRY_BYTES_MAX) {
        return too_large("an entry is larger than 64 MB");
    }
    let bytes = |entries: &&[Bytes]| entries.iter().map(Bytes::len).sum::<usize>();
    if appends.iter().map(bytes).any(|bytes| bytes > APPEND_BYTES_MAX) {
        return too_large("an append is larger than 1 GB");
    }
    Ok(())
}
