//! Stored forms: samples of version 1, and today's values read back.

use super::*;
use crate::alarms::AlarmKind;
use crate::definitions::{AudienceState, Evaluating, KeeperState, LeavingAudience, Reading, Stage};
use tributary_identity::{Anchored, EdgeRule, Evidence, Happened, LiveProfile, RefusalReason};
use tributary_model::catalog::Defined;
use tributary_model::fragment::{Sighting, TraitValue};
use tributary_model::keeper::Kept;
use tributary_model::trail::{Mark, Trail};
use tributary_model::trait_record::TraitRecord;
use tributary_model::workspace::IdentityRules;
use tributary_model::{AudienceId, Identifier, MessageId, Namespace, NodeKey, Position, ProfileId, SourceId};

const AT: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
const DAY: i64 = 20_717;
const ID: ProfileId = ProfileId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

/// The first form of each entry.
mod samples {
    pub(super) const NODE: &[u8] = b"\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x00\xac\x02\x02m1\x02\x80\x80\xaf\xa2\xdb\xff\xad\x06\xf6\xff\xae\xa2\xdb\xff\xad\x06";
    pub(super) const LIVE: &[u8] = b"\x01\x00\x00\xac\x02\x02m1\x02\x80\x80\xaf\xa2\xdb\xff\xad\x06\xf6\xff\xae\xa2\xdb\xff\xad\x06\x02\x05email\x03a@x\x00\x07user_id\x02u1\x00\x01\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07";
    pub(super) const MERGED: &[u8] =
        b"\x01\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
    pub(super) const EDGE: &[u8] = b"\x01\x00\xac\x02\x02m1\x02\x80\x80\xaf\xa2\xdb\xff\xad\x06\xf6\xff\xae\xa2\xdb\xff\xad\x06\xda\xc3\x02\x00";
    pub(super) const FRAGMENT: &[u8] = b"\x01\x02\x04gone\x80\x80\xaf\xa2\xdb\xff\xad\x06\x02m2\x02\x00\x04plan\xf6\xff\xae\xa2\xdb\xff\xad\x06\x02m1\x02\x01\x05\"pro\"\x01\xf6\xff\xae\xa2\xdb\xff\xad\x06\x02m1\x02\x01\x80\x80\xaf\xa2\xdb\xff\xad\x06\x02m2\x02\xac\x02\x01\x00\x00\x00\x00";
    pub(super) const REFUSAL: &[u8] = b"\x01\x00\xac\x02\x02m1\x02\x80\x80\xaf\xa2\xdb\xff\xad\x06\xf6\xff\xae\xa2\xdb\xff\xad\x06\xda\xc3\x02\x00\x07user_id\x01\x02";
    pub(super) const WORKSPACE: &[u8] =
        b"\x01\xac\x02\x00\x02\x07user_id\x01\x01\x05email\x02\x07\x04\xe8\x07\x03";
    pub(super) const CHECKPOINT: &[u8] = b"\x01\xad\x02\x80\x80\xaf\xa2\xdb\xff\xad\x06";
    pub(super) const MEMBER: &[u8] = b"\x01\x80\x80\xaf\xa2\xdb\xff\xad\x06\xac\x02\x01\x05email\x03a@x\x01";
    pub(super) const STANDING: &[u8] = b"\x01\x01\x05\x80\x80\xaf\xa2\xdb\xff\xad\x06\xac\x02\x01\x05email\x03a@x\x01\x01\xf6\xff\xae\xa2\xdb\xff\xad\x06";
    pub(super) const SIZE: &[u8] = b"\x01\xac\x02\x03\x01";
    pub(super) const TIMER: &[u8] = b"\x01";
}

fn evidence() -> Evidence {
    Evidence {
        position: Position::at(300),
        message_id: MessageId::parse("m1").expect("a message id"),
        source: SourceId(2),
        received_at: AT,
        event_time: AT.plus_micros(-5),
    }
}

fn node(namespace: Namespace, value: &str) -> NodeKey {
    NodeKey::first_epoch(Identifier::parse(namespace, value).expect("an identifier"))
}

