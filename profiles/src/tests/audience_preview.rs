//! Previews of audiences against audiences: what a preview says is what an audience of the same condition has, right
//! after it was created and as events go on.

use super::*;
use crate::audience_preview::{
    AnsweredBy, AudiencePreview, AudiencePreviewError, AudiencePreviewOrder, AudiencePreviewParts, Overlap,
    preview, preview_at_once,
};
use crate::definitions::Stage;
use crate::preview::PreviewProgress;
use crate::testing;
use serde_json::{Value, json};
use tempfile::TempDir;
use tributary_model::catalog::Defined;
use tributary_model::condition::{Condition, Scope, parse_condition};
use tributary_model::event::AcceptedEvent;
use tributary_model::tick::Tick;
use tributary_model::{AudienceId, Marks, MessageId, SourceId, Workspace};

const ONE: WorkspaceId = WorkspaceId(1);
const MINUTE: i64 = 60_000_000;

/// What the indexes answer by themselves.
const OF_COLUMNS: [&str; 17] = [
    r#"traits.plan = "pro""#,
    r#"traits.plan != "pro""#,
    r#"traits.score > 3 and traits.plan in ("pro", "free")"#,
    r#"not (traits.plan exists) or traits.address.city = "Ulm""#,
    "traits.score = traits.limit",
    r#"traits.nobody = null"#,
    r#"event("A")"#,
    "event() within 12h",
    r#"event("B") between "2026-09-20" and "2026-09-22""#,
    r#"count(event("A") within 12h) >= 2"#,
    r#"count(event("B")) < 2"#,
    r#"not event("A") within 1d and event("B")"#,
    r#"time_since(event("A")) > 6h"#,
    r#"page("Home") or identify() within 2h"#,
    r#"computed.orders >= 1"#,
    r#"audience("base") and traits.plan exists"#,
    r#"count(group()) = 0"#,
];

/// What has to be looked up profile by profile.
const OF_SCANS: [&str; 9] = [
    r#"event("A") where properties.total > 5"#,
    r#"count(event("A") where properties.total > 2 within 1d) >= 2"#,
    r#"sum(event("A").properties.total within 1d) > 10"#,
    r#"sum(event("B").properties.total) exists and traits.plan = "pro""#,
    r#"sequence(event("A") then event("B") within 6h) within 2d"#,
    r#"sequence(event("A") then event("B") without page("Home"))"#,
    r#"most_frequent(event("A").properties.total) > 3 or traits.plan = "free""#,
    r#"account(traits.size > 3)"#,
    r#"account(any member(event("B") where properties.total > 4))"#,
];

/// An event in short.
#[derive(Debug, Clone)]
struct Short {
    kind: u8,
    user: Option<u8>,
    device: u8,
    number: u8,
    later_minutes: u8,
    age_minutes: u16,
}

fn short() -> impl Strategy<Value = Short> {
    let who = (proptest::option::of(0..4u8), 0..6u8);
    (0..9u8, who, 0..8u8, 0..40u8, 0..2000u16).prop_map(
        |(kind, (user, device), number, later_minutes, age_minutes)| Short {
            kind,
            user,
            device,
            number,
            later_minutes,
            age_minutes,
        },
    )
}

impl Short {
    fn body(&self) -> (EventKind, Value) {
        let number = self.number;
        match self.kind {
            0..2 => {
                let plan = ["free", "pro", "team"].get(usize::from(number % 4));
                let traits = json!({
                    "plan": plan,
                    "score": number,
                    "limit": 4,
                    "address": {"city": if number.is_multiple_of(2) { "Ulm" } else { "Aalen" }},
                });
                (EventKind::Identify, json!({"type": "identify", "traits": traits}))
            }
            2..5 => {
                (EventKind::Track, json!({"type": "track", "event": "A", "properties": {"total": number}}))
            }
            5..7 => {
                (EventKind::Track, json!({"type": "track", "event": "B", "properties": {"total": number}}))
            }
            7 => (EventKind::Page, json!({"type": "page", "name": "Home"})),
            _ => {
                let group = format!("g{}", number % 3);
                (EventKind::Group, json!({"type": "group", "groupId": group, "traits": {"size": number}}))
            }
        }
    }

