//! Replays: what was before is sent again, under the same ids.

mod beside;
mod sharing;

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, webhook};
use crate::receiver::{Receiver, Reply, Seen};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::runtime::Runtime;
use tributary_destinations::DestinationConfig;
use tributary_destinations::failure::Reason;
use tributary_destinations::replay::{ReplayError, ReplayJob, ReplayOnly, ReplayOrder, ReplayState};
use tributary_model::clock::Clock;
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, Position};

const ID: DestinationId = DestinationId(1);

fn begin(bench: &Bench, order: ReplayOrder) -> Result<ReplayJob, ReplayError> {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(bench.engine().start_replay(WORKSPACE, ID, order))
}

fn job(bench: &Bench, id: u64) -> ReplayJob {
    let jobs = bench.engine().replays(WORKSPACE, ID).expect("the store works");
    jobs.into_iter().find(|job| job.id == id).expect("it is remembered")
}

/// Begins a replay and waits until it is done.
fn replay(bench: &Bench, order: ReplayOrder) -> ReplayJob {
    let id = begin(bench, order).expect("it begins").id;
    wait("the replay", || !job(bench, id).is_running(), || format!("{:?}", job(bench, id)));
    job(bench, id)
}

/// Lets a replay of one a second, of which the 61st request came, go on to the 64th, and leaves some of it waiting.
fn go_on(bench: &Bench, receiver: &Receiver) {
    // The clock waits for each request: all of the replay would be due if it ran ahead.
    for count in 62..=64 {
        bench.clock.advance_micros(SECOND);
        receiver.wait_for(count);
    }
    // As the clock stands, only the end of the replay takes away what waits.
    bench.wait_status(1, "the next one to wait", |status| {
        status.under_way == 0 && status.next_due.is_some_and(|due| due > bench.clock.now())
    });
}

/// How often each event came, with the ids under which it did.
fn arrivals(seen: &[Seen]) -> BTreeMap<String, Vec<String>> {
    let mut arrivals: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in seen.iter().filter(|request| request.answered == 200) {
        arrivals.entry(request.text().to_owned()).or_default().push(request.id().to_owned());
    }
    arrivals
}

#[test]
fn everything_is_sent_again_under_the_same_ids_and_counted_apart() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..40);
    bench.wait_delivered(1, 40);
    let done = replay(&bench, ReplayOrder::default());
    assert_eq!((done.state.clone(), done.matched, done.queued), (ReplayState::Done, 40, 40), "{done:?}");
    assert_eq!(done.ended, [(Outcome::Delivered, 40)].into());
    for (event, ids) in arrivals(&receiver.seen()) {
        assert!(ids.len() == 2 && ids[0] == ids[1], "{event}: {ids:?}");
    }
    // A replay is done in the store a moment before the status tells it.
    bench.wait_status(1, "what was replayed", |status| status.replayed.ended(Outcome::Delivered) == 40);
    let status = bench.status(1);
    assert_eq!((status.totals.taken, status.totals.ended(Outcome::Delivered)), (40, 40));
    assert_eq!(status.replayed.taken, 40);
}

#[test]
fn a_dry_run_counts_and_sends_nothing() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..10);
    bench.wait_delivered(1, 10);
    let condition = parse_condition("field(\"n\") >= 4", Scope::Event).expect("a condition");
    let order = ReplayOrder { condition: Some(condition), dry_run: true, ..ReplayOrder::default() };
    let counted = replay(&bench, order.clone());
    assert_eq!((counted.matched, counted.queued), (6, 0), "{counted:?}");
    assert_eq!(receiver.seen().len(), 10);
    let done = replay(&bench, ReplayOrder { dry_run: false, ..order });
    assert_eq!((done.matched, done.queued), (6, 6));
    let again = arrivals(&receiver.seen());
    let twice: Vec<_> =
        again.iter().filter(|(_, ids)| ids.len() == 2).map(|(event, _)| event.clone()).collect();
    assert_eq!(twice, (4..10).map(number_event).collect::<Vec<_>>());
}

