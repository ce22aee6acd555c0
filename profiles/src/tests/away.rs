//! Logs that are away for a while, lose answers, or have lost history.

use super::*;
use crate::projector::ProjectorError;
use std::sync::mpsc::sync_channel;
use std::thread;

fn some_records(count: u8) -> Vec<Bytes> {
    let sketches: Vec<Sketch> = (0..count)
        .map(|number| Sketch {
            kind: EventKind::Identify,
            user: Some(number % 3),
            device: Some(number),
            ..event(number)
        })
        .collect();
    records(&sketches)
}

/// Those that are behind all that came before them: what a reader takes.
fn in_order(activations: Vec<Activation>) -> Vec<Activation> {
    let mut last = None;
    let behind = |activation: &Activation| {
        let place = Some(activation.place());
        let is_behind = place > last;
        last = last.max(place);
        is_behind
    };
    activations.into_iter().filter(behind).collect()
}

#[test]
fn logs_that_cannot_be_read_now_are_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = some_records(20);
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records[..10].to_vec());
    run_projector(directory.path(), &events, &written);
    append(&*events, records[10..].to_vec());
    events.set_unreadable(true);
    written.set_unreadable(true);
    let projector = thread::scope(|scope| {
        let starting = scope.spawn(|| start_projector(directory.path(), &events, &written));
        written.set_unreadable(false);
        let projector = starting.join().expect("the start waits for the end of the activations");
        events.set_unreadable(false);
        projector
    });
    let mut progress = projector.progress();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(progress.wait_for(|progress| progress.visible == 20)).expect("it goes on");
    projector.stop().expect("a clean stop");
    assert_eq!(activations(&*written), reference(&records).activations);
}

#[test]
fn appends_without_an_answer_are_repeated_and_lose_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = some_records(20);
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    written.lose_answers(true);
    append(&*events, records[..19].to_vec());
    let projector = start_projector(directory.path(), &events, &written);
    let expected = reference(&records).activations;
    let patience = Duration::from_secs(60);
    assert!(written.wait_past(expected.len() as u64, patience), "it is appended again");
    written.lose_answers(false);
    append(&*events, records[19..].to_vec());
    // The last one is appended only once those before it had their answer.
    let mut end = written.bounds().end;
    while in_order(activations(&*written)).len() < expected.len() {
        assert!(written.wait_past(end, patience), "it goes on");
        end = written.bounds().end;
    }
    projector.stop().expect("a clean stop");
    let all = activations(&*written);
    assert!(all.len() > expected.len(), "some are there twice");
    assert_eq!(in_order(all), expected);
}

/// What a killed process had sent arrives behind what its successor wrote: the next one still goes on behind the
/// newest.
#[test]
fn late_entries_of_a_killed_process_do_not_set_the_projector_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = some_records(20);
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records[..10].to_vec());
    run_projector(directory.path(), &events, &written);
    let late: Vec<Bytes> = activations(&*written)[3..6].iter().map(Activation::encode).collect();
    append(&*written, late);
    // A state that is made again makes every activation again.
    let fresh = tempfile::tempdir().expect("a directory");
    append(&*events, records[10..].to_vec());
    run_projector(fresh.path(), &events, &written);
    let expected = reference(&records).activations;
    let all = activations(&*written);
    assert_eq!(all.len(), expected.len() + 3, "nothing but what came late is there twice");
    assert_eq!(in_order(all), expected);
}

#[test]
fn history_that_is_lost_stops_a_state_but_not_one_made_from_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = some_records(20);
    let written = Arc::new(MemoryLog::new());
    let (before, after) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*before, records[..10].to_vec());
    run_projector(directory.path(), &before, &written);
    append(&*after, records.clone());
    after.expire_before(12);

    let (ended, reason) = sync_channel(1);
    let parts = ProjectorParts {
        events: Arc::clone(&after) as Arc<dyn EventLog>,
        activations: Arc::clone(&written) as Arc<dyn EventLog>,
        indexes: open_indexes(directory.path()),
        hash_key: hash_key(),
        clock: clock(),
    };
    let options = ProjectorOptions::new(StatePaths::within(directory.path()));
    let projector = Projector::start(options, parts, move |error| {
        // The test waits for it.
        let _ = ended.send(error);
    });
    let projector = projector.expect("it opens");
    let error = reason.recv_timeout(Duration::from_secs(60)).expect("it ends");
    assert!(matches!(error, ProjectorError::LostHistory { next: 10, first: 12 }), "{error}");
    projector.stop().expect("it has ended");

    let fresh = tempfile::tempdir().expect("a directory");
    run_projector(fresh.path(), &after, &Arc::new(MemoryLog::new()));
}
