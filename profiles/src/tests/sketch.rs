//! Logs in short: events, commands and rules from small pools, so that everything collides.

use super::START;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tributary_model::command::{Action, Command, UnmergeTarget, Who};
use tributary_model::event::AcceptedEvent;
use tributary_model::workspace::{IdentityRules, TraitRules};
use tributary_model::{
    EventKind, Identifier, Marks, MessageId, Namespace, Record, SourceId, Timestamp, Workspace, WorkspaceId,
};

const HOUR: i64 = 3_600_000_000;

/// How many changes of rules one log has: more are not remembered for indexes that lag behind.
const RULES_CHANGES_MAX: usize = 6;

/// What an event is made of.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub(super) workspace: u32,
    pub(super) source: u32,
    pub(super) kind: EventKind,
    pub(super) user: Option<u8>,
    pub(super) email: Option<u8>,
    pub(super) device: Option<u8>,
    /// `previousId` of an alias call: a user's below 4, else a device's.
    pub(super) previous: Option<u8>,
    pub(super) message: u8,
    /// Hours since the record before was written; may be negative, as clocks are.
    pub(super) later: i16,
    /// Hours before arrival.
    pub(super) age: u8,
    pub(super) traits: Vec<(u8, Option<u8>)>,
}

/// A track call of nobody, an hour after what came before.
pub(super) fn event(message: u8) -> Sketch {
    Sketch {
        workspace: 1,
        source: 1,
        kind: EventKind::Track,
        user: None,
        email: None,
        device: None,
        previous: None,
        message,
        later: 1,
        age: 0,
        traits: Vec::new(),
    }
}

/// A record of a log.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An event.
    Event(Sketch),
    /// A person's command.
    Order { workspace: u32, action: Action, later: i16 },
    /// Rules come into force.
    Rules { workspace: u32, rules: Box<IdentityRules> },
}

/// An identifier of the pools: users 0 to 3, e-mail addresses 4 to 7, devices from 8 on.
pub(super) fn identifier(number: u8) -> Identifier {
    let (namespace, value) = match number {
        0..4 => (Namespace::USER_ID, format!("u{number}")),
        4..8 => (Namespace::EMAIL, format!("E{}@x.y", number - 4)),
        _ => (Namespace::ANONYMOUS_ID, format!("d{}", number - 8)),
    };
    Identifier::parse(namespace, &value).expect("an identifier")
}

pub(super) fn sketch() -> impl Strategy<Value = Sketch> {
    let ids = (proptest::option::of(0..4u8), proptest::option::of(0..4u8), proptest::option::of(0..9u8));
    let kind = prop_oneof![
        4 => Just(EventKind::Identify),
        4 => Just(EventKind::Track),
        1 => Just(EventKind::Page),
        1 => Just(EventKind::Group),
        1 => Just(EventKind::Alias),
    ];
    let traits = proptest::collection::vec((0..4u8, proptest::option::of(0..5u8)), 0..4);
    let later = prop_oneof![8 => 0..3i16, 1 => -2..0i16, 1 => 100..200i16];
    let about = (proptest::option::of(0..8u8), 0..40u8, later, 0..50u8, traits);
    (1..3u32, 1..3u32, kind, ids, about).prop_map(
        |(workspace, source, kind, (user, email, device), (previous, message, later, age, traits))| Sketch {
            workspace,
            source,
            kind,
            // Nearly every event has one of the two; `u9` is a value that stands for nobody.
            user: user.or(if device.is_none() { Some(message % 10) } else { None }),
            email,
            device,
            previous: previous.filter(|_| kind == EventKind::Alias),
            message,
            later,
            age,
            traits,
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let one = || (0..17u8).prop_map(identifier);
    let who = || one().prop_map(Who::Identifier);
    let side = || proptest::collection::vec(one(), 1..4);
    let target = prop_oneof![
        4 => one().prop_map(UnmergeTarget::Identifier),
        2 => (one(), one()).prop_map(|(anchor, other)| UnmergeTarget::Edge(anchor, other)),
        1 => (0..60u64).prop_map(UnmergeTarget::Merge),
        2 => (side(), side()).prop_map(|(one, other)| UnmergeTarget::Sides(vec![one, other])),
    ];
    prop_oneof![
        4 => (who(), target, any::<bool>())
            .prop_map(|(who, target, retake)| Action::Unmerge { who, target, retake }),
        2 => (who(), one()).prop_map(|(who, identifier)| Action::Link { who, identifier }),
        2 => (who(), one(), who()).prop_map(|(who, identifier, to)| Action::Move { who, identifier, to }),
        // Of somebody's own, mostly: another's is refused.
        2 => (0..17u8).prop_map(|number| {
            Action::Remove { who: Who::Identifier(identifier(number)), identifier: identifier(number) }
        }),
    ]
}

/// Rules under which the pools meet limits, windows, caps, blocks and shared devices.
pub(super) fn rules(number: u8) -> IdentityRules {
    let user = json!({"name": "user_id", "priority": 1});
    let email = json!({"name": "email", "priority": 2});
    let device = |more: Value| {
        let mut rule = json!({"name": "anonymous_id", "priority": 3});
        rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        rule
    };
    let plain = json!({});
    let document = match number {
        0 => json!({"namespaces": [user, email, device(json!({"shared_device": "last_sign_in"}))]}),
        1 => json!({"namespaces": [user, email, device(json!({"limit": {"count": 2, "window": "day"}}))]}),
        2 => json!({"namespaces": [
            {"name": "user_id", "priority": 1, "limit": {"count": 2, "window": "ever"}}, email, device(plain)]}),
        3 => json!({"namespaces": [
            user, {"name": "email", "priority": 2, "blocked": ["e1@x.y", "e2@x.y"]}, device(plain)]}),
        4 => json!({"namespaces": [user, email, device(plain)], "identifiers_max": 4, "merges_max": 1}),
        _ => return IdentityRules::default(),
    };
    serde_json::from_value(document).expect("rules that work")
}

/// Events, mostly; and between them commands and changed rules.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => sketch().prop_map(Step::Event),
        3 => (1..3u32, action(), 0..3i16)
            .prop_map(|(workspace, action, later)| Step::Order { workspace, action, later }),
        1 => (1..3u32, 0..6u8)
            .prop_map(|(workspace, number)| Step::Rules { workspace, rules: Box::new(rules(number)) }),
    ]
}

