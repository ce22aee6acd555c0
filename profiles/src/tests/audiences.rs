//! Audiences by hand: who enters and leaves when, what is told of it; and that restarts change nothing.

mod carried;
mod driver;
mod lost;
mod restarts;

use super::*;
use crate::codec::Value;
use crate::definitions::Stage;
use crate::key::{Tag, audience_prefix};
use crate::machine::Due;
use crate::testing::audience;
use driver::{Driver, document, in_force, is_of_audience};
use serde_json::{Value as Json, json};
use std::ops::Bound;
use tributary_model::AudienceId;
use tributary_model::activation::ActivationKind;
use tributary_model::clock::Clock;
use tributary_model::command::{Action, Command, UnmergeTarget, Who};
use tributary_model::tick::Tick;
use tributary_model::workspace::{Audience, IdentityRules, MergePolicy, TraitRules};

const ONE: WorkspaceId = WorkspaceId(1);
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

fn repeat() -> Audience {
    audience(1, "repeat", "count(event(\"Order Completed\")) >= 2")
}

fn recent() -> Audience {
    audience(2, "recent", "event(\"Order Completed\") within 7d")
}

fn quiet() -> Audience {
    audience(3, "quiet", "not event(\"Order Completed\") within 7d")
}

fn identifier(namespace: Namespace, value: &str) -> Identifier {
    Identifier::parse(namespace, value).expect("an identifier")
}

#[test]
fn events_make_profiles_enter_and_leave() {
    let mut driver = Driver::new();
    driver.define(vec![repeat(), audience(4, "pro", "traits.plan = \"pro\""), quiet()]);
    assert_eq!(driver.stage("repeat"), Stage::Live, "nobody is there to be evaluated");
    driver.order("u1");
    assert_eq!(driver.told(), Vec::<String>::new());
    driver.order("u1");
    assert_eq!(driver.told(), ["+repeat user_id:u1"]);
    driver.order("u1");
    assert_eq!(driver.told(), Vec::<String>::new(), "it is in it already");
    driver.send(EventKind::Identify, json!({"userId": "u2", "traits": {"plan": "pro"}}));
    assert_eq!(driver.told(), ["+pro user_id:u2", "+quiet user_id:u2"]);
    driver.send(EventKind::Identify, json!({"userId": "u2", "traits": {"plan": null}}));
    assert_eq!(driver.told(), ["-pro user_id:u2"]);
    assert_eq!(driver.members(1), BTreeSet::from(["user_id:u1".to_owned()]));
    assert_eq!(driver.members(4), BTreeSet::new());
    let sizes = driver.open().state.range(ONE, Tag::Size, Bound::Unbounded, &[], 10).expect("readable");
    assert_eq!(sizes.len(), 3, "one hour of each");
}

/// An exit names those that the entry named, whatever has come since.
#[test]
fn an_exit_carries_the_identifiers_of_its_entry() {
    let mut driver = Driver::new();
    driver.define(vec![audience(4, "pro", "traits.plan = \"pro\"")]);
    driver.send(EventKind::Identify, json!({"anonymousId": "d1", "traits": {"plan": "pro"}}));
    driver.send(EventKind::Identify, json!({"anonymousId": "d1", "userId": "u1"}));
    driver.send(EventKind::Identify, json!({"userId": "u1", "traits": {"plan": "free"}}));
    assert_eq!(driver.told(), ["+pro anonymous_id:d1", "-pro anonymous_id:d1"]);
}

#[test]
fn whoever_is_anonymous_is_in_audiences_that_include_them_only() {
    let mut driver = Driver::new();
    let known = Audience { include_anonymous: false, ..audience(5, "known", "not event(\"Spam\")") };
    driver.define(vec![known]);
    driver.send(EventKind::Track, json!({"anonymousId": "d1", "event": "Seen"}));
    assert_eq!(driver.told(), Vec::<String>::new());
    driver.send(EventKind::Track, json!({"anonymousId": "d1", "userId": "u1", "event": "Seen"}));
    assert_eq!(driver.told(), ["+known anonymous_id:d1 user_id:u1"]);
}

