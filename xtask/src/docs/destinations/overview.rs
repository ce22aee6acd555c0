//! The table of all definitions and what they can do.

use super::Definition;
use super::words::{code, list, table, text};
use serde_json::Value;

const ABOUT: &str = "# Destinations\n\n\
    A destination is a definition of the catalog, configured with settings. All definitions are data, and one engine runs \
    them: filters, consent, mapping, batches, order, retries, pauses, replay and records are the same for each.\n\n";

const LEGEND: &str = "\n\
    - **reached by**: HTTP requests, rows in a database, or files.\n\
    - **settings, actions**: how many there are.\n\
    - **batched**: how many deliveries share a request, and whether only those of one profile.\n\
    - **ordered**: whether deliveries of a profile arrive in the order of their events.\n\
    - **per-item results**: whether a part of a batch can be taken and another not.\n\
    - **rate limit**: requests a second at most, unless a setting says otherwise.\n\
    - **hashes**: whether personal fields can be sent hashed.\n\
    - **deletes a person**, **test call**: whether there is a request for that.\n\
    - **replay-safe id**: whether what is sent carries the delivery's id or a key, by which the receiver tells repeats.\n";

/// The page.
pub(super) fn page(definitions: &[Definition]) -> String {
    let head = [
        "definition",
        "reached by",
        "settings",
        "actions",
        "batched",
        "ordered",
        "per-item results",
        "rate limit",
        "hashes",
        "deletes a person",
        "test call",
        "replay-safe id",
    ];
    format!("{ABOUT}{}{LEGEND}", table(head, definitions.iter().map(row)))
}

fn row(definition: &Definition) -> [String; 12] {
    let transport = definition.transport();
    let kind = text(transport, "kind");
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let is_http = kind == "http";
    [
        format!("[{}]({}.md)", definition.title(), definition.name),
        reached_by(kind).to_owned(),
        definition.settings().len().to_string(),
        definition.actions().len().to_string(),
        batched(definition),
        yes(definition.json["order"] != "none"),
        yes(if is_http { has_items(transport) } else { kind == "postgresql" }),
        rate(definition),
        yes(fields(definition).any(|field| field["hash"].is_string())),
        yes(!transport["delete"].is_null() || transport["kind"] == "postgresql"),
        yes(!is_http || !transport["test"].is_null()),
        yes(is_replay_safe(definition)),
    ]
}

/// How a kind of transport reaches a destination.
pub(super) fn reached_by(kind: &str) -> &str {
    match kind {
        "http" => "HTTP",
        "postgresql" => "database",
        "object_storage" => "files",
        other => other,
    }
}

/// How many deliveries share a request.
pub(super) fn batched(definition: &Definition) -> String {
    let batch = &definition.json["batch"];
    let setting = text(batch, "events_setting");
    let most = definition.setting(setting).and_then(|setting| setting["maximum"].as_u64());
    let most = most.or_else(|| batch["events"].as_u64()).unwrap_or(1);
    if most <= 1 {
        return "no".to_owned();
    }
    let among = if text(batch, "among") == "profile" { " of one profile" } else { "" };
    let by = if setting.is_empty() { String::new() } else { format!(" by {}", code(setting)) };
    format!("up to {most}{among}{by}")
}

/// Requests a second.
pub(super) fn rate(definition: &Definition) -> String {
    let limits = &definition.json["limits"];
    match (limits["requests_per_second"].as_f64(), text(limits, "requests_per_second_setting")) {
        (None, "") => "none".to_owned(),
        (None, setting) => format!("by {}", code(setting)),
        (Some(most), "") => format!("{most} a second"),
        (Some(most), setting) => format!("{most} a second, else by {}", code(setting)),
    }
}

fn has_items(transport: &Value) -> bool {
    let responses =
        [&transport["response"], &transport["request"]["response"], &transport["batch_request"]["response"]];
    responses.into_iter().any(|response| response["items"].is_object())
}

fn fields(definition: &Definition) -> impl Iterator<Item = &Value> {
    let own = definition.actions().iter().flat_map(|action| list(action, "fields"));
    own.chain(definition.shared_fields())
}

/// Whether something of the delivery's own goes out with it: its id, or the message's.
fn is_replay_safe(definition: &Definition) -> bool {
    let transport = definition.transport();
    let places = [&transport["request"], &transport["batch_request"], &definition.json["actions"]];
    let written: Vec<String> = places.iter().map(|place| place.to_string()).collect();
    ["$.ids", "$.delivery.id", "$.messageId", "ids.["]
        .iter()
        .any(|id| written.iter().any(|text| text.contains(id)))
}
