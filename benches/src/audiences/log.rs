//! A log whose records are made up as they are read: people with traits, orders and visits over sixty days.

use bytes::Bytes;
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tributary_eventlog::{
    AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError,
};
use tributary_model::event::AcceptedEvent;
use tributary_model::{EventKind, Marks, MessageId, Record, SourceId, Timestamp, WorkspaceId};

/// How often a reader that waits looks again.
const AGAIN: Duration = Duration::from_millis(1);
/// When the first event arrives, and how long it takes until the last one does.
const START_MS: i64 = 1_790_000_000_000;
const SPAN_MICROS: i64 = 60 * 86_400_000_000;

/// The events of so many people: everybody is identified first, then does something, round after round.
#[derive(Debug)]
pub(super) struct MadeLog {
    people: u64,
    records: u64,
    end: watch::Sender<u64>,
}

impl MadeLog {
    /// The log of so many people, who each have so many events; empty.
    pub(super) fn new(people: u64, events: u64) -> Self {
        Self { people, records: people * events, end: watch::Sender::new(0) }
    }

    /// How many records there are in all.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Lets it end there.
    pub(super) fn grow(&self, end: u64) {
        self.end.send_replace(end.min(self.records));
    }

    fn end(&self) -> u64 {
        *self.end.borrow()
    }

    fn record(&self, sequence: u64) -> Bytes {
        let (person, round) = (sequence % self.people, sequence / self.people);
        let dice = mix(sequence);
        let id = MessageId::parse(&format!("made-{sequence:012x}")).expect("a short text");
        let mut body = match (round, dice % 3) {
            (0, _) => json!({"type": "identify", "traits": traits(person)}),
            (_, 0) => json!({
                "type": "track",
                "event": "Order Completed",
                "properties": {"total": dice / 3 % 300, "currency": "EUR"},
            }),
            _ => json!({"type": "track", "event": "App Opened", "properties": {}}),
        };
        body["messageId"] = id.as_str().into();
        body["userId"] = user(person).into();
        let share = i128::from(sequence) * i128::from(SPAN_MICROS) / i128::from(self.records.max(1));
        let micros = i64::try_from(share).expect("a share of sixty days");
        let at = Timestamp::from_millis(START_MS).plus_micros(micros);
        let event = AcceptedEvent {
            workspace: WorkspaceId(1),
            workspace_version: 1,
            source: SourceId(1),
            kind: if round == 0 { EventKind::Identify } else { EventKind::Track },
            message_id: id,
            received_at: at,
            event_time: at,
            marks: Marks::default(),
            anchor_hash: None,
            payload: body.to_string().into(),
        };
        Record::from_event(event).encode()
    }
}

/// The user id of a person.
pub(super) fn user(person: u64) -> String {
    format!("user-{person:09}")
}

fn traits(person: u64) -> serde_json::Value {
    let dice = mix(person ^ 0x7472_6169_7473);
    let plan = ["free", "basic", "pro", "team", "enterprise"].get(dice as usize % 5);
    json!({
        "plan": plan,
        "country": format!("C{:03}", dice / 5 % 200),
        "score": dice / 1000 % 10_000,
        "email": format!("{}@example.com", user(person)),
    })
}

/// Scatters numbers (splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl EventLog for MadeLog {
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