#[test]
fn time_alone_makes_profiles_enter_and_leave_also_after_a_restart() {
    let mut driver = Driver::new();
    driver.define(vec![recent(), quiet()]);
    driver.order("u1");
    driver.pass(HOUR);
    driver.send_late(EventKind::Track, json!({"userId": "u2", "event": "Order Completed"}), 3 * DAY);
    assert_eq!(driver.told(), ["+recent user_id:u1", "+recent user_id:u2"]);
    driver.pass(4 * DAY - 1);
    assert_eq!(driver.told(), Vec::<String>::new(), "not a microsecond too early");
    driver.pass(1);
    assert_eq!(driver.told(), ["-recent user_id:u2", "+quiet user_id:u2"]);
    driver.write();
    driver.reopen();
    let due = driver.machine().due(WorkspaceId(0)).expect("readable").timer;
    assert_eq!(due, Some((START.plus_micros(7 * DAY), ONE)));
    // It was away when the time came.
    driver.pass(30 * DAY);
    assert_eq!(driver.told(), ["-recent user_id:u1", "+quiet user_id:u1"]);
    let left = driver.open().state.range(ONE, Tag::Timer, Bound::Unbounded, &[], 10).expect("readable");
    assert!(left.is_empty(), "nothing more can change by time");
}

/// One order in the window keeps a member in it: its timer rings and is set again.
#[test]
fn a_timer_that_rings_too_early_is_set_again() {
    let mut driver = Driver::new();
    driver.define(vec![recent()]);
    driver.order("u1");
    driver.pass(3 * DAY);
    driver.order("u1");
    driver.pass(4 * DAY);
    assert_eq!(driver.told(), ["+recent user_id:u1"]);
    driver.pass(3 * DAY - 1);
    assert_eq!(driver.told(), Vec::<String>::new());
    driver.pass(1);
    assert_eq!(driver.told(), ["-recent user_id:u1"]);
}

#[test]
fn a_merge_unites_memberships() {
    let mut driver = Driver::new();
    driver.define(vec![repeat(), audience(6, "once", "count(event(\"Order Completed\")) = 1")]);
    let seen = |device: &str| json!({"anonymousId": device, "event": "Order Completed"});
    driver.send(EventKind::Track, seen("d1"));
    driver.send(EventKind::Track, seen("d2"));
    driver.send(EventKind::Track, seen("d3"));
    driver.send(EventKind::Track, seen("d3"));
    assert_eq!(driver.told().len(), 5);
    // Two that bought once are one that bought twice.
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d1"}));
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d2"}));
    let all = "anonymous_id:d1 anonymous_id:d2 user_id:u1";
    assert_eq!(
        driver.told(),
        [format!("+repeat {all}"), "-once anonymous_id:d1".to_owned(), "-once anonymous_id:d2".to_owned()]
    );
    // Both are members: nothing is told, and the exit will name both.
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d3"}));
    assert_eq!(driver.told(), Vec::<String>::new());
    assert_eq!(driver.members(1).len(), 1);
    driver.define(vec![audience(6, "once", "count(event(\"Order Completed\")) = 1")]);
    driver.settle();
    let all = "anonymous_id:d1 anonymous_id:d2 anonymous_id:d3 user_id:u1";
    assert_eq!(driver.told(), [format!("-repeat {all}")]);
}