#[test]
fn dead_letters_are_sent_again_by_their_reason() {
    let refuse = Arc::new(AtomicU16::new(1));
    let refuses = Arc::clone(&refuse);
    let receiver = Receiver::start(move |seen| {
        let number = |number| seen.text() == number_event(number);
        let status = match () {
            () if refuses.load(Ordering::SeqCst) == 0 => 200,
            () if number(2) || number(5) => 400,
            () if number(7) => 413,
            () => 200,
        };
        Reply::status(status)
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..10);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 10);
    refuse.store(0, Ordering::SeqCst);
    let only = ReplayOnly::DeadLetters { reason: Some(Reason::TooLarge) };
    let done = replay(&bench, ReplayOrder { only, ..ReplayOrder::default() });
    assert_eq!((done.matched, done.ended.clone()), (1, [(Outcome::Delivered, 1)].into()), "{done:?}");
    let done = replay(&bench, ReplayOrder { only: ReplayOnly::NotDelivered, ..ReplayOrder::default() });
    assert_eq!((done.matched, done.queued), (2, 2), "the third has been delivered since: {done:?}");
    let came: Vec<usize> = arrivals(&receiver.seen()).values().map(Vec::len).collect();
    assert_eq!(came, [1; 10]);
    let again = replay(&bench, ReplayOrder { only: ReplayOnly::NotDelivered, ..ReplayOrder::default() });
    assert_eq!(again.matched, 0, "{again:?}");
}

#[test]
fn a_new_destination_is_filled_from_the_log() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.append_numbers(0..20);
    let mut late = webhook(1, &receiver.url);
    late.starts_after = Position::at(20);
    bench.engine().apply(vec![late]);
    bench.append_numbers(20..22);
    bench.wait_delivered(1, 2);
    bench.wait_quiet(1);
    let done = replay(&bench, ReplayOrder { only: ReplayOnly::NotDelivered, ..ReplayOrder::default() });
    assert_eq!((done.matched, done.queued), (20, 20), "{done:?}");
    let came = arrivals(&receiver.seen());
    assert_eq!(came.len(), 22);
    assert!(came.values().all(|ids| ids.len() == 1));
}

#[test]
fn one_that_is_being_created_is_filled_as_soon_as_it_begins() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.append_numbers(0..5);
    let late = DestinationConfig { starts_after: Position::at(5), ..webhook(1, &receiver.url) };
    // It is ordered before the engine has heard of the destination.
    let begun = bench.engine().start_replay(WORKSPACE, ID, ReplayOrder::default());
    bench.engine().apply(vec![late]);
    let id = bench.ask(begun).expect("it waits until that has begun").id;
    wait("the replay", || !job(&bench, id).is_running(), || format!("{:?}", job(&bench, id)));
    assert_eq!(job(&bench, id).ended, [(Outcome::Delivered, 5)].into());
    let nowhere = bench.engine().start_replay(WORKSPACE, DestinationId(9), ReplayOrder::default());
    assert!(matches!(bench.ask(nowhere), Err(ReplayError::NoSuch)));
}

#[test]
fn one_runs_at_a_time_and_can_be_cancelled_and_goes_on_after_a_restart() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..60);
    bench.wait_delivered(1, 60);
    // One a second, and the clock stands still: only the first goes.
    let slow = ReplayOrder { rate_per_second: Some(1), ..ReplayOrder::default() };
    let id = begin(&bench, slow.clone()).expect("it begins").id;
    receiver.wait_for(61);
    assert!(matches!(begin(&bench, slow.clone()), Err(ReplayError::Busy)));
    bench.crash();
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    go_on(&bench, &receiver);
    let runtime = Runtime::new().expect("a runtime");
    let cancel = |id| runtime.block_on(bench.engine().cancel_replay(WORKSPACE, ID, id));
    assert!(cancel(id).expect("the store works"));
    assert!(!cancel(id).expect("the store works"), "it does not run any more");
    bench.wait_status(1, "an empty queue", |status| status.waiting == 0 && status.under_way == 0);
    let cancelled = job(&bench, id);
    assert_eq!(cancelled.state, ReplayState::Cancelled);
    let came = receiver.seen().len();
    assert!(came < 70, "the rest was not sent: {came}");
    let replayed = bench.status(1).replayed;
    assert_eq!(replayed.taken, replayed.ended_in_all());
    // Another one may begin now.
    assert_eq!(replay(&bench, ReplayOrder { dry_run: true, ..ReplayOrder::default() }).matched, 60);
}