fn sighting(message_id: &str, at: Timestamp) -> Sighting {
    Sighting { at, message_id: MessageId::parse(message_id).expect("a message id"), source: SourceId(2) }
}

fn membership() -> Membership {
    let identifier = node(Namespace::EMAIL, "a@x").identifier;
    Membership { since: AT, sequence: 300, identifiers: [identifier].into(), is_approximate: true }
}

fn limit() -> RefusalReason {
    RefusalReason::Limit { namespace: Namespace::USER_ID, limit: 1, count: 2 }
}

/// The rules that were stored then, as today's form of rules reads them.
fn rules() -> IdentityRules {
    let document = r#"{"namespaces":[{"name":"user_id","priority":1,"limit":1},{"name":"email","priority":2,"limit":7}]}"#;
    serde_json::from_str(document).expect("rules")
}

#[test]
fn version_1_is_read() {
    let members = [node(Namespace::EMAIL, "a@x"), node(Namespace::USER_ID, "u1")];
    let live = LiveProfile {
        created: evidence(),
        members: members.into(),
        merged: vec![ProfileId([7; 16])],
        former: Vec::new(),
        parted: Vec::new(),
    };
    let known =
        Node { profile: ID, first: evidence(), linked_at: AT, anchored: Anchored::First, current_epoch: 0 };
    let edge = Edge { first: evidence(), last_day: DAY, rule: EdgeRule::SameEvent, place: 0 };
    let refusal =
        Refusal { first: evidence(), last_day: DAY, reason: limit(), rule: EdgeRule::SameEvent, place: 0 };
    let workspace = WorkspaceState {
        version: 300,
        rules: Arc::new(rules()),
        profiles: 4,
        projected: 1000,
        duplicates: 3,
        has_unindexed_refusals: true,
        ..WorkspaceState::default()
    };
    let cases = [
        (samples::NODE, Value::Node(Arc::new(known))),
        (samples::LIVE, Value::Profile(Arc::new(ProfileRecord::Live(Arc::new(live))))),
        (samples::MERGED, Value::Profile(Arc::new(ProfileRecord::MergedInto(ID)))),
        (samples::EDGE, Value::Edge(Arc::new(edge))),
        (samples::REFUSAL, Value::Refusal(Arc::new(refusal))),
        (samples::WORKSPACE, Value::Workspace(Arc::new(workspace))),
        (samples::CHECKPOINT, Value::Checkpoint(Checkpoint { next: 301, log_time: AT })),
    ];
    check(cases);
}

#[test]
fn version_1_of_fragments_is_read() {
    let value = |sighting: Sighting, value: Option<&str>| TraitValue {
        at: sighting.at,
        message_id: sighting.message_id,
        source: sighting.source,
        value: value.map(Into::into),
    };
    let fragment = Fragment {
        traits: [
            ("gone".into(), value(sighting("m2", AT), None)),
            ("plan".into(), value(sighting("m1", AT.plus_micros(-5)), Some("\"pro\""))),
        ]
        .into(),
        first: Some(sighting("m1", AT.plus_micros(-5))),
        last: Some(sighting("m2", AT)),
        counts: [300, 1, 0, 0, 0, 0],
        ..Fragment::default()
    };
    check([(samples::FRAGMENT, Value::Fragment(Arc::new(fragment)))]);
}

#[test]
fn version_1_of_audiences_is_read() {
    let standing =
        Standing { memberships: [(AudienceId(5), membership())].into(), timer: Some(AT.plus_micros(-5)) };
    check([
        (samples::MEMBER, Value::Member(Arc::new(membership()))),
        (samples::STANDING, Value::Standing(Arc::new(standing))),
        (samples::SIZE, Value::Size(SizeRow { size: 300, entered: 3, exited: 1 })),
        (samples::TIMER, Value::Timer),
    ]);
}