#[test]
fn an_unmerge_brings_the_exits_and_entries_that_follow() {
    let mut driver = Driver::new();
    driver.define(vec![repeat(), audience(6, "once", "count(event(\"Order Completed\")) = 1")]);
    for ids in [json!({"userId": "u1", "anonymousId": "d1"}), json!({"anonymousId": "d2"})] {
        let mut order = json!({"event": "Order Completed"});
        order.as_object_mut().expect("an object").extend(ids.as_object().expect("an object").clone());
        driver.send(EventKind::Track, order);
    }
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d2"}));
    let _entered_and_merged = driver.told();
    let whole = "anonymous_id:d1 anonymous_id:d2 user_id:u1";
    driver.command(Action::Unmerge {
        who: Who::Identifier(identifier(Namespace::USER_ID, "u1")),
        target: UnmergeTarget::Identifier(identifier(Namespace::ANONYMOUS_ID, "d2")),
        retake: false,
    });
    let told = driver.told();
    let (exits, entries): (Vec<&String>, Vec<&String>) = told.iter().partition(|told| told.starts_with('-'));
    assert_eq!(exits, [&format!("-repeat {whole}")]);
    assert_eq!(entries.len(), 2, "each part bought once: {told:?}");
    assert_eq!(driver.members(6).len(), 2);
    assert_eq!(driver.members(1).len(), 0);
}

/// Events that are older than a definition count as if it had been there from the beginning, and those that come while
/// the log is read back, too.
#[test]
fn a_new_audience_is_filled_from_the_log_while_events_go_on() {
    let (mut driver, mut want) = (Driver::new(), Driver::new());
    want.define(vec![repeat(), recent()]);
    for driver in [&mut driver, &mut want] {
        for user in ["u1", "u2", "u1"] {
            driver.order(user);
            driver.pass(HOUR);
        }
        // What was taken over is read back to whoever has it now.
        driver.send(EventKind::Identify, json!({"anonymousId": "d1", "userId": "u3"}));
        driver.send(EventKind::Track, json!({"anonymousId": "d1", "event": "Order Completed"}));
    }
    driver.define(vec![repeat(), recent()]);
    assert_eq!((driver.stage("repeat"), driver.stage("recent")), (Stage::Reading, Stage::Reading));
    assert!(driver.told().is_empty());
    let end = driver.definitions().reading.expect("it reads").end;
    driver.tick(&Tick::ReadLog { from: 0, to: 2 });
    driver.tick(&Tick::ReadLog { from: 0, to: 2 });
    assert_eq!(driver.definitions().reading.map(|reading| reading.next), Some(2), "a step is taken once");
    for driver in [&mut driver, &mut want] {
        driver.order("u2");
        driver.order("u4");
    }
    driver.tick(&Tick::ReadLog { from: 2, to: end });
    assert_eq!(driver.stage("repeat"), Stage::Evaluating);
    assert!(driver.told().is_empty(), "it is evaluated once everything is there");
    for driver in [&mut driver, &mut want] {
        driver.order("u4");
        driver.settle();
        assert_eq!(driver.stage("repeat"), Stage::Live);
    }
    for id in [1, 2] {
        assert_eq!(driver.members(id), want.members(id), "{id}");
    }
    assert_eq!(driver.definitions().audiences[0].since, None, "the log has everything");
    assert_eq!(driver.told().len(), driver.members(1).len() + driver.members(2).len(), "each entered once");
}

#[test]
fn a_log_that_lost_its_beginning_fills_with_the_rest_and_says_so() {
    let mut driver = Driver::new();
    for _ in 0..5 {
        driver.order("u1");
        driver.pass(HOUR);
    }
    driver.log.expire_before(2);
    driver.define(vec![audience(1, "three", "count(event(\"Order Completed\")) = 3")]);
    driver.settle();
    let definitions = driver.definitions();
    let audience = &definitions.audiences[0];
    assert_eq!((audience.stage, audience.since), (Stage::Live, Some(START.plus_micros(2 * HOUR))));
    assert_eq!(driver.members(1).len(), 1);
}

