//! What is remembered of destinations, in fjall.
//!
//! Numbers in keys are big-endian. Every key but those of `rollups` and of `dst_record_index_<day>` begins with
//! workspace and destination (four bytes each). Values are a version byte and postcard, but where a module says
//! otherwise.
//!
//! | keyspace | rest of the key | value |
//! |---|---|---|
//! | `dst_states` | nothing | cursor, settled ranges above it, counters ([`StoredState`]) |
//! | `dst_waiting` | sequence in the activations log (8) | a delivery in the retry queue ([`Waiting`]) |
//! | `dst_letters` | number (8), bytes of the value (4) | a dead letter |
//! | `dst_replays` | number (8) | a replay ([`ReplayJob`]) |
//! | `dst_tokens` | nothing | the newest refresh token of OAuth 2.0, sealed: a text |
//! | `dst_records_<day>`, `dst_record_index_<day>` | see `records` | attempts and what was exchanged |
//! | `dst_outcomes_<day>` | see `outcomes` | how deliveries ended that were not simply taken |
//! | `rollups` | see `rollup` | counts by the minute |
//!
//! A day is a UTC day, in days since 1970-01-01. Days are dropped whole, by the time of what is written: a store that
//! nothing is written to keeps what it has.
//!
//! A [`Commit`] is atomic. One thread writes for all destinations (`writer`): what comes in while it syncs goes into its
//! next batch, so many destinations share one fsync. A commit is answered once it is durable. Everything goes through
//! fjall's journal, as the parts of a commit have to become durable together; what the days hold in memory is bounded by
//! small memtables, and is written out when the day is over.

mod books;
mod days;
mod letters;
mod outcomes;
mod records;
mod replays;
mod rollup;
mod tokens;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use books::Books;
pub(crate) use letters::{DeadActivations, letter_size};
pub(crate) use records::{AttemptGroup, Place, Sought};
pub(crate) use rollup::MINUTES_KEPT;

use crate::config::Key;
use crate::counts::{Counts, Tally};
use crate::dead_letter::DeadLetterPage;
use crate::records::{AttemptRecord, Ending, ExchangeRecord};
use crate::replay::{NewReplay, ReplayError, ReplayJob, ReplayKind};
use crate::stored::{StoredState, Waiting};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use letters::Letters;
use outcomes::Outcomes;
use records::{AttemptGroups, Records};
use replays::Replays;
use rollup::Rollups;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use tributary_model::outcome::Outcome;
use tributary_model::{MessageId, Timestamp, WorkspaceId};
use writer::{QUEUED_MAX, Writer, Written};

/// Entries that are removed in one batch when a destination ends.
const REMOVED_MAX: usize = 1_000;

