//! What the writer and the readers of one log share: the list of segments, the durable end, open handles, and a
//! few decoded frames.

use super::frame::Frame;
use super::fs::{Fs, FsFile};
use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader, index_path};
use super::index::{Place, SparseIndex};
use super::recovery::{Tail, scan};
use crate::log::{Bounds, ReadError};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Files kept open for reading.
const HANDLES_MAX: usize = 32;
/// Places kept from which sequential readers go on.
const PLACES_MAX: usize = 64;
/// Decoded frames kept, and their bytes.
const FRAMES_MAX: usize = 64;
const FRAMES_BYTES_MAX: usize = 4 << 20;

/// One segment file.
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    /// Bytes written so far; what a reader may look at.
    bytes: AtomicU64,
    /// The writer keeps it for the segment it writes to; otherwise it is loaded by the first reader.
    index: RwLock<Option<SparseIndex>>,
    header: Mutex<Option<SegmentHeader>>,
}

impl Segment {
    pub(crate) fn new(first: u64, path: PathBuf, bytes: u64) -> Self {
        Self { first, path, bytes: AtomicU64::new(bytes), index: RwLock::new(None), header: Mutex::new(None) }
    }

    /// The segment that is written to: its header and index are known.
    pub(crate) fn active(path: PathBuf, header: SegmentHeader, index: SparseIndex) -> Self {
        Self {
            first: header.first,
            path,
            bytes: AtomicU64::new(index.bytes),
            index: RwLock::new(Some(index)),
            header: Mutex::new(Some(header)),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Takes in frames that the writer has written: their counts and bytes.
    pub(crate) fn push(&self, frames: &[(u32, u64)]) {
        if let Some(index) = write(&self.index).as_mut() {
            for (count, bytes) in frames {
                index.push(*count, *bytes);
            }
            self.bytes.store(index.bytes, Ordering::Release);
        }
    }

    /// The index as bytes for its file.
    pub(crate) fn encoded_index(&self) -> Option<Vec<u8>> {
        read(&self.index).as_ref().map(SparseIndex::encode)
    }

    fn corrupt(&self, offset: u64, sequence: u64, what: &'static str) -> ReadError {
        ReadError::Corrupt { file: self.path.display().to_string(), offset, sequence, what }
    }
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    /// Ascending; never empty once the log is open.
    segments: RwLock<Vec<Arc<Segment>>>,
    durable: AtomicU64,
    kept_bytes: AtomicU64,
    handles: Mutex<VecDeque<(u64, Arc<dyn FsFile>)>>,
    places: Mutex<VecDeque<(u64, KnownPlace)>>,
    frames: Mutex<VecDeque<CachedFrame>>,
}

/// Where the frame that holds some sequence begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownPlace {
    pub(crate) segment: u64,
    pub(crate) place: Place,
}

/// A decoded frame, with the place behind it.
#[derive(Debug, Clone)]
pub(crate) struct CachedFrame {
    pub(crate) frame: Frame,
    pub(crate) behind: KnownPlace,
}

impl Shared {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: &Path, segments: Vec<Arc<Segment>>, durable: u64) -> Self {
        let kept_bytes = segments.iter().map(|segment| segment.bytes()).sum();
        Self {
            fs,
            dir: dir.to_owned(),
            segments: RwLock::new(segments),
            durable: AtomicU64::new(durable),
            kept_bytes: AtomicU64::new(kept_bytes),
            handles: Mutex::default(),
            places: Mutex::default(),
            frames: Mutex::default(),
        }
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_durable(&self, end: u64) {
        self.durable.store(end, Ordering::Release);
    }

    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count_kept(&self, bytes: u64) {
        self.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let first = read(&self.segments).first().map_or(0, |segment| segment.first);
        let end = self.durable();
        Bounds { first: first.min(end), end }
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        read(&self.segments).clone()
    }

    /// Where the second segment begins.
    pub(crate) fn second_segment(&self) -> Option<u64> {
        read(&self.segments).get(1).map(|segment| segment.first)
    }

    pub(crate) fn push_segment(&self, segment: Arc<Segment>) {
        self.count_kept(segment.bytes());
        write(&self.segments).push(segment);
    }

    /// Takes the segments that hold only sequences below `sequence` off the list. Their files stay until
    /// [`Shared::remove`].
    pub(crate) fn detach_before(&self, sequence: u64) -> Vec<Arc<Segment>> {
        let mut segments = write(&self.segments);
        let count = segments.windows(2).take_while(|pair| pair[1].first <= sequence).count();
        let detached: Vec<_> = segments.drain(..count).collect();
        let bytes: u64 = detached.iter().map(|segment| segment.bytes()).sum();
        self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        detached
    }

    /// Removes the files of detached segments, oldest first and each durably before the next, so that a crash
    /// leaves no gap. What can't be removed goes back on the list.
    pub(crate) fn remove(&self, detached: Vec<Arc<Segment>>) -> io::Result<()> {
        for (done, segment) in detached.iter().enumerate() {
            if let Err(error) = self.remove_one(segment) {
                let back = detached[done..].iter().cloned();
                let bytes: u64 = detached[done..].iter().map(|segment| segment.bytes()).sum();
                write(&self.segments).splice(0..0, back);
                self.count_kept(bytes);
                return Err(error);
            }
        }
        Ok(())
    }