#[test]
fn a_deleted_audience_lets_its_members_leave_before_its_key_is_taken_again() {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    for user in ["u1", "u2", "u3", "u1", "u2", "u3"] {
        driver.order(user);
    }
    assert_eq!(driver.told().len(), 3);
    driver.define(vec![audience(7, "repeat", "event(\"Order Completed\")")]);
    assert_eq!(driver.stage("repeat"), Stage::Waiting);
    driver.order("u4");
    assert_eq!(driver.told(), Vec::<String>::new(), "the key is not free");
    driver.tick(&Tick::Leave { after: None, max: 2 });
    assert_eq!(driver.told().len(), 2);
    driver.settle();
    let told = driver.told();
    assert!(told[0].starts_with("-repeat") && told[1..].iter().all(|told| told.starts_with("+repeat")));
    assert_eq!((told.len(), driver.members(7).len(), driver.stage("repeat")), (5, 4, Stage::Live));
    let sizes =
        driver.open().state.range(ONE, Tag::Size, Bound::Unbounded, &audience_prefix(AudienceId(1)), 10);
    assert!(sizes.expect("readable").is_empty());
}

#[test]
fn a_broken_audience_stands_still() {
    let mut driver = Driver::new();
    let depends = || audience(8, "depends", "audience(\"repeat\") and not event(\"Returned\")");
    driver.define(vec![repeat(), depends()]);
    driver.order("u1");
    driver.order("u1");
    assert_eq!(driver.told(), ["+repeat user_id:u1", "+depends user_id:u1"]);
    driver.define(vec![depends()]);
    assert_eq!(driver.stage("depends"), Stage::Broken);
    driver.settle();
    assert_eq!(driver.told(), ["-repeat user_id:u1"]);
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Returned"}));
    // Also where a profile becomes part of another.
    driver.send(EventKind::Track, json!({"anonymousId": "d1", "event": "Seen"}));
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d1"}));
    assert_eq!(driver.told(), Vec::<String>::new());
    assert_eq!(driver.members(8).len(), 1);
    driver.define(vec![audience(9, "repeat", "event(\"Order Completed\")"), depends()]);
    driver.settle();
    assert_eq!(driver.told(), ["+repeat anonymous_id:d1 user_id:u1", "-depends user_id:u1"]);
}

/// Who is parted while an audience stands still leaves with what was told of the part, and nobody else's.
#[test]
fn what_was_told_is_parted_also_while_an_audience_stands_still() {
    let mut driver = Driver::new();
    let depends = || audience(8, "depends", "audience(\"repeat\") and not event(\"Returned\")");
    driver.define(vec![repeat(), depends()]);
    for device in ["d1", "d1", "d2", "d2"] {
        driver.send(EventKind::Track, json!({"anonymousId": device, "event": "Order Completed"}));
    }
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d1"}));
    driver.send(EventKind::Identify, json!({"userId": "u1", "anonymousId": "d2"}));
    driver.define(vec![depends()]);
    driver.settle();
    let _before = driver.told();
    driver.command(Action::Unmerge {
        who: Who::Identifier(identifier(Namespace::USER_ID, "u1")),
        target: UnmergeTarget::Identifier(identifier(Namespace::ANONYMOUS_ID, "d2")),
        retake: false,
    });
    assert_eq!((driver.told(), driver.members(8).len()), (Vec::new(), 2), "a part of a member stays in it");
    driver.send(EventKind::Track, json!({"anonymousId": "d2", "event": "Returned"}));
    driver.define(vec![audience(9, "repeat", "event(\"Order Completed\")"), depends()]);
    driver.settle();
    let told = driver.told();
    let depends: Vec<&String> = told.iter().filter(|told| told.contains("depends")).collect();
    assert_eq!(depends, ["-depends anonymous_id:d2"]);
    assert_eq!(driver.members(8).len(), 1);
}

/// An identifier that was taken away is nobody's until another profile enters with it. Once the one that it was taken from
/// changes in any way, it is not told of that one's exit any more: the other is a member by it.
#[test]
fn an_identifier_that_another_entered_with_is_not_told_of_an_exit() {
    let mut driver = Driver::new();
    driver.define(vec![audience(4, "here", "not event(\"Left\")")]);
    let (device, email) = (identifier(Namespace::ANONYMOUS_ID, "d1"), json!({"traits": {"email": "a@x.y"}}));
    driver.send(EventKind::Track, json!({"anonymousId": "d1", "event": "Came", "context": email}));
    driver.command(Action::Remove { who: Who::Identifier(device.clone()), identifier: device });
    driver.send(EventKind::Track, json!({"userId": "u2", "anonymousId": "d1", "event": "Came"}));
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Came", "context": email}));
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Left"}));
    let told = driver.told();
    assert_eq!(
        told,
        ["+here anonymous_id:d1 email:a@x.y", "+here anonymous_id:d1 user_id:u2", "-here email:a@x.y",]
    );
}

