//! The page about a definition.

use super::overview::{batched, rate, reached_by};
use super::words::{bare, code, coded, codes, directive, joined, laid_out, list, table, text};
use super::{Case, Definition, answers};
use serde_json::Value;

/// The page: what it is, settings, actions, how it sends, limits, answers, what a person wrote, examples.
pub(super) fn page(definition: &Definition) -> String {
    let mut page = format!("# {}\n\n{}\n", definition.title(), text(&definition.json, "help"));
    let documentation = list(&definition.json, "documentation");
    if !documentation.is_empty() {
        page.push_str("\nIt follows:\n\n");
        page.push_str(&bullets(documentation));
    }
    page.push_str(&settings(definition));
    page.push_str(&actions(definition));
    page.push_str(&sending(definition));
    if definition.transport()["kind"] == "http" {
        page.push_str(&format!("\n## How answers are read\n\n{}", answers::section(definition.transport())));
    }
    if let Some(notes) = &definition.notes {
        page.push_str(&format!("\n{}\n", notes.trim_end()));
    }
    page.push_str(&examples(definition));
    page
}

fn bullets(texts: &[Value]) -> String {
    texts.iter().map(|member| format!("- {}\n", bare(member))).collect()
}

fn settings(definition: &Definition) -> String {
    let rows = definition.settings().iter().map(|setting| {
        let default = &setting["default"];
        let help = match list(setting, "needs") {
            [] => text(setting, "help").to_owned(),
            _ => format!("{} Needs {}.", text(setting, "help"), joined(&codes(setting, "needs"), "and")),
        };
        [
            code(text(setting, "name")),
            setting_values(setting),
            if setting["required"] == true { "yes" } else { "no" }.to_owned(),
            if setting["secret"] == true { "yes" } else { "no" }.to_owned(),
            if default.is_null() { String::new() } else { code(&bare(default)) },
            help,
        ]
    });
    let head = ["setting", "values", "required", "secret", "by default", "what it is"];
    let mut section = format!("\n## Settings\n\n{}", table(head, rows));
    for group in list(&definition.json, "one_of") {
        let names = coded(group.as_array().map(Vec::as_slice).unwrap_or_default());
        section.push_str(&format!("\nExactly one of {} has to be given.\n", joined(&names, "and")));
    }
    section
}

fn setting_values(setting: &Value) -> String {
    match text(setting, "kind") {
        "url" => "a URL with `http` or `https`".to_owned(),
        "text" => "text".to_owned(),
        "template" => "text with templates such as `{{properties.total}}`".to_owned(),
        "choice" => joined(&codes(setting, "choices"), "or"),
        "switch" => "`true` or `false`".to_owned(),
        "count" => {
            let least = setting["minimum"].as_u64().unwrap_or(1);
            match setting["maximum"].as_u64() {
                Some(most) => format!("a whole number from {least} to {most}"),
                None => format!("a whole number from {least} on"),
            }
        }
        "headers" => "an object of texts".to_owned(),
        "activations" => {
            "a list out of `events`, `profile_changes`, `audience_changes` and `audience_traits`".to_owned()
        }
        other => other.to_owned(),
    }
}

fn actions(definition: &Definition) -> String {
    let mut section = "\n## Actions\n".to_owned();
    for action in definition.actions() {
        section.push_str(&format!("\n### {}\n\n{}\n\n", text(action, "title"), text(action, "help")));
        section.push_str(&format!("- name: {}\n", code(text(action, "name"))));
        section.push_str(&format!("- takes: {}\n", joined(&codes(action, "takes"), "and")));
        if let Some(trigger) = action["trigger"].as_str() {
            section
                .push_str(&format!("- of these, unless a mapping says otherwise, where {}\n", code(trigger)));
        }
        let preset = if action["preset"] == true { "yes" } else { "no, it takes a mapping" };
        section.push_str(&format!("- done without mappings: {preset}\n"));
        if let Some(documentation) = action["documentation"].as_str() {
            section.push_str(&format!("- documented at {documentation}\n"));
        }
        for group in list(action, "any_of") {
            let names = coded(group.as_array().map(Vec::as_slice).unwrap_or_default());
            section.push_str(&format!("- at least one of {} has to be there\n", joined(&names, "and")));
        }
        section.push_str(&format!("\n{}", fields(list(action, "fields"))));
    }
    if !definition.shared_fields().is_empty() {
        section.push_str("\n### Fields of every action\n\nAn action's own field of the same name stands in for one of these.\n\n");
        section.push_str(&fields(definition.shared_fields()));
    }
    section
}

