//! Audiences and computed traits, against a slow reference that was written from the rules.
//!
//! The reference keeps the list of events and looks through the whole of it for every answer: nothing is folded, merged,
//! indexed or kept. Whose an event is, it asks the reference of identity. The rules stand at the heads of the modules:
//! `people` of traits and accounts, `value` of comparisons, `evaluate` of conditions, `aggregate` of what is computed,
//! `told` of activations.

mod aggregate;
mod definitions;
mod drive;
mod evaluate;
mod limits;
mod people;
mod stream;
mod told;
mod trial;
mod value;
mod windows;
mod writer;

use super::*;
use crate::machine::Due;
use crate::testing;
use drive::Driver;
use stream::{Happening, happenings};
use trial::{TICKS_MAX, Trial};
use writer::Writer;

/// How many random runs are compared with the reference.
const RUNS: u32 = 128;

/// How many things happen in one of them at most, beside the first definitions.
const HAPPENINGS_MAX: usize = 24;

/// How many random runs are cut into restarts; each is run twice over a real store.
const CUT_RUNS: u32 = 12;

/// Everything in a store.
type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

/// A run that nothing disturbed.
struct Undisturbed {
    records: Vec<Bytes>,
    /// What was due before each record.
    due: Vec<Due>,
    told: Vec<Activation>,
    stored: Stored,
}

impl Undisturbed {
    fn new(happenings: &[Happening]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut generation = open_generation(directory.path());
        let log = Arc::new(MemoryLog::new());
        let indexes = open_indexes(directory.path());
        let mut driver = Driver::new(Arc::clone(&generation.store), indexes, log, generation.checkpoint);
        let mut writer = Writer::new(testing::workspace());
        let (mut records, mut due, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for happening in happenings {
            let mut next = writer.record(happening);
            let end = records.len() + TICKS_MAX;
            while let Some(record) = next {
                assert!(records.len() < end, "there is no end of ticks");
                due.push(driver.due());
                told.extend(driver.write(&record));
                records.push(record.encode());
                next = driver.tick(writer.log_time);
            }
        }
        let checkpoint = driver.machine.checkpoint();
        write_now(&mut generation.checkpointer, &driver.state, checkpoint).expect("written");
        Self { records, due, told, stored: dump(&driver.state) }
    }

    /// Goes on in this directory from its last checkpoint up to a record, with checkpoints behind some, and breaks off.
    /// Answers with what it told, and what is stored in the end if that was the last record.
    fn resume(
        &self,
        directory: &Path,
        to: usize,
        checkpoints: &BTreeSet<usize>,
    ) -> Result<(Vec<Activation>, Stored), TestCaseError> {
        let mut generation = open_generation(directory);
        let indexes = open_indexes(directory);
        let log = Arc::new(MemoryLog::new());
        for record in &self.records {
            append(&*log, vec![record.clone()]);
        }
        let (watermark, next) = (indexes.watermark() as usize, generation.checkpoint.next as usize);
        let store = Arc::clone(&generation.store);
        let mut driver = Driver::new(store, Arc::clone(&indexes), log, generation.checkpoint);
        for (at, record) in self.records.iter().enumerate().take(next).skip(watermark) {
            driver.machine.index_only(at as u64, at as u64, record).expect("indexed");
        }
        let mut told = Vec::new();
        for (at, record) in self.records.iter().enumerate().take(to).skip(next) {
            prop_assert_eq!(&driver.due(), &self.due[at], "what is due before record {}", at);
            told.extend(driver.apply(record));
            let is_last = at + 1 == self.records.len();
            if checkpoints.contains(&at) || is_last {
                let checkpoint = driver.machine.checkpoint();
                write_now(&mut generation.checkpointer, &driver.state, checkpoint).expect("written");
                if at % 2 == 0 {
                    indexes.flush(checkpoint.next).expect("flushed");
                }
            }
        }
        Ok((told, dump(&driver.state)))
    }
}

fn open_generation(directory: &Path) -> Generation {
    Generation::open(&StatePaths::within(directory), &hash_key(), CACHE).expect("it opens")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: RUNS, ..ProptestConfig::default() })]

    /// For any definitions and any stream, late and repeated events, merges, unmerges and changed definitions included:
    /// after every record and tick, members, computed values and what is told of changes are what the rules say.
    #[test]
    fn audiences_agree_with_the_reference(happenings in happenings(HAPPENINGS_MAX)) {
        let mut trial = Trial::new();
        let mut writer = Writer::new(testing::workspace());
        for happening in &happenings {
            if let Some(record) = writer.record(happening) {
                trial.take(&record)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CUT_RUNS, ..ProptestConfig::default() })]

    /// However a run with ticks in it is cut into restarts: the same is due at every record, the same is told, and the
    /// state is the same in the end, byte for byte.
    #[test]
    fn restarts_change_nothing_of_audiences(
        happenings in happenings(HAPPENINGS_MAX),
        cuts in proptest::collection::vec(
            (any::<prop::sample::Index>(), proptest::collection::btree_set(0..120usize, 0..5)), 1..3),
    ) {
        let whole = Undisturbed::new(&happenings);
        let directory = tempfile::tempdir().expect("a directory");
        for (to, checkpoints) in &cuts {
            let to = to.index(whole.records.len());
            whole.resume(directory.path(), to, checkpoints)?;
        }
        let (told, stored) = whole.resume(directory.path(), whole.records.len(), &BTreeSet::new())?;
        prop_assert!(whole.told.ends_with(&told), "no activation is doubled or out of order");
        prop_assert_eq!(stored, whole.stored);
    }
}