/// A limit that a membership rests on is kept with it, and nobody is told when that changes.
#[test]
fn a_membership_says_whether_it_is_approximate() {
    let mut driver = Driver::new();
    let condition = "unique_count(event(\"Seen\").properties.x) >= 1000";
    driver.define(vec![audience(1, "many", condition)]);
    let mut found = Vec::new();
    for count in 1..=1001 {
        driver.send(EventKind::Track, json!({"userId": "u1", "event": "Seen", "properties": {"x": count}}));
        if count >= 1000 {
            let rows = driver.open().state.range(ONE, Tag::Member, Bound::Unbounded, &[], 10);
            for (_, value) in rows.expect("readable") {
                let Value::Member(membership) = value else { panic!("a member") };
                found.push(membership.is_approximate);
            }
        }
    }
    assert_eq!(found, [false, true]);
    assert_eq!((driver.told(), driver.members(1).len()), (vec!["+many user_id:u1".to_owned()], 1));
}

#[test]
fn a_changed_definition_is_evaluated_anew_and_a_changed_name_is_not() {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    for user in ["u1", "u1", "u2"] {
        driver.order(user);
    }
    let _entered = driver.told();
    driver.define(vec![Audience { name: "Another".to_owned(), ..repeat() }]);
    assert_eq!((driver.stage("repeat"), driver.step()), (Stage::Live, false));
    driver.define(vec![audience(1, "repeat", "count(event(\"Order Completed\")) = 1")]);
    driver.settle();
    let mut told = driver.told();
    told.sort();
    assert_eq!(told, ["+repeat user_id:u2", "-repeat user_id:u1"]);
}

/// A policy decides which value a trait has, and with that who is in an audience.
#[test]
fn a_changed_policy_brings_its_audiences_up_to_date() {
    let mut driver = Driver::new();
    let pro = || audience(4, "pro", "traits.plan = \"pro\"");
    driver.define(vec![pro()]);
    for plan in ["pro", "free"] {
        driver.send(EventKind::Identify, json!({"userId": "u1", "traits": {"plan": plan}}));
        driver.pass(HOUR);
    }
    assert_eq!(driver.told(), ["+pro user_id:u1", "-pro user_id:u1"]);
    let policies = BTreeMap::from([("plan".to_owned(), MergePolicy::Oldest)]);
    driver.define_with(vec![pro()], TraitRules { policies, ..TraitRules::default() });
    assert_eq!(driver.stage("pro"), Stage::Reading);
    driver.settle();
    assert_eq!(driver.told(), ["+pro user_id:u1"]);
    driver.define(vec![pro()]);
    driver.settle();
    assert_eq!(driver.told(), ["-pro user_id:u1"]);
}

#[test]
fn the_members_of_an_account_change_for_one_another() {
    let mut driver = Driver::new();
    driver.define(vec![
        audience(1, "of_pro", "account(traits.plan = \"pro\")"),
        audience(2, "of_buyers", "account(any member(event(\"Order Completed\")))"),
    ]);
    for user in ["u1", "u2"] {
        driver.send(EventKind::Group, json!({"userId": user, "groupId": "acme"}));
    }
    assert_eq!(driver.told(), Vec::<String>::new());
    driver.send(EventKind::Group, json!({"userId": "u2", "groupId": "acme", "traits": {"plan": "pro"}}));
    let mut told = driver.told();
    told.sort();
    assert_eq!(told, ["+of_pro user_id:u1", "+of_pro user_id:u2"]);
    driver.order("u1");
    let mut told = driver.told();
    told.sort();
    assert_eq!(told, ["+of_buyers user_id:u1", "+of_buyers user_id:u2"]);
}