fn fields(fields: &[Value]) -> String {
    let rows = fields.iter().map(|field| {
        let default = &field["default"];
        [
            code(text(field, "name")),
            field_values(field),
            required(&field["required"]),
            if default.is_null() { String::new() } else { directive(default) },
            text(field, "help").to_owned(),
        ]
    });
    table(["field", "values", "required", "by default", "what it is"], rows)
}

fn required(required: &Value) -> String {
    match required["with_setting"].as_str() {
        Some(setting) => format!("with {}", code(setting)),
        None if required == "always" => "yes".to_owned(),
        None => "no".to_owned(),
    }
}

/// What values a field takes, with all limits on them.
fn field_values(field: &Value) -> String {
    let mut said = vec![match list(field, "choices") {
        [] => text(field, "kind").replace('_', " "),
        _ => joined(&codes(field, "choices"), "or"),
    }];
    if field["hash"].is_string() {
        said.push(format!("hashed as {} with SHA-256", text(field, "hash")));
    }
    let too_long = if text(field, "too_long") == "cut" { ", longer ones are cut" } else { "" };
    let limits = [
        ("characters_max", "up to", "characters"),
        ("members_max", "up to", "members"),
        ("member_characters_max", "members of up to", "characters"),
    ];
    for (name, before, after) in limits {
        if let Some(most) = field[name].as_u64() {
            let end = if after == "characters" { too_long } else { "" };
            said.push(format!("{before} {most} {after}{end}"));
        }
    }
    let texts = [("pattern", "matching"), ("member_pattern", "names of members matching")];
    for (name, before) in texts {
        if let Some(pattern) = field[name].as_str() {
            said.push(format!("{before} {}", code(pattern)));
        }
    }
    for (name, before) in [("minimum", "at least"), ("maximum", "at most")] {
        if field[name].is_number() {
            said.push(format!("{before} {}", field[name]));
        }
    }
    if !list(field, "reserved").is_empty() {
        said.push(format!("none of {}", joined(&codes(field, "reserved"), "and")));
    }
    if field["each"].is_object() {
        said.push(each(&field["each"]));
    }
    if field["escape"] == "html_entities" {
        said.push("`&`, `<` and `>` of what templates put in are written as entities".to_owned());
    }
    said.join("; ")
}

/// What each member of an object or a list has to be.
fn each(each: &Value) -> String {
    let mut said = vec!["each an object".to_owned()];
    for group in list(each, "any_of") {
        let names = coded(group.as_array().map(Vec::as_slice).unwrap_or_default());
        said.push(format!("with {}", joined(&names, "or")));
    }
    let mut said = vec![said.join(" ")];
    for rule in list(each, "members") {
        let kind = match text(rule, "kind") {
            "scalar" => "no object and no list",
            other => other,
        };
        let limit = rule["characters_max"].as_u64().map(|most| {
            let end = if text(rule, "too_long") == "cut" { ", longer ones are cut" } else { "" };
            format!(" of up to {most} characters{end}")
        });
        said.push(format!("{}: {kind}{}", joined(&codes(rule, "names"), "and"), limit.unwrap_or_default()));
    }
    if text(each, "unfit") == "leave_out" {
        said.push("others are left out".to_owned());
    }
    said.join("; ")
}

