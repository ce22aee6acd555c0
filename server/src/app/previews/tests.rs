use super::*;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

const ONE: WorkspaceId = WorkspaceId(1);

fn report(events: u64) -> preview::PreviewReport {
    let none = preview::BeforeAfter::default();
    preview::PreviewReport {
        events,
        window: preview::PreviewWindow::default(),
        profiles: none,
        identifiers: none,
        merges: 0,
        splits: 0,
        unidentified: none,
        biggest_clusters: Vec::new(),
        busiest_identifiers: Vec::new(),
        samples: Vec::new(),
    }
}

fn order(workspace: WorkspaceId) -> PreviewOrder {
    PreviewOrder { workspace, rules: IdentityRules::default(), from: None, until: None }
}

/// What a test has a preview do.
enum Deed {
    Report(u64),
    Panic,
    /// Goes on until it is told to end.
    Linger,
}

/// Previews that do what is sent to them, each one thing, and tell when they have begun.
fn previews() -> (Previews, SyncSender<Deed>, Receiver<()>) {
    let (deeds, todo) = sync_channel(16);
    let (began, begun) = sync_channel(16);
    let todo = Mutex::new(todo);
    let run = move |_: IdentityRules, _: &PreviewOrder, progress: &PreviewProgress| {
        began.send(()).expect("somebody looks");
        let deed = todo.lock().expect("not poisoned").recv().expect("something to do");
        match deed {
            Deed::Report(events) => Ok(report(events)),
            Deed::Panic => panic!("a test says so"),
            Deed::Linger => {
                while !progress.is_cancelled() {
                    thread::yield_now();
                }
                Err(PreviewError::Cancelled)
            }
        }
    };
    let directory = std::env::temp_dir().join("no preview of a test is here");
    let previews = Previews { directory, run: Arc::new(run), jobs: Jobs::default() };
    (previews, deeds, begun)
}

fn begin(previews: &Previews, workspace: WorkspaceId) -> Result<String, String> {
    previews.begin(IdentityRules::default(), order(workspace)).map_err(|error| error.to_string())
}

/// The state once it no longer runs, in a word.
async fn ended(previews: &Previews, id: &str) -> String {
    previews.ended(ONE, id).await;
    match previews.state(ONE, id) {
        None => "unknown".to_owned(),
        Some(PreviewState::Running { .. }) => "running".to_owned(),
        Some(PreviewState::Done(report)) => format!("done {}", report.events),
        Some(PreviewState::Failed(code, _)) => code.name().to_owned(),
    }
}

#[tokio::test]
async fn one_runs_at_a_time_and_is_told_apart_by_workspace() {
    let (previews, deeds, begun) = previews();
    assert_eq!(begin(&previews, ONE), Err("previews not ready yet".to_owned()));
    previews.open();
    assert_eq!(begin(&previews, ONE).as_deref(), Ok("prv_1"));
    begun.recv().expect("it begins");
    let refused = begin(&previews, ONE).expect_err("one runs");
    assert!(refused.starts_with("preview prv_1 is running"), "{refused}");
    let refused = begin(&previews, WorkspaceId(2)).expect_err("one runs");
    assert!(refused.starts_with("a preview of another workspace is running"), "{refused}");
    assert!(matches!(previews.state(ONE, "prv_1"), Some(PreviewState::Running { read: 0, of: 0 })));
    assert!(previews.state(WorkspaceId(2), "prv_1").is_none());
    assert!(!previews.cancel(WorkspaceId(2), "prv_1"));
    previews.forget(ONE, "prv_1");
    assert!(previews.state(ONE, "prv_1").is_some(), "one that runs is not forgotten");

    deeds.send(Deed::Linger).expect("it waits");
    assert!(previews.cancel(ONE, "prv_1"));
    assert_eq!(ended(&previews, "prv_1").await, "unavailable");
    assert_eq!(begin(&previews, ONE).as_deref(), Ok("prv_2"));
    deeds.send(Deed::Report(7)).expect("it waits");
    assert_eq!(ended(&previews, "prv_2").await, "done 7");
    previews.forget(ONE, "prv_2");
    assert_eq!(ended(&previews, "prv_2").await, "unknown");
}

#[tokio::test]
async fn one_that_panics_ends_nothing_else() {
    let (previews, deeds, _begun) = previews();
    previews.open();
    begin(&previews, ONE).expect("begun");
    deeds.send(Deed::Panic).expect("it waits");
    assert_eq!(ended(&previews, "prv_1").await, "internal");
    begin(&previews, ONE).expect("begun");
    deeds.send(Deed::Report(1)).expect("it waits");
    assert_eq!(ended(&previews, "prv_2").await, "done 1");
}

#[tokio::test]
async fn the_last_ten_are_kept() {
    let (previews, deeds, begun) = previews();
    previews.open();
    for number in 1..=12 {
        begin(&previews, ONE).expect("begun");
        begun.recv().expect("it begins");
        deeds.send(Deed::Report(number)).expect("it waits");
        assert_eq!(ended(&previews, &format!("prv_{number}")).await, format!("done {number}"));
    }
    for (number, want) in [(2, "unknown"), (3, "done 3"), (12, "done 12")] {
        assert_eq!(ended(&previews, &format!("prv_{number}")).await, want);
    }
}

#[tokio::test]
async fn a_stop_ends_the_one_that_runs_and_takes_no_other() {
    let (previews, deeds, begun) = previews();
    previews.open();
    begin(&previews, ONE).expect("begun");
    begun.recv().expect("it begins");
    deeds.send(Deed::Linger).expect("it waits");
    previews.stop();
    previews.join();
    assert_eq!(ended(&previews, "prv_1").await, "unavailable");
    assert_eq!(begin(&previews, ONE), Err("the server is stopping".to_owned()));
    previews.open();
    assert!(begin(&previews, ONE).is_err(), "what opens late does not undo the stop");
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let data = tempfile::tempdir().expect("a directory");
    let directory = data.path().join("preview");
    std::fs::create_dir_all(directory.join("sled")).expect("made");
    let (mut previews, _deeds, _begun) = previews();
    previews.directory.clone_from(&directory);
    previews.open();
    assert!(!directory.exists());
}