#[test]
fn a_deleted_workspace_keeps_nothing_and_ticks_for_it_do_nothing() {
    let mut driver = Driver::new();
    driver.define(vec![recent()]);
    driver.order("u1");
    driver.put(Record::of_workspace(ONE, 2, driver.now, None).encode());
    driver.tick(&Tick::Timers { max: 10 });
    driver.tick(&Tick::Evaluate { after: None, max: 10 });
    assert_eq!(driver.machine().due(WorkspaceId(0)).expect("readable"), Due::default());
    driver.write();
    assert_eq!(dump(&driver.open().state).len(), 2, "that it was deleted, and the checkpoint");
}

/// After a rebuild every audience is evaluated again: profiles that are no more hand over what they were in.
#[test]
fn a_rebuild_settles_memberships() {
    let rules = |count: u32| {
        let mut rules = IdentityRules::default();
        for rule in rules.namespaces.iter_mut().filter(|rule| rule.name == Namespace::USER_ID) {
            rule.limit.count = count;
        }
        rules
    };
    let audiences = || vec![repeat(), audience(6, "once", "count(event(\"Order Completed\")) = 1")];
    let document = |version, count| in_force(&document(version, rules(count), audiences()), START);
    let directory = tempfile::tempdir().expect("a directory");
    let mut source = Driver::new();
    source.put(document(1, 1));
    for user in ["u1", "u2"] {
        source
            .send(EventKind::Track, json!({"userId": user, "anonymousId": "d1", "event": "Order Completed"}));
    }
    source.put(document(2, 5));
    let command = Command { by: "ada".to_owned(), reason: None, action: Action::Rebuild };
    append(&*source.log, vec![Record::of_command(ONE, 2, START, &command).encode()]);
    let written = Arc::new(MemoryLog::new());
    let projector = start_projector(directory.path(), &source.log, &written);
    // Two entries, two exits and an entry, each told twice, beside two events and the merge.
    assert!(written.wait_past(12, Duration::from_secs(60)), "the projector appends the steps itself");
    projector.stop().expect("a clean stop");
    let told: Vec<String> = activations(&*written)
        .iter()
        .filter(|told| is_of_audience(told) && told.header.kind != ActivationKind::AudienceTrait)
        .map(|told| {
            let body: Json = serde_json::from_slice(&told.event).expect("JSON");
            format!("{} {}", body["event"], body["properties"]["audience_key"])
        })
        .collect();
    let (entered, exited) = ("\"Audience Entered\"", "\"Audience Exited\"");
    assert_eq!(
        told,
        [
            format!("{entered} \"once\""),
            format!("{entered} \"once\""),
            format!("{entered} \"repeat\""),
            format!("{exited} \"once\""),
            format!("{exited} \"once\""),
        ]
    );
}

/// The projector appends ticks by its clock, when nothing else happens.
#[test]
fn the_projector_ticks_by_its_clock() {
    let mut source = Driver::new();
    source.define(vec![recent()]);
    source.order("u1");
    let directory = tempfile::tempdir().expect("a directory");
    let (written, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::at(START)));
    let parts = ProjectorParts {
        events: Arc::clone(&source.log) as Arc<dyn EventLog>,
        activations: Arc::clone(&written) as Arc<dyn EventLog>,
        indexes: open_indexes(directory.path()),
        hash_key: hash_key(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
    };
    let options = ProjectorOptions::new(StatePaths::within(directory.path()));
    let projector = Projector::start(options, parts, |error| panic!("{error}")).expect("it starts");
    let patience = Duration::from_secs(60);
    assert!(written.wait_past(2, patience), "the event, and an entry in two forms");
    assert_eq!(source.log.bounds().end, 2, "nothing is due");
    clock.set(START.plus_micros(7 * DAY));
    assert!(written.wait_past(4, patience), "the exit in two forms");
    projector.stop().expect("a clean stop");
    assert_eq!(source.log.bounds().end, 3, "one tick");
}
