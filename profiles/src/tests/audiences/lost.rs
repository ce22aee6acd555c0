//! What was lost, or was never there: records, rules, entries of a version before, and what a reading makes of it.

use super::super::*;
use super::driver::{Driver, document, in_force};
use super::{HOUR, ONE, repeat};
use crate::codec::Value;
use crate::definitions::Stage;
use crate::key::{Key, Tag};
use crate::testing::audience;
use serde_json::json;
use std::ops::Bound;
use tributary_model::Workspace;
use tributary_model::tick::Tick;
use tributary_model::workspace::IdentityRules;

impl Driver {
    fn keys(&mut self, tag: Tag) -> Vec<Key> {
        let found = self.open().state.range(ONE, tag, Bound::Unbounded, &[], 1000).expect("readable");
        found.into_iter().map(|(key, _)| key).collect()
    }

    /// Takes entries out of the store, as if they had never been written.
    fn without(&mut self, keys: Vec<Key>) {
        self.write();
        let changes: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        self.open().state.store().apply(&changes).expect("applied");
        self.reopen();
    }
}

#[test]
fn people_of_the_version_before_can_be_searched_for() {
    let mut driver = Driver::new();
    driver.define(Vec::new());
    for user in ["u1", "u2"] {
        let traits = json!({"name": "Ada", "email": format!("{user}@example.com")});
        driver.send(EventKind::Identify, json!({"userId": user, "traits": traits}));
    }
    let entries = driver.keys(Tag::Search);
    assert!(!entries.is_empty());
    let gone = entries.iter().cloned().chain([Key::definitions(ONE)]).collect();
    driver.without(gone);
    assert!(driver.keys(Tag::Search).is_empty());
    assert!(driver.step(), "profiles are to be entered");
    driver.settle();
    assert_eq!(driver.keys(Tag::Search), entries);
    driver.write();
    driver.reopen();
    assert!(!driver.step(), "once");
}

#[test]
fn a_new_workspace_has_nothing_to_make_up_for() {
    let mut driver = Driver::new();
    let document = document(1, IdentityRules::default(), Vec::new());
    driver.put(in_force(&Workspace { computed_traits: Vec::new(), ..document }, START));
    driver.write();
    let stored = driver.open().state.get(&Key::definitions(ONE)).expect("readable");
    assert!(matches!(stored, Some(Value::Definitions(_))));
    driver.send(EventKind::Identify, json!({"userId": "u1", "traits": {"name": "Ada"}}));
    driver.write();
    driver.reopen();
    assert!(!driver.step());
}

/// The program was exchanged for one that knows a keeper by another hash.
#[test]
fn a_keeper_of_another_hash_is_filled_anew_with_the_next_record() {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    driver.order("u1");
    driver.order("u1");
    assert_eq!(driver.told(), ["+repeat user_id:u1"]);
    driver.write();
    let mut definitions = Arc::unwrap_or_clone(driver.definitions());
    for keeper in &mut definitions.keepers {
        keeper.hash[0] ^= 1;
    }
    let changed = (Key::definitions(ONE), Some(Value::Definitions(Arc::new(definitions)).encode()));
    driver.open().state.store().apply(&[changed]).expect("applied");
    driver.reopen();
    driver.order("u2");
    assert_eq!(driver.stage("repeat"), Stage::Reading);
    driver.order("u2");
    assert_eq!(driver.told(), Vec::<String>::new(), "it is evaluated once everything is there");
    driver.settle();
    assert_eq!(driver.told(), ["+repeat user_id:u2"], "who was a member stays one");
    assert_eq!(driver.members(1).len(), 2);
}

/// A state from an older snapshot reads the same steps again, over a log that has lost records since.
#[test]
fn steps_that_find_less_when_they_are_taken_again_say_so() {
    let mut first = Driver::new();
    for user in ["u1", "u1", "u2", "u2"] {
        first.order(user);
        first.pass(HOUR);
    }
    first.define(vec![repeat()]);
    first.tick(&Tick::ReadLog { from: 0, to: 2 });
    first.tick(&Tick::ReadLog { from: 2, to: 4 });
    first.settle();
    assert_eq!((first.members(1).len(), first.definitions().audiences[0].since), (2, None));

    let mut again = Driver::over(Arc::clone(&first.log));
    again.now = first.now;
    again.read(5);
    again.write();
    first.log.expire_before(3);
    let end = first.log.bounds().end;
    again.read(end);
    let _told = again.machine().publish();
    again.settle();
    let definitions = again.definitions();
    let audience = &definitions.audiences[0];
    assert_eq!((audience.stage, audience.since), (Stage::Live, Some(START.plus_micros(3 * HOUR))));
    assert_eq!(again.members(1).len(), 0, "one order is left, of u2");
    again.order("u2");
    assert_eq!(again.members(1).len(), 1);
}

/// Rules of long ago are forgotten, and with them whose the events were.
#[test]
fn events_under_forgotten_rules_are_as_lost() {
    let mut driver = Driver::new();
    let rules = |count| {
        let mut rules = IdentityRules::default();
        rules.namespaces[0].limit.count = count;
        rules
    };
    for version in 1..=9 {
        driver.put(in_force(&document(u64::from(version), rules(version), Vec::new()), driver.now));
        driver.order("u1");
        driver.pass(HOUR);
    }
    // Another question than the one of the computed trait, which was there from the beginning.
    let all = audience(1, "all", "count(event(\"Order Completed\") where type = \"track\") >= 1");
    driver.put(in_force(&document(10, rules(9), vec![all]), driver.now));
    driver.settle();
    let workspace = driver.open().state.get(&Key::workspace(ONE)).expect("readable");
    let Some(Value::Workspace(workspace)) = workspace else { panic!("it is there") };
    let from = workspace.knows_rules_from();
    assert!(from > 0, "the first rules are forgotten");
    let definitions = driver.definitions();
    // The log has a version and an event in each hour.
    let since = START.plus_micros(i64::try_from(from / 2).expect("small") * HOUR);
    assert_eq!(definitions.audiences[0].since, Some(since));
    assert_eq!(driver.members(1).len(), 1);
}
