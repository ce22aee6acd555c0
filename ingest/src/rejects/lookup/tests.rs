use super::*;
use crate::reason::{Problem, RejectReason};
use crate::testing::TestLog;
use tempfile::TempDir;
use tributary_model::{SourceId, Timestamp};

const FIRST: WorkspaceId = WorkspaceId(1);
const SECOND: WorkspaceId = WorkspaceId(2);

fn database(dir: &TempDir) -> Database {
    Database::builder(dir.path()).worker_threads(2).open().expect("a database")
}

fn append(log: &TestLog, workspace: WorkspaceId, message_id: Option<&str>) {
    let problem = Problem::new(RejectReason::TypeMissing, "/type", "no type");
    let at = Timestamp::from_millis(1);
    let reject = Reject::new(workspace, SourceId(1), at, message_id, problem, "{}");
    // The entry is in the log once this returns.
    drop(log.append(vec![reject.encode()]));
}

fn filled() -> Arc<TestLog> {
    let log = TestLog::new();
    for (workspace, message_id) in
        [(FIRST, Some("a")), (SECOND, Some("a")), (FIRST, None), (FIRST, Some("b")), (FIRST, Some("a"))]
    {
        append(&log, workspace, message_id);
    }
    log
}

fn sequences(
    lookup: &RejectLookup,
    workspace: WorkspaceId,
    message_id: Option<&str>,
    limit: usize,
    before: Option<u64>,
) -> Vec<u64> {
    let found = lookup.find(workspace, message_id, limit, before).expect("found");
    assert!(found.iter().all(|found| found.reject.workspace == workspace));
    found.iter().map(|found| found.sequence).collect()
}

#[test]
fn finds_newest_first_within_a_workspace() {
    let dir = TempDir::new().expect("a directory");
    let log = filled();
    let lookup = RejectLookup::open(log.clone(), database(&dir)).expect("opens");
    let cases = [
        (FIRST, Some("a"), 10, None, vec![4, 0]),
        (FIRST, Some("a"), 1, None, vec![4]),
        (FIRST, Some("a"), 10, Some(4), vec![0]),
        (FIRST, Some("a"), 10, Some(0), vec![]),
        (FIRST, Some("c"), 10, None, vec![]),
        (FIRST, None, 10, None, vec![4, 3, 2, 0]),
        (FIRST, None, 2, Some(4), vec![3, 2]),
        (SECOND, Some("a"), 10, None, vec![1]),
        (SECOND, None, 10, None, vec![1]),
        (WorkspaceId(3), None, 10, None, vec![]),
    ];
    for (workspace, message_id, limit, before, want) in cases {
        let got = sequences(&lookup, workspace, message_id, limit, before);
        assert_eq!(got, want, "{workspace} {message_id:?} {limit} {before:?}");
    }
    // What is written a moment ago is seen.
    append(&log, FIRST, Some("c"));
    assert_eq!(sequences(&lookup, FIRST, Some("c"), 10, None), [5]);
}

#[test]
fn goes_on_where_it_stopped_and_starts_anew_with_another_log() {
    let dir = TempDir::new().expect("a directory");
    let log = filled();
    {
        let lookup = RejectLookup::open(log.clone(), database(&dir)).expect("opens");
        assert_eq!(lookup.catch_up().expect("indexed"), 5);
    }
    append(&log, FIRST, Some("a"));
    {
        let lookup = RejectLookup::open(log, database(&dir)).expect("opens");
        assert_eq!(lookup.follower.lock().expect("no panic").next, 5);
        assert_eq!(sequences(&lookup, FIRST, Some("a"), 10, None), [5, 4, 0]);
    }
    let other = TestLog::new();
    append(&other, FIRST, Some("z"));
    let lookup = RejectLookup::open(other, database(&dir)).expect("opens");
    assert_eq!(sequences(&lookup, FIRST, None, 10, None), [0]);
    assert_eq!(sequences(&lookup, FIRST, Some("a"), 10, None), [0u64; 0]);
}

#[test]
fn what_the_log_forgets_vanishes() {
    let dir = TempDir::new().expect("a directory");
    let log = filled();
    let lookup = RejectLookup::open(log.clone(), database(&dir)).expect("opens");
    lookup.catch_up().expect("indexed");
    log.forget_before(3);
    assert_eq!(sequences(&lookup, FIRST, Some("a"), 10, None), [4]);
    assert_eq!(sequences(&lookup, SECOND, None, 10, None), [0u64; 0]);
    assert_eq!(lookup.keys.len().expect("counted"), 9);
    lookup.expire().expect("expired");
    assert_eq!(lookup.keys.len().expect("counted"), 4);
    assert_eq!(sequences(&lookup, FIRST, None, 10, None), [4, 3]);
    // A follower that comes late begins with what is left.
    let dir = TempDir::new().expect("a directory");
    let late = RejectLookup::open(log, database(&dir)).expect("opens");
    assert_eq!(sequences(&late, FIRST, None, 10, None), [4, 3]);
}

#[test]
fn follows_until_told_to_stop() {
    let dir = TempDir::new().expect("a directory");
    let log = filled();
    let lookup = RejectLookup::open(log.clone(), database(&dir)).expect("opens");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| lookup.run(&stop));
        append(&log, FIRST, Some("late"));
        while lookup.watermark.get(NEXT).expect("read").is_none_or(|next| *next != 6u64.to_be_bytes()) {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}
