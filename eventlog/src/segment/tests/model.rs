//! Random histories of appends, syncs, crashes, full disks, retention and bit rot, against a list in memory.

use super::{dir, noise, options_at, read_all};
use crate::segment::model_fs::ModelFs;
use crate::segment::{OpenError, SegmentLog, SegmentOptions, is_lack_of_room};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// Several appends in one write, each with entries of these sizes.
    Append(Vec<Vec<usize>>),
    Sync,
    Mark,
    Roll,
    /// Drops about this share, in 256ths, of what is kept.
    Drop(u8),
    Clear,
    /// Appends with only so much room.
    Cramped(u64, Vec<usize>),
    /// Stops and starts in good order.
    Reopen,
    /// Power loss; with a number, again after so many changes while starting.
    Crash(u64, Option<u64>),
    /// Lets so many more changes happen before the power goes, whatever is being done then.
    PowerFailsSoon(u64),
    SyncFails(u64),
    /// Damages one bit somewhere.
    Rot(u64),
    /// Reads from about there, so many bytes.
    Read(u8, usize),
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 0..60_usize, 2 => 60..400_usize, 1 => 400..1500_usize], 1..6)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(sizes(), 1..4).prop_map(Step::Append),
        6 => Just(Step::Sync),
        2 => Just(Step::Mark),
        1 => Just(Step::Roll),
        2 => any::<u8>().prop_map(Step::Drop),
        1 => Just(Step::Clear),
        3 => (0..1500_u64, sizes()).prop_map(|(room, sizes)| Step::Cramped(room, sizes)),
        2 => Just(Step::Reopen),
        4 => (any::<u64>(), proptest::option::of(0..5_u64))
            .prop_map(|(seed, again)| Step::Crash(seed, again)),
        3 => (0..12_u64).prop_map(Step::PowerFailsSoon),
        1 => any::<u64>().prop_map(Step::SyncFails),
        3 => any::<u64>().prop_map(Step::Rot),
        3 => (any::<u8>(), 0..3000_usize).prop_map(|(from, bytes)| Step::Read(from, bytes)),
    ]
}

/// The log, and what is known about it.
struct World {
    fs: ModelFs,
    log: SegmentLog,
    clock_millis: i64,
    /// Everything that may be in the log, by sequence.
    entries: Vec<Bytes>,
    /// Where appends end.
    ends: BTreeSet<u64>,
    /// Everything below was durable once.
    durable: u64,
    /// Everything below was asked to go.
    dropped: u64,
    /// Gives every entry bytes of its own.
    written: u64,
    seed: u64,
}

impl World {
    fn new() -> Self {
        let fs = ModelFs::new();
        let log = SegmentLog::open(Arc::new(fs.clone()), &dir(), options(1_000)).expect("an empty log opens");
        Self {
            fs,
            log,
            clock_millis: 1_000,
            entries: Vec::new(),
            ends: BTreeSet::from([0]),
            durable: 0,
            dropped: 0,
            written: 0,
            seed: 0,
        }
    }

    fn make(&mut self, sizes: &[usize]) -> Vec<Bytes> {
        let mut make = |bytes: &usize| {
            self.written += 1;
            // Every third shrinks.
            if self.written.is_multiple_of(3) {
                Bytes::from(self.written.to_le_bytes()[..1].repeat(*bytes))
            } else {
                noise(self.written, *bytes)
            }
        };
        sizes.iter().map(&mut make).collect()
    }

    fn append(&mut self, sizes: &[Vec<usize>]) -> io::Result<()> {
        let appends: Vec<Vec<Bytes>> = sizes.iter().map(|sizes| self.make(sizes)).collect();
        let slices: Vec<&[Bytes]> = appends.iter().map(Vec::as_slice).collect();
        let appended = self.log.append_group(&slices);
        let refused = appended.as_ref().is_err_and(|error| is_lack_of_room(error) && !self.log.has_failed());
        if refused {
            return Ok(());
        }
        // After any other error the entries may come back, or not.
        let first = self.entries.len() as u64;
        for entries in &appends {
            self.entries.extend(entries.iter().cloned());
            self.ends.insert(self.entries.len() as u64);
        }
        let range = appended?;
        assert_eq!(range, first..self.entries.len() as u64);
        Ok(())
    }

    /// Starts again from what is on disk.
    fn reopen(&mut self) {
        self.clock_millis += 1;
        let opened = SegmentLog::open(Arc::new(self.fs.clone()), &dir(), options(self.clock_millis));
        self.log = match opened {
            Ok(log) => log,
            Err(OpenError::Io { .. }) if self.fs.is_out() => {
                self.seed += 1;
                return self.crash(self.seed);
            }
            Err(error) => panic!("a crash alone damages nothing that was durable: {error}"),
        };
        let end = self.log.bounds().end;
        assert!(end >= self.durable, "durable up to {}, back up to {end}", self.durable);
        assert!(self.ends.contains(&end), "an append is back in part: {end} of {:?}", self.ends);
        self.entries.truncate(usize::try_from(end).expect("small"));
        self.ends.retain(|other| *other <= end);
    }

    fn crash(&mut self, seed: u64) {
        self.fs.crash(seed);
        self.reopen();
    }

