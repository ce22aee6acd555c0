//! An engine on a log in memory, a database in a temporary directory, and a clock that stands still.

use crate::receiver::PATIENCE;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tributary_destinations::{
    DeadLetter, DestinationConfig, DestinationStatus, Engine, EngineOptions, Limits, PauseReason,
    RetryPolicy, Totals, Vault,
};
use tributary_eventlog::{EventLog, MemoryLog};
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::clock::{Clock, ManualClock, SystemClock};
use tributary_model::outcome::Outcome;
use tributary_model::{
    Activation, DestinationId, EventKind, MessageId, Position, ProfileId, SourceId, WorkspaceId,
};

pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId(1);
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// Everything that survives a crash, and the engine that may be running on it.
pub(crate) struct Bench {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) limits: Limits,
    pub(crate) allow_private: bool,
    running: Option<(Runtime, Engine)>,
    directory: TempDir,
    /// Records, of which each has caused activations.
    appended: u64,
    /// The ordinal of the last activation among those of its record.
    ordinal: u32,
}

/// Marks what it seals, and opens nothing else.
struct Marked;

impl Vault for Marked {
    fn seal(&self, workspace: WorkspaceId, destination: DestinationId, secret: &str) -> String {
        format!("sealed for {workspace}/{destination}: {secret}")
    }

    fn open(&self, workspace: WorkspaceId, destination: DestinationId, sealed: &str) -> Option<String> {
        sealed.strip_prefix(&format!("sealed for {workspace}/{destination}: ")).map(str::to_owned)
    }
}

/// Limits for tests: short waits for commits, and a clock looked at often. An answer may come as late as tests wait for it.
pub(crate) fn limits() -> Limits {
    Limits {
        commit_delay: Duration::from_millis(1),
        clock_check: Duration::from_millis(1),
        connect_timeout: PATIENCE,
        request_timeout: PATIENCE,
        ..Limits::default()
    }
}

impl Bench {
    /// An engine that runs, with limits for tests.
    pub(crate) fn new() -> Self {
        Self::with(limits(), true)
    }

    pub(crate) fn with(limits: Limits, allow_private: bool) -> Self {
        let mut bench = Self {
            log: Arc::new(MemoryLog::new()),
            clock: Arc::new(ManualClock::at(SystemClock.now())),
            limits,
            allow_private,
            directory: tempfile::tempdir().expect("a temporary directory"),
            running: None,
            appended: 0,
            ordinal: 0,
        };
        bench.start();
        bench
    }

