//! What the tests of this crate share: a workspace, and a log in memory that can be told to refuse.

use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tributary_eventlog::{
    AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError,
};
use tributary_model::clock::{Clock, ManualClock};
use tributary_model::workspace::{IdentityRules, Source};
use tributary_model::{HashKey, Record, SourceId, Timestamp, Workspace, WorkspaceId};

use crate::rejects::Reject;
use crate::{Collector, IngestLimits, SourceRef, WriteKeys};

/// The write key of the test workspace's source.
pub(crate) const WRITE_KEY: &str = "wk_test";
/// The write key of a source that is switched off.
pub(crate) const DISABLED_KEY: &str = "wk_off";

/// A log in memory.
pub(crate) struct TestLog {
    state: Mutex<State>,
    end: tokio::sync::watch::Sender<u64>,
    /// While true, nothing that is appended becomes durable.
    held: tokio::sync::watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    entries: Vec<Bytes>,
    appends: Vec<usize>,
    first: u64,
    refusal: Option<AppendError>,
}

impl TestLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            end: tokio::sync::watch::Sender::new(0),
            held: tokio::sync::watch::Sender::new(false),
        })
    }

    /// From now on appends wait to become durable, or go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// From now on every append is refused, or taken again.
    pub(crate) fn refuse(&self, refusal: Option<AppendError>) {
        self.state.lock().expect("no panic").refusal = refusal;
    }

    /// Forgets entries below `first`, as retention does.
    pub(crate) fn forget_before(&self, first: u64) {
        self.state.lock().expect("no panic").first = first;
    }

    pub(crate) fn entries(&self) -> Vec<Bytes> {
        self.state.lock().expect("no panic").entries.clone()
    }

    /// How many entries each append had.
    pub(crate) fn appends(&self) -> Vec<usize> {
        self.state.lock().expect("no panic").appends.clone()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.entries().iter().map(|bytes| Record::decode(bytes).expect("a record")).collect()
    }

    pub(crate) fn rejects(&self) -> Vec<Reject> {
        self.entries().iter().map(|bytes| Reject::decode(bytes).expect("a reject")).collect()
    }
}

impl EventLog for TestLog {
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture {
        let mut state = self.state.lock().expect("no panic");
        if let Some(refusal) = state.refusal.clone() {
            return Box::pin(async { Err(refusal) });
        }
        let start = state.entries.len() as u64;
        state.appends.push(entries.len());
        state.entries.extend(entries);
        let end = state.entries.len() as u64;
        self.end.send_replace(end);
        let mut held = self.held.subscribe();
        Box::pin(async move {
            let _ = held.wait_for(|held| !held).await;
            Ok(start..end)
        })
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let state = self.state.lock().expect("no panic");
        if from < state.first {
            return Err(ReadError::Expired { first: state.first });
        }
        let mut bytes_left = bytes_max;
        let mut read = Vec::new();
        for (sequence, bytes) in (0u64..).zip(&state.entries).skip(from as usize) {
            if !read.is_empty() && bytes.len() > bytes_left {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes.len());
            read.push(Entry { sequence, frame: sequence, bytes: bytes.clone() });
        }
        Ok(read)
    }

    fn read_one(&self, sequence: u64, _frame: u64) -> Result<Option<Bytes>, ReadError> {
        let state = self.state.lock().expect("no panic");
        if sequence < state.first {
            return Err(ReadError::Expired { first: state.first });
        }
        Ok(state.entries.get(sequence as usize).cloned())
    }

    fn bounds(&self) -> Bounds {
        let state = self.state.lock().expect("no panic");
        Bounds { first: state.first, end: state.entries.len() as u64 }
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if *self.end.borrow() > sequence {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    fn protect(&self, _reader: &'static str, _from: u64) {}

    fn status(&self) -> LogStatus {
        LogStatus { accepting: true, refusal: None, bytes_kept: 0 }
    }

    fn enforce_retention(&self, _now: Timestamp) -> Result<Bounds, RetentionError> {
        Ok(self.bounds())
    }

    fn close(&self) {}
}

/// A collector over logs in memory, at a time that stands still.
pub(crate) struct Bench {
    pub(crate) log: Arc<TestLog>,
    pub(crate) rejects: Arc<TestLog>,
    pub(crate) collector: Arc<Collector>,
}

/// The time at which everything arrives in tests.
pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-11-20T10:00:00.250Z").expect("a time")
}

pub(crate) fn hash_key() -> HashKey {
    HashKey::derive(b"test")
}

pub(crate) fn workspace() -> Arc<Workspace> {
    let source = |id, write_key: &str, enabled| Source {
        id: SourceId(id),
        name: "test".to_owned(),
        write_key: write_key.to_owned(),
        enabled,
        created_at: now(),
    };
    Arc::new(Workspace {
        id: WorkspaceId(1),
        name: Workspace::DEFAULT_NAME.to_owned(),
        version: 3,
        created_at: now(),
        next_id: 3,
        sources: vec![source(1, WRITE_KEY, true), source(2, DISABLED_KEY, false)],
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity: IdentityRules::default(),
        computed_traits: Vec::new(),
        audiences: Vec::new(),
        traits: Default::default(),
    })
}

/// The test workspace's source that is switched on.
pub(crate) fn source() -> SourceRef {
    let write_keys = WriteKeys::new();
    write_keys.swap(&[workspace()]);
    write_keys.authenticate(WRITE_KEY).expect("the key is there")
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_limits(IngestLimits::default())
    }

    pub(crate) fn with_limits(limits: IngestLimits) -> Self {
        let (log, rejects) = (TestLog::new(), TestLog::new());
        let write_keys = Arc::new(WriteKeys::new());
        write_keys.swap(&[workspace()]);
        // Half a millisecond past, which no stored time shows.
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now().plus_micros(500)));
        let collector = Collector::new(log.clone(), rejects.clone(), write_keys, hash_key(), clock, limits);
        Self { log, rejects, collector: Arc::new(collector) }
    }
}
