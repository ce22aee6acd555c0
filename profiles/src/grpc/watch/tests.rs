//! Watches over a log in memory: resumed, slow, expired, stopped.

use super::super::follow::tests::activation;
use super::*;
use crate::api::Access;
use crate::grpc::feed::Feed;
use crate::state::State;
use crate::store::MemoryStore;
use futures_util::StreamExt;
use std::sync::OnceLock;
use tokio::sync::Semaphore;
use tokio::sync::watch as signal;
use tonic::Code;
use tributary_eventlog::index::{IndexOptions, Indexes};
use tributary_eventlog::{EventLog, MemoryLog};
use tributary_model::clock::ManualClock;
use tributary_model::{ActivationKind, ErrorCode, HashKey, Position, ProfileId};
use tributary_proto::grpc::v1::Identifier;

const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// Lets everybody in who has a token, until it is withdrawn.
struct Door(Receiver<bool>);

impl Access for Door {
    fn profiles(&self, token: Option<&str>, _: &str) -> Result<WorkspaceId, ErrorCode> {
        token.filter(|_| *self.0.borrow()).map(|_| WORKSPACE).ok_or(ErrorCode::Unauthenticated)
    }

    fn change(&self, _: Option<&str>, _: &str) -> Result<(WorkspaceId, u64, String), ErrorCode> {
        Err(ErrorCode::Forbidden)
    }
}

struct Setting {
    api: Arc<Api>,
    log: Arc<MemoryLog>,
    stop: signal::Sender<bool>,
    admitted: signal::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Setting {
    /// With room for so many watches.
    fn new(watches: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let db = fjall::Database::builder(directory.path().join("index")).worker_threads(1).open();
        let indexes = Indexes::open(db.expect("fjall opens"), IndexOptions::default()).expect("they open");
        let log = Arc::new(MemoryLog::new());
        let state = Arc::new(State::new(Arc::new(MemoryStore::default()), 1 << 20, 1 << 20));
        let (events, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::default()));
        let hash_key = HashKey::derive(b"a test's root key");
        let reader = Arc::new(OnceLock::new());
        assert!(reader.set(ProfileReader::new(state, Arc::new(indexes), events, hash_key, clock)).is_ok());
        let (stop, stopping) = signal::channel(false);
        let (admitted, door) = signal::channel(true);
        let memory: Arc<MemoryLog> = Arc::clone(&log);
        let api = Api {
            access: Arc::new(Door(door)),
            reader,
            desk: Arc::default(),
            feed: Arc::new(Feed::new(memory, stopping.clone())),
            watches: Arc::new(Semaphore::new(watches)),
            stopping,
        };
        Self { api: Arc::new(api), log, stop, admitted, _directory: directory }
    }

    /// Appends events of a profile.
    fn append(&self, positions: std::ops::Range<u64>) {
        let events = positions.map(|position| activation(position, 0, ActivationKind::Event, 1).encode());
        // A log in memory has appended once the call returns.
        drop(self.log.append(events.collect()));
    }

    async fn open(&self, resume_token: String) -> Result<Changes, Refusal> {
        let name = Identifier { namespace: "user_id".to_owned(), value: "u1".to_owned() };
        let subject = Some(watch_request::Subject::Identifier(name));
        let request = WatchRequest { workspace: "default".to_owned(), subject, resume_token };
        open(&self.api, Some("a token".to_owned()), request).await
    }
}

/// A token of a watch of profile 1, as of this sequence.
fn token_at(sequence: u64) -> Token {
    let subject = TokenSubject::Profile(ProfileId([1; 16]));
    Token { workspace: WORKSPACE, subject, sequence, position: Position::at(0), ordinal: 0 }
}

/// The next change that is more than progress.
async fn next(changes: &mut Changes) -> Result<Change, Status> {
    loop {
        let change = changes.next().await.expect("it goes on")?;
        if change.kind() != ChangeKind::Progress {
            return Ok(change);
        }
    }
}