/// How it sends: requests, batches, order, rate, what the vendor limits, deletion, test.
fn sending(definition: &Definition) -> String {
    let transport = definition.transport();
    let mut section = "\n## How it sends\n\n".to_owned();
    let mut say = |what: &str, words: String| section.push_str(&format!("- {what}: {words}\n"));
    say("reached by", reached_by(text(transport, "kind")).to_owned());
    if transport["kind"] == "http" {
        say("request", request(&transport["request"]));
        let ways: Vec<String> = list(transport, "authentication").iter().map(authentication).collect();
        if !ways.is_empty() {
            say("authentication, each where its settings are given", ways.join("; "));
        }
    }
    say("batches", batched(definition));
    if let Some(most) = definition.json["limits"]["payload_bytes"].as_u64() {
        say("payloads", format!("up to {most} bytes, larger ones are refused"));
    }
    let age = &definition.json["limits"]["event_age"];
    if let Some(hours) = age["hours"].as_u64() {
        let field = code(text(age, "field"));
        say("age of events", format!("up to {hours} hours by {field}, older ones are refused as `too_old`"));
    }
    let is_ordered = definition.json["order"] != "none";
    let order =
        if is_ordered { "deliveries of a profile arrive in the order of their events" } else { "none" };
    say("order", order.to_owned());
    say("rate limit", rate(definition));
    if transport["kind"] == "http" {
        for (name, what) in [("delete", "deletes a person"), ("test", "test call")] {
            say(what, if transport[name].is_null() { "no".to_owned() } else { request(&transport[name]) });
        }
    }
    let documented = list(&definition.json["limits"], "documented");
    if !documented.is_empty() {
        section.push_str(&format!("\nThe vendor's limits:\n\n{}", bullets(documented)));
    }
    section
}

fn request(request: &Value) -> String {
    let method = request.get("method").map_or_else(|| "`POST`".to_owned(), plain);
    format!("{method} to {}", plain(&request["url"]))
}

/// A directive; a literal text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| directive(value), code)
}

fn authentication(way: &Value) -> String {
    let setting = |name: &str| code(text(way, name));
    match text(way, "kind") {
        "headers" => format!("the headers in {}", setting("setting")),
        "header" => format!("the header {} with {}", setting("name"), setting("setting")),
        "basic" => format!("HTTP Basic with {} and {}", setting("user"), setting("password")),
        "oauth2" if text(way, "grant") == "refresh_token" => {
            format!("OAuth 2.0 by {}", setting("refresh_token"))
        }
        "oauth2" => format!("OAuth 2.0 by {} and {}", setting("client_id"), setting("client_secret")),
        "standard_webhooks" => format!("a signature with {} as Standard Webhooks has it", setting("secret")),
        other => other.to_owned(),
    }
}

fn examples(definition: &Definition) -> String {
    let mut section = String::new();
    for action in definition.actions() {
        let name = text(action, "name");
        for case in definition.cases_of(name) {
            section.push_str(&example(text(action, "title"), case));
        }
    }
    if section.is_empty() { section } else { format!("\n## Examples\n{section}") }
}

fn example(title: &str, case: &Case) -> String {
    let mut example = format!("\n### {title}: {}\n\n", code(&case.name));
    example.push_str(&format!("Of this event\n\n```json\n{}\n```\n\ncomes\n", laid_out(&case.event)));
    let only = std::slice::from_ref(&case.request);
    for request in case.request.as_array().map_or(only, Vec::as_slice) {
        let headers = request["headers"].as_object().into_iter().flatten();
        let headers: String = headers.map(|(name, value)| format!("{name}: {}\n", bare(value))).collect();
        example.push_str(&format!(
            "\n```text\n{} {}\n{headers}\n{}\n```\n",
            text(request, "method"),
            text(request, "target"),
            laid_out(text(request, "body")),
        ));
    }
    example
}