fn check<const COUNT: usize>(cases: [(&[u8], Value); COUNT]) {
    for (bytes, want) in cases {
        let got = Value::decode(want.tag(), bytes).expect("version 1 is known");
        assert_eq!(got, want);
        assert_eq!(Value::decode(want.tag(), &got.encode()).expect("today's form"), want);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let (user, email) = (node(Namespace::USER_ID, "u1"), node(Namespace::EMAIL, "a@x"));
    let history = HistoryEntry {
        at: AT,
        position: Position::at(300),
        what: Happened::Took { node: user.clone(), from: Some(ID), rule: EdgeRule::ByHand },
        by: Some("ada".to_owned()),
        reason: None,
    };
    let partition = Partition {
        id: 300,
        sides: vec![vec![user], vec![email.clone()]],
        by: "ada".to_owned(),
        reason: Some("asked for".to_owned()),
        at: AT,
    };
    let alarm = AlarmRow {
        kind: AlarmKind::IdentifierJoinsMany,
        at: AT,
        profile: Some(ID),
        identifier: Some(email.identifier),
        count: 20,
        threshold: 20,
    };
    let mut workspace = WorkspaceState { version: 2, unidentified: 5, ..WorkspaceState::default() };
    workspace.change_rules(300, rules());
    workspace.merges.add(AT, 3);
    let values = [
        Value::History(Arc::new(history)),
        Value::Partition(Arc::new(partition)),
        Value::Alarm(Arc::new(alarm)),
        Value::Tally(Tally { day: DAY, count: 7 }),
        Value::RefusedBy,
        Value::Workspace(Arc::new(workspace)),
    ];
    for value in values {
        assert_eq!(Value::decode(value.tag(), &value.encode()).expect("own bytes"), value);
    }
}

#[test]
fn what_is_written_of_definitions_is_read_back() {
    let definitions = DefinitionsState {
        defined: Arc::new(Defined { version: 3, ..Defined::default() }),
        next_keeper: 8,
        keepers: vec![KeeperState { number: 7, hash: [1; 16], added: 300, is_filled: true, since: Some(AT) }],
        audiences: vec![AudienceState {
            id: AudienceId(5),
            key: "buyers".to_owned(),
            hash: [2; 16],
            members: 300,
            stage: Stage::Evaluating,
            since: Some(AT),
        }],
        leaving: vec![LeavingAudience { id: AudienceId(4), key: "lapsed".to_owned(), left: 2 }],
        reading: Some(Reading { next: 200, end: 300, from: 100 }),
        evaluating: Some(Evaluating {
            after: Some(ID),
            done: 1,
            total: 2,
            is_reconciling: true,
            is_indexing: false,
        }),
    };
    let mut record = TraitRecord::default();
    record.fold(Some("\"pro\""), &sighting("m1", AT));
    record.fold(None, &sighting("m2", AT));
    let mark = Mark { at: AT, tie: u64::MAX, value: Some("1.5".into()) };
    let trail = Trail { count: 300, first: Some(mark.clone()), marks: vec![mark], ..Trail::default() };
    let fragment = Fragment {
        kept: [(7, Kept::Trail(trail.into())), (300, Kept::Trait(record))].into(),
        accounts: [("acme".into(), sighting("m1", AT))].into(),
        ..Fragment::default()
    };
    let account = Account { fragment: fragment.clone(), members: 300, ..Account::default() };
    let values = [
        Value::Definitions(Arc::new(definitions)),
        Value::Needs(Arc::new(Needs { traits: ["plan".into()].into(), ..Needs::default() })),
        Value::Fragment(Arc::new(fragment)),
        Value::Account(Arc::new(account)),
        Value::AccountMember,
        Value::Search,
    ];
    for value in values {
        assert_eq!(Value::decode(value.tag(), &value.encode()).expect("own bytes"), value);
    }
}

#[test]
fn other_bytes_are_refused() {
    let cases: [(Tag, &[u8], &str); 5] = [
        (Tag::Node, b"", "a stored value is damaged"),
        (Tag::Node, b"\x02\x01", "a stored value is damaged"),
        (Tag::Node, b"\x03", "a stored value has form 3, which this version does not know"),
        (Tag::Fragment, b"\x03", "a stored value has form 3, which this version does not know"),
        (Tag::Standing, b"\x02", "a stored value has form 2, which this version does not know"),
    ];
    for (tag, bytes, want) in cases {
        let error = Value::decode(tag, bytes).expect_err(want);
        assert_eq!(error.to_string(), want);
    }
}
