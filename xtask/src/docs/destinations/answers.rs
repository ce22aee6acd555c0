//! How answers are read, in words.

use super::words::{bare, code, directive, joined, list, table, text};
use serde_json::Value;

/// What holds of every HTTP answer that no rule is about.
const OTHERWISE: &str = "2xx means delivered. 408, 425, 429, 5xx but 501, no answer and no connection are tried again, not \
    earlier than `Retry-After` asks; where they look like an outage the destination pauses. 401 pauses it until its settings \
    change. Every other answer is final: the delivery becomes a dead letter. Redirects are not followed.\n";

/// How answers over HTTP are read.
pub(super) fn section(http: &Value) -> String {
    let mut section = String::new();
    let rules = [("", &http["response"]), (" to a batch", &http["batch_request"]["response"])];
    for (what, response) in rules {
        if !list(response, "rules").is_empty() {
            section.push_str(&rules_of(what, response));
            section.push('\n');
        }
    }
    let lead = if section.is_empty() { "" } else { "Where none of these fits: " };
    section.push_str(lead);
    section.push_str(OTHERWISE);
    section
}

/// The first rule that fits decides.
fn rules_of(what: &str, response: &Value) -> String {
    let mut text_of = format!("The first row that fits an answer{what} says what it means.\n\n");
    let rows = list(response, "rules")
        .iter()
        .map(|rule| [statuses(&rule["status"]), body(&rule["body"]), meaning(rule)]);
    text_of.push_str(&table(["status", "body", "meaning"], rows));
    if let Some(items) = response.get("items").filter(|items| items.is_object()) {
        text_of.push_str(&format!("\n{}\n", results(items)));
    }
    text_of
}

fn results(items: &Value) -> String {
    let name = |member: &str| code(text(items, member));
    let whose = if items["id"].is_string() {
        format!("{} in it names the delivery", name("id"))
    } else {
        "they are in the order of the deliveries".to_owned()
    };
    let words = if items["message"].is_string() {
        format!(", {} says in words what was wrong", name("message"))
    } else {
        String::new()
    };
    format!(
        "Results of single deliveries are the list at {}: {whose}, {} is read like an HTTP status{words}. A delivery that \
         no result is about {}.",
        name("path"),
        name("status"),
        verdict(text(items, "missing")),
    )
}

fn statuses(status: &Value) -> String {
    match status {
        Value::Null => "any".to_owned(),
        Value::Array(any) => joined(&any.iter().map(bare).collect::<Vec<_>>(), "or"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => bare(status),
    }
}

fn body(test: &Value) -> String {
    if let Some(contained) = test["text"].as_str() {
        return format!("contains {}", code(contained));
    }
    let Some(path) = test["path"].as_str() else { return "any".to_owned() };
    match test.get("equals").filter(|equals| !equals.is_null()) {
        Some(equals) => format!("{} is {}", code(path), directive(equals)),
        None => format!("has {}", code(path)),
    }
}

fn meaning(rule: &Value) -> String {
    let verdict = verdict(text(rule, "verdict"));
    let words = text(rule, "text");
    if words.is_empty() { verdict.to_owned() } else { format!("{verdict}: {words}") }
}

fn verdict(name: &str) -> &str {
    match name {
        "delivered" => "was taken",
        "retry" => "is tried again",
        "reject" => "becomes a dead letter",
        "credentials" => "waits: the destination pauses until its settings change",
        "items" => "each delivery as its own result says",
        other => other,
    }
}
