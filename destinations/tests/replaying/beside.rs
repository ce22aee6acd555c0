//! A dry run beside a replay that takes long.

use super::{ID, begin, go_on, job, replay};
use crate::harness::{Bench, SECOND, WORKSPACE, wait, webhook};
use crate::receiver::{Receiver, Reply};
use tributary_destinations::replay::{ReplayError, ReplayJob, ReplayOrder, ReplayState};
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::outcome::Outcome;

/// One a second: while the clock stands still, only the first goes.
fn slow() -> ReplayOrder {
    ReplayOrder { rate_per_second: Some(1), ..ReplayOrder::default() }
}

fn dry_run() -> ReplayOrder {
    ReplayOrder { dry_run: true, ..ReplayOrder::default() }
}

/// A destination that took 60 deliveries, and the replay that sent the first of them again.
fn held(receiver: &Receiver) -> (Bench, u64) {
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..60);
    bench.wait_delivered(1, 60);
    let id = begin(&bench, slow()).expect("it begins").id;
    receiver.wait_for(61);
    (bench, id)
}

fn done(bench: &Bench, id: u64) -> ReplayJob {
    wait("the dry run", || !job(bench, id).is_running(), || format!("{:?}", job(bench, id)));
    job(bench, id)
}

fn cancel(bench: &Bench, id: u64) -> bool {
    bench.ask(bench.engine().cancel_replay(WORKSPACE, ID, id)).expect("the store works")
}

#[test]
fn it_ends_while_the_replay_is_held_at_its_rate() {
    let receiver = Receiver::taking();
    let (bench, id) = held(&receiver);
    let condition = parse_condition("field(\"n\") >= 40", Scope::Event).expect("a condition");
    let some = replay(&bench, ReplayOrder { condition: Some(condition), ..dry_run() });
    assert_eq!((some.state.clone(), some.matched, some.read, some.queued), (ReplayState::Done, 20, 60, 0));
    let all = replay(&bench, dry_run());
    assert_eq!((all.state.clone(), all.matched, all.queued), (ReplayState::Done, 60, 0), "{all:?}");
    assert!(matches!(begin(&bench, slow()), Err(ReplayError::Busy)), "the replay runs still");
    let held = job(&bench, id);
    // It queues a second ahead.
    assert!(held.is_running() && held.queued <= 2, "{held:?}");
    wait(
        "the replay to go on",
        || {
            bench.clock.advance_micros(SECOND);
            !job(&bench, id).is_running()
        },
        || format!("{:?}", job(&bench, id)),
    );
    let sent = job(&bench, id);
    assert_eq!((sent.state.clone(), sent.matched, sent.queued), (ReplayState::Done, 60, 60), "{sent:?}");
    assert_eq!(receiver.seen().len(), 120, "each was sent once more, by the replay alone");
}

#[test]
fn each_is_cancelled_by_itself_and_both_go_on_after_a_restart() {
    let receiver = Receiver::taking();
    let (mut bench, id) = held(&receiver);
    // A dry run that can't read on.
    bench.log.set_unreadable(true);
    let first = begin(&bench, dry_run()).expect("it begins beside the replay").id;
    assert!(matches!(begin(&bench, dry_run()), Err(ReplayError::Busy)), "one counts at a time");
    assert!(cancel(&bench, first));
    assert_eq!(job(&bench, first).state, ReplayState::Cancelled);
    assert!(job(&bench, id).is_running(), "the other one goes on");
    let second = begin(&bench, dry_run()).expect("none counts").id;
    bench.crash();
    bench.log.set_unreadable(false);
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    assert_eq!(done(&bench, second).matched, 60);
    assert!(job(&bench, id).is_running());
    go_on(&bench, &receiver);
    assert!(cancel(&bench, id));
    bench.wait_status(1, "an empty queue", |status| status.waiting == 0 && status.under_way == 0);
    assert_eq!(job(&bench, second).state, ReplayState::Done);
    assert_eq!(job(&bench, first).state, ReplayState::Cancelled);
}

#[test]
fn what_comes_back_after_it_was_cancelled_is_not_tried_again() {
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let mut asked = 0;
    let receiver = Receiver::start(move |_| {
        asked += 1;
        if asked == 1 {
            return Reply::status(200);
        }
        let _ = held.recv();
        Reply::status(500)
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..1);
    bench.wait_delivered(1, 1);
    let id = begin(&bench, ReplayOrder::default()).expect("it begins").id;
    bench.wait_status(1, "a request", |status| status.under_way == 1);
    assert!(cancel(&bench, id));
    release.send(()).expect("the receiver waits");
    bench.wait_status(1, "its end", |status| {
        status.replayed.ended(Outcome::Skipped) == 1 && status.waiting == 0 && status.under_way == 0
    });
}
