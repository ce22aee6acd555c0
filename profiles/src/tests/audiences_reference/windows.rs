//! Windows under driven time: who enters or leaves because time passed does so at the moment that is due, over restarts
//! too, and after a while in which nothing ran.

use super::people::ONE;
use super::writer::version;
use super::*;
use serde_json::json;
use tributary_model::activation::ActivationKind;
use tributary_model::event::AcceptedEvent;
use tributary_model::tick::Tick;
use tributary_model::{AudienceId, Marks, MessageId, SourceId};

const DAY: i64 = 24 * stream::HOUR;

/// What was told, and when; the trait that comes with each change is left out.
type Story = Vec<(Timestamp, ActivationKind)>;

fn day(number: i64) -> Timestamp {
    START.plus_micros(number * DAY)
}

/// A call of a user, which arrives when it happens.
pub(super) fn call(at: Timestamp, user: &str, kind: EventKind, more: serde_json::Value) -> Record {
    let message = format!("{user}-{}-{}", kind.name(), at.as_micros());
    let mut body = json!({"type": kind.name(), "messageId": message, "userId": user, "traits": {}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Record::from_event(AcceptedEvent {
        workspace: ONE,
        workspace_version: 1,
        source: SourceId(1),
        kind,
        message_id: MessageId::parse(&message).expect("a message id"),
        received_at: at,
        event_time: at,
        marks: Marks::default(),
        anchor_hash: None,
        payload: body.to_string().into(),
    })
}

/// A track call of a user.
pub(super) fn track(at: Timestamp, user: &str, event: &str, number: i64) -> Record {
    call(at, user, EventKind::Track, json!({"event": event, "properties": {"total": number}}))
}

fn tick(at: Timestamp, max: u32) -> Record {
    Record::of_tick(ONE, 1, at, &Tick::Timers { max })
}

/// A machine over a real store. It can be stopped and started again.
struct Run {
    log: Arc<MemoryLog>,
    records: Vec<Bytes>,
    /// What is open while it runs.
    open: Option<(Driver, Generation)>,
    directory: tempfile::TempDir,
}

impl Run {
    /// With one audience.
    fn new(definition: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Arc::new(MemoryLog::new());
        let mut run = Self { log, records: Vec::new(), open: None, directory };
        run.start();
        let mut workspace = testing::workspace();
        workspace.audiences.push(testing::audience(1, "a", definition));
        run.write(&version(&workspace, START));
        assert_eq!(run.driver().tick(START), None, "there is nobody to evaluate");
        run
    }

    fn start(&mut self) {
        let generation = open_generation(self.directory.path());
        let indexes = open_indexes(self.directory.path());
        let store = Arc::clone(&generation.store);
        let watermark = indexes.watermark() as usize;
        let next = generation.checkpoint.next as usize;
        let mut driver = Driver::new(store, indexes, Arc::clone(&self.log), generation.checkpoint);
        for (at, record) in self.records.iter().enumerate().take(next).skip(watermark) {
            driver.machine.index_only(at as u64, at as u64, record).expect("indexed");
        }
        for record in self.records.iter().skip(next) {
            let _told_before = driver.apply(record);
        }
        self.open = Some((driver, generation));
    }

    /// Stops, with a checkpoint or without one since the last, and starts again.
    fn restart(&mut self, has_checkpoint: bool) {
        let (driver, mut generation) = self.open.take().expect("it runs");
        if has_checkpoint {
            let checkpoint = driver.machine.checkpoint();
            write_now(&mut generation.checkpointer, &driver.state, checkpoint).expect("written");
        }
        drop((driver, generation));
        self.start();
    }

    fn driver(&mut self) -> &mut Driver {
        &mut self.open.as_mut().expect("it runs").0
    }

    fn write(&mut self, record: &Record) -> Vec<Activation> {
        self.records.push(record.encode());
        self.driver().write(record)
    }

    fn timer(&mut self) -> Option<Timestamp> {
        self.driver().due().timer.map(|(at, _)| at)
    }

    fn members(&mut self) -> usize {
        self.driver().reader.members(ONE, AudienceId(1), None, 100).expect("readable").len()
    }

    fn id(&mut self, user: &str) -> ProfileId {
        self.driver().reader.find(ONE, "user_id", user).expect("readable").expect("known").id
    }

    /// Lets time pass: a tick at each moment that is due, with a restart before each.
    fn pass(&mut self, to: Timestamp, has_checkpoint: bool) -> Story {
        let mut story = Story::new();
        while let Some(at) = self.timer().filter(|at| *at <= to) {
            self.restart(has_checkpoint);
            assert_eq!(self.timer(), Some(at), "a restart changes no timer");
            let told = self.write(&tick(at, 10));
            story.extend(kinds(&told).into_iter().map(|kind| (at, kind)));
            assert!(self.timer().is_none_or(|next| next > at), "what was due is done");
        }
        story
    }
}

/// What was told of audiences.
fn kinds(told: &[Activation]) -> Vec<ActivationKind> {
    let changes = [ActivationKind::AudienceEntered, ActivationKind::AudienceExited];
    told.iter().map(|activation| activation.header.kind).filter(|kind| changes.contains(kind)).collect()
}

#[test]
fn a_member_leaves_when_the_last_event_is_thirty_days_old() {
    for has_checkpoint in [true, false] {
        let mut run = Run::new(r#"event("A") within 30d"#);
        assert_eq!(kinds(&run.write(&track(day(0), "u1", "A", 1))), [ActivationKind::AudienceEntered]);
        // What the profile gets later is none of what its entry told.
        let device = json!({"anonymousId": "d1"});
        assert!(kinds(&run.write(&call(day(1), "u1", EventKind::Identify, device))).is_empty());
        assert_eq!(run.timer(), Some(day(30)));
        run.restart(has_checkpoint);
        assert_eq!(run.timer(), Some(day(30)));

        let early = day(30).plus_micros(-1);
        assert!(run.write(&tick(early, 10)).is_empty());
        assert_eq!((run.members(), run.timer()), (1, Some(day(30))));
        let told = run.write(&tick(day(30), 10));
        assert_eq!(kinds(&told), [ActivationKind::AudienceExited]);
        assert_eq!(told.len(), 2, "in both forms");
        for activation in &told {
            let texts: Vec<String> = activation.header.identifiers.iter().map(Identifier::to_text).collect();
            assert_eq!(texts, ["user_id:u1"]);
        }
        assert_eq!((run.members(), run.timer()), (0, None));
    }
}

#[test]
fn a_later_event_puts_the_exit_off_and_leaves_the_timer() {
    let mut run = Run::new(r#"event("A") within 30d"#);
    run.write(&track(day(0), "u1", "A", 1));
    run.write(&track(day(10), "u1", "A", 1));
    assert_eq!(run.timer(), Some(day(30)));
    assert!(run.pass(day(39), true).is_empty());
    assert_eq!(run.timer(), Some(day(40)));
    assert_eq!(run.pass(day(40), true), [(day(40), ActivationKind::AudienceExited)]);
}

/// Bought twice and has not been back for a week: entered by time, and left by time.
#[test]
fn lapsed_buyers_enter_and_leave_on_time() {
    for has_checkpoint in [true, false] {
        let mut run = Run::new(
            r#"count(event("Order Completed") where properties.total > 100 within 30d) >= 2 and not event("App Opened") within 7d"#,
        );
        run.write(&track(day(0), "u1", "Order Completed", 150));
        run.write(&track(day(0).plus_micros(1000), "u2", "Order Completed", 150));
        run.write(&track(day(1), "u1", "App Opened", 0));
        assert!(kinds(&run.write(&track(day(2), "u1", "Order Completed", 101))).is_empty());
        run.write(&track(day(2).plus_micros(1000), "u2", "Order Completed", 100));
        assert_eq!(run.members(), 0);
        let want = [(day(8), ActivationKind::AudienceEntered), (day(30), ActivationKind::AudienceExited)];
        assert_eq!(run.pass(day(100), has_checkpoint), want);
        assert_eq!((run.members(), run.timer()), (0, None));
    }
}

#[test]
fn downtime_is_made_up_for_in_the_order_in_which_things_were_due() {
    let mut run = Run::new(r#"event("A") within 30d"#);
    for (number, user) in ["u2", "u3", "u1"].into_iter().enumerate() {
        run.write(&track(day(number as i64), user, "A", 1));
    }
    let wanted = ["u2", "u3", "u1"].map(|user| run.id(user));
    run.restart(true);
    // The first tick takes two.
    let mut left = Vec::new();
    for (max, timer) in [(2, Some(day(32))), (2, None)] {
        let told = run.write(&tick(day(90), max));
        let exits = told.iter().filter(|one| one.header.kind == ActivationKind::AudienceExited);
        left.extend(exits.filter_map(|one| one.header.profile));
        assert_eq!(run.timer(), timer);
    }
    assert_eq!(left, wanted);
    assert_eq!(run.members(), 0);
}
