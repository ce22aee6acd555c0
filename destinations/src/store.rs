//! What is remembered of destinations, in fjall.
//!
//! Every key begins with workspace and destination (four bytes each, big-endian). Values are a version byte and
//! postcard.
//!
//! | keyspace | rest of the key | value |
//! |---|---|---|
//! | `dst_states` | nothing | cursor, settled ranges above it, counters ([`StoredState`]) |
//! | `dst_waiting` | sequence in the activations log | a delivery in the retry queue ([`Waiting`]) |
//! | `dst_letters` | number, bytes of the value (4) | a dead letter |
//!
//! Numbers are eight bytes, big-endian. A [`Commit`] is atomic. One thread writes for all destinations: what
//! comes in while it syncs goes into its next batch, so many destinations share one fsync. A commit is answered
//! once it is durable.

use crate::config::Key;
use crate::dead_letter::{DeadLetter, DeadLetterPage};
use crate::ledger::{StoredState, Waiting};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Commits that may queue before those who hand them in have to wait.
const QUEUED_COMMITS_MAX: usize = 64;

/// Dead letters that are removed in one batch when a destination ends.
const REMOVED_LETTERS_MAX: usize = 1_000;

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
}

/// Everything remembered of one destination.
pub(crate) struct Remembered {
    pub(crate) state: StoredState,
    pub(crate) waiting: Vec<(u64, Waiting)>,
    /// Number and size of each dead letter, oldest first.
    pub(crate) letters: VecDeque<(u64, u32)>,
}

/// Dead letters lie apart from their keys, so that a start which reads the keys does not read the events.
fn letters_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
}

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// The three keyspaces, and the thread that writes to them. Reads block; they belong on a thread for blocking.
pub(crate) struct Store {
    tables: Tables,
    /// Gone only while this is dropped.
    commits: Option<mpsc::Sender<(Commit, Answer)>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Tables {
    db: Database,
    states: Keyspace,
    waiting: Keyspace,
    letters: Keyspace,
}

impl Store {
    pub(crate) fn open(db: Database) -> Result<Self, StoreError> {
        let tables = Tables {
            states: db.keyspace("dst_states", KeyspaceCreateOptions::default)?,
            waiting: db.keyspace("dst_waiting", KeyspaceCreateOptions::default)?,
            letters: db.keyspace("dst_letters", letters_options)?,
            db,
        };
        let (commits, queue) = mpsc::channel(QUEUED_COMMITS_MAX);
        let writing = tables.clone();
        let writer = std::thread::Builder::new()
            .name("destinations-state".to_owned())
            .spawn(move || write_all(&writing, queue))
            .map_err(|why| StoreError::from(fjall::Error::Io(why)))?;
        Ok(Self { tables, commits: Some(commits), writer: Some(writer) })
    }