/// The store failed, or holds what can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the store of destinations failed")]
    Database(#[source] Arc<fjall::Error>),
    /// A stored value can't be read.
    #[error("a stored {0} is damaged")]
    Damaged(&'static str),
    /// A stored value was written by a newer version of the program.
    #[error("a stored {what} has form {version}, which is not known to this version")]
    Version {
        /// What it is.
        what: &'static str,
        /// The form that it has.
        version: u8,
    },
    /// What is asked lies in the activations log, which can't be read.
    #[error("the activations log can't be read")]
    Log(#[source] Arc<dyn Error + Send + Sync>),
    /// The engine has been stopped.
    #[error("the store of destinations is closed")]
    Closed,
}

impl From<fjall::Error> for StoreError {
    fn from(why: fjall::Error) -> Self {
        Self::Database(Arc::new(why))
    }
}

/// Changes of one destination that become durable together.
pub(crate) struct Commit {
    pub(crate) key: Key,
    pub(crate) state: StoredState,
    /// Entries of the retry queue: as they are now, or gone.
    pub(crate) waiting: Vec<(u64, Option<Waiting>)>,
    /// New dead letters with their numbers, encoded.
    pub(crate) letters: Vec<(u64, Vec<u8>)>,
    /// Numbers and sizes of dead letters that go.
    pub(crate) letters_dropped: Vec<(u64, u32)>,
    /// Attempts to remember.
    pub(crate) attempts: Vec<AttemptRecord>,
    /// What was exchanged in them, by number: the microsecond in which the request was made times 4096, and a count.
    pub(crate) exchanges: Vec<(u64, ExchangeRecord)>,
    /// How deliveries ended that were not simply taken.
    pub(crate) endings: Vec<Ending>,
    /// What is counted by the minute. Its newest minute is the time of the commit.
    pub(crate) counts: Counts,
    /// How far replays are. One that has ended meanwhile stays as it ended.
    pub(crate) replays: Vec<ReplayJob>,
}

impl Commit {
    /// One that changes nothing but the state.
    pub(crate) fn of(key: Key, state: StoredState) -> Self {
        Self {
            key,
            state,
            waiting: Vec::new(),
            letters: Vec::new(),
            letters_dropped: Vec::new(),
            attempts: Vec::new(),
            exchanges: Vec::new(),
            endings: Vec::new(),
            counts: Counts::default(),
            replays: Vec::new(),
        }
    }
}

/// Everything remembered of a destination that its worker needs.
pub(crate) struct Remembered {
    pub(crate) state: StoredState,
    pub(crate) waiting: Vec<(u64, Waiting)>,
    /// Number and size of each dead letter, oldest first.
    pub(crate) letters: VecDeque<(u64, u32)>,
}

/// The replay that asked last for activations with dead letters, and those, by destination and kind.
type AskedForDead = BTreeMap<(Key, ReplayKind), (u64, Arc<DeadActivations>)>;

/// The keyspaces, and the thread that writes to them. Reads block; they belong on a thread for blocking.
pub(crate) struct Store {
    tables: Arc<Tables>,
    /// Activations of which running replays asked for dead letters.
    dead: Mutex<AskedForDead>,
    /// Gone only while this is dropped.
    orders: Option<mpsc::Sender<Written>>,
    writer: Option<JoinHandle<()>>,
}

/// The keyspaces.
struct Tables {
    db: Database,
    states: Keyspace,
    waiting: Keyspace,
    letters: Letters,
    replays: Replays,
    /// Refresh tokens by destination.
    tokens: Keyspace,
    records: Records,
    outcomes: Outcomes,
    rollups: Rollups,
}

impl Tables {
    fn open(db: Database, outcome_days: u16) -> Result<Self, StoreError> {
        Ok(Self {
            states: db.keyspace("dst_states", KeyspaceCreateOptions::default)?,
            waiting: db.keyspace("dst_waiting", KeyspaceCreateOptions::default)?,
            letters: Letters::open(&db)?,
            replays: Replays::open(&db)?,
            tokens: db.keyspace("dst_tokens", KeyspaceCreateOptions::default)?,
            records: Records::open(&db)?,
            outcomes: Outcomes::open(&db, outcome_days)?,
            rollups: Rollups::open(&db)?,
            db,
        })
    }
}

impl Store {
    /// Opens what is remembered, and begins to write. Attempts are remembered for so many days, and of a destination's
    /// attempts within a day so many bytes. How deliveries ended is remembered for `outcome_days`, which has to be as long
    /// as activations are kept, and for as long as attempts.
    pub(crate) fn open(
        db: Database,
        record_days: u16,
        outcome_days: u16,
        record_bytes: u64,
    ) -> Result<Self, StoreError> {
        let tables = Arc::new(Tables::open(db, outcome_days.max(record_days))?);
        let (orders, queue) = mpsc::channel(QUEUED_MAX);
        let writing = Writer::new(Arc::clone(&tables), record_days, record_bytes);
        let writer = std::thread::Builder::new()
            .name("destinations-state".to_owned())
            .spawn(move || writing.run(queue))
            .map_err(|why| StoreError::from(fjall::Error::Io(why)))?;
        Ok(Self { tables, dead: Mutex::default(), orders: Some(orders), writer: Some(writer) })
    }

    /// Hands a commit to the writer. The answer comes once it is durable.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.order(|answer| Written::Commit(Box::new(commit), answer)).await?
    }

    /// Begins a replay, unless one of the destination and of its kind runs.
    pub(crate) async fn begin_replay(&self, new: NewReplay) -> Result<ReplayJob, ReplayError> {
        self.order(|answer| Written::Begin(Box::new(new), answer)).await?
    }

    /// Cancels a replay. False if there is none of that number that runs.
    pub(crate) async fn cancel_replay(
        &self,
        key: Key,
        replay: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.order(|answer| Written::Cancel(key, replay, now, answer)).await?
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Written) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or(StoreError::Closed)?;
        orders.send(order(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }

    /// The destinations of which there is a state, ended ones left out.
    pub(crate) fn destinations(&self) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.tables.states.iter() {
            let (key, value) = entry.into_inner()?;
            if !StoredState::decode(&value)?.ended {
                keys.push(destination_of(&key)?);
            }
        }
        Ok(keys)
    }

    /// The destinations of a workspace of which there is a state, ended ones included.
    pub(crate) fn destinations_of(&self, workspace: WorkspaceId) -> Result<Vec<Key>, StoreError> {
        let entries = self.tables.states.prefix(workspace.0.to_be_bytes());
        entries.map(|entry| destination_of(&entry.key()?)).collect()
    }

    /// The books of a destination; `None` if it is new.
    pub(crate) fn state(&self, key: Key) -> Result<Option<StoredState>, StoreError> {
        self.tables.states.get(key.prefix())?.map(|value| StoredState::decode(&value)).transpose()
    }

    /// A delivery in the retry queue, if it is there.
    pub(crate) fn waiting(&self, key: Key, activation: u64) -> Result<Option<Waiting>, StoreError> {
        let value = self.tables.waiting.get(numbered(key, activation))?;
        value.map(|value| Waiting::decode(&value)).transpose()
    }

    /// Everything remembered of a destination that its worker needs; `None` if it is new.
    pub(crate) fn load(&self, key: Key) -> Result<Option<Remembered>, StoreError> {
        let Some(state) = self.state(key)? else { return Ok(None) };
        let mut waiting = Vec::new();
        for entry in self.tables.waiting.prefix(key.prefix()) {
            let (entry_key, value) = entry.into_inner()?;
            waiting.push((number_of(&entry_key)?, Waiting::decode(&value)?));
        }
        let letters = self.tables.letters.numbers(key).collect::<Result<_, _>>()?;
        Ok(Some(Remembered { state, waiting, letters }))
    }

    /// Dead letters, newest first: those numbered below `before`, at most `limit`.
    pub(crate) fn letters(
        &self,
        key: Key,
        limit: usize,
        before: Option<u64>,
    ) -> Result<DeadLetterPage, StoreError> {
        self.tables.letters.page(key, limit, before)
    }

    /// The activations of which there are dead letters, and whether they are for the reason that a replay asks for. Found
    /// once for each replay.
    pub(crate) fn dead_activations(
        &self,
        key: Key,
        job: &ReplayJob,
    ) -> Result<Arc<DeadActivations>, StoreError> {
        let place = (key, job.order.kind());
        if let Some((_, known)) = self.dead().get(&place).filter(|(replay, _)| *replay == job.id) {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.tables.letters.activations(key, job.order.only.reason())?);
        self.dead().insert(place, (job.id, Arc::clone(&found)));
        Ok(found)
    }

    /// A replay has read everything.
    pub(crate) fn forget_dead_activations(&self, key: Key, replay: u64) {
        self.dead().retain(|(of, _), (asked, _)| *of != key || *asked != replay);
    }

    fn dead(&self) -> std::sync::MutexGuard<'_, AskedForDead> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a delivery ended, if something was said of it.
    pub(crate) fn outcome_of(&self, key: Key, activation: u64) -> Result<Option<Outcome>, StoreError> {
        self.tables.outcomes.outcome_of(key, activation)
    }

    /// How deliveries ended of which something was said.
    pub(crate) fn outcomes(
        &self,
        key: Key,
        activations: Range<u64>,
    ) -> Result<BTreeMap<u64, Outcome>, StoreError> {
        self.tables.outcomes.outcomes(key, activations)
    }

    /// The first of these activations whose delivery ended like that.
    pub(crate) fn first_ended(
        &self,
        key: Key,
        activations: Range<u64>,
        outcome: Outcome,
    ) -> Result<Option<u64>, StoreError> {
        self.tables.outcomes.first(key, activations, outcome)
    }

    /// The newest attempt that is remembered of those by which an event's delivery was given up.
    pub(crate) fn given_up(
        &self,
        key: Key,
        activation: u64,
        message_id: &MessageId,
    ) -> Result<Option<AttemptRecord>, StoreError> {
        let sought = Sought::Message(key.workspace, message_id.clone());
        let always = Place::at(Timestamp::MIN)..Place::at(Timestamp::from_micros(i64::MAX));
        for day in self.record_days() {
            for group in self.attempts(day, &sought, always.clone())? {
                let group = group?;
                let newest =
                    group.attempts.last().filter(|_| (group.key, group.activation) == (key, activation));
                if let Some(newest) = newest.filter(|newest| newest.outcome == Some(Outcome::DeadLetter)) {
                    return Ok(Some(newest.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Everything that was ever said of how deliveries ended is remembered of activations that arrived on this day or later.
    pub(crate) fn outcomes_told_from(&self, now: Timestamp) -> i64 {
        self.tables.outcomes.told_from(now.day())
    }

    /// The books of destinations and how deliveries ended, for one who asks about many.
    pub(crate) fn books(&self) -> Books<'_> {
        Books::new(&self.tables)
    }

    /// The days of which there are records, newest first.
    pub(crate) fn record_days(&self) -> Vec<i64> {
        self.tables.records.days()
    }

    /// Attempts of one day by delivery, newest first: those at or behind `from` and before `before`.
    pub(crate) fn attempts(
        &self,
        day: i64,
        sought: &Sought,
        places: Range<Place>,
    ) -> Result<AttemptGroups, StoreError> {
        self.tables.records.attempts(day, sought, places)
    }

    /// What was exchanged, if that is remembered.
    pub(crate) fn exchange(&self, key: Key, number: u64) -> Result<Option<ExchangeRecord>, StoreError> {
        self.tables.records.exchange(key, number)
    }

    /// Shows what was counted of a destination's deliveries, by the minute and in order.
    pub(crate) fn tallies(
        &self,
        key: Key,
        minutes: Range<u32>,
        show: impl FnMut(u32, &Tally),
    ) -> Result<(), StoreError> {
        self.tables.rollups.tallies(key, minutes, show)
    }

    /// The replays of a destination, newest first.
    pub(crate) fn replays(&self, key: Key) -> Result<Vec<ReplayJob>, StoreError> {
        self.tables.replays.all(key)
    }

    /// The replays of a destination that run: at most one of each kind.
    pub(crate) fn active_replays(&self, key: Key) -> Result<Vec<ReplayJob>, StoreError> {
        let mut replays = self.tables.replays.all(key)?;
        replays.retain(ReplayJob::is_running);
        Ok(replays)
    }

    /// Removes what is remembered of a destination but its last state, which says that it has ended, and what goes by
    /// itself with its day. Blocks until that is durable.
    pub(crate) fn end(&self, key: Key, state: &StoredState) -> Result<(), StoreError> {
        let tables = &*self.tables;
        let mut batch = tables.db.batch();
        for keyspace in
            [tables.letters.keyspace(), &tables.waiting, tables.replays.keyspace(), &tables.tokens]
        {
            for entry in keyspace.prefix(key.prefix()) {
                batch.remove(keyspace, entry.key()?);
                if batch.len() == REMOVED_MAX {
                    std::mem::replace(&mut batch, tables.db.batch()).commit()?;
                }
            }
        }
        batch.insert(&tables.states, key.prefix(), state.encode());
        batch.durability(Some(PersistMode::SyncAll)).commit()?;
        Ok(())
    }
}

/// When the last handle is gone, nothing is written any more.
impl Drop for Store {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has reached every commit as an error already.
            let _ = writer.join();
        }
    }
}

/// Workspace and destination, and a number.
fn numbered(key: Key, number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.prefix());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn destination_of(key: &[u8]) -> Result<Key, StoreError> {
    let prefix = key.try_into().map_err(|_| StoreError::Damaged("destination's key"))?;
    Ok(Key::from_prefix(prefix))
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    number_at(key, 8)
}

/// The eight bytes from there on, as a number.
fn number_at(key: &[u8], at: usize) -> Result<u64, StoreError> {
    let bytes = key.get(at..).and_then(<[u8]>::first_chunk).copied();
    bytes.map(u64::from_be_bytes).ok_or(StoreError::Damaged("destination's key"))
}
