//! The two logs of a projector that is measured: one whose records are made up as they are read, and one that takes
//! everything and keeps nothing. Neither costs memory or disk, which are for what is measured.

use super::people::{Circle, People, arrival, message_id};
use bytes::Bytes;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tributary_eventlog::{
    AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError,
};
use tributary_model::event::AcceptedEvent;
use tributary_model::{EventKind, Marks, Record, SourceId, Timestamp, WorkspaceId};

/// How often a reader that waits looks again.
const AGAIN: Duration = Duration::from_millis(1);

/// The events of everybody: first those that make them known, then those of known people.
#[derive(Debug)]
pub(super) struct PeopleLog {
    people: People,
    /// Whom the events of known people are about.
    is_familiar: AtomicBool,
    end: watch::Sender<u64>,
}

impl PeopleLog {
    /// The log of these people, empty.
    pub(super) fn new(people: People) -> Self {
        Self { people, is_familiar: AtomicBool::new(false), end: watch::Sender::new(0) }
    }

    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    /// Lets it end there.
    pub(super) fn grow(&self, end: u64) {
        self.end.send_replace(end);
    }

    /// Says whom the events of known people are about from now on; those before have been read.
    pub(super) fn set_circle(&self, circle: Circle) {
        self.is_familiar.store(circle == Circle::Familiar, Ordering::SeqCst);
    }

    fn record(&self, sequence: u64) -> Bytes {
        let said = match sequence.checked_sub(self.people.events()) {
            None => self.people.making(sequence),
            Some(number) if self.is_familiar.load(Ordering::SeqCst) => {
                self.people.known(number, Circle::Familiar)
            }
            Some(number) => self.people.known(number, Circle::Anybody),
        };
        let [user_id, email, anonymous_id] = self.people.texts(said);
        let id = message_id(sequence);
        let mut payload = json!({
            "type": "track",
            "event": "Product Viewed",
            "messageId": id.as_str(),
            "userId": user_id,
            "anonymousId": anonymous_id,
            "properties": {},
        });
        if let Some(email) = email {
            payload["context"] = json!({"traits": {"email": email}});
        }
        let at = arrival(sequence);
        let event = AcceptedEvent {
            workspace: WorkspaceId(1),
            workspace_version: 1,
            source: SourceId(1),
            kind: EventKind::Track,
            message_id: id,
            received_at: at,
            event_time: at,
            marks: Marks::default(),
            anchor_hash: None,
            payload: payload.to_string().into(),
        };
        Record::from_event(event).encode()
    }
}

impl EventLog for PeopleLog {
    fn append(&self, _: Vec<Bytes>) -> AppendFuture {
        Box::pin(async { Err(AppendError::Closed) })
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for sequence in from..self.end() {
            let record = self.record(sequence);
            bytes += record.len();
            entries.push(Entry { sequence, frame: sequence, bytes: record });
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    fn read_one(&self, sequence: u64, _: u64) -> Result<Option<Bytes>, ReadError> {
        Ok((sequence < self.end()).then(|| self.record(sequence)))
    }

    fn bounds(&self) -> Bounds {
        Bounds { first: 0, end: self.end() }
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        let by = Instant::now() + timeout;
        while self.end() <= sequence {
            if Instant::now() >= by {
                return false;
            }
            thread::park_timeout(AGAIN);
        }
        true
    }

    fn protect(&self, _: &'static str, _: u64) {}

    fn status(&self) -> LogStatus {
        LogStatus { accepting: false, refusal: Some(AppendError::Closed), bytes_kept: 0 }
    }

    fn enforce_retention(&self, _: Timestamp) -> Result<Bounds, RetentionError> {
        Ok(self.bounds())
    }

    fn close(&self) {}
}

/// Takes everything and keeps nothing.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    end: AtomicU64,
}

impl EventLog for Dropped {
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture {
        let added = entries.len() as u64;
        let first = self.end.fetch_add(added, Ordering::SeqCst);
        Box::pin(async move { Ok(first..first + added) })
    }

    fn read(&self, _: u64, _: usize) -> Result<Vec<Entry>, ReadError> {
        Ok(Vec::new())
    }

    fn read_one(&self, _: u64, _: u64) -> Result<Option<Bytes>, ReadError> {
        Ok(None)
    }

    fn bounds(&self) -> Bounds {
        let end = self.end.load(Ordering::SeqCst);
        Bounds { first: end, end }
    }

    fn watch(&self) -> watch::Receiver<u64> {
        watch::Sender::new(self.end.load(Ordering::SeqCst)).subscribe()
    }

    fn wait_past(&self, sequence: u64, _: Duration) -> bool {
        self.end.load(Ordering::SeqCst) > sequence
    }

    fn protect(&self, _: &'static str, _: u64) {}

    fn status(&self) -> LogStatus {
        LogStatus { accepting: true, refusal: None, bytes_kept: 0 }
    }

    fn enforce_retention(&self, _: Timestamp) -> Result<Bounds, RetentionError> {
        Ok(self.bounds())
    }

    fn close(&self) {}
}