#[test]
fn a_token_is_taken_for_its_own_subject_only() {
    let of_profile = token_at(1);
    let of_audience = Token { subject: TokenSubject::Audience(key_hash("vip")), ..of_profile };
    let identifier = || watch_request::Subject::Identifier(Identifier::default());
    let audience = |key: &str| watch_request::Subject::Audience(key.to_owned());
    let cases = [
        (identifier(), of_profile, Some(Subject::Profile(ProfileId([1; 16])))),
        (audience("vip"), of_profile, None),
        (identifier(), of_audience, None),
        (audience("vip"), of_audience, Some(Subject::Audience("vip".to_owned()))),
        (audience("other"), of_audience, None),
    ];
    for (asked, token, want) in cases {
        assert_eq!(resumed(asked, &token).ok(), want, "{token:?}");
        assert_eq!(resume_token(&token.to_text(), WORKSPACE).ok(), Some(token));
        assert!(resume_token(&token.to_text(), WorkspaceId(2)).is_err(), "that is another workspace's");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_told_everything_once() {
    let setting = Setting::new(10);
    setting.append(1..300);
    let mut changes = setting.open(token_at(0).to_text()).await.expect("opened");
    let first = changes.next().await.expect("it goes on").expect("it is told at once");
    assert_eq!((first.kind(), first.resume_token), (ChangeKind::Progress, token_at(0).to_text()));
    let mut told = Vec::new();
    for position in 1u64..600 {
        // Some while the watch reads from the log, and some while it listens.
        if position % 100 == 50 {
            let from = 300 + (position / 100) * 50;
            setting.append(from..from + 50);
        }
        let change = next(&mut changes).await.expect("it goes on");
        assert_eq!((change.kind(), change.position), (ChangeKind::Event, format!("0.{position}")));
        told.push(change.resume_token);
    }
    // From any token on, the rest follows.
    for position in [1u64, 299, 300, 450, 598] {
        let token = &told[position as usize - 1];
        let mut again = setting.open(token.clone()).await.expect("opened");
        let change = next(&mut again).await.expect("it goes on");
        assert_eq!(change.position, format!("0.{}", position + 1));
    }
}

#[tokio::test]
async fn what_expired_is_said_to_have_expired() {
    let setting = Setting::new(10);
    setting.append(1..10);
    setting.log.expire_before(5);
    let refused = async |sequence: u64| setting.open(token_at(sequence).to_text()).await.err();
    assert!(matches!(refused(4).await, Some(Refusal::Expired)));
    assert!(matches!(refused(10).await, Some(Refusal::Refused(ErrorCode::InvalidRequest, _))));
    assert!(refused(9).await.is_none() && refused(5).await.is_none());
    let garbage = setting.open("garbage".to_owned()).await.err();
    assert!(matches!(garbage, Some(Refusal::Refused(ErrorCode::InvalidRequest, _))));
    // Nobody has that identifier.
    let unknown = setting.open(String::new()).await.err();
    assert!(matches!(unknown, Some(Refusal::Refused(ErrorCode::NotFound, _))));
}

#[tokio::test]
async fn a_watch_ends_with_its_token_and_with_the_server_and_makes_room() {
    let setting = Setting::new(2);
    let mut one = setting.open(token_at(0).to_text()).await.expect("opened");
    let mut other = setting.open(token_at(0).to_text()).await.expect("opened");
    assert!(matches!(setting.open(token_at(0).to_text()).await.err(), Some(Refusal::Watches)));
    for changes in [&mut one, &mut other] {
        changes.next().await.expect("it goes on").expect("it is told at once");
    }
    setting.admitted.send_replace(false);
    setting.append(1..2);
    for changes in [&mut one, &mut other] {
        let status = next(changes).await.expect_err("it may not read any more");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(changes.next().await.is_none());
    }
    setting.admitted.send_replace(true);
    let mut again = setting.open(token_at(1).to_text()).await.expect("the others have made room");
    again.next().await.expect("it goes on").expect("it is told at once");
    setting.stop.send_replace(true);
    let status = next(&mut again).await.expect_err("the server stops");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
