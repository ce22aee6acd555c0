//! What a day must amount to under the default identity rules.

use crate::call::{Call, CallKind, Sending};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a day must amount to, given that its calls were posted in the iterator's order, to an empty
/// workspace with the default identity rules. Complete once the iterator has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expectation {
    /// Calls posted, repeated ones included. Each is a valid event, so each is accepted.
    pub accepted: u64,
    /// Calls posted for the first time: each is folded into a profile, and delivered.
    pub distinct: u64,
    /// Calls posted again.
    pub duplicates: u64,
    /// Calls posted after calls that happened later.
    pub late: u64,
    /// True people behind the calls.
    pub people: u64,
    /// Profiles that are left at the end. More than `people`: guests are a profile for each of their devices.
    pub profiles: u64,
    /// Profiles with a user id and two distinct orders or more.
    pub repeat_buyers: u64,
    /// The first person's profile, which is merged from several.
    pub example: Example,
}

/// What is known about the first person's profile.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// The identifiers, as (namespace, normalized value).
    pub identifiers: BTreeSet<(&'static str, String)>,
    /// The traits that are set, by name.
    pub traits: BTreeMap<String, Value>,
    /// How many distinct events the profile has.
    pub events: u64,
    newest: BTreeMap<String, (Stamp, Value)>,
}

/// Event time and message id: the order in which trait values win.
type Stamp = (jiff::Timestamp, String);

impl Example {
    /// The `user_id` among the identifiers, by which the profile can be looked up.
    pub fn user_id(&self) -> Option<&str> {
        self.identifiers
            .iter()
            .find(|(namespace, _)| *namespace == "user_id")
            .map(|(_, value)| value.as_str())
    }

    /// Takes in one more distinct call of the first person.
    fn take(&mut self, call: &Call) {
        self.events += 1;
        if call.kind != CallKind::Identify {
            return;
        }
        let body: Map<String, Value> =
            serde_json::from_str(&call.body).expect("a call's body is a JSON object");
        let stamp = (
            text(&body, "timestamp").parse().expect("a call's timestamp is RFC 3339"),
            text(&body, "messageId").to_owned(),
        );
        let traits = body.get("traits").and_then(Value::as_object).expect("an identify call has traits");
        for (name, value) in traits {
            let newer = self.newest.get(name).is_none_or(|(have, _)| *have < stamp);
            if newer {
                self.newest.insert(name.clone(), (stamp.clone(), value.clone()));
            }
        }
        // A trait that was set to null is removed.
        self.traits = self
            .newest
            .iter()
            .filter(|(_, (_, value))| !value.is_null())
            .map(|(name, (_, value))| (name.clone(), value.clone()))
            .collect();
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).expect("every call has a timestamp and a message id")
}

impl Expectation {
    /// Takes in the call that is posted next.
    pub(crate) fn take(&mut self, call: &Call) {
        self.accepted += 1;
        match call.sending {
            Sending::Repeat => self.duplicates += 1,
            Sending::First => {
                self.distinct += 1;
                if call.late_ms > 0 {
                    self.late += 1;
                }
                if call.person == 0 {
                    self.example.take(call);
                }
            }
        }
    }
}
