//! Replays over a log in memory and a store on disk.

use super::scan::{ScanError, scan_by};
use super::*;
use crate::failure::{Failure, Reason};
use crate::plan::Planned;
use crate::records::{AttemptRecord, Ending};
use crate::store::tests::{
    KEY, OTHER, TODAY, attempt, commit_at, directory, letter, moment, open, wait, write,
};
use crate::stored::StoredState;
use bytes::Bytes;
use tempfile::TempDir;
use tributary_eventlog::{MemoryLog, ReadError};
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::condition::{Condition, Scope, parse_condition};
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, EventKind, MessageId, Position, ProfileId, SourceId, WorkspaceId};

struct Bench {
    log: MemoryLog,
    store: Store,
    _directory: TempDir,
}

impl Bench {
    /// A destination that began behind position 4 and has settled everything.
    fn new() -> Self {
        let directory = directory();
        let store = open(&directory);
        Self { log: MemoryLog::new(), store, _directory: directory }
    }

    /// The destination has come to this, and began behind position 4.
    fn stand(&self, cursor: u64, settled: &[(u64, u64)]) {
        let mut commit = commit_at(KEY, moment(TODAY, 0));
        let state = StoredState::new(cursor, Position::at(4));
        commit.state = StoredState { settled: settled.to_vec(), ..state };
        write(&self.store, commit);
    }

    fn scan(&self, job: &ReplayJob, most: usize, bytes_most: usize) -> Result<Scanned, ScanError> {
        scan_by(&self.log, &self.store, KEY, &planned, job, (most, bytes_most))
    }

    fn append(&self, activation: &Activation) {
        // A log in memory has appended once the call returns.
        drop(self.log.append(vec![activation.encode()]));
    }

    /// Appends activations of these positions, a minute apart, of workspace 1.
    fn fill(&self, positions: impl IntoIterator<Item = u64>) {
        positions.into_iter().for_each(|position| self.append(&activation(position)));
    }

    /// Says how deliveries ended, and up to where the destination has come.
    fn settle(&self, endings: &[(u64, Outcome)]) {
        let mut commit = commit_at(KEY, moment(TODAY, 0));
        commit.state = StoredState::new(self.log.bounds().end, Position::at(4));
        let ending =
            |(activation, outcome): &(u64, Outcome)| Ending { activation: *activation, outcome: *outcome };
        commit.endings = endings.iter().map(ending).collect();
        write(&self.store, commit);
    }

    fn begin(&self, order: ReplayOrder) -> ReplayJob {
        let new = prepare(&self.log, &self.store, KEY, order, moment(TODAY, 0)).expect("it can begin");
        wait(self.store.begin_replay(new)).expect("nothing runs")
    }

    /// Scans to the end, so many at a time; the positions that were found.
    fn run(&self, order: ReplayOrder, most: usize) -> (Vec<u64>, ReplayJob) {
        let mut job = self.begin(order);
        let mut found = Vec::new();
        while job.next < job.end {
            let scanned = self.scan(&job, most, usize::MAX).expect("the log can be read");
            assert!(scanned.next > job.next && scanned.found.len() <= most);
            found.extend(scanned.found.iter().map(|found| found.header.position.sequence));
            job.take(&scanned);
            // As it would be after a restart.
            job = ReplayJob::decode(&job.encode()).expect("own bytes");
        }
        wait(self.store.cancel_replay(KEY, job.id, moment(TODAY, 0))).expect("writable");
        (found, job)
    }
}

/// Everything that has no profile is left out, as if by a filter; what is of source 9 can't be sent.
fn planned(activation: &Activation) -> Planned {
    if activation.header.profile.is_none() {
        Planned::LeftOut { outcome: Outcome::FilteredByFilter, by: String::new() }
    } else if activation.header.source == SourceId(9) {
        Planned::Dead(Failure::new(Reason::UnreadableEvent, ""))
    } else {
        Planned::Payloads { payloads: Vec::new(), refused: Vec::new() }
    }
}

