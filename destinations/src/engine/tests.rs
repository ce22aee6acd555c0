use super::*;
use crate::connect::testing::{Answer, Receiver};
use crate::definition::RawSettings;
use crate::stored::PauseReason;
use bytes::Bytes;
use std::sync::mpsc::{SyncSender, sync_channel};
use tributary_eventlog::MemoryLog;
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::clock::SystemClock;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, EventKind, MessageId, Position, ProfileId, SourceId, Timestamp};

const WORKSPACE: WorkspaceId = WorkspaceId(1);
const DESTINATION: DestinationId = DestinationId(1);

/// Leaves secrets as they are.
struct Open;

impl Vault for Open {
    fn seal(&self, _: WorkspaceId, _: DestinationId, secret: &str) -> String {
        secret.to_owned()
    }

    fn open(&self, _: WorkspaceId, _: DestinationId, sealed: &str) -> Option<String> {
        Some(sealed.to_owned())
    }
}

fn engine(directory: &tempfile::TempDir, log: &Arc<MemoryLog>) -> Engine {
    Engine::start(EngineOptions {
        runtime: Handle::current(),
        activations: Arc::clone(log) as Arc<dyn EventLog>,
        db: fjall::Database::builder(directory.path()).worker_threads(2).open().expect("a database"),
        clock: Arc::new(SystemClock),
        allow_private_destinations: true,
        vault: Arc::new(Open),
        retry: RetryPolicy {
            base: Duration::from_secs(3600),
            cap: Duration::from_secs(3600),
            ..Default::default()
        },
        limits: Limits { commit_delay: Duration::from_millis(1), ..Limits::default() },
    })
    .expect("it starts")
}

fn append(log: &MemoryLog, sequence: u64) {
    append_of(log, sequence, ProfileId([1; 16]));
}

fn append_of(log: &MemoryLog, sequence: u64, profile: ProfileId) {
    let activation = Activation {
        header: ActivationHeader {
            workspace: WORKSPACE,
            position: Position::at(sequence + 1),
            ordinal: 0,
            profile: Some(profile),
            identifiers: Vec::new(),
            event_kind: EventKind::Track,
            source: SourceId(1),
            message_id: MessageId::parse("m").expect("an id"),
            received_at: Timestamp::default(),
            event_time: Timestamp::default(),
            kind: ActivationKind::Event,
            carried: tributary_model::activation::Carried::default(),
        },
        event: Bytes::from_static(b"{}"),
    };
    // A log in memory has appended once the call returns.
    drop(log.append(vec![activation.encode()]));
}

/// A webhook to a port where nobody listens, and which is not given to whoever asks for a free one.
fn config(enabled: bool) -> DestinationConfig {
    DestinationConfig { enabled, ..webhook("http://127.0.0.1:9/".to_owned()) }
}

fn webhook(url: String) -> DestinationConfig {
    DestinationConfig {
        settings: RawSettings::from([("url".to_owned(), url.into())]),
        ..DestinationConfig::new(WORKSPACE, DESTINATION, "webhook", Position::at(0))
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_ends_what_waits_and_what_is_not_read_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryLog::new());
    let engine = engine(&directory, &log);
    let status = || engine.status(WORKSPACE, DESTINATION).unwrap_or_default();
    engine.apply(vec![config(true)]);
    (0..3).for_each(|sequence| append(&log, sequence));
    until("three to wait", || status().waiting == 3).await;
    engine.apply(vec![config(false)]);
    until("it to be off", || !status().enabled).await;
    (3..5).for_each(|sequence| append(&log, sequence));
    engine.apply(Vec::new());
    until("its end", || engine.status(WORKSPACE, DESTINATION).is_none()).await;
    let key = Key { workspace: WORKSPACE, destination: DESTINATION };
    let remembered = engine.shared.store.load(key).expect("the store works").expect("a last record");
    assert!(remembered.state.ended && remembered.waiting.is_empty() && remembered.letters.is_empty());
    let totals = remembered.state.totals;
    assert_eq!((totals.taken, totals.ended(Outcome::DestinationDeleted), totals.ended_in_all()), (5, 5, 5));
    assert!(engine.shared.store.destinations().expect("the store works").is_empty());
    engine.stop(Duration::from_secs(5)).await;
}

/// A receiver that refuses the credentials of two requests, of the second one when it is told to, and takes what comes then.
fn refusing_twice() -> (Receiver, SyncSender<()>) {
    let (refuse, told) = sync_channel(1);
    let mut requests = 0;
    let receiver = Receiver::start(move |_| {
        requests += 1;
        if requests == 2 {
            // A test that fails goes away without a word.
            let _ = told.recv();
        }
        Answer::status(if requests <= 2 { 401 } else { 200 })
    });
    (receiver, refuse)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_from_before_the_end_of_a_pause_begins_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryLog::new());
    let (receiver, refuse) = refusing_twice();
    let engine = engine(&directory, &log);
    let status = || engine.status(WORKSPACE, DESTINATION).unwrap_or_default();
    let reason = || status().paused.map(|paused| paused.reason);
    // Read together, they are sent together.
    append_of(&log, 0, ProfileId([1; 16]));
    append_of(&log, 1, ProfileId([2; 16]));
    engine.apply(vec![webhook(receiver.url("/"))]);
    until("a pause", || reason() == Some(PauseReason::Credentials)).await;
    until("both to be asked", || receiver.seen().len() == 2).await;
    assert!(engine.resume(WORKSPACE, DESTINATION));
    until("its end", || reason().is_none()).await;
    refuse.send(()).expect("the receiver waits");
    until("both to be taken", || status().totals.ended(Outcome::Delivered) == 2).await;
    assert_eq!((reason(), receiver.seen().len()), (None, 4));
    engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_its_task_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory, &Arc::new(MemoryLog::new()));
    let supervisor = engine.supervisor.lock().expect("nobody else holds it").take().expect("it runs");
    supervisor.abort();
    let reason = tokio::time::timeout(Duration::from_secs(60), engine.failed()).await;
    assert!(reason.expect("it is told").contains("lost"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_no_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryLog::new());
    let engine = engine(&directory, &log);
    engine.apply(vec![config(true)]);
    append(&log, 0);
    until("its start", || engine.status(WORKSPACE, DESTINATION).is_some_and(|status| status.waiting == 1))
        .await;
    assert_eq!(engine.low_water(), 0, "what waits is still needed");
    engine.stop(Duration::from_secs(5)).await;
    let mut failed = std::pin::pin!(engine.failed());
    assert!(FutureExt::now_or_never(&mut failed).is_none());
}
