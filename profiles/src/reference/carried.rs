//! Which identifiers an event carries, read slowly from its whole JSON.
//!
//! It knows the places of the default table and `context.externalIds`, and no others; values that a rule blocks and
//! the suggested set, and no patterns. Priorities, normalization and which namespaces there are come from the rules.

use serde_json::Value;
use tributary_model::identity_rules::{EventIdentifiers, PreviousId};
use tributary_model::workspace::{IdentityRules, NamespaceRule};
use tributary_model::{EventKind, Identifier};

/// What an event says about whose it is.
pub(super) fn identifiers(kind: EventKind, event: &Value, rules: &IdentityRules) -> EventIdentifiers {
    let mut ordered: Vec<&NamespaceRule> = rules.namespaces.iter().collect();
    ordered.sort_by_key(|rule| (rule.priority, rule.name.to_string()));
    let mut found = EventIdentifiers::default();
    for rule in ordered {
        let texts = places(rule.name.as_str(), kind, event).into_iter().chain(external_ids(rule, event));
        for text in texts {
            let Some(identifier) = identifier(rule, &text) else { continue };
            let list =
                if is_blocked(rule, &identifier) { &mut found.blocked } else { &mut found.identifiers };
            if !list.contains(&identifier) {
                list.push(identifier);
            }
        }
    }
    if let (EventKind::Alias, Some(previous)) = (kind, event["previousId"].as_str()) {
        let of = |name: &str| {
            let rule = rules.namespaces.iter().find(|rule| rule.name.as_str() == name)?;
            identifier(rule, previous).filter(|identifier| !is_blocked(rule, identifier))
        };
        let (as_anonymous, as_user) = (of("anonymous_id"), of("user_id"));
        if as_anonymous.is_some() || as_user.is_some() {
            found.previous = Some(PreviousId { as_anonymous, as_user });
        }
    }
    found
}

fn identifier(rule: &NamespaceRule, text: &str) -> Option<Identifier> {
    Identifier::normalized(rule.name.clone(), text, &rule.normalize).ok()
}

/// What stands where the default table looks for a namespace.
fn places(namespace: &str, kind: EventKind, event: &Value) -> Vec<String> {
    let context = &event["context"];
    let device = &context["device"];
    let is_of = |system: &str| device["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(system));
    let may_track = device["adTrackingEnabled"] == Value::Bool(true);
    let of_device = |member: &str, holds: bool| if holds { &device[member] } else { &Value::Null };
    let places = match namespace {
        "user_id" => vec![&event["userId"]],
        "email" => {
            let own = if kind == EventKind::Identify { &event["traits"]["email"] } else { &Value::Null };
            vec![own, &context["traits"]["email"]]
        }
        "anonymous_id" => vec![&event["anonymousId"]],
        "ga_client_id" => vec![&context["integrations"]["Google Analytics"]["clientId"]],
        "android.id" => vec![of_device("id", is_of("android"))],
        "android.idfa" => vec![of_device("advertisingId", is_of("android") && may_track)],
        "android.push_token" => vec![of_device("token", is_of("android"))],
        "ios.id" => vec![of_device("id", is_of("ios"))],
        "ios.idfa" => vec![of_device("advertisingId", is_of("ios") && may_track)],
        "ios.push_token" => vec![of_device("token", is_of("ios"))],
        _ => Vec::new(),
    };
    let is_call_member = matches!(namespace, "user_id" | "anonymous_id");
    places.into_iter().filter(|value| !is_call_member || value.is_string()).filter_map(text).collect()
}

/// The entries of `context.externalIds` of a namespace, of people, not encoded.
fn external_ids(rule: &NamespaceRule, event: &Value) -> Vec<String> {
    let entries = event["context"]["externalIds"].as_array().into_iter().flatten();
    let ours = entries.filter(|entry| {
        entry["type"] == rule.name.as_str() && entry["collection"] == "users" && entry["encoding"] == "none"
    });
    ours.filter_map(|entry| text(&entry["id"])).collect()
}

/// A text, or a whole number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_blocked(rule: &NamespaceRule, identifier: &Identifier) -> bool {
    let value = identifier.value();
    let by_hand = rule.blocked.iter().any(|blocked| {
        Identifier::normalized(rule.name.clone(), blocked, &rule.normalize).as_ref() == Ok(identifier)
    });
    by_hand || rule.block_suggested && is_suggested(value)
}

fn is_suggested(value: &str) -> bool {
    let named = [
        "null",
        "undefined",
        "none",
        "nil",
        "nan",
        "anonymous",
        "guest",
        "unknown",
        "true",
        "false",
        "n/a",
        "id",
        "email",
        "distinct_id",
        "not_authenticated",
        "-1",
        "[object object]",
    ];
    let value = value.trim().to_ascii_lowercase();
    named.contains(&value.as_str()) || value.chars().all(|character| matches!(character, '0' | '-'))
}