/// The record of a sketch that arrives then.
fn record(sketch: &Sketch, received_at: Timestamp) -> Bytes {
    let mut body = json!({"type": sketch.kind.name(), "messageId": format!("m{}", sketch.message)});
    match sketch.user {
        Some(9) => body["userId"] = "undefined".into(),
        Some(user) => body["userId"] = format!("u{user}").into(),
        None => {}
    }
    if let Some(device) = sketch.device {
        body["anonymousId"] = format!("d{device}").into();
    }
    if let Some(previous) = sketch.previous {
        let id = if previous < 4 { format!("u{previous}") } else { format!("d{}", previous - 4) };
        body["previousId"] = id.into();
    }
    let mut traits = serde_json::Map::new();
    for (name, value) in &sketch.traits {
        traits.insert(format!("t{name}"), value.map_or(Value::Null, Into::into));
    }
    if let Some(email) = sketch.email {
        let place = if sketch.kind == EventKind::Identify {
            &mut traits
        } else {
            body["context"] = json!({"traits": {}});
            body["context"]["traits"].as_object_mut().expect("just made")
        };
        place.insert("email".into(), format!("E{email}@x.y").into());
    }
    body["traits"] = traits.into();
    accepted(sketch, received_at, &body)
}

/// The record of an event with this body.
pub(super) fn accepted(sketch: &Sketch, received_at: Timestamp, body: &Value) -> Bytes {
    let event = AcceptedEvent {
        workspace: WorkspaceId(sketch.workspace),
        workspace_version: 1,
        source: SourceId(sketch.source),
        kind: sketch.kind,
        message_id: MessageId::parse(&format!("m{}", sketch.message)).expect("a message id"),
        received_at,
        event_time: received_at.plus_micros(-i64::from(sketch.age) * HOUR),
        marks: Marks::default(),
        anchor_hash: None,
        payload: body.to_string().into(),
    };
    Record::from_event(event).encode()
}

/// The records of events.
pub(super) fn records(sketches: &[Sketch]) -> Vec<Bytes> {
    let mut now = START;
    let mut made = Vec::new();
    for sketch in sketches {
        now = now.plus_micros(i64::from(sketch.later) * HOUR);
        made.push(record(sketch, now));
    }
    made
}

/// The records of a log.
pub(super) fn log(steps: &[Step]) -> Vec<Bytes> {
    let mut now = START;
    let mut made = Vec::new();
    let mut versions = 0;
    for step in steps {
        match step {
            Step::Event(sketch) => {
                now = now.plus_micros(i64::from(sketch.later) * HOUR);
                made.push(record(sketch, now));
            }
            Step::Order { workspace, action, later } => {
                now = now.plus_micros(i64::from(*later) * HOUR);
                let action = action.clone();
                let command = Command { by: "ada".to_owned(), reason: Some("a test".to_owned()), action };
                made.push(Record::of_command(WorkspaceId(*workspace), 1, now, &command).encode());
            }
            Step::Rules { workspace, rules } if versions < RULES_CHANGES_MAX => {
                versions += 1;
                made.push(version(*workspace, versions as u64, now, rules));
            }
            Step::Rules { .. } => {}
        }
    }
    made
}

/// The record that puts rules into force.
pub(super) fn version(workspace: u32, version: u64, at: Timestamp, rules: &IdentityRules) -> Bytes {
    let document = Workspace {
        id: WorkspaceId(workspace),
        name: format!("w{workspace}"),
        version,
        created_at: START,
        next_id: 1,
        sources: Vec::new(),
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity: rules.clone(),
        computed_traits: Vec::new(),
        audiences: Vec::new(),
        traits: TraitRules::default(),
    };
    let document = serde_json::to_vec(&document).expect("a document can be written");
    Record::of_workspace(WorkspaceId(workspace), version, at, Some(document.into())).encode()
}