    fn record(&self, id: usize, received_at: Timestamp) -> Bytes {
        let (kind, mut body) = self.body();
        if let Some(user) = self.user {
            body["userId"] = format!("u{user}").into();
        }
        // Some people never sign in.
        body["anonymousId"] = format!("d{}", self.device).into();
        let message_id = MessageId::parse(&format!("m{id}")).expect("a message id");
        body["messageId"] = message_id.as_str().into();
        let event = AcceptedEvent {
            workspace: ONE,
            workspace_version: 1,
            source: SourceId(1),
            kind,
            message_id,
            received_at,
            event_time: received_at.plus_micros(-i64::from(self.age_minutes) * MINUTE),
            marks: Marks::default(),
            anchor_hash: None,
            payload: body.to_string().into(),
        };
        Record::from_event(event).encode()
    }
}

/// A machine that is driven by hand, with a log, indexes and a store.
struct World {
    events: Arc<MemoryLog>,
    indexes: Arc<Indexes>,
    generation: Generation,
    state: Arc<State>,
    machine: Machine,
    workspace: Workspace,
    now: Timestamp,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let indexes = open_indexes(directory.path());
        let paths = StatePaths::within(directory.path());
        let generation = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
        let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
        let events = Arc::new(MemoryLog::new());
        let log = Arc::clone(&events) as Arc<dyn EventLog>;
        let (of_state, of_indexes) = (Arc::clone(&state), Arc::clone(&indexes));
        let machine = Machine::new(of_state, of_indexes, log, hash_key(), generation.checkpoint, CACHE);
        let mut workspace = testing::workspace();
        workspace.computed_traits = vec![testing::computed(900, "orders", r#"count(event("A") within 1d)"#)];
        workspace.audiences = vec![testing::audience(901, "base", r#"event("A") or event("B")"#)];
        let mut world = Self {
            events,
            indexes,
            generation,
            state,
            machine,
            workspace,
            now: START,
            _directory: directory,
        };
        world.define();
        world
    }

    /// Puts the workspace as it is into force.
    fn define(&mut self) {
        let version = self.workspace.version;
        let document = serde_json::to_vec(&self.workspace).expect("a document can be written");
        self.take(Record::of_workspace(ONE, version, self.now, Some(document.into())).encode());
        self.work();
    }

    fn take(&mut self, record: Bytes) {
        let sequence = self.events.bounds().end;
        append(&*self.events, vec![record.clone()]);
        let applied = self.machine.apply(sequence, sequence, &record).expect("applied");
        assert_eq!(applied, Applied::Done);
        let _activations = self.machine.publish();
    }

    fn tick(&mut self, tick: &Tick) {
        let version = self.workspace.version;
        self.take(Record::of_tick(ONE, version, self.now, tick).encode());
    }

    /// Takes whatever steps are due.
    fn work(&mut self) {
        while let Some((_, tick)) = self.machine.due(WorkspaceId(0)).expect("known").work {
            self.tick(&tick);
        }
    }

    fn take_all(&mut self, shorts: &[Short]) {
        for short in shorts {
            self.now = self.now.plus_micros(i64::from(short.later_minutes) * MINUTE);
            let id = usize::try_from(self.events.bounds().end).expect("few");
            self.take(short.record(id, self.now));
        }
        self.tick(&Tick::Timers { max: 10_000 });
        self.work();
    }

    /// Makes a checkpoint, and writes the indexes every other time.
    fn settle(&mut self) {
        let checkpoint = self.machine.checkpoint();
        write_now(&mut self.generation.checkpointer, &self.state, checkpoint).expect("written");
        if self.now.as_micros() / MINUTE % 2 == 0 {
            self.indexes.flush(checkpoint.next).expect("written");
        }
    }

    fn reader(&self) -> ProfileReader {
        let events = Arc::clone(&self.events) as Arc<dyn EventLog>;
        ProfileReader::new(Arc::clone(&self.state), Arc::clone(&self.indexes), events, hash_key(), clock())
    }

    fn parts(&self) -> AudiencePreviewParts {
        AudiencePreviewParts {
            state: Arc::clone(&self.state),
            indexes: Arc::clone(&self.indexes),
            events: Arc::clone(&self.events) as Arc<dyn EventLog>,
            hash_key: hash_key(),
            clock: clock(),
        }
    }

    fn order(&self, (at, condition): (usize, Condition)) -> AudiencePreviewOrder {
        AudiencePreviewOrder {
            workspace: ONE,
            defined: Arc::new(Defined::of(&self.workspace)),
            condition,
            include_anonymous: is_anonymous(at),
            visible: self.events.bounds().end,
            draft: None,
        }
    }

    /// What previews of these conditions say, whom they name, and by what.
    fn previews(&self) -> Vec<AudiencePreview> {
        let previewed = |order: &AudiencePreviewOrder| {
            preview(&self.parts(), order, &PreviewProgress::default()).expect("an answer")
        };
        conditions()
            .into_iter()
            .enumerate()
            .map(|numbered| {
                let is_of_columns = numbered.0 < OF_COLUMNS.len();
                let order = self.order(numbered);
                let at_once = preview_at_once(&self.parts(), &order).expect("readable");
                let said = previewed(&order);
                if let Some(at_once) = at_once {
                    assert_eq!((at_once.size, at_once.as_of), (said.size, said.as_of));
                }
                if is_of_columns {
                    assert_eq!(said.answered_by, AnsweredBy::Columns, "{}", order.condition);
                }
                said
            })
            .collect()
    }

    /// Creates an audience of each condition.
    fn create(&mut self) {
        self.workspace.version += 1;
        for (at, condition) in conditions().into_iter().enumerate() {
            let mut audience = testing::audience(0, &format!("a{at}"), "identify()");
            audience.id = AudienceId(u32::try_from(at).expect("few") + 1);
            audience.definition = condition;
            audience.include_anonymous = is_anonymous(at);
            self.workspace.audiences.push(audience);
        }
        self.define();
    }

    /// The members of the audiences that were created.
    fn members(&self) -> Vec<BTreeSet<ProfileId>> {
        let reader = self.reader();
        (1..=conditions().len())
            .map(|number| {
                let id = AudienceId(u32::try_from(number).expect("few"));
                let status = reader.audience_status(ONE, id).expect("readable").expect("it is there");
                assert_eq!(status.stage, Stage::Live);
                let members = reader.members(ONE, id, None, 1000).expect("readable");
                members.into_iter().map(|(profile, _)| profile).collect()
            })
            .collect()
    }
}

fn conditions() -> Vec<Condition> {
    let texts = OF_COLUMNS.iter().chain(&OF_SCANS);
    texts.map(|text| parse_condition(text, Scope::Profile).expect("a condition")).collect()
}

/// Whether anonymous profiles may be in the audience in that place.
fn is_anonymous(at: usize) -> bool {
    !at.is_multiple_of(3)
}

fn named(preview: &AudiencePreview) -> BTreeSet<ProfileId> {
    let named: BTreeSet<ProfileId> = preview.members.iter().map(|member| member.profile).collect();
    assert_eq!(named.len() as u64, preview.size, "there are so few that all are shown");
    named
}

fn check(previews: &[AudiencePreview], members: &[BTreeSet<ProfileId>]) -> Result<(), TestCaseError> {
    let conditions = conditions();
    for ((said, real), condition) in previews.iter().zip(members).zip(&conditions) {
        prop_assert_eq!(&named(said), real, "{} by {:?}", condition, said.answered_by);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// For any events: a preview has the members that an audience created at that moment has, and goes on doing so while
    /// the columns follow what happens.
    #[test]
    fn a_preview_has_the_members_of_the_audience(
        before in proptest::collection::vec(short(), 1..60),
        meanwhile in proptest::collection::vec(short(), 1..20),
        behind in proptest::collection::vec(short(), 1..40),
    ) {
        let mut world = World::new();
        world.take_all(&before);
        world.settle();
        let _made = world.previews();
        // The columns are there now, and follow.
        world.take_all(&meanwhile);
        world.settle();
        let said = world.previews();
        for preview in &said {
            prop_assert_eq!((preview.as_of.time, preview.is_approximate), (world.now, false));
        }
        world.create();
        check(&said, &world.members())?;

        world.take_all(&behind);
        world.settle();
        let (said, members) = (world.previews(), world.members());
        check(&said, &members)?;
        for (at, preview) in said.iter().enumerate() {
            prop_assert_eq!(preview.overlap.len(), world.workspace.audiences.len());
            let own = preview.overlap.iter().find(|overlap| overlap.key == format!("a{at}"));
            let size = members[at].len() as u64;
            prop_assert_eq!(own, Some(&Overlap { key: format!("a{at}"), size, both: size }));
            let first = &preview.overlap[1];
            let both = members[0].intersection(&members[at]).count() as u64;
            prop_assert_eq!((first.key.as_str(), first.both), ("a0", both));
        }
    }
}

fn at(kind: u8, user: u8, number: u8) -> Short {
    Short { kind, user: Some(user), device: user, number, later_minutes: 1, age_minutes: 0 }
}

#[test]
fn what_is_not_there_or_is_not_wanted_any_more_is_told() {
    let mut world = World::new();
    world.take_all(&[at(2, 1, 7), at(0, 1, 1)]);
    world.settle();
    let condition = |text: &str| (1, parse_condition(text, Scope::Profile).expect("a condition"));
    let order = world.order(condition(r#"audience("gone")"#));
    let refused =
        preview(&world.parts(), &order, &PreviewProgress::default()).err().expect("it names nothing");
    assert!(matches!(&refused, AudiencePreviewError::Condition(why) if why.contains("gone")), "{refused}");

    let order = world.order(condition(OF_SCANS[0]));
    assert!(preview_at_once(&world.parts(), &order).expect("readable").is_none(), "no columns yet");
    let progress = PreviewProgress::default();
    progress.cancel();
    let cancelled = preview(&world.parts(), &order, &progress).err();
    assert!(matches!(cancelled, Some(AudiencePreviewError::Cancelled)));
    let said = preview(&world.parts(), &order, &PreviewProgress::default()).expect("an answer");
    assert_eq!((said.size, said.answered_by), (1, AnsweredBy::Scan));
    assert_eq!(said.members[0].identifiers, ["anonymous_id:d1", "user_id:u1"]);
    assert_eq!(said.members[0].traits[0], ("plan".to_owned(), r#""pro""#.to_owned()));
    assert!(preview_at_once(&world.parts(), &order).expect("readable").is_none(), "it takes a scan");
}

#[test]
fn columns_are_made_anew_where_what_they_rest_on_has_changed() {
    let mut world = World::new();
    world.take_all(&[at(0, 1, 1), at(0, 1, 2)]);
    world.settle();
    let plan = parse_condition(r#"traits.plan = "pro""#, Scope::Profile).expect("a condition");
    let size = |world: &World| {
        let order = world.order((1, plan.clone()));
        preview(&world.parts(), &order, &PreviewProgress::default()).expect("an answer").size
    };
    assert_eq!(size(&world), 0, "the newest is team");
    world.workspace.version += 1;
    let oldest = tributary_model::workspace::MergePolicy::Oldest;
    world.workspace.traits.policies.insert("plan".to_owned(), oldest);
    world.define();
    world.settle();
    assert!(world.state.columns().read().table(ONE).is_none(), "they are dropped");
    assert_eq!(size(&world), 1, "the oldest is pro");
}