    /// Starts an engine on what is there.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "one engine at a time");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let db = fjall::Database::builder(self.directory.path()).worker_threads(2).open();
        let engine = Engine::start(EngineOptions {
            runtime: runtime.handle().clone(),
            activations: Arc::clone(&self.log) as Arc<dyn EventLog>,
            db: db.expect("a database"),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            allow_private_destinations: self.allow_private,
            vault: Arc::new(Marked),
            retry: RetryPolicy::default(),
            limits: self.limits,
        });
        self.running = Some((runtime, engine.expect("it starts")));
    }

    /// Breaks everything off, wherever it is.
    pub(crate) fn crash(&mut self) {
        drop(self.running.take());
    }

    /// Stops in good order.
    pub(crate) fn stop(&mut self) {
        if let Some((runtime, engine)) = self.running.take() {
            runtime.block_on(engine.stop(PATIENCE));
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.running.as_ref().expect("an engine runs").1
    }

    /// Waits for the answer to a question.
    pub(crate) fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.running.as_ref().expect("an engine runs").0.block_on(question)
    }

    /// Appends an activation of the next position, and tells that position.
    pub(crate) fn append(&mut self, workspace: WorkspaceId, profile: Option<u8>, event: &str) -> Position {
        self.appended += 1;
        self.ordinal = 0;
        self.put(workspace, profile, ActivationKind::Event, event)
    }

    /// Appends a change of a profile as a further activation of the last record; of a record of its own where there
    /// is none.
    pub(crate) fn append_change(&mut self, profile: u8, kind: ActivationKind, event: &str) {
        if self.appended == 0 {
            self.appended = 1;
        } else {
            self.ordinal += 1;
        }
        self.put(WORKSPACE, Some(profile), kind, event);
    }

    fn put(
        &mut self,
        workspace: WorkspaceId,
        profile: Option<u8>,
        kind: ActivationKind,
        event: &str,
    ) -> Position {
        let position = Position::at(self.appended);
        let message_id = match self.ordinal {
            0 => format!("m-{}", self.appended),
            ordinal => format!("m-{}-{ordinal}", self.appended),
        };
        let activation = Activation {
            header: ActivationHeader {
                workspace,
                position,
                ordinal: self.ordinal,
                profile: profile.map(|number| ProfileId([number; 16])),
                identifiers: Vec::new(),
                event_kind: EventKind::Track,
                source: SourceId(1),
                message_id: MessageId::parse(&message_id).expect("an id"),
                received_at: self.clock.now(),
                event_time: self.clock.now(),
                kind,
                carried: tributary_model::activation::Carried::default(),
            },
            event: Bytes::from(event.to_owned()),
        };
        // A log in memory has appended once the call returns.
        drop(self.log.append(vec![activation.encode()]));
        position
    }

    /// Appends events that hold their numbers, each of a profile of its own.
    pub(crate) fn append_numbers(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.append(WORKSPACE, Some((number % 251) as u8), &number_event(number));
        }
    }

    pub(crate) fn last_position(&self) -> Position {
        Position::at(self.appended)
    }

    pub(crate) fn status(&self, id: u32) -> DestinationStatus {
        self.engine().status(WORKSPACE, DestinationId(id)).unwrap_or_default()
    }

    pub(crate) fn totals(&self, id: u32) -> Totals {
        self.status(id).totals
    }

    pub(crate) fn delivered(&self, id: u32) -> u64 {
        self.totals(id).ended(Outcome::Delivered)
    }

    pub(crate) fn dead_letters(&self, id: u32) -> Vec<DeadLetter> {
        let page = self.engine().dead_letters(WORKSPACE, DestinationId(id), 1000, None);
        page.expect("the store works").letters
    }

    /// Waits until a destination's status is as wanted.
    pub(crate) fn wait_status(&self, id: u32, what: &str, wanted: impl Fn(&DestinationStatus) -> bool) {
        wait(what, || wanted(&self.status(id)), || format!("{:?}", self.status(id)));
    }

    /// Waits until everything appended has been tried, everything tried is on record, and nothing is due.
    pub(crate) fn wait_quiet(&self, id: u32) {
        self.wait_status(id, "quiet", |status| {
            status.enabled
                && status.under_way == 0
                && status.cursor == self.log.bounds().end
                && status.next_due.is_none_or(|due| due > self.clock.now())
        });
    }

    pub(crate) fn wait_delivered(&self, id: u32, count: u64) {
        self.wait_status(id, "deliveries", |status| status.totals.ended(Outcome::Delivered) >= count);
    }
}

/// Waits for a condition, and says what it waited for if it does not come.
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool, state: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}: {}", state());
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Lets time pass, a second at each look, until the receiver is taken for out.
pub(crate) fn wait_outage(bench: &Bench) {
    wait(
        "a pause",
        || {
            bench.clock.advance_micros(SECOND);
            bench.status(1).paused.is_some()
        },
        || format!("{:?}", bench.status(1)),
    );
    wait_paused(bench, PauseReason::Outage);
}

/// Waits until it is paused for that reason, and nothing is under way.
pub(crate) fn wait_paused(bench: &Bench, reason: PauseReason) {
    bench.wait_status(1, "a pause", |status| {
        status.under_way == 0 && status.paused.as_ref().is_some_and(|paused| paused.reason == reason)
    });
}

/// A webhook of the test's workspace that begins with the first event.
pub(crate) fn webhook(id: u32, url: &str) -> DestinationConfig {
    DestinationConfig {
        name: format!("webhook {id}"),
        settings: [("url".to_owned(), url.into())].into(),
        ..DestinationConfig::new(WORKSPACE, DestinationId(id), "webhook", Position::at(0))
    }
}

/// The same, with what is sent chosen.
pub(crate) fn webhook_for(url: &str, send: &[&str]) -> DestinationConfig {
    let mut config = webhook(1, url);
    config.settings.insert("send".to_owned(), send.into());
    config
}

pub(crate) fn number_event(number: u32) -> String {
    format!(r#"{{"type":"track","n":{number}}}"#)
}