    fn remove_one(&self, segment: &Segment) -> io::Result<()> {
        // The shortcut goes first: a segment can do without it, it can't do without the segment.
        for path in [index_path(&segment.path), segment.path.clone()] {
            match self.fs.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        // An open handle would keep the space from being free.
        lock(&self.handles).retain(|(first, _)| *first != segment.first);
        self.fs.sync_dir(&self.dir)
    }

    /// The segment that holds `sequence`, and the first sequence of the one behind it.
    pub(crate) fn find(&self, sequence: u64) -> Result<(Arc<Segment>, Option<u64>), ReadError> {
        let segments = read(&self.segments);
        let behind = segments.partition_point(|segment| segment.first <= sequence);
        let next = segments.get(behind).map(|segment| segment.first);
        match behind.checked_sub(1) {
            Some(found) => Ok((Arc::clone(&segments[found]), next)),
            None => Err(ReadError::Expired { first: next.unwrap_or(0) }),
        }
    }

    /// A shared handle to read a segment.
    pub(crate) fn handle(&self, segment: &Segment) -> io::Result<Arc<dyn FsFile>> {
        if let Some(file) = recent(&self.handles, |(first, _)| *first == segment.first) {
            return Ok(file.1);
        }
        let file: Arc<dyn FsFile> = Arc::from(self.fs.open(&segment.path)?);
        remember(&self.handles, (segment.first, Arc::clone(&file)), HANDLES_MAX);
        Ok(file)
    }

    /// The segment's header.
    pub(crate) fn header(&self, segment: &Segment) -> Result<SegmentHeader, ReadError> {
        if let Some(header) = *lock(&segment.header) {
            return Ok(header);
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = self.handle(segment)?.read_at(&mut bytes, 0)?;
        let header = SegmentHeader::parse(&bytes[..read], segment.first)
            .ok_or_else(|| segment.corrupt(0, segment.first, "the segment's header is not intact"))?;
        *lock(&segment.header) = Some(header);
        Ok(header)
    }

    /// The segment's epoch, and where to begin reading for `sequence`. `next` is where the following segment
    /// begins.
    pub(crate) fn locate(
        &self,
        segment: &Segment,
        next: Option<u64>,
        sequence: u64,
    ) -> Result<(u64, Place), ReadError> {
        if let Some(index) = read(&segment.index).as_ref() {
            return Ok((index.epoch, self.known_place(segment, sequence, index)));
        }
        let index = self.load_index(segment, next)?;
        let found = (index.epoch, self.known_place(segment, sequence, &index));
        *write(&segment.index) = Some(index);
        Ok(found)
    }

    fn known_place(&self, segment: &Segment, sequence: u64, index: &SparseIndex) -> Place {
        let known = recent(&self.places, |(at, known)| *at == sequence && known.segment == segment.first);
        known.map_or_else(|| index.locate(sequence), |(_, known)| known.place)
    }

    /// From the index file, or else by a scan of the whole segment.
    fn load_index(&self, segment: &Segment, next: Option<u64>) -> Result<SparseIndex, ReadError> {
        let epoch = self.header(segment)?.epoch;
        let fits = |index: &SparseIndex| {
            index.epoch == epoch
                && index.first == segment.first
                && Some(index.end) == next
                && index.bytes <= segment.bytes()
        };
        if let Some(index) = self.stored_index(segment).filter(fits) {
            return Ok(index);
        }
        let scanned = scan(self.handle(segment)?.as_ref(), segment.first, epoch)?;
        // A full segment was durable as a whole before the next one began.
        match scanned.tail {
            Tail::Rotten { offset, sequence } => {
                Err(segment.corrupt(offset, sequence, "a frame is not intact"))
            }
            Tail::Clean | Tail::Torn if Some(scanned.index.end) != next => Err(segment.corrupt(
                scanned.index.bytes,
                scanned.index.end,
                "the segment ends before the next one begins",
            )),
            Tail::Clean | Tail::Torn => Ok(scanned.index),
        }
    }

    fn stored_index(&self, segment: &Segment) -> Option<SparseIndex> {
        let file = self.fs.open(&index_path(&segment.path)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        let read = file.read_at(&mut bytes, 0).ok()?;
        SparseIndex::decode(&bytes[..read])
    }

    /// Keeps for the next reader where the frame that holds `sequence` begins.
    pub(crate) fn keep_place(&self, sequence: u64, place: KnownPlace) {
        remember(&self.places, (sequence, place), PLACES_MAX);
    }

    /// The decoded frame that holds `sequence`, if it is kept.
    pub(crate) fn cached(&self, sequence: u64) -> Option<CachedFrame> {
        recent(&self.frames, |kept| kept.frame.first <= sequence && sequence < kept.frame.end())
    }

    /// Keeps a decoded frame, unless it is a large one.
    pub(crate) fn keep_frame(&self, cached: CachedFrame) {
        if cached.frame.body_bytes() > FRAMES_BYTES_MAX / 8 {
            return;
        }
        remember(&self.frames, cached, FRAMES_MAX);
        let mut frames = lock(&self.frames);
        while frames.iter().map(|kept| kept.frame.body_bytes()).sum::<usize>() > FRAMES_BYTES_MAX {
            frames.pop_front();
        }
    }

    /// What a file that is gone means: usually that retention has passed by.
    pub(crate) fn explain(&self, error: ReadError, sequence: u64) -> ReadError {
        let gone = matches!(&error, ReadError::Io(cause) if cause.kind() == io::ErrorKind::NotFound);
        let first = self.bounds().first;
        if gone && sequence < first { ReadError::Expired { first } } else { error }
    }
}

/// The latest match, moved to the young end.
fn recent<T: Clone>(list: &Mutex<VecDeque<T>>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    let mut list = lock(list);
    let found = list.iter().rposition(wanted)?;
    if found + 1 < list.len() {
        let item = list.remove(found)?;
        list.push_back(item);
    }
    list.back().cloned()
}

/// Adds at the young end, and drops from the old one what is over `max`.
fn remember<T>(list: &Mutex<VecDeque<T>>, item: T, max: usize) {
    let mut list = lock(list);
    list.push_back(item);
    if list.len() > max {
        list.pop_front();
    }
}

// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