    /// Hands a commit to the writer. The answer comes once it is durable.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let commits = self.commits.as_ref().ok_or(StoreError::Closed)?;
        commits.send((commit, answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// The destinations of which there is a state, ended ones left out.
    pub(crate) fn destinations(&self) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.tables.states.iter() {
            let (key, value) = entry.into_inner()?;
            let prefix: [u8; 8] =
                key.as_ref().try_into().map_err(|_| StoreError::Damaged("destination's key"))?;
            if !StoredState::decode(&value)?.ended {
                keys.push(Key::from_prefix(prefix));
            }
        }
        Ok(keys)
    }

    /// Everything remembered of a destination; `None` if it is new.
    pub(crate) fn load(&self, key: Key) -> Result<Option<Remembered>, StoreError> {
        let Some(value) = self.tables.states.get(key.prefix())? else { return Ok(None) };
        let mut remembered =
            Remembered { state: StoredState::decode(&value)?, waiting: Vec::new(), letters: VecDeque::new() };
        for entry in self.tables.waiting.prefix(key.prefix()) {
            let (entry_key, value) = entry.into_inner()?;
            remembered.waiting.push((number_of(&entry_key)?, Waiting::decode(&value)?));
        }
        for entry in self.tables.letters.prefix(key.prefix()) {
            let entry_key = entry.key()?;
            remembered.letters.push_back((number_of(&entry_key)?, size_of(&entry_key)?));
        }
        Ok(Some(remembered))
    }

    /// Dead letters, newest first: those numbered below `before`, at most `limit`.
    pub(crate) fn letters(
        &self,
        key: Key,
        limit: usize,
        before: Option<u64>,
    ) -> Result<DeadLetterPage, StoreError> {
        let prefix = key.prefix();
        let mut end = Vec::from(prefix);
        end.extend_from_slice(&before.unwrap_or(u64::MAX).to_be_bytes());
        let mut page = DeadLetterPage { letters: Vec::new(), next: None };
        let mut last = None;
        for entry in self.tables.letters.range(Vec::from(prefix)..end).rev() {
            if page.letters.len() == limit {
                page.next = last;
                break;
            }
            let (entry_key, value) = entry.into_inner()?;
            last = Some(number_of(&entry_key)?);
            page.letters.push(DeadLetter::decode(&value)?);
        }
        Ok(page)
    }

    /// Removes everything remembered of a destination but its last state, which says that it has ended. Blocks
    /// until that is durable.
    pub(crate) fn end(&self, key: Key, state: &StoredState) -> Result<(), StoreError> {
        let mut batch = self.tables.db.batch();
        for entry in self.tables.letters.prefix(key.prefix()) {
            batch.remove(&self.tables.letters, entry.key()?);
            if batch.len() == REMOVED_LETTERS_MAX {
                std::mem::replace(&mut batch, self.tables.db.batch()).commit()?;
            }
        }
        for entry in self.tables.waiting.prefix(key.prefix()) {
            batch.remove(&self.tables.waiting, entry.key()?);
        }
        batch.insert(&self.tables.states, key.prefix(), state.encode());
        batch.durability(Some(PersistMode::SyncAll)).commit()?;
        Ok(())
    }
}

/// When the last handle is gone, nothing is written any more.
impl Drop for Store {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has reached every commit as an error already.
            let _ = writer.join();
        }
    }
}

fn write_all(tables: &Tables, mut queue: mpsc::Receiver<(Commit, Answer)>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = tables.db.batch().durability(Some(PersistMode::SyncAll));
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some((commit, answer)) = next {
            tables.put(&mut batch, &commit);
            answers.push(answer);
            next = if answers.len() < QUEUED_COMMITS_MAX { queue.try_recv().ok() } else { None };
        }
        let result = batch.commit().map_err(StoreError::from);
        for answer in answers {
            // A worker that is gone needs no answer.
            let _ = answer.send(result.clone());
        }
    }
}

impl Tables {
    fn put(&self, batch: &mut fjall::OwnedWriteBatch, commit: &Commit) {
        let prefix = commit.key.prefix();
        batch.insert(&self.states, prefix, commit.state.encode());
        for (sequence, waiting) in &commit.waiting {
            let key = numbered(prefix, *sequence);
            match waiting {
                Some(waiting) => batch.insert(&self.waiting, key, waiting.encode()),
                None => batch.remove(&self.waiting, key),
            }
        }
        for (number, letter) in &commit.letters {
            batch.insert(&self.letters, letter_key(prefix, *number, letter_size(letter)), letter.as_slice());
        }
        for (number, size) in &commit.letters_dropped {
            batch.remove(&self.letters, letter_key(prefix, *number, *size));
        }
    }
}

/// The size of an encoded dead letter as its key holds it.
pub(crate) fn letter_size(letter: &[u8]) -> u32 {
    u32::try_from(letter.len()).unwrap_or(u32::MAX)
}

fn numbered(prefix: [u8; 8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.extend_from_slice(&prefix);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn letter_key(prefix: [u8; 8], number: u64, size: u32) -> Vec<u8> {
    let mut key = numbered(prefix, number);
    key.extend_from_slice(&size.to_be_bytes());
    key
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key.get(8..16).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or(StoreError::Damaged("destination's key"))
}

fn size_of(key: &[u8]) -> Result<u32, StoreError> {
    let bytes = key.get(16..20).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(StoreError::Damaged("destination's key"))
}
