//! What becomes of activations, gate by gate.

mod ages;
mod gates;
mod integrity;
mod mappings;

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tributary_model::activation::{ActivationHeader, Carried};
use tributary_model::condition::{Condition, Scope, parse_condition};
use tributary_model::workspace::{DestinationFilter, Mapping, MissingConsent};
use tributary_model::{
    DestinationId, Identifier, MessageId, Namespace, Position, ProfileId, SourceId, Timestamp, WorkspaceId,
};

const KEY: Key = Key { workspace: WorkspaceId(1), destination: DestinationId(2) };
/// When everything is attempted.
const NOW: Timestamp = Timestamp::from_millis(2_000);

/// A definition that sends events as they are by itself, and orders if it is told to.
static SPEC: LazyLock<Spec> = LazyLock::new(|| {
    let whole = json!({"name": "event", "kind": "any", "help": "h", "default": {"@path": "$"}});
    let field = |name: &str, kind: &str, path: &str, required: &str| {
        let default = json!({ "@path": path });
        json!({"name": name, "kind": kind, "help": "h", "required": required, "default": default})
    };
    let all = [
        "track",
        "identify",
        "page",
        "screen",
        "group",
        "alias",
        "audience_changes",
        "audience_traits",
        "profile_changes",
    ];
    let send = json!({"name": "send", "kind": "activations", "title": "t", "help": "h"});
    let json = json!({
        "name": "sample", "title": "Sample", "help": "h", "settings": [send],
        "transport": {"kind": "object_storage"}, "batch": {"equal": ["plan"]},
        "actions": [
            {
                "name": "order", "title": "Orders", "help": "h", "takes": ["track"],
                "trigger": "event = \"Order Completed\"",
                "fields": [
                    field("total", "number", "$.properties.total", "always"),
                    field("plan", "text", "$.profile.traits.plan", "never"),
                    field("delivery", "object", "$.delivery", "never"),
                ],
            },
            {"name": "whole", "title": "Events", "help": "h", "takes": all, "preset": true, "fields": [whole]},
            {"name": "never", "title": "Never", "help": "h", "takes": ["alias"], "fields": [whole]},
        ],
    });
    serde_json::from_value(json).expect("a definition")
});

fn config() -> DestinationConfig {
    let mut config = DestinationConfig::new(KEY.workspace, KEY.destination, "sample", Position::at(0));
    config.name = "mine".to_owned();
    config.audiences = ["vip".to_owned()].into();
    config
}

fn condition(text: &str) -> Condition {
    parse_condition(text, Scope::Event).expect(text)
}

fn filter(text: &str, action: Value) -> DestinationFilter {
    let action = serde_json::from_value(action).expect("an action");
    DestinationFilter { name: "the filter".to_owned(), condition: condition(text), action }
}

fn mapping(id: u32, action: &str, trigger: Option<&str>) -> Mapping {
    Mapping {
        id,
        name: format!("mapping {id}"),
        action: action.to_owned(),
        enabled: true,
        trigger: trigger.map(condition),
        fields: BTreeMap::new(),
    }
}

/// A track call of a person on the plan `pro` who is in the audience `vip`.
fn activation(event: &str) -> Activation {
    let header = ActivationHeader {
        workspace: KEY.workspace,
        position: Position::at(7),
        ordinal: 0,
        profile: Some(ProfileId([7; 16])),
        identifiers: vec![Identifier::parse(Namespace::USER_ID, "ada").expect("an identifier")],
        event_kind: EventKind::Track,
        source: SourceId(1),
        message_id: MessageId::parse("m").expect("an id"),
        received_at: Timestamp::from_millis(1_000),
        event_time: Timestamp::from_millis(500),
        kind: ActivationKind::Event,
        carried: Carried {
            traits: [("plan".into(), Some("\"pro\"".into())), ("age".into(), None)].into(),
            audiences: [("vip".into(), true)].into(),
            consent: None,
        },
    };
    Activation { header, event: event.to_owned().into() }
}

fn plan(config: &DestinationConfig) -> Plan {
    Plan::compile(&SPEC, config).unwrap_or_else(|error| panic!("{error}"))
}

/// How a delivery ends that is left out, and what did it; `None` if it is sent.
fn left_out(config: &DestinationConfig, activation: &Activation) -> Option<(Outcome, String)> {
    match plan(config).plan(KEY, activation, NOW) {
        Planned::LeftOut { outcome, by } => Some((outcome, by)),
        Planned::Payloads { .. } => None,
        Planned::Dead(failure) => panic!("it can be told: {failure:?}"),
    }
}

/// What is sent: the number of the mapping, the id, and the payload.
fn sent(config: &DestinationConfig, activation: &Activation) -> Vec<(u32, String, Value)> {
    match plan(config).plan(KEY, activation, NOW) {
        Planned::Payloads { payloads, refused } => {
            assert!(refused.is_empty(), "none is refused: {refused:?}");
            let shown = |payload: &Payload| serde_json::from_slice(&payload.body).expect("JSON");
            payloads.iter().map(|payload| (payload.mapping, payload.id.clone(), shown(payload))).collect()
        }
        other @ (Planned::LeftOut { .. } | Planned::Dead(_)) => panic!("it is sent: {other:?}"),
    }
}