    fn take(&mut self, step: &Step) {
        let done = match step {
            Step::Append(sizes) => self.append(sizes),
            Step::Sync => self.log.sync(),
            Step::Mark => self.log.mark(),
            Step::Roll => self.log.roll(),
            Step::Drop(share) => {
                let bounds = self.log.bounds();
                let sequence = bounds.first + (bounds.end - bounds.first) * u64::from(*share) / 256;
                self.dropped = self.dropped.max(sequence);
                self.log.drop_before(sequence)
            }
            Step::Clear => {
                self.dropped = self.entries.len() as u64;
                self.log.clear()
            }
            Step::Cramped(room, sizes) => {
                self.fs.set_room(Some(*room));
                let done = self.append(std::slice::from_ref(sizes));
                self.fs.set_room(None);
                done
            }
            Step::Reopen => self.close().map(|()| self.reopen()),
            Step::Crash(seed, again) => {
                self.fs.crash(*seed);
                self.fs.set_changes_left(*again);
                self.reopen();
                Ok(())
            }
            Step::PowerFailsSoon(changes) => {
                self.fs.set_changes_left(Some(*changes));
                Ok(())
            }
            Step::SyncFails(seed) => self.fail_a_sync(*seed),
            Step::Rot(seed) => self.rot(*seed),
            Step::Read(from, bytes_max) => {
                self.read(*from, *bytes_max);
                Ok(())
            }
        };
        if let Err(error) = done {
            assert!(self.fs.is_out(), "{step:?} failed with the power on: {error}");
            self.seed += 1;
            self.crash(self.seed);
        }
        self.check();
    }

    fn close(&mut self) -> io::Result<()> {
        self.log.sync()?;
        self.log.mark()?;
        self.log.sync()
    }

    /// The first failed sync is the last.
    fn fail_a_sync(&mut self, seed: u64) -> io::Result<()> {
        self.append(&[vec![50]])?;
        if self.fs.is_out() {
            return Ok(());
        }
        self.fs.set_failing_syncs(true);
        let syncs = self.fs.syncs();
        assert!(self.log.sync().is_err(), "a failed sync is reported");
        assert!(self.log.sync().is_err() && self.log.append(&[Bytes::new()]).is_err());
        assert!(self.log.has_failed());
        assert!(self.fs.syncs() <= syncs + 1, "it is never retried");
        self.crash(seed);
        Ok(())
    }

    /// One bit of a log that was closed in good order: found, or without effect.
    fn rot(&mut self, seed: u64) -> io::Result<()> {
        self.close()?;
        let fs = self.fs.fork();
        let files = fs.files();
        let (path, bytes) = &files[usize::try_from(seed % files.len() as u64).expect("small")];
        fs.rot(path, (seed / 64) % (bytes * 8).max(1));
        if let Ok(log) = SegmentLog::open(Arc::new(fs), &dir(), options(self.clock_millis))
            && let Ok(read) = read_all(&log, 700)
        {
            let bounds = self.log.bounds();
            assert_eq!(log.bounds(), bounds, "damage to {} at seed {seed} went unseen", path.display());
            assert_eq!(read, self.entries[usize::try_from(bounds.first).expect("small")..]);
        }
        Ok(())
    }

    fn read(&self, from: u8, bytes_max: usize) {
        let bounds = self.log.bounds();
        let from = bounds.first + (bounds.end - bounds.first) * u64::from(from) / 256;
        let read = self.log.read(from, bytes_max).expect("nothing is damaged");
        let mut want = Vec::new();
        let mut left = bytes_max;
        for sequence in from..bounds.end {
            let entry = &self.entries[usize::try_from(sequence).expect("small")];
            if !want.is_empty() && (left == 0 || entry.len() > left) {
                break;
            }
            left = left.saturating_sub(entry.len());
            want.push((sequence, entry.clone()));
        }
        for entry in &read {
            let one = self.log.reader().read_one(entry.sequence).expect("nothing is damaged");
            assert_eq!(one.as_ref(), Some(&entry.bytes));
        }
        assert_eq!(read.into_iter().map(|entry| (entry.sequence, entry.bytes)).collect::<Vec<_>>(), want);
    }

    fn check(&mut self) {
        let bounds = self.log.bounds();
        assert!(bounds.end >= self.durable && self.ends.contains(&bounds.end));
        self.durable = bounds.end;
        assert!(bounds.first <= self.dropped, "{bounds:?}, but only {} was asked to go", self.dropped);
        let range =
            usize::try_from(bounds.first).expect("small")..usize::try_from(bounds.end).expect("small");
        let read = read_all(&self.log, 900).expect("nothing is damaged");
        assert_eq!(read, self.entries[range], "what was durable is never lost, changed or moved");
        let on_disk: u64 =
            super::segment_files(&self.fs).iter().map(|path| self.fs.contents(path).len() as u64).sum();
        assert!(self.log.kept_bytes() <= on_disk, "{} of {on_disk} bytes", self.log.kept_bytes());
    }
}

fn options(clock_millis: i64) -> SegmentOptions {
    options_at(clock_millis, 2_000, 300)
}

#[test]
fn random_histories_keep_the_contract() {
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let histories = vec(step(), 1..60);
    runner
        .run(&histories, |steps| {
            let mut world = World::new();
            for step in &steps {
                world.take(step);
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