fn activation(position: u64) -> Activation {
    let event = format!(r#"{{"type":"track","event":"Bought","properties":{{"n":{position}}}}}"#);
    Activation {
        header: ActivationHeader {
            workspace: KEY.workspace,
            position: Position::at(position),
            ordinal: 0,
            profile: Some(ProfileId([1; 16])),
            identifiers: Vec::new(),
            event_kind: EventKind::Track,
            source: SourceId(1),
            message_id: MessageId::parse("m").expect("an id"),
            received_at: minute(position),
            event_time: Timestamp::default(),
            kind: ActivationKind::Event,
            carried: Carried::default(),
        },
        event: Bytes::from(event),
    }
}

fn minute(number: u64) -> Timestamp {
    moment(TODAY - 1, number as i64 * 60)
}

fn condition(text: &str) -> Condition {
    parse_condition(text, Scope::Event).expect("a condition")
}

fn only(only: ReplayOnly) -> ReplayOrder {
    ReplayOrder { only, ..ReplayOrder::default() }
}

#[test]
fn what_is_ordered_is_found_however_small_the_pieces_are() {
    let bench = Bench::new();
    bench.fill(1..=12);
    let (dead, dead_again) = ((7, Outcome::DeadLetter), (8, Outcome::DeadLetter));
    bench.settle(&[(5, Outcome::Skipped), dead, dead_again, (9, Outcome::FilteredByConsent)]);
    // 8 was sent again, and taken.
    bench.settle(&[(8, Outcome::Delivered)]);
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    commit.state = StoredState::new(12, Position::at(4));
    commit.letters = vec![
        (0, letter(7, Reason::Timeout)),
        (1, letter(8, Reason::Timeout)),
        (2, letter(10, Reason::NotFound)),
    ];
    write(&bench.store, commit);
    let range = ReplayOrder { from: Some(minute(3)), until: Some(minute(6)), ..ReplayOrder::default() };
    // Activation n has position n + 1.
    let cases = [
        ("everything", ReplayOrder::default(), (1..=12).collect::<Vec<_>>()),
        ("a range of time", range, vec![3, 4, 5]),
        (
            "what was not delivered (of one only its dead letter says so), or before its time",
            only(ReplayOnly::NotDelivered),
            vec![1, 2, 3, 4, 6, 8, 10, 11],
        ),
        ("dead letters", only(ReplayOnly::DeadLetters { reason: None }), vec![8, 11]),
        ("for a reason", only(ReplayOnly::DeadLetters { reason: Some(Reason::NotFound) }), vec![11]),
        ("for another", only(ReplayOnly::DeadLetters { reason: Some(Reason::Tls) }), vec![]),
        (
            "by a condition",
            ReplayOrder { condition: Some(condition("properties.n >= 11")), ..ReplayOrder::default() },
            vec![11, 12],
        ),
    ];
    for (name, order, want) in cases {
        for most in [1, 2, 5, 1_000] {
            let (found, job) = bench.run(order.clone(), most);
            assert_eq!(found, want, "{name}, {most} at a time");
            assert_eq!((job.matched, job.filtered.len()), (want.len() as u64, 0), "{name}");
        }
        let (found, job) = bench.run(ReplayOrder { dry_run: true, ..order }, 1);
        assert_eq!((found.len(), job.matched), (0, want.len() as u64), "{name}, dry");
    }
}

/// Activation n has position n + 5.
#[test]
fn what_was_given_up_is_found_when_its_dead_letter_is_gone() {
    let bench = Bench::new();
    bench.fill(5..=12);
    let dead = Outcome::DeadLetter;
    // 0 to 5 were given up, and of them 4 has been delivered since; 6 and 7 were taken.
    bench.settle(&(0..6).map(|activation| (activation, dead)).collect::<Vec<_>>());
    bench.settle(&[(4, Outcome::Delivered)]);
    let given_up = |activation: u64, reason, outcome| AttemptRecord {
        message_id: MessageId::parse("m").expect("an id"),
        failure: Some(Failure::new(reason, "no")),
        outcome,
        ..attempt(activation, moment(TODAY, activation as i64), 1)
    };
    let mut commit = commit_at(KEY, moment(TODAY, 100));
    commit.state = StoredState::new(8, Position::at(4));
    // Of 3 and 5 the dead letters are kept; of 0 nothing is.
    commit.letters = vec![(7, letter(3, Reason::NotFound)), (8, letter(5, Reason::BadRequest))];
    commit.attempts = vec![
        given_up(1, Reason::BadRequest, Some(dead)),
        given_up(2, Reason::NotFound, Some(dead)),
        given_up(5, Reason::NotFound, Some(dead)),
        given_up(6, Reason::BadRequest, None),
    ];
    write(&bench.store, commit);
    let other =
        AttemptRecord { message_id: MessageId::parse("m").expect("an id"), ..attempt(0, minute(1), 1) };
    let mut commit = commit_at(OTHER, moment(TODAY, 100));
    commit.attempts = vec![AttemptRecord { outcome: Some(dead), ..other }];
    write(&bench.store, commit);
    let cases = [
        ("for whatever reason", None, vec![5, 6, 7, 8, 10], 0),
        ("for one", Some(Reason::BadRequest), vec![6, 10], 1),
        ("for another", Some(Reason::NotFound), vec![7, 8], 1),
        ("for none of theirs", Some(Reason::Tls), vec![], 1),
    ];
    for (name, reason, want, not_evaluable) in cases {
        for most in [1, 3, 100] {
            let (found, job) = bench.run(only(ReplayOnly::DeadLetters { reason }), most);
            assert_eq!(found, want, "{name}, {most} at a time");
            assert_eq!(job.not_evaluable, not_evaluable, "{name}: why the first was given up is not known");
        }
    }
}

#[test]
fn others_and_repeated_ones_are_passed_over_and_the_filtered_ones_counted() {
    let bench = Bench::new();
    bench.fill([5, 6, 7]);
    let mut other = activation(8);
    other.header.workspace = WorkspaceId(2);
    bench.append(&other);
    // A killed process had sent 6 and 7; the next one wrote them before they arrived.
    bench.fill([6, 7]);
    let mut anonymous = activation(9);
    anonymous.header.profile = None;
    bench.append(&anonymous);
    let mut unsendable = activation(10);
    unsendable.header.source = SourceId(9);
    bench.append(&unsendable);
    bench.settle(&[]);
    bench.fill([11]);
    for most in [1, 2, 100] {
        let (found, job) = bench.run(ReplayOrder::default(), most);
        assert_eq!(found, [5, 6, 7, 10], "up to the cursor");
        assert_eq!((job.read, job.matched), (8, 5));
        assert_eq!(job.filtered, [(Outcome::FilteredByFilter, 1)].into());
    }
}

#[test]
fn what_has_expired_is_counted() {
    let bench = Bench::new();
    bench.fill(1..=12);
    bench.settle(&[]);
    let mut job = bench.begin(ReplayOrder::default());
    bench.log.expire_before(8);
    let scanned = bench.scan(&job, 100, 1_000).expect("readable");
    job.take(&scanned);
    assert_eq!((job.expired, job.read, job.next), (8, 4, 12));
    wait(bench.store.cancel_replay(KEY, job.id, moment(TODAY, 0))).expect("writable");
    let job = bench.begin(ReplayOrder::default());
    assert_eq!((job.first, job.end), (8, 12), "one that begins now knows of it");
    bench.log.expire_before(12);
    let scanned = bench.scan(&job, 100, 1_000).expect("readable");
    assert_eq!((scanned.expired, scanned.next), (4, 12));
}

#[test]
fn a_log_that_can_t_be_read_loses_nothing() {
    let bench = Bench::new();
    bench.fill(1..=3);
    drop(bench.log.append(vec![Bytes::from_static(b"?")]));
    bench.settle(&[]);
    let mut job = bench.begin(ReplayOrder::default());
    bench.log.set_unreadable(true);
    assert!(bench.scan(&job, 9, 1_000).is_err_and(|why| !why.is_final()), "it may be read later");
    bench.log.set_unreadable(false);
    let scanned = bench.scan(&job, 9, 1_000).expect("what comes before it");
    assert_eq!((scanned.found.len(), scanned.next), (3, 3));
    job.take(&scanned);
    let stuck = bench.scan(&job, 9, 1_000).expect_err("it is in no form that is known");
    assert!(stuck.is_final() && stuck.to_string().contains("activation 3"), "{stuck}");
}

#[test]
fn what_stays_unreadable_is_told_from_what_does_not() {
    let damage = ReadError::Corrupt { file: String::new(), offset: 0, sequence: 0, what: "" };
    let lost = ReadError::Lost { place: String::new(), sequence: 0, what: "" };
    let io = ReadError::Io(std::io::Error::other("no"));
    let log = |why: ReadError| ScanError::from(UnreadableActivation::from(why));
    let cases = [
        (log(damage), true),
        (log(lost), true),
        (log(io), false),
        (log(ReadError::Unavailable(String::new())), false),
        (log(ReadError::Expired { first: 1 }), false),
        (UnreadableActivation::Form(1).into(), true),
        (UnreadableActivation::Shrunk { end: 1, wanted: 2 }.into(), true),
        (StoreError::Damaged("").into(), true),
        (StoreError::Version { what: "", version: 9 }.into(), true),
        (StoreError::Closed.into(), false),
        (ScanError::Condition(SettingsError::new("condition", "")), true),
    ];
    for (why, is_final) in cases {
        assert_eq!(why.is_final(), is_final, "{why:?}");
    }
}

#[test]
fn a_piece_is_bounded_by_the_bytes_of_what_it_found() {
    let bench = Bench::new();
    bench.fill(10..=19);
    bench.settle(&[]);
    let job = bench.begin(ReplayOrder::default());
    let each = activation(10).event.len();
    for (bytes_most, want) in [(0, 1), (1, 1), (each, 1), (each + 1, 2), (each * 4, 4), (usize::MAX, 10)] {
        let scanned = bench.scan(&job, 100, bytes_most).expect("readable");
        let bytes: usize = scanned.found.iter().map(|found| found.bytes as usize).sum();
        assert_eq!((scanned.found.len(), bytes), (want, want * each), "{bytes_most} bytes");
        assert_eq!(scanned.next, want as u64);
    }
    let counted = ReplayJob { order: ReplayOrder { dry_run: true, ..ReplayOrder::default() }, ..job };
    assert_eq!(bench.scan(&counted, 1, 1).expect("readable").matched, 10, "nothing is held by a dry run");
}

/// Activation n has position n + 1; the destination began behind position 4.
#[test]
fn what_the_destination_has_not_come_to_is_left_to_it_but_for_what_is_from_before_it() {
    type Case = (&'static str, u64, &'static [(u64, u64)], Vec<u64>);
    let cases: [Case; 7] = [
        ("it is off since it was made, and nothing came", 0, &[], (1..=4).collect()),
        ("it stands before its first one", 2, &[], (1..=4).collect()),
        ("at its first one", 4, &[], (1..=4).collect()),
        ("behind that", 6, &[], (1..=6).collect()),
        ("some are settled above", 5, &[(6, 2), (9, 1)], vec![1, 2, 3, 4, 5, 7, 8, 10]),
        ("also far below its first one", 1, &[(4, 1), (11, 1)], vec![1, 2, 3, 4, 5, 12]),
        ("everything is settled", 12, &[], (1..=12).collect()),
    ];
    for (name, cursor, settled, want) in cases {
        let bench = Bench::new();
        bench.fill(1..=12);
        bench.stand(cursor, settled);
        for most in [1, 3, 100] {
            let new = prepare(&bench.log, &bench.store, KEY, ReplayOrder::default(), moment(TODAY, 0));
            let job = new.expect("it can begin").job(1);
            assert!(job.end >= *want.last().expect("there are some") && job.end <= 12, "{name}");
            let (found, _) = bench.run(ReplayOrder::default(), most);
            assert_eq!(found, want, "{name}, {most} at a time");
        }
        // What is settled later came to it by itself.
        let job = bench.begin(ReplayOrder::default());
        bench.stand(12, &[]);
        let scanned = bench.scan(&job, 100, usize::MAX).expect("readable");
        let found: Vec<_> = scanned.found.iter().map(|found| found.header.position.sequence).collect();
        assert_eq!(found, want, "{name}, as it was when the replay began");
    }
}

#[test]
fn what_is_not_remembered_any_more_is_not_taken_for_delivered() {
    let bench = Bench::new();
    for (position, day) in [(3, 40), (5, 40), (6, 32), (7, 31), (8, 0)] {
        let mut old = activation(position);
        old.header.received_at = moment(TODAY - day, 0);
        bench.append(&old);
    }
    bench.settle(&[(2, Outcome::Skipped)]);
    let (found, job) = bench.run(only(ReplayOnly::NotDelivered), 9);
    assert_eq!((found, job.not_evaluable), (vec![3, 6], 1), "how 5 ended is not known");
    let with =
        |text: &str| ReplayOrder { condition: Some(condition(text)), ..only(ReplayOnly::NotDelivered) };
    let (_, job) = bench.run(with("properties.n = 8"), 9);
    assert_eq!(job.not_evaluable, 0, "the order does not name it");
}

#[test]
fn a_condition_may_name_what_activations_carry_of_profiles() {
    let bench = Bench::new();
    for (position, plan) in [(5, Some("\"pro\"")), (6, Some("\"free\"")), (7, None)] {
        let mut carrying = activation(position);
        carrying.header.carried.traits = [("plan".into(), plan.map(Into::into))].into();
        bench.append(&carrying);
    }
    bench.fill([8]);
    bench.settle(&[]);
    let by = |text: &str| ReplayOrder { condition: Some(condition(text)), ..ReplayOrder::default() };
    for (text, want) in
        [("profile.traits.plan = \"pro\"", vec![5]), ("profile.traits.plan != \"pro\"", vec![6, 7])]
    {
        let (found, job) = bench.run(by(text), 9);
        assert_eq!((found, job.not_evaluable), (want, 1), "{text}: the last one carries no plan");
    }
}

#[test]
fn what_can_t_begin_says_why() {
    let bench = Bench::new();
    let prepared = |order| prepare(&bench.log, &bench.store, KEY, order, moment(TODAY, 0)).map(|_| ());
    assert!(matches!(prepared(ReplayOrder::default()), Err(ReplayError::NotBegun)));
    bench.fill(1..=3);
    bench.settle(&[]);
    assert!(prepared(ReplayOrder::default()).is_ok());
    let audience =
        ReplayOrder { condition: Some(Condition::Audience("vip".to_owned())), ..only(ReplayOnly::All) };
    assert!(matches!(prepared(audience), Err(ReplayError::Condition(_))));
    bench.log.set_unreadable(true);
    let range = ReplayOrder { from: Some(minute(2)), ..ReplayOrder::default() };
    assert!(matches!(prepared(range), Err(ReplayError::Store(StoreError::Log(_)))));
}

#[test]
fn a_range_of_time_is_all_that_is_read_but_for_an_hour_around_it() {
    let bench = Bench::new();
    bench.fill(1..=600);
    bench.settle(&[]);
    let order = ReplayOrder { from: Some(minute(200)), until: Some(minute(300)), ..ReplayOrder::default() };
    let job = bench.begin(order);
    // Activation n arrived in minute n + 1.
    assert_eq!((job.first, job.next, job.end), (139, 139, 359));
}

#[test]
fn jobs_come_back_from_their_stored_form_and_show_no_condition() {
    let order = ReplayOrder {
        from: Some(minute(1)),
        until: None,
        condition: Some(condition("properties.email = \"ada@example.com\"")),
        only: ReplayOnly::DeadLetters { reason: Some(Reason::RateLimited) },
        dry_run: false,
        rate_per_second: Some(5),
    };
    let reach = Reach { cursor: 7, settled: vec![(8, 1)], starts_after: Position::at(4) };
    let new = NewReplay { key: KEY, order, first: 1, end: 9, began_at: minute(2), reach };
    let job = ReplayJob {
        state: ReplayState::Failed("why".to_owned()),
        filtered: [(Outcome::FilteredByConsent, 3)].into(),
        ended: [(Outcome::Delivered, 2)].into(),
        ended_at: Some(minute(3)),
        newest: Some((Position::at(7), 1)),
        ..new.job(4)
    };
    assert_eq!(ReplayJob::decode(&job.encode()).expect("own bytes"), job);
    assert!(!format!("{job:?}").contains("ada"));
    assert!(matches!(ReplayJob::decode(&[2]), Err(StoreError::Version { version: 2, .. })));
    assert!(matches!(ReplayJob::decode(&[]), Err(StoreError::Damaged(_))));
    assert!(matches!(ReplayJob::decode(&[1, b'{']), Err(StoreError::Damaged(_))));
}
